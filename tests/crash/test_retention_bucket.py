"""A house lives through months, and its far vault lies in a bucket: its keeper attests there and removes what is old.

What goes from a bucket that locks nothing is what goes from a folder; from one that locks what it keeps, no more than
its lock lets go. Old is what is old by the store's clock, whatever the keeper's says.
"""

from __future__ import annotations

import pytest

from safehold.formats import segment
from safehold.formats.evidence import EVIDENCE_PREFIX
from safehold.lab.sealing import LabSealer
from safehold.ports.vault import KeptVault
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.judging import Standing
from safehold.recovery.keeper import VaultKeeper
from safehold.recovery.retention import LOCKED, Plan, Policy
from safehold.recovery.scrub import Pace, Scrubber, scrub
from safehold.vault.s3 import S3Vault
from safehold.vault.s3_keeping import KeptS3Vault, ScrubbedS3Vault
from tests.support.memory_bucket import MemoryBucket
from tests.support.months import DAY_SECONDS, Months

PLACE = "bucket/home"
#: Retention keeps this many days of history, and the bucket locks what it is given for so many.
HISTORY_DAYS, LOCK_DAYS = 6, 8


class BucketMonths(Months):
    """`far` is in a bucket, which has what the house's own far vault has got since."""

    def __init__(self, seed: int, store: MemoryBucket) -> None:
        super().__init__(seed, Policy(HISTORY_DAYS, 3, 2, 2))
        self.store = store
        self.shipped: dict[str, int] = {}
        self.tick()
        S3Vault.create("far", PLACE, store, self.house.keyring.installation)

    def tick(self) -> None:
        """The store's clock is its own: nobody of the house sets it."""
        self.store.now = self.house.clock.now() // 1_000_000

    def kept(self, name: str) -> KeptVault:  # type: ignore[override]
        if name != "far":
            return super().kept(name)
        return KeptS3Vault("far", PLACE, self.store, self.house.keyring.installation, clock=self.keeper_clock())

    def keeper(self, name: str) -> VaultKeeper:
        vault = self.kept(name)
        keyring = self.house.keyring
        assert keyring.keeper is not None
        bucket = vault if isinstance(vault, KeptS3Vault) else None
        return VaultKeeper(
            vault,
            [self.kept(other) for other in ("near", "far") if other != name],
            LabSealer(keyring.keeper),
            keyring.opener,
            self.keeper_clock(),
            self.policy,
            frozen=lambda: self.frozen,
            taken=bucket.evidence_taken if bucket is not None else None,
            held=bucket.held if bucket is not None else None,
        )

    def ship(self) -> None:
        """What has come to the house's far vault, but for its evidence: that is its keeper's, who puts it here."""
        self.tick()
        vault = S3Vault("far", PLACE, self.store, self.house.keyring.installation)
        source = super().kept("far")
        for info in source.list():
            there = self.shipped.get(info.name, 0)
            if info.name.startswith(EVIDENCE_PREFIX) or (info.size <= there and info.name in self.shipped):
                continue
            data = source.get(info.name, there)
            if info.name.startswith(segment.LOG_PREFIX):
                vault.append(info.name, there, data)
            else:
                vault.put(info.name, [data])
            self.shipped[info.name] = info.size

    def keep(self) -> dict[str, Plan]:
        self.ship()
        return super().keep()

    def scrub(self) -> list[object]:
        keyring = self.house.keyring
        vaults = [ScrubbedS3Vault("far", PLACE, self.store, keyring.installation), self.kept("near")]
        scrubber = Scrubber(vaults[0], keyring.installation, keyring.opener, Pace(self.house.clock, lambda _: None))
        excuses = EvidenceExcuses.read("far", vaults, keyring.installation, keyring.opener)
        result = scrub(scrubber, [], Standing(), opener=keyring.opener, excuses=lambda: excuses)
        assert not result.trouble
        return list(result.damaged)


def live(months: BucketMonths, days: int) -> list[Plan]:
    plans = []
    for day in range(days):
        months.pass_day(requests=months.random.randrange(6))
        if months.random.random() < 0.8:
            months.snapshot()
        plans.append(months.keep()["far"])
        if day % 6 == 5:
            months.check("far")
    assert months.scrub() == []
    return plans


@pytest.mark.parametrize("versioned", [False, pytest.param(True, marks=pytest.mark.long)])
def test_what_goes_from_a_bucket_is_what_goes_from_a_folder(versioned: bool) -> None:
    months = BucketMonths(1, MemoryBucket(versioned=versioned))
    plans = live(months, 22)
    assert sum(len(plan.remove) for plan in plans) > 20

    def there(name: str) -> dict[str, int]:
        listed = {info.name: info.size for info in months.kept(name).list()}
        return {name: size for name, size in listed.items() if not name.startswith(EVIDENCE_PREFIX)}

    near, far = there("near"), there("far")
    assert {n for n in far if not n.startswith("log/")} == {n for n in near if not n.startswith("log/")}
    assert min(n for n in far if far[n] > segment.HEADER_BYTES) >= min(n for n in near if near[n] > 0)


def test_a_bucket_lets_go_what_its_lock_lets_go() -> None:
    months = BucketMonths(3, MemoryBucket(lock_days=LOCK_DAYS))
    plans = live(months, 26)
    removed = [going.name for plan in plans for going in plan.remove]
    assert len(removed) > 20 and any(stay.why == LOCKED for plan in plans for stay in plan.keep)
    assert all(not plan.blocked for plan in plans[16:])
    evidence = {n for n in removed if n.startswith(EVIDENCE_PREFIX)}
    assert evidence and not {n for n in removed if f"home/{n}" in months.store.keys}


def test_a_keepers_clock_that_runs_ahead_makes_nothing_old() -> None:
    """Somebody with the keeper's host lets it work again and again, each time three days later by its own clock."""
    months = BucketMonths(5, MemoryBucket(versioned=True))
    for _ in range(4):
        months.pass_day(requests=4)
        months.snapshot()
        months.keep()
    before = {info.name for info in months.kept("far").list()}
    for _ in range(12):
        months.keeper_skew += 3 * DAY_SECONDS
        plan = months.keeper("far").retain(months.kept("far"))
        assert plan.empty and "day" in plan.blocked, plan
    assert before <= {info.name for info in months.kept("far").list()}
    assert months.keeper("near").plan().receipt > months.keeper("far").plan().receipt, "else this shows nothing"


def test_nothing_goes_while_a_recovery_is_open() -> None:
    months = BucketMonths(6, MemoryBucket())
    live(months, 9)
    months.pass_day(requests=4)
    months.snapshot()
    months.ship()
    months.frozen = "a recovery is open"
    before = {info.name for info in months.kept("far").list()}
    assert months.keeper("far").retain(months.kept("far")).blocked == "a recovery is open"
    assert before <= {info.name for info in months.kept("far").list()}
