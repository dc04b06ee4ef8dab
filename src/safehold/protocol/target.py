"""What a request-target names: the map of URLs under /dav/ (see also `href_of`, its inverse)."""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from safehold.model.errors import BadRequest
from safehold.model.kinds import HOME_CALENDARS, HOME_CONTACTS, HOME_FILES, ROOT_NOTES, ROOT_PHOTOS
from safehold.model.paths import MAX_PATH_BYTES, MAX_SEGMENT_BYTES, check_segment
from safehold.protocol.names import is_unreserved, quote_path, quote_segment

ROOT_HREF = "/dav/"
PRINCIPALS_HREF = "/dav/principals/"
#: No account can bear this name: its home would be hidden behind the principals.
PRINCIPALS = "principals"
#: Percent-encoding at most triples a path; anything longer is not looked at.
_MAX_RAW_BYTES = 3 * MAX_PATH_BYTES + 512


class Place(Enum):
    """What sort of place a target is, as far as the URL alone can tell."""

    ROOT = auto()  # /dav/
    PRINCIPALS = auto()  # /dav/principals/
    PRINCIPAL = auto()  # /dav/principals/NAME/
    USER = auto()  # /dav/NAME/
    CONTACTS = auto()  # /dav/NAME/contacts/: the home of address books
    CALENDARS = auto()  # /dav/NAME/calendars/: the home of calendars
    FILES = auto()  # /dav/NAME/files/
    COLLECTION = auto()  # an address book, a calendar, or one of the two roots of files
    ITEM = auto()  # in an address book or a calendar
    FILE = auto()  # below a root of files: a file or a folder
    NOWHERE = auto()  # where nothing can ever be


class Target(NamedTuple):
    """`account` is a name ("" for ROOT and PRINCIPALS). `path` is the collection's, or the one that holds `name`.

    For FILE, the whole path may be a folder's as well: `full_path`.
    """

    place: Place
    account: str = ""
    path: str = ""
    name: str = ""
    slash: bool = False  # whether the URL ended with a slash

    @property
    def full_path(self) -> str:
        return f"{self.path}/{self.name}" if self.name else self.path


def read_target(raw: bytes) -> Target:
    """The target behind the path of a request, as it came over the wire (percent-encoded, no query).

    Raises BadRequest: not UTF-8, an empty segment, `.` or `..`, a control character, too long.
    """
    if len(raw) > _MAX_RAW_BYTES:
        raise BadRequest(f"the path is {len(raw)} bytes long; the limit is {_MAX_RAW_BYTES}")
    segments = [_decode(part) for part in raw.split(b"/")]
    if len(segments) < 2 or segments[0] or segments[1] != "dav":
        raise BadRequest("the path does not begin with /dav/")
    segments = segments[2:]
    slash = bool(segments) and not segments[-1]
    if slash:
        segments.pop()
    for segment in segments:
        check_segment(segment)
    return _place(segments, slash)


#: The same for targets of requests, of which few come again and again.
parse_target = lru_cache(maxsize=1024)(read_target)


def _decode(part: bytes) -> str:
    try:
        return (unquote_to_bytes(part) if b"%" in part else part).decode()
    except UnicodeDecodeError:
        raise BadRequest("the path is not UTF-8") from None


def _place(segments: list[str], slash: bool) -> Target:
    match segments:
        case []:
            return Target(Place.ROOT, slash=True)
        case ["principals"]:
            return Target(Place.PRINCIPALS, slash=slash)
        case ["principals", account]:
            return Target(Place.PRINCIPAL, account, slash=slash)
        case ["principals", account, *_]:
            return Target(Place.NOWHERE, account, slash=slash)
        case [account]:
            return Target(Place.USER, account, slash=slash)
        case [account, home, *rest]:
            return _under_home(account, home, rest, slash)
    raise AssertionError("a list is one of these")


def _under_home(account: str, home: str, rest: list[str], slash: bool) -> Target:
    path = "/".join([home, *rest])
    if home in (HOME_CONTACTS, HOME_CALENDARS):
        match rest:
            case []:
                place = Place.CONTACTS if home == HOME_CONTACTS else Place.CALENDARS
                return Target(place, account, home, slash=slash)
            case [_]:
                return Target(Place.COLLECTION, account, path, slash=slash)
            case [collection, name]:
                return Target(Place.ITEM, account, f"{home}/{collection}", name, slash)
    elif home == HOME_FILES:
        if not rest:
            return Target(Place.FILES, account, home, slash=slash)
        if path in (ROOT_NOTES, ROOT_PHOTOS):
            return Target(Place.COLLECTION, account, path, slash=slash)
        if path.startswith((ROOT_NOTES + "/", ROOT_PHOTOS + "/")) and len(path.encode()) <= MAX_PATH_BYTES:
            above, _, name = path.rpartition("/")
            return Target(Place.FILE, account, above, name, slash)
    return Target(Place.NOWHERE, account, path, slash=slash)


def parse_href(href: str) -> Target | None:
    """The target that an href in a request body names: a path or a whole URL; None where it is none of ours."""
    try:
        parts = urlsplit(href.strip())
        return read_target(parts.path.encode()) if parts.path.startswith("/dav") else None
    except (BadRequest, ValueError):
        return None


def plain_name(href: str, collection: str) -> str | None:
    """The name in an href right below a collection's, where it needs no decoding: how nearly all come. Else None."""
    name = href[len(collection) :]
    plain = href.startswith(collection) and len(name) <= MAX_SEGMENT_BYTES and name not in ("", ".", "..")
    return name if plain and is_unreserved(name) else None


def is_among_files(target: Target) -> bool:
    """Whether a target is one of the trees of files, or lies in one."""
    return target.place is Place.FILE or target.path in (ROOT_NOTES, ROOT_PHOTOS)


def principal_href(account: str) -> str:
    return f"{PRINCIPALS_HREF}{quote_segment(account)}/"


def user_href(account: str) -> str:
    return f"{ROOT_HREF}{quote_segment(account)}/"


def collection_href(account: str, path: str) -> str:
    """The href of a home or collection; an item's is this and its quoted name."""
    return f"{ROOT_HREF}{quote_segment(account)}/{quote_path(path)}/"


def href_of(target: Target) -> str:
    """The href of a target in canonical form: collections end with a slash, items do not."""
    if target.place is Place.ROOT:
        return ROOT_HREF
    if target.place is Place.PRINCIPALS:
        return PRINCIPALS_HREF
    if target.place is Place.PRINCIPAL:
        return principal_href(target.account)
    if target.place is Place.USER:
        return user_href(target.account)
    return collection_href(target.account, target.path) + quote_segment(target.name)
