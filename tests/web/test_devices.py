"""The page of devices: what it shows, what it hands out once, and that nobody else can make it act."""

from __future__ import annotations

import logging
import plistlib
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit
from uuid import UUID

import pytest
import segno

from safehold.formats.doubt import Doubt
from safehold.formats.doubt import encode as encode_doubt
from safehold.model.commands import NoteAhead
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.service.ahead import standing_doubts
from safehold.service.uses import app_passwords
from safehold.web.connecting import davx5_url, qr_svg
from safehold.web.layout import HEADERS
from tests.support.asgi import DavGate
from tests.support.edge import Answer, Edge

ANNA, BOB = ("anna", "secret"), ("bob", "secret")
HOST = "pim.example:8460"
ORIGIN = f"http://{HOST}"
POSTS = ("/devices", "/devices/revoke", "/devices/let-go", "/devices/profile")
DAY_SECONDS = 86_400
_PASSWORD = re.compile(r"[a-z2-7]{5}(?:-[a-z2-7]{5}){3}")


def anna(edge: Edge) -> Account:
    found = edge.gate.reads.account_named("anna")
    assert found is not None
    return found


class Page(HTMLParser):
    """The text of a page, its forms with their fields, its links and the text of its QR codes."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.words: list[str] = []
        self.forms: list[tuple[str, str, dict[str, str]]] = []
        self.links: list[str] = []
        self.codes: list[str] = re.findall(r'<path stroke="#000" d="[^"]*"', answer.text)
        self.feed(answer.text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert "style" not in found and not any(name.startswith("on") for name in found)
        assert tag not in ("script", "iframe", "object", "img")
        if tag == "form":
            self.forms.append((found["method"], found["action"], {}))
        elif tag == "input" and found.get("type") == "hidden":
            self.forms[-1][2][found["name"]] = found["value"]
        elif tag == "a":
            self.links.append(found["href"])

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def fields(self, action: str, label: str | None = None) -> dict[str, str]:
        """The hidden fields of the form that leads there."""
        return next(f for _, a, f in self.forms if a == action and label in (None, f.get("label")))


def show(edge: Edge, user: tuple[str, str] = ANNA) -> Page:
    answer = edge.ask("GET", "/devices", user=user)
    assert answer.status == 200
    return Page(answer)


def send(edge: Edge, path: str, fields: dict[str, str], **options: Any) -> Answer:
    """A form as a browser sends it from our own page; `headers` replaces what it says about that."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    headers |= options.pop("headers", {"origin": ORIGIN, "sec-fetch-site": "same-origin"})
    options.setdefault("user", ANNA)
    return edge.ask("POST", path, urlencode(fields).encode(), headers=headers, **options)


def make(edge: Edge, sort: str = "other", label: str = "phone", **options: Any) -> tuple[Answer, str]:
    """The answer to the making of an app password, and the password."""
    answer = send(edge, "/devices", show(edge).fields("/devices") | {"sort": sort, "label": label}, **options)
    assert answer.status == 200, answer.text
    return answer, _PASSWORD.findall(answer.text)[0]


def sign_in(edge: Edge, password: str, program: str = "DAVx5/4.5") -> int:
    return edge.ask("OPTIONS", "/dav/", user=("anna", password), headers={"user-agent": program}).status


def labels(edge: Edge) -> list[str]:
    return [known.label for known in app_passwords(edge.gate.reads, anna(edge))]


# -- who may -----------------------------------------------------------------------------------------------------


def test_nobody_sees_it_without_signing_in(edge: Edge) -> None:
    for method, path in [("GET", "/devices"), ("GET", "/devices/profile"), *(("POST", path) for path in POSTS)]:
        answer = edge.ask(method, path, b"" if method == "POST" else None)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_a_device_cannot_make_itself_further_passwords_or_lock_others_out(edge: Edge) -> None:
    _, password = make(edge)
    fields = show(edge).fields("/devices") | {"sort": "other", "label": "thief"}
    phone = ("anna", password)
    for answer in (
        edge.ask("GET", "/devices", user=phone),
        edge.ask("GET", "/devices/profile", user=phone),
        send(edge, "/devices", fields, user=phone),
        send(edge, "/devices/revoke", fields | {"label": "phone"}, user=phone),
        send(edge, "/devices/profile", fields | {"password": password}, user=phone),
    ):
        assert answer.status == 401
        assert "own password" in answer.text
    assert labels(edge) == ["phone"]
    assert sign_in(edge, password) == 200


# -- cross-site ------------------------------------------------------------------------------------------------

_FOREIGN = {
    "no word of where from": {},
    "cross-site": {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    "cross-site without origin": {"sec-fetch-site": "cross-site"},
    "same site, other host": {"sec-fetch-site": "same-site", "origin": "http://other.pim.example:8460"},
    "older browser": {"origin": "https://evil.example"},
    "sandboxed": {"origin": "null"},
    "origin that only begins like ours": {"origin": ORIGIN + ".evil.example"},
    "other scheme": {"origin": f"https://{HOST}"},
    "lying site": {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    "claims a proxy": {
        "origin": "https://evil.example",
        "x-forwarded-host": "evil.example",
        "forwarded": "proto=https",
    },
}


@pytest.mark.parametrize("headers", _FOREIGN.values(), ids=_FOREIGN)
@pytest.mark.parametrize("path", POSTS)
def test_a_form_of_another_site_does_nothing(edge: Edge, path: str, headers: dict[str, str]) -> None:
    _, password = make(edge)
    fields = show(edge).fields("/devices") | {"sort": "other", "label": "phone", "password": password}
    before = edge.gate.reads.head(anna(edge).number, Kind.IDENTITY)
    answer = send(edge, path, fields | ({"label": "new"} if path == "/devices" else {}), headers=headers)
    assert answer.status == 403
    assert password not in answer.text
    assert edge.gate.reads.head(anna(edge).number, Kind.IDENTITY) == before


@pytest.mark.parametrize("headers", [{"origin": ORIGIN}, {"sec-fetch-site": "same-origin"}])
def test_one_word_of_the_browser_is_enough(edge: Edge, headers: dict[str, str]) -> None:
    make(edge, headers=headers)


def test_a_token_is_the_accounts_and_of_these_days(edge: Edge) -> None:
    fields = {"sort": "other", "label": "phone"}
    own, of_bob = show(edge).fields("/devices")["token"], show(edge, BOB).fields("/devices")["token"]
    for token in ("", of_bob, own[:-1], own + "0", "é"):
        assert send(edge, "/devices", fields | {"token": token}).status == 403
    assert send(edge, "/devices", fields).status == 403
    edge.gate.clock.advance(2 * DAY_SECONDS)
    assert send(edge, "/devices", fields | {"token": own}).status == 403
    assert labels(edge) == []


def test_behind_a_proxy_the_origin_is_the_one_that_people_use(edge: Edge) -> None:
    edge.gate.public_url = "https://dav.example.org"
    make(edge, headers={"origin": "https://dav.example.org", "sec-fetch-site": "same-origin"})
    make(edge, label="from inside", headers={"origin": ORIGIN})


def test_no_get_changes_anything(edge: Edge) -> None:
    make(edge)
    head = edge.gate.reads.head(anna(edge).number, Kind.IDENTITY)
    query = urlencode(show(edge).fields("/devices") | {"sort": "other", "label": "phone"})
    for path in ("/devices", "/devices/revoke", "/devices/profile"):
        for method in ("GET", "HEAD"):
            edge.ask(method, f"{path}?{query}", user=ANNA, headers={"origin": ORIGIN, "sec-fetch-site": "same-origin"})
    assert edge.gate.reads.head(anna(edge).number, Kind.IDENTITY) == head
    assert edge.ask("GET", "/devices/revoke", user=ANNA).status == 405


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"sort": "toaster", "label": "x"}, 400),
        ({"label": "x"}, 400),
        ({"sort": "other"}, 400),
        ({"sort": "other", "label": "  "}, 400),
        ({"sort": "other", "label": "a/b"}, 400),
        ({"sort": "other", "label": "x" * 65}, 400),
        ({"sort": "other", "label": "x" * 20_000}, 413),
        ({"sort": "other", "label": "taken"}, 409),
    ],
)
def test_what_cannot_be_made(edge: Edge, fields: dict[str, str], status: int) -> None:
    make(edge, label="taken")
    answer = send(edge, "/devices", show(edge).fields("/devices") | fields)
    assert answer.status == status
    assert answer.headers["content-type"].startswith("text/html")
    assert labels(edge) == ["taken"]


# -- making ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["apple", "davx5", "thunderbird", "other"])
def test_a_new_password_opens_and_is_shown_once(edge: Edge, sort: str) -> None:
    answer, password = make(edge, sort, "Anna’s <b>phone")
    assert sign_in(edge, password) == 200
    assert "Anna’s &lt;b&gt;phone" in answer.text
    assert "<b>" not in answer.text
    page = show(edge)
    assert "Anna’s <b>phone" in page.text
    assert password not in edge.ask("GET", "/devices", user=ANNA).text
    assert password not in edge.ask("GET", "/", user=ANNA).text


def test_the_password_is_in_no_log_address_or_cache(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer, password = make(edge, "apple")
        sign_in(edge, password)
        profile = send(edge, "/devices/profile", Page(answer).fields("/devices/profile"))
    assert password not in caplog.text
    for one in (answer, profile):
        assert one.headers["cache-control"] == "no-store"
        assert "location" not in one.headers
        assert not any(password in value for value in one.headers.values())
    assert not any(password in link for link in Page(answer).links)


def test_pages_keep_to_themselves_and_their_forms_lead_here(edge: Edge) -> None:
    made, _ = make(edge, "davx5")
    for answer in (edge.ask("GET", "/devices", user=ANNA), made):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "unsafe" not in policy
        # With `no-referrer` browsers would send `Origin: null` (Fetch, "append a request Origin header").
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert all(method == "post" and action.startswith("/devices") for method, action, _ in Page(answer).forms)
    assert "form-action 'none'" in edge.ask("GET", "/", user=ANNA).headers["content-security-policy"]
    assert "form-action 'none'" in HEADERS["content-security-policy"]


def test_addresses_are_those_under_which_people_reach_the_server(edge: Edge) -> None:
    edge.gate.public_url = "https://dav.example.org"
    own = {"origin": "https://dav.example.org"}
    shown = {sort: make(edge, sort, sort, headers=own)[0].text for sort in ("apple", "davx5", "thunderbird", "other")}
    assert "https://dav.example.org/dav/anna/contacts/" in shown["thunderbird"]
    assert "https://dav.example.org/dav/anna/calendars/" in shown["thunderbird"]
    assert "https://dav.example.org/dav/anna/files/" in shown["other"]
    for text in shown.values():
        assert HOST not in text
        assert "without encryption" not in text
    assert "https://dav.example.org/devices" in show(edge).text


@pytest.mark.parametrize("host", ["", "<script>", "a b", "pim.example:99999"])
def test_a_host_that_is_none_gets_into_no_profile_or_code(edge: Edge, host: str) -> None:
    for path in ("/devices", "/devices/profile"):
        answer = edge.ask("GET", path, user=ANNA, headers={"host": host})
        assert answer.status == 400
        assert not host or host not in answer.text
    edge.gate.public_url = "https://dav.example.org"
    assert edge.ask("GET", "/devices", user=ANNA, headers={"host": host}).status == 200


# -- QR codes --------------------------------------------------------------------------------------------------


def drawn(svg: str) -> list[list[bool]]:
    """The dark modules of a QR code in SVG, quiet zone left out: from its path of horizontal strokes."""
    box = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    path = re.search(r'<path stroke="#000" d="([^"]+)"', svg)
    assert box is not None and path is not None
    size = int(box[1])
    dark = [[False] * size for _ in range(size)]
    x = y = 0.0
    for move, numbers in re.findall(r"([Mmh])([-0-9. ]+)", path[1]):
        values = [float(n) for n in numbers.split()]
        if move == "h":
            for column in range(int(x), int(x + values[0])):
                dark[int(y)][column] = True
            x += values[0]
        else:
            x, y = (values[0], values[1]) if move == "M" else (x + values[0], y + values[1])
    return [row[4 : size - 4] for row in dark[4 : size - 4]]


def test_the_code_for_davx5_holds_address_name_and_password(edge: Edge) -> None:
    edge.gate.public_url = "https://dav.example.org"
    answer, password = make(edge, "davx5", headers={"origin": "https://dav.example.org"})
    (link,) = [link for link in Page(answer).links if link.startswith("davx5:")]
    parts = urlsplit(link)
    assert (parts.scheme, parts.hostname, parts.path) == ("davx5", "dav.example.org", "/")
    assert (parts.username, parts.password) == ("anna", password)
    svg = re.search(r"<svg[^>]*class=\"qr\".*?</svg>", answer.text, re.DOTALL)
    assert svg is not None
    expected = segno.make(link, error="m", micro=False)
    assert drawn(svg[0]) == [[bool(module) for module in row] for row in expected.matrix]
    assert '<path fill="#fff"' in svg[0], "on white, whatever the page's colours are"


def test_a_code_is_drawn_as_it_is() -> None:
    svg = qr_svg("https://dav.example.org/devices", "title & <text>")
    code = segno.make("https://dav.example.org/devices", error="m", micro=False)
    assert drawn(svg) == [[bool(module) for module in row] for row in code.matrix]
    assert "title &amp; &lt;text&gt;" in svg
    assert "style" not in svg


@pytest.mark.parametrize("name", ["anna", "anna@example.org", "a+b.c-d_e"])
@pytest.mark.parametrize("host", ["dav.example.org", "dav.example.org:8443", "[2001:db8::1]:8443"])
def test_a_url_for_davx5_is_taken_apart_as_davx5_does(name: str, host: str) -> None:
    """User information is decoded, then divided at the colon."""
    url = davx5_url(host, name, "abcde-fghij-klmno-pqrst", secure=True)
    parts = urlsplit(url)
    given = unquote(parts.netloc.rpartition("@")[0]).split(":")
    assert given == [name, "abcde-fghij-klmno-pqrst"]
    assert parts.netloc.rpartition("@")[2] == host
    assert davx5_url(host, name, "x", secure=False).startswith("caldav://")


def test_on_the_machine_itself_no_code_leads_elsewhere(edge: Edge) -> None:
    text = edge.ask("GET", "/devices", user=ANNA, headers={"host": "localhost:8460"}).text
    assert "works on its own machine only" in text
    assert "<svg" not in text.partition("<main>")[2]


def test_the_page_shows_its_own_address_to_the_phone(edge: Edge) -> None:
    answer = edge.ask("GET", "/devices", user=ANNA)
    assert f"{ORIGIN}/devices" in answer.text
    svg = re.search(r"<svg[^>]*class=\"qr\".*?</svg>", answer.text, re.DOTALL)
    assert svg is not None
    expected = segno.make(f"{ORIGIN}/devices", error="m", micro=False)
    assert drawn(svg[0]) == [[bool(module) for module in row] for row in expected.matrix]


# -- profiles --------------------------------------------------------------------------------------------------

#: Apple's schema of profiles (apple/device-management, mdm/profiles): key -> (type, required).
_COMMON = {
    "PayloadIdentifier": (str, True),
    "PayloadUUID": (str, True),
    "PayloadType": (str, True),
    "PayloadVersion": (int, True),
    "PayloadDescription": (str, False),
    "PayloadDisplayName": (str, False),
    "PayloadOrganization": (str, False),
}
_TOP = _COMMON | {
    "PayloadContent": (list, True),
    "IsEncrypted": (bool, False),
    "HasRemovalPasscode": (bool, False),
    "PayloadRemovalDisallowed": (bool, False),
    "PayloadScope": (str, False),
    "TargetDeviceType": (int, False),
    "ConsentText": (dict, False),
}


def _account_keys(prefix: str) -> dict[str, tuple[type, bool]]:
    return {
        f"{prefix}AccountDescription": (str, False),
        f"{prefix}HostName": (str, True),
        f"{prefix}Username": (str, False),
        f"{prefix}Password": (str, False),
        f"{prefix}PrincipalURL": (str, False),
        f"{prefix}UseSSL": (bool, False),
        f"{prefix}Port": (int, False),
        "VPNUUID": (str, False),
    }


_PAYLOADS = {
    "com.apple.caldav.account": _COMMON | _account_keys("CalDAV"),
    "com.apple.carddav.account": _COMMON | _account_keys("CardDAV") | {"CommunicationServiceRules": (dict, False)},
}


def check_keys(found: dict[str, Any], schema: dict[str, tuple[type, bool]]) -> None:
    for key, value in found.items():
        assert key in schema, key
        assert type(value) is schema[key][0], key
    assert {key for key, (_, required) in schema.items() if required} <= found.keys()
    UUID(found["PayloadUUID"])
    assert found["PayloadVersion"] == 1


def read_profile(answer: Answer) -> dict[str, Any]:
    """The profile, once it is sure that Apple documents all of its keys; its payloads by type."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    assert answer.headers["content-disposition"] == 'attachment; filename="safehold-anna.mobileconfig"'
    profile: dict[str, Any] = plistlib.loads(answer.body)
    check_keys(profile, _TOP)
    assert profile["PayloadType"] == "Configuration"
    payloads = {payload["PayloadType"]: payload for payload in profile["PayloadContent"]}
    assert payloads.keys() == _PAYLOADS.keys()
    for type_, payload in payloads.items():
        check_keys(payload, _PAYLOADS[type_])
        assert payload["PayloadIdentifier"].startswith(profile["PayloadIdentifier"] + ".")
    ids = [profile["PayloadUUID"], *(payload["PayloadUUID"] for payload in payloads.values())]
    assert len(set(ids)) == 3
    return profile | payloads


def whole_profile(edge: Edge, made: Answer, **options: Any) -> Answer:
    return send(edge, "/devices/profile", Page(made).fields("/devices/profile"), **options)


def test_the_profile_sets_up_both_accounts_with_the_password(edge: Edge) -> None:
    edge.gate.public_url = "https://dav.example.org:8443"
    own = {"origin": "https://dav.example.org:8443"}
    made, password = make(edge, "apple", headers=own)
    profile = read_profile(whole_profile(edge, made, headers=own))
    for type_, prefix in (("com.apple.caldav.account", "CalDAV"), ("com.apple.carddav.account", "CardDAV")):
        account = profile[type_]
        assert account[f"{prefix}HostName"] == "dav.example.org"
        assert account[f"{prefix}Port"] == 8443
        assert account[f"{prefix}UseSSL"] is True
        assert account[f"{prefix}PrincipalURL"] == "/dav/principals/anna/"
        assert account[f"{prefix}Username"] == "anna"
        assert account[f"{prefix}Password"] == password
    asked = edge.ask("PROPFIND", "/dav/principals/anna/", user=("anna", password), headers={"depth": "0"})
    assert asked.status == 207, "what the profile names is there"


@pytest.mark.parametrize(
    ("public_url", "host", "port", "secure"),
    [
        ("https://dav.example.org", "dav.example.org", 443, True),
        ("http://192.0.2.7", "192.0.2.7", 80, False),
        ("https://[2001:db8::1]:8443", "2001:db8::1", 8443, True),
        ("", "pim.example", 8460, False),
    ],
)
def test_the_profile_without_a_password(edge: Edge, public_url: str, host: str, port: int, secure: bool) -> None:
    edge.gate.public_url = public_url
    profile = read_profile(edge.ask("GET", "/devices/profile", user=ANNA))
    account = profile["com.apple.caldav.account"]
    assert (account["CalDAVHostName"], account["CalDAVPort"], account["CalDAVUseSSL"]) == (host, port, secure)
    assert "CalDAVPassword" not in account
    assert "CardDAVPassword" not in profile["com.apple.carddav.account"]


def test_a_profile_replaces_the_one_before_and_no_other(edge: Edge, gate: DavGate) -> None:
    def ids(profile: dict[str, Any]) -> list[str]:
        parts = [profile, *profile["PayloadContent"]]
        return [part[key] for part in parts for key in ("PayloadIdentifier", "PayloadUUID")]

    first, _ = make(edge, "apple", "one")
    second, _ = make(edge, "apple", "two")
    of_anna = ids(read_profile(whole_profile(edge, first)))
    assert ids(read_profile(whole_profile(edge, second))) == of_anna
    assert ids(read_profile(edge.ask("GET", "/devices/profile", user=ANNA))) == of_anna
    of_bob = ids(plistlib.loads(edge.ask("GET", "/devices/profile", user=BOB).body))
    assert not set(of_bob) & set(of_anna)
    gate.token_key = b"k" * 32
    elsewhere = ids(read_profile(edge.ask("GET", "/devices/profile", user=ANNA)))
    assert not set(elsewhere) & set(of_anna), "another installation's is another"


def test_only_an_app_password_of_ones_own_gets_into_a_profile(edge: Edge) -> None:
    _, password = make(edge)
    token = show(edge, BOB).fields("/devices")["token"]
    assert send(edge, "/devices/profile", {"token": token, "password": password}, user=BOB).status == 400
    fields = show(edge).fields("/devices")
    for wrong in ("", "secret", "aaaaa-bbbbb-ccccc-ddddd"):
        assert send(edge, "/devices/profile", fields | {"password": wrong}).status == 400


# -- uses and revocation ---------------------------------------------------------------------------------------


def test_uses_are_shown_by_day_and_program(edge: Edge) -> None:
    _, password = make(edge)
    assert "Not used yet." in show(edge).text
    for program in ("DAVx5/4.5", "DAVx5/4.5", "<script>alert(1)</script>"):
        sign_in(edge, password, program)
    text = show(edge).text
    assert "DAVx5/4.5 today" in text
    assert "<script>alert(1)</script> today" in text
    day = app_passwords(edge.gate.reads, anna(edge))[0].last_used
    edge.gate.clock.advance(3 * DAY_SECONDS)
    assert f"DAVx5/4.5 last on {day}" in show(edge).text


def test_a_use_makes_nobody_sign_in_anew(edge: Edge) -> None:
    _, password = make(edge)
    edge.ask("GET", "/", user=ANNA)
    before = edge.gate.hasher.verified
    sign_in(edge, password)
    sign_in(edge, password, "another")
    edge.ask("GET", "/", user=ANNA)
    assert edge.gate.hasher.verified == before


def test_many_requests_make_one_change(edge: Edge) -> None:
    _, password = make(edge)
    before = edge.gate.reads.head(anna(edge).number, Kind.IDENTITY).rev
    for _ in range(50):
        assert sign_in(edge, password) == 200
    assert edge.gate.reads.head(anna(edge).number, Kind.IDENTITY).rev == before + 1


def test_a_use_that_cannot_be_taken_down_hinders_nobody(edge: Edge) -> None:
    _, password = make(edge)
    edge.gate.log.failure = OSError("the disk is gone")
    assert sign_in(edge, password) == 200
    assert sign_in(edge, password) == 200
    assert edge.gate.engine.try_resume()
    edge.gate.clock.advance(61)
    assert sign_in(edge, password) == 200
    assert app_passwords(edge.gate.reads, anna(edge))[0].programs


def test_a_locked_out_device_is_out_at_once(edge: Edge) -> None:
    _, password = make(edge)
    _, other = make(edge, label="tablet")
    assert sign_in(edge, password) == sign_in(edge, other) == 200  # remembered from now on
    fields = show(edge).fields("/devices/revoke", "phone")
    answer = send(edge, "/devices/revoke", fields)
    assert (answer.status, answer.headers["location"]) == (303, "/devices")
    assert sign_in(edge, password) == 401
    assert sign_in(edge, other) == 200
    assert labels(edge) == ["tablet"]
    assert send(edge, "/devices/revoke", fields).status == 303, "pressed twice"
    assert edge.gate.reads.secrets(anna(edge).number, "used/phone") == []


def test_an_account_that_is_held_is_503_and_not_without_devices(edge: Edge, gate: DavGate) -> None:
    make(edge)
    gate.hold(anna(edge), Kind.IDENTITY, "being restored")
    for path in ("/devices", "/devices/profile"):
        answer = edge.ask("GET", path, user=ANNA)
        assert answer.status == 503
        assert "Nothing has been deleted." in answer.text


def test_a_record_that_cannot_be_read_is_503_and_hides_no_device(edge: Edge, gate: DavGate) -> None:
    make(edge)
    from hashlib import sha256

    from safehold.model.commands import Body

    ledger = gate.engine._ledger
    gate.core.begin()
    ledger.begin(gate.log.position.frame + 1, gate.clock.now())
    account = anna(edge)
    identity = gate.core.collection(account.number, "identity")
    assert identity is not None
    body = Body(sha256(b"{").digest(), 1, inline=b"{")
    ledger.put(account, identity, "app/broken", "application/octet-stream", body, "test")
    gate.core.commit()
    assert edge.ask("GET", "/devices", user=ANNA).status == 503


# -- a device that has more ----------------------------------------------------------------------------------------


def test_what_a_device_has_seen_beyond_the_server_is_shown_and_let_go_of_once(edge: Edge) -> None:
    gate = edge.gate
    assert "more than the server" not in show(edge).text
    note = NoteAhead(
        account=anna(edge).id,
        collection=b"c" * 16,
        path="contacts/default",
        rev=99,
        hash=b"h" * 16,
        device="DAVx5/<4.5>",
    )
    gate.engine.execute(note)
    page = show(edge)
    assert "A device has more than the server" in page.text
    assert "DAVx5/<4.5>" in page.text
    fields = page.fields("/devices/let-go")
    assert fields["path"] == "contacts/default"
    assert gate.proofs.standing(gate.reads, anna(edge))
    for _ in range(2):
        assert send(edge, "/devices/let-go", fields).status == 303
        assert gate.proofs.standing(gate.reads, anna(edge)) == []
    assert "more than the server" not in show(edge).text


def test_that_the_end_is_in_doubt_is_shown_and_accepted_once(edge: Edge) -> None:
    gate = edge.gate
    assert "last changes may be missing" not in show(edge).text
    gate.core.begin()
    gate.core.set_end_in_doubt(encode_doubt(Doubt(5, 12.0, "7-abc")))
    gate.core.commit()
    page = show(edge)
    assert "The last changes may be missing" in page.text
    fields = page.fields("/devices/let-go")
    assert standing_doubts(gate.reads, anna(edge))
    assert send(edge, "/devices/let-go", {**fields, "token": "forged"}).status == 403
    assert standing_doubts(gate.reads, anna(edge))
    for _ in range(2):
        assert send(edge, "/devices/let-go", fields).status == 303
        assert standing_doubts(gate.reads, anna(edge)) == []
    assert "last changes may be missing" not in show(edge).text
