"""Generations made by a small writer of their own, from changes in memory; independent of the product's writer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec

from safehold.formats import generation as manifests
from safehold.formats import run
from safehold.formats.frame import FrameHeader, FrameType, encode_frame
from safehold.formats.generation import Manifest, RunEntry
from safehold.formats.keys import Sealer
from safehold.formats.payload import Packer
from safehold.formats.run import Directory, FramePlace, Index, RunBase, RunName, RunStream
from safehold.formats.seal import SealedObject
from safehold.model.change import GENESIS, Change, Op
from safehold.model.kinds import Kind
from safehold.model.root import RootCollection, RootItem, state_root
from safehold.model.stream import Head
from safehold.ports.core import LogPosition
from safehold.ports.vault import Vault
from safehold.vault.runs import StreamKey, stream_order

Framed = tuple[int, Change]  # (frame of the log, change)


def live_changes(changes: Sequence[Change]) -> list[Change]:
    """Of a stream's changes those that represent what lives at their end, in rev order: see formats/run.py on bases."""
    kept: dict[bytes, dict[tuple[str, str], Change]] = {}
    for change in changes:
        there = kept.get(change.collection)
        if change.op is Op.MKCOL:
            kept[change.collection] = {("", "made"): change}
        elif there is None:
            continue
        elif change.op is Op.SETCOL:
            there["", "set"] = change
        elif change.op is Op.RMCOL:
            del kept[change.collection]
        elif change.op is Op.DELETE:
            there.pop((change.name, "body"), None)
            there.pop((change.name, "props"), None)
        elif change.op is Op.PUT:
            there[change.name, "body"] = change
            if change.props is not None:
                there[change.name, "props"] = change
        elif change.op is Op.PROPS and (change.name, "body") in there:
            there[change.name, "props"] = change
    found = {change.rev: change for there in kept.values() for change in there.values()}
    return [found[rev] for rev in sorted(found)]


def root_of(changes: Sequence[Change]) -> bytes:
    """The state root after these changes, from their names and digests in full."""
    collections: dict[bytes, tuple[str, bytes, dict[str, tuple[bytes, bytes]]]] = {}
    for change in changes:
        id_ = change.collection
        if change.op is Op.MKCOL:
            collections[id_] = (change.name, change.props_digest, {})
        elif id_ not in collections:
            continue
        elif change.op is Op.SETCOL:
            collections[id_] = (collections[id_][0], change.props_digest, collections[id_][2])
        elif change.op is Op.RMCOL:
            del collections[id_]
        elif change.op is Op.PUT:
            collections[id_][2][change.name] = (change.digest, change.props_digest)
        elif change.op is Op.PROPS and change.name in collections[id_][2]:
            collections[id_][2][change.name] = (collections[id_][2][change.name][0], change.props_digest)
        elif change.op is Op.DELETE:
            collections[id_][2].pop(change.name, None)
    return state_root(
        RootCollection(
            id_,
            path.encode(),
            props,
            sorted(RootItem(name.encode(), digest, item_props) for name, (digest, item_props) in items.items()),
        )
        for id_, (path, props, items) in sorted(collections.items())
    )


class RunBuilder:
    """Writes one run object; frames are as small as told, so that streams span several."""

    def __init__(self, name: RunName, timeline: int, sealer: Sealer, index_changes: int, bodies_bytes: int) -> None:
        self.header = run.run_header(timeline, name, sealer)
        self._sign = sealer.writer.sign
        self._packer = Packer(sealer)
        self._prev = run.object_digest(self.header)
        self._data = [run.encode_run_header(self.header)]
        self._offset = run.HEADER_BYTES
        self.places: list[FramePlace] = []
        self._index_changes, self._bodies_bytes = index_changes, bodies_bytes

    def frame(self, type_: FrameType, value: object, changes: int = 0) -> int:
        number = len(self.places)
        header = FrameHeader(type_, self.header.timeline, 0, 0, number, 0, changes, 0, self._prev)
        data = encode_frame(header, self._packer.pack(value), self._sign)
        self.places.append(FramePlace(self._offset, len(data), sha256(data).digest()))
        self._data.append(data)
        self._offset += len(data)
        return number

    def streams(self, streams: Sequence[tuple[RunStream, Sequence[Change]]]) -> list[RunStream]:
        """INDEX and BODIES frames of these streams; the streams, with their places filled in."""
        done: list[RunStream] = []
        changes: list[Change] = []
        bodies: list[bytes] = []
        waiting: list[tuple[int, int]] = []  # place in the index, place in the bodies
        pointers: list[int] = []
        started: list[tuple[int, int]] = []  # stream, place

        def put_bodies() -> None:
            number = self.frame(FrameType.BODIES, list(bodies)) if bodies else 0
            for at, place in waiting:
                pointers[at] = run.body_pointer(number, place)
            bodies.clear()
            waiting.clear()

        def put_index() -> None:
            put_bodies()
            if not changes:
                return
            number = self.frame(FrameType.INDEX, Index(list(changes), list(pointers)), len(changes))
            for stream, place in started:
                done[stream] = msgspec.structs.replace(done[stream], index=number, place=place)
            changes.clear()
            pointers.clear()
            started.clear()

        for stream, of_stream in streams:
            done.append(stream)
            started.append((len(done) - 1, len(changes)))
            before: Change | None = None
            for change in of_stream:
                follows = before is not None and change.prev == before.hash and changes
                bare = msgspec.structs.replace(change, body=None, prev=b"" if follows else change.prev)
                changes.append(bare)
                pointers.append(run.NO_BODY)
                if change.body is not None:
                    waiting.append((len(changes) - 1, len(bodies)))
                    bodies.append(change.body)
                    if sum(map(len, bodies)) >= self._bodies_bytes:
                        put_bodies()
                before = change
                if len(changes) >= self._index_changes:
                    put_index()
                    if change is not of_stream[-1]:
                        before = None
            if not of_stream:
                started.pop()
        put_index()
        return done

    def finish(self, directory: Directory) -> bytes:
        places = list(self.places)
        self.frame(FrameType.DIRECTORY, msgspec.structs.replace(directory, frames=places))
        return b"".join((*self._data, run.encode_run_footer(self.header)))


class Generations:
    """Makes generations in vaults from a growing history of (frame, change)."""

    def __init__(self, vaults: Sequence[Vault], sealer: Sealer, *, index_changes: int = 7, bodies: int = 600) -> None:
        self.vaults = list(vaults)
        self._sealer = sealer
        self._index_changes, self._bodies = index_changes, bodies
        self._previous: tuple[int, bytes] = (0, b"")

    def make(
        self,
        history: Iterable[Framed],
        position: LogPosition,
        *,
        since: Sequence[int] = (0,),
        parts: int = 2,
        dropped_upto: int = 0,
        older: Sequence[RunEntry] = (),
        at: int = 0,
        number: int = 0,
    ) -> Manifest:
        """A generation at `position`: `older` runs, and new ones after each of `since` (0 for full ones) up to it.

        `history` may hold what is later; it is left out. Full ones drop what was superseded up to `dropped_upto`.
        """
        upto = position.frame
        entries = list(older)
        limits = [*since[1:], upto]
        for after, until in zip(since, limits, strict=True):
            chosen = [(f, c) for f, c in history if f <= until]
            for part in range(parts):
                first, last = 64 * part // parts, 64 * (part + 1) // parts - 1
                name = RunName(upto, number)
                number += 1
                entries.append(self._run(name, position, chosen, after, until, first, last, dropped_upto))
        manifest = Manifest(
            manifests.VERSION,
            tuple(position),
            at,
            self._previous,
            dropped_upto,
            entries,
            len({(c.account, c.kind) for f, c in history if f <= upto}),
            sum(e.changes for e in entries),
            {},
        )
        self._put_manifest(manifest, position)
        return manifest

    def _put_manifest(self, manifest: Manifest, position: LogPosition) -> None:
        header = run.run_header(position.timeline, RunName(position.frame, 0), self._sealer)
        raw = manifests.encode_manifest_header(header)
        frame_header = FrameHeader(
            FrameType.GENERATION, position.timeline, 0, 0, 0, manifest.at, 0, 0, sha256(raw).digest()
        )
        frame = encode_frame(frame_header, Packer(self._sealer).pack(manifest), self._sealer.writer.sign)
        self._put(manifests.manifest_object(position.frame), raw + frame + manifests.encode_manifest_footer(header))
        self._previous = position.frame, sha256(frame).digest()

    def _run(
        self,
        name: RunName,
        position: LogPosition,
        history: Sequence[Framed],
        since: int,
        upto: int,
        first: int,
        last: int,
        dropped_upto: int,
    ) -> RunEntry:
        streams: dict[StreamKey, list[Framed]] = {}
        for frame, change in history:
            if first <= run.partition_of(change.account) <= last:
                streams.setdefault((change.account, change.kind), []).append((frame, change))
        builder = RunBuilder(name, position.timeline, self._sealer, self._index_changes, self._bodies)
        made = []
        for key in sorted(streams, key=stream_order):
            framed = streams[key]
            before = [c for f, c in framed if f <= since]
            base = Head(before[-1].rev, before[-1].hash) if before else Head(0, GENESIS)
            base_timeline = before[-1].timeline if before else 0
            chosen = [c for f, c in framed if f > since]
            root = b""
            base_root = b""
            if since == 0:
                root = root_of(chosen)
                dropped = [c for f, c in framed if f <= dropped_upto]
                if dropped:
                    base = Head(dropped[-1].rev, dropped[-1].hash)
                    base_timeline, base_root = dropped[-1].timeline, root_of(dropped)
                    chosen = [*live_changes(dropped), *(c for f, c in framed if f > dropped_upto)]
            if not chosen and (since or base.rev == 0):
                continue
            end = framed[-1][1]
            stream = RunStream(
                *key,
                RunBase(base_timeline, base.rev, base.hash, base_root),
                end.rev,
                end.hash,
                root,
                len(chosen),
                0,
                0,
                0,
            )
            made.append((stream, chosen))
        placed = builder.streams(made)
        blobs = sorted({c.blob for _, chosen in made for c in chosen if c.blob is not None})
        directory = Directory(run.VERSION, name.generation, name.number, since, first, last, [], placed, blobs)
        data = builder.finish(directory)
        self._put(str(name), data)
        sealed = SealedObject(str(name), len(data), sha256(data).digest())
        return RunEntry(sealed, since, upto, first, last, sum(len(chosen) for _, chosen in made))

    def _put(self, name: str, data: bytes) -> None:
        for vault in self.vaults:
            vault.put(name, (data,))


def framed(frames: Iterable[object]) -> list[Framed]:
    """(frame, change) of all frames of a log."""
    return [
        (frame.position.frame, change)  # type: ignore[attr-defined]
        for frame in frames
        for change in getattr(frame, "changes", ())
    ]


__all__ = ["Framed", "Generations", "Kind", "framed", "live_changes", "root_of"]
