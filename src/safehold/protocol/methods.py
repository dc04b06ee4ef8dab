"""Which methods apply where, and which WebDAV features the server claims (RFC 4918 section 10.1)."""

from __future__ import annotations

from safehold.protocol.target import Place, Target, is_among_files

_FEATURES = b"1, %s3, access-control, extended-mkcol, addressbook, calendar-access"
_WITH_LOCKS, _WITHOUT = _FEATURES % b"2, ", _FEATURES % b""

_ITEM = b"OPTIONS, GET, HEAD, PUT, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, REPORT"
_COLLECTION = b"OPTIONS, DELETE, PROPFIND, PROPPATCH, REPORT, MKCOL, MKCALENDAR"
_FOLDER = b"OPTIONS, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, REPORT, MKCOL, MKCALENDAR, LOCK, UNLOCK"
_FIXED = b"OPTIONS, PROPFIND, PROPPATCH, REPORT"

_ALLOW: dict[Place, bytes] = {
    Place.COLLECTION: _COLLECTION,
    Place.ITEM: _ITEM,
    Place.FILE: b"OPTIONS, GET, HEAD, PUT, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, REPORT, MKCOL, LOCK, UNLOCK",
}
#: Where address books and calendars lie nothing can be locked. Whoever mounts a tree of files, or something above it,
#: looks for class 2 before it writes.
_WITHOUT_LOCKS = frozenset(
    (Place.PRINCIPALS, Place.PRINCIPAL, Place.CONTACTS, Place.CALENDARS, Place.COLLECTION, Place.ITEM)
)


#: What is refused on a FILE only where it is a folder.
_NOT_ON_FOLDERS = frozenset(("GET", "HEAD", "PUT"))


def features(target: Target) -> bytes:
    """The DAV header. Class 2 (locks) is claimed where there are files."""
    return _WITHOUT if target.place in _WITHOUT_LOCKS and not is_among_files(target) else _WITH_LOCKS


def allow(target: Target, refused: str = "") -> bytes:
    """The Allow header of a target, as far as its URL tells and, in a 405, the method that was `refused` there."""
    if is_among_files(target) and (target.place is Place.COLLECTION or refused in _NOT_ON_FOLDERS):
        return _without(_FOLDER, refused)
    return _without(_ALLOW.get(target.place, _FIXED), refused)


def _without(listed: bytes, refused: str) -> bytes:
    return b", ".join(m for m in listed.split(b", ") if m.decode() != refused) if refused else listed
