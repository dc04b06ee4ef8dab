"""What retention may remove: decided over hundreds of days in a model of a vault, whatever clocks say."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.formats.evidence import Evidence
from safehold.formats.generation import manifest_object
from safehold.formats.run import RunName
from safehold.formats.segment import HEADER_BYTES, SegmentName
from safehold.ports.core import LogPosition
from safehold.recovery.retention import (
    EvidenceSeen,
    GenerationSeen,
    Plan,
    Policy,
    SegmentSeen,
    View,
    choose,
    erased_by,
    parse_policy,
    plan,
)
from safehold.vault.receipts import DAY, STEP, AttestFacts, Receipts, RetainFacts, Signed

BEGAN = 1_790_000_000_000_000


def manifest(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Model:
    """A vault by its listing. Each day has frames in segments of ten, a claim every `claims` days, a generation."""

    def __init__(self, policy: Policy, *, claims: int = 5) -> None:
        self.policy = policy
        self.claims = claims
        self.day = 0
        self.skew = 0  # µs that the keeper's clock is off
        self.frame = 0
        self.timeline = 0
        self.segments: dict[SegmentName, int] = {}
        self.made_on: dict[SegmentName, int] = {}
        self.last_frame: dict[SegmentName, int] = {}
        self.generations: dict[int, GenerationSeen] = {}
        self.runs: dict[str, int] = {}
        self.blobs: dict[str, int] = {}
        self.needed: set[str] = set()
        self.words: list[Signed] = []
        self.day_of: dict[int, int] = {}  # generation -> day it was attested
        self.full: list[str] = []

    @property
    def clock(self) -> int:
        return BEGAN + self.day * DAY + self.skew

    def pass_day(self, *, attested: bool = True, frames: int = 25, holds: frozenset[bytes] = frozenset()) -> None:
        self.day += 1
        if self.day % self.claims == 1 or not self.timeline:
            self.timeline += 1
            self._segment(SegmentName(self.timeline, 0, 0))
        for n in range(frames):
            self.frame += 1
            if n % 10 == 9:
                number = sum(name.timeline == self.timeline for name in self.made_on)
                self._segment(SegmentName(self.timeline, number, self.frame))
            else:
                self.last_frame[max(self.segments)] = self.frame
        position = LogPosition(self.timeline, self.frame, manifest(self.frame))
        if self.day % 7 == 1:
            self.full = []
        self.full.append(str(RunName(self.frame, 0)))
        self.runs[self.full[-1]] = 1000
        self.runs[manifest_object(self.frame)] = 300
        seen = GenerationSeen(self.frame, manifest(self.frame), position, frozenset(self.full), True, holds)
        self.generations[self.frame] = seen
        if attested:
            self.attest(seen)

    def _segment(self, name: SegmentName) -> None:
        self.segments[name] = HEADER_BYTES + 5000
        self.made_on[name] = self.day
        self.last_frame[name] = self.frame

    def attest(self, seen: GenerationSeen) -> None:
        facts = AttestFacts(seen.number, seen.manifest.hex(), self.receipts().now(self.clock), self.clock)
        facts = msgspec.structs.replace(facts, identity=self.day)
        self._say("attest", facts, seen.position)
        self.day_of[seen.number] = self.day

    def _say(self, kind: str, facts: AttestFacts | RetainFacts, upto: LogPosition) -> None:
        evidence = Evidence(1, kind, self.clock, "near", tuple(upto), b"", msgspec.to_builtins(facts))
        self.words.append(Signed(f"evidence/{self.clock:016d}-{len(self.words):08x}.ev", evidence))

    def receipts(self) -> Receipts:
        return Receipts("near", self.words)

    def view(self, **more: object) -> View:
        evidence = [EvidenceSeen(w.name, w.evidence.at, w.evidence.kind, "near", 500) for w in self.words]
        return View(
            self.receipts(),
            self.clock,
            [SegmentSeen(*item) for item in self.segments.items()],
            dict(self.runs),
            list(self.generations.values()),
            evidence,
            **more,  # type: ignore[arg-type]
        )

    def plan(self, **more: object) -> Plan:
        view = self.view(**more)
        return plan(view, choose(view, self.policy), self.blobs, self.needed)

    def retain(self, **more: object) -> Plan:
        made = self.plan(**more)
        self._say("retain", made.facts(self.clock), LogPosition(0, 0, b""))
        for going in (*made.remove, *made.aside):
            self._remove(going.name)
        for going in made.shorten:
            name = next(n for n in self.segments if str(n) == going.name)
            self.segments[name] -= going.size
        return made

    def _remove(self, name: str) -> None:
        self.segments = {n: size for n, size in self.segments.items() if str(n) != name}
        self.runs.pop(name, None)
        self.blobs.pop(name, None)
        self.generations = {n: g for n, g in self.generations.items() if manifest_object(n) != name}
        self.words = [w for w in self.words if w.name != name]

    def check(self, *, jumps: int = 0) -> None:
        """What must hold after every run of retention."""
        attested = [g for g in self.generations.values() if self.receipts().is_attested(g.number, g.manifest)]
        ever = len(self.day_of)
        assert len(attested) >= min(2, ever), "fewer than two attested generations are left"
        for generation in self.generations.values():
            assert generation.objects <= self.runs.keys(), "a run object of a generation that stays is gone"
        young = self.day - self.policy.history_days + 3 * jumps
        for name, day in self.made_on.items():
            if day > young:
                assert self.segments.get(name, 0) > HEADER_BYTES, f"{name} of day {day} is gone on day {self.day}"
            if name.number == 0:
                assert self.segments.get(name, 0) >= HEADER_BYTES, "the claim of a timeline is gone"
        kept = [name for name, size in self.segments.items() if size > HEADER_BYTES]
        all_later = [name for name in self.made_on if name >= min(kept)]
        assert sorted(kept) == sorted(all_later), "the log has a hole"
        for generation in sorted(attested, key=lambda g: g.number)[-2:]:
            holding = max(
                n for n in self.made_on if n.timeline == generation.position.timeline and n.first <= generation.number
            )
            assert holding >= min(kept), "the log does not lead on from an attested generation"


def test_nothing_goes_before_anything_is_old_enough() -> None:
    model = Model(Policy(30))
    for _ in range(30):
        model.pass_day()
        made = model.retain()
        model.check()
        assert made.blocked
    assert len(model.segments) == len(model.made_on)
    assert len(model.generations) == 30


def test_months_go_by() -> None:
    model = Model(Policy(30, 7, 4, 3))
    sizes = []
    for day in range(200):
        model.pass_day(frames=12)
        model.retain()
        if day % 10 == 0:
            model.check()
        sizes.append(len(model.segments) + len(model.runs) + len(model.words))
    claims = sum(name.number == 0 for name in model.segments)
    assert sizes[-1] - claims < max(sizes[:60]), "it does not grow for ever, but for the claims' headers"
    ages = sorted(model.day - model.day_of[n] for n in model.generations)
    assert ages[:7] == [0, 1, 2, 3, 4, 5, 6]
    assert 30 <= ages[-1] <= 65, "the ends of the last two months"
    kept = [n for n, size in model.segments.items() if size > HEADER_BYTES]
    assert model.day - min(model.made_on[n] for n in kept) <= 32


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_whatever_clocks_do_and_keepers_forget_nothing_young_goes(data: st.DataObject) -> None:
    history = data.draw(st.sampled_from([5, 20]))
    model = Model(Policy(history, *data.draw(st.tuples(*[st.integers(0, 4)] * 3))), claims=data.draw(st.integers(1, 9)))
    jumps = 0
    for _ in range(40):
        model.pass_day(attested=data.draw(st.integers(0, 3)) > 0, frames=data.draw(st.integers(1, 30)))
        if data.draw(st.integers(0, 9)) == 0:
            model.skew += data.draw(st.sampled_from([-3650, -2, 2, 3650])) * DAY
            jumps += 1
        model.retain()
        model.check(jumps=jumps)


def test_a_keeper_that_was_away_for_months_removes_nothing_sooner() -> None:
    model = Model(Policy(10))
    for _ in range(6):
        model.pass_day()
        model.retain()
    model.day += 300
    model.pass_day()
    assert model.plan().blocked == "no attestation is 10 days old yet"
    assert model.receipts().now(model.clock) <= BEGAN + 7 * DAY + STEP


def test_frozen_and_damaged_vaults_are_left_alone() -> None:
    model = Model(Policy(5))
    for _ in range(12):
        model.pass_day()
    assert not model.plan().empty
    for reason in ({"frozen": "recovery 7 is open"}, {"damaged": "runs/… is missing"}):
        made = model.plan(**reason)
        assert made.empty
        assert made.blocked in reason.values()
        assert not made.purge_before


def test_one_attested_generation_is_too_few() -> None:
    model = Model(Policy(5))
    model.pass_day()
    for _ in range(12):
        model.pass_day(attested=False)
        model.retain()
    assert "fewer than two" in model.plan().blocked
    newest = model.generations[model.frame]
    model.attest(newest)
    assert not model.plan().blocked
    model.generations[model.frame] = newest._replace(whole=False)
    assert "fewer than two" in model.plan().blocked, "one that is damaged counts for none"


def test_what_was_never_attested_goes_only_once_what_is_old_enough_is_past_it() -> None:
    model = Model(Policy(5))
    model.pass_day()
    model.pass_day(attested=False)
    refused = model.frame
    for _ in range(5):
        model.pass_day()
        made = model.retain()
        assert manifest_object(refused) not in [g.name for g in made.remove]
    model.pass_day()
    model.pass_day()
    assert manifest_object(refused) in [g.name for g in model.plan().remove]


def test_a_generation_that_holds_an_erased_account_goes_with_the_erasure_whatever_the_policy_says() -> None:
    gone = b"e" * 16
    model = Model(Policy(10, 0, 0, 12))
    for _ in range(70):
        model.pass_day(holds=frozenset({gone}))
        model.retain()
    erased_on = model.day
    before = set(model.generations)
    for later in range(1, 10 + 4):
        model.pass_day()
        model.retain(erased={gone: erased_on + 1})
        model.check()
        if later <= 10:
            assert before & set(model.generations), f"it is kept for the history still, {later} days on"
    assert not before & set(model.generations)
    assert all(gone not in g.holds for g in model.generations.values())
    assert model.clock < erased_by(BEGAN + erased_on * DAY, model.policy)


def test_a_blob_goes_in_three_steps_and_comes_back_when_it_is_named_again() -> None:
    model = Model(Policy(5))
    model.blobs = {"blobs/aa/aa": 10, "blobs/bb/bb": 20}
    model.needed = {"blobs/bb/bb"}
    for _ in range(8):
        model.pass_day()
    made = model.retain()
    assert (made.unneeded, made.aside) == (["blobs/aa/aa"], [])
    assert not model.plan().aside, "an upload may be waiting for its frame: not within the same hour"
    model.pass_day()
    made = model.retain()
    assert [g.name for g in made.aside] == ["blobs/aa/aa"]
    assert model.receipts().retained[-1].facts.aside.count("blobs/aa/aa") == 1
    model.needed.add("blobs/aa/aa")
    view = model.view()
    back = plan(view, choose(view, model.policy), model.blobs, model.needed, ["blobs/aa/aa"])
    assert back.put_back == ["blobs/aa/aa"]
    assert not back.empty


def test_what_was_named_and_is_still_there_is_removed_by_the_next_run() -> None:
    model = Model(Policy(5))
    for _ in range(12):
        model.pass_day()
    first = model.plan()
    names = [g.name for g in first.remove]
    model.retain()
    for name in names[len(names) // 2 :]:  # killed half-way: put them back as if they were never removed
        if name.startswith("runs/"):
            model.runs[name] = 7
    again = [g.name for g in model.plan().remove]
    assert set(again) >= {n for n in names[len(names) // 2 :] if n.startswith("runs/")}


def test_history_may_be_dropped_up_to_the_newest_generation_that_is_old_enough() -> None:
    model = Model(Policy(10))
    for _ in range(10):
        model.pass_day()
        assert model.retain().drop_upto == 0
    model.pass_day()
    made = model.retain()
    assert made.drop_upto == min(model.day_of), "attested ten days ago"
    for _ in range(60):
        model.pass_day()
        model.retain()
    assert model.day - model.day_of[model.receipts().drop_upto] <= 10 + 31


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("7 daily, 4 weekly, 12 monthly", Policy(90, 7, 4, 12)),
        ("3 monthly", Policy(90, 0, 0, 3)),
        ("", Policy(90, 0, 0, 0)),
    ],
)
def test_policies_are_read(text: str, policy: Policy) -> None:
    assert parse_policy(90, text) == policy


@pytest.mark.parametrize(("days", "text"), [(90, "seven daily"), (90, "7 hourly"), (0, "7 daily"), (90, "7")])
def test_policies_that_mean_nothing_are_refused(days: int, text: str) -> None:
    with pytest.raises(ValueError):
        parse_policy(days, text)
