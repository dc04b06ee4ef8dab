"""`/metrics` as Prometheus reads it: by its client library's own parser, and by the conventions for names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from safehold.model.commands import AddScore
from safehold.model.histogram import Histogram
from safehold.web import metrics
from safehold.web.metric_table import COUNTER, GAUGE, HISTOGRAM, METRICS
from safehold.web.metrics import Meter
from tests.support.edge import Edge, TestGate
from tests.web.test_pages import STATUS

DOCS = Path(__file__).resolve().parents[2] / "docs"
BASE_UNITS = ("seconds", "bytes", "ratio")
OTHER_UNITS = re.compile(r"_(ms|us|millis|milliseconds|microseconds|minutes|hours|days|kb|mb|kib|mib|percent)(_|$)")

FULL: dict[str, Any] = STATUS | {
    "bytes": {"contacts": 90_000, "photos": 1 << 40},
    "vaults": [
        {
            **STATUS["vaults"][0],
            "state": "reachable",
            "last_scrub": {"at": 1_700_000_000_000_000, "ok": False, "damaged": 2},
            "last_drill": {"at": 1_700_000_100_000_000, "ok": True},
        },
        {
            **STATUS["vaults"][1],
            "state": "missing",
            "costs": {"writes": 5, "reads": 4, "deletes": 0, "sent_bytes": 900, "received_bytes": 80, "failures": 1},
        },
    ],
    "alarms": {"open": [{"name": "vault missing/far"}, {"name": "disk slow/core"}], "over": []},
    "forecast": {"rto": {"seconds": 95.0}, "first_contact": {"seconds": 1.5}, "size": {"items": 3}},
    "evidence": {"scrub": {"actual_seconds": 60.0}, "drill": {"actual_seconds": None}, "replay": None},
    "jobs": {"scrub near": {"every_seconds": 600, "done": 1_700_000_000_000_000, "ok": True, "why": ""}},
    "recovery": {"stage": "notes", "progress": 0.25, "forecast_seconds": 12.0},
}


@pytest.fixture
def gate(tmp_path: Path) -> TestGate:
    gate = TestGate(tmp_path)
    gate.state = dict(FULL)
    return gate


@pytest.fixture
def meter(gate: TestGate) -> Meter:
    return Meter(gate.clock.monotonic)


@pytest.fixture
def edge(gate: TestGate, meter: Meter) -> Iterator[Edge]:
    edge = Edge(gate, metrics.routes(gate, meter))
    edge.app = meter.wrap(edge.app)
    yield edge
    edge.close()


def samples(text: str) -> dict[str, float]:
    """Every sample by name and labels; fails where one comes twice."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found, key
            found[key] = sample.value
    return found


def test_metrics_tell_how_the_service_stands(edge: Edge) -> None:
    edge.gate.add_account("zebulon")
    answer = edge.ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.text)
    wanted = {
        "safehold_up": 1,
        "safehold_ready": 0,
        "safehold_recovering": 1,
        "safehold_changes": 1234567,
        'safehold_items{kind="contacts"}': 1200,
        'safehold_items_bytes{kind="photos"}': 1 << 40,
        'safehold_vault_unarchived_changes{vault="f"ar",mode="async"}': 17,
        'safehold_vault_lag_seconds{vault="f"ar",mode="async"}': 95.5,
        'safehold_vault_reachable{vault="f"ar",mode="async"}': 0,
        'safehold_vault_reachable{vault="near",mode="sync"}': 1,
        'safehold_vault_last_scrub_timestamp_seconds{vault="near"}': 1_700_000_000,
        'safehold_vault_last_scrub_damaged_objects{vault="near"}': 2,
        'safehold_vault_last_drill_timestamp_seconds{vault="near"}': 1_700_000_100,
        'safehold_objective_met{objective="rto"}': 0,
        'safehold_objective_actual_seconds{objective="rpo"}': 0.25,
        'safehold_forecast_seconds{objective="rto"}': 95,
        'safehold_forecast_seconds{objective="first_contact"}': 1.5,
        'safehold_evidence_timestamp_seconds{evidence="scrub"}': edge.gate.clock.now() / 1e6 - 60,
        'safehold_job_last_run_ok{job="scrub near"}': 1,
        'safehold_job_last_run_timestamp_seconds{job="scrub near"}': 1_700_000_000,
        'safehold_vault_requests_total{vault="f"ar",kind="write"}': 5,
        'safehold_vault_traffic_bytes_total{vault="f"ar",direction="received"}': 80,
        "safehold_alarms_open": 2,
        "safehold_queue_commands": 3,
        "safehold_free_bytes": 1 << 40,
        "safehold_recovery_progress_ratio": 0.25,
        'safehold_counter_total{name="commits"}': 41,
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert 'safehold_objective_actual_seconds{objective="first_contact"}' not in found
    assert not any(f'{{evidence="{name}"}}' in sample for name in ("drill", "replay") for sample in found)
    assert "zebulon" not in answer.text


def test_every_metric_of_the_table_is_shown_under_its_help_and_type_and_with_its_labels(edge: Edge) -> None:
    edge.ask("GET", "/metrics")
    text = edge.ask("GET", "/metrics").text
    heads = re.findall(r"^# (HELP|TYPE) (\S+)", text, re.MULTILINE)
    assert heads == [(word, name) for name in METRICS for word in ("HELP", "TYPE")]
    told = {f.name: f for f in text_string_to_metric_families(text)}
    for name, metric in METRICS.items():
        family = told[name.removesuffix("_total") if metric.type == COUNTER else name]
        assert (family.type, family.documentation) == (metric.type, metric.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), name


def test_names_follow_the_conventions() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"(safehold|process|python)(_[a-z]+)+", name), name
        assert not OTHER_UNITS.search(name), f"{name}: base units only"
        assert metric.type in (COUNTER, GAUGE, HISTOGRAM)
        assert name.endswith("_total") == (metric.type == COUNTER), f"{name}: _total is for what only grows"
        if metric.type == HISTOGRAM:
            assert name.endswith(BASE_UNITS), name
        if any(f"_{unit}" in name for unit in BASE_UNITS):
            assert name.removesuffix("_total").endswith(BASE_UNITS), f"{name}: the unit comes last"
        assert (metric.help.endswith(".") and metric.help[0].isupper()) or metric.help[0].isdigit(), name
        assert not {"le", "quantile"} & set(metric.labels)


def test_requests_are_counted_by_method_and_status_and_timed(edge: Edge, meter: Meter) -> None:
    edge.ask("GET", "/metrics")
    edge.ask("GET", "/nowhere")
    for word in ("BREW", "X" * 1000):
        edge.ask(word, "/metrics")
    meter.count("PUT", 204, 1.5)
    meter.count("PUT", 204, 1000.0)
    found = samples(edge.ask("GET", "/metrics").text)
    assert found['safehold_http_requests_total{method="GET",status="200"}'] == 1
    assert found['safehold_http_requests_total{method="GET",status="404"}'] == 1
    assert found['safehold_http_requests_total{method="other",status="405"}'] == 2
    assert found['safehold_http_request_seconds_sum{method="PUT"}'] == 1001.5
    buckets = {
        le: found[f'safehold_http_request_seconds_bucket{{method="PUT",le="{le}"}}'] for le in ("1", "2.5", "60")
    }
    assert buckets == {"1": 0, "2.5": 1, "60": 1}
    assert found['safehold_http_request_seconds_bucket{method="PUT",le="+Inf"}'] == 2
    assert found['safehold_http_request_seconds_count{method="PUT"}'] == 2


def test_group_commits_are_timed_apart(edge: Edge) -> None:
    anna = edge.gate.add_account("anna")
    before = samples(edge.ask("GET", "/metrics").text)
    edge.gate.engine.execute(AddScore(account=anna.id, game="chess", score=3.0, at=1, actor="device:t"))
    after = samples(edge.ask("GET", "/metrics").text)
    for name in ("safehold_append_seconds_count", "safehold_commit_seconds_count"):
        assert after[name] - before[name] == 1
    failing = edge.gate.log
    failing.failure = OSError("no disk")
    edge.gate.engine.execute_all([AddScore(account=anna.id, game="chess", score=4.0, at=2, actor="device:t")])
    last = samples(edge.ask("GET", "/metrics").text)
    assert last["safehold_append_seconds_count"] == after["safehold_append_seconds_count"]


def test_the_process_is_told_of_as_by_the_client_library(edge: Edge) -> None:
    from prometheus_client.process_collector import ProcessCollector

    ours = samples(edge.ask("GET", "/metrics").text)
    theirs = {s.name: s.value for family in ProcessCollector(registry=None).collect() for s in family.samples}
    assert theirs and set(theirs) <= set(ours)
    assert abs(ours["process_start_time_seconds"] - theirs["process_start_time_seconds"]) < 1.0
    assert ours["process_max_fds"] == theirs["process_max_fds"]
    assert 0.5 < ours["process_resident_memory_bytes"] / theirs["process_resident_memory_bytes"] < 2


@pytest.mark.parametrize(
    "odd", [{}, {"vaults": [None, {}], "incidents": ["x"], "objectives": None, "items": None, "jobs": 3, "alarms": 7}]
)
def test_a_status_with_gaps_is_told_as_far_as_it_goes(edge: Edge, odd: dict[str, Any]) -> None:
    edge.gate.state = odd
    answer = edge.ask("GET", "/metrics")
    assert answer.status == 200
    assert "safehold_up" in samples(answer.text)


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    text = (DOCS / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*?) \|$", text, re.MULTILINE)
    wanted = [(n, m.type, ", ".join(f"`{label}`" for label in m.labels), m.help) for n, m in METRICS.items()]
    assert [(n, t, labels.strip(), told) for n, t, labels, told in rows] == wanted


def test_a_histogram_counts_each_once_and_its_bounds_are_inclusive() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.0, 0.1, 0.100001, 1.0, 50.0):
        histogram.add(seconds)
    assert list(histogram.buckets()) == [(0.1, 2), (1.0, 4), (float("inf"), 5)]
    assert histogram.count == 5
