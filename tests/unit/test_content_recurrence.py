"""Recurrence rules: the standard's own examples, dateutil as the oracle, and rules that are meant to cost."""

from __future__ import annotations

import datetime as datetime_module
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from unittest import mock

import pytest
from dateutil.rrule import rrulestr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safehold.content.budget import STEPS, Budget, OverBudget
from safehold.content.recurrence import FREQUENCIES, BadRule, parse_rule, rule_starts
from safehold.content.times import FIRST, LAST, format_date_time, parse_when

#: RFC 5545 section 3.8.5.3: DTSTART where it is not 19970902T090000, rule, and the dates that the standard lists; times
#: where they are not 9:00; "…" where it goes on.
EXAMPLES = [
    ("", "FREQ=DAILY;COUNT=10", "0902 0903 0904 0905 0906 0907 0908 0909 0910 0911"),
    ("", "FREQ=DAILY;INTERVAL=2", "0902 0904 0906 0908 0910 0912 0914 0916 0918 0920 0922 0924 0926 0928 0930 …"),
    ("", "FREQ=DAILY;INTERVAL=10;COUNT=5", "0902 0912 0922 1002 1012"),
    ("", "FREQ=WEEKLY;COUNT=10", "0902 0909 0916 0923 0930 1007 1014 1021 1028 1104"),
    ("", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", "0902 0916 0930 1014 1028 1111 1125 1209 1223 19980106 19980120 …"),
    (
        "",
        "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH",
        "0902 0904 0909 0911 0916 0918 0923 0925 0930 1002",
    ),
    ("19970901T090000", "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=MO,WE,FR", "0901 0903 0905 0915 0917 0919 0929 …"),
    ("", "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH", "0902 0904 0916 0918 0930 1002 1014 1016"),
    (
        "19970905T090000",
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        "0905 1003 1107 1205 19980102 19980206 19980306 19980403 19980501 19980605",
    ),
    (
        "19970907T090000",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        "0907 0928 1102 1130 19980104 19980125 19980301 19980329 19980503 19980531",
    ),
    (
        "19970922T090000",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        "0922 1020 1117 1222 19980119 19980216",
    ),
    ("19970928T090000", "FREQ=MONTHLY;BYMONTHDAY=-3", "0928 1029 1128 1229 19980129 19980226 …"),
    (
        "",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
        "0902 0915 1002 1015 1102 1115 1202 1215 19980102 19980115",
    ),
    (
        "19970930T090000",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        "0930 1001 1031 1101 1130 1201 1231 19980101 19980131 19980201",
    ),
    (
        "19970910T090000",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        "0910 0911 0912 0913 0914 0915 19990310 19990311 19990312 19990313",
    ),
    (
        "",
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
        "0902 0909 0916 0923 0930 1104 1111 1118 1125 19980106 19980113 19980120 19980127 19980303 …",
    ),
    (
        "19970610T090000",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        "0610 0710 19980610 19980710 19990610 19990710 20000610 20000710 20010610 20010710",
    ),
    (
        "19970310T090000",
        "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
        "0310 19990110 19990210 19990310 20010110 20010210 20010310 20030110 20030210 20030310",
    ),
    (
        "19970101T090000",
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        "0101 0410 0719 20000101 20000409 20000718 20030101 20030410 20030719 20060101",
    ),
    ("19970519T090000", "FREQ=YEARLY;BYDAY=20MO", "0519 19980518 19990517 …"),
    ("19970512T090000", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "0512 19980511 19990517 …"),
    ("19970313T090000", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "0313 0320 0327 19980305 19980312 19980319 19980326 …"),
    (
        "19970605T090000",
        "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
        "0605 0612 0619 0626 0703 0710 0717 0724 0731 0807 0814 0821 0828 19980604 …",
    ),
    ("19980213T090000", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "19980213 19980313 19981113 19990813 20001013 …"),
    (
        "19970913T090000",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "0913 1011 1108 1213 19980110 19980207 19980307 19980411 19980509 19980613 …",
    ),
    (
        "19961105T090000",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "19961105 20001107 20041102 …",
    ),
    ("19970904T090000", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "0904 1007 1106"),
    (
        "19970929T090000",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "0929 1030 1127 1230 19980129 19980226 19980330 …",
    ),
    ("", "FREQ=HOURLY;INTERVAL=3;COUNT=3", "0902T090000 0902T120000 0902T150000"),
    (
        "",
        "FREQ=MINUTELY;INTERVAL=15;COUNT=6",
        "0902T090000 0902T091500 0902T093000 0902T094500 0902T100000 0902T101500",
    ),
    ("", "FREQ=MINUTELY;INTERVAL=90;COUNT=4", "0902T090000 0902T103000 0902T120000 0902T133000"),
    (
        "",
        "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
        "0902T090000 0902T092000 0902T094000 0902T100000 0902T102000 …",
    ),
    (
        "",
        "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
        "0902T090000 0902T092000 0902T094000 0902T100000 0902T102000 …",
    ),
    ("19970805T090000", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "0805 0810 0819 0824"),
    ("19970805T090000", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "0805 0817 0819 0831"),
    ("20070115T090000", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "20070115 20070130 20070215 20070315 20070330"),
]


@pytest.mark.parametrize(("dtstart", "rule", "listed"), EXAMPLES, ids=[rule for _, rule, _ in EXAMPLES])
def test_the_examples_of_the_standard(dtstart: str, rule: str, listed: str) -> None:
    wanted = [_whole(one) for one in listed.split() if one != "…"]
    more = listed.endswith("…")
    found = _starts(rule, dtstart or "19970902T090000")
    assert [format_date_time(time, utc=False) for time in itertools.islice(found, len(wanted))] == wanted
    assert (next(found, None) is not None) == more


def _whole(text: str) -> str:
    date, _, time = text.partition("T")
    return f"{'1997' if len(date) == 4 else ''}{date}T{time or '090000'}"


def _starts(rule: str, dtstart: str, after: int = FIRST, before: int = LAST + 1, steps: int = STEPS) -> Iterator[int]:
    return rule_starts(parse_rule(rule), parse_when(dtstart).local, after, before, Budget(steps))


# -- the oracle ----------------------------------------------------------------------------------------------


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules without what dateutil is known to take otherwise:

    - a numbered weekday beside one without a number (dateutil wants both to hold at once);
    - BYWEEKNO alone (dateutil takes all days of the week, the standard the weekday of DTSTART);
    - BYSETPOS in a weekly rule (dateutil counts from DTSTART in its first week, the standard from the week's begin);
    - BYWEEKNO with a numbered weekday, which the standard forbids.
    """
    freq = draw(st.sampled_from(FREQUENCIES))
    parts = [f"FREQ={freq}"]

    def some(name: str, low: int, high: int, *, negative: bool = False, chance: int = 4) -> bool:
        if draw(st.integers(1, chance)) > 1:
            return False
        numbers = st.integers(low, high)
        if negative:
            numbers = numbers | numbers.map(lambda number: -number)
        parts.append(f"{name}=" + ",".join(map(str, draw(st.lists(numbers, min_size=1, max_size=4)))))
        return True

    # dateutil looks at each minute and second until one fits, which with an interval may be never.
    fine = freq in ("MINUTELY", "SECONDLY")
    if not fine and draw(st.booleans()):
        parts.append(f"INTERVAL={draw(st.sampled_from([1, 2, 3, 5, 7, 12, 26]))}")
    if not fine:
        some("BYMONTH", 1, 12)
    if freq not in ("WEEKLY", "SECONDLY"):
        some("BYMONTHDAY", 1, 31, negative=True)
    if freq in ("YEARLY", "HOURLY"):
        some("BYYEARDAY", 1, 366, negative=True, chance=6)
    weeks = freq == "YEARLY" and some("BYWEEKNO", 1, 53, negative=True, chance=6)
    if weeks or (freq != "SECONDLY" and draw(st.integers(1, 3)) == 1):
        numbered = freq in ("YEARLY", "MONTHLY") and not weeks and draw(st.booleans())
        days = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
        if numbered:
            days = st.builds("{}{}".format, st.sampled_from([1, 2, 3, 4, 5, -1, -2, -5]), days)
        parts.append("BYDAY=" + ",".join(draw(st.lists(days, min_size=1, max_size=4))))
    if freq != "SECONDLY":
        some("BYHOUR", 0, 23)
    some("BYMINUTE", 0, 59)
    some("BYSECOND", 0, 59, chance=8)
    if freq != "WEEKLY" and not fine:
        some("BYSETPOS", 1, 5, negative=True, chance=5)
    if draw(st.integers(1, 3)) == 1:
        parts.append("WKST=" + draw(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])))
    if draw(st.integers(1, 3)) == 1:
        parts.append(f"COUNT={draw(st.integers(1, 60))}")
    return ";".join(parts)


MOMENTS = st.datetimes(datetime(1996, 1, 1), datetime(2012, 12, 31)).map(lambda moment: moment.replace(microsecond=0))
#: How far a range reaches, by frequency: dateutil looks at each period.
REACH = {"SECONDLY": timedelta(hours=2), "MINUTELY": timedelta(days=3), "HOURLY": timedelta(days=90)}


@settings(max_examples=100)
@example("FREQ=HOURLY;INTERVAL=2;BYHOUR=0", datetime(2000, 1, 1, 1), 0.0)
@given(rules(), MOMENTS, st.floats(0, 1))
def test_dateutil_finds_the_same(rule: str, dtstart: datetime, share: float) -> None:
    reach = REACH.get(parse_rule(rule).freq, timedelta(days=5 * 365))
    after = dtstart + timedelta(seconds=int(reach.total_seconds() * share))
    before = after + reach
    epoch = datetime(1970, 1, 1)
    seconds = [int((moment - epoch).total_seconds()) for moment in (dtstart, after, before)]
    # Else dateutil looks through eight thousand years for a day that never comes.
    with mock.patch.object(datetime_module, "MAXYEAR", before.year):
        try:
            moments = list(itertools.takewhile(lambda moment: moment < before, rrulestr(rule, dtstart=dtstart)))
        except ValueError as error:  # every second hour from one o'clock on, but at midnight
            assert "empty set" in str(error)
            moments = []
    wanted = [int((moment - epoch).total_seconds()) for moment in moments if moment >= after]
    start, low, high = seconds
    assert list(rule_starts(parse_rule(rule), start, low, high, Budget(10_000_000))) == wanted


@settings(max_examples=150)
@given(rules(), MOMENTS, st.integers(0, 6 * 365 * 86_400), st.integers(0, 400 * 86_400))
def test_entered_anywhere_it_is_the_same_series(rule: str, dtstart: datetime, later: int, length: int) -> None:
    freq = parse_rule(rule).freq
    if freq in REACH:
        later, length = later // 2000, length // 2000
    start = int((dtstart - datetime(1970, 1, 1)).total_seconds())
    low, high = start + later, start + later + length
    whole = list(rule_starts(parse_rule(rule), start, start, high, Budget(100_000_000)))
    part = list(rule_starts(parse_rule(rule), start, low, high, Budget(100_000_000)))
    assert part == [time for time in whole if time >= low]
    assert whole == sorted(set(whole))


# -- hostile rules -------------------------------------------------------------------------------------------

ONE_MONTH = ("20260601T000000", "20260701T000000")


@pytest.mark.parametrize(
    ("dtstart", "rule", "most"),
    [
        ("19970902T090000", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", 10),
        ("00010101T000000", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30;UNTIL=99991231T235959", 10),
        ("00010101T000000", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", 10),
        ("00010101T000000", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 40),
        ("00010101T000000", "FREQ=WEEKLY;UNTIL=99991231T235959Z", 100),
        ("19700101T000000", "FREQ=DAILY;COUNT=999999999", 100),
        ("19700101T000000", "FREQ=SECONDLY;INTERVAL=999999999", 10),
        ("19700101T000000", "FREQ=MINUTELY;BYHOUR=3;BYMINUTE=7;BYSECOND=1,2;BYSETPOS=3", 40_000),
        ("19700101T000000", "FREQ=HOURLY;BYYEARDAY=366;BYDAY=MO", 40),
    ],
)
def test_what_a_hostile_rule_costs_for_a_month(dtstart: str, rule: str, most: int) -> None:
    low, high = (parse_when(moment).local for moment in ONE_MONTH)
    budget = Budget(STEPS)
    for _ in rule_starts(parse_rule(rule), parse_when(dtstart).local, low, high, budget):
        pass
    assert STEPS - budget.left <= most


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=4",
        "FREQ=DAILY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=MONTHLY;COUNT=999999999;BYDAY=MO",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=MINUTELY;BYSECOND=30;BYSETPOS=2",
        "FREQ=YEARLY;BYDAY=" + ",".join(f"{n}{d}" for n in range(1, 54) for d in ("MO", "SU")),
    ],
)
def test_no_rule_costs_more_than_its_budget(rule: str) -> None:
    budget = Budget(STEPS)
    with pytest.raises(OverBudget):
        for _ in rule_starts(parse_rule(rule), FIRST, FIRST, LAST + 1, budget):
            pass
    assert budget.left < 0


def test_the_last_year_ends() -> None:
    for freq in FREQUENCIES:
        found = list(_starts(f"FREQ={freq}", "99991231T235958", after=parse_when("99991231T235950").local))
        assert found[0] == LAST - 1
        assert found[-1] <= LAST


# -- what is no rule -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "COUNT=3",
        "FREQ=FORTNIGHTLY",
        "FREQ=DAILY;INTERVAL=x",
        "FREQ=DAILY;INTERVAL=٣",
        "FREQ=DAILY;COUNT=-1",
        "FREQ=DAILY;UNTIL=soon",
        "FREQ=DAILY;UNTIL=20260230",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYDAY=XX",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=54MO",
        "FREQ=YEARLY;BYMONTH=13",
        "FREQ=YEARLY;BYMONTH=5L",
        "FREQ=WEEKLY;WKST=1",
        "RSCALE=CHINESE;FREQ=YEARLY",
        "FREQ=YEARLY;BYMONTHDAY=29;BYMONTH=2;SKIP=FORWARD",
        "FREQ=DAILY;BYHOUR=" + "1," * 2000,
    ],
)
def test_what_cannot_be_understood_is_no_rule(text: str) -> None:
    with pytest.raises(BadRule):
        parse_rule(text)


def test_a_rule_is_read_leniently() -> None:
    assert parse_rule("freq=daily;interval=2;x-other=1;byday=") == parse_rule("INTERVAL=2;FREQ=DAILY")
    assert parse_rule("FREQ=DAILY;INTERVAL=0").interval == 1
