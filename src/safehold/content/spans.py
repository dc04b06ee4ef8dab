"""The occurrence index of one collection at one moment: which items may, or surely do, take up a range of time."""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple

from safehold.content.timerange import TimeRange


class Candidates(NamedTuple):
    """Names of items of which a component of the kind asked for overlaps the range."""

    sure: list[str]  # certainly
    maybe: list[str]  # the body has to be looked at with `CalendarObject.overlaps`


class Spans:
    """Immutable. Of the collection `id` as it was at `rev` and `head`."""

    def __init__(self, id_: bytes, rev: int, head: bytes, names: list[str]) -> None:
        self.id = id_
        self.rev = rev
        self.head = head
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def candidates(self, component: str, within: TimeRange, floating: tzinfo) -> Candidates:
        """Never leaves out a name that matches."""
        return Candidates([], list(self._names))
