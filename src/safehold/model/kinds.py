"""The kinds of data, the order in which they come back, and where their collections lie."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a stream holds. The value is the name used in formats, JSON and commands."""

    IDENTITY = "identity"
    CONTACTS = "contacts"
    CALENDAR = "calendar"
    NOTES = "notes"
    TASKS = "tasks"
    PHOTOS = "photos"
    SCORES = "scores"


#: Identity first (nobody can knock without it), then what people miss first.
RESTORE_ORDER: tuple[Kind, ...] = tuple(Kind)

#: The six kinds of personal data, in restore order.
DATA_KINDS: tuple[Kind, ...] = RESTORE_ORDER[1:]


class CollectionType(StrEnum):
    """What a collection is to a client; kept in its properties under `type`."""

    IDENTITY = "identity"
    ADDRESSBOOK = "addressbook"
    CALENDAR = "calendar"
    FOLDER = "folder"
    GAME = "game"


#: First path segments under an account: where collections of each type live.
HOME_CONTACTS = "contacts"
HOME_CALENDARS = "calendars"
HOME_FILES = "files"
HOME_SCORES = "scores"
ROOT_NOTES = "files/notes"
ROOT_PHOTOS = "files/photos"
PATH_IDENTITY = "identity"

#: iCalendar components a calendar collection may hold (RFC 4791 section 5.2.3).
COMPONENTS: tuple[str, ...] = ("VEVENT", "VTODO", "VJOURNAL")


def calendar_kind(components: frozenset[str]) -> Kind:
    """The kind of a calendar collection, told by its component set: with VEVENT it is a calendar."""
    if "VEVENT" in components or not components:
        return Kind.CALENDAR
    return Kind.TASKS if "VTODO" in components else Kind.NOTES
