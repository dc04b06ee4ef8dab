"""What goes wrong is planted in a simulated house, in turn, and must be alarmed within five simulated minutes.

The looks, rules and engine are those of a running service; the house's vaults, core, writer and shippers are the real
ones on a simulated disk. Each alarm must name its runbook.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from safehold.assembly.looking import BODIES_SECONDS
from safehold.assembly.looking_vault import LIST_SECONDS
from safehold.disaster.alarmed import Alarmed
from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_PATH, House
from safehold.model.kinds import Kind
from safehold.ports.core import CoreStore, RunSpan
from safehold.proof.alarms import RAISED, Told
from safehold.proof.runbook_names import RUNBOOKS
from safehold.store.sqlite.core import SqliteCore

STEP = 30.0
FIVE_MINUTES = 300.0


def contact(house: House, name: str, user: str = "ann") -> int:
    body = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{name}\r\nN:;{name};;;\r\nEND:VCARD\r\n".encode()
    path = f"/dav/{user}/contacts/default/{name}.vcf"
    return house.request("PUT", path, body, {"content-type": "text/vcard"}, user=user).status


class Day:
    """A house in use: something is put at each step, the housekeeping done, and what waits shipped."""

    def __init__(self, seed: int) -> None:
        print(f"seed {seed}")
        self.rng = random.Random(seed)
        self.house = House.new(seed, ("ann", "bob"))
        self.alarmed = Alarmed(self.house)
        self.shipping = True
        self.writing = True
        self.count = 0
        self.before: Callable[[], None] = lambda: None

    def step(self, seconds: float = STEP) -> list[Told]:
        self.house.sim_clock.advance(seconds)
        self.before()
        self.house.tick()
        if self.writing:
            self.count += 1
            contact(self.house, f"c{self.count}", self.rng.choice(("ann", "bob")))
        if self.shipping:
            for _ in range(200):
                if not self.house.scheduler.run_one():
                    break
        return self.alarmed.look()

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / STEP)):
            self.step()

    def until(self, what: str, within: float = FIVE_MINUTES) -> Told:
        """The alarm, raised in time. What it says must be of use."""
        for _ in range(int(within / STEP)):
            for told in self.step():
                if told.sort == RAISED and told.alarm.what == what:
                    alarm = told.alarm
                    assert alarm.runbook in RUNBOOKS and alarm.message and alarm.hint
                    return told
        raised = [f"{t.alarm.name}: {t.alarm.message}" for t in self.alarmed.told]
        raise AssertionError(f"no {what!r} within {within:g} s; raised: {raised}")


@pytest.fixture
def day() -> Day:
    day = Day(3)
    day.run(600)
    assert day.alarmed.told == [], "nothing is wrong yet"
    return day


def newest_segment(house: House, vault: str) -> str:
    return max(path for path in house.disk.files(f"/{vault}") if path.endswith(".seg"))


@pytest.mark.parametrize("vault", ["near", "far"])
def test_a_vault_that_acknowledges_and_drops(day: Day, vault: str) -> None:
    """It says yes, and forgets what it took last: nobody is told by the vault itself."""
    house = day.house
    day.writing = False
    day.run(60)
    path = newest_segment(house, vault)
    house.disk.cut(path, house.disk.length(path) // 2)
    told = day.until("vault drops")
    assert told.alarm.key == vault and told.alarm.runbook == "damaged-vault"


def test_a_vault_that_loses_an_object_in_the_middle_of_its_log(day: Day) -> None:
    paths = sorted(path for path in day.house.disk.files("/far") if path.endswith(".seg"))
    day.house.disk.lose(paths[len(paths) // 2])
    told = day.until("vault drops")
    assert told.alarm.key == "far" and "gone" in told.alarm.message


def test_a_vault_that_is_emptied(day: Day) -> None:
    for path in day.house.disk.files("/far/log"):
        day.house.disk.lose(path)
    told = day.until("vault shrank")
    assert told.alarm.runbook == "shrunk" and "no retention on record" in told.alarm.message


def test_a_stopped_archiver(day: Day) -> None:
    day.shipping = False
    told = day.until("archiver stopped")
    assert told.alarm.runbook == "silent-writer" and "async" in told.alarm.message
    day.shipping = True
    day.run(900)
    assert day.alarmed.alarms.open() == [], "it is taken back once what waited was shipped"


def test_a_chain_broken_in_the_core(day: Day) -> None:
    """A change is written over by what keeps every page's checksum right: a mistake of a program, not of a disk."""
    house = day.house
    number = house.account("bob").number
    day.writing = False
    day.step()
    core = house.engine.core
    assert isinstance(core, SqliteCore)
    core._db.execute(
        "UPDATE journal SET at = at + 1 WHERE seq = (SELECT MAX(seq) FROM journal WHERE account = ?)", (number,)
    )
    assert house.disk.exists(CORE_PATH)
    told = day.until("chain broken")
    assert told.alarm.key == "contacts of bob" and told.alarm.runbook == "damaged-core"


def test_a_slow_disk(day: Day) -> None:
    """Each touch of the vault's disk takes longer than all of them did together."""
    house = day.house

    def slow(operation: str, path: str) -> None:
        if operation == "sync" and path.startswith("/near"):
            house.sim_clock.advance(2.5)

    house.disk.on_write_point = slow
    told = day.until("disk slow")
    assert told.alarm.runbook == "disk-full" and "ms" in told.alarm.message


def test_a_full_vault(day: Day) -> None:
    house = day.house
    house.disk.capacity_bytes = house.disk.used_bytes() + 100
    told = day.until("vault full")
    assert told.alarm.key == "near" and "no change is accepted" in told.alarm.message
    assert "disk filling" in {told.alarm.what for told in day.alarmed.told}
    house.disk.capacity_bytes = None
    day.run(900)
    assert day.alarmed.alarms.open() == [], "there is room again"


def test_a_vault_too_full_for_a_large_body(day: Day) -> None:
    """What is small still goes in: the log is taken, the photo is not."""
    house = day.house
    photo = day.rng.randbytes(300_000)
    house.disk.capacity_bytes = house.disk.used_bytes() + 750_000  # it is staged, sealed, and then put into the vault
    refused = house.request("PUT", "/dav/ann/files/photos/a.jpg", photo, {"content-type": "image/jpeg"}, user="ann")
    assert refused.status == 507
    told = day.until("vault full")
    assert told.alarm.key == "near" and "large" in told.alarm.message and "no change" not in told.alarm.message
    house.disk.capacity_bytes = None
    again = house.request("PUT", "/dav/ann/files/photos/a.jpg", photo, {"content-type": "image/jpeg"}, user="ann")
    assert again.status == 201
    day.run(900)
    assert day.alarmed.alarms.open() == [], "there is room again"


def test_a_refused_large_body_is_told_of_for_an_hour_where_none_comes_again(day: Day) -> None:
    house = day.house
    house.disk.capacity_bytes = house.disk.used_bytes() + 750_000
    photo = day.rng.randbytes(300_000)
    house.request("PUT", "/dav/ann/files/photos/a.jpg", photo, {"content-type": "image/jpeg"}, user="ann")
    house.disk.capacity_bytes = None
    day.until("vault full")
    day.run(2400)
    assert [one.what for one in day.alarmed.alarms.open()] == ["vault full"]
    day.run(2400)
    assert day.alarmed.alarms.open() == []


@pytest.mark.parametrize("days", [365, -365])
def test_a_clock_a_year_off(day: Day, days: int) -> None:
    day.house.sim_clock.jump(days * 86_400)
    told = day.until("clock jumped")
    assert told.alarm.runbook == "clock" and "36" in told.alarm.message


def test_a_clock_a_year_back_at_a_start(day: Day) -> None:
    """The process begins with it: nothing jumps under its eyes, but the vaults hold frames of the future."""
    house = day.house.kill()
    house.sim_clock.jump(-365 * 86_400)
    house.boot()
    day.house, day.alarmed = house, Alarmed(house)
    told = day.until("clock off")
    assert "365 days behind" in told.alarm.message


def test_a_clock_a_year_ahead_at_a_start(day: Day) -> None:
    house = day.house.kill()
    house.sim_clock.jump(365 * 86_400)
    house.boot()
    day.house, day.alarmed = house, Alarmed(house)
    told = day.until("clock off")
    assert "365 days later than anything" in told.alarm.message


class Forgetful:
    """A core as a faulty snapshot reads it: without contacts."""

    def __init__(self, core: CoreStore) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def run_spans(self, *args: Any, **kwargs: Any) -> list[RunSpan]:
        return [span for span in self._core.run_spans(*args, **kwargs) if span.kind is not Kind.CONTACTS]

    def run_streams(self, upto: int) -> int:
        return len(self.run_spans(0, upto))

    def counts(self) -> dict[str, int]:
        return {**self._core.counts(), "contacts": 0}


def test_a_silently_empty_kind(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that says done, and holds no contacts."""
    house = day.house
    real = house.engine.core
    with monkeypatch.context() as planted:
        planted.setattr(house.engine, "core", Forgetful(real))
        written = snapshot(house, full=True)
    assert written.objects
    told = day.until("kind empty")
    assert told.alarm.key.endswith("/contacts") and told.alarm.runbook == "shrunk"


def test_a_snapshot_that_holds_all_is_no_alarm(day: Day) -> None:
    for _ in range(3):
        snapshot(day.house, full=True)
        day.run(300)
    assert day.alarmed.told == []


def photo(day: Day, name: str) -> str:
    """Put one, large enough for a blob, and have it shipped; the path of its blob in the vault far."""
    house = day.house
    before = set(house.disk.files("/far/blobs"))
    body = day.rng.randbytes(300_000)
    answer = house.request("PUT", f"/dav/ann/files/photos/{name}", body, {"content-type": "image/jpeg"})
    assert answer.status == 201
    while house.scheduler.run_one():
        pass
    (path,) = set(house.disk.files("/far/blobs")) - before
    return path


def test_a_folder_of_bodies_that_is_not_covered(day: Day) -> None:
    """The vault says yes to what comes into it, and no copy of it is ever there."""
    photo(day, "covered.jpg")
    day.run(900)
    assert day.alarmed.told == []
    day.house.disk.lose(photo(day, "left-out.jpg"))
    told = day.until("bodies not covered", within=BODIES_SECONDS + LIST_SECONDS)
    assert told.alarm.key == "far" and told.alarm.runbook == "shrunk" and told.alarm.message.startswith("1 photos")
    assert {told.alarm.what for told in day.alarmed.told} == {"bodies not covered"}


def test_a_photo_that_comes_while_vaults_are_looked_at_is_no_alarm(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time that the core is asked for its bodies one has come since the vaults were listed."""
    house, real = day.house, SqliteCore.blob_names
    came: list[str] = []

    def names(core: SqliteCore) -> set[bytes]:
        came.append(f"during-{len(came)}.jpg")
        body = day.rng.randbytes(300_000)
        path = f"/dav/ann/files/photos/{came[-1]}"
        assert house.request("PUT", path, body, {"content-type": "image/jpeg"}).status == 201
        return real(core)

    monkeypatch.setattr(SqliteCore, "blob_names", names)
    day.run(3 * BODIES_SECONDS)
    assert len(came) >= 3 and day.alarmed.told == []


def test_a_wrong_key(day: Day) -> None:
    """Somebody brought back another identity: it reads nothing of what is written now."""
    from safehold.formats.keys import identity_of

    house = day.house
    disk = house.disk
    text = disk.bytes_of("/keys/identity.txt").decode()
    old = next(line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-"))
    file = disk.open("/keys/identity.txt", write=True)
    file.write_at(0, text.replace(old, identity_of(bytes(range(32)))).encode())
    file.close()
    told = day.until("wrong key")
    assert told.alarm.runbook == "key-lost"
