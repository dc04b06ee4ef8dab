"""Real vdirsyncer processes while the server loses its core: of their local items not one is deleted for the loss.

vdirsyncer shows no token: it lists, and deletes what is not listed. It runs again and again, from before the kill until
the recovery is over: against a service that is down, that knows nobody yet, that recovers while it serves, that has one
kind back and not the other, or that was recovered with the service stopped. A second device, which deletes and adds,
gives it deletes that are real.

One seed in normal runs, ten with --long.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.support import corpus
from tests.support.service import Service
from tests.support.vdir import Vdir, counted
from tests.support.writers import CARD, card

USER, PASSWORD = "ada", "correct horse battery"
BOOK = f"/dav/{USER}/contacts/default/"
SEEDS, QUICK = 10, 1
CARDS, EVENTS, TASKS = 80, 60, 15
DELETED, ADDED = 6, 6
WAIT_SECONDS = 300.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "loss_seed" in metafunc.fixturenames:
        seeds = [pytest.param(s, marks=pytest.mark.long if s > QUICK else ()) for s in range(1, SEEDS + 1)]
        metafunc.parametrize("loss_seed", seeds)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Vdir]]:
    """A service that vdirsyncer has filled, stopped."""
    root = tmp_path_factory.mktemp("vdirsyncer-loss")
    service, vdir = Service(root / "data"), Vdir(root / "vdir")
    service.add_account(USER, PASSWORD)
    for collection, objects, count in (
        ("contacts/default", corpus.cards(), CARDS),
        ("calendars/default", corpus.calendar_objects(), EVENTS),
        ("calendars/tasks", corpus.tasks(), TASKS),
    ):
        for name, body in islice(objects, count):
            (vdir.root / collection / name).write_bytes(body)
    service.start()
    try:
        vdir.configure(service.port, USER, PASSWORD)
        for command in ("discover", "sync"):
            code, output = vdir.run(command)
            assert code == 0, output
        assert service.stop() == 0
    finally:
        service.close()
    yield service, vdir


class Beside:
    """vdirsyncer again and again in a thread, whatever it meets; `deleted` counts what it said it deletes here."""

    def __init__(self, vdir: Vdir) -> None:
        self._vdir = vdir
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.outputs: list[tuple[int, str]] = []

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self.outputs.append(self._vdir.run("sync"))

    def wait_for(self, more: int) -> None:
        """Until it has run so many times more."""
        until = len(self.outputs) + more
        end = time.monotonic() + WAIT_SECONDS
        while len(self.outputs) < until and time.monotonic() < end:
            time.sleep(0.05)


class Scene:
    def __init__(self, filled: tuple[Service, Vdir], root: Path, seed: int) -> None:
        service, vdir = filled
        self.rng = random.Random(f"vdirsyncer loss {seed}")
        self.seed = seed
        shutil.copytree(service.data, root / "data", ignore=shutil.ignore_patterns("*.sock"))
        self.service = Service(root / "data", port=service.port)
        self.vdir = vdir.copy(root / "vdir")
        self.before = self.vdir.files()
        self.deleted: set[str] = set()

    def edit_elsewhere(self) -> None:
        """Another device deletes and adds; these deletes are a person's."""
        phone = self.service.client(USER, PASSWORD)
        here = {body: name for name, body in self.before.items() if name not in self.deleted}
        listed, _ = phone.listing(BOOK)
        old = sorted(name for name in listed if not name.startswith("phone-"))
        for name in self.rng.sample(old, DELETED):
            body = phone.ask("GET", BOOK + name).body
            assert phone.ask("DELETE", BOOK + name).status == 204
            self.deleted.add(here[body])  # vdirsyncer names what it uploads anew
        for number in range(ADDED):
            uid = f"phone-{number}-{len(self.deleted)}"
            assert phone.put(f"{BOOK}{uid}.vcf", card(uid, self.rng), CARD, new=True).status == 201

    def lose(self) -> None:
        """The core, its bodies, and now and then the sync vault, which the async one is level with."""
        parts = ["core", "blobs"]
        if self.seed % 5 == 0:
            parts.append("vaults/near")
        for part in parts:
            shutil.rmtree(self.service.data / part, ignore_errors=True)

    def come_back(self, beside: Beside) -> None:
        match self.seed % 5:
            case 0:  # only the async vault is left
                self.service.run("recover", "run", "--yes", codes=(0, 1))
                self.service.run("vault", "add", "near")
                self.service.start()
                refused = len(beside.outputs) + 1  # one may have begun before
                beside.wait_for(3)
                assert all(code != 0 for code, _ in beside.outputs[refused:]), "how the log had ended is not known"
                self.require_nothing_lost()
                assert self.service.stop() == 0
                self.service.run("recover", "run", "--yes", "--accept-loss")
                self.service.start()
            case 2:  # a part first
                self.service.run("recover", "run", "--yes", "--kind", "contacts", codes=(0, 1))
                self.service.start()
                beside.wait_for(2)
                assert self.service.stop() == 0
                self.service.run("recover", "run", "--yes")
                self.service.start()
            case rest:  # while it serves, now and then killed and started again
                self.service.start()
                if rest == 3:
                    time.sleep(self.rng.random())
                    self.service.kill()
                    beside.wait_for(1)
                    self.service.start()
                self.wait_until_recovered()

    def wait_until_recovered(self) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while self.service.status()["recovery"] is not None or self.service.health() != 200:
            assert time.monotonic() < end, self.service.tail()
            time.sleep(0.1)

    def require_nothing_lost(self) -> None:
        """What is gone from the device, a person deleted."""
        gone = {name for name in self.before if name not in self.vdir.files()}
        assert gone - self.deleted == set()


def test_vdirsyncer_deletes_nothing_for_the_loss(filled: tuple[Service, Vdir], tmp_path: Path, loss_seed: int) -> None:
    print(f"seed {loss_seed}, folder {tmp_path}")
    scene = Scene(filled, tmp_path, loss_seed)
    service = scene.service
    try:
        service.start()
        scene.edit_elsewhere()
        while service.vault_status("far")["unarchived_changes"]:
            time.sleep(0.1)
        with Beside(scene.vdir) as beside:
            if scene.rng.random() < 0.5:
                beside.wait_for(1)
            service.kill()
            scene.lose()
            beside.wait_for(1)
            scene.come_back(beside)
            scene.edit_elsewhere()
            beside.wait_for(2)
        scene.require_nothing_lost()
        code, output = scene.vdir.run("sync")
        assert code == 0, output
        scene.require_nothing_lost()
        said = [counted(text) for _, text in [*beside.outputs, (code, output)]]
        assert sum(each["deleted_here"] for each in said) == len(scene.deleted)
        assert sum(each["deleted_there"] for each in said) == 0, "nor is the loss handed on"
        assert scene.deleted.isdisjoint(scene.vdir.files())
        assert len(scene.vdir.files()) == len(scene.before) - 2 * DELETED + 2 * ADDED
        print(f"{len(said)} runs of vdirsyncer, {sum(code != 0 for code, _ in beside.outputs)} of them refused")
    finally:
        service.close()
