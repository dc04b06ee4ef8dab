"""Whole houses that lose the core and every vault, brought back from what is left of each.

Finds are filled by hand from what the house once held, but for holes drawn from a seed, so that nothing here rests on
scanners. `--salvages N` runs N seeds; each prints its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count

import pytest

from safehold.archiver.claiming import LogVault, Mode, claim_timeline
from safehold.assembly.returning import return_found
from safehold.disaster.faults import count_write_points
from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_FOLDER, VAULTS, House
from safehold.disaster.rebuilding import vaults_of
from safehold.lab.simdisk import SimDisk
from safehold.lab.wire import Request, propfind, read_multistatus, sync_collection
from safehold.model.change import Change
from safehold.model.commands import EraseAccount
from safehold.model.kinds import Kind
from safehold.ports.core import EMPTY_LOG
from safehold.ports.log import Hole
from safehold.recovery import build as build_module
from safehold.recovery.find import Find, is_sound, is_whole
from safehold.recovery.find_bodies import FindArchive
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.returns import Returned
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.service.ahead import doubts_of
from safehold.service.identity import BLOB_KEY
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from tests.support.finds import find_in, put_chain, put_pages, store_of

SEEDS = 25
USERS = ("ann", "ben")
PHOTO = b"\xff\xd8 the sea " * 9000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--salvages") or SEEDS))


def card(uid: str, text: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{text}\r\nN:{text};;;;\r\nEND:VCARD\r\n".encode()


def put(user: str, name: str, text: str) -> Request:
    return Request("PUT", f"/dav/{user}/contacts/default/{name}.vcf", card(name, text), user=user)


def a_house(draw: random.Random, steps: int = 25, *, generation: bool = False) -> House:
    """Some people's work, shipped to far as it comes; with a generation of it as it was half way."""
    house = House.new(draw.randrange(1 << 30), USERS)
    for step in range(steps):
        user, name = draw.choice(USERS), str(draw.randint(0, 5))
        match draw.randint(0, 5):
            case 0:
                house.request("DELETE", f"/dav/{user}/contacts/default/{name}.vcf", user=user)
            case 1:
                house.request("PUT", f"/dav/{user}/files/notes/{name}", b"note %d" % step, user=user)
            case _:
                assert house.requests([put(user, name, f"{name} {step}")])[0].status in (201, 204)
        if draw.random() < 0.3:
            house.engine.seal()
        if generation and step == steps // 2:
            snapshot(house)
    house.writer.ship_all()
    return house


def journal(house: House) -> list[Change]:
    return [change for _, _, change in house.reads.changes(limit=1_000_000)]


def in_runs(draw: random.Random, changes: Iterable[Change], share: float) -> list[Change]:
    """Neighbours are lost together, as pages are."""
    kept, on = [], draw.random() < share
    for change in changes:
        if draw.random() < 0.3:
            on = draw.random() < share
        if on:
            kept.append(change)
    return kept


def spoil(disk: SimDisk, folder: str, draw: random.Random) -> None:
    """Flip bits in a vault's log and runs: each costs a frame or a header."""
    for entry in sorted(disk.list(folder)):
        path = f"{folder}/{entry.name}"
        if entry.is_folder:
            spoil(disk, path, draw)
            continue
        for _ in range(draw.randint(0, 6) if path.endswith((".seg", ".run")) else 0):
            disk.flip_bit(path, draw.randrange(disk.size(path)), draw.randrange(8))


def reader_of(house: House) -> VaultLogReader:
    return VaultLogReader(vaults_of(house), house.keyring.opener)


def still_read(house: House) -> list[Change]:
    """What the vaults give of the log and of generations between them."""
    found = [c for entry in reader_of(house).entries(EMPTY_LOG) if not isinstance(entry, Hole) for c in entry.changes]
    runs = Runs(vaults_of(house), house.keyring.opener)
    for generation in runs.generations():
        reader = runs.reader(generation)
        for entry in reader.streams():
            found += [c for _, c in reader.changes_of(entry) if is_sound(c) and is_whole(c)]
    return found


def opened(house: House, folder: str) -> SqliteCore:
    return house.opened(SqliteCore.open(f"{folder}/core.db", disk=house.disk, create=True))


def blobs_of(house: House, find: Find) -> LiveBlobs:
    keys = house.keyring
    archive = FindArchive(VaultBlobs([], vaults_of(house), keys.sealer, keys.opener, house.disk, "/scratch"), find)
    return LiveBlobs(house.disk, "/blobs", "/scratch", archive)


def plan_of(house: House, find: Find) -> Plan:
    runs = Runs(vaults_of(house), house.keyring.opener)
    vaults = vaults_of(house)
    return make_plan(
        reader_of(house), vaults, house.clock, sync=("near",), blobs=blobs_of(house, find), runs=runs, find=find
    )


def recover(house: House, find: Find, *, accept: bool = False) -> tuple[Plan, Result]:
    """Without a core that could be read."""
    for folder in ("/scratch", "/blobs"):
        house.disk.make_folders(folder)
    plan = plan_of(house, find)
    return plan, run_plan(
        plan,
        reader_of(house),
        make_core=lambda folder: opened(house, folder),
        blobs=blobs_of(house, find),
        disk=house.disk,
        data="",
        clock=house.clock,
        claim=lambda: claim(house, max(plan.end.timeline, plan.highest)),
        look=lambda: look(vaults_of(house)),
        runs=Runs(vaults_of(house), house.keyring.opener),
        accept_loss=accept,
        find=find,
    )


def claim(house: House, above: int) -> int:
    """As the command does: also above what only a find knows."""
    keys = house.keyring
    ends = [(VaultLogReader([vault], keys.opener).end(), vault) for vault in vaults_of(house)]
    ends.sort(key=lambda each: (each[0].timeline, each[0].frame), reverse=True)
    vaults = [LogVault(vault, Mode.ASYNC if n else Mode.SYNC) for n, (_, vault) in enumerate(ends)]
    return claim_timeline(vaults, keys.sealer, keys.opener, EMPTY_LOG, above).timeline


def bring_back(house: House, find: Find) -> Returned:
    """What the run does in the end, with the writer that was opened after it."""

    def key(account: object) -> bytes:
        found = house.reads.secret(account.number, BLOB_KEY)  # type: ignore[attr-defined]
        assert found is not None
        return found

    return return_found(
        find,
        reads=house.reads,
        blobs=house.blobs,
        blob_key=key,
        execute=house.engine.execute,
        in_doubt=bool(doubts_of(house.reads)),
    )


def lose_core(house: House) -> House:
    after = house.kill()
    after.disk.lose(CORE_FOLDER)
    return after


def lose_all(house: House) -> House:
    """Core, blobs and vaults; new vaults are made for the same keys."""
    after = lose_core(house)
    after.load_keys()
    for folder in ("/near", "/far", "/blobs"):
        after.disk.lose(folder)
    for vault in VAULTS:
        FolderVault.create(vault.name, after.folder(vault), after.disk, after.keyring.installation).close()
    return after


def held_core(house: House) -> SqliteCore:
    return opened(house, CORE_FOLDER)


def hashes(changes: Iterable[Change]) -> set[bytes]:
    return {change.hash for change in changes}


# -- every source damaged


def test_every_record_of_which_a_copy_is_left_comes_back_and_nothing_else(seed: int) -> None:
    draw = random.Random(seed)
    print(f"seed {seed}")
    house = a_house(draw, generation=seed % 2 == 1)
    all_of_it = journal(house)
    house = lose_core(house)
    house.load_keys()
    for folder in ("/near", "/far"):
        spoil(house.disk, folder, draw)
    in_core = in_runs(draw, all_of_it, draw.choice((0.2, 0.5, 0.9)))
    find = find_in(store_of(lambda finds: put_chain(finds, in_core)))
    left = hashes([*still_read(house), *in_core])
    plan, result = recover(house, find)
    core = held_core(house)
    assert {change.hash for _, _, change in core.changes(limit=1_000_000)} == left
    assert left <= hashes(all_of_it)
    assert result.report.changes_recovered == len(left)
    assert (result.report.items, result.report.lost) == (plan.report.items, plan.report.lost)
    for account in core.accounts():
        for collection in core.collections(account.number):
            for item in core.items(collection):
                assert any(c.name == item.name and c.digest == item.digest and c.hash in left for c in all_of_it)


@pytest.mark.parametrize("few", range(5))
def test_an_intact_vault_recovers_as_without_a_find(few: int) -> None:
    draw = random.Random(few)
    house = a_house(draw, generation=few % 2 == 1)
    all_of_it = journal(house)
    house = lose_core(house)
    house.load_keys()
    spoil(house.disk, "/near", draw)
    find = find_in(store_of(lambda finds: put_chain(finds, in_runs(draw, all_of_it, 0.7))))
    plan, result = recover(house, find)
    assert plan.joined == []
    assert all(count.exact == count.expected for count in result.report.items.values())
    assert {change.hash for _, _, change in held_core(house).changes(limit=1_000_000)} == hashes(all_of_it)


# -- no vault at all


def test_without_any_vault_devices_go_on_with_their_tokens_and_tags() -> None:
    house = a_house(random.Random(1))
    assert house.request("PUT", "/dav/ann/files/photos/sea.jpg", PHOTO).status == 201
    assert house.requests([put("ann", "last", "one")])[0].status == 201
    path = "/dav/ann/contacts/default/"
    before = read_multistatus(house.requests([propfind("ann", "ann/contacts/default", 1)])[0])
    synced = read_multistatus(house.requests([sync_collection("ann", "ann/contacts/default", "")])[0])
    everything = journal(house)
    photo = next(change for change in everything if change.blob is not None)
    house = lose_all(house)
    keep(house.disk, "/found/photo", PHOTO)

    def fill(finds: object) -> None:
        put_chain(finds, everything)  # type: ignore[arg-type]
        finds.blob(photo.blob, "/found/photo", len(PHOTO), 1)  # type: ignore[attr-defined]

    found = find_in(store_of(fill))
    find = Find(found.salvages, house.disk)
    _, result = recover(house, find)
    assert all(count.exact == count.expected for count in result.report.items.values())
    house.boot()
    assert not any(house.writer._core.unarchived(each)[0] for each in [house.writer._core.log_position().frame])
    after = read_multistatus(house.requests([sync_collection("ann", "ann/contacts/default", synced.token)])[0])
    assert after.lines == []
    assert after.token == synced.token
    for line in before.lines:
        if not line.is_collection:
            answer = house.request("GET", f"{path}{line.name}")
            assert (answer.status, answer.headers["etag"]) == (200, line.etag)
    assert house.request("GET", "/dav/ann/files/photos/sea.jpg").body == PHOTO
    house.close()
    again = lose_core(house)
    again.load_keys()
    _, result = recover(again, find_in())
    assert result.report.changes_recovered >= len(everything)


def keep(disk: SimDisk, path: str, data: bytes) -> None:
    disk.make_folders(path.rpartition("/")[0])
    file = disk.open(path, write=True, create=True)
    file.write_at(0, data)
    file.sync()
    file.close()


def test_who_was_erased_stays_erased_and_takes_nobody_along() -> None:
    house = a_house(random.Random(2))
    before = journal(house)
    ben = house.account("ben").id
    house.engine.execute(EraseAccount(account=ben))
    after = journal(house)
    house = lose_all(house)
    find = find_in(store_of(lambda finds: put_chain(finds, before)), store_of(lambda finds: put_chain(finds, after)))
    recover(house, find)
    core = held_core(house)
    assert [account.name for account in core.accounts()] == ["ann"]
    assert not any(change.account == ben for _, _, change in core.changes(limit=1_000_000))


# -- put back as new changes


def lived(house: House, user: str, path: str = "contacts/default") -> dict[str, bytes]:
    account = house.account(user)
    collection = house.reads.collection(account.number, path)
    if collection is None:
        return {}
    return {item.name: house.reads.body(item).inline or b"" for item in house.reads.items(collection)}


def test_what_lies_on_good_pages_comes_back_where_nothing_newer_is_known(seed: int) -> None:
    draw = random.Random(seed)
    print(f"seed {seed}")
    house = a_house(draw, steps=30)
    everything = journal(house)
    identities = [change for change in everything if change.kind is Kind.IDENTITY or change.name.count("/") == 1]
    rest = [change for change in everything if change not in identities]
    chained = [*identities, *in_runs(draw, rest, 0.6)]
    paged = [change for change in rest if change not in chained and draw.random() < 0.7]
    house = lose_all(house)
    stores = [store_of(lambda finds: put_chain(finds, chained)), store_of(lambda finds: put_pages(finds, paged))]
    find = find_in(*stores)
    recover(house, find, accept=True)
    house.boot()
    accept_end(house)
    on_stream = hashes(change for _, _, change in house.reads.changes(limit=1_000_000))
    first = bring_back(house, find)
    found = {user: lived(house, user) for user in USERS}
    for user in USERS:
        account = house.account(user).id
        meant: dict[str, bytes] = {}
        known = [c for c in everything if (c.account, c.kind) == (account, Kind.CONTACTS) and c.name.endswith(".vcf")]
        last: dict[str, Change] = {}
        live: dict[str, Change] = {}
        for change in known:
            if change.hash in on_stream:
                live[change.name] = change
            if change.hash in on_stream or change in paged:
                last[change.name] = change
        for name, change in last.items():
            # What a page alone knows to be deleted is not put back, and not deleted either.
            chosen = change if change.body is not None else live.get(name)
            if chosen is not None and chosen.body is not None:
                meant[name] = chosen.body
        assert found[user] == meant
    count_before = len(journal(house))
    second = bring_back(house, find)
    assert second.put == 0
    assert second.skipped + second.aside_count == first.put + first.skipped + first.aside_count
    assert len(journal(house)) == count_before
    assert {user: lived(house, user) for user in USERS} == found


def accept_end(house: House) -> None:
    from safehold.model.commands import AcceptEnd
    from safehold.service.identity import SYSTEM_ACCOUNT

    house.engine.execute(AcceptEnd(account=SYSTEM_ACCOUNT, actor="recovery"))


# -- killed anywhere


class Kill(BaseException):
    """SIGKILL: no code of ours runs after it."""


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "BATCH_CHANGES", 9)


def outcome(house: House) -> Sequence[object]:
    core = held_core(house)
    return [
        sorted(change.hash for _, _, change in core.changes(limit=1_000_000)),
        [(a.name, k, core.head(a.number, k), core.held(a.number, k)) for a in core.accounts() for k in Kind],
    ]


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("how", ["killed", "power"])
def test_a_run_that_ends_somewhere_ends_as_one_that_nothing_disturbed(how: str) -> None:
    ends_alike(how, at_most=20)


@pytest.mark.long
@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("how", ["killed", "power"])
def test_a_run_that_ends_anywhere_ends_as_one_that_nothing_disturbed(how: str) -> None:
    ends_alike(how, at_most=10_000)


def ends_alike(how: str, at_most: int) -> None:
    """Struck at so many of its write points, evenly, and run again."""
    draw = random.Random(3)
    house = a_house(draw, steps=8)
    everything = journal(house)
    in_core = in_runs(draw, everything, 0.6)
    find = find_in(store_of(lambda finds: put_chain(finds, in_core)))
    house = lose_core(house)
    house.load_keys()
    spoil(house.disk, "/near", draw)
    spoil(house.disk, "/far", draw)

    def fresh() -> House:
        return house._on(house.disk.survivor())

    undisturbed = fresh()
    undisturbed.load_keys()
    points = count_write_points(undisturbed.disk, lambda: recover(undisturbed, find))
    expected = outcome(undisturbed)
    assert points > 20
    for point in range(0, points, max(1, points // at_most)):
        struck = fresh()
        struck.load_keys()
        left = count(point, -1)

        def strike(_operation: str, _path: str, left: count[int] = left) -> None:
            if next(left) <= 0:
                raise Kill

        struck.disk.on_write_point = strike
        with suppress(BaseException):
            recover(struck, find)
        struck.disk.on_write_point = None
        again = struck.kill() if how == "killed" else struck.crash(point)
        again.load_keys()
        if not again.disk.exists(f"{CORE_FOLDER}/core.db"):
            recover(again, find)
        assert outcome(again) == expected, f"{how} at write point {point}"
