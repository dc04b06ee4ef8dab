"""addressbook-query over a real core: the examples of RFC 6352 section 8.6, limits, parts and versions of cards."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from safehold.model.commands import Body, DeleteItem, PutItem
from safehold.model.kinds import Kind
from safehold.web import dav_query
from tests.support.asgi import CARD, DECLARED, Device, tag_of, vcard
from tests.support.queries import BOOK, CARDS, book_query, data, names, report, with_cards, with_text

PARTS = (
    '<D:getetag/><A:address-data><A:prop name="VERSION"/><A:prop name="UID"/><A:prop name="NICKNAME"/>'
    '<A:prop name="EMAIL"/><A:prop name="FN"/></A:address-data>'
)


@pytest.fixture(autouse=True)
def cards(device: Device) -> None:
    with_cards(device)


def part(name: str) -> bytes:
    full, nick, email = CARDS[name]
    return (
        f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}@example.com\r\nFN:{full}\r\nNICKNAME:{nick}\r\n"
        f"EMAIL;TYPE=INTERNET:{email}\r\nEND:VCARD\r\n"
    ).encode()


def test_8_6_3_partial_retrieval(device: Device) -> None:
    inner = with_text("NICKNAME", "me", 'collation="i;unicode-casemap" match-type="equals"')
    answer = report(device, BOOK, book_query(inner, PARTS))
    assert names(answer) == {"v100.vcf"}
    assert data(answer, BOOK + "v100.vcf", "A:address-data") == part("v100.vcf")
    stored = device.ask("GET", BOOK + "v100.vcf")
    assert answer.text(BOOK + "v100.vcf", "D:getetag") == stored.headers["etag"]


def test_8_6_4_by_full_name_or_email(device: Device) -> None:
    contains = 'collation="i;unicode-casemap" match-type="contains"'
    inner = with_text("FN", "daboo", contains) + with_text("EMAIL", "daboo", contains)
    answer = report(device, BOOK, book_query(inner, PARTS))
    assert names(answer) == {"v100.vcf", "v102.vcf", "v104.vcf"}
    for name in names(answer):
        assert data(answer, BOOK + name, "A:address-data") == part(name)
    assert names(report(device, BOOK, book_query(inner, test="allof"))) == {"v100.vcf"}


def test_8_6_5_truncated_results(device: Device) -> None:
    inner = with_text("FN", "daboo", 'collation="i;unicode-casemap"') + with_text("EMAIL", "daboo")
    limit = "<A:limit><A:nresults>2</A:nresults></A:limit>"
    for prop in ("<D:getetag/>", PARTS):
        answer = report(device, BOOK, book_query(inner, prop, limit))
        *found, last = answer.listed
        assert [r["status"] for r in found] == [None, None]
        assert (last["href"], last["status"], last["error"]) == (BOOK, 507, ["D:number-of-matches-within-limits"])
        whole = report(device, BOOK, book_query(inner, prop, limit.replace("2", "3")))
        assert [r["status"] for r in whole.listed] == [None] * 3


@pytest.mark.parametrize("limit", [1, 3, 4, 5])
def test_limits_without_conditions(device: Device, limit: int) -> None:
    for prop in ("<D:getetag/>", "<A:address-data/>"):
        asked = book_query("", prop, f"<A:limit><A:nresults>{limit}</A:nresults></A:limit>")
        rows = report(device, BOOK, asked).listed
        assert [r["status"] for r in rows] == [None] * min(limit, 4) + [507] * (limit < 4)


def test_depth_does_not_shorten_a_list(device: Device) -> None:
    body = book_query(with_text("FN", "daboo"))
    for headers in ({"Depth": "1"}, {"Depth": "0"}, {"Depth": "infinity"}, {}):
        assert names(device.ask("REPORT", BOOK, body, headers)) == {"v100.vcf", "v102.vcf"}


def test_a_query_of_one_card(device: Device) -> None:
    for text, found in (("daboo", {"v102.vcf"}), ("york", set())):
        assert names(report(device, BOOK + "v102.vcf", book_query(with_text("FN", text)))) == found
    assert report(device, BOOK + "none.vcf", book_query("")).status == 404


def test_collations_and_groups(device: Device) -> None:
    for text, attributes, found in (
        ("\u00e9RIC", "", {"v106.vcf"}),
        ("\u00e9RIC", 'collation="i;ascii-casemap"', set()),
        ("\u00c9RIC", 'collation="i;ascii-casemap"', {"v106.vcf"}),
        ("\u00c9ric", 'collation="i;octet"', {"v106.vcf"}),
        ("ric", 'match-type="starts-with"', set()),
    ):
        assert names(report(device, BOOK, book_query(with_text("NICKNAME", text, attributes)))) == found
    for name, found in (("TEL", 4), ("item1.TEL", 4), ("item2.tel", 0), ("ITEM1.EMAIL", 0)):
        assert len(names(report(device, BOOK, book_query(f'<A:prop-filter name="{name}"/>')))) == found
    klingon = report(device, BOOK, book_query(with_text("FN", "x", 'collation="i;klingon"')))
    assert (klingon.status, klingon.error) == (403, "A:supported-collation")
    answer = device.propfind(BOOK, "A:supported-collation-set", "D:supported-report-set")
    kinds = [e.text for e in answer.responses[BOOK][200]["A:supported-collation-set"]]
    assert kinds == ["i;octet", "i;ascii-casemap", "i;unicode-casemap"]


def test_preconditions(device: Device) -> None:
    for body, error in (
        (f"<A:addressbook-query {DECLARED}><D:prop/></A:addressbook-query>", "A:valid-filter"),
        (book_query('<A:prop-filter name="FN"/>' * 200), "A:supported-filter"),
        (book_query("", '<A:address-data content-type="text/x"/>'), "A:supported-address-data"),
        (book_query("", '<A:address-data version="2.1"/>'), "A:supported-address-data"),
    ):
        answer = report(device, BOOK, body)
        assert (answer.status, answer.error) == (403, error)


def test_what_is_lost_never_looks_absent(device: Device) -> None:
    account = device.gate.reads.account_named("anna")
    lost = book_query(with_text("FN", "nobody"))
    device.gate.core._db.execute("UPDATE journal SET body = NULL WHERE name = 'v104.vcf'")
    assert names(report(device, BOOK, lost)) == {"v104.vcf"}, "nobody can say that it does not match"
    answer = report(device, BOOK, book_query(with_text("FN", "x"), PARTS))
    assert (answer.status, answer.error) == (503, "")
    # No body is needed to say what there is.
    assert len(names(report(device, BOOK, book_query("")))) == 4
    assert report(device, BOOK, book_query("", "<A:address-data/>")).status == 503
    device.gate.hold(account, Kind.CONTACTS, "revisions 2 to 3 are missing")
    for path in (BOOK, BOOK + "v100.vcf", BOOK + "none.vcf"):
        assert report(device, path, book_query("")).status == 503


def test_a_damaged_body_fails_the_whole_query(device: Device) -> None:
    device.gate.core._db.execute("UPDATE journal SET body = ? WHERE name = 'v104.vcf'", (vcard("other"),))
    assert report(device, BOOK, book_query(with_text("FN", "daboo"))).status == 503


# -- parts and versions --------------------------------------------------------------------------------------


def test_parts_in_multiget_and_sync(device: Device) -> None:
    href = BOOK + "v102.vcf"
    chosen = '<A:address-data><A:prop name="fn"/><A:prop name="item1.TEL" novalue="yes"/></A:address-data>'
    wanted = b"BEGIN:VCARD\r\nFN:Oliver Daboo\r\nitem1.TEL;TYPE=CELL,pref:\r\nEND:VCARD\r\n"
    assert data(device.multiget(BOOK, [href], prop=chosen), href, "A:address-data") == wanted
    assert data(device.sync(BOOK, prop=chosen), href, "A:address-data") == wanted
    assert report(device, BOOK, book_query("", chosen)).text(href, "A:address-data").encode() == wanted


def test_the_version_that_is_asked_for(device: Device) -> None:
    href = BOOK + "v102.vcf"
    stored = device.ask("GET", href).body
    four = '<D:getetag/><A:address-data content-type="text/vcard" version="4.0"/>'
    for answer in (
        device.multiget(BOOK, [href], prop=four),
        device.sync(BOOK, prop=four),
        report(device, BOOK, book_query("", four)),
    ):
        [element] = [answer.responses[href][200]["A:address-data"]]
        assert dict(element.attrib) == {"content-type": "text/vcard", "version": "4.0"}
        assert "VERSION:4.0" in element.text
        assert "TEL;TYPE=CELL;PREF=1:+1 1" in element.text
        assert answer.text(href, "D:getetag") == tag_of(stored)
    three = device.multiget(BOOK, [href], prop='<A:address-data version="3.0"/>')
    assert data(three, href, "A:address-data") == stored
    plain = device.multiget(BOOK, [href], prop="<A:address-data/>").responses[href][200]["A:address-data"]
    assert not plain.attrib
    assert plain.text.encode() == stored


def test_calendar_data_of_a_card_is_a_property_that_it_does_not_have(device: Device) -> None:
    href = BOOK + "v102.vcf"
    answer = device.multiget(BOOK, [href], prop="<D:getetag/><C:calendar-data/>")
    assert set(answer.responses[href][404]) == {"C:calendar-data"}
    both = device.multiget(BOOK, [href], prop="<C:calendar-data/><A:address-data/>")
    assert set(both.responses[href][404]) == {"C:calendar-data"}
    assert data(both, href, "A:address-data") == device.ask("GET", href).body


DAVX5 = "text/vcard;version=4.0, text/vcard;charset=utf-8;q=0.8, text/vcard;q=0.5"


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (DAVX5, "4.0"),
        ("text/vcard; version=4.0", "4.0"),
        ('text/vcard;version="4.0";q=0.3, */*;q=0.2', "4.0"),
        ("text/vcard;version=3.0, text/vcard;version=4.0", "3.0"),
        ("text/vcard;version=4.0;q=0.5, text/vcard", "3.0"),
        ("text/vcard;version=4.0;q=0, text/*", "3.0"),
        ("text/vcard", "3.0"),
        ("text/html, */*;q=0.1", "3.0"),
        ("*/*", "3.0"),
        ("nonsense;version", "3.0"),
    ],
)
def test_get_in_the_version_that_is_wanted(device: Device, accept: str, version: str) -> None:
    href = BOOK + "v100.vcf"
    stored = device.ask("GET", href)
    assert stored.headers["vary"] == "Accept"
    answer = device.ask("GET", href, headers={"Accept": accept})
    if accept.startswith("nonsense"):
        assert (answer.status, answer.error) == (406, "A:supported-address-data-conversion")
        return
    assert answer.status == 200
    assert f"VERSION:{version}" in answer.body.decode()
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-type"] == "text/vcard; charset=utf-8"
    head = device.ask("HEAD", href, headers={"Accept": accept})
    assert {**head.headers} == {**answer.headers}
    if version == "3.0":
        assert answer.body == stored.body
        assert answer.headers == stored.headers
    else:
        assert answer.headers["etag"] == "W/" + stored.headers["etag"]
        assert "accept-ranges" not in answer.headers
        part = device.ask("GET", href, headers={"Accept": accept, "Range": "bytes=0-3"})
        assert (part.status, part.body) == (200, answer.body)
        again = device.ask("GET", href, headers={"Accept": accept, "If-None-Match": answer.headers["etag"]})
        assert again.status == 304


def test_a_converted_card_is_put_back_on_the_tag_of_the_stored_one(device: Device) -> None:
    href = BOOK + "v100.vcf"
    four = device.ask("GET", href, headers={"Accept": DAVX5})
    weak = four.headers["etag"]
    assert device.put(href, four.body, if_match=weak).status == 412  # weak tags never match there
    answer = device.put(href, four.body, if_match=weak.removeprefix("W/"))
    assert answer.status == 204
    assert answer.headers["etag"] == tag_of(four.body)
    assert device.ask("GET", href).body == four.body
    three = device.ask("GET", href, headers={"Accept": "text/vcard;version=3.0"})
    assert b"VERSION:3.0" in three.body


def test_a_large_card_is_converted_too(device: Device) -> None:
    body = vcard("big", extra="PHOTO;ENCODING=b;TYPE=JPEG:" + "A" * 200_000 + "\r\n")
    device.put(BOOK + "big.vcf", body)
    four = device.ask("GET", BOOK + "big.vcf", headers={"Accept": DAVX5})
    assert b"PHOTO:data:image/jpeg;base64,AAA" in four.body
    device.gate.core._db.execute("UPDATE journal SET body = NULL, blob = x'00' WHERE name = 'big.vcf'")
    device.gate.memory_blobs.lost.add(b"\0")
    assert device.ask("GET", BOOK + "big.vcf", headers={"Accept": DAVX5}).status == 503
    # A query that has to look into it is held, too.
    assert report(device, BOOK, book_query(with_text("FN", "daboo"))).status == 503


def test_a_long_answer_comes_in_pieces(device: Device) -> None:
    filler = "NOTE:" + "x" * 20_000 + "\r\n"
    for n in range(150):
        device.put(f"{BOOK}long{n:04}.vcf", vcard(f"u{n}", "Long", extra=filler))
    before = device.gate.in_threads
    answer = report(device, BOOK, book_query(with_text("FN", "long"), "<A:address-data/>"))
    assert len(names(answer)) == 150
    assert max(map(len, answer.pieces)) < 2_500_000
    assert len(answer.pieces) > 2
    assert device.gate.in_threads > before + 2
    # What cannot be had after the first piece has gone out breaks the answer off.
    device.gate.core._db.execute("UPDATE journal SET body = NULL WHERE name = 'long0149.vcf'")
    with pytest.raises(Exception, match="not here"):
        report(device, BOOK, book_query(with_text("FN", "long"), "<A:address-data/>"))
    # Without bodies nothing of it is needed.
    assert len(names(report(device, BOOK, book_query(with_text("FN", "long"))))) == 150


def test_what_changes_while_a_query_is_under_way(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted meanwhile it is left out, changed meanwhile it is judged anew, and the rest is there."""
    monkeypatch.setattr(dav_query, "PIECE_BODIES", 1)
    account = device.gate.reads.account_named("anna").id
    renamed = vcard("v104.vcf@example.com", "Lisa Daboo")
    meanwhile = {
        2: DeleteItem(account=account, path="contacts/default", name="v102.vcf"),
        3: PutItem(
            account=account,
            path="contacts/default",
            name="v104.vcf",
            body=Body(sha256(renamed).digest(), len(renamed), inline=renamed),
            media=CARD,
            uid="v104.vcf@example.com",
        ),
        4: DeleteItem(account=account, path="contacts/default", name="v100.vcf"),
    }
    in_thread = device.gate.in_thread
    for prop in ("<D:getetag/>", "<A:address-data/>"):
        calls = iter(range(100))

        async def between(work: Any, calls: Iterator[int] = calls) -> Any:
            command = meanwhile.pop(next(calls), None)
            if command is not None:
                device.gate.engine.execute(command)
            return await in_thread(work)

        monkeypatch.setattr(device.gate, "in_thread", between)
        found = names(report(device, BOOK, book_query(with_text("FN", "daboo"), prop)))
        # v100 matched before it went; v104 matches since it was changed.
        assert found == ({"v100.vcf", "v104.vcf"} if prop == "<D:getetag/>" else {"v104.vcf"})
    assert not meanwhile


def test_queries_where_there_are_none(device: Device) -> None:
    for path in ("/dav/", "/dav/anna/contacts/", "/dav/anna/calendars/default/", "/dav/anna/files/notes/"):
        answer = report(device, path, book_query(""))
        assert (answer.status, answer.error) == (403, "D:supported-report")
    assert report(device, "/dav/anna/contacts/none/", book_query("")).status == 404
    assert report(device, "/dav/bob/contacts/default/", book_query("")).status == 403


def test_minimal_answers_and_dead_properties(device: Device) -> None:
    device.proppatch(BOOK + "v100.vcf", "<D:set><D:prop><D:displayname>C</D:displayname></D:prop></D:set>")
    asked = book_query(with_text("FN", "cyrus"), "<D:getetag/><D:displayname/><D:nothing/>")
    answer = report(device, BOOK, asked, Prefer="return=minimal")
    row = answer.responses[BOOK + "v100.vcf"]
    assert row[200]["D:displayname"].text == "C"
    assert 404 not in row
    assert answer.headers["preference-applied"] == "return=minimal"
    assert set(report(device, BOOK, asked).responses[BOOK + "v100.vcf"][404]) == {"D:nothing"}
    bare = f"<A:addressbook-query {DECLARED}><A:filter/></A:addressbook-query>"
    assert [row[200] for row in report(device, BOOK, bare).listed] == [{}] * 4
