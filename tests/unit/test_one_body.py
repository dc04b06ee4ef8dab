"""Single changes out of the vaults: from a generation, from the log after it, from older ones where frames are lost."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from safehold.disaster.house import VAULTS, House
from safehold.formats.keys import KeyAway, Opener
from safehold.model.change import NO_DIGEST, Change
from safehold.model.kinds import Kind
from safehold.ports.care import ChangePlace
from safehold.ports.vault import Vault
from safehold.recovery.one_body import Fetched, fetch

BOOK = "/dav/ann/contacts/default"
CARD = {"Content-Type": "text/vcard"}


def card(uid: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\nEND:VCARD\r\n".encode()


@pytest.fixture(scope="module")
def house() -> House:
    house = House.new("one body")
    for n in range(30):
        assert house.request("PUT", f"{BOOK}/{n}.vcf", card(f"u{n}"), CARD).status == 201
    return house


def wanted_of(house: House, change: Change, *, by_digest: bool = False) -> ChangePlace:
    return ChangePlace(change.account, change.kind, 0 if by_digest else change.rev, change.digest, "", change.name)


def ask(house: House, wanted: Sequence[ChangePlace], opener: Opener | None = None) -> Fetched:
    def vaults() -> list[Vault]:
        return [house.vault(config) for config in VAULTS]

    return fetch(vaults, opener or house.keyring.opener, wanted)


def puts(house: House) -> list[Change]:
    return [c for _, _, c in house._care_core().changes() if c.kind is Kind.CONTACTS and c.body is not None]


@pytest.mark.parametrize("by_digest", [False, True])
def test_each_change_is_found_by_its_rev_or_by_its_body(house: House, by_digest: bool) -> None:
    changes = puts(house)
    assert len(changes) == 30
    wanted = [wanted_of(house, change, by_digest=by_digest) for change in changes]
    random.Random(1).shuffle(wanted)
    found = ask(house, wanted)
    assert {place.name: change for place, change in found.changes.items()} == {c.name: c for c in changes}
    assert found.problems == []


def test_what_no_vault_has_is_left_out(house: House) -> None:
    (change, *_) = puts(house)
    other = ChangePlace(change.account, change.kind, change.rev, bytes(32), "", "other")
    later = ChangePlace(change.account, change.kind, 10_000, NO_DIGEST, "", "later")
    stranger = ChangePlace(b"x" * 16, change.kind, 1, NO_DIGEST, "", "stranger")
    good = wanted_of(house, change)
    assert list(ask(house, [other, later, stranger, good]).changes) == [good]


def test_a_vault_that_is_damaged_or_away_is_made_up_for_by_the_other(house: House) -> None:
    house.writer.ship_all()
    copy = House(house.disk.survivor(), house.sim_clock, "copy")
    copy.load_keys()
    copy.disk.lose("/near")
    wanted = [wanted_of(house, change) for change in puts(house)]
    assert len(ask(copy, wanted).changes) == 30
    copy.disk.lose("/far")
    assert ask(copy, wanted).changes == {}


def test_without_an_identity_it_says_so(house: House) -> None:
    opener = Opener((), house.keyring.installation)
    with pytest.raises(KeyAway):
        ask(house, [wanted_of(house, puts(house)[0])], opener)
