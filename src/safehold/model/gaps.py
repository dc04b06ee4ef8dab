"""What a GAP change says: what a recovery found nowhere, and what was decided about it. Its properties are

    missing     words; somebody took it on them that revs before this change are gone: the stream is served again
    ghosts      revs, as `3,7-9`: these changes are on the stream, and their bodies are in no source

Either or both. A change without its body that no GAP of its stream names is damage.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from safehold.model.change import Change, Op, parse_props

MISSING, GHOSTS = "missing", "ghosts"
#: Revs named by one change: its properties stay far below the bound of a frame.
MAX_NAMED = 2000


def lacks_body(change: Change) -> bool:
    """Whether the body that its digest names is not with it, neither inline nor as a blob."""
    return change.body is None and change.blob is None and bool(change.digest)


def accepts_loss(change: Change) -> bool:
    """Whether this takes it on somebody that revs before it are missing."""
    return change.op is Op.GAP and (MISSING in _props(change) or GHOSTS not in _props(change))


def ghosts_of(change: Change) -> frozenset[int]:
    """The revs whose bodies this says are gone."""
    return frozenset() if change.op is not Op.GAP else ghosts_in(change.props)


def ghosts_in(props: bytes | None) -> frozenset[int]:
    """The same from a GAP's properties in canonical form. What is no such list names nothing."""
    found: set[int] = set()
    try:
        words = parse_props(props).get(GHOSTS, "")
        for part in words.split(",") if words else ():
            first, _, last = part.partition("-")
            upto = int(last or first) + 1
            if upto - int(first) + len(found) > MAX_NAMED:
                return frozenset()
            found.update(range(int(first), upto))
    except (msgspec.MsgspecError, ValueError):
        return frozenset()
    return frozenset(found)


def ghost_words(revs: Iterable[int]) -> str:
    """Revs as the property has them; at most MAX_NAMED."""
    parts: list[str] = []
    row: list[int] = []
    for rev in sorted(set(revs)):
        if row and rev != row[-1] + 1:
            parts.append(_row_words(row))
            row = []
        row.append(rev)
    if row:
        parts.append(_row_words(row))
    return ",".join(parts)


def _row_words(row: list[int]) -> str:
    return str(row[0]) if len(row) == 1 else f"{row[0]}-{row[-1]}"


def _props(change: Change) -> dict[str, str]:
    try:
        return parse_props(change.props)
    except msgspec.MsgspecError:
        return {}
