"""`/metrics` in Prometheus' text format (version 0.0.4), and the meter that counts requests.

Written by hand: the client library costs some 80 ms at start-up, and all that is shown is a handful of numbers.

    safehold_http_requests_total{method,status}      requests answered
    safehold_http_request_seconds_sum|_count{method} time until the last byte was handed over
    safehold_up                                      1 while the service answers
    safehold_timeline                                the timeline that is written
    safehold_accounts, safehold_changes              as they stand in the core
    safehold_items{kind}                             live items
    safehold_vault_unarchived_changes{vault,mode}    changes a vault does not hold yet
    safehold_vault_lag_seconds{vault,mode}           how old the oldest of these is
    safehold_objective_target_seconds{objective}, safehold_objective_actual_seconds{objective}
    safehold_objective_met{objective}                1, or 0 while it is at risk or violated
    safehold_incidents                               open incidents
    safehold_intake_items                            writes that wait for streams that cannot be had now
    safehold_core_mended_total                       pages and bodies of the core that were mended
    safehold_core_damaged                            what is damaged in it now
    safehold_core_checked_timestamp_seconds          when all of it was last read (Unix time)
    safehold_counter_total{name}                     what else the service counts (`counters` of its status)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safehold.web.answers import Resource, refuse_json
from safehold.web.gate import Gate
from safehold.web.status import StatusSource, remembered
from safehold.web.status_pages import UNHEALTHY

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Methods counted by name; a client may send any word as a method.
METHODS = frozenset(
    (
        *("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL"),
        *("PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR"),
    )
)

_MICROSECONDS = 1_000_000

Sample = tuple[str, Mapping[str, str], float]


class Meter:
    """Counts what an ASGI application answers. Used on the event loop's thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, tuple[float, int]] = {}

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The same application, counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            begun = self._monotonic()
            status = 0

            async def watch(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, watch)
            finally:
                self.count(scope["method"], status, self._monotonic() - begun)

        return counted

    def count(self, method: str, status: int, seconds: float) -> None:
        """One request; status 0 where the client went before it was answered."""
        method = method if method in METHODS else "other"
        key = (method, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        total, count = self.seconds.get(method, (0.0, 0))
        self.seconds[method] = (total + seconds, count + 1)


def routes(gate: Gate, meter: Meter, status: StatusSource | None = None) -> list[Route]:
    source = status or remembered(gate)

    async def metrics(_: Request) -> Response:
        text = exposition(meter, source())
        return Response(text, headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return [Route("/metrics", Resource(gate, {"GET": metrics}, refuse_json), name="metrics")]


def exposition(meter: Meter, status: Mapping[str, Any]) -> str:
    """All metrics as text, each family under its type."""
    lines = []
    for name, (type_, samples) in _families(meter, status).items():
        lines.append(f"# TYPE {name} {type_}")
        for suffix, labels, value in samples:
            label_text = ",".join(f'{key}="{_label(text)}"' for key, text in labels.items())
            lines.append(f"{name}{suffix}{{{label_text}}} {value:.17g}" if labels else f"{name}{suffix} {value:.17g}")
    return "\n".join(lines) + "\n"


def _families(meter: Meter, status: Mapping[str, Any]) -> dict[str, tuple[str, list[Sample]]]:
    vaults: list[Mapping[str, Any]] = list(status.get("vaults") or ())
    promised = {**(status.get("objectives") or {}), **(status.get("evidence") or {})}
    objectives = {name: one for name, one in promised.items() if one.get("target_seconds") is not None}
    lasting = [i for i in status.get("incidents") or () if not isinstance(i, Mapping) or i.get("until") is None]
    core: Mapping[str, Any] = status.get("core") or {}
    checked = core.get("last_check")
    up = 0.0 if status.get("service") in UNHEALTHY else 1.0
    found: dict[str, tuple[str, list[Sample]]] = {
        "safehold_http_requests_total": ("counter", list(_requests(meter))),
        "safehold_http_request_seconds": ("summary", list(_seconds(meter))),
        "safehold_up": ("gauge", [("", {}, up)]),
        "safehold_timeline": ("gauge", _one(status.get("timeline"))),
        "safehold_accounts": ("gauge", _one(status.get("accounts"))),
        "safehold_changes": ("gauge", _one(status.get("changes"))),
        "safehold_items": ("gauge", _by("kind", status.get("items"))),
        "safehold_incidents": ("gauge", [("", {}, len(lasting))]),
        "safehold_intake_items": ("gauge", _one((status.get("intake") or {}).get("items"))),
        "safehold_core_mended_total": ("counter", _one(core.get("mended"))),
        "safehold_core_damaged": ("gauge", _one(core.get("damaged"))),
        "safehold_core_checked_timestamp_seconds": ("gauge", _one(checked and checked / _MICROSECONDS)),
        "safehold_objective_met": (
            "gauge",
            [("", {"objective": name}, float(o.get("state") == "met")) for name, o in objectives.items()],
        ),
        "safehold_counter_total": ("counter", _by("name", status.get("counters"))),
    }
    for figure in ("target_seconds", "actual_seconds"):
        figures = {name: objective.get(figure) for name, objective in objectives.items()}
        found[f"safehold_objective_{figure}"] = ("gauge", _by("objective", figures))
    for figure in ("unarchived_changes", "lag_seconds"):
        samples: list[Sample] = [
            ("", {"vault": str(vault.get("name")), "mode": str(vault.get("mode"))}, float(vault[figure]))
            for vault in vaults
            if _is_number(vault.get(figure))
        ]
        found[f"safehold_vault_{figure}"] = ("gauge", samples)
    return {name: family for name, family in found.items() if family[1]}


def _requests(meter: Meter) -> Iterator[Sample]:
    for (method, status), count in sorted(meter.requests.items()):
        yield "", {"method": method, "status": str(status)}, count


def _seconds(meter: Meter) -> Iterator[Sample]:
    for method, (total, count) in sorted(meter.seconds.items()):
        yield "_sum", {"method": method}, total
        yield "_count", {"method": method}, count


def _one(value: Any) -> list[Sample]:
    return [("", {}, float(value))] if _is_number(value) else []


def _by(label: str, values: Mapping[str, Any] | None) -> list[Sample]:
    return [("", {label: str(name)}, float(value)) for name, value in (values or {}).items() if _is_number(value)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
