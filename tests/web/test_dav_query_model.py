"""A query answered by the occurrence index lists what a look at every body would, whatever changed before it (I38)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.content.calendar import CalendarObject
from safehold.content.filters import Collation, CompFilter, PropFilter, calendar_matches, text_match
from safehold.content.timerange import TimeRange
from tests.support.asgi import ICAL, DavGate, Device
from tests.support.queries import CALENDAR, calendar_query, in_comp, in_time, names, report

ZONES = {"UTC": UTC, "America/New_York": ZoneInfo("America/New_York"), "Asia/Tokyo": ZoneInfo("Asia/Tokyo")}
HOUR = 3600
FIRST = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Device, dict[str, bytes]]]:
    gate = DavGate(Path(tmp_path_factory.mktemp("house")))
    gate.add_account("anna")
    device = Device(gate)
    assert device.ask("MKCALENDAR", CALENDAR).status == 201
    yield device, {}
    device.close()


def said(at: int, form: str) -> str:
    """A property's parameters and value for a moment: in UTC, floating, in a zone, or a date."""
    local = datetime.fromtimestamp(at, UTC)
    if form == "date":
        return f";VALUE=DATE:{local:%Y%m%d}"
    return {"utc": f":{local:%Y%m%dT%H%M%S}Z", "floating": f":{local:%Y%m%dT%H%M%S}"}.get(
        form, f";TZID={form}:{local:%Y%m%dT%H%M%S}"
    )


FORMS = st.sampled_from(["utc", "floating", "date", "America/New_York", "Europe/Berlin", "Nowhere/Known"])
MOMENTS = st.integers(0, 24 * 90).map(lambda hours: FIRST + hours * HOUR)
LENGTHS = st.sampled_from(["", "DURATION:PT1H", "DURATION:P2D", "DURATION:PT0S"])
RULES = st.sampled_from(
    [
        *("", "", "", "RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=WEEKLY", "RRULE:FREQ=MONTHLY;UNTIL=20260301T000000Z"),
        *("RRULE:FREQ=WEEKLY;BYDAY=MO,WE;INTERVAL=2", "RRULE:FREQ=NEVER", "RRULE:FREQ=YEARLY;BYMONTH=2;BYDAY=-1SU"),
    ]
)


@st.composite
def bodies(draw: st.DrawFn, name: str) -> bytes:
    component = draw(st.sampled_from(["VEVENT", "VEVENT", "VTODO", "VJOURNAL"]))
    start, form = draw(MOMENTS), draw(FORMS)
    lines = [f"DTSTART{said(start, form)}"]
    rule = draw(RULES)
    if component != "VJOURNAL":
        lines.append(draw(LENGTHS))
    if component == "VTODO":
        lines += [f"DUE{said(start + HOUR, form)}"] if draw(st.booleans()) and not lines[-1] else []
        if draw(st.booleans()):
            lines, rule = lines[1:] if not lines[1] else [], ""
        if draw(st.booleans()):
            lines.append(f"COMPLETED{said(draw(MOMENTS), 'utc')}")
    lines += [rule, f"SUMMARY:{draw(st.sampled_from(['work', 'play']))}"]
    inner = [lines]
    if rule and draw(st.booleans()):
        moved = draw(MOMENTS)
        inner.append([f"RECURRENCE-ID{said(start, form)}", f"DTSTART{said(moved, form)}", "SUMMARY:moved"])
        if draw(st.booleans()):
            inner[0] = [*lines, f"EXDATE{said(start + 24 * HOUR, form)}"]
    components = "".join(
        f"BEGIN:{component}\r\nUID:{name}\r\nDTSTAMP:20260101T000000Z\r\n"
        + "".join(f"{line}\r\n" for line in some if line)
        + f"END:{component}\r\n"
        for some in inner
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{components}END:VCALENDAR\r\n".encode()


NAMES = [f"{n}.ics" for n in range(12)]
CHANGES = st.lists(
    st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), st.none() | bodies(name))), max_size=4
)
RANGES = st.tuples(st.none() | MOMENTS, st.none() | MOMENTS).filter(
    lambda r: r != (None, None) and (r[0] is None or r[1] is None or r[0] < r[1])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=CHANGES,
    within=RANGES.map(lambda r: TimeRange(*r)),
    component=st.sampled_from(["VEVENT", "VTODO", "VJOURNAL"]),
    zone=st.sampled_from([None, *ZONES]),
    text=st.sampled_from([None, "work", "moved"]),
    forget=st.booleans(),
)
def test_the_index_and_the_bodies_agree(
    house: tuple[Device, dict[str, bytes]],
    changes: list[tuple[str, bytes | None]],
    within: TimeRange,
    component: str,
    zone: str | None,
    text: str | None,
    forget: bool,
) -> None:
    device, kept = house
    for name, body in changes:
        if body is None:
            device.ask("DELETE", CALENDAR + name)
            kept.pop(name, None)
        else:
            assert device.put(CALENDAR + name, body, ICAL).status in (201, 204)
            kept[name] = body
    if forget:
        device.gate.spans = type(device.gate.spans)()
    props = (PropFilter("SUMMARY", texts=(text_match(text, Collation.ASCII),)),) if text else ()
    f = CompFilter("VCALENDAR", comps=(CompFilter(component, within=within, props=props),))
    floating = ZONES[zone] if zone else UTC
    wanted = {name for name, body in kept.items() if calendar_matches(f, CalendarObject.parse(body), floating)}
    start, end = (f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}" if at is not None else "" for at in within)
    match = f'<C:prop-filter name="SUMMARY"><C:text-match>{text}</C:text-match></C:prop-filter>' if text else ""
    more = f"<C:timezone-id>{zone}</C:timezone-id>" if zone else ""
    asked = calendar_query(in_comp(component, in_time(start, end) + match), more=more)
    assert names(report(device, CALENDAR, asked)) == wanted
    with_data = asked.replace("<D:getetag/>", "<C:calendar-data/>")
    found = report(device, CALENDAR, with_data).responses
    assert {href.rpartition("/")[2]: row[200]["C:calendar-data"].text.encode() for href, row in found.items()} == {
        name: kept[name] for name in wanted
    }
