"""A core that rots while it is served: every answer is right or says to come again, and what rotted is put right (I61).

Pages are damaged under a running house: one bit, a sector, a whole page. Each is answered from the vaults where bodies
are hit, refused whole where listings are, then mended in place or told to be made anew.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from safehold.disaster.house import CORE_FOLDER, CORE_PATH, House, Request
from safehold.formats.keys import Opener
from safehold.store.sqlite.vfs import PAGE_BYTES
from tests.support.thinning import every

BOOK = "/dav/ann/contacts/default"
NOTES = "/dav/ann/files/notes"
CARD = {"Content-Type": "text/vcard"}
LARGE = b"large " * 20_000
MULTIGET = """<?xml version="1.0"?><A:addressbook-multiget xmlns:D="DAV:" xmlns:A="urn:ietf:params:xml:ns:carddav">
<D:prop><D:getetag/><A:address-data/></D:prop>%s</A:addressbook-multiget>"""
QUERY = """<?xml version="1.0"?><A:addressbook-query xmlns:D="DAV:" xmlns:A="urn:ietf:params:xml:ns:carddav">
<D:prop><D:getetag/><A:address-data/></D:prop><A:filter><A:prop-filter name="FN"/></A:filter></A:addressbook-query>"""


def card(uid: str, size: int = 0) -> bytes:
    note = f"NOTE:{uid * (size // len(uid))}\r\n" if size else ""
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\n{note}END:VCARD\r\n".encode()


CARDS = {f"{n}.vcf": card(f"u{n}", 9000 if n % 4 == 0 else 0) for n in range(40)}


class Rotting:
    """A house at rest, which is started anew for each damage."""

    def __init__(self) -> None:
        house = House.new("rotting")
        for name, body in CARDS.items():
            assert house.request("PUT", f"{BOOK}/{name}", body, CARD).status == 201
        assert house.request("PUT", f"{NOTES}/large.txt", LARGE, {"Content-Type": "text/plain"}).status == 201
        house.close()
        house.disk.sync_folder(CORE_FOLDER)
        self.house = house
        listing = self._run(self._copy())
        self.listing = listing

    def _run(self, house: House) -> bytes:
        house.boot()
        answer = house.request("PROPFIND", f"{BOOK}/", headers={"Depth": "1"})
        assert answer.status == 207
        house.abandon()
        return answer.body

    def boot(self) -> House:
        house = self._copy()
        house.boot()
        return house

    def _copy(self) -> House:
        return House(self.house.disk.survivor(), self.house.sim_clock, "rotting+")


@pytest.fixture(scope="module")
def rotting() -> Rotting:
    return Rotting()


def damage(house: House, page: int, sort: str, rng: random.Random) -> None:
    at = (page - 1) * PAGE_BYTES
    if sort == "bit":
        house.disk.flip_bit(CORE_PATH, at + rng.randrange(PAGE_BYTES), rng.randrange(8))
        return
    first, count = (512 * rng.randrange(4), 512) if sort == "sector" else (0, PAGE_BYTES)
    for offset in rng.sample(range(first, first + count), count // 8):
        house.disk.flip_bit(CORE_PATH, at + offset, rng.randrange(8))


def look(house: House, rotting: Rotting, seen: Counter[str]) -> None:
    """Every way to read: right, or 503."""
    for name in list(CARDS)[::7]:
        answer = house.request("GET", f"{BOOK}/{name}")
        seen[f"GET {answer.status}"] += 1
        assert answer.status == 503 or (answer.status == 200 and answer.body == CARDS[name]), (name, answer)
        answer = house.request("GET", f"{BOOK}/{name}", headers={"Range": "bytes=10-19"})
        assert answer.status == 503 or (answer.status == 206 and answer.body == CARDS[name][10:20])
    answer = house.request("PROPFIND", f"{BOOK}/", headers={"Depth": "1"})
    seen[f"PROPFIND {answer.status}"] += 1
    assert answer.status == 503 or answer.body == rotting.listing
    hrefs = "".join(f"<D:href>{BOOK}/{name}</D:href>" for name in CARDS)
    for report in (MULTIGET % hrefs, QUERY):
        answer = house.request("REPORT", f"{BOOK}/", report.encode(), {"Depth": "1", "Content-Type": "text/xml"})
        seen[f"REPORT {answer.status}"] += 1
        assert answer.status in (207, 503)
        if answer.status == 207:
            assert answer.body.count(b"<D:response>") == len(CARDS)
            assert b"404 Not Found" not in answer.body
            assert all(f"UID:u{n}".encode() in answer.body for n in range(len(CARDS)))


@pytest.mark.parametrize("sort", ["bit", "sector", "page"])
@every(2)
def test_pages_that_rot_under_a_running_house(rotting: Rotting, sort: str, step: int) -> None:
    rng = random.Random(sort)
    size = rotting.house.disk.size(CORE_PATH)
    seen: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for page in range(2, size // PAGE_BYTES + 1, 2 * step if sort == "bit" else step):
        house = rotting.boot()
        core = house._care_core()
        damage(house, page, sort, rng)
        core._db.release_memory()
        look(house, rotting, seen)
        for _ in range(200):
            house.care.step()
            if house.renewals or house.care.status()["last_check"]:
                break
        if house.renewals:
            ends["renew"] += 1
        else:
            ends["mended"] += 1
            core._db.wal_checkpoint()
            core._db.release_memory()
            assert core.bad_pages(1, core.page_count()) == []
            assert core.fault() is None
            after: Counter[str] = Counter()
            look(house, rotting, after)
            assert not any(key.endswith("503") for key in after), (page, after)
        look(house, rotting, seen)
        house.abandon()
    print(f"{sort}: {dict(ends)}, {dict(seen)}")
    assert ends["mended"] > (3 if sort == "page" else 1) * 5, (ends, seen)
    if sort != "bit":
        assert ends["renew"]
    assert seen["GET 200"] > seen["GET 503"]


def test_a_flipped_bit_in_a_live_blob(rotting: Rotting) -> None:
    for headers, status, part in (({}, 200, LARGE), ({"Range": "bytes=100-299"}, 206, LARGE[100:300])):
        house = rotting.boot()
        (folder,) = house.disk.list("/blobs")
        (file,) = house.disk.list(f"/blobs/{folder.name}")
        house.disk.flip_bit(f"/blobs/{folder.name}/{file.name}", 70_000, 3)
        answer = house.request("GET", f"{NOTES}/large.txt", headers=headers)
        assert (answer.status, answer.body) == (status, part)
        house.care.step()
        assert [i["what"] for i in house.incidents.incidents()] == ["large body mended"]
        mended = house.disk.open(f"/blobs/{folder.name}/{file.name}").read_at(0, len(LARGE))
        assert mended == LARGE
        house.abandon()


def test_the_check_finds_a_blob_that_nobody_reads(rotting: Rotting) -> None:
    house = rotting.boot()
    (folder,) = house.disk.list("/blobs")
    (file,) = house.disk.list(f"/blobs/{folder.name}")
    house.disk.flip_bit(f"/blobs/{folder.name}/{file.name}", 70_000, 3)
    while house.care.status()["last_check"] is None:
        house.care.step()
    assert house.disk.open(f"/blobs/{folder.name}/{file.name}").read_at(0, len(LARGE)) == LARGE
    assert house.care.status()["mended"] == 1
    house.abandon()


def overflow_page(house: House) -> int:
    """A page that holds nothing but a part of the body of 4.vcf."""
    core = house._care_core()
    return next(n for n in range(2, core.page_count()) if core._pages().read(n).count(b"u4") > 900)


def test_without_the_key_nothing_is_given_and_status_says_why(
    rotting: Rotting, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = rotting.boot()
    damage(house, overflow_page(house), "page", random.Random(1))
    house._care_core()._db.release_memory()
    monkeypatch.setattr(house.keyring.opener, "require", Opener((), house.keyring.installation).require)
    assert house.request("GET", f"{BOOK}/4.vcf").status == 503
    (incident,) = house.incidents.incidents()
    assert incident["what"] == "body damaged"
    assert "recovery key" in incident["message"]
    assert house.request("GET", f"{BOOK}/5.vcf").status == 200
    house.abandon()


def test_damaged_in_the_vaults_too_it_stays_listed_and_is_named(rotting: Rotting) -> None:
    house = rotting.boot()
    damage(house, overflow_page(house), "page", random.Random(1))
    house._care_core()._db.release_memory()
    house.disk.lose("/near")
    house.disk.lose("/far")
    assert house.request("GET", f"{BOOK}/4.vcf").status == 503
    answer = house.request("PROPFIND", f"{BOOK}/", headers={"Depth": "1"})
    assert answer.body == rotting.listing
    (incident,) = house.incidents.incidents()
    assert (incident["kind"], incident["collection"], incident["name"]) == ("contacts", "contacts/default", "4.vcf")
    report = (MULTIGET % f"<D:href>{BOOK}/4.vcf</D:href><D:href>{BOOK}/5.vcf</D:href>").encode()
    assert house.request("REPORT", f"{BOOK}/", report, {"Content-Type": "text/xml"}).status == 503
    house.abandon()


def test_several_at_once(rotting: Rotting) -> None:
    """What one request needs is brought together."""
    house = rotting.boot()
    core = house._care_core()
    rng = random.Random(7)
    pages = [
        n
        for n in range(2, core.page_count())
        if any(core._pages().read(n).count(f"u{k}".encode()) > 600 for k in range(0, 40, 4))
    ]
    for page in pages[::4]:
        damage(house, page, "page", rng)
    core._db.release_memory()
    seen: Counter[str] = Counter()
    look(house, rotting, seen)
    assert not any(key.endswith("503") for key in seen)
    assert len(house.repair.wanting()) > 5
    requests = [Request("GET", f"{BOOK}/{name}", b"", {}) for name in CARDS]
    assert [answer.body for answer in house.requests(requests)] == list(CARDS.values())
    house.abandon()


def whole_pass(house: House) -> None:
    for _ in range(2000):
        house.care.step()
        if house.care.status()["last_check"] is not None:
            return
    raise AssertionError("the check comes to no end")


@pytest.mark.parametrize(
    "wrong",
    [
        "DELETE FROM item WHERE name = '3.vcf'",
        "UPDATE item SET digest = zeroblob(32) WHERE name = '3.vcf'",
        "UPDATE stream SET items = items + 1 WHERE kind = (SELECT kind FROM journal WHERE name = '3.vcf')",
        "UPDATE journal SET name = '33.vcf' WHERE name = '3.vcf'",
        "UPDATE journal SET hash = zeroblob(32) WHERE name = '3.vcf'",
        "DELETE FROM journal WHERE name = '3.vcf'",
    ],
)
def test_rows_that_are_wrong_on_sound_pages_are_found(rotting: Rotting, wrong: str) -> None:
    house = rotting.boot()
    house._care_core()._db.execute(wrong)
    whole_pass(house)
    assert house.renewals
    assert house.care.status()["damaged"]
    assert [i["what"] for i in house.incidents.incidents()] == ["core damaged"]
    house.abandon()


def test_a_body_that_is_wrong_on_sound_pages_is_mended_by_the_check(rotting: Rotting) -> None:
    house = rotting.boot()
    house._care_core()._db.execute("UPDATE journal SET body = zeroblob(size) WHERE name = '3.vcf'")
    whole_pass(house)
    house.step_care()
    assert not house.renewals
    assert house.care.status()["mended"] == 1
    house.repair.forget_all()
    assert house.request("GET", f"{BOOK}/3.vcf").body == CARDS["3.vcf"]
    house.abandon()


def test_a_sound_core_has_nothing_to_mend_and_a_check_goes_on_after_a_restart(rotting: Rotting) -> None:
    house = rotting.boot()
    house.care._pace = 200_000
    for _ in range(5):
        house.sim_clock.advance(20)
        house.care.step()
    stands = house.care._standing
    assert (stands.stage, stands.next > 20) == (0, True)
    again = house.kill()
    again.boot()
    assert again.care._standing.next == stands.next
    whole_pass(again)
    assert again.care.status() | {"last_check": 0, "bytes": 0, "check_seconds": 0} == {
        "last_check": 0,
        "bytes": 0,
        "mended": 0,
        "damaged": 0,
        "checking": False,
        "check_seconds": 0,
    }
    assert not again.renewals
    assert again.care.step() > 0, "once a day"
    again.abandon()
