"""sync-collection and multiget over a real core: what a device is told, and what it must never be told."""

from __future__ import annotations

import pytest

from safehold.model.commands import EraseAccount
from safehold.model.kinds import Kind
from safehold.model.token import account_key, make_token, parse_token
from tests.support.asgi import DECLARED, ICAL, Device, event, tag_of, vcard

BOOK = "/dav/anna/contacts/default/"
CALENDAR = "/dav/anna/calendars/default/"
NOTES = "/dav/anna/files/notes/"


def token_key(device: Device) -> bytes:
    return account_key(device.gate.token_key, device.gate.reads.account_named(device.user).id)


def names(answer) -> dict[str, int | None]:
    """Item names to 404, or None where they live."""
    return {r["href"].rpartition("/")[2]: r["status"] for r in answer.listed}


def fill(device: Device, count: int, path: str = BOOK) -> list[bytes]:
    bodies = [vcard(f"u{n}", f"N{n}") for n in range(count)]
    for n, body in enumerate(bodies):
        assert device.put(f"{path}{n:04}.vcf", body).status == 201
    return bodies


def test_first_sync_then_news(device: Device) -> None:
    bodies = fill(device, 3)
    device.put(BOOK + "gone.vcf", vcard("g"))
    device.ask("DELETE", BOOK + "gone.vcf")
    first = device.sync(BOOK)
    assert names(first) == {"0000.vcf": None, "0001.vcf": None, "0002.vcf": None}
    assert first.text(BOOK + "0001.vcf", "D:getetag") == tag_of(bodies[1])
    assert device.sync(BOOK, first.token).listed == []
    assert device.sync(BOOK, first.token).token == first.token
    device.put(BOOK + "0001.vcf", vcard("u1", "changed"))
    device.ask("DELETE", BOOK + "0002.vcf")
    device.put(BOOK + "new.vcf", vcard("n"))
    device.put(BOOK + "brief.vcf", vcard("b"))
    device.ask("DELETE", BOOK + "brief.vcf")
    second = device.sync(BOOK, first.token)
    assert names(second) == {"0001.vcf": None, "new.vcf": None, "0002.vcf": 404, "brief.vcf": 404}
    assert second.token != first.token
    assert device.sync(BOOK, second.token).listed == []


def test_token_and_ctag_are_one_and_move_with_every_change(device: Device) -> None:
    def now() -> str:
        answer = device.propfind(BOOK, "D:sync-token", "S:getctag")
        assert answer.text(BOOK, "D:sync-token") == answer.text(BOOK, "S:getctag")
        return answer.text(BOOK, "S:getctag")

    seen = [now()]
    device.put(BOOK + "a.vcf", vcard("a"))
    seen.append(now())
    assert device.sync(BOOK).token == seen[-1]
    device.put(BOOK + "a.vcf", vcard("a"))  # the same again changes nothing
    assert now() == seen[-1]
    device.proppatch(BOOK, "<D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set>")
    seen.append(now())
    device.ask("DELETE", BOOK + "a.vcf")
    seen.append(now())
    assert len(set(seen)) == 4
    other = device.propfind(CALENDAR, "S:getctag").text(CALENDAR, "S:getctag")
    device.put(BOOK + "b.vcf", vcard("b"))
    assert device.propfind(CALENDAR, "S:getctag").text(CALENDAR, "S:getctag") == other


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("start", ["first", "token"])
def test_a_limited_sync_reaches_the_same_end(device: Device, limit: int, start: str) -> None:
    token = device.sync(BOOK).token if start == "token" else ""
    fill(device, 5)
    for n in (1, 3):
        device.ask("DELETE", f"{BOOK}{n:04}.vcf")
    whole = names(device.sync(BOOK, token))
    found: dict[str, int | None] = {}
    for _ in range(10):
        page = device.sync(BOOK, token, limit=limit)
        rows = page.listed
        more = [r for r in rows if r["status"] == 507]
        news = [r for r in rows if r["status"] != 507]
        assert len(news) <= limit
        found |= {r["href"].rpartition("/")[2]: r["status"] for r in news}
        token = page.token
        if not more:
            break
        assert len(news) == limit
        assert [(r["href"], r["error"]) for r in more] == [(BOOK, ["D:number-of-matches-within-limits"])]
    # Later pages of a first sync are news to the server: they name what was deleted before, which does no harm.
    assert {n: s for n, s in found.items() if s is None or start == "token"} == whole
    assert {n for n, s in found.items() if s == 404} <= {"0001.vcf", "0003.vcf"}
    assert token == device.sync(BOOK).token


def test_no_page_leads_past_a_delete_that_a_refused_put_followed(device: Device) -> None:
    fill(device, 2)
    token = device.sync(BOOK).token
    device.ask("DELETE", BOOK + "0000.vcf")
    device.put(BOOK + "0001.vcf", vcard("u1", "changed"))
    assert device.put(BOOK + "0000.vcf", vcard("u0"), if_match="*").status == 412
    found: dict[str, int | None] = {}
    for _ in range(3):
        page = device.sync(BOOK, token, limit=1)
        found |= {r["href"].rpartition("/")[2]: r["status"] for r in page.listed if r["status"] != 507}
        token = page.token
    assert found == {"0000.vcf": 404, "0001.vcf": None}


def test_a_refused_put_moves_the_token_but_tells_nothing(device: Device) -> None:
    token = device.sync(BOOK).token
    assert device.put(BOOK + "never.vcf", vcard("n"), if_match="*").status == 412
    answer = device.sync(BOOK, token)
    assert answer.listed == []
    assert answer.token != token


def test_bad_tokens(device: Device) -> None:
    fill(device, 1)
    other = device.sync(CALENDAR).token
    for token in ("nonsense", "urn:safehold:sync:1:AAAA", other, device.sync(BOOK).token[:-4] + "AAAA"):
        answer = device.sync(BOOK, token)
        assert (answer.status, answer.error) == (403, "D:valid-sync-token")
        thunderbird = device.sync(BOOK, token, agent="Mozilla/5.0 Thunderbird/140.0")
        assert (thunderbird.status, thunderbird.error) == (400, "D:valid-sync-token")
    answer = device.sync(CALENDAR, "nonsense", agent="Mozilla/5.0 Thunderbird/140.0")
    assert (answer.status, answer.error) == (403, "D:valid-sync-token")


def test_a_collection_made_anew_does_not_know_old_tokens(device: Device) -> None:
    token = device.sync(BOOK).token
    device.ask("DELETE", BOOK)
    book = "<D:resourcetype><D:collection/><A:addressbook/></D:resourcetype>"
    body = f"<D:mkcol {DECLARED}><D:set><D:prop>{book}</D:prop></D:set></D:mkcol>"
    assert device.ask("MKCOL", BOOK, body).status == 201
    assert device.sync(BOOK, token).error == "D:valid-sync-token"


def test_a_token_that_the_stream_does_not_bear_out_is_never_a_403(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    fill(device, 1)
    key = token_key(device)
    point = parse_token(key, device.sync(BOOK).token)
    ahead = make_token(key, point.collection, point.rev + 5, b"x" * 32)
    off = make_token(key, point.collection, point.rev, b"x" * 32)
    for token in (ahead, off):
        for agent in ("DAVx5", "Thunderbird"):
            answer = device.sync(BOOK, token, agent=agent)
            assert (answer.status, answer.error) == (503, "")
    assert "DAVx5" in caplog.text
    assert device.gate.reads.account_named("anna").id.hex()[:8] in caplog.text
    assert set(device.gate.ahead) == {("anna", "contacts/default", agent) for agent in ("DAVx5", "Thunderbird")}


@pytest.mark.parametrize("path", [BOOK, "/dav/anna/contacts/lost/"])
def test_a_token_of_a_collection_that_is_not_on_record_proves_a_loss(
    device: Device, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    lost = make_token(token_key(device), b"made and lost ..", 9, b"x" * 32)
    answer = device.sync(path, lost, agent="DAVx5")
    assert (answer.status, answer.error) == (503, "")
    assert "DAVx5" in caplog.text


def test_a_collection_that_was_removed_is_not_found_whatever_the_token(device: Device) -> None:
    token = device.sync(BOOK).token
    device.ask("DELETE", BOOK)
    for shown in (token, "", "nonsense", device.sync(CALENDAR).token):
        assert device.sync(BOOK, shown).status == 404


@pytest.mark.parametrize("path", [CALENDAR, "/dav/anna/calendars/none/", "/dav/anna/contacts/none/"])
def test_a_token_of_a_removed_collection_proves_no_loss_wherever_it_is_shown(device: Device, path: str) -> None:
    token = device.sync(BOOK).token
    device.ask("DELETE", BOOK)
    answer = device.sync(path, token)
    assert answer.status == (403 if path == CALENDAR else 404)
    assert device.gate.ahead == []


def test_a_token_of_an_erased_account_is_none_of_ours(device: Device) -> None:
    token = device.sync(BOOK).token
    account = device.gate.reads.account_named("anna")
    device.gate.engine.execute(EraseAccount(account=account.id))
    device.gate.authenticator.forget_all()
    device.gate.add_account("anna")
    assert device.sync(BOOK, token).error == "D:valid-sync-token"


def test_reports_of_a_stream_that_is_not_whole(device: Device) -> None:
    fill(device, 1)
    token = device.sync(BOOK).token
    account = device.gate.reads.account_named("anna")
    device.gate.hold(account, Kind.CONTACTS, "revisions 2 to 3 are missing")
    for answer in (
        device.sync(BOOK),
        device.sync(BOOK, token),
        device.sync(BOOK, "nonsense"),
        device.multiget(BOOK, [BOOK + "0000.vcf", BOOK + "none.vcf"]),
        device.ask("GET", BOOK + "0000.vcf"),
        device.propfind(BOOK, depth="1"),
    ):
        assert (answer.status, answer.error) == (503, "")
    device.gate.hold(account, Kind.CONTACTS, None)
    assert device.sync(BOOK, token).listed == []


def test_which_reports_there_are(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    sync = f"<D:sync-collection {DECLARED}><D:sync-token/><D:prop/></D:sync-collection>"
    for path in (
        "/dav/",
        "/dav/anna/contacts/",
        "/dav/anna/calendars/",
        "/dav/principals/anna/",
        BOOK + "a.vcf",
        NOTES,
    ):
        answer = device.ask("REPORT", path, sync)
        assert (answer.status, answer.error) == (403, "D:supported-report")
    for name in ("C:calendar-query", "C:calendar-multiget", "C:free-busy-query", "D:x"):
        answer = device.ask("REPORT", BOOK, f"<{name} {DECLARED}/>")
        assert (answer.status, answer.error) == (403, "D:supported-report")
    for body in ("", "<", "<!DOCTYPE x><x/>", sync.replace("<D:prop/>", "")):
        assert device.ask("REPORT", BOOK, body).status == 400
    assert device.ask("REPORT", "/dav/anna/contacts/none/", sync).status == 404


# -- multiget ------------------------------------------------------------------------------------------------


def test_multiget_answers_in_the_order_asked(device: Device) -> None:
    bodies = fill(device, 3)
    hrefs = [
        BOOK + "0002.vcf",
        BOOK + "none.vcf",
        BOOK + "0000.vcf",
        BOOK + "0002.vcf",
        "https://pim.example/dav/anna/contacts/default/0001.vcf",
        BOOK + "%30000.vcf",
        "/dav/bob/contacts/default/x.vcf",
        CALENDAR + "e.ics",
        "/elsewhere?a=1&b=2",
        "mailto:anna@example.org",
        BOOK,
        "",
    ]
    answer = device.multiget(BOOK, hrefs)
    rows = answer.listed
    assert [r["href"] or "" for r in rows] == hrefs
    assert [r["status"] for r in rows] == [None, 404, None, None, None, None, 403, 403, 404, 404, 403, 404]
    assert rows[0][200]["A:address-data"].text.encode() == bodies[2]
    assert rows[4][200]["A:address-data"].text.encode() == bodies[1]
    assert rows[5][200]["D:getetag"].text == tag_of(bodies[0])


def test_multiget_of_calendars_and_without_bodies(device: Device) -> None:
    device.put(CALENDAR + "e.ics", event("e"), ICAL)
    answer = device.multiget(CALENDAR, [CALENDAR + "e.ics"])
    assert answer.text(CALENDAR + "e.ics", "C:calendar-data").encode() == event("e")
    tags = device.multiget(CALENDAR, [CALENDAR + "e.ics", CALENDAR + "f.ics"], prop="<D:getetag/><D:displayname/>")
    assert set(tags.responses[CALENDAR + "e.ics"][404]) == {"D:displayname"}
    assert tags.responses[CALENDAR + "f.ics"]["status"] == 404
    device.proppatch(CALENDAR + "e.ics", "<D:set><D:prop><D:displayname>E</D:displayname></D:prop></D:set>")
    named = device.multiget(CALENDAR, [CALENDAR + "e.ics"], prop="<C:calendar-data/><D:displayname/>")
    assert named.text(CALENDAR + "e.ics", "D:displayname") == "E"
    assert named.text(CALENDAR + "e.ics", "C:calendar-data").encode() == event("e")
    assert device.multiget(CALENDAR, []).status == 400


def test_a_long_multiget_comes_in_pieces(device: Device) -> None:
    filler = "NOTE:" + "x" * 20_000 + "\r\n"
    bodies = [vcard(f"u{n}", extra=filler) for n in range(150)]
    for n, body in enumerate(bodies):
        device.put(f"{BOOK}{n:04}.vcf", body)
    hrefs = [f"{BOOK}{n:04}.vcf" for n in range(150)] * 2
    answer = device.multiget(BOOK, hrefs)
    assert [r["href"] for r in answer.listed] == hrefs
    assert [r[200]["A:address-data"].text.encode() for r in answer.listed] == bodies * 2
    assert max(map(len, answer.pieces)) < 2_000_000
    assert device.gate.in_threads > 4


def test_a_body_that_is_away_fails_the_whole_multiget(device: Device) -> None:
    bodies = fill(device, 3)
    hrefs = [BOOK + "0000.vcf", BOOK + "0002.vcf", BOOK + "0001.vcf"]
    assert device.multiget(BOOK, hrefs).text(hrefs[1], "A:address-data").encode() == bodies[2]
    device.gate.core._db.execute("UPDATE journal SET body = NULL, blob = x'00' WHERE name = '0002.vcf'")
    answer = device.multiget(BOOK, hrefs)
    assert (answer.status, answer.error) == (503, "")
    assert device.multiget(BOOK, hrefs, prop="<D:getetag/>").status == 207


def test_a_sync_may_ask_for_bodies(device: Device) -> None:
    bodies = fill(device, 3)
    device.ask("DELETE", BOOK + "0001.vcf")
    token = device.sync(BOOK).token
    answer = device.sync(BOOK, prop="<D:getetag/><A:address-data/>")
    assert answer.token == token
    found = {r["href"][-8:]: r[200]["A:address-data"].text.encode() for r in answer.listed}
    assert found == {"0000.vcf": bodies[0], "0002.vcf": bodies[2]}
    limited = device.sync(BOOK, limit=1, prop="<A:address-data/>")
    assert [r["status"] for r in limited.listed] == [None, 507]
    rest = device.sync(BOOK, limited.token, prop="<A:address-data/>")
    assert names(rest) == {"0001.vcf": 404, "0002.vcf": None}


def test_an_item_whose_change_is_gone_from_the_journal_is_not_told_as_absent(device: Device) -> None:
    fill(device, 2)
    item = device.gate.reads.item(device.gate.reads.collection(1, "contacts/default"), "0000.vcf")
    device.gate.core._db.execute("DELETE FROM journal WHERE seq = ?", (item.journal,))
    for answer in (device.multiget(BOOK, [BOOK + "0001.vcf", BOOK + "0000.vcf"]), device.ask("GET", BOOK + "0000.vcf")):
        assert (answer.status, answer.error) == (503, "")
