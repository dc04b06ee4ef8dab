"""Attestation: whether a generation in a vault is what follows from the one before it and the log between.

Everything is read from that vault alone. A generation is attested when

1. every object that its manifest names is there and has the digest that the manifest has of it;
2. its position is on the log, which has no hole since the generation attested before (or its own beginning), but for
   holes that are made up for: on record, or in that a seal after them states how every stream of them ends, and every
   stream gets there, or somebody took the loss on them (a GAP change);
3. its streams are those that follow: none missing, none that the log does not know, each with the head that the log's
   changes lead to, hash by hash; of accounts in the register of erased ids none need be there;
4. its changes that were not attested before chain to those heads, with bodies true to their digests, blobs that are
   there and are listed, and with the state roots that it states;
5. history is dropped only as far as the keeper allowed, and what is kept of it is what was attested before: the same
   changes, whose state root at the base is the one that the generation before leads to.

A generation that is not is refused, with reasons in plain words; nothing is concluded from it, and what would have been
removed on its word stays.

Long, as the five rules are one judgement of one generation, in the order in which they are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice

from safehold.formats.blob import blob_object
from safehold.formats.generation import manifest_object
from safehold.formats.keys import Opener
from safehold.formats.run import RunBase
from safehold.model.change import GENESIS, Change, Op
from safehold.model.errors import Damaged
from safehold.model.gaps import ghosts_of, lacks_body
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import EMPTY_HEAD, BadChange, Head, check_self
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole
from safehold.ports.vault import Vault
from safehold.ports.world import Clock
from safehold.recovery.chains import Chains, Gap, Step, StreamKey
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.replay import erased_id
from safehold.recovery.selection import SYSTEM
from safehold.recovery.states import LiveState
from safehold.vault.log import Branch, NotOnTheLog, VaultLogReader
from safehold.vault.receipts import AttestFacts, Receipts
from safehold.vault.runs import Generation, GenerationReader, RunFile, Runs, StreamEntry, StreamPart
from safehold.vault.segments import limits, segments

CHUNK_BYTES = 1024 * 1024
#: Reasons told of one generation, at most.
MAX_REASONS = 20
#: Generations tried in one go, newest first: what is newer than the one attested then is refused.
MAX_TRIES = 8


class Verdict:
    """What was found of one generation; `facts.ok` says whether it is attested."""

    def __init__(self, facts: AttestFacts, position: LogPosition) -> None:
        self.facts = facts
        self.position = position


class _Refused(Exception):
    """A reason not to attest."""


class _Otherwise(_Refused):
    """One that no damage explains: what was written is not what follows."""


def attest(
    vault: Vault,
    opener: Opener,
    receipts: Receipts,
    clock: Clock,
    *,
    elsewhere: Sequence[Receipts] = (),
    excuses: EvidenceExcuses | None = None,
) -> list[Verdict]:
    """Look at the generations that are newer than the last attested one: the newest that holds is attested.

    `elsewhere` are the keeper's words on other vaults: where nothing was attested here yet and the log's beginning is
    not here, a generation that was attested there and is whole here stands for that. `excuses` tell what was made up
    for of the log, and which generation a recovery began with where nothing was left of it. Raises VaultDown.
    """
    excuses = excuses or EvidenceExcuses(vault.name, ())
    runs = Runs([vault], opener)
    branch = VaultLogReader([vault], opener).branch()
    before = _attested_before(runs, receipts, branch)
    begun = _begun(runs, excuses, branch)
    if begun is not None and (before is None or before.number < begun.number):
        return _try(runs, vault, opener, begun, receipts, clock, excuses, begun.number)
    found = _try(runs, vault, opener, before, receipts, clock, excuses, 0 if before is None else before.number + 1)
    if before is not None or not found or any(verdict.facts.ok for verdict in found):
        return found
    for words in elsewhere:
        other = _attested_before(runs, words, branch)
        if other is not None and not whole(vault, other):
            return _try(runs, vault, opener, other, receipts, clock, excuses, other.number)
    return found


def _try(
    runs: Runs,
    vault: Vault,
    opener: Opener,
    before: Generation | None,
    receipts: Receipts,
    clock: Clock,
    excuses: EvidenceExcuses,
    first: int,
) -> list[Verdict]:
    """Verdicts on the generations from `first` on, newest first, up to the one that is attested."""
    verdicts: list[Verdict] = []
    branch = VaultLogReader([vault], opener).branch()
    newer = (n for n in runs.numbers() if n >= first and vault.size(manifest_object(n)))
    known = ((number, runs.generation(number)) for number in newer)
    on_it = ((n, g) for n, g in known if g is None or not branch.left(g.position))
    for number, generation in islice(on_it, MAX_TRIES):
        began = clock.monotonic()
        receipt, now = receipts.now(clock.now()), clock.now()
        if generation is None:
            facts = AttestFacts(number, "", receipt, now, False, runs.problems()[-MAX_REASONS:])
            verdicts.append(Verdict(facts, EMPTY_LOG))
            continue
        check = _Check(vault, opener, runs, generation, before, receipts, excuses)
        reasons = check.run()
        facts = AttestFacts(
            number,
            generation.digest.hex(),
            receipt,
            now,
            not reasons,
            reasons,
            check.streams,
            check.changes,
            check.objects,
            round(clock.monotonic() - began, 3),
            check.identity,
            check.otherwise,
        )
        verdicts.append(Verdict(facts, generation.position))
        if not reasons:
            break
    return verdicts


def whole(vault: Vault, generation: Generation) -> list[str]:
    """What is wrong with the objects of a generation in this vault: each is read and compared with its digest."""
    problems = []
    for entry in generation.manifest.runs:
        name, size, digest = entry.object.name, entry.object.size, entry.object.digest
        there = vault.size(name)
        if there is None:
            problems.append(f"{name} is missing")
        elif there != size:
            problems.append(f"{name} is {there} bytes long; its manifest says {size}")
        elif _digest(vault, name, size) != digest:
            problems.append(f"{name} is not what its manifest says: its digest differs")
    return problems[:MAX_REASONS]


def _digest(vault: Vault, name: str, size: int) -> bytes:
    total = sha256()
    try:
        for offset in range(0, size, CHUNK_BYTES):
            total.update(vault.get(name, offset, min(CHUNK_BYTES, size - offset)))
    except KeyError:
        return b""
    return total.digest()


def _attested_before(runs: Runs, words: Receipts, branch: Branch) -> Generation | None:
    """The newest generation that is there as it was attested by these words, and that the log did not leave since."""
    for attested in sorted(words.attested, key=lambda a: a.generation, reverse=True):
        if branch.left(attested.position):
            continue
        generation = runs.generation(attested.generation)
        if generation is not None and generation.digest == attested.manifest:
            return generation
    return None


def _begun(runs: Runs, excuses: EvidenceExcuses, branch: Branch) -> Generation | None:
    """The generation that a recovery began with because nothing was left of the log, as the keeper's word has it."""
    generation = runs.generation(excuses.begun[0]) if excuses.begun is not None else None
    if generation is None or excuses.begun != (generation.number, generation.digest.hex()):
        return None
    return None if branch.left(generation.position) else generation


class _Check:
    """One generation against the one before."""

    def __init__(
        self,
        vault: Vault,
        opener: Opener,
        runs: Runs,
        generation: Generation,
        before: Generation | None,
        receipts: Receipts,
        excuses: EvidenceExcuses,
    ) -> None:
        self._vault = vault
        self._opener = opener
        self._receipts = receipts
        self._excuses = excuses
        self._holes: list[Hole] = []
        #: Changes within gaps (prev and hash by rev), and for each gap the hash before it and the one it must lead to.
        self._again: dict[StreamKey, dict[int, tuple[bytes, bytes]]] = {}
        self._around: dict[tuple[StreamKey, Gap], tuple[bytes, bytes]] = {}
        self._runs = runs
        self._generation = generation
        self._reader = runs.reader(generation)
        self._before = runs.reader(before) if before is not None else None
        self._since = before.position if before is not None else EMPTY_LOG
        self._known = {e.object for e in before.manifest.runs} if before is not None else set()
        self._chains = Chains()
        self._loaded: set[StreamKey] = set()
        self._erased: set[bytes] = set()
        self._dropped: GenerationReader | None = None
        self._reasons: list[str] = []
        self._told = set(runs.problems())
        self.otherwise = False
        self.streams = self.changes = self.identity = 0
        self.objects = len(generation.manifest.runs)

    def run(self) -> list[str]:
        """The reasons why it is not attested; none where it is."""
        self._reasons += whole(self._vault, self._generation)
        if self._reasons:
            return self._reasons
        try:
            self._check_dropped()
            self._read_register()
            self._read_log()
            for kind in RESTORE_ORDER:
                self._compare(kind)
        except (_Refused, Damaged) as error:
            self.otherwise |= isinstance(error, _Otherwise) and not self._holes
            self._reasons.append(str(error))
        for problem in self._runs.problems() if not self._reasons else ():
            if problem not in self._told:
                self._reasons.append(problem)
        return self._reasons[:MAX_REASONS]

    def _refuse(self, reason: str) -> None:
        """One of the reasons that a generation gives by what it says: whole as it is, only holes may explain it."""
        self.otherwise |= not self._holes
        self._reasons.append(reason)
        if len(self._reasons) >= MAX_REASONS:
            raise _Refused("there is more of that")

    # -- what was attested before, and the log since

    def _read_register(self) -> None:
        """The register of erased accounts as the generation before has it."""
        entry = self._before.stream(SYSTEM, Kind.IDENTITY) if self._before is not None else None
        if entry is not None:
            assert self._before is not None
            for _, change in self._before.changes_of(entry):
                self._note_erased(change)

    def _note_erased(self, change: Change) -> None:
        gone = erased_id(change)
        if gone is not None:
            self._erased.add(gone)

    def _head_before(self, key: StreamKey) -> Head:
        entry = self._before.stream(*key) if self._before is not None else None
        return entry.head if entry is not None else EMPTY_HEAD

    def _load(self, key: StreamKey) -> None:
        if key not in self._loaded:
            self._loaded.add(key)
            head = self._head_before(key)
            if head.rev:
                self._chains.heads[key] = head

    def _read_log(self) -> None:
        """Chains of the streams that changed since."""
        upto = self._generation.position
        reader = VaultLogReader([self._vault], self._opener)
        reached = self._since
        untold = 0  # first frame of holes of which no seal has told yet what was in them
        try:
            for entry in reader.entries(self._since):
                first = entry.first if isinstance(entry, Hole) else entry.position.frame
                if first > upto.frame:
                    break
                if isinstance(entry, Hole):
                    self._holes.append(entry)
                    if not self._is_made_up(entry):
                        untold = untold or entry.first
                    continue
                reached = entry.position
                for change in entry.changes:
                    self._follow(change)
                if entry.sealed:
                    if untold and entry.since >= untold:
                        raise self._holed()
                    untold = 0
                    for key in entry.heads:
                        self._load(key)
                    self._chains.seal({k: h for k, h in entry.heads.items() if k[0] not in self._erased})
        except NotOnTheLog as error:
            raise _Refused(f"the log does not lead on from the generation before: {error.message}") from None
        if reached != upto:
            raise _Refused(
                f"its position, frame {upto.frame} of timeline {upto.timeline}, is not on the log of this vault, "
                f"which leads to frame {reached.frame} of timeline {reached.timeline}"
            )
        if untold:
            raise self._holed()
        self._fill()
        for account in self._erased:
            self._chains.forget(account)
        if self._chains.refused:
            raise _Otherwise(f"the log does not chain: {self._chains.problems[-1]}")
        for key in self._chains.streams():
            for gap in self._chains.missing(key):
                if self._holes:
                    raise self._holed(f"; it lacks revs {gap.first} to {gap.last} of {_words(key)}")
                raise _Refused(f"the log lacks revs {gap.first} to {gap.last} of {_words(key)}")

    def _holed(self, more: str = "") -> _Refused:
        hole = self._holes[-1]
        why = "; ".join(hole.problems[:1])
        return _Refused(f"the log has a hole from frame {hole.first} to {hole.last}: {why}{more}")

    def _is_made_up(self, hole: Hole) -> bool:
        """Whether all of the segments that should hold these frames are on record as made up for, and as they were."""
        if hole.last < self._excuses.log_from[1]:
            return True  # numbers go on along the log, whatever the timeline
        there = segments([self._vault], hole.timeline)
        names = sorted({*there, *self._excuses.made_up_segments(hole.timeline)})
        for name, limit in zip(names, limits(names), strict=True):
            if name.first > hole.last or (limit is not None and limit < hole.first):
                continue
            left = self._excuses.made_up(str(name))
            size = there[name][0].size if name in there else 0
            if left is None or left != (_digest(self._vault, str(name), size) if name in there else b""):
                return False
        return bool(names)

    def _follow(self, change: Change) -> None:
        key = change.account, change.kind
        self._note_erased(change)
        if change.account in self._erased:
            return
        self._load(key)
        if any(gap.first <= change.rev <= gap.last for gap in self._chains.gaps.get(key, ())):
            self._again.setdefault(key, {})[change.rev] = change.prev, change.hash
            return  # the core wrote it again, after what follows it; the reader has checked its hash
        step = self._chains.follow(change)
        if step is Step.BAD:
            raise _Otherwise(f"the log does not chain: {self._chains.problems[-1]}")
        if step is Step.AFTER_GAP:
            gap = self._chains.gaps[key][-1]
            self._around[key, gap] = self._chains.before_gap[key], change.prev

    def _fill(self) -> None:
        """Close the gaps that changes written again fill, hash by hash from what is before to what comes after."""
        for (key, gap), (before, after) in self._around.items():
            again = self._again.get(key, {})
            for rev in range(gap.first, gap.last + 1):
                prev, hash_ = again.get(rev, (b"", b""))
                if prev != before or not hash_:
                    break
                before = hash_
            else:
                if before == after and gap in self._chains.gaps.get(key, ()):
                    self._chains.gaps[key].remove(gap)

    # -- its streams

    def _compare(self, kind: Kind) -> None:
        """Every stream of one kind: that it is there, with the right head, and all that is new in it."""
        expected = {key[0]: head for key, head in self._chains.heads.items() if key[1] is kind and head.rev}
        before: dict[bytes, StreamEntry] = {}
        for entry in self._before.streams((kind,)) if self._before is not None else ():
            before[entry.account] = entry
            expected.setdefault(entry.account, entry.head)
        for entry in self._reader.streams((kind,)):
            if entry.account in self._erased:
                continue
            self.streams += 1
            head = expected.pop(entry.account, None)
            if head is None:
                self._refuse(f"{_words(entry.key)} is in it, and not on the log")
            elif head != entry.head:
                ends = "is cut short at" if entry.head.rev < head.rev else "has another head at"
                self._refuse(f"{_words(entry.key)} {ends} rev {entry.head.rev}; the log leads to rev {head.rev}")
            else:
                self._check_stream(entry, before.get(entry.account))
            if entry.account == SYSTEM and kind is Kind.IDENTITY:
                self.identity = entry.head.rev
        for account in expected:
            if account not in self._erased:
                self._refuse(f"{_words((account, kind))} is missing")

    def _check_stream(self, entry: StreamEntry, before: StreamEntry | None) -> None:
        head: Head | None = None
        for part in entry.parts:
            base = part.stream.base
            if head is not None and (base.rev, base.head) != (head.rev, head.hash):
                raise _Otherwise(f"{_words(entry.key)}: {part.object.name} does not continue the run before it")
            if part.object.entry.object not in self._known:
                self._check_part(entry.key, part, before, first=head is None)
            head = Head(part.stream.rev, part.stream.head)

    def _check_part(self, key: StreamKey, part: StreamPart, before: StreamEntry | None, *, first: bool) -> None:
        """All changes of a stream in one new run object."""
        stream, base = part.stream, part.stream.base
        blobs = frozenset(part.object.directory().blobs)
        kept = iter(self._kept_before(key, base, before)) if first and base.rev else None
        state = LiveState()
        chains = Chains()
        chains.heads[key] = Head(base.rev, base.head)
        count = 0
        bare: dict[int, str] = {}  # revs whose body is not there, and why; and those of which the stream says so itself
        recorded: set[int] = set()
        proved = not (first and base.rev)
        for change in part.object.changes_of(stream, base.head if not (first and base.rev) else GENESIS):
            count += 1
            why = self._check_change(key, change, part.object, blobs)
            if why:
                bare[change.rev] = why
            recorded |= ghosts_of(change)
            if change.rev <= base.rev and kept is not None:
                if not _find(kept, change):
                    raise _Otherwise(f"{_words(key)}: rev {change.rev} of its base is none that was attested before")
            else:
                if not proved:
                    self._check_root(key, state, base.root, f"at its base, rev {base.rev}")
                    proved = True
                if chains.follow(change) is Step.BAD:
                    raise _Otherwise(f"{_words(key)}: {part.object.name} does not chain: {chains.problems[-1]}")
            if first:
                state.apply(change)
        for rev in bare.keys() - recorded:
            raise _Refused(f"{_words(key)}: {bare[rev]}")
        if not proved:
            self._check_root(key, state, base.root, f"at its base, rev {base.rev}")
        if chains.head(key) != Head(stream.rev, stream.head) or chains.missing(key) or count != stream.changes:
            raise _Otherwise(f"{_words(key)}: {part.object.name} holds not what its directory says")
        if first and stream.root:
            self._check_root(key, state, stream.root, f"at rev {stream.rev}")
        self.changes += count

    def _check_root(self, key: StreamKey, state: LiveState, root: bytes, where: str) -> None:
        if state.root() != root:
            raise _Otherwise(f"{_words(key)}: its state root {where} is another one")

    def _check_change(self, key: StreamKey, change: Change, object_: RunFile, blobs: frozenset[bytes]) -> str:
        """Why its body is not there, where it has one; "" where it is."""
        try:
            check_self(change)
        except BadChange as error:
            raise _Refused(f"{_words(key)}: {object_.name}: {error}") from None
        if change.op in (Op.MKCOL, Op.SETCOL, Op.PROPS) and change.props_digest and change.props is None:
            raise _Refused(f"{_words(key)}: {object_.name} lacks the properties of rev {change.rev}")
        if change.blob is not None:
            if change.blob not in blobs:
                raise _Refused(f"{_words(key)}: {object_.name} does not list the blob of rev {change.rev}")
            there = self._vault.size(blob_object(change.blob))
            return "" if there else f"{blob_object(change.blob)}, which rev {change.rev} needs, is not there"
        return f"{object_.name} lacks the body of rev {change.rev}" if lacks_body(change) else ""

    # -- dropped history

    def _check_dropped(self) -> None:
        upto = self._generation.manifest.dropped_upto
        before = self._before.generation.manifest.dropped_upto if self._before is not None else 0
        allowed = max(before, self._receipts.drop_upto)
        if upto > allowed:
            raise _Otherwise(f"history is dropped up to frame {upto}, and the keeper allowed it up to {allowed}")
        if not upto:
            return
        known = [a for a in self._receipts.attested if upto <= a.generation <= self._receipts.drop_upto]
        for attested in sorted(known, key=lambda a: a.generation):
            found = self._runs.generation(attested.generation)
            if found is not None and found.digest == attested.manifest:
                self._dropped = self._runs.reader(found)
                return

    def _kept_before(self, key: StreamKey, base: RunBase, before: StreamEntry | None) -> list[Change]:
        """What the generation before has of a stream up to a base; place, head and root of that are checked."""
        if before is None or self._before is None:
            raise _Refused(f"{_words(key)}: history before rev {base.rev} is dropped, and none was attested")
        if before.base != base:
            entry = self._dropped.stream(*key) if self._dropped is not None else None
            if entry is None or base.rev > entry.head.rev or base.rev < before.base.rev:
                raise _Otherwise(f"{_words(key)}: history up to rev {base.rev} is dropped, further than was allowed")
        state = LiveState()
        found: list[Change] = []
        head = before.base.head
        for _, change in self._before.changes_of(before, bodies=False):
            if change.rev > base.rev:
                break
            state.apply(change)
            found.append(change)
            if change.rev > before.base.rev:
                head = change.hash
        if head != base.head or state.root() != base.root:
            raise _Otherwise(f"{_words(key)}: its base, rev {base.rev}, is not what was attested before")
        return found


def _find(kept: Iterator[Change], change: Change) -> bool:
    """Whether the next changes of `kept` come to this one."""
    return any(other.rev == change.rev and other.hash == change.hash for other in _upto(kept, change.rev))


def _upto(kept: Iterator[Change], rev: int) -> Iterator[Change]:
    for other in kept:
        yield other
        if other.rev >= rev:
            return


def _words(key: StreamKey) -> str:
    return "the installation's identity" if key[0] == SYSTEM else f"{key[1]} of account {key[0].hex()[:8]}"
