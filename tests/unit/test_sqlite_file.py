"""SQLite's page format against SQLite itself, and against bytes that nobody wrote."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.formats.sqlite_file import (
    CUT,
    INDEX_INTERIOR,
    INDEX_LEAF,
    MAX_COLUMNS,
    TABLE_INTERIOR,
    TABLE_LEAF,
    TYPES,
    Cell,
    Malformed,
    btree_page,
    cell,
    file_header,
    follow,
    free_trunk,
    local_bytes,
    overflow_pages,
    record_header,
    record_values,
    signed,
    varint,
)
from safehold.formats.sqlite_sums import sums
from safehold.formats.sqlite_wal import FRAME_BYTES, HEADER_BYTES, frame_head, holds, wal_header
from safehold.salvage.core_rows import can_be_row, row

SIZE = 1024
ROWS = 600


def value(rng: random.Random) -> object:
    return rng.choice(
        (
            None,
            0,
            1,
            rng.randint(-(1 << 63), (1 << 63) - 1),
            rng.randint(-(1 << 31), 1 << 31),
            rng.randint(-200, 200),
            rng.random() * 1e9,
            "ä" * rng.randint(0, 300),
            rng.randbytes(rng.choice((0, 3, 200, 990, 5_000))),
        )
    )


@pytest.fixture(scope="module", params=[SIZE, 4096])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[object, ...]]]:
    """A file of SQLite with rows of all sorts, in a table and in one without rowids."""
    path = tmp_path_factory.mktemp("sqlite") / "made.db"
    rng = random.Random(request.param)
    rows: list[tuple[object, ...]] = []
    db = apsw.Connection(str(path))
    db.pragma("page_size", request.param)
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, a, b, c); CREATE TABLE w (n, a, PRIMARY KEY (n)) WITHOUT ROWID")
    with db:
        for number in range(ROWS):
            rowid = number * 7 - 1000 if number % 3 else number << 40
            rows.append((rowid, value(rng), value(rng), value(rng)))
            db.execute("INSERT OR REPLACE INTO t VALUES (?, ?, ?, ?)", rows[-1])
            db.execute("INSERT OR REPLACE INTO w VALUES (?, ?)", (rowid, rng.randbytes(rng.choice((10, 400, 3_000)))))
    db.close()
    return path, rows


def test_every_record_reads_as_sqlite_reads_it(made: tuple[Path, list[tuple[object, ...]]]) -> None:
    path, rows = made
    data = path.read_bytes()
    header = file_header(data)
    usable = header.usable

    def read(number: int) -> bytes:
        return data[(number - 1) * header.page_bytes : number * header.page_bytes]

    tables: dict[int, tuple[object, ...]] = {}
    keys: dict[object, object] = {}
    kinds = set()
    for number in range(2, header.pages + 1):
        try:
            page = btree_page(read(number), usable)
        except Malformed:
            continue  # an overflow page
        kinds.add(page.type)
        assert page.odd == 0
        for at in page.cells:
            found = cell(read(number), at, page.type, usable)
            if page.type == TABLE_INTERIOR:
                continue
            payload, pages = follow(found, usable, read)
            assert len(pages) == overflow_pages(found.size, len(found.local), usable)
            head = record_header(payload)
            assert head.size == found.size == len(payload)
            values = record_values(head, payload)
            if page.type == TABLE_LEAF:
                assert values[0] is None
                tables[found.rowid] = (found.rowid, *values[1:])
            else:
                keys[values[0]] = values[1]
    assert tables == {row[0]: row for row in rows}
    db = apsw.Connection(str(path))
    assert keys == dict(db.execute("SELECT n, a FROM w"))
    db.close()
    assert kinds == TYPES


def test_page_one_is_read_behind_the_header(made: tuple[Path, list[tuple[object, ...]]]) -> None:
    data = made[0].read_bytes()
    header = file_header(data)
    page = btree_page(data[: header.page_bytes], header.usable, 100)
    found = [cell(data, at, page.type, header.usable) for at in page.cells]
    assert [record_values(record_header(one.local), one.local)[1] for one in found] == ["t", "w"]


def test_the_list_of_free_pages(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "free.db"))
    db.execute("CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(900000)); DELETE FROM t")
    free, count = db.pragma("freelist_count"), db.pragma("page_count")
    db.close()
    data = (tmp_path / "free.db").read_bytes()
    header = file_header(data)
    found, trunk = set(), header.free_trunk
    while trunk:
        found.add(trunk)
        trunk, leaves = free_trunk(data[(trunk - 1) * 4096 : trunk * 4096], header.usable)
        found |= set(leaves)
    assert len(found) == free and max(found) <= count


@pytest.mark.parametrize(
    ("data", "number", "end"),
    [
        (b"\x00", 0, 1),
        (b"\x7f", 127, 1),
        (b"\x81\x00", 128, 2),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", (1 << 64) - 1, 9),
        (b"\x80\x80\x80\x80\x80\x80\x80\x80\x05", 5, 9),
    ],
)
def test_varint(data: bytes, number: int, end: int) -> None:
    assert varint(data + b"\x33", 0) == (number, end)
    if len(data) > 1:
        with pytest.raises(Malformed):
            varint(data[:-1], 0)


def test_a_rowid_may_be_negative() -> None:
    assert signed((1 << 64) - 1) == -1 and signed(5) == 5


def test_values_whose_bytes_are_not_there_are_cut() -> None:
    payload = b"\x05\x01\x10\x17\x08" + b"\x07" + b"ab" + b"hello"
    head = record_header(payload)
    assert record_values(head, payload) == [7, b"ab", "hello", 0]
    assert record_values(head, payload[:9]) == [7, b"ab", CUT, 0]
    assert record_values(head, payload[:5]) == [CUT, CUT, CUT, 0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x03\x0a\x00",  # a serial type that is none
        b"\x03\x0b\x00",
        b"\x09\x01",  # a header beyond the end
        b"\x00",  # a header shorter than itself
        b"\x03\x80\x05",  # a serial type in more bytes than it needs
        b"\x03\x01\x81",  # a column cut by the header's end
        bytes([MAX_COLUMNS + 2, *[8] * (MAX_COLUMNS + 1)]),
    ],
)
def test_records_that_are_none(data: bytes) -> None:
    with pytest.raises(Malformed):
        record_header(data)


def test_a_text_that_is_not_utf8_is_no_record() -> None:
    payload = b"\x02\x0f\xff"
    with pytest.raises(Malformed):
        record_values(record_header(payload), payload)


def test_an_overflow_chain_that_comes_back_to_itself_ends() -> None:
    asked: list[int] = []

    def read(number: int) -> bytes:
        asked.append(number)
        return ({5: 6, 6: 7, 7: 5}[number]).to_bytes(4, "big") + bytes(1020)

    payload, pages = follow(Cell(1, 0, 1 << 24, b"abc", 5, 10), 1024, read)
    assert pages == asked == [5, 6, 7]
    assert len(payload) == 3 + 3 * 1020


def test_an_overflow_chain_with_a_page_lost_is_cut_there() -> None:
    pages = {5: (6).to_bytes(4, "big") + b"x" * 1020, 6: None}
    payload, read = follow(Cell(1, 0, 5_000, b"abc", 5, 10), 1024, lambda number: pages[number])
    assert payload == b"abc" + b"x" * 1020 and read == [5]


@given(st.binary(min_size=1, max_size=1100), st.sampled_from((100, 512, 1016, 1024)), st.sampled_from((0, 100)))
@settings(max_examples=400, deadline=500, derandomize=True)
def test_any_bytes_are_a_page_or_malformed(data: bytes, usable: int, start: int) -> None:
    read_all(data, usable, start)


@given(
    kind=st.sampled_from(sorted(TYPES)),
    pointers=st.lists(st.integers(0, 1030), max_size=200),
    content=st.integers(0, 1100),
    data=st.binary(max_size=900),
    fill=st.integers(0, 255),
)
@settings(max_examples=400, deadline=500, derandomize=True)
def test_any_page_with_a_plausible_head_is_read_without_harm(
    kind: int, pointers: list[int], content: int, data: bytes, fill: int
) -> None:
    page = bytearray(bytes([fill]) * 1024)
    page[1024 - len(data) :] = data
    page[:8] = bytes([kind, 0, 0]) + len(pointers).to_bytes(2, "big") + content.to_bytes(2, "big") + b"\0"
    for place, at in enumerate(pointers):
        page[12 + 2 * place : 14 + 2 * place] = at.to_bytes(2, "big")
    read_all(bytes(page[:1024]), 1016, 0)


def read_all(data: bytes, usable: int, start: int) -> None:
    try:
        page = btree_page(data.ljust(start + 12, b"\0"), usable, start)
    except Malformed:
        return
    assert len(set(page.cells)) == len(page.cells) <= usable
    for at in page.cells:
        try:
            found = cell(data, at, page.type, usable)
            head = record_header(found.local)
            values = record_values(head, found.local)
            assert len(values) == len(head.types) <= MAX_COLUMNS
            if can_be_row(page.type, head):
                row(page.type, found.rowid, values)
        except Malformed:
            continue


@given(st.integers(1, 1 << 30), st.integers(480, 65_536), st.booleans())
@settings(derandomize=True)
def test_what_lies_in_a_cell_is_bounded(payload: int, usable: int, table_leaf: bool) -> None:
    local = local_bytes(payload, usable, table_leaf=table_leaf)
    assert 0 < local <= min(payload, usable)
    assert (local == payload) == (overflow_pages(payload, local, usable) == 0)


def test_frames_of_a_log_sum_up_as_sqlite_sums_them(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "w.db"))
    db.pragma("journal_mode", "wal")
    db.execute("CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(20000))")
    data = (tmp_path / "w.db-wal").read_bytes()
    db.close()
    header = wal_header(data)
    before, at, commits = header.sums, HEADER_BYTES, 0
    step = FRAME_BYTES + header.page_bytes
    frames = []
    while at < len(data):
        frame = data[at : at + step]
        head = frame_head(frame)
        assert holds(frame, head, before, header.order) and head.salt == header.salt
        flipped = bytearray(frame)
        flipped[500] ^= 1
        assert not holds(bytes(flipped), head, before, header.order)
        before, at, commits = head.sums, at + step, commits + bool(head.commit)
        frames.append(head.page)
    assert commits == 2 and len(frames) > 5
    for hit in (0, 5, 9, 20, 27):
        with pytest.raises(Malformed):
            wal_header(data[:hit] + bytes([data[hit] ^ 1]) + data[hit + 1 : HEADER_BYTES])


def test_sums_are_those_that_the_steps_give() -> None:
    data = random.Random(3).randbytes(64)
    for order in ("little", "big"):
        first, second = 5, (1 << 32) - 2
        for at in range(0, 64, 8):
            words = [int.from_bytes(data[place : place + 4], order) for place in (at, at + 4)]  # type: ignore[arg-type]
            first = first + words[0] + second & 0xFFFFFFFF
            second = second + words[1] + first & 0xFFFFFFFF
        assert sums(data, 16, (5, (1 << 32) - 2), "<" if order == "little" else ">") == (first, second)


def test_cells_of_index_pages_know_their_left_child() -> None:
    page = bytearray(512)
    page[300:304] = (77).to_bytes(4, "big")
    page[304:307] = b"\x02\x02\x08"
    assert cell(bytes(page), 300, INDEX_INTERIOR, 512) == Cell(0, 77, 2, b"\x02\x08", 0, 307)
    assert cell(bytes(page), 304, INDEX_LEAF, 512) == Cell(0, 0, 2, b"\x02\x08", 0, 307)
