"""What was salvaged as one more source of a recovery: forks, losses on record, remembered heads, the erased."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256

import msgspec
import pytest

from safehold.lab.simdisk import SimDisk
from safehold.model.change import GENESIS, Change, Op
from safehold.model.errors import OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.ports.core import UNARCHIVED
from safehold.ports.survivors import Finds, Proof, Survivor, Witnessed
from safehold.recovery.build import gap_words
from safehold.recovery.chains import Gap
from safehold.recovery.examine import State
from safehold.recovery.find import Find
from safehold.recovery.find_together import together
from safehold.recovery.joining import gaps_in, join
from safehold.recovery.mending import Piece
from safehold.recovery.plan import Plan, make_plan, parse_plan
from safehold.recovery.run import Result, run_plan
from safehold.store.sqlite.core import SqliteCore
from tests.support.finds import FOLDER, find_in, find_of, put_chain, put_pages, store_of
from tests.support.recovery_fakes import FakeBlobs, FakeClock, FakeReader, History, an_id, card

CONTACTS = Kind.CONTACTS
KEY = (an_id("ada"), CONTACTS)


@pytest.fixture
def history() -> History:
    history = History()
    history.family("ada")
    return history


def without(history: History, changes: Sequence[Change]) -> FakeReader:
    """The log but for the frames of these."""
    return history.reader({history.frame_of(change) for change in changes})


def forget(history: History, changes: Sequence[Change]) -> None:
    """As if the log had never had them: another one has it."""
    history.frames = [frame for frame in history.frames if not set(frame.changes) & set(changes)]


def puts(history: History, *names: str) -> list[Change]:
    return [history.put("ada", CONTACTS, f"{name}.vcf", card(name)) for name in names]


def planned(reader: FakeReader, find: Find | None, core: SqliteCore | None = None) -> Plan:
    return make_plan(reader, [reader._history.vault], FakeClock(), sync=("near",), find=find, core=core)


def run(
    reader: FakeReader,
    plan: Plan,
    find: Find | None,
    disk: SimDisk,
    *,
    old: SqliteCore | None = None,
    accept: bool = False,
) -> Result:
    return run_plan(
        plan,
        reader,
        make_core=lambda folder: SqliteCore.open(f"{folder}/core.db", disk=disk, create=True),
        blobs=FakeBlobs(),
        disk=disk,
        data="/data",
        clock=FakeClock(),
        claim=reader._history.claim,
        find=find,
        old=old,
        accept_loss=accept,
    )


def came_back(reader: FakeReader, find: Find | None) -> tuple[Plan, list[Change], str | None]:
    """The plan, ada's contacts in the new core, and why they are held."""
    disk = SimDisk()
    plan = planned(reader, find)
    run(reader, plan, find, disk)
    core = SqliteCore.open("/data/core/core.db", disk=disk)
    try:
        account = core.account_by_id(KEY[0])
        held = core.held(account.number, CONTACTS) if account is not None else None
        return plan, [c for _, _, c in core.changes(limit=10_000) if (c.account, c.kind) == KEY], held
    finally:
        core.close()


def by_rev(changes: Sequence[Change]) -> list[bytes]:
    return [change.hash for change in sorted(changes, key=lambda change: change.rev)]


# -- forks


def forked(history: History) -> tuple[list[Change], list[Change], list[Change]]:
    """Before the fork; one history of timeline 1 and one of timeline 2 after it."""
    before = [change for change in history.changes if (change.account, change.kind) == KEY]
    head = history.heads[KEY]
    old = puts(history, "a", "b", "c")
    history.claim()
    history.heads[KEY] = head
    new = puts(history, "d")
    return before, old, new


def test_of_two_histories_that_of_the_higher_timeline_counts(history: History) -> None:
    before, old, new = forked(history)
    forget(history, new)
    plan, there, held = came_back(history.reader(), find_of(new))
    assert by_rev(there) == by_rev([*before, *new])
    assert held is None
    assert any("3 changes" in problem and "timeline 1" in problem for problem in plan.problems)
    assert not set(by_rev(old)) & set(by_rev(there))


def test_an_older_history_in_a_find_changes_nothing_and_is_told(history: History) -> None:
    before, old, new = forked(history)
    forget(history, old)
    alone = planned(history.reader(), None)
    plan, there, held = came_back(history.reader(), find_of([*before, *old]))
    assert by_rev(there) == by_rev([*before, *new])
    assert held is None
    assert plan.report.items == alone.report.items
    assert any("3 changes" in problem and FOLDER in problem for problem in plan.problems)


def test_what_goes_on_another_history_is_known_by_its_timeline_where_the_fork_is_lost(history: History) -> None:
    before, old, new = forked(history)
    forget(history, old)
    plan, there, _ = came_back(history.reader(), find_of(old[2:]))
    assert by_rev(there) == by_rev([*before, *new])
    assert plan.report.lost == []


def test_what_fills_a_hole_and_excludes_what_comes_after_it_is_of_another_history(history: History) -> None:
    before, old, new = forked(history)
    later = puts(history, "e", "f")
    forget(history, [*old, *new])
    plan, there, _ = came_back(history.reader(), find_of(old[:1]))
    assert by_rev(there) == by_rev([*before, *later])
    assert [loss.revs for loss in plan.report.lost] == [[new[0].rev]]
    assert any("1 change " in problem for problem in plan.problems)


def test_within_one_timeline_the_vaults_count_where_the_fork_is_lost(history: History) -> None:
    before = [change for change in history.changes if (change.account, change.kind) == KEY]
    head = history.heads[KEY]
    other = puts(history, "a", "b", "c", "d", "e")
    history.heads[KEY] = head
    own = puts(history, "f", "g", "h")
    forget(history, [*other, own[0]])
    _, there, _ = came_back(history.reader(), find_of(other))
    assert by_rev(there) == by_rev([*before, *own[1:]])


def test_another_installations_history_does_not_take_a_streams_place(history: History) -> None:
    stranger = History()
    stranger.timeline = 40
    stranger.family("ada")
    theirs = [change for change in stranger.changes if (change.account, change.kind) == KEY]
    ours = [change for change in history.changes if (change.account, change.kind) == KEY]
    assert theirs[0].hash != ours[0].hash
    _, there, _ = came_back(history.reader(), find_of(theirs))
    assert by_rev(there) == by_rev(ours)


@pytest.mark.parametrize("seed", range(200))
def test_where_a_history_is_all_there_no_part_of_a_lower_one_is_taken(seed: int) -> None:
    """Forks within forks: whatever is found of the others, wherever it lies."""
    draw = random.Random(seed)
    history = History()
    history.account("ada")
    branch = [change for change in history.changes if (change.account, change.kind) == KEY]
    others: list[Change] = []
    for _ in range(draw.randint(1, 4)):
        branch += puts(history, *(f"{draw.random()}" for _ in range(draw.randint(1, 5))))
        cut = draw.randint(1, len(branch))
        others += branch[cut:]
        branch = branch[:cut]
        history.claim()
        history.heads[KEY] = Head(branch[-1].rev, branch[-1].hash)
    branch += puts(history, "last")
    found = [Piece(UNARCHIVED, change, True, "find") for change in others if draw.random() < 0.6]
    own = [Piece(0 if draw.random() < 0.5 else UNARCHIVED, change, True, "log") for change in branch]
    pieces = [*found, *own]
    draw.shuffle(pieces)
    offers: dict[int, list[Piece]] = {}
    for piece in pieces:
        offers.setdefault(piece.change.rev, []).append(piece)
    chosen = join(Head(0, GENESIS), 0, offers)
    assert [piece.change for piece in chosen.pieces] == branch
    assert {p.change.hash for p in chosen.passed} == {p.change.hash for p in found}


@pytest.mark.parametrize("seed", range(200))
def test_what_vaults_have_of_the_last_history_stays_whatever_is_found_of_others(seed: int) -> None:
    draw = random.Random(seed)
    history = History()
    history.account("ada")
    shared = [change for change in history.changes if (change.account, change.kind) == KEY] + puts(history, *"abc")
    lower = puts(history, *(f"{draw.random()}" for _ in range(draw.randint(1, 6))))
    history.claim()
    history.heads[KEY] = Head(shared[-1].rev, shared[-1].hash)
    higher = puts(history, *(f"{draw.random()}" for _ in range(draw.randint(1, 6))))
    vaulted = [Piece(0, change, True, "log") for change in (*shared, *higher) if draw.random() < 0.7]
    found = [Piece(UNARCHIVED, change, True, "find") for change in (*shared, *lower) if draw.random() < 0.7]
    offers: dict[int, list[Piece]] = {}
    for piece in (*vaulted, *found):
        offers.setdefault(piece.change.rev, []).append(piece)
    there = {piece.change.hash for piece in join(Head(0, GENESIS), 0, offers).pieces}
    assert {piece.change.hash for piece in vaulted} <= there
    assert {p.change.hash for p in found if p.change in shared} <= there


def test_at_a_fork_within_one_timeline_what_is_believed_first_counts() -> None:
    history = History()
    history.account("ada")
    head = history.heads[KEY]
    first = puts(history, "a", "b")
    history.heads[KEY] = head
    second = puts(history, "c", "d", "e", "f")
    offers = {
        rev: [Piece(0, c, True, "") for c in (*first, *second) if c.rev == rev]
        for rev in range(head.rev + 1, head.rev + 5)
    }
    chosen = join(head, 1, offers)
    assert [piece.change for piece in chosen.pieces] == first
    assert [piece.change for piece in chosen.passed] == second


# -- losses on record


def test_the_words_of_a_loss_are_read_as_they_are_written() -> None:
    gaps = [Gap(3, 3), Gap(5, 9), Gap(12, 13)]
    assert gaps_in(gap_words(CONTACTS, gaps)) == gaps
    assert gaps_in("something else") == []


@pytest.mark.parametrize("found", [1, 3])
def test_an_end_whose_loss_was_accepted_stays_lost(history: History, found: int) -> None:
    reached = history.heads[KEY]
    lost = puts(history, "a", "b", "c")
    history.seal()
    forget(history, lost)
    history.claim()
    history.accept_loss("ada", CONTACTS, reached)
    after = puts(history, "later")
    find = find_in(store_of(lambda finds: (put_chain(finds, lost[:found]), witness(finds, lost[-1]))))
    plan, there, held = came_back(history.reader(), find)
    assert held is None
    assert plan.report.lost == []
    assert there[-1] == after[0]
    assert not set(lost) & set(there)


def test_revisions_in_the_middle_whose_loss_was_accepted_stay_lost(history: History) -> None:
    lost = puts(history, "a", "b")
    kept = puts(history, "c")
    words = gap_words(CONTACTS, [Gap(lost[0].rev, lost[-1].rev)])
    collection = history._collection("ada", CONTACTS, None)
    history.change("ada", CONTACTS, Op.GAP, collection, props={"missing": words})
    more = puts(history, "d")
    for lost_to in (lost, []):
        reader = without(history, [*lost_to, *more])
        plan, there, held = came_back(reader, find_of([*lost, *kept, *more]))
        assert plan.joined == [KEY]
        assert held is None
        assert there[-1] == more[0]
        assert [change in there for change in lost] == [not lost_to] * 2


# -- heads


def witness(finds: Finds, change: Change, what: str = "core") -> None:
    finds.witness(Witnessed(change.account, change.kind, Head(change.rev, change.hash), None, what, 1))


@pytest.mark.parametrize("how", ["witness", "page"])
def test_what_a_find_remembers_of_the_end_is_lost_where_it_is_not_there(history: History, how: str) -> None:
    lost = puts(history, "a", "b")
    forget(history, lost)

    def put(finds: Finds) -> None:
        if how == "witness":
            witness(finds, lost[-1])
        else:
            put_pages(finds, lost[-1:])

    alone, _, _ = came_back(history.reader(), None)
    assert alone.report.lost == []
    plan, _, held = came_back(history.reader(), find_in(store_of(put)))
    (loss,) = plan.report.lost
    assert (loss.kind, loss.revs) == (CONTACTS, [lost[0].rev, lost[1].rev])
    assert held is not None


def test_a_stream_of_which_only_its_end_is_known_is_lost_by_its_revs(history: History) -> None:
    stranger = an_id("eve")
    end = Witnessed(stranger, CONTACTS, Head(4, b"h" * 32), None, "core", 1)
    plan, _, _ = came_back(history.reader(), find_in(store_of(lambda finds: finds.witness(end))))
    (loss,) = plan.report.lost
    assert (loss.account, loss.revs) == (stranger.hex(), [1, 2, 3, 4])


# -- bodies


def test_a_body_comes_back_by_its_digest_wherever_it_lay(history: History) -> None:
    (lost,) = puts(history, "a")
    forget(history, [lost])
    bare = msgspec.structs.replace(lost, body=None)
    plan, there, _ = came_back(history.reader(), find_of([bare]))
    assert there[-1] == bare
    assert [loss.name for loss in plan.report.lost] == ["a.vcf"]
    assert lost.body is not None
    body = lost.body
    both = [store_of(lambda finds: put_chain(finds, [bare])), store_of(lambda finds: finds.body(lost.digest, body, 1))]
    plan, there, held = came_back(history.reader(), find_in(*both))
    assert there[-1] == lost
    assert plan.report.lost == []
    assert held is None


def test_a_change_that_is_not_what_its_hash_says_is_not_taken(history: History) -> None:
    (lost,) = puts(history, "a")
    forget(history, [lost])
    forged = msgspec.structs.replace(lost, name="forged.vcf")
    _, there, _ = came_back(history.reader(), find_of([forged]))
    assert "forged.vcf" not in [change.name for change in there]


def test_a_collection_without_its_properties_is_not_made(history: History) -> None:
    made = history.mkcol("ada", CONTACTS, "contacts/new", {"type": "addressbook"})
    forget(history, [made])
    _, there, held = came_back(history.reader(), find_of([msgspec.structs.replace(made, props=None)]))
    assert made.hash not in by_rev(there)
    assert held is not None


# -- the erased


@pytest.mark.parametrize("how", ["chain", "page", "told"])
def test_who_is_erased_by_any_sources_word_stays_erased(history: History, how: str) -> None:
    erased = history.erase("ada")
    forget(history, [erased])

    def put(finds: Finds) -> None:
        put_chain(finds, [change for change in history.changes if change is not erased])
        if how == "told":
            finds.erased(KEY[0])
        else:
            finds.survivor(Survivor(erased, Proof.CHAIN if how == "chain" else Proof.PAGE, 1, ""))

    plan, there, _ = came_back(history.reader(), find_in(store_of(put)))
    assert there == []
    assert KEY[0] in plan.erased
    assert not any(stream.account == KEY[0] for stream in plan.streams)


def test_who_the_vaults_know_as_erased_does_not_come_back_from_a_find(history: History) -> None:
    changes = list(history.changes)
    history.erase("ada")
    _, there, _ = came_back(history.reader(), find_of(changes))
    assert there == []


# -- plans


def test_a_plan_names_its_salvages_and_is_refused_once_one_has_more(history: History) -> None:
    more = puts(history, "a", "b")
    forget(history, more)
    store = store_of(lambda finds: put_chain(finds, more[:1]))
    find = find_in(store)
    plan = planned(history.reader(), find)
    assert plan.joined == [KEY]
    assert next(s for s in plan.streams if (s.account, s.kind) == KEY).sources == ("log", f"salvage: {FOLDER}")
    assert parse_plan(plan.to_json()).salvages == find.marks()
    with pytest.raises(OperatorError, match="was not given"):
        run(history.reader(), plan, None, SimDisk())
    put_chain(store, more)
    with pytest.raises(OperatorError, match="has found more"):
        run(history.reader(), plan, find_in(store), SimDisk())


def test_without_any_vault_a_find_is_enough(history: History) -> None:
    find = find_of(history.changes)
    nothing = history.reader({frame.position.frame for frame in history.frames})
    plan = make_plan(nothing, [], FakeClock(), find=find)
    assert plan.report.changes_recovered == len(history.changes)
    assert not plan.report.verified
    assert plan.report.unknown_seconds >= 1
    disk = SimDisk()
    result = run(nothing, plan, find, disk)
    assert result.report.items == plan.report.items
    assert all(count.older == count.lost == 0 for count in result.report.items.values())


def test_without_any_vault_and_with_an_empty_find_nothing_is_planned() -> None:
    history = History()
    with pytest.raises(OperatorError, match="nothing can be recovered"):
        make_plan(history.reader(), [], FakeClock(), find=find_of([]))


def test_several_salvages_are_one_to_who_asks_what_is_known(history: History) -> None:
    """And whom one of them knows as erased, none gives."""
    bob = an_id("bob")

    def both(finds: Finds) -> None:
        put_chain(finds, history.changes[10:])
        finds.witness(Witnessed(bob, CONTACTS, Head(2, b"h" * 32), None, "token", 1))
        finds.body(sha256(b"alone").digest(), b"alone", 1)

    stores = [store_of(lambda finds: put_chain(finds, history.changes[:20])), store_of(both)]
    all_of_it = together(find_in(*stores).salvages)
    mine = [change for change in history.changes if (change.account, change.kind) == KEY]
    given = [survivor.change for survivor in all_of_it.changes(KEY, Proof.CHAIN)]
    assert by_rev(list(dict.fromkeys(given))) == by_rev(mine)
    assert [change.rev for change in given] == sorted(change.rev for change in given)
    assert (bob, CONTACTS) in list(all_of_it.keys())
    assert all_of_it.body_of(sha256(b"alone").digest()) == b"alone"
    assert [source.number for source in all_of_it.sources()] == [1, 1_000_001]
    stores[0].erased(KEY[0])
    gone = together(find_in(*stores).salvages)
    assert list(gone.changes(KEY, Proof.CHAIN)) == []
    assert KEY not in list(gone.keys())


# -- beside a core


def core_of(changes: Sequence[Change], history: History, disk: SimDisk, folder: str = "/old") -> SqliteCore:
    disk.make_folders(folder)
    core = SqliteCore.open(f"{folder}/core.db", disk=disk, create=True)
    core.begin()
    for change in changes:
        core.apply(change, history.frame_of(change))
    core.set_log_position(history.position)
    core.commit()
    return core


def test_a_core_that_lacks_what_was_found_is_built_anew_and_keeps_what_it_alone_has(history: History) -> None:
    shared = list(history.changes)
    found = puts(history, "found")
    ahead = [history.put("ada", Kind.NOTES, "ahead", b"only here")]
    core = core_of([*shared, *ahead], history, SimDisk())
    forget(history, [*found, *ahead])
    find = find_of(found)
    plan = planned(history.reader(), find, core)
    assert plan.core is State.PARTIAL
    disk = SimDisk()
    run(history.reader(), plan, find, disk, old=core)
    built = SqliteCore.open("/data/core/core.db", disk=disk)
    assert {change.hash for _, _, change in built.changes(limit=10_000)} == set(by_rev([*shared, *found, *ahead]))


def test_a_core_of_another_history_gives_what_it_alone_has_of_other_streams(history: History) -> None:
    before = list(history.changes)
    _, old, new = forked(history)
    ahead = [history.put("ada", Kind.NOTES, "ahead", b"only here")]
    core = core_of([*before, *old, *ahead], history, SimDisk())
    forget(history, [*old, *ahead])
    find = find_of(old)
    plan = planned(history.reader(), find, core)
    assert plan.core is State.OTHER
    disk = SimDisk()
    run(history.reader(), plan, find, disk, old=core)
    built = SqliteCore.open("/data/core/core.db", disk=disk)
    assert {change.hash for _, _, change in built.changes(limit=10_000)} == set(by_rev([*before, *new, *ahead]))


def test_a_core_that_has_all_that_was_found_is_left_alone(history: History) -> None:
    found = puts(history, "found")
    core = core_of(history.changes, history, SimDisk())
    forget(history, found)
    plan = planned(history.reader(), find_of(found), core)
    assert plan.core is State.WHOLE
