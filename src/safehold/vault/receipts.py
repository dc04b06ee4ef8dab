"""What a keeper has said of one vault, and time as the keeper counts it.

*Receipt time* decides what is old. It is no clock of a writer, and not quite the keeper's either: every piece of a
keeper's evidence on a vault carries the receipt time of that moment, and the next one's is

    receipt = receipt of the last one + what the keeper's clock went on since, at least 0 and at most STEP

It begins with the keeper's clock at its first word. So a clock that jumps ahead by years makes everything older by
three days at most, one that jumps back by nothing, and a keeper that was away for a month counts three days of it: what
is kept is kept longer, never shorter. What writers say of the time counts nowhere.

Where whoever stores a vault says when each piece of evidence came (`Receipts.as_taken`), what counts as old has to be
old by that clock too: of the two, each makes things younger, never older.

A position of the log is *N days old* when an attestation that covers it is: its receipt time lies N days back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple, TypeVar

import msgspec

from safehold.formats.evidence import Evidence
from safehold.ports.core import LogPosition

SECOND = 1_000_000
DAY = 86_400 * SECOND
#: What a keeper's clock may go on between two of its words and be believed: so long may it be away at no cost.
STEP = 3 * DAY
ATTEST, RETAIN = "attest", "retain"


class Signed(NamedTuple):
    """Evidence with the name of its object, signed by a keeper that the root certifies."""

    name: str
    evidence: Evidence


class AttestFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts of `attest` evidence; evidence.upto is the generation's position.

    `ok` False tells of a generation that was looked at and not attested, with the reasons. `otherwise`: among them is
    one that no damage explains: it was written of another history than the log and what was attested before tell.
    """

    generation: int
    manifest: str  # digest of its GENERATION frame, hex
    receipt: int  # µs, see above
    clock: int  # µs, the keeper's own at that moment
    ok: bool = True
    why: list[str] = []
    streams: int = 0
    changes: int = 0
    objects: int = 0
    seconds: float = 0.0
    identity: int = 0  # rev of the installation's own identity there: which erasures it knows of
    otherwise: bool = False


class RetainFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts of `retain` evidence: all that is about to go, so that nobody takes it for damage.

    Of the log all segments are gone whose timeline and first frame are before those of `log_from`, but for the header
    of the first of each timeline. `removed` names runs, generations and evidence; `aside` blobs that lie aside for some
    days and are put back where they are named again; `unneeded` blobs that nothing names now: a later run moves them
    aside if that is still so. Of evidence that is older than `evidence_from` only what still counts stays. Where
    nothing is to go, that is said too: time goes on by a keeper's words.
    """

    receipt: int
    clock: int
    log_from: tuple[int, int] = (0, 0)
    horizon: int = 0  # generation whose attestation is old enough
    drop_upto: int = 0  # generation up to which new runs may drop history
    evidence_from: int = 0  # µs
    removed: list[str] = []
    aside: list[str] = []
    unneeded: list[str] = []


class Attested(NamedTuple):
    generation: int
    manifest: bytes  # digest of its GENERATION frame
    position: LogPosition
    identity: int
    receipt: int
    clock: int  # µs, the keeper's
    evidence: str  # name of the object


class Retained(NamedTuple):
    name: str
    facts: RetainFacts


class Receipts:
    """A keeper's words on one vault, in its own order."""

    def __init__(self, vault: str, evidence: Iterable[Signed] = ()) -> None:
        self.vault = vault
        self.attested: list[Attested] = []  # oldest first
        self.refused: list[AttestFacts] = []
        self.retained: list[Retained] = []  # oldest first
        self.drop_upto = 0  # the furthest that was ever allowed
        self._last: tuple[int, int] | None = None  # receipt time and keeper's clock of the last word
        self._latest: int | None = None  # what it is at most now, by the store's clock
        for signed in evidence:
            if signed.evidence.vault == vault:
                self._take(signed)
        self.attested.sort(key=lambda a: (a.receipt, a.generation))
        self.retained.sort(key=lambda r: r.facts.receipt)

    def _take(self, signed: Signed) -> None:
        evidence = signed.evidence
        if evidence.kind == ATTEST:
            facts = _facts(evidence.facts, AttestFacts)
            if facts is None:
                return
            self._note(facts.receipt, facts.clock)
            if not facts.ok:
                self.refused.append(facts)
                return
            try:
                manifest, position = bytes.fromhex(facts.manifest), LogPosition(*evidence.upto)
            except ValueError:
                return  # as facts of another form
            self.attested.append(
                Attested(facts.generation, manifest, position, facts.identity, facts.receipt, facts.clock, signed.name)
            )
        elif evidence.kind == RETAIN:
            gone = _facts(evidence.facts, RetainFacts)
            if gone is not None:
                self._note(gone.receipt, gone.clock)
                self.drop_upto = max(self.drop_upto, gone.drop_upto)
                self.retained.append(Retained(signed.name, gone))

    def _note(self, receipt: int, clock: int) -> None:
        if self._last is None or (receipt, -clock) > (self._last[0], -self._last[1]):
            self._last = (receipt, clock)  # of two at once the later one is that whose clock had jumped back

    def as_taken(self, moments: Mapping[str, int], now: int) -> Receipts:
        """The same words, none older than the store's clock says: `moments` at which it took evidence, and `now` (µs).

        What it does not hold counts as taken now.
        """
        found = copy(self)
        found._latest = now
        found.attested = [a._replace(receipt=max(a.receipt, moments.get(a.evidence, now))) for a in self.attested]
        found.retained = [
            r._replace(facts=msgspec.structs.replace(r.facts, receipt=max(r.facts.receipt, moments.get(r.name, now))))
            for r in self.retained
        ]
        found.attested.sort(key=lambda a: (a.receipt, a.generation))
        found.retained.sort(key=lambda r: r.facts.receipt)
        return found

    def now(self, clock: int) -> int:
        """The receipt time at this moment of the keeper's clock (µs)."""
        if self._last is not None:
            receipt, then = self._last
            clock = receipt + min(max(clock - then, 0), STEP)
        return clock if self._latest is None else min(clock, self._latest)

    def believed(self, clock: int) -> int:
        """The keeper's clock (µs), but no further on than STEP after its last word."""
        return clock if self._last is None else min(clock, self._last[1] + STEP)

    def is_attested(self, generation: int, manifest: bytes) -> Attested | None:
        """The last attestation of this very generation, whose GENERATION frame has this digest."""
        found = [a for a in self.attested if (a.generation, a.manifest) == (generation, manifest)]
        return found[-1] if found else None

    @property
    def log_from(self) -> tuple[int, int]:
        """Timeline and first frame of the segment before which the log has been removed; (0, 0) where it is whole."""
        return max((r.facts.log_from for r in self.retained), default=(0, 0))


def allowed_drop(evidence: Sequence[Signed], vaults: Iterable[str]) -> int:
    """The frame up to which history may be dropped from new runs: what every one of these vaults' receipts allow."""
    return min((Receipts(vault, evidence).drop_upto for vault in vaults), default=0)


T = TypeVar("T")


def _facts(facts: Mapping[str, Any], type_: type[T]) -> T | None:
    """None where they are not of this form: evidence of a later version, or of nobody's."""
    try:
        return msgspec.convert(facts, type_)
    except (msgspec.ValidationError, ValueError):
        return None
