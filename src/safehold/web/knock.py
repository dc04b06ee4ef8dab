"""Whoever knocks is moved to the front: which streams a request needs, asked for before it is judged.

Only while a recovery is under way (`Gate.recovering`). A request that finds its streams in costs a look at each; one
that does not waits in `Gate.ready` for a moment, and is then judged as always: 503 where they are held still.
"""

from __future__ import annotations

from collections.abc import Sequence

from safehold.model.errors import SafeholdError
from safehold.model.kinds import HOME_FILES, ROOT_NOTES, ROOT_PHOTOS, Kind
from safehold.model.paths import kinds_under
from safehold.protocol.destination import read_reference
from safehold.protocol.target import Place, Target
from safehold.web.dav_call import Call

#: Places that lie outside of every home: what they show is the account's identity.
_NO_HOME = frozenset((Place.ROOT, Place.PRINCIPALS, Place.PRINCIPAL, Place.USER, Place.NOWHERE))


async def knock(call: Call) -> None:
    """Wait a moment for what a DAV request reads or changes."""
    wanted = kinds_of(call, call.target)
    if call.request.method in ("COPY", "MOVE"):
        wanted = (*wanted, *_at_destination(call))
    if wanted:
        await call.gate.ready(call.account, dict.fromkeys(wanted))


def kinds_of(call: Call, target: Target) -> Sequence[Kind]:
    """The kinds that must be in before a target can be judged; of a home all that may lie in it."""
    if target.place in _NO_HOME:
        return ()
    path = target.full_path
    if path == HOME_FILES:
        return (*kinds_under(ROOT_NOTES), *kinds_under(ROOT_PHOTOS))
    reads, account = call.gate.reads, call.account.number
    found = reads.collection(account, path) or (reads.collection(account, target.path) if target.name else None)
    return kinds_under(path) if found is None else (found.kind,)


def _at_destination(call: Call) -> Sequence[Kind]:
    """What a wrong Destination is called is for the method to say."""
    try:
        target = read_reference(call.request.header(b"destination") or "", call.hosts)
    except SafeholdError:
        return ()
    return () if target is None or target.account != call.account.name else kinds_of(call, target)
