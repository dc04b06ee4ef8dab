"""Opening the log: what must hold before a writer may claim a timeline, and what it mends first.

Claim, then read: the next timeline is claimed in every vault that can be reached, by exclusive creation of its first
segment, before the tail is read. Whoever wrote before checks for higher timelines after each append, so that its
frames were either there to be read, or are never acknowledged.

Every vault is dense: where it has timeline N it has all below it, if only the header of their first segment. So one
look for timeline N+1 tells the writer of N that it was superseded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from safehold.formats import segment
from safehold.formats.frame import RawFrame
from safehold.formats.generation import manifest_object
from safehold.formats.keys import Opener, Sealer
from safehold.formats.segment import SegmentName, claim_object
from safehold.model.errors import Damaged, OperatorError, OutOfSpace
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Superseded
from safehold.ports.vault import Vault, VaultDown
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import manifest_position, open_manifest
from safehold.vault.segments import Beginning, Copy, Holder, begins, load_copy, lost_at_end, segments, timelines


class Mode(StrEnum):
    """Whether an acknowledgement waits for a vault."""

    SYNC = "sync"
    ASYNC = "async"


class LogVault(NamedTuple):
    vault: Vault
    mode: Mode


class Untold(NamedTuple):
    """Frames that the core is about to take in, for those who ship them."""

    segment: SegmentName
    end: int  # of the last of them in the segment
    changes: int
    at: int  # µs, of the oldest


class Claimed(NamedTuple):
    """A timeline of one's own, with the vaults that bear the claim."""

    timeline: int
    sync: list[Vault]
    others: list[Vault]  # async vaults that could be reached
    problems: list[str]
    to_tell: list[Untold]


def claim_timeline(
    vaults: Sequence[LogVault],
    sealer: Sealer,
    opener: Opener,
    core: LogPosition,
    above: int = 0,
    *,
    recovering: bool = False,
) -> Claimed:
    """Look, refuse or claim, level the sync vaults. Raises OperatorError (VaultDown, Superseded), OutOfSpace.

    The timeline is above `above` and that of the core, whatever is left of the log. A recovery (`recovering`), whose
    sync vault is the one that leads furthest, is never refused for what that one lacks: it reads what is left of all,
    and a claim that an earlier try has left in another vault alone is no frame.
    """
    problems: list[str] = []
    sync, others, state = _judged(vaults, opener, core, problems, recovering=recovering)
    highest = {name: seen.highest for name, seen in state.items()}
    top = max(above, core.timeline, *highest.values())
    _claim(sync, others, top + 1, sealer, highest, problems)
    own = {vault.name: begins(vault) for vault in sync} if len(sync) > 1 else {}
    for timeline in timelines(sync):
        if timeline <= top:
            _level(sync, timeline, own, problems)
    anchored = _anchor(sync, opener, core, problems)
    if recovering:  # nobody ships meanwhile, and to look for all that no core has would be to read the whole log
        return Claimed(top + 1, sync, others, problems, anchored)
    ahead = _ahead_of(core, sync, anchored)
    for untold in ahead:
        _make_certain(sync, untold.segment)
    return Claimed(top + 1, sync, others, problems, [*ahead, *anchored])


def refuse_unwritable(vaults: Sequence[LogVault], opener: Opener, core: LogPosition) -> None:
    """Raises what a claim would refuse with; nothing is written."""
    _judged(vaults, opener, core, [])


def _judged(
    vaults: Sequence[LogVault], opener: Opener, core: LogPosition, problems: list[str], *, recovering: bool = False
) -> tuple[list[Vault], list[Vault], dict[str, _Seen]]:
    """The vaults that can be reached, sync ones and others, and what a look at each says. Raises as a claim does."""
    sync, others = _reachable(vaults, problems)
    state = {vault.name: _look(vault, opener) for vault in sync}
    for vault in list(others):
        try:
            state[vault.name] = _look(vault, opener)
        except VaultDown as error:
            problems.append(f"{error.message}: nothing is shipped to it for now")
            others.remove(vault)
    end = VaultLogReader(sync, opener).end()
    if end == EMPTY_LOG and core != EMPTY_LOG and _generation_at(sync, opener, core):
        problems.append(f"nothing is left of the log: it begins anew after generation {core.frame}")
        end = core
    if not recovering:
        _refuse_lost(sync, others, end, core, state)
    return sync, others, state


def _reachable(vaults: Sequence[LogVault], problems: list[str]) -> tuple[list[Vault], list[Vault]]:
    sync = [vault for vault, mode in vaults if mode is Mode.SYNC]
    if not sync:
        raise VaultDown("there is no sync vault", hint="`safehold vault add` makes one")
    for vault in sync:
        if not vault.available():
            vault.folders(segment.LOG_PREFIX)  # says what is wrong, in the vault's own words
            raise VaultDown(f"vault {vault.name} ({vault.url}) cannot be reached", hint="mount it or bring it back")
    others = []
    for vault, mode in vaults:
        if mode is Mode.ASYNC and vault.available():
            others.append(vault)
        elif mode is Mode.ASYNC:
            problems.append(f"vault {vault.name} ({vault.url}) cannot be reached: nothing is shipped to it for now")
    return sync, others


class _Seen(NamedTuple):
    """What a look at one vault says: its highest timeline, and where its own log ends."""

    highest: int
    end: LogPosition


def _look(vault: Vault, opener: Opener) -> _Seen:
    """Raises VaultDown; OperatorError where the log in it is not ours, whatever its FORMAT says (I44)."""
    highest = _highest(vault)
    try:
        data = vault.get(claim_object(highest), 0, segment.HEADER_BYTES) if highest else b""
    except KeyError:
        data = b""
    header = segment.parse_segment_header(data)
    if header is not None and header.installation != opener.installation:
        raise OperatorError(
            f"vault {vault.name} ({vault.url}) holds the log of another installation ({header.installation.hex()})",
            hint="name the right vault, or use the keys that belong to it",
        )
    if header is not None and not segment.vouched(header, opener.installation):
        raise OperatorError(
            f"vault {vault.name} ({vault.url}) holds a log in timeline {highest} whose writer is not certified by the "
            "root of this installation: somebody else has written it",
            hint="keep that vault aside to look at, and bring its own folder back, or make it anew from another vault",
        )
    return _Seen(highest, VaultLogReader([vault], opener).end())


def _highest(vault: Vault) -> int:
    """The highest timeline of which a vault has an object; 0 where it has none.

    A claim that was broken off may leave an empty folder. Were its timeline passed over, the writer of the one before
    would look for it in vain, and never learn that another has followed.
    """
    for timeline in reversed(timelines([vault])):
        if next(iter(vault.list(segment.timeline_prefix(timeline))), None) is not None:
            return timeline
    return 0


def _refuse_lost(
    sync: list[Vault], others: list[Vault], end: LogPosition, core: LogPosition, state: dict[str, _Seen]
) -> None:
    """Refuse where the sync vaults, which together end at `end`, lack what the core or an async vault has."""
    names = " and ".join(vault.name for vault in sync)
    top = max(state[vault.name].highest for vault in sync)
    for vault in others:
        highest, theirs = state[vault.name]
        if highest > top or theirs.timeline > end.timeline or _beyond(theirs, end):
            raise OperatorError(
                f"vault {names} ends at frame {end.frame} of timeline {end.timeline}, but {vault.name} has frame "
                f"{theirs.frame} of timeline {theirs.timeline}: {names} was rolled back or lost the end of its log",
                hint=f"run `safehold vault repair {sync[0].name}`: it copies from {vault.name} what is missing",
            )
    if core.frame > end.frame:
        missing = f"frame {core.frame}" if core.frame == end.frame + 1 else f"frames {end.frame + 1} to {core.frame}"
        raise OperatorError(
            f"the core has {missing}, which vault {names} has lost: it ends at frame {end.frame}",
            hint="bring the newer copy of the vault back, or run `safehold vault repair`: the core writes it again",
        )
    if core.frame == end.frame and core != end:
        raise OperatorError(
            f"frame {core.frame} of the core and of vault {names} are not the same: their histories differ",
            hint="run `safehold recover plan` to compare them",
        )


def _generation_at(sync: list[Vault], opener: Opener, core: LogPosition) -> bool:
    """Whether each sync vault has a generation at the core's very position: it has all that the lost log had."""
    for vault in sync:
        try:
            header, _, frame = open_manifest(vault.get(manifest_object(core.frame)), core.frame, opener.installation)
            position = manifest_position(frame, opener) if opener.can_open else None
        except (KeyError, Damaged):
            return False
        if header.timeline != core.timeline or position not in (None, core):
            return False
    return True


def _beyond(theirs: LogPosition, ours: LogPosition) -> bool:
    return theirs.timeline == ours.timeline and theirs.frame > ours.frame


def _claim(
    sync: list[Vault], others: list[Vault], timeline: int, sealer: Sealer, highest: dict[str, int], problems: list[str]
) -> None:
    """Make the first segment of the timeline everywhere; sync vaults first, so that none is behind an async one."""
    header = segment.encode_header(segment.header_for(SegmentName(timeline, 0, 0), sealer))
    everyone = [*sync, *others]
    for vault in list(everyone):
        try:
            for missing in range(highest[vault.name] + 1, timeline):
                _fill(vault, everyone, missing)
            won = vault.put(claim_object(timeline), (header,))
        except (VaultDown, OutOfSpace) as error:
            if vault in sync:
                raise
            problems.append(error.message)
            others.remove(vault)
            continue
        if not won:
            raise Superseded(
                f"another writer claimed timeline {timeline} in vault {vault.name} at the same moment",
                hint="see which other process or machine writes to these vaults, and stop one of them",
            )


def _fill(vault: Vault, everyone: list[Vault], timeline: int) -> None:
    """Give a vault the header of a timeline's first segment that it lacks; its shipper brings the rest."""
    name = claim_object(timeline)
    for source in everyone:
        if source is not vault and source.size(name) is not None:
            vault.put(name, (source.get(name, 0, segment.HEADER_BYTES),))
            return


def _level(sync: list[Vault], timeline: int, own: Mapping[str, Beginning], problems: list[str]) -> None:
    """Bring sync vaults to the same length, as a crash between two appends leaves them apart.

    What was retained away in a vault does not come back there; what it has lost of its beginning does.
    """
    if len(sync) == 1:
        return
    for name, holders in segments(sync, timeline).items():
        wanting = [vault for vault in sync if not own[vault.name].is_retained(name)]
        sizes = {holder.vault.name: holder.size for holder in holders if holder.vault in wanting}
        if len(sizes) == len(wanting) and len(set(sizes.values())) <= 1:
            continue
        _level_segment(wanting, name, holders, problems)


def _level_segment(sync: list[Vault], name: SegmentName, holders: list[Holder], problems: list[str]) -> None:
    best, good_end = holders[0].vault, -1
    for holder in holders:
        copy = load_copy(holder.vault, name)
        end = copy.size if copy.closed and not copy.bad else copy.good_end
        if end > good_end:
            best, good_end = holder.vault, end
    source = best.get(str(name), 0, good_end)
    for vault in sync:
        size = vault.size(str(name)) or 0
        if size >= len(source):
            continue
        if not size and _put_whole(vault, name, (source,)):
            continue
        if size and vault.get(str(name)) != source[:size]:
            problems.append(f"{vault.name}: {name} is damaged at its end; {best.name} has it whole")
            continue
        vault.append(str(name), size, source[size:])


def _anchor(sync: list[Vault], opener: Opener, core: LogPosition, problems: list[str]) -> list[Untold]:
    """Write the frames in doubt once more, into a segment of their own.

    In doubt are frames that the core has not taken in yet, in a last segment that was left open: their sync may
    have failed or never come, while they can be read (from the cache). They are about to be believed, so they are
    first made certain. By rule 3 of vault/log.py the new segment's copy is the one that counts.
    """
    reader = VaultLogReader(sync, opener)
    end = reader.end()
    if end.frame <= core.frame:
        return []
    found = segments(sync, end.timeline)
    name, holders = list(found.items())[-1]
    copies = [load_copy(holder.vault, name) for holder in holders]
    if all(copy.closed for copy in copies):
        _make_certain(sync, name)  # an earlier claim may have put it for this very reason, and failed to sync it
        return []
    if lost_at_end(copies):  # what was lost there must stay in sight
        return []
    frames: list[RawFrame] = []
    number = end.frame
    while number > core.frame and (frame := _frame_in(copies, number, reader)) is not None:
        frames.append(frame)
        number -= 1
    header = next((copy.header for copy in copies if copy.header is not None), None)
    if not frames or header is None:
        return []
    anchor = SegmentName(end.timeline, name.number + 1, frames[-1].header.number)
    header = header._replace(number=anchor.number, first=anchor.first)
    parts = [segment.encode_header(header), *(frame.data for frame in reversed(frames)), segment.encode_footer(header)]
    for vault in sync:
        _put_whole(vault, anchor, parts)
    problems.append(
        f"frames {anchor.first} to {end.frame} were written by a writer that did not end well; "
        f"they are kept once more in {anchor}"
    )
    changes, at = sum(frame.header.changes for frame in frames), min(frame.header.at for frame in frames)
    return [Untold(anchor, sum(map(len, parts)), changes, at)]


def _put_whole(vault: Vault, name: SegmentName, parts: Sequence[bytes]) -> bool:
    """Whole or not at all: its very name makes void what earlier segments hold from its first frame on.

    False where there is an empty one, which a write that was cut short left. Raises Superseded where another has put
    something else under that name.
    """
    if vault.put(str(name), parts):
        return True
    size = vault.size(str(name)) or 0
    if not size:
        return False
    if vault.get(str(name)) != b"".join(parts):
        raise Superseded(
            f"another writer put {name} into vault {vault.name} at the same moment",
            hint="see which other process or machine writes to these vaults, and stop one of them",
        )
    return True


def _ahead_of(core: LogPosition, sync: list[Vault], anchored: Sequence[Untold]) -> list[Untold]:
    """As `_anchor` returns: where else frames lie that the core lacks, each where it was written last.

    A claim that wrote them once more may have failed before it could tell anybody.
    """
    seen = {number for untold in anchored for number in load_copy(sync[0], untold.segment).frames}
    found: list[Untold] = []
    for timeline in reversed(timelines(sync)):
        for name, holders in reversed(segments(sync, timeline).items()):
            frames = load_copy(holders[0].vault, name).frames
            new = [frame for number, frame in frames.items() if number > core.frame and number not in seen]
            seen.update(frame.header.number for frame in new)
            if new:
                end = max(frame.offset + len(frame.data) for frame in new)
                changes, at = sum(frame.header.changes for frame in new), min(frame.header.at for frame in new)
                found.append(Untold(name, end, changes, at))
            if frames and min(frames) <= core.frame:
                return found[::-1]
    return found[::-1]


def _make_certain(sync: list[Vault], name: SegmentName) -> None:
    """Frames that are closed in are about to be believed as well: whoever put them may have failed to sync them."""
    for vault in sync:
        size = vault.size(str(name))
        if size:
            vault.append(str(name), size, b"")


def _frame_in(copies: list[Copy], number: int, reader: VaultLogReader) -> RawFrame | None:
    return next(
        (copy.frames[number] for copy in copies if number in copy.frames and reader.signed(copy, copy.frames[number])),
        None,
    )
