"""What retention may remove from a vault, and why what stays stays. Pure: decided from what a look at the vault found.

Time is receipt time (vault/receipts.py): only the keeper's own attestations make anything old, whatever writers say.

`horizon`  the newest attestation that is at least `history_days` old. Nothing after its position is ever removed from
           the log, and no history after it from runs.
`cover`    the newest two attested generations: all that lives, and all history since the horizon, is in each of them.

A segment goes when all its frames are before both the horizon and the older of the cover. The first segment of a
timeline is shortened to its header instead: an old writer that wakes must find that a later timeline exists (I6).

A generation goes when no rule keeps it. Kept are the cover; the newest there is; what was not attested and is after the
horizon; the newest attested at or before the horizon (up to it new runs may drop history); the policy's picks; and six
within the history, so that there is always one to become that. A pick that holds an account whose erasure is before
the horizon goes all the same (decision 0045).

A run object goes when no generation that stays names it, and its own generation goes or is not after the horizon.

A blob goes when no generation that stays and no frame after the cover names it, in three steps of a run each: found
unneeded, moved aside, purged. One that is named again meanwhile is put back (a body that is uploaded again takes the
name that is there).

Evidence goes when it is older than the horizon, but for what is still counted.

What was attested on a branch that the log has left (a recovery went on from an earlier frame, the vault being away)
covers nothing, and makes nothing old.

Nothing goes while a recovery is open, while the vault is known to be damaged, or while fewer than two attested
generations are whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from safehold.formats.generation import manifest_object, parse_manifest_name
from safehold.formats.run import parse_run_name
from safehold.formats.segment import HEADER_BYTES, LOG_PREFIX, SegmentName, parse_name
from safehold.model.counting import count_text
from safehold.ports.core import LogPosition
from safehold.vault.receipts import DAY, Attested, Receipts, RetainFacts

#: What was moved out of the way is removed for good after so many days.
ASIDE_DAYS = 5
#: A blob is moved aside when it was found unneeded so long before: an upload that waited for its frame is over.
UNNEEDED_MICROSECONDS = DAY // 2
#: Blobs named in one piece of evidence, at most; the rest follow at the next run.
MAX_BLOBS = 20_000
#: What comes on top of the history until nothing of an erased account is left anywhere, if a keeper works once a day:
#: a day until the next generation, one until its attestation, one until retention finds that old enough, two until the
#: blobs lie aside, ASIDE_DAYS there, and some for a keeper that was late.
ERASURE_SLACK_DAYS = 14
#: Why something stays that would go.
LOCKED = "whoever stores it has locked it"
_POLICY = re.compile(r"(\d{1,4}) (daily|weekly|monthly)")
_DAYS = {"daily": 1, "weekly": 7, "monthly": 30}


class Policy(NamedTuple):
    """How long history is kept, and how many generations: of each of the last days, weeks, months the newest one."""

    history_days: int = 90
    daily: int = 7
    weekly: int = 4
    monthly: int = 12

    @property
    def history(self) -> int:
        """µs."""
        return self.history_days * DAY


DEFAULT_POLICY = Policy()


def policy_text(policy: Policy = DEFAULT_POLICY) -> str:
    """The generations of a policy in the configuration's words."""
    counts = zip(_DAYS, policy[1:], strict=True)
    return ", ".join(f"{count} {word}" for word, count in counts if count)


def parse_policy(history_days: int, generations: str) -> Policy:
    """From the configuration's words: `7 daily, 4 weekly, 12 monthly`. Raises ValueError, which says what is wrong."""
    counts = dict.fromkeys(_DAYS, 0)
    for part in filter(None, (piece.strip() for piece in generations.split(","))):
        match = _POLICY.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not a count and one of daily, weekly, monthly")
        counts[match[2]] = int(match[1])
    if history_days < 1:
        raise ValueError("history is kept for one day at least")
    return Policy(history_days, **counts)


def erased_by(erased_at: int, policy: Policy) -> int:
    """The moment (µs) from which on no copy of an account that is erased at `erased_at` is left in any vault."""
    return erased_at + erased_days(policy) * DAY


def erased_days(policy: Policy) -> int:
    """After how many days no copy of an erased account is left."""
    return policy.history_days + ERASURE_SLACK_DAYS


# -- what a look found -------------------------------------------------------------------------------------------


class SegmentSeen(NamedTuple):
    name: SegmentName
    size: int


class GenerationSeen(NamedTuple):
    """A generation whose manifest holds. `whole`: every object that it names is there, as long as it should be."""

    number: int
    manifest: bytes  # digest of its GENERATION frame
    position: LogPosition
    objects: frozenset[str]  # its run objects
    whole: bool
    holds: frozenset[bytes] = frozenset()  # erased accounts of which it still holds a stream


class EvidenceSeen(NamedTuple):
    name: str
    at: int  # µs
    kind: str
    vault: str
    size: int


class View(msgspec.Struct, frozen=True):
    """What a look at one vault found; see recovery/retain.py."""

    receipts: Receipts
    clock: int  # µs, the keeper's
    segments: Sequence[SegmentSeen]
    runs: Mapping[str, int]  # name -> size: everything below runs/
    generations: Sequence[GenerationSeen]
    evidence: Sequence[EvidenceSeen] = ()
    erased: Mapping[bytes, int] = {}  # register of erased accounts: id -> rev in the installation's identity
    left: frozenset[LogPosition] = frozenset()  # positions that a later timeline goes on without
    frozen: str = ""  # why nothing may go at all: an open recovery
    damaged: str = ""  # what is known to be wrong with the vault

    @property
    def now(self) -> int:
        return self.receipts.now(self.clock)


# -- what may go -------------------------------------------------------------------------------------------------


class Going(NamedTuple):
    name: str
    size: int
    why: str


class Staying(NamedTuple):
    what: str
    why: str


class Plan(msgspec.Struct):
    """What one run of retention does, in its order. `blocked` says why nothing goes."""

    vault: str
    receipt: int
    blocked: str = ""
    horizon: int = 0  # generation of the attestation that is old enough
    cover: tuple[int, ...] = ()
    log_from: tuple[int, int] = (0, 0)  # timeline and first frame of the first segment that stays
    drop_upto: int = 0  # generation
    evidence_from: int = 0  # µs
    remove: list[Going] = []
    shorten: list[Going] = []  # first segments of timelines: their header stays
    aside: list[Going] = []  # blobs
    put_back: list[str] = []  # blobs that lie aside and are named again
    unneeded: list[str] = []  # blobs
    purge_before: int = 0  # µs of the keeper's clock: what was set aside before goes for good
    keep: list[Staying] = []
    #: Whether the cover holds accounts that were erased, or is short while some were: newer generations let them go.
    wants_generation: bool = False

    @property
    def empty(self) -> bool:
        return not (self.remove or self.shorten or self.aside or self.put_back)

    @property
    def bytes(self) -> int:
        return sum(going.size for going in (*self.remove, *self.shorten, *self.aside))

    def facts(self, clock: int) -> RetainFacts:
        """What is told before anything of it is done."""
        return RetainFacts(
            self.receipt,
            clock,
            self.log_from,
            self.horizon,
            self.drop_upto,
            self.evidence_from,
            [going.name for going in self.remove if not going.name.startswith(LOG_PREFIX)],
            [going.name for going in self.aside],
            list(self.unneeded),
        )


class Choice(NamedTuple):
    """Which generations stay, and what that rests on."""

    horizon: Attested | None
    cover: tuple[GenerationSeen, ...]  # newest first, two of them
    oldest: GenerationSeen | None  # newest attested at or before the horizon: up to it runs may drop history
    kept: dict[int, str]  # generation -> why
    blocked: str


def choose(view: View, policy: Policy) -> Choice:
    """Which generations stay. What is kept is read then for the blobs that it needs; see `plan`."""
    receipts, now = view.receipts, view.now
    attested = _attested(view)
    horizon = _horizon([a for a in receipts.attested if a.position not in view.left], now - policy.history)
    blocked = view.frozen or view.damaged
    if not blocked and len(attested) < 2:
        blocked = "fewer than two generations are attested and whole"
    if not blocked and horizon is None:
        blocked = f"no attestation is {count_text(policy.history_days, 'day')} old yet"
    oldest = next((g for g, _ in attested if horizon is not None and g.number <= horizon.generation), None)
    erased = _erased_at(view, horizon)
    if oldest is not None and oldest.holds & erased:
        oldest = None
    kept: dict[int, str] = {}
    for generation in view.generations:
        if all(generation.number != a.number for a, _ in attested) and (
            horizon is None or generation.number > horizon.generation
        ):
            kept[generation.number] = "it is not attested, and after what is old enough to go"
    for number, why in _picks(attested, now, policy):
        generation = next(g for g, _ in attested if g.number == number)
        if horizon is not None and generation.number <= horizon.generation and generation.holds & erased:
            continue
        kept.setdefault(number, why)
    if oldest is not None:
        kept[oldest.number] = "the newest at or before the history's beginning"
    cover = tuple(g for g, _ in attested[:2])
    for generation in cover:
        kept[generation.number] = "one of the newest two attested"
    if view.generations:
        kept[max(g.number for g in view.generations)] = "the newest generation"
    return Choice(horizon, cover, oldest, kept, blocked)


def plan(
    view: View,
    choice: Choice,
    blobs: Mapping[str, int],
    needed: Iterable[str],
    aside: Iterable[str] = (),
) -> Plan:
    """`blobs` are those in the vault with their sizes, `needed` those that what stays and the log's tail name, `aside`
    those that lie aside."""
    made = Plan(view.receipts.vault, view.now, choice.blocked)
    made.cover = tuple(g.number for g in choice.cover)
    made.wants_generation = any(g.holds for g in choice.cover) or (len(choice.cover) < 2 and bool(view.erased))
    made.drop_upto = max(choice.oldest.number if choice.oldest is not None else 0, view.receipts.drop_upto)
    made.keep = [Staying(manifest_object(n), why) for n, why in sorted(choice.kept.items(), reverse=True)]
    if choice.horizon is not None:
        made.horizon = choice.horizon.generation
    if choice.blocked:
        return made
    assert choice.horizon is not None
    _plan_runs(made, view, choice)
    _plan_log(made, view, min(choice.horizon.position, choice.cover[-1].position, key=lambda p: p.frame))
    _plan_blobs(made, view, blobs, frozenset(needed), frozenset(aside))
    _plan_evidence(made, view, choice)
    made.purge_before = view.receipts.believed(view.clock) - ASIDE_DAYS * DAY
    return made


def _attested(view: View) -> list[tuple[GenerationSeen, Attested]]:
    """Generations that are there whole and were attested as they are, newest first. The log has to go on from them."""
    found = []
    for generation in sorted(view.generations, key=lambda g: g.number, reverse=True):
        word = view.receipts.is_attested(generation.number, generation.manifest)
        if word is not None and generation.whole and generation.position not in view.left:
            found.append((generation, word))
    return found


def _horizon(attested: Sequence[Attested], until: int) -> Attested | None:
    """The attestation with the furthest position of those made by then. Its generation may be gone."""
    return max((a for a in attested if a.receipt <= until), key=lambda a: a.position.frame, default=None)


def _erased_at(view: View, horizon: Attested | None) -> frozenset[bytes]:
    """Accounts whose erasure is at or before the horizon."""
    if horizon is None:
        return frozenset()
    return frozenset(account for account, rev in view.erased.items() if rev <= horizon.identity)


def _picks(attested: Sequence[tuple[GenerationSeen, Attested]], now: int, policy: Policy) -> Iterable[tuple[int, str]]:
    """The policy's generations: of each of the last days, weeks and months with any, the newest one."""
    rules = [(word, count, _DAYS[word] * DAY, 0) for word, count in zip(_DAYS, policy[1:], strict=True)]
    rules.append(("one a sixth of the history", len(attested), max(DAY, policy.history // 6), now - policy.history))
    for why, count, width, since in rules:
        seen: set[int] = set()
        for generation, attestation in attested:
            bucket = attestation.receipt // width
            if bucket not in seen and len(seen) < count and attestation.receipt >= since:
                seen.add(bucket)
                yield generation.number, why


def _plan_runs(made: Plan, view: View, choice: Choice) -> None:
    assert choice.horizon is not None
    needed = {name for g in view.generations if g.number in choice.kept for name in g.objects}
    gone = {g.number for g in view.generations if g.number not in choice.kept}
    last: list[Going] = []
    for name, size in sorted(view.runs.items()):
        number = parse_manifest_name(name)
        if number is not None:
            if number in gone or (number not in choice.kept and number <= choice.horizon.generation):
                made.remove.append(Going(name, size, "no rule keeps this generation"))
            continue
        run = parse_run_name(name)
        if run is None or name in needed:
            continue
        if run.generation in gone or run.generation <= choice.horizon.generation:
            last.append(Going(name, size, "no generation that stays names it"))
    made.remove += last  # after the manifests that name them


def _plan_log(made: Plan, view: View, position: LogPosition) -> None:
    """Segments before the one that holds `position`, oldest first: the log never has a hole for it."""
    firsts = [
        name.first for name, _ in view.segments if name.timeline == position.timeline and name.first <= position.frame
    ]
    made.log_from = max(view.receipts.log_from, (position.timeline, max(firsts, default=0)))
    why = f"what is attested and old enough reaches to frame {position.frame}"
    for name, size in sorted(view.segments):
        if (name.timeline, name.first) >= made.log_from:
            continue
        if name.number:
            made.remove.append(Going(str(name), size, why))
        elif size > HEADER_BYTES:
            made.shorten.append(Going(str(name), size - HEADER_BYTES, why))


def _plan_blobs(
    made: Plan, view: View, blobs: Mapping[str, int], needed: frozenset[str], aside: frozenset[str]
) -> None:
    made.put_back = sorted(name for name in aside & needed if name not in blobs or not blobs[name])
    unneeded = sorted(name for name in blobs if name not in needed)
    before: set[str] = set()
    for retained in view.receipts.retained:
        if retained.facts.receipt <= view.now - UNNEEDED_MICROSECONDS:
            before = {*retained.facts.unneeded, *retained.facts.aside}  # the last one that is old enough
    made.aside = [Going(n, blobs[n], "nothing that stays names it") for n in unneeded if n in before][:MAX_BLOBS]
    going = {g.name for g in made.aside}
    made.unneeded = [name for name in unneeded if name not in going][:MAX_BLOBS]


def leave_locked(made: Plan, before: tuple[int, int], held: Callable[[str], bool]) -> None:
    """What cannot go yet stays, and of the log all that comes after it, so that it has no hole.

    `before`: from where on the log was there on purpose already.
    """
    going = sorted(g.name for g in (*made.remove, *made.shorten) if g.name.startswith(LOG_PREFIX))
    first = next((name for name in going if held(name)), None)

    def goes(going: Going) -> bool:
        if going.name.startswith(LOG_PREFIX):
            return first is None or going.name < first
        return not held(going.name)

    stay = [g for g in (*made.remove, *made.shorten, *made.aside) if not goes(g)]
    made.remove, made.shorten, made.aside = (
        [g for g in each if goes(g)] for each in (made.remove, made.shorten, made.aside)
    )
    made.keep = [*made.keep, *(Staying(g.name, LOCKED) for g in stay)]
    parsed = parse_name(first) if first is not None else None
    if parsed is not None:
        made.log_from = max(before, min(made.log_from, (parsed.timeline, parsed.first)))


def _plan_evidence(made: Plan, view: View, choice: Choice) -> None:
    """Old evidence, but for the newest of each kind, and what attests anything that is still counted."""
    horizon = choice.horizon
    assert horizon is not None
    made.evidence_from = horizon.clock
    counted = {
        a.evidence for a in view.receipts.attested if a.generation in choice.kept or a.receipt >= horizon.receipt
    }
    newest: dict[tuple[str, str], str] = {}
    for seen in view.evidence:
        key = seen.kind, seen.vault
        newest[key] = max(newest.get(key, ""), seen.name)
    counted |= set(newest.values())
    for name, facts in view.receipts.retained:  # what scrub excuses as long as a seal may name it
        if facts.receipt >= horizon.receipt or facts.log_from == view.receipts.log_from:
            counted.add(name)
    for seen in view.evidence:
        if seen.name not in counted and seen.at < horizon.clock:
            made.remove.append(Going(seen.name, seen.size, "old evidence"))
