"""History and undo in the REST API: JSON requests to commands, what was found to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from safehold.model.commands import Undo
from safehold.model.errors import BadRequest
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.point import parse_point
from safehold.protocol.rest import parse_body, parse_time

DEFAULT_CHANGES = 100
MAX_CHANGES = 1_000
#: Names that an answer lists of each action; `counts` counts all.
MAX_NAMES = 10_000

#: A person's undo, as the history shows it.
ACTOR = "undo"


class _UndoRequest(msgspec.Struct, forbid_unknown_fields=True):
    to: str
    kind: str | None = None
    collection: str | None = None
    name: str | None = None
    below: bool = False
    deleted: bool = False
    confirm: bool = False


_decode_undo = msgspec.json.Decoder(_UndoRequest)


def parse_undo(body: bytes, account: Account) -> Undo:
    """POST undo. Raises BadRequest."""
    asked = parse_body(_decode_undo, body)
    return undo_command(
        account,
        asked.to,
        kind=asked.kind,
        collection=asked.collection,
        name=asked.name,
        below=asked.below,
        deleted=asked.deleted,
        confirm=asked.confirm,
    )


def undo_command(
    account: Account,
    to: str,
    *,
    kind: str | None = None,
    collection: str | None = None,
    name: str | None = None,
    below: bool = False,
    deleted: bool = False,
    confirm: bool = False,
) -> Undo:
    """What is asked for, as a command. Raises BadRequest."""
    revs = parse_point(to)
    if kind and collection:
        raise BadRequest("give a kind or a collection, not both")
    if name and not collection:
        raise BadRequest("an item is named within a collection: give its collection too")
    return Undo(
        account=account.id,
        actor=ACTOR,
        to=parse_time(to) if revs is None else None,
        revs=revs or {},
        kind=parse_kind(kind) if kind else None,
        path=collection.strip("/") if collection else None,
        name=name or None,
        deep=below,
        deleted_only=deleted,
        confirmed=confirm,
    )


def parse_kind(text: str) -> Kind:
    """Raises BadRequest."""
    if text not in DATA_KINDS:
        raise BadRequest(f"{text[:64]!r} is not a kind", hint="one of " + ", ".join(DATA_KINDS))
    return Kind(text)


def parse_before(text: str | None) -> dict[Kind, int] | None:
    """The query parameter `before`. Raises BadRequest."""
    if text is None:
        return None
    point = parse_point(text)
    if point is None:
        raise BadRequest(f"{text[:64]!r} is not a point of the history", hint="give `next` of the answer before")
    return point


def parse_flag(text: str | None) -> bool:
    """A query parameter that is there, and does not say no."""
    return text is not None and text.lower() not in ("0", "false", "no")


# -- answers ---------------------------------------------------------------------------------------------------


class ChangeView(msgspec.Struct, frozen=True):
    """One change. `change` names it, and its body is at history/CHANGE where it brought one."""

    change: str
    at: str
    op: str
    kind: Kind
    collection: str
    name: str
    media: str
    size: int
    digest: str
    actor: str


class HistoryPage(msgspec.Struct, frozen=True):
    """GET history. `next` is the `before` of the next page; null at the end."""

    history: Sequence[ChangeView]
    next: str | None
    held: Mapping[str, str]


class CollectionView(msgspec.Struct, frozen=True):
    kind: Kind
    collection: str


class RemovedView(msgspec.Struct, frozen=True):
    """A collection that was removed; `to` is the moment before, as undo takes it."""

    kind: Kind
    collection: str
    removed_at: str
    to: str


class Collections(msgspec.Struct, frozen=True):
    """GET collections."""

    collections: Sequence[CollectionView]
    removed: Sequence[RemovedView]
    held: Mapping[str, str]


class UndoAnswer(msgspec.Struct, frozen=True):
    """POST undo. `before` is the moment before it: undo it by going back there; null where nothing was changed."""

    to: str
    dry_run: bool
    added: Sequence[str]
    changed: Sequence[str]
    removed: Sequence[str]
    left: Sequence[str]
    counts: Mapping[str, int]
    before: str | None


def undo_view(named: Mapping[str, Sequence[str]], point: str, before: str, *, dry_run: bool) -> UndoAnswer:
    return UndoAnswer(
        to=point,
        dry_run=dry_run,
        added=named["added"][:MAX_NAMES],
        changed=named["changed"][:MAX_NAMES],
        removed=named["removed"][:MAX_NAMES],
        left=named["left"][:MAX_NAMES],
        counts={action: len(names) for action, names in named.items()},
        before=before or None,
    )
