"""A drill that is killed, or loses power, at any write point leaves its vault as it was, and the next one is sound.

The vault is read through what refuses to write (I82); all that is written is the scratch folder, on a disk that can
lose what was not synced. The next drill begins with whatever is left there, though the command sweeps it first.
"""

from __future__ import annotations

import pytest

from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.kinds import Kind
from safehold.ports.vault import Vault
from safehold.recovery.drill import Rebuilt, first_contact, in_share, rebuild
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.upto import NotedVault, ReadOnly, UptoReader, UptoRuns
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, card, state_of
from tests.support.recovery_vaults import Vaults

DATA = "/data/scratch/drill/data"
#: Write points that are tried of each way to end, spread over all.
POINTS = 9


class Kill(BaseException):
    """SIGKILL: no code of ours runs after it."""


@pytest.fixture(scope="module")
def vaults() -> Vaults:
    history = History()
    history.family("ada", "bob", cards=4)
    history.put("ada", Kind.CONTACTS, "late.vcf", card("late"))
    return Vaults(history)


def core_at(disk: SimDisk, folder: str) -> SqliteCore:
    return SqliteCore.open(f"{folder}/core.db", disk=disk, create=True)


def noted(vaults: Vaults, names: set[str] | None = None) -> list[Vault]:
    return [NotedVault(vaults.near, set() if names is None else names)]


def drill(vaults: Vaults, disk: SimDisk, share: tuple[int, int] = (1, 1), frame: int = 0) -> Rebuilt:
    upto = vaults.end if not frame else vaults.end._replace(frame=frame)
    opener = vaults.keyring.opener
    return rebuild(
        lambda: (UptoReader(noted(vaults), opener, upto), UptoRuns(noted(vaults), opener, upto)),
        lambda: noted(vaults),
        share,
        make_core=lambda folder: core_at(disk, folder),
        blobs=FakeBlobs(),
        disk=disk,
        data=DATA,
        clock=FakeClock(),
        sync=["near"],
    )


def outcome(disk: SimDisk) -> dict[str, object]:
    core = core_at(disk, f"{DATA}/core")
    try:
        return state_of(core)
    finally:
        core.close()


def points(vaults: Vaults) -> int:
    disk, count = SimDisk(), [0]

    def hook(_operation: str, _path: str) -> None:
        count[0] += 1

    disk.on_write_point = hook
    drill(vaults, disk)
    return count[0]


def killed_at(vaults: Vaults, number: int, how: type[BaseException]) -> SimDisk:
    disk, left = SimDisk(), [number]

    def hook(_operation: str, _path: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise how

    disk.on_write_point = hook
    with pytest.raises(BaseException):  # noqa: B017 - SQLite may report an error of its own on the way out
        drill(vaults, disk)
    disk.on_write_point = None
    return disk


@pytest.mark.parametrize(("how", "seed"), [(Kill, None), (Crash, 1), (Crash, 2)])
def test_one_that_ends_anywhere_changes_no_vault_and_the_next_is_sound(
    vaults: Vaults, how: type[BaseException], seed: int | None
) -> None:
    undisturbed = SimDisk()
    before = dict(vaults.near.objects)
    report = drill(vaults, undisturbed).report
    assert report.exit_code == 0
    expected = outcome(undisturbed)
    count = points(vaults)
    for number in range(seed or 0, count, max(1, count // POINTS)):
        disk = killed_at(vaults, number, how)
        disk = disk if how is Kill else disk.crash(seed)
        assert drill(vaults, disk).report.exit_code == 0, f"ended at write point {number}, seed {seed}"
        assert outcome(disk) == expected, f"ended at write point {number}, seed {seed}"
    assert vaults.near.objects == before


def test_what_it_reads_through_refuses_to_write_and_notes_what_was_read(vaults: Vaults) -> None:
    names: set[str] = set()
    (vault,) = noted(vaults, names)
    with pytest.raises(ReadOnly):
        vault.put("log/x", [b""])
    with pytest.raises(ReadOnly):
        vault.append("log/x", 0, b"x")
    name = vaults.segments()[0]
    assert vault.get(name) == vaults.near.objects[name]
    assert names == {name}


def test_a_vault_as_it_was_ends_with_a_frame(vaults: Vaults) -> None:
    disk = SimDisk()
    rebuilt = drill(vaults, disk, frame=5)
    assert rebuilt.plan.end.frame == 5
    assert rebuilt.report.changes_recovered == 4  # the first frame is the claim
    assert drill(vaults, SimDisk()).report.changes_recovered > 4


def test_shares_are_disjoint_and_make_up_the_whole(vaults: Vaults) -> None:
    everyone = set(drill(vaults, SimDisk()).accounts)
    shares = [set(drill(vaults, SimDisk(), (number, 3)).accounts) for number in (1, 2, 3)]
    assert set().union(*shares) == everyone
    assert sum(map(len, shares)) == len(everyone) == 2
    assert all(in_share(account, (number, 3)) for number, share in enumerate(shares, 1) for account in share)


def test_first_contact_is_that_of_a_recovery_while_serving(vaults: Vaults) -> None:
    disk, opener = SimDisk(), vaults.keyring.opener
    account = vaults.history.changes[-1].account

    def seconds(whom: bytes) -> float | None:
        return first_contact(
            lambda: (UptoReader(noted(vaults), opener, vaults.end), UptoRuns(noted(vaults), opener, vaults.end)),
            noted(vaults),
            whom,
            make_core=lambda folder: core_at(disk, folder),
            make_rows=StreamRows,
            disk=disk,
            data=DATA,
            clock=FakeClock(),
            timeline=vaults.end.timeline + 1,
            sync=["near"],
        )

    assert (seconds(account) or 0) > 0
