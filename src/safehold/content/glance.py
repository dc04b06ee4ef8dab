"""What a calendar object says of its time, without parsing all of it: for the occurrence index, which reads thousands.

One expression picks the few lines that matter out of an unfolded body. It serves objects with one event, task or
journal entry; all others are left to `content.calendar`, which parses. Both make the same `Timing` of the same lines.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from functools import lru_cache

from safehold.content.lines import Line, LineError, parse, parse_params, unfold
from safehold.content.timing import Timing
from safehold.content.zones import MAX_REMEMBERED_CHARS, zone_of, zone_of_name
from safehold.model.kinds import COMPONENTS

#: BEGIN, END and the properties of `timing.TIMES`; a property's group, which iCalendar does not know, is left out.
_LINES = re.compile(
    rb"\n(?:[A-Za-z0-9_./-]*\.)?"
    rb"(BEGIN|END|DTSTART|DTEND|DUE|DURATION|COMPLETED|CREATED|RECURRENCE-ID|RRULE|RDATE|EXDATE)([:;][^\n]*)",
    re.IGNORECASE,
)
_MAIN = frozenset(name.encode() for name in COMPONENTS)


class _Unusual(Exception):
    """The body has to be parsed."""


def timing_at_a_glance(body: bytes) -> Timing | None:
    """The timing of the one component of a calendar object; None where the body has to be parsed to tell."""
    try:
        return _timing(b"\n" + unfold(body.removeprefix(b"\xef\xbb\xbf")))
    except (_Unusual, LineError, UnicodeDecodeError):
        return None


def _timing(text: bytes) -> Timing:
    """Raises _Unusual, LineError, UnicodeDecodeError."""
    open_: list[bytes] = []
    kind = b""
    own: list[Line] = []
    for name, rest in _LINES.findall(text):
        if name == b"END":
            if not open_ or open_.pop() != rest[1:].strip():
                raise _Unusual
        elif name == b"BEGIN":
            inner = rest[1:].strip()
            if not inner.isupper():
                raise _Unusual
            open_.append(inner)
            if len(open_) == 2 and inner in _MAIN:
                if kind:
                    raise _Unusual  # a master and an override
                kind = inner
            elif len(open_) == 1 and inner != b"VCALENDAR":
                raise _Unusual
        elif not name.isupper():
            raise _Unusual
        elif len(open_) == 2 and open_[1] == kind:
            own.append(_line(name, rest))
    if open_ or not kind:
        raise _Unusual
    return Timing(kind.decode(), own, _Zones(text))


def _line(name: bytes, rest: bytes) -> Line:
    """Raises _Unusual, UnicodeDecodeError."""
    if rest.startswith(b":"):
        return name.decode(), "", rest[1:].decode()
    if b'"' in rest:
        raise _Unusual
    params, _, value = rest.decode().partition(":")
    return name.decode(), params, value


class _Zones:
    """The zones of a body, of which a definition is looked for only when a property names it."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._found: dict[str, tuple[tzinfo | None, bool]] = {"": (None, False)}

    def of(self, line: Line) -> tuple[tzinfo | None, bool]:
        found = self._found.get(line[1])
        if found is None:
            tzid = next((values[0] for name, values in parse_params(line[1]) if name == "TZID" and values), "").strip()
            zone = _zone(self._definition(), tzid) if tzid else None
            found = self._found[line[1]] = (zone, zone is None and tzid != "")
        return found

    def _definition(self) -> bytes:
        """The one VTIMEZONE of the body, or nothing. Raises _Unusual where there are several."""
        start = self._text.find(b"\nBEGIN:VTIMEZONE")
        if start < 0:
            if b"VTIMEZONE" in self._text.upper():
                raise _Unusual
            return b""
        end = self._text.find(b"\nEND:VTIMEZONE", start)
        if end < 0 or end - start > MAX_REMEMBERED_CHARS or b"VTIMEZONE" in self._text[end + 14 :].upper():
            raise _Unusual
        return self._text[start + 1 : end] + b"\nEND:VTIMEZONE"


@lru_cache(maxsize=512)
def _zone(definition: bytes, tzid: str) -> tzinfo | None:
    """What a TZID means beside this definition. Raises LineError."""
    if definition:
        component = parse(definition).roots[0]
        if any(name.strip() == tzid for name in component.values("TZID")):
            return zone_of(component) or zone_of_name(tzid)
    return zone_of_name(tzid)
