"""What storms have found, each in the few steps that it takes; and that what misbehaves does so as it says."""

from __future__ import annotations

import pytest

from safehold.archiver.claiming import LogVault, Mode, claim_timeline
from safehold.archiver.log import Written
from safehold.archiver.shipper import Shipper
from safehold.formats.segment import claim_object
from safehold.lab.faulty_link import Network, State
from safehold.lab.faulty_vault import Fault, FaultyVault, Place, Plan
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.vault import LengthMismatch, Vault, VaultDown, VaultFull, VaultSuspect, VaultUnanswered
from safehold.vault.memory import MemoryVault
from safehold.vault.remote import RemoteVault
from safehold.vault.served import ServedVault
from tests.support.links import direct
from tests.support.logs import INSTALLATION, OPENER, SEALER, Writing, make_vault, read


class AtChanges(Plan):
    """These faults, at these changes by number."""

    def __init__(self, faults: dict[int, Fault]) -> None:
        super().__init__(0)
        self.faults = faults
        self.changes = 0

    def draw(self, *, change: bool) -> Fault | None:
        self.changes += change
        return self.faults.pop(self.changes, None) if change else None


def left_in_doubt() -> tuple[Place, AtChanges, Writing, LogPosition]:
    """A vault with a frame of three changes at its end whose sync failed; and where the core is, before it."""
    plan = AtChanges({})
    place = Place(MemoryVault("near"), plan)
    writing = Writing([place.open()])
    writing.write(2)
    core = writing.log.position
    plan.faults = {plan.changes + 1: Fault.UNSYNCED}
    with pytest.raises(VaultSuspect):
        writing.write(1, each=3)
    return place, plan, writing, core


def test_what_a_claim_failed_to_sync_is_made_certain_by_the_next() -> None:
    """I4: it is about to be taken in, so it has to be there after a power loss."""
    place, plan, _, core = left_in_doubt()
    plan.faults = {plan.changes + 2: Fault.UNSYNCED}  # after the claim's header: what was in doubt, once more
    with pytest.raises(VaultSuspect):
        Writing([place.open()], core=core)
    again = Writing([place.open()], core=core)
    taken_in = [change for entry in again.tail for change in getattr(entry, "changes", ())]
    assert len(taken_in) == 3
    place.cached.clear()
    changes, holes, _ = read(place.inner)
    assert not holes
    assert {change.hash for change in taken_in} <= {change.hash for change in changes}


def test_it_is_made_certain_by_a_recovery_as_well() -> None:
    """Which takes in all that can be read, without looking through all of the log first."""
    place, plan, _, core = left_in_doubt()
    plan.faults = {plan.changes + 2: Fault.UNSYNCED}
    with pytest.raises(VaultSuspect):
        Writing([place.open()], core=core)
    claim_timeline([LogVault(place.open(), Mode.SYNC)], SEALER, OPENER, EMPTY_LOG, recovering=True)
    believed, _, _ = read(place.open())
    place.cached.clear()
    changes, holes, _ = read(place.inner)
    assert not holes
    assert [change.hash for change in changes] == [change.hash for change in believed]


def test_shippers_are_told_of_what_an_earlier_claim_wrote_once_more() -> None:
    place, plan, _, core = left_in_doubt()
    plan.faults = {plan.changes + 2: Fault.UNANSWERED}
    noted: list[Written] = []
    try:
        Writing([place.open()], core=core)
    except VaultUnanswered:
        noted.clear()
    Writing([place.open()], core=core, on_written=noted.append)
    assert sum(written.changes for written in noted) == 3
    assert all((place.size(written.object) or 0) >= written.size for written in noted)


def test_a_shipper_goes_on_when_its_source_lost_what_it_had_not_synced() -> None:
    near, far, clock = MemoryVault("near"), MemoryVault("far"), SimClock()
    first = Writing([near], clock=clock)
    first.write(1)
    core, name = first.log.position, claim_object(1)
    synced = near.objects[name]
    first.write(1, each=2)
    shipper = Shipper(near, far, clock, live=True)
    shipper.step()
    near.objects[name] = synced  # the power went
    second = Writing([near], core=core, clock=clock, on_written=shipper.note)
    second.write(1)
    for _ in range(600):
        pause = shipper.step()
        if pause is None:
            break
        clock.advance(pause)
    assert shipper.level and shipper.trouble is None
    assert far.objects == near.objects


def test_an_append_that_comes_after_the_next_claim_is_not_shipped() -> None:
    """Its sender gave up; a served vault that had it would let no later timeline make it void."""
    disk, clock = SimDisk(), SimClock()
    near, far = make_vault(disk, "near"), make_vault(disk, "far")
    served = RemoteVault("far", "/far", direct(ServedVault("/far", disk)), INSTALLATION)
    shipper = Shipper(near, served, clock, live=True)
    first = Writing([near], [served], clock=clock, on_written=shipper.note)
    first.write(2)
    late = first.log.prepare([first.change(9)])
    name = claim_object(1)
    size = near.size(name)
    assert size is not None
    second = Writing(
        [near], [served], core=first.log.position, clock=clock, streams=first.streams, on_written=shipper.note
    )
    near.append(name, size, late.data)
    second.write(2)
    for _ in range(600):
        pause = shipper.step()
        if pause is None:
            break
        assert shipper.trouble is None
        clock.advance(pause)
    assert shipper.level
    assert far.size(name) == size
    theirs, ours = read(far)[0], read(near)[0]
    assert [change.hash for change in theirs] == [change.hash for change in ours]


# -- the vault and the network that misbehave


def faulty(*faults: Fault) -> tuple[FaultyVault, Place]:
    place = Place(MemoryVault("v"), Plan(1))
    vault = place.open()
    vault.append("log/a", 0, b"one")
    place.plan.next = list(faults)
    return vault, place


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.DOWN, VaultDown),
        (Fault.FULL, VaultFull),
        (Fault.TORN, VaultDown),
        (Fault.UNANSWERED, VaultUnanswered),
        (Fault.UNSYNCED, VaultSuspect),
    ],
)
def test_each_fault_is_what_the_port_calls_it(fault: Fault, error: type[Exception]) -> None:
    for act in ("append", "put"):
        vault, place = faulty(fault)
        with pytest.raises(error):
            vault.append("log/a", 3, b"two") if act == "append" else vault.put("keys/a", [b"two"])
        assert vault.get("log/a").startswith(b"one") and b"onetwo".startswith(vault.get("log/a"))
        assert vault.size("keys/a") in (None, 3)
        assert place.plan.struck == {fault: 1}


@pytest.mark.parametrize("fault", [Fault.UNSYNCED, Fault.LYING])
def test_what_was_not_synced_is_read_until_the_power_goes(fault: Fault) -> None:
    outcomes = set()
    for _ in range(20):
        vault, place = faulty(fault)
        place.plan.rng.seed(len(outcomes) * 100 + _)
        try:
            vault.append("log/a", 3, b"two")
        except VaultSuspect:
            assert fault is Fault.UNSYNCED
        assert vault.get("log/a") == b"onetwo" and place.inner.get("log/a") == b"one"
        place.power_loss()
        outcomes.add(vault.get("log/a"))
    assert {b"one", b"onetwo"} <= outcomes <= {b"one", b"onet", b"onetw", b"onetwo"}


def test_only_an_append_of_nothing_makes_certain_after_a_failed_sync() -> None:
    vault, place = faulty(Fault.UNSYNCED)
    with pytest.raises(VaultSuspect):
        vault.append("log/a", 3, b"two")
    vault.append("log/a", 6, b"!")
    assert place.inner.get("log/a") == b"one", "a later sync brings nothing of it"
    vault.append("log/a", 7, b"")
    assert place.inner.get("log/a") == b"onetwo!"


def test_a_late_listing_lacks_what_is_new_and_looks_by_name_do_not() -> None:
    vault, _ = faulty(Fault.LATE)
    assert dict(vault.list()) != {"log/a": 3}
    assert (vault.size("log/a"), vault.get("log/a")) == (3, b"one")
    assert dict(vault.list()) == {"log/a": 3}


@pytest.mark.parametrize("state", State)
def test_a_network_loses_answers_and_never_lies(state: State) -> None:
    """What returned was done; what raised VaultDown or VaultUnanswered is there whole, or not at all."""
    for seed in range(6):
        disk, clock = SimDisk(), SimClock()
        folder = make_vault(disk, "v")
        network = Network(direct(ServedVault("/v", disk)), clock, seed)
        network.set(State.WHOLE)
        vault: Vault = RemoteVault("v", "/v", network.connect, INSTALLATION)
        assert vault.put("keys/before", [b"x"])
        network.set(state)
        outcome = ""
        try:
            outcome = "done" if vault.put("keys/a", [b"whole"]) else "taken"
        except (VaultDown, VaultUnanswered, LengthMismatch) as error:
            outcome = type(error).__name__
        there = folder.size("keys/a")
        assert there in (None, 5)
        if outcome == "done":
            assert there == 5
        if state is State.WHOLE:
            assert outcome == "done"
        elif state is not State.SLOW:
            assert outcome in ("VaultDown", "VaultUnanswered")
        network.settle()
        assert vault.put("keys/b", [b"y"]) and vault.get("keys/b") == b"y"
