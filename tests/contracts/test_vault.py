"""One suite for every vault: what ports.vault promises. tests/support/vault_kinds says which kinds there are."""

from __future__ import annotations

import contextlib
import errno
import random
import threading
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


# -- what else is promised of every kind


def test_a_put_twice_is_taken_once_whatever_its_bytes(opens: Open) -> None:
    one, other = opens(), opens()
    assert one.put("keys/a", [b"same"])
    for vault in (other, one):
        assert not vault.put("keys/a", [b"same"])
        assert not vault.put("keys/a", [b"another"])
        assert not vault.put("keys/a", [b"longer than what is there"])
        assert not vault.put("keys/a", [])
        assert vault.get("keys/a") == b"same"
    assert listed(other) == [ObjectInfo("keys/a", 4)]


def test_an_object_may_be_empty(vault: Vault) -> None:
    for name, chunks in {"keys/none": [], "keys/empty": [b""], "keys/some": [b"", b"x", b"", b"", b"y", b""]}.items():
        assert vault.put(name, chunks)
        assert not vault.put(name, [b"other"])
    assert [vault.get(name) for name in ("keys/none", "keys/empty", "keys/some")] == [b"", b"", b"xy"]
    assert vault.get("keys/none", 3, 5) == b""
    assert listed(vault, "keys/") == [("keys/empty", 0), ("keys/none", 0), ("keys/some", 2)]


def test_every_range_is_what_lies_there(vault: Vault) -> None:
    rng = random.Random(1)
    whole = rng.randbytes(5000)
    vault.put("recovery/ranges", [whole[:1000], whole[1000:1001], whole[1001:]])
    for start, end in ((0, 1), (1, 2400), (2400, 5000)):
        vault.append(A, start, whole[start:end])
    edges = (0, 1, 999, 1000, 1001, 2399, 2400, 2401, 4999, 5000, 5001, 9000)
    ranges = [(offset, count) for offset in edges for count in (None, 0, 1, 2, 2400, 5000, 9000)]
    for offset, count in ranges:
        expected = whole[offset : None if count is None else offset + count]
        for name in ("recovery/ranges", A):
            assert vault.get(name, offset, count) == expected, (name, offset, count)


def test_an_append_of_nothing_wants_the_length_too(vault: Vault) -> None:
    vault.append(A, 0, b"one")
    vault.append(A, 3, b"")
    for name, wrong in ((A, 2), (A, 4), (B, 1)):
        with pytest.raises(LengthMismatch):
            vault.append(name, wrong, b"")
    assert vault.get(A) == b"one"
    assert vault.size(B) is None


def test_of_two_who_append_at_one_length_one_is_told(opens: Open) -> None:
    one, other = opens(), opens()
    one.append(A, 0, b"1")
    other.append(A, 1, b"2")
    with pytest.raises(LengthMismatch):
        one.append(A, 1, b"x")
    with pytest.raises(LengthMismatch):
        one.append(A, 0, b"12")
    one.append(A, 2, b"3")
    with pytest.raises(LengthMismatch):
        other.append(A, 2, b"3")  # the same bytes are no excuse: it is another's append
    assert opens().get(A) == b"123"


def test_what_one_did_another_sees_at_once(opens: Open) -> None:
    one, other = opens(), opens()
    assert other.size(A) is None and listed(other) == [] and other.folders("log/") == []
    for length in range(5):
        one.append(A, length, b"x")
        assert (other.size(A), other.get(A), listed(other, "log/")) == (
            length + 1,
            b"x" * (length + 1),
            [(A, length + 1)],
        )
    assert other.folders("log/") == ["00000001"]
    one.put("keys/a", [b"y"])
    assert other.get("keys/a") == b"y"
    assert not other.put("keys/a", [b"z"])


def test_names_are_listed_in_the_order_of_their_bytes(vault: Vault) -> None:
    seed = 7
    rng = random.Random(seed)
    letters = "aAbZ09-_."
    parts = {rng.choice(letters[:-1]) + "".join(rng.choices(letters, k=rng.randrange(4))) for _ in range(40)}
    folders, files = sorted(parts)[::2], sorted(parts)[1::2]
    given = {f"keys/{name}" for name in files} | {f"keys/{folder}/{name}" for folder in folders for name in files[:2]}
    for name in sorted(given, key=lambda _: rng.random()):
        vault.put(name, [name.encode()])
    assert [info.name for info in listed(vault)] == sorted(given), seed
    assert all(info.size == len(info.name) for info in listed(vault))
    assert list(vault.folders("keys/")) == folders, seed
    for prefix in ("keys/", *(f"keys/{part[:length]}" for part in sorted(parts)[:12] for length in (1, 2, 3))):
        assert [info.name for info in vault.list(prefix)] == sorted(n for n in given if n.startswith(prefix)), prefix


LONG = "a" * 100
LIMITS = [
    *(f"keys/{LONG}", f"keys/{LONG[1:]}b/{LONG}", f"recovery/{LONG}", f"recovery/{LONG[1:]}b/{LONG}"),
    *("keys/-", "keys/_/0", "keys/a..b", "keys/a."),
]


def test_names_at_their_limits(vault: Vault) -> None:
    for name in LIMITS:
        assert vault.put(name, [name.encode()]), name
        assert not vault.put(name, [b"x"]), name
    for name in LIMITS:
        assert (vault.get(name), vault.size(name)) == (name.encode(), len(name))
    assert [info.name for info in listed(vault)] == sorted(LIMITS)


HOSTILE = [
    *("", "/", ".", "..", "keys/", "/keys/a", "keys//a", "keys/../keys/a", "../outside", "keys/../../outside"),
    *(
        "keys/./a",
        "./keys/a",
        "keys/a/..",
        "keys/.hidden",
        "keys/a b",
        "keys/a\\b",
        "keys/a\0b",
        "keys/a\nb",
        "keys/\xe9",
    ),
    *("keys/\xe9", "keys/%2e%2e/outside", "keys/a?x=1", "keys/a#x", "keys/~00000000000000000000", "keys/a:b"),
    *("tmp/00000000", "aside/x"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_are_none_are_refused_and_lead_nowhere(vault: Vault, tmp_path: Path, name: str) -> None:
    vault.put("keys/a", [b"x"])
    (tmp_path / "outside").write_bytes(b"secret")
    acts: list[Callable[[], object]] = [
        lambda: vault.put(name, [b"y"]),
        lambda: vault.put(name, []),
        lambda: vault.append(name, 0, b"y"),
        lambda: vault.append(name, 1, b"y"),
        lambda: vault.append(name, 1, b""),
    ]
    for act in acts:
        with pytest.raises((VaultDown, LengthMismatch)):
            act()
    with pytest.raises((VaultDown, KeyError)):
        vault.get(name)
    with contextlib.suppress(VaultDown):
        assert vault.size(name) is None
    with contextlib.suppress(VaultDown):
        assert {info.name for info in vault.list(name)} <= {"keys/a", MARK, READER}
    assert vault.get("keys/a") == b"x"
    assert listed(vault) == [("keys/a", 1)]
    assert (tmp_path / "outside").read_bytes() == b"secret"


@pytest.mark.parametrize("prefix", ["../", "keys/../", "keys/../../", "//", "/", "./", "keys//"])
def test_beginnings_that_are_none_lead_nowhere(vault: Vault, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "outside").write_bytes(b"secret")
    vault.put("keys/a/b", [b"x"])
    with contextlib.suppress(VaultDown):
        assert [info.name for info in vault.list(prefix)] == []
    with contextlib.suppress(VaultDown):
        assert list(vault.folders(prefix)) == []


def test_nobody_sees_a_put_before_it_is_whole(opens: Open) -> None:
    one, other = opens(), opens()
    name, seen = "recovery/plan/x", []

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            seen.append((other.size(name), [info.name for info in listed(other, "recovery/")]))
            with pytest.raises(KeyError):
                other.get(name)
            yield b"x" * 70_000

    assert one.put(name, chunks())
    assert seen == [(None, [])] * 3
    assert other.get(name) == b"x" * 210_000


@pytest.mark.parametrize("name", ["keys/a", A])
def test_a_put_that_breaks_off_leaves_nothing_under_its_name(opens: Open, name: str) -> None:
    one, other = opens(), opens()

    def chunks() -> Iterator[bytes]:
        yield b"x" * 70_000
        raise RuntimeError("its source is gone")

    with pytest.raises(RuntimeError, match="source"):
        one.put(name, chunks())
    assert (one.size(name), other.size(name)) == (None, None)
    assert listed(other) == []
    assert one.put("keys/b", [b"1"])
    assert other.put(name, [b"whole"])
    assert one.get(name) == b"whole"


def test_of_two_puts_of_one_name_the_first_to_end_is_the_object(opens: Open) -> None:
    one, other = opens(), opens()

    def chunks() -> Iterator[bytes]:
        yield b"late "
        assert other.put("keys/a", [b"first"])
        yield b"comer"

    assert not one.put("keys/a", chunks())
    assert one.get("keys/a") == other.get("keys/a") == b"first"
    assert listed(other) == [("keys/a", 5)]


def test_a_listing_has_what_was_there_when_it_began(opens: Open, kind: VaultKind) -> None:
    one, other = opens(), opens()
    given = {f"keys/{number % 3}/{number:04d}" for number in range(0, min(300, kind.many_objects), 2)}
    for name in given:
        one.put(name, [b"x"])
    seen: list[str] = []
    for number, info in enumerate(other.list("keys/")):
        seen.append(info.name)
        one.put(f"keys/{number % 3}/{2 * number + 1:04d}", [b"new"])
    assert seen == sorted(set(seen))
    assert given <= set(seen)


def test_many_who_look_beside_one_who_changes(opens: Open, kind: VaultKind) -> None:
    """What a looker sees only grows, is a beginning of what is there in the end, and lacks nothing that was done."""
    if not kind.threads:
        pytest.skip("its instances share what is for one thread")
    done: list[tuple[str, int]] = []  # what the changer has returned from
    ended = threading.Event()
    wrong: list[str] = []
    whole = random.Random(3).randbytes(40_000)

    def change(vault: Vault) -> None:
        length = 0
        for number in range(40):
            step = (number * 37) % 1500 + 1
            vault.append(A, length, whole[length : length + step])
            length += step
            done.append((A, length))
            vault.put(f"keys/{number:03d}", [whole[:number], whole[number : 2 * number]])
            done.append((f"keys/{number:03d}", 2 * number))

    def look(vault: Vault) -> None:
        seen = 0
        while not ended.is_set() or not seen:
            before = dict(done[: len(done)])
            sizes = {info.name: info.size for info in vault.list()}
            bad = [n for n, size in before.items() if sizes.get(n, -1) < size]
            length = vault.size(A) or 0
            data = vault.get(A) if length else b""
            if bad or length < seen or len(data) < length or not whole.startswith(data):
                wrong.append(f"lacks {bad}, {length} after {seen}, {len(data)} read")
            for name, size in list(before.items())[-2:]:
                if name != A and vault.get(name) != whole[:size]:
                    wrong.append(f"{name} is another")
            seen = length

    def guarded(act: Callable[[Vault], None], vault: Vault) -> None:
        try:
            act(vault)
        except BaseException as error:
            wrong.append(repr(error))

    lookers = [threading.Thread(target=guarded, args=(look, opens()), daemon=True) for _ in range(3)]
    for thread in lookers:
        thread.start()
    guarded(change, opens())
    ended.set()
    for thread in lookers:
        thread.join(60)
        assert not thread.is_alive()
    assert not wrong, wrong[:3]
    assert len(done) == 80


# -- folders on a disk that fails


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
