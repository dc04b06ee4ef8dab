"""History and undo at the edge: the API and the plain pages, through the whole application."""

from __future__ import annotations

import re
from hashlib import sha256
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from safehold.model.commands import Body, PutItem
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.service.notices import notices_of
from safehold.web.layout import HEADERS
from tests.support.asgi import DavGate
from tests.support.edge import Answer, Edge

ANNA, BOB = ("anna", "secret"), ("bob", "secret")
HOST = "pim.example:8460"
ORIGIN = f"http://{HOST}"
BOOK = "contacts/default"
HOUR = 3600


def account(edge: Edge, name: str = "anna") -> Account:
    found = edge.gate.reads.account_named(name)
    assert found is not None
    return found


def card(uid: str, note: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:Dr. {uid}\\, <b>\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def put(edge: Edge, uid: str, note: str = "", user: tuple[str, str] = ANNA) -> None:
    answer = edge.ask(
        "PUT", f"/dav/{user[0]}/{BOOK}/{uid}.vcf", card(uid, note), user=user, headers={"content-type": "text/vcard"}
    )
    assert answer.status in (201, 204), answer.text


def remove(edge: Edge, path: str) -> None:
    assert edge.ask("DELETE", f"/dav/anna/{path}", user=ANNA).status == 204


def get(edge: Edge, path: str, user: tuple[str, str] | None = ANNA) -> Answer:
    return edge.ask("GET", path, user=user)


def api(edge: Edge, path: str, user: tuple[str, str] = ANNA) -> Any:
    answer = get(edge, "/api/v1/" + path, user)
    assert answer.status == 200, answer.text
    return answer.json


def undo(edge: Edge, body: dict[str, Any], query: str = "", **options: Any) -> Answer:
    return edge.ask("POST", f"/api/v1/undo{query}", json_body=body, user=options.pop("user", ANNA), **options)


def living(edge: Edge) -> dict[str, bytes]:
    reads = edge.gate.reads
    collection = reads.collection(account(edge).number, BOOK)
    assert collection is not None
    return {item.name: reads.body(item).inline or b"" for item in reads.items(collection)}


# -- the API ---------------------------------------------------------------------------------------------------


def test_the_history_comes_in_pages_and_with_bodies(edge: Edge) -> None:
    put(edge, "ann", "one")
    put(edge, "ann", "two")
    put(edge, "bea")
    remove(edge, f"{BOOK}/ann.vcf")
    page = api(edge, f"history?collection={BOOK}&limit=2")
    assert [(c["op"], c["name"]) for c in page["history"]] == [("delete", "ann.vcf"), ("put", "bea.vcf")]
    rest = api(edge, f"history?collection={BOOK}&before={page['next']}")
    assert [(c["op"], c["name"]) for c in rest["history"]] == [
        ("put", "ann.vcf"),
        ("put", "ann.vcf"),
        ("mkcol", ""),
    ]
    assert rest["next"] is None
    one = api(edge, f"history?collection={BOOK}&name=ann.vcf")["history"]
    assert [c["op"] for c in one] == ["delete", "put", "put"]
    body = get(edge, f"/api/v1/history/{one[2]['change']}")
    assert (body.status, body.body) == (200, card("ann", "one"))
    assert sha256(body.body).hexdigest() == one[2]["digest"]
    assert "sandbox" in body.headers["content-security-policy"]
    assert body.headers["x-content-type-options"] == "nosniff"
    assert get(edge, f"/api/v1/history/{one[0]['change']}").status == 404


def test_pages_of_all_kinds_together_miss_and_double_nothing(edge: Edge) -> None:
    for n in range(7):
        put(edge, f"c{n}")
        edge.ask("POST", "/api/v1/scores/chess", json_body={"score": n}, user=ANNA)
        edge.gate.clock.advance(1)
    whole = [c["change"] for c in api(edge, "history?limit=1000")["history"]]
    assert len(set(whole)) == len(whole)
    found: list[str] = []
    before = ""
    while before is not None:
        page = api(edge, f"history?limit=3{f'&before={before}' if before else ''}")
        found += [c["change"] for c in page["history"]]
        before = page["next"]
    assert found == whole
    assert not any(change.startswith("identity") for change in whole)


@pytest.mark.parametrize(
    "path",
    [
        "history?kind=identity",
        "history?kind=x",
        "history?limit=0",
        "history?before=x",
        "history?name=a",
        "history/identity:1",
        "history/contacts",
        "history/contacts:1,notes:1",
    ],
)
def test_what_cannot_be_asked_of_the_history(edge: Edge, path: str) -> None:
    assert get(edge, f"/api/v1/{path}").status == 400


def test_a_dry_run_says_by_name_and_count_and_changes_nothing(edge: Edge) -> None:
    put(edge, "kept")
    put(edge, "changed", "old")
    put(edge, "deleted")
    to = api(edge, "history?limit=1")["history"][0]["change"]
    put(edge, "changed", "new")
    put(edge, "added")
    remove(edge, f"{BOOK}/deleted.vcf")
    before = living(edge)
    answer = undo(edge, {"to": to, "collection": BOOK}, "?dry_run")
    assert answer.status == 200
    assert answer.json == {
        "to": to,
        "dry_run": True,
        "added": [f"{BOOK}/deleted.vcf"],
        "changed": [f"{BOOK}/changed.vcf"],
        "removed": [f"{BOOK}/added.vcf"],
        "left": [],
        "counts": {"added": 1, "changed": 1, "removed": 1, "left": 0},
        "before": None,
    }
    assert living(edge) == before
    done = undo(edge, {"to": to, "collection": BOOK}, "?dry_run=false").json
    assert living(edge) == {
        "kept.vcf": card("kept"),
        "changed.vcf": card("changed", "old"),
        "deleted.vcf": card("deleted"),
    }
    again = undo(edge, {"to": done["before"]}).json
    assert living(edge) == before
    undo(edge, {"to": again["before"]})
    assert "deleted.vcf" in living(edge)


def test_only_what_was_deleted_comes_back(edge: Edge) -> None:
    put(edge, "a", "old")
    put(edge, "b")
    to = api(edge, "history?limit=1")["history"][0]["change"]
    put(edge, "a", "new")
    remove(edge, f"{BOOK}/b.vcf")
    answer = undo(edge, {"to": to, "collection": BOOK, "deleted": True})
    assert answer.json["counts"] == {"added": 1, "changed": 0, "removed": 0, "left": 0}
    assert living(edge) == {"a.vcf": card("a", "new"), "b.vcf": card("b")}


def test_a_removed_collection_is_found_and_comes_back_under_its_name(edge: Edge) -> None:
    put(edge, "a")
    remove(edge, BOOK)
    assert edge.ask("PROPFIND", f"/dav/anna/{BOOK}/", user=ANNA, headers={"depth": "0"}).status == 404
    (removed,) = api(edge, "collections")["removed"]
    assert (removed["collection"], removed["kind"]) == (BOOK, "contacts")
    answer = undo(edge, {"to": removed["to"], "collection": BOOK})
    assert answer.json["added"] == [f"{BOOK}/", f"{BOOK}/a.vcf"]
    assert living(edge) == {"a.vcf": card("a")}
    assert api(edge, f"history?collection={BOOK}")["history"][-1]["op"] == "mkcol"


def test_a_great_share_asks_for_confirmation(edge: Edge) -> None:
    to = api(edge, f"history?collection={BOOK}")["history"][0]["change"]
    for n in range(20):
        put(edge, f"c{n:02d}")
    refused = undo(edge, {"to": to, "collection": BOOK})
    assert (refused.status, len(living(edge))) == (409, 20)
    assert "20 of 20" in refused.json["detail"]
    assert undo(edge, {"to": to, "collection": BOOK, "confirm": True}).status == 200
    assert living(edge) == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"to": "yesterday"}, 400),
        ({"to": "2999-01-01T00:00:00Z"}, 400),
        ({"to": "identity:1"}, 400),
        ({"to": "contacts:1", "kind": "contacts", "collection": BOOK}, 400),
        ({"to": "contacts:1", "name": "a.vcf"}, 400),
        ({"to": "contacts:1", "kind": "identity"}, 400),
        ({"to": "contacts:1", "more": 1}, 400),
        ({"to": "contacts:1", "collection": "contacts/none"}, 404),
    ],
)
def test_what_an_undo_refuses(edge: Edge, body: dict[str, Any], status: int) -> None:
    for query in ("", "?dry_run"):
        assert undo(edge, body, query).status == status


def test_what_is_held_is_refused_and_says_so(edge: Edge, gate: DavGate) -> None:
    put(edge, "a")
    gate.hold(account(edge), Kind.CONTACTS, "revisions 2 to 3 are in no vault")
    for query in ("", "?dry_run"):
        for body in ({"to": "contacts:1"}, {"to": "contacts:1", "collection": BOOK}):
            answer = undo(edge, body, query)
            assert answer.status == 503
            assert "revisions 2 to 3" in answer.json["detail"]
    assert get(edge, "/api/v1/history?kind=contacts").status == 503
    assert list(api(edge, "history")["held"]) == ["contacts"]
    assert list(api(edge, "collections")["held"]) == ["contacts"]


def test_nobody_sees_or_undoes_anothers(edge: Edge) -> None:
    put(edge, "a")
    put(edge, "mine", user=BOB)
    changes = api(edge, "history", BOB)["history"]
    assert [c["name"] for c in changes if c["op"] == "put"] == ["mine.vcf"]
    assert get(edge, "/api/v1/history/contacts:2", BOB).body == card("mine")
    undo(edge, {"to": "contacts:1"}, user=BOB)
    assert list(living(edge)) == ["a.vcf"]
    for path in ("/api/v1/history", "/api/v1/collections", "/api/v1/history/contacts:2", "/history", "/undo"):
        assert get(edge, path, None).status == 401
    assert undo(edge, {"to": "contacts:1"}, user=None).status == 401


def test_another_sites_page_cannot_undo(edge: Edge) -> None:
    put(edge, "a")
    answer = undo(edge, {"to": "contacts:1"}, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status, list(living(edge))) == (403, ["a.vcf"])


def test_devices_are_told_of_an_undo_as_of_any_change(edge: Edge) -> None:
    """Their tokens stay valid, and what comes back is a plain change (law 2)."""
    put(edge, "a")
    put(edge, "b")
    token = sync(edge, "")[0]
    remove(edge, f"{BOOK}/a.vcf")
    gone_token, gone = sync(edge, token)
    assert gone == {"a.vcf": 404}
    undo(edge, {"to": "contacts:3", "collection": BOOK})
    assert sync(edge, gone_token)[1] == {"a.vcf": 200}
    assert sync(edge, token)[1] == {"a.vcf": 200}


def sync(edge: Edge, token: str) -> tuple[str, dict[str, int]]:
    body = (
        '<d:sync-collection xmlns:d="DAV:"><d:sync-token>' + token + "</d:sync-token><d:sync-level>1</d:sync-level>"
        "<d:prop><d:getetag/></d:prop></d:sync-collection>"
    )
    answer = edge.ask("REPORT", f"/dav/anna/{BOOK}/", body.encode(), user=ANNA, headers={"content-type": "text/xml"})
    assert answer.status == 207, answer.text
    found = {}
    for response in re.findall(r"<[\w:]*response>.*?</[\w:]*response>", answer.text, re.DOTALL):
        href = re.search(r"<[\w:]*href>[^<]*/([^</]+)</", response)
        status = re.search(r"HTTP/1.1 (\d+)", response)
        assert href is not None and status is not None
        found[href[1]] = int(status[1])
    new = re.search(r"<[\w:]*sync-token>([^<]+)</", answer.text)
    assert new is not None
    return new[1], found


# -- the pages -------------------------------------------------------------------------------------------------


def form_of(page: Answer) -> dict[str, str]:
    """The hidden fields of the one POST form."""
    (form,) = re.findall(r'<form method="post" action="/undo">(.*?)</form>', page.text)
    return {unescape(n): unescape(v) for n, v in re.findall(r'name="([^"]*)" value="([^"]*)"', form)}


def post(edge: Edge, fields: dict[str, str], **headers: str) -> Answer:
    sent = {"content-type": "application/x-www-form-urlencoded", "origin": ORIGIN} | headers
    return edge.ask("POST", "/undo", urlencode(fields).encode(), user=ANNA, headers=sent)


def test_the_history_page_tells_names_and_nothing_runs_in_it(edge: Edge) -> None:
    put(edge, "ann")
    page = get(edge, "/history")
    assert page.status == 200
    assert "Dr. ann, &lt;b&gt;" in page.text and "<b>" not in page.text
    assert "<script" not in page.text
    assert page.headers["content-security-policy"] != HEADERS["content-security-policy"]
    assert "'self'" in page.headers["content-security-policy"]
    (link,) = re.findall(r'href="(/history/body[^"]*)"', page.text)
    assert get(edge, unescape(link)).body == card("ann")


def test_long_histories_go_on(edge: Edge) -> None:
    for n in range(60):
        put(edge, f"c{n:02d}")
    page = get(edge, "/history?kind=contacts")
    (more,) = re.findall(r'href="([^"]*)">Earlier', page.text)
    rest = get(edge, unescape(more))
    assert len(re.findall("what was in it", page.text + rest.text)) == 60
    assert "Earlier" not in rest.text


def test_a_person_looks_confirms_and_takes_it_back(edge: Edge) -> None:
    put(edge, "a")
    edge.gate.clock.advance(120)
    when = "2026-01-01T00:01"
    remove(edge, f"{BOOK}/a.vcf")
    put(edge, "b")
    choice = get(edge, "/undo")
    assert f"<option>{BOOK}</option>" in choice.text
    shown = get(edge, f"/undo?to={when}&collection={quote(BOOK)}")
    assert "Nothing has been changed yet" in shown.text
    assert "Dr. a, " in shown.text and "Dr. b, " in shown.text
    assert list(living(edge)) == ["b.vcf"]
    answer = post(edge, form_of(shown))
    assert answer.status == 303
    assert list(living(edge)) == ["a.vcf"]
    told = get(edge, answer.headers["location"])
    assert "Your devices follow" in told.text
    (back,) = re.findall(r'href="(/undo\?[^"]*to=contacts[^"]*)"', told.text)
    again = get(edge, unescape(back))
    post(edge, form_of(again))
    assert list(living(edge)) == ["b.vcf"]


def test_pressing_twice_does_it_once(edge: Edge) -> None:
    put(edge, "a")
    shown = form_of(get(edge, "/undo?to=contacts:1&kind=contacts"))
    post(edge, shown)
    answer = post(edge, shown)
    assert answer.status == 303
    assert "It was so already" in get(edge, answer.headers["location"]).text


def test_the_notice_of_a_mass_delete_leads_to_all_of_it(edge: Edge) -> None:
    for n in range(40):
        put(edge, f"c{n:02d}")
    edge.gate.clock.advance(2 * HOUR)
    for n in range(40):
        remove(edge, f"{BOOK}/c{n:02d}.vcf")
    (notice,) = notices_of(edge.gate.reads, account(edge))
    query = urlencode({"collection": notice.collection, "to": notice.facts["point"], "deleted": 1, "below": 1})
    shown = get(edge, f"/undo?{query}")
    assert "Comes back: 40" in shown.text
    assert post(edge, form_of(shown)).status == 303
    assert len(living(edge)) == 40


def test_one_click_on_ones_own_page_brings_all_of_it_back(edge: Edge) -> None:
    for n in range(20):
        put(edge, f"c{n:02d}")
    edge.gate.clock.advance(2 * HOUR)
    for n in range(20):
        remove(edge, f"{BOOK}/c{n:02d}.vcf")
    put(edge, "new")
    state = get(edge, "/account/state")
    assert "Bring all of it back" in state.text
    assert post(edge, form_of(state)).status == 303
    assert len(living(edge)) == 21


def test_what_was_deleted_is_called_by_its_name(edge: Edge) -> None:
    put(edge, "ann")
    put(edge, "bea")
    remove(edge, f"{BOOK}/ann.vcf")
    assert "Dr. ann, &lt;b&gt;: deleted" in get(edge, "/history").text


def test_the_pages_speak_spanish(edge: Edge) -> None:
    put(edge, "ann")
    for path, said in (("/history", "Historial"), ("/undo", "Como estaba"), ("/undo?to=contacts:1", "Se va: 1")):
        page = edge.ask("GET", path, user=ANNA, headers={"accept-language": "es"})
        assert said in page.text and 'lang="es"' in page.text


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"token": "0" * 32}, {}),
        ({}, {"origin": "https://evil.example"}),
        ({}, {"sec-fetch-site": "cross-site"}),
        ({}, {"origin": "null"}),
    ],
)
def test_no_other_page_can_make_the_form_act(edge: Edge, change: dict[str, str], headers: dict[str, str]) -> None:
    put(edge, "a")
    fields = form_of(get(edge, "/undo?to=contacts:1&kind=contacts"))
    assert post(edge, fields | change, **headers).status == 403
    assert list(living(edge)) == ["a.vcf"]


def test_a_form_of_another_account_does_not_count(edge: Edge) -> None:
    put(edge, "a")
    put(edge, "b", user=BOB)
    page = get(edge, "/undo?to=contacts:1&kind=contacts", BOB)
    assert post(edge, form_of(page)).status == 403


@pytest.mark.parametrize(
    "path", ["/undo?to=x", "/undo?to=contacts:1&kind=x", "/history?kind=x", "/history/body?change=x"]
)
def test_what_the_pages_cannot_show_is_said(edge: Edge, path: str) -> None:
    answer = get(edge, path)
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("text/html")


def test_a_held_kind_is_shown_as_held(edge: Edge, gate: DavGate) -> None:
    put(edge, "a")
    gate.hold(account(edge), Kind.CONTACTS, "not recovered yet")
    assert "being restored" in get(edge, "/history").text
    answer = get(edge, "/undo?to=contacts:1")
    assert answer.status == 503
    assert "Nothing has been deleted" in answer.text


def test_what_lies_in_a_file_cannot_act_as_this_site(edge: Edge) -> None:
    data = b"<script>alert(1)</script>"
    edge.gate.engine.execute(
        PutItem(
            account=account(edge).id,
            path="files/notes",
            name="a.html",
            body=Body(sha256(data).digest(), len(data), inline=data),
            media="text/html",
        )
    )
    (change,) = [c["change"] for c in api(edge, "history?kind=notes")["history"] if c["op"] == "put"]
    answer = get(edge, f"/history/body?change={change}")
    assert answer.body == data
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"] == "attachment"
