"""One flipped bit in any page of the core: a recovery either rebuilds the core or leaves one that serves everything.

A page that no query of the plan reads (an index of UIDs, say) may rot as well as any other, and would be found by the
first device whose write needs it.
"""

from __future__ import annotations

from collections import Counter

import pytest

from safehold.disaster.house import CORE_FOLDER, CORE_PATH, House, Request
from safehold.disaster.readout import read_world
from safehold.disaster.rebuilding import recover
from safehold.recovery.examine import State
from safehold.store.sqlite.vfs import PAGE_BYTES

BOOK = "/dav/ann/contacts/default"
HEADERS = {"Content-Type": "text/vcard"}


def card(uid: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\nEND:VCARD\r\n".encode()


@pytest.fixture(scope="module")
def house() -> House:
    """A house at rest, whose core is one file."""
    house = House.new("rot")
    for start in range(0, 120, 20):
        cards = [Request("PUT", f"{BOOK}/{n}.vcf", card(f"u{n}"), HEADERS) for n in range(start, start + 20)]
        assert {answer.status for answer in house.requests(cards)} == {201}
    house.close()
    house.disk.sync_folder(CORE_FOLDER)
    return house


def test_a_flipped_bit_in_any_page(house: House) -> None:
    size = house.disk.size(CORE_PATH)
    found: Counter[State] = Counter()
    expected = None
    for page in range(size // PAGE_BYTES):
        struck = House(house.disk.survivor(), house.sim_clock, page)
        struck.load_keys()
        struck.disk.flip_bit(CORE_PATH, page * PAGE_BYTES + 1000, page % 8)
        plan, result = recover(struck)
        found[plan.core] += 1
        assert result.report.verified
        struck.boot()
        world = read_world(struck, ["ann"])
        expected = expected or world
        assert world == expected
        new = [Request("PUT", f"{BOOK}/{n}.vcf", card(f"u{n}"), HEADERS) for n in (7, 200)]
        assert [answer.status for answer in struck.requests(new)] == [204, 201]
        taken = struck.request("PUT", f"{BOOK}/other.vcf", card("u9"), HEADERS)
        assert taken.status == 409, "the index of UIDs is whole"
        struck.abandon()
    assert found[State.DAMAGED] > 3 * found[State.WHOLE], "only a page that is not in use may pass unnoticed"
