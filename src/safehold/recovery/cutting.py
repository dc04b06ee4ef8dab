"""Cut: what stands at the end of a vault's log and does not count is moved out of the way, so that a writer can go on.

Whoever holds a writer's key can sign frames that nobody can open, or that continue nothing: no reader believes them,
and no writer passes over them by itself, since to whoever cannot read a frame it may be one that was acknowledged. A
vault that others append to takes them in, and refuses whatever would make them void (vault/admission.py). Only the
vault's keeper can say that they are nothing; this is how.

The cut is before the first frame from which on no vault gives a good one, or before a frame that the keeper names.
Segments that begin at or after it, and all later timelines, are set aside; of one that it goes through the beginning is
left, without a footer, as a writer leaves it that goes on in the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

import msgspec

from safehold.formats.keys import Opener
from safehold.formats.segment import HEADER_BYTES, SegmentName, parse_segment_footer
from safehold.model.errors import OperatorError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole, LogFrame
from safehold.ports.vault import KeptVault, Vault
from safehold.vault.log import VaultLogReader
from safehold.vault.segments import load_copy, segments, timelines


class Piece(msgspec.Struct, frozen=True):
    """An object of which only so many bytes stay; 0: it is set aside whole."""

    object: str
    size: int
    stays: int


class Cut(msgspec.Struct):
    """What a cut of one vault does. `first` is the first frame that goes, 0 where there is nothing to cut."""

    vault: str
    upto: LogPosition = EMPTY_LOG
    first: int = 0
    last: int = 0  # of those that can be told
    changes: int = 0  # in frames that can be read, and would not count any more
    pieces: list[Piece] = []
    holes: list[tuple[int, int]] = []  # frames that no vault gives, behind which more can be read
    why: list[str] = []  # why frames do not count, in the readers' words

    @property
    def empty(self) -> bool:
        return not self.pieces


def plan_cut(vault: Vault, others: Sequence[Vault], opener: Opener, first: int = 0) -> Cut:
    """What would go of this vault; `others` may have good copies of what is bad here.

    `first`: the frame to cut before, where it is not the one from which on nothing can be read.
    Raises VaultDown where an object that would go cannot be read, KeyAway, OperatorError.
    """
    cut = Cut(vault.name)
    for entry in VaultLogReader([vault, *others], opener).entries():
        begins = entry.first if isinstance(entry, Hole) else entry.position.frame
        if isinstance(entry, LogFrame) and not (first and begins >= first):
            if cut.first:
                cut.holes.append((cut.first, cut.last))
            cut.upto, cut.first, cut.changes, cut.why = entry.position, 0, 0, []
            continue
        cut.first = cut.first or begins
        cut.last = entry.last if isinstance(entry, Hole) else begins
        if isinstance(entry, Hole):
            cut.why += [*entry.problems[:3]]
        else:
            cut.changes += len(entry.changes)
    if first and cut.first != first:
        raise OperatorError(
            f"frame {first} is not on the log of {vault.name}, or what is before it cannot be read", exit_code=2
        )
    if cut.first and cut.upto == EMPTY_LOG:
        raise OperatorError(
            f"no frame of {vault.name} can be read with this key: nothing is cut",
            hint="bring the identity that opens the vault",
        )
    if cut.first:
        cut.pieces = list(_pieces(vault, cut.upto))
    return cut


def _pieces(vault: Vault, upto: LogPosition) -> Iterator[Piece]:
    for timeline in timelines([vault]):
        if timeline < upto.timeline:
            continue
        for name, holders in segments([vault], timeline).items():
            size = holders[0].size
            stays = 0 if timeline > upto.timeline or name.first > upto.frame else _stays(vault, name, upto, size)
            if stays < size or not size:
                yield Piece(str(name), size, stays)


def _stays(vault: Vault, name: SegmentName, upto: LogPosition, size: int) -> int:
    """How much of a segment that begins before the cut is before it. Raises VaultDown."""
    copy = load_copy(vault, name)
    ends = [f.offset + len(f.data) for number, f in copy.frames.items() if number <= upto.frame]
    end = max(ends, default=HEADER_BYTES)
    beyond = any(number > upto.frame for number in copy.numbers()) or (end < size and not copy.closed)
    if copy.closed and not beyond and parse_segment_footer(vault.get(str(name), end)) is not None:
        return size
    return end if beyond else size


def carry_out(cut: Cut, vault: KeptVault) -> dict[str, str]:
    """Move it aside. SHA-256 in hex of what is left of each object, "" where nothing is: for the evidence.

    Killed at any point it is simply planned and carried out again. Raises VaultDown, OperatorError.
    """
    left: dict[str, str] = {}
    for piece in reversed(cut.pieces):  # so that at every moment what is left is the beginning of the log
        if piece.stays:
            data = vault.get(piece.object, 0, piece.stays)
            vault.replace(piece.object, (data,))
            left[piece.object] = sha256(data).hexdigest()
        else:
            vault.set_aside(piece.object)
            left[piece.object] = ""
    return left
