"""Every item of a house that has lived, and whose one vault is then damaged, is accounted for exactly once.

The truth is the core as it was; the damages are those of tests/support/damages.py, one to a few at a time. An item is
told as exact only where its bytes are those of the truth; it is told by name, or what changed it last lies in revs that
are counted as unknown, or nobody could know how the log had ended, and that is said in seconds. The counts are those of
the tally, stream by stream.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest

from safehold.lab.simdisk import SimDisk
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads
from safehold.ports.vault import Vault
from safehold.recovery.items_ledger import Counts, ItemState, Line, What
from safehold.recovery.items_reading import ItemSources
from safehold.recovery.items_report import write_items
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.report import StreamCount
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from tests.support.damages import DamagedWorld, KeptMemoryVault, Objects, harm

WORLDS = 4
DAMAGES = 60


@cache
def world(seed: int) -> DamagedWorld:
    return DamagedWorld(seed, runs=seed % 2 == 0)


class Truth(NamedTuple):
    digest: bytes
    rev: int


Key = tuple[str, str, str, str]  # id of the account, kind, path, name


@cache
def truth(seed: int) -> dict[Key, Truth]:
    return truth_of(world(seed).house.open_core())


def truth_of(core: CoreReads) -> dict[Key, Truth]:
    """What lives in a core."""
    return {
        (account.id.hex(), collection.kind.value, collection.path, item.name): Truth(item.digest, item.rev)
        for account in core.accounts()
        for collection in core.collections(account.number)
        for item in core.items(collection)
    }


def read_file(disk: SimDisk, path: str) -> bytes:
    file = disk.open(path)
    try:
        return file.read_at(0, file.size())
    finally:
        file.close()


def account_for(here: DamagedWorld, vaults: Sequence[Vault], **more: Any) -> tuple[Plan, list[Line], SimDisk]:
    opener = here.opener
    plan = make_plan(VaultLogReader(vaults, opener), vaults, here.house.clock, runs=Runs(vaults, opener), **more)
    disk = SimDisk()
    sources = ItemSources(VaultLogReader(vaults, opener), vaults, Runs(vaults, opener), more.get("core"))
    write_items(plan, sources, disk, "/items")
    decode = msgspec.json.Decoder(Line).decode
    return plan, [decode(line) for line in read_file(disk, "/items/items.jsonl").splitlines()], disk


def test_a_whole_vault_has_every_item_exact() -> None:
    for seed in range(WORLDS):
        here = world(seed)
        plan, lines, disk = account_for(here, [KeptMemoryVault("near", here.near)])
        items = {key_of(line): line for line in lines if line.what is What.ITEM}
        ours = {key: line for key, line in items.items() if key[0] != bytes(16).hex()}
        assert {key: line.digest for key, line in ours.items()} == {k: v.digest.hex() for k, v in truth(seed).items()}
        assert {line.state for line in items.values()} == {ItemState.EXACT}
        assert {line.source.split()[0] for line in items.values()} <= {"log", "generation"}
        check_counts(plan, lines, seed)
        assert b"exactly as you left" in read_file(disk, "/items/accounts/ann.txt")


def key_of(line: Line) -> Key:
    return line.id, str(line.kind), line.collection or "", line.name


def check_counts(plan: Plan, lines: Sequence[Line], what: object) -> None:
    """Stream by stream as the tally has it, and each stream's own lines as its counts say."""
    counted: dict[tuple[str, Kind | None], Counter[str]] = {}
    for line in lines:
        if line.what is What.ITEM:
            assert line.state is not None
            field = "unsure" if not line.sure else line.state.value
            counted.setdefault((line.id, line.kind), Counter())[field] += 1
    not_exact = {(count.id, count.kind): count for count in plan.report.not_exact}
    totals = dict.fromkeys(plan.report.items, 0)
    for line in lines:
        if line.what is not What.STREAM:
            continue
        counts = line.counts
        assert counts is not None and line.kind is not None
        mine = counted.get((line.id, line.kind), Counter())
        for field in ("exact", "unsure", "older", "ghost", "lost"):
            assert mine[field] == getattr(counts, field), (what, line)
        exact, older, lost = as_tally(counts)
        totals[line.kind] += exact
        theirs = not_exact.pop((line.id, line.kind), None)
        if theirs is None:
            assert (older, lost) == (0, 0), (what, line)
        else:
            assert as_counted(theirs) == (exact, older, lost), (what, line, theirs)
    assert not not_exact, (what, not_exact)
    assert totals == {kind: count.exact for kind, count in plan.report.items.items()}, what


def as_tally(counts: Counts) -> tuple[int, int, int]:
    return (
        counts.exact + counts.unsure - counts.unsure_older,
        counts.older + counts.unsure_older,
        counts.ghost + counts.lost + counts.unknown,
    )


def as_counted(count: StreamCount) -> tuple[int, int, int]:
    return count.exact, count.older, count.lost


def check_against_truth(expected: dict[Key, Truth], plan: Plan, lines: Sequence[Line], what: object) -> Counter[str]:
    told: dict[Key, list[Line]] = {}
    unknown: dict[tuple[str, str], set[int]] = {}
    heads = {(line.id, str(line.kind)): line.head for line in lines if line.what is What.STREAM}
    for line in lines:
        if line.what is What.ITEM:
            told.setdefault(key_of(line), []).append(line)
        elif line.what is What.REVS:
            unknown.setdefault((line.id, str(line.kind)), set()).update(range(line.first, line.last + 1))
    end_unknown = plan.report.unknown_seconds > 0
    outcome: Counter[str] = Counter()
    for key, item in expected.items():
        found = told.get(key, [])
        assert len(found) <= 1, (what, key, found)
        stream = key[:2]
        after_end = end_unknown and item.rev > heads.get(stream, 0)
        in_gap = item.rev in unknown.get(stream, ())
        if not found:
            pathless = [line for line in told.get((*stream, "", key[3]), ()) if line.state is ItemState.LOST]
            assert in_gap or after_end or pathless, (what, key, item.rev)
            outcome["after the end" if after_end and not in_gap else "pathless" if pathless else "unknown"] += 1
            continue
        line = found[0]
        if line.state is ItemState.EXACT:
            assert line.digest == item.digest.hex() or after_end, (what, key, line)
        elif line.state is ItemState.OLDER and line.sure:
            assert line.newest_rev == item.rev or in_gap or after_end, (what, key, line, item.rev)
        outcome[str(line.state)] += 1
    return outcome


@pytest.mark.parametrize("alone", [True, False])
def test_every_item_is_accounted_for_once(request: pytest.FixtureRequest, alone: bool) -> None:
    first = request.config.getoption("--damage-seed") or 0
    count = request.config.getoption("--damages") or DAMAGES
    outcome: Counter[str] = Counter()
    for seed in range(first, first + (count if alone else count // 3)):
        here = world(seed % WORLDS)
        rng = random.Random(f"items {seed}")
        vaults = [_hit("near", here.near, rng, 8 if alone else 30)]
        if not alone:
            vaults.append(_hit("far", here.far, rng, 30))
        plan, lines, _ = account_for(here, vaults)
        check_counts(plan, lines, seed)
        outcome += check_against_truth(truth(seed % WORLDS), plan, lines, seed)
    print(outcome)
    assert outcome["exact"], outcome
    assert sum(outcome.values()) > outcome["exact"], "nothing was damaged"


def test_beside_a_core_what_it_remembers_is_accounted_for_with_it() -> None:
    """Where it is whole its word counts, else it fills what the vaults lack."""
    sources: Counter[str] = Counter()
    for seed in range(8):
        here = world(seed % WORLDS)
        vault = _hit("near", here.near, random.Random(f"beside {seed}"), 8)
        core = here.house.open_core()
        plan, lines, _ = account_for(here, [vault], core=core)
        check_counts(plan, lines, seed)
        outcome = check_against_truth(truth(seed % WORLDS), plan, lines, seed)
        assert set(outcome) <= {"exact", "ghost", "older"}, "what is gone are large bodies, which no core has"
        sources.update(line.source for line in lines if line.what is What.ITEM)
        core.close()
    assert sources["core"]


def _hit(name: str, whole: Objects, rng: random.Random, most: int) -> KeptMemoryVault:
    hit = whole
    for _ in range(rng.randint(1, most)):
        hit, _ = harm(hit, rng, ("flip", "cut", "delete", "swap"))
    hit.setdefault("FORMAT", whole["FORMAT"])
    return KeptMemoryVault(name, hit)
