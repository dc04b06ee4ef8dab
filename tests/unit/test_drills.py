"""`drill run` on a real installation in a temporary folder: what holds, what is damaged, and bugs of meaning."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safehold.adapters.throttle import SLICE_SECONDS, Throttle
from safehold.assembly import drilling
from safehold.assembly.drill_record import drills
from safehold.assembly.drilling import Wanted, WorkClock, choose, drill_lock, sweep_drills
from safehold.assembly.installation import Installation
from safehold.cli.main import main
from safehold.config import load
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.proof.drills import ROLLING, WHOLE
from safehold.recovery.drill import in_share
from safehold.store.sqlite import bulk
from safehold.store.sqlite.apply import Applier
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from tests.support.asgi import event, vcard

Told = tuple[int, dict[str, Any]]
HOUR = 3_600_000_000
KEYS = {
    *("ok", "vault", "streams_compared", "streams_equal", "items", "seconds", "first_contact_seconds"),
    *("forecast_rto_seconds", "damaged", "evidence"),
}


def command(data: Path, *args: str, stdin: str = "") -> Told:
    """A command with --json in this process: its exit code and its object."""
    out, before = io.StringIO(), (sys.stdin, sys.stdout)
    sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(stdin.encode())), out
    try:
        code = main(["--data", str(data), "--json", *args])
    finally:
        sys.stdin, sys.stdout = before
    return code, json.loads(out.getvalue())


def fill(data: Path, folder: Path, account: str, numbers: range) -> None:
    folder.mkdir()
    for number in numbers:
        (folder / f"c{number}.vcf").write_bytes(vcard(f"c{number}", f"Anna {number}"))
        (folder / f"e{number}.ics").write_bytes(event(f"e{number}"))
    (folder / "p.jpg").write_bytes(bytes(range(256)) * 500)
    assert command(data, "import", account, str(folder))[0] == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accounts with three kinds each: a generation, and a log after it."""
    folder = tmp_path_factory.mktemp("drilled")
    data = folder / "data"
    for name in ("ada", "bob"):
        assert command(data, "account", "add", name, "--password-stdin", stdin="secret\n")[0] == 0
    fill(data, folder / "first", "ada", range(3))
    fill(data, folder / "second", "bob", range(10, 12))
    assert command(data, "snapshot")[0] == 0
    fill(data, folder / "third", "ada", range(20, 23))
    assert command(data, "status")[0] == 0
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def site_of(data: Path) -> Installation:
    return Installation(data, load(data / "safehold.toml"))


def drill(data: Path, *args: str) -> Told:
    return command(data, "drill", "run", *args)


@pytest.mark.parametrize("vault", ["near", "far"])
def test_a_sound_vault_gives_all_back_and_nothing_but_evidence_is_written(data: Path, vault: str) -> None:
    vaults, core = contents(data / "vaults"), contents(data / "core")
    code, told = drill(data, "--vault", vault, "--by", "ada")
    assert (code, told["ok"], told["damaged"], told["deviations"]) == (0, True, [], [])
    assert told.keys() >= KEYS
    assert told["vault"] == vault
    assert told["streams_compared"] == told["streams_equal"] > 10
    assert told["items"] == 3 + 3 + 1 + 2 + 2 + 1 + 3 + 3
    assert told["first_contact_seconds"] > 0
    assert told["requests"] > 20
    assert told["approved_by"] == "ada"
    now = contents(data / "vaults")
    new = {name: now[name] for name in now.keys() - vaults.keys()}
    assert set(new) == {f"near/{told['evidence']}", f"far/{told['evidence']}"}
    assert {name: now[name] for name in vaults} == vaults, "something in a vault was changed"
    assert contents(data / "core") == core
    assert not (data / "scratch" / "drill").exists()
    assert [one.evidence for one in drills(site_of(data))] == [told["evidence"]]
    assert command(data, "scrub")[0] == 0


def test_the_vault_that_was_drilled_longest_ago_comes_next(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # These commands are run in this process, which would stand back from all that comes after, for good.
    monkeypatch.setattr("safehold.assembly.drilling.step_back", lambda: None)
    assert [drill(data, "--throttle", "0.9")[1]["vault"] for _ in range(3)] == ["near", "far", "near"]


def test_rolling_drills_have_had_every_account_after_one_round(data: Path) -> None:
    site = site_of(data)
    accounts = {account.id for account in site.open_reads().accounts()}
    shares, had, items = 3, set(), 0
    for _ in range(shares):
        code, told = drill(data, "--rolling", "--shares", str(shares))
        assert (code, told["scope"]) == (0, ROLLING)
        share = (told["share"][0], told["share"][1])
        had |= {account for account in accounts if in_share(account, share)}
        assert told["accounts"] == sum(in_share(account, share) for account in accounts)
        items += told["items"]
    assert had == accounts
    assert items == 18
    assert {one.share for one in drills(site)} == {(1, 3), (2, 3), (3, 3)}


def test_a_share_meets_every_vault_in_turn(data: Path) -> None:
    site = site_of(data)
    seen = set()
    for turn in range(8):
        config, share = choose(site, Wanted(scope=ROLLING, shares=4))
        seen.add((config.name, share))
        drilling.record_drill(site, drilled_as(turn + 1, config.name, ROLLING, share))
    assert seen == {(name, (number, 4)) for name in ("near", "far") for number in range(1, 5)}


def drilled_as(at: int, vault: str, scope: str, share: tuple[int, int]) -> Any:
    from tests.unit.test_drill_record import drilled

    return drilled(at, vault, scope=scope, share=share)


def test_an_earlier_point_is_compared_with_the_journal_as_it_was_then(data: Path) -> None:
    before = drill(data, "--vault", "near")[1]
    at = site_of(data).clock.now()
    folder = data.parent / "later"
    fill(data, folder, "bob", range(30, 32))
    latest = drill(data, "--vault", "near")[1]
    assert (latest["ok"], latest["items"]) == (True, before["items"] + 4)
    told = drill(data, "--vault", "near", "--to", iso(at))[1]
    assert (told["ok"], told["items"], told["deviations"]) == (True, before["items"], [])
    assert told["to"] != "latest"
    code, told = drill(data, "--vault", "near", "--to", "random")
    assert (code, told["ok"]) == (0, True), told["deviations"]


def iso(at: int) -> str:
    from safehold.service.items import stamp

    return stamp(at)


# -- damage


def objects(data: Path) -> dict[str, list[str]]:
    vault = data / "vaults" / "near"
    found: dict[str, list[str]] = {}
    for path in sorted(vault.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(vault))
            found.setdefault(name.partition("/")[0], []).append(name)
    return found


def flip(path: Path, place: float) -> None:
    body = bytearray(path.read_bytes())
    body[min(len(body) - 1, int(len(body) * place))] ^= 1
    path.write_bytes(body)


@pytest.mark.parametrize(
    ("folder", "place"),
    [
        *(("runs", 0.5), ("log", 0.5), ("blobs", 1.0)),
        *(pytest.param(folder, place, marks=pytest.mark.long) for folder, place in (("runs", 1.0), ("blobs", 0.5))),
    ],
)
def test_a_damaged_byte_is_found_and_named(data: Path, folder: str, place: float) -> None:
    name = objects(data)[folder][-1]
    flip(data / "vaults" / "near" / name, place)
    code, told = drill(data, "--vault", "near")
    assert (code, told["ok"]) == (1, False)
    assert name in {one["object"] for one in told["damaged"]}, told
    status = command(data, "status")[1]
    assert "drill failed" in {one["what"] for one in status["incidents"]}
    assert drill(data, "--vault", "far")[0] == 0  # from which nothing is healed, and which nothing heals


@pytest.mark.parametrize("folder", ["runs", "blobs", "log"])
def test_a_missing_object_is_found_and_named(data: Path, folder: str) -> None:
    names = objects(data)[folder]
    name = names[0] if folder == "blobs" else names[-1]
    (data / "vaults" / "near" / name).unlink()
    code, told = drill(data, "--vault", "near")
    assert (code, told["ok"]) == (1, False)
    assert name in {one["object"] for one in told["damaged"]}, told


# -- bugs of meaning, on one side only

Patch = Callable[[pytest.MonkeyPatch], None]


def later_in_tables(patch: pytest.MonkeyPatch) -> None:
    """The tables that the service keeps have every body an hour late."""
    put = Applier._put

    def planted(self: Applier, account: int, kind: int, seq: int, change: Change) -> Any:
        return put(self, account, kind, seq, msgspec.structs.replace(change, at=change.at + HOUR))

    patch.setattr(Applier, "_put", planted)


def swapped_in_tables(patch: pytest.MonkeyPatch) -> None:
    """Each contact is listed under the digest of the one before."""
    put, last = Applier._put, [b""]

    def planted(self: Applier, account: int, kind: int, seq: int, change: Change) -> Any:
        if change.media != "text/vcard":
            return put(self, account, kind, seq, change)
        digest, last[0] = last[0] or change.digest, change.digest
        return put(self, account, kind, seq, msgspec.structs.replace(change, digest=digest))

    patch.setattr(Applier, "_put", planted)


@pytest.mark.parametrize("plant", [later_in_tables, swapped_in_tables])
def test_a_bug_in_how_the_live_core_keeps_its_tables_is_found(
    data: Path, monkeypatch: pytest.MonkeyPatch, plant: Patch
) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        fill(data, data.parent / "planted", "bob", range(40, 43))
    code, told = drill(data)
    assert (code, told["ok"], told["damaged"]) == (1, False, [])
    assert told["streams_equal"] < told["streams_compared"]
    assert any("bob, contacts" in sentence for sentence in told["deviations"])
    # Also as of a moment since when these streams have gone on.
    fill(data, data.parent / "after", "bob", range(50, 51))
    assert drill(data, "--vault", "near")[1]["ok"] is False


def later_in_runs(patch: pytest.MonkeyPatch) -> None:
    """What a recovery makes of a generation is an hour late in its tables."""
    put = StreamRows._put

    def planted(self: StreamRows, collection: Any, change: Change) -> None:
        put(self, collection, msgspec.structs.replace(change, at=change.at + HOUR))

    patch.setattr(StreamRows, "_put", planted)


def later_in_history(patch: pytest.MonkeyPatch) -> None:
    """What a recovery writes into the journal is an hour late."""
    row = bulk.journal_row

    def planted(seq: int, frame: int, account: int, kind: int, change: Change, *rest: Any) -> Any:
        return row(seq, frame, account, kind, msgspec.structs.replace(change, at=change.at + HOUR), *rest)

    patch.setattr(bulk, "journal_row", planted)


def another_actor(patch: pytest.MonkeyPatch) -> None:
    """History says that somebody else did it."""
    row = bulk.journal_row

    def planted(seq: int, frame: int, account: int, kind: int, change: Change, *rest: Any) -> Any:
        return row(seq, frame, account, kind, msgspec.structs.replace(change, actor="nobody"), *rest)

    patch.setattr(bulk, "journal_row", planted)


def swapped_bodies(patch: pytest.MonkeyPatch) -> None:
    """Bodies of the same length are exchanged on their way into the journal."""
    row = bulk.journal_row
    seen: dict[int, bytes] = {}

    def planted(seq: int, frame: int, account: int, kind: int, change: Change, *rest: Any) -> Any:
        if change.body:
            body = seen.get(len(change.body), change.body)
            seen[len(change.body)] = change.body
            change = msgspec.structs.replace(change, body=body)
        return row(seq, frame, account, kind, change, *rest)

    patch.setattr(bulk, "journal_row", planted)


def exchanged_streams(patch: pytest.MonkeyPatch) -> None:
    """Two people's streams are entered under each other's number."""
    number = SqliteCore.account_number
    given: list[int] = []

    def planted(self: SqliteCore, id_: bytes) -> int:
        found = number(self, id_)
        if any(id_) and found not in given:
            given.append(found)
        return given[1 - given.index(found)] if found in given[:2] and len(given) > 1 else found

    patch.setattr(SqliteCore, "account_number", planted)


@pytest.mark.parametrize(
    "plant",
    [
        *(later_in_runs, later_in_history, exchanged_streams, swapped_in_tables),
        *(pytest.param(plant, marks=pytest.mark.long) for plant in (another_actor, swapped_bodies, later_in_tables)),
    ],
)
def test_a_bug_in_what_a_recovery_makes_is_found(data: Path, monkeypatch: pytest.MonkeyPatch, plant: Patch) -> None:
    plant(monkeypatch)
    code, told = drill(data)
    assert (code, told["ok"], told["damaged"]) == (1, False, [])
    assert told["deviations"]
    monkeypatch.undo()
    assert drill(data)[0] == 0


def test_what_the_scratch_service_answers_is_compared_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safehold.assembly.drill_serving._tag", lambda digest: f'"{digest.hex()[::-1]}"')
    code, told = drill(data)
    assert code == 1
    assert told["streams_equal"] == told["streams_compared"]
    assert any("getetag" in sentence or "ETag" in sentence for sentence in told["deviations"])


# -- what else is promised


def test_a_drill_that_was_killed_is_swept_and_two_are_never_at_once(data: Path) -> None:
    site = site_of(data)
    left = data / "scratch" / "drill" / "data" / "core"
    left.mkdir(parents=True)
    (left / "core.db").write_bytes(b"half")
    with drill_lock(site):
        sweep_drills(site)
        assert left.exists()
        code, told = drill(data)
        assert (code, "under way" in told["error"]) == (3, True)
    sweep_drills(site)
    assert not left.exists()
    left.mkdir(parents=True)
    assert drill(data)[0] == 0
    assert not (data / "scratch" / "drill").exists()


def test_too_little_room_begins_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safehold.store.realdisk.RealDisk.free_bytes", lambda self, path: 1000)
    code, told = drill(data)
    assert (code, "MiB" in told["error"]) == (3, True)
    assert drills(site_of(data)) == []


def test_a_vault_that_is_away_or_unknown_is_no_drill(data: Path) -> None:
    (data / "vaults" / "far").rename(data / "vaults" / "away")
    assert drill(data, "--vault", "far")[0] == 3
    assert drill(data, "--vault", "none")[0] == 2
    assert drill(data, "--throttle", "2")[0] == 2
    assert drills(site_of(data)) == []


def test_a_throttle_rests_for_what_it_has_used() -> None:
    used: list[float] = [0.0]
    waits: list[float] = []
    throttle = Throttle(0.25, lambda: used[0], waits.append, lambda: sum(waits))
    throttle.rest()
    assert waits == []
    used[0] += 2 * SLICE_SECONDS
    throttle.rest()
    assert sum(waits) == pytest.approx(6 * SLICE_SECONDS)
    assert throttle.waited_seconds == pytest.approx(6 * SLICE_SECONDS)
    free = Throttle(0.0, lambda: used[0], waits.append, lambda: sum(waits))
    used[0] += 100
    free.rest()
    assert free.waited_seconds == 0
    assert WHOLE != ROLLING


def test_what_is_waited_is_no_work_however_late_it_wakes(data: Path) -> None:
    """At the lowest priority beside a busy machine a rest takes longer than was asked for; forecasts know only work."""
    site, clock, used = site_of(data), SimClock(), [0.0]
    site.clock = clock  # type: ignore[assignment]
    began = clock.monotonic()

    def sleep(seconds: float) -> None:
        clock.advance(3 * seconds + 0.5)

    throttle = Throttle(0.25, lambda: used[0], sleep, clock.monotonic)
    work = WorkClock(site, throttle)
    before = work.monotonic()
    for _ in range(10):
        used[0] += 2.0
        clock.advance(2.0)
        throttle.rest()
    assert work.monotonic() - before == pytest.approx(20.0)
    assert throttle.waited_seconds == pytest.approx(clock.monotonic() - began - 20.0)
    assert throttle.waited_seconds > 10 * 3 * 6.0
