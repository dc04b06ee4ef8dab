"""Request ids and the log: who an answer belongs to, what lines name it, and whom no line names (I92)."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from safehold.adapters.log_lines import JSON, TEXT, log_to
from safehold.lab.world import SeededEntropy
from safehold.model.commands import AddScore
from safehold.model.private import Private
from safehold.protocol.forwarded import read_proxies
from safehold.web.app import make_app
from safehold.web.pump import Pump
from safehold.web.tracing import REQUESTS, RequestIds, Tracer, current_requests, kind_of_path
from tests.support.edge import Edge, TestGate

PROXY = "10.0.0.7"
CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:canary-uid\r\nFN:Canary Person\r\nN:Person;Canary;;;\r\nEND:VCARD\r\n"
CANARIES = ("zebulon", "canary", "Canary", "192.0.2.1")


class Log:
    """What is written to a log that was set up as `[log]` says."""

    def __init__(self, format_: str = JSON, level: str = "info") -> None:
        self.stream = io.StringIO()
        self.handler = log_to(self.stream, format_, level, current_requests)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("safehold")
    kept = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level, ours.level = kept[0], kept[1], kept[2]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    gate = TestGate(tmp_path)
    gate.add_account("zebulon")
    tracer = Tracer(RequestIds("t"), lambda: gate.proxies, access=gate.clock.monotonic)
    edge = Edge(gate, make_app(gate, tracer))
    yield edge
    edge.close()


ZEBULON = ("zebulon", "secret")
ITEM = "/dav/zebulon/contacts/default/canary.vcf"


# -- ids -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/dav/zebulon/", "/", "/status", "/api/v1/account", "/nowhere", "/.well-known/caldav", "//x"]
)
def test_every_answer_bears_an_id_of_its_own(edge: Edge, target: str) -> None:
    ids = [edge.ask("GET", target, user=user).headers["x-request-id"] for user in (ZEBULON, None, ZEBULON)]
    assert len(set(ids)) == 3


def test_an_id_is_taken_from_a_trusted_proxy_only_and_only_where_it_is_one(edge: Edge) -> None:
    def id_for(sent: str, peer: str) -> str:
        return edge.ask("GET", "/status", headers={"x-request-id": sent}, peer=peer).headers["x-request-id"]

    assert id_for("proxy.id-1_2", PROXY).startswith("t-")
    edge.gate.proxies = read_proxies([PROXY])
    assert id_for("proxy.id-1_2", PROXY) == "proxy.id-1_2"
    assert id_for("proxy.id-1_2", "10.0.0.8").startswith("t-")
    for odd in ("abc", "x" * 65, "with space", "a\tb\tc", "line\\nbreak", "", "umlaut-\xe4"):
        assert id_for(odd, PROXY).startswith("t-"), odd


def test_two_starts_give_no_id_twice_and_draw_once() -> None:
    entropy = SeededEntropy("ids")
    first, second = RequestIds.drawn(entropy), RequestIds.drawn(entropy)
    found = [ids.next() for ids in (first, second) for _ in range(1000)]
    assert len(set(found)) == 2000
    again = SeededEntropy("ids")
    again.bytes(5), again.bytes(5)
    assert entropy.bytes(8) == again.bytes(8)


def test_errors_name_the_request_in_json_and_in_xml(edge: Edge) -> None:
    refused = edge.ask("GET", "/api/v1/account")
    assert refused.json["request"] == refused.headers["x-request-id"]
    refused = edge.ask("PROPFIND", "/dav/zebulon/")
    assert f"<E:request>{refused.headers['x-request-id']}</E:request>" in refused.text
    edge.gate.broken = RuntimeError("a bug")
    refused = edge.ask("GET", "/api/v1/scores/chess", user=ZEBULON)
    assert refused.status == 503
    assert refused.json["request"] == refused.headers["x-request-id"]


# -- lines -----------------------------------------------------------------------------------------------------


def test_lines_name_the_request_they_were_written_for(edge: Edge) -> None:
    log = Log()
    edge.gate.broken = RuntimeError("canary")
    answer = edge.ask("GET", "/status", user=ZEBULON)
    failed = [line for line in log.lines if line["level"] == "error"]
    assert [line["request"] for line in failed] == [answer.headers["x-request-id"]]
    assert "RuntimeError" in failed[0]["trace"]


def test_what_a_group_commit_logs_names_all_requests_in_it_and_no_other(edge: Edge) -> None:
    log, gate = Log(), edge.gate
    account = gate.reads.account_named("zebulon")
    assert account is not None
    gate.log.failure = RuntimeError("the disk thread fails")

    async def request(pump: Pump, id_: str, score: float) -> None:
        REQUESTS.set((id_,))
        try:
            await pump.execute(AddScore(account=account.id, game="chess", score=score, at=1, actor="device:t"))
        except Exception:
            return

    async def run() -> None:
        with ThreadPoolExecutor(1) as thread:
            pump = Pump(gate.engine, thread)
            await asyncio.gather(*(asyncio.create_task(request(pump, f"id-{n}", float(n))) for n in range(3)))
            await asyncio.create_task(request(pump, "id-late", 9.0))

    asyncio.run(run())
    stopped = [line for line in log.lines if "the writer stops" in line["message"]]
    assert [line["requests"] for line in stopped] == [["id-0", "id-1", "id-2"]]


def test_the_access_log_is_one_line_a_request_that_names_nobody(edge: Edge) -> None:
    log = Log()
    put = edge.ask("PUT", ITEM, CARD, user=ZEBULON, headers={"content-type": "text/vcard"})
    assert put.status == 201
    edge.ask("BREW", "/canary", user=ZEBULON)
    told = [line for line in log.lines if line["logger"] == "safehold.access"]
    assert [(line["method"], line["place"], line["status"]) for line in told] == [
        ("PUT", "/dav/*/contacts/…", 201),
        ("other", "/…", 404),
    ]
    assert told[0]["request"] == put.headers["x-request-id"]
    assert "path" not in told[0]
    assert not any(canary in log.text for canary in CANARIES)


def test_no_access_log_unless_it_is_wanted(tmp_path: Path) -> None:
    gate = TestGate(tmp_path)
    edge = Edge(gate, make_app(gate))
    log = Log()
    edge.ask("GET", "/status")
    assert log.text == ""
    edge.close()


@pytest.mark.parametrize("format_", [TEXT, JSON])
def test_a_story_with_faults_names_nobody_in_the_log_and_everybody_at_debug(edge: Edge, format_: str) -> None:
    def story() -> None:
        edge.ask("PUT", ITEM, CARD, user=ZEBULON, headers={"content-type": "text/vcard"})
        edge.ask("GET", ITEM, user=ZEBULON)
        edge.ask("GET", ITEM, user=("zebulon", "wrong"))
        edge.ask("PUT", ITEM, b"not a card", user=ZEBULON, headers={"content-type": "text/vcard"})
        edge.gate.log.failure = KeyError("canary.vcf")
        edge.ask("PUT", ITEM, CARD.replace(b"UID:c", b"UID:d"), user=ZEBULON, headers={"content-type": "text/vcard"})
        edge.ask("DELETE", ITEM, user=ZEBULON)
        edge.gate.broken = ValueError("the contact Canary Person of zebulon")
        edge.ask("GET", "/status", user=ZEBULON)
        logging.getLogger("safehold.web").error("%s is damaged, rev %d", Private("canary.vcf"), 7)
        edge.gate.broken = None
        assert edge.gate.engine.try_resume()

    log = Log(format_)
    story()
    assert len(log.text.splitlines()) > 8
    assert "ValueError" in log.text
    assert "rev 7" in log.text
    assert [canary for canary in CANARIES if canary in log.text] == []
    log = Log(format_, "debug")
    story()
    assert {canary for canary in CANARIES if canary in log.text} >= {"zebulon", "canary", "Canary"}


def test_one_record_is_one_line_whatever_is_in_it() -> None:
    for format_ in (TEXT, JSON):
        log = Log(format_)
        logging.getLogger("safehold.web").warning("a\nWARNING safehold: forged %s", "b\r\nc")
        assert len(log.text.splitlines()) == 1


def test_levels_and_libraries() -> None:
    log = Log(level="warning")
    logging.getLogger("safehold.x").info("no")
    logging.getLogger("library").info("no")
    logging.getLogger("safehold.x").warning("yes")
    logging.getLogger("library").warning("yes")
    assert [line["message"] for line in log.lines] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/", "/"),
        ("/dav/", "/dav/"),
        ("/dav/zebulon/", "/dav/*"),
        ("/dav/principals/zebulon/", "/dav/principals/*"),
        ("/dav/zebulon/calendars/canary/x.ics", "/dav/*/calendars/…"),
        ("/dav/zebulon/files/photos/canary/x.jpg", "/dav/*/files/photos/…"),
        ("/dav/zebulon/files/canary", "/dav/*/files/…"),
        ("/dav/zebulon/canary/", "/dav/*/…"),
        ("/api/v1/scores/canary", "/api/v1/scores/…"),
        ("/api/v1/canary", "/api/…"),
        ("/api/v2/scores", "/api/…"),
        ("/devices/canary", "/devices/…"),
        ("/.well-known/carddav", "/.well-known/carddav"),
        ("/.well-known/canary", "/…"),
        ("/canary", "/…"),
        ("*", "/…"),
    ],
)
def test_a_path_is_told_by_its_kind(path: str, told: str) -> None:
    assert kind_of_path(path) == told
