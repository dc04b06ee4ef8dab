"""What an identity has been given anew, since no source had it any more (I103, I104).

A recovery that finds the key of an identity in no source leaves its stream held. Once the loss is accepted, or of the
installation's own told by a recovery that has read every vault that is configured, `AcceptLoss` founds in one group
what nothing can go on without: the collection, with what is left of its items, and the key. Of the installation that is
the key of sync tokens, of an account that of its large bodies.

A token of the old key shows no more by its MAC that it was given out here. What it names shows it: half of the hash of
a change, which nobody can guess. So where a token key was lost, a token whose MAC does not hold is judged by its point,
as one whose MAC does: on the stream it is good, off it it proves a loss, and no device begins anew for it.

On record as an item `anew/TIME` (hex, µs) of that identity; the body is JSON: `{"at", "missing", "made", "left"}`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safehold.model.items import Account
from safehold.model.token import TOKEN_KEY
from safehold.ports.core import CoreReads
from safehold.service.items import stamp

PREFIX = "anew/"
_SYSTEM = 0  # the number of the installation itself


class Anew(msgspec.Struct, frozen=True):
    """`missing` says what was in no source, `made` names what is new, `left` what was still there and was put again."""

    at: int  # µs
    missing: str
    made: tuple[str, ...]
    left: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the item."""
        return f"{PREFIX}{self.at:x}"


_decode = msgspec.json.Decoder(Anew).decode


def parse(data: bytes) -> Anew:
    """What cannot be read says all the same that something was founded."""
    try:
        return _decode(data)
    except msgspec.MsgspecError:
        return Anew(0, "", (TOKEN_KEY,))


def founded(reads: CoreReads, account: Account | None = None) -> list[Anew]:
    """On record of an account, or of the installation; the oldest first. Raises Held."""
    number = _SYSTEM if account is None else account.number
    return [parse(body) for _, body in reads.secrets(number, PREFIX)]


def token_key_was_lost(reads: CoreReads) -> bool:
    """Whether tokens may be about that no key can tell any more. Raises Held."""
    return any(TOKEN_KEY in one.made for one in founded(reads))


def founded_anew(reads: CoreReads, now: int, shown_microseconds: int) -> list[dict[str, Any]]:
    """For the status object, for so long after it happened."""
    return [
        {
            "what": "the installation was founded anew",
            "since": stamp(one.at),
            "until": stamp(one.at),
            "message": (
                f"the key of sync tokens was in no source and was made anew ({one.missing}): devices go on where what "
                "their tokens name is here, and are told to come later where it is not"
            ),
            "hint": (
                "look through the accounts, and erase again who was erased before: the register of who was erased may "
                "have been lost with it"
            ),
            "summary": "The service has lost the key by which it knew its own sync tokens, and has made another.",
            "steps": ["Do not reset your devices: they keep what they have."],
        }
        for one in founded(reads)
        if TOKEN_KEY in one.made and now - one.at < shown_microseconds
    ]
