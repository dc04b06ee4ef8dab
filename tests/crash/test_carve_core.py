"""What comes back out of a damaged core, against what was in it: each change that touches no page that was hit.

Long, as every sort of damage is done to the same few cores, and held against the same walk over their pages.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from safehold.formats.sqlite_sums import sums
from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change, Op, change_hash
from safehold.model.errors import OperatorError, OutOfSpace
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import Head
from safehold.ports.survivors import Proof, Survivor
from safehold.salvage.core_pages import NOTHING_KNOWN, CoreSource, Known, scan_core
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.store.realdisk import RealDisk
from safehold.store.sqlite import connection
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.pages import with_one_byte_right
from safehold.store.sqlite.schema import OPS
from safehold.store.sqlite.vfs import PAGE_BYTES, page_checksum
from tests.support.carving import Filler, Gathered, cid, keyed, needs_body, pages_of_rows
from tests.support.changes import Streams, account_id

ACCOUNTS = 5
CHANGES = 4_000
Key = tuple[bytes, Kind, int]


class Town(NamedTuple):
    """An intact core, and which pages each change lies on."""

    data: bytes
    made: dict[Key, Change]
    pages: dict[Key, set[int]]
    folder: Path

    @property
    def page_count(self) -> int:
        return len(self.data) // PAGE_BYTES


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town")
    path = folder / "core.db"
    core = SqliteCore.open(str(path), create=True)
    filler = Filler(20091001, ACCOUNTS)
    filler.begin(core)
    filler.more(core, CHANGES)
    core.close()
    made = keyed(filler.made)
    assert len(made) >= CHANGES
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    ids = dict(db.execute("SELECT number, id FROM account"))
    db.close()
    pages = {
        (ids[number], RESTORE_ORDER[kind], rev): pages for (number, kind, rev), pages in pages_of_rows(path).items()
    }
    assert pages.keys() == made.keys()
    assert max(len(each) for each in pages.values()) > 10, "no long overflow chain"
    return Town(path.read_bytes(), made, pages, folder)


def carve(data: bytes, folder: Path, log: bytes | None = None, known: Known = NOTHING_KNOWN) -> Gathered:
    (folder / "hit.db").write_bytes(data)
    if log is not None:
        (folder / "hit.db-wal").write_bytes(log)
    finds = Gathered()
    path = str(folder / "hit.db")
    scan_core([CoreSource(RealDisk(), path, "" if log is None else f"{path}-wal")], finds, known=known)
    return finds


def hit_pages(data: bytes, numbers: set[int], fill: Callable[[int], bytes] = bytes) -> bytes:
    hit = bytearray(data)
    for number in numbers:
        hit[(number - 1) * PAGE_BYTES : number * PAGE_BYTES] = fill(PAGE_BYTES)
    return bytes(hit)


def check(finds: Gathered, town: Town, hit: set[int]) -> None:
    """All that touches no page that was hit is there, as it was; nothing else is, and nothing twice."""
    right(finds, town.made)
    expected = {key for key, pages in town.pages.items() if not pages & hit}
    missing = expected - finds.changes().keys()
    assert not missing, f"{len(missing)} changes that were not hit are lost"


def key_of(change: Change) -> Key:
    return change.account, change.kind, change.rev


def without_blob(change: Change) -> Change:
    fields = {name: getattr(change, name) for name in Change.__struct_fields__}
    return Change(**fields | {"blob": change.blob and b"a name"})


def right(finds: Gathered, made: dict[Key, Change], *, twice: bool = False) -> None:
    """None wrong, none invented; none doubled, but where one is given again with what the first copy lacked."""
    for survivor in finds.survivors:
        change = survivor.change
        was = made[change.account, change.kind, change.rev]
        assert as_far_as(change, was) == was
        assert survivor.proof is Proof.CHAIN or change.prev == b""
    keys = [(s.change.account, s.change.kind, s.change.rev) for s in finds.survivors]
    assert twice or len(keys) == len(set(keys)), "a change came twice"


def as_far_as(change: Change, was: Change) -> Change:
    """The change, with what it does not claim to know put in."""
    fields = {name: getattr(change, name) for name in Change.__struct_fields__}
    if change.prev == b"":
        fields["prev"] = was.prev
    if change.body is None and needs_body(was):
        fields |= {"body": was.body}
    if change.props is None:
        fields |= {"props": was.props}
    return Change(**fields)


def test_an_intact_core_gives_its_journal(town: Town, tmp_path: Path) -> None:
    finds = carve(town.data, tmp_path)
    assert finds.changes(Proof.CHAIN) == town.made
    assert len(finds.survivors) == len(town.made) and not finds.asides
    assert finds.names == {account_id(n): f"person{n}" for n in range(1, ACCOUNTS + 1)}
    heads = {(c.account, c.kind): Head(c.rev, c.hash) for c in town.made.values()}
    assert {(w.account, w.kind): w.head for w in finds.witnesses} == heads
    live: dict[tuple[bytes, bytes, str], bytes] = {}
    for change in town.made.values():
        if change.op is Op.PUT:
            live[change.account, change.collection, change.name] = change.digest
        elif change.op is Op.DELETE:
            del live[change.account, change.collection, change.name]
    assert {(i.account, i.collection, i.name): i.digest for i in finds.known_items} == live


def seeds(ordinary: int, more: int) -> list[object]:
    return [*range(ordinary), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(ordinary, more))]


@pytest.mark.parametrize("seed", seeds(3, 20))
def test_one_page_of_a_hundred_zeroed(town: Town, tmp_path: Path, seed: int) -> None:
    hit = set(random.Random(seed).sample(range(1, town.page_count + 1), town.page_count // 100))
    check(carve(hit_pages(town.data, hit), tmp_path), town, hit)


@pytest.mark.parametrize("seed", seeds(1, 10))
def test_one_page_of_twenty_overwritten_with_noise(town: Town, tmp_path: Path, seed: int) -> None:
    rng = random.Random(f"noise {seed}")
    hit = set(rng.sample(range(1, town.page_count + 1), town.page_count // 20))
    check(carve(hit_pages(town.data, hit, rng.randbytes), tmp_path), town, hit)


@pytest.mark.parametrize("seed", seeds(1, 10))
def test_one_page_of_twenty_zeroed(town: Town, tmp_path: Path, seed: int) -> None:
    hit = set(random.Random(f"zero {seed}").sample(range(1, town.page_count + 1), town.page_count // 20))
    check(carve(hit_pages(town.data, hit), tmp_path), town, hit)


def test_the_first_page_zeroed_costs_nothing(town: Town, tmp_path: Path) -> None:
    finds = carve(hit_pages(town.data, {1}), tmp_path)
    assert finds.changes(Proof.CHAIN) == town.made


def test_the_first_ten_pages_zeroed(town: Town, tmp_path: Path) -> None:
    hit = set(range(1, 11))
    known = Known(
        frozenset(key[0] for key in town.made),
        {account: frozenset(c.collection for c in town.made.values() if c.account == account) for account in ids(town)},
    )
    check(carve(hit_pages(town.data, hit), tmp_path, known=known), town, hit)


def ids(town: Town) -> set[bytes]:
    return {account for account, _, _ in town.made}


@pytest.mark.parametrize("pages", [0, 1, 57, 2_000])
def test_cut_short(town: Town, tmp_path: Path, pages: int) -> None:
    kept = town.page_count - 300 if pages == 2_000 else pages
    data = town.data[: kept * PAGE_BYTES + 700]
    check(carve(data, tmp_path), town, set(range(kept + 1, town.page_count + 1)))


def test_without_its_beginning(town: Town, tmp_path: Path) -> None:
    """Overflow pages are found by their numbers, though nothing in the file says where page 1 was."""
    gone = set(range(1, 41))
    known = Known(
        frozenset(ids(town)),
        {account: frozenset(c.collection for c in town.made.values() if c.account == account) for account in ids(town)},
    )
    finds = carve(town.data[40 * PAGE_BYTES :], tmp_path, known=known)
    check(finds, town, gone)


def test_in_an_image_of_a_disk(town: Town, tmp_path: Path) -> None:
    rng = random.Random(7)
    image = rng.randbytes(3 * 512 * 1_001) + town.data + rng.randbytes(100_000)
    finds = carve(image, tmp_path)
    assert finds.changes(Proof.CHAIN) == town.made
    assert finds.sources[0][1] == "image"


def test_in_an_image_without_its_first_page(town: Town, tmp_path: Path) -> None:
    rng = random.Random(8)
    image = rng.randbytes(512 * 77) + hit_pages(town.data, {1}) + bytes(4096)
    assert carve(image, tmp_path).changes(Proof.CHAIN) == town.made


def test_in_an_image_among_files_of_other_programs(town: Town, tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "other.db"))
    db.execute("CREATE TABLE t (a, b, c, d)")
    with db:
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(None, bytes(16), "name", n) for n in range(30_000)])
    db.close()
    other = (tmp_path / "other.db").read_bytes()
    finds = carve(other + hit_pages(town.data, {1}) + other, tmp_path)
    assert finds.changes(Proof.CHAIN) == town.made
    assert finds.names == {account_id(n): f"person{n}" for n in range(1, ACCOUNTS + 1)}


def test_with_strange_bytes_put_in_between(town: Town, tmp_path: Path) -> None:
    """What a file system's repair leaves behind: one half moved against the other. Only chains across it suffer."""
    middle = town.page_count // 2
    data = town.data[: middle * PAGE_BYTES] + random.Random(9).randbytes(512 * 5) + town.data[middle * PAGE_BYTES :]
    finds = carve(data, tmp_path)
    across = {key for key, pages in town.pages.items() if min(pages) <= middle < max(pages)}
    right(finds, town.made)
    assert not town.made.keys() - finds.changes().keys() - across


def test_a_flipped_byte_on_many_pages(town: Town, tmp_path: Path) -> None:
    """One changed byte is put right by the checksum, where it is told beyond doubt; else the rows have their hashes."""
    rng, doubtful = random.Random(11), set[int]()
    hit = bytearray(town.data)
    for number in range(2, town.page_count + 1, 15):
        begin = (number - 1) * PAGE_BYTES
        hit[begin + rng.randrange(PAGE_BYTES)] ^= 1 << rng.randrange(7)
        if with_one_byte_right(bytes(hit[begin : begin + PAGE_BYTES])) is None:
            doubtful.add(number)
    finds = carve(bytes(hit), tmp_path)
    # Neither properties nor the names of blobs are covered by a change's hash: the former have a digest, and are told.
    finds.survivors = [s._replace(change=without_blob(s.change)) for s in finds.survivors]
    check(finds, town._replace(made={key: without_blob(change) for key, change in town.made.items()}), doubtful)
    assert len(doubtful) < town.page_count // 40
    bare = [
        s.change for s in finds.survivors if s.change.props is None and town.made[key_of(s.change)].props is not None
    ]
    assert len(bare) == sum("properties" in aside.why for aside in finds.asides)


def test_pages_without_their_heads(town: Town, tmp_path: Path) -> None:
    """Of one leaf of the journal in twenty the pointers are gone: its rows are found without them."""
    rng = random.Random(12)
    leaves = [n for n in range(2, town.page_count + 1) if town.data[(n - 1) * PAGE_BYTES] == 13]
    hit = set(rng.sample(leaves, len(leaves) // 20))
    data = bytearray(town.data)
    for number in hit:
        data[(number - 1) * PAGE_BYTES : (number - 1) * PAGE_BYTES + 24] = bytes(24)
    finds = carve(bytes(data), tmp_path)
    check(finds, town, hit)
    on_them = {key for key, pages in town.pages.items() if pages & hit}
    assert len(finds.changes().keys() & on_them) > len(on_them) * 0.9


def test_on_a_disk_of_the_simulator_with_places_that_cannot_be_read(town: Town) -> None:
    class Failing:
        def __init__(self, inner: object) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def read_at(self, offset: int, count: int) -> bytes:
            if offset < 400_000 + 4_096 and offset + count > 400_000:
                raise OSError(5, "cannot be read")
            return self.inner.read_at(offset, count)  # type: ignore[attr-defined]

    disk = SimDisk()
    file = disk.open("/core.db", write=True, create=True)
    file.write_at(0, town.data)
    opened = disk.open
    disk.open = lambda path, **how: Failing(opened(path, **how))  # type: ignore[assignment, misc]
    finds = Gathered()
    scan_core([CoreSource(disk, "/core.db")], finds)
    hit = {400_000 // PAGE_BYTES + n for n in range(-3, 7)}
    check(finds, town, hit)
    assert any("cannot be read" in words for _, words in finds.problems)


def test_pages_of_four_kilobytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAGE_BYTES", 4096)
    core = SqliteCore.open(str(tmp_path / "old.db"), create=True)
    filler = Filler(3, 2)
    filler.begin(core)
    filler.more(core, 400)
    core.close()
    data = (tmp_path / "old.db").read_bytes()
    for hit in (data, bytes(4096) + data[4096:]):
        assert carve(hit, tmp_path).changes(Proof.CHAIN) == keyed(filler.made)


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, dict[Key, Change]]:
    """A small core, half of it in the log."""
    path = tmp_path_factory.mktemp("village") / "core.db"
    filler = Filler(21, 2)
    core = SqliteCore.open(str(path), create=True)
    filler.begin(core)
    filler.more(core, 100)
    core._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    filler.more(core, 60)
    data, log = path.read_bytes(), path.with_name("core.db-wal").read_bytes()
    core.close()
    return data, log, {key: without_blob(change) for key, change in keyed(filler.made).items()}


@pytest.mark.parametrize("seed", seeds(12, 300))
def test_no_damage_makes_anything_up(
    village: tuple[bytes, bytes, dict[Key, Change]], tmp_path: Path, seed: int
) -> None:
    rng = random.Random(f"any damage {seed}")
    data, log, made = village
    finds = carve(damaged(rng, data), tmp_path, damaged(rng, log) if rng.random() < 0.7 else None)
    finds.survivors = [s._replace(change=without_blob(s.change)) for s in finds.survivors]
    collections = {change.collection for change in made.values()}
    finds.survivors = [s for s in finds.survivors if s.proof is Proof.CHAIN or s.change.collection in collections]
    right(finds, made, twice=True)
    assert all((item.account, item.kind, item.rev) in made for item in finds.known_items)
    assert all(made[w.account, w.kind, w.head.rev].hash == w.head.hash for w in finds.witnesses)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some of what disks, file systems and people do to a file."""
    hit = bytearray(data)
    for _ in range(rng.randint(1, 12)):
        begin, at = rng.randrange(max(1, len(hit))), rng.randrange(max(1, len(hit)))
        size = rng.choice((1, 4, 100, 512, PAGE_BYTES, 10_000))
        match rng.randrange(6):
            case 0:
                hit[begin : begin + size] = bytes(len(hit[begin : begin + size]))
            case 1:
                hit[begin : begin + size] = rng.randbytes(len(hit[begin : begin + size]))
            case 2:  # a page where another was
                begin, at = begin // PAGE_BYTES * PAGE_BYTES, at // PAGE_BYTES * PAGE_BYTES
                hit[begin : begin + PAGE_BYTES] = hit[at : at + PAGE_BYTES]
            case 3:
                for place in range(begin, min(begin + size, len(hit)), 97):
                    hit[place] ^= 1 << rng.randrange(8)
            case 4 if rng.random() < 0.3:
                del hit[begin:]
            case _ if rng.random() < 0.3:
                begin = begin // 512 * 512
                hit[begin:begin] = rng.randbytes(512 * rng.randint(1, 9))
    return bytes(hit)


# -- ids


def test_ids_that_are_lost_twice_are_tried_from_what_is_known(town: Town, tmp_path: Path) -> None:
    db = apsw.Connection(str(town.folder / "core.db"), flags=apsw.SQLITE_OPEN_READONLY)
    sql = "SELECT pageno FROM dbstat WHERE name IN ('account', 'sqlite_autoindex_account_1')"
    hit = {page for (page,) in db.execute(sql)}
    db.close()
    assert hit
    data = hit_pages(town.data, hit)
    without = carve(data, tmp_path)
    assert without.changes().keys() == {key for key in town.made if key[0] == SYSTEM_ACCOUNT}
    assert len(without.asides) >= len(town.made) - len(without.survivors)
    assert all("account has number" in aside.why for aside in without.asides if aside.what == "change")
    finds = carve(data, tmp_path, known=Known(frozenset({*ids(town), bytes(range(16))})))
    assert finds.changes(Proof.CHAIN) == town.made


def test_a_collection_whose_id_is_lost_twice_comes_back_under_another(town: Town, tmp_path: Path) -> None:
    db = apsw.Connection(str(town.folder / "core.db"), flags=apsw.SQLITE_OPEN_READONLY)
    leaves = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
    hit = {max(page for (page,) in db.execute(leaves, ("collection",)))}
    hit |= {page for (page,) in db.execute(leaves, ("collection_id",))}
    db.close()
    finds = carve(hit_pages(town.data, hit), tmp_path)
    others: dict[bytes, set[bytes]] = {}
    for number, survivor in enumerate(finds.survivors):
        change = survivor.change
        was = town.made[key_of(change)]
        if change.collection != was.collection:
            assert survivor.proof is Proof.PAGE
            others.setdefault(was.collection, set()).add(change.collection)
            fields = {name: getattr(change, name) for name in Change.__struct_fields__}
            finds.survivors[number] = survivor._replace(change=Change(**fields | {"collection": was.collection}))
    assert others and all(len(ids) == 1 for ids in others.values())
    assert len(set.union(*others.values())) == len(others)
    check(finds, town, hit)


def test_a_lost_change_leaves_the_next_with_its_pages_as_proof(town: Town, tmp_path: Path) -> None:
    alone = next(
        key
        for key, pages in town.pages.items()
        if key[2] > 3 and len(pages) == 1 and sum(pages <= other for other in town.pages.values()) == 1
    )
    after = (alone[0], alone[1], alone[2] + 1)
    assert town.pages[alone] != town.pages[after]
    data = hit_pages(town.data, town.pages[alone])
    finds = carve(data, tmp_path)
    assert [
        (s.proof, s.change.prev) for s in finds.survivors if (s.change.account, s.change.kind, s.change.rev) == after
    ]
    proofs = {(s.change.account, s.change.kind, s.change.rev): s.proof for s in finds.survivors}
    assert alone not in proofs and proofs[after] is Proof.PAGE
    assert proofs[alone[0], alone[1], alone[2] + 2] is Proof.CHAIN
    known = Known(heads=lambda *key: [town.made[alone].hash] if key == alone else [])
    finds = carve(data, tmp_path, known=known)
    proofs = {(s.change.account, s.change.kind, s.change.rev): s.proof for s in finds.survivors}
    assert proofs[after] is Proof.CHAIN


# -- logs


class Logged(NamedTuple):
    data: bytes
    log: bytes
    made: dict[Key, Change]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A core whose file holds a third of it, and whose log the rest, over what an older log left."""
    path = tmp_path_factory.mktemp("logged") / "core.db"
    filler = Filler(5, 2)
    core = SqliteCore.open(str(path), create=True)
    filler.begin(core)
    filler.more(core, 300)
    core._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    filler.more(core, 100)
    core._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    filler.more(core, 400)
    data, log = path.read_bytes(), path.with_name("core.db-wal").read_bytes()
    core.close()
    return Logged(data, log, keyed(filler.made))


def test_a_core_with_its_log(logged: Logged, tmp_path: Path) -> None:
    finds = carve(logged.data, tmp_path, logged.log)
    assert finds.changes(Proof.CHAIN) == logged.made
    assert len(finds.survivors) == len(logged.made)


def sqlite_gives(data: bytes, log: bytes, folder: Path) -> set[bytes]:
    """Hashes of the changes that SQLite itself finds committed."""
    path = folder / "ask.db"
    path.write_bytes(data)
    path.with_name("ask.db-wal").write_bytes(log)
    path.with_name("ask.db-shm").unlink(missing_ok=True)
    db = apsw.Connection(str(path))
    found = {hash_ for (hash_,) in db.execute("SELECT hash FROM journal")}
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.close()
    return found


def test_a_log_torn_at_any_byte(logged: Logged, tmp_path: Path) -> None:
    rng = random.Random(4)
    step = PAGE_BYTES + 24
    cuts = [0, 1, 31, 32, 33, 32 + step, *(rng.randrange(len(logged.log)) for _ in range(6))]
    for cut in cuts:
        finds = carve(logged.data, tmp_path, logged.log[:cut])
        got = finds.changes()
        assert sqlite_gives(logged.data, logged.log[:cut], tmp_path) <= {change.hash for change in got.values()}, cut
        right(finds, logged.made)


def test_a_log_with_holes_gives_what_lies_behind_them(logged: Logged, tmp_path: Path) -> None:
    rng = random.Random(14)
    for _ in range(3):
        log = bytearray(logged.log)
        at = rng.randrange(len(log) // 2)
        log[at : at + 5_000] = rng.randbytes(5_000)
        finds = carve(logged.data, tmp_path, bytes(log))
        right(finds, logged.made)
        got = finds.changes()
        assert len(got) > len(logged.made) * 0.9
        assert {key for key in logged.made if key not in got}, "the hole hit nothing at all"


@pytest.mark.parametrize("headless", [False, True])
def test_a_log_alone(tmp_path: Path, headless: bool) -> None:
    filler = Filler(6, 2)
    core = SqliteCore.open(str(tmp_path / "core.db"), create=True)
    filler.begin(core)
    filler.more(core, 300)
    log = (tmp_path / "core.db-wal").read_bytes()
    core.close()
    path = tmp_path / "left.db-wal"
    path.write_bytes(bytes(32) + log[32:] if headless else log)
    for source in (CoreSource(RealDisk(), "", str(path)), *([] if headless else [CoreSource(RealDisk(), str(path))])):
        finds = Gathered()
        scan_core([source], finds)
        assert finds.changes(Proof.CHAIN) == keyed(filler.made)


def test_what_was_never_committed_gives_way(tmp_path: Path) -> None:
    """Pages that spilled into the log before a transaction was taken back, and others of its revs that were not."""
    path = tmp_path / "core.db"
    filler = Filler(8, 1)
    core = SqliteCore.open(str(path), create=True)
    filler.begin(core)
    core._db.pragma("cache_size", 10)
    heads, at = dict(filler.streams.heads), len(filler.made)
    core.begin()
    for _ in range(120):
        core.apply(filler.one(), 2)
    refused = filler.made[at:]
    del filler.made[at:]
    filler.streams.heads = heads
    core.rollback()
    core._db.pragma("cache_size", -60_000)
    filler.live.clear()
    filler.streams.timeline = 1
    filler.apply(core, [filler.one() for _ in range(12)])
    data, log = path.read_bytes(), path.with_name("core.db-wal").read_bytes()
    core.abandon()
    assert b"".join(filler.made[-1:][0].hash for _ in (0,)) in log
    assert any(change.hash in log for change in refused), "nothing spilled"
    finds = carve(data, tmp_path, log)
    committed = keyed(filler.made)
    got = {(s.change.account, s.change.kind, s.change.rev): s.change for s in finds.survivors}
    assert {key: got[key] for key in committed} == committed
    assert len(got) == len(finds.survivors), "two changes of one rev"


# -- what must not come back


def test_an_erased_account_does_not_come_back(tmp_path: Path) -> None:
    """The file still has its rows, where a crash came before the log was brought into it; the log has the register."""
    path = tmp_path / "core.db"
    filler = Filler(12, 3)
    core = SqliteCore.open(str(path), create=True)
    filler.begin(core)
    filler.more(core, 300)
    core._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    core._empty_wal = lambda: None  # type: ignore[method-assign]
    gone = account_id(2)
    register = filler.streams.identity(SYSTEM_ACCOUNT, f"erased/{gone.hex()}", b'{"at":1}')
    core.begin()
    core.apply(register, 900)
    core.drop_account(gone)
    core.commit()
    data, log = path.read_bytes(), path.with_name("core.db-wal").read_bytes()
    core.abandon()
    assert any(change.hash in data for change in filler.made if change.account == gone)
    finds = carve(data, tmp_path, log)
    assert finds.erased_ids == {gone}
    assert finds.changes(Proof.CHAIN) == keyed(c for c in filler.made if c.account != gone)
    assert (
        gone not in {i.account for i in finds.known_items} | {w.account for w in finds.witnesses} | finds.names.keys()
    )
    assert not finds.asides


def forged(right: Change, number: int, collection: int, name: str) -> bytes:
    """A row of the journal as a person might write it into a note: the next change of somebody's stream."""
    body = b"forged"
    fields = [
        right.account,
        right.kind,
        1,
        right.rev + 1,
        right.rev + 1,
        right.at,
        Op.PUT,
        right.collection,
        name,
        "t/x",
    ]
    fields += [sha256(body).digest(), len(body), b"", "device:me", sha256(b"a guess").digest()]
    hash_ = change_hash(*fields)  # type: ignore[arg-type]
    row = [None, 1, number, RESTORE_ORDER.index(right.kind), right.rev + 1, 1, right.rev + 1, right.at, 3, collection]
    row += [name, "t/x", *fields[10:12], b"", "device:me", fields[14], hash_, None, None, body]
    return record(row)


def record(values: list[object]) -> bytes:
    types, data = b"", b""
    for value in values:
        if value is None:
            types += varint(0)
        elif isinstance(value, int):
            types += b"\x01" if value < 128 else b"\x06"
            data += value.to_bytes(1 if value < 128 else 8, "big", signed=True)
        elif isinstance(value, str):
            types += varint(13 + 2 * len(value.encode()))
            data += value.encode()
        else:
            assert isinstance(value, bytes)
            types += varint(12 + 2 * len(value))
            data += value
    return bytes([len(types) + 1]) + types + data


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([128 | value >> 7, value & 127])


@pytest.mark.parametrize("damage", ["none", "every page", "heads"])
def test_a_body_that_looks_like_rows_is_a_body(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "core.db"
    filler = Filler(13, 2)
    core = SqliteCore.open(str(path), create=True)
    filler.begin(core)
    victim = filler.made[-1]
    number = core._db.execute("SELECT number FROM account WHERE id = ?", (victim.account,)).get
    collection = core._db.execute("SELECT number FROM collection WHERE id = ?", (victim.collection,)).get
    assert isinstance(number, int) and isinstance(collection, int)
    cell = forged(victim, number, collection, "evil.vcf")
    leaf = fake_leaf(cell)
    body = (b"x" * 77 + cell) * 3 + b"y" * 512 + leaf * 4
    me = account_id(1)
    note = filler.streams.make(me, Kind.NOTES, Op.PUT, cid(me, "files/notes"), "n.txt", body=body, media="text/plain")
    filler.apply(core, [note])
    core.close()
    data = bytearray(path.read_bytes())
    for at in range(PAGE_BYTES, len(data), PAGE_BYTES):
        if damage == "every page":
            data[at + PAGE_BYTES - 12] ^= 0xFF
            data[at + PAGE_BYTES - 9] ^= 0x55
        elif damage == "heads":
            data[at : at + 20] = bytes(20)
    finds = carve(bytes(data), tmp_path)
    made = keyed(filler.made)
    assert all(made.get((s.change.account, s.change.kind, s.change.rev)) is not None for s in finds.survivors)
    assert not any(s.change.name == "evil.vcf" for s in finds.survivors)
    if damage == "none":
        assert finds.changes(Proof.CHAIN) == made
    else:
        assert any(aside.name == "evil.vcf" for aside in finds.asides), "the forged row was not even seen"


def fake_leaf(payload: bytes) -> bytes:
    page = bytearray(PAGE_BYTES)
    at = PAGE_BYTES - 8 - len(payload) - 3
    page[0] = 13
    page[3:5] = (1).to_bytes(2, "big")
    page[5:7] = at.to_bytes(2, "big")
    page[8:10] = at.to_bytes(2, "big")
    page[at : at + 3 + len(payload)] = varint(len(payload)).rjust(2, b"\x80") + b"\x4d" + payload
    return bytes(page[:-8]) + page_checksum(bytes(page))


def test_a_salvage_without_room_says_so(village: tuple[bytes, bytes, dict[Key, Change]], tmp_path: Path) -> None:
    class Full(Gathered):
        def survivor(self, survivor: Survivor) -> None:
            raise OutOfSpace("the disk of the core is full")

    (tmp_path / "core.db").write_bytes(village[0])
    (tmp_path / "scratch").mkdir()
    with pytest.raises(OutOfSpace) as told:
        scan_core([CoreSource(RealDisk(), str(tmp_path / "core.db"))], Full(), scratch=str(tmp_path / "scratch"))
    assert "another disk" in told.value.hint
    assert not list((tmp_path / "scratch").iterdir())
    with pytest.raises(OperatorError):
        scan_core([CoreSource(RealDisk(), str(tmp_path / "none.db"))], Gathered())


@pytest.mark.parametrize("head_lost", [False, True])
@pytest.mark.parametrize("as_log", [False, True])
def test_a_body_that_looks_like_a_smaller_page_is_a_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head_lost: bool, as_log: bool
) -> None:
    """A page of 2 KiB, or a log with one in it, fits whole onto one of 4 KiB."""
    begun = Streams().mkcol(b"e" * 16, Kind.NOTES, "files/notes", {"type": "folder"})
    rows = begin_of(begun, 77), record([None, begun.account, "eve", 1])
    forged = [fake_log(fake_leaf(row)) if as_log else fake_leaf(row) for row in rows]
    monkeypatch.setattr(connection, "PAGE_BYTES", 4096)
    path = tmp_path / "core.db"
    filler = Filler(13, 2)
    core = SqliteCore.open(str(path), create=True)
    filler.begin(core)
    me = account_id(1)

    def put(part: bytes, before: int) -> int:
        """Where it lies in the file then; -1 where it is not whole on one page."""
        body = b"x" * before + part + b"x" * (10_000 - before)
        notes = cid(me, "files/notes")
        filler.apply(core, [filler.streams.make(me, Kind.NOTES, Op.PUT, notes, f"{before}.txt", body=body)])
        core._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return path.read_bytes().rfind(part)

    for part in forged:
        before = next(n for n in range(0, 8000, 700) if put(part, n) >= 0)
        before += -put(part, before) % 512
        assert put(part, before) % 512 == 0
    core.close()
    data = path.read_bytes()
    finds = carve(bytes(4096) + data[4096:] if head_lost else data, tmp_path)
    assert not any(s.change.account == begun.account for s in finds.survivors)
    assert "eve" not in finds.names.values()
    assert finds.changes(Proof.CHAIN) == keyed(filler.made)


@pytest.mark.parametrize("size", range(30_000, 30_000 + PAGE_BYTES, 300))
def test_a_body_that_ends_in_zeros_is_whole(tmp_path: Path, size: int) -> None:
    """Its last page has nothing on it, its checksum not either."""
    core = SqliteCore.open(str(tmp_path / "core.db"), create=True)
    filler = Filler(13, 1)
    filler.begin(core)
    me = account_id(1)
    body = b"x" * 20_000 + bytes(size - 20_000)
    put = filler.streams.make(me, Kind.NOTES, Op.PUT, cid(me, "files/notes"), "a.bin", body=body)
    filler.apply(core, [put])
    core.close()
    finds = carve((tmp_path / "core.db").read_bytes(), tmp_path)
    assert finds.changes(Proof.CHAIN) == keyed(filler.made)


def begin_of(change: Change, number: int) -> bytes:
    """The row of a stream's first change, whose collection is told by its id."""
    row: list[object] = [None, 1, number, RESTORE_ORDER.index(change.kind), change.rev, change.timeline, change.group]
    row += [change.at, OPS.index(change.op), change.collection, change.name, change.media, change.digest, change.size]
    row += [change.props_digest, change.actor, None, change.hash, None, change.props, None]
    return record(row)


def fake_log(page: bytes) -> bytes:
    """A log of one frame that was committed."""
    head = struct.pack(">IIIIII", 0x377F0682, 3007000, len(page), 0, 1, 2)
    before = sums(head, 6)
    frame = struct.pack(">II", 5, 5)
    end = sums(frame + page, (8 + len(page)) // 4, before)
    return head + struct.pack(">II", *before) + frame + head[16:24] + struct.pack(">II", *end) + page


def test_a_file_that_is_no_core(tmp_path: Path) -> None:
    finds = carve(random.Random(1).randbytes(100_000), tmp_path)
    assert not finds.survivors and finds.problems
    finds = carve(b"", tmp_path)
    assert not finds.survivors and finds.problems
