"""Time as a keeper counts it, and what its evidence says."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from safehold.formats.evidence import Evidence
from safehold.vault.receipts import DAY, STEP, AttestFacts, Receipts, RetainFacts, Signed, allowed_drop

BEGAN = 1_700_000_000_000_000
YEARS = 3650 * DAY


def word(at: int, facts: AttestFacts | RetainFacts, vault: str = "near") -> Signed:
    kind = "attest" if isinstance(facts, AttestFacts) else "retain"
    built = msgspec.to_builtins(facts)
    upto = (1, facts.generation, b"d") if isinstance(facts, AttestFacts) else (0, 0, b"")
    return Signed(f"evidence/{at:016d}-0badcafe.ev", Evidence(1, kind, at, vault, upto, b"", built))


def said(clocks: list[int]) -> tuple[Receipts, list[int]]:
    """A keeper that attests at each of these moments of its clock; and the receipt times it wrote."""
    words: list[Signed] = []
    times = []
    for number, clock in enumerate(clocks, 1):
        receipt = Receipts("near", reversed(words)).now(clock)
        times.append(receipt)
        words.append(word(clock + number, AttestFacts(number, "aa", receipt, clock)))
    return Receipts("near", reversed(words)), times


def test_a_keeper_that_comes_every_day_counts_the_days_as_they_are() -> None:
    receipts, times = said([BEGAN + n * DAY for n in range(100)])
    assert times[-1] - times[0] == 99 * DAY
    assert [a.generation for a in receipts.attested] == list(range(1, 101))


def test_a_clock_that_jumps_ahead_makes_nothing_older_than_a_few_days() -> None:
    _, times = said([BEGAN, BEGAN + DAY, BEGAN + YEARS, BEGAN + YEARS + DAY])
    assert times[2] - times[1] == STEP
    assert times[3] - times[2] <= DAY


def test_a_clock_that_jumps_back_counts_on_from_there() -> None:
    _, times = said([BEGAN + YEARS, BEGAN, BEGAN + DAY])
    assert times[1] == times[0]
    assert times[2] - times[1] == DAY


@given(st.lists(st.integers(0, YEARS), min_size=1, max_size=30))
def test_receipt_time_never_runs_back_nor_more_than_a_step_at_once(clocks: list[int]) -> None:
    receipts, times = said(clocks)
    assert all(0 <= b - a <= STEP for a, b in pairwise(times))
    assert receipts.now(clocks[-1]) >= times[-1]
    assert receipts.believed(YEARS * 2) <= max(clocks) + STEP


def test_words_on_another_vault_and_of_another_form_count_nothing() -> None:
    strange = Evidence(1, "attest", BEGAN, "near", (1, 1, b""), b"", {"generation": "one"})
    receipts = Receipts("near", [word(BEGAN, AttestFacts(4, "aa", BEGAN, BEGAN), "far"), Signed("evidence/x", strange)])
    assert not receipts.attested
    assert receipts.now(BEGAN) == BEGAN


def test_what_was_refused_is_no_attestation_but_time_goes_on_by_it() -> None:
    receipts = Receipts("near", [word(BEGAN, AttestFacts(4, "aa", BEGAN, BEGAN, False, ["a stream is missing"]))])
    assert not receipts.attested
    assert receipts.refused[0].why == ["a stream is missing"]
    assert receipts.now(BEGAN + YEARS) == BEGAN + STEP


def test_a_generation_is_attested_by_its_digest_not_its_number() -> None:
    receipts = Receipts("near", [word(BEGAN, AttestFacts(4, "aa", BEGAN, BEGAN))])
    assert receipts.is_attested(4, b"\xaa") is not None
    assert receipts.is_attested(4, b"\xbb") is None


def test_history_is_dropped_as_far_as_every_vault_allows() -> None:
    words = [word(BEGAN, RetainFacts(BEGAN, BEGAN, drop_upto=7)), word(BEGAN, RetainFacts(BEGAN, BEGAN), "far")]
    words.append(word(BEGAN + 1, RetainFacts(BEGAN, BEGAN, drop_upto=3), "far"))
    assert allowed_drop(words, ["near", "far"]) == 3
    assert allowed_drop(words, ["near", "far", "third"]) == 0
    assert allowed_drop(words, []) == 0


def test_facts_that_nobody_can_read_hide_no_others() -> None:
    rubbish = word(BEGAN, AttestFacts(1, "no hex digits", BEGAN, BEGAN))
    good = word(BEGAN + 1, AttestFacts(2, "aa", BEGAN, BEGAN))
    assert [a.generation for a in Receipts("near", [good, rubbish]).attested] == [2]
