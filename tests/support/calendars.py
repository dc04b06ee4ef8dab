"""Calendar objects of all shapes, for tests of what has to agree about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from safehold.content.timerange import TimeRange

BERLIN = """BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
"""
#: Around which ranges and times are drawn: in Berlin the clock goes back on 25 October 2026 at 01:00 UTC.
AROUND = datetime(2026, 10, 25)
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "W. Europe Standard Time",
    "/freeassociation.sourceforge.net/Europe/Berlin",
    "Nowhere/At All",
)
RULES = (
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=DAILY;COUNT=12",
    "FREQ=DAILY;INTERVAL=2500",
    "FREQ=DAILY;BYDAY=MO,FR",
    "FREQ=WEEKLY",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU,SA;WKST=SU",
    "FREQ=WEEKLY;UNTIL=20261101T120000Z",
    "FREQ=WEEKLY;UNTIL=20261028",
    "FREQ=WEEKLY;UNTIL=20261025T013000",
    "FREQ=WEEKLY;COUNT=400;BYDAY=MO",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYDAY=-1SU",
    "FREQ=YEARLY",
    "FREQ=YEARLY;COUNT=2",
    "FREQ=HOURLY;INTERVAL=5",
    "FREQ=MINUTELY;INTERVAL=45",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=SOMETIMES",
)
DURATIONS = ("PT0S", "PT30M", "PT1H", "P1D", "PT36H", "P1DT2H", "P3W", "-PT1H", "P400D", "PT24H")

_near = st.integers(-60 * 48, 60 * 48).map(lambda half: AROUND + timedelta(minutes=30 * half))
_far = st.integers(-9000, 9000).map(lambda days: AROUND + timedelta(days=days, hours=days % 24))
moments = _near | _far


@st.composite
def ranges(draw: st.DrawFn) -> TimeRange:
    """Ranges of time that are not empty, some of them open."""
    start = int(draw(moments).replace(tzinfo=UTC).timestamp())
    length = draw(
        st.sampled_from([1, 1800, 3600, 86_400, 2 * 86_400, 7 * 86_400, 31 * 86_400, 800 * 86_400, 9 * 10**8])
    )
    return draw(
        st.sampled_from(
            [TimeRange(start, start + length)] * 6
            + [TimeRange(start, None), TimeRange(None, start), TimeRange(None, None)]
        )
    )


class _Times:
    """How the times of one component are written: all as dates, floating, in UTC or in one zone, mostly."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.form = draw(st.sampled_from(["date", "floating", "utc", "zone", "zone"]))
        self.zone = draw(st.sampled_from(ZONES))

    def line(self, name: str, moment: datetime, params: str = "") -> str:
        form = (
            self.form
            if self._draw(st.integers(1, 12)) > 1
            else self._draw(st.sampled_from(["date", "floating", "utc"]))
        )
        if form == "date":
            return f"{name};VALUE=DATE{params}:{moment:%Y%m%d}"
        if form == "floating":
            return f"{name}{params}:{moment:%Y%m%dT%H%M%S}"
        if form == "utc":
            return f"{name}{params}:{moment:%Y%m%dT%H%M%SZ}"
        quoted = f'"{self.zone}"' if self._draw(st.booleans()) else self.zone
        return f"{name};TZID={quoted}{params}:{moment:%Y%m%dT%H%M%S}"


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """Calendar objects as they could be stored: events, tasks and journal entries, once or recurring, also odd ones."""
    kind = draw(st.sampled_from(["VEVENT"] * 5 + ["VTODO"] * 3 + ["VJOURNAL"]))
    times = _Times(draw)
    start = draw(moments)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//EN"]
    if draw(st.booleans()):
        lines += BERLIN.splitlines()
    recurs = draw(st.booleans())
    lines += _component(draw, kind, times, start, recurs=recurs)
    if recurs and draw(st.integers(1, 3)) == 1:
        for _ in range(draw(st.integers(1, 2))):
            original = start + timedelta(days=draw(st.sampled_from([0, 1, 7, 14, 21])))
            range_ = ";RANGE=THISANDFUTURE" if draw(st.integers(1, 3)) == 1 else ""
            moved = original + timedelta(hours=draw(st.sampled_from([0, 2, -30, 24 * 40])))
            id_ = times.line("RECURRENCE-ID", original, range_)
            lines += _component(draw, kind, times, moved, recurs=False, id_=id_)
    lines.append("END:VCALENDAR")
    return draw(_writings)("\n".join(lines) + "\n")


def _component(draw: st.DrawFn, kind: str, times: _Times, start: datetime, *, recurs: bool, id_: str = "") -> list[str]:
    lines = [f"BEGIN:{kind}", "UID:one", "DTSTAMP:20260101T000000Z", *([id_] if id_ else [])]
    has_start = kind == "VEVENT" or draw(st.integers(1, 4)) > 1
    if has_start:
        lines.append(times.line("DTSTART", start))
    choice = draw(st.sampled_from(["none", "end", "duration"]))
    if kind != "VJOURNAL" and choice == "end":
        length = timedelta(minutes=draw(st.sampled_from([0, 30, 60, 1440, 2880, 100_000, -60])))
        lines.append(times.line("DUE" if kind == "VTODO" else "DTEND", start + length))
    elif kind != "VJOURNAL" and choice == "duration":
        lines.append("DURATION:" + draw(st.sampled_from(DURATIONS)))
    if kind == "VTODO":
        for name in ("COMPLETED", "CREATED"):
            if draw(st.booleans()):
                lines.append(f"{name}:{draw(moments):%Y%m%dT%H%M%SZ}")
    if recurs:
        lines += _recurrence(draw, times, start)
    lines += [
        "SUMMARY:a rather long line that has to be folded because it goes on and on without an end",
        f"END:{kind}",
    ]
    if draw(st.integers(1, 4)) == 1:
        lines[-1:-1] = ["BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-PT15M", "DURATION:PT5M", "REPEAT:2", "END:VALARM"]
    return lines


def _recurrence(draw: st.DrawFn, times: _Times, start: datetime) -> list[str]:
    lines = ["RRULE:" + rule for rule in draw(st.lists(st.sampled_from(RULES), max_size=2))]
    for name in ("RDATE", "EXDATE"):
        if draw(st.integers(1, 3)) == 1:
            days = draw(st.lists(st.sampled_from([0, 1, 3, 7, 14, 300]), min_size=1, max_size=2))
            lines += [times.line(name, start + timedelta(days=day)) for day in days]
    if draw(st.integers(1, 8)) == 1:
        begin = start + timedelta(days=5)
        lines.append(
            f"RDATE;VALUE=PERIOD:{begin:%Y%m%dT%H%M%SZ}/" + draw(st.sampled_from(["PT3H", "P2D", "20261231T000000Z"]))
        )
    return lines


def _folded(text: str) -> bytes:
    """Each line folded after nine characters, in the middle of names too."""
    return b"".join(
        b"\r\n ".join(line[at : at + 9].encode() for at in range(0, len(line), 9)) + b"\r\n"
        for line in text.splitlines()
    )


def _lowered(text: str) -> bytes:
    return text.replace("DTSTART", "dtstart").replace("RRULE", "RRule").replace("END:VEVENT", "end:vevent").encode()


def _crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def _last_lowered(text: str) -> bytes:
    """With the last component in lower case."""
    head, begin, tail = text.rpartition("BEGIN:VEVENT")
    return (head + begin.lower() + tail.replace("END:VEVENT", "END:vevent")).encode()


_writings = st.sampled_from([_crlf, _crlf, _crlf, _folded, _lowered, _last_lowered])
