"""Core and log brought to agree: what only the core holds goes into the vaults, and two histories are never mixed."""

from __future__ import annotations

from hashlib import sha256

import pytest

from safehold.archiver.shipper import Shipper
from safehold.disaster.faults import power_loss_after
from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_FOLDER, VAULTS, House
from safehold.disaster.rebuilding import recover
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.change import Change
from safehold.model.commands import AddAccount, Body, Outcome, PutItem
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.log import LogFrame
from safehold.service import takein
from safehold.service.takein import UNARCHIVED
from safehold.vault.folder import FolderVault
from safehold.vault.keyring import ensure_keyring
from safehold.vault.log import VaultLogReader

NEAR, FAR = VAULTS
BOOK, NOTES = "contacts/default", "files/notes"


def put(house: House, path: str, name: str, text: str = "", account: str = "ann") -> Outcome:
    uid, media = None, "text/plain"
    if path == BOOK:
        uid, media = name, "text/vcard"
        text = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{name}\r\nNOTE:{text}\r\nEND:VCARD\r\n"
    data = text.encode()
    house.sim_clock.advance(1)
    return house.engine.execute(
        PutItem(
            account=house.account(account).id,
            path=path,
            name=name,
            body=Body(sha256(data).digest(), len(data), inline=data),
            media=media,
            uid=uid,
        )
    )


def names(house: House, path: str = BOOK, account: str = "ann") -> list[str]:
    collection = house.reads.collection(house.account(account).number, path)
    assert collection is not None
    return [item.name for item in house.reads.items(collection)]


def archived(house: House, *vaults: str) -> list[Change]:
    """What the log in these vaults holds."""
    chosen = [house.vault(v) for v in VAULTS if v.name in vaults]
    return [c for e in VaultLogReader(chosen, house.keyring.opener).entries() for c in getattr(e, "changes", ())]


def journal(house: House) -> list[tuple[int, int, Change]]:
    return house.engine.core.changes(limit=100_000)


def copied(disk: SimDisk, into: SimDisk, path: str) -> None:
    into.make_folders(path)
    for entry in list(disk.list(path)):
        here = f"{path}/{entry.name}"
        if entry.is_folder:
            copied(disk, into, here)
            continue
        source, target = disk.open(here), into.open(here, write=True, create=True)
        target.write_at(0, source.read_at(0, source.size()))
        target.sync()
        into.sync_folder(path)


def near_anew(house: House) -> None:
    """As `vault add near` does: a new folder, a copy of far."""
    house.keyring = ensure_keyring(house.disk, "/keys", house.entropy)
    house.disk.lose("/near")
    FolderVault.create("near", "/near", house.disk, house.keyring.installation).close()
    shipper = Shipper(house.vault(FAR), house.vault(NEAR), house.clock)
    while not shipper.level:
        shipper.step()
        assert not shipper.trouble


def lagging(changes: int = 3) -> House:
    """Down, with so many changes in the core and in near that far has not, and near lost."""
    house = House.new(accounts=("ann", "bob"))
    put(house, BOOK, "shipped")
    house.close()
    house = house.crash()
    house.boot()
    for number in range(changes):
        put(house, BOOK, f"late-{number}")
    house.abandon()
    house = house.kill()
    near_anew(house)
    return house


# -- what only the core holds


def test_what_far_had_not_yet_is_archived_again() -> None:
    house = lagging()
    with pytest.raises(OperatorError, match="has lost"):
        house.boot()
    house.boot(mend=True)
    assert house.reads.unarchived(UNARCHIVED - 1) == (0, None)
    assert [change for _, _, change in journal(house)] == archived(house, "near")
    assert put(house, BOOK, "more").created
    after = house.crash()
    after.boot()
    assert names(after) == ["late-0", "late-1", "late-2", "more", "shipped"]


def test_a_core_out_of_a_generation_beyond_the_end_of_the_log_is_whole_in_the_next_one() -> None:
    """Rows that entered with the generation bear its frame; the log goes on below it where near was lost since."""
    house = House.new(accounts=("ann", "bob"))
    put(house, BOOK, "shipped")
    house.close()
    house = house.crash()
    house.boot()
    for number in range(9):
        put(house, BOOK, f"late-{number}")
    snapshot(house)
    house.abandon()
    house = house.kill()
    house.disk.lose(CORE_FOLDER)
    house.load_keys()
    recover(house)
    house.boot()
    house.abandon()
    house = house.kill()
    near_anew(house)
    house.boot(mend=True)
    end = house.engine.core.log_position().frame
    assert not house.engine.core.framed_changes(end, UNARCHIVED)
    snapshot(house)
    everything = [change.hash for _, _, change in journal(house)]
    house.abandon()
    house = house.kill()
    house.disk.lose(CORE_FOLDER)
    house.load_keys()
    recover(house)
    house.boot()
    assert {*everything} == {change.hash for _, _, change in journal(house)}


def test_power_loss_while_it_is_archived_again() -> None:
    point = 0
    done = False
    while not done:
        point += 1
        house = lagging()
        house.disk.on_write_point = power_loss_after(point - 1)
        try:
            house.boot(mend=True)
            done = True
        except Crash:
            pass
        house = house.crash(point)
        house.boot(mend=True)
        assert [change for _, _, change in journal(house)] == archived(house, "near")
        assert house.reads.unarchived(UNARCHIVED - 1) == (0, None)
        assert names(house) == ["late-0", "late-1", "late-2", "shipped"]
    assert point > 20


def test_the_vaults_of_another_history_are_not_taken_for_an_earlier_state() -> None:
    """An old core is put back after another one, recovered from far, has written on in the same timeline."""
    first = House.new(accounts=("ann", "bob"))
    put(first, BOOK, "shipped")
    first.close()
    second = House(SimDisk(), first.sim_clock, "second")
    for path in ("/keys", CORE_FOLDER, "/near", "/far", "/blobs", "/scratch"):
        copied(first.disk, second.disk, path)
    first = first.kill()
    first.boot()
    for number in range(5):
        put(first, BOOK, f"first-{number}")
    first.abandon()
    second.boot()
    put(second, NOTES, "second", account="bob")
    second.close()
    assert second.engine.log.timeline == first.engine.log.timeline

    mixed = House(SimDisk(), first.sim_clock, "mixed")
    copied(first.disk, mixed.disk, CORE_FOLDER)
    for path in ("/keys", "/near", "/far", "/blobs", "/scratch"):
        copied(second.disk, mixed.disk, path)
    before = archived(second, "near")
    with pytest.raises(OperatorError, match="another core wrote"):
        mixed.boot(mend=True)
    mixed.keyring = second.keyring
    assert archived(mixed, "near") == before


def test_what_was_committed_together_is_archived_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takein, "ARCHIVED_AT_ONCE", 4)
    house = lagging(0)
    house.boot()
    for name in ("cid", "dan"):
        house.sim_clock.advance(1)
        command = house.new_account(name)
        assert isinstance(command, AddAccount)
        house.engine.execute(command)
    house.abandon()
    house = house.kill()
    near_anew(house)
    house.boot(mend=True)
    frames: dict[bytes, set[int]] = {}
    for _, frame, change in journal(house):
        frames.setdefault(change.account, set()).add(frame)
    for name in ("cid", "dan"):
        assert len(frames[house.account(name).id]) == 1, "an account whose folders are in another frame"


def test_a_frame_of_what_is_archived_again_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takein, "ARCHIVED_BYTES", 100_000, raising=False)
    house = lagging(0)
    house.boot()
    for number in range(20):
        put(house, BOOK, f"c{number:02}", sha256(b"%d" % number).hexdigest() * 500)
    house.abandon()
    house = house.kill()
    near_anew(house)
    house.boot(mend=True)
    reader = VaultLogReader([house.vault(NEAR)], house.keyring.opener)
    frames = [entry for entry in reader.entries() if isinstance(entry, LogFrame)]
    assert max(len(frame.changes) for frame in frames) <= 16  # the account's own
    assert max(sum(len(c.body or b"") for c in frame.changes) for frame in frames) <= 150_000
    assert len(names(house)) == 21


# -- trying again


def test_a_start_that_fails_again_and_again_does_not_fill_the_vaults() -> None:
    house = House.new()
    put(house, BOOK, "a")
    house.disk.fail("write", path="/core/", times=100_000)
    with pytest.raises(SafeholdError):
        put(house, BOOK, "b")
    before = len(list(house.vault(NEAR).folders("log/")))
    for _ in range(600):
        house.sim_clock.advance(1)
        assert not house.tick()
    assert len(list(house.vault(NEAR).folders("log/"))) < before + 45
    house.disk.mend()
    for _ in range(61):
        house.sim_clock.advance(1)
        if house.tick():
            break
    assert names(house) == ["a", "b"]


def test_a_vault_that_comes_back_is_taken_up_at_once() -> None:
    house = House.new()
    put(house, BOOK, "a")
    house.disk.rename("/near", "/away")
    with pytest.raises(SafeholdError):
        put(house, BOOK, "b")
    house.engine.pause(OperatorError("the vault is away"))
    for _ in range(600):
        house.sim_clock.advance(1)
        assert not house.tick()
    house.disk.rename("/away", "/near")
    house.sim_clock.advance(1)
    assert house.tick(), house.engine.stopped
    assert put(house, BOOK, "c").created
