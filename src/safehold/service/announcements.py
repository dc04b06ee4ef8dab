"""What the operator tells everybody: on the status page, in its feed and in the file that others publish.

An announcement is an item `announce/HHHHHHHHHHHHHHHH` of the installation's own identity stream, named by the µs at
which it was made; its body is the JSON object of `_Record`. So it is vaulted, and back as soon as the identity is.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from safehold.model.change import Op
from safehold.model.commands import Announce, Body, Outcome, Withdraw
from safehold.model.errors import BadRequest, Conflict, Held, NotFound
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.ports.core import CoreReads
from safehold.service.ledger import Ledger

ANNOUNCE_PREFIX = "announce/"
#: The installation itself.
SYSTEM_NUMBER = 0
MAX_ANNOUNCEMENTS = 20
MAX_TEXT = 1000
_MEDIA = "application/json"


class _Record(msgspec.Struct, omit_defaults=True):
    text: str
    until: int | None = None


class Announcement(msgspec.Struct, frozen=True):
    """`name` takes it back; `at` and `until` in µs, `until` None where it stands until it is taken back."""

    name: str
    text: str
    at: int
    until: int | None = None

    def stands(self, now: int) -> bool:
        return self.until is None or now < self.until


_decode = msgspec.json.Decoder(_Record).decode


def announcements_of(reads: CoreReads) -> list[Announcement]:
    """All, the newest first, also those whose time is over. What cannot be read is passed over."""
    found = []
    for item, body in reads.secrets(SYSTEM_NUMBER, ANNOUNCE_PREFIX):
        name = item.removeprefix(ANNOUNCE_PREFIX)
        try:
            record, at = _decode(body), int(name, 16)
        except (ValueError, msgspec.MsgspecError):
            continue
        found.append(Announcement(name, record.text, at, record.until))
    return sorted(found, key=lambda one: one.name, reverse=True)


def check_text(text: str) -> str:
    """The text of an announcement, trimmed. Raises BadRequest."""
    text = text.strip()
    if not text or len(text) > MAX_TEXT or any(not c.isprintable() and c != "\n" for c in text):
        raise BadRequest(f"an announcement has 1 to {MAX_TEXT} printable characters")
    return text


class AnnouncementRules:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def announce(self, command: Announce) -> Outcome:
        """Those whose time is over make room. Raises BadRequest, Conflict where as many stand as may, Held."""
        ledger = self._ledger
        account = ledger.account(command.account)
        ledger.head(account, Kind.IDENTITY)
        identity = ledger.collection(account, PATH_IDENTITY)
        if identity is None:
            raise Held("the installation's identity is not here now")
        record = _Record(check_text(command.text), command.until)
        if command.until is not None and command.until <= ledger.now:
            raise BadRequest("the time until which it should stand is over")
        there = announcements_of(ledger.core)
        gone = [one for one in there if not one.stands(ledger.now)]
        if len(there) - len(gone) >= MAX_ANNOUNCEMENTS:
            raise Conflict(
                f"{MAX_ANNOUNCEMENTS} announcements stand already",
                hint="take one back: safehold status withdraw NAME",
            )
        at, taken = ledger.now, {one.name for one in there}
        while (name := f"{at:016x}") in taken:
            at += 1
        data = msgspec.json.encode(record)
        body = Body(sha256(data).digest(), len(data), inline=data)
        with ledger.group():
            for one in gone:
                item = ANNOUNCE_PREFIX + one.name
                ledger.append(account, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=item)
            change = ledger.put(account, identity, ANNOUNCE_PREFIX + name, _MEDIA, body, command.actor)
        return Outcome(rev=change.rev, name=name)

    def withdraw(self, command: Withdraw) -> Outcome:
        ledger = self._ledger
        account = ledger.account(command.account)
        ledger.head(account, Kind.IDENTITY)
        identity = ledger.collection(account, PATH_IDENTITY)
        item = ANNOUNCE_PREFIX + command.name
        if identity is None or ledger.core.item(identity, item) is None:
            raise NotFound(
                f"there is no announcement {command.name!r}", hint="safehold status announcements tells which"
            )
        change = ledger.append(account, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=item)
        return Outcome(rev=change.rev, name=command.name)
