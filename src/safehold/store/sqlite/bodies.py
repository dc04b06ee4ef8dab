"""Bodies as who reads may have them: what their digests say, from here or from a `BodySource`, or an error.

A body that cannot be read for its page's checksum, or is not what its digest says, is asked of the source together with
the others of the same read. Whoever reads gets the right bytes, or nothing at all. A body that the row says is not here
(a recovery found it nowhere) is no damage of the core, and is given as what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any

import apsw
import msgspec

from safehold.model.change import NO_DIGEST, props_digest
from safehold.model.errors import Held, LostBody
from safehold.model.items import Collection, Item
from safehold.model.kinds import PATH_IDENTITY
from safehold.ports.care import BodySource
from safehold.ports.core import Stored
from safehold.store.sqlite.errors import is_rot
from safehold.store.sqlite.rows import ITEM_COLUMNS_I

#: An item whose journal row is gone is there all the same, and damaged: it must not look absent, nor as a ghost.
#: Ordered afterwards: SQLite would carry the bodies through its sorter.
ITEMS_WITH_BODIES = f"""
    SELECT n.key, j.seq, j.body, j.blob, {ITEM_COLUMNS_I} FROM json_each(?) n
    CROSS JOIN item i ON i.collection = ? AND i.name = n.value LEFT JOIN journal j ON j.seq = i.journal
"""
_ROW = "SELECT body, blob, size, digest FROM journal WHERE seq = ?"
_SECRETS = """
    SELECT i.name, i.journal, i.digest FROM collection c JOIN item i ON i.collection = c.number
    WHERE c.account = ? AND c.path = ? AND c.deleted_rev IS NULL AND {} ORDER BY i.name
"""
_SECRET = _SECRETS.format("i.name = ?")
_SECRETS_UNDER = _SECRETS.format("i.name >= ? AND i.name < ?")

_first = itemgetter(0)
_encode_names = msgspec.json.encode


def stored(db: apsw.Connection, source: BodySource, journal: int, digest: bytes) -> Stored:
    """The body of one change. `digest` is what an item says of it; b"" where only the row tells.

    Raises BodiesDamaged, Held, OperatorError.
    """
    found = _here(db, source, journal, digest)
    if found is None:
        lost = LostBody(journal, digest)
        source.ask([lost])
        found = _brought(source, lost)
    return found


def of_items(
    items_named: Callable[[Collection, Sequence[str]], Iterable[Item]],
    db: apsw.Connection,
    source: BodySource,
    collection: Collection,
    names: Sequence[str],
) -> Iterator[tuple[Item, Stored]]:
    """As `CoreReads.items_with_bodies`, for one chunk. Raises BodiesDamaged, Held, OperatorError."""
    found: list[tuple[Item, Stored | None]] = []
    try:
        rows: Any = db.execute(ITEMS_WITH_BODIES, (_encode_names(names).decode(), collection.number)).fetchall()
    except apsw.Error as error:
        if not is_rot(error):
            raise
        for item in items_named(collection, names):
            found.append((item, _here(db, source, item.journal, item.digest)))
    else:
        for _, seq, body, blob, *columns in sorted(rows, key=_first):
            item = Item(*columns)
            good = seq is not None if body is None else sha256(body).digest() == item.digest
            here = Stored(body, blob, item.size) if good else _here(db, source, item.journal, item.digest)
            found.append((item, here))
    lost = [LostBody(item.journal, item.digest) for item, here in found if here is None]
    if lost:
        source.ask(lost)
    for item, here in found:
        yield item, here if here is not None else _brought(source, LostBody(item.journal, item.digest))


def secret(db: apsw.Connection, source: BodySource, account: int, name: str) -> bytes | None:
    rows: Any = db.execute(_SECRET, (account, PATH_IDENTITY, name)).fetchall()
    return stored(db, source, *rows[-1][1:]).inline if rows else None


def secrets(db: apsw.Connection, source: BodySource, account: int, first: str, last: str) -> list[tuple[str, bytes]]:
    """Of names from `first` on, below `last`."""
    rows: Any = db.execute(_SECRETS_UNDER, (account, PATH_IDENTITY, first, last)).fetchall()
    found = [(name, stored(db, source, journal, digest).inline) for name, journal, digest in rows]
    return [(name, body) for name, body in found if body is not None]


def props(db: apsw.Connection, source: BodySource, journal: int) -> bytes | None:
    """The properties that a change set, in canonical form."""
    change = source.get(journal)
    if change is None:
        try:
            row: Any = db.execute("SELECT props, props_digest FROM journal WHERE seq = ?", (journal,)).get
        except apsw.Error as error:
            if not is_rot(error):
                raise
            row = None
        if row is not None and (row[0] is None or props_digest(row[0]) == row[1]):
            return row[0]  # type: ignore[no-any-return]
        source.ask([LostBody(journal, NO_DIGEST)])
        change = source.get(journal)
        if change is None:
            raise Held("properties cannot be read now", hint="they are to be mended from a vault")
    return change.props


def _here(db: apsw.Connection, source: BodySource, journal: int, digest: bytes) -> Stored | None:
    """A body as it was brought, or as it lies here and is right; None where it is neither."""
    change = source.get(journal)
    if change is not None and digest in (NO_DIGEST, change.digest):
        return Stored(change.body, change.blob, change.size)
    try:
        row: Any = db.execute(_ROW, (journal,)).get
    except apsw.Error as error:
        if not is_rot(error):
            raise
        return None
    if row is None:
        return None
    body, blob, size, own = row
    good = body is None or sha256(body).digest() == (digest or own)
    return Stored(body, blob, size) if good else None


def _brought(source: BodySource, lost: LostBody) -> Stored:
    change = source.get(lost.journal)
    if change is None or (change.body is None and change.blob is None):
        raise Held("a body cannot be read now", hint="it is to be mended from a vault")
    return Stored(change.body, change.blob, change.size)
