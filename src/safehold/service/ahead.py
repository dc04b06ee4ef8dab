"""The person's word about a device that has seen what the server does not have (DESIGN section 5, sync tokens).

Until there is one such a device is answered 503: nothing is deleted on it. No answer of a server makes a device send
anew what it believes to be synced; so what it alone has comes back as a file that the person exports on it and
imports. After that, or instead, the person's word ends the 503 for that one state of that one collection:

    keep      the device is told of all that lives here, and of no delete: what it alone has stays on it
    accept    the device begins anew (403, or what its client takes for that): what it alone has goes from it

A word is an item `ahead/HHHH…` of the account's identity stream, named by the digest of the point that the device's
token names (collection, rev, hash); its body is the JSON object `{"word", "at"}`. So it holds after a restart, for any
device in exactly that state, and for no other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

import msgspec

from safehold.model.change import Op
from safehold.model.commands import Body, Outcome, ResolveAhead
from safehold.model.errors import BadRequest, NotFound
from safehold.model.items import Account
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.model.token import SyncPoint
from safehold.ports.core import CoreReads
from safehold.service.ledger import Ledger

AHEAD_PREFIX = "ahead/"
KEEP: Literal["keep"] = "keep"
ACCEPT: Literal["accept"] = "accept"
WORDS = (KEEP, ACCEPT)
#: The oldest makes room: a device that has synced since has another token.
MAX_WORDS = 64

_MEDIA = "application/json"
_NAME_CHARS = 32
POINT_BYTES = 40


class _Record(msgspec.Struct):
    word: str
    at: int


_decode = msgspec.json.Decoder(_Record).decode


def packed(point: SyncPoint) -> bytes:
    """A point as `ResolveAhead` carries it."""
    return point.collection + point.rev.to_bytes(8, "big") + point.hash


def name_of(point: bytes) -> str:
    return AHEAD_PREFIX + sha256(point).hexdigest()[:_NAME_CHARS]


def word_of(reads: CoreReads, account: Account, point: SyncPoint) -> str | None:
    """What the person said of a device in this state; None where nothing was said."""
    record = reads.secret(account.number, name_of(packed(point)))
    if record is None:
        return None
    try:
        word = _decode(record).word
    except msgspec.MsgspecError:
        return None
    return word if word in WORDS else None


def resolve(ledger: Ledger, command: ResolveAhead) -> Outcome:
    """Raises BadRequest, NotFound, Held."""
    if command.word not in WORDS:
        raise BadRequest(f"{command.word!r} is no word about a device", hint=" or ".join(WORDS))
    if len(command.point) != POINT_BYTES:
        raise BadRequest("this names no state of a device")
    account = ledger.account(command.account)
    ledger.head(account, Kind.IDENTITY)
    identity = ledger.collection(account, PATH_IDENTITY)
    if identity is None:
        raise NotFound("this account has no identity")
    name = name_of(command.point)
    there = _all(ledger.core, account)
    data = msgspec.json.encode(_Record(command.word, ledger.now))
    body = Body(sha256(data).digest(), len(data), inline=data)
    with ledger.group():
        for _, gone in sorted(there)[: max(0, len(there) + 1 - MAX_WORDS)]:
            if gone != name:
                ledger.append(account, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=gone)
        change = ledger.put(account, identity, name, _MEDIA, body, command.actor)
    return Outcome(rev=change.rev, name=command.word)


def _all(reads: CoreReads, account: Account) -> list[tuple[int, str]]:
    """When each word was said, and its item."""
    found = []
    for item, body in reads.secrets(account.number, AHEAD_PREFIX):
        try:
            found.append((_decode(body).at, item))
        except msgspec.MsgspecError:
            found.append((0, item))
    return found
