"""Every item of a house whose core is lost and whose vaults are damaged is accounted for, with what was salvaged.

The finds hold chains, changes on good pages and rows of items, each with holes of their own. What is told is held
against the house as it was (tests/crash/test_items_accounted.py says how).
"""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import msgspec

from safehold.disaster.rebuilding import vaults_of
from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change, Op
from safehold.ports.survivors import Finds, KnownItem
from safehold.recovery.items_ledger import Line
from safehold.recovery.items_reading import ItemSources
from safehold.recovery.items_report import write_items
from safehold.vault.runs import Runs
from tests.crash.test_items_accounted import check_against_truth, read_file, truth_of
from tests.crash.test_salvage_recovery import (
    a_house,
    blobs_of,
    in_runs,
    journal,
    lose_core,
    plan_of,
    put_chain,
    put_pages,
    reader_of,
    spoil,
)
from tests.support.finds import find_in, store_of

SEEDS = 20


def put_rows(finds: Finds, changes: list[Change], live: dict[tuple[bytes, str], int]) -> None:
    """Rows of items, as a core's remains list them: of what lives."""
    source = finds.source("/old/core.db", "core", 4096)
    for c in changes:
        if c.op is Op.PUT and live.get((c.collection, c.name)) == c.rev:
            row = KnownItem(c.account, c.kind, c.collection, c.name, c.rev, c.digest, c.size, c.media, c.at, source, "")
            finds.known(row)


def fill(draw: random.Random, changes: list[Change], live: dict[tuple[bytes, str], int], finds: Finds) -> None:
    put_chain(finds, in_runs(draw, changes, draw.choice((0.0, 0.3, 0.7))))
    put_pages(finds, in_runs(draw, changes, draw.choice((0.0, 0.3, 0.7))))
    put_rows(finds, in_runs(draw, changes, draw.choice((0.0, 0.5))), live)


def test_every_item_is_accounted_for_once_with_what_was_salvaged() -> None:
    outcome: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for seed in range(SEEDS):
        draw = random.Random(f"items of finds {seed}")
        house = a_house(draw)
        all_of_it = journal(house)
        expected = truth_of(house.reads)
        live = {
            (collection.id, item.name): item.rev
            for account in house.reads.accounts()
            for collection in house.reads.collections(account.number)
            for item in house.reads.items(collection)
        }
        house = lose_core(house)
        house.load_keys()
        for _ in range(draw.randint(1, 8)):
            for folder in ("/near", "/far"):
                spoil(house.disk, folder, draw)
        find = find_in(store_of(partial(fill, draw, all_of_it, live)))
        house.disk.make_folders("/scratch")
        house.disk.make_folders("/blobs")
        plan = plan_of(house, find)
        vaults = vaults_of(house)
        runs = Runs(vaults, house.keyring.opener)
        disk = SimDisk()
        write_items(
            plan, ItemSources(reader_of(house), vaults, runs, None, blobs_of(house, find), find), disk, "/items"
        )
        decode = msgspec.json.Decoder(Line).decode
        lines = [decode(line) for line in read_file(disk, "/items/items.jsonl").splitlines()]
        outcome += check_against_truth(expected, plan, lines, seed)
        sources.update(line.source.partition(":")[0] for line in lines if line.name)
    assert outcome["exact"] and outcome["older"] and outcome["ghost"], outcome
    assert sources["salvage"] and sources["log"], sources
