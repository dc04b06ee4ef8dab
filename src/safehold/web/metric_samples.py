"""From a status object to samples of metrics. Pure: what a status does not tell has no sample, rather than a zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from safehold.model.histogram import Histogram
from safehold.web.status_pages import UNHEALTHY

_MICROSECONDS = 1_000_000
#: States of a vault in which nothing can be read from it.
_AWAY = frozenset(("missing", "not answering", "not seen yet"))


class Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float
    suffix: str = ""  # of a histogram: _bucket, _sum or _count


def status_samples(status: Mapping[str, Any], now: int) -> Iterator[Sample]:
    """All that a status object tells, gaps left out. `now` (µs) is what ages are counted back from."""
    yield from _safety(status)
    yield from _evidence(status.get("evidence"), now)
    for vault in status.get("vaults") or ():
        yield from _vault(vault)
    yield from _core(status)
    yield from _recovery(status.get("recovery"))
    yield from _jobs(status.get("jobs"))


def _safety(status: Mapping[str, Any]) -> Iterator[Sample]:
    lasting = [i for i in status.get("incidents") or () if not isinstance(i, Mapping) or i.get("until") is None]
    ready, _ = readiness(status)
    yield Sample("safehold_up", {}, float(status.get("service") not in UNHEALTHY))
    yield Sample("safehold_ready", {}, float(ready))
    yield Sample("safehold_recovering", {}, float(bool(status.get("recovery"))))
    yield Sample("safehold_incidents", {}, len(lasting))
    alarms = _of(status.get("alarms"), "open")
    yield from _one("safehold_alarms_open", len(alarms) if isinstance(alarms, list) else None)
    promised = [*_pairs(status.get("objectives")), *_pairs(status.get("evidence"))]
    objectives = {name: one for name, one in promised if _of(one, "target_seconds") is not None}
    for name, objective in objectives.items():
        labels = {"objective": name}
        yield Sample("safehold_objective_met", labels, float(_of(objective, "state") == "met"))
        for figure in ("target_seconds", "actual_seconds"):
            yield from _one(f"safehold_objective_{figure}", _of(objective, figure), labels)
    forecast = status.get("forecast")
    for name in ("rto", "first_contact"):
        yield from _one("safehold_forecast_seconds", _of(_of(forecast, name), "seconds"), {"objective": name})


def _evidence(evidence: Any, now: int) -> Iterator[Sample]:
    """Of the part that was proved longest ago: what one vault or account lacks is not proved."""
    for name, told in _pairs(evidence):
        age = _of(told, "actual_seconds")
        at = now / _MICROSECONDS - age if _is_number(age) else None
        yield from _one("safehold_evidence_timestamp_seconds", at, {"evidence": name})


def _vault(vault: Any) -> Iterator[Sample]:
    labels = {"vault": str(_of(vault, "name"))}
    placed = {**labels, "mode": str(_of(vault, "mode"))}
    if (state := _of(vault, "state")) is not None:
        yield Sample("safehold_vault_reachable", placed, float(state not in _AWAY))
    for figure in ("unarchived_changes", "lag_seconds"):
        yield from _one(f"safehold_vault_{figure}", _of(vault, figure), placed)
    scrub, drill = _of(vault, "last_scrub"), _of(vault, "last_drill")
    yield from _one("safehold_vault_last_scrub_timestamp_seconds", moment(scrub), labels)
    yield from _one("safehold_vault_last_scrub_damaged_objects", _of(scrub, "damaged"), labels)
    yield from _one("safehold_vault_last_drill_timestamp_seconds", moment(drill), labels)
    yield from _one("safehold_vault_last_drill_ok", _of(drill, "ok"), labels)
    costs = _of(vault, "costs")
    for kind, figure in {"write": "writes", "read": "reads", "delete": "deletes", "failed": "failures"}.items():
        yield from _one("safehold_vault_requests_total", _of(costs, figure), {**labels, "kind": kind})
    for direction in ("sent", "received"):
        yield from _one(
            "safehold_vault_traffic_bytes_total", _of(costs, f"{direction}_bytes"), {**labels, "direction": direction}
        )


def _core(status: Mapping[str, Any]) -> Iterator[Sample]:
    for figure in ("timeline", "accounts", "changes"):
        yield from _one(f"safehold_{figure}", status.get(figure))
    for kind, count in _pairs(status.get("items")):
        yield from _one("safehold_items", count, {"kind": kind})
    for kind, size in _pairs(status.get("bytes")):
        yield from _one("safehold_items_bytes", size, {"kind": kind})
    yield from _one("safehold_intake_items", _of(status.get("intake"), "items"))
    core = status.get("core")
    yield from _one("safehold_core_mended_total", _of(core, "mended"))
    yield from _one("safehold_core_damaged", _of(core, "damaged"))
    yield from _one("safehold_core_checked_timestamp_seconds", moment(_of(core, "last_check")))
    for name, count in _pairs(status.get("counters")):
        yield from _one("safehold_counter_total", count, {"name": name})


def _recovery(recovery: Any) -> Iterator[Sample]:
    yield from _one("safehold_recovery_progress_ratio", _of(recovery, "progress"))
    yield from _one("safehold_recovery_forecast_seconds", _of(recovery, "forecast_seconds"))


def _jobs(jobs: Any) -> Iterator[Sample]:
    for name, job in _pairs(jobs):
        yield from _one("safehold_job_last_run_timestamp_seconds", moment(_of(job, "done")), {"job": name})
        yield from _one("safehold_job_last_run_ok", _of(job, "ok"), {"job": name})


def readiness(status: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether reads and writes are taken of everything, and why not, in a word."""
    service = str(status.get("service", "unknown"))
    if service in UNHEALTHY or service == "unknown":
        return False, service
    if status.get("recovery") or service == "recovering":
        return False, "recovering"
    return (True, "") if service == "serving" else (False, service)


def histogram_samples(name: str, labels: Mapping[str, str], found: Histogram) -> Iterator[Sample]:
    count = 0
    for bound, count in found.buckets():
        yield Sample(name, {**labels, "le": "+Inf" if bound == float("inf") else f"{bound:g}"}, count, "_bucket")
    yield Sample(name, labels, found.total, "_sum")
    yield Sample(name, labels, count, "_count")


def moment(told: Any) -> float | None:
    """Unix time in seconds of a moment as status objects have it: µs, a date and time, or an object with `at`."""
    if isinstance(told, Mapping):
        told = told.get("at")
    if isinstance(told, str):
        try:
            return datetime.fromisoformat(told).timestamp()
        except ValueError:
            return None
    return told / _MICROSECONDS if _is_number(told) and told > 0 else None


def _one(name: str, value: Any, labels: Mapping[str, str] | None = None) -> Iterator[Sample]:
    if _is_number(value):
        yield Sample(name, labels or {}, float(value))


def _of(found: Any, key: str) -> Any:
    return found.get(key) if isinstance(found, Mapping) else None


def _pairs(found: Any) -> list[tuple[str, Any]]:
    return [(str(name), value) for name, value in found.items()] if isinstance(found, Mapping) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
