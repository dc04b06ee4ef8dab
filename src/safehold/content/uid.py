"""The UID of a stored vCard or iCalendar object, in microseconds: what the core's index of UIDs is derived from.

The bodies were judged when they came in (`content.check`); here nothing is judged. For a valid object the answer is
the UID that the check found; for bytes that are no such object it is whatever stands first, or None.
"""

from __future__ import annotations

import re

#: BEGIN, END and UID lines: name (its group left out), parameters, value.
_LINE = re.compile(
    rb"""^(?:[A-Za-z0-9_./-]+\.)?(BEGIN|END|UID)(?:;[^":\n]*+(?:"[^"\n]*+"[^":\n]*+)*+)?:([^\n]*)""",
    re.IGNORECASE | re.MULTILINE,
)
#: Components of a VCALENDAR whose UID is the object's.
_PLAIN_BEGINS = (b"VEVENT", b"VTODO", b"VJOURNAL", b"VCARD", b"VFREEBUSY")


def quick_uid(body: bytes) -> str | None:
    """The UID of a vCard (RFC 6350 section 6.7.6), or of the first component of a calendar object that has one.

    VTIMEZONE, the VCALENDAR itself and what lies within components (alarms) do not count. The value stands as
    written, unfolded, without the spaces around it. None where there is none, or it is not UTF-8.
    """
    raw = _plain(body)
    if raw is None:
        raw = _general(body)
    if raw is None:
        return None
    try:
        return raw.decode().strip() or None
    except UnicodeDecodeError:
        return None


def _plain(body: bytes) -> bytes | None:
    """The common case: the first UID line is written plainly, right in the component that was begun last."""
    at = body.find(b"\nUID:")
    end = body.find(b"\n", at + 1)
    if at < 0 or end < 0 or body[end + 1 : end + 2] in (b" ", b"\t"):
        return None
    begin = body.rfind(b"BEGIN:", 0, at)
    if begin < 0 or body.find(b"END:", begin, at) >= 0:
        return None
    if not body.startswith(_PLAIN_BEGINS, begin + 6) or (begin > 0 and body[begin - 1] != 0x0A):
        return None
    return body[at + 5 : end]


def _general(body: bytes) -> bytes | None:
    text = body.replace(b"\r\n", b"\n")
    if b"\n " in text:
        text = text.replace(b"\n ", b"")
    if b"\n\t" in text:
        text = text.replace(b"\n\t", b"")
    open_: list[bytes] = []
    for name, value in _LINE.findall(text.removeprefix(b"\xef\xbb\xbf")):
        word = name.upper()
        if word == b"BEGIN":
            open_.append(value.strip().upper())
        elif word == b"END":
            if open_:
                open_.pop()
        elif value.strip() and (
            open_ == [b"VCARD"] or (len(open_) == 2 and open_[0] == b"VCALENDAR" and open_[1] != b"VTIMEZONE")
        ):
            found: bytes = value
            return found
    return None
