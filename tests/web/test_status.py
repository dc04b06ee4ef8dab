"""The public status in both languages, as a page, as JSON and as a feed: all of it, and nobody's name."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safehold.web import status
from tests.support.edge import Edge, TestGate
from tests.web.test_pages import STATUS, read

ATOM = "{http://www.w3.org/2005/Atom}"
#: As a serving recovery tells of itself, and with what must stay inside.
RECOVERY: dict[str, Any] = {
    "state": "running",
    "stage": "contacts",
    "kinds": {
        "contacts": {"expected": 1200, "entered": 300, "accounts": {"anna": 3}, "who": "anna"},
        "photos": {"expected": 0, "entered": 0},
    },
    "streams": {"queued": 12, "whole": 3, "named": ["anna"]},
    "seconds": 12.5,
    "forecast_seconds": 95.0,
    "lost": [{"account": "anna"}],
}
SAID = [{"name": "0006", "text": "Back by <noon>.\nSorry.", "at": 1_795_000_000_000_000, "until": None, "by": "anna"}]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    gate = TestGate(tmp_path)
    gate.state = dict(STATUS)
    edge = Edge(gate, status.routes(gate))
    yield edge
    edge.close()


def set_state(edge: Edge, **changes: Any) -> None:
    edge.gate.state = STATUS | changes
    edge.gate.clock.advance(1)


def test_a_recovery_is_told_with_progress_and_forecast(edge: Edge) -> None:
    set_state(edge, recovery=RECOVERY)
    text = read(edge.ask("GET", "/status")).text
    assert "The service answers while it brings back what was lost here." in text
    assert "Now: Contacts." in text
    assert "in about 1.6 min" in text
    assert "Contacts 300 / 1 200" in text
    assert "Photos 0 / 0" not in text
    assert "Do not reset them" in text


def test_the_page_is_spanish_for_who_reads_spanish(edge: Edge) -> None:
    set_state(edge, recovery=RECOVERY, announcements=SAID)
    by_header = edge.ask("GET", "/status", headers={"accept-language": "es-CO,es;q=0.9,en;q=0.5"})
    by_choice = edge.ask("GET", "/status?lang=es")
    assert by_header.text == by_choice.text
    assert "Accept-Language" in by_header.headers["vary"]
    assert '<html lang="es">' in by_header.text
    text = read(by_choice).text
    assert "Hay una recuperación en marcha" in text
    assert "No se ha borrado nada." in text
    assert "Contactos 300 / 1 200" in text
    assert "Todo vuelve en 1 h 2 h incumplido" in text
    assert "/status?lang=en" in read(by_choice).addresses


def test_an_incident_is_told_in_spanish_by_what_it_is(edge: Edge) -> None:
    incident = {
        "what": "device ahead",
        "since": "2026-11-26T10:00:00Z",
        "summary": "A device has newer data than the server.",
        "steps": ["Do not reset the device: what it holds can be recovered from."],
    }
    odd = {"what": "flood", "summary": "Water in the cellar."}
    set_state(edge, incidents=[incident, odd])
    spanish = read(edge.ask("GET", "/status?lang=es")).text
    assert "Un dispositivo tiene datos más nuevos." in spanish
    assert "No restablezcas el dispositivo" in spanish
    assert "Water in the cellar." in spanish, "what has no words in Spanish is not kept back"
    assert "A device has newer data" in read(edge.ask("GET", "/status?lang=en")).text


@pytest.mark.parametrize(
    "target", ["/status", "/status?lang=es", "/status?format=json", "/status.json", "/status.atom"]
)
def test_nothing_of_anybody_is_public(edge: Edge, target: str) -> None:
    set_state(edge, recovery=RECOVERY, announcements=SAID)
    answer = edge.ask("GET", target)
    assert answer.status == 200
    assert "anna" not in answer.text


def test_json_has_the_same_under_its_own_address(edge: Edge) -> None:
    set_state(edge, recovery=RECOVERY, announcements=SAID)
    shown = edge.ask("GET", "/status.json", headers={"accept": "text/html"}).json
    assert shown == edge.ask("GET", "/status?format=json").json
    assert shown["recovery"]["kinds"]["contacts"] == {"expected": 1200, "entered": 300}
    assert shown["recovery"]["streams"] == {"queued": 12, "whole": 3, "named": None}
    assert shown["announcements"] == [{key: SAID[0][key] for key in ("text", "at", "until")}]


def test_what_the_operator_says_stands_first_and_as_text(edge: Edge) -> None:
    set_state(edge, announcements=SAID)
    reader = read(edge.ask("GET", "/status"))
    assert "From whoever runs this service Back by <noon>. Sorry." in reader.text
    assert "noon" not in reader.tags


def entries(edge: Edge, target: str = "/status.atom") -> list[dict[str, str]]:
    answer = edge.ask("GET", target)
    assert answer.headers["content-type"].startswith("application/atom+xml")
    root = ET.fromstring(answer.body)
    assert root.tag == ATOM + "feed"
    for name in ("id", "title", "updated", "author"):
        assert root.find(ATOM + name) is not None, f"RFC 4287 requires {name}"
    found = []
    for entry in root.findall(ATOM + "entry"):
        found.append({child.tag.removeprefix(ATOM): child.text or "" for child in entry})
        assert {"id", "title", "updated", "content"} <= found[-1].keys()
    assert len({entry["id"] for entry in found}) == len(found)
    return found


def test_the_feed_has_an_entry_for_the_state_and_a_new_one_when_it_changes(edge: Edge) -> None:
    [calm] = entries(edge)
    assert calm["title"] == "Everything answers."
    edge.gate.clock.advance(60)
    assert entries(edge) == [calm], "nothing has changed, so a reader shows nothing anew"
    set_state(edge, recovery=RECOVERY, announcements=SAID)
    state, said = entries(edge)
    assert state["id"] != calm["id"] and state["updated"] > calm["updated"]
    assert "Now: Contacts." in state["content"]
    assert (said["title"], said["updated"]) == ("Back by <noon>.", "2026-11-18T11:06:40Z")
    assert entries(edge, "/status.atom?lang=es")[0]["title"].startswith("El servicio responde mientras")


def test_a_feed_bears_what_xml_cannot(edge: Edge) -> None:
    set_state(edge, announcements=[{"text": "a\x00b\x1b ]]> & </content>", "at": 1}])
    said = entries(edge)[1]
    assert said["content"] == "a b  ]]> & </content>\n1970-01-01 00:00 UTC."


@pytest.mark.parametrize(
    "odd",
    [
        {"recovery": {"kinds": None, "streams": "many", "forecast_seconds": "soon", "stage": 3}},
        {"recovery": "yes", "announcements": [{}, {"text": None}]},
        {"announcements": None, "recovery": {"state": "failed"}},
    ],
)
def test_what_is_odd_is_shown_as_far_as_it_goes(edge: Edge, odd: dict[str, Any]) -> None:
    set_state(edge, **odd)
    read(edge.ask("GET", "/status"))
    entries(edge)
    assert edge.ask("GET", "/status.json").status == 200
