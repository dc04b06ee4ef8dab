"""A keeper's work on one vault: attest, retain, and the evidence of both.

The vault is a KeptVault where retention is to do anything; attesting takes any. Evidence goes into this vault first,
and nothing is removed that it does not name by then; other vaults get copies where they can be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from safehold.formats import evidence as formats
from safehold.formats.evidence import EVIDENCE_PREFIX, Evidence
from safehold.formats.keys import Opener, Role, Sealer
from safehold.ports.core import LogPosition
from safehold.ports.vault import KeptVault, Vault, VaultDown
from safehold.ports.world import Clock
from safehold.recovery.attest import Verdict, attest
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.retain import Frozen, Held, carry_out, look, make
from safehold.recovery.retention import EvidenceSeen, Plan, Policy
from safehold.vault.evidence import Found, put_evidence, read_evidence
from safehold.vault.receipts import ATTEST, RETAIN, Receipts, RetainFacts, Signed

#: When whoever stores a vault took each piece of evidence, and the moment now by the same clock (µs).
Taken = Callable[[], tuple[Mapping[str, int], int]]
#: Told of each piece of evidence that was put: its vault's notebook wants to know.
Placed = Callable[[Found], None]


def keeper_words(found: Sequence[Found]) -> list[Signed]:
    """Evidence that counts: a keeper's."""
    return [Signed(each.name, each.evidence) for each in found if each.role is Role.KEEPER]


def never() -> str:
    """For where no recovery can be open."""
    return ""


class VaultKeeper:
    """One keeper, one vault. `others` get copies of its evidence, and their keeper's words count for attesting."""

    def __init__(
        self,
        vault: Vault,
        others: Sequence[Vault],
        sealer: Sealer,
        opener: Opener,
        clock: Clock,
        policy: Policy,
        *,
        frozen: Frozen = never,
        placed: Placed = lambda _: None,
        taken: Taken | None = None,
        held: Callable[[], Held] | None = None,
    ) -> None:
        """`taken`, `held`: of a vault whose store has a clock of its own, and locks what it keeps."""
        self._vault = vault
        self._others = list(others)
        self._sealer = sealer
        self._opener = opener
        self._clock = clock
        self._policy = policy
        self._frozen = frozen
        self._placed = placed
        self._taken = taken
        self._held = held

    def attest(self) -> list[Verdict]:
        """Look at what is new, and put evidence of each verdict. Raises VaultDown, OperatorError, OutOfSpace."""
        words = keeper_words(self._evidence())
        names = {signed.evidence.vault for signed in words} - {self._vault.name}
        verdicts = attest(
            self._vault,
            self._opener,
            Receipts(self._vault.name, words),
            self._clock,
            elsewhere=[Receipts(name, words) for name in sorted(names)],
            excuses=EvidenceExcuses(self._vault.name, [signed.evidence for signed in words]),
        )
        for verdict in reversed(verdicts):  # the attested one, which is the oldest, first
            self._tell(ATTEST, msgspec.to_builtins(verdict.facts), verdict.position)
        return verdicts

    def receipts(self) -> Receipts:
        """What this vault's keeper said so far."""
        return Receipts(self._vault.name, keeper_words(self._evidence()))

    def plan(self, damaged: str = "") -> Plan:
        """What retention would remove now. Raises VaultDown."""
        return self._plan(damaged)[1]

    def retain(self, vault: KeptVault, damaged: str = "") -> Plan:
        """Plan, tell and remove. `vault` is the same one, with its keeper's credentials.

        Raises VaultDown, OperatorError, OutOfSpace; whatever was left is removed by the next run.
        """
        assert vault.name == self._vault.name
        found, made = self._plan(damaged)
        if not made.blocked:
            carry_out(found, vault, made, self._tell_retained, self._frozen)
        else:
            self._tell_retained(made.facts(self._clock.now()), LogPosition(0, 0, b""))
        return made

    def _plan(self, damaged: str) -> tuple[Any, Plan]:
        evidence = read_evidence([self._vault], self._opener.installation, self._opener)
        receipts = Receipts(self._vault.name, keeper_words(evidence))
        if self._taken is not None:
            receipts = receipts.as_taken(*self._taken())
        sizes = {info.name: info.size for info in self._vault.list(EVIDENCE_PREFIX)}
        seen = [
            EvidenceSeen(each.name, each.evidence.at, each.evidence.kind, each.evidence.vault, sizes[each.name])
            for each in evidence
            if each.name in sizes
        ]
        found = look(self._vault, self._opener, receipts, self._clock)
        held: Held = self._held() if self._held is not None else lambda _: False
        return found, make(found, self._policy, seen, frozen=self._frozen(), damaged=damaged, held=held)

    def _evidence(self) -> list[Found]:
        return read_evidence([self._vault, *self._others], self._opener.installation, self._opener)

    def _tell_retained(self, facts: RetainFacts, upto: LogPosition) -> None:
        self._tell(RETAIN, msgspec.to_builtins(facts), upto)

    def _tell(self, kind: str, facts: dict[str, Any], upto: LogPosition) -> None:
        value = Evidence(formats.VERSION, kind, self._clock.now(), self._vault.name, (*upto,), b"", facts)
        put = put_evidence([self._vault, *self._others], self._sealer, self._clock, value)
        if self._vault.size(put.name) is None:
            raise VaultDown(
                f"vault {self._vault.name} did not take the evidence of what is to be done in it",
                hint="see what is wrong with it; nothing was removed",
            )
        self._placed(put)
