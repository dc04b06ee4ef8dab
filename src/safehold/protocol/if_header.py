"""The If header (RFC 4918 section 10.4), its whole grammar:

    If             = 1*No-tag-list | 1*Tagged-list
    No-tag-list    = List
    Tagged-list    = "<" Simple-ref ">" 1*List
    List           = "(" 1*Condition ")"
    Condition      = ["Not"] ( "<" absolute-URI ">" | "[" entity-tag "]" )

White space may stand between any of these. A list without a tag is about the resource of the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from safehold.model.errors import BadRequest
from safehold.model.guards import Condition, ConditionList, Guard

#: Conditions in one header: each may cost a look at a resource.
MAX_CONDITIONS = 256

_SPACE = r"[ \t]*"
_TAG = re.compile(rf"{_SPACE}<([^<>]*)>{_SPACE}")
_OPEN = re.compile(rf"{_SPACE}\({_SPACE}")
_CLOSE = re.compile(rf"\){_SPACE}")
_CONDITION = re.compile(
    rf"""
    ([Nn][Oo][Tt](?=[ \t<\[]){_SPACE})?
    (?: <([A-Za-z][A-Za-z0-9+.-]*:[^<>\x00-\x20\x7f]*)> | \[{_SPACE}(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"{_SPACE}\] )
    {_SPACE}
    """,
    re.VERBOSE,
)
_DIGEST = re.compile(r"[0-9a-f]{64}").fullmatch

#: From a tag's Simple-ref to the path under the account of what it names; None for what is not the account's.
Resolve = Callable[[str], str | None]


def parse_if(value: str, here: str, resolve: Resolve) -> Guard:
    """The header's value, as latin-1 text; `here` is the path of the request's own resource.

    Raises BadRequest where it is malformed, or `resolve` says so: what is not understood is no consent.
    """
    lists: list[ConditionList] = []
    tagged = _TAG.match(value) is not None
    path: str | None = here
    at = count = 0
    while at < len(value):
        tag = _TAG.match(value, at) if tagged else None
        if tag is not None:
            path = resolve(tag[1])
            at = tag.end()
        conditions, at = _list(value, at)
        count += len(conditions)
        if count > MAX_CONDITIONS:
            raise BadRequest(f"the If header has more than {MAX_CONDITIONS} conditions")
        lists.append(ConditionList(path, tuple(conditions)))
    if not lists:
        raise _malformed()
    return Guard(tuple(lists))


def _list(value: str, at: int) -> tuple[list[Condition], int]:
    """One List and where it ends."""
    opened = _OPEN.match(value, at)
    if opened is None:
        raise _malformed()
    at = opened.end()
    conditions: list[Condition] = []
    while (match := _CONDITION.match(value, at)) is not None:
        negation, token, tag = match.groups()
        # Compared weakly, as section 10.4.4 allows: a proxy that compresses weakens tags.
        digest = bytes.fromhex(tag) if tag is not None and _DIGEST(tag) else b""
        conditions.append(Condition(token or "", digest, negation is not None))
        at = match.end()
    closed = _CLOSE.match(value, at)
    if closed is None or not conditions:
        raise _malformed()
    return conditions, closed.end()


def _malformed() -> BadRequest:
    return BadRequest("the If header is not what RFC 4918 section 10.4 describes")
