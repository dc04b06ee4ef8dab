"""What a scenario is for is missed where it is not there: each fails once its own safeguard is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from safehold.archiver.shipper import Shipper
from safehold.disaster import upkeep
from safehold.disaster.scenario import run, scenario_named
from safehold.model.errors import SafeholdError
from safehold.proof.rules import Rules
from safehold.recovery.build import Build
from safehold.recovery.judging import Judge, Judgement
from safehold.service.erasure_rules import ErasureRules
from safehold.store.blobs import LiveBlobs
from safehold.vault.admission import Admission

Patch = pytest.MonkeyPatch


def rules_that_find_nothing(patch: Patch) -> None:
    patch.setattr(Rules, "judge", lambda *_: [])


def silent_shippers(patch: Patch) -> None:
    """Nor does a rule ask what they have brought."""
    patch.setattr(Shipper, "trouble", property(lambda _: None))
    rules_that_find_nothing(patch)


def no_brake_on_erasures(patch: Patch) -> None:
    patch.setattr(ErasureRules, "_are_many", lambda _: False)


def keepers_that_admit_all(patch: Patch) -> None:
    patch.setattr(Admission, "check_append", lambda *_: None)
    patch.setattr(Admission, "check_new", lambda *_: None)
    patch.setattr(Admission, "check_frames", lambda *_: None)


def keepers_that_heed_no_recovery(patch: Patch) -> None:
    patch.setattr(upkeep, "frozen_by", lambda _: "")


def bodies_that_nobody_checks(patch: Patch) -> None:
    def read(self: LiveBlobs, name: bytes, size: int, *_: Any, **__: Any) -> Any:
        path = self._at(name)
        try:
            file = self._disk.open(path)
        except OSError as error:
            raise SafeholdError(str(error)) from error
        return iter([file.read_at(0, size)])

    patch.setattr(LiveBlobs, "read", read)
    patch.setattr(LiveBlobs, "check", lambda *_: True)


def scrubs_that_miss_nothing(patch: Patch) -> None:
    """Nor does a rule notice that a vault holds less."""
    judge = Judge.judge
    rules_that_find_nothing(patch)
    patch.setattr(Judge, "judge", lambda self: Judgement([], judge(self).remember, judge(self).end))


def recoveries_without_a_doubt(patch: Patch) -> None:
    patch.setattr(Build, "_doubt", lambda _: b"")


@pytest.mark.parametrize(
    ("name", "seeds", "break_it"),
    [
        ("gitlab-2017", (1,), silent_shippers),
        ("atlassian-2022", (1,), no_brake_on_erasures),
        ("code-spaces-2014", (2,), keepers_that_admit_all),
        ("ovh-2021", (7,), keepers_that_heed_no_recovery),
        ("myspace-2019", (1,), bodies_that_nobody_checks),
        ("kyoto-2021", (1,), scrubs_that_miss_nothing),
        ("radicale-rollback", (4,), recoveries_without_a_doubt),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_scenario_misses_its_safeguard(
    name: str, seeds: tuple[int, ...], break_it: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    break_it(monkeypatch)
    assert not all(passes(name, seed) for seed in seeds)


def passes(name: str, seed: int) -> bool:
    try:
        return run(scenario_named(name), seed)[0].passed
    except Exception:  # it did not come to its end, which nobody would overlook
        return False
