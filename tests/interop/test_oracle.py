"""The proof can fail: the oracle complains of every kind of loss that it is there to find."""

from __future__ import annotations

import pytest

from tests.support.oracle import Fate, Key, Oracle, Reply, State, View

A: Key = ("body", "/dav/ada/contacts/default/a.vcf")
B: Key = ("body", "/dav/ada/contacts/default/b.vcf")
C: Key = ("body", "/dav/ada/contacts/default/c.vcf")
BOOK = "/dav/ada/contacts/default/"
BEFORE: dict[Key, State] = {A: "a0", C: "c0"}


def done(oracle: Oracle, device: str, effects: dict[Key, State]) -> None:
    oracle.end(oracle.begin(device, f"set {effects}", effects), Fate.DONE)


def overwritten(oracle: Oracle, device: str, before: str, after: str, fate: Fate | None = Fate.DONE) -> None:
    attempt = oracle.begin(device, f"{before} to {after}", {C: after}, contended=True, before=before)
    if fate is not None:
        oracle.end(attempt, fate)


def test_all_that_was_acknowledged_is_right() -> None:
    oracle = Oracle(BEFORE)
    done(oracle, "phone", {B: "b1"})
    done(oracle, "phone", {A: None})
    assert oracle.check({B: "b1", C: "c0"}) == []


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param({A: "a1", C: "c0"}, id="an acknowledged item is missing"),
        pytest.param({A: "a0", B: "b1", C: "c0"}, id="an older body is shown"),
        pytest.param({A: "a1", B: "b1"}, id="an untouched item is missing"),
        pytest.param({A: "a1", B: "b1", C: "c9"}, id="an untouched item has changed"),
        pytest.param({A: "a1", B: "b1", C: "c0", ("body", "/dav/ada/x"): "x"}, id="something nobody wrote"),
    ],
)
def test_a_loss_is_found(shown: dict[Key, State]) -> None:
    oracle = Oracle(BEFORE)
    done(oracle, "phone", {B: "b1"})
    done(oracle, "phone", {A: "a1"})
    assert oracle.check({A: "a1", B: "b1", C: "c0"}) == []
    assert oracle.check(shown) != []


def test_a_deleted_item_that_comes_back_is_found() -> None:
    oracle = Oracle(BEFORE)
    done(oracle, "phone", {A: None})
    assert oracle.check({A: "a0", C: "c0"}) != []


def test_what_was_never_answered_may_have_happened_or_not_but_nothing_between() -> None:
    oracle = Oracle(BEFORE)
    done(oracle, "phone", {B: "b1"})
    oracle.begin("phone", "move b to a", {A: "b1", B: None})
    assert oracle.check({A: "a0", B: "b1", C: "c0"}) == []
    assert oracle.check({A: "b1", C: "c0"}) == []
    assert oracle.check({A: "b1", B: "b1", C: "c0"}) != []
    assert oracle.check({A: "a0", C: "c0"}) != []


def test_what_was_refused_must_not_have_happened() -> None:
    oracle = Oracle(BEFORE)
    oracle.end(oracle.begin("phone", "put", {A: "a1"}), Fate.REFUSED)
    done(oracle, "phone", {B: "b1"})
    assert oracle.check({A: "a0", B: "b1", C: "c0"}) == []
    assert oracle.check({A: "a1", B: "b1", C: "c0"}) != []


def test_after_a_watermark_a_prefix_may_be_missing_its_end_but_not_its_middle() -> None:
    oracle = Oracle(BEFORE)
    done(oracle, "phone", {A: "a1"})
    watermark = oracle.now()
    done(oracle, "phone", {B: "b1"})
    done(oracle, "phone", {A: "a2"})
    for allowed in ({A: "a1"}, {A: "a1", B: "b1"}, {A: "a2", B: "b1"}):
        assert oracle.check({C: "c0"} | allowed, watermark) == []
    assert oracle.check({A: "a2", C: "c0"}, watermark) != []
    assert oracle.check({A: "a0", C: "c0"}, watermark) != []
    assert oracle.check({A: "a1", B: "b1", C: "c0"}) != []


def test_contended_writes_form_one_chain() -> None:
    oracle = Oracle(BEFORE)
    overwritten(oracle, "phone", "c0", "c1")
    overwritten(oracle, "laptop", "c0", "c2", Fate.REFUSED)
    overwritten(oracle, "laptop", "c1", "c3")
    overwritten(oracle, "phone", "c3", "c4", None)
    assert oracle.check({A: "a0", C: "c3"}) == []
    assert oracle.check({A: "a0", C: "c4"}) == []
    for wrong in ("c0", "c1", "c2"):
        assert oracle.check({A: "a0", C: wrong}) != []


def test_two_acknowledged_overwrites_of_one_state_are_a_lost_update() -> None:
    oracle = Oracle(BEFORE)
    overwritten(oracle, "phone", "c0", "c1")
    overwritten(oracle, "laptop", "c0", "c2")
    assert oracle.check({A: "a0", C: "c2"}) != []


def test_what_was_read_must_not_vanish() -> None:
    oracle = Oracle(BEFORE)
    overwritten(oracle, "phone", "c0", "c1", None)
    assert oracle.check({A: "a0", C: "c0"}) == []
    oracle.saw(C, "c1")
    assert oracle.check({A: "a0", C: "c0"}) != []
    assert oracle.check({A: "a0", C: "c1"}) == []


def view(oracle: Oracle, listing: dict[str, str]) -> View:
    return View("phone", BOOK, "token", listing, oracle.now(), oracle.now())


def test_a_token_is_answered_exactly() -> None:
    oracle = Oracle(BEFORE)
    held = view(oracle, {"a.vcf": "a0", "c.vcf": "c0"})
    done(oracle, "phone", {A: None, B: "b1"})
    now = {"b.vcf": "b1", "c.vcf": "c0"}
    assert oracle.check_view(held, Reply(207, {"b.vcf": "b1"}, {"a.vcf"}, now)) == []
    assert oracle.check_view(held, Reply(207, {"b.vcf": "b1"}, set(), now)) != [], "a delete is not told"
    assert oracle.check_view(held, Reply(207, {}, {"a.vcf"}, now)) != [], "a new item is not told"
    assert oracle.check_view(held, Reply(207, {"b.vcf": "b1", "c.vcf": "c0"}, {"a.vcf"}, now)) != [], "too much"
    assert oracle.check_view(held, Reply(207, {"b.vcf": "b1"}, {"a.vcf", "c.vcf"}, now)) != [], "a wrong delete"
    assert oracle.check_view(held, Reply(503, {}, set(), {})) != []
    assert oracle.check_view(held, Reply(403, {}, set(), {})) != []


def test_a_token_of_a_state_that_may_be_lost_may_be_held_and_no_other() -> None:
    oracle = Oracle(BEFORE)
    early = view(oracle, {"a.vcf": "a0", "c.vcf": "c0"})
    watermark = oracle.now()
    late = view(oracle, {"a.vcf": "a0", "c.vcf": "c0"})
    held = Reply(503, {}, set(), {})
    assert oracle.check_view(late, held, watermark) == []
    assert oracle.check_view(early, held, watermark) != []


def test_a_collection_may_be_gone_only_where_somebody_removed_it() -> None:
    oracle = Oracle(BEFORE)
    held = view(oracle, {"a.vcf": "a0", "c.vcf": "c0"})
    gone = Reply(404, {}, set(), None)
    assert oracle.check_view(held, gone) != []
    done(oracle, "phone", {("exists", BOOK): None, A: None, C: None})
    assert oracle.check_view(held, gone) == []
