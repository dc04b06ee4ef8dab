"""What the log says after a generation: which streams it goes on with, and which it only confirms."""

from __future__ import annotations

from safehold.disaster.generations import snapshot
from safehold.disaster.house import VAULTS, House
from safehold.model.kinds import Kind
from safehold.recovery.origin import Origin
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from tests.crash.test_takein import BOOK, NOTES, put


def _origin(house: House) -> Origin:
    vaults = [house.vault(vault) for vault in VAULTS]
    return Origin(VaultLogReader(vaults, house.keyring.opener), Runs(vaults, house.keyring.opener))


def test_a_seal_that_says_what_the_generation_says_leaves_its_streams_as_they_are() -> None:
    house = House.new(accounts=("ann", "bob"))
    for name in ("ann", "bob"):
        put(house, BOOK, "1.txt", "text", name)
    snapshot(house)
    house.scheduler.run_for(60)  # seals come, which name every stream that has changed
    house.close()
    origin = _origin(house)
    heads = [frame.heads for frame in origin.tail() if hasattr(frame, "heads")]
    assert sum(len(found) for found in heads) > 2, "no seal came after the generation: this shows nothing"
    assert {key[1] for key in origin.touched()} <= {Kind.IDENTITY}
    assert origin.unwitnessed() == []


def test_a_stream_that_goes_on_is_touched() -> None:
    house = House.new(accounts=("ann",))
    put(house, BOOK, "1.txt", "text", "ann")
    put(house, NOTES, "1.txt", "text", "ann")
    snapshot(house)
    put(house, BOOK, "2.txt", "text", "ann")
    house.scheduler.run_for(60)
    house.close()
    kinds = {key[1] for key in _origin(house).touched()}
    assert Kind.NOTES not in kinds
    assert len(kinds - {Kind.IDENTITY}) == 1
