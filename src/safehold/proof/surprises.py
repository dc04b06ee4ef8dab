"""What a surprise drill may break, and the runbook that the people are to find. Only what can be put back."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

VAULT_AWAY, SERVICE_STOPPED, CORE_ASIDE = "async vault away", "service stopped", "core moved aside"


class Surprise(NamedTuple):
    """`done`, `passed` and `undone` say what is done, when the people have got it right, and how it ends otherwise."""

    what: str
    runbook: str
    done: str
    passed: str
    undone: str


SURPRISES = {
    one.what: one
    for one in (
        Surprise(
            VAULT_AWAY,
            "lost-vault",
            "the folder of an async vault is renamed, as if its disk were gone",
            "a vault is there again",
            "the folder is renamed back",
        ),
        Surprise(
            SERVICE_STOPPED,
            "silent-writer",
            "the service is told to end, as at a shutdown",
            "a service answers again",
            "the people start it",
        ),
        Surprise(
            CORE_ASIDE,
            "recover",
            "the service is told to end, and its database is moved aside",
            "a service answers again, with a database that has all that the old one had",
            "the database is moved back, unless a recovery has been begun",
        ),
    )
}


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """A surprise under way, as it lies in `run/surprise.json` until it is undone. Paths are absolute."""

    what: str
    at: int  # µs
    by: str
    vault: str = ""
    moved: str = ""
    aside: str = ""
    changes: int = 0  # that the core had
    timeline: int = 0  # of the core's end


class Surprised(msgspec.Struct, frozen=True, kw_only=True):
    """How one went: facts of an evidence of the kind `surprise`. `seconds` are the people's."""

    at: int  # µs
    what: str
    vault: str
    runbook: str
    ok: bool  # whether the check passed in time
    seconds: float
    limit_seconds: float
    undone: str  # what was put back at its end, in words; "" where nothing had to be
    approved_by: str
    evidence: str = ""


def as_object(found: Surprised) -> dict[str, Any]:
    """JSON values."""
    data: dict[str, Any] = msgspec.to_builtins(found)
    return data
