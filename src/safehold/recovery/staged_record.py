"""What a recovery while serving keeps on record in the core that it fills: a start after a kill goes on with it.

The record says where it began and up to where it read, and counts what has entered so far; it is written in the
transaction of each step. Beside it lies a note for each stream that is not whole, with its loss by name. Which streams
are still to come the core itself says: they are held with NOT_YET.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safehold.model.errors import OperatorError
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.recovery.report import KindCount, Loss, Report, Stage, StreamCount
from safehold.recovery.tally import BlobLoss, Tally, Unsure

VERSION = 1


class Doubt(msgspec.Struct, array_like=True):
    """A stream that is not whole. `nothing`: nothing of it is there."""

    account: bytes
    kind: Kind
    words: str
    lost: list[Loss]
    problems: list[str]
    nothing: bool
    unsure: Unsure
    count: StreamCount | None  # None where all that is expected of it is exact


class Record(msgspec.Struct):
    """`end` is up to where the log was read; times in µs; `aside` is the folder of the core that was there."""

    timeline: int
    generation: int
    older: int
    end: tuple[int, int, bytes]
    began_at: int
    aside: str
    unknown_seconds: float
    complete: bool  # whether nothing can be missing that no source names
    accounts: int
    version: int = VERSION
    streams: int = 0
    expected: int = 0
    recovered: int = 0
    refused: int = 0
    items: dict[Kind, KindCount] = {}
    seconds: dict[Kind, float] = {}

    def add(self, tally: Tally, refused: int) -> None:
        """A stream has entered."""
        self.streams += tally.streams
        self.expected += tally.changes_expected
        self.recovered += tally.changes_recovered
        self.refused += refused
        for kind, count in tally.items.items():
            mine = self.items.setdefault(kind, KindCount())
            mine.expected += count.expected
            mine.exact += count.exact
            mine.older += count.older
            mine.lost += count.lost

    def lose_bodies(self, stream: StreamCount, losses: Sequence[BlobLoss], unsure: Unsure) -> StreamCount:
        """Bodies of live items of one stream, which entered, are in no vault: how it is to be counted then."""
        older = sum(loss.older for loss in losses)
        maybe = unsure.older(len(losses)) - unsure.older(0)
        count = self.items[stream.kind]
        count.exact -= len(losses) + maybe
        count.older += older + maybe
        count.lost += len(losses) - older
        return msgspec.structs.replace(
            stream,
            exact=stream.exact - len(losses) - maybe,
            older=stream.older + older + maybe,
            lost=stream.lost + len(losses) - older,
        )

    def spend(self, kind: Kind, seconds: float) -> None:
        self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds

    def report(self, lost: list[Loss], not_exact: list[StreamCount]) -> Report:
        """As `recover run` tells it. `lost` is every line, in any order."""
        items = {kind: self.items.get(kind, KindCount()) for kind in RESTORE_ORDER}
        order = {kind: place for place, kind in enumerate(RESTORE_ORDER)}
        return Report(
            accounts=self.accounts,
            streams=self.streams,
            changes_expected=self.expected,
            changes_recovered=self.recovered,
            items=items,
            lost=sorted(lost, key=lambda loss: (order[loss.kind], loss.account, loss.revs)),
            unknown_seconds=self.unknown_seconds,
            stages=[
                Stage(kind, items[kind].exact + items[kind].older, self.seconds.get(kind, 0.0))
                for kind in RESTORE_ORDER
            ],
            first_contact_seconds=self.seconds.get(Kind.IDENTITY, 0.0),
            seconds=sum(self.seconds.values()),
            verified=self.complete and not self.refused,
            timeline=self.timeline,
            not_exact=not_exact,
        )


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode
_decode_doubt = msgspec.msgpack.Decoder(Doubt).decode


def parse(data: bytes) -> Record:
    """Raises OperatorError where a newer release has written it, or nobody can read it."""
    try:
        record = _decode(data)
    except msgspec.MsgspecError as error:
        raise _unreadable(str(error)) from error
    if record.version != VERSION:
        raise _unreadable(f"it is of version {record.version}")
    return record


def parse_doubt(data: bytes) -> Doubt:
    """Raises OperatorError."""
    try:
        return _decode_doubt(data)
    except msgspec.MsgspecError as error:
        raise _unreadable(str(error)) from error


def _unreadable(why: str) -> OperatorError:
    return OperatorError(
        f"what the core says of the recovery that is under way in it cannot be read: {why}",
        hint="run the newer Safehold that began it, or stop the service and run `safehold recover run`",
    )
