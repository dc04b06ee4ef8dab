"""The plain pages, the public status, health and metrics: what they say, and what they must not."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from safehold.model.commands import AddScore, MakeCollection, PatchProps
from safehold.model.items import Account
from safehold.model.kinds import CollectionType, Kind
from safehold.web import metrics, pages, status
from safehold.web.metrics import Meter
from tests.support.edge import Answer, Edge, TestGate

ANNA = ("anna", "secret")
#: What a recovery that goes on is called, and whether reads and writes are taken meanwhile.
RECOVERING = ("recovering", True, True)

STATUS: dict[str, Any] = {
    "service": "serving",
    "timeline": 3,
    "accounts": 2,
    "changes": 1234567,
    "items": {"contacts": 1200, "calendar": 3, "notes": 0, "tasks": 0, "photos": 0, "scores": 4},
    "vaults": [
        {
            "name": "near",
            "url": "folder:/home/anna/vaults/near",
            "mode": "sync",
            "append_only": "by convention",
            "unarchived_changes": 0,
            "lag_seconds": 0.0,
            "failure_domain": "device 8:1",
            "last_scrub": {"seconds_ago": 7200.0, "ok": False, "damaged": 2},
            "last_drill": None,
        },
        {"name": 'f"ar', "url": "folder:/mnt/far", "mode": "async", "unarchived_changes": 17, "lag_seconds": 95.5},
    ],
    "objectives": {
        "rpo": {"target_seconds": 1, "actual_seconds": 0.25, "state": "met"},
        "rto": {"target_seconds": 3600, "actual_seconds": 7200, "state": "violated"},
        "first_contact": {"target_seconds": None, "actual_seconds": None, "state": "not set"},
    },
    "incidents": [],
    "core": {"last_check": 1_700_000_000_000_000, "bytes": 1 << 20, "mended": 3, "damaged": 0},
    "intake": {"accounts": 1, "items": 2, "bytes": 300},
    "recovery": None,
    "risks": ["keys lie beside the core"],
    "counters": {"commits": 41},
}


@pytest.fixture
def gate(tmp_path: Path) -> TestGate:
    gate = TestGate(tmp_path)
    gate.state = dict(STATUS)
    return gate


@pytest.fixture
def anna(gate: TestGate) -> Account:
    return gate.add_account("anna")


@pytest.fixture
def meter(gate: TestGate) -> Meter:
    return Meter(gate.clock.monotonic)


@pytest.fixture
def edge(gate: TestGate, anna: Account, meter: Meter) -> Iterator[Edge]:
    source = status.remembered(gate)
    edge = Edge(gate, [*status.routes(gate, source), *metrics.routes(gate, meter, source), *pages.routes(gate)])
    edge.app = meter.wrap(edge.app)
    yield edge
    edge.close()


class Reader(HTMLParser):
    """The text of a page, its tags and the addresses it names; it fails over tags that are not closed."""

    VOID = frozenset(("meta", "link", "rect", "circle", "path", "br", "input"))

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    def close(self) -> None:
        super().close()
        assert self._open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(answer: Answer) -> Reader:
    """A page, once it is sure that it is whole and keeps to itself."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", answer.text, re.S)
    assert style is not None
    digest = base64.b64encode(sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    reader = Reader()
    reader.feed(answer.text)
    reader.close()
    assert "script" not in reader.tags
    assert all(a.startswith(("/", "data:")) for a in reader.addresses)
    assert "url(" not in style[1]
    return reader


# -- the front page --------------------------------------------------------------------------------------------


def test_a_visitor_reads_what_this_is_and_where_to_connect(edge: Edge) -> None:
    text = read(edge.ask("GET", "/")).text
    assert "http://pim.example:8460/dav/NAME/contacts/" in text
    assert "http://pim.example:8460/dav/NAME/calendars/" in text
    assert "http://pim.example:8460/dav/NAME/files/" in text
    assert "without encryption" in text
    assert "anna" not in text


def test_over_tls_the_addresses_are_https_and_nobody_is_warned(edge: Edge) -> None:
    text = read(edge.ask("GET", "/", scheme="https", headers={"host": "pim.example"})).text
    assert "https://pim.example/dav/" in text
    assert "without encryption" not in text


@pytest.mark.parametrize("host", ["localhost:8460", "127.0.0.1:8460", "[::1]:8460"])
def test_on_the_machine_itself_a_page_says_that_its_address_is_of_no_use_elsewhere(edge: Edge, host: str) -> None:
    text = read(edge.ask("GET", "/", headers={"host": host})).text
    assert f"http://{host}/dav/" in text
    assert "without encryption" not in text
    assert "works on its own machine only" in text
    assert "own machine" not in read(edge.ask("GET", "/")).text


@pytest.mark.parametrize(
    "host", ["<script>alert(1)</script>", '"><img src=x>', "a b", "pim.example/evil", "", "x" * 300, "a@b", "a:b", "é"]
)
def test_a_host_that_is_none_is_not_repeated(edge: Edge, host: str) -> None:
    answer = edge.ask("GET", "/", headers={"host": host})
    text = read(answer).text
    assert "http://this-server.example/dav/" in text
    assert not host or f"http://{host}" not in answer.text


def test_who_has_signed_in_sees_collections_and_counts(edge: Edge, anna: Account) -> None:
    for score in range(3):
        edge.gate.engine.execute(AddScore(account=anna.id, game="chess", score=score))
    text = read(edge.ask("GET", "/", user=ANNA)).text
    assert "Hello, anna." in text
    assert "Contacts Contacts 0" in text
    assert "High scores chess 3" in text
    assert "http://pim.example:8460/dav/anna/contacts/" in text


def test_names_of_collections_are_shown_as_text(edge: Edge, anna: Account) -> None:
    title = '<displayname xmlns="DAV:">&lt;b&gt;Work &amp;amp; &lt;/b&gt;&lt;script&gt;</displayname>'
    execute = edge.gate.engine.execute
    execute(PatchProps(account=anna.id, path="contacts/default", set={"{DAV:}displayname": title}))
    execute(MakeCollection(account=anna.id, path="files/notes/<i>", type=CollectionType.FOLDER))
    reader = read(edge.ask("GET", "/", user=ANNA))
    assert "<b>Work &amp; </b><script>" in reader.text
    assert "Notes <i> 0" in reader.text


def test_what_is_held_is_shown_as_held_and_never_as_empty(edge: Edge, anna: Account) -> None:
    edge.gate.hold(anna, Kind.CONTACTS, "being restored")
    edge.gate.hold(anna, Kind.SCORES, "being restored")
    text = read(edge.ask("GET", "/", user=ANNA)).text
    assert "Contacts Contacts being restored" in text
    assert "High scores High scores being restored" in text
    assert "Calendar Calendar 0" in text


def test_signing_in_asks_for_a_password_and_leads_to_the_front_page(edge: Edge) -> None:
    asked = edge.ask("GET", "/sign-in")
    assert asked.status == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    read(asked)
    there = edge.ask("GET", "/sign-in", user=ANNA)
    assert (there.status, there.headers["location"]) == (303, "/")


def test_a_wrong_password_is_refused_on_a_page(edge: Edge) -> None:
    answer = edge.ask("GET", "/", user=("anna", "wrong"))
    assert answer.status == 401
    assert "The name or the password is wrong." in read(answer).text


def test_a_fault_of_ours_is_503_and_says_that_nothing_is_deleted(edge: Edge) -> None:
    edge.gate.broken = RuntimeError("a bug")
    for target in ("/", "/status"):
        answer = edge.ask("GET", target, user=ANNA)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        text = read(answer).text
        assert "Nothing has been deleted." in text
        assert "a bug" not in text


def test_another_method_is_405(edge: Edge) -> None:
    for target in ("/", "/status", "/healthz", "/readyz", "/metrics"):
        answer = edge.ask("POST", target, b"x")
        assert answer.status == 405
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


# -- status and health -----------------------------------------------------------------------------------------


def test_the_status_page_is_for_people_by_default(edge: Edge) -> None:
    text = read(edge.ask("GET", "/status", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})).text
    assert "Everything answers." in text
    assert "Everything is back within 1 h 2 h violated" in text
    assert "Contacts 1 200" in text
    assert "2 damaged" in text and "never" in text
    read(edge.ask("GET", "/status"))
    read(edge.ask("GET", "/status?format=html", headers={"accept": "application/json"}))


@pytest.mark.parametrize(("target", "accept"), [("/status?format=json", "text/html"), ("/status", "application/json")])
def test_programs_get_json(edge: Edge, target: str, accept: str) -> None:
    answer = edge.ask("GET", target, headers={"accept": accept})
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json
    for key in ("service", "timeline", "accounts", "changes", "items", "objectives", "incidents", "recovery"):
        assert shown[key] == STATUS[key]
    assert [v["name"] for v in shown["vaults"]] == ["near", 'f"ar']


def test_the_public_status_names_nobody_and_no_place(edge: Edge) -> None:
    incident = {
        "what": "vault missing",
        "since": "2026-11-20",
        "summary": "A copy is <late>.",
        "steps": ["Wait."],
        "message": "anna's vault is not at folder:/home/anna/vaults/near",
        "account": "anna",
        "devices": ["anna's phone"],
    }
    recovery = {"state": "running", "stage": "contacts", "progress": 0.5, "lost": [{"account": "anna"}]}
    edge.gate.state = STATUS | {"incidents": [incident], "recovery": recovery, "extra": "anna"}
    as_json, as_page = edge.ask("GET", "/status?format=json"), edge.ask("GET", "/status")
    for answer in (as_json, as_page):
        assert "anna" not in answer.text
        assert "/mnt" not in answer.text
        assert "keys lie" not in answer.text
    assert as_json.json["incidents"] == [{k: incident[k] for k in ("what", "since", "summary", "steps")}]
    text = read(as_page).text
    assert "A copy is <late>." in text
    assert "Wait." in text
    assert "Now: Contacts." in text


@pytest.mark.parametrize("odd", [{}, {"vaults": None, "incidents": ["text"], "objectives": None, "items": None}])
def test_a_status_with_gaps_is_shown_as_far_as_it_goes(edge: Edge, odd: dict[str, Any]) -> None:
    edge.gate.state = odd
    read(edge.ask("GET", "/status"))
    assert edge.ask("GET", "/status?format=json").status == 200
    assert edge.ask("GET", "/metrics").status == 200


def test_reading_only_is_said_and_healthy(edge: Edge) -> None:
    edge.gate.state = STATUS | {"service": "read-only"}
    assert "changes cannot be taken" in read(edge.ask("GET", "/status")).text
    assert edge.ask("GET", "/healthz").status == 200


def test_health_is_200_while_requests_are_answered_and_503_while_not(edge: Edge) -> None:
    answer = edge.ask("GET", "/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")
    edge.gate.clock.advance(1)
    edge.gate.state = STATUS | {"service": "stopping"}
    assert edge.ask("GET", "/healthz").status == 503
    edge.gate.clock.advance(1)
    edge.gate.broken = RuntimeError("a bug")
    assert edge.ask("GET", "/healthz").status == 503


def test_ready_is_200_only_while_everything_is_read_and_written(edge: Edge) -> None:
    answer = edge.ask("GET", "/readyz")
    assert (answer.status, answer.json["ready"], answer.json["reason"]) == (200, True, None)
    for state, reason, reads, writes in (
        ({"service": "read-only"}, "read-only", True, False),
        ({"service": "stopping"}, "stopping", False, False),
        ({"service": "recovering", "recovery": {"stage": "notes", "progress": 0.4, "held": ["anna"]}}, *RECOVERING),
        ({"recovery": {"stage": "notes"}}, *RECOVERING),
    ):
        edge.gate.clock.advance(1)
        edge.gate.state = STATUS | state
        answer = edge.ask("GET", "/readyz")
        assert (answer.status, answer.json["reason"]) == (503, reason)
        assert (answer.json["reads"], answer.json["writes"]) == (reads, writes)
        assert int(answer.headers["retry-after"]) >= 1
        assert "anna" not in answer.text
    assert answer.json["recovery"] == {"stage": "notes"}


def test_a_flood_of_visitors_asks_the_core_once_a_second(edge: Edge) -> None:
    for _ in range(50):
        edge.ask("GET", "/status")
        edge.ask("GET", "/healthz")
        edge.ask("GET", "/metrics")
    assert edge.gate.status_calls == 1
    edge.gate.clock.advance(1)
    edge.ask("GET", "/status")
    assert edge.gate.status_calls == 2


def test_the_own_page_says_after_how_many_days_nothing_of_an_erased_account_is_left(edge: Edge) -> None:
    assert "No copy of it is left in any vault 104 days later." in read(edge.ask("GET", "/", user=ANNA)).text
