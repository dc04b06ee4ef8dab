"""All that the core's own credentials can do to a vault that another user holds.

An installation lives with one vault, a keeper's, which its own user can only reach over a socket. Snapshots are taken
and attested, more is acknowledged after them. Then somebody who is the core's user, and has every key that lies beside
the core, does what they can: to the files, to the process, over the socket; signs forks, false generations, false
evidence and garbage, with a clock ten years ahead; and floods the vault to force retention.

Afterwards each object that was there is there byte for byte, the keeper's retention removes nothing of it, and a
recovery on another machine, from that vault and the keys, gives every item and every change that was acknowledged.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from safehold.cli.main import main
from safehold.model.errors import SafeholdError
from safehold.ports.log import LogFrame
from safehold.vault.log import VaultLogReader
from tests.support.hostile import (
    World,
    attack_files,
    attack_objects,
    attack_socket,
    attack_with_garbage,
    attack_with_keys,
    flood,
    keeper_folder,
    recovered,
    truth_of,
)
from tests.support.keeper import CORE_USER, KEEPER_USER, KeeperProcess, ground, run_as

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other users can be had by root only")


# -- what is left


@pytest.fixture
def world() -> Iterator[World]:
    with ground() as root:
        world = World(root)
        yield world
        world.keeper.kill()


def test_nothing_acknowledged_is_lost_whatever_the_core_does(world: World) -> None:
    generations = []
    for number in range(3):
        world.live(number * 10, 10)
        generations.append(world.snapshot())
        assert world.attest() == [True]
        world.clock.advance(86_400)
    world.live(100, 7)
    items, changes = truth_of(world.installation)
    assert len(items) > 20 and len(changes) > 40
    keyring = world.installation.keyring
    reader = VaultLogReader([world.kept()], keyring.opener)
    end = reader.end()
    opened = [e for e in reader.entries() if isinstance(e, LogFrame) and e.claim][-1].position.frame
    before = world.objects()
    segment = max(name for name in before if name.startswith("log/"))
    pid = world.keeper.pid
    run_as(CORE_USER, lambda: attack_files(world, segment, pid))
    run_as(CORE_USER, lambda: attack_socket(world))
    run_as(CORE_USER, lambda: attack_objects(world, before))
    run_as(CORE_USER, lambda: attack_with_keys(world, keyring, end, opened))
    run_as(CORE_USER, lambda: attack_with_garbage(world, keyring, end, opened))
    run_as(CORE_USER, lambda: flood(world))

    after = world.objects()
    assert {name: after.get(name, b"")[: len(data)] for name, data in before.items()} == before
    assert all(after[name] == before[name] for name in before if not name.startswith("log/"))

    # The keeper attests nothing of that, and retention by its own clock removes nothing that it may not.
    assert not any(world.attest())
    world.retain()
    kept = world.objects()
    assert {name for name in before if name not in kept} == set()

    # Its keeper makes room; another machine has the keys and the socket, and gets everything back.
    world.keeper.kill()
    world.keeper = KeeperProcess(world.folder, world.address, KEEPER_USER)
    world.keeper.start()
    attacked = shutil.copytree(world.folder, world.root / "attacked")
    assert recovered(world, "other") == (items, changes)

    # As they have left it no writer starts. Once its keeper has cut off what they added, an honest one goes on.
    world.keeper.kill()
    shutil.rmtree(world.folder)
    shutil.copytree(attacked, world.folder)
    World._give(world.folder, KEEPER_USER)
    world.keeper.start()
    with pytest.raises(SafeholdError, match="cannot be read"):
        world.live(200, 3)
    world.keeper.kill()
    keeper = keeper_folder(world)
    assert main(["--data", str(keeper), "keeper", "cut"]) == 1
    assert main(["--data", str(keeper), "keeper", "cut", "--yes"]) == 0
    kept = world.objects()
    assert {name: data for name, data in before.items() if kept.get(name) != data} == {}
    assert main(["--data", str(keeper), "keeper", "cut"]) == 0
    World._give(world.folder, KEEPER_USER)
    world.keeper.start()
    world.live(200, 3)
    items, changes = truth_of(world.installation)
    assert recovered(world, "again") == (items, changes)

    # Half a year of retention later every item is there still, if not all that was superseded.
    for _ in range(60):
        world.clock.advance(3 * 86_400)
        world.retain()
    assert recovered(world, "later")[0] == items
