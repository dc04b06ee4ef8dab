"""Changes of streams, made as a service makes them: numbered, chained, hashed."""

from __future__ import annotations

import json
from hashlib import sha256

from safehold.model.change import Change, Op, canonical_props, change_hash, props_digest
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, Head

START = 1_767_225_600_000_000
SECOND = 1_000_000


def account_id(number: int) -> bytes:
    return sha256(b"account %d" % number).digest()[:16]


def collection_id(path: str, times: int = 0) -> bytes:
    return sha256(f"{path} {times}".encode()).digest()[:16]


def card(uid: str, text: str = "Ann") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{uid}\r\nFN:{text}\r\nEND:VCARD\r\n".encode()


class Streams:
    """The writer's end of any number of streams; `at` is the clock, which each change moves on by a second."""

    def __init__(self, timeline: int = 1) -> None:
        self.timeline = timeline
        self.at = START
        self.heads: dict[tuple[bytes, Kind], Head] = {}
        self.made: list[Change] = []

    def make(
        self,
        account: bytes,
        kind: Kind,
        op: Op,
        collection: bytes = b"",
        name: str = "",
        *,
        body: bytes | None = None,
        blob: bytes | None = None,
        media: str = "",
        props: dict[str, str] | None = None,
        kept_props_digest: bytes = b"",
        group: int | None = None,
        actor: str = "device:phone",
    ) -> Change:
        head = self.heads.get((account, kind), EMPTY_HEAD)
        rev = head.rev + 1
        self.at += SECOND
        canonical = None if props is None else canonical_props(props)
        digest, size = (sha256(body).digest(), len(body)) if body is not None else (b"", 0)
        fields = (
            account,
            kind,
            self.timeline,
            rev,
            group or rev,
            self.at,
            op,
            collection,
            name,
            media,
            digest,
            size,
            kept_props_digest if canonical is None else props_digest(canonical),
            actor,
            head.hash,
        )
        change = Change(*fields, change_hash(*fields), None if blob else body, blob, canonical)
        self.heads[account, kind] = Head(rev, change.hash)
        self.made.append(change)
        return change

    def mkcol(self, account: bytes, kind: Kind, path: str, props: dict[str, str] | None = None) -> Change:
        return self.make(account, kind, Op.MKCOL, collection_id(path), path, props=props or {"type": "addressbook"})

    def put_card(self, account: bytes, path: str, name: str, uid: str | None = None, text: str = "Ann") -> Change:
        body = card(uid or name, text)
        return self.make(
            account, Kind.CONTACTS, Op.PUT, collection_id(path), name, body=body, media="text/vcard; charset=utf-8"
        )

    def identity(self, account: bytes, name: str, body: bytes) -> Change:
        return self.make(account, Kind.IDENTITY, Op.PUT, collection_id("identity"), name, body=body, media="text/plain")

    def profile(self, account: bytes, name: str, listed: bool = False) -> Change:
        return self.identity(account, "profile", json.dumps({"name": name, "listed": listed}).encode())

    def delete(self, account: bytes, kind: Kind, path: str, name: str) -> Change:
        return self.make(account, kind, Op.DELETE, collection_id(path), name)
