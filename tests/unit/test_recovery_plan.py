"""Plans: what would come back, counted and named, from whole logs and from logs with holes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from safehold.model.change import Op
from safehold.model.errors import OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.recovery.chains import Gap
from safehold.recovery.contents import StreamState
from safehold.recovery.examine import State
from safehold.recovery.plan import Plan, make_plan, parse_plan
from safehold.recovery.replay import Replay
from safehold.recovery.report import KindCount
from safehold.recovery.sources import differences, look
from tests.support.recovery_fakes import START, FakeClock, History, an_id, card


def plan(history: History, lost: Collection[int] = (), **options: Any) -> Plan:
    options.setdefault("sync", ("near",))
    return make_plan(history.reader(lost), [history.vault], FakeClock(), **options)


def adds_up(made: Plan) -> None:
    for count in made.report.items.values():
        assert count.expected == count.exact + count.older + count.lost
        assert min(count.exact, count.older, count.lost) >= 0


@pytest.fixture
def history() -> History:
    history = History()
    history.family("ada", "bob")
    return history


def test_a_whole_log_comes_back_exact(history: History) -> None:
    made = plan(history)
    report = made.report
    assert report.exit_code == 0
    assert (report.accounts, report.streams) == (2, 15)
    assert report.changes_expected == report.changes_recovered == len(history.changes)
    assert report.items[Kind.CONTACTS] == KindCount(8, 8, 0, 0)
    assert report.items[Kind.IDENTITY] == KindCount(5, 5, 0, 0)
    assert report.items[Kind.PHOTOS] == KindCount(0, 0, 0, 0)
    assert (report.lost, report.unknown_seconds, report.verified) == ([], 0.0, True)
    assert [stage.kind for stage in report.stages] == list(Kind)
    assert report.seconds == report.first_contact_seconds > 0
    assert report.timeline == 1
    assert made.core is State.MISSING


def test_a_missing_change_is_one_lost_and_one_older_item(history: History) -> None:
    change = history.put("ada", Kind.CONTACTS, "new.vcf", card("new"))
    history.put("ada", Kind.CONTACTS, "after.vcf", card("after"))
    history.seal()
    made = plan(history, {history.frame_of(change)})
    adds_up(made)
    count = made.report.items[Kind.CONTACTS]
    assert (count.exact, count.older, count.lost) == (4 + 1 + 4 - 1, 1, 1)
    assert made.report.changes_expected - made.report.changes_recovered == 1
    (loss,) = made.report.lost
    assert (loss.account, loss.kind, loss.collection, loss.name) == ("ada", Kind.CONTACTS, None, None)
    assert loss.revs == [change.rev]
    assert made.report.exit_code == 1
    assert made.report.verified
    assert made.report.unknown_seconds == 0.0


def test_what_a_frame_held_that_no_seal_speaks_for_is_not_known(history: History) -> None:
    before = history.frames[-1].at
    change = history.put("bob", Kind.NOTES, "last.txt", b"x")
    history.put("ada", Kind.CONTACTS, "after.vcf", card("after"))
    made = plan(history, {history.frame_of(change)})
    assert made.report.lost == []
    assert not made.report.verified
    lasted = (history.frames[-1].at - before) / 1_000_000
    assert made.report.unknown_seconds == max(1.0, lasted)


def test_a_missing_change_that_a_seal_names_is_counted(history: History) -> None:
    change = history.put("bob", Kind.NOTES, "last.txt", b"x")
    history.seal()
    made = plan(history, {history.frame_of(change)})
    adds_up(made)
    assert made.report.lost[0].revs == [change.rev]
    assert made.report.items[Kind.NOTES].lost == 1
    stream = next(s for s in made.streams if s.account == an_id("bob") and s.kind is Kind.NOTES)
    assert stream.missing == (Gap(change.rev, change.rev),)


def test_a_stream_of_which_only_the_seal_is_left_is_counted(history: History) -> None:
    history.account("eve")
    changes = [history.put("eve", Kind.CONTACTS, f"{n}.vcf", card(str(n))) for n in range(3)]
    history.seal()
    of_eve = {history.frame_of(c) for c in history.changes if c.account == an_id("eve")}
    made = plan(history, of_eve)
    adds_up(made)
    assert made.report.accounts == 3
    assert made.report.items[Kind.CONTACTS].lost == 1 + len(changes)
    assert an_id("eve").hex() in {loss.account for loss in made.report.lost}


def test_a_change_whose_predecessor_is_lost_names_its_item(history: History) -> None:
    put = history.put("ada", Kind.NOTES, "named.txt", b"x")
    history.props("ada", Kind.NOTES, "named.txt", {"{urn:x}a": "<a/>"})
    made = plan(history, {history.frame_of(put)})
    adds_up(made)
    assert made.report.items[Kind.NOTES].lost == 1
    assert ("files/notes", "named.txt") in {(loss.collection, loss.name) for loss in made.report.lost}


def test_items_of_a_collection_without_a_making_are_lost_by_rev(history: History) -> None:
    made_it = history.mkcol("ada", Kind.CONTACTS, "contacts/work", {"type": "addressbook"})
    put = history.put("ada", Kind.CONTACTS, "w.vcf", card("w"), path="contacts/work")
    made = plan(history, {history.frame_of(made_it)})
    adds_up(made)
    assert [put.rev] in [loss.revs for loss in made.report.lost]
    assert made.report.items[Kind.CONTACTS].lost == 2


def test_an_accepted_loss_is_not_counted_again(history: History) -> None:
    lost = history.put("ada", Kind.CONTACTS, "lost.vcf", card("lost"))
    kept = history.put("ada", Kind.CONTACTS, "kept.vcf", card("kept"))
    history.claim()
    history.accept_loss("ada", Kind.CONTACTS, Head(kept.rev, kept.hash))
    history.seal()
    made = plan(history, {history.frame_of(lost)})
    assert made.report.exit_code == 0
    assert made.report.changes_expected == made.report.changes_recovered == len(history.changes) - 1


def test_an_end_that_was_given_up_is_not_counted_again(history: History) -> None:
    before = history.heads[an_id("ada"), Kind.CONTACTS]
    lost = history.put("ada", Kind.CONTACTS, "lost.vcf", card("lost"))
    history.seal()
    history.claim()
    history.accept_loss("ada", Kind.CONTACTS, before)
    made = plan(history, {history.frame_of(lost)})
    assert made.report.exit_code == 0
    assert any("given up" in problem for problem in made.problems)


def test_a_change_that_is_not_what_its_digest_says_does_not_enter(history: History) -> None:
    good = history.put("ada", Kind.CONTACTS, "x.vcf", card("x"))
    frame = history.frames[-1]
    history.frames[-1] = msgspec.structs.replace(frame, changes=(msgspec.structs.replace(good, body=b"forged"),))
    history.seal()
    made = plan(history)
    adds_up(made)
    assert not made.report.verified
    assert made.report.exit_code == 1
    assert made.report.lost[0].revs == [good.rev]


def test_an_erased_account_is_neither_expected_nor_lost(history: History) -> None:
    lost = history.put("bob", Kind.CONTACTS, "lost.vcf", card("lost"))
    history.put("bob", Kind.CONTACTS, "more.vcf", card("more"))
    history.erase("bob")
    history.seal()
    made = plan(history, {history.frame_of(lost)})
    assert made.report.exit_code == 0
    assert (made.report.accounts, made.report.streams) == (1, 8)
    assert made.erased == [an_id("bob")]
    assert an_id("bob") not in {s.account for s in made.streams}


def test_an_erasure_known_from_elsewhere_is_honoured(history: History) -> None:
    made = plan(history, erased=[an_id("ada")])
    assert made.report.accounts == 1


def test_filters_count_what_was_asked_for_and_its_identity(history: History) -> None:
    one = plan(history, accounts=["bob"]).report
    assert (one.accounts, one.streams, one.items[Kind.CONTACTS].exact) == (1, 8, 4)
    kind = plan(history, kinds=[Kind.CONTACTS]).report
    assert (kind.accounts, kind.streams) == (2, 5)
    assert (kind.items[Kind.CONTACTS].exact, kind.items[Kind.NOTES].expected) == (8, 0)
    with pytest.raises(OperatorError, match="no account carol") as raised:
        plan(history, accounts=["carol"])
    assert raised.value.exit_code == 2


def test_unknown_seconds_run_from_the_last_frame_unless_a_sync_vault_was_whole(history: History) -> None:
    last_at = history.frames[-1].at
    clock = FakeClock(last_at + 30_000_000)
    only_async = make_plan(history.reader(), [history.vault], clock, sync=())
    assert only_async.report.unknown_seconds == pytest.approx(30)
    known = make_plan(history.reader(), [history.vault], clock, sync=(), lost_at=last_at + 4_000_000)
    assert known.report.unknown_seconds == pytest.approx(4)
    early = make_plan(history.reader(), [history.vault], FakeClock(START), sync=())
    assert early.report.unknown_seconds == 1.0, "a clock that ran ahead makes no end known"
    inside = make_plan(history.reader({3}), [history.vault], clock, sync=("near",))
    assert inside.report.unknown_seconds == 0.0, "what is missing inside is counted, not unknown"
    at_end = make_plan(history.reader({len(history.frames)}), [history.vault], clock, sync=("near",))
    assert at_end.report.unknown_seconds > 30


def test_nothing_to_read_is_refused_with_the_reason(history: History) -> None:
    history.vault.down = True
    with pytest.raises(OperatorError, match="near: vault near is down"):
        make_plan(history.reader(range(10_000)), [history.vault], FakeClock())


def test_missing_blobs_make_named_items_lost_or_older(history: History) -> None:
    first, second = b"\1" * 32, b"\2" * 32
    history.put("ada", Kind.PHOTOS, "twice.jpg", b"first", blob=first)
    twice = history.put("ada", Kind.PHOTOS, "twice.jpg", b"second", blob=second)
    once = history.put("ada", Kind.PHOTOS, "once.jpg", b"only", blob=b"\3" * 32)
    history.put("ada", Kind.PHOTOS, "good.jpg", b"good", blob=b"\4" * 32)
    for name in (first, b"\4" * 32):
        history.vault.put(f"blobs/{name.hex()[:2]}/{name.hex()}", [bytes(300)])
    made = plan(history)
    adds_up(made)
    assert made.report.items[Kind.PHOTOS] == KindCount(3, 1, 1, 1)
    named = {(loss.account, loss.collection, loss.name, *loss.revs) for loss in made.report.lost}
    assert named == {("ada", "files/photos", "twice.jpg", twice.rev), ("ada", "files/photos", "once.jpg", once.rev)}
    assert made.report.changes_expected == made.report.changes_recovered


def test_a_witness_fills_a_gap_only_with_what_the_chain_proves(history: History) -> None:
    lost = [history.put("ada", Kind.CONTACTS, f"l{n}.vcf", card(f"l{n}")) for n in range(2)]
    history.put("ada", Kind.CONTACTS, "after.vcf", card("after"))
    tail = history.put("bob", Kind.NOTES, "tail.txt", b"t")
    history.seal()
    frames = {history.frame_of(change) for change in (*lost, tail)}

    class Remembers:
        def __init__(self, changes: list[Any]) -> None:
            self.held = changes

        def changes(self, account: bytes, kind: Kind, first: int, last: int) -> list[Any]:
            return [c for c in self.held if (c.account, c.kind) == (account, kind) and first <= c.rev <= last]

    def read(witness: Any) -> Replay:
        replay = Replay((), witness)
        for entry in history.reader(frames).entries():
            for change in getattr(entry, "changes", ()):
                replay.feed(change)
            if getattr(entry, "sealed", False):
                replay.seal(entry.heads)
        replay.finish()
        return replay

    helped = read(Remembers([*lost, tail]))
    assert helped.filled == 3
    assert not any(helped.chains.missing(key) for key in helped.chains.streams())
    lying = read(Remembers([lost[0], lost[0], tail]))
    assert lying.filled == 1
    assert lying.chains.missing((an_id("ada"), Kind.CONTACTS)) == [Gap(lost[0].rev, lost[1].rev)]


def test_a_plan_file_is_read_back_whole(history: History) -> None:
    lost = history.put("ada", Kind.CONTACTS, "x.vcf", card("x"))
    history.put("ada", Kind.CONTACTS, "y.vcf", card("y"))
    made = plan(history, {history.frame_of(lost)}, accounts=["ada"], to=START)
    assert parse_plan(made.to_json()) == made
    with pytest.raises(OperatorError, match="no plan") as raised:
        parse_plan(b'{"version": 1}')
    assert raised.value.exit_code == 2


def test_a_changed_source_is_named(history: History) -> None:
    made = plan(history)
    assert differences(made.sources, look([history.vault])) == []
    history.put("ada", Kind.CONTACTS, "x.vcf", card("x"))
    (difference,) = differences(made.sources, look([history.vault]))
    assert difference.startswith("vault near: log/00000001 had ")
    history.claim()
    assert "log/00000002 is new" in " ".join(differences(made.sources, look([history.vault])))


def test_the_fingerprint_tells_states_apart() -> None:
    def state(*changes: tuple[Op, str, bytes]) -> bytes:
        history = History()
        history.account("ada")
        for op, name, body in changes:
            if op is Op.PUT:
                history.put("ada", Kind.CONTACTS, name, body)
            elif op is Op.DELETE:
                history.delete("ada", Kind.CONTACTS, name)
            else:
                history.props("ada", Kind.CONTACTS, name, {"{urn:x}p": body.decode()})
        replayed = StreamState()
        for change in history.changes:
            if (change.account, change.kind) == (an_id("ada"), Kind.CONTACTS):
                replayed.apply(change)
        return replayed.fingerprint()

    base = (Op.PUT, "a", b"1")
    states = [
        state(base),
        state((Op.PUT, "b", b"1")),
        state((Op.PUT, "a", b"2")),
        state(base, (Op.PUT, "b", b"1")),
        state(base, (Op.DELETE, "a", b"")),
        state(base, (Op.PROPS, "a", b"<x/>")),
    ]
    assert len(set(states)) == len(states)
    assert state(base) == state(base)


def test_an_item_takes_less_than_300_bytes() -> None:
    history = History()
    history.account("ada")
    one = history.put("ada", Kind.CONTACTS, "x", b"x")
    count = 20_000
    state = StreamState()
    tracemalloc.start()
    try:
        for n in range(count):
            state.apply(msgspec.structs.replace(one, name=f"a-rather-long-name-of-an-item-{n}.vcf", rev=n))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert state.live == count
    assert used / count < 300
