"""A vault at a server is damaged at random on its disk: a scrub over the network finds it, a keeper there mends it.

`--damages N` does so many; `--damage-seed S` begins with this one.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.formats.mark import NAME as MARK
from safehold.lab.world import SimClock
from safehold.ports.vault import VaultDown
from safehold.recovery.judging import Standing
from safehold.recovery.repair import Repairer
from safehold.recovery.scrub import scrub
from safehold.store.realdisk import RealDisk
from safehold.vault.http_vault import HttpVault
from safehold.vault.looking import RepairedVault
from tests.support.damages import DamagedWorld, Notes, Objects, harm, objects
from tests.support.vault_http import TOKEN, HttpServer

QUICK, DAMAGES = 60, 500


class Served:
    """The near vault of a world that has lived, at a vault server."""

    def __init__(self, root: Path) -> None:
        self.world = DamagedWorld(2)
        self.server = HttpServer(root / "server", tls=False)
        self.server.start()
        self.guest = self.server.invite("near", installation=self.world.installation)
        self.folder = self.server.folder(self.guest)
        self.there: Objects = {}
        self.lay(self.world.near)

    def lay(self, wanted: Objects) -> None:
        """Let exactly these lie in the vault's folder."""
        shutil.rmtree(self.folder / "aside", ignore_errors=True)
        now = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.parent.name != "tmp"
        }
        for name in set(now) - set(wanted):
            (self.folder / name).unlink()
        for name, data in wanted.items():
            if now.get(name) != data:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / name).write_bytes(data)
        self.server.host.refresh()

    def vault(self) -> HttpVault:
        access = self.server.access(self.guest, TOKEN)
        found = self.server.vault(self.guest, installation=self.world.installation)
        assert found.url == access.url
        found._name = "near"
        return found

    def mend(self) -> list[object]:
        world = self.world
        kept = RepairedVault("near", str(self.folder), RealDisk(), world.installation, clock=SimClock())
        scrubber = world.scrubber(kept)  # type: ignore[arg-type]
        standing = Standing(core=world.core)
        found = Repairer(
            kept, scrubber, world.peers(world.far), standing, scrubber.read(), remembered=world.remembered
        ).carry_out()
        return list(found)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    found = Served(tmp_path)
    yield found
    found.server.stop()


@pytest.mark.parametrize("count", [QUICK, pytest.param(DAMAGES, marks=pytest.mark.long)])
def test_every_damage_is_found_over_the_network_and_mended_where_it_lies(
    request: pytest.FixtureRequest, served: Served, count: int
) -> None:
    world = served.world
    first = request.config.getoption("--damage-seed") or 0
    for seed in range(first, first + (request.config.getoption("--damages") or count)):
        hit, done = harm(world.near, random.Random(f"damage {seed}"))
        served.lay(hit)
        vault = served.vault()
        try:
            result = scrub(
                world.scrubber(vault),  # type: ignore[arg-type]
                world.peers(world.far),
                Standing(core=world.core),
                opener=world.opener,
                notebook=Notes(world.remembered),
            )
            found = {damage.object for damage in result.damaged}
            said = bool(result.trouble)
            assert said or set(done.objects) <= found, (seed, done, found)
        except VaultDown:
            said = True
        assert not said or MARK in done.objects, (seed, done)  # without its mark it is no vault
        vault.close()
        assert served.mend() == [], (seed, done)
        served.server.host.refresh()
        vault = served.vault()
        assert objects(vault) == world.near, (seed, done)
        vault.close()
