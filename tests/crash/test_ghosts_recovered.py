"""From a body that rots in every vault to a ghost, through the whole house: a generation, a recovery with the service
stopped or serving, devices as real clients decide, a generation of what came of it, a second loss.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.rebuilding import vaults_of
from safehold.formats import segment
from safehold.formats.frame import FrameType, RawFrame, parse_header, scan_frames
from safehold.formats.segment import HEADER_BYTES
from safehold.lab.clients.client import Client
from safehold.lab.clients.tables import CLIENTS
from safehold.model.commands import NoteGhosts
from safehold.model.gaps import lacks_body
from safehold.model.kinds import Kind
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.run import Result, run_plan
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from tests.support.asgi import vcard

BOOK = "/dav/ann/contacts/default/"
CARDS = 12
#: One card fills a frame of bodies alone or with few others.
FILLER = "NOTE:" + "x" * 30_000 + "\r\n"
CARD = {"content-type": "text/vcard"}


def card(number: int, name: str = "Anna") -> bytes:
    return vcard(f"u{number}", name, extra=FILLER)


def lived(seed: int) -> tuple[House, list[Client], list[tuple[str, str, str]]]:
    """A house with a generation, whose log begins after it, and a device of each client that has all that there is."""
    house = House.new(seed)
    removed: list[tuple[str, str, str]] = []
    devices = [
        Client(
            table.client, "ann", table, random.Random(f"{seed} {table.client}"), house.sim_clock,
            on_removed=lambda client, path, name, why: removed.append((client.name, f"{path}/{name}", why)),
            on_wish=lambda *_: None,
        )
        for table in CLIENTS
    ]  # fmt: skip
    for number in range(CARDS):
        assert house.request("PUT", f"{BOOK}{number:02}.vcf", card(number), CARD).status == 201
    sync(house, devices)
    snapshot(house, full=True)
    house.scheduler.run_ready()
    house.close()
    house = house.kill()
    house.boot()
    assert house.request("PUT", f"{BOOK}late.vcf", card(99), CARD).status == 201
    house.scheduler.run_ready()
    house.close()
    for vault in ("/near", "/far"):
        cut_log(house, vault)
    return house, devices, removed


def sync(house: House, devices: list[Client]) -> None:
    for device in devices:
        house.sim_clock.advance(7200)
        device.sync(lambda request: house.request(request.method, request.path, request.body, request.headers))


def files(house: House, folder: str) -> Iterator[str]:
    for entry in sorted(house.disk.list(folder)):
        path = f"{folder}/{entry.name}"
        if entry.is_folder:
            yield from files(house, path)
        else:
            yield path


def cut_log(house: House, vault: str) -> None:
    """What the generation covers is retained no longer."""
    for path in list(files(house, f"{vault}/log")):
        name = segment.parse_name(path.removeprefix(f"{vault}/"))
        if name is not None and name.timeline == 1:
            house.disk.remove(path)


def rot_bodies(house: House, vault: str) -> None:
    """The last frame of bodies of a run that has several: contacts, the only ones of any size."""
    hit = 0
    for path in list(files(house, f"{vault}/runs")):
        file = house.disk.open(path, write=True)
        data = file.read_at(0, file.size())
        found = [f for f in scan_frames(data, HEADER_BYTES, len(data) - HEADER_BYTES) if isinstance(f, RawFrame)]
        bodies = [f for f in found if (header := parse_header(data, f.offset)) and header.type is FrameType.BODIES]
        if len(bodies) > 1:
            at = bodies[-1].offset + len(bodies[-1].data) // 2
            file.write_at(at, bytes([data[at] ^ 1]))
            file.sync()
            hit += 1
        file.close()
    assert hit == 1


def recovered(house: House, serving: bool) -> tuple[House, Plan | None]:
    house = house.kill()
    house.disk.lose(CORE_FOLDER)
    house.disk.lose("/blobs")
    for folder in ("/scratch", "/blobs"):
        house.disk.make_folders(folder)
    house.load_keys()
    if serving:
        house.serve_recovering(anew=True)
        while house.recovery_turn():
            house.sim_clock.advance(0.1)
        plan = None
    else:
        plan, _ = run(house)
        house.boot()
    house.engine.execute(NoteGhosts(account=house.account().id, actor="recovery"))  # as both recoveries end
    return house, plan


def run(house: House) -> tuple[Plan, Result]:
    disk, keyring = house.disk, house.keyring
    archive = VaultBlobs([], vaults_of(house), keyring.sealer, keyring.opener, disk, "/scratch")
    blobs = LiveBlobs(disk, "/blobs", "/scratch", archive)

    def reader() -> VaultLogReader:
        return VaultLogReader(vaults_of(house), keyring.opener)

    runs = Runs(vaults_of(house), keyring.opener)
    plan = make_plan(reader(), vaults_of(house), house.clock, sync=("near",), blobs=blobs, runs=runs)
    result = run_plan(
        plan,
        reader(),
        make_core=lambda folder: house.opened(SqliteCore.open(f"{folder}/core.db", disk=disk, create=True)),
        blobs=blobs,
        disk=disk,
        data="",
        clock=house.clock,
        claim=house.claim,
        runs=Runs(vaults_of(house), keyring.opener),
    )
    return plan, result


def ghosts(house: House) -> set[str]:
    return {item.name for _, item in house.reads.ghost_items(house.account().number, Kind.CONTACTS)}


@pytest.mark.parametrize("serving", [False, True], ids=["stopped", "serving"])
def test_a_body_that_rotted_everywhere_costs_nobody_anything_but_itself(serving: bool) -> None:
    house, devices, removed = lived(1)
    for vault in ("/near", "/far"):
        rot_bodies(house, vault)
    house, plan = recovered(house, serving)
    gone = ghosts(house)
    assert 2 <= len(gone) < CARDS
    if plan is not None:
        assert {loss.name for loss in plan.report.lost} == gone
        count = plan.report.items[Kind.CONTACTS]
        assert (count.exact, count.older, count.lost) == (CARDS + 1 - len(gone), 0, len(gone))
    assert house.reads.held(house.account().number, Kind.CONTACTS) is None
    had = {device.name: {path: set(kept.items) for path, kept in device.kept.items()} for device in devices}
    for _ in range(3):
        sync(house, devices)
    assert removed == []
    for device in devices:
        for path, kept in device.kept.items():
            assert had[device.name][path] <= kept.items.keys(), (device.name, path)
    for number in range(CARDS):
        answer = house.request("GET", f"{BOOK}{number:02}.vcf")
        assert answer.status == (503 if f"{number:02}.vcf" in gone else 200)
    _it_is_written(house, gone)
    _a_device_gives_one_back(house, gone)
    _and_after_another_loss_it_is_the_same(house, gone, serving)


def _it_is_written(house: House, gone: set[str]) -> None:
    snapshot(house, full=True)
    house.scheduler.run_ready()
    near = house.vault(house.vaults[0])
    runs = Runs([near], house.keyring.opener)
    newest = next(runs.generations())
    changes = [change for _, of in runs.reader(newest).changes() for change in of]
    assert {change.name for change in changes if lacks_body(change)} == gone
    near.close()


def _a_device_gives_one_back(house: House, gone: set[str]) -> None:
    name = min(gone)
    gone.remove(name)
    assert house.request("PUT", BOOK + name, card(int(name[:2])), CARD).status == 204
    assert house.request("GET", BOOK + name).body == card(int(name[:2]))
    assert ghosts(house) == gone
    house.scheduler.run_ready()


def _and_after_another_loss_it_is_the_same(house: House, gone: set[str], serving: bool) -> None:
    house.close()
    house, plan = recovered(house, serving)
    assert ghosts(house) == gone
    if plan is not None:
        assert {loss.name for loss in plan.report.lost} >= gone, "nobody forgets what is gone"
    account = house.account()
    assert house.reads.bodiless(account.number)[Kind.CONTACTS].records, "with its record"
    house.close()
