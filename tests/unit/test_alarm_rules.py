"""The rules of alarms by themselves: sights in, conditions out."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from safehold.assembly.looking_vault import _vanished
from safehold.proof.limits import DAY, HOUR, Limits
from safehold.proof.rules import Rules
from safehold.proof.rules_room import days_left, p99
from safehold.proof.seen import End, Memory, RoomSeen, Sight, VaultSeen, Witness, WriterSeen

START = 1_767_225_600_000_000
GIB = 1024**3


class Watched:
    """Rules under sights that come at set intervals."""

    def __init__(self, memory: Memory | None = None, limits: Limits | None = None) -> None:
        self.rules = Rules(memory, limits or Limits())
        self.at = 0.0

    def see(self, seconds: float, **seen: object) -> dict[str, str]:
        """One sight after so long; what is said, by alarm."""
        self.at += seconds
        sight = Sight(now=START + round(self.at * 1e6), monotonic=self.at, up_seconds=self.at, **seen)  # type: ignore[arg-type]
        return {f"{c.what}/{c.key}" if c.key else c.what: c.message for c in self.rules.judge(sight)}

    def restarted(self) -> Watched:
        memory = msgspec.json.decode(msgspec.json.encode(self.rules.memory), type=Memory)
        found = Watched(memory, self.rules.limits)
        found.at = self.at
        return found


def days(watched: Watched, count: int, rng: random.Random, per_day: float) -> set[str]:
    said: set[str] = set()
    for _ in range(count * 24):
        arrived = {"contacts": sum(rng.random() < per_day / 24 / 4 for _ in range(4))}
        said |= set(watched.see(HOUR, arrived=arrived))
    return said


def test_a_kind_that_stops_is_told_once_it_has_a_history() -> None:
    seed = 5
    print(f"seed {seed}")
    rng = random.Random(seed)
    watched = Watched()
    assert days(watched, 10, rng, 8) == set()
    assert all(watched.see(HOUR, arrived={}) == {} for _ in range(3 * 24)), "ten days are no history"
    assert days(watched, 12, rng, 8) == set()
    watched = watched.restarted()
    longest = max(watched.rules.memory.kinds["contacts"].gaps)
    silent = 0.0
    while not (said := watched.see(HOUR, arrived={})):
        silent += HOUR
    assert set(said) == {"kind stopped/contacts"} and silent <= max(DAY, 3 * longest) + HOUR
    assert watched.see(HOUR, arrived={"contacts": 1}) == {}


def test_a_kind_that_comes_ten_times_less_is_told_the_next_day() -> None:
    watched = Watched()
    for _ in range(20 * 24):
        assert watched.see(HOUR, arrived={"contacts": 5}) == {}
    said = {what for _ in range(49) for what in watched.see(HOUR, arrived={"contacts": 0 if _ % 8 else 1})}
    assert said == {"kind stopped/contacts"}


def test_a_service_that_was_down_has_not_seen_silence() -> None:
    rng = random.Random(1)
    watched = Watched()
    days(watched, 20, rng, 8)
    watched = watched.restarted()
    watched.at += 30 * DAY
    assert "kind stopped/contacts" not in watched.see(HOUR, arrived={})


def vault(objects: int, size: int = 0, removals: int = 0, removed: int = 0) -> VaultSeen:
    return VaultSeen(
        name="far",
        sync=False,
        available=True,
        objects=objects,
        bytes=size or objects * 1000,
        removals=removals,
        removed=removed,
    )


def test_a_vault_shrinks_only_by_retention() -> None:
    watched = Watched()
    assert watched.see(60, vaults=(vault(1000),)) == {}
    assert watched.see(60, vaults=(vault(700, removals=1, removed=320),)) == {}, "on record, and some were added"
    assert watched.see(60, vaults=(vault(695, removals=1, removed=320),)) == {}
    assert set(watched.see(60, vaults=(vault(600, removals=1, removed=320),))) == {"vault shrank/far"}
    assert set(watched.see(60, vaults=(vault(601, removals=1, removed=320),))) == {"vault shrank/far"}, "for a day"
    assert watched.see(DAY, vaults=(vault(602, removals=1, removed=320),)) == {}
    said = watched.see(60, vaults=(vault(400, removals=2, removed=10),))
    assert "vault shrank/far" in said, "more is gone than retention tells of"


def test_a_listing_that_shows_later_what_retention_has_removed_is_excused() -> None:
    watched = Watched()
    watched.see(60, vaults=(vault(900),))
    assert not watched.see(60, vaults=(vault(900, removals=1, removed=300),))
    assert not watched.see(40_000, vaults=(vault(600, removals=1, removed=300),)), "the next look may be late"
    assert set(watched.see(60, vaults=(vault(300, removals=1, removed=300),))) == {"vault shrank/far"}, "once only"


def test_what_retention_takes_of_a_log_has_not_vanished() -> None:
    before = {f"log/00000001/{n:08}-{n * 9:012}.seg": 5000 for n in range(6)} | {"log/00000002/00000000-x.seg": 900}
    after = dict(list(before.items())[4:]) | {"log/00000001/00000000-000000000000.seg": 300}
    assert _vanished(before, after) == ""
    del after["log/00000001/00000005-000000000045.seg"]
    assert _vanished(before, after) == "log/00000001/00000005-000000000045.seg is gone"
    before, after = {"log/1": 2, "log/2": 5, "log/3": 1}, {"log/1": 2, "log/2": 4, "log/3": 1}
    assert _vanished(before, after) == "log/2 is shorter than it was"
    assert _vanished(before, {}) == "its log is gone"


def test_a_disk_that_fills_says_when() -> None:
    watched = Watched()
    free = 100 * GIB
    said: dict[str, str] = {}
    for hour in range(72):
        free -= int(0.4 * GIB)
        said = watched.see(HOUR, rooms=(RoomSeen("vault near", free),))
        assert (hour < 24) <= (not said), "a day is needed to tell"
    left = free / (0.4 * GIB * 24)
    assert f"full in about {left:.0f} days" in said["disk filling/vault near"]
    rng = random.Random(2)
    samples = [(i * HOUR, 500 * GIB + rng.randrange(GIB)) for i in range(200)]
    assert (days_left(samples, 500 * GIB) or 10_000) > 1000, "what goes up and down does not fill"
    assert watched.see(HOUR, rooms=(RoomSeen("x", 1024),)).keys() >= {"disk filling/x"}


def test_one_slow_write_is_no_slow_disk() -> None:
    watched = Watched()
    for hour in range(48):
        assert watched.see(HOUR, appends=(0.005,) * 50) == {}, hour
    assert watched.see(30, appends=(3.0, *(0.005,) * 20)) == {}
    assert watched.see(300, appends=(0.005,) * 20) == {}
    said = [watched.see(30, appends=(0.4,) * 5) for _ in range(6)]
    assert "disk slow/vaults" in said[-1] and "usually 5 ms" in said[-1]["disk slow/vaults"]
    assert p99([1.0] * 99 + [9.0, 9.0]) == 9.0 and p99([1.0] * 199 + [9.0]) == 1.0


@pytest.mark.parametrize(
    ("in_days", "said"), [(30, ""), (20, "ends in 20 days"), (0.5, "ends today"), (-3, "ended 3 days ago")]
)
def test_a_certificate_that_ends(in_days: float, said: str) -> None:
    watched = Watched()
    at = datetime.fromtimestamp(START / 1e6, UTC) + timedelta(days=in_days, seconds=60)
    found = watched.see(60, ends=(End("certificate", "dav.example.org", round(at.timestamp() * 1e6)),))
    assert said in found.get("certificate ends/dav.example.org", "") and bool(said) == bool(found)


def test_clocks_that_disagree() -> None:
    watched = Watched()
    now = START + 60 * 1_000_000
    assert watched.see(60, witnesses=(Witness("a frame", now - 10 * 86_400_000_000),)) == {}
    said = watched.see(0, witnesses=(Witness("a frame", now + 3600 * 1_000_000),))
    assert said == {"clock off": "the clock is 60 minutes behind a frame"}
    said = watched.see(0, witnesses=(Witness("the clock of x", now - 3600 * 1_000_000, exact=True),))
    assert said == {"clock off": "the clock is 60 minutes ahead of the clock of x"}
    again = watched.restarted()
    again.at -= 86_400
    assert "clock jumped" in again.see(0), "it was later when it was last looked"


def test_keys_that_change_are_told_for_a_day() -> None:
    watched = Watched()
    assert watched.see(60, recipients=("a",), own_recipient="a") == {}
    assert "new: b" in watched.see(60, recipients=("a", "b"), own_recipient="a")["recipients changed"]
    assert watched.see(DAY + 1, recipients=("a", "b"), own_recipient="a") == {}
    assert set(watched.see(60, recipients=("b",), own_recipient="a")) == {"recipients changed", "wrong key/identity"}


def test_a_vault_that_catches_up_is_not_stuck() -> None:
    watched = Watched()

    def far(lacks: int, lag: float) -> tuple[VaultSeen, ...]:
        return (VaultSeen(name="far", sync=False, available=True, unarchived=lacks, lag_seconds=lag),)

    for step in range(20):
        assert watched.see(60, vaults=far(1000 - step * 40, 600 + step)) == {}
    said = [watched.see(60, vaults=far(200, 700 + step)) for step in range(4)]
    assert said[0] == {} and set(said[-1]) == {"archiver stopped"}


def test_a_silent_writer_and_what_was_not_looked_at() -> None:
    watched = Watched()
    assert watched.see(60) == {}, "nothing was looked at: no news"
    assert watched.see(60, writers=(WriterSeen(name="near", silent_seconds=60),)) == {}
    assert set(watched.see(60, writers=(WriterSeen(name="near", silent_seconds=4000),))) == {"writer silent/near"}


def test_what_is_remembered_is_bounded() -> None:
    watched = Watched()
    for hour in range(24 * 10):
        watched.see(
            HOUR,
            arrived={"contacts": 1},
            arrived_accounts={f"user{hour}": 1},
            appends=(0.01,) * 10,
            rooms=(RoomSeen("core", 10**12),),
        )
    size = len(msgspec.json.encode(watched.rules.memory))
    per_account = size / (24 * 10)
    assert per_account < 500, f"{per_account:.0f} bytes an account"
