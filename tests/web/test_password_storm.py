"""Every device at once, after hours down: nobody is told that his password is wrong, and all are in within minutes.

What is known of credentials is memory, so that a start knows nothing. App passwords cost one SHA-256 and are answered
at once; passwords that people choose take a slow hash, some 13 a second and core, and whoever finds too many of them
under way is told 503 with a Retry-After that is spread. Time is simulated, and so is how long a hash takes.
"""

from __future__ import annotations

import base64
import heapq
import random
from collections import Counter
from itertools import count
from typing import Any, cast

import pytest

from safehold.disaster.house import House
from safehold.lab.wire import Request, propfind
from safehold.lab.world import CheapHasher, SeededEntropy, SimClock
from safehold.model.errors import Held
from safehold.protocol.problems import jittered
from safehold.service.auth import BUSY_SECONDS, Authenticator, Limits, PasswordCheck, SignedIn, make_app_password
from safehold.web.signin import HASHING_THREADS
from tests.support.identities import Identities

ACCOUNTS, DEVICES = 250, 500
#: Of one hash on one core, measured (adapters/passwords.py), and doubled.
HASH_SECONDS = 0.15


class Storm:
    """Devices that come at one moment, a server that hashes so many passwords at a time, and a clock."""

    def __init__(self, seed: int, *, own: float, places: int) -> None:
        self.rng = random.Random(seed)
        self.clock = SimClock()
        self.hasher = CheapHasher()
        self.reads = Identities()
        self.auth = Authenticator(cast(Any, self.reads), self.hasher, self.clock, SeededEntropy(seed), Limits())
        self.statuses: Counter[int] = Counter()
        self.signed_in: dict[int, float] = {}
        self.most_a_second = 0
        self.own_accounts = 0
        self._order = count()
        self._events: list[tuple[float, int, str, Any]] = []
        self._waiting: list[PasswordCheck] = []
        self._hashing = 0
        self._asking: dict[PasswordCheck, list[int]] = {}
        self._devices = self._make(own, places)

    def _make(self, own: float, places: int) -> list[tuple[str, str]]:
        """The header and the address of each device: two an account, by its own password or by app passwords."""
        made = []
        for number in range(ACCOUNTS):
            name, uses_own = f"user{number}", self.rng.random() < own
            account = self.reads.add(name, self.hasher.hash(f"own {name}"))
            self.own_accounts += uses_own
            for device in range(DEVICES // ACCOUNTS):
                password = f"own {name}"
                if not uses_own:
                    password = make_app_password(SeededEntropy(f"{number} {device}"))
                    self.reads.add_app_password(account, f"device-{device}", password)
                header = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
                made.append((header, f"192.0.2.{self.rng.randrange(places)}"))
        return made

    def blow(self) -> None:
        for number in range(DEVICES):
            self._at(0.0, "ask", number)
        by_second: Counter[int] = Counter()
        while self._events:
            due, _, what, about = heapq.heappop(self._events)
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            if what == "ask":
                by_second[int(due)] += 1
                self._ask(about)
            else:
                self._hashed(about)
        self.most_a_second = max((number for second, number in by_second.items() if second > 0), default=0)

    def _at(self, seconds: float, what: str, about: Any) -> None:
        heapq.heappush(self._events, (self.clock.monotonic() + seconds, next(self._order), what, about))

    def _ask(self, number: int) -> None:
        header, place = self._devices[number]
        try:
            found = self.auth.begin(header, place)
        except Held as busy:
            self.statuses[503] += 1
            self._at(jittered(busy.retry_after_seconds, self.rng.randrange(256)), "ask", number)
            return
        if isinstance(found, SignedIn):
            self._in(number)
            return
        if found not in self._asking:
            self._waiting.append(found)
        self._asking.setdefault(found, []).append(number)
        self._hash_more()

    def _hash_more(self) -> None:
        while self._waiting and self._hashing < HASHING_THREADS:
            self._hashing += 1
            self._at(HASH_SECONDS, "hashed", self._waiting.pop(0))

    def _hashed(self, check: PasswordCheck) -> None:
        self._hashing -= 1
        self.auth.finish(check, check.run())
        for number in self._asking.pop(check):
            self._in(number)
        self._hash_more()

    def _in(self, number: int) -> None:
        self.statuses[207] += 1
        self.signed_in[number] = self.clock.monotonic()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("places", [250, 3, 1])
@pytest.mark.parametrize("own", [0.0, 0.3, 1.0])
def test_all_are_in_within_minutes_and_none_is_told_that_he_may_not(seed: int, places: int, own: float) -> None:
    """Any other error than 503 fails: 401 makes a phone ask its owner for the password, 429 is for guesses."""
    storm = Storm(seed, own=own, places=places)
    storm.blow()
    assert len(storm.signed_in) == DEVICES
    assert storm.hasher.verified == storm.own_accounts, "each password is hashed once"
    if own == 0:
        assert storm.statuses == {207: DEVICES}
        assert max(storm.signed_in.values()) == 0
    least = storm.own_accounts * HASH_SECONDS / HASHING_THREADS
    assert max(storm.signed_in.values()) < least + 8 * BUSY_SECONDS
    assert storm.statuses[503] < 5 * DEVICES
    assert storm.most_a_second < DEVICES / 3, "who was refused together does not come back together"


def test_guesses_meanwhile_are_still_guesses() -> None:
    storm = Storm(1, own=1.0, places=1)
    for guess in range(Limits().per_name_burst):
        header = "Basic " + base64.b64encode(f"user0:guess {guess}".encode()).decode()
        check = storm.auth.begin(header, "198.51.100.9")
        assert isinstance(check, PasswordCheck)
        with pytest.raises(Exception, match="wrong"):
            storm.auth.finish(check, check.run())
    with pytest.raises(Exception, match="too many wrong"):
        storm.auth.begin("Basic " + base64.b64encode(b"user0:one more").decode(), "198.51.100.9")
    storm.blow()
    assert len(storm.signed_in) == DEVICES


def test_five_hundred_listings_at_once_through_the_application() -> None:
    house = House.new("storm", ("ann", "bob", "cyd"))
    try:
        wanted: list[Request] = [propfind(user, f"{user}/contacts/default", 1) for user in ("ann", "bob", "cyd")]
        answers = house.requests([wanted[n % 3] for n in range(DEVICES)])
        assert Counter(answer.status for answer in answers) == {207: DEVICES}
    finally:
        house.abandon()
