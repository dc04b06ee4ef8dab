"""The changes of a History in real vaults: encrypted, signed and sealed by the archiver's log, in memory.

`near` is the sync vault, `far` its byte-for-byte copy. Damage is done to the objects themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from safehold.archiver.claiming import claim_timeline
from safehold.archiver.log import Log, LogLimits, LogVault, Mode
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.segment import HEADER_BYTES
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SeededEntropy, SimClock
from safehold.model.change import Change
from safehold.ports.core import EMPTY_LOG
from safehold.vault.keyring import Keyring, ensure_keyring
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from tests.support.recovery_fakes import History


class Vaults:
    """Near and far, holding `history` in frames of `group` changes, sealed every `seal` frames and at the end."""

    def __init__(self, history: History, *, group: int = 1, seal: int = 25, segment_bytes: int = 8 * 1024) -> None:
        self.history = history
        self.keyring = keyring("ours")
        self.near = MemoryVault("near")
        self.far = MemoryVault("far")
        self.clock = SimClock(history.at)
        log = Log.claim(
            [LogVault(self.near, Mode.SYNC)],
            self.keyring.sealer,
            self.keyring.opener,
            self.clock,
            EMPTY_LOG,
            LogLimits(segment_bytes, 1e9),
        )
        assert not list(log.tail())
        log.start()
        changes = history.changes
        for number, start in enumerate(range(0, len(changes), group), 1):
            self.clock.advance(1)
            log.write(log.prepare(changes[start : start + group]))
            if number % seal == 0:
                log.seal()
        log.seal()
        self.end = log.position
        log.close()
        self.far.objects = dict(self.near.objects)

    def reader(self, *vaults: MemoryVault) -> VaultLogReader:
        return VaultLogReader(list(vaults) or [self.near, self.far], self.keyring.opener)

    def claim(self, *vaults: MemoryVault) -> int:
        """The next timeline, in each of these."""
        modes = [LogVault(vault, Mode.ASYNC if n else Mode.SYNC) for n, vault in enumerate(vaults)]
        return claim_timeline(modes, self.keyring.sealer, self.keyring.opener, EMPTY_LOG).timeline

    def fork(self, frame: int, changes: Sequence[Change]) -> None:
        """Whoever had this vault's log up to a frame went on from there; what came of that is now here as well."""
        behind = MemoryVault("behind")
        for name in self.segments():
            data = self.near.objects[name]
            frames = [f for f in scan_frames(data, HEADER_BYTES) if isinstance(f, RawFrame)]
            kept = [f for f in frames if f.header.number <= frame]
            if kept and len(kept) < len(frames):
                data = data[: kept[-1].offset + len(kept[-1].data)]
            if kept or not frames:
                behind.objects[name] = data
        log = Log.claim(
            [LogVault(behind, Mode.SYNC)],
            self.keyring.sealer,
            self.keyring.opener,
            self.clock,
            EMPTY_LOG,
            LogLimits(8 * 1024, 1e9),
        )
        list(log.tail())
        log.start()
        for change in changes:
            log.write(log.prepare([change]))
        log.seal()
        log.close()
        self.near.objects |= {n: d for n, d in behind.objects.items() if n.startswith("log/00000002/")}

    def segments(self) -> list[str]:
        return sorted(name for name in self.near.objects if name.startswith("log/"))

    def holds(self, change: Change) -> tuple[str, RawFrame]:
        """The object and frame that hold a change, by the number of its frame."""
        for entry in self.reader().entries():
            if change in getattr(entry, "changes", ()):
                number = getattr(entry, "position").frame  # noqa: B009
                for name in self.segments():
                    for frame in scan_frames(self.near.objects[name], HEADER_BYTES):
                        if isinstance(frame, RawFrame) and frame.header.number == number:
                            return name, frame
        raise AssertionError("no frame holds this change")

    def spoil(self, change: Change, *vaults: MemoryVault) -> None:
        """Flip a bit in the frame of a change, in each of these vaults."""
        name, frame = self.holds(change)
        for vault in vaults:
            data = bytearray(vault.objects[name])
            data[frame.offset + len(frame.data) // 2] ^= 0x10
            vault.objects[name] = bytes(data)

    def cut(self, vault: MemoryVault, byte_count: int) -> None:
        """Take bytes off the end of the last segment."""
        name = self.segments()[-1]
        vault.objects[name] = vault.objects[name][:-byte_count]


def keyring(seed: str) -> Keyring:
    return ensure_keyring(SimDisk(), "/keys", SeededEntropy(seed))
