"""What a keeper attests, and what it refuses, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest

from safehold.formats.blob import blob_object
from safehold.formats.evidence import Evidence
from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.recovery.attest import Verdict, attest
from safehold.recovery.retain import look, make
from safehold.recovery.retention import Policy
from safehold.vault.receipts import AttestFacts, Receipts, RetainFacts, Signed
from tests.support.recovery_fakes import SYSTEM, History, an_id
from tests.support.recovery_vaults import Vaults
from tests.support.runs import Framed, Generations, framed


class World:
    """A vault that holds the log of a history, generations of it, and what its keeper said."""

    def __init__(self, tell: Callable[[History], object] = lambda _: None) -> None:
        self.history = History()
        self.history.family("ada", "bob", "eve", cards=8)
        tell(self.history)
        self.vaults = Vaults(self.history)
        self.vault = self.vaults.near
        self.framed: list[Framed] = framed(self.vaults.reader().entries())
        self.ends = {e.position.frame: e.position for e in self.vaults.reader().entries()}  # type: ignore[union-attr]
        self.last = max(self.ends)
        self.generations = Generations([self.vault], self.vaults.keyring.sealer)
        self.words: list[Signed] = []

    def make(self, frame: int, history: list[Framed] | None = None, **options: object) -> None:
        self.made = self.generations.make(
            self.framed if history is None else history,
            self.ends[frame],
            **options,  # type: ignore[arg-type]
        )

    def receipts(self, vault: str = "near") -> Receipts:
        return Receipts(vault, self.words)

    def look(self, **options: object) -> list[Verdict]:
        """A keeper's look, of which it leaves evidence."""
        clock = self.vaults.clock
        clock.advance(60)
        found = attest(self.vault, self.vaults.keyring.opener, self.receipts(), clock, **options)  # type: ignore[arg-type]
        for verdict in found:
            self.say("attest", verdict.facts, verdict)
        return found

    def say(self, kind: str, facts: AttestFacts | RetainFacts, verdict: Verdict | None = None) -> None:
        at = self.vaults.clock.now() + len(self.words)
        upto = tuple(verdict.position) if verdict is not None else (0, 0, b"")
        evidence = Evidence(1, kind, at, "near", upto, b"", msgspec.to_builtins(facts))
        self.words.append(Signed(f"evidence/{at:016d}-00000000.ev", evidence))

    def allow(self, generation: int) -> None:
        now = self.vaults.clock.now()
        self.say("retain", RetainFacts(self.receipts().now(now), now, drop_upto=generation))

    def attested(self) -> list[int]:
        return [a.generation for a in self.receipts().attested]

    def refusal(self, **options: object) -> str:
        (verdict,) = self.look(**options)
        assert not verdict.facts.ok
        return "; ".join(verdict.facts.why)


@pytest.fixture
def world() -> World:
    return World()


def test_a_generation_that_follows_from_the_logs_beginning_is_attested(world: World) -> None:
    world.make(70)
    (verdict,) = world.look()
    assert verdict.facts.ok, verdict.facts.why
    assert verdict.position == world.ends[70]
    assert verdict.facts.streams == len({(c.account, c.kind) for f, c in world.framed if f <= 70})
    assert verdict.facts.changes == sum(f <= 70 for f, _ in world.framed)
    assert world.look() == [], "it is attested, and there is no newer one"


def test_deltas_and_a_new_full_one_follow_from_the_one_before(world: World) -> None:
    world.make(40)
    first = world.made
    assert world.look()[0].facts.ok
    world.make(70, since=(40, 55), older=first.runs)
    verdict = world.look()[0]
    assert verdict.facts.ok, verdict.facts.why
    assert verdict.facts.changes == sum(40 < f <= 70 for f, _ in world.framed), "what is attested is not read again"
    world.make(world.last)
    assert world.look()[0].facts.ok
    assert world.attested() == [40, 70, world.last]


def test_a_missing_stream_is_refused(world: World) -> None:
    gone = an_id("bob"), Kind.CONTACTS
    world.make(70, [(f, c) for f, c in world.framed if (c.account, c.kind) != gone])
    assert f"contacts of account {an_id('bob').hex()[:8]} is missing" in world.refusal()


def test_a_shortened_stream_is_refused(world: World) -> None:
    last = max(f for f, c in world.framed if f <= 70 and (c.account, c.kind) == (an_id("bob"), Kind.CONTACTS))
    world.make(70, [(f, c) for f, c in world.framed if f != last])
    assert "is cut short" in world.refusal()


def test_another_head_is_refused(world: World) -> None:
    other = History()
    other.family("ada", "bob", "eve", cards=8)
    other.at += 5_000_000
    strange = other.put("bob", Kind.CONTACTS, "one more", b"BEGIN")
    changes = list(world.framed)
    last = max(n for n, (_, c) in enumerate(changes) if (c.account, c.kind) == (strange.account, strange.kind))
    changes[last] = (changes[last][0], strange)
    world.make(world.last, changes)
    assert "another head" in world.refusal() or "does not chain" in world.refusal()


def test_a_stream_that_the_log_has_not_is_refused(world: World) -> None:
    strange = World(lambda h: h.family("mallory"))
    extra = [(60, c) for _, c in strange.framed if c.account == an_id("mallory")]
    world.make(world.last, [*world.framed, *extra])
    assert "is in it, and not on the log" in world.refusal()


def spoiled(history: list[Framed], change: Callable[[Change], Change]) -> list[Framed]:
    """Some card in the middle is not what it says."""
    cards = [n for n, (_, c) in enumerate(history) if c.kind is Kind.CONTACTS and c.body is not None]
    at = cards[len(cards) // 2]
    return [*history[:at], (history[at][0], change(history[at][1])), *history[at + 1 :]]


def test_a_body_that_is_not_the_ones_of_its_digest_is_refused(world: World) -> None:
    world.make(world.last, spoiled(world.framed, lambda c: msgspec.structs.replace(c, body=b"x" * c.size)))
    assert "the body does not match its digest" in world.refusal()


def test_a_body_that_is_left_out_is_refused(world: World) -> None:
    world.make(world.last, spoiled(world.framed, lambda c: msgspec.structs.replace(c, body=None)))
    assert "lacks the body of rev" in world.refusal()


def test_a_state_root_that_is_another_one_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.runs.root_of", lambda _: bytes(32))
    world.make(70)
    assert "its state root at rev" in world.refusal()


def test_a_flipped_byte_is_refused_and_mended_is_attested(world: World) -> None:
    world.make(70)
    name = world.made.runs[0].object.name
    good = world.vault.objects[name]
    for at in (3, len(good) // 2, len(good) - 3):
        world.vault.objects[name] = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        assert "its digest differs" in world.refusal()
    world.vault.objects[name] = good[:-1]
    assert "bytes long; its manifest says" in world.refusal()
    del world.vault.objects[name]
    assert "is missing" in world.refusal()
    world.vault.objects[name] = good
    assert world.look()[0].facts.ok


def test_garbage_that_calls_itself_newer_is_refused_and_the_older_one_attested(world: World) -> None:
    world.make(60)
    world.vault.put("runs/000000000070/generation", [b"rubbish"])
    found = world.look()
    assert [(v.facts.generation, v.facts.ok) for v in found] == [(70, False), (60, True)]
    assert "header" in found[0].facts.why[0]


def test_one_that_is_being_written_is_nothing(world: World) -> None:
    world.make(60)
    world.make(70)
    del world.vault.objects["runs/000000000070/generation"]
    assert [(v.facts.generation, v.facts.ok) for v in world.look()] == [(60, True)]


def test_a_position_that_is_not_on_the_log_is_refused(world: World) -> None:
    world.ends[70] = world.ends[70]._replace(digest=b"\1" * 32)
    world.make(70)
    assert "is not on the log of this vault" in world.refusal()


def test_a_hole_in_the_log_is_refused_until_it_is_mended_or_accepted() -> None:
    world = World()
    world.make(60)
    assert world.look()[0].facts.ok
    world.make(world.last)
    frame, change = next((f, c) for f, c in world.framed if f > 62)
    whole = dict(world.vault.objects)
    world.vaults.spoil(change, world.vault)
    assert f"the log has a hole from frame {frame}" in world.refusal()
    world.vault.objects = whole
    assert world.look()[0].facts.ok


def test_an_erased_account_may_be_gone_and_no_other() -> None:
    world = World(lambda h: h.put("", Kind.IDENTITY, f"erased/{an_id('bob').hex()}", b"{}"))
    without = [(f, c) for f, c in world.framed if c.account != an_id("bob")]
    before = max(f for f, c in world.framed if c.account == SYSTEM) - 1
    world.make(before, without)
    assert "is missing" in world.refusal(), "it is not erased yet at this position"
    world.make(world.last, without)
    verdict = world.look()[0]
    assert verdict.facts.ok, verdict.facts.why
    assert verdict.facts.identity == max(c.rev for _, c in world.framed if c.account == SYSTEM)


def photo(history: History) -> None:
    data = b"jpeg" * 50_000
    history.put("ada", Kind.PHOTOS, "sea.jpg", data, blob=sha256(data).digest())


def test_a_blob_has_to_be_there_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(photo)
    name = next(c.blob for _, c in world.framed if c.blob is not None)
    assert name is not None
    world.make(world.last)
    assert f"{blob_object(name)}, which rev" in world.refusal()
    world.vault.put(blob_object(name), [b"sealed"])
    assert world.look()[0].facts.ok


def test_history_is_dropped_only_as_far_as_was_allowed(world: World) -> None:
    world.make(40)
    world.look()
    world.make(60)
    world.look()
    world.make(70, dropped_upto=40)
    assert "history is dropped up to frame 40, and the keeper allowed it up to 0" in world.refusal()
    world.allow(40)
    verdict = world.look()[0]
    assert verdict.facts.ok, verdict.facts.why
    world.make(world.last, dropped_upto=40)
    assert world.look()[0].facts.ok, "what was dropped before stays dropped"


def test_a_base_past_what_was_allowed_is_refused(world: World) -> None:
    world.make(40)
    world.look()
    world.make(60)
    world.look()
    world.allow(40)
    for entry in (60, 55):
        manifest = world.generations.make(world.framed, world.ends[70], dropped_upto=entry, number=entry)
        said = msgspec.structs.replace(manifest, dropped_upto=40)
        del world.vault.objects["runs/000000000070/generation"]
        world.generations._put_manifest(said, world.ends[70])
        assert "is dropped, further than was allowed" in world.refusal()
        del world.vault.objects["runs/000000000070/generation"]


def test_what_is_kept_below_a_base_is_what_was_attested(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import tests.support.runs as support

    honest = support.live_changes
    world.make(60)
    world.look()
    world.allow(60)

    def forged(changes: list[Change]) -> list[Change]:
        """The same state, by a change that nobody made."""
        kept = honest(changes)
        return [support.msgspec.structs.replace(c, actor="device:forged") if c.name else c for c in kept]

    def rehashed(changes: list[Change]) -> list[Change]:
        from safehold.model.change import rehash

        return [msgspec.structs.replace(c, hash=rehash(c)) for c in forged(changes)]

    monkeypatch.setattr(support, "live_changes", rehashed)
    world.make(world.last, dropped_upto=60)
    assert "is none that was attested before" in world.refusal()


def test_what_lives_at_a_base_may_not_be_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import tests.support.runs as support

    honest = support.live_changes
    world.make(60)
    world.look()
    world.allow(60)
    monkeypatch.setattr(support, "live_changes", lambda changes: honest(changes)[:-1])
    world.make(world.last, dropped_upto=60)
    assert "its state root at its base" in world.refusal()


def test_words_on_another_vault_stand_for_a_generation_that_is_whole_here(world: World) -> None:
    world.make(60)
    world.look()
    world.make(world.last)
    words = world.receipts()
    first = next(name for name in world.vaults.segments())
    del world.vault.objects[first]  # a copy of a vault whose log has begun to be removed
    clock, opener = world.vaults.clock, world.vaults.keyring.opener
    world.vault._name = "far"
    assert not attest(world.vault, opener, Receipts("far"), clock)[0].facts.ok
    assert attest(world.vault, opener, Receipts("far"), clock, elsewhere=[words])[0].facts.ok


def fork_of(world: World) -> int:
    """A log that went on from an earlier frame than the generation that was attested last; its last frame."""
    world.make(20)
    assert world.look()[0].facts.ok
    world.make(world.last)
    assert world.look()[0].facts.ok
    changes = [change for frame, change in world.framed if frame > 30]
    world.vaults.fork(30, changes[:6])
    reader = world.vaults.reader(world.vault)
    world.framed = framed(reader.entries())
    world.ends = {e.position.frame: e.position for e in reader.entries()}  # type: ignore[union-attr]
    last = max(world.ends)
    assert last < world.last and world.ends[last].timeline == 2
    return last


def test_what_was_attested_on_a_branch_that_the_log_left_stands_for_nothing_more(world: World) -> None:
    """A recovery went on from an earlier frame, the vault with the later ones being away. Else no generation that
    comes after that could ever follow from what was attested before."""
    last = fork_of(world)
    world.make(last)
    (verdict,) = [v for v in world.look() if v.facts.generation == last]
    assert verdict.facts.ok, verdict.facts.why
    assert all(v.facts.generation == last for v in world.look()), "what was attested is not refused now"


def test_retention_rests_on_nothing_that_the_log_left(world: World) -> None:
    """Else what leads to the generations on the branch that counts would go over others that lead nowhere."""
    last = fork_of(world)
    clock = world.vaults.clock
    for _ in range(130):
        clock.advance(86_400)
        now = clock.now()
        world.say("retain", RetainFacts(world.receipts().now(now), now))
    found = look(world.vault, world.vaults.keyring.opener, world.receipts(), clock)
    made = make(found, Policy(90), [])
    assert made.blocked == "fewer than two generations are attested and whole"
    world.make(last)
    assert any(v.facts.ok for v in world.look())
    found = look(world.vault, world.vaults.keyring.opener, world.receipts(), clock)
    made = make(found, Policy(90), [])
    assert not made.blocked and (made.horizon, made.cover) == (20, (last, 20))
    assert made.log_from <= (1, 20)
