"""Rot in a core's file: it is found, and mended in place only where the bytes that come back are proved."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from safehold.lab.simdisk import SimDisk
from safehold.model.change import NO_DIGEST, Change
from safehold.model.errors import BodiesDamaged, Damaged, LostBody
from safehold.model.kinds import Kind
from safehold.ports.care import PageState
from safehold.ports.core import LogPosition
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.pages import with_one_byte_right
from safehold.store.sqlite.vfs import OLD_PAGE_BYTES, PAGE_BYTES, page_checksum
from tests.support.changes import Streams, account_id

ANN = account_id(1)
BOOK = "contacts/default"


class World:
    """A core at rest in a folder, and all changes that it holds, by their number in the journal."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "core.db"
        self.changes: dict[int, Change] = {}
        core = SqliteCore.open(str(self.path), create=True)
        streams = Streams()
        self._commit(core, [streams.mkcol(ANN, Kind.CONTACTS, BOOK)])
        for n in range(30):
            self._commit(core, [streams.put_card(ANN, BOOK, f"s{n}.vcf", text="x" * 600)])
            if n % 3 == 0:
                self._commit(core, [streams.put_card(ANN, BOOK, f"l{n}.vcf", text=f"{n}-" * (700 + 613 * n))])
        core.begin()
        core.drop_account(account_id(2))
        core.commit()
        core.close()

    def _commit(self, core: SqliteCore, changes: list[Change]) -> None:
        core.begin()
        for change in changes:
            self.changes[core.next_journal()] = change
            core.apply(change, core.next_journal())
        core.set_log_position(LogPosition(1, core.next_journal(), bytes(32)))
        core.commit()

    def copy(self, to: Path, damage: Callable[[bytearray], None] = lambda _: None) -> Path:
        data = bytearray(self.path.read_bytes())
        damage(data)
        to.write_bytes(data)
        return to

    def is_right(self, path: Path) -> bool:
        """Whether every row of a core reads as it was written."""
        core = SqliteCore.open(str(path), read_only=True)
        try:
            return {n: change for n, _, change in core.changes()} == self.changes
        finally:
            core.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("core"))


@pytest.mark.parametrize("page_bytes", [PAGE_BYTES, OLD_PAGE_BYTES])
def test_one_byte_that_changed_is_told_by_the_checksum(page_bytes: int) -> None:
    rng = random.Random(page_bytes)
    mended = 0
    for _ in range(200):
        page = rng.randbytes(page_bytes - 8)
        page += page_checksum(page + bytes(8))
        damaged = bytearray(page)
        damaged[rng.randrange(page_bytes)] ^= 1 << rng.randrange(8)
        right = with_one_byte_right(bytes(damaged))
        assert right in (page, None)
        mended += right is not None
    assert mended > 120


def test_other_damage_is_not_taken_for_one_byte() -> None:
    rng = random.Random(3)
    for _ in range(200):
        page = rng.randbytes(PAGE_BYTES - 8)
        damaged = bytearray(page + page_checksum(page + bytes(8)))
        at = rng.randrange(PAGE_BYTES - 2)
        damaged[at] ^= rng.randrange(1, 256)
        damaged[at + 1 + rng.randrange(min(40, PAGE_BYTES - at - 1))] ^= rng.randrange(1, 256)
        assert with_one_byte_right(bytes(damaged)) is None


def care_for(world: World, path: Path) -> str:
    """Mend what can be mended, as a service does; what became of the core."""
    try:
        core = SqliteCore.open(str(path))
    except Damaged:
        return "does not open"
    try:
        bad = [page for page in core.bad_pages(1, core.page_count()) if core.mend_page(page) is PageState.DAMAGED]
        if not bad:
            return "mended"
        for journal in core.rotten_rows(1, core.last_journal(), 1000):
            place = core.place_of(LostBody(journal, NO_DIGEST))
            if place is not None and place.rev:
                assert (place.account, place.kind, place.rev) == (ANN, Kind.CONTACTS, world.changes[journal].rev)
            core.mend_change(journal, world.changes[journal])
        left = [page for page in bad if core.mend_page(page) is PageState.DAMAGED]
        return "renew" if left else "mended by rows"
    except Damaged:
        return "renew"
    finally:
        core.close()


def garble(page: int, rng: random.Random, first: int = 0, count: int = PAGE_BYTES) -> Callable[[bytearray], None]:
    def damage(data: bytearray) -> None:
        at = (page - 1) * PAGE_BYTES + first
        data[at : at + count] = rng.randbytes(count)

    return damage


def sound(path: Path) -> bool:
    core = SqliteCore.open(str(path))
    try:
        return not core.bad_pages(1, core.page_count()) and core.fault() is None
    finally:
        core.close()


@pytest.mark.parametrize("sort", ["bit", "sector", "page", "pointer"])
def test_what_is_said_to_be_mended_is_as_it_was(world: World, tmp_path: Path, sort: str) -> None:
    rng = random.Random(sort)
    found: Counter[str] = Counter()
    pages = world.path.stat().st_size // PAGE_BYTES
    for page in range(2, pages + 1):
        if sort == "bit":
            at, bit = rng.randrange(PAGE_BYTES), rng.randrange(8)

            def damage(data: bytearray, page: int = page, at: int = at, bit: int = bit) -> None:
                data[(page - 1) * PAGE_BYTES + at] ^= 1 << bit
        elif sort == "sector":
            damage = garble(page, rng, 512 * rng.randrange(4), 512)
        elif sort == "page":
            damage = garble(page, rng)
        else:
            damage = garble(page, rng, 0, 8)
        path = world.copy(tmp_path / f"{page}.db", damage)
        became = care_for(world, path)
        found[became] += 1
        if became.startswith("mended"):
            assert sound(path), page
            assert world.is_right(path), page
        path.unlink()
    assert found["mended"] + found["mended by rows"] + found["renew"] + found["does not open"] == pages - 1
    if sort == "bit":
        assert found["mended"] > pages * 0.6
    if sort == "sector":
        assert found["mended by rows"] > pages * 0.4


def test_free_pages_are_made_sound(world: World, tmp_path: Path) -> None:
    path = world.copy(tmp_path / "free.db")
    core = SqliteCore.open(str(path))
    core.begin()
    core.drop_account(ANN)
    core.commit()
    core.close()
    data = bytearray(path.read_bytes())
    for page in range(len(data) // PAGE_BYTES // 2, len(data) // PAGE_BYTES):
        garble(page, random.Random(page))(data)
    path.write_bytes(data)
    core = SqliteCore.open(str(path))
    bad = core.bad_pages(1, core.page_count())
    assert len(bad) > 20
    states = Counter(core.mend_page(page) for page in bad)
    core.close()
    assert states[PageState.MENDED] == len(bad)
    assert sound(path)


def test_a_body_that_is_not_what_its_digest_says_is_written_again(world: World, tmp_path: Path) -> None:
    path = world.copy(tmp_path / "digest.db")
    core = SqliteCore.open(str(path))
    for journal in (3, 5):
        right = world.changes[journal].body
        assert right is not None
        core._db.execute("UPDATE journal SET body = ? WHERE seq = ?", (right[:-1] + b"?", journal))
        assert core.mend_change(journal, world.changes[journal])
        assert not core.mend_change(journal, world.changes[journal + 1])  # another change is none
    core.close()
    assert world.is_right(path)


class Source:
    """A BodySource that has everything, or nothing."""

    def __init__(self, changes: dict[int, Change], *, asks: bool) -> None:
        self._all = changes
        self._asks = asks
        self.brought: dict[int, Change] = {}

    def get(self, journal: int) -> Change | None:
        return self.brought.get(journal)

    def ask(self, lost: Sequence[LostBody]) -> None:
        if not self._asks:
            raise BodiesDamaged(lost)
        self.brought.update({body.journal: self._all[body.journal] for body in lost})


@pytest.mark.parametrize("seed", range(12))
def test_reads_give_the_right_bytes_or_raise(world: World, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    pages = world.path.stat().st_size // PAGE_BYTES

    def damage(data: bytearray) -> None:
        for _ in range(4):
            garble(rng.randrange(2, pages + 1), rng)(data)

    path = world.copy(tmp_path / "read.db", damage)
    told: list[Damaged] = []
    try:
        core = SqliteCore.open(str(path), read_only=True)
    except Damaged:
        return
    source = Source(world.changes, asks=True)
    core.source, core.on_damage = source, told.append
    try:
        collection = core.collection(1, BOOK)
        assert collection is not None
        items = core.items(collection)
        assert len(items) == len(world.changes) - 1
        by_digest = {change.digest: change.body for change in world.changes.values()}
        for item, stored in core.items_with_bodies(collection, [item.name for item in items]):
            assert stored.inline == by_digest[item.digest]
        for item in items:
            assert core.body(item).inline == by_digest[item.digest]
    except Damaged:
        assert told
    finally:
        core.close()
    core = SqliteCore.open(str(path), read_only=True)
    core.source = Source(world.changes, asks=False)
    try:
        if source.brought:
            with pytest.raises((BodiesDamaged, Damaged)):
                [core.version_body(journal) for journal in source.brought]
    finally:
        core.close()


def test_pages_are_looked_at_through_a_seam_too() -> None:
    disk = SimDisk()
    disk.make_folders("/core")
    core = SqliteCore.open("/core/core.db", disk=disk, create=True)
    streams = Streams()
    core.begin()
    made = [streams.mkcol(ANN, Kind.CONTACTS, BOOK), streams.put_card(ANN, BOOK, "a.vcf", text="x" * 9000)]
    for change in made:
        core.apply(change, 1)
    core.set_log_position(LogPosition(1, 1, bytes(32)))
    core.commit()
    core.close()
    core = SqliteCore.open("/core/core.db", disk=disk)
    overflow = next(n for n in range(2, core.page_count()) if b"x" * 2000 in core._pages().read(n))
    for bit in range(0, 80, 9):
        disk.flip_bit("/core/core.db", (overflow - 1) * PAGE_BYTES + 40 + bit, bit % 8)
    core._db.release_memory()
    assert core.bad_pages(1, core.page_count()) == [overflow]
    assert core.mend_page(overflow) is PageState.DAMAGED
    assert core.rotten_rows(1, core.last_journal(), 10) == [2]
    assert core.mend_change(2, made[1])
    assert core.mend_page(overflow) is PageState.SOUND
    assert core.change(2) == made[1]
    core.close()


@pytest.mark.parametrize("large", [False, True])
def test_what_only_the_writers_memory_has_whole_is_written_into_the_file(
    world: World, tmp_path: Path, large: bool
) -> None:
    """The file rots below a writer that has the pages of a row in its cache: "mended" means the file."""
    path = world.copy(tmp_path / "core.db")
    sizes = {n: len(change.body or b"") for n, change in world.changes.items()}
    journal = next(n for n, size in sizes.items() if (size > 4 * PAGE_BYTES) == large and size)
    body = world.changes[journal].body
    assert body is not None
    core = SqliteCore.open(str(path))
    assert [row[2] for row in core.changes(after_journal=journal - 1, limit=1)] == [world.changes[journal]]
    data = bytearray(path.read_bytes())
    at = data.index(body[-400:]) // PAGE_BYTES * PAGE_BYTES + 600
    data[at : at + 64] = bytes(byte ^ 0x55 for byte in data[at : at + 64])
    with path.open("r+b") as file:
        file.write(data)
    with pytest.raises(Damaged):
        world.is_right(path)
    assert core.mend_change(journal, world.changes[journal])
    assert world.is_right(path)
    core.close()
    assert world.is_right(path)
