"""Somebody with the tests' writer key: what they might sign, to make void what a vault took."""

from __future__ import annotations

from safehold.disaster.forging import ADMITTED, FORKS, Forger, unsigned
from safehold.formats.keys import Sealer
from safehold.model.change import Change
from safehold.ports.core import LogPosition
from safehold.ports.vault import Vault
from tests.support.changes import Streams, account_id
from tests.support.logs import SEALER

__all__ = ["ADMITTED", "FORKS", "Thief", "unsigned"]


class Thief(Forger):
    """Forges changes of the account that the tests know."""

    def __init__(self, vault: Vault, at: LogPosition, opened: int = 1, sealer: Sealer = SEALER, ahead: int = 0) -> None:
        super().__init__(vault, at, opened, sealer, ahead)
        self.streams = Streams()

    def change(self, number: int) -> Change:
        return self.streams.put_card(account_id(1), "contacts/default", f"forged{number}.vcf")
