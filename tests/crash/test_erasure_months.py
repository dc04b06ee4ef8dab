"""After the promised date nothing of an erased account is left in any vault, and nothing brings it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from safehold.disaster.house import VAULTS, House
from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.payload import Unpacker
from safehold.formats.run import INDEX_DECODER
from safehold.lab.simdisk import SimDisk
from safehold.recovery.retention import Policy, erased_by
from safehold.vault.receipts import DAY
from tests.support.months import NAMES, Months

PLANTED = ("xanthippe", "planted-item-name", "planted-body-text", "planted-photo-text", "planted-photo-name")


def plant(months: Months) -> None:
    for number in range(4):
        body = f"BEGIN:VCARD\r\nVERSION:4.0\r\nUID:p{number}\r\nFN:planted-body-text {number}\r\nEND:VCARD\r\n"
        path = f"/dav/xanthippe/contacts/default/planted-item-name-{number}.vcf"
        answer = months.house.request("PUT", path, body.encode(), {"content-type": "text/vcard"}, user="xanthippe")
        assert answer.status == 201
    months.photo("xanthippe", "planted-photo-name.jpg", "planted-photo-text ")


def files(disk: SimDisk, folder: str) -> Iterator[tuple[str, bytes]]:
    for entry in disk.list(folder):
        path = f"{folder}/{entry.name}"
        if entry.is_folder:
            yield from files(disk, path)
        else:
            file = disk.open(path)
            yield path, file.read_at(0, file.size())
            file.close()


def plain(months: Months, data: bytes) -> Iterator[bytes]:
    """An object's bytes, and all that is sealed in it."""
    yield data
    unpacker = Unpacker(months.house.keyring.opener)
    for frame in scan_frames(data):
        if isinstance(frame, RawFrame):
            yield unpacker._decompress(unpacker._decrypt(frame.payload))


def found(months: Months, planted: tuple[str, ...] = PLANTED) -> set[str]:
    """Which planted strings are anywhere in a vault, decrypted, with where."""
    left = set()
    for vault in VAULTS:
        for path, data in files(months.house.disk, House.folder(vault)):
            for piece in plain(months, data):
                left |= {f"{text} in {path}" for text in planted if text.encode() in piece}
    return left


def envelopes(months: Months, account: bytes) -> list[str]:
    """Objects that hold a change of an account."""
    unpacker = Unpacker(months.house.keyring.opener)
    left = []
    for vault in VAULTS:
        for path, data in files(months.house.disk, House.folder(vault)):
            for frame in scan_frames(data):
                if not isinstance(frame, RawFrame):
                    continue
                changes = []
                if frame.header.type is FrameType.CHANGES:
                    changes = unpacker.unpack_changes(frame.payload)
                elif frame.header.type is FrameType.INDEX:
                    changes = unpacker.unpack(frame.payload, INDEX_DECODER).changes
                if any(change.account == account for change in changes):
                    left.append(path)
    return left


@pytest.mark.parametrize(
    "generations", [Policy(12, 3, 2, 12), pytest.param(Policy(12, 2, 0, 0), marks=pytest.mark.long)]
)
def test_after_the_date_no_byte_is_left(generations: Policy) -> None:
    months = Months(11, generations, ("ann", "xanthippe"))
    plant(months)
    months.house.disk.make_folders("/near/aside")
    for _ in range(20):  # long enough for months' generations that hold the account
        months.pass_day(requests=2)
        months.snapshot()
        months.keep()
    assert {text.split(" in ")[0] for text in found(months)} == set(PLANTED)
    account = months.erase("xanthippe")
    months.settle()
    erased_at = months.house.clock.now()
    date = erased_by(erased_at, generations)
    while months.house.clock.now() + DAY < date:
        months.pass_day(requests=1)
        if months.random.random() < 0.1:
            months.restart()
        months.snapshot()
        months.keep()
    left = found(months)
    assert not left, f"{len(left)} days before the date: {sorted(left)[:5]}"
    assert not envelopes(months, account)
    for name in NAMES:
        months.check(name)


def test_nothing_of_it_is_gone_too_early_for_others() -> None:
    """The generations that hold it are those of the history: they stay as long as the history does."""
    policy = Policy(12, 3, 2, 12)
    months = Months(12, policy, ("ann", "xanthippe"))
    plant(months)
    for _ in range(15):
        months.pass_day(requests=2)
        months.snapshot()
        months.keep()
    months.erase("xanthippe")
    for _ in range(11):
        months.pass_day(requests=1)
        months.snapshot()
        months.keep()
    assert found(months), "until the history has passed they can still be read, by whoever has the key"
    for name in NAMES:
        months.check(name)
