"""The log: what the writer appends to every sync vault, and how it is read back and verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from safehold.model.change import Change
from safehold.model.errors import OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.ports.core import LogPosition


class Superseded(OperatorError):
    """A higher timeline exists: another writer took over. This one must not acknowledge anything more."""


class PreparedFrame(NamedTuple):
    """A frame ready to be written: encoded, encrypted and signed once, the same bytes for every vault."""

    position: LogPosition  # where the log stands once it is written
    data: bytes


class LogWriter(Protocol):
    """The end of the log that this process owns, in a timeline of its own."""

    @property
    def timeline(self) -> int: ...

    @property
    def position(self) -> LogPosition:
        """The last frame that `write` brought into every sync vault."""
        ...

    def prepare(self, changes: Sequence[Change]) -> PreparedFrame:
        """Encode one group commit. Does no I/O; a prepared frame that is not written is simply dropped."""
        ...

    def write(self, frame: PreparedFrame) -> None:
        """Append and sync in every sync vault, then check that no higher timeline exists.

        Raises VaultDown, VaultFull (the frame is not in the log: the next goes into a new segment),
        VaultSuspect (it may be: stop and read back), Superseded.
        """
        ...

    def seal(self) -> None:
        """Append a signed seal of all written since the last one; nothing where nothing was."""
        ...

    def close(self) -> None:
        """Seal and close."""
        ...


class LogFrame(msgspec.Struct, frozen=True):
    """A frame of the log whose checksum, signature, certificate and place in the chain hold."""

    position: LogPosition
    at: int  # µs, the writer's clock
    source: str  # name of the vault it was read from
    size: int  # bytes as stored
    changes: Sequence[Change] = ()
    heads: dict[tuple[bytes, Kind], Head] = {}  # of a seal: the streams that changed since the seal before
    sealed: bool = False  # whether this is a seal
    claim: bool = False  # whether this opens a timeline
    opened: bool = True  # False: signature, digest and place hold, but nobody has looked what it says
    since: int = 0  # of a seal: frame of the seal before, after which it speaks of everything


class Hole(msgspec.Struct, frozen=True):
    """Frames that no vault gives a good copy of: damaged everywhere, or missing between two that are there."""

    first: int  # frame numbers
    last: int
    timeline: int
    problems: tuple[str, ...]  # "near: log/…: checksum does not match at byte 123", one for each vault


class LogReader(Protocol):
    """Reads the log out of any number of vaults, each frame from the first vault that has a good copy."""

    def entries(self, after: LogPosition = ...) -> Iterator[LogFrame | Hole]:
        """In order, along the branch that the last timeline continues; frames abandoned by a later claim left out."""
        ...

    def seals(self, upto: LogPosition) -> Iterator[tuple[int, dict[tuple[bytes, Kind], Head]]]:
        """Frame and heads of the seals on the log's branch up to a position, the last one first."""
        ...

    def check(self, position: LogPosition) -> None:
        """Raises OperatorError (NotOnTheLog) where the log does not lead past this position."""
        ...

    def end(self) -> LogPosition:
        """The position of the last good frame of the log."""
        ...

    def problems(self) -> list[str]:
        """What was found wrong while reading, whether healed from another vault or not, in plain words."""
        ...
