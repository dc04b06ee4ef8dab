"""Accounts and their secrets in memory: the few reads that signing in needs."""

from __future__ import annotations

import msgspec

from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.service.auth import app_password_digest


class Identities:
    """Stands where `CoreReads` is asked for identities. `lookups` counts how often a secret was read."""

    def __init__(self) -> None:
        self._accounts: dict[int, Account] = {}
        self._secrets: dict[tuple[int, str], bytes] = {}
        self._held: dict[int, str | None] = {}
        self.lookups = 0

    def add(self, name: str, password: str | None = None) -> Account:
        """`password` as the hasher made it."""
        number = len(self._accounts) + 1
        account = self._accounts[number] = Account(number, bytes([number]) * 16, name, False)
        if password is not None:
            self.set(account, "password", password.encode())
        return account

    def set(self, account: Account, name: str, body: bytes | None) -> None:
        if body is None:
            del self._secrets[account.number, name]
        else:
            self._secrets[account.number, name] = body

    def add_app_password(self, account: Account, label: str, text: str) -> None:
        digest = app_password_digest(text)
        assert digest is not None
        self.set(account, f"app/{label}", msgspec.json.encode({"sha256": digest.hex(), "created": 1}))

    def erase(self, account: Account) -> None:
        del self._accounts[account.number]

    def hold(self, account: Account, reason: str | None) -> None:
        self._held[account.number] = reason

    # -- as CoreReads --------------------------------------------------------------------------------------------

    def account_named(self, name: str) -> Account | None:
        return next((a for a in self._accounts.values() if a.name == name), None)

    def account_by_id(self, id_: bytes) -> Account | None:
        return next((a for a in self._accounts.values() if a.id == id_), None)

    def held(self, account: int, kind: Kind) -> str | None:
        return self._held.get(account) if kind is Kind.IDENTITY else None

    def secret(self, account: int, name: str) -> bytes | None:
        self.lookups += 1
        return self._secrets.get((account, name))

    def secrets(self, account: int, prefix: str) -> list[tuple[str, bytes]]:
        self.lookups += 1
        return [(n, body) for (a, n), body in self._secrets.items() if a == account and n.startswith(prefix)]
