"""LOCK, UNLOCK and the If header at the edge: RFC 4918 sections 6, 7, 9.10, 9.11 and 10.4."""

from __future__ import annotations

import pytest

from safehold.model.commands import DeleteItem, PutItem, Undo
from safehold.model.kinds import Kind
from safehold.ports.vault import VaultDown
from safehold.protocol.locks import MAX_SECONDS
from safehold.service import locking
from tests.support.asgi import CARD, DECLARED, Answer, Device, q, tag_of, vcard

NOTES = "/dav/anna/files/notes/"
PHOTOS = "/dav/anna/files/photos/"
BOOK = "/dav/anna/contacts/default/"


def take(device: Device, path: str, *, scope: str = "exclusive", owner: str = "", **headers: str) -> Answer:
    body = (
        f"<D:lockinfo {DECLARED}><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>"
        f"{owner}</D:lockinfo>"
    )
    return device.ask("LOCK", path, body, headers)


def token_of(answer: Answer) -> str:
    assert answer.status in (200, 201), (answer.status, answer.body)
    header = answer.headers["lock-token"]
    assert header[0] + header[-1] == "<>"
    return header[1:-1]


def locked(device: Device, path: str, **more: str) -> str:
    """Lock it; the token."""
    return token_of(take(device, path, **more))


def put(device: Device, path: str, body: bytes = b"x", **headers: str) -> int:
    return device.ask("PUT", path, body, {k.replace("_", "-"): v for k, v in headers.items()}).status


def having(*tokens: str) -> dict[str, str]:
    """An If header that submits tokens, whichever resource they are of."""
    return {"If": "(Not <DAV:no-lock>)" + "".join(f"(<{token}>)" for token in tokens)}


def roots(device: Device, path: str) -> dict[str, str]:
    """The locks that lockdiscovery tells of, token to root."""
    (response,) = device.propfind(path, "D:lockdiscovery").listed
    return {
        active.findtext(f"{q('D:locktoken')}/{q('D:href')}"): active.findtext(f"{q('D:lockroot')}/{q('D:href')}")
        for active in response[200]["D:lockdiscovery"]
    }


def in_the_way(answer: Answer) -> str:
    """The locked resource that a 423 names."""
    assert (answer.status, answer.error) == (423, "D:lock-token-submitted"), (answer.status, answer.body)
    href: str = answer.xml.findtext(f"{q('D:lock-token-submitted')}/{q('D:href')}")
    return href


# -- taking, telling, ending ---------------------------------------------------------------------------------


def test_a_lock_is_given_told_of_and_ended(device: Device) -> None:
    put(device, NOTES + "a")
    owner = '<D:owner xmlns:x="urn:x"><x:me y="1">Anna &amp; Co</x:me></D:owner>'
    answer = take(device, NOTES + "a", owner=owner, Timeout="Second-120", Depth="0")
    assert answer.status == 200
    token = token_of(answer)
    assert answer.xml.tag == q("D:prop")
    (active,) = answer.xml.iter(q("D:activelock"))
    assert active.findtext(q("D:timeout")) == "Second-120"
    assert active.findtext(q("D:depth")) == "0"
    assert active.find(f"{q('D:lockscope')}/{q('D:exclusive')}") is not None
    assert active.findtext(f"{q('D:locktoken')}/{q('D:href')}") == token
    assert active.find(f"{q('D:owner')}/{{urn:x}}me").text == "Anna & Co"
    assert roots(device, NOTES + "a") == {token: NOTES + "a"}
    device.gate.clock.advance(20.5)
    (told,) = device.propfind(NOTES + "a", "D:lockdiscovery").listed
    assert told[200]["D:lockdiscovery"].findtext(f".//{q('D:timeout')}") == "Second-100"
    assert put(device, NOTES + "a") == 423
    assert device.ask("UNLOCK", NOTES + "a", b"", {"Lock-Token": f"<{token}>"}).status == 204
    assert roots(device, NOTES + "a") == {}
    assert put(device, NOTES + "a") == 204


def test_tokens_are_never_given_twice(device: Device) -> None:
    tokens = {locked(device, NOTES + f"a{n}", scope="shared") for n in range(50)}
    assert len(tokens) == 50
    assert all(len(token) <= 37 for token in tokens), "two entity tags and a token fit into 200 bytes"


def test_locks_are_of_files_and_folders_only(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"), CARD)
    for path, status in (
        (BOOK, 405),
        (BOOK + "a.vcf", 405),
        (BOOK + "new.vcf", 405),
        ("/dav/anna/calendars/", 405),
        ("/dav/anna/files/", 405),
        ("/dav/anna/", 405),
        ("/dav/", 405),
        ("/dav/anna/files/other/", 404),
        ("/dav/bob/files/notes/", 403),
    ):
        assert (path, take(device, path).status) == (path, status)
        answer = device.ask("UNLOCK", path, b"", {"Lock-Token": "<urn:x>"})
        assert (path, answer.status) == (path, status)
    for path, entries in ((BOOK, 0), (BOOK + "a.vcf", 0), (NOTES, 2)):
        (response,) = device.propfind(path, "D:supportedlock", "D:lockdiscovery").listed
        assert len(response[200]["D:supportedlock"]) == entries
        assert len(response[200]["D:lockdiscovery"]) == 0
    assert locked(device, NOTES)
    assert locked(device, PHOTOS, Depth="0")


def test_a_lock_where_nothing_is_makes_an_empty_file(device: Device) -> None:
    answer = take(device, NOTES + "new.html", Depth="0")
    assert answer.status == 201
    got = device.ask("GET", NOTES + "new.html")
    assert (got.status, got.body, got.headers["content-type"]) == (200, b"", "text/html")
    assert put(device, NOTES + "new.html") == 423
    assert put(device, NOTES + "new.html", **having(token_of(answer))) == 204
    assert device.ask("UNLOCK", NOTES + "new.html", b"", {"Lock-Token": answer.headers["lock-token"]}).status == 204
    assert device.ask("GET", NOTES + "new.html").body == b"x", "the file stays"
    assert take(device, NOTES + "no/folder").status == 409
    assert take(device, NOTES + "new.html/x").status == 409
    assert take(device, NOTES + "folder/").status == 404, "LOCK makes no folders"


def test_what_a_lock_request_must_say(device: Device) -> None:
    put(device, NOTES + "a")
    assert device.ask("LOCK", NOTES + "a").status == 400
    assert device.ask("LOCK", NOTES + "a", b"<x/>").status == 415
    assert device.ask("LOCK", NOTES + "a", b"<x").status == 400
    assert take(device, NOTES + "a", Depth="1").status == 400
    assert take(device, NOTES + "a", If="nonsense").status == 400
    assert take(device, NOTES + "a", If="(<DAV:no-lock>)").status == 412
    assert take(device, NOTES + "a", scope="other").status == 403
    for value in ({}, {"Lock-Token": "urn:x"}, {"Lock-Token": "<x>"}):
        assert device.ask("UNLOCK", NOTES + "a", b"", value).status == 400
    assert roots(device, NOTES + "a") == {}


def test_unlock_needs_the_token_of_a_lock_that_covers_the_resource(device: Device) -> None:
    put(device, NOTES + "a")
    put(device, NOTES + "b")
    token = locked(device, NOTES + "a")
    for path, wrong in ((NOTES + "b", token), (NOTES + "a", token + "x"), (NOTES + "none", token), (NOTES, token)):
        answer = device.ask("UNLOCK", path, b"", {"Lock-Token": f"<{wrong}>"})
        assert (answer.status, answer.error) == (409, "D:lock-token-matches-request-uri")
    device.ask("MKCOL", NOTES + "folder/")
    put(device, NOTES + "folder/a")
    deep = locked(device, NOTES + "folder/")
    assert device.ask("UNLOCK", NOTES + "folder/a", b"", {"Lock-Token": f"<{deep}>"}).status == 204
    assert put(device, NOTES + "folder/a") == 204, "the whole lock is ended"


def test_a_refresh_lets_the_lock_last(device: Device) -> None:
    put(device, NOTES + "a")
    token = locked(device, NOTES + "a", Timeout="Second-10")
    device.gate.clock.advance(9)
    answer = device.ask("LOCK", NOTES + "a", b"", {"If": f"(<{token}>)", "Timeout": "Infinite"})
    assert answer.status == 200
    assert "lock-token" not in answer.headers
    assert answer.xml.findtext(f".//{q('D:timeout')}") == f"Second-{MAX_SECONDS}"
    device.gate.clock.advance(MAX_SECONDS - 1)
    assert put(device, NOTES + "a") == 423
    for path, value, status in (
        (NOTES + "b", f"(<{token}>)", 412),
        (NOTES + "a", f"(<{token}x>)", 412),
        (NOTES + "a", f"(<{token}> [{tag_of(b'other')}])", 412),
        (NOTES + "a", f"(<{token}>)(<urn:other>)", 400),
        (NOTES + "a", "(Not <DAV:no-lock>)", 400),
    ):
        assert device.ask("LOCK", path, b"", {"If": value}).status == status
    wrong = device.ask("LOCK", NOTES + "a", b"", {"If": f"(<{token}x>)"})
    assert wrong.error == "D:lock-token-matches-request-uri"
    device.gate.clock.advance(2)
    assert device.ask("LOCK", NOTES + "a", b"", {"If": f"(<{token}>)"}).status == 412, "it has ended"


def test_a_lock_ends_by_itself_whatever_the_wall_clock_says(device: Device) -> None:
    put(device, NOTES + "a")
    locked(device, NOTES + "a", Timeout="Second-10")
    device.gate.clock.jump(-1000)
    device.gate.clock.advance(9.5)
    device.gate.clock.jump(5000)
    assert put(device, NOTES + "a") == 423
    assert len(roots(device, NOTES + "a")) == 1
    device.gate.clock.advance(1)
    assert roots(device, NOTES + "a") == {}
    assert put(device, NOTES + "a") == 204
    assert locked(device, NOTES + "a")


# -- which locks go together ---------------------------------------------------------------------------------


def test_exclusive_locks_exclude_and_shared_ones_do_not(device: Device) -> None:
    put(device, NOTES + "a")
    first = locked(device, NOTES + "a", scope="shared")
    second = locked(device, NOTES + "a", scope="shared")
    answer = take(device, NOTES + "a")
    assert (answer.status, answer.error) == (423, "D:no-conflicting-lock")
    assert answer.xml.findtext(f".//{q('D:href')}") == NOTES + "a"
    assert set(roots(device, NOTES + "a")) == {first, second}
    assert put(device, NOTES + "a") == 423
    assert put(device, NOTES + "a", **having(first)) == 204, "the token of any of them"
    assert put(device, NOTES + "a", **having(second)) == 204
    for token in (first, second):
        device.ask("UNLOCK", NOTES + "a", b"", {"Lock-Token": f"<{token}>"})
    locked(device, NOTES + "a")
    for scope in ("shared", "exclusive"):
        assert take(device, NOTES + "a", scope=scope).status == 423


def test_a_deep_lock_covers_what_is_below_and_what_comes(device: Device) -> None:
    device.ask("MKCOL", NOTES + "one/")
    device.ask("MKCOL", NOTES + "one/two/")
    put(device, NOTES + "one/two/a")
    token = locked(device, NOTES + "one/")
    assert roots(device, NOTES + "one/two/a") == {token: NOTES + "one/"}
    assert in_the_way(device.ask("PUT", NOTES + "one/two/a", b"y")) == NOTES + "one/"
    assert put(device, NOTES + "one/two/new") == 423
    assert take(device, NOTES + "one/two/a").status == 423
    assert take(device, NOTES + "one/two/new").status == 423
    assert put(device, NOTES + "one/two/new", **having(token)) == 201
    assert roots(device, NOTES + "one/two/new") == {token: NOTES + "one/"}
    assert put(device, NOTES + "beside") == 201
    assert put(device, NOTES + "onemore") == 201


def test_a_deep_lock_is_refused_for_the_sake_of_one_within(device: Device) -> None:
    device.ask("MKCOL", NOTES + "one/")
    put(device, NOTES + "one/a")
    locked(device, NOTES + "one/a")
    answer = take(device, NOTES + "one/")
    assert answer.status == 207
    assert {href: r["status"] for href, r in answer.responses.items()} == {NOTES + "one/a": 423, NOTES + "one/": 424}
    assert answer.responses[NOTES + "one/a"]["error"] == ["D:no-conflicting-lock"]
    assert roots(device, NOTES + "one/") == {}
    assert locked(device, NOTES + "one/", Depth="0")
    assert take(device, NOTES + "one/").status == 423


def test_a_shallow_lock_covers_the_folder_and_its_list_of_members(device: Device) -> None:
    device.ask("MKCOL", NOTES + "one/")
    device.ask("MKCOL", NOTES + "one/two/")
    for path in ("one/a", "one/c", "b", "d"):
        put(device, NOTES + path)
    token = locked(device, NOTES + "one/", Depth="0")
    assert put(device, NOTES + "one/a") == 204, "the body of a member is no part of the folder"
    assert put(device, NOTES + "one/two/x") == 201
    assert roots(device, NOTES + "one/a") == {}
    refused = [
        ("PUT", NOTES + "one/new", {}),
        ("MKCOL", NOTES + "one/folder/", {}),
        ("DELETE", NOTES + "one/a", {}),
        ("DELETE", NOTES + "one/two/", {}),
        ("MOVE", NOTES + "one/c", {"Destination": NOTES + "moved"}),
        ("MOVE", NOTES + "b", {"Destination": NOTES + "one/b"}),
        ("COPY", NOTES + "d", {"Destination": NOTES + "one/d"}),
        ("DELETE", NOTES + "one/", {}),
    ]
    for method, path, headers in refused:
        assert in_the_way(device.ask(method, path, b"", headers)) == NOTES + "one/"
    assert in_the_way(take(device, NOTES + "one/new")) == NOTES + "one/"
    assert device.proppatch(NOTES + "one/", "<D:set><D:prop><E:x>1</E:x></D:prop></D:set>").status == 423
    assert device.proppatch(NOTES + "one/a", "<D:set><D:prop><E:x>1</E:x></D:prop></D:set>").status == 207
    for method, path, headers in refused:
        assert device.ask(method, path, b"", {**headers, **having(token)}).status in (201, 204), (method, path)


def test_every_change_of_a_locked_file_needs_its_token(device: Device) -> None:
    put(device, NOTES + "a")
    put(device, NOTES + "b")
    token = locked(device, NOTES + "a")
    patch = f"<D:propertyupdate {DECLARED}><D:set><D:prop><E:x>1</E:x></D:prop></D:set></D:propertyupdate>"
    changes = [
        ("PUT", NOTES + "a", b"new", {}),
        ("PROPPATCH", NOTES + "a", patch.encode(), {}),
        ("COPY", NOTES + "b", b"", {"Destination": NOTES + "a"}),
        ("MOVE", NOTES + "b", b"", {"Destination": NOTES + "a"}),
        ("MOVE", NOTES + "a", b"", {"Destination": NOTES + "c"}),
        ("DELETE", NOTES + "a", b"", {}),
    ]
    for method, path, body, headers in changes:
        answer = device.ask(method, path, body, headers)
        assert in_the_way(answer) == NOTES + "a", method
    assert device.ask("COPY", NOTES + "a", b"", {"Destination": NOTES + "copy"}).status == 201, "reading is free"
    assert device.ask("GET", NOTES + "a").body == b"x"
    assert device.propfind(NOTES + "a").status == 207
    for method, path, body, headers in changes[:4]:
        assert device.ask(method, path, body, {**headers, **having(token)}).status in (201, 204, 207), method
        assert set(roots(device, NOTES + "a")) == {token}, "what is replaced stays locked"
    assert device.ask("MOVE", NOTES + "a", b"", {"Destination": NOTES + "c", **having(token)}).status == 201
    assert (roots(device, NOTES + "c"), put(device, NOTES + "a")) == ({}, 201), "a lock does not move, and ends"


def test_a_folder_with_something_locked_in_it_stays_whole(device: Device) -> None:
    for path in ("one/", "one/two/", "other/"):
        device.ask("MKCOL", NOTES + path)
    for path in ("one/two/a", "one/b"):
        put(device, NOTES + path)
    token = locked(device, NOTES + "one/two/a")
    listing = device.propfind(NOTES + "one/", depth="1").body
    assert in_the_way(device.ask("DELETE", NOTES + "one/")) == NOTES + "one/two/a"
    assert in_the_way(device.ask("MOVE", NOTES + "one/", b"", {"Destination": NOTES + "new"})) == NOTES + "one/two/a"
    assert in_the_way(device.ask("COPY", NOTES + "other/", b"", {"Destination": NOTES + "one"})) == NOTES + "one/two/a"
    assert device.propfind(NOTES + "one/", depth="1").body == listing
    assert device.ask("COPY", NOTES + "one/", b"", {"Destination": NOTES + "copy"}).status == 201
    assert roots(device, NOTES + "copy/two/a") == {}, "a copy is not locked"
    assert device.ask("MOVE", NOTES + "one/", b"", {"Destination": NOTES + "new", **having(token)}).status == 201
    assert roots(device, NOTES + "new/two/a") == {}
    again = locked(device, NOTES + "new/two/a")
    assert device.ask("DELETE", NOTES + "new/", b"", having(again)).status == 204
    for path in ("new/", "new/two/"):
        device.ask("MKCOL", NOTES + path)
    assert put(device, NOTES + "new/two/a") == 201, "the lock went with the folder"


def test_what_moves_into_a_locked_folder_is_locked(device: Device) -> None:
    device.ask("MKCOL", NOTES + "one/")
    put(device, NOTES + "a")
    token = locked(device, NOTES + "one/")
    own = locked(device, NOTES + "a")
    assert device.ask("MOVE", NOTES + "a", b"", {"Destination": NOTES + "one/a", **having(own)}).status == 423
    answer = device.ask("MOVE", NOTES + "a", b"", {"Destination": NOTES + "one/a", **having(own, token)})
    assert answer.status == 201
    assert roots(device, NOTES + "one/a") == {token: NOTES + "one/"}


# -- the If header -------------------------------------------------------------------------------------------


def test_the_if_header_is_judged_where_nothing_is_locked(device: Device) -> None:
    put(device, NOTES + "a", b"one")
    device.put(BOOK + "a.vcf", vcard("a"), CARD)
    one, other = tag_of(b"one"), tag_of(b"other")
    holds = [
        f"([{one}])",
        f"(Not [{other}])",
        "(Not <DAV:no-lock>)",
        f"([{other}]) ([{one}])",
        f"(<urn:x>) (Not <urn:x> [{one}])",
        f"<{NOTES}a> ([{one}])",
        f"</dav/anna/files/%6eotes/a> ([{one}])",
        f"<{BOOK}a.vcf> ([{tag_of(vcard('a'))}])",
        f"<{NOTES}none> (Not [{one}])",
        f"<{NOTES}> (Not [{one}])",
        f"<http://elsewhere/> (Not <urn:x>) <{NOTES}a> ([{other}])",
        f"<http://elsewhere{NOTES}a> (Not [{one}])",
        f"</dav/bob/files/notes/a> (Not [{one}])",
    ]
    fails = [
        f"([{other}])",
        '(["foreign"])',
        f"(Not [{one}])",
        "(<DAV:no-lock>)",
        "(<urn:x>)",
        f"([{one}] <urn:x>)",
        f"<{NOTES}none> ([{one}])",
        f"<{NOTES}> ([{one}])",
        f"<http://elsewhere{NOTES}a> ([{one}])",
        f"</dav/bob/files/notes/a> ([{one}])",
        f"<{BOOK}a.vcf> ([{one}])",
    ]
    patch = "<D:set><D:prop><E:x>1</E:x></D:prop></D:set>"
    asked: list[tuple[str, str, bytes, dict[str, str]]] = [
        ("PUT", NOTES + "a", b"one", {}),
        ("PROPPATCH", NOTES + "a", f"<D:propertyupdate {DECLARED}>{patch}</D:propertyupdate>".encode(), {}),
        ("COPY", NOTES + "a", b"", {"Destination": NOTES + "copy"}),
    ]
    for method, path, body, headers in asked:
        for value in holds:
            answer = device.ask(method, path, body, {"If": value, **headers})
            assert (method, value, answer.status) == (method, value, answer.status if answer.status < 300 else 0)
        for value in fails:
            assert (method, value, device.ask(method, path, body, {"If": value, **headers}).status) == (
                method,
                value,
                412,
            )
    for value in fails[:5]:
        for method, path, headers in (
            ("DELETE", NOTES + "a", {}),
            ("MOVE", NOTES + "a", {"Destination": NOTES + "moved"}),
            ("MKCOL", NOTES + "new/", {}),
            ("DELETE", BOOK + "a.vcf", {}),
            ("DELETE", BOOK, {}),
        ):
            if path == NOTES + "a" or "Not" not in value:
                assert device.ask(method, path, b"", {"If": value, **headers}).status == 412
        assert put(device, BOOK + "new.vcf", vcard("n"), If="(<urn:x>)", Content_Type=CARD) == 412
        assert device.ask("MKCALENDAR", "/dav/anna/calendars/new/", b"", {"If": "(<urn:x>)"}).status == 412
    for method in ("PUT", "DELETE", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK"):
        body = {"PUT": b"x", "PROPPATCH": asked[1][2]}.get(method, b"")
        answer = device.ask(method, NOTES + "a", body, {"If": "(", "Destination": NOTES + "x"})
        assert answer.status in ((400,) if method != "MKCOL" else (400, 405)), method
    assert device.ask("GET", NOTES + "a").body == b"one"
    assert device.ask("GET", NOTES + "moved").status == 404


def test_a_put_that_an_if_header_refuses_is_kept_in_the_history(device: Device) -> None:
    """As one that If-Match refuses: the device may drop its own copy."""
    device.put(BOOK + "a.vcf", vcard("a"), CARD)
    before = device.sync(BOOK).token
    mine = vcard("a", "Mine")
    assert put(device, BOOK + "a.vcf", mine, If=f"([{tag_of(mine)}])", Content_Type=CARD) == 412
    account = device.gate.reads.account_named("anna")
    assert account is not None
    last = next(device.gate.reads.history(account.number, kind=Kind.CONTACTS))
    assert (last.op, device.gate.reads.version_body(last.journal).inline) == ("refused", mine)
    assert BOOK + "a.vcf" in device.sync(BOOK, before).responses


def test_an_entity_tag_that_cannot_be_known_is_503(device: Device) -> None:
    account = device.gate.reads.account_named("anna")
    assert account is not None
    put(device, PHOTOS + "a", b"one")
    device.gate.hold(account, Kind.PHOTOS, "revisions are missing")
    for path in ("a", "none", "none/x"):
        for value in (f"<{PHOTOS}{path}> ([{tag_of(b'one')}])", f"<{PHOTOS}{path}> (Not [{tag_of(b'one')}])"):
            assert put(device, NOTES + "b", If=value) == 503
    assert take(device, PHOTOS + "a").status == 503
    assert take(device, PHOTOS + "none").status == 503
    assert put(device, NOTES + "b", If=f"<{PHOTOS}a> (Not <urn:x>)") == 201, "a token is known whatever is there"


# -- bounds, failures, others --------------------------------------------------------------------------------


def test_locks_of_an_account_are_bounded(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "MAX_LOCKS", 3)
    for name in "abc":
        locked(device, NOTES + name, Timeout="Second-5")
    answer = take(device, NOTES + "d")
    assert (answer.status, answer.error) == (403, "")
    assert device.ask("GET", NOTES + "d").status == 404
    device.gate.clock.advance(6)
    assert locked(device, NOTES + "d")


def test_locks_that_lie_over_each_other_are_bounded(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be told of again for each file of a listing."""
    monkeypatch.setattr(locking, "MAX_SHARED", 2)
    device.ask("MKCOL", NOTES + "in/")
    for name in ("a", "in/b"):
        put(device, NOTES + name)
    first = locked(device, NOTES, scope="shared")
    locked(device, NOTES + "in/", scope="shared")
    assert locked(device, NOTES + "a", scope="shared")
    for path in (NOTES, NOTES + "a", NOTES + "in/b"):
        answer = take(device, path, scope="shared")
        assert (answer.status, answer.error) == (403, "")
    assert len(roots(device, NOTES + "in/b")) == 2
    assert device.ask("UNLOCK", NOTES, b"", {"Lock-Token": f"<{first}>"}).status == 204
    assert take(device, NOTES, scope="shared").status == 403, "there are two below it"
    assert locked(device, NOTES + "in/b", scope="shared")


def test_locks_are_the_accounts_own(device: Device) -> None:
    put(device, NOTES + "a")
    token = locked(device, NOTES + "a")
    bob = Device(device.gate, "bob")
    path = "/dav/bob/files/notes/a"
    assert put(bob, path) == 201
    assert roots(bob, path) == {}
    assert bob.ask("UNLOCK", path, b"", {"Lock-Token": f"<{token}>"}).status == 409
    assert put(bob, path, If=f"(<{token}>)") == 412
    bob.loop.close()


def test_the_operators_word_goes_past_locks(device: Device) -> None:
    gate = device.gate
    account = gate.reads.account_named("anna")
    assert account is not None
    put(device, NOTES + "a", b"one")
    at = gate.clock.now()
    gate.clock.advance(1)
    token = locked(device, NOTES + "a")
    assert put(device, NOTES + "a", b"two", **having(token)) == 204
    gate.engine.execute(Undo(account=account.id, to=at, kind=Kind.NOTES))
    assert device.ask("GET", NOTES + "a").body == b"one"
    assert put(device, NOTES + "a") == 423, "the lock stands"
    gate.engine.execute(DeleteItem(account=account.id, path="files/notes", name="a"))
    assert put(device, NOTES + "a") == 201, "but it goes with what it locked"


def test_a_lock_that_cannot_be_written_was_not_taken(device: Device) -> None:
    device.gate.log.failure = VaultDown("near is away")
    assert take(device, NOTES + "new").status == 503
    account = device.gate.reads.account_named("anna")
    assert account is not None
    assert len(device.gate.locks(account)) == 0
    assert device.ask("GET", NOTES + "new").status == 404
    assert put(device, NOTES + "new") == 201
    token = locked(device, NOTES + "new")
    device.gate.log.failure = VaultDown("near is away")
    assert device.ask("DELETE", NOTES + "new", b"", having(token)).status == 503
    assert roots(device, NOTES + "new") == {token: NOTES + "new"}, "the delete did not happen, nor did its lock end"


def test_commands_of_one_batch_see_each_others_locks(device: Device) -> None:
    from hashlib import sha256

    from safehold.model.commands import Body, TakeLock
    from safehold.model.errors import Locked, SafeholdError
    from safehold.model.guards import OPEN
    from safehold.model.locks import Scope

    gate = device.gate
    account = gate.reads.account_named("anna")
    assert account is not None
    put(device, NOTES + "a")
    take_it = TakeLock(
        account=account.id, path="files/notes/a", scope=Scope.EXCLUSIVE, deep=False, seconds=60, guard=OPEN
    )
    body = Body(sha256(b"y").digest(), 1, inline=b"y")
    write = PutItem(account=account.id, path="files/notes", name="a", body=body, media="", guard=OPEN)
    elsewhere = PutItem(account=account.id, path="files/notes", name="b", body=body, media="", guard=OPEN)
    gate.log.failure = VaultDown("near is away")
    first, second, third = gate.engine.execute_all([take_it, write, elsewhere])
    assert not any(isinstance(r, Locked) for r in (first, second, third)), (
        "a 423 would rest on a lock that is not there"
    )
    assert all(isinstance(r, SafeholdError) for r in (first, second, third))
    first, second = gate.engine.execute_all([take_it, write])
    assert first.locks[0].root == "files/notes/a"
    assert isinstance(second, Locked)


def test_locks_show_in_listings_beside_unlocked_files(device: Device) -> None:
    for name in ("a", "b", "ä ö"):
        put(device, NOTES + name)
    device.ask("MKCOL", NOTES + "one/")
    put(device, NOTES + "one/c")
    tokens = {NOTES + "a": locked(device, NOTES + "a"), NOTES + "one/": locked(device, NOTES + "one/")}
    device.proppatch(NOTES + "b", "<D:set><D:prop><E:x>1</E:x></D:prop></D:set>")
    for asked in (("D:lockdiscovery",), ("D:lockdiscovery", "D:getetag", "E:x"), ()):
        found = device.propfind(NOTES, *asked, depth="1").responses
        told = {
            href: response[200]["D:lockdiscovery"].findtext(f".//{q('D:locktoken')}/{q('D:href')}")
            for href, response in found.items()
        }
        assert told == {href: tokens.get(href) for href in found}
        assert len(found) == 5
    names = device.ask("PROPFIND", NOTES, f"<D:propfind {DECLARED}><D:propname/></D:propfind>", {"Depth": "1"})
    for response in names.listed:
        assert {"D:lockdiscovery", "D:supportedlock"} <= set(response[200])
    (inner,) = [r for h, r in device.propfind(NOTES + "one/", depth="1").responses.items() if h.endswith("/c")]
    assert inner[200]["D:lockdiscovery"].findtext(f".//{q('D:lockroot')}/{q('D:href')}") == NOTES + "one/"
    assert len(inner[200]["D:supportedlock"]) == 2


def test_clients_cannot_set_what_tells_of_locks(device: Device) -> None:
    put(device, NOTES + "a")
    for name in ("lockdiscovery", "supportedlock"):
        (answer,) = device.proppatch(NOTES + "a", f"<D:set><D:prop><D:{name}/></D:prop></D:set>").listed
        assert answer["403 error"] == ["D:cannot-modify-protected-property"]


def test_a_sync_token_is_a_state_token_of_its_collection(device: Device) -> None:
    """RFC 6578 section 5: a change is made only if nothing else has changed meanwhile."""

    def token() -> str:
        (response,) = device.propfind(BOOK, "D:sync-token").listed
        return str(response[200]["D:sync-token"].text)

    first = token()
    unchanged = f"<{BOOK}> (<{first}>)"
    assert put(device, BOOK + "a.vcf", vcard("a"), If=unchanged, Content_Type=CARD) == 201
    assert put(device, BOOK + "b.vcf", vcard("b"), If=unchanged, Content_Type=CARD) == 412
    assert put(device, BOOK + "b.vcf", vcard("b"), If=f"<{BOOK}> (Not <{first}>)", Content_Type=CARD) == 201
    assert put(device, BOOK + "c.vcf", vcard("c"), If=f"(<{token()}>)", Content_Type=CARD) == 412, (
        "not of this resource"
    )
    assert put(device, BOOK + "c.vcf", vcard("c"), If=f"<{NOTES}> (<{token()}>)", Content_Type=CARD) == 412
    device.gate.hold(device.gate.reads.account_named("anna"), Kind.CONTACTS, "lost")
    assert put(device, NOTES + "n", If=unchanged) == 503, "whether it holds is not known"
