"""The dashboard and the alert rules in contrib/: they parse, and ask for nothing that `/metrics` does not have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from safehold.web.metric_table import HISTOGRAM, METRICS

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "contrib" / "grafana" / "safehold.json"
ALERTS = ROOT / "contrib" / "prometheus" / "alerts.yml"

_NAME = re.compile(r"\b(?:safehold|process|python)_\w+")
_SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
_BY = re.compile(r"\bby \(([^)]*)\)")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str, str]]:
    """Where it stands, the query, and the text beside it that may name labels."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for rule in alerts():
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())


def shown_names() -> set[str]:
    """Names of samples as a query has them."""
    found = set()
    for name, metric in METRICS.items():
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if metric.type == HISTOGRAM else {name}
    return found


def metric_of(name: str) -> str:
    return name if name in METRICS else re.sub(r"_(bucket|sum|count)$", "", name)


def unbalanced(query: str) -> bool:
    depth = 0
    for char in query:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth < 0:
            return True
    return depth != 0


@pytest.mark.parametrize(("place", "query", "beside"), list(queries()))
def test_queries_name_metrics_and_labels_that_there_are(place: str, query: str, beside: str) -> None:
    names = set(_NAME.findall(query))
    assert names, place
    assert names <= shown_names(), names - shown_names()
    assert not unbalanced(query)
    labels = {label for name in names for label in METRICS[metric_of(name)].labels} | {"le"}
    for name, inside in _SELECTOR.findall(query):
        assert {pair.partition("=")[0].strip() for pair in inside.split(",")} <= set(METRICS[metric_of(name)].labels)
    for grouped in _BY.findall(query):
        assert {label.strip() for label in grouped.split(",")} <= labels
    told = re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", beside)
    assert set(told) <= labels


def test_the_dashboard_has_its_rows_and_no_panel_lies_over_another() -> None:
    panels = dashboard()["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Is it safe", "Vaults", "Traffic", "Core", "Recovery", "Vaults elsewhere"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        cells |= taken
    assert all(panel["description"].endswith(".") for panel in panels if panel["type"] != "row")


def test_most_metrics_are_on_the_dashboard() -> None:
    """What is not says nothing that changes, or is told by another."""
    asked = {
        metric_of(name)
        for panel in dashboard()["panels"]
        for t in panel.get("targets", ())
        for name in _NAME.findall(t["expr"])
    }
    left_out = {name for name in METRICS if name not in asked}
    assert left_out == {
        *("safehold_accounts", "safehold_changes", "safehold_build_info", "safehold_counter_total"),
        *("safehold_vault_last_drill_ok", "safehold_core_checked_timestamp_seconds", "python_gc_collections_total"),
        *("process_threads", "process_start_time_seconds", "process_virtual_memory_bytes"),
    }


def test_alert_rules_are_complete_and_their_runbooks_are_there() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names)) >= 10
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
        assert rule["annotations"]["summary"]
        runbook = rule["annotations"].get("runbook")
        assert runbook is None or (ROOT / runbook).is_file(), runbook
