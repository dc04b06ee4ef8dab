"""What is wrong with a vault, from what was read of it, of the others and of the core. Pure but for peers' reads.

1. *Stated*: what a seal or manifest names is there, as long as stated, with the digest stated.
2. *By itself*: no object has bytes that no checksum, signature or digest vouches for, but for the tail of a segment
   that was left without a footer.
3. *Dense*: along each timeline the frames follow each other, number by number and digest by digest, from its claim to
   where the next timeline continues it, to the core's position, and to what other vaults have.
4. *Nothing else*: what bears no name of an object, or a name that nothing vouches for, is unexpected.
5. *Remembered*: what no seal covers yet is what it was when it was last read; it may only have grown.

A tail is bytes at the end of a segment without a footer that are no good frame: a write that failed, or was cut short.
It counts as damage where a frame is missing that should stand there (3), and once it changes (5).

What is under way is no damage: beyond `Standing.settled` a segment may be shorter here, or end within a frame.

Long, as the five rules share what was read of a vault, and each excuses what another has told already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec

from safehold.formats import blob, mark, segment
from safehold.formats.evidence import parse_evidence_name
from safehold.formats.generation import parse_manifest_name
from safehold.formats.parity import parse_parity_name
from safehold.formats.run import parse_run_name
from safehold.formats.seal import SealedObject
from safehold.formats.segment import SegmentName
from safehold.model.counting import count_text
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.vault.objects import Fault, SegmentSeen
from safehold.vault.parity import PARITY_SOURCE
from safehold.vault.segments import limits


class Problem(StrEnum):
    MISSING = "missing"
    CORRUPT = "corrupt"
    UNEXPECTED = "unexpected"


class Damage(msgspec.Struct, frozen=True):
    """One object of one vault. `why` is a sentence for people."""

    object: str
    problem: Problem
    why: str = ""


class Remembered(msgspec.Struct, frozen=True, array_like=True):
    """The first bytes of an object, as they were when they were read. `final`: nobody adds to it any more."""

    size: int
    digest: bytes
    final: bool = False


class Inventory(msgspec.Struct):
    """What a reading of one vault found. Damage is not judged here yet."""

    vault: str
    listing: dict[str, int] = {}
    segments: dict[str, SegmentSeen] = {}
    #: Of other objects: what is wrong by itself.
    bad: dict[str, str] = {}
    #: What manifests state. What seals state lies with the segments that hold them.
    stated: dict[str, list[SealedObject]] = {}
    #: Objects that prove themselves and do: as much of them as a seal would state.
    sound: dict[str, Remembered] = {}
    #: Of evidence: the vaults that it was put into.
    placed: dict[str, list[str]] = {}
    bytes: int = 0
    #: Sound objects of which what they state is sealed to a key that was not given; segments tell that themselves.
    unopened: list[str] = []

    def sealed(self) -> Iterator[SealedObject]:
        for seen in self.segments.values():
            yield from seen.stated


class Peer(Protocol):
    """Another vault, as far as it is looked at."""

    @property
    def name(self) -> str: ...

    def listing(self) -> Mapping[str, int]:
        """Empty where it cannot be read."""
        ...

    def segment(self, name: str) -> SegmentSeen | None:
        """None where it has none of this name, or it cannot be read."""
        ...

    def sound(self, name: str) -> bool:
        """Whether an object that proves itself is there and does."""
        ...

    def placed(self, name: str) -> Sequence[str]:
        """Of evidence: the names of the vaults that it says it was put into."""
        ...


class Excuses(Protocol):
    """What evidence says of objects that are not there, or not whole, on purpose."""

    @property
    def log_from(self) -> tuple[int, int]:
        """Timeline and frame before which the log was removed; (0, 0) where it is whole."""
        ...

    def missing(self, name: str) -> bool:
        """Whether it was removed on record."""
        ...

    def shortened(self, name: str) -> bool:
        """Whether it is a segment of which only the header was kept."""
        ...

    def made_up(self, name: str) -> bytes | None:
        """Of what is lost here and made up for elsewhere: SHA-256 of what is left, b"" where nothing is."""
        ...


class NoExcuses:
    """Implements Excuses where there is no evidence."""

    log_from = (0, 0)

    def missing(self, name: str) -> bool:
        del name
        return False

    def shortened(self, name: str) -> bool:
        del name
        return False

    def made_up(self, name: str) -> bytes | None:
        del name
        return None


class Standing(NamedTuple):
    """What may be expected of a vault at this moment.

    `complete`: it has to have all that the others have, up to frame `settled` (None: all of it). Of a vault that lags
    nothing is expected beyond its own end. `core` is the position up to which the core has taken the log in.
    """

    complete: bool = True
    settled: int | None = None
    core: LogPosition = EMPTY_LOG


class Judgement(NamedTuple):
    damaged: list[Damage]
    remember: dict[str, Remembered]
    end: LogPosition  # of the log, as this vault has it


class Judge:
    """Of one vault. `reread` gives bytes of an object of it again, which is rarely needed."""

    def __init__(
        self,
        inventory: Inventory,
        peers: Sequence[Peer],
        standing: Standing,
        *,
        reread: Reread | None = None,
        remembered: Mapping[str, Remembered] | None = None,
        excuses: Excuses | None = None,
        named: Iterable[str] = (),
        texts: Iterable[str] = (mark.NAME,),
        has_come: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`texts` are the readable objects that have to be there. `has_come`: whether evidence that was not listed here
        is here now.

        `named`: blobs that changes after the last seal name.
        """
        self._seen = inventory
        self._peers = peers
        self._standing = standing
        self._reread = reread
        self._remembered = remembered or {}
        self._excuses = excuses or NoExcuses()
        self._named = set(named)
        self._texts = tuple(texts)
        self._has_come = has_come
        self._damaged: dict[str, Damage] = {}
        self._covered: dict[str, int] = {}  # how much of a segment the largest statement that holds covers
        #: What is stated of each object, once it was judged.
        self.stated: dict[str, list[SealedObject]] = {}
        self._pending: set[str] = set()
        self._lost: dict[int, set[SegmentName]] = {}  # by timeline: segments that are not here, or not themselves
        self._here: dict[int, dict[SegmentName, SegmentSeen]] = {}
        self._ends: dict[int, tuple[int, bytes]] = {}  # by timeline: last frame that counts, and its digest

    def judge(self) -> Judgement:
        self._gather()
        for name in self._seen.listing:
            self._by_itself(name)
        for name, stated in self.stated.items():
            self._as_stated(name, stated)
        self._others_have()
        for timeline in sorted({*self._here, *self._lost}):
            self._follow(timeline)
        self._core_has()
        for name in self._texts:
            if name not in self._seen.listing:
                self._damage(name, Problem.MISSING, "every vault has it")
        for name in self._named:
            if name not in self._seen.listing:
                self._damage(name, Problem.MISSING, "a change names it")
        remember = self._memory()
        return Judgement(sorted(self._damaged.values(), key=lambda d: d.object), remember, self._end())

    # -- what should be there

    def _gather(self) -> None:
        """Statements of this vault's own seals and manifests; of seals that are damaged or missing here, of peers'."""
        for sealed in self._seen.sealed():
            self._state(sealed)
        for stated in self._seen.stated.values():
            for sealed in stated:
                self._state(sealed)
        for seen in self._seen.segments.values():
            self._pending.update(seen.pending)
        if not self._standing.complete:
            return
        doubtful = {n for n, s in self._seen.segments.items() if s.faults or s.tail is not None}
        for peer in self._peers:
            for name, size in peer.listing().items():
                if segment.parse_name(name) is None:
                    continue
                if name in doubtful or self._seen.listing.get(name, -1) < size:
                    for sealed in self._beyond(peer.segment(name)):
                        self._state(sealed)

    def _beyond(self, seen: SegmentSeen | None) -> Iterable[SealedObject]:
        """What a peer's segment states, unless its seals may not have come here yet."""
        settled = self._standing.settled
        if seen is None or (settled is not None and any(number > settled for number in seen.seals)):
            return ()
        return seen.stated

    def _state(self, sealed: SealedObject) -> None:
        known = self.stated.setdefault(sealed.name, [])
        if sealed not in known:
            known.append(sealed)

    def _is_excused(self, name: str) -> bool:
        made_up = self._excuses.made_up(name)
        if name not in self._seen.listing:
            return made_up == b"" or self._excuses.missing(name)
        if self._is_shortened(name):
            return True
        return bool(made_up) and self._prefix(name, self._seen.listing[name]) == made_up

    def _is_shortened(self, name: str) -> bool:
        seen = self._seen.segments.get(name)
        whole = seen is not None and seen.headed and seen.size == segment.HEADER_BYTES
        return whole and self._excuses.shortened(name)

    def _damage(self, name: str, problem: Problem, why: str) -> None:
        if name not in self._damaged and not self._is_excused(name):
            self._damaged[name] = Damage(name, problem, why)

    # -- 2 and 4: by itself

    def _by_itself(self, name: str) -> None:
        parsed = segment.parse_name(name)
        if parsed is not None:
            seen = self._seen.segments[name]
            if not seen.headed and not self._is_under_way(parsed, seen) and self._is_stray(parsed, seen):
                self._damage(name, Problem.UNEXPECTED, seen.foreign or "nothing vouches for it")
                return
            self._here.setdefault(parsed.timeline, {})[parsed] = seen
            if self._is_under_way(parsed, seen) or self._is_void(parsed, seen):
                return
            for fault in seen.faults:
                if not self._failed_footer(name, fault):
                    self._damage(name, Problem.CORRUPT, _sentence(fault))
            return
        why = self._seen.bad.get(name)
        if why is None:
            return
        if _is_object(name):
            strange = name not in self.stated and not any(peer.sound(name) for peer in self._peers)
            strange = strange and blob.parse_object(name) is not None and name not in self._named
            self._damage(name, Problem.UNEXPECTED if strange else Problem.CORRUPT, why)
        else:
            self._damage(name, Problem.CORRUPT if name in self._texts else Problem.UNEXPECTED, why)

    def _failed_footer(self, name: str, fault: Fault) -> bool:
        """A footer that was being written when the writer ended, behind all that a seal states."""
        return fault.why == "its footer is damaged" and any(
            sealed.size <= fault.offset for sealed in self.stated.get(name, ())
        )

    def _is_stray(self, name: SegmentName, seen: SegmentSeen) -> bool:
        if str(name) in self.stated or self._is_void(name, seen):
            return False
        for peer in self._peers:
            other = peer.segment(str(name))
            if other is not None and other.headed:
                return False
        return bool(seen.foreign) or not seen.spans

    def _is_under_way(self, name: SegmentName, seen: SegmentSeen) -> bool:
        """A segment of which not even the header has come yet, where more is expected to come."""
        settled = self._standing.settled
        open_ = not self._standing.complete or (settled is not None and name.first > settled)
        if not open_ or seen.size >= segment.HEADER_BYTES or self._reread is None:
            return False
        return segment.may_be_torn(name, self._reread(str(name), 0, segment.NAMED_BYTES))

    def _is_void(self, name: SegmentName, seen: SegmentSeen) -> bool:
        """A segment whose first write failed: nothing in it was ever whole, and the next one has its first number."""
        if seen.spans or seen.foreign or seen.headed or seen.closed or not name.number:
            return False
        others = [
            n
            for text in self._seen.listing
            if (n := segment.parse_name(text)) is not None and n.timeline == name.timeline and n != name
        ]
        if any(n.number == name.number for n in others):  # who fails moves on to the next number
            return False
        later = [n for n in others if n > name]
        before = [self._seen.segments[str(n)] for n in others if n < name]
        if later and not any(n.first == name.first for n in later):
            return False
        if not later and (not before or max(seen.last for seen in before) != name.first - 1):
            return False
        head = self._reread(str(name), 0, segment.NAMED_BYTES) if self._reread is not None else b""
        return segment.may_be_torn(name, head)

    # -- 1: as stated

    def _as_stated(self, name: str, stated: list[SealedObject]) -> None:
        if name not in self._seen.listing and all(not sealed.size for sealed in stated):
            return  # a segment whose first write left nothing: it is not shipped either
        if name not in self._seen.listing:
            parsed = segment.parse_name(name)
            if parsed is not None:
                self._lost.setdefault(parsed.timeline, set()).add(parsed)
            if self._standing.complete or name not in self._pending:
                self._damage(name, Problem.MISSING, "a seal names it")
            return
        size = self._seen.listing[name]
        if segment.parse_name(name) is None:
            if blob.parse_object(name) is None:
                self._whole_as_stated(name, size, stated)
            elif name not in self._seen.bad and not any(self._holds(name, sealed) for sealed in stated):
                self._damage(name, Problem.CORRUPT, "it is not the one that was sealed")
            return
        held = [sealed.size for sealed in stated if sealed.size <= size and self._holds(name, sealed)]
        if not held:
            longest = max(sealed.size for sealed in stated)
            cut = size < min(sealed.size for sealed in stated)
            why = f"it is cut short: {size} of {longest} bytes" if cut else "it is not what was sealed"
            self._damage(name, Problem.CORRUPT, why)
            return
        covered = self._covered[name] = max(held)
        if covered < size and self._ends_with_footer(name, covered):
            self._damage(
                name, Problem.CORRUPT, f"{count_text(size - covered, 'byte stands', 'bytes stand')} behind its end"
            )

    def _whole_as_stated(self, name: str, size: int, stated: list[SealedObject]) -> None:
        if not any(sealed.size == size and self._holds(name, sealed) for sealed in stated):
            self._damage(name, Problem.CORRUPT, "it is not what was sealed")

    def _holds(self, name: str, sealed: SealedObject) -> bool:
        return self._prefix(name, sealed.size) == sealed.digest

    def _ends_with_footer(self, name: str, end: int) -> bool:
        if self._reread is None or end < 2 * segment.HEADER_BYTES:
            return False
        return (
            segment.parse_segment_footer(self._reread(name, end - segment.HEADER_BYTES, segment.HEADER_BYTES))
            is not None
        )

    def _prefix(self, name: str, size: int) -> bytes | None:
        """Digest of an object's first bytes; None where it cannot be had."""
        seen = self._seen.segments.get(name)
        if seen is not None and size == seen.size:
            return seen.digest
        if seen is not None and size == seen.good_end:
            return seen.good_digest
        sound = self._seen.sound.get(name)
        if sound is not None and sound.size == size:
            return sound.digest
        if self._reread is None or size > self._seen.listing[name]:
            return None
        whole = sha256()
        for offset in range(0, size, 1 << 20):
            whole.update(self._reread(name, offset, min(1 << 20, size - offset)))
        return whole.digest()

    # -- 3: dense

    def _others_have(self) -> None:
        """What a peer has, whole, and this vault has not."""
        if not self._standing.complete:
            return
        settled = self._standing.settled
        for peer in self._peers:
            for name in peer.listing():
                if name in self._damaged or self._is_excused(name):
                    continue
                if name in self._seen.listing:
                    self._compare_end(name, peer)
                    continue
                parsed = segment.parse_name(name)
                if parsed is None:
                    if self._should_be_here(name, peer):
                        self._damage(name, Problem.MISSING, f"{peer.name} has it")
                    continue
                other = peer.segment(name)
                if other is None or not other.headed or other.faults:
                    continue
                if settled is not None and (parsed.first > settled or not parsed.number):
                    continue
                self._lost.setdefault(parsed.timeline, set()).add(parsed)
                self._damage(name, Problem.MISSING, f"{peer.name} has it")

    def _should_be_here(self, name: str, peer: Peer) -> bool:
        """Whether an object that no seal need state, and a peer has, has to be here too."""
        if blob.parse_object(name) is not None:
            return self._standing.settled is None and peer.sound(name)
        if parse_manifest_name(name) is not None:
            return self._standing.settled is None and peer.sound(name)
        if parse_parity_name(name) is not None:  # another vault's covers what lies there
            return peer.name == PARITY_SOURCE and peer.sound(name)
        return parse_evidence_name(name) is not None and self._is_placed(name, peer) and not self._has_come(name)

    def _is_placed(self, name: str, peer: Peer) -> bool:
        """Whether a peer's evidence says that it was put here too: a vault that was away has not lost it."""
        return peer.sound(name) and self._seen.vault in peer.placed(name)

    def _compare_end(self, name: str, peer: Peer) -> None:
        """A peer's segment is closed, and this vault's is not, though no seal says that it was left like this."""
        seen = self._seen.segments.get(name)
        if seen is None or seen.closed or name in self.stated or peer.listing()[name] == seen.size:
            return
        other = peer.segment(name)
        settled = self._standing.settled
        if other is None or not other.headed or not other.closed or other.faults:
            return
        if settled is None or other.last <= settled:
            self._damage(name, Problem.CORRUPT, f"its footer is missing; {peer.name} has it")

    def _names(self, timeline: int) -> list[SegmentName]:
        return sorted({*self._here.get(timeline, ()), *self._lost.get(timeline, ())})

    def _follow(self, timeline: int) -> None:
        """Walk a timeline's frames; what does not follow, and what is missing, is damage of some segment."""
        here = self._here.get(timeline, {})
        names = self._names(timeline)
        ends = limits(names)
        opened, parent = next(((s.opened, s.parent) for s in here.values() if s.opened), (0, 0))
        number, digest = opened, self._digest_at(parent, opened - 1)
        for name, limit in zip(names, ends, strict=True):
            seen = here.get(name)
            if seen is None:
                number, digest = max(number, (limit or 0) + 1), None
                continue
            for span in seen.spans:
                first = max(span.first, number) if name.number or number else span.first
                last = span.last if limit is None else min(span.last, limit)
                if span.first > last:
                    if span.first == number and digest is not None and span.prev != digest:
                        self._damage(str(name), Problem.CORRUPT, f"frame {number} does not continue the log")
                    continue
                if span.first > number and number:
                    self._hole(timeline, names, number, span.first - 1)
                elif span.first < number:
                    self._damage(str(name), Problem.CORRUPT, f"frame {span.first} stands there a second time")
                elif digest is not None and span.prev != digest:
                    self._damage(str(name), Problem.CORRUPT, f"frame {first} does not continue the log")
                number = last + 1
                digest = span.digest if last == span.last else None
            if limit is not None and number and number <= limit:
                self._hole(timeline, names, number, limit)
                number, digest = limit + 1, None
        if number:
            self._ends[timeline] = (number - 1, digest or b"")
            required = self._required(timeline, number - 1)
            if required >= number:
                self._hole(timeline, names, number, required)

    def _digest_at(self, timeline: int, number: int) -> bytes | None:
        """The digest of a frame, where a stretch of frames of this vault ends with it."""
        for seen in self._here.get(timeline, {}).values():
            for span in seen.spans:
                if span.last == number:
                    return span.digest
        return None

    def _required(self, timeline: int, have: int) -> int:
        """The last frame of a timeline that has to be here."""
        children = [
            seen.opened - 1
            for segments in self._here.values()
            for seen in segments.values()
            if seen.parent == timeline and seen.opened
        ]
        if children:
            return max(have, *children)
        required = [have]
        settled = self._standing.settled
        if not self._standing.complete:
            return have
        names = self._names(timeline)
        ends = dict(zip(names, limits(names), strict=True))
        for peer in self._peers:
            for text, size in peer.listing().items():
                name = segment.parse_name(text)
                if name is None or name.timeline != timeline or size == self._seen.listing.get(text):
                    continue
                other = peer.segment(text)
                if other is None or other.foreign:
                    continue
                limit = ends.get(name)
                required.append(other.last if limit is None else min(limit, other.last))
        return max(have, max(required) if settled is None else min(settled, max(required)))

    def _hole(self, timeline: int, names: list[SegmentName], first: int, last: int) -> None:
        """Frames that are not here: told at the segment that should hold them, once."""
        kept_from, kept = self._excuses.log_from
        if timeline < kept_from:
            return
        if timeline == kept_from:
            first = max(first, kept)
        if first > last:
            return
        here = self._here.get(timeline, {})
        holder = max((n for n in names if n.first <= first), default=None)
        after = min((n for n in names if n.first > first), default=None)
        missing = [n for n in names if n not in here and n.first <= last]
        if any((nxt.first if (nxt := _next(names, n)) is not None else last + 1) > first for n in missing):
            return  # told as missing
        told = f"frame {first}" if first == last else f"frames {first} to {last}"
        seen = here.get(holder) if holder is not None else None
        if holder is None or seen is None:
            self._damage(segment.claim_object(timeline), Problem.MISSING, f"it should hold {told}")
            return
        if str(holder) in self._damaged or self._is_excused(str(holder)):
            return
        gap = after is not None and after.number > holder.number + 1
        if seen.tail is not None and not seen.closed:
            self._damage(str(holder), Problem.CORRUPT, f"{told}: {_sentence(seen.tail)}")
        elif seen.closed or gap:
            guess = SegmentName(timeline, holder.number + 1, first)
            self._damage(str(guess), Problem.MISSING, f"it should hold {told}")
        else:
            self._damage(str(holder), Problem.CORRUPT, f"it is cut short: {told} should follow")

    def _core_has(self) -> None:
        """The core has taken in nothing that a vault lacks; told at the timeline of its position."""
        core, settled = self._standing.core, self._standing.settled
        if not self._standing.complete or core == EMPTY_LOG:
            return
        last = core.frame if settled is None else min(core.frame, settled)
        end = self._ends.get(core.timeline)
        if end is None:
            if not self._here.get(core.timeline):
                why = f"the core has frame {core.frame} of timeline {core.timeline}"
                self._damage(segment.claim_object(core.timeline), Problem.MISSING, why)
            elif last:
                self._hole(core.timeline, self._names(core.timeline), self._first_of(core.timeline, last), last)
        elif end[0] < last:
            self._hole(core.timeline, self._names(core.timeline), end[0] + 1, last)
        elif end[0] == core.frame and end[1] and end[1] != core.digest:
            name = max(self._here[core.timeline])
            self._damage(str(name), Problem.CORRUPT, f"frame {core.frame} is not the one that the core took in")

    def _first_of(self, timeline: int, last: int) -> int:
        below = max((end for number, (end, _) in self._ends.items() if number < timeline), default=0)
        return min(below + 1, last)

    def _end(self) -> LogPosition:
        timeline = max(self._ends, default=0)
        return LogPosition(timeline, *self._ends[timeline]) if timeline else EMPTY_LOG

    # -- 5: remembered

    def _memory(self) -> dict[str, Remembered]:
        """Compare with what was remembered; what is to be remembered now."""
        for name, was in self._remembered.items():
            if name in self._damaged or self._is_excused(name):
                continue
            if name not in self._seen.listing and not was.size and segment.parse_name(name) is not None:
                continue
            if name not in self._seen.listing:
                self._damage(name, Problem.MISSING, "it was there when this vault was last read")
            elif self._seen.listing[name] < was.size:
                self._damage(
                    name,
                    Problem.CORRUPT,
                    f"it is cut short: it had {count_text(was.size, 'byte')} when it was last read",
                )
            elif was.final and self._seen.listing[name] > was.size:
                extra = self._seen.listing[name] - was.size
                self._damage(
                    name,
                    Problem.CORRUPT,
                    f"{count_text(extra, 'byte stands', 'bytes stand')} behind what it was when it was last read",
                )
            elif was.digest and self._prefix(name, was.size) != was.digest:
                self._damage(name, Problem.CORRUPT, "it is no longer what it was when this vault was last read")
        found: dict[str, Remembered] = {}
        newest = max((n.timeline for names in self._here.values() for n in names), default=0)
        for name, seen in self._seen.segments.items():
            if seen.closed and self._covered.get(name) == seen.size:
                continue
            parsed = segment.parse_name(name)
            assert parsed is not None
            if seen.closed or parsed.timeline < newest:
                found[name] = Remembered(seen.size, seen.digest, True)
            else:
                found[name] = Remembered(*self._settled_part(seen))
        for name, sound in self._seen.sound.items():
            if name not in self.stated and name not in self._texts and parse_parity_name(name) is None:
                found[name] = Remembered(sound.size, sound.digest)
        for name, was in self._remembered.items():
            if name in self._damaged:
                found[name] = was
        for name in [n for n in found if n in self._damaged and n not in self._remembered]:
            del found[name]
        return found

    def _settled_part(self, seen: SegmentSeen) -> tuple[int, bytes]:
        """Of a segment that is being written, what certainly stays."""
        settled = self._standing.settled
        if settled is not None and seen.last > settled:
            return 0, sha256(b"").digest()
        return seen.good_end, seen.good_digest


class Reread(Protocol):
    def __call__(self, name: str, offset: int, count: int, /) -> bytes: ...


def _next(names: Sequence[SegmentName], name: SegmentName) -> SegmentName | None:
    return min((n for n in names if n > name), default=None)


def _is_object(name: str) -> bool:
    """Whether this is a name of an object that proves itself."""
    return (
        blob.parse_object(name) is not None
        or parse_run_name(name) is not None
        or parse_manifest_name(name) is not None
        or parse_evidence_name(name) is not None
        or parse_parity_name(name) is not None
    )


def _sentence(fault: Fault) -> str:
    number = f"frame {fault.number} at byte" if fault.number else "byte"
    return f"{number} {fault.offset}: {fault.why}"


__all__ = ["Damage", "Inventory", "Judge", "Judgement", "Peer", "Problem", "Remembered", "Standing"]
