"""Which generation a recovery begins with: what a keeper attested goes before what a writer alone has signed."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from safehold.formats.evidence import Evidence
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.keys import Role, Sealer, SigningKey, certify, recipient_of
from safehold.formats.segment import HEADER_BYTES
from safehold.lab.world import SimClock
from safehold.model.change import rehash
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.ports.log import LogFrame
from safehold.recovery.origin import Origin
from safehold.recovery.trust import verdicts_of
from safehold.vault.evidence import put_evidence
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from safehold.vault.receipts import AttestFacts
from safehold.vault.runs import Runs, StreamKey
from tests.support.logs import IDENTITY, OPENER, ROOT, SEALER, Writing
from tests.support.recovery_fakes import an_id
from tests.support.runs import Framed, Generations, framed
from tests.unit import test_recovery_generations as generations

KEEPER_KEY = SigningKey(b"k" * 32)
KEEPER = Sealer(recipient_of(IDENTITY), KEEPER_KEY, ROOT.public, certify(ROOT, KEEPER_KEY.public, Role.KEEPER))


class World:
    """A log of 12 changes with an honest generation after 6 of them, and a false one, of nothing, at its end."""

    def __init__(self) -> None:
        self.vault = MemoryVault("near")
        self.clock = SimClock()
        self.writing = Writing([self.vault])
        self.writing.write(6)
        self.honest = self.make(self.history())
        self.writing.write(6)
        self.false = self.make([])

    def history(self) -> list[Framed]:
        entries = VaultLogReader([self.vault], OPENER).entries()
        return framed(entry for entry in entries if isinstance(entry, LogFrame))

    def make(self, history: list[Framed]) -> int:
        position = self.writing.log.position
        Generations([self.vault], SEALER).make(history, position)
        return position.frame

    def judge(self, number: int, ok: bool, sealer: Sealer = KEEPER) -> None:
        generation = Runs([self.vault], OPENER).generation(number)
        assert generation is not None
        facts = msgspec.to_builtins(AttestFacts(number, generation.digest.hex(), 1, 1, ok))
        value = Evidence(1, "attest", 0, "near", LogPosition(*generation.position), b"", facts)
        put_evidence([self.vault], sealer, self.clock, value)

    def begins_with(self) -> int:
        origin = Origin(VaultLogReader([self.vault], OPENER), Runs([self.vault], OPENER))
        return origin.number


@pytest.fixture
def world() -> World:
    return World()


def test_without_any_word_of_a_keeper_the_newest_counts(world: World) -> None:
    assert world.begins_with() == world.false


def test_an_attested_one_goes_before_a_newer_one(world: World) -> None:
    world.judge(world.honest, True)
    assert world.begins_with() == world.honest
    origin = Origin(VaultLogReader([world.vault], OPENER), Runs([world.vault], OPENER))
    assert len(framed(e for e in origin.tail() if isinstance(e, LogFrame))) == 6
    assert world.false not in [reader.generation.number for reader in origin.readers()]


def test_what_was_refused_is_never_begun_with(world: World) -> None:
    world.judge(world.false, False)
    assert world.begins_with() == world.honest
    world.judge(world.honest, False)
    assert world.begins_with() == 0  # the log has all of it


def test_what_was_refused_is_better_than_nothing() -> None:
    """The log's beginning is gone, and there is no other generation: it is taken, and told."""
    world = World()
    world.judge(world.false, False)
    world.judge(world.honest, False)
    for name in sorted(n for n in world.vault.objects if n.startswith("log/"))[:1]:
        data = world.vault.objects[name]
        frames = [f for f in scan_frames(data, HEADER_BYTES) if isinstance(f, RawFrame)]
        last = next(f for f in frames if f.header.number == world.honest)
        world.vault.objects[name] = data[:HEADER_BYTES] + data[last.offset :]
    runs = Runs([world.vault], OPENER)
    assert Origin(VaultLogReader([world.vault], OPENER), runs).number in (world.honest, world.false)
    assert any("a keeper refused it" in problem for problem in runs.problems())


def test_a_writers_word_is_no_keepers(world: World) -> None:
    world.judge(world.honest, True)
    world.judge(world.false, True, SEALER)
    assert world.begins_with() == world.honest


def test_an_attested_one_that_is_gone_leaves_the_one_before_or_the_log(world: World) -> None:
    world.judge(world.honest, True)
    del world.vault.objects[f"runs/{world.honest:012d}/generation"]
    world.judge(world.false, False)
    assert world.begins_with() == 0


def test_rubbish_among_the_facts_says_nothing(world: World) -> None:
    value = Evidence(1, "attest", 0, "near", LogPosition(1, 1, b""), b"", {"generation": "x"})
    put_evidence([world.vault], KEEPER, world.clock, value)
    assert verdicts_of([world.vault], OPENER) == (frozenset(), frozenset())


def another_history(history: list[Framed], key: StreamKey) -> list[Framed]:
    """The same, with another body in one stream's first item, and all that follows chained to that."""
    found: list[Framed] = []
    head: bytes | None = None
    for frame, change in history:
        if (change.account, change.kind) == key and (head is not None or change.body is not None):
            body = b"forged" if head is None else change.body
            raw = msgspec.structs.replace(
                change,
                body=body,
                digest=sha256(body).digest() if body is not None else change.digest,
                size=len(body) if body is not None else change.size,
                prev=change.prev if head is None else head,
            )
            change = msgspec.structs.replace(raw, hash=rehash(raw))
            head = change.hash
        found.append((frame, change))
    return found


@pytest.mark.parametrize("hide", [True, False])
def test_seals_speak_against_a_false_generation_that_is_the_only_one(hide: bool) -> None:
    """Signed with a stolen writer's key, of streams that the log does not touch any more."""
    world = generations.World()
    meant = generations.Recovery(generations.World(world.history), [])
    meant.sources = [meant.world.near]
    meant.run(meant.plan(runs=None))
    eve = an_id("eve"), Kind.SCORES
    true = world.framed
    last = max(e.position.frame for e in world.vaults.reader().entries() if getattr(e, "sealed", False))
    world.framed = [(f, c) for f, c in true if (c.account, c.kind) != eve] if hide else another_history(true, eve)
    assert world.framed != true
    world.at(last)
    recovery = world.recovery()
    plan = recovery.plan()
    assert (plan.generation, plan.damaged) == (last, [eve])
    assert recovery.run(plan).report.exit_code == 0
    assert recovery.state() == meant.state()


def test_what_no_seal_states_is_told_as_attested_by_nobody() -> None:
    world = generations.World()
    world.at(60)
    assert not any("attested by nobody" in problem for problem in world.recovery().plan().problems)
    world.cut_log(60)
    told = [problem for problem in world.recovery().plan().problems if "attested by nobody" in problem]
    assert len(told) == 1
    assert "generation 60" in told[0] and "ada, identity" in told[0]
