"""The claim that a run makes before it reads: a timeline of its own in every vault that can be reached.

Claim, then read: whoever still writes in an older timeline looks for a higher one after each append, so that what it
acknowledged is there to be read, and what comes later it does not acknowledge. The claim is the exclusive creation of
the timeline's first segment, of which only the header is written here: the next start of a writer claims one more and
continues the log. Every vault stays dense, as archiver/claiming.py needs it: where it lacks the first segment of an
older timeline, it gets that segment's header.
"""

from __future__ import annotations

from collections.abc import Sequence

from safehold.formats import segment
from safehold.formats.keys import Sealer
from safehold.formats.segment import SegmentName, claim_object
from safehold.model.errors import OutOfSpace
from safehold.ports.log import Superseded
from safehold.ports.vault import Vault, VaultDown
from safehold.vault.segments import timelines


def claim_next(vaults: Sequence[Vault], sealer: Sealer) -> int:
    """Claim the next timeline and return it. `vaults` with the sync ones first.

    A vault that is away or full is passed over. Raises Superseded where somebody claims at the same moment, VaultDown
    where no vault takes the claim.
    """
    there = [vault for vault in vaults if vault.available()]
    known = timelines(there)
    timeline = max(known, default=0) + 1
    header = segment.encode_header(segment.header_for(SegmentName(timeline, 0, 0), sealer))
    claimed = False
    for vault in there:
        try:
            own = set(timelines([vault]))
            for older in known:
                if older not in own:
                    _fill(vault, there, older)
            won = vault.put(claim_object(timeline), (header,))
        except (VaultDown, OutOfSpace):
            continue
        if not won:
            raise Superseded(
                f"another writer claimed timeline {timeline} in vault {vault.name} at the same moment",
                hint="stop whatever writes to these vaults, then run the recovery again",
            )
        claimed = True
    if not claimed:
        raise VaultDown("no vault takes the claim of a new timeline", hint="mount a vault, or make room in it")
    return timeline


def _fill(vault: Vault, everyone: Sequence[Vault], timeline: int) -> None:
    name = claim_object(timeline)
    for source in everyone:
        if source is not vault and source.size(name) is not None:
            vault.put(name, (source.get(name, 0, segment.HEADER_BYTES),))
            return
