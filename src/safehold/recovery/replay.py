"""Chains and contents of all streams together, fed change by change: from a log, or from a core's own journal.

What a replay knows it knows from changes alone; it shares no code with any core, so that comparing the two says
something about both.

A witness (an old core, another export) can fill a gap: what it offers is taken only where it chains, hash by hash,
from the last change before the gap to the first one after it or to the sealed head. That proves it, whoever holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from safehold.formats.travelling import TRAVELLING
from safehold.model.change import Change, Op
from safehold.model.gaps import lacks_body
from safehold.model.kinds import Kind
from safehold.model.stream import Base, ChainError, Head, check_next
from safehold.recovery.chains import Chains, Step, StreamKey
from safehold.recovery.contents import Contents
from safehold.recovery.portions import Settled
from safehold.recovery.selection import SYSTEM

PROFILE = "profile"
ERASED_PREFIX = "erased/"


class _Profile(msgspec.Struct):
    name: str = ""


_decode_profile = msgspec.json.Decoder(_Profile).decode


class Witness(Protocol):
    """Somebody outside the log who remembers changes."""

    def changes(self, account: bytes, kind: Kind, first: int, last: int) -> Sequence[Change]:
        """Revs first to last of a stream, ascending, as far as it has them; unverified. Raises nothing."""
        ...


class Taken:
    """Sums over the changes of a stream."""

    __slots__ = ("bytes", "changes", "inline")

    def __init__(self) -> None:
        self.changes = self.bytes = self.inline = 0


class Entered(msgspec.Struct, frozen=True, array_like=True):
    """A change that belongs into the core, and whether revs before it are missing for good."""

    change: Change
    after_gap: bool


def erased_id(change: Change) -> bytes | None:
    """The account that this change enters in the register of erased ids; None for any other change."""
    if change.account != SYSTEM or change.op is not Op.PUT or not change.name.startswith(ERASED_PREFIX):
        return None
    try:
        return bytes.fromhex(change.name.removeprefix(ERASED_PREFIX))
    except ValueError:
        return None


def name_in(profile: bytes) -> str:
    """The name that the body of an identity's profile gives; "" where it cannot be read."""
    try:
        return _decode_profile(profile).name
    except msgspec.MsgspecError:
        return ""


def _is_ghost(change: Change) -> bool:
    """Whether it stands on its stream without its body. Nothing of an identity does."""
    return change.body is None and lacks_body(change) and change.kind is not Kind.IDENTITY


class Replay:
    """`erased` are ids known to be erased from elsewhere; those found are added. Without `track` no contents."""

    def __init__(
        self,
        erased: Collection[bytes] = (),
        witness: Witness | None = None,
        *,
        track: bool = True,
        bases: Mapping[StreamKey, Base] | None = None,
    ) -> None:
        """`bases` are those of streams that begin at one, for who feeds changes in another order than by stream."""
        self._track = track
        self.chains = Chains()
        self.contents = Contents()
        self.erased: set[bytes] = set(erased)
        self.names: dict[bytes, str] = {}
        #: Of each stream, how many changes were taken and the bytes of their bodies, wherever those lie.
        self.taken: dict[StreamKey, Taken] = {}
        #: What the installation's own identity carries for a bare machine (formats/travelling.py), as it stands.
        self.travelling: dict[str, bytes] = {}
        #: Changes that a witness gave and the chain proved.
        self.filled = 0
        #: The streams that it gave some of.
        self.helped: set[StreamKey] = set()
        self._witness = witness
        self._behind: set[StreamKey] = set()  # the change before the next one was not entered
        for key, base in (bases or {}).items():
            self.chains.begin(key, Head(base.rev, base.head))

    @property
    def changes(self) -> dict[Kind, int]:
        """How many changes were taken of each kind."""
        found = dict.fromkeys(Kind, 0)
        for (_, kind), taken in self.taken.items():
            found[kind] += taken.changes
        return found

    def inline_bytes(self, counted: Callable[[bytes, Kind], bool]) -> dict[Kind, int]:
        """Of all versions of bodies that lie inline, in the streams that are counted."""
        found = dict.fromkeys(Kind, 0)
        for key, taken in self.taken.items():
            if counted(*key):
                found[key[1]] += taken.inline
        return found

    def feed(self, change: Change) -> Sequence[Entered]:
        """What to enter in the core for this change, in order: nothing where it is erased, doubled or bad."""
        if change.account in self.erased:
            return ()
        if self._witness is not None and _is_ghost(change) and (whole := self._remembered(change)) is not None:
            change = whole
        step = self.chains.follow(change)
        if step is Step.NEXT:
            self._apply(change)
            return (Entered(change, self._after_lost(change)),)
        if step is Step.AFTER_GAP:
            return self._after_gap(change)
        if step is Step.DROPPED:
            self._apply(change)
            self._after_lost(change)
            return (Entered(change, True),)
        return ()

    def _after_lost(self, change: Change) -> bool:
        """Whether what the core has before this change is not the one before it."""
        key = (change.account, change.kind)
        if key in self._behind:
            self._behind.discard(key)
            return True
        base = self.chains.bases.get(key)
        return base is not None and change.rev == base.rev + 1

    def begin(self, key: StreamKey, base: Head) -> None:
        """The next changes of this stream come from a generation in which it begins at `base`."""
        self.chains.begin(key, base)

    def lose(self, change: Change) -> Sequence[Entered]:
        """A change whose body is gone from where it was read. Whole where a witness has it so.

        Else it is entered as it is, a ghost: but in an identity, of which no part can be done without.
        """
        key = (change.account, change.kind)
        if change.account in self.erased:
            return ()
        whole = self._remembered(change)
        if whole is not None or _is_ghost(change):
            return self.feed(whole or change)
        step = self.chains.lose(change)
        if step in (Step.BAD, Step.DOUBLE):
            return ()
        if step is Step.AFTER_GAP and self._track:
            self.contents.stream(key).gap()
        if self._track:
            self.contents.stream(key).lose(change)
        self._behind.add(key)
        return ()

    def _remembered(self, change: Change) -> Change | None:
        """The witness's own copy of a change, with its body."""
        if self._witness is not None:
            for offered in self._witness.changes(change.account, change.kind, change.rev, change.rev):
                if offered.hash == change.hash and offered.body is not None:
                    self.filled += 1
                    return offered
        return None

    def end(self, key: StreamKey, head: Head, short: int = 0) -> None:
        """The last change of a stream of a generation was fed; see `Chains.end`."""
        if key[0] in self.erased:
            return
        self.chains.end(key, head, short)
        if not self.chains.whole(key) and self._track and (short or key in self.chains.sealed):
            self.contents.stream(key).gap()

    def state(self, key: StreamKey, base: Base | None, head: Head, changes: int) -> None:
        """A stream as a generation states it, unread."""
        if base is not None:
            self.chains.begin(key, Head(base.rev, base.head))
            self.chains.kept[key] = changes - (head.rev - base.rev)
        self.chains.heads[key] = head
        taken = self.taken[key] = Taken()
        taken.changes = changes

    def settle(self, key: StreamKey, settled: Settled) -> None:
        """A stream that was found whole by itself, and does not go on."""
        if key[0] in self.erased:
            return
        if settled.base is not None:
            self.chains.begin(key, Head(settled.base.rev, settled.base.head))
            self.chains.kept[key] = settled.kept
        self.chains.heads[key] = settled.head
        self.contents.streams[key] = settled.state
        taken = self.taken[key] = Taken()
        taken.changes, taken.bytes, taken.inline = settled.changes, settled.body_bytes, settled.inline_bytes

    def forget_stream(self, key: StreamKey) -> None:
        """As if it had not been read."""
        self.contents.streams.pop(key, None)
        self.chains.forget_stream(key)
        self.taken.pop(key, None)
        self._behind.discard(key)

    def _after_gap(self, change: Change) -> Sequence[Entered]:
        key = (change.account, change.kind)
        gap = self.chains.gaps[key][-1]
        behind = self._after_lost(change)
        if self._witness is not None:
            before_gap = Head(gap.first - 1, self.chains.before_gap[key])
            found = self._proven(key, before_gap, gap.last, change.prev)
            if found:
                self.chains.close(key)
                for one in found:
                    self._apply(one)
                self._apply(change)
                self.filled += len(found)
                self.helped.add(key)
                return [Entered(one, behind and one is found[0]) for one in (*found, change)]
        if self._track:
            self.contents.stream(key).gap()
        self._apply(change)
        return (Entered(change, True),)

    def _proven(self, key: StreamKey, head: Head, last: int, end: bytes) -> Sequence[Change]:
        """The witness's changes after `head`, if they lead to rev `last` with hash `end` and nothing else."""
        assert self._witness is not None
        offered = self._witness.changes(*key, head.rev + 1, last)
        for change in offered:
            if (change.account, change.kind) != key:
                return ()
            try:
                head = check_next(head, change)
            except ChainError:
                return ()
        return offered if head == Head(last, end) else ()

    def _apply(self, change: Change) -> None:
        kind = change.kind
        key = (change.account, kind)
        if _is_ghost(change):
            self.chains.ghosts.setdefault(key, {})[change.rev] = change
        if self._track:
            self.contents.stream(key).apply(change)
        taken = self.taken.get(key)
        if taken is None:
            taken = self.taken[key] = Taken()
        taken.changes += 1
        taken.bytes += change.size
        taken.inline += change.size if change.body is not None else 0
        if change.account == SYSTEM and change.name in TRAVELLING:
            self._carry(change)
        elif kind is Kind.IDENTITY:
            self._identity(change)

    def _carry(self, change: Change) -> None:
        if change.op is Op.PUT and change.body is not None:
            self.travelling[change.name] = change.body
        elif change.op is Op.DELETE:
            self.travelling.pop(change.name, None)

    def _identity(self, change: Change) -> None:
        """As the core does it: also where whoever wrote this was none of ours, for a recovery brings that back too."""
        gone = erased_id(change) if change.op is Op.PUT else None
        if gone is not None:
            self._erase(gone)
        elif change.op is Op.RMCOL or (change.op is Op.DELETE and change.name == PROFILE):
            self.names[change.account] = ""
        elif change.op is Op.PUT and change.name == PROFILE and change.body is not None:
            try:
                self.names[change.account] = _decode_profile(change.body).name
            except msgspec.MsgspecError:
                self.names[change.account] = ""
                self.chains.note(f"account {change.account.hex()}: its profile cannot be read")

    def _erase(self, account: bytes) -> None:
        self.erased.add(account)
        self.names.pop(account, None)
        self.chains.forget(account)
        for kind in Kind:
            self.contents.streams.pop((account, kind), None)
            self.taken.pop((account, kind), None)

    def seal(self, heads: Mapping[StreamKey, Head]) -> None:
        """What a seal of the log says."""
        if self.erased:
            heads = {key: head for key, head in heads.items() if key[0] not in self.erased}
        self.chains.seal(heads)

    def finish(self, *, ask: bool = True) -> Sequence[Entered]:
        """After the last entry: what a witness can add at the end of streams whose sealed head was not reached.

        Unless `ask`, none is asked.
        """
        found: list[Entered] = []
        for key, sealed in list(self.chains.sealed.items()):
            changes: Iterable[Change] = ()
            if self._witness is not None and ask:
                changes = self._proven(key, self.chains.head(key), sealed.rev, sealed.hash)
            for change in changes:
                del self.chains.sealed[key]
                found.extend(self.feed(change))
                self.chains.sealed[key] = sealed
            if self.chains.head(key) == sealed:
                self.chains.sealed.pop(key, None)
            elif self._track:
                self.contents.stream(key).gap()
        self.filled += len(found)
        return found

    def name_of(self, account: bytes) -> str:
        """The account's name, "" for the installation, its id in hex where the name is not known."""
        if account == SYSTEM:
            return ""
        return self.names.get(account) or account.hex()
