"""Bodies of queries as clients send them, and asking them of a device's application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.asgi import CARD, DECLARED, ICAL, Answer, Device

CALENDAR = "/dav/anna/calendars/work/"
BOOK = "/dav/anna/contacts/default/"
RFC = Path(__file__).parents[1] / "data" / "rfc"
ETAG = "<D:getetag/>"


def calendar_query(inner: str, prop: str = ETAG, more: str = "") -> str:
    filter_ = f'<C:filter><C:comp-filter name="VCALENDAR">{inner}</C:comp-filter></C:filter>'
    return f"<C:calendar-query {DECLARED}><D:prop>{prop}</D:prop>{filter_}{more}</C:calendar-query>"


def in_comp(name: str, inner: str = "") -> str:
    return f'<C:comp-filter name="{name}">{inner}</C:comp-filter>'


def in_time(start: str = "", end: str = "") -> str:
    said = f'start="{start}" ' * bool(start) + f'end="{end}"' * bool(end)
    return f"<C:time-range {said}/>"


def book_query(inner: str, prop: str = ETAG, more: str = "", test: str = "anyof") -> str:
    filter_ = f'<A:filter test="{test}">{inner}</A:filter>'
    return f"<A:addressbook-query {DECLARED}><D:prop>{prop}</D:prop>{filter_}{more}</A:addressbook-query>"


def with_text(name: str, text: str, attributes: str = "", test: str = "anyof") -> str:
    match = f"<A:text-match {attributes}>{text}</A:text-match>"
    return f'<A:prop-filter name="{name}" test="{test}">{match}</A:prop-filter>'


def report(device: Device, path: str, body: str, **headers: str) -> Answer:
    return device.ask("REPORT", path, body, {"Depth": "1", **headers})


def names(answer: Answer) -> set[str]:
    """The names of the items that an answer lists."""
    return {r["href"].rpartition("/")[2] for r in answer.listed}


def data(answer: Answer, path: str, name: str = "C:calendar-data") -> bytes:
    text: Any = answer.text(path, name)
    return text.encode()


def with_examples(device: Device) -> None:
    """A calendar of all components with the objects of RFC 4791 appendix B; a VFREEBUSY is not kept here."""
    assert device.ask("MKCALENDAR", CALENDAR).status == 201
    for number in range(1, 8):
        body = (RFC / f"rfc4791-b-abcd{number}.ics").read_bytes()
        assert device.put(f"{CALENDAR}abcd{number}.ics", body, ICAL).status == 201


#: Cards like those that RFC 6352 section 8.6 shows.
CARDS = {
    "v100.vcf": ("Cyrus Daboo", "me", "daboo@example.com"),
    "v102.vcf": ("Oliver Daboo", "oliver", "oliver@example.com"),
    "v104.vcf": ("Lisa Lippincott", "lisa", "lisa.daboo@example.com"),
    "v106.vcf": ("Eric York", "\u00c9ric", "york@example.com"),
}


def with_cards(device: Device) -> None:
    for name, (full, nick, email) in CARDS.items():
        given, _, family = full.partition(" ")
        body = (
            f"BEGIN:VCARD\r\nVERSION:3.0\r\nPRODID:-//Example Corp.//CardDAV Client//EN\r\nUID:{name}@example.com\r\n"
            f"FN:{full}\r\nN:{family};{given};;;\r\nNICKNAME:{nick}\r\nEMAIL;TYPE=INTERNET:{email}\r\n"
            "item1.TEL;TYPE=CELL,pref:+1 1\r\nitem1.X-ABLabel:Boat\r\nEND:VCARD\r\n"
        )
        assert device.put(BOOK + name, body.encode(), CARD).status == 201
