"""The after-report: what a recovery brought back, by account and kind, for whoever asks afterwards.

It names every account of which something is not exact, with its counts by kind and each loss by name; all others are
exact, and counted. It is kept as evidence of the kind `recovery` in the vaults (vault/evidence.py), and beside the core
as `run/recovery-report.json`, from which pages read. The page: docs/recovery-report.md.

Bounds: MAX_ACCOUNTS accounts and MAX_LOSSES losses are named. `truncated` says that there are more: counts are of all.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safehold.model.kinds import Kind
from safehold.recovery.report import KindCount, Loss, Report, Stage, Suspicion
from safehold.recovery.sources import Source

VERSION = 1
EVIDENCE_KIND = "recovery"
FILE_NAME = "recovery-report.json"
RUN, SERVING = "run", "serving"

MAX_ACCOUNTS = 10_000
MAX_LOSSES = 50_000


class Read(msgspec.Struct, frozen=True):
    """A vault that was read, or why it was not."""

    vault: str
    problem: str = ""


class AccountPart(msgspec.Struct):
    """One account of which something is not exact; `kinds` are those that this is true of."""

    account: str  # its name
    id: str  # hex
    kinds: dict[Kind, KindCount]
    lost: list[Loss]

    @property
    def total(self) -> KindCount:
        return _sum(list(self.kinds.values()))


class AfterReport(msgspec.Struct):
    """`at` is when it ended (µs); seconds are measured. `accounts` are all, `affected` those that are not exact."""

    version: int
    at: int
    how: str  # "run" or "serving"
    timeline: int
    verified: bool
    accounts: int
    exact_accounts: int
    streams: int
    changes_expected: int
    changes_recovered: int
    items: dict[Kind, KindCount]
    affected: list[AccountPart]
    truncated: bool
    unknown_seconds: float
    seconds: float
    first_contact_seconds: float
    stages: list[Stage]
    generation: int  # that it began with; 0 where that was the log
    sources: list[Read]
    accepted: list[str]  # losses that were accepted with it
    notes: list[str]
    suspect: list[Suspicion] = []  # from when on vaults' logs may be somebody else's
    evidence: str = ""  # name of the object in the vaults, as it is read back; "" before it is put there

    @property
    def exact(self) -> bool:
        """Whether all came back exactly."""
        return self.verified and not self.affected and self.changes_recovered == self.changes_expected

    def part(self, account: str) -> AccountPart | None:
        """An account's own part, by its name; None where all of it is exact (or, truncated, it is not named)."""
        return next((part for part in self.affected if part.account == account), None)


def after_report(
    report: Report,
    *,
    at: int,
    how: str,
    generation: int = 0,
    sources: Sequence[Read] = (),
    accepted: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> AfterReport:
    """From a finished recovery's report."""
    parts: dict[str, AccountPart] = {}
    for count in report.not_exact:
        part = _part(parts, count.account, count.id)
        part.kinds[count.kind] = KindCount(count.expected, count.exact, count.older, count.lost)
    for loss in report.lost:
        part = _part(parts, loss.account, "")
        part.kinds.setdefault(loss.kind, KindCount())
        part.lost.append(loss)
    affected, truncated = _bounded([parts[name] for name in sorted(parts)])
    named = sum(1 for part in parts.values() if part.account)  # the installation itself is none of the accounts
    return AfterReport(
        version=VERSION,
        at=at,
        how=how,
        timeline=report.timeline,
        verified=report.verified,
        accounts=report.accounts,
        exact_accounts=max(0, report.accounts - named),
        streams=report.streams,
        changes_expected=report.changes_expected,
        changes_recovered=report.changes_recovered,
        items=report.items,
        affected=affected,
        truncated=truncated,
        unknown_seconds=report.unknown_seconds,
        seconds=report.seconds,
        first_contact_seconds=report.first_contact_seconds,
        stages=report.stages,
        generation=generation,
        sources=list(sources),
        accepted=list(accepted),
        notes=list(notes),
        suspect=list(report.suspect),
    )


def _part(parts: dict[str, AccountPart], account: str, id_: str) -> AccountPart:
    part = parts.get(account)
    if part is None:
        part = parts[account] = AccountPart(account, id_, {}, [])
    part.id = part.id or id_
    return part


def _bounded(parts: list[AccountPart]) -> tuple[list[AccountPart], bool]:
    truncated = len(parts) > MAX_ACCOUNTS
    room = MAX_LOSSES
    kept = parts[:MAX_ACCOUNTS]
    for part in kept:
        truncated |= len(part.lost) > room
        part.lost = part.lost[:room]
        room -= len(part.lost)
    return kept, truncated


def _sum(counts: Sequence[KindCount]) -> KindCount:
    return KindCount(
        sum(c.expected for c in counts),
        sum(c.exact for c in counts),
        sum(c.older for c in counts),
        sum(c.lost for c in counts),
    )


def read_sources(sources: Sequence[Source]) -> list[Read]:
    return [Read(source.vault, source.problem) for source in sources]


def all_of(report: AfterReport) -> dict[str, object]:
    """The whole of it, as JSON values."""
    found: dict[str, object] = msgspec.to_builtins(report, str_keys=True)
    return {**found, "exact": report.exact, "evidence": report.evidence or None}


def to_facts(report: AfterReport) -> dict[str, object]:
    """As the facts of evidence: JSON values."""
    facts: dict[str, object] = msgspec.to_builtins(report, str_keys=True)
    del facts["evidence"]
    return facts


def from_facts(facts: dict[str, object], evidence: str) -> AfterReport | None:
    """What evidence says; None where it is of another version, or none of ours."""
    try:
        report = msgspec.convert(facts, AfterReport)
    except msgspec.ValidationError:
        return None
    report.evidence = evidence
    return report if report.version == VERSION else None
