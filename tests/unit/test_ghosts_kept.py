"""That a body is in no source is on record in its own stream: what reads the record, and what a missing one means."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.model.change import NO_DIGEST, Change, Op, canonical_props
from safehold.model.errors import Damaged
from safehold.model.gaps import GHOSTS, MAX_NAMED, MISSING, accepts_loss, ghost_words, ghosts_in, lacks_body
from safehold.model.kinds import Kind
from tests.support.changes import collection_id
from tests.support.generations import Home, read
from tests.support.recovery_fakes import History, an_id
from tests.unit.test_recovery_attest import World, photo, spoiled

CONTACTS = Kind.CONTACTS


def record(home: Home, revs: list[int], account: int = 0) -> Change:
    id_ = collection_id(f"{CONTACTS}/x")
    return home.streams.make(home.accounts[account], CONTACTS, Op.GAP, id_, props={GHOSTS: ghost_words(revs)})


def bare(change: Change) -> Change:
    return msgspec.structs.replace(change, body=None)


@given(st.sets(st.integers(1, 10**9), max_size=200) | st.sets(st.integers(1, 50)))
def test_revs_are_named_and_read_back(revs: set[int]) -> None:
    assert ghosts_in(canonical_props({GHOSTS: ghost_words(revs)})) == revs


@pytest.mark.parametrize("words", ["", "x", "-", "1-99999999999", "5-1,x", "1,,2"])
def test_what_is_no_list_of_revs_names_nothing(words: str) -> None:
    assert ghosts_in(canonical_props({GHOSTS: words})) == frozenset()
    assert ghosts_in(b"\xff\x00") == frozenset() == ghosts_in(None)


def test_as_many_as_may_be_named_are() -> None:
    assert len(ghosts_in(canonical_props({GHOSTS: ghost_words(range(1, MAX_NAMED + 1))}))) == MAX_NAMED


def test_a_record_of_ghosts_takes_no_loss_on_anybody() -> None:
    home = Home()
    own = record(home, [2])
    assert not accepts_loss(own)
    props = canonical_props({MISSING: "revisions 3"})
    assert accepts_loss(msgspec.structs.replace(own, props=props))
    assert accepts_loss(msgspec.structs.replace(own, props=canonical_props({MISSING: "x", GHOSTS: "3"})))


# -- generations


def test_a_missing_body_is_written_where_it_is_on_record_and_is_damage_where_it_is_not() -> None:
    home = Home()
    home.put(3)
    gone = home.item(0, CONTACTS, "gone.txt", b"gone")
    home.enter([bare(gone)])
    home.put(2)
    with pytest.raises(Damaged, match=f"rev {gone.rev} lacks its body, and no recovery has put that on record"):
        home.snapshot(full=True)
    home.enter([record(home, [gone.rev])])
    home.snapshot(full=True)
    changes = read(home.vaults[0])[gone.account, CONTACTS]
    assert bare(gone) in changes
    assert [change.rev for change in changes if lacks_body(change)] == [gone.rev]


def test_a_record_of_others_does_not_cover_it() -> None:
    home = Home()
    gone = home.item(0, CONTACTS, "gone.txt", b"gone")
    home.enter([bare(gone)])
    home.enter([record(home, [gone.rev + 1, gone.rev - 1])])
    with pytest.raises(Damaged, match="lacks its body"):
        home.snapshot(full=True)


def test_the_record_stays_for_as_long_as_the_ghost_when_history_is_dropped() -> None:
    home = Home()
    gone = home.item(0, CONTACTS, "gone.txt", b"gone")
    over = home.item(0, CONTACTS, "over.txt", b"over")
    home.enter([bare(gone)])
    home.enter([bare(over)])
    home.enter([record(home, [over.rev]), first := record(home, [gone.rev])])
    home.enter([home.item(0, CONTACTS, "over.txt", b"whole again")])
    home.put(3)
    home.snapshot(full=True)
    home.put(3)
    home.snapshot(full=True, dropped_upto=home.frame - 1)
    changes = read(home.vaults[0])[gone.account, CONTACTS]
    assert bare(gone) in changes and first in changes
    assert over.rev not in {change.rev for change in changes}
    assert [change for change in changes if change.op is Op.GAP] == [first], "a record of what is dropped goes with it"


# -- the keeper


def test_a_keeper_attests_a_recorded_ghost_and_refuses_any_other() -> None:
    hidden: list[Change] = []
    world = World()
    world.make(world.last, spoiled(world.framed, lambda c: hidden.append(c) or bare(c)))
    assert "lacks the body of rev" in world.refusal()
    lost = hidden[0]

    def told(revs: list[int]) -> World:
        name = next(n for n in ("ada", "bob", "eve") if an_id(n) == lost.account)

        def tell(history) -> None:  # type: ignore[no-untyped-def]
            collection = history.collections[lost.account, "contacts/default"]
            history.change(name, CONTACTS, Op.GAP, collection, props={GHOSTS: ghost_words(revs)})

        found = World(tell)
        found.make(found.last, [(f, bare(c) if c.hash == lost.hash else c) for f, c in found.framed])
        return found

    assert "lacks the body of rev" in told([lost.rev + 1]).refusal()
    (verdict,) = told([lost.rev]).look()
    assert verdict.facts.ok, verdict.facts.why
    assert lost.digest != NO_DIGEST


def test_a_keeper_attests_without_a_large_body_whose_loss_is_on_record() -> None:
    def told(revs: list[int]) -> World:
        def tell(history: History) -> None:
            photo(history)
            collection = history.collections[an_id("ada"), "files/photos"]
            props = {GHOSTS: ghost_words(revs)} if revs else {MISSING: "another thing"}
            history.change("ada", Kind.PHOTOS, Op.GAP, collection, props=props)

        found = World(tell)
        found.make(found.last)
        return found

    rev = next(c.rev for _, c in told([]).framed if c.blob is not None)
    assert "is not there" in told([]).refusal()
    assert "is not there" in told([rev + 7]).refusal()
    (verdict,) = told([rev]).look()
    assert verdict.facts.ok, verdict.facts.why
