"""Rows of the core's tables as values of the model."""

from __future__ import annotations

from typing import Any

import msgspec

from safehold.model.change import GENESIS, Change, parse_props
from safehold.model.items import Account, Collection
from safehold.model.kinds import RESTORE_ORDER
from safehold.ports.core import IntakeFigures, Version
from safehold.store.sqlite.schema import OPS

ACCOUNT_COLUMNS = "number, id, name, listed"
COLLECTION_COLUMNS = "number, id, account, kind, path, rev, head, created_rev, created_at, changed_at, props"
ITEM_COLUMNS = "name, rev, digest, size, media, at, created_at, journal, uid, props_journal"
#: The same of table i, for joins.
ITEM_COLUMNS_I = ", ".join(f"i.{column.strip()}" for column in ITEM_COLUMNS.split(","))

#: A change of the journal (j), with its account (a) and, where the core has it, its collection (c).
CHANGE_SELECT = """
    SELECT j.seq, j.frame,
        a.id, j.kind, j.timeline, j.rev, j.grp, j.at, j.op, COALESCE(c.id, j.collection), j.name, j.media, j.digest,
        j.size, j.props_digest, j.actor,
        COALESCE(j.prev, (
            SELECT p.hash FROM journal p WHERE p.account = j.account AND p.kind = j.kind AND p.rev = j.rev - 1)),
        j.hash, j.body, j.blob, j.props
    FROM journal j JOIN account a ON a.number = j.account LEFT JOIN collection c ON c.number = j.collection
"""
#: A line of history, without bodies.
VERSION_SELECT = """
    SELECT j.seq, j.account, j.kind, j.rev, j.grp, j.at, j.op, COALESCE(c.id, j.collection), COALESCE(c.path, ''),
        j.name, j.media, j.digest, j.size, j.actor
    FROM journal j LEFT JOIN collection c ON c.number = j.collection
"""

#: Rows of `meta` that say what waits in an account's intake: the account's number follows. They are derived from the
#: items `intake/…` of its identity, and kept so that nobody has to look for these. One that comes to nothing stays for
#: as long as streams are held for it.
INTAKE_ROWS = "intake/"

encode_intake = msgspec.msgpack.Encoder().encode
decode_intake = msgspec.msgpack.Decoder(tuple[int, int, int]).decode


def intake_item(size: int, is_blob: object) -> IntakeFigures:
    """What one item of the intake counts for."""
    return IntakeFigures(1, 0 if is_blob else size, size if is_blob else 0)


def account_of(row: Any) -> Account:
    return Account(row[0], row[1], row[2], bool(row[3]))


def collection_of(row: Any) -> Collection:
    return Collection(
        row[0],
        row[1],
        row[2],
        RESTORE_ORDER[row[3]],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        parse_props(row[10]),
    )


def change_of(row: Any) -> tuple[int, int, Change]:
    """(journal number, frame, change) of a row of CHANGE_SELECT."""
    seq, frame, account, kind, timeline, rev, group, at, op, collection, *rest = row
    name, media, digest, size, props_digest, actor, prev, hash_, body, blob, props = rest
    return (
        seq,
        frame,
        Change(
            account,
            RESTORE_ORDER[kind],
            timeline,
            rev,
            group,
            at,
            OPS[op],
            collection,
            name,
            media,
            digest,
            size,
            props_digest,
            actor,
            GENESIS if prev is None else prev,
            hash_,
            body,
            blob,
            props,
        ),
    )


def version_of(row: Any) -> Version:
    seq, account, kind, rev, group, at, op, *rest = row
    return Version(seq, account, RESTORE_ORDER[kind], rev, group, at, OPS[op], *rest)
