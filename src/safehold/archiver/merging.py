"""Runs from runs: the streams of a generation and the log after it, as input for the writer of runs.

So a keeper, who has the vault and no core, writes a generation of its own: `MergingWorkers` in the place of those that
read a core, and `GenerationWriter.write_full`. Everything is verified again as it leaves, as from a core; what a vault
has lost raises Damaged, since a generation that lacked it would pass for whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from safehold.archiver.generations import RunJob, account_ids, run_of
from safehold.archiver.run_writer import NO_BASE, RunInput
from safehold.formats.generation import RunEntry
from safehold.formats.keys import Sealer
from safehold.formats.run import PARTITIONS, partition_of
from safehold.model.change import Change
from safehold.model.counting import count_text
from safehold.model.errors import Damaged
from safehold.ports.core import RunRow
from safehold.ports.disk import Disk
from safehold.vault.runs import GenerationReader, StreamEntry, StreamKey, stream_order

#: By stream, what the log holds after a generation: (frame, change) in rev order.
Tail = Mapping[StreamKey, Sequence[tuple[int, Change]]]


def merge_source(
    entries: Sequence[StreamEntry], reader: GenerationReader | None, tail: Tail, *, upto: int, dropped_upto: int = 0
) -> Iterator[RunInput]:
    """Streams in the order of runs: those of the generation of `reader`, and what `tail` adds up to frame `upto`.

    `entries` are the streams wanted, with those of the generation that `tail` adds to; streams that `tail` alone has
    come in their place. Of what lies in runs that end, and frames that lie, at or before `dropped_upto` only what lives
    is kept.
    """
    known = {entry.key: entry for entry in entries}
    for key in sorted({*known, *tail}, key=stream_order):
        entry = known.get(key)
        came = [(frame, change) for frame, change in tail.get(key, ()) if frame <= upto]
        if entry is None and not came:
            continue
        base = NO_BASE if entry is None else entry.base
        rev = came[-1][1].rev if came else 0 if entry is None else entry.head.rev
        drop = _droppable(entry, came, dropped_upto) if dropped_upto else 0

        def rows(entry: StreamEntry | None = entry, came: Sequence[tuple[int, Change]] = came) -> Iterator[RunRow]:
            if entry is not None and reader is not None:
                yield from _rows_of(reader, entry)
            yield from (_row(change) for _, change in came)

        yield RunInput(*key, base, rev, rows, drop)


def _droppable(entry: StreamEntry | None, came: Sequence[tuple[int, Change]], dropped_upto: int) -> int:
    """The last rev that is known to lie in a frame not after this."""
    parts = () if entry is None else entry.parts
    return max(
        (
            *(part.stream.rev for part in parts if part.object.entry.upto <= dropped_upto),
            *(change.rev for frame, change in came if frame <= dropped_upto),
        ),
        default=0,
    )


def _rows_of(reader: GenerationReader, entry: StreamEntry) -> Iterator[RunRow]:
    count = 0
    for _, change in reader.changes_of(entry):
        count += 1
        yield _row(change)
    if count != entry.changes:
        raise _lost(entry.key, f"{count_text(entry.changes - count, 'change')} of it cannot be read")


def _row(change: Change) -> RunRow:
    return (
        change.timeline,
        change.rev,
        change.group,
        change.at,
        str(change.op),
        change.collection,
        change.name,
        change.media,
        change.digest,
        change.size,
        change.props_digest,
        change.actor,
        change.prev,
        change.hash,
        change.body,
        change.blob,
        change.props,
    )


def _lost(key: StreamKey, what: str) -> Damaged:
    return Damaged(f"{key[1]} of account {key[0].hex()}: {what}", where="vault", hint="run `safehold vault repair`")


class MergingWorkers:
    """Workers that read a generation and the log after it. `reader` None: the log is here from its beginning."""

    def __init__(self, reader: GenerationReader | None, tail: Tail, disk: Disk, sealer: Sealer) -> None:
        self._reader = reader
        self._tail = tail
        self._disk = disk
        self._sealer = sealer

    def changes(self) -> list[int]:
        """How many there are in each partition, about; for `GenerationWriter.write_full`."""
        counts = [0] * PARTITIONS
        for entry in self._reader.streams() if self._reader is not None else ():
            counts[partition_of(entry.account)] += entry.changes
        for account, kind in self._tail:
            counts[partition_of(account)] += len(self._tail[account, kind])
        return counts

    def run(self, jobs: Sequence[RunJob]) -> Iterator[RunEntry]:
        for job in jobs:
            first, last = account_ids(job.planned.first_partition, job.planned.last_partition)
            entries = [e for e in self._reader.streams() if first <= e.account <= last] if self._reader else []
            tail = {key: came for key, came in self._tail.items() if first <= key[0] <= last}
            inputs = merge_source(entries, self._reader, tail, upto=job.generation, dropped_upto=job.dropped_upto)
            yield run_of(inputs, self._disk, self._sealer, job)
