"""Which generations a recovery may begin with: those that a keeper has attested, where one has attested any.

A writer signs generations, and a thief of its key signs false ones: whole, in good order, and of a history that never
was. What a keeper has replayed is another matter (role and key are its own, formats/keys.py): where any generation was
attested, one that was not adds only what the log has as well, so that it is passed over. What a keeper refused is never
begun with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from safehold.formats.keys import Opener, Role
from safehold.ports.vault import Vault
from safehold.vault.evidence import read_evidence
from safehold.vault.receipts import ATTEST, AttestFacts


class Verdicts(NamedTuple):
    """Generations by number and digest of their GENERATION frame, as keepers have judged them in any of the vaults."""

    attested: frozenset[tuple[int, str]]
    refused: frozenset[tuple[int, str]]


def verdicts_of(vaults: Sequence[Vault], opener: Opener) -> Verdicts:
    """Without the identity nobody can read what keepers say."""
    attested: set[tuple[int, str]] = set()
    refused: set[tuple[int, str]] = set()
    for found in read_evidence(vaults, opener.installation, opener) if opener.can_open else ():
        if found.role is not Role.KEEPER or found.evidence.kind != ATTEST:
            continue
        try:
            facts = msgspec.convert(found.evidence.facts, AttestFacts)
        except msgspec.ValidationError:
            continue
        (attested if facts.ok else refused).add((facts.generation, facts.manifest))
    return Verdicts(frozenset(attested), frozenset(refused - attested))
