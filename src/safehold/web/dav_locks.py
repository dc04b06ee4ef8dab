"""LOCK and UNLOCK: from request to command, from outcome to answer."""

from __future__ import annotations

from safehold.model.commands import Outcome, RefreshLock, ReleaseLock, TakeLock
from safehold.model.errors import BadRequest, Locked, NotAllowed, NotFound
from safehold.protocol.conditions import INFINITY, parse_depth
from safehold.protocol.locks import lock_document, parse_lock_token, parse_timeout, read_lockinfo
from safehold.protocol.multistatus import document, status_response
from safehold.protocol.names import escape, quote_path
from safehold.protocol.target import Place, is_among_files, user_href
from safehold.web.dav_call import Call
from safehold.web.dav_writes import media_of_name
from safehold.web.respond import Reply, empty, xml


async def lock(call: Call) -> Reply:
    """RFC 4918 section 9.10: without a body, renew the lock that the If header names."""
    _require_file(call)
    info = await call.read_body(lambda body: read_lockinfo(body) if body.strip() else None)
    seconds = parse_timeout(call.request.header(b"timeout"))
    path = call.target.full_path
    if info is None:
        refresh = RefreshLock(account=call.account.id, actor=call.actor, path=path, seconds=seconds, guard=call.guard())
        return _granted(call, await call.gate.execute(refresh))
    depth = parse_depth(call.request.headers)
    if depth == 1:
        raise BadRequest("a lock has Depth: 0 or infinity")
    take = TakeLock(
        account=call.account.id,
        actor=call.actor,
        path=path,
        scope=info.scope,
        deep=depth == INFINITY,
        seconds=seconds,
        owner=info.owner,
        media=media_of_name(call.target.name),
        make=not call.target.slash,
        guard=call.guard(),
    )
    try:
        outcome = await call.gate.execute(take)
    except Locked as error:
        return _in_the_way(call, error)
    reply = _granted(call, outcome)
    reply.headers.append((b"lock-token", f"<{outcome.locks[0].token}>".encode()))
    return reply


async def unlock(call: Call) -> Reply:
    """RFC 4918 section 9.11."""
    _require_file(call)
    token = parse_lock_token(call.request.header(b"lock-token"))
    await call.gate.execute(
        ReleaseLock(
            account=call.account.id,
            actor=call.actor,
            path=call.target.full_path,
            token=token,
            guard=call.guard(),
        )
    )
    return empty(204)


def _require_file(call: Call) -> None:
    """Raises NotFound, NotAllowed."""
    if call.target.place is Place.NOWHERE:
        raise NotFound("nothing lies at this address")
    if not is_among_files(call.target):
        raise NotAllowed("only files and their folders can be locked", hint="use If-Match")


def _granted(call: Call, outcome: Outcome) -> Reply:
    body = lock_document(outcome.locks, call.account.name, call.gate.clock.monotonic())
    return xml(201 if outcome.created else 200, body)


def _in_the_way(call: Call, error: Locked) -> Reply:
    """A lock on something within is told of with what was asked for, which failed for its sake (section 9.10.9)."""
    if not error.href.rstrip("/").startswith(call.target.full_path + "/"):
        raise error
    home = user_href(call.account.name)
    inner = status_response(escape(home + quote_path(error.href)), "423 Locked", error.element)
    asked = status_response(escape(home + quote_path(call.target.full_path + "/")), "424 Failed Dependency")
    return xml(207, document([inner, asked]))
