"""iCalendar objects and vCards for the fuzz: from a grammar, with values that are hard to bear, and broken ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tests.support.fuzz.dice import Dice, mangled

T = TypeVar("T")

_UIDS = ("u1", "u2", "u3", "u/4", "", "ü-5", "x" * 300, "u1\\,u2")
_TIMES = (
    ":20260110T100000Z",
    ";TZID=Europe/Berlin:20260329T023000",
    ";VALUE=DATE:20260110",
    ":20261025T023000",
    ";TZID=Mars/Olympus:20260110T100000",
    ";TZID=Own Zone:20260110T100000",
    ";TZID=/freeassociation.sourceforge.net/Europe/Berlin:20260110T100000",
    ";TZID=:20260110T100000",
    ";TZID=../../../../etc/passwd:20260110T100000",
    ":00010101T000000Z",
    ":99991231T235959Z",
    ";VALUE=DATE:99991231",
    ":20260630T235960Z",
    ":20260230T100000Z",
    ";VALUE=PERIOD:20260110T100000Z/PT1H",
    ":yesterday",
    ":",
)
_RULES = (
    "FREQ=WEEKLY",
    "FREQ=DAILY;COUNT=3",
    "FREQ=MONTHLY;BYDAY=-1SU;UNTIL=20271231T000000Z",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=SECONDLY",
    "FREQ=SECONDLY;COUNT=2147483647",
    "FREQ=SECONDLY;INTERVAL=1;BYSECOND=0;BYMINUTE=0;BYHOUR=0;BYMONTHDAY=31;BYMONTH=2",
    "FREQ=MINUTELY;BYMONTHDAY=30;BYMONTH=2",
    "FREQ=HOURLY;BYSETPOS=-366;BYDAY=MO",
    "FREQ=YEARLY;BYYEARDAY=366;BYDAY=MO;BYMONTH=12;INTERVAL=7",
    "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=" + ",".join(map(str, range(24))),
    "FREQ=YEARLY;BYSECOND=" + ",".join(map(str, range(60))) + ";BYMINUTE=" + ",".join(map(str, range(60))),
    "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;INTERVAL=-1",
    "FREQ=DAILY;INTERVAL=99999999999999999999",
    "FREQ=YEARLY;INTERVAL=9999;UNTIL=99991231",
    "FREQ=DAILY;COUNT=0",
    "FREQ=DAILY;UNTIL=00010101T000000Z",
    "FREQ=DAILY;UNTIL=20260110;COUNT=2",
    "FREQ=DAILY;BYDAY=99MO,-99SU",
    "FREQ=WEEKLY;WKST=XX;BYDAY=",
    "RSCALE=CHINESE;FREQ=YEARLY;SKIP=FORWARD",
    "COUNT=3",
    "FREQ=NEVER",
    ";;=;",
)
_DATES = (
    "RDATE:20260111T100000Z,20260112T100000Z",
    "EXDATE:20260110T100000Z",
    "EXDATE;VALUE=DATE:20260110",
    "RDATE;VALUE=PERIOD:20260113T100000Z/20260113T110000Z,20260114T100000Z/PT1H",
    "RDATE:" + ",".join(f"20{n:02}0101T000000Z" for n in range(100)),
    "EXDATE:" + ",".join(["20260110T100000Z"] * 5000),
    "EXRULE:FREQ=SECONDLY",
    "RRULE:FREQ=DAILY",
    "RDATE:never",
)
_LENGTHS = (
    "DTEND:20260110T110000Z",
    "DURATION:PT1H",
    "DURATION:P99999999999W",
    "DURATION:-PT1S",
    "DURATION:P",
    "DTEND:00010101T000000Z",
    "DTEND;VALUE=DATE:20260111",
    "DUE:20260111T100000Z",
    "DTEND;TZID=Own Zone:20260110T120000",
)
_PROPERTIES = (
    "SUMMARY:Lunch",
    "SUMMARY;LANGUAGE=de:Käse\\, Brot\\; und \\n Tee",
    "STATUS:CONFIRMED",
    "CLASS:PRIVATE",
    "CATEGORIES:a,b\\,c",
    "COMPLETED:20260110T100000Z",
    "CREATED:20260101T000000Z",
    "PERCENT-COMPLETE:100",
    "TRANSP:TRANSPARENT",
    'ORGANIZER;CN="A; B":mailto:a@example.org',
    "ATTENDEE;PARTSTAT=ACCEPTED;CN=^n^^^':mailto:b@example.org",
    "ATTACH;ENCODING=BASE64;VALUE=BINARY:" + "QUJD" * 3000,
    "DESCRIPTION:" + "x" * 70_000,
    "X-EMPTY:",
    "X-PARAMS" + "".join(f";P{n}={n}" for n in range(500)) + ":x",
    'X-QUOTE;A="unclosed:x',
    "GEO:1;2;3",
    "RELATED-TO:u2",
    "SEQUENCE:99999999999999999999",
    "FREEBUSY;FBTYPE=BUSY:20260110T100000Z/PT1H,20260110T100000Z/19990110T110000Z",
    "no colon here",
    ":no name",
    "\u2028:\u0000",
)
_ZONE = (
    "BEGIN:VTIMEZONE",
    "TZID:Own Zone",
    "BEGIN:STANDARD",
    "DTSTART:19701025T030000",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
    "END:STANDARD",
    "END:VTIMEZONE",
)
_ODD_ZONES = (
    ("BEGIN:VTIMEZONE", "TZID:Own Zone", "END:VTIMEZONE"),
    tuple(line.replace("+0200", "+9999") for line in _ZONE),
    tuple(line.replace("FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU", "FREQ=SECONDLY") for line in _ZONE),
    tuple(line.replace("19701025T030000", "00010101T000000") for line in _ZONE),
    tuple(line for line in _ZONE for _ in range(3 if line.startswith("RRULE") else 1)),
    (*_ZONE[:2], *(_ZONE[2:-1] * 200), _ZONE[-1]),
)
_ALARMS = (
    "TRIGGER:-PT15M",
    "TRIGGER;RELATED=END:PT0S",
    "TRIGGER;VALUE=DATE-TIME:20260110T093000Z",
    "TRIGGER:-P99999999W",
    "REPEAT:99999999",
    "DURATION:PT1S",
)
_COMPONENTS = ("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY", "X-THING", "VALARM", "")


#: So many of the first values of each list are what any program writes.
_TAME = 4


def _one(dice: Dice, options: Sequence[T], wild: bool) -> T:
    return dice.pick(options) if wild else options[dice.below(min(_TAME, len(options)))]


def calendar(dice: Dice, target: str) -> bytes:
    """An iCalendar object (RFC 5545), half of the time one that the calendar at the target surely takes."""
    wild = dice.one_in(2)
    component = "VTODO" if "/tasks/" in target else "VJOURNAL" if "/notes/" in target else "VEVENT"
    if wild and dice.one_in(2):
        component = dice.pick(_COMPONENTS)
    uid = dice.pick(_UIDS) if wild else f"u-{dice.below(1000)}"
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//fuzz//EN"]
    if dice.one_in(4):
        lines += dice.pick((_ZONE, *_ODD_ZONES)) if wild else _ZONE
    lines += _component(dice, component, uid, [], wild)
    for _ in range(dice.below(3) if dice.one_in(3) else 0):
        at = dice.pick((";RANGE=THISANDFUTURE", "")) + _one(dice, _TIMES, wild)
        lines += _component(dice, component, uid, ["RECURRENCE-ID" + at], wild)
    if wild and dice.one_in(6):
        lines += _component(dice, dice.pick(_COMPONENTS), dice.pick(_UIDS), [], wild)
    if wild and dice.one_in(30):
        depth = dice.pick((3, 50, 2000))
        lines += ["BEGIN:X-DEEP"] * depth + ["END:X-DEEP"] * depth
    lines.append("END:VCALENDAR")
    return _text(dice, lines, wild)


def _component(dice: Dice, name: str, uid: str, first: list[str], wild: bool) -> list[str]:
    lines = [f"BEGIN:{name}", f"UID:{uid}", "DTSTAMP:20260101T000000Z", *first]
    if not wild or not dice.one_in(5):
        lines.append("DTSTART" + _one(dice, _TIMES, wild))
    if dice.one_in(2):
        lines.append(dice.pick(_LENGTHS) if wild else "DURATION:PT1H")
    if dice.one_in(2):
        lines.append("RRULE:" + _one(dice, _RULES, wild))
    if dice.one_in(4):
        lines += dice.several(_DATES if wild else _DATES[:2], 3)
    lines += dice.several(_PROPERTIES if wild else _PROPERTIES[:6], 4)
    if dice.one_in(4):
        lines += ["BEGIN:VALARM", "ACTION:DISPLAY", *dice.several(_ALARMS, 3), "END:VALARM"]
    return [*lines, f"END:{name}"]


_CARD_LINES = (
    "FN:Ada Lovelace",
    "N:Lovelace;Ada;;;",
    "TEL;TYPE=CELL:+4930123",
    "EMAIL:ada@example.org",
    "item1.EMAIL;TYPE=INTERNET:a@b",
    "item1.X-ABLabel:_$!<HomePage>!$_",
    "BDAY:1815-12-10",
    "BDAY;VALUE=text:circa 1800",
    "ADR;TYPE=HOME:;;Straße 1;Berlin;;10115;DE",
    "PHOTO;ENCODING=b;TYPE=JPEG:" + "QUJD" * 3000,
    "PHOTO:data:image/png;base64,iVBORw0KGgo=",
    "NOTE:" + "y" * 70_000,
    "NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:K=E4se=\r\n und Brot",
    "KIND:group",
    "MEMBER:urn:uuid:u1",
    "X-ADDRESSBOOKSERVER-KIND:group",
    "REV:20260101T000000Z",
    "AGENT:BEGIN:VCARD\\nFN:x\\nEND:VCARD",
    "CATEGORIES:a,b\\,c",
    "X-PARAMS" + "".join(f';P{n}="{n}"' for n in range(500)) + ":x",
    'TEL;TYPE="unclosed:1',
    "no colon",
    "\x00:\x01",
    "FN:second",
    "UID:another",
)


def card(dice: Dice, target: str) -> bytes:
    """A vCard (RFC 2426, RFC 6350), half of the time one that an address book surely takes."""
    wild = dice.one_in(2)
    version = _one(dice, ("3.0", "4.0", "3.0", "4.0", "2.1", "9"), wild)
    uid = dice.pick(_UIDS) if wild else f"u-{dice.below(1000)}"
    lines = ["BEGIN:VCARD", f"VERSION:{version}", f"UID:{uid}"]
    lines += _CARD_LINES[:2] if not wild or not dice.one_in(6) else []
    lines += dice.several(_CARD_LINES if wild else _CARD_LINES[2:12], 5)
    if wild and dice.one_in(30):
        depth = dice.pick((2, 50, 2000))
        lines += ["BEGIN:VCARD"] * depth + ["END:VCARD"] * depth
    return _text(dice, [*lines, "END:VCARD"] * (2 if wild and dice.one_in(20) else 1), wild)


def _text(dice: Dice, lines: list[str], wild: bool) -> bytes:
    """Lines as bytes: as they should be or, where it is wild, folded anywhere, ended otherwise, shuffled or broken."""
    if not wild:
        return ("\r\n".join(lines) + "\r\n").encode()
    if dice.one_in(10):
        lines.insert(dice.below(len(lines)), lines.pop(dice.below(len(lines))))
    if dice.one_in(15):
        del lines[dice.below(len(lines))]
    if dice.one_in(25):
        lines = [line.lower() for line in lines]
    end = dice.pick(("\r\n",) * 8 + ("\n", "\r", "\r\n\r\n", "\r\n\t", "\x85", ""))
    data = (end.join(lines) + end).encode()
    if dice.one_in(12):
        at = dice.below(len(data))
        data = data[:at] + b"\r\n " + data[at:]  # within a character too: folding is in octets (RFC 5545 section 3.1)
    if dice.one_in(30):
        text = data.decode(errors="replace")
        data = dice.pick((b"\xef\xbb\xbf" + data, text.encode("utf-16"), text.encode("latin-1", "replace")))
    return mangled(dice, data) if dice.one_in(4) else data


def file(dice: Dice, target: str) -> bytes:
    """Whatever people keep in files; a few are larger than what the core holds inline."""
    return dice.pick((b"hello", b"", b"\x00\xff" * 50, b"x" * 70_000, b"<html>", b"BEGIN:VCARD")) + dice.data(4)
