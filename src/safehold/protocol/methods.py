"""Which methods apply where, and which WebDAV features the server claims (RFC 4918 section 10.1)."""

from __future__ import annotations

from safehold.protocol.target import Place

#: Class 2 (locks) is not claimed, nor is anything else that does not work yet.
DAV_FEATURES = b"1, 3, access-control, extended-mkcol, addressbook, calendar-access"

_ITEM = b"OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, REPORT"
_COLLECTION = b"OPTIONS, DELETE, PROPFIND, PROPPATCH, REPORT, MKCOL, MKCALENDAR"
_FIXED = b"OPTIONS, PROPFIND, PROPPATCH, REPORT"

_ALLOW: dict[Place, bytes] = {
    Place.COLLECTION: _COLLECTION,
    Place.ITEM: _ITEM,
    Place.FILE: b"OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, REPORT, MKCOL",
}


#: What is refused on a FILE only where it is a folder.
_NOT_ON_FOLDERS = frozenset(("GET", "HEAD", "PUT"))


def allow(place: Place, refused: str = "") -> bytes:
    """The Allow header of a place, as far as its URL tells and, in a 405, the method that was `refused` there."""
    if place is Place.FILE and refused in _NOT_ON_FOLDERS:
        return _COLLECTION
    listed = _ALLOW.get(place, _FIXED)
    return b", ".join(m for m in listed.split(b", ") if m.decode() != refused) if refused else listed
