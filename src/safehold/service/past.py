"""What was, as its owner may look at it: versions and their bodies, collections that were removed, titles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

from safehold.content.title import title_of
from safehold.model.errors import BadRequest, Held, NotFound
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.point import parse_point
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads, Version

#: Large bodies are not read for their title.
_TITLED_BYTES = 64 * 1024


class Gone(NamedTuple):
    """A collection that was removed; `point` is the moment before."""

    path: str
    kind: Kind
    props: dict[str, str]
    at: int  # µs
    point: dict[Kind, int]


class Page(NamedTuple):
    """Some changes, newest first, and where to go on (None: that was all). `held`: kinds that cannot be looked at."""

    versions: list[Version]
    next: dict[Kind, int] | None
    held: dict[Kind, str]


def history_page(
    reads: CoreReads,
    account: Account,
    *,
    kind: Kind | None = None,
    path: str | None = None,
    name: str | None = None,
    limit: int,
    before: Mapping[Kind, int] | None = None,
) -> Page:
    """A person's own changes: not those of credentials. Raises BadRequest, and Held where the one kind is not whole."""
    if name is not None and path is None:
        raise BadRequest("an item is named within a collection: give its path too")
    if kind is Kind.IDENTITY:
        raise BadRequest("credentials have no history here")
    held = {k: reason for k in DATA_KINDS if (reason := reads.held(account.number, k)) is not None}
    if kind is not None and kind in held:
        raise Held(f"the history of {kind} cannot be looked at now: {held[kind]}")
    streams = [
        reads.history(account.number, kind=k, path=path, name=name, below=before)
        for k in DATA_KINDS
        if (kind is None or k is kind) and k not in held
    ]
    found = list(islice(_merged(streams), limit + 1))
    if len(found) <= limit:
        return Page(found, None, held)
    found = found[:limit]
    ends = dict(before or {})
    for version in found:
        ends[version.kind] = version.rev
    return Page(found, ends, held)


def _merged(streams: list[Iterator[Version]]) -> Iterator[Version]:
    """By time, newest first; within a stream the order is that of revs, whatever its clock said."""
    heads = [(stream, version) for stream in streams if (version := next(stream, None)) is not None]
    while heads:
        index = max(range(len(heads)), key=lambda i: heads[i][1].at)
        stream, version = heads[index]
        yield version
        following = next(stream, None)
        if following is None:
            del heads[index]
        else:
            heads[index] = stream, following


def removed_collections(reads: CoreReads, account: Account, kind: Kind) -> list[Gone]:
    """The last removed first. Raises Held where the stream is not whole."""
    reason = reads.held(account.number, kind)
    if reason is not None:
        raise Held(f"which {kind} were removed is not known now: {reason}")
    found = []
    for removed in reads.removed_collections(account.number, kind):
        version = reads.version_at(account.number, kind, removed.rev)
        first = removed.rev if version is None else version.group
        c = removed.collection
        found.append(Gone(c.path, kind, c.props, c.changed_at, {kind: first - 1}))
    return found


def find_version(reads: CoreReads, account: Account, text: str) -> Version:
    """The change that `KIND:REV` names. Raises BadRequest, NotFound, Held."""
    point = parse_point(text)
    if point is None or len(point) != 1:
        raise BadRequest(f"{text[:64]!r} names no change", hint="for instance contacts:12")
    ((kind, rev),) = point.items()
    if kind is Kind.IDENTITY:
        raise BadRequest("credentials have no history here")
    version = reads.version_at(account.number, kind, rev)
    if version is None:
        reason = reads.held(account.number, kind)
        if reason is not None:
            raise Held(f"{text} cannot be looked at now: {reason}")
        raise NotFound(f"there is no change {text}, or its history has been dropped")
    return version


def read_version(reads: CoreReads, blobs: Blobs, version: Version) -> Iterator[bytes]:
    """The body that a change brought, in pieces; the last one comes once the digest of all is known to be right.

    Raises NotFound where it brought none, Held where it cannot be had.
    """
    if not version.digest:
        raise NotFound("this change brought no body", hint="look at one whose op is put or refused")
    stored = reads.version_body(version.journal)
    if stored.inline is not None:
        pieces: Iterator[bytes] = iter((stored.inline,))
    elif stored.blob is not None:
        pieces = blobs.read(stored.blob, stored.size, digest=version.digest)
    else:
        raise Held(f"the body of {version.name} as it was then is not here")
    hasher, held = sha256(), b""
    for piece in pieces:
        if held:
            yield held
        hasher.update(piece)
        held = piece
    if hasher.digest() != version.digest:
        raise Held(f"the body of {version.name} is damaged here", hint="it is to be mended from a vault")
    yield held


def title_at(reads: CoreReads, journal: int, media: str, size: int) -> str:
    """What a person calls the item, as of a change; "" where that is not to be told from its body."""
    if size > _TITLED_BYTES:
        return ""
    body = reads.version_body(journal).inline
    return "" if body is None else title_of(media, body)
