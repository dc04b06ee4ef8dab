"""A core compared in shares, as helpers do: the same answers, and everything that is astray is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import pytest

from safehold.model.kinds import RESTORE_ORDER
from safehold.recovery import shares
from safehold.recovery.portions import Portion, Settled, Wanted, no_rows, portions, settle
from safehold.recovery.replay import Replay
from safehold.recovery.shares import Found, Share, Shares, work
from safehold.recovery.verify import compare_journal
from safehold.store.sqlite import reads
from safehold.vault.runs import Runs
from tests.support.generations import Home
from tests.support.logs import OPENER


class Here:
    """Helpers in this process."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.asked: list[Share] = []

    def run(self, jobs: Sequence[Portion]) -> Iterator[list[Settled | None]]:
        raise AssertionError(jobs)

    def compare(self, shares: Sequence[Share]) -> Iterator[Found]:
        self.asked += shares
        return (work(lambda _: nullcontext(self._home.core), share) for share in shares)


@pytest.fixture
def home() -> Home:
    home = Home(accounts=3)
    for account in range(3):
        home.put(7, account)
    home.snapshot()
    return home


def replay_of(home: Home) -> Replay:
    """What a recovery knows of the generation's streams, all of which are whole."""
    runs = Runs(home.vaults, OPENER)
    reader = runs.reader(next(iter(runs.generations())))
    replay = Replay()
    jobs = portions(reader.generation.number, [(entry, Wanted(entry.key)) for entry in reader.streams()])
    for job in jobs:
        for one, settled in zip(job.streams, settle(reader, job, no_rows), strict=True):
            assert settled is not None
            replay.settle(one.key, settled)
    return replay


def problems(home: Home) -> list[str]:
    replay = replay_of(home)
    helpers = Here(home)
    parts = Shares(helpers, "/data/core", replay, home.core.next_journal() - 1)
    found = compare_journal(parts.sums(), replay)
    for kind in RESTORE_ORDER:
        found += parts.kind(kind).problems
    assert sum(len(share.streams) for share in helpers.asked) == len(replay.chains.heads)
    return found


@pytest.mark.parametrize("size", [1, 5, 20_000])
def test_a_core_that_is_right_is_found_right_however_it_is_cut(
    home: Home, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(shares, "JOURNAL_ROWS", size)
    monkeypatch.setattr(shares, "STREAM_CHANGES", size)
    monkeypatch.setattr(reads, "_SUMMED_AT_ONCE", size)
    assert problems(home) == []
    replay = replay_of(home)
    assert Shares(Here(home), "", replay, home.core.next_journal() - 1).sums() == home.core.journal_sums()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("UPDATE item SET digest = zeroblob(32) WHERE name = (SELECT MAX(name) FROM item)", "what lives in the core"),
        ("UPDATE item SET rev = rev + 1 WHERE name = (SELECT MAX(name) FROM item)", "not at the revs"),
        ("DELETE FROM item WHERE name = (SELECT MIN(name) FROM item)", "what lives in the core"),
        ("UPDATE collection SET path = path || 'x' WHERE number = 2", "what lives in the core"),
        ("UPDATE stream SET items = items + 1 WHERE account = 2", "the core reckons with"),
        ("UPDATE stream SET head = zeroblob(32) WHERE account = 2", "the head is not that of rev"),
        ("DELETE FROM account WHERE number = 2", "the core does not know the account"),
        ("DELETE FROM journal WHERE seq = 9", "(changes, bytes, bytes inline)"),
        ("UPDATE journal SET body = CAST('' AS BLOB) WHERE seq = 9", "(changes, bytes, bytes inline)"),
    ],
)
def test_what_is_astray_in_the_core_is_found(home: Home, harm: str, told: str) -> None:
    home.core._db.execute(harm)  # nothing but its own connection reaches a core on a simulated disk
    assert any(told in problem for problem in problems(home))
