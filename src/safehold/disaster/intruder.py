"""Somebody with all that lies beside the core: what they can do to what is beside it, and to a keeper's vault.

A vault in a folder of the core's own user is theirs to remove. A keeper's they reach as the core does, over its socket
alone: here the same server and the same client on one thread, with the keeper's folder on a simulated disk. What is
tried there is what the wire knows, asked for wrongly, and what the writer's key can sign.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

from safehold.config import VaultConfig
from safehold.disaster.forging import ADMITTED, FORKS, Forger
from safehold.disaster.house import CORE_FOLDER, House
from safehold.formats import evidence as evidence_format
from safehold.formats.evidence import Evidence
from safehold.formats.generation import manifest_object, parse_manifest_name
from safehold.lab.world import SimClock
from safehold.model.errors import SafeholdError
from safehold.ports.log import LogFrame
from safehold.ports.vault import VaultFull
from safehold.vault.evidence import put_evidence
from safehold.vault.log import VaultLogReader
from safehold.vault.remote import RemoteVault
from safehold.vault.served import ServedSession, ServedVault

#: How far the intruder's clock is ahead: ten years.
AHEAD_MICROSECONDS = 10 * 365 * 86_400 * 1_000_000
_PIECE_BYTES = 200_000
#: What an owner's disk has left for a flood, and what a keeper does not give away of it.
_ROOM_BYTES = 3_000_000
_RESERVE_BYTES = 1_000_000
_MOST_OBJECTS = 1000
#: Ways of forging, of those that there are, that are tried by one intruder.
_FORKS = 8


class _Link:
    """`ports.link.Link` to a session on this thread."""

    def __init__(self, session: ServedSession) -> None:
        self._session = session

    def ask(self, request: bytes, *, hurry: bool = False) -> bytes:
        del hurry
        answer = self._session.answer(request)
        return b"" if answer is None else answer

    def close(self) -> None:
        self._session.close()


class Intruder:
    """Of one house. `kept` is the vault that a keeper serves; the others lie in folders of the core's user."""

    def __init__(self, house: House, kept: VaultConfig, rng: random.Random, tell: Callable[[str], None]) -> None:
        """`tell` hears of each act, in words."""
        self._house = house
        self._kept = kept
        self._rng = rng
        self.vault = self._reach()
        self._tell = tell
        #: How many of the tries the keeper took.
        self.taken = 0

    def _reach(self) -> RemoteVault:
        house, kept = self._house, self._kept
        served = ServedVault(House.folder(kept), house.disk, house.keyring.installation, reserve_bytes=_RESERVE_BYTES)
        return RemoteVault(kept.name, "keeper", lambda: _Link(ServedSession(served)))

    def moved(self, house: House) -> None:
        """The core's process has ended; the keeper's goes on, on the same disk."""
        self._house = house
        self.vault = self._reach()

    def acts(self) -> list[Callable[[], None]]:
        """What they do to the keeper's vault, in an order drawn."""
        acts = [self.overwrite, self.append, self.fork, self.repeat_generations, self.lie, self.flood]
        self._rng.shuffle(acts)
        return acts

    def remove_what_is_beside(self) -> None:
        """The core, its bodies, and every vault in a folder of the same user."""
        disk = self._house.disk
        for folder in (CORE_FOLDER, "/blobs", "/run", "/generations"):
            disk.lose(folder)
        for config in self._house.vaults:
            if config != self._kept:
                disk.lose(House.folder(config))
        self._tell("the core, its large bodies and the vaults of its user are removed")

    def overwrite(self) -> None:
        """Other bytes under every name that is taken."""
        names = [info.name for info in self.vault.list()]
        for name in names:
            self._try(lambda name=name: self.vault.put(name, [b"overwritten"]))  # type: ignore[misc]
        self._tell(f"{len(names)} objects are put anew")

    def append(self) -> None:
        """To segments, at places that are not their ends."""
        logs = list(self.vault.list("log/"))
        for info in self._rng.sample(logs, min(12, len(logs))):
            for at in {0, info.size // 2, max(0, info.size - 1), info.size + 1}:
                self._try(lambda n=info.name, at=at: self.vault.append(n, at, b"overwritten"))  # type: ignore[misc]
        self._tell("segments are appended to where they do not end")

    def fork(self) -> None:
        """Frames and segments, signed with the writer's own key, that would make void what is there."""
        keyring = self._house.keyring
        reader = VaultLogReader([self.vault], keyring.opener)
        claims = [e for e in reader.entries() if isinstance(e, LogFrame) and e.claim]
        opened = claims[-1].position.frame if claims else 1
        forged = {**FORKS, **ADMITTED}
        for words in [*self._rng.sample(list(FORKS), _FORKS), *ADMITTED]:
            act = forged[words]
            forger = Forger(self.vault, reader.end(), opened, keyring.sealer, AHEAD_MICROSECONDS)
            self._try(lambda act=act, forger=forger: act(forger))  # type: ignore[misc]
            self._tell(f"forged: {words}")

    def repeat_generations(self) -> None:
        """Manifests of old generations under the names of newer ones, and such that are none."""
        found = {n: info.name for info in self.vault.list("runs/") if (n := parse_manifest_name(info.name)) is not None}
        newest = max(found, default=0)
        for step, name in enumerate(sorted(found.values())[:4], 1):
            data = self.vault.get(name)
            self._try(lambda s=step, d=data: self.vault.put(manifest_object(newest + s), [d]))  # type: ignore[misc]
        noise = self._rng.randbytes(500)
        self._try(lambda: self.vault.put(manifest_object(newest + 100), [noise]))
        self._tell("old generations are put under newer names")

    def lie(self) -> None:
        """Evidence, signed as the writer, that all is attested far ahead and was removed on purpose."""
        keyring = self._house.keyring
        end = VaultLogReader([self.vault], keyring.opener).end()
        names = [info.name for info in self.vault.list()]
        clock = SimClock(self._house.clock.now() + AHEAD_MICROSECONDS)
        said = {"receipt": clock.now(), "clock": clock.now()}
        lies = {
            "attest": {"generation": end.frame, "manifest": "00" * 32, **said},
            "retain": {"log_from": (99, 10**9), "removed": names, "aside": names, "horizon": end.frame, **said},
        }
        for kind, facts in lies.items():
            value = Evidence(evidence_format.VERSION, kind, 0, self._kept.name, end, b"", facts)
            self._try(lambda value=value: put_evidence([self.vault], keyring.sealer, clock, value))  # type: ignore[misc]
        self._tell("evidence that everything was removed on purpose")

    def flood(self) -> None:
        """Until nothing more is taken."""
        disk = self._house.disk
        disk.capacity_bytes = disk.used_bytes() + _ROOM_BYTES
        count = 0
        try:
            with suppress(VaultFull):
                while count < _MOST_OBJECTS:
                    name = self._rng.randbytes(32).hex()
                    self.vault.put(f"blobs/{name[:2]}/{name}", [self._rng.randbytes(_PIECE_BYTES)])
                    count += 1
        finally:
            disk.capacity_bytes = None  # its keeper finds room
        self._tell(f"{count} objects of nothing, until the vault takes no more")

    def _try(self, act: Callable[[], object]) -> None:
        try:
            if act() is not False:
                self.taken += 1
        except SafeholdError:
            return
