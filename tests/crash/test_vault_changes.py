"""Vaults added, made anew or changed in mode under a running writer: nothing is in fewer vaults than was promised."""

from __future__ import annotations

from hashlib import sha256

import pytest

from safehold.config import VaultConfig
from safehold.disaster.house import House
from safehold.formats.blob import blob_object
from safehold.model.change import Change
from safehold.model.commands import Outcome, PutItem, SetPassword
from safehold.model.errors import SafeholdError
from safehold.service.identity import BLOB_KEY
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from tests.crash.test_takein import FAR, NEAR, VAULTS, near_anew

THIRD = VaultConfig("third", "folder:/third", "sync")
PHOTOS = "files/photos"


def photo(house: House, name: str, size: int = 100_000) -> Outcome:
    """Above the inline limit, so that it becomes a blob."""
    account = house.account()
    key = house.reads.secret(account.number, BLOB_KEY)
    assert key is not None
    stage = house.blobs.stage(key)
    stage.write(sha256(name.encode()).digest() * (size // 32))
    return house.engine.execute(
        PutItem(account=account.id, path=PHOTOS, name=name, body=stage.finish(), media="image/jpeg")
    )


def blobs(house: House) -> list[str]:
    """Those that the journal names, as objects."""
    return [blob_object(c.blob) for _, _, c in house.engine.core.changes() if c.blob is not None]


def lacking(house: House, vault: VaultConfig) -> list[str]:
    instance = house.vault(vault)
    return [name for name in blobs(house) if instance.size(name) is None]


def archived(house: House, vault: VaultConfig) -> list[Change]:
    reader = VaultLogReader([house.vault(vault)], house.keyring.opener)
    return [change for entry in reader.entries() for change in getattr(entry, "changes", ())]


def made(house: House, vault: VaultConfig) -> None:
    FolderVault.create(vault.name, house.folder(vault), house.disk, house.keyring.installation).close()


def test_a_sync_vault_that_is_added_gets_every_blob() -> None:
    house = House.new()
    photo(house, "before.jpg")
    made(house, THIRD)
    house.writer.change_vaults([*VAULTS, THIRD])
    house.reopen_reads()
    assert house.engine.stopped is None
    photo(house, "after.jpg")
    assert len(blobs(house)) == 2
    assert lacking(house, NEAR) == lacking(house, THIRD) == []


def test_a_vault_that_becomes_sync_gets_what_it_lacks() -> None:
    """Far was away for some starts, and is then made a sync vault by an entry in the configuration."""
    house = House.new()
    house.close()
    house.disk.rename("/far", "/away")
    for name in ("a.jpg", "b.jpg"):
        house = house.kill()
        house.boot()
        photo(house, name)
    house.disk.rename("/away", "/far")
    house = house.kill()
    house.boot()
    photo(house, "c.jpg")
    now_sync = VaultConfig("far", "folder:/far", "sync")
    house.writer.change_vaults([NEAR, now_sync])
    house.reopen_reads()
    assert archived(house, FAR) == archived(house, NEAR) == [change for _, _, change in house.engine.core.changes()]
    assert lacking(house, FAR) == []


def test_what_is_archived_again_brings_its_blob() -> None:
    house = House.new()
    house.scheduler.run_ready()
    photo(house, "late.jpg")
    house.abandon()
    house = house.kill()
    near_anew(house)
    house.boot(mend=True)
    assert len(blobs(house)) == 1
    assert lacking(house, NEAR) == []


def test_a_shipper_that_gave_up_begins_anew_with_the_vault() -> None:
    house = House.new()
    house.scheduler.run_ready()
    house.disk.fail("sync", path="/far/", times=1)
    photo(house, "a.jpg")
    house.scheduler.run_for(5)
    house.disk.mend()
    assert house.writer.shippers[0].trouble is not None
    house.disk.lose("/far")
    made(house, FAR)
    house.writer.change_vaults(VAULTS)
    house.reopen_reads()
    (shipper,) = house.writer.take_new_shippers()
    house.scheduler.add(shipper)
    photo(house, "b.jpg")
    house.scheduler.run_for(5)
    assert archived(house, FAR) == archived(house, NEAR)
    assert lacking(house, FAR) == []
    assert (shipper.unarchived_changes, shipper.trouble) == (0, None)


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_change_that_is_taken_in_is_told_like_any_other(operation: str) -> None:
    """A password whose commit failed after the append is the new one: who remembers the old one must hear of it."""
    house = House.new()
    told: list[Change] = []
    house.on_committed = told.extend
    house.disk.fail(operation, path="/core/", times=1)
    with pytest.raises(SafeholdError):
        house.engine.execute(SetPassword(account=house.account().id, password="new"))
    house.disk.mend()
    assert told == []
    assert house.tick()
    assert {change.name for change in told} == {"password"}
    assert house.reads.secret(house.account().number, "password") == b"new"
