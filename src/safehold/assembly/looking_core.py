"""What is seen of the core and of what arrives in it: chains of its streams, and changes by kind and account.

The chains are walked all the time at a small pace: streams that were just written first, then all in turn, of each
the newest changes. Each change is hashed anew and must follow the one before; the last must be the stream's head.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

from safehold.model.change import GENESIS, Change, Op
from safehold.model.errors import Damaged
from safehold.model.kinds import Kind
from safehold.model.stream import BadChange, ChainError, check_self
from safehold.ports.core import CoreReads, RunRow

#: Of one look: streams that were just written, streams in turn, and changes of each, at most.
WRITTEN, IN_TURN, CHANGES = 20, 5, 100
#: Streams whose chain is broken, and those that wait to be looked at, at most.
MOST_BROKEN, MOST_WAITING = 100, 10_000

Stream = tuple[bytes, Kind]


class Heard:
    """What was committed, until it is asked for. `committed` is called by the writer, `take` by whoever looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: Counter[str] = Counter()
        self._accounts: Counter[bytes] = Counter()
        self._streams: dict[Stream, None] = {}

    def committed(self, changes: Sequence[Change]) -> None:
        with self._lock:
            for change in changes:
                if change.kind is not Kind.IDENTITY:
                    self._kinds[str(change.kind)] += 1
                    self._accounts[change.account] += 1
                if len(self._streams) < MOST_WAITING:
                    self._streams[change.account, change.kind] = None

    def take(self) -> tuple[dict[str, int], dict[bytes, int], list[Stream]]:
        """Changes by kind and by account, and the streams that they are of, since the last time."""
        with self._lock:
            found = dict(self._kinds), dict(self._accounts), list(self._streams)
            self._kinds, self._accounts, self._streams = Counter(), Counter(), {}
        return found


class ChainWalk:
    """Used by one thread, with a connection of its own."""

    def __init__(self) -> None:
        self._waiting: dict[Stream, None] = {}
        self._turn: Iterator[Stream] = iter(())
        self._broken: dict[Stream, tuple[str, str]] = {}

    def walk(self, reads: CoreReads, written: Sequence[Stream]) -> dict[str, str]:
        """A piece; the streams that are found broken, as a person names them, and why."""
        self._waiting.update(dict.fromkeys(written))
        chosen = dict.fromkeys(list(self._waiting)[:WRITTEN])
        for stream in chosen:
            del self._waiting[stream]
        chosen.update(dict.fromkeys(self._broken))  # until it is whole again
        chosen.update(dict.fromkeys(self._in_turn(reads)))
        for stream in chosen:
            name, why = look_at_chain(reads, *stream)
            self._broken.pop(stream, None)
            if why and len(self._broken) < MOST_BROKEN:
                self._broken[stream] = name, why
        return dict(self._broken.values())

    def _in_turn(self, reads: CoreReads) -> Iterator[Stream]:
        for _ in range(IN_TURN):
            stream = next(self._turn, None)
            if stream is None:
                self._turn = iter(sorted(reads.stream_ends(), key=lambda key: (key[0], key[1].value)))
                return
            yield stream


def look_at_chain(reads: CoreReads, id_: bytes, kind: Kind, most: int = CHANGES) -> tuple[str, str]:
    """The newest changes of a stream: its name for people, and why they do not chain ("" where they do)."""
    account = reads.account_by_id(id_)
    name = f"{kind} of {id_.hex()[:8] if account is None or not account.name else account.name}"
    if account is None:
        return name, ""  # erased meanwhile
    try:
        with reads.snapshot() as core:
            if core.held(account.number, kind) is not None:
                return name, ""
            return name, _broken(core, account.number, id_, kind, most)
    except Damaged as error:
        return name, error.message


def _broken(core: CoreReads, account: int, id_: bytes, kind: Kind, most: int) -> str:
    head, base = core.head(account, kind), core.base(account, kind)
    begin = max(base.rev if base is not None else 0, head.rev - most)
    before = core.hash_at(account, kind, begin) if begin else GENESIS
    rev = begin
    for row in core.run_rows(account, kind, begin, head.rev):
        change = _envelope(id_, kind, row, before)
        if change.rev != rev + 1 and row[12] is None:
            return f"rev {change.rev} follows rev {rev}"
        if row[12] is None and before is None:
            rev, before = change.rev, change.hash  # what it continues is not here
            continue
        try:
            check_self(change)
        except (BadChange, ChainError) as error:
            return str(error)
        rev, before = change.rev, change.hash
    if head.rev and rev == head.rev and before is not None and before != head.hash:
        return f"the head at rev {head.rev} is another than the last change"
    if rev != head.rev:
        return f"the changes end at rev {rev}, the head is at rev {head.rev}"
    return ""


def _envelope(id_: bytes, kind: Kind, row: RunRow, before: bytes | None) -> Change:
    timeline, rev, group, at, op, collection, name, media, digest, size, props, actor, prev, hash_, *_ = row
    fields = (timeline, rev, group, at, Op(op), collection, name, media, digest, size, props, actor)
    return Change(id_, kind, *fields, prev if prev is not None else before or b"", hash_)
