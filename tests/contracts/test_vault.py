"""One suite for every vault: what ports.vault promises. tests/support/vault_kinds says which kinds there are."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safehold.disaster.faults import count_write_points, power_loss_after
from safehold.formats.mark import NAME as MARK
from safehold.formats.mark import READER, reader
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.errors import OperatorError
from safehold.ports.vault import LengthMismatch, ObjectInfo, Vault, VaultDown, VaultFull, VaultSuspect
from safehold.store.realdisk import RealDisk
from safehold.vault.folder import FolderVault, place_reader
from tests.support.logs import INSTALLATION, make_vault
from tests.support.vault_kinds import Open, VaultKind, vault_parameters

A, B = "log/00000001/00000000-000000000000.seg", "log/00000001/00000001-000000000007.seg"


@pytest.fixture(params=vault_parameters())
def kind(request: pytest.FixtureRequest) -> VaultKind:
    kind: VaultKind = request.param
    return kind


@pytest.fixture
def opens(kind: VaultKind, tmp_path: Path) -> Iterator[Open]:
    """Opens an instance of one new vault, as often as is wanted; they are closed at the end."""
    opened: list[Vault] = []
    with kind.place(tmp_path) as place:

        def open_() -> Vault:
            opened.append(place())
            return opened[-1]

        yield open_
        for vault in opened:
            vault.close()


@pytest.fixture
def vault(opens: Open) -> Vault:
    return opens()


def listed(vault: Vault, prefix: str = "") -> list[ObjectInfo]:
    return [info for info in vault.list(prefix) if info.name not in (MARK, READER)]


def test_put_and_get(vault: Vault) -> None:
    assert vault.put(A, [b"hello ", b"", b"world"])
    assert vault.get(A) == b"hello world"
    assert vault.get(A, 6) == b"world"
    assert vault.get(A, 6, 2) == b"wo"
    assert vault.get(A, 50) == b""
    assert vault.get(A, 0, 0) == b""
    assert vault.size(A) == 11


def test_put_leaves_what_is_there(vault: Vault) -> None:
    assert vault.put("keys/a", [b"one"])
    assert not vault.put("keys/a", [b"two"])
    assert not vault.put("keys/a", ())
    assert vault.get("keys/a") == b"one"
    assert listed(vault) == [ObjectInfo("keys/a", 3)]


def test_what_is_large_comes_back_as_it_was(vault: Vault, kind: VaultKind) -> None:
    size = kind.large_bytes
    large = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert vault.put("recovery/plan/large", [large[: size // 2], large[size // 2 :]])
    assert vault.get("recovery/plan/large") == large
    vault.append(A, 0, large)
    assert vault.get(A, size * 9 // 10, 1000) == large[size * 9 // 10 :][:1000]
    assert vault.get(A) == large


def test_what_is_not_there(vault: Vault) -> None:
    assert vault.size(A) is None
    assert listed(vault, "log/") == []
    assert list(vault.folders("log/")) == []
    with pytest.raises(KeyError):
        vault.get(A)


def test_append_wants_the_length(vault: Vault) -> None:
    vault.append(A, 0, b"one")
    vault.append(A, 3, b"two")
    for wrong in (0, 3, 7):
        with pytest.raises(LengthMismatch):
            vault.append(A, wrong, b"three")
    vault.append(A, 6, b"!")
    assert vault.get(A) == b"onetwo!"
    with pytest.raises(LengthMismatch):
        vault.append(B, 4, b"x")
    assert vault.size(B) is None


def test_append_goes_on_after_put_and_between_objects(vault: Vault) -> None:
    vault.put(A, [b"head"])
    vault.append(A, 4, b"1")
    vault.append(B, 0, b"other")
    vault.append(A, 5, b"2")
    vault.close()
    vault.append(A, 6, b"3")
    vault.append(A, 7, b"")
    assert vault.get(A) == b"head123"
    assert vault.get(B) == b"other"


def test_lists_are_sorted_and_cut_by_prefix(vault: Vault) -> None:
    given = ["keys/b/2", "keys/b/10", "keys/a", "keys/a-b/1", "keys/b/1", "recovery/x", f"blobs/ab/{'ab' * 32}"]
    for name in given:
        vault.put(name, [b"x"])
    names = [info.name for info in listed(vault)]
    assert names == sorted(names) == sorted(given)
    assert [info.name for info in vault.list("keys/b/1")] == ["keys/b/1", "keys/b/10"]
    assert [info.name for info in vault.list("keys/a")] == ["keys/a", "keys/a-b/1"]
    assert [info.name for info in vault.list("blobs/")] == [f"blobs/ab/{'ab' * 32}"]
    assert list(vault.folders("keys/")) == ["a-b", "b"]
    assert vault.available()


def test_a_long_list_is_whole_also_while_something_else_is_asked(vault: Vault, kind: VaultKind) -> None:
    given = [f"keys/{folder}/{number:04d}" for folder in "abc" for number in range(kind.many_objects // 3)]
    for name in given:
        vault.put(name, [b"x"])
    seen = []
    for info in vault.list("keys/"):
        seen.append(info.name)
        assert vault.size(info.name) == 1
    assert seen == given


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk()


def test_what_was_appended_or_put_survives_a_crash(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    vault.put("log/a", [b"head"])
    vault.append("log/a", 4, b"more")
    vault.append("log/b", 0, b"new")
    after = FolderVault("near", "/near", disk.crash(), INSTALLATION)
    assert after.get("log/a") == b"headmore"
    assert after.get("log/b") == b"new"


def test_put_is_whole_or_not_there_wherever_it_is_cut() -> None:
    point = 0
    while True:
        disk = SimDisk()
        vault = make_vault(disk, "near")
        disk.on_write_point = power_loss_after(point)
        try:
            done = vault.put("blobs/ab/abcd", [b"x" * 1000, b"y" * 1000])
        except Crash:
            done = False
        for seed in (None, 1, 2, 3):
            after = FolderVault("near", "/near", disk.crash(seed), INSTALLATION)
            size = after.size("blobs/ab/abcd")
            assert size == 2000 or (size is None and not done)
        point += 1
        if done:
            assert point > 5
            return


def test_put_that_finds_the_name_taken_makes_it_last(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")

    def kill(operation: str, path: str) -> None:
        if operation == "sync_folder" and path == "/near/x":
            raise KeyboardInterrupt

    disk.on_write_point = kill
    with pytest.raises(KeyboardInterrupt):
        vault.put("x/a", [b"one"])
    disk.on_write_point = None
    assert not vault.put("x/a", [b"one"])
    assert FolderVault("near", "/near", disk.crash(), INSTALLATION).get("x/a") == b"one"


@pytest.mark.parametrize(
    ("operation", "error", "expected"),
    [
        ("write", errno.ENOSPC, VaultFull),
        ("write", errno.EIO, VaultDown),
        ("sync", errno.EIO, VaultSuspect),
        ("create", errno.ENOSPC, VaultFull),
        ("sync_folder", errno.EIO, VaultSuspect),
        ("create", errno.EROFS, VaultDown),
    ],
)
def test_failures_have_names(disk: SimDisk, operation: str, error: int, expected: type[Exception]) -> None:
    vault = make_vault(disk, "near")
    vault.put("log/other", [b"x"])
    for act in (lambda: vault.append("log/a", 0, b"data"), lambda: vault.put("log/b", [b"data"])):
        disk.fail(operation, error=error)
        with pytest.raises(expected, match="near"):
            act()
        disk.mend()


def test_a_handle_whose_sync_failed_is_not_used_again(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    vault.append("log/a", 0, b"one")
    disk.fail("sync", error=errno.EIO)
    with pytest.raises(VaultSuspect):
        vault.append("log/a", 3, b"two")
    with pytest.raises(LengthMismatch):
        vault.append("log/a", 3, b"two")


def test_an_append_of_nothing_makes_certain_of_what_another_process_failed_to_sync(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    vault.append("log/a", 0, b"one")
    disk.fail("sync", error=errno.EIO)
    with pytest.raises(VaultSuspect):
        vault.append("log/a", 3, b"two")
    survivor = disk.kill()
    FolderVault("near", "/near", survivor).append("log/a", 6, b"")
    assert FolderVault("near", "/near", survivor.crash()).get("log/a") == b"onetwo"


def test_an_append_of_nothing_makes_certain_of_a_name_that_another_process_failed_to_sync(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    vault.append("log/before", 0, b"something")
    disk.fail("sync_folder", error=errno.ENOSPC, path="/near/log")
    with pytest.raises(VaultSuspect):
        vault.append("log/a", 0, b"one")
    survivor = disk.kill()
    again = FolderVault("near", "/near", survivor)
    again.append("log/a", 3, b"")
    again.append("log/a", 3, b"two")
    assert FolderVault("near", "/near", survivor.crash()).get("log/a") == b"onetwo"


def test_an_append_of_nothing_leaves_what_is_there_at_every_write_point(disk: SimDisk) -> None:
    make_vault(disk, "near").append("log/a", 0, b"one")
    acted = disk.kill()
    points = count_write_points(acted, lambda: FolderVault("near", "/near", acted).append("log/a", 3, b""))
    assert points > 3
    for point in range(points):
        for seed in (None, 1, 2, 3):
            struck = acted.survivor()
            struck.on_write_point = power_loss_after(point)
            with pytest.raises(Crash):
                FolderVault("near", "/near", struck).append("log/a", 3, b"")
            struck.on_write_point = None
            assert FolderVault("near", "/near", struck.crash(seed)).get("log/a") == b"one"


def test_an_append_of_nothing_to_a_full_disk_leaves_no_copy(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    vault.append("log/a", 0, bytes(5000))
    disk.capacity_bytes = disk.used_bytes() + 100
    with pytest.raises(VaultFull):
        vault.append("log/a", 5000, b"")
    assert vault.get("log/a") == bytes(5000)
    assert not list(disk.list("/near/tmp"))


def remove_all(disk: RealDisk, folder: str) -> None:
    for entry in list(disk.list(folder)):
        if entry.is_folder:
            remove_all(disk, f"{folder}/{entry.name}")
            Path(f"{folder}/{entry.name}").rmdir()
        else:
            disk.remove(f"{folder}/{entry.name}")


ACTS: list[Callable[[Vault], object]] = [
    lambda vault: vault.size("log/a"),
    lambda vault: vault.size("log/none"),
    lambda vault: vault.get("log/a"),
    lambda vault: vault.put("log/b", [b"x"]),
    lambda vault: vault.append("log/a", 3, b"x"),
    lambda vault: vault.append("log/c", 0, b"x"),
    lambda vault: list(vault.list()),
    lambda vault: list(vault.list("log/")),
    lambda vault: vault.folders("log/"),
]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("how", ["moved away", "emptied"])
def test_a_missing_vault_is_down_and_nothing_is_made_in_its_place(
    tmp_path: Path, act: Callable[[Vault], object], how: str
) -> None:
    place = tmp_path / "v"
    vault = FolderVault.create("v", str(place), RealDisk(), INSTALLATION)
    vault.append("log/a", 0, b"one")
    if how == "moved away":
        place.rename(tmp_path / "elsewhere")
    else:
        remove_all(RealDisk(), str(place))
    with pytest.raises(VaultDown):
        act(vault)
    assert not vault.available()
    assert not place.exists() or not any(place.iterdir())


def test_a_strange_folder_is_no_vault(tmp_path: Path) -> None:
    disk = RealDisk()
    other = FolderVault.create("v", str(tmp_path / "v"), disk, b"o" * 16)
    assert other.available()
    ours = FolderVault("v", str(tmp_path / "v"), disk, INSTALLATION)
    assert not ours.available()
    with pytest.raises(VaultDown, match="another installation"):
        ours.append("log/a", 0, b"x")
    with pytest.raises(OperatorError, match="another installation"):
        FolderVault.create("v", str(tmp_path / "v"), disk, INSTALLATION)
    assert FolderVault("v", str(tmp_path / "v"), disk).available()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(OperatorError, match=r"letter\.txt"):
        FolderVault.create("v", str(tmp_path / "full"), disk, INSTALLATION)
    (tmp_path / "v" / "FORMAT").write_text(
        "This is a vault of Safehold.\n\nformat: 2\ninstallation: " + "0" * 32 + "\n"
    )
    with pytest.raises(VaultDown, match="format 2"):
        list(FolderVault("v", str(tmp_path / "v"), disk).list())


def test_create_is_harmless_and_survives_any_crash() -> None:
    for point in range(30):
        disk = SimDisk()
        disk.on_write_point = power_loss_after(point)
        try:
            make_vault(disk, "near")
            whole = True
        except Crash:
            whole = False
        after = disk.crash(point)
        again = make_vault(after, "near")
        assert again.available()
        assert make_vault(after, "near").put("log/a", [b"x"])
        if whole:
            return
    raise AssertionError("create never ended")


def test_left_over_temporaries_are_cleared_and_not_listed(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    disk.fail("link", error=errno.EIO)
    with pytest.raises(VaultDown):
        vault.put("log/a", [b"x"])
    assert listed(vault) == []
    assert vault.put("log/a", [b"x"])
    vault.clear_temporary()
    assert list(disk.list("/near/tmp")) == []


def test_every_folder_vault_has_the_reader(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    assert vault.get(READER) == reader()
    assert FolderVault("near", "/near", disk.crash(), INSTALLATION).get(READER) == reader()


def test_a_vault_that_an_earlier_release_made_gets_the_reader_and_keeps_one_that_it_has(disk: SimDisk) -> None:
    vault = make_vault(disk, "near")
    disk.remove("/near/reader.py")
    make_vault(disk, "near")
    assert vault.get(READER) == reader()
    make_vault(disk, "far")
    disk.remove("/far/reader.py")
    far = FolderVault("far", "/far", disk, INSTALLATION)
    far.put(READER, [b"# an earlier one"])
    place_reader(far)
    assert far.get(READER) == b"# an earlier one"
