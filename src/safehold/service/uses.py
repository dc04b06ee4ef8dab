"""App passwords as their owner sees them: when each was made, and by which programs it was used when.

Uses are on record in the identity stream, by the day: an item `used/LABEL` beside `app/LABEL`, whose body is the JSON
object `{"programs": {PROGRAM: "2026-11-26", …}}` with the days in UTC. So a device makes one change a day, however
often it asks, and what is shown is the same on the page, on the command line and after a recovery. What is on record
already is remembered here; the rule that writes it (`IdentityRules.note_use`) looks again within the transaction.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from safehold.model.commands import NoteUse
from safehold.model.errors import Held
from safehold.model.items import Account
from safehold.ports.core import CoreReads
from safehold.ports.world import Clock
from safehold.service.auth import APP_PREFIX, SignedIn

USED_PREFIX = "used/"
#: Programs that are kept of one app password, and that are taken down of one in a day.
MAX_PROGRAMS = 8
MAX_PROGRAM_CHARS = 80
#: App passwords whose uses of the day are remembered.
MAX_REMEMBERED = 20_000
#: What could not be taken down is tried again after so long.
RETRY_SECONDS = 60.0

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_MICROSECONDS = 1_000_000
DAY_MICROSECONDS = 86_400 * _MICROSECONDS


class _Made(msgspec.Struct):
    """The body of an `app/…` item, as far as its owner is told of it."""

    created: int = 0


class _Used(msgspec.Struct):
    """The body of a `used/…` item: the latest day of each program, the latest program first."""

    programs: dict[str, str] = {}


_decode_made = msgspec.json.Decoder(_Made).decode
_decode_used = msgspec.json.Decoder(_Used).decode


class AppPassword(NamedTuple):
    """An app password. `created` in microseconds, 0 where it is not known; days as `2026-11-26`, in UTC."""

    label: str
    created: int
    programs: tuple[tuple[str, str], ...]  # (program, last day), the latest first

    @property
    def last_used(self) -> str | None:
        return max((day for _, day in self.programs), default=None)


def app_passwords(reads: CoreReads, account: Account) -> list[AppPassword]:
    """All of an account's, by label. Raises Held where they cannot be read."""
    used = dict(reads.secrets(account.number, USED_PREFIX))
    found = []
    for name, record in reads.secrets(account.number, APP_PREFIX):
        label = name.removeprefix(APP_PREFIX)
        try:
            created = _decode_made(record).created
        except msgspec.MsgspecError as error:
            raise Held("an app password of this account cannot be read") from error
        found.append(AppPassword(label, created, tuple(programs_in(used.get(USED_PREFIX + label)).items())))
    return sorted(found)


def free_label(reads: CoreReads, account: Account) -> str:
    """device-1, or the first number that no app password bears."""
    taken = {name for name, _ in reads.secrets(account.number, APP_PREFIX)}
    number = 1
    while f"{APP_PREFIX}device-{number}" in taken:
        number += 1
    return f"device-{number}"


# -- records ---------------------------------------------------------------------------------------------------


def programs_in(record: bytes | None) -> dict[str, str]:
    """The programs of a `used/…` item, the latest first; none where it cannot be read: it is no credential."""
    try:
        return _decode_used(record).programs if record is not None else {}
    except msgspec.MsgspecError:
        return {}


def with_use(programs: dict[str, str], program: str, day: str) -> bytes | None:
    """The record after a use; None where it need not change: it is there, or the day has had its share."""
    if programs.get(program, "") >= day or sum(when == day for when in programs.values()) >= MAX_PROGRAMS:
        return None
    rest = sorted(((n, d) for n, d in programs.items() if n != program), key=lambda use: use[1], reverse=True)
    return msgspec.json.encode(_Used(dict([(program, day), *rest][:MAX_PROGRAMS])))


def day_of(at: int) -> str:
    """The day of a time in microseconds, in UTC."""
    return datetime.fromtimestamp(at // _MICROSECONDS, UTC).date().isoformat()


def program_of(user_agent: str) -> str:
    """A program as it names itself: printable ASCII, at most MAX_PROGRAM_CHARS."""
    return _UNPRINTABLE.sub(" ", user_agent[: 4 * MAX_PROGRAM_CHARS]).strip()[:MAX_PROGRAM_CHARS].strip() or "unnamed"


class Uses:
    """What has been taken down today. Used on one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._day = -1
        self._seen: dict[tuple[bytes, str], set[str]] = {}
        self._not_before = 0.0

    def note(self, who: SignedIn, user_agent: str) -> NoteUse | None:
        """The command that takes this use down; None where it is on record, or is none of an app password."""
        if not who.label:
            return None
        day = self._clock.now() // DAY_MICROSECONDS
        if day != self._day:
            self._day = day
            self._seen.clear()
        key = (who.account.id, who.label)
        seen = self._seen.get(key)
        program = program_of(user_agent)
        if seen is None:
            if len(self._seen) >= MAX_REMEMBERED:
                del self._seen[next(iter(self._seen))]
            seen = self._seen[key] = set()
        elif program in seen or len(seen) >= MAX_PROGRAMS:
            return None
        if self._clock.monotonic() < self._not_before:
            return None
        seen.add(program)
        return NoteUse(account=who.account.id, label=who.label, program=program, actor=f"device:{program}")

    def failed(self, command: NoteUse) -> None:
        """It could not be taken down: a later use will be."""
        self._not_before = self._clock.monotonic() + RETRY_SECONDS
        self._seen.get((command.account, command.label), set()).discard(command.program)

    def forget(self, account_id: bytes) -> None:
        """The account's app passwords have changed: a label may stand for another one now."""
        for key in [key for key in self._seen if key[0] == account_id]:
            del self._seen[key]
