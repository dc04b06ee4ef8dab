"""Makes tests/vectors/log: small logs, whole and broken, with what reading them must give.

    python -m tests.support.log_vectors

makes them anew. Encryption is not repeatable, so that every byte changes then: they are made anew only with a new
version of the format, beside the old ones. The keys are those of tests.support.logs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safehold.archiver.log import LogLimits
from safehold.formats import segment
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.segment import claim_object
from safehold.lab.simdisk import SimDisk
from safehold.model.stream import Head
from safehold.ports.log import LogFrame
from safehold.ports.vault import Vault, VaultFull
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from tests.support.logs import OPENER, QUIET, Writing, make_vault, objects

FOLDER = Path(__file__).parents[1] / "vectors" / "log"
Objects = dict[str, bytes]


def outcome(vaults: Sequence[Vault]) -> dict[str, Any]:
    """What reading these vaults gives, as JSON has it."""
    reader = VaultLogReader(vaults, OPENER)
    entries: list[dict[str, Any]] = []
    for entry in reader.entries():
        if isinstance(entry, LogFrame):
            kind = "seal" if entry.sealed else "claim" if entry.claim else "changes"
            entries.append(
                {
                    "frame": entry.position.frame,
                    "timeline": entry.position.timeline,
                    "type": kind,
                    "from": entry.source,
                    "changes": [change.hash.hex() for change in entry.changes],
                }
            )
        else:
            entries.append({"hole": [entry.first, entry.last]})
    end = reader.end()
    return {
        "entries": entries,
        "end": [end.timeline, end.frame, end.digest.hex()],
        "problems": reader.problems(),
    }


def whole() -> Objects:
    """Two timelines; the first in two segments."""
    vault = MemoryVault("near")
    first = Writing([vault], limits=LogLimits(2600, 1e9))
    first.write(3, each=2)
    first.log.close()
    second = Writing([vault], limits=QUIET, core=first.log.position, streams=first.streams)
    second.write(2)
    second.log.close()
    return vault.objects


def left_open() -> Objects:
    """One timeline whose writer was killed: no seal, no footer."""
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(3)
    return vault.objects


def given_up() -> Objects:
    """A write that did not fit: its frame, cut short, lies before the one that took its number."""
    disk = SimDisk()
    vault = make_vault(disk, "near")
    writing = Writing([vault])
    writing.write(1)
    disk.capacity_bytes = disk.used_bytes() + 300
    try:
        writing.write(1)
    except VaultFull:
        disk.capacity_bytes = None
    last = writing.acknowledged[-1]
    writing.streams.heads[last.account, last.kind] = Head(last.rev, last.hash)
    writing.write(1)
    writing.log.close()
    return objects(vault, "log/")


def forked() -> Objects:
    """Timeline 2 continues timeline 1 before its end."""
    vault = MemoryVault("near")
    first = Writing([vault])
    first.write(1)
    early = MemoryVault("near")
    early.objects = dict(vault.objects)
    core = first.log.position
    first.write(2)
    second = Writing([early], core=core)
    second.write(1)
    second.log.close()
    return {**early.objects, claim_object(1): vault.objects[claim_object(1)]}


def frames(data: bytes) -> list[RawFrame]:
    return [item for item in scan_frames(data, segment.HEADER_BYTES) if isinstance(item, RawFrame)]


def flipped(made: Objects, name: str, place: int) -> Objects:
    data = bytearray(made[name])
    data[place] ^= 0x20
    return {**made, name: bytes(data)}


def in_frame(made: Objects, index: int, place: Callable[[RawFrame], int]) -> Objects:
    """A byte flipped in a frame of the first segment; `place` within the frame."""
    name = claim_object(1)
    frame = frames(made[name])[index]
    return flipped(made, name, frame.offset + place(frame))


def cases() -> dict[str, dict[str, Objects]]:
    """By name of the case: by name of the vault, its objects."""
    good, open_ = whole(), left_open()
    first, last_of_open = claim_object(1), frames(open_[claim_object(1)])[-1]
    second_segment = sorted(good)[1]
    return {
        "whole": {"near": good},
        "left-open": {"near": open_},
        "header-flipped": {"near": in_frame(good, 1, lambda frame: 30)},
        "payload-flipped": {"near": in_frame(good, 1, lambda frame: len(frame.data) // 2)},
        "signature-flipped": {"near": in_frame(good, 1, lambda frame: len(frame.data) - 40)},
        "end-mark-flipped": {"near": in_frame(good, 1, lambda frame: len(frame.data) - 2)},
        "claim-flipped": {"near": flipped(good, claim_object(2), segment.HEADER_BYTES + 120)},
        "segment-header-flipped": {"near": flipped(good, first, 60)},
        "footer-flipped": {"near": flipped(good, first, len(good[first]) - 60)},
        "segment-missing": {"near": {name: data for name, data in good.items() if name != second_segment}},
        "cut-short": {"near": {first: open_[first][: last_of_open.offset + 200]}},
        "last-frame-flipped": {"near": flipped(open_, first, last_of_open.offset + 200)},
        "last-two-flipped": {"near": in_frame(flipped(open_, first, last_of_open.offset + 200), 2, lambda frame: 200)},
        "healed": {"near": in_frame(good, 1, lambda frame: 200), "far": good},
        "damaged-apart": {"near": in_frame(good, 1, lambda frame: 200), "far": in_frame(good, 2, lambda frame: 200)},
        "damaged-in-both": {"near": in_frame(good, 1, lambda frame: 200), "far": in_frame(good, 1, lambda frame: 90)},
        "write-given-up": {"near": given_up()},
        "forked": {"near": forked()},
    }


def load(case: Path) -> list[MemoryVault]:
    """The vaults of a case, near first."""
    vaults = []
    for place in sorted((p for p in case.iterdir() if p.is_dir()), reverse=True):
        vault = MemoryVault(place.name)
        vault.objects = {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*.seg")}
        vaults.append(vault)
    return vaults


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, vaults in cases().items():
        for vault, made in vaults.items():
            for object_, data in made.items():
                path = FOLDER / name / vault / object_
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        expected = outcome(load(FOLDER / name))
        (FOLDER / name / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
