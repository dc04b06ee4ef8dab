"""Cores and images among the sources: what the scan of pages (core_pages.py) needs to know from the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from safehold.model.kinds import Kind
from safehold.ports.disk import Disk
from safehold.ports.survivors import Proof, StreamKey, Survivors
from safehold.recovery.report import Progress
from safehold.salvage.core_pages import CoreFound, CoreSource, scan_core
from safehold.salvage.core_proofs import Known
from safehold.salvage.ear import Ear
from safehold.salvage.reading import FoundFile

_LOG = "-wal"


class Heads:
    """Hashes that a stream is known to have had, by vaults, seals and tokens. One stream is remembered at a time."""

    def __init__(self, survivors: Survivors) -> None:
        self._survivors = survivors
        self._key: StreamKey | None = None
        self._hashes: dict[int, list[bytes]] = {}

    def __call__(self, account: bytes, kind: Kind, rev: int) -> Sequence[bytes]:
        if self._key != (account, kind):
            self._key = account, kind
            self._hashes = self._read((account, kind))
        return self._hashes.get(rev, ())

    def _read(self, key: StreamKey) -> dict[int, list[bytes]]:
        found: defaultdict[int, dict[bytes, None]] = defaultdict(dict)
        for survivor in self._survivors.changes(key, Proof.CHAIN):
            change = survivor.change
            found[change.rev][change.hash] = None
            found[change.rev - 1][change.prev] = None
        for witnessed in self._survivors.witnesses(key):
            if len(witnessed.head.hash) == 32:  # a token has half of one
                found[witnessed.head.rev][witnessed.head.hash] = None
        return {rev: list(hashes) for rev, hashes in found.items()}


def known_of(ear: Ear, survivors: Survivors) -> Known:
    """What has been heard so far."""
    collections: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for id_, place in ear.collections.items():
        collections[place.account].add(id_)
    by_account = {account: frozenset(ids) for account, ids in collections.items()}
    return Known(frozenset(ear.accounts), by_account, Heads(survivors))


def scan_core_files(
    files: Sequence[FoundFile], ear: Ear, survivors: Survivors, disk: Disk, progress: Progress, scratch: str
) -> CoreFound:
    """A core and the log beside it, either of which may be missing. Raises OperatorError, OutOfSpace."""
    main = next((found.path for found in files if not found.path.endswith(_LOG)), "")
    log = next((found.path for found in files if found.path.endswith(_LOG)), "")
    return scan_core(
        [CoreSource(disk, main, log)],
        ear,
        known=known_of(ear, survivors),
        progress=lambda done, total: progress("cores", done, total, "bytes"),
        scratch=scratch,
    )


def scan_image(
    found: FoundFile, number: int, ear: Ear, survivors: Survivors, disk: Disk, progress: Progress, scratch: str
) -> CoreFound:
    """A file that nobody knows, searched for a core. Where there is none in it, nothing is said of it."""
    with ear.within(number) as problems:
        result = scan_core(
            [CoreSource(disk, found.path)],
            ear,
            known=known_of(ear, survivors),
            progress=lambda done, total: progress("images", done, total, "bytes"),
            scratch=scratch,
        )
    for words in problems if any(result) else ():
        ear.problem(number, f"{found.name}: {words}")
    return result
