"""Ends of logs that were mended before a recovery had read them: what stood there is in sight no more (I93).

A sync vault whose log is damaged at its end shows by that damage that frames may be missing. Once it is mended from a
vault that is behind, or cut, it looks as if it had ended there. What was mended is in the evidence of the repair, put
before the first byte was changed; so whoever asks how a log ended hears of it from there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

import msgspec

from safehold.formats.evidence import VERSION, Evidence, parse_evidence_name
from safehold.formats.keys import Opener, Sealer
from safehold.formats.segment import LOG_PREFIX, SegmentName, parse_name
from safehold.ports.core import LogPosition
from safehold.ports.vault import Vault
from safehold.ports.world import Clock
from safehold.recovery.excuses import REPAIR
from safehold.recovery.judging import Damage, Problem
from safehold.recovery.repair import Mend, Way
from safehold.recovery.unknown import MENDED
from safehold.vault.evidence import put_evidence, read_evidence

#: Of what is mended so much is named, from the end.
MAX_NAMED = 500
#: A fact of `keeper cut`: the first frame and the last that it set aside.
FRAMES = "frames"
#: Evidence that is older than the last frame by so much is of a time before it, whatever the clocks say.
_MARGIN = 24 * 3600 * 1_000_000


def log_mends(plan: Iterable[Mend]) -> list[Mend]:
    """Those of a repair's plan that are of the log."""
    return [mend for mend in plan if parse_name(mend.damage.object) is not None]


def log_copied(source: Vault) -> list[Mend]:
    """For a vault that is filled from this one: where its log will end. Empty where the other has none."""
    last = [info.name for info in source.list(LOG_PREFIX)][-1:]
    return [Mend(Damage(name, Problem.MISSING), Way.COPY, source.name) for name in last]


def tell_before(
    vaults: Sequence[Vault], sealer: Sealer, clock: Clock, vault: str, mends: Sequence[Mend], core: LogPosition
) -> None:
    """Put into these vaults, before it is done, what is mended of the log of one, and how far the core knew it.

    Raises VaultDown where none takes it.
    """
    if not mends:
        return
    repaired = [{**msgspec.to_builtins(mend.damage), "from": mend.repaired_from} for mend in mends[-MAX_NAMED:]]
    facts = {"repaired": repaired, "repaired_count": len(mends), "remaining": []}
    put_evidence(vaults, sealer, clock, Evidence(VERSION, REPAIR, 0, vault, core, b"", facts))


def mended_ends(vaults: Sequence[Vault], opener: Opener, spoken: LogPosition, spoken_at: int | None) -> list[str]:
    """Of each object of a log that was mended where it may have held more than is known: a sentence `VAULT: OBJECT: …`.

    `spoken` is the last frame that says what was written, and `spoken_at` (µs) about when; None reads all evidence. A
    repair beside a core that had all of that hid nothing. Without the identity nobody can read evidence.
    """
    if not opener.can_open:
        return []
    skip = _Before(0 if spoken_at is None else spoken_at - _MARGIN)
    told = []
    for found in read_evidence(vaults, opener.installation, opener, skip=skip):
        one = found.evidence
        if one.kind == REPAIR and not _known(one, spoken):
            told += [f"{one.vault}: {name}: {MENDED}" for name in _segments(one)]
    return list(dict.fromkeys(told))


def _known(one: Evidence, spoken: LogPosition) -> bool:
    """Whether whoever mended knew how the log ended: of a repair by the core that was there, of a cut never."""
    upto, last = tuple(one.upto[:2]), (spoken.timeline, spoken.frame)
    return upto < last if FRAMES in one.facts else upto >= last


def _segments(one: Evidence) -> list[SegmentName]:
    repaired: Any = one.facts.get("repaired")
    named = [each.get("object") for each in repaired if isinstance(each, dict)] if isinstance(repaired, list) else []
    found = (parse_name(name) for name in named if isinstance(name, str))
    return [name for name in found if name is not None]


class _Before(Container[str]):
    """The names of all evidence that was put before a moment (µs)."""

    def __init__(self, at: int) -> None:
        self._at = at

    def __contains__(self, name: object) -> bool:
        parsed = parse_evidence_name(name) if isinstance(name, str) else None
        return parsed is not None and parsed.at < self._at
