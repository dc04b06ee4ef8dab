"""How a service stands is recorded, read back whatever a kill left, and thinned to the worst of each hour."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly import Installation, open_installation
from safehold.assembly import series as recorded
from safehold.assembly.series import SeriesRecorder, append, read_series, thin_old
from safehold.config import load
from safehold.proof.series import (
    DAY,
    HOUR,
    SAMPLE_SECONDS,
    Foreseen,
    Sample,
    Standing,
    decode_lines,
    encode_line,
    sample_of,
    thinned,
)
from tests.unit.test_cli_commands import Run, run, with_ada

__all__ = ["run", "with_ada"]

NOON = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 1_000_000
FIVE_MINUTES = int(SAMPLE_SECONDS * 1_000_000)

STATUS: dict[str, Any] = {
    "service": "serving",
    "items": {"contacts": 3, "photos": 0},
    "bytes": {"contacts": 900},
    "vaults": [
        {"name": "near", "lag_seconds": 0.0, "last_scrub": {"bytes": 77}},
        {"name": "far", "lag_seconds": None, "last_scrub": None},
    ],
    "objectives": {
        "rpo": {"target_seconds": 60.0, "actual_seconds": 1.25, "state": "met", "why": "…"},
        "rto": {"target_seconds": None, "actual_seconds": None, "state": "not set"},
    },
    "forecast": {"rto": {"seconds": 10.0, "low_seconds": 8.0, "high_seconds": 13.0}, "first_contact": None},
    "incidents": [{"what": "x", "until": None}, {"what": "y", "until": "2026-11-20T10:00:00Z"}],
}


@pytest.fixture
def site(with_ada: Run, tmp_path: Path) -> Installation:
    data = tmp_path / "data"
    return open_installation(data, load(data / "safehold.toml"), make=False)


def folder(site: Installation) -> Path:
    return site.data / "run" / "series"


def many(count: int, begin: int = NOON) -> list[Sample]:
    return [Sample(begin + n * FIVE_MINUTES, "serving", {"far": float(n % 12)}) for n in range(count)]


def test_a_sample_says_what_a_status_says() -> None:
    sample = sample_of(STATUS, NOON)
    assert sample == Sample(
        NOON,
        "serving",
        {"near": 0.0, "far": None},
        {"contacts": 3, "photos": 0},
        {"rpo": Standing(60.0, 1.25, "met")},
        {"rto": Foreseen(10.0, 8.0, 13.0)},
        {"near": 77},
        {"contacts": 900},
        1,
    )
    assert decode_lines(encode_line(sample)).samples == [sample]
    assert sample_of({}, NOON) == Sample(NOON, "None")


def test_a_line_torn_at_any_byte_costs_only_itself(site: Installation) -> None:
    first, second, third = many(3)
    for cut in range(1, len(encode_line(second))):
        for file in folder(site).glob("*") if folder(site).exists() else ():
            file.unlink()
        append(site.disk, str(folder(site)), first)
        append(site.disk, str(folder(site)), second)
        path = folder(site) / "2026-11.jsonl"
        path.write_bytes(path.read_bytes()[: len(encode_line(first)) + cut])
        append(site.disk, str(folder(site)), third)
        read = read_series(site, NOON, NOON + HOUR)
        whole = cut == len(encode_line(second)) - 1  # only the newline is gone
        assert read.samples == ([first, second, third] if whole else [first, third])
        assert read.broken == (0 if whole else 1)


def test_garbage_is_counted_and_no_more(site: Installation) -> None:
    folder(site).mkdir(parents=True)
    (folder(site) / "2026-11.jsonl").write_bytes(random.Random(4).randbytes(4000) + b"\n" + encode_line(many(1)[0]))
    (folder(site) / "notes.txt").write_text("mine")
    read = read_series(site, NOON, NOON + HOUR)
    assert read.samples == many(1) and read.broken > 0
    assert read_series(site, NOON + 1, NOON + HOUR).samples == []


def test_an_hour_is_remembered_by_its_worst() -> None:
    samples = many(24)
    assert [sample.lag["far"] for sample in thinned(samples)] == [11.0, 11.0]
    bad = Sample(NOON, "serving", objectives={"rto": Standing(1.0, 2.0, "violated")})
    assert thinned([bad, *samples])[0] == bad


def test_old_months_become_hours_and_a_kill_in_between_changes_nothing(site: Installation) -> None:
    place = str(folder(site))
    begin = int(datetime(2026, 7, 31, tzinfo=UTC).timestamp()) * 1_000_000
    for sample in many(3 * 288, begin):  # three days, across the end of a month
        append(site.disk, place, sample)
    before = (folder(site) / "2026-07.jsonl").read_bytes()
    thin_old(site.disk, place, begin + 89 * DAY)
    assert sorted(path.name for path in folder(site).iterdir()) == ["2026-07.jsonl", "2026-08.jsonl"]
    now = begin + 95 * DAY
    thin_old(site.disk, place, now)
    assert sorted(path.name for path in folder(site).iterdir()) == ["2026-07.hours.jsonl", "2026-08.jsonl"]
    thin = read_series(site, begin, begin + DAY)
    assert (len(thin.samples), {sample.lag["far"] for sample in thin.samples}) == (24, {11.0})
    (folder(site) / "2026-07.jsonl").write_bytes(before)  # as if it had been killed before it removed this
    assert {sample.lag["far"] for sample in read_series(site, begin, begin + DAY).samples} == {
        float(n) for n in range(12)
    }
    thin_old(site.disk, place, now)
    assert read_series(site, begin, begin + DAY) == thin


def test_what_is_kept_is_bounded(site: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(folder(site))
    monkeypatch.setattr(recorded, "MONTHS", 3)
    for month in range(6):
        append(site.disk, place, Sample(NOON - month * 31 * DAY, "serving"))
    thin_old(site.disk, place, NOON)
    assert len(list(folder(site).iterdir())) == 3
    monkeypatch.setattr(recorded, "MOST_BYTES", 10)
    size = (folder(site) / "2026-11.jsonl").stat().st_size
    append(site.disk, place, Sample(NOON + 1, "serving"))
    assert (folder(site) / "2026-11.jsonl").stat().st_size == size


def test_a_recorder_asks_only_when_a_sample_is_due(site: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [100.0], []
    monkeypatch.setattr(site.clock, "monotonic", lambda: now[0], raising=False)
    monkeypatch.setattr(site.clock, "now", lambda: NOON + int(now[0] * 1_000_000), raising=False)
    recorder = SeriesRecorder(site)

    def status() -> dict[str, Any]:
        asked.append(now[0])
        return STATUS

    for _ in range(700):
        recorder.tick(status)
        assert recorder._under_way is not None
        recorder._under_way.result(10)
        now[0] += 1.0
    assert asked == [100.0, 400.0, 700.0]
    assert [sample.items for sample in read_series(site, NOON, NOON + HOUR).samples] == [STATUS["items"]] * 3
