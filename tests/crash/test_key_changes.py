"""Power fails at every write point of a change of keys and of the start that takes it up (I45)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from safehold.assembly.bare import with_older_identities
from safehold.disaster.faults import power_loss_after
from safehold.disaster.house import VAULTS, House
from safehold.formats.keys import Opener, Role, recipient_of
from safehold.lab.simdisk import Crash
from safehold.model.errors import OperatorError
from safehold.ports.log import Hole
from safehold.vault import keychange
from safehold.vault.keyring import ensure_keyring, load_identity, write_signer
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs

CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%s\r\nFN:Grace\r\nN:Hopper;Grace;;;\r\nEND:VCARD\r\n"
POINTS = 400
#: Every so many write points; what lies between is the same kind of write.
STRIDE = 3


class SealedHouse(House):
    """Seals with age itself: what opens what is the matter here."""

    def load_keys(self) -> None:
        self.keyring = ensure_keyring(self.disk, "/keys", self.entropy)


def put(house: House, uid: str) -> int:
    headers = {"content-type": "text/vcard"}
    return house.request("PUT", f"/dav/ann/contacts/default/{uid}.vcf", CARD % uid.encode(), headers).status


def new_identity(house: House) -> None:
    keychange.new_identity(house.disk, "/keys", b"n" * 32)


def new_writer(house: House) -> None:
    root = house.keyring.root
    assert root is not None
    write_signer(house.disk, "/keys", Role.WRITER, root, b"n" * 32)


def opens_everything(house: House, opener: Opener) -> bool:
    vaults = [house.vault(VAULTS[0])]
    opener = with_older_identities(VaultLogReader(vaults, opener), Runs(vaults, opener), opener)
    entries = list(VaultLogReader(vaults, opener).entries())
    return bool(entries) and not any(isinstance(entry, Hole) for entry in entries)


@pytest.mark.parametrize("change", [new_identity, new_writer])
def test_a_change_of_keys_cut_off_anywhere(change: Callable[[House], None]) -> None:
    for point in range(0, POINTS, STRIDE):
        house = SealedHouse.new(1)
        assert put(house, "before") == 201
        house.close()
        house = house.kill()
        house.load_keys()
        house.disk.on_write_point = power_loss_after(point)
        ended = False
        try:
            change(house)
            house.boot()
            ended = put(house, "meanwhile") == 201
        except (Crash, OperatorError):
            assert house.disk.dead
        house = house.crash(point)
        house.load_keys()
        printed = load_identity(house.disk, "/keys/recovery.txt")
        assert opens_everything(house, printed), f"the keys in recovery.txt, at write point {point}"
        house.boot()
        assert put(house, "after") == 201
        names = {item.name for item in house.reads.items(house.reads.collections(1, "contacts/default")[0])}
        assert {"before.vcf", "after.vcf"} <= names
        assert not ended or "meanwhile.vcf" in names
        house.close()
        newest = Opener(house.keyring.opener.identities[0], house.keyring.installation)
        if recipient_of(newest.identities[0]) in house.keyring.sealer.recipients:
            assert opens_everything(house, newest), f"the newest key alone, after write point {point}"
        if ended:
            assert point > 30
            return
    raise AssertionError("it never ended")
