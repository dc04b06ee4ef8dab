"""Paths under an account: which are well formed, what may lie where, and to which kind it belongs."""

from __future__ import annotations

import unicodedata

from safehold.model.errors import BadRequest
from safehold.model.kinds import (
    HOME_CALENDARS,
    HOME_CONTACTS,
    HOME_SCORES,
    PATH_IDENTITY,
    ROOT_NOTES,
    ROOT_PHOTOS,
    CollectionType,
    Kind,
    calendar_kind,
)

MAX_SEGMENT_BYTES = 255
MAX_PATH_BYTES = 2048
_FORBIDDEN = frozenset(("", ".", ".."))


def check_segment(segment: str) -> str:
    """One path segment, decoded. Raises BadRequest: empty, `.`, `..`, too long, or with `/` or a control in it."""
    if segment in _FORBIDDEN or "/" in segment:
        raise BadRequest(f"{segment!r} is not a name", hint="use a name without slashes")
    if segment.isascii() and segment.isprintable():
        size = len(segment)
    else:
        try:
            size = len(segment.encode())
        except UnicodeEncodeError:
            raise BadRequest("a name holds half of a surrogate pair") from None
        if any(unicodedata.category(c) == "Cc" for c in segment):
            raise BadRequest("a name holds a control character")
    if size > MAX_SEGMENT_BYTES:
        raise BadRequest(f"a name is {size} bytes long; the limit is {MAX_SEGMENT_BYTES}")
    return segment


def parent(path: str) -> str:
    """The path above: `files/notes/a` -> `files/notes`; `contacts/x` -> `contacts`."""
    return path.rpartition("/")[0]


def below(path: str, ancestor: str) -> bool:
    """Whether `path` lies under `ancestor` (and is not the same)."""
    return path.startswith(ancestor + "/")


def collection_kind(path: str, type_: CollectionType, components: frozenset[str]) -> Kind | None:
    """The kind of a collection of this type at this path, or None where such a thing may not lie there."""
    if type_ is CollectionType.IDENTITY:
        return Kind.IDENTITY if path == PATH_IDENTITY else None
    if type_ is CollectionType.FOLDER:
        for root, kind in ((ROOT_NOTES, Kind.NOTES), (ROOT_PHOTOS, Kind.PHOTOS)):
            if path == root or below(path, root):
                return kind
        return None
    home = parent(path)
    if type_ is CollectionType.ADDRESSBOOK:
        return Kind.CONTACTS if home == HOME_CONTACTS else None
    if type_ is CollectionType.CALENDAR:
        return calendar_kind(components) if home == HOME_CALENDARS else None
    return Kind.SCORES if home == HOME_SCORES else None


def kinds_under(path: str) -> tuple[Kind, ...]:
    """The kinds that may lie at or under a path: all of them must be whole before absence there is certain."""
    home = path.partition("/")[0]
    if home == HOME_CONTACTS:
        return (Kind.CONTACTS,)
    if home == HOME_CALENDARS:
        return (Kind.CALENDAR, Kind.TASKS, Kind.NOTES)
    if home == HOME_SCORES:
        return (Kind.SCORES,)
    return (Kind.PHOTOS,) if path.startswith(ROOT_PHOTOS) else (Kind.NOTES,)
