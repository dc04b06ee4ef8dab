"""A vault at a server elsewhere, with a keeper's token: what a repair may do there, object by object (I112).

What lies there is never moved out of the way or removed from here: who works beside it does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from safehold.ports.vault import KeptVault, ObjectInfo, VaultDown
from safehold.vault.remote import RemoteVault


class KeptRemoteVault:
    """Implements ports.vault.KeptVault, as far as that goes over the wire."""

    def __init__(self, vault: RemoteVault) -> None:
        self._vault = vault

    @property
    def name(self) -> str:
        return self._vault.name

    @property
    def url(self) -> str:
        return self._vault.url

    def available(self) -> bool:
        return self._vault.available()

    def folders(self, prefix: str) -> Sequence[str]:
        return self._vault.folders(prefix)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._vault.list(prefix)

    def size(self, name: str) -> int | None:
        return self._vault.size(name)

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        return self._vault.get(name, offset, count)

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        return self._vault.put(name, chunks)

    def append(self, name: str, expected: int, data: bytes) -> None:
        self._vault.append(name, expected, data)

    def close(self) -> None:
        self._vault.close()

    # -- a keeper's

    def replace(self, name: str, chunks: Iterable[bytes]) -> None:
        """In the place of what is damaged, or where nothing is. Raises VaultDown where the server does not agree."""
        if self._vault.size(name) is None:
            if not self._vault.put(name, chunks):
                raise VaultDown(f"{name} was put into {self.name} by somebody else meanwhile", hint="run this again")
        elif not self._vault.mend(name, chunks):
            raise VaultDown(f"{name} has gone from {self.name} meanwhile", hint="run this again")

    def set_aside(self, name: str) -> str:
        raise self._only_there(name)

    def remove(self, name: str) -> None:
        raise self._only_there(name)

    def purge_aside(self, before: int | None) -> int:
        del before
        return 0

    def _only_there(self, name: str) -> VaultDown:
        return VaultDown(
            f"{name} in the vault {self.name} is moved or removed by its operator only",
            hint="where it lies, with a keeper's folder there (docs/vault-server.md)",
        )


_: type[KeptVault] = KeptRemoteVault
