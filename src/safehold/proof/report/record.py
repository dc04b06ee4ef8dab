"""A record of the period that a report is of, by the number that it is told by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from safehold.proof.report.reading import flag
from safehold.vault.evidence import Found


class Record(NamedTuple):
    """A record of the period, by its number in the list of all."""

    number: int
    found: Found

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.found.evidence.facts

    @property
    def at(self) -> int:
        return self.found.evidence.at

    @property
    def kind(self) -> str:
        return self.found.evidence.kind

    @property
    def vault(self) -> str:
        return self.found.evidence.vault


def began(record: Record) -> int:
    """µs: when what it tells of began, where it says so."""
    for key in ("began", "at"):
        at = record.facts.get(key)
        if isinstance(at, int) and not isinstance(at, bool) and 0 < at <= record.at:
            return at
    return record.at


def attested(facts: Mapping[str, Any]) -> bool:
    """What is as usual is left out of these facts."""
    return flag(facts, "ok") is not False
