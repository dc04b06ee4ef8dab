"""Many items as one file: a .vcf that is a row of vCards (RFC 6350 section 3.2), an .ics that is one calendar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safehold.content.split import calendar_parts

PRODID = b"-//Safehold//Safehold//EN"


def join_vcards(bodies: Iterable[bytes]) -> Iterator[bytes]:
    """The bodies one after another, each with CRLF at its end and without a byte order mark; otherwise untouched.

    Cut apart again they are the same bytes, where a body ended with a line break and had nothing around it.
    """
    for body in bodies:
        body = body.removeprefix(b"\xef\xbb\xbf")
        yield body if body.endswith(b"\n") else body + b"\r\n"


def join_calendars(bodies: Iterable[bytes]) -> bytes:
    """One VCALENDAR with all components of the objects, byte for byte, and each time zone once.

    Where objects define a time zone of the same TZID differently, the longest definition is kept: clients shorten a
    zone to the years they need. Properties of the calendars themselves are left out, VERSION and PRODID are ours.
    """
    timezones: dict[bytes, bytes] = {}
    components: list[bytes] = []
    for body in bodies:
        own_timezones, own_components = calendar_parts(body)
        components.extend(own_components)
        for tzid, raw in own_timezones.items():
            if len(raw) > len(timezones.get(tzid, b"")):
                timezones[tzid] = raw
    head = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:" + PRODID + b"\r\n"
    parts = (*timezones.values(), *components)
    return head + b"".join(part if part.endswith(b"\n") else part + b"\r\n" for part in parts) + b"END:VCALENDAR\r\n"
