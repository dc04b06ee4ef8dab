"""Whoever knocks (I58): which streams a request brings to the front, and that it is judged by what is in afterwards."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.core import NOT_YET
from safehold.web import pages, rest
from tests.support.asgi import DavGate, Device, vcard
from tests.support.edge import Edge

ALL_OF_CALENDARS = [Kind.CALENDAR, Kind.TASKS, Kind.NOTES]


def knocked(device: Device) -> list[Kind]:
    found = [kind for name, kind in device.gate.knocks if name == "anna"]
    assert len(found) == len(device.gate.knocks), "nobody knocks for somebody else"
    device.gate.knocks.clear()
    return found


def test_nothing_is_asked_for_while_nothing_recovers(device: Device) -> None:
    device.ask("PROPFIND", "/dav/anna/contacts/default/")
    assert knocked(device) == []


@pytest.mark.parametrize(
    ("method", "path", "kinds"),
    [
        ("PROPFIND", "/dav/", []),
        ("PROPFIND", "/dav/principals/anna/", []),
        ("PROPFIND", "/dav/anna/", []),
        ("PROPFIND", "/dav/anna/contacts/", [Kind.CONTACTS]),
        ("PROPFIND", "/dav/anna/calendars/", ALL_OF_CALENDARS),
        ("PROPFIND", "/dav/anna/files/", [Kind.NOTES, Kind.PHOTOS]),
        ("GET", "/dav/anna/contacts/default/a.vcf", [Kind.CONTACTS]),
        ("REPORT", "/dav/anna/calendars/default/", [Kind.CALENDAR]),
        ("PUT", "/dav/anna/calendars/tasks/a.ics", [Kind.TASKS]),
        ("DELETE", "/dav/anna/calendars/unheard-of/", ALL_OF_CALENDARS),
        ("MKCALENDAR", "/dav/anna/calendars/new/", ALL_OF_CALENDARS),
        ("GET", "/dav/anna/files/photos/a/b.jpg", [Kind.PHOTOS]),
        ("PROPFIND", "/dav/anna/files/notes/", [Kind.NOTES]),
        ("PROPFIND", "/dav/bob/contacts/", []),
    ],
)
def test_a_request_knocks_for_what_it_needs(device: Device, method: str, path: str, kinds: list[Kind]) -> None:
    device.gate.recovering = True
    device.ask(method, path)
    assert knocked(device) == kinds


@pytest.mark.parametrize(
    ("destination", "kinds"),
    [
        ("/dav/anna/files/photos/b.txt", [Kind.NOTES, Kind.PHOTOS]),
        ("/dav/bob/files/photos/b.txt", [Kind.NOTES]),
        ("http://elsewhere/dav/anna/files/photos/b.txt", [Kind.NOTES]),
        ("not an address", [Kind.NOTES]),
    ],
)
def test_a_move_knocks_for_where_it_goes_too(device: Device, destination: str, kinds: list[Kind]) -> None:
    device.gate.recovering = True
    device.ask("MOVE", "/dav/anna/files/notes/a.txt", headers={"destination": destination})
    assert knocked(device) == kinds


def test_a_stranger_knocks_for_nothing(device: Device) -> None:
    device.gate.recovering = True
    wrong = base64.b64encode(b"anna:wrong").decode()
    assert device.ask("PROPFIND", "/dav/anna/contacts/", headers={"authorization": f"Basic {wrong}"}).status == 401
    assert knocked(device) == []


def test_what_came_in_while_it_waited_is_served(device: Device) -> None:
    """And what did not is still held."""
    gate = device.gate
    body = vcard("a", "A")
    assert device.put("/dav/anna/contacts/default/a.vcf", body).status == 201
    account = gate.reads.account_named("anna")
    assert account is not None
    for kind in (Kind.CONTACTS, Kind.NOTES):
        gate.hold(account, kind, NOT_YET)
    gate.recovering = True
    assert device.ask("GET", "/dav/anna/contacts/default/a.vcf").status == 503

    def arrive(who: Account, kind: Kind) -> None:
        if kind is Kind.CONTACTS:
            gate.hold(who, kind, None)

    gate.on_knock = arrive
    assert device.ask("GET", "/dav/anna/contacts/default/a.vcf").body == body
    refused = device.ask("PROPFIND", "/dav/anna/files/notes/", headers={"depth": "1"})
    assert (refused.status, refused.headers["retry-after"] != "") == (503, True)


def test_scores_and_the_page_of_what_is_kept_knock_too(tmp_path: Path) -> None:
    gate = DavGate(tmp_path)
    gate.add_account("anna")
    gate.recovering = True
    try:
        api = Edge(gate, rest.routes(gate))
        assert api.ask("GET", "/api/v1/scores", user=("anna", "secret")).status == 200
        assert gate.knocks == [("anna", Kind.SCORES)]
        gate.knocks.clear()
        page = Edge(gate, pages.routes(gate))
        assert page.ask("GET", "/", user=("anna", "secret")).status == 200
        assert gate.knocks == [("anna", kind) for kind in DATA_KINDS]
    finally:
        gate.close()
