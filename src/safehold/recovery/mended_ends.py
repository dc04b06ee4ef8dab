"""Ends of logs that were mended before a recovery had read them: what stood there is in sight no more (I93).

A sync vault whose log is damaged at its end shows by that damage that frames may be missing. Once it is mended from a
vault that is behind, or cut, it looks as if it had ended there. What was mended is in the evidence of the repair, put
before the first byte was changed; so whoever asks how a log ended hears of it from there.

Which evidence still counts is told by positions in the log, not by clocks: one may have run ahead of the other, or have
begun anew after a power loss. What was mended beside no core, or beside one that knew nothing of that timeline, counts
until a later timeline was written to, whatever its time. Only what a core mended that was there is ended by time as
well: once a frame is a day younger.

Evidence that no vault gives whole may have told of such a mend, as long as its name is no older than that day; so does
a repair that set one aside. This ends when the log goes on for a day, when another vault
gives it whole, and for a stray from the future when a repair has set it aside: then its name is later than the repair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from safehold.recovery.unknown import MENDED, UNREAD
from safehold.vault.evidence import put_evidence, read_evidence

#: Of what is mended so much is named, from the end.
MAX_NAMED = 500
#: A fact of `keeper cut`: the first frame and the last that it set aside.
FRAMES = "frames"
#: Evidence that is older than the last frame by so much is of a time before it, if it knew of that frame's timeline.
_MARGIN = 24 * 3600 * 1_000_000


def log_mends(plan: Iterable[Mend]) -> list[Mend]:
    """Those of a repair's plan that are of the log."""
    return [mend for mend in plan if parse_name(mend.damage.object) is not None]


def evidence_mends(plan: Iterable[Mend]) -> list[Mend]:
    """Those of a repair's plan that set evidence aside of which there is no other copy: it may tell of a mend."""
    return [mend for mend in plan if mend.way is Way.RECORD and _at(mend.damage.object) >= 0]


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


def mended_ends(
    vaults: Sequence[Vault], opener: Opener, changed: LogPosition, spoken: LogPosition, spoken_at: int | None
) -> list[str]:
    """Of each object of a log that was mended where it may have held more than is known: a sentence `VAULT: OBJECT: …`.

    And of evidence that may have told of one. `spoken` is the last frame that says what was written, and `spoken_at`
    (µs) about when, where that is known. `changed` is the last one with changes: up to there a core had all, beside
    which a repair hid nothing. Without the identity nobody can read evidence.
    """
    if not opener.can_open:
        return []
    since = 0 if spoken_at is None else spoken_at - _MARGIN
    unread: dict[str, str] = {}
    aside: dict[str, str] = {}
    known: set[str] = set()
    told = []
    for found in read_evidence(vaults, opener.installation, opener, unread=unread):
        one = found.evidence
        if one.kind == REPAIR and not _known(one, changed, spoken):
            beyond = [name for name in _segments(one) if one.at >= since or _is_beyond(one, name)]
            told += [f"{one.vault}: {name}: {MENDED}" for name in beyond]
        aside |= {name: one.vault for name in _repaired(one) if 0 <= _at(name) <= one.at}
        known.add(found.name)
    unread |= {name: vault for name, vault in aside.items() if name not in known}
    told += [f"{vault}: {name}: {UNREAD}" for name, vault in unread.items() if _at(name) >= since]
    return list(dict.fromkeys(told))


def _is_beyond(one: Evidence, name: SegmentName) -> bool:
    """Whether whoever mended this knew nothing of its timeline: what is written after that is in a later one."""
    return FRAMES in one.facts or one.upto[0] < name.timeline


def _at(name: str) -> int:
    """When evidence of this name says that it was put (µs); -1 where it is no such name."""
    parsed = parse_evidence_name(name)
    return -1 if parsed is None else parsed.at


def _known(one: Evidence, changed: LogPosition, spoken: LogPosition) -> bool:
    """Whether whoever mended knew how the log ended: of a repair the core that was there, of a cut nobody."""
    upto = tuple(one.upto[:2])
    if FRAMES in one.facts:
        return upto < (spoken.timeline, spoken.frame)
    return upto >= (changed.timeline, changed.frame)


def _segments(one: Evidence) -> list[SegmentName]:
    found = (parse_name(name) for name in _repaired(one))
    return [name for name in found if name is not None]


def _repaired(one: Evidence) -> list[str]:
    """Names of the objects that a repair has mended, or set aside."""
    repaired: Any = one.facts.get("repaired") if one.kind == REPAIR else None
    named = [each.get("object") for each in repaired if isinstance(each, dict)] if isinstance(repaired, list) else []
    return [name for name in named if isinstance(name, str)]
