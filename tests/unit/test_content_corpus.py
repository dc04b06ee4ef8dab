"""The check over real data: nothing valid is refused, and what is refused is listed here with its reason."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from safehold.content.check import check_icalendar, check_vcard
from safehold.content.uid import quick_uid
from tests.support import corpus

needs_archives = pytest.mark.skipif(
    not corpus.archives(), reason=f"no source archives in {corpus.folder()}: bin/test fetches them"
)

#: Each reason for which a part of the corpus is refused breaks a MUST of the standard named beside it.
REASONS = {
    r"no DTSTART": "RFC 5545 section 3.6.1: required where there is no METHOD",
    r"(is no DATE or DATE-TIME)": "RFC 5545 sections 3.3.4 and 3.3.5",
    r"a second DTSTART": "RFC 5545 section 3.6.1: MUST NOT occur more than once",
    r"holds no vCard and no calendar": "RFC 5545 section 3.4: a bare alarm, time zone or free/busy time",
    r"there is no VCALENDAR": "RFC 5545 section 3.4",
    r"has no END|stands where END": "RFC 5545 section 3.6",
    r"no colon after|no name of a property|quote that is not closed": "RFC 5545 section 3.1",
    r"in the head of the calendar": "RFC 5545 section 3.1; the objects in it are taken",
    r"is not kept: only": "RFC 4791 section 5.2.3: components that a collection here does not support",
    r"an older version of": "RFC 4791 section 4.1: one master of a UID; the latest is taken",
    r"is that of another object": "two files bear the same UID; the first is taken",
}


def test_the_examples_of_the_standards_are_taken() -> None:
    for path in sorted(corpus.RFC_FOLDER.glob("*.vcf")):
        if path.stem not in ("rfc6350-6.6.5-group", "rfc6350-6.6.5-list"):  # three vCards; no UID
            assert check_vcard(path.read_bytes()).uid, path.name
    for path in sorted(corpus.RFC_FOLDER.glob("*.ics")):
        if path.stem not in ("rfc4791-b-abcd8", "rfc5545-4-draft"):  # a VFREEBUSY; a METHOD
            assert check_icalendar(path.read_bytes()).uid, path.name


@needs_archives
def test_there_is_enough_of_everything() -> None:
    loaded = corpus.load()
    assert len(loaded.events) >= 300
    assert len(loaded.cards) >= 300
    assert len(loaded.tasks) >= 50
    first = [body for _, body in loaded.events[:300]]
    for mark in (b"RRULE", b"TZID=", b"VALUE=DATE:", b"ATTACH", b"VALARM", b"RECURRENCE-ID"):
        assert any(mark in body for body in first), mark
    assert any(not body.isascii() for body in first)


def test_all_that_is_given_out_is_valid_and_has_a_uid_of_its_own() -> None:
    loaded = corpus.load()
    for objects, check in (
        (loaded.cards, check_vcard),
        (loaded.events, check_icalendar),
        (loaded.tasks, check_icalendar),
        (loaded.journals, check_icalendar),
    ):
        uids = [check(body).uid for _, body in objects]
        assert uids == [quick_uid(body) for _, body in objects]
        assert len(set(uids)) == len(uids)
        assert len({name for name, _ in objects}) == len(objects)


def test_nothing_is_refused_for_a_reason_that_is_not_listed() -> None:
    unknown = [row for row in corpus.refused() if not any(re.search(reason, row[2]) for reason in REASONS)]
    assert not unknown


@needs_archives
def test_each_listed_reason_is_met() -> None:
    """A reason that nothing is refused for any more goes from the list."""
    met: Counter[str] = Counter()
    for _, _, text in corpus.refused():
        met.update(reason for reason in REASONS if re.search(reason, text))
    assert set(REASONS) - set(met) <= {r"there is no VCALENDAR"}
