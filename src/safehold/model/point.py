"""A point in an account's history as text: after which rev of each stream, as `contacts:120` or `contacts:120,notes:7`.

It is exact where a time is not: clocks may run backwards, and what was committed together bears one time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from safehold.model.kinds import RESTORE_ORDER, Kind

_PART = re.compile(r"([a-z]+):(0|[1-9][0-9]{0,17})", re.ASCII)


def point_text(revs: Mapping[Kind, int]) -> str:
    return ",".join(f"{kind}:{revs[kind]}" for kind in RESTORE_ORDER if kind in revs)


def parse_point(text: str) -> dict[Kind, int] | None:
    """The revs by kind; None where the text is no point."""
    revs: dict[Kind, int] = {}
    for part in text.strip().split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or match[1] not in {str(kind) for kind in RESTORE_ORDER} or Kind(match[1]) in revs:
            return None
        revs[Kind(match[1])] = int(match[2])
    return revs
