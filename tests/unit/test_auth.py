"""Signing in: what is cached, what is slowed, and that nobody is locked out or let in."""

from __future__ import annotations

import base64
import contextlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.lab.world import CheapHasher, SeededEntropy, SimClock
from safehold.model.errors import Held, TooManyAttempts, Unauthenticated
from safehold.model.items import Account
from safehold.service.auth import (
    Authenticator,
    Limits,
    PasswordCheck,
    app_password_digest,
    make_app_password,
)
from tests.support.identities import Identities

HOME, AWAY = "192.0.2.1", "198.51.100.9"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class World:
    """An authenticator with one account, anna, whose password is `right`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = SimClock()
        self.hasher = CheapHasher()
        self.reads = Identities()
        self.anna = self.reads.add("anna", self.hasher.hash("right"))
        self.auth = Authenticator(cast(Any, self.reads), self.hasher, self.clock, SeededEntropy(1), limits)

    def sign_in(self, name: str, password: str, peer: str = HOME) -> Account:
        found = self.auth.begin(basic(name, password), peer)
        who = self.auth.finish(found, found.run()) if isinstance(found, PasswordCheck) else found
        return who.account

    def begun(self, name: str, password: str, peer: str = HOME) -> PasswordCheck:
        found = self.auth.begin(basic(name, password), peer)
        assert isinstance(found, PasswordCheck)
        return found

    def set_password(self, password: str) -> None:
        self.reads.set(self.anna, "password", self.hasher.hash(password).encode())
        self.auth.invalidate(self.anna.id)

    def refused(self, name: str, password: str, peer: str = HOME) -> None:
        with pytest.raises(Unauthenticated):
            self.sign_in(name, password, peer)


@pytest.fixture
def world() -> World:
    return World()


# -- the way in ------------------------------------------------------------------------------------------------


def test_the_right_password_opens_and_is_hashed_once(world: World) -> None:
    assert world.sign_in("anna", "right") == world.anna
    assert world.sign_in("anna", "right") == world.anna
    assert world.hasher.verified == 1


def test_a_name_may_begin_with_a_capital_as_telephones_write_it(world: World) -> None:
    assert world.sign_in("Anna ", "right") == world.anna


def test_what_is_known_is_known_for_five_minutes(world: World) -> None:
    world.sign_in("anna", "right")
    world.clock.advance(299)
    world.sign_in("anna", "right")
    assert world.hasher.verified == 1
    world.clock.advance(2)
    world.sign_in("anna", "right")
    assert world.hasher.verified == 2


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Bearer abc",
        "Basic !!!!",
        "Basic YW5uYQ==",  # no colon
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic YW5uYTpyaWdodA",  # no padding
        "Basic " + "A" * 5000,
        "Basic \ud800",
    ],
)
def test_malformed_credentials_are_refused_without_a_lookup(world: World, header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        world.auth.begin(header, HOME)
    assert world.reads.lookups == 0


@given(st.text())
def test_no_header_breaks_it(header: str) -> None:
    world = World()
    with contextlib.suppress(Unauthenticated):
        world.auth.begin("Basic " + header, HOME)


def test_an_unknown_name_gets_the_same_answer_after_the_same_work(world: World) -> None:
    answers = []
    for name in ("anna", "nobody", ""):
        before = world.hasher.hashed + world.hasher.verified
        with pytest.raises(Unauthenticated) as refusal:
            world.sign_in(name, "wrong")
        answers.append((refusal.value.message, refusal.value.hint))
        assert world.hasher.hashed + world.hasher.verified == before + 1
    assert len(set(answers)) == 1


def test_an_account_without_a_password_opens_to_app_passwords_only(world: World) -> None:
    robot = world.reads.add("robot")
    world.refused("robot", "")
    text = make_app_password(SeededEntropy(5))
    world.reads.add_app_password(robot, "camera", text)
    assert world.sign_in("robot", text) == robot


def test_an_identity_that_is_held_is_503_and_not_401(world: World) -> None:
    world.reads.hold(world.anna, "revision 7 is missing")
    with pytest.raises(Held):
        world.sign_in("anna", "right")


def test_a_right_password_that_could_not_be_entered_costs_nothing(world: World) -> None:
    for _ in range(2 * Limits().per_name_burst):
        check = world.begun("anna", "right")
        world.reads.hold(world.anna, "revision 7 is missing")
        with pytest.raises(Held):
            world.auth.finish(check, check.run())
        world.reads.hold(world.anna, None)
    assert world.sign_in("anna", "right") == world.anna


# -- changes take effect at once -------------------------------------------------------------------------------


def test_a_new_password_shuts_out_the_old_one_at_once(world: World) -> None:
    world.sign_in("anna", "right")
    world.set_password("new")
    world.refused("anna", "right")
    world.sign_in("anna", "new")


def test_a_password_that_was_wrong_before_the_change_opens_after_it(world: World) -> None:
    world.refused("anna", "new")
    world.set_password("new")
    world.sign_in("anna", "new")


def test_a_check_that_was_under_way_does_not_open_with_the_replaced_password(world: World) -> None:
    check = world.begun("anna", "right")
    ok = check.run()
    world.set_password("new")
    with pytest.raises(Unauthenticated):
        world.auth.finish(check, ok)
    world.refused("anna", "right")


def test_a_check_that_missed_the_change_is_not_remembered_as_wrong(world: World) -> None:
    check = world.begun("anna", "new")
    ok = check.run()
    world.set_password("new")
    with pytest.raises(Unauthenticated):
        world.auth.finish(check, ok)
    assert world.sign_in("anna", "new") == world.anna


def test_an_erased_account_opens_to_nothing(world: World) -> None:
    world.sign_in("anna", "right")
    check = world.begun("anna", "right ")
    world.reads.erase(world.anna)
    world.auth.invalidate(world.anna.id)
    with pytest.raises(Unauthenticated):
        world.auth.finish(check, True)
    world.refused("anna", "right")


def test_a_revoked_app_password_is_shut_out_and_the_others_stay(world: World) -> None:
    phone, laptop = make_app_password(SeededEntropy(2)), make_app_password(SeededEntropy(3))
    world.reads.add_app_password(world.anna, "phone", phone)
    world.reads.add_app_password(world.anna, "laptop", laptop)
    assert world.sign_in("anna", phone) == world.sign_in("anna", laptop) == world.anna
    world.reads.set(world.anna, "app/phone", None)
    world.auth.invalidate(world.anna.id)
    world.refused("anna", phone)
    assert world.sign_in("anna", laptop) == world.anna
    assert world.hasher.verified == 1, "app passwords need no slow hash; the revoked one is tried as a password"


def test_after_erasures_everything_is_looked_up_again(world: World) -> None:
    world.sign_in("anna", "right")
    world.reads.erase(world.anna)
    world.auth.forget_all()
    world.refused("anna", "right")


# -- guessing --------------------------------------------------------------------------------------------------


def exhaust(world: World, peer: str = AWAY, name: str = "anna") -> TooManyAttempts:
    for guess in range(1000):
        try:
            world.sign_in(name, f"guess {guess}", peer)
        except TooManyAttempts as refusal:
            return refusal
        except Unauthenticated:
            pass
    raise AssertionError("nothing slowed 1000 guesses")


def test_guesses_from_one_place_are_slowed_and_the_owner_elsewhere_is_not(world: World) -> None:
    refusal = exhaust(world)
    assert 1 <= refusal.retry_after_seconds <= 10
    assert world.hasher.verified == Limits().per_name_burst
    assert world.sign_in("anna", "right", HOME) == world.anna


def test_the_right_password_passes_again_once_a_moment_has_passed(world: World) -> None:
    wait = exhaust(world).retry_after_seconds
    with pytest.raises(TooManyAttempts):
        world.sign_in("anna", "right", AWAY)
    world.clock.advance(wait)
    assert world.sign_in("anna", "right", AWAY) == world.anna


def test_known_credentials_and_app_passwords_are_never_slowed(world: World) -> None:
    text = make_app_password(SeededEntropy(4))
    world.reads.add_app_password(world.anna, "phone", text)
    world.sign_in("anna", "right", AWAY)
    exhaust(world)
    assert world.sign_in("anna", "right", AWAY) == world.anna
    assert world.sign_in("anna", text, AWAY) == world.anna


def test_guesses_at_many_names_from_one_place_are_slowed_too(world: World) -> None:
    with pytest.raises(TooManyAttempts):
        for number in range(Limits().per_peer_burst + 1):
            world.refused(f"name{number}", "guess", AWAY)


def test_an_ipv6_host_cannot_change_its_place_by_changing_its_address(world: World) -> None:
    with pytest.raises(TooManyAttempts):
        for number in range(Limits().per_name_burst + 1):
            world.refused("anna", f"guess {number}", f"2001:db8:1:2::{number:x}")
    world.refused("anna", "guess", "2001:db8:1:3::1")


def test_a_phone_with_an_old_password_costs_one_hash_and_locks_nobody_out(world: World) -> None:
    for _ in range(500):
        world.refused("anna", "old", HOME)
    assert world.hasher.verified == 1
    assert world.sign_in("anna", "right", HOME) == world.anna


def test_right_passwords_cost_nothing(world: World) -> None:
    for _ in range(100):
        world.clock.advance(0.01)
        world.auth.invalidate(world.anna.id)
        assert world.sign_in("anna", "right") == world.anna


def test_guesses_at_the_same_moment_are_counted_before_they_are_judged() -> None:
    world = World(Limits(checks_per_account=100, checks=100))
    for number in range(Limits().per_name_burst):
        world.begun("anna", f"guess {number}", AWAY)
    with pytest.raises(Held):  # whether these are guesses is not known yet
        world.begun("anna", "one more", AWAY)
    for check in [*world.auth._checks.values()]:
        with pytest.raises(Unauthenticated):
            world.auth.finish(check, check.run())
    with pytest.raises(TooManyAttempts):
        world.begun("anna", "one more", AWAY)


def test_the_same_credentials_at_the_same_moment_are_one_check(world: World) -> None:
    assert world.begun("anna", "right") is world.begun("anna", "right")


def test_the_checks_of_an_account_at_a_time_are_bounded_and_leave_room_for_where_the_owner_was(world: World) -> None:
    world.sign_in("anna", "right", HOME)
    world.auth.invalidate(world.anna.id)
    for number in range(Limits().checks_per_account):
        world.begun("anna", f"guess {number}", f"203.0.113.{number}")
    with pytest.raises(Held):
        world.begun("anna", "guess", "203.0.113.99")
    assert world.sign_in("anna", "right", HOME) == world.anna


def test_an_abandoned_check_leaves_nothing_behind(world: World) -> None:
    for number in range(200):
        world.auth.abandon(world.begun("anna", f"guess {number}"))
    assert world.sign_in("anna", "right") == world.anna


def test_what_is_remembered_is_bounded() -> None:
    limits = Limits(cache_entries=50, buckets=50)
    world = World(limits)
    for number in range(500):
        world.clock.advance(60)
        world.refused("anna", f"guess {number}", f"198.51.{number // 250}.{number % 250}")
        world.sign_in("anna", "right", f"203.0.{number // 250}.{number % 250}")
    sizes = [len(v) for v in vars(world.auth).values() if isinstance(v, dict)]
    sizes += [len(world.auth._at_name._levels), len(world.auth._at_peer._levels)]
    assert max(sizes) <= 50


def test_the_settings_of_the_configuration_bound_a_window() -> None:
    world = World(Limits.of(failures=3, window_seconds=60, remember_seconds=1))
    exhaust(world)
    assert world.hasher.verified == 3
    world.clock.advance(60)
    exhaust(world)
    assert world.hasher.verified == 6


# -- app passwords ---------------------------------------------------------------------------------------------


def test_an_app_password_is_four_groups_of_five_and_has_100_bits() -> None:
    text = make_app_password(SeededEntropy(1))
    groups = text.split("-")
    assert [len(g) for g in groups] == [5, 5, 5, 5]
    assert len({make_app_password(SeededEntropy(seed)) for seed in range(200)}) == 200

    class Ones:
        def bytes(self, count: int) -> bytes:
            return b"\xff" * count

    assert make_app_password(Ones()) == "77777-77777-77777-77777"


def test_an_app_password_may_be_typed_with_or_without_dashes_blanks_and_capitals() -> None:
    text = make_app_password(SeededEntropy(9))
    ways = [text, text.replace("-", ""), text.upper(), text.replace("-", " "), f" {text}\n", text.replace("-", "–")]
    assert len({app_password_digest(way) for way in ways}) == 1
    assert app_password_digest(text) is not None
    assert app_password_digest("abcde-fghij-lo234-56701") == app_password_digest("abcdefghijlo234567ol")


@pytest.mark.parametrize("text", ["", "abcde", "a" * 19, "a" * 21, "abcde-fghij-klmno-pqrs8", "é" * 20])
def test_what_cannot_be_an_app_password(text: str) -> None:
    assert app_password_digest(text) is None
