"""Files of many vCards or calendar objects, taken apart into bodies of single items.

A .vcf is cut at BEGIN:VCARD and END:VCARD and every byte between them is kept. An .ics is cut into one object per UID:
its components byte for byte (a master together with its overrides), the time zones they name, and the properties of
the calendar except those that speak of the calendar as a whole or make it a message (METHOD). A file that holds a
single object is kept as it is. What has no UID is given one that is derived from its bytes, so that the same file
gives the same items each time.

Nothing here judges content beyond what cutting needs: the pieces go through content.check like any body. What cannot
be cut is reported as a `Flaw`, and the rest of the file goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from safehold.content.lines import LineError, lex, property_name
from safehold.model.kinds import COMPONENTS

#: Of the calendar as a whole, not of one object in it (RFC 5546 section 3.2, RFC 7986 section 5, and what is in use).
_WHOLE_CALENDAR = frozenset(
    (
        *("METHOD", "UID", "NAME", "DESCRIPTION", "URL", "SOURCE", "COLOR", "REFRESH-INTERVAL", "LAST-MODIFIED"),
        *("X-WR-CALNAME", "X-WR-CALDESC", "X-WR-RELCALID", "X-PUBLISHED-TTL", "X-APPLE-CALENDAR-COLOR"),
    )
)
_BOUNDARY = re.compile(
    rb"^(?:\xef\xbb\xbf)?((?:[A-Za-z0-9_./-]+\.)?(BEGIN|END)):[ \t]*([A-Za-z0-9-]+)[ \t]*\r?(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_LOGICAL_LINE = re.compile(rb"[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z)")
_FOLD = re.compile(rb"\r?\n[ \t]")
_UID = re.compile(rb"^(?:[A-Za-z0-9_./-]+\.)?UID(?:;[^:\n]*)?:[ \t]*([^\r\n]*)\r?\n?", re.IGNORECASE | re.MULTILINE)
_EMPTY_UID = re.compile(rb"^UID(?:;[^:\n]*)?:[ \t]*\r?\n(?![ \t])", re.IGNORECASE | re.MULTILINE)
_VERSION = re.compile(rb"^VERSION[;:][^\n]*\n", re.IGNORECASE | re.MULTILINE)
_SEQUENCE = re.compile(rb"^SEQUENCE(?:;[^:\n]*)?:[ \t]*([0-9]{1,9})[ \t]*$", re.IGNORECASE | re.MULTILINE)
_RECURRENCE_ID = re.compile(rb"^RECURRENCE-ID[;:]", re.IGNORECASE | re.MULTILINE)
_TZID = re.compile(rb';TZID=(?:"([^"\n]*)"|([^;:,\n]*))', re.IGNORECASE)


class Piece(NamedTuple):
    """A body cut out of a file. `uid_given` says that it had no UID and bears one that was derived."""

    body: bytes
    component: str  # VCARD, VEVENT, VTODO or VJOURNAL
    line: int  # of the file, where the piece begins
    uid_given: bool = False


class Flaw(NamedTuple):
    """A part of a file that could not be made an object."""

    line: int
    reason: str


class Parts(NamedTuple):
    """What a file holds. `properties` are those of its first calendar as a whole, by name (`X-WR-CALNAME` …)."""

    pieces: list[Piece]
    flaws: list[Flaw]
    properties: dict[str, str]


class _Slice(NamedTuple):
    """A component as it stands in a file: its bytes, and where its BEGIN line ends within them."""

    name: str  # upper case
    raw: bytes
    head: int
    line: int


class _Calendar(NamedTuple):
    """What the objects of one VCALENDAR of a file have in common."""

    kept: bytes  # properties that every object keeps
    has_version: bool
    properties: dict[str, str]  # of the calendar as a whole
    timezones: dict[bytes, bytes]
    newline: bytes
    components: list[_Slice]


class _Part(NamedTuple):
    """An event, to-do or journal entry on its way into an object."""

    calendar: _Calendar
    name: str
    line: int
    raw: bytes
    uid_given: bool
    override: bool  # has a RECURRENCE-ID
    sequence: int


def split_vcards(data: bytes) -> Parts:
    """The vCards of a file. A file of one vCard and nothing else is kept whole, byte for byte."""
    flaws: list[Flaw] = []
    slices = list(_outermost(data, "VCARD", flaws))
    if len(slices) == 1 and not flaws and _surrounded_by_nothing(data, slices[0]):
        slices = [slices[0]._replace(raw=data)]
    pieces = []
    for card in slices:
        if _has_uid(_unfolded(card.raw)):
            pieces.append(Piece(card.raw, "VCARD", card.line))
        else:
            behind = _VERSION.search(card.raw) or _BOUNDARY.search(card.raw)
            at = behind.end() if behind is not None else 0
            pieces.append(Piece(_with_uid(card.raw, at), "VCARD", card.line, uid_given=True))
    return Parts(pieces, flaws, {})


def split_calendar(data: bytes) -> Parts:
    """The calendar objects of a file, one per component type and UID, in the order in which they first appear."""
    flaws: list[Flaw] = []
    slices = list(_outermost(data, "VCALENDAR", flaws))
    calendars = [_calendar(whole, flaws) for whole in slices]
    groups: dict[tuple[str, bytes], list[_Part]] = {}
    for calendar in calendars:
        for component in calendar.components:
            uid, part = _part(calendar, component)
            group = groups.setdefault((component.name, uid), [])
            if all(part.raw != other.raw for other in group):
                group.append(part)
    properties = calendars[0].properties if calendars else {}
    objects = [_latest(group, flaws) for group in groups.values()]
    parts = [part for group in objects for part in group]
    single = len(slices) == 1 and len(groups) == 1 and not flaws and not any(part.uid_given for part in parts)
    if (
        single
        and "METHOD" not in properties
        and len(parts) == len(calendars[0].components)
        and calendars[0].has_version
        and _surrounded_by_nothing(data, slices[0])
    ):
        return Parts([Piece(data, parts[0].name, slices[0].line)], [], properties)
    return Parts([_object(group) for group in objects], flaws, properties)


def calendar_parts(body: bytes) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The time zones of a body by TZID, and its events, to-dos and journal entries, byte for byte."""
    timezones: dict[bytes, bytes] = {}
    components: list[bytes] = []
    for whole in _outermost(body, "VCALENDAR", []):
        calendar = _calendar(whole, [])
        timezones = {**calendar.timezones, **timezones}
        components.extend(component.raw for component in calendar.components)
    return timezones, components


def derived_uid(raw: bytes) -> str:
    """The UID of something that has none: a UUID of version 8 (RFC 9562 section 5.8) made of its SHA-256."""
    digest = bytearray(sha256(raw).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _outermost(data: bytes, name: str, flaws: list[Flaw]) -> Iterator[_Slice]:
    """The components of this name. One that is cut short ends, as a flaw, where the next one begins."""
    wanted = name.encode()
    start: re.Match[bytes] | None = None
    line, start_line, counted_to, seen = 1, 1, 0, False
    for match in _BOUNDARY.finditer(data):
        if match.group(3).upper() != wanted:
            continue
        seen = True
        line += data.count(b"\n", counted_to, match.start())
        counted_to = match.start()
        if match.group(2).upper() == b"BEGIN":
            if start is not None:
                flaws.append(Flaw(start_line, f"BEGIN:{name} has no END:{name}"))
            start, start_line = match, line
        elif start is None:
            flaws.append(Flaw(line, f"END:{name} has no BEGIN:{name}"))
        else:
            yield _Slice(name, data[start.start(1) : match.end()], start.end() - start.start(1), start_line)
            start = None
    if start is not None:
        flaws.append(Flaw(start_line, f"BEGIN:{name} has no END:{name}"))
    if not seen:
        flaws.append(Flaw(1, f"there is no {name} in it"))


def _surrounded_by_nothing(data: bytes, only: _Slice) -> bool:
    """Whether a file holds but this component, a byte order mark and empty lines left out."""
    return data.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n") == only.raw.strip(b" \t\r\n")


def _inner(whole: _Slice, flaws: list[Flaw]) -> tuple[bytes, list[_Slice]]:
    """A component's own lines, and the components directly within it."""
    raw = whole.raw
    own: list[bytes] = []
    found: list[_Slice] = []
    depth, behind, line, counted_to = 0, whole.head, whole.line, 0
    start: re.Match[bytes] | None = None
    matches = list(_BOUNDARY.finditer(raw, whole.head))
    for match in matches[:-1]:  # the last is the END of the whole
        if match.group(2).upper() == b"BEGIN":
            if depth == 0:
                own.append(raw[behind : match.start()])
                start = match
            depth += 1
        elif depth and start is not None:
            depth -= 1
            if depth == 0:
                line += raw.count(b"\n", counted_to, start.start())
                counted_to = start.start()
                name = start.group(3).decode().upper()
                found.append(_Slice(name, raw[start.start(1) : match.end()], start.end() - start.start(1), line))
                behind = match.end()
    if depth and start is not None:
        line += raw.count(b"\n", counted_to, start.start())
        flaws.append(Flaw(line, f"BEGIN:{start.group(3).decode().upper()[:40]} has no END"))
    else:
        own.append(raw[behind : matches[-1].start()])
    return b"".join(own), found


def _calendar(whole: _Slice, flaws: list[Flaw]) -> _Calendar:
    """What a VCALENDAR holds, taken apart; what is not kept of it is added to flaws."""
    own, inner = _inner(whole, flaws)
    kept: list[bytes] = []
    has_version = False
    properties: dict[str, str] = {}
    for match in _LOGICAL_LINE.finditer(own):
        try:
            lines = lex(match.group())
        except LineError as error:
            flaws.append(Flaw(whole.line, f"in the head of the calendar: {error.reason}"))
            continue
        for line in lines:
            if property_name(line) in _WHOLE_CALENDAR:
                properties.setdefault(property_name(line), line[2].strip())
            else:
                has_version = has_version or property_name(line) == "VERSION"
                kept.append(match.group())
    timezones: dict[bytes, bytes] = {}
    components = []
    for component in inner:
        if component.name == "VTIMEZONE":
            tzid = re.search(rb"^TZID(?:;[^:\n]*)?:([^\n]*)", _unfolded(component.raw), re.IGNORECASE | re.MULTILINE)
            if tzid is not None:
                timezones.setdefault(tzid.group(1).strip(), component.raw)
        elif component.name in COMPONENTS:
            components.append(component)
        else:
            flaws.append(Flaw(component.line, f"{component.name[:40]} is not kept: only {', '.join(COMPONENTS)} are"))
    newline = b"\r\n" if b"\r\n" in whole.raw else b"\n"
    return _Calendar(b"".join(kept), has_version, properties, timezones, newline, components)


def _part(calendar: _Calendar, component: _Slice) -> tuple[bytes, _Part]:
    """The UID of a component, and the component with one given where it had none."""
    own = _unfolded(_inner(component, [])[0])
    uid = next((value.strip() for value in _UID.findall(own) if value.strip()), None)
    raw = component.raw if uid is not None else _with_uid(component.raw, component.head)
    number = _SEQUENCE.search(own)
    sequence = int(number.group(1)) if number is not None else 0
    override = _RECURRENCE_ID.search(own) is not None
    part = _Part(calendar, component.name, component.line, raw, uid is None, override, sequence)
    return uid or derived_uid(component.raw).encode(), part


def _latest(group: list[_Part], flaws: list[Flaw]) -> list[_Part]:
    """The group with one master: of several, which some programs write one after another, the last of the highest
    SEQUENCE (RFC 5545 section 3.8.7.4). The others are added to flaws."""
    masters = [part for part in group if not part.override]
    if len(masters) < 2:
        return group
    kept = max(enumerate(masters), key=lambda pair: (pair[1].sequence, pair[0]))[1]
    for part in masters:
        if part is not kept:
            flaws.append(Flaw(part.line, f"an older version of the {part.name} of line {kept.line} is left out"))
    return [part for part in group if part.override or part is kept]


def _object(group: list[_Part]) -> Piece:
    """One calendar object out of the components of one UID."""
    calendar = group[0].calendar
    newline = calendar.newline
    timezones: dict[bytes, bytes] = {}
    for part in group:
        named = {quoted or plain for quoted, plain in _TZID.findall(_unfolded(part.raw))}
        for tzid, raw in part.calendar.timezones.items():
            if tzid in named:
                timezones.setdefault(tzid, raw)
    version = b"" if calendar.has_version else b"VERSION:2.0" + newline
    pieces = [b"BEGIN:VCALENDAR", newline, version, calendar.kept, *timezones.values()]
    body = b"".join((*pieces, *(part.raw for part in group), b"END:VCALENDAR", newline))
    return Piece(body, group[0].name, group[0].line, any(part.uid_given for part in group))


def _has_uid(unfolded: bytes) -> bool:
    return any(uid.strip() for uid in _UID.findall(unfolded))


def _with_uid(raw: bytes, at: int) -> bytes:
    """`raw` with a UID derived from it at this place; a UID without a value goes."""
    newline = b"\r\n" if b"\r\n" in raw else b"\n"
    given = b"UID:" + derived_uid(raw).encode() + newline
    return _EMPTY_UID.sub(b"", raw[:at]) + given + _EMPTY_UID.sub(b"", raw[at:])


def _unfolded(raw: bytes) -> bytes:
    return _FOLD.sub(b"", raw).replace(b"\r\n", b"\n")
