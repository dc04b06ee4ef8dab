"""From pages to rows: every cell that may be one, its payload put together, its body checked, into the scratch.

What the rows are worth is settled afterwards (core_proofs.py), when all of a stream is there. Rows that tell the
present (items, names) count only from the newest version of a page that is known, and only where its checksum holds.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from safehold.formats.sqlite_file import (
    CUT,
    TABLE_INTERIOR,
    TABLE_LEAF,
    Cell,
    Cut,
    Malformed,
    RecordHeader,
    cell,
    local_bytes,
    record_header,
    record_values,
)
from safehold.model.change import DIGEST_BYTES, props_digest
from safehold.ports.core import UNARCHIVED
from safehold.salvage.core_files import CoreFiles, Page
from safehold.salvage.core_rows import (
    JOURNAL_COLUMNS,
    AccountRow,
    CollectionRow,
    ItemRow,
    JournalRow,
    MetaRow,
    Row,
    StreamRow,
    can_be_row,
    row,
)
from safehold.store.carved import Carved, CarvedAside, CarvedCollection, CarvedRow, Fields, Rank, Whole
from safehold.store.sqlite.rows import INTAKE_ROWS

#: Cells at the head of a page that say whether it holds anything of use.
_FIRST_CELLS = 4
#: Cells of logs that are remembered, so that a leaf written again and again is read once.
_REMEMBERED_CELLS = 1 << 20
_META = ("log_position", "last_journal", "recovery", "recovery_mark", "end_in_doubt", "blobs_swept")

_decode_position = msgspec.msgpack.Decoder(tuple[int, int, bytes]).decode


class RowReader:
    """Reads pages of one set of files into a scratch. `main` and `log` are the numbers of its sources."""

    def __init__(self, files: CoreFiles, carved: Carved, main: int, logs: tuple[int, ...]) -> None:
        self._files = files
        self._carved = carved
        self._main = main
        self._logs = logs
        self._usable = files.layout.usable
        self._seen: set[int] = set()
        self.rows = 0  # of the journal
        self.odd_cells = 0  # of pages with rows, that are none
        self.log_position: tuple[int, int] | None = None  # timeline and frame

    def page(self, page: Page) -> None:
        taken: list[tuple[int, int]] = []
        if page.btree is not None and page.btree.type != TABLE_INTERIOR:
            self._cells(page, taken)
        for at in page.strays:
            if not any(begin <= at < end for begin, end in taken):
                self._stray(page, at)

    def _cells(self, page: Page, taken: list[tuple[int, int]]) -> None:
        assert page.btree is not None
        kind, useful, room = page.btree.type, 0, self._usable
        for place, at in enumerate(page.btree.cells):
            if place == _FIRST_CELLS and not useful:
                return  # of an index that is not needed
            try:
                found = cell(page.data, at, kind, self._usable)
                room -= found.end - at
                if room < 0:
                    return  # cells that overlap: no page that SQLite wrote
                header = record_header(found.local)
                if not can_be_row(kind, header):
                    continue
                if header.size != found.size:
                    raise Malformed("a record is not as long as its cell says")
                useful += 1
                taken.append((at, found.end))
                self._cell(page, at, found, header)
            except Malformed:
                self.odd_cells += 1
        self.odd_cells += page.btree.odd if useful else 0

    def _cell(self, page: Page, at: int, found: Cell, header: RecordHeader) -> None:
        assert page.btree is not None
        key = 0
        if page.log >= 0:
            key = hash((page.log, page.data[at : found.end]))
            if key in self._seen and (not page.newest or len(header.types) == JOURNAL_COLUMNS):
                return
        rank = Rank.FOUND if page.committed else Rank.UNCOMMITTED
        if self._record(page, page.btree.type, found, header, rank) and key and len(self._seen) < _REMEMBERED_CELLS:
            self._seen.add(key)

    def _stray(self, page: Page, at: int) -> None:
        """A record that no pointer leads to: of a page whose head is damaged, or of a row that was deleted."""
        try:
            header = record_header(page.data, at)
            local = local_bytes(header.size, self._usable, table_leaf=True)
            end, overflow = at + local, 0
            if local < header.size:
                overflow = int.from_bytes(page.data[end : end + 4], "big")
            if end + 4 * (local < header.size) > self._usable:
                return
            found = Cell(0, 0, header.size, page.data[at:end], overflow, end)
            self._record(page, TABLE_LEAF, found, header, Rank.STRAY)
        except Malformed:
            self.odd_cells += 1

    def _record(self, page: Page, kind: int, found: Cell, header: RecordHeader, rank: Rank) -> bool:
        """Read a record's row and keep it; whether it is as whole as it can be. Raises Malformed."""
        best: tuple[JournalRow, Whole] | None = None
        proved = page.proved
        wrong = b""
        for payload, overflow_proved, guessed in self._files.payloads(page, found):
            values = record_values(header, payload)
            of = row(kind, found.rowid, values)
            if not isinstance(of, JournalRow):
                if of is not None and not guessed and len(payload) == found.size:
                    self._other(page, of)
                    return True
                continue
            whole = _whole(of)
            if guessed and whole is not Whole.HERE:
                continue
            if best is None or whole is Whole.HERE:
                best = of, whole
                # What the overflow pages hold is proved by the body's digest, where nothing else lies on them.
                fixed = len(found.local) >= found.size - (header.types[-1] - 12 >> 1 if header.types[-1] >= 12 else 0)
                proved = page.proved and (fixed or overflow_proved())
            if whole is Whole.LOST and isinstance(of.body, bytes):
                wrong = of.body
            if whole is not Whole.LOST and not _parts_lost(of):
                break
        if best is None:
            if kind == TABLE_LEAF and len(header.types) == JOURNAL_COLUMNS and rank is not Rank.STRAY:
                self._cut(page, header, found)
            return False
        journal, whole = best
        if whole is Whole.LOST and wrong:
            why = "the body is not what its digest says"
            numbers = journal.account, journal.kind
            self._carved.put_aside(
                CarvedAside(*numbers, self._source(page), page.where, why, "body", journal.name, wrong)
            )
        self._journal(page, journal, whole, rank, proved)
        return whole is not Whole.LOST

    def _cut(self, page: Page, header: RecordHeader, found: Cell) -> None:
        """A row that cannot be told from what is left of it."""
        values = record_values(header, found.local)
        account, kind = (value if type(value) is int else None for value in values[2:4])
        why = "its hash is lost with an overflow page, or is none"
        self._carved.put_aside(
            CarvedAside(account, kind, self._source(page), page.where, why, "change", "", found.local)
        )

    def _source(self, page: Page) -> int:
        return self._main if page.log < 0 else self._logs[page.log]

    def _journal(self, page: Page, journal: JournalRow, whole: Whole, rank: Rank, proved: bool) -> None:
        self.rows += 1
        # No hash covers the name of a blob, but where there is one is known: in place of a body.
        blob = journal.blob if whole is Whole.NONE and journal.digest and isinstance(journal.blob, bytes) else None
        props = journal.props
        if isinstance(props, Cut) or (props is not None and props_digest(props) != journal.props_digest):
            props = None
        fields = Fields(
            journal.frame if page.good and journal.frame < UNARCHIVED else 0,
            journal.timeline,
            journal.group,
            journal.at,
            journal.op,
            journal.collection,
            journal.name,
            journal.media,
            journal.digest,
            journal.size,
            journal.props_digest,
            journal.actor,
            journal.prev,
            blob,
            props,
            _parts_lost(journal),
        )
        body = journal.body if whole is Whole.HERE and isinstance(journal.body, bytes) else None
        self._carved.put_row(
            CarvedRow(
                journal.account,
                journal.kind,
                journal.rev,
                journal.hash,
                rank,
                proved,
                self._source(page),
                page.where,
                fields,
                whole,
                body,
            )
        )

    # -- rows that say what is

    def _other(self, page: Page, of: Row) -> None:
        present = page.good and page.newest
        if isinstance(of, AccountRow):
            self._carved.put_account(of.number, of.id, page.good)
            if of.name and page.good:
                self._carved.put_account_name(of.number, of.name, page.newest)
        elif isinstance(of, CollectionRow):
            self._carved.put_collection(CarvedCollection(of.number, of.id, of.account, of.kind, page.good))
            if page.good and of.kind is not None and of.rev:
                self._carved.put_head(of.account, of.kind, of.rev, of.head, self._source(page))
        elif isinstance(of, StreamRow):
            if page.good and of.rev:
                self._carved.put_head(of.account, of.kind, of.rev, of.head, self._source(page))
            if page.good and of.base_rev and of.base_head is not None:
                self._carved.put_head(of.account, of.kind, of.base_rev, of.base_head, self._source(page))
        elif isinstance(of, ItemRow):
            if present:
                self._carved.put_item(*of, self._source(page), page.where)
            elif not page.good:
                why = "an item's row lies on a page whose checksum does not hold"
                data = f"{of.name}\nrev {of.rev}\nsha-256 {of.digest.hex()}\n{of.size} bytes, {of.media}\n".encode()
                self._carved.put_aside(
                    CarvedAside(None, None, self._source(page), page.where, why, "item", of.name, data)
                )
        elif isinstance(of, MetaRow) and present:
            self._meta(of)

    def _meta(self, of: MetaRow) -> None:
        if of.name == "log_position" and isinstance(of.value, bytes):
            try:
                timeline, frame, _ = _decode_position(of.value)
            except msgspec.DecodeError:
                return
            self.log_position = max(self.log_position or (0, 0), (timeline, frame))
        elif type(of.value) is int and of.name not in _META and not of.name.startswith((INTAKE_ROWS, "recovery/")):
            self._carved.put_account_name(of.value, of.name, newest=True)  # the index of names has two columns as well


def _whole(of: JournalRow) -> Whole:
    if isinstance(of.body, bytes):
        right = len(of.body) == of.size and sha256(of.body).digest() == of.digest
        return Whole.HERE if right else Whole.LOST
    if of.body is CUT:
        return Whole.LOST
    is_named = of.blob is CUT or (isinstance(of.blob, bytes) and len(of.blob) == DIGEST_BYTES)
    return Whole.LOST if of.digest and not is_named else Whole.NONE


def _parts_lost(of: JournalRow) -> bool:
    if of.blob is CUT or of.props is CUT:
        return True
    return isinstance(of.props, bytes) and props_digest(of.props) != of.props_digest
