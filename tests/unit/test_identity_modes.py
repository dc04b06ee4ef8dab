"""What a start needs the identity for, and what it does without: beside the core, elsewhere, given for a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from safehold.disaster.faults import power_loss_after
from safehold.disaster.house import VAULTS, House
from safehold.formats import travelling
from safehold.formats.keys import KeyAway, Opener
from safehold.formats.travelling import OLDER_IDENTITIES, ROOT_KEY
from safehold.lab.sealing import LabOpener
from safehold.lab.simdisk import Crash, SimDisk
from safehold.ports.core import EMPTY_LOG
from safehold.ports.log import Hole
from safehold.vault import keyring
from safehold.vault.keyring import IDENTITY, RECOVERY, ROOT
from safehold.vault.log import VaultLogReader

CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%s\r\nFN:Grace\r\nN:Hopper;Grace;;;\r\nEND:VCARD\r\n"
BOOK = "/dav/ann/contacts/default/"


def put(house: House, uid: str) -> int:
    headers = {"content-type": "text/vcard"}
    return house.request("PUT", f"{BOOK}{uid}.vcf", CARD % uid.encode(), headers).status


def take_away(house: House, *names: str) -> None:
    for name in names or (IDENTITY, RECOVERY):
        keyring.remove_key(house.disk, "/keys", name)


def seals(house: House) -> list[object]:
    reader = VaultLogReader([house.vault(VAULTS[0])], LabOpener(house.keyring.opener))
    return [dict(e.heads) for e in reader.entries() if not isinstance(e, Hole) and e.sealed]


def test_without_an_identity_a_start_serves_and_writes() -> None:
    house = House.new(1)
    assert put(house, "one") == 201
    house.close()
    take_away(house)
    house = house.kill()
    house.boot()
    assert not house.keyring.opener.can_open
    assert house.request("GET", BOOK + "one.vcf").status == 200
    assert put(house, "two") == 201
    house.close()
    again = house.kill()
    again.boot()
    assert put(again, "three") == 201


def test_the_first_seal_after_a_crash_is_the_same_with_and_without_the_identity() -> None:
    stated = []
    for away in (False, True):
        house = House.new(1)
        assert (put(house, "one"), put(house, "two")) == (201, 201)
        if away:
            take_away(house)
        house = house.kill()  # nothing of this is sealed yet
        house.boot()
        house.engine.seal()
        house.keyring = replace(house.keyring, opener=House.new(1).keyring.opener)
        stated.append(seals(house)[-1])
        assert stated[-1], "it states what the one before could not"
    assert stated[0] == stated[1]


def ahead(disk_seed: int = 1) -> House:
    """A house whose log holds a change that its core lost, as a power loss between append and commit leaves it."""
    for point in range(1, 60):
        house = House.new(disk_seed)
        before = house.engine.core.log_position().frame
        house.disk.on_write_point = power_loss_after(point)
        try:
            put(house, "one")
        except Crash:
            pass
        else:
            break
        after = house.kill()
        after.load_keys()
        end = VaultLogReader([after.vault(VAULTS[0])], after.keyring.opener).end().frame
        core = after.open_core()
        behind = core.log_position().frame < end and core.log_position().frame == before
        core.close()
        if behind:
            return after
    raise AssertionError("no write point leaves the log ahead of the core")


def test_a_log_ahead_of_the_core_waits_for_the_identity_and_loses_nothing() -> None:
    house = ahead()
    saved = house.keyring
    take_away(house)
    house = house.kill()
    with pytest.raises(KeyAway, match=r"frame \d+ of the log can be opened only with the recovery key") as caught:
        house.boot()
    assert "--identity FILE" in caught.value.hint
    house = house.kill()
    house.load_keys = lambda: setattr(house, "keyring", saved)  # type: ignore[method-assign]
    house.boot()
    assert house.request("GET", BOOK + "one.vcf").status == 200


def test_a_reader_without_an_identity_tells_good_frames_from_bad() -> None:
    house = House.new(1)
    assert put(house, "one") == 201
    house.close()
    vault, closed = house.vault(VAULTS[0]), Opener((), house.keyring.installation)
    assert VaultLogReader([vault], closed).end() == VaultLogReader([vault], house.keyring.opener).end()
    last = VaultLogReader([vault], closed).end().frame
    entries = list(VaultLogReader([vault], closed).entries(closed_upto=last))
    assert [e.position.frame for e in entries if not isinstance(e, Hole)] == list(range(1, last + 1))
    assert not any(e.opened for e in entries if not isinstance(e, Hole))
    with pytest.raises(KeyAway):
        list(VaultLogReader([vault], closed).entries(EMPTY_LOG))
    name = next(info.name for info in vault.list("log/") if info.size > 1000)
    path = f"{house.folder(VAULTS[0])}/{name}"
    house.disk.flip_bit(path, house.disk.size(path) // 2)
    assert any(isinstance(e, Hole) for e in VaultLogReader([vault], closed).entries(closed_upto=last))


def test_a_body_that_only_the_vaults_hold_waits_for_the_identity_and_is_not_called_gone() -> None:
    house = House.new(1)
    body = bytes(range(256)) * 400
    assert house.request("PUT", "/dav/ann/files/photos/a.jpg", body, {"content-type": "image/jpeg"}).status == 201
    house.close()
    saved = house.keyring
    take_away(house)
    house = house.kill()
    for folder in [entry.name for entry in house.disk.list("/blobs")]:
        for entry in list(house.disk.list(f"/blobs/{folder}")):
            house.disk.remove(f"/blobs/{folder}/{entry.name}")
    house.boot()
    assert house.request("GET", "/dav/ann/files/photos/a.jpg").status == 503
    assert house.request("PUT", "/dav/ann/files/photos/b.jpg", body[::-1], {"content-type": "image/jpeg"}).status == 201
    house.writer.use_keyring(saved)
    answer = house.request("GET", "/dav/ann/files/photos/a.jpg")
    assert (answer.status, answer.body) == (200, body)


# -- what travels


def item(house: House, name: str) -> bytes | None:
    return house.reads.secret(0, name)


def test_the_root_travels_sealed_from_the_first_start_on() -> None:
    house = House.new(1)
    kept = item(house, ROOT_KEY)
    assert kept is not None and house.keyring.root is not None
    assert travelling.open_root(kept, house.keyring.opener).secret == house.keyring.root.secret
    assert item(house, OLDER_IDENTITIES) is None
    before = house.engine.log.position.frame
    house.writer.found("")
    assert house.engine.log.position.frame == before, "nothing changed, so nothing is written"


def test_the_configuration_that_travels_is_the_one_in_force() -> None:
    house = House.new(1)
    house.writer.found("# another\n")
    assert item(house, "config") == b"# another\n"


def test_other_recipients_get_what_travels_anew() -> None:
    house = House.new(1)
    other = keyring.ensure_keyring(SimDisk(), "/other", house.entropy).sealer.recipients[0]
    mine = house.keyring.sealer.recipients[0]
    keyring.write_recipients(house.disk, "/keys", [mine, other])
    house.close()
    house = house.kill()
    house.boot()
    kept = item(house, ROOT_KEY)
    assert kept is not None and travelling.recipients_of(kept) == (mine, other)


def test_a_root_that_was_taken_away_does_not_come_back_by_itself() -> None:
    house = House.new(1)
    take_away(house, ROOT)
    house.close()
    house = house.kill()
    house.boot()
    assert house.keyring.root is None
    assert item(house, ROOT_KEY) is not None, "only the word of a person drops it"
