"""What keepers said of generations, which a recovery heeds when it chooses the one to begin with.

A writer signs generations, and a thief of its key signs false ones: whole, in good order, and of a history that never
was. What a keeper has replayed is another matter: role and key are its own (formats/keys.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from safehold.formats.keys import Opener
from safehold.ports.vault import Vault
from safehold.recovery.keeper import keeper_words
from safehold.vault.evidence import read_evidence
from safehold.vault.receipts import Receipts
from safehold.vault.runs import Generation


class Judged(NamedTuple):
    """What keepers said of generations, by number and digest of the GENERATION frame."""

    attested: frozenset[tuple[int, bytes]] = frozenset()
    refused: frozenset[tuple[int, bytes]] = frozenset()

    def attests(self, generation: Generation) -> bool:
        return (generation.number, generation.digest) in self.attested

    def refuses(self, generation: Generation) -> bool:
        """A copy may be refused for damage in one vault that is attested in another."""
        return (generation.number, generation.digest) in self.refused - self.attested


NOT_JUDGED = Judged()


def judged_in(vaults: Sequence[Vault], opener: Opener) -> Judged:
    """What keepers said, in any of these vaults, of generations anywhere. Without the identity nobody can read it."""
    if not opener.can_open:
        return NOT_JUDGED
    words = keeper_words(read_evidence(vaults, opener.installation, opener))
    spoken = [Receipts(name, words) for name in sorted({signed.evidence.vault for signed in words})]
    attested = {(each.generation, each.manifest) for receipts in spoken for each in receipts.attested}
    refused = {(e.generation, bytes.fromhex(e.manifest)) for receipts in spoken for e in receipts.refused}
    return Judged(frozenset(attested), frozenset(refused))
