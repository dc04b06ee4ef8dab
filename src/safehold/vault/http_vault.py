"""A vault at a vault server: what goes over the socket of a keeper, over HTTPS (adapters/vault_http.py)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from safehold.ports.link import Connect
from safehold.ports.vault import Vault
from safehold.vault.remote import RemoteVault


class HttpVault(RemoteVault):
    """Implements ports.vault.Vault. `url` is https://HOST:PORT/v1/GUEST."""

    def __init__(
        self,
        name: str,
        url: str,
        connect: Connect,
        installation: bytes | None = None,
        *,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        super().__init__(name, url, connect, installation, lock=lock)

    @property
    def url(self) -> str:
        return self._address

    @property
    def _hint(self) -> str:
        return f"see whether the vault server behind {self._address.partition('/v1/')[0]} runs and can be reached"

    def _not_let_in(self, why: str) -> str:
        return why


_: type[Vault] = HttpVault
