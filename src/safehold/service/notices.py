"""Notices: what a person must be told, kept until they put it away.

A notice is an item `notice/HHHHHHHHHHHHHHHH-WHAT` of the account's identity stream: 16 hex digits of the µs at which it
was first told, and a word for what happened. So it is vaulted and restored with the credentials, and whoever can sign
in can read it. Its body is the JSON object of `_Record`. The words that people read are chosen elsewhere, by `what`:
here are facts only.

Bounds: a notice about the same thing (`what`, kind, collection) that is told within MERGE_SECONDS of the last time,
or whenever it happens for what may happen a thousand times, adds to the one that is there. An account has at most
MAX_NOTICES; the oldest of the same `what` makes room, else the oldest. What made room stays in the history.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from safehold.model.change import Op
from safehold.model.commands import Body, DismissNotice, Outcome, TellNotice
from safehold.model.errors import BadRequest, NotFound
from safehold.model.items import Account
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.ports.core import CoreReads
from safehold.service.ledger import Ledger

NOTICE_PREFIX = "notice/"

#: Much of a collection was deleted at once. Facts: `before` (µs), the last moment at which all was there; `device`.
MASS_DELETE = "mass-delete"
#: A delete that came during a recovery was not carried out: what it meant has changed since. Fact: `device`.
INTAKE_DROPPED = "intake-dropped"
#: A write that came during a recovery superseded another one, which is in the history. Fact: `device`.
INTAKE_CONFLICT = "intake-conflict"
#: A write that came during a recovery lies elsewhere than where it was sent. Facts: `device`, `came_as` (a path).
INTAKE_MOVED = "intake-moved"
#: A write that came during a recovery cannot be read any more. Fact: `device`.
INTAKE_LOST = "intake-lost"
#: A recovery has ended. Facts: `exact`, `older`, `lost` (items), `unknown_seconds`, by kind in `kinds`.
RESTORED = "restored"
#: A device has seen what the server does not have. Facts: `device`, `ahead` (revs).
DEVICE_AHEAD = "device-ahead"
KNOWN = (MASS_DELETE, INTAKE_DROPPED, INTAKE_CONFLICT, INTAKE_MOVED, INTAKE_LOST, RESTORED, DEVICE_AHEAD)

MAX_NOTICES = 32
#: Names of items that one notice lists; `count` counts them all.
MAX_NAMES = 16
MAX_TEXT = 200
MERGE_SECONDS = 3600
#: What may happen once for every item is told in one notice for each collection, however long it goes on.
_ALWAYS_MERGED = frozenset((INTAKE_DROPPED, INTAKE_CONFLICT, INTAKE_MOVED, INTAKE_LOST, DEVICE_AHEAD))

_WHAT = re.compile(r"[a-z][a-z-]{0,31}")
_MEDIA = "application/json"
_MICROSECONDS = 1_000_000

Fact = str | int | float | bool | list[str] | dict[str, int] | None


class _Record(msgspec.Struct, omit_defaults=True):
    """The body of a notice."""

    what: str
    at: int  # µs, of the last time
    kind: str = ""
    collection: str = ""  # its path
    names: list[str] = []  # of items, the first MAX_NAMES
    count: int = 1
    facts: dict[str, Fact] = {}


class Notice(msgspec.Struct, frozen=True):
    """A notice as it is read: `key` names it in `DismissNotice`, `since` is when it was first told (µs)."""

    key: str
    what: str
    since: int
    at: int
    kind: str
    collection: str
    names: tuple[str, ...]
    count: int
    facts: dict[str, Fact]

    @property
    def name(self) -> str:
        """The first item that it is about; "" where it is about none."""
        return self.names[0] if self.names else ""


_decode = msgspec.json.Decoder(_Record).decode


def notices_of(reads: CoreReads, account: Account) -> list[Notice]:
    """All that this account is to be told, the newest first; what cannot be read is passed over."""
    found = []
    for item, body in reads.secrets(account.number, NOTICE_PREFIX):
        notice = parse_notice(item, body)
        if notice is not None:
            found.append(notice)
    return sorted(found, key=lambda notice: (notice.at, notice.key), reverse=True)


def parse_notice(item: str, body: bytes | None) -> Notice | None:
    """The notice in an identity item; None where it is none, or cannot be read."""
    if not item.startswith(NOTICE_PREFIX) or body is None:
        return None
    key = item.removeprefix(NOTICE_PREFIX)
    try:
        since = int(key.partition("-")[0], 16)
        record = _decode(body)
    except (ValueError, msgspec.MsgspecError):
        return None
    return Notice(
        key,
        record.what,
        since,
        record.at,
        record.kind,
        record.collection,
        tuple(record.names),
        record.count,
        record.facts,
    )


class Notices:
    """Telling, within an open transaction of the engine."""

    @staticmethod
    def tell(
        ledger: Ledger,
        account: Account,
        what: str,
        *,
        kind: Kind | str = "",
        collection: str = "",
        name: str = "",
        names: Sequence[str] = (),
        count: int = 1,
        actor: str = "service",
        facts: Mapping[str, Fact] | None = None,
        **more: Fact,
    ) -> str:
        """Enter a notice, or add to the one that tells the same; its key. `collection` is a path.

        Of facts that both have the later one stands, but for `before`, of which the earlier one does: going back to it
        brings back all. Raises Held where the account's identity may not be written now, NotFound where it has none.
        """
        identity = ledger.collection(account, PATH_IDENTITY)
        if identity is None:
            raise NotFound("this account has no identity")
        ledger.head(account, Kind.IDENTITY)
        about = [_short(one) for one in ([name, *names] if name else names)][:MAX_NAMES]
        told = _Record(
            what, ledger.now, str(kind), _short(collection), about, count, _bounded({**(facts or {}), **more})
        )
        there = notices_of(ledger.core, account)
        same = next((notice for notice in there if _merges(notice, told)), None)
        if same is not None:
            told = _merged(same, told)
            key = same.key
        else:
            for gone in _making_room(there, what):
                _delete(ledger, account, identity.id, gone.key, actor)
            key = _free_key(ledger.now, what, {notice.key for notice in there})
        data = msgspec.json.encode(told)
        body = Body(sha256(data).digest(), len(data), inline=data)
        ledger.put(account, identity, NOTICE_PREFIX + key, _MEDIA, body, actor)
        return key

    @staticmethod
    def told(ledger: Ledger, command: TellNotice) -> Outcome:
        """The same as a command. Raises BadRequest where `what` is no word for a notice."""
        if not _WHAT.fullmatch(command.what):
            raise BadRequest(f"{command.what!r} is no word for a notice")
        key = Notices.tell(
            ledger,
            ledger.account(command.account),
            command.what,
            kind=command.kind,
            collection=command.collection,
            names=command.names,
            count=command.count,
            actor=command.actor,
            facts=command.facts,
        )
        return Outcome(name=key)

    @staticmethod
    def dismiss(ledger: Ledger, command: DismissNotice) -> Outcome:
        """The person has put it away. Nothing is done where it is gone already: two pages may show it."""
        account = ledger.account(command.account)
        ledger.head(account, Kind.IDENTITY)
        identity = ledger.collection(account, PATH_IDENTITY)
        key = command.name.removeprefix(NOTICE_PREFIX)
        if identity is None or ledger.core.item(identity, NOTICE_PREFIX + key) is None:
            return Outcome(changed=False, name=key)
        return Outcome(rev=_delete(ledger, account, identity.id, key, command.actor), name=key)


def _merges(notice: Notice, told: _Record) -> bool:
    if (notice.what, notice.kind, notice.collection) != (told.what, told.kind, told.collection):
        return False
    if notice.what == DEVICE_AHEAD and notice.facts.get("device") != told.facts.get("device"):
        return False
    return notice.what in _ALWAYS_MERGED or told.at - notice.at <= MERGE_SECONDS * _MICROSECONDS


def _merged(notice: Notice, told: _Record) -> _Record:
    facts = notice.facts | told.facts
    befores = [b for b in (notice.facts.get("before"), told.facts.get("before")) if isinstance(b, int)]
    if befores:
        facts["before"] = min(befores)
    names = list(dict.fromkeys((*notice.names, *told.names)))[:MAX_NAMES]
    # A device that is ahead is no further ahead for saying so again.
    count = told.count if notice.what == DEVICE_AHEAD else notice.count + told.count
    return _Record(told.what, told.at, told.kind, told.collection, names, count, facts)


def _making_room(there: list[Notice], what: str) -> list[Notice]:
    """Those that go so that one more fits: a flood of one `what` drives out no other."""
    over = len(there) + 1 - MAX_NOTICES
    if over <= 0:
        return []
    oldest_first = sorted(there, key=lambda notice: (notice.what != what, notice.at, notice.key))
    return oldest_first[:over]


def _free_key(at: int, what: str, taken: set[str]) -> str:
    while (key := f"{at:016x}-{what}") in taken:
        at += 1
    return key


def _delete(ledger: Ledger, account: Account, identity: bytes, key: str, actor: str) -> int:
    return ledger.append(account, Kind.IDENTITY, Op.DELETE, identity, actor, name=NOTICE_PREFIX + key).rev


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _bounded(facts: dict[str, Fact]) -> dict[str, Fact]:
    """Facts of bounded size: what a device says of itself is in them."""
    kept: dict[str, Fact] = {}
    for key, fact in facts.items():
        if isinstance(fact, str):
            fact = _short(fact)
        elif isinstance(fact, list):
            fact = [_short(text) for text in fact[:MAX_NAMES]]
        kept[key] = fact
    return kept
