"""Makes tests/vectors/runs: small vaults with a generation, whole and broken, with what reading them must give.

    python -m tests.support.run_vectors

makes those that are missing; one that is there is never made again (tests/vectors/README.md). The runs are written by
tests.support.runs, which shares no code with the product's writer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.generation import manifest_object
from safehold.formats.run import HEADER_BYTES
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.ports.vault import Vault
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs
from tests.support.changes import Streams, account_id
from tests.support.logs import OPENER, SEALER
from tests.support.runs import Framed, Generations

FOLDER = Path(__file__).parents[1] / "vectors" / "runs"
ADA, BOB = account_id(1), account_id(2)
Objects = dict[str, bytes]


def history() -> list[Framed]:
    """Two accounts, 30 frames: items made, replaced, deleted, with properties."""
    streams = Streams()
    made = [
        streams.mkcol(ADA, Kind.CONTACTS, "contacts/default"),
        streams.mkcol(BOB, Kind.CONTACTS, "contacts/default"),
    ]
    for i in range(20):
        account = ADA if i % 3 else BOB
        made.append(streams.put_card(account, "contacts/default", f"{i % 9}.vcf", text=f"Ann {i}"))
    made.append(streams.delete(ADA, Kind.CONTACTS, "contacts/default", "5.vcf"))
    made += [streams.put_card(ADA, "contacts/default", f"late-{i}.vcf") for i in range(7)]
    return list(enumerate(made, 1))


def position(frame: int) -> LogPosition:
    return LogPosition(1, frame, frame.to_bytes(32, "big"))


def generation(*, delta: bool = False, dropped_upto: int = 0) -> Objects:
    vault = MemoryVault("near")
    making = Generations([vault], SEALER, index_changes=4, bodies=200)
    events = history()
    if delta:
        first = making.make(events, position(20), parts=1)
        making.make(events, position(30), since=(20,), parts=1, older=first.runs)
    else:
        making.make(events, position(30), parts=1, dropped_upto=dropped_upto)
    return vault.objects


def outcome(vaults: Sequence[Vault]) -> dict[str, Any]:
    """Which generations there are, what the newest gives, and whether anything was told to be wrong."""
    runs = Runs(vaults, OPENER)
    generations = list(runs.generations())
    streams: list[dict[str, Any]] = []
    if generations:
        for entry, changes in runs.reader(generations[0]).changes():
            given = [[c.rev, c.hash.hex(), c.body is not None or not c.digest] for c in changes]
            streams.append(
                {
                    "account": entry.account.hex(),
                    "kind": str(entry.kind),
                    "base": [entry.base.rev, entry.base.head.hex(), entry.base.root.hex()],
                    "head": [entry.head.rev, entry.head.hash.hex()],
                    "changes": given,
                }
            )
    return {"generations": [g.number for g in generations], "streams": streams, "told": bool(runs.problems())}


def frames(data: bytes) -> list[RawFrame]:
    return [item for item in scan_frames(data, HEADER_BYTES, len(data) - HEADER_BYTES) if isinstance(item, RawFrame)]


def flipped(made: Objects, name: str, place: int) -> Objects:
    data = bytearray(made[name])
    data[place] ^= 0x20
    return {**made, name: bytes(data)}


def in_frame(made: Objects, name: str, type_: FrameType, nth: int = 0) -> Objects:
    """A byte flipped in the payload of a frame of this type."""
    frame = [frame for frame in frames(made[name]) if frame.header.type is type_][nth]
    return flipped(made, name, frame.offset + len(frame.data) // 2)


def swapped(made: Objects, name: str, other: bytes) -> Objects:
    """The first INDEX frame replaced by that of another object, which is as well signed."""
    data = made[name]
    mine, theirs = (next(f for f in frames(d) if f.header.type is FrameType.INDEX) for d in (data, other))
    return {**made, name: data[: mine.offset] + theirs.data + data[mine.offset + len(mine.data) :]}


def without(made: Objects, name: str) -> Objects:
    return {other: data for other, data in made.items() if other != name}


def cases() -> dict[str, dict[str, Objects]]:
    """By name of the case: by name of the vault, its objects."""
    good, newer, based = generation(), generation(delta=True), generation(dropped_upto=12)
    run, manifest = "runs/000000000030/000.run", manifest_object(30)
    old_run = "runs/000000000020/000.run"
    return {
        "whole": {"near": good},
        "delta": {"near": newer},
        "base": {"near": based},
        "index-flipped": {"near": in_frame(good, run, FrameType.INDEX, 1)},
        "bodies-flipped": {"near": in_frame(good, run, FrameType.BODIES, 1)},
        "directory-flipped": {"near": in_frame(good, run, FrameType.DIRECTORY)},
        "header-flipped": {"near": flipped(good, run, 60)},
        "footer-flipped": {"near": flipped(good, run, len(good[run]) - 60)},
        "cut-short": {"near": {**good, run: good[run][: len(good[run]) // 2]}},
        "frame-of-another-object": {"near": swapped(good, run, newer[old_run])},
        "run-missing": {"near": without(good, run)},
        "manifest-missing": {"near": without(good, manifest)},
        "manifest-flipped": {"near": in_frame(newer, manifest, FrameType.GENERATION)},
        "delta-missing": {"near": without(newer, run)},
        "older-run-missing": {"near": without(newer, old_run)},
        "base-index-flipped": {"near": in_frame(based, run, FrameType.INDEX)},
        "healed": {"near": in_frame(good, run, FrameType.INDEX), "far": good},
        "damaged-apart": {"near": in_frame(good, run, FrameType.INDEX), "far": in_frame(good, run, FrameType.INDEX, 1)},
    }


def load(case: Path) -> list[MemoryVault]:
    """The vaults of a case, near first."""
    vaults = []
    for place in sorted((p for p in case.iterdir() if p.is_dir()), reverse=True):
        vault = MemoryVault(place.name)
        vault.objects = {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}
        vaults.append(vault)
    return vaults


def main() -> None:
    for name, vaults in cases().items():
        folder = FOLDER / name
        if folder.exists():
            continue
        for vault, made in vaults.items():
            for object_, data in made.items():
                path = folder / vault / object_
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        (folder / "expected.json").write_text(json.dumps(outcome(load(folder)), indent=1) + "\n")


if __name__ == "__main__":
    main()
