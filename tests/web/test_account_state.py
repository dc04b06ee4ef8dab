"""An account's own page, API and feed: how the data stands, what to do, and that nobody else can say it is done."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from safehold.formats.doubt import Doubt
from safehold.formats.doubt import encode as encode_doubt
from safehold.model.commands import AddAppPassword, TellNotice
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.token import SyncPoint, account_key, make_token, parse_token
from safehold.ports.core import NOT_YET
from safehold.recovery.after import AccountPart, AfterReport
from safehold.recovery.report import KindCount, Loss
from safehold.service.addresses import Address, address_of
from safehold.service.ahead import ACCEPT, KEEP
from safehold.service.auth import app_password_digest
from safehold.service.notices import INTAKE_DROPPED, MASS_DELETE, RESTORED, notices_of
from safehold.web.app import make_app
from tests.support.asgi import DavGate, Device, tag_of, vcard
from tests.support.edge import Answer, Edge
from tests.web.test_pages import STATUS
from tests.web.test_pages import read as read_page
from tests.web.test_status import ATOM, RECOVERY

ANNA, BOB = ("anna", "secret"), ("bob", "secret")
ORIGIN = "http://pim.example:8460"
BOOK = "/dav/anna/contacts/default/"
APP = "abcde-abcde-abcde-abcde"


@pytest.fixture
def gate(tmp_path: Path) -> DavGate:
    gate = DavGate(tmp_path)
    gate.add_account("anna")
    gate.add_account("bob")
    gate.state = dict(STATUS)
    return gate


@pytest.fixture
def edge(gate: DavGate) -> Iterator[Edge]:
    edge = Edge(gate, make_app(gate))
    yield edge
    edge.close()


@pytest.fixture
def anna(gate: DavGate) -> Account:
    found = gate.reads.account_named("anna")
    assert found is not None
    return found


def read(answer: Answer) -> Any:
    assert answer.status == 200, answer.text
    answer.headers["content-security-policy"] = answer.headers["content-security-policy"].replace(
        "form-action 'self'", "form-action 'none'"
    )
    return read_page(answer._replace(body=answer.body.replace(ORIGIN.encode(), b"")))


def show(edge: Edge, lang: str = "en") -> str:
    return str(read(edge.ask("GET", f"/account/state?lang={lang}", user=ANNA)).text)


def api(edge: Edge, lang: str = "en") -> dict[str, Any]:
    answer = edge.ask("GET", f"/api/v1/state?lang={lang}", user=ANNA)
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


def tell(gate: DavGate, anna: Account, what: str, **more: Any) -> str:
    return gate.engine.execute(TellNotice(account=anna.id, what=what, **more)).name


def forms(edge: Edge, action: str) -> list[dict[str, str]]:
    page = edge.ask("GET", "/account/state", user=ANNA).text
    found = []
    for form in re.findall(rf'<form method="post" action="{action}">(.*?)</form>', page, re.S):
        found.append(dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)))
    return found


def post(edge: Edge, target: str, fields: dict[str, str], user: tuple[str, str] = ANNA, **headers: str) -> Answer:
    sent = {"content-type": "application/x-www-form-urlencoded", "origin": ORIGIN, "sec-fetch-site": "same-origin"}
    return edge.ask("POST", target, urlencode(fields).encode(), user=user, headers=sent | headers)


# -- how it stands ---------------------------------------------------------------------------------------------


def test_all_is_well_and_said_so_in_both_languages(edge: Edge, anna: Account) -> None:
    assert "All of your data is here" in show(edge)
    spanish = show(edge, "es")
    assert "Todos tus datos están aquí" in spanish and "Contactos todo aquí 0" in spanish
    told = api(edge)
    assert (told["state"], told["steps"], told["notices"], told["report"]) == ("whole", [], [], None)
    assert {kind["state"] for kind in told["kinds"]} == {"whole"}


def test_it_is_for_who_has_signed_in(edge: Edge) -> None:
    for target in ("/account/state", "/api/v1/state"):
        assert edge.ask("GET", target).status == 401
        assert edge.ask("GET", target, user=("anna", "wrong")).status == 401


def test_what_comes_back_is_told_with_progress_and_forecast(edge: Edge, gate: DavGate, anna: Account) -> None:
    gate.state = STATUS | {"recovery": RECOVERY}
    gate.hold(anna, Kind.CONTACTS, NOT_YET)
    text = show(edge)
    assert "Your data is coming back." in text
    assert "Contacts being restored" in text
    assert "Contacts being restored 0" not in text, "never as empty"
    assert "in about 1.6 min" in text
    assert "Do not reset your devices" in text
    told = api(edge)
    assert told["state"] == "restoring"
    contacts = told["kinds"][0]
    assert (contacts["items"], contacts["back"]) == (None, [300, 1200])
    assert "named" not in str(told["recovery"].get("who")), "only what is public of the recovery"
    assert "No restablezcas tus dispositivos" in " ".join(api(edge, "es")["steps"])


def report(*, lost: list[Loss], kinds: dict[Kind, KindCount], name: str = "anna") -> AfterReport:
    return AfterReport(
        version=1,
        at=1_795_000_000_000_000,
        how="run",
        timeline=4,
        verified=True,
        accounts=2,
        exact_accounts=1,
        streams=14,
        changes_expected=10,
        changes_recovered=9,
        items={},
        affected=[AccountPart(name, "00" * 16, kinds, lost)],
        truncated=False,
        unknown_seconds=3.0,
        seconds=1.0,
        first_contact_seconds=1.0,
        stages=[],
        generation=0,
        sources=[],
        accepted=[],
        notes=[],
    )


def test_what_is_missing_is_named(edge: Edge, gate: DavGate, anna: Account) -> None:
    gate.hold(anna, Kind.CONTACTS, "revisions 3 of contacts are in no vault")
    assert "revisions 3 of contacts are in no vault" in show(edge), "as far as anybody knows"
    lost = [Loss("anna", Kind.CONTACTS, "contacts/default", "<b>.vcf", [3]), Loss("anna", Kind.NOTES, None, None, [7])]
    gate.after_report = report(lost=lost, kinds={Kind.CONTACTS: KindCount(5, 3, 1, 1)})
    text = show(edge)
    assert "Contacts: Missing contacts/default/<b>.vcf" in text
    assert "On 2026-11-18 this service recovered its data. Not all of yours came back as it was:" in text
    assert "Contacts 3 1 1" in text
    assert "an item that nobody can name" in text
    told = api(edge)
    assert told["state"] == "partial"
    assert told["kinds"][0]["missing"] == [{"collection": "contacts/default", "name": "<b>.vcf", "revs": [3]}]
    assert (told["report"]["exact"], told["report"]["lost_count"]) == (False, 2)
    assert "Falta una parte de: Contactos." in show(edge, "es")


def test_who_lost_nothing_reads_that_all_came_back(edge: Edge, gate: DavGate) -> None:
    gate.after_report = report(lost=[Loss("bob", Kind.NOTES, None, "x", [7])], kinds={}, name="bob")
    assert "All of yours came back exactly." in show(edge)
    assert api(edge)["report"]["exact"] is True


# -- notices ---------------------------------------------------------------------------------------------------


def test_a_mass_delete_is_told_with_the_way_back(edge: Edge, gate: DavGate, anna: Account) -> None:
    facts: dict[str, Any] = {"before": 1_795_000_000_000_000, "device": "DAVx5 <x>"}
    tell(
        gate, anna, MASS_DELETE, kind="contacts", collection="contacts/default", names=("a.vcf",), count=40, facts=facts
    )
    answer = edge.ask("GET", "/account/state", user=ANNA)
    text = read(answer).text
    assert "40 items were deleted from Contacts at once by DAVx5 <x>." in text
    assert "It is about: a.vcf." in text
    [notice] = api(edge)["notices"]
    assert notice["undo"].startswith("/undo?to=2026-11-18T11%3A06%3A40Z&collection=contacts%2Fdefault")
    assert notice["undo"].replace("&", "&amp;") in answer.text
    assert "DAVx5 <x> ha borrado 40 elementos de Contacts de golpe" in show(edge, "es")


def test_by_a_point_where_there_is_one(edge: Edge, gate: DavGate, anna: Account) -> None:
    tell(gate, anna, MASS_DELETE, collection="contacts/default", facts={"before": 7, "point": "contacts:12"})
    assert "to=contacts%3A12&" in api(edge)["notices"][0]["undo"]


def test_a_notice_is_put_away_with_one_click_and_for_good(edge: Edge, gate: DavGate, anna: Account) -> None:
    tell(gate, anna, INTAKE_DROPPED, collection="contacts/default", names=("a.vcf",))
    tell(gate, anna, RESTORED, facts={"exact": 10, "older": 1, "lost": 2, "unknown_seconds": 3.0})
    assert "10 items exactly, 1 in an older state, 2 lost." in show(edge)
    first = forms(edge, "/account/notices")[0]
    answer = post(edge, "/account/notices", first)
    assert (answer.status, answer.headers["location"]) == (303, "/account/state")
    assert [notice.what for notice in notices_of(gate.reads, anna)] == [INTAKE_DROPPED]
    assert post(edge, "/account/notices", first).status == 303, "pressed twice"
    assert "10 items exactly" not in show(edge)


def test_what_has_no_words_is_told_all_the_same(edge: Edge, gate: DavGate, anna: Account) -> None:
    tell(gate, anna, "odd-thing")
    assert "Something happened to your data: odd-thing." in show(edge)


@pytest.mark.parametrize("target", ["/account/notices", "/account/ahead", "/account/mail"])
def test_only_the_owner_by_a_form_of_this_server(edge: Edge, gate: DavGate, anna: Account, target: str) -> None:
    digest = app_password_digest(APP)
    assert digest is not None
    gate.engine.execute(AddAppPassword(account=anna.id, label="phone", sha256=digest))
    tell(gate, anna, RESTORED)
    good = forms(edge, "/account/notices")[0] | {
        "word": "accept",
        "path": "contacts/default",
        "address": "evil@example.org",
    }
    rev = gate.reads.head(anna.number, Kind.IDENTITY).rev

    def refused(answer: Answer, *statuses: int) -> None:
        assert answer.status in statuses

    refused(post(edge, target, good, origin="https://evil.example", **{"sec-fetch-site": "cross-site"}), 403)
    refused(post(edge, target, good | {"token": "0" * 32}), 403)
    refused(post(edge, target, good, user=BOB), 403)
    refused(post(edge, target, good, user=("anna", "wrong")), 401)
    refused(post(edge, target, good, user=("anna", APP)), 401)
    refused(edge.ask("GET", target, user=ANNA), 405)
    assert notices_of(gate.reads, anna) and address_of(gate.reads, anna) is None
    changes = [c for _, _, c in gate.reads.changes() if c.account == anna.id and c.kind is Kind.IDENTITY]
    assert [c.name for c in changes if c.rev > rev] in ([], ["used/phone"])


# -- mail ------------------------------------------------------------------------------------------------------


def test_an_address_is_left_and_taken_back_on_the_page(edge: Edge, gate: DavGate, anna: Account) -> None:
    [form] = forms(edge, "/account/mail")
    assert post(edge, "/account/mail", form | {"address": "ada@example.org", "lang": "es"}).status == 303
    assert address_of(gate.reads, anna) == Address("ada@example.org", "es")
    assert "We write to ada@example.org" in show(edge)
    assert post(edge, "/account/mail", form | {"address": "a\r\nBcc: x@x.org"}).status == 400
    assert post(edge, "/account/mail", form | {"address": ""}).status == 303
    assert address_of(gate.reads, anna) is None


# -- the feed --------------------------------------------------------------------------------------------------


def feed_path(edge: Edge) -> str:
    page = edge.ask("GET", "/account/state", user=ANNA).text
    found = re.search(rf"{re.escape(ORIGIN)}(/feed/[0-9a-f]+/[0-9a-f]+)", page)
    assert found is not None
    return found[1]


def test_the_feed_tells_how_it_stands_and_names_nothing(edge: Edge, gate: DavGate, anna: Account) -> None:
    facts: dict[str, Any] = {"before": 7, "device": "Geheimgerät"}
    tell(gate, anna, MASS_DELETE, collection="contacts/geheim", names=("geheim.vcf",), count=40, facts=facts)
    gate.hold(anna, Kind.NOTES, NOT_YET)
    gate.state = STATUS | {"recovery": RECOVERY}
    answer = edge.ask("GET", feed_path(edge))
    assert answer.headers["content-type"].startswith("application/atom+xml")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "eheim" not in answer.text and "anna" not in answer.text
    root = ET.fromstring(answer.body)
    titles = [entry.findtext(ATOM + "title") for entry in root.findall(ATOM + "entry")]
    assert titles[0] == "Your data is coming back. What is not here yet is not lost."
    assert titles[1] is not None and titles[1].startswith("40 items were deleted from your data at once by a device.")
    assert "Notes: being restored" in answer.text
    spanish = edge.ask("GET", feed_path(edge) + "?lang=es").text
    assert "Notas: volviendo" in spanish


def test_a_link_is_one_accounts_and_a_new_password_makes_a_new_one(edge: Edge, gate: DavGate, anna: Account) -> None:
    link = feed_path(edge)
    bob = gate.reads.account_named("bob")
    assert bob is not None
    account, secret = link.split("/")[2:]
    for other in (
        f"/feed/{bob.id.hex()}/{secret}",
        f"/feed/{account}/{'0' * 32}",
        f"/feed/{account}/{secret[:-1]}",
        f"/feed/{'00' * 16}/{secret}",
        f"/feed/zz/{secret}",
        f"/feed/{account}/%C3%A9",
    ):
        assert edge.ask("GET", other).status == 404
    assert edge.ask("GET", link).status == 200
    gate.set_password(anna, "another")
    assert edge.ask("GET", link).status == 404


def test_while_accounts_come_back_no_feed_is_told_to_be_gone(edge: Edge, gate: DavGate) -> None:
    gate.state = STATUS | {"recovery": RECOVERY}
    assert edge.ask("GET", f"/feed/{'07' * 16}/{'0' * 32}").status == 503


# -- a device that is ahead ------------------------------------------------------------------------------------


@pytest.fixture
def phone(gate: DavGate, edge: Edge) -> Device:
    return Device(gate)


def ahead_of(phone: Device, anna: Account, revs: int = 5) -> tuple[str, SyncPoint]:
    """A token of a state that the server has lost: so many revs beyond what there is."""
    key = account_key(phone.gate.token_key, anna.id)
    point = parse_token(key, phone.sync(BOOK).token)
    beyond = SyncPoint(point.collection, point.rev + revs, b"lost since then.")
    return make_token(key, *beyond), beyond


def test_the_page_says_how_much_newer_a_device_is_and_what_to_do(edge: Edge, phone: Device, anna: Account) -> None:
    token, point = ahead_of(phone, anna, 3)
    assert phone.sync(BOOK, token, agent="DAVx5/4.4").status == 503
    text = show(edge)
    assert "“DAVx5/4.4” has up to 3 newer changes in Contacts. Do not reset it." in text
    assert "First export Contacts on that device to a file" in text
    assert "Keep what the device has" in text and "I accept that these are lost" in text
    told = api(edge)
    assert told["state"] == "ahead"
    [device] = told["devices_ahead"]
    assert (device["device"], device["newer_changes"]) == ("DAVx5/4.4", 3)
    assert "«DAVx5/4.4» tiene hasta 3 cambios más nuevos" in show(edge, "es")
    key = account_key(phone.gate.token_key, anna.id)
    off = make_token(key, point.collection, point.rev - 3, b"another history.")
    phone.sync(BOOK, off, agent="khal")
    assert "“khal” has newer data in Contacts; how much cannot be told from here." in show(edge)
    assert "Contacts is not listed to any device" in show(edge)


def say(edge: Edge, word: str) -> None:
    form = next(form for form in forms(edge, "/account/ahead") if form["word"] == word)
    assert post(edge, "/account/ahead", form).status == 303


def test_keep_tells_all_that_lives_and_no_delete_and_the_device_goes_on(
    edge: Edge, gate: DavGate, phone: Device, anna: Account
) -> None:
    assert phone.put(BOOK + "here.vcf", vcard("here")).status == 201
    assert phone.put(BOOK + "gone.vcf", vcard("gone")).status == 201
    assert phone.ask("DELETE", BOOK + "gone.vcf").status == 204
    token, point = ahead_of(phone, anna)
    assert phone.sync(BOOK, token).status == 503
    say(edge, KEEP)
    assert api(edge)["devices_ahead"] == []
    answer = phone.sync(BOOK, token)
    assert answer.status == 207
    assert [(r["href"], r["status"]) for r in answer.listed] == [(BOOK + "here.vcf", None)], "no delete is told"
    assert phone.put(BOOK + "new.vcf", vcard("new")).status == 201
    news = phone.sync(BOOK, answer.token)
    assert news.status == 207 and [r["href"] for r in news.listed] == [BOOK + "new.vcf"]
    other = SyncPoint(point.collection, point.rev + 1, point.hash)
    key = account_key(gate.token_key, anna.id)
    assert phone.sync(BOOK, make_token(key, *other)).status == 503, "another state has not been spoken of"


def test_keep_with_bodies_is_the_same(edge: Edge, phone: Device, anna: Account) -> None:
    body = vcard("here")
    phone.put(BOOK + "here.vcf", body)
    token, _ = ahead_of(phone, anna)
    prop = "<D:getetag/><A:address-data/>"
    assert phone.sync(BOOK, token, prop=prop).status == 503
    say(edge, KEEP)
    answer = phone.sync(BOOK, token, prop=prop)
    assert answer.status == 207
    assert answer.text(BOOK + "here.vcf", "D:getetag") == tag_of(body)


def test_accept_makes_the_device_begin_anew(edge: Edge, phone: Device, anna: Account) -> None:
    token, _ = ahead_of(phone, anna)
    assert phone.sync(BOOK, token).status == 503
    say(edge, ACCEPT)
    answer = phone.sync(BOOK, token)
    assert (answer.status, answer.error) == (403, "D:valid-sync-token")
    assert phone.sync(BOOK, token, agent="Thunderbird/140").status == 400
    assert phone.sync(BOOK).status == 207


def test_no_word_lets_what_is_held_be_read(edge: Edge, gate: DavGate, phone: Device, anna: Account) -> None:
    token, _ = ahead_of(phone, anna)
    phone.sync(BOOK, token)
    say(edge, ACCEPT)
    gate.hold(anna, Kind.CONTACTS, NOT_YET)
    assert phone.sync(BOOK, token).status == 503


def test_of_a_collection_that_was_lost_with_its_making_only_its_loss_can_be_accepted(
    edge: Edge, phone: Device, anna: Account
) -> None:
    key = account_key(phone.gate.token_key, anna.id)
    lost = make_token(key, b"made and lost ..", 9, b"x" * 16)
    assert phone.sync("/dav/anna/contacts/lost/", lost).status == 503
    [device] = api(edge)["devices_ahead"]
    assert device["there"] is False
    [form] = forms(edge, "/account/ahead")
    assert form["word"] == ACCEPT
    assert "was lost with what is in it" in show(edge)
    assert post(edge, "/account/ahead", form | {"word": KEEP}).status == 409
    assert phone.sync("/dav/anna/contacts/lost/", lost).status == 503
    assert post(edge, "/account/ahead", form).status == 303
    assert phone.sync("/dav/anna/contacts/lost/", lost).status == 404


# -- what waits ------------------------------------------------------------------------------------------------


def test_what_waits_to_be_entered_is_counted(edge: Edge, gate: DavGate, phone: Device, anna: Account) -> None:
    gate.hold(anna, Kind.CONTACTS, NOT_YET)
    for name in ("a", "b"):
        assert phone.put(f"{BOOK}{name}.vcf", vcard(name)).status in (201, 202, 204)
    assert api(edge)["intake_waiting"] == 2
    assert "2 changes of your devices wait to be entered; they are kept safe until then." in show(edge)


def test_that_the_end_is_in_doubt_is_told_with_what_to_do(edge: Edge, gate: DavGate, anna: Account) -> None:
    assert api(edge)["end_in_doubt"] is None
    gate.core.begin()
    gate.core.set_end_in_doubt(encode_doubt(Doubt(1_795_000_000_000_000, 12.0, "7-abc")))
    gate.core.commit()
    told = api(edge)
    assert (told["state"], told["end_in_doubt"]["unknown_seconds"]) == ("doubt", 12.0)
    assert told["end_in_doubt"]["since"].startswith("2026-11-18T")
    assert any("Export on your devices" in step for step in told["steps"])
    assert "The last changes may be missing" in show(edge)
    assert "Pueden faltar" in show(edge, "es")
    fields = forms(edge, "/account/ahead")[0]
    assert post(edge, "/account/ahead", {**fields, "word": "keep"}).status == 409
    assert api(edge)["end_in_doubt"] is not None
    for _ in range(2):
        assert post(edge, "/account/ahead", fields).status == 303
    assert (api(edge)["state"], api(edge)["end_in_doubt"]) == ("whole", None)
