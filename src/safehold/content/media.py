"""Media types of vCards and calendar objects: which a PUT may name, and what a body without one is.

RFC 6352 section 5.1 and RFC 4791 section 4.1; the names that vCard bore before RFC 6350 section 10.1 (`text/x-vcard`,
`text/directory` of RFC 2425) are still sent. The text is UTF-8 whatever is said, so another charset is refused.
"""

from __future__ import annotations

import re

from safehold.content.check import SUPPORTED_ADDRESS_DATA, SUPPORTED_CALENDAR_DATA
from safehold.model.errors import UnsupportedMedia

VCARD = "text/vcard"
ICALENDAR = "text/calendar"

_VCARD_TYPES = frozenset((VCARD, "text/x-vcard", "text/directory"))
_ICALENDAR_TYPES = frozenset((ICALENDAR,))
#: What clients send that do not know: as good as none.
_UNKNOWN_TYPES = frozenset(("", "application/octet-stream"))
_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii"))
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]*)""", re.IGNORECASE)
_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:[A-Za-z0-9_./-]+\.)?BEGIN\s*:\s*(VCARD|VCALENDAR)\b", re.IGNORECASE)


def sniff(body: bytes) -> str | None:
    """VCARD or ICALENDAR, told by the first line of a body; None where it is neither."""
    match = _BEGIN.match(body[:256])
    if match is None:
        return None
    return VCARD if match.group(1).upper() == b"VCARD" else ICALENDAR


def vcard_media(content_type: str | None, body: bytes) -> str:
    """VCARD, where a PUT with this Content-Type header may hold a vCard. Raises UnsupportedMedia."""
    return _media(content_type, body, VCARD, _VCARD_TYPES, SUPPORTED_ADDRESS_DATA)


def icalendar_media(content_type: str | None, body: bytes) -> str:
    """ICALENDAR, where a PUT with this Content-Type header may hold a calendar object. Raises UnsupportedMedia."""
    return _media(content_type, body, ICALENDAR, _ICALENDAR_TYPES, SUPPORTED_CALENDAR_DATA)


def _media(content_type: str | None, body: bytes, wanted: str, accepted: frozenset[str], element: str) -> str:
    header = content_type or ""
    named = header.partition(";")[0].strip().lower()
    if named in _UNKNOWN_TYPES:
        if sniff(body) != wanted:
            hint = f"send it with Content-Type: {wanted}"
            raise UnsupportedMedia(f"this body is not recognised as {wanted}", hint=hint, element=element)
        return wanted
    if named not in accepted:
        raise UnsupportedMedia(f"{named[:80]!r} is not kept here; {wanted} is", element=element)
    charset = _CHARSET.search(header)
    if charset is not None and charset.group(1).lower() not in _CHARSETS:
        raise UnsupportedMedia(f"charset {charset.group(1)[:40]!r}: only UTF-8 is kept here", element=element)
    return wanted
