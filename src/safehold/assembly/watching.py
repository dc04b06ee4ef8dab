"""What a running service knows of the disks under it, without ever waiting for one of them.

A vault on a network mount that hangs must stop neither requests nor `/healthz`. So the vaults' folders and the room on
the disks are looked at in threads of their own, every few seconds, and everybody is told what was seen last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from safehold.adapters.watch import Watch
from safehold.assembly.probing import is_due, probe_and_remember
from safehold.assembly.site import Site
from safehold.assembly.status import Looks, VaultLook, look_at
from safehold.assembly.writer import Writer
from safehold.config import VaultConfig

T = TypeVar("T")

#: A look is repeated after so long.
FRESH_SECONDS = 10.0
#: A look that takes longer is not waited for any more, and said to hang.
PATIENCE_SECONDS = 5.0
#: Room on a disk is not claimed on an older look: it may be gone.
ROOM_KNOWN_SECONDS = 60.0
#: Whether a probe is due is looked at so often: daily, and once the configuration has changed.
PROBE_SECONDS = 600.0


def _probe_when_due(site: Site, vault: VaultConfig) -> bool:
    """Whether it came to a result."""
    return not is_due(site, vault) or not probe_and_remember(site, vault).why


class Watching:
    """Used on one thread, but for `wait`, which blocks, and `free_bytes`, which any thread may ask."""

    def __init__(self, site: Site, writer: Writer) -> None:
        self._site = site
        self._writer = writer
        self._vaults: dict[VaultConfig, Watch[VaultLook]] = {}
        self._probes: dict[VaultConfig, Watch[bool]] = {}
        self._room: Watch[int | None] = self._watch("room on the disks", site.free_bytes)
        self._adjust()

    def _watch(self, name: str, look: Callable[[], T]) -> Watch[T]:
        return Watch(name, look, self._site.clock, fresh_seconds=FRESH_SECONDS, patience_seconds=PATIENCE_SECONDS)

    def _adjust(self) -> None:
        """One watch for each vault that is configured now."""
        self._vaults = {
            vault: self._vaults.get(vault)
            or self._watch(f"a look at the vault {vault.name}", partial(look_at, self._site, vault, self._writer))
            for vault in self._site.config.vaults
        }

        self._probes = {vault: self._probes.get(vault) or self._probing(vault) for vault in self._site.config.vaults}

    def _probing(self, vault: VaultConfig) -> Watch[bool]:
        return Watch(
            f"a probe of the vault {vault.name}",
            partial(_probe_when_due, self._site, vault),
            self._site.clock,
            fresh_seconds=PROBE_SECONDS,
            patience_seconds=PATIENCE_SECONDS,
        )

    def refresh(self) -> None:
        """Look again where it is time to."""
        self._adjust()
        for probe in self._probes.values():
            probe.refresh()
        self._room.refresh()
        for watch in self._vaults.values():
            watch.refresh()

    def wait(self, seconds: float) -> None:
        """Look now; wait at most so long for each disk to answer."""
        self._room.wait(seconds)
        for watch in self._vaults.values():
            watch.wait(seconds)

    def vaults(self) -> Looks:
        self._adjust()
        return {vault.name: watch.seen() for vault, watch in self._vaults.items()}

    def free_bytes(self) -> int | None:
        """Room on the fullest disk that a change is written to; None where it is not known now."""
        seen = self._room.seen()
        known = seen.age_seconds is not None and seen.age_seconds < ROOM_KNOWN_SECONDS
        return seen.found if known else None
