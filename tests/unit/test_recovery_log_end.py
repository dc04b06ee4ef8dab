"""Whether the end of a log counts as known: what starts that failed leave behind damage speaks for nothing."""

from __future__ import annotations

import pytest

from safehold.formats.segment import SegmentName
from safehold.ports.core import LogPosition
from safehold.recovery.sources import Source
from safehold.recovery.unknown import whole_at_end

FIRST, SECOND = SegmentName(1, 0, 0), SegmentName(1, 1, 20)
#: Of two starts that failed after they had claimed a timeline.
CLAIMS = (SegmentName(2, 0, 0), SegmentName(3, 0, 0))
SPOKEN = LogPosition(1, 25, b"")


def _whole(hurt: SegmentName | None, *, last: tuple[SegmentName, ...], spoken: LogPosition = SPOKEN) -> bool:
    source = Source("near", "folder:/near", {}, last=tuple(map(str, last)))
    problems = [] if hurt is None else [f"near: {hurt}: the frame's end mark does not match at byte 700"]
    return whole_at_end([source], ("near",), "near", spoken, problems)


def test_without_damage_it_is_known() -> None:
    assert _whole(None, last=(FIRST, SECOND, *CLAIMS))


@pytest.mark.parametrize("claims", [0, 1, 2])
def test_damage_behind_the_last_change_leaves_it_unknown_however_many_starts_failed_since(claims: int) -> None:
    assert not _whole(SECOND, last=(FIRST, SECOND, *CLAIMS[:claims]))


def test_damage_before_the_last_change_does_not_matter_here() -> None:
    assert _whole(FIRST, last=(FIRST, SECOND, *CLAIMS))
    assert _whole(SECOND, last=(FIRST, SECOND, *CLAIMS), spoken=LogPosition(2, 27, b""))


def test_of_objects_that_are_all_younger_each_counts() -> None:
    assert not _whole(CLAIMS[0], last=CLAIMS)
    assert _whole(None, last=CLAIMS)
