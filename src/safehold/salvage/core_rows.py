"""Rows of a core told by their shape: how many columns, of which types. The schema table need not be there.

A page belongs to one table or index, so that its first cells say what all of it holds. What is looked for (see
store/sqlite/schema.py, all versions of it):

    table leaf    21 columns  journal         index  2   account's index (id, number), account_name, meta
                  12          collection             3   collection_id (account, id, number); others are passed over
                   4          account                7, 8, 13  stream, of versions 1, 2 and 4
                                                     12  item

An index's interior pages hold records too. Shapes are only a first sieve: a row of the journal proves itself by its
hash, all others count on pages whose checksum holds, and nowhere else.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from safehold.formats.sqlite_file import CUT, TABLE_LEAF, Cut, RecordHeader, Value
from safehold.model.change import DIGEST_BYTES, ID_BYTES
from safehold.model.kinds import RESTORE_ORDER
from safehold.store.sqlite.schema import OPS

JOURNAL_COLUMNS = 21
#: The last three columns may be cut off by a page that is lost: what stands before them is what the hash covers.
BLOB, PROPS, BODY = 18, 19, 20

#: The serial types of a journal row, as the bytes of its record's header: for rows that no pointer leads to any more.
_INT = rb"[\x01-\x06\x08\x09]"
_TEXT = rb"(?:[\x0d-\x7f]|[\x81-\xff][\x00-\x7f])"
_ANY = rb"(?:[\x00\x0c-\x7f]|[\x81-\xff][\x80-\xff]{0,3}[\x00-\x7f])"
JOURNAL_HEADER = re.compile(
    rb"[\x16-\x24]\x00" + _INT + rb"{7}[\x01\x08\x09][\x01-\x06\x08\x09\x2c]" + _TEXT + _TEXT + rb"[\x0c\x4c]" + _INT
    + rb"[\x0c\x4c]" + _TEXT + rb"[\x00\x4c]\x4c" + _ANY + _ANY + _ANY
)  # fmt: skip


class JournalRow(NamedTuple):
    """As in the table. `body`, `props` and `blob` are CUT where the pages that hold them are lost."""

    seq: int
    frame: int
    account: int
    kind: int
    rev: int
    timeline: int
    group: int
    at: int
    op: int
    collection: int | bytes
    name: str
    media: str
    digest: bytes
    size: int
    props_digest: bytes
    actor: str
    prev: bytes | None
    hash: bytes
    blob: bytes | Cut | None
    props: bytes | Cut | None
    body: bytes | Cut | None


class AccountRow(NamedTuple):
    number: int
    id: bytes
    name: str  # "" where it is not known


class CollectionRow(NamedTuple):
    """Out of the table, or out of its index: then `kind` is None and the rest is not known."""

    number: int
    id: bytes
    account: int
    kind: int | None = None
    path: str = ""
    rev: int = 0
    head: bytes = b""


class ItemRow(NamedTuple):
    collection: int
    name: str
    rev: int
    digest: bytes
    size: int
    media: str
    at: int


class StreamRow(NamedTuple):
    account: int
    kind: int
    rev: int
    head: bytes
    base_rev: int = 0
    base_head: bytes | None = None


class MetaRow(NamedTuple):
    name: str
    value: Value | Cut


Row = JournalRow | AccountRow | CollectionRow | ItemRow | StreamRow | MetaRow

_NAME_OF_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_STREAM_COLUMNS = (7, 8, 13)


def can_be_row(kind: int, header: RecordHeader) -> bool:
    """Whether a page of this type with such a record is worth reading at all."""
    types = header.types
    count = len(types)
    if kind == TABLE_LEAF:
        return count in (JOURNAL_COLUMNS, 12, 4) and types[0] == 0
    if count == 2:
        return types[0] == 2 * ID_BYTES + 12 or types[0] & 1 == 1
    if count == 3:
        return types[1] == 2 * ID_BYTES + 12
    return count == 12 or count in _STREAM_COLUMNS


def row(kind: int, rowid: int, values: list[Any]) -> Row | None:
    """The row that a record is, of a page of this type; None for one of something else."""
    count = len(values)
    if kind == TABLE_LEAF:
        if count == JOURNAL_COLUMNS:
            return _journal(rowid, values)
        if count == 12:
            return _collection(rowid, values)
        return _account(rowid, values) if count == 4 else None
    if count == 12:
        return _item(values)
    if count in _STREAM_COLUMNS:
        return _stream(values)
    if count == 3:
        account, id_, number = values
        if _number(account) and _id(id_) and _number(number):
            return CollectionRow(number, id_, account)
    if count == 2:
        first, second = values
        if _id(first):
            return AccountRow(second, first, "") if _number(second) else None
        if isinstance(first, str) and second is not CUT:
            return MetaRow(first, second)
    return None


def _journal(rowid: int, values: list[Any]) -> JournalRow | None:
    found = JournalRow(rowid, *values[1:])
    numbers = (found.frame, found.account, found.kind, found.rev, found.timeline, found.group, found.at, found.op)
    if not all(type(number) is int for number in (*numbers, found.size)) or found.kind not in range(len(RESTORE_ORDER)):
        return None
    if found.op not in range(len(OPS)) or found.rev < 1 or found.account < 0 or found.size < 0:
        return None
    if not (type(found.collection) is int or isinstance(found.collection, bytes)):
        return None
    if not all(isinstance(text, str) for text in (found.name, found.media, found.actor)):
        return None
    if not (_digest(found.hash) and (found.prev is None or _digest(found.prev))):
        return None
    for digest in (found.digest, found.props_digest):
        if digest != b"" and not _digest(digest):
            return None
    if not all(
        part is None or part is CUT or isinstance(part, bytes) for part in (found.blob, found.props, found.body)
    ):
        return None
    return found


def _account(rowid: int, values: list[Any]) -> AccountRow | None:
    first, id_, name, listed = values
    if first is not None or not _id(id_) or not isinstance(name, str) or not isinstance(listed, int) or rowid < 0:
        return None
    return AccountRow(rowid, id_, name if _NAME_OF_ACCOUNT.fullmatch(name) else "")


def _collection(rowid: int, values: list[Any]) -> CollectionRow | None:
    first, id_, account, kind, path, rev, head = values[:7]
    if first is not None or not isinstance(id_, bytes) or not _number(account) or not isinstance(path, str):
        return None
    if kind not in range(len(RESTORE_ORDER)) or not _number(rev) or not _digest(head):
        return None
    return CollectionRow(rowid, id_, account, kind, path, rev, head)


def _item(values: list[Any]) -> ItemRow | None:
    collection, name, rev, digest, size, media, at = values[:7]
    if not (_number(collection) and isinstance(name, str) and _number(rev) and _number(size)):
        return None
    if not (digest == b"" or _digest(digest)) or not isinstance(media, str) or type(at) is not int:
        return None
    return ItemRow(collection, name, rev, digest, size, media, at)


def _stream(values: list[Any]) -> StreamRow | None:
    account, kind, rev, head = values[:4]
    if not _number(account) or kind not in range(len(RESTORE_ORDER)) or not _number(rev) or not _digest(head):
        return None
    base_rev, base_head = (values[9], values[10]) if len(values) == 13 else (0, None)
    if not _number(base_rev) or not (base_head is None or _digest(base_head)):
        return None
    return StreamRow(account, kind, rev, head, base_rev, base_head)


def _number(value: object) -> bool:
    return type(value) is int and value >= 0


def _id(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == ID_BYTES


def _digest(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == DIGEST_BYTES
