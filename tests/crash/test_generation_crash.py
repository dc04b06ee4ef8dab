"""A writer of generations that is killed, or loses power, at any write point: the next one goes on (I46).

It writes beside a service that lives in the same process here: core, two sync vaults and an async one on one disk.
After each accident the house is booted, one more change is made, and a snapshot is taken. Then every generation that
exists says what the journal says of its frame, every run object is one of a generation, the seals name each object, and
the async vault has the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from safehold.archiver import generations as generations_module
from safehold.config import VaultConfig
from safehold.disaster import house as house_module
from safehold.disaster.faults import power_loss_after
from safehold.disaster.generations import generation_writer, snapshot
from safehold.disaster.house import House
from safehold.formats import seal
from safehold.formats.frame import FrameType
from safehold.formats.payload import Unpacker
from safehold.model.change import Change
from safehold.model.errors import OutOfSpace, SafeholdError
from safehold.vault.folder import FolderVault
from safehold.vault.runs import Generation, Runs, StreamKey
from safehold.vault.segments import Copy, segments, timelines
from tests.crash.test_takein import BOOK, NOTES, put
from tests.support.thinning import every

NEAR, FAR = house_module.VAULTS
SECOND = VaultConfig("second", "folder:/second", "sync")
VAULTS = (NEAR, SECOND, FAR)


@pytest.fixture(autouse=True)
def three_vaults_and_small_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house_module, "VAULTS", VAULTS)
    monkeypatch.setattr(generations_module, "OBJECT_CHANGES", 20)


def new_house() -> House:
    """Three accounts, of which each has written something."""
    house = House.new(accounts=("ann", "bob", "cy"))
    for number in range(4):
        for name in ("ann", "bob", "cy"):
            put(house, (BOOK, NOTES)[number % 2], f"{number}.txt", "text", name)
    house.scheduler.run_ready()
    return house


def generations_in(vault: FolderVault, house: House) -> list[tuple[Generation, dict[StreamKey, list[Change]]]]:
    runs = Runs([vault], house.keyring.opener)
    found = [
        (generation, {entry.key: list(changes) for entry, changes in runs.reader(generation).changes()})
        for generation in runs.generations()
    ]
    assert [problem for problem in runs.problems() if "not there" not in problem] == []
    return found


def journal(house: House, upto: int) -> dict[StreamKey, list[Change]]:
    found: dict[StreamKey, list[Change]] = {}
    for _, frame, change in house.engine.core.changes(limit=100_000):
        if frame <= upto:
            found.setdefault((change.account, change.kind), []).append(change)
    return found


def objects(vault: FolderVault) -> dict[str, bytes]:
    return {info.name: vault.get(info.name) for info in vault.list("runs/")}


def sealed(house: House) -> Counter[str]:
    """Names of runs and manifests that the seals of the log state, and how often."""
    near = house.vault(NEAR)
    unpacker = Unpacker(house.keyring.opener)
    stated: Counter[str] = Counter()
    for timeline in timelines([near]):
        for name in segments([near], timeline):
            copy = Copy("near", name, near.get(str(name)))
            for frame in copy.frames.values():
                if frame.header.type is FrameType.SEAL:
                    stated.update(o.name for o in unpacker.unpack(frame.payload, seal.DECODER).objects)
    return stated


def check(house: House, where: str) -> None:
    """All that is claimed in the module's text."""
    near, second, far = (house.vault(v) for v in VAULTS)
    found = generations_in(near, house)
    assert found, where
    for generation, changes in found:
        assert changes == journal(house, generation.number), where
    there = objects(near)
    assert there == objects(second), where
    named = {entry.object.name for generation, _ in found for entry in generation.manifest.runs}
    assert {name for name in there if name.endswith(".run")} == named, where
    house.scheduler.run_for(2)
    assert objects(far) == there, where
    assert not list(house.disk.list("/scratch")), where
    assert set(sealed(house)) == set(there), where


def go_on(house: House, where: str) -> None:
    """A start after an accident, and what a person does next."""
    house.boot()
    put(house, BOOK, "later.txt", "text", "bob")
    snapshot(house)
    check(house, where)
    house.close()


def write_points(prepare: Callable[[], House]) -> int:
    house = prepare()
    count = 0

    def hook(operation: str, path: str) -> None:
        nonlocal count
        count += 1

    house.disk.on_write_point = hook
    snapshot(house)
    house.disk.on_write_point = None
    house.abandon()
    return count


def struck_at(house: House, number: int) -> None:
    """A snapshot that ends at this write point: nothing is written after it. What then is left, the caller says."""
    house.disk.on_write_point = power_loss_after(number)
    with pytest.raises(BaseException):  # noqa: B017
        snapshot(house)
    assert house.disk.dead


def with_a_generation() -> House:
    """One that has a full generation, and a delta to write."""
    house = new_house()
    snapshot(house)
    put(house, BOOK, "new.txt", "text", "cy")
    return house


@every(4)
def test_a_full_generation_whose_writer_is_killed_anywhere_is_finished(step: int) -> None:
    points = write_points(new_house)
    assert points > 60
    for number in range(0, points, step):
        house = new_house()
        struck_at(house, number)
        go_on(house.kill(), f"killed at write point {number} of {points}")


@every(4)
def test_a_delta_whose_writer_is_killed_anywhere_is_finished(step: int) -> None:
    points = write_points(with_a_generation)
    for number in range(0, points, step):
        house = with_a_generation()
        struck_at(house, number)
        go_on(house.kill(), f"killed at write point {number} of {points}")


@pytest.mark.parametrize("seed", [None, 1, 2])
@every(4)
def test_a_generation_whose_writer_loses_power_anywhere_is_finished(seed: int | None, step: int) -> None:
    points = write_points(new_house)
    for number in range(0, points, step if seed is None else 3 * step):
        house = new_house()
        struck_at(house, number)
        go_on(house.crash(seed), f"power lost at write point {number} of {points}, seed {seed}")


def test_a_generation_that_was_killed_is_finished_before_a_newer_one() -> None:
    """What was put stays, and is not written again."""
    house = new_house()
    points = write_points(new_house)
    struck_at(house, points - 20)
    house = house.kill()
    house.load_keys()
    before = objects(house.vault(NEAR))
    assert any(name.endswith(".run") for name in before)
    go_on(house, "")
    house = house.kill()
    house.boot()
    after = objects(house.vault(NEAR))
    assert before.items() <= after.items()
    assert len(house.vault(NEAR).folders("runs/")) == 2


def test_killed_again_and_again() -> None:
    points = write_points(new_house)
    house = new_house()
    for number in range(3, points // 2, 7):
        struck_at(house, number)
        house = house.kill()
        house.boot()
        put(house, NOTES, f"{number}.txt", "text", "ann")
    go_on(house.kill(), "killed again and again")


@pytest.mark.parametrize("path", ["/near/", "/second/"])
def test_a_vault_that_fails_stops_no_other(path: str) -> None:
    house = new_house()
    house.disk.fail("sync", path=path, times=1000)
    written = generation_writer(house).write(house.engine.core)
    assert list(written.down) == [path.strip("/")]
    house.disk.mend()
    good, bad = (house.vault(v) for v in ((SECOND, NEAR) if path == "/near/" else (NEAR, SECOND)))
    assert generations_in(good, house) and not generations_in(bad, house)
    put(house, BOOK, "later.txt", "text", "bob")
    snapshot(house)
    assert objects(bad).items() <= objects(good).items()
    assert generations_in(bad, house)[0][1] == journal(house, house.engine.core.log_position().frame)


def test_a_full_disk_leaves_nothing_half_written() -> None:
    house = new_house()
    house.disk.capacity_bytes = house.disk.used_bytes() + 3000
    with suppress(SafeholdError, OSError, OutOfSpace):
        snapshot(house)
    house.disk.capacity_bytes = None
    assert not any(name.endswith("generation") for name in objects(house.vault(NEAR)))
    house = house.kill()
    go_on(house, "after a full disk")


def test_the_async_vault_gets_runs_when_it_is_back() -> None:
    house = new_house()
    house.disk.rename("/far", "/away")
    snapshot(house)
    house.scheduler.run_for(5)
    put(house, BOOK, "later.txt", "text", "bob")
    snapshot(house)
    house.disk.rename("/away", "/far")
    house.scheduler.run_for(120)
    check(house, "the async vault was away")
