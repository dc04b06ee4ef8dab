"""A recovery into a core that serves, killed or without power at any write point, ends as one never killed (I56, I57).

First out of vaults in memory, of which a frame is lost for good, so that a stream is held. Then in a whole house, whose
people knock and write between the steps: what was answered as done is there afterwards, whatever was killed when.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_PATH, House
from safehold.disaster.rebuilding import vaults_of
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.commands import EraseAccount
from safehold.model.kinds import Kind
from safehold.ports.core import NOT_YET
from safehold.recovery.examine import State
from safehold.recovery.plan import make_plan
from safehold.recovery.report import Report
from safehold.recovery.staged import Staged
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs
from tests.crash.test_generation_crash import generations_in, journal
from tests.crash.test_recovery_generation_crash import DATA, Kill, copied, core_at, new_disk, outcome, recover, vaults
from tests.support.recovery_fakes import FakeBlobs, FakeClock
from tests.support.recovery_vaults import Vaults

__all__ = ["vaults"]  # the fixture: a generation with a lost frame of bodies, and the log after it

STEP = 11


def old_at(disk: SimDisk) -> Callable[[str], SqliteCore | None]:
    return lambda folder: core_at(disk)(folder) if disk.exists(f"{folder}/core.db") else None


# -- vaults in memory


def serve(vaults: Vaults, near: MemoryVault, disk: SimDisk) -> Report:
    """Begin, or go on, and come to the end."""
    opener = vaults.keyring.opener
    reader, runs = VaultLogReader([near], opener), Runs([near], opener)
    staged = None
    if disk.exists(f"{DATA}/core/core.db"):
        core = core_at(disk)(f"{DATA}/core")
        staged = Staged.resume(core, reader, runs, make_rows=StreamRows, clock=FakeClock(), open_old=old_at(disk))
        if staged is None:
            core.close()
            return no_report()
    else:
        staged = Staged.begin(
            reader,
            runs,
            [near],
            make_core=core_at(disk),
            make_rows=StreamRows,
            disk=disk,
            data=DATA,
            clock=FakeClock(),
            claim=lambda: vaults.claim(near),
            open_old=old_at(disk),
            sync=("near",),
        )
        core = core_at(disk)(f"{DATA}/core")
    try:
        while staged.step(core, 4):
            pass
        while staged.fetch(core, FakeBlobs(), 1):
            pass
        report = staged.close(core)
    except BaseException:
        with suppress(BaseException):  # once for each connection that has not noticed yet that the disk is dead
            core.close()
        raise
    core.close()
    return report


def no_report() -> Report:
    """Of one that was over before."""
    return Report(0, 0, 0, 0, {}, [], 0.0, [], 0.0, 0.0, True, 0)


def told(report: Report) -> object:
    return report.items, report.lost, report.changes_recovered, report.changes_expected, report.accounts, report.streams


def points(vaults: Vaults) -> int:
    disk, count = new_disk(), [0]

    def hook(operation: str, path: str) -> None:
        count[0] += 1

    disk.on_write_point = hook
    serve(vaults, copied(vaults), disk)
    return count[0]


def struck_at(vaults: Vaults, near: MemoryVault, number: int, how: type[BaseException]) -> SimDisk:
    disk, left = new_disk(), [number]

    def hook(operation: str, path: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise how

    disk.on_write_point = hook
    with pytest.raises(BaseException):  # noqa: B017
        serve(vaults, near, disk)
    disk.on_write_point = None
    assert left[0] < 0, "it ended before its end was ordered"
    return disk


@pytest.mark.parametrize("how", [Kill, Crash])
def test_killed_or_without_power_anywhere_it_ends_as_a_run(vaults: Vaults, how: type[BaseException]) -> None:
    undisturbed, beside = new_disk(), new_disk()
    first = serve(vaults, copied(vaults), undisturbed)
    expected = outcome(undisturbed)
    meant = recover(vaults, copied(vaults), beside).report
    assert expected == outcome(beside)
    assert told(first) == told(meant)
    assert first.lost
    for number in range(0, points(vaults), STEP if how is Kill else 3 * STEP):
        near = copied(vaults)
        disk = struck_at(vaults, near, number, how)
        disk = disk.crash(number) if how is Crash else disk.kill()
        report = serve(vaults, near, disk)
        assert outcome(disk) == expected, f"{how.__name__} at write point {number}"
        if report.streams:
            assert told(report) == told(first), f"{how.__name__} at write point {number}"


# -- a house in which people knock and write

PEOPLE = ("ann", "bob", "cy")
PLACES = {
    Kind.CONTACTS: ("contacts/default", "text/vcard"),
    Kind.CALENDAR: ("calendars/default", "text/calendar"),
    Kind.NOTES: ("files/notes", "text/plain"),
    Kind.PHOTOS: ("files/photos", "image/jpeg"),
}


def body_of(kind: Kind, name: str, text: str) -> bytes:
    if kind is Kind.CONTACTS:
        return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{text}\r\nN:{text};;;;\r\nEND:VCARD\r\n".encode()
    if kind is Kind.CALENDAR:
        return (
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\nBEGIN:VEVENT\r\n"
            f"UID:{name}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T000000Z\r\nSUMMARY:{text}\r\n"
            "END:VEVENT\r\nEND:VCALENDAR\r\n"
        ).encode()
    return text.encode() * (4000 if kind is Kind.PHOTOS and name.startswith("big") else 1)


class Town:
    """A house with what was acknowledged in it: (user, path) -> body, None where it was deleted."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.house = House.new(seed, accounts=PEOPLE)
        self.done: dict[tuple[str, str], bytes | None] = {}
        self.unsure: set[tuple[str, str]] = set()
        self.staged: Staged | None = None
        self.report: Report | None = None
        self.written = self.strikes = self.waited = 0
        self.people = list(PEOPLE)
        self.maybe: set[str] = set()  # those of whom it is not known whether they were made, or erased
        for number in range(40):
            self.write()
            if number == 20:
                self.house.scheduler.run_ready()
                snapshot(self.house)
        self.house.close()
        self.house = self.house.kill()
        self.house.disk.lose("/core")

    # -- what people do

    def write(self, user: str = "", kind: Kind | None = None) -> bool:
        """One write; whether it was accepted."""
        rng = self.rng
        user = user or rng.choice(self.people)
        kind = kind or rng.choice(list(PLACES))
        place, media = PLACES[kind]
        ending = {Kind.CONTACTS: ".vcf", Kind.CALENDAR: ".ics"}.get(kind, ".jpg" if kind is Kind.PHOTOS else ".txt")
        name = rng.choice(("big", "a", "b", "c", "d")) + str(rng.randrange(3))
        path = f"/dav/{user}/{place}/{name}{ending}"
        key = (user, path)
        body: bytes | None = None
        self.unsure.add(key)
        if rng.random() < 0.2 and self.done.get(key):
            answer = self.house.request("DELETE", path, user=user)
        else:
            body = body_of(kind, name, f"text {rng.randrange(10**6)} ")
            answer = self.house.request("PUT", path, body, {"content-type": media}, user=user)
        assert answer.status in (201, 204, 503), (answer.status, answer.body)
        self.unsure.discard(key)
        if answer.status == 503:
            return False
        self.done[key] = body
        self.written += 1
        self.waited += body is not None and "etag" not in answer.headers  # for its stream, in the intake
        return True

    def come_or_go(self) -> None:
        """An account is made, or erased."""
        engine, rng = self.house.engine, self.rng
        if rng.random() < 0.7:
            name = f"dee{rng.randrange(10**6)}"
            self.maybe.add(name)
            engine.execute(self.house.new_account(name))
            self.people.append(name)
            self.maybe.discard(name)
            assert self.write(name, rng.choice(list(PLACES))), "a new account is whole"
        elif len(self.people) > 2:
            name = rng.choice(self.people)
            self.maybe.add(name)
            self.people.remove(name)
            self.done = {key: body for key, body in self.done.items() if key[0] != name}
            engine.execute(EraseAccount(account=self.house.account(name).id))
            self.maybe.discard(name)

    def read(self) -> None:
        """Somebody asks for something: the answer is what was acknowledged, or 503."""
        known = [key for key in self.done if key not in self.unsure]
        if not known:
            return
        user, path = self.rng.choice(known)
        answer = self.house.request("GET", path, user=user)
        body = self.done[user, path]
        if answer.status != 503:
            assert (answer.status, answer.body) == ((404, answer.body) if body is None else (200, body)), path

    # -- recovery

    def vault_sources(self) -> tuple[VaultLogReader, Runs]:
        there, opener = vaults_of(self.house), self.house.keyring.opener
        return VaultLogReader(there, opener), Runs(there, opener)

    def start(self) -> None:
        """As `serve` does: begin, or go on where a recovery is under way; then the writer opens."""
        house = self.house
        house.load_keys()
        self.staged = None
        reader, runs = self.vault_sources()
        if house.disk.exists(CORE_PATH):
            core = house.opened(SqliteCore.open(CORE_PATH, disk=house.disk, create=True))
            self.staged = Staged.resume(core, reader, runs, make_rows=StreamRows, clock=house.clock)
            core.close()
        else:
            self.staged = Staged.begin(
                reader,
                runs,
                vaults_of(house),
                make_core=lambda f: house.opened(SqliteCore.open(f"{f}/core.db", disk=house.disk, create=True)),
                make_rows=StreamRows,
                disk=house.disk,
                data="",
                clock=house.clock,
                claim=lambda: reader.end().timeline,  # the writer's own fences whoever else there was
                sync=("near",),
            )
        house.boot()

    def live_blobs(self) -> LiveBlobs:
        house, keyring = self.house, self.house.keyring
        archive = VaultBlobs([], vaults_of(house), keyring.sealer, keyring.opener, house.disk, "/scratch")
        return LiveBlobs(house.disk, "/blobs", "/scratch", archive)

    def turn(self) -> bool:
        """A step and whatever people do meanwhile; False once the recovery is over."""
        staged, rng = self.staged, self.rng
        if staged is None:
            return False
        core = self.house.engine.core
        for _ in range(rng.randrange(3)):
            self.write()
        self.read()
        if rng.random() < 0.15:
            self.come_or_go()
        if rng.random() < 0.5:
            staged.knock(self.house.account(rng.choice(self.people)).id, rng.choice(list(Kind)))
        if rng.random() < 0.3:
            self.house.engine.seal()
        more = staged.step(core, rng.choice((1, 4, 20)))
        self.house.engine.drain_intakes()  # what was taken of a stream before it was in
        if not more and not staged.fetch(core, self.live_blobs(), 100_000):
            self.report = staged.close(core)
            self.staged = None
        return self.staged is not None

    def recover(self) -> None:
        self.start()
        while self.turn():
            pass

    # -- judging

    def check(self) -> None:
        """All that was acknowledged is there, and core and vaults agree to the last change."""
        house = self.house
        core = house.engine.core
        assert isinstance(core, SqliteCore)
        assert core.recovery_record() is None
        assert core.held_for(NOT_YET) == 0
        names = {account.name for account in core.accounts()}
        assert names - self.maybe == set(self.people)
        for (user, path), body in self.done.items():
            if (user, path) in self.unsure:
                continue
            answer = house.request("GET", path, user=user)
            if body is None:
                assert answer.status == 404, path
            else:
                assert (answer.status, answer.body) == (200, body), path
        house.engine.seal()
        there = vaults_of(house)
        reader, runs = self.vault_sources()
        plan = make_plan(reader, there, house.clock, core=core, blobs=self.live_blobs(), runs=runs, sync=("near",))
        assert plan.core is State.WHOLE, plan.core_reason
        assert plan.report.exit_code == 0
        assert core.unarchived(core.log_position().frame) == (0, None)
        written = snapshot(house)
        assert written.new
        newest = next(each for each in generations_in(there[0], house) if each[0].number == written.generation)
        assert newest[1] == journal(house, written.generation)


def test_people_write_while_it_recovers() -> None:
    for seed in range(4):
        town = Town(seed)
        before = town.written
        town.recover()
        assert town.written > before, f"seed {seed}: nobody could write"
        assert town.waited, f"seed {seed}: every stream was there at once"
        town.check()
        assert town.report is not None and town.report.exit_code == 0


class Fuse:
    """So many write points pass."""

    def __init__(self, left: int, how: type[BaseException]) -> None:
        self.left = left
        self.how = how

    def __call__(self, operation: str, path: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.how


def struck(town: Town, rng: random.Random) -> None:
    """Recover, and be struck at some write point on the way, several times."""
    for _ in range(rng.randrange(1, 4)):
        how = rng.choice((Kill, Crash))
        fuse = Fuse(rng.randrange(1, 900), how)
        town.house.disk.on_write_point = fuse
        try:
            town.recover()
        except BaseException:
            if fuse.left >= 0:  # else it is the strike, in whatever words of SQLite's
                raise
        town.house.disk.on_write_point = None
        if fuse.left >= 0:
            break
        town.strikes += 1
        town.house = town.house.kill() if how is Kill else town.house.crash(rng.randrange(1000))
        if rng.random() < 0.25:  # and once more, with what has been written since
            town.house.disk.lose("/core")
    town.recover()


@pytest.mark.parametrize("seed", range(8))
def test_struck_while_people_write(seed: int) -> None:
    strike_and_check(seed)


@pytest.mark.long
def test_struck_two_hundred_times() -> None:
    strikes, seed = 0, 100
    while strikes < 200:
        strikes += strike_and_check(seed)
        seed += 1


def strike_and_check(seed: int) -> int:
    """How often it was struck."""
    town = Town(seed)
    try:
        struck(town, random.Random(f"{seed} strikes"))
        town.check()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    return town.strikes
