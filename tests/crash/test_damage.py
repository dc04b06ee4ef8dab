"""Vaults are damaged at random, one damage or a few at a time: none is passed over, none crashes anything.

Each damage is done to the near vault of a world that has lived (tests/support/damages.py). Then

- scrub finds it, at the object that was hit, with another vault at hand or alone, with the identity or without;
- repair mends it from the other vault, byte for byte, and the next scrub is clean;
- a recovery from the damaged vault alone loses at most what lay in the frames that were hit, and says so.

`--damages N` does so many instead of 500; `--damage-seed S` begins with this one, or without `--damages` does it alone.
A world knows beforehand what a scrub remembers of a healthy vault: what no seal covers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import pytest

from safehold.disaster.house import House
from safehold.formats import segment
from safehold.formats.frame import MAGIC, FrameType, RawFrame, scan_frames
from safehold.formats.mark import NAME as MARK
from safehold.formats.mark import encode_mark
from safehold.formats.segment import SegmentName
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.change import Change, Op
from safehold.ports.core import EMPTY_LOG
from safehold.ports.log import LogFrame
from safehold.ports.vault import VaultDown
from safehold.recovery.judging import Damage, Remembered, Standing
from safehold.recovery.notebook import FileNotebook
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.repair import Repairer
from safehold.recovery.run import Result, run_plan
from safehold.recovery.scrub import Level, LookedAt, Pace, Scrubber, scrub
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.looking import RepairedVault, ScrubbedVault
from safehold.vault.runs import Runs
from tests.crash.test_takein import BOOK, put
from tests.support.damages import DamagedWorld, Harm, KeptMemoryVault, Notes, Objects, harm, objects
from tests.support.thinning import every

WORLDS = 8
#: In the ordinary suite, and in long runs.
QUICK, DAMAGES = 150, 500
#: Of these, how many are recovered from, in a core of its own.
RECOVERED = 10


@cache
def world(seed: int) -> DamagedWorld:
    return DamagedWorld(seed, runs=seed % 2 == 0)


@pytest.fixture(params=[QUICK, pytest.param(DAMAGES, marks=pytest.mark.long)])
def damages(request: pytest.FixtureRequest) -> int:
    """How many there are, unless --damages says."""
    count: int = request.param
    return count


def seeds(config: pytest.Config, damages: int, share: int = 1) -> Iterator[int]:
    """Of so many damages; one in `share`."""
    first, count = config.getoption("--damage-seed"), config.getoption("--damages")
    if first is not None and count is None:
        yield first
        return
    first = first or 0
    yield from range(first, first + (count or damages), share)


def damaged(seed: int) -> tuple[DamagedWorld, Objects, Harm]:
    here = world(seed % WORLDS)
    hit, done = harm(here.near, random.Random(f"damage {seed}"))
    return here, hit, done


def names(found: list[Damage]) -> set[str]:
    return {damage.object for damage in found}


def test_every_damage_is_found_and_mended(request: pytest.FixtureRequest, damages: int) -> None:
    for seed in seeds(request.config, damages):
        here, hit, done = damaged(seed)
        found = here.scrub(hit, here.far, Notes(here.remembered))
        assert set(done.objects) <= names(found), (seed, done, found)
        vault = KeptMemoryVault("near", hit)
        repairer = here.repairer(vault, here.far)
        plan = repairer.plan()
        assert vault.objects == hit, "a plan changes nothing"
        assert set(done.objects) <= {mend.damage.object for mend in plan}, (seed, done)
        assert repairer.carry_out() == [], (seed, done)
        assert vault.objects == here.near, (seed, done)
        assert here.scrub(vault.objects, here.far, Notes(here.remembered)) == [], (seed, done)


def test_what_was_there_is_kept_aside(request: pytest.FixtureRequest, damages: int) -> None:
    for seed in seeds(request.config, damages, 10):
        here, hit, done = damaged(seed)
        vault = KeptMemoryVault("near", hit)
        here.repairer(vault, here.far).carry_out()
        for name, data in hit.items():
            assert data in (vault.objects.get(name), vault.aside.get(name)), (seed, done, name)


def test_every_damage_is_found_in_a_vault_alone(request: pytest.FixtureRequest, damages: int) -> None:
    for seed in seeds(request.config, damages, 3):
        here, hit, done = damaged(seed)
        found = here.scrub(hit, None, Notes(here.remembered), core=False)
        assert set(done.objects) <= names(found), (seed, done, found)


def test_every_damage_is_found_without_the_identity(request: pytest.FixtureRequest, damages: int) -> None:
    known = {n: _remembered_without_identity(world(n)) for n in range(WORLDS)}
    for seed in seeds(request.config, damages, 3):
        here, hit, done = damaged(seed)
        found = here.scrub(hit, here.far, Notes(known[seed % WORLDS]), offline=True)
        assert set(done.objects) <= names(found), (seed, done, found)


def _remembered_without_identity(here: DamagedWorld) -> dict[str, Remembered]:
    notes = Notes()
    assert here.scrub(here.near, here.far, notes, offline=True) == []
    return notes.kept


def test_many_damages_at_once_are_mended(request: pytest.FixtureRequest, damages: int) -> None:
    """In one vault any, and in both, where no object is hit in both."""
    for seed in seeds(request.config, damages, 5):
        here = world(seed % WORLDS)
        rng = random.Random(f"damages {seed}")
        hit, told = here.near, []
        for _ in range(rng.randint(2, 6)):
            hit, done = harm(hit, rng)
            told.append(done)
        far = here.far
        for _ in range(rng.randint(0, 3)):
            candidate, done = harm(far, rng)
            changed = {n for n in {*far, *candidate} if far.get(n) != candidate.get(n)}
            if not any(hit.get(n) != here.near.get(n) for n in changed):
                far = candidate
        assert here.scrub(hit, far, Notes(here.remembered)), (seed, told)
        near = KeptMemoryVault("near", hit)
        other = KeptMemoryVault("far", far)
        left = here.repairer(near, far).carry_out()
        _repairer(here, other, near).carry_out()
        if left:  # what only the other one's own repair made good
            left = here.repairer(near, other.objects).carry_out()
        assert left == [], (seed, told, left)
        assert near.objects == here.near, (seed, told)
        assert _but_for_torn_ends(other.objects, here.far) == here.far, (seed, told)


def _but_for_torn_ends(objects: Objects, truth: Objects) -> Objects:
    """Without what a segment has after its end that a power loss leaves as well: zeros, or how a frame begins.

    Who knows nothing from before cannot tell the one from the other.
    """
    found = dict(objects)
    for name, data in objects.items():
        was = truth.get(name)
        if was is not None and name.startswith("log/") and data.startswith(was):
            rest = data[len(was) :]
            if not any(rest) or MAGIC.startswith(rest) or segment.FOOTER_MAGIC.startswith(rest):
                found[name] = was
    return found


def _repairer(here: DamagedWorld, vault: KeptMemoryVault, other: KeptMemoryVault) -> Repairer:
    """Of the far vault, which knows nothing from before."""
    scrubber = here.scrubber(vault)
    return Repairer(vault, scrubber, [LookedAt(here.scrubber(other))], Standing(core=here.core), scrubber.read())


# -- recovery from what is left


def test_a_plan_from_the_damaged_vault_alone_names_what_is_lost(request: pytest.FixtureRequest, damages: int) -> None:
    for seed in seeds(request.config, damages, 2):
        here, hit, done = damaged(seed)
        vault = KeptMemoryVault("near", hit)
        runs = Runs([vault], here.opener)
        plan = make_plan(VaultLogReader([vault], here.opener), [vault], here.house.clock, runs=runs)
        _check_named(here, hit, done, plan, seed)


def _check_named(here: DamagedWorld, hit: Objects, done: Harm, plan: Plan, seed: int) -> None:
    """Lost are at most the changes of frames that were hit; each is named by its rev, or lies past a told end."""
    gone = _frames_hit(here.near, hit)
    erased_or_hit = {change for number in gone for change in here.truth.get(number, ())}
    # What lies in a collection whose making is lost is there, and under no path: it is lost by rev (recovery/tally.py).
    made = {(c.account, c.collection) for c in erased_or_hit if c.op is Op.MKCOL}
    pathless = {c for changes in here.truth.values() for c in changes if (c.account, c.collection) in made}
    accounts = {account.id: account.name for account in here.house.open_core().accounts()}
    lost = {(loss.account, loss.kind, rev) for loss in plan.report.lost for rev in loss.revs if loss.name is None}
    could = {(accounts.get(c.account, ""), c.kind, c.rev) for c in erased_or_hit | pathless}
    could |= {(c.account.hex(), c.kind, c.rev) for c in erased_or_hit | pathless}
    assert lost <= could or _no_name(lost, erased_or_hit | pathless), (seed, done, lost - could)
    total = sum(len(changes) for changes in here.truth.values())
    assert plan.report.changes_recovered >= total - len(erased_or_hit), (seed, done)
    if plan.report.changes_recovered < total:
        missed = plan.report.changes_expected - plan.report.changes_recovered
        assert missed or plan.holes or plan.problems or plan.report.unknown_seconds, (seed, done)


def _no_name(lost: set[tuple[str, str, int]], hit: set[Change]) -> bool:
    """Where an account's profile itself is lost, its id stands for its name."""
    return {(kind, rev) for _, kind, rev in lost} <= {(c.kind, c.rev) for c in hit}


def _frames_hit(whole: Objects, hit: Objects) -> set[int]:
    """Frames whose bytes are not where they were."""
    found: set[int] = set()
    for name, data in whole.items():
        if segment.parse_name(name) is None:
            continue
        for item in scan_frames(data, segment.HEADER_BYTES):
            if isinstance(item, RawFrame) and item.header.type is not FrameType.SEAL:
                there = hit.get(name, b"")
                if there[item.offset : item.offset + len(item.data)] != item.data:
                    found.add(item.header.number)
    if any(name not in whole and segment.parse_name(name) for name in hit):  # a stray one may void what is before it
        found.update(item for item in range(1000))
    return found


def test_a_recovery_from_the_damaged_vault_alone(request: pytest.FixtureRequest) -> None:
    """Every item comes back as it was, or is named as lost or older, or is one of a stream of which a rev is lost."""
    count = max(1, (request.config.getoption("--damages") or DAMAGES) * RECOVERED // DAMAGES)
    for seed in list(seeds(request.config, DAMAGES))[:count]:
        here, hit, done = damaged(seed)
        if "FORMAT" in done.objects:
            continue
        core, result = _recover(here, hit)
        expected, there = _items(here.house.open_core()), _items(core)
        named = {(loss.kind, loss.name) for loss in result.report.lost}
        hurt = {loss.kind for loss in result.report.lost if loss.name is None}
        for key, digest in expected.items():
            same = there.get(key) == digest
            told = (key[1], key[3]) in named or key[1] in hurt or bool(result.report.unknown_seconds)
            assert same or told, (seed, done, key)


def _recover(here: DamagedWorld, hit: Objects) -> tuple[SqliteCore, Result]:
    disk = SimDisk()
    for folder in ("/scratch", "/blobs"):
        disk.make_folders(folder)
    vault = KeptMemoryVault("near", hit)
    sealer = here.house.keyring.sealer
    blobs = LiveBlobs(disk, "/blobs", "/scratch", VaultBlobs([], [vault], sealer, here.opener, disk, "/scratch"))

    def reader() -> VaultLogReader:
        return VaultLogReader([vault], here.opener)

    def make_core(folder: str) -> SqliteCore:
        return SqliteCore.open(f"{folder}/core.db", disk=disk, create=True)

    plan = make_plan(reader(), [vault], here.house.clock, blobs=blobs, runs=Runs([vault], here.opener))
    result = run_plan(
        plan,
        reader(),
        make_core=make_core,
        blobs=blobs,
        disk=disk,
        data="",
        clock=here.house.clock,
        claim=lambda: 1 << 20,
        runs=Runs([vault], here.opener),
    )
    return SqliteCore.open("/core/core.db", disk=disk), result


def _items(core: SqliteCore) -> dict[tuple[bytes, str, str, str], bytes]:
    return {
        (account.id, collection.kind, collection.path, item.name): item.digest
        for account in core.accounts()
        for collection in core.collections(account.number)
        for item in core.items(collection)
    }


# -- kills


def _disk_with(here: DamagedWorld, near: Objects) -> SimDisk:
    """Both vaults on one simulated disk, all of it synced."""
    disk = SimDisk()
    for folder, held in (("/near", near), ("/far", here.far)):
        for name, data in held.items():
            path = f"{folder}/{name}"
            disk.make_folders(path.rpartition("/")[0])
            file = disk.open(path, write=True, create=True)
            file.write_at(0, data)
            file.sync()
            file.close()
            disk.sync_folder(path.rpartition("/")[0])
    return disk


def _on_disk(here: DamagedWorld, disk: SimDisk) -> tuple[Scrubber, LookedAt]:
    pace = Pace(here.house.clock, lambda _: None)
    near = ScrubbedVault("near", "/near", disk, here.installation)
    far = ScrubbedVault("far", "/far", disk, here.installation)
    return (
        Scrubber(near, here.installation, here.opener, pace),
        LookedAt(Scrubber(far, here.installation, here.opener, pace)),
    )


def _mend_on(here: DamagedWorld, disk: SimDisk) -> list[Damage]:
    pace = Pace(here.house.clock, lambda _: None)
    near = RepairedVault("near", "/near", disk, here.installation, clock=here.house.clock)
    scrubber = Scrubber(near, here.installation, here.opener, pace)
    _, far = _on_disk(here, disk)
    inventory = scrubber.read()
    standing = Standing(core=here.core)
    return Repairer(near, scrubber, [far], standing, inventory, remembered=here.remembered).carry_out()


def test_a_digit_of_the_installation_in_its_mark_is_mended() -> None:
    """FORMAT then names another installation, to the byte as Safehold writes it; the log says whose vault it is."""
    here = world(2)
    for at in range(16):
        named = bytes(byte ^ (0x10 if place == at else 0) for place, byte in enumerate(here.installation))
        disk = _disk_with(here, {**here.near, MARK: encode_mark(named)})
        near, far = _on_disk(here, disk)
        result = scrub(near, [far], Standing(core=here.core), opener=here.opener, notebook=Notes(here.remembered))
        assert names(result.damaged) == {MARK} and not result.trouble
        assert _mend_on(here, disk) == []
        assert objects(ScrubbedVault("near", "/near", disk, here.installation)) == here.near


def test_a_vault_of_another_installation_is_never_mended() -> None:
    """Whether its FORMAT names it or nobody, and even where one segment of ours lies in its log, or none at all."""
    here, other = world(2), world(3)
    assert other.installation != here.installation
    ours = next(name for name in here.near if name.startswith("log/") and name not in other.near)
    for near in (
        other.near,
        {**other.near, MARK: b"what is this"},
        {**other.near, ours: here.near[ours]},
        {MARK: encode_mark(other.installation)},
    ):
        disk = _disk_with(here, near)
        with pytest.raises(VaultDown):
            _mend_on(here, disk)
        assert {name: disk.bytes_of(f"/near/{name}") for name in near} == near


def _killed_at(disk: SimDisk, left: int) -> None:
    def point(operation: str, path: str) -> None:
        nonlocal left
        if not left:
            raise Crash
        left -= 1

    disk.on_write_point = point


@pytest.mark.parametrize("power", [False, True])
def test_a_repair_that_is_killed_at_any_write_point_can_be_run_again(power: bool) -> None:
    here = world(2)
    rng = random.Random("kills")
    hit = here.near
    for _ in range(5):
        hit, _ = harm(hit, rng, ("flip", "cut", "delete", "stray"))
    point = 0
    while True:
        disk = _disk_with(here, hit)
        _killed_at(disk, point)
        try:
            _mend_on(here, disk)
            break
        except Crash:
            pass
        disk = disk.crash(point) if power else disk.kill()
        assert _mend_on(here, disk) == [], point
        near = ScrubbedVault("near", "/near", disk, here.installation)
        assert objects(near) == here.near, point
        point += 1
    assert point > 20


def test_a_scrub_that_is_killed_at_any_write_point_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It notes after each object here. What it found and read is the same as without the kill."""
    monkeypatch.setattr("safehold.recovery.scrub.NOTED_BYTES", 1)
    here = world(2)
    hit, done = harm(here.near, random.Random("scrub kills"))

    def once(disk: SimDisk) -> tuple[list[Damage], int]:
        near, far = _on_disk(here, disk)
        notes = FileNotebook(disk, "/run/scrub", "near")
        result = scrub(near, [far], Standing(core=here.core), opener=here.opener, notebook=notes)
        assert not result.trouble
        return result.damaged, result.bytes

    whole = once(_disk_with(here, hit))
    assert set(done.objects) <= names(whole[0])
    point = 0
    while True:
        disk = _disk_with(here, hit)
        _killed_at(disk, point)
        try:
            once(disk)
            break
        except Crash:
            pass
        disk = disk.crash(point) if point % 2 else disk.kill()
        assert once(disk) == whole, point
        point += 7 if point > 30 else 1
    assert point > 30


def test_a_scrub_reads_no_more_than_its_pace_allows() -> None:
    here = world(1)
    clock = here.house.sim_clock
    began = clock.monotonic()
    near = KeptMemoryVault("near", here.near)
    scrubber = Scrubber(near, here.installation, here.opener, Pace(clock, clock.advance, 20_000))
    read = scrubber.read().bytes
    assert read == sum(map(len, here.near.values()))
    assert read / 20_000 - 0.01 <= clock.monotonic() - began < read / 20_000 + 2


def test_a_scrub_that_was_broken_off_does_not_read_again_what_it_has_read() -> None:
    here = world(1)
    notes = Notes()

    class Stop(Exception):
        pass

    class Stopping(Notes):
        def note(self, unfinished: object) -> None:
            super().note(unfinished)  # type: ignore[arg-type]
            raise Stop

    stopping = Stopping()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safehold.recovery.scrub.NOTED_BYTES", 5_000)
        with pytest.raises(Stop):
            here.scrubber(KeptMemoryVault("near", here.near)).read(stopping)
    notes.broken_off = stopping.broken_off
    assert notes.broken_off is not None
    clock = here.house.sim_clock
    pace = Pace(clock, clock.advance)
    inventory = Scrubber(KeptMemoryVault("near", here.near), here.installation, here.opener, pace).read(notes)
    assert inventory.bytes == sum(map(len, here.near.values()))
    assert pace.taken < inventory.bytes


def test_replay_finds_nothing_in_a_whole_vault_and_a_stranger_in_a_forged_one() -> None:
    here = world(3)
    assert here.scrub(here.near, None, level=Level.REPLAY) == []
    stranger = DamagedWorld(99, runs=False)
    name = max(n for n in here.near if n.startswith("log/"))
    forged = {**here.near, name: next(iter(d for n, d in stranger.near.items() if n.startswith("log/")))}
    assert name in names(here.scrub(forged, here.far))


def test_an_async_vault_that_follows_is_not_damaged() -> None:
    """What has not come yet is no damage: any part of the log from its beginning, up to any byte."""
    here = world(1)
    log = [n for n in sorted(here.far) if n.startswith("log/")]
    last = segment.parse_name(log[-1])
    assert isinstance(last, SegmentName)
    rng = random.Random("lag")
    for _ in range(30):
        upto = rng.randrange(1, len(log))
        lagging = {n: d for n, d in here.far.items() if not n.startswith(("log/", "evidence/")) or n in log[:upto]}
        data = here.far[log[upto]]
        lagging[log[upto]] = data[: rng.randrange(1, len(data) + 1)]
        vault = KeptMemoryVault("far", lagging)
        standing = Standing(complete=False, settled=0, core=EMPTY_LOG)
        peer = LookedAt(here.scrubber(KeptMemoryVault("near", here.near)))
        result = scrub(here.scrubber(vault), [peer], standing, opener=here.opener)
        assert result.damaged == [], (log[upto], result.damaged)


# -- what only the core has


def _frames_of(house: House) -> dict[tuple[bytes, str, int], int]:
    return {(c.account, c.kind, c.rev): frame for _, frame, c in house.engine.core.changes(limit=100_000)}


@pytest.mark.parametrize("power", [False, True])
@every(3)
def test_lost_frames_are_written_again_once_wherever_that_is_cut_off(power: bool, step: int) -> None:
    """The segment in the middle is gone from both vaults; every change of it is in one new frame in the end."""
    point = 0
    done = False
    while not done:
        house = House.new(7)
        for number in range(6):
            put(house, BOOK, f"{number}.vcf")
            house.sim_clock.advance(11)
            house.tick()
        house.scheduler.run_ready()
        house.close()
        house = house.kill()
        house.load_keys()
        lost = sorted(n for n in objects(_vault(house, "near")) if n.startswith("log/"))[2]
        first, last = _numbers(_vault(house, "near").get(lost))
        for vault in ("near", "far"):
            house.disk.lose(f"/{vault}/{lost}")
        house.boot()
        before = _frames_of(house)
        in_lost = {key for key, frame in before.items() if first <= frame <= last}
        assert in_lost
        _killed_at(house.disk, point)
        try:
            assert house.writer.make_up([(first, last)], []) == []
            house.disk.on_write_point = None
            done = True
        except Crash:
            house = house.crash(point) if power else house.kill()
            house.boot()
            assert house.writer.make_up([(first, last)], []) == []
        now = _frames_of(house)
        assert now.keys() == before.keys()
        assert all(frame > last for key, frame in now.items() if key in in_lost), point
        house.reopen_reads()
        house.close()
        told = [
            (c.account, c.kind, c.rev)
            for entry in VaultLogReader([_vault(house, "near")], house.keyring.opener).entries()
            if isinstance(entry, LogFrame)
            for c in entry.changes
        ]
        assert sorted(told) == sorted(before), point
        point += step
    assert point > 5


def _vault(house: House, name: str) -> FolderVault:
    return FolderVault(name, f"/{name}", house.disk, house.keyring.installation)


def _numbers(data: bytes) -> tuple[int, int]:
    found = [item.header.number for item in scan_frames(data, segment.HEADER_BYTES) if isinstance(item, RawFrame)]
    return min(found), max(found)
