"""Repair: the same bytes again, from wherever they are proved good. A plan first, then object by object.

copy     another vault has the object whole
merge    of a segment several vaults have parts; every byte of it is the same in all of them
trim     what is wrong stands behind the end of a segment
text     the readable objects are known by heart
aside    what nobody put there is moved out of the way
record   evidence, or a large body that no change names, is gone everywhere: said so on record
core     no vault has it: whoever holds the core writes it again (assembly), or nobody can

Every object is replaced whole, what was there lies in aside/ (ports.vault.KeptVault); so a repair that is killed can be
run again, and what was mended is not mended twice. A copy counts only where it leaves nothing wrong with that object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.formats import blob, segment
from safehold.formats.evidence import parse_evidence_name
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.generation import parse_manifest_name
from safehold.formats.segment import SegmentName
from safehold.model.errors import Damaged
from safehold.ports.vault import KeptVault, Vault, VaultDown
from safehold.recovery.judging import Damage, Excuses, Inventory, Judge, Judgement, Problem, Remembered, Standing
from safehold.recovery.report import Progress, silent
from safehold.recovery.scrub import LookedAt, Scrubber
from safehold.vault.objects import belongs

_CHUNK_BYTES = 1024 * 1024
#: What was mended may show what else is missing: a segment that is back has seals in it.
MAX_ROUNDS = 8


class Way(StrEnum):
    COPY = "copy"
    MERGE = "merge"
    TRIM = "trim"
    TEXT = "text"
    ASIDE = "set aside"
    RECORD = "record"
    CORE = "core"
    NONE = "none"


class Mend(msgspec.Struct, frozen=True):
    """What is, or was, done about one damage. `source` names the vault that a copy comes from."""

    damage: Damage
    way: Way
    source: str = ""
    why: str = ""  # why nothing can be done

    @property
    def by_copy(self) -> bool:
        return self.way not in (Way.CORE, Way.NONE)

    @property
    def repaired_from(self) -> str:
        return self.source or str(self.way)


class _Candidate(NamedTuple):
    way: Way
    source: str
    data: bytes


class Repairer:
    """Of one vault. `inventory` is what a scrub read of it, and is kept up with what is mended."""

    def __init__(
        self,
        vault: KeptVault,
        scrubber: Scrubber,
        peers: Sequence[LookedAt],
        standing: Standing,
        inventory: Inventory,
        *,
        remembered: Mapping[str, Remembered] | None = None,
        excuses: Excuses | None = None,
        named: Sequence[str] = (),
        elsewhere: bool = False,
        progress: Progress = silent,
    ) -> None:
        """`elsewhere`: the vault is at a server, which moves nothing out of the way, and may refuse an object."""
        self.vault = vault
        self.inventory = inventory
        self._scrubber = scrubber
        self._peers = peers
        self._standing = standing
        self._remembered = dict(remembered or {})
        self._excuses = excuses
        self._named = named
        self._progress = progress
        self._elsewhere = elsewhere
        self.refused: dict[str, str] = {}  # objects that the server did not let us mend, and why
        self.mended: list[Mend] = []

    # -- judging

    def judge(self, inventory: Inventory | None = None) -> Judgement:
        return self._judge(inventory or self.inventory).judge()

    def _judge(self, inventory: Inventory) -> Judge:
        return Judge(
            inventory,
            self._peers,
            self._standing,
            reread=self.vault.get,
            remembered=self._remembered,
            excuses=self._excuses,
            named=self._named,
            texts=self._scrubber.texts,
        )

    # -- planning

    def plan(self) -> list[Mend]:
        """One for each damage, in the order in which they are mended: the mark first, manifests after their runs."""
        judge = self._judge(self.inventory)
        found = judge.judge().damaged
        return sorted((self._plan_or_not(damage, judge) for damage in found), key=_order)

    def _plan_or_not(self, damage: Damage, judge: Judge) -> Mend:
        mend = self._plan(damage, judge)
        moves = mend.way in (Way.ASIDE, Way.TEXT) or (
            mend.way is Way.RECORD and damage.object in self.inventory.listing
        )
        if self._elsewhere and moves:
            return Mend(damage, Way.NONE, why="only its operator moves anything there, where it lies")
        return mend

    def _plan(self, damage: Damage, judge: Judge) -> Mend:
        name = damage.object
        if name in self._scrubber.texts:
            return Mend(damage, Way.TEXT)
        if damage.problem is Problem.UNEXPECTED:
            return Mend(damage, Way.ASIDE)
        parsed = segment.parse_name(name)
        if parsed is not None:
            settled = self._standing.settled
            seen = self.inventory.segments.get(name)
            if settled is not None and seen is not None and seen.last > settled:
                return Mend(damage, Way.NONE, why="the service is writing to it; run this again")
            candidate = self._candidate(parsed, judge)
            if candidate is not None:
                return Mend(damage, candidate.way, candidate.source)
            other = self._other_history(parsed)
            return Mend(damage, Way.NONE, why=other) if other else Mend(damage, Way.CORE)
        peer = self._sound_peer(name, judge)
        if peer is not None:
            return Mend(damage, Way.COPY, peer.name)
        if parse_evidence_name(name) is not None:
            return Mend(damage, Way.RECORD)
        if blob.parse_object(name) is not None and name not in judge.stated and name not in self._named:
            return Mend(damage, Way.RECORD)
        return Mend(damage, Way.CORE)

    def _sound_peer(self, name: str, judge: Judge) -> LookedAt | None:
        """A vault whose copy proves itself and is the one that was stated, where one was."""
        stated = judge.stated.get(name)
        for peer in self._peers:
            sound = peer.stated(name) if peer.sound(name) else None
            if sound is None:
                continue
            if stated is None or any((s.size, s.digest) == (sound.size, sound.digest) for s in stated):
                return peer
        return None

    # -- segments

    def _candidate(self, name: SegmentName, judge: Judge) -> _Candidate | None:
        """The bytes that leave nothing wrong with a segment; the longest, and a whole copy before one put together."""
        copies = list(self._copies(name))
        found = [
            candidate
            for candidate in (
                *(_Candidate(Way.COPY, peer, data) for peer, data in copies if peer),
                *self._merged(name, copies),
                *self._trimmed(name, copies, judge),
            )
            if self._keeps_signed(name, candidate.data) and self._would_mend(name, candidate.data)
        ]
        order = (Way.COPY, Way.MERGE, Way.TRIM)
        return min(found, key=lambda c: (order.index(c.way), -len(c.data)), default=None)

    def _signed(self, name: SegmentName) -> dict[int, bytes]:
        """The frames of a segment of this vault that are whole and signed."""
        try:
            data = self.vault.get(str(name))
        except (KeyError, VaultDown):
            return {}
        header = segment.parse_segment_header(data) or segment.parse_segment_footer(data)
        if header is None or header.name != name:
            return {}
        ends = segment.encode_header(header)
        last = self._last_frame(name)
        frames = [f for f in scan_frames(data) if isinstance(f, RawFrame) and belongs(f, name, last)]
        return {f.header.number: f.data for f in frames if self._scrubber.is_signed(f, ends)}

    def _last_frame(self, name: SegmentName) -> int | None:
        """The last number that counts in a segment: what another one's bytes brought there is none of its frames."""
        later = (segment.parse_name(text) for text, seen in self.inventory.segments.items() if seen.headed)
        firsts = [n.first for n in later if n is not None and n.timeline == name.timeline and n > name]
        return min(firsts) - 1 if firsts else None

    def _keeps_signed(self, name: SegmentName, data: bytes) -> bool:
        """Whether every signed frame that is here is in these bytes as well, the same.

        Whoever holds a writer's key can write another vault's log anew, in good order. Signed frames give way to
        nothing, so that a repair never takes that for a good copy of what is here.
        """
        there = {f.header.number: f.data for f in scan_frames(data) if isinstance(f, RawFrame)}
        return all(there.get(number) == frame for number, frame in self._signed(name).items())

    def _other_history(self, name: SegmentName) -> str:
        """Says so where another vault has other signed frames of the same numbers; "" where none has."""
        own = self._signed(name)
        for peer in self._peers:
            try:
                data = peer.vault.get(str(name))
            except (KeyError, VaultDown):
                continue
            head = segment.parse_segment_header(data)
            ends = segment.encode_header(head) if head is not None else b""
            for frame in scan_frames(data):
                if not isinstance(frame, RawFrame) or own.get(frame.header.number, frame.data) == frame.data:
                    continue
                if self._scrubber.is_signed(frame, ends):
                    return (
                        f"{peer.name} has another frame {frame.header.number} there, and both are signed: somebody "
                        "else holds a writer's key, and nothing is replaced"
                    )
        return ""

    def _copies(self, name: SegmentName) -> Iterator[tuple[str, bytes]]:
        """Every vault's bytes; "" stands for this one."""
        vaults: list[tuple[str, Vault]] = [(peer.name, peer.vault) for peer in self._peers]
        for source, vault in [*vaults, ("", self.vault)]:
            try:
                yield source, vault.get(str(name))
            except (KeyError, VaultDown):
                continue

    def _merged(self, name: SegmentName, copies: Sequence[tuple[str, bytes]]) -> Iterator[_Candidate]:
        """Header, frames and footer, each from the first copy that has it good."""
        if len(copies) < 2:
            return
        header = next(
            (data[: segment.HEADER_BYTES] for _, data in copies if _heads(name, data, segment.HEADER_MAGIC)), b""
        )
        if not header:
            foot = next((d[-segment.HEADER_BYTES :] for _, d in copies if _heads(name, d, segment.FOOTER_MAGIC)), b"")
            parsed = segment.parse_segment_footer(foot)
            header = segment.encode_header(parsed) if parsed is not None else b""
        frames: dict[int, list[RawFrame]] = {}
        for _, data in copies:
            for item in scan_frames(data):
                if isinstance(item, RawFrame):
                    frames.setdefault(item.header.number, []).append(item)
        parts = [header]
        number, digest = min(frames, default=0), b""
        while number in frames:
            following = [f for f in frames[number] if not digest or f.header.prev == digest]
            good = next((f for f in following if self._scrubber.is_signed(f, header)), None)
            if good is None:
                break
            parts.append(good.data)
            number, digest = number + 1, good.digest
        footed = any(_heads(name, data, segment.FOOTER_MAGIC) for _, data in copies)
        whole = segment.parse_segment_header(header)
        if footed and whole is not None:
            parts.append(segment.encode_footer(whole))
        if header:
            yield _Candidate(Way.MERGE, "", b"".join(parts))

    def _trimmed(self, name: SegmentName, copies: Sequence[tuple[str, bytes]], judge: Judge) -> Iterator[_Candidate]:
        """This vault's own bytes up to where they are good."""
        own = dict(copies).get("")
        seen = self.inventory.segments.get(str(name))
        if own is None or seen is None:
            return
        stated = {sealed.size for sealed in judge.stated.get(str(name), ())}
        for end in {seen.good_end, seen.good_end + segment.HEADER_BYTES, *stated}:
            if (end >= segment.HEADER_BYTES or end in stated) and end < len(own):
                yield _Candidate(Way.TRIM, "", own[:end])

    def _would_mend(self, name: SegmentName, data: bytes) -> bool:
        """Whether these bytes, in the place of what is there, leave nothing wrong with the object, and nothing new."""
        text = str(name)
        before = {d.object for d in self.judge().damaged}
        seen = self._scrubber.segment_of(name, data)
        listing = {**self.inventory.listing, text: len(data)}
        segments = {**self.inventory.segments, text: seen}
        changed = msgspec.structs.replace(self.inventory, listing=listing, segments=segments)
        remembered = {n: r for n, r in self._remembered.items() if n != text}

        def reread(wanted: str, offset: int, count: int) -> bytes:
            return data[offset : offset + count] if wanted == text else self.vault.get(wanted, offset, count)

        judge = Judge(
            changed,
            self._peers,
            self._standing,
            reread=reread,
            remembered=remembered,
            excuses=self._excuses,
            named=self._named,
            texts=self._scrubber.texts,
        )
        after = {d.object for d in judge.judge().damaged}
        new = {n for n in after - before if n in self.inventory.listing and segment.parse_name(n) is not None}
        return text not in after and not new

    # -- doing

    def carry_out(self) -> list[Damage]:
        """Mend what can be mended by copying, in rounds; what remains. Raises VaultDown, OutOfSpace, Damaged."""
        for _ in range(MAX_ROUNDS):
            plan = [mend for mend in self.plan() if mend.by_copy and not self._tried(mend)]
            if not plan:
                break
            for done, mend in enumerate(plan):
                self._progress(f"repair {self.vault.name}", done, len(plan), "objects")
                try:
                    self._carry_out(mend)
                except VaultDown as error:
                    if not self._elsewhere:
                        raise
                    self.refused[mend.damage.object] = error.message
                    continue
                self.mended.append(mend)
        return [self._told(d) for d in self.judge().damaged if not self._recorded(d.object)]

    def _told(self, damage: Damage) -> Damage:
        refused = self.refused.get(damage.object)
        return damage if refused is None else msgspec.structs.replace(damage, why=f"{damage.why}; {refused}")

    def _tried(self, mend: Mend) -> bool:
        return mend.damage.object in self.refused or any(
            (m.damage.object, m.way, m.source) == (mend.damage.object, mend.way, mend.source) for m in self.mended
        )

    def _recorded(self, name: str) -> bool:
        return any(mend.damage.object == name and mend.way is Way.RECORD for mend in self.mended)

    def _carry_out(self, mend: Mend) -> None:
        name = mend.damage.object
        if mend.way is Way.RECORD:
            if name in self.inventory.listing:
                self.vault.set_aside(name)
        elif mend.way is Way.ASIDE:
            with suppress(KeyError):  # where what it stood behind was mended, it may have gone with that
                self.vault.set_aside(name)
        elif mend.way is Way.TEXT:
            self.vault.replace(name, (self._scrubber.texts[name][0],))
        elif (parsed := segment.parse_name(name)) is not None:
            candidate = self._candidate(parsed, self._prepared())
            if candidate is None:
                raise Damaged(f"{name} was good in {mend.source}, and is no longer", hint="run this again")
            self.vault.replace(name, (candidate.data,))
        else:
            self._copy(name, next(peer for peer in self._peers if peer.name == mend.source))
        self._remembered.pop(name, None)
        self.look_again(name)

    def _prepared(self) -> Judge:
        judge = self._judge(self.inventory)
        judge.judge()
        return judge

    def _copy(self, name: str, peer: LookedAt) -> None:
        """A copy that is not, byte for byte, what was verified is not put into place."""
        sound = peer.stated(name)
        assert sound is not None

        def chunks() -> Iterator[bytes]:
            whole, left = sha256(), sound.size
            size = peer.listing()[name]
            for offset in range(0, size, _CHUNK_BYTES):
                chunk = peer.vault.get(name, offset, min(_CHUNK_BYTES, size - offset))
                whole.update(chunk[: max(0, left)])
                left -= len(chunk)
                yield chunk
            if whole.digest() != sound.digest:
                raise Damaged(f"{peer.name} gave other bytes of {name} than before", hint="run this again")

        self.vault.replace(name, chunks())

    def look_again(self, name: str) -> None:
        """Read an object anew: the inventory follows what was done."""
        self.inventory.segments.pop(name, None)
        for kept in (self.inventory.bad, self.inventory.sound, self.inventory.stated, self.inventory.placed):
            kept.pop(name, None)
        size = self.vault.size(name)
        if size is None:
            self.inventory.listing.pop(name, None)
            return
        looked = self._scrubber.look(name, size)
        self.inventory.listing.update(looked.listing)
        self.inventory.segments.update(looked.segments)
        self.inventory.bad.update(looked.bad)
        self.inventory.sound.update(looked.sound)
        self.inventory.stated.update(looked.stated)
        self.inventory.placed.update(looked.placed)

    def left_of(self, name: str) -> str:
        """SHA-256 of what is left of an object, in hex; "" where nothing is."""
        size = self.vault.size(name)
        if size is None:
            return ""
        whole = sha256()
        for offset in range(0, size, _CHUNK_BYTES):
            whole.update(self.vault.get(name, offset, min(_CHUNK_BYTES, size - offset)))
        return whole.hexdigest()


def _heads(name: SegmentName, data: bytes, magic: bytes) -> bool:
    """Whether one end of a segment is whole and names this place."""
    parse = segment.parse_segment_header if magic == segment.HEADER_MAGIC else segment.parse_segment_footer
    header = parse(data)
    return header is not None and header.name == name


def _order(mend: Mend) -> tuple[int, str]:
    name = mend.damage.object
    if mend.way is Way.TEXT:
        return 0, name
    if mend.way is Way.ASIDE:
        return 1 if segment.parse_name(name.partition("!")[0]) is None else 3, name  # a stray slot: after its segment
    if segment.parse_name(name) is not None:
        return 2, name
    return 4 if parse_manifest_name(name) is not None else 3, name
