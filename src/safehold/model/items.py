"""Accounts, collections and items as the core knows them now."""

from __future__ import annotations

import msgspec

from safehold.model.kinds import CollectionType, Kind


class Account(msgspec.Struct, frozen=True):
    """A person, family member or machine that owns streams. `number` is the core's local key, never shown."""

    number: int
    id: bytes  # 16 bytes
    name: str
    listed: bool  # shown on leaderboards


class Collection(msgspec.Struct, frozen=True):
    """A live collection. `number` is the core's local key; rev and head are of the last change that touched it."""

    number: int
    id: bytes
    account: int  # the account's number
    kind: Kind
    path: str  # under the account, e.g. "contacts/default", "files/notes/a/b"
    rev: int  # rev of the stream at the last change of this collection
    head: bytes  # the stream's hash at that rev
    created_rev: int
    created_at: int  # µs
    changed_at: int  # µs
    props: dict[str, str]

    @property
    def type(self) -> CollectionType:
        return CollectionType(self.props.get("type", "folder"))

    @property
    def components(self) -> frozenset[str]:
        """iCalendar components it accepts; empty where it is no calendar."""
        return frozenset(filter(None, self.props.get("components", "").split(",")))


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A live item without its body. `journal` is the local number of the change that holds the body."""

    name: str
    rev: int  # of the last change that touched it (body or properties)
    digest: bytes
    size: int
    media: str
    at: int  # µs, of the last body change
    created_at: int  # µs
    journal: int
    uid: str | None
    props_journal: int | None  # local number of the change that holds its properties; None where it has none
