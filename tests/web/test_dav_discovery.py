"""How a device finds its way from the bare host to its collections, and what is answered to strangers."""

from __future__ import annotations

import pytest

from safehold.model.errors import Held
from safehold.model.kinds import Kind
from tests.support.asgi import Device


@pytest.mark.parametrize("path", ["/.well-known/caldav", "/.well-known/carddav", "/.well-known/carddav/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PROPFIND", "OPTIONS"])
def test_well_known_leads_to_dav_without_credentials(device: Device, path: str, method: str) -> None:
    device.authorization = None
    answer = device.ask(method, path)
    assert (answer.status, answer.headers["location"]) == (301, "/dav/")


def test_a_device_given_the_bare_host_is_answered_there(device: Device) -> None:
    found = device.propfind("/", "D:current-user-principal").responses["/dav/"][200]["D:current-user-principal"]
    assert found[0].text == "/dav/principals/anna/"
    assert "1" in device.ask("OPTIONS", "/").headers["dav"]


def test_from_the_root_to_the_collections(device: Device) -> None:
    def href(path: str, name: str) -> str:
        return device.propfind(path, name).responses[path][200][name][0].text

    principal = href("/dav/", "D:current-user-principal")
    assert principal == "/dav/principals/anna/"
    contacts = href(principal, "A:addressbook-home-set")
    calendars = href(principal, "C:calendar-home-set")
    assert (contacts, calendars) == ("/dav/anna/contacts/", "/dav/anna/calendars/")
    books = device.propfind(contacts, "D:resourcetype", depth="1")
    assert list(books.responses) == [contacts, contacts + "default/"]
    listed = device.propfind(calendars, "D:resourcetype", "C:supported-calendar-component-set", depth="1").responses
    component_set = "C:supported-calendar-component-set"
    found = {
        href: [c.get("name") for c in r[200][component_set]]
        for href, r in listed.items()
        if component_set in r.get(200, {})
    }
    assert found == {
        calendars + "default/": ["VEVENT"],
        calendars + "notes/": ["VJOURNAL"],
        calendars + "tasks/": ["VTODO"],
    }


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/dav/", ["/dav/principals/", "/dav/anna/"]),
        ("/dav/principals/", ["/dav/principals/anna/"]),
        ("/dav/principals/anna/", []),
        ("/dav/anna/", ["/dav/anna/contacts/", "/dav/anna/calendars/", "/dav/anna/files/"]),
        ("/dav/anna/files/", ["/dav/anna/files/notes/", "/dav/anna/files/photos/"]),
        ("/dav/anna/files/notes/", []),
    ],
)
def test_listings_of_the_fixed_places(device: Device, path: str, members: list[str]) -> None:
    for asked in (path, path.rstrip("/")):
        assert [r["href"] for r in device.propfind(asked, depth="1").listed] == [path, *members]
        assert [r["href"] for r in device.propfind(asked).listed] == [path]


def test_a_home_does_not_list_what_may_be_missing(device: Device) -> None:
    account = device.gate.reads.account_named("anna")
    device.gate.hold(account, Kind.TASKS, "revisions 3 to 5 are missing")
    answer = device.propfind("/dav/anna/calendars/", depth="1")
    assert (answer.status, answer.error) == (503, "")
    assert device.propfind("/dav/anna/contacts/", depth="1").status == 207


def test_another_home_is_forbidden_whether_it_exists_or_not(device: Device) -> None:
    answers = [
        device.ask(method, f"/dav/{name}/contacts/default/x.vcf")
        for method in ("GET", "PUT", "DELETE", "PROPFIND", "OPTIONS")
        for name in ("bob", "nobody")
    ]
    answers += [device.propfind(f"/dav/principals/{name}/") for name in ("bob", "nobody")]
    told = [a.body.replace(a.request_id.encode(), b"ID") for a in answers]
    assert {(a.status, a.error, body) for a, body in zip(answers, told, strict=True)} == {(403, "", told[0])}


def test_without_credentials(device: Device) -> None:
    device.authorization = None
    for method in ("GET", "PROPFIND", "OPTIONS", "PUT", "FOO"):
        answer = device.ask(method, "/dav/anna/contacts/default/")
        assert (answer.status, answer.error) == (401, "")
        assert answer.headers["www-authenticate"] == 'Basic realm="Safehold", charset="UTF-8"'


def test_while_identity_is_away_nobody_is_told_that_a_password_is_wrong(device: Device) -> None:
    async def away(authorization: str | None, peer: str, program: str = "") -> None:
        raise Held("identity is being restored", retry_after_seconds=100)

    device.gate.authenticate = away
    answer = device.ask("OPTIONS", "/dav/")
    assert (answer.status, answer.error) == (503, "")
    assert 75 <= int(answer.headers["retry-after"]) <= 125


def test_options(device: Device) -> None:
    for path in ("/dav/", "/dav/anna/contacts/default/", "/dav/anna/contacts/default/x.vcf", "/dav/anna/files/notes/a"):
        answer = device.ask("OPTIONS", path)
        assert answer.status == 200
        features = answer.headers["dav"].split(", ")
        assert {"1", "3", "addressbook", "calendar-access", "extended-mkcol"} <= set(features)
        assert ("2" in features) is ("/contacts/" not in path), "locks are for files"
        assert "PROPFIND" in answer.headers["allow"]
    assert {"PUT", "COPY", "MOVE", "LOCK", "UNLOCK"} <= _allowed(device, "/dav/anna/files/notes/a")
    assert {"COPY", "LOCK", "UNLOCK"} <= _allowed(device, "/dav/anna/files/notes/")
    assert {"LOCK", "UNLOCK"}.isdisjoint(_allowed(device, "/dav/anna/contacts/default/x.vcf"))
    assert {"COPY", "MOVE"} <= _allowed(device, "/dav/anna/contacts/default/x.vcf")
    assert {"COPY", "MOVE"}.isdisjoint(_allowed(device, "/dav/anna/contacts/default/"))
    assert "REPORT" in device.ask("OPTIONS", "/dav/anna/contacts/default").headers["allow"]


def _allowed(device: Device, path: str) -> set[str]:
    return set(device.ask("OPTIONS", path).headers["allow"].split(", "))


def test_other_paths_are_not_dav(device: Device) -> None:
    device.authorization = None
    assert device.ask("GET", "/davy").status == 404
    assert device.ask("GET", "/nothing/here").status == 404
    assert device.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "path", ["/dav/anna/scores/", "/dav/anna/identity/", "/dav/anna/files/other/", "/dav/principals/anna/x"]
)
def test_where_nothing_can_be(device: Device, path: str) -> None:
    for method in ("GET", "PROPFIND", "PROPPATCH", "DELETE"):
        body = "<D:propertyupdate xmlns:D='DAV:'><D:remove><D:prop><D:x/></D:prop></D:remove></D:propertyupdate>"
        answer = device.ask(
            method, path, body if method == "PROPPATCH" else b"", {"Depth": "0"} if method == "PROPFIND" else {}
        )
        assert (method, answer.status) == (method, 404)
    assert device.ask("PUT", path).status in (403, 405)
    assert device.ask("MKCOL", path).status == 403


def test_targets_that_are_no_path(device: Device) -> None:
    assert "PROPFIND" in device.ask("OPTIONS", "*").headers["allow"]
    assert device.ask("GET", "*").status == 400
    assert device.ask("CONNECT", "").status == 400


def test_a_method_that_was_refused_is_not_told_as_allowed(device: Device) -> None:
    device.ask("MKCOL", "/dav/anna/files/notes/folder")
    for method, path in (
        *(("GET", "folder"), ("HEAD", "folder"), ("PUT", "folder"), ("PUT", "other/"), ("MKCOL", "folder")),
        *(("GET", ""), ("MKCOL", ""), ("REPORT", "x"), ("SEARCH", "x")),
    ):
        answer = device.ask(method, "/dav/anna/files/notes/" + path)
        if answer.status == 405:
            allowed = answer.headers["allow"].split(", ")
            assert method not in allowed
            assert "PROPFIND" in allowed
        else:
            assert (method, answer.status) == ("REPORT", 400)
