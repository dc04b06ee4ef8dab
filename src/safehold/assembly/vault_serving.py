"""A vault's folder, served to a core that runs as another user: server, sessions and what it says of itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from typing import Any

from safehold.adapters.places import describe_place
from safehold.adapters.vault_link import LinkServer
from safehold.model.errors import OperatorError
from safehold.ports.disk import Disk
from safehold.store.realdisk import RealDisk
from safehold.vault.refusals import Refusals
from safehold.vault.served import DEFAULT_RESERVE_BYTES, ServedSession, ServedVault


class VaultServer:
    """Serves the vault in `folder` at the Unix socket `address`, with the verbs of a Vault and no other.

    `users` are the ids that may connect (None: whoever the socket's mode and group let in). The last `reserve_bytes` of
    the disk are kept free. Made by the user who owns the folder, which nobody else can write to.
    """

    def __init__(
        self,
        folder: str,
        address: str,
        *,
        installation: bytes | None = None,
        users: Collection[int] | None = None,
        mode: int = 0o600,
        group: int | None = None,
        reserve_bytes: int = DEFAULT_RESERVE_BYTES,
        disk: Disk | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        """`refusals` note what would have made void what is in the log."""
        self.folder = os.path.abspath(folder)
        self._refusals = refusals
        self._served = ServedVault(
            self.folder,
            disk or RealDisk(),
            installation,
            reserve_bytes=reserve_bytes,
            about=self._about,
            lock=threading.Lock(),
            refused=refusals.note if refusals is not None else lambda _: None,
        )
        make_session: Callable[[], ServedSession] = lambda: ServedSession(self._served)  # noqa: E731
        self._server = LinkServer(address, make_session, mode=mode, group=group, users=users)

    def start(self) -> None:
        """Serve, in threads, until `stop`. Raises OperatorError where that cannot be."""
        vault = self._served.open()
        if not vault.available():
            vault.size("FORMAT")  # says what is wrong, in the vault's own words
            raise OperatorError(f"there is no vault in {self.folder}", hint="`safehold vault add` makes one")
        vault.clear_temporary()
        try:
            self._server.start()
        except OSError as error:
            raise OperatorError(
                f"{self._server.address} cannot be served at: {error.strerror or error}",
                hint="see whether another keeper serves there, and whether this user may write to that folder",
            ) from error

    def stop(self) -> None:
        self._server.stop()

    def forget(self) -> None:
        """To be called where the keeper has moved segments aside, or removed them, while this serves."""
        self._served.forget()

    def _about(self) -> dict[str, Any]:
        told = self._refusals.told() if self._refusals is not None else {}
        return {"user": os.geteuid(), "folder": self.folder, "place": describe_place(self.folder), **told}
