"""Streams into a run object, each change verified as it leaves.

What comes in is an iterator of `RunInput`, in the order of runs: from a core (`core_inputs`), or from generations and
the log of a vault (archiver/merging.py). A change leaves when its hash is right, continues the one before, and its
body and properties are what their digests say; else Damaged is raised and nothing of the object counts.

Of a stream whose history up to a base is dropped, or to be dropped here, the revs up to the base that make up what
lived there leave, each proved by its own hash and all together by the state root; after it every rev.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from operator import itemgetter
from typing import NamedTuple

import msgspec

from safehold.archiver.live_state import LiveState
from safehold.archiver.run_frames import RunFrames
from safehold.formats.run import RunBase, RunStream
from safehold.model.change import CANONICAL_VERSION, GENESIS, props_digest
from safehold.model.errors import Damaged
from safehold.model.gaps import ghosts_in
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads, RunRow, RunSpan

NO_BASE = RunBase(0, 0, GENESIS, b"")

_encode = msgspec.msgpack.Encoder().encode
#: Of a canonical encoding: array of 16 and version before, prev (bin of 32) at the end.
_FIELDS_AT = 4
_PREV_BYTES = 34
#: Of an envelope: array of 19; `prev` empty; hash (bin of 32); no body, blob and properties.
_ENVELOPE = b"\xdc\x00\x13"
_NO_PREV = b"\xc4\x00"
_BIN32 = b"\xc4\x20"
_NOTHING = b"\xc0\xc0\xc0"
#: What an envelope has more than canonical encoding and rest: its own array and hash, at most.
_ENVELOPE_MORE = len(_ENVELOPE) - _FIELDS_AT + len(_BIN32) + 32
#: Of a row: rev, op, digest, prev, hash, body, blob, props.
_LOOKED_AT = itemgetter(1, 4, 8, 12, 13, 14, 15, 16)

_HINT = "keep the core as it is; `safehold recover plan` says what the vaults can give back"


class RunInput(NamedTuple):
    """A stream's part of a run, with all revs after `base.rev`.

    `base` is where the run before ended (a delta), where history begins that was dropped earlier (its root is not
    b""; then the rows up to its rev come first), or NO_BASE. `rows` may be called twice.
    """

    account: bytes
    kind: Kind
    base: RunBase
    rev: int  # of the stream's head; that of the last row, where nothing before it was dropped
    rows: Callable[[], Iterator[RunRow]]
    drop_upto_rev: int = 0  # revs up to it are reduced to what lives at it


class Written(NamedTuple):
    changes: int
    streams: list[RunStream]
    blobs: list[bytes]


def write_streams(frames: RunFrames, inputs: Iterable[RunInput], *, full: bool) -> Written:
    """All streams into one object, without its directory. Full runs carry state roots. Raises Damaged."""
    streams: list[RunStream] = []
    blobs: set[bytes] = set()
    total = 0
    for each in inputs:
        stream = _Stream(frames, each, blobs, full=full)
        streams.append(stream.write())
        total += streams[-1].changes
    return Written(total, streams, sorted(blobs))


class _Stream:
    def __init__(self, frames: RunFrames, given: RunInput, blobs: set[bytes], *, full: bool) -> None:
        self._frames = frames
        self._given = given
        self._blobs = blobs
        self._full = full

    def write(self) -> RunStream:
        given = self._given
        base = given.base
        keep: set[int] | None = None
        if given.drop_upto_rev > base.rev:
            base, keep = self._reduced()
        state = LiveState() if self._full else None
        count, rev, head = self._rows(base, keep, state)
        if rev < base.rev:
            rev, head = base.rev, base.head
        if rev != given.rev:
            raise self._damaged(given.rev, "is missing")
        root, items = state.root_and_items() if state is not None else (b"", 0)
        return RunStream(given.account, given.kind, base, rev, head, root, count, items, 0, 0)

    def _reduced(self) -> tuple[RunBase, set[int] | None]:
        """The base at the rev to drop to, and the revs before it that make up what lives there."""
        state = LiveState(keep=True)
        own = self._given.base
        proved = not own.root
        timeline, last, head = 0, 0, GENESIS
        records: list[tuple[int, frozenset[int]]] = []  # what says which bodies are gone
        for row in self._given.rows():
            if not proved and row[1] > own.rev:
                self._prove(own, state)
                proved = True
            if row[1] > self._given.drop_upto_rev:
                break
            _apply(state, row)
            if row[4] == "gap":
                records.append((row[1], ghosts_in(row[16])))
            timeline, last, head = row[0], row[1], row[13]
        if not last:
            return own, None
        keep = state.revs()
        keep |= {rev for rev, ghosts in records if ghosts & keep}
        return RunBase(timeline, last, head, state.root()), keep

    def _rows(self, base: RunBase, keep: set[int] | None, state: LiveState | None) -> tuple[int, int, bytes]:
        """Verify the rows and hand them on. (how many were handed on, last rev and its hash.)"""
        given = self._given
        account, kind = given.account, str(given.kind)
        frames, blobs = self._frames, self._blobs
        put_change = frames.put_change
        encode, digest_of, looked_at = _encode, sha256, _LOOKED_AT
        state_put = LiveState().put if state is None else state.put
        dropped_upto = base.rev if base.root else 0
        last_rev, last_hash = (0, GENESIS) if dropped_upto else (base.rev, base.head)
        told_rev = -1  # of the change before in the same INDEX frame
        bare: set[int] = set()  # revs without the body that their digest names, and those that are on record as such
        recorded: set[int] = set()
        count = 0
        proved = not dropped_upto
        for row in given.rows():
            rev, op, digest, prev, hash_, body, blob, props = looked_at(row)
            if not proved and rev > dropped_upto:
                self._prove(base, state)
                proved = True
                if keep is None:
                    last_rev, last_hash = base.rev, base.head
            if prev is None:
                if rev != last_rev + 1:
                    raise self._damaged(last_rev + 1, "is missing")
                prev = last_hash
            elif rev <= last_rev or (rev == last_rev + 1 and prev != last_hash):
                raise self._damaged(rev, "does not continue the one before")
            canonical = encode((CANONICAL_VERSION, account, kind, *row[:12], prev))
            if digest_of(canonical).digest() != hash_:
                raise self._damaged(rev, "does not match its hash")
            if body is not None and (len(body) != row[9] or digest_of(body).digest() != digest):
                raise self._damaged(rev, "has a body that does not match its digest")
            if props is not None and props_digest(props) != row[10]:
                raise self._damaged(rev, "has properties that do not match their digest")
            last_rev, last_hash = rev, hash_
            if keep is not None and rev <= dropped_upto and rev not in keep:
                continue
            if body is None and blob is None and digest:
                bare.add(rev)
            elif op == "gap":
                recorded |= ghosts_in(props)
            if state is not None:
                if op == "put":
                    state_put(rev, row[5], row[6], digest, row[10], props is not None)
                else:
                    state.other(op, rev, row[5], row[6], row[10])
            rest = _NOTHING
            if blob is not None or props is not None:
                if blob is not None:
                    blobs.add(blob)
                rest = b"\xc0" + encode(blob) + encode(props)
            size = len(canonical) + len(rest) + _ENVELOPE_MORE
            if not frames.room_for(size):
                frames.flush()
                told_rev = -1
            if not count:
                frames.begin_stream()
            fields = canonical[_FIELDS_AT:-_PREV_BYTES]
            told = _NO_PREV if told_rev == rev - 1 else canonical[-_PREV_BYTES:]
            put_change(b"".join((_ENVELOPE, fields, told, _BIN32, hash_, rest)), body)
            told_rev = rev
            count += 1
        if not proved:
            self._prove(base, state)
        if not bare <= recorded:
            raise self._damaged(min(bare - recorded), "lacks its body, and no recovery has put that on record")
        if not count:
            frames.empty_stream()
        return count, last_rev, last_hash

    def _prove(self, base: RunBase, state: LiveState | None) -> None:
        """That what was kept of the time before the base is what lived there."""
        if state is not None and state.root() != base.root:
            raise self._damaged(
                base.rev, "is a base, and what is kept of the time before does not match its state root"
            )

    def _damaged(self, rev: int, what: str) -> Damaged:
        where = f"{self._given.kind} of account {self._given.account.hex()}"
        return Damaged(f"{where}: rev {rev} {what}", where="core", hint=_HINT)


def _apply(state: LiveState, row: RunRow) -> None:
    if row[4] == "put":
        state.put(row[1], row[5], row[6], row[8], row[10], row[16] is not None)
    else:
        state.other(row[4], row[1], row[5], row[6], row[10])


def core_inputs(
    core: CoreReads, spans: Iterable[RunSpan], *, since: int, dropped: Iterable[RunSpan] = ()
) -> Iterator[RunInput]:
    """Streams of a core. `dropped`: spans up to the frame up to which history is to be dropped."""
    bases = core.bases()
    upto = {(span.account, span.kind): span.rev for span in dropped}
    for span in spans:
        own = bases.get((span.id, span.kind))
        base = NO_BASE if own is None else RunBase(own.timeline, own.rev, own.head, own.root)
        if since:
            base = _end_of_run_before(core, span)

        def rows(span: RunSpan = span) -> Iterator[RunRow]:
            return core.run_rows(span.account, span.kind, span.after_rev, span.rev)

        yield RunInput(span.id, span.kind, base, span.rev, rows, upto.get((span.account, span.kind), 0))


def _end_of_run_before(core: CoreReads, span: RunSpan) -> RunBase:
    """Where the run before a delta left a stream."""
    if not span.after_rev:
        return NO_BASE
    row = next(core.run_rows(span.account, span.kind, span.after_rev - 1, span.after_rev), None)
    if row is not None:
        return RunBase(row[0], row[1], row[13], b"")
    base = core.base(span.account, span.kind)
    if base is None or base.rev != span.after_rev:
        raise Damaged(
            f"{span.kind} of account {span.id.hex()}: rev {span.after_rev} is missing", where="core", hint=_HINT
        )
    return RunBase(base.timeline, base.rev, base.head, b"")
