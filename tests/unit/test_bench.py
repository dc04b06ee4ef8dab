"""What the benchmarks rest upon: a client that reads rightly, events that are known, goals that can be missed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
import recurring_ical_events
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from bench import dav, goals, load, page
from bench.events import MONTH, event
from bench.servers import Safehold


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.data())
def test_a_chunked_answer_is_read_once_it_is_whole(pieces: list[bytes], data: st.DataObject) -> None:
    sent = bytearray(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
    assert load._unchunked(sent) == b"".join(pieces)
    end = data.draw(st.integers(0, len(sent) - len(b"0\r\n\r\n")))
    assert load._unchunked(sent[:end]) is None


ANSWERS = {
    "counted": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "counted, then closed": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    "to the end": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_every_way_to_end_an_answer_is_understood(answer: bytes, piece: int) -> None:
    closing = b"close" in answer or b"1.0" in answer

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            for at in range(0, len(answer), piece):
                writer.write(answer[at : at + piece])
                await writer.drain()
            if closing:
                break
        writer.close()

    assert _asked(serve) == [b"hello"] * 3


def test_an_error_is_counted_and_ends_a_strict_round() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        writer.close()

    source = _sources(refuse, strict=False)
    assert source.errors == {"403": 3}
    assert len(source.latencies) == 3
    with pytest.raises(RuntimeError, match="403"):
        _sources(refuse, strict=True)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def _asked(handler: Handler) -> list[bytes]:
    return _sources(handler, strict=True).bodies


def _sources(handler: Handler, *, strict: bool) -> load.Source:
    """Three requests, one after the other, to a server that answers so."""
    source = load.Source([b"GET / HTTP/1.1\r\n\r\n"] * 3, keep=True, strict=strict, cap_seconds=60)

    async def run() -> None:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        async with server:
            await load.connected(source, server.sockets[0].getsockname()[1])

    asyncio.run(run())
    return source


@pytest.mark.parametrize("number", [*range(40), *range(3, 400, 10)])
def test_instances_in_the_month_are_those_that_another_library_finds(number: int) -> None:
    made = event(number)
    found = recurring_ical_events.of(Calendar.from_ical(made.body.decode())).between(*MONTH)
    assert made.in_month == len(found)
    assert MONTH[0].tzinfo is UTC


def test_the_service_answers_every_phase_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")  # on a disk: nothing is counted as written to memory
    found = dav.measure([Safehold], 30, 2, dav.Counts(puts=3, gets=5, polls=5, syncs=2))["Safehold"]
    flawed = {name for name, phase in found["phases"].items() if phase["errors"] or phase["wrong"]}
    assert not flawed
    assert all(phase["server_cpu_ms_each"] > 0 for phase in found["phases"].values())
    assert found["phases"]["PUT contact"]["written_bytes_each"] > 0


def _results(cpu_ms: float, peer_ms: float, wrong: list[str]) -> dict[str, Any]:
    def server(each: float, flaws: list[str]) -> dict[str, Any]:
        phase = {
            "operations": 10,
            "errors": {},
            "wrong": flaws,
            "a_second": 1000 / each,
            "p50_ms": each,
            "p99_ms": each,
            "server_cpu_ms_each": each,
        }
        cold = {name: {"seconds": each, "server_cpu_seconds": each} for name in dav.COLD}
        phases = dict.fromkeys(dav.PHASES, phase)
        return {"version": "1", "settings": "none", "cold": cold, "rss_mb": 50.0, "phases": phases}

    servers = {"Safehold": server(cpu_ms, wrong), "Radicale": server(peer_ms, []), "Xandikos": server(peer_ms * 2, [])}
    fixed = {"machine": "m", "versions": "v", "connections": 1, "cap_seconds": 1.0, "rounds": 1}
    return {**fixed, "sizes": {"1000": servers, "10000": servers}}


def test_goals_are_met_and_missed() -> None:
    assert all(verdict.met for verdict in goals.verdicts(_results(1.0, 300.0, [])))
    near = goals.verdicts(_results(1.0, 299.0, []))
    assert [verdict.goal for verdict in near if not verdict.met] == [
        f"PUT {kind} at 10,000: at least 300 times less server CPU than the better peer"
        for kind in ("contact", "event")
    ]
    behind = goals.verdicts(_results(2.0, 1.0, []))
    assert not any(verdict.met for verdict in behind if "ahead" in verdict.goal or "better peer" in verdict.goal)


def test_a_wrong_answer_is_a_fault_and_is_not_ahead() -> None:
    results = _results(1.0, 300.0, ["1 of 2 missing, 0 too many"])
    assert len(goals.faults(results)) == 2 * len(dav.PHASES)
    assert not any(verdict.met for verdict in goals.verdicts(results) if "ahead" in verdict.goal)


def test_the_page_tells_every_phase_and_every_flaw() -> None:
    results = _results(1.0, 300.0, ["a flaw"])
    told = page.dav_section(results | {"goals": goals.verdicts(results)})
    assert all(f"| {name} |" in told for name in dav.PHASES)
    assert "Safehold, poll: a flaw." in told


def test_what_a_drill_costs_is_judged_by_the_median_of_its_pairs() -> None:
    import random

    from bench import drill

    ratios = [1.0, 1.1, 1.2, 1.1, 9.0, 1.0, 1.1]  # one of them a disturbance of the machine
    low, high = drill.interval(ratios, random.Random(1))
    assert 1.0 <= low <= 1.1 <= high <= 1.2
    size: dict[str, Any] = {
        "machine": "one",
        "versions": "these",
        "items": 1_000_000,
        "accounts": 2_000,
        "rate": 100.0,
        "pairs": 7,
        "throttle": 0.25,
        "p99_beside_ms": 11.0,
        "p99_without_ms": 10.0,
        "ratio": 1.1,
        "ratio_low": low,
        "ratio_high": high,
        "drill_seconds": 90.0,
        "peak_bytes": 300_000_000,
        "wrong": [],
    }
    assert [met for _, _, met in drill.verdicts({"": size})] == [True, True, True]
    worse = {**size, "ratio": 1.3, "peak_bytes": 600_000_000, "wrong": ["ada, contacts: another time"]}
    assert [met for _, _, met in drill.verdicts({"": worse})] == [False, False, False]
    section = page.drill_section({"sizes": {"1000000": size}, "goals": drill.verdicts({"": size})})
    assert "| 1,000,000 | 2,000 | 100 | 7 | 11.0 | 10.0 | 1.10 |" in section
