"""Retention carried out: look at a vault, plan (retention.py), tell, remove.

look       listings, manifests, directories of runs, the register of erased accounts
make       the plan; before anything may go, the two generations that cover it are read whole
carry_out  evidence that names all that goes, and then, in this order: blobs put back, manifests, runs, segments from
           the oldest on, evidence, first segments shortened, blobs moved aside, what lay aside long enough

Killed anywhere, the next run finds the rest: what was named and is there still is planned again, by what made it go the
first time. Evidence comes first, so a vault never lacks anything that was not named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from safehold.formats import blob, segment
from safehold.formats.generation import manifest_object
from safehold.formats.keys import Opener
from safehold.formats.run import RUNS_PREFIX
from safehold.model.change import Op
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.ports.log import Hole
from safehold.ports.vault import KeptVault, Vault
from safehold.ports.world import Clock
from safehold.recovery.attest import whole
from safehold.recovery.replay import erased_id
from safehold.recovery.retention import (
    LOCKED,
    Choice,
    EvidenceSeen,
    GenerationSeen,
    Plan,
    Policy,
    SegmentSeen,
    View,
    choose,
    leave_locked,
    plan,
)
from safehold.recovery.selection import SYSTEM
from safehold.vault.log import NotOnTheLog, VaultLogReader
from safehold.vault.parity import drop_groups
from safehold.vault.receipts import Receipts, RetainFacts
from safehold.vault.runs import Generation, Runs
from safehold.vault.segments import segments, timelines

CHUNK_BYTES = 1024 * 1024
ASIDE_PREFIX = "aside/"
#: After so many removals it is looked again whether a recovery was opened meanwhile.
CHECK_EVERY = 64

#: Why nothing may be removed now ("" where it may): a recovery is open.
Frozen = Callable[[], str]
#: Whether an object cannot be removed yet, since whoever stores it has locked it.
Held = Callable[[str], bool]
#: Puts `retain` evidence into the vault, and returns once it is synced there.
Tell = Callable[[RetainFacts, LogPosition], None]


class Look:
    """What was found in one vault, and what can be read more of it."""

    def __init__(self, vault: Vault, opener: Opener, receipts: Receipts, clock: Clock) -> None:
        self.vault = vault
        self.opener = opener
        self._runs = Runs([vault], opener)
        self._directories: dict[str, tuple[frozenset[bytes], frozenset[bytes]]] = {}
        self._generations: dict[int, Generation] = {g.number: g for g in self._runs.generations()}
        self._receipts = receipts
        self._branch = VaultLogReader([vault], opener).branch()
        self.clock = clock

    def view(self, evidence: Sequence[EvidenceSeen], frozen: str, damaged: str) -> View:
        """Raises VaultDown."""
        vault = self.vault
        runs = {info.name: info.size for info in vault.list(RUNS_PREFIX)}
        erased = self._register()
        return View(
            self._receipts,
            self.clock.now(),
            [
                SegmentSeen(name, holders[0].size)
                for timeline in timelines([vault])
                for name, holders in segments([vault], timeline).items()
            ],
            runs,
            [self._seen(generation, runs, frozenset(erased)) for generation in self._generations.values()],
            evidence,
            erased,
            frozenset(p for p in self._positions() if self._branch.left(p)),
            frozen,
            damaged or "; ".join(self._runs.problems()[:3]),
        )

    def _register(self) -> dict[bytes, int]:
        """Erased accounts, as the newest attested generation knows them, with the rev that says so."""
        attested = [
            a
            for a in self._receipts.attested
            if self._is(a.generation, a.manifest) and not self._branch.left(a.position)
        ]
        newest = max((a.generation for a in attested), default=0)
        if not newest:
            return {}
        reader = self._runs.reader(self._generations[newest])
        entry = reader.stream(SYSTEM, Kind.IDENTITY)
        found = {}
        for _, change in reader.changes_of(entry) if entry is not None else ():
            gone = erased_id(change) if change.op is Op.PUT else None
            if gone is not None:
                found[gone] = change.rev
        return found

    def _positions(self) -> Iterator[LogPosition]:
        yield from (generation.position for generation in self._generations.values())
        yield from (attested.position for attested in self._receipts.attested)

    def _is(self, number: int, manifest: bytes) -> bool:
        return number in self._generations and self._generations[number].digest == manifest

    def _seen(self, generation: Generation, runs: dict[str, int], erased: frozenset[bytes]) -> GenerationSeen:
        entries = generation.manifest.runs
        holds: frozenset[bytes] = frozenset()
        for entry in entries if erased else ():
            holds |= self._directory(generation, entry.object.name)[0] & erased
        return GenerationSeen(
            generation.number,
            generation.digest,
            generation.position,
            frozenset(entry.object.name for entry in entries),
            all(runs.get(entry.object.name) == entry.object.size for entry in entries),
            holds,
        )

    def _directory(self, generation: Generation, name: str) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """The accounts and the blobs of a run object."""
        if name not in self._directories:
            for object_ in self._runs.reader(generation).objects:
                if object_.name == name:
                    directory = object_.directory()
                    self._directories[name] = (
                        frozenset(stream.account for stream in directory.streams),
                        frozenset(directory.blobs),
                    )
        return self._directories[name]

    def needed_blobs(self, choice: Choice) -> tuple[set[str], str]:
        """Blobs that the generations that stay and the log after the cover name; what hinders from telling."""
        names: set[bytes] = set()
        for number in choice.kept:
            generation = self._generations[number]
            for entry in generation.manifest.runs:
                names |= self._directory(generation, entry.object.name)[1]
        found = {blob.blob_object(name) for name in names}
        since = choice.cover[-1].position
        tail, problem = self.named_since(since)
        return found | tail, problem or "; ".join(self._runs.problems()[:3])

    def named_since(self, position: LogPosition) -> tuple[set[str], str]:
        """Blobs that the log after a position names; why it cannot be read, where that is so."""
        found: set[str] = set()
        try:
            for entry in VaultLogReader([self.vault], self.opener).entries(position):
                if isinstance(entry, Hole):
                    return found, f"the log has a hole from frame {entry.first} to {entry.last}"
                found |= {blob.blob_object(c.blob) for c in entry.changes if c.blob is not None}
        except NotOnTheLog as error:
            return found, error.message
        return found, ""

    def verify(self, choice: Choice) -> str:
        """What is wrong with the generations that cover what is to go, read whole now; "" where nothing is."""
        for seen in choice.cover:
            problems = whole(self.vault, self._generations[seen.number])
            if problems:
                return problems[0]
        return ""


def look(vault: Vault, opener: Opener, receipts: Receipts, clock: Clock) -> Look:
    """Raises VaultDown."""
    return Look(vault, opener, receipts, clock)


def make(
    found: Look,
    policy: Policy,
    evidence: Sequence[EvidenceSeen],
    *,
    frozen: str = "",
    damaged: str = "",
    held: Held = lambda _: False,
) -> Plan:
    """What would go and why the rest stays. Reads; writes nothing. Raises VaultDown."""
    view = found.view(evidence, frozen, damaged)
    choice = choose(view, policy)
    if choice.blocked:
        return plan(view, choice, {}, ())
    locked = [g.number for g in view.generations if g.number not in choice.kept and held(manifest_object(g.number))]
    choice = choice._replace(kept=choice.kept | dict.fromkeys(locked, LOCKED))
    needed, problem = found.needed_blobs(choice)
    if not problem:
        blobs = {info.name: info.size for info in found.vault.list(blob.BLOB_PREFIX)}
        made = plan(view, choice, blobs, needed, _aside(found.vault))
        leave_locked(made, view.receipts.log_from, held)
        problem = "" if made.empty else found.verify(choice)
        if not problem:
            return made
    return plan(view, choice._replace(blocked=f"the vault is damaged: {problem}"), {}, ())


def _aside(vault: Vault) -> dict[str, str]:
    """Blobs that lie aside: name of the object -> where the last one put there lies."""
    found = {}
    for info in vault.list(ASIDE_PREFIX):
        name = info.name.partition("+")[2].replace("+", "/")
        if name.startswith(blob.BLOB_PREFIX) and info.size:
            found[name] = info.name
    return found


def carry_out(found: Look, vault: KeptVault, made: Plan, tell: Tell, frozen: Frozen = str) -> None:
    """Do what a plan says, at once after it was made. Raises VaultDown, OperatorError; what is left is planned again.

    `vault` is the one that was looked at, with its keeper's credentials.
    """
    headers = {going.name: vault.get(going.name, 0, segment.HEADER_BYTES) for going in made.shorten}
    end = VaultLogReader([vault], found.opener).end()
    tell(made.facts(found.clock.now()), end)
    drop_groups(vault, {going.name for going in (*made.remove, *made.shorten, *made.aside)})
    _put_back(vault, made.put_back)
    for n, going in enumerate(made.remove):
        if n % CHECK_EVERY == 0 and frozen():
            return
        vault.remove(going.name)
    for name, header in headers.items():
        vault.replace(name, [header])
    if frozen():
        return
    for going in made.aside:
        vault.set_aside(going.name)
    named, _ = found.named_since(end)
    _put_back(vault, sorted(named & {going.name for going in made.aside}))
    if made.purge_before:
        vault.purge_aside(made.purge_before)


def _put_back(vault: KeptVault, names: Sequence[str]) -> None:
    """Blobs that are named again, from where they lie aside."""
    lying = _aside(vault) if names else {}
    for name in names:
        if name in lying and not vault.size(name):
            vault.replace(name, _chunks(vault, lying[name]))


def _chunks(vault: Vault, name: str) -> Iterator[bytes]:
    for offset in range(0, vault.size(name) or 0, CHUNK_BYTES):
        yield vault.get(name, offset, CHUNK_BYTES)
