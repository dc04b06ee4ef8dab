"""One suite for every vault under its keeper's credentials: what ports.vault.KeptVault promises, and at which cost."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safehold.disaster.faults import power_loss_after
from safehold.formats.mark import NAME as MARK
from safehold.formats.mark import READER
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.world import SimClock
from safehold.model.errors import OperatorError
from safehold.ports.disk import Disk
from safehold.ports.vault import KeptVault, Vault, VaultDown, VaultFull, VaultSuspect
from safehold.store.realdisk import RealDisk
from safehold.vault.folder import FolderVault
from safehold.vault.keeping import KeptFolderVault
from tests.support.logs import INSTALLATION, make_kept_vault
from tests.support.vault_kinds import KeptVaultKind, kept_vault_parameters

A = "log/00000001/00000000-000000000000.seg"


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture(params=kept_vault_parameters())
def vault(request: pytest.FixtureRequest, tmp_path: Path, clock: SimClock) -> Iterator[KeptVault]:
    kind: KeptVaultKind = request.param
    with kind.place(tmp_path, clock) as vault:
        yield vault


def names(vault: Vault, prefix: str = "") -> list[str]:
    return [info.name for info in vault.list(prefix)]


def test_what_is_set_aside_is_no_object_any_more(vault: KeptVault) -> None:
    vault.put(A, [b"damaged"])
    aside = vault.set_aside(A)
    assert aside.startswith("aside/")
    assert vault.get(aside) == b"damaged"
    assert vault.size(A) is None
    assert names(vault) == [MARK, READER]
    assert vault.put(A, [b"whole"])
    assert vault.get(A) == b"whole"


def test_nothing_set_aside_is_overwritten(vault: KeptVault) -> None:
    asides = []
    for data in (b"one", b"two", b"three"):  # within one microsecond
        vault.put(A, [data])
        asides.append(vault.set_aside(A))
    assert [vault.get(aside) for aside in asides] == [b"one", b"two", b"three"]
    vault.put(A, [b"two"])
    assert vault.set_aside(A) == asides[1]  # the same bytes take no second place


def test_setting_aside_what_is_not_there(vault: KeptVault) -> None:
    with pytest.raises(KeyError):
        vault.set_aside(A)


def test_replace_keeps_what_was_there_aside(vault: KeptVault) -> None:
    vault.put(A, [b"damaged"])
    vault.replace(A, [b"who", b"le"])
    assert vault.get(A) == b"whole"
    assert names(vault) == [MARK, A, READER]
    (aside,) = names(vault, "aside/")
    assert vault.get(aside) == b"damaged"
    vault.append(A, 5, b"!")
    assert vault.get(A) == b"whole!"
    assert vault.get(aside) == b"damaged"


def test_replace_puts_what_is_missing(vault: KeptVault) -> None:
    vault.replace("blobs/ab/abcd", [b"x"])
    assert vault.get("blobs/ab/abcd") == b"x"
    assert names(vault, "aside/") == []


def test_remove_is_for_good_and_harmless_when_repeated(vault: KeptVault) -> None:
    vault.put(A, [b"x"])
    vault.remove(A)
    vault.remove(A)
    vault.remove("runs/000000000001/000.run")
    assert names(vault) == [MARK, READER]
    assert names(vault, "aside/") == []


def test_purge_aside_by_age_and_whole(vault: KeptVault, clock: SimClock) -> None:
    for data in (b"old", b"new"):
        vault.put(A, [data])
        vault.set_aside(A)
        clock.advance(10)
    assert vault.purge_aside(clock.now() - 15_000_000) == 1
    assert [vault.get(name) for name in names(vault, "aside/")] == [b"new"]
    assert vault.purge_aside(None) == 1
    assert vault.purge_aside(None) == 0
    assert names(vault, "aside/") == []


def test_the_mark_is_never_removed_and_can_be_mended(vault: KeptVault) -> None:
    mark = vault.get(MARK)
    with pytest.raises(OperatorError, match=MARK):
        vault.remove(MARK)
    vault.replace(MARK, [b"rubbish"])
    assert not vault.available()
    with pytest.raises(VaultDown):
        vault.replace(A, [b"x"])
    vault.replace(MARK, [mark])
    assert vault.available()


@pytest.mark.parametrize("name", ["tmp/00000000", "aside/x", "../x", "/x", "", "log//x", "log/../x", "aside"])
def test_strange_names_are_refused(vault: KeptVault, name: str) -> None:
    acts: list[Callable[[], object]] = [
        lambda: vault.set_aside(name),
        lambda: vault.replace(name, [b"x"]),
        lambda: vault.remove(name),
    ]
    for act in acts:
        with pytest.raises(OperatorError, match="no name"):
            act()


@pytest.mark.parametrize("disk", [RealDisk(), SimDisk()], ids=["real disk", "simulated disk"])
def test_a_writer_notices_that_its_object_was_replaced(disk: Disk, tmp_path: Path) -> None:
    vault = make_kept_vault(disk, "v", str(tmp_path / "v"))
    writer = FolderVault("v", str(tmp_path / "v"), disk, INSTALLATION)
    writer.append(A, 0, b"one")
    vault.replace(A, [b"one"])
    with pytest.raises(VaultDown, match="replaced"):
        writer.append(A, 3, b"two")
    writer.append(A, 3, b"two")
    assert vault.get(A) == b"onetwo"


@pytest.mark.parametrize("disk", [RealDisk(), SimDisk()], ids=["real disk", "simulated disk"])
def test_a_vault_that_is_away_is_down(disk: Disk, tmp_path: Path) -> None:
    vault = make_kept_vault(disk, "v", str(tmp_path / "v"))
    vault.put(A, [b"x"])
    disk.rename(str(tmp_path / "v"), str(tmp_path / "w"))
    acts: list[Callable[[], object]] = [
        lambda: vault.set_aside(A),
        lambda: vault.replace(A, [b"x"]),
        lambda: vault.remove(A),
        lambda: vault.purge_aside(None),
    ]
    for act in acts:
        with pytest.raises(VaultDown):
            act()


ACTS: dict[str, Callable[[KeptFolderVault], object]] = {
    "set aside": lambda vault: vault.set_aside(A),
    "replace": lambda vault: vault.replace(A, [b"who", b"le"]),
    "remove": lambda vault: vault.remove(A),
    "purge": lambda vault: vault.purge_aside(None),
}


@pytest.mark.parametrize("act", ACTS)
def test_killed_at_any_point_nothing_is_lost_but_what_is_to_go(act: str) -> None:
    """Under its name lies the old or the new object, whole; the old one is there or aside, unless it was to go."""
    point, done = 0, False
    while not done:
        for seed in (None, 1, 2, 3, 4):
            disk = SimDisk()
            vault = make_kept_vault(disk, "near")
            vault.put(A, [b"older"])
            vault.set_aside(A)
            vault.put(A, [b"old"])
            disk.on_write_point = power_loss_after(point)
            try:
                ACTS[act](vault)
                done = True
            except Crash:
                pass
            after_disk = disk.crash(seed)
            after = KeptFolderVault("near", "/near", after_disk, INSTALLATION, clock=SimClock())
            found = after.get(A) if after.size(A) is not None else None
            aside = {after.get(name) for name in names(after, "aside/")}
            if act == "replace":
                assert found == (b"whole" if done else found) and found in (b"old", b"whole")
            elif act != "purge":
                assert found in (None, b"old") and not (done and found)
            if act in ("set aside", "replace"):
                assert found == b"old" or b"old" in aside
            assert b"older" in aside or act == "purge"
            if done or found == b"old":  # again, to the end
                if found == b"old" or act in ("replace", "remove"):
                    ACTS[act](after)
                assert len(names(after, "aside/")) == len({after.get(n) for n in names(after, "aside/")})
        point += 1
    assert point > (1 if act == "purge" else 2)


@pytest.mark.parametrize(
    ("operation", "error", "expected"),
    [
        ("write", errno.ENOSPC, VaultFull),
        ("sync", errno.EIO, VaultSuspect),
        ("link", errno.EIO, VaultDown),
        ("rename", errno.EACCES, VaultDown),
        ("sync_folder", errno.EIO, VaultDown),
    ],
)
def test_failures_have_names_and_leave_the_old_object(operation: str, error: int, expected: type[Exception]) -> None:
    disk = SimDisk()
    vault = make_kept_vault(disk, "near")
    vault.put(A, [b"old"])
    vault.set_aside(A)
    vault.put(A, [b"other"])
    disk.fail(operation, error=error)
    with pytest.raises(expected, match="near"):
        vault.replace(A, [b"whole"])
    disk.mend()
    assert vault.get(A) == b"other"
    vault.replace(A, [b"whole"])
    assert vault.get(A) == b"whole"
