"""`/`: what this is, the addresses to enter into a phone, and, for who has signed in, what is kept here."""

from __future__ import annotations

import re
from html import unescape
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from safehold.model.items import Account, Collection
from safehold.model.kinds import (
    DATA_KINDS,
    HOME_CALENDARS,
    HOME_CONTACTS,
    ROOT_NOTES,
    ROOT_PHOTOS,
    CollectionType,
    Kind,
)
from safehold.ports.core import CoreReads
from safehold.protocol.forwarded import is_host
from safehold.web.answers import Resource, in_place, signed_in
from safehold.web.gate import Gate
from safehold.web.layout import HEADERS, escape, page, refuse_page, table, words_of
from safehold.web.mobileconfig import Server
from safehold.web.words import Words

#: Where a visitor has named no host.
UNKNOWN_HOST = "this-server.example"
_PORT = re.compile(r":\d+\Z", re.ASCII)
_TAGS = re.compile(r"<[^>]*>")
_LOCAL = frozenset(("localhost", "127.0.0.1", "[::1]"))

_DISPLAY_NAME = "{DAV:}displayname"


def routes(gate: Gate) -> list[Route]:
    async def home(request: Request) -> Response:
        words = words_of(request)
        if "authorization" not in request.headers:
            return page("Safehold", _welcome() + _addresses(Site.of(request, gate.public_url), None))
        account = await signed_in(gate, request)
        await in_place(gate, account, *DATA_KINDS)
        rows = await gate.in_thread(lambda reads: shelf(reads, account, words))
        main = _own(account, rows, Site.of(request, gate.public_url), gate.erased_days, words)
        return page(f"Safehold: {account.name}", main, name=account.name)

    async def sign_in(request: Request) -> Response:
        """The browser asks for name and password here, and from then on sends them with `/` too."""
        await signed_in(gate, request)
        return RedirectResponse("/", 303, HEADERS)

    return [
        Route("/", Resource(gate, {"GET": home}, refuse_page), name="home"),
        Route("/sign-in", Resource(gate, {"GET": sign_in}, refuse_page), name="sign-in"),
    ]


class Site(NamedTuple):
    """Where the visitor sees this server: `origin` as in a URL, `host` as a phone wants it."""

    origin: str
    host: str
    secure: bool
    local: bool

    @classmethod
    def of(cls, request: Request, public_url: str) -> Site:
        """As configured, else from Host, which a visitor can set to anything: what is no host is not repeated."""
        scheme, _, host = public_url.partition("://")
        if not public_url:
            host = request.headers.get("host", "")
            host = host if is_host(host) else UNKNOWN_HOST
            scheme = "https" if request.scope.get("scheme") == "https" else "http"
        return cls(f"{scheme}://{host}", host, scheme == "https", _PORT.sub("", host).lower() in _LOCAL)

    @property
    def server(self) -> Server:
        """Host and port apart, as a configuration profile wants them."""
        parts = urlsplit(self.origin)
        return Server(parts.hostname or "", parts.port or (443 if self.secure else 80), self.secure)


class Row(NamedTuple):
    """A collection as its owner sees it; `items` is None while it may not be read."""

    kind: Kind
    title: str
    items: int | None


def shelf(reads: CoreReads, account: Account, words: Words) -> list[Row]:
    """The account's collections by kind. What is held is shown as held, never as empty."""
    with reads.snapshot() as now:
        held = {kind for kind in DATA_KINDS if now.held(account.number, kind) is not None}
        rows = [
            Row(c.kind, title_of(c), None if c.kind in held else len(now.items(c)))
            for c in now.collections(account.number)
            if c.kind in DATA_KINDS
        ]
        shown = {row.kind for row in rows}
        rows += [Row(kind, words.kind(kind), None) for kind in held - shown]
    return sorted(rows, key=lambda row: (DATA_KINDS.index(row.kind), row.title))


def title_of(collection: Collection) -> str:
    """Its display name, else the last part of its path; folders of files are told apart from lists of the same name."""
    for root in (ROOT_NOTES, ROOT_PHOTOS):
        if collection.path.startswith(root + "/"):
            return collection.path.removeprefix(root + "/")
    name = unescape(_TAGS.sub("", collection.props.get(_DISPLAY_NAME, ""))).strip()
    name = name or collection.path.rpartition("/")[2]
    return f"{name} (files)" if collection.type is CollectionType.FOLDER else name


# -- HTML ------------------------------------------------------------------------------------------------------


def _welcome() -> str:
    return (
        "<h1>Your contacts, calendar, notes, tasks, photos and scores. For all your devices, and for good.</h1>"
        '<p class="lead">Safehold keeps them in one place and writes every change to vaults of its own before it says '
        "“saved”, so that everything can be given back. If something is ever lost here, your devices are told "
        "“not now” and keep what they have.</p>"
    )


def _own(account: Account, rows: list[Row], site: Site, erased_days: int, words: Words) -> str:
    cells = [
        [words.kind(row.kind), escape(row.title), words.number(row.items) if row.items is not None else _held(words)]
        for row in rows
    ]
    listed = "Leaderboards show you." if account.listed else "Leaderboards do not show you."
    return (
        f"<h1>Hello, {escape(account.name)}.</h1>"
        '<p class="lead">This is what is kept for you here.</p>'
        + table([words("kind"), words("collection"), words("items")], cells, numbers=frozenset((2,)))
        + f"<p>{listed}</p>"
        + "<p>Whoever runs this server can erase your account with all that is in it. No copy of it is left in any "
        + f"vault {erased_days} days later.</p>"
        + _addresses(site, account.name)
    )


def _held(words: Words) -> str:
    return f'<span class="warn">{words("kind-state.restoring")}</span>'


def _addresses(site: Site, name: str | None) -> str:
    """The addresses, one card for each sort of program."""
    user = quote(name, safe="@+") if name is not None else None
    whose = f"/dav/{user or 'NAME'}"
    cards = (
        _card(
            "iPhone, iPad, Mac",
            "Add a CardDAV account for contacts and a CalDAV account for calendars and reminders. Server:",
            site.host,
        )
        + _card(
            "DAVx⁵ on Android, Evolution", "Log in with URL and user name. Everything is found from:", site.origin + "/"
        )
        + _card(
            "Thunderbird, contacts", "New CardDAV address book. Location:", f"{site.origin}{whose}/{HOME_CONTACTS}/"
        )
        + _card(
            "Thunderbird, calendars",
            "New calendar on the network. Location:",
            f"{site.origin}{whose}/{HOME_CALENDARS}/",
        )
        + _card("Notes and photos", "Any WebDAV program or file manager:", f"{site.origin}{whose}/files/")
        + _card(
            "High scores, for games", "REST with JSON; described in OpenAPI at", f"{site.origin}/api/v1/openapi.json"
        )
    )
    who = (
        '<p><a href="/devices">Connect a device without typing</a>, or enter one of these, with your user name '
        "for <code>NAME</code>.</p>"
        if name is None
        else f"<p>Your user name is <code>{escape(name)}</code>. Give each device a password of its own: "
        '<a href="/devices">connect a device without typing</a>.</p>'
    )
    return f'<h2>Connect a device</h2>{who}{caution(site)}<div class="cards">{cards}</div>'


def caution(site: Site) -> str:
    """What to know of an address that other devices cannot use, or had better not."""
    if site.local:
        return (
            '<div class="note"><p>You have opened this server by an address that works on its own machine only. To '
            "connect another device, open <code>/devices</code> by an address that the device can reach.</p></div>"
        )
    if site.secure:
        return ""
    return (
        '<div class="note"><p>You reach this server without encryption. Most phones refuse that, and passwords travel '
        "in the open: put a proxy with TLS before it.</p></div>"
    )


def _card(title: str, text: str, where: str) -> str:
    return f'<div class="card"><h3>{title}</h3><p>{text}</p>{address(where)}</div>'


def address(text: str) -> str:
    """Something to copy: an address, a name, a password."""
    return f'<span class="address">{escape(text)}</span>'
