"""`/devices`: the devices of an account, each with an app password of its own: made, shown once, revoked.

No GET changes anything. Every POST comes from a form of this server (`protocol.forms`) and from somebody who has signed
in with the account's own password: who finds a device must not be able to make further passwords (I43). A new password
stands on one page, in the answer to the POST that made it, and nowhere else: not in an address, a log or a cache.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from safehold.model.commands import AddAppPassword, LetGo, RevokeAppPassword
from safehold.model.errors import BadRequest, NotFound
from safehold.model.items import Account
from safehold.model.kinds import HOME_CALENDARS, HOME_CONTACTS
from safehold.model.token import account_key
from safehold.ports.core import CoreReads
from safehold.protocol.forms import MAX_FORM_BYTES, check_form_token, check_from_here, form_token, read_form
from safehold.protocol.target import user_href
from safehold.service.ahead import END, Proof, Proofs, standing_doubts
from safehold.service.auth import app_password_digest, label_of, make_app_password
from safehold.service.uses import DAY_MICROSECONDS, AppPassword, app_passwords, day_of, free_label
from safehold.web.answers import Resource, actor, owner_signed_in, read_body
from safehold.web.connecting import davx5_url, qr_svg, remembered_qr_svg
from safehold.web.gate import Gate
from safehold.web.layout import FORM_HEADERS, HEADERS, escape, page, refuse_page
from safehold.web.mobileconfig import MEDIA_TYPE, profile, profile_id
from safehold.web.pages import UNKNOWN_HOST, Site, address, caution

PATH = "/devices"

Sort = Literal["apple", "davx5", "thunderbird", "other"]
_SORTS: dict[Sort, str] = {
    "apple": "iPhone, iPad or Mac",
    "davx5": "Android, with DAVx⁵",
    "thunderbird": "Thunderbird",
    "other": "Something else",
}


def routes(gate: Gate) -> list[Route]:
    devices = Devices(gate)

    def route(path: str, handlers: dict[str, str]) -> Route:
        found = {method: getattr(devices, name) for method, name in handlers.items()}
        return Route(PATH + path, Resource(gate, found, refuse_page), name="devices" + path)

    return [
        route("", {"GET": "show", "POST": "make"}),
        route("/revoke", {"POST": "revoke"}),
        route("/let-go", {"POST": "let_go"}),
        route("/profile", {"GET": "bare_profile", "POST": "whole_profile"}),
    ]


@dataclass(frozen=True)
class Visit:
    """Who has signed in, under which address, and what a form of this page has to carry."""

    account: Account
    site: Site
    token: str


class Devices:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    # -- reading ---------------------------------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        visit = await self._visit(request)
        main = await self._gate.in_thread(partial(_overview, visit, day_of(self._gate.clock.now()), self._gate.proofs))
        return page("Devices", main, name=visit.account.name, headers=FORM_HEADERS)

    async def bare_profile(self, request: Request) -> Response:
        """The profile without a password: the device asks for it."""
        return self._profile(await self._visit(request), None)

    # -- changing --------------------------------------------------------------------------------------------

    async def make(self, request: Request) -> Response:
        visit, fields = await self._sent(request)
        sort = next((sort for sort in _SORTS if sort == fields.get("sort")), None)
        if sort is None:
            raise BadRequest("choose the sort of device")
        password = make_app_password(self._gate.entropy)
        digest = app_password_digest(password)
        assert digest is not None
        label = fields.get("label", "").strip()
        command = AddAppPassword(account=visit.account.id, label=label, sha256=digest, actor=actor(request))
        await self._gate.execute(command)
        main = await self._gate.in_thread(lambda _: _made(visit, sort, label, password))
        return page("A new device", main, name=visit.account.name, headers=FORM_HEADERS)

    async def revoke(self, request: Request) -> Response:
        visit, fields = await self._sent(request)
        command = RevokeAppPassword(account=visit.account.id, label=fields.get("label", ""), actor=actor(request))
        with suppress(NotFound):  # where the button was pressed twice
            await self._gate.execute(command)
        return RedirectResponse(PATH, 303, HEADERS)

    async def let_go(self, request: Request) -> Response:
        """The person's word to go on without what a device has seen and the server does not have."""
        visit, fields = await self._sent(request)
        command = LetGo(account=visit.account.id, path=fields.get("path", ""), actor=actor(request))
        with suppress(NotFound):  # where the button was pressed twice
            await self._gate.execute(command)
        return RedirectResponse(PATH, 303, HEADERS)

    async def whole_profile(self, request: Request) -> Response:
        """The profile with a password that was made a moment ago, and that the page which shows it has sent back."""
        visit, fields = await self._sent(request)
        password = fields.get("password", "")
        if label_of(self._gate.reads, visit.account, password) is None:
            raise BadRequest("this is no app password of yours", hint=f"make a new one on {PATH}")
        return self._profile(visit, password)

    # -- parts -----------------------------------------------------------------------------------------------

    async def _visit(self, request: Request) -> Visit:
        account = await owner_signed_in(self._gate, request)
        site = Site.of(request, self._gate.public_url)
        if site.host == UNKNOWN_HOST:
            raise BadRequest("your request does not name this server", hint="the operator can set public_url")
        return Visit(account, site, form_token(self._key(account), self._today()))

    async def _sent(self, request: Request) -> tuple[Visit, dict[str, str]]:
        """The fields of a form, once it is sure that it is one of ours. Raises Forbidden, and as the parts do."""
        visit = await self._visit(request)
        header = request.headers.get
        own = {Site.of(request, "").origin, visit.site.origin}
        check_from_here(header("sec-fetch-site"), header("origin"), own)
        fields = read_form(header("content-type", ""), await read_body(request, MAX_FORM_BYTES))
        check_form_token(self._key(visit.account), self._today(), fields.get("token", ""))
        return visit, fields

    def _key(self, account: Account) -> bytes:
        return account_key(self._gate.token_key, account.id)

    def _today(self) -> int:
        return self._gate.clock.now() // DAY_MICROSECONDS

    def _profile(self, visit: Visit, password: str | None) -> Response:
        account = visit.account
        body = profile(visit.site.server, account.name, profile_id(self._gate.token_key, account.id), password)
        disposition = f'attachment; filename="safehold-{account.name}.mobileconfig"'
        return Response(body, 200, HEADERS | {"content-disposition": disposition}, media_type=MEDIA_TYPE)


# -- HTML ------------------------------------------------------------------------------------------------------


def _overview(visit: Visit, today: str, proofs: Proofs, reads: CoreReads) -> str:
    with reads.snapshot() as now:
        ahead, doubt = proofs.standing(now, visit.account), standing_doubts(now, visit.account)
        known, label = app_passwords(now, visit.account), free_label(now, visit.account)
    return (
        "<h1>Your devices</h1>"
        '<p class="lead">Each has a password of its own, so that a lost one can be locked out and the others stay.</p>'
        + (_end(visit) if doubt else "")
        + _ahead(visit, ahead)
        + _cards(visit, known, today)
        + _new_device(visit, label)
        + _elsewhere(visit)
    )


def _end(visit: Visit) -> str:
    """That the end of the log is in doubt, and how to go on."""
    return (
        "<h2>The last changes may be missing</h2><p>Do not reset your devices. The service has lost how its history "
        "ended. Until it is known or accepted that nothing more comes back, no device that asks for all there is gets "
        "a list, so that none deletes what only it still has; new entries are taken. Export from your devices what "
        "you cannot do without, and ask the operator whether more can be recovered. Then go on: devices take the "
        "server’s list for the whole, and remove what they alone have.</p>"
        f'<div class="cards"><div class="card"><form method="post" action="{PATH}/let-go">{_hidden(visit, path=END)}'
        '<button class="plain">Go on without them</button></form></div></div>'
    )


def _ahead(visit: Visit, proofs: list[Proof]) -> str:
    """What devices have seen and the server does not have, by collection, and how to go on."""
    if not proofs:
        return ""
    cards = ""
    for path in sorted({proof.path for proof in proofs}):
        those = {proof.device for proof in proofs if proof.path == path}
        seen = "".join(f"<li>{escape(device)}</li>" for device in sorted(those))
        cards += (
            f'<div class="card"><h3>{escape(path)}</h3><p>Seen by</p><ul class="uses">{seen}</ul>'
            f'<form method="post" action="{PATH}/let-go">{_hidden(visit, path=path)}'
            '<button class="plain">Go on without it</button></form></div>'
        )
    return (
        "<h2>A device has more than the server</h2><p>Do not reset it. Until what it has seen is here again, nothing "
        "is listed in these places, so that no device deletes what only it still has; new entries are taken. Export "
        "them from the device, and ask the operator whether more can be recovered. Once you have them, or do not need "
        "them, go on without: then devices take the server's list for the whole.</p>"
        f'<div class="cards">{cards}</div>'
    )


def _cards(visit: Visit, known: list[AppPassword], today: str) -> str:
    return f'<div class="cards">{"".join(_card(visit, one, today) for one in known)}</div>' if known else ""


def _card(visit: Visit, known: AppPassword, today: str) -> str:
    made = f"Made on {day_of(known.created)}." if known.created else ""
    programs = "".join(
        f"<li>{escape(program)}<br><span>{_day(day, today)}</span></li>" for program, day in known.programs
    )
    used = f'<ul class="uses">{programs}</ul>' if programs else "<p>Not used yet.</p>"
    return (
        f'<div class="card"><h3>{escape(known.label)}</h3><p>{made}</p>{used}'
        f'<form method="post" action="{PATH}/revoke">{_hidden(visit, label=known.label)}'
        '<button class="plain">Lock out</button></form></div>'
    )


def _day(day: str, today: str) -> str:
    return "today" if day == today else f"last on {escape(day)}"


def _new_device(visit: Visit, label: str) -> str:
    sorts = "".join(
        f'<label class="choice"><input type="radio" name="sort" value="{sort}" required> {name}</label>'
        for sort, name in _SORTS.items()
    )
    return (
        '<h2>Connect a device</h2><div class="card">'
        f'<form method="post" action="{PATH}">{_hidden(visit)}<fieldset><legend>What is it?</legend>{sorts}</fieldset>'
        '<label class="field">What do you call it?'
        f'<input name="label" value="{escape(label)}" maxlength="64" required autocomplete="off"></label>'
        "<button>Make a password for it</button></form></div>"
    )


def _elsewhere(visit: Visit) -> str:
    """How the phone itself comes to this page."""
    url = visit.site.origin + PATH
    if visit.site.local:
        return caution(visit.site)
    return (
        '<h2>Is the device in your hand?</h2><div class="side">'
        f"{remembered_qr_svg(url, 'The address of this page')}"
        f"<div><p>Open this page on it: scan the code, or enter</p>{address(url)}"
        f'<p>An iPhone, iPad or Mac can also take <a href="{PATH}/profile">the profile without a password</a> and ask '
        "you for it.</p></div></div>"
    )


def _made(visit: Visit, sort: Sort, label: str, password: str) -> str:
    connect = {"apple": _apple, "davx5": _davx5, "thunderbird": _thunderbird, "other": _other}[sort]
    return (
        f'<h1>{escape(label)} is ready.</h1><p class="lead">This page is shown once: the password cannot be shown '
        "again. If it is lost, lock the device out and make a new one.</p>"
        f"{caution(visit.site)}{connect(visit, password)}"
        '<h2>By hand</h2><div class="card"><p>User name</p>'
        f"{address(visit.account.name)}<p>Password, with or without the dashes</p>{address(password)}"
        f"<p>Server</p>{address(visit.site.origin + '/')}</div>"
        f'<p><a href="{PATH}">Back to your devices</a></p>'
    )


def _apple(visit: Visit, password: str) -> str:
    return (
        '<h2>On the iPhone, iPad or Mac itself</h2><div class="card">'
        f'<form method="post" action="{PATH}/profile">{_hidden(visit, password=password)}'
        "<button>Download the profile</button></form>"
        "<p>Then open Settings, <em>Profile Downloaded</em> (on a Mac: System Settings, <em>Device Management</em>), "
        "and install it. It sets up contacts, calendars and reminders.</p>"
        "<p>The profile holds the password so that you need not type it: delete the file where it stays behind, and "
        "send it to nobody. It is not signed, so the device calls it “Unsigned” or “Not Verified”.</p></div>"
    )


def _davx5(visit: Visit, password: str) -> str:
    url = davx5_url(visit.site.host, visit.account.name, password, secure=visit.site.secure)
    return (
        '<h2>With DAVx⁵</h2><div class="side">'
        f"{qr_svg(url, 'Opens DAVx⁵ with address, user name and password')}"
        "<div><p>Install DAVx⁵, then scan the code with the phone’s camera: DAVx⁵ opens with everything filled in. "
        "Choose the address book, the calendars and the task lists.</p>"
        f'<p>On the phone itself: <a href="{escape(url)}">open DAVx⁵</a>.</p>'
        "<p>The code holds the password: let nobody photograph it.</p></div></div>"
    )


def _thunderbird(visit: Visit, _password: str) -> str:
    home = visit.site.origin + user_href(visit.account.name)
    return (
        '<h2>In Thunderbird</h2><div class="cards">'
        '<div class="card"><h3>Contacts</h3><p>Address Book, New Address Book, <em>Add CardDAV Address Book</em>. '
        f"Location:</p>{address(f'{home}{HOME_CONTACTS}/')}</div>"
        '<div class="card"><h3>Calendars and tasks</h3><p>Calendar, New Calendar, <em>On the Network</em>. '
        f"Location:</p>{address(f'{home}{HOME_CALENDARS}/')}</div></div>"
    )


def _other(visit: Visit, _password: str) -> str:
    home = visit.site.origin + user_href(visit.account.name)
    return (
        '<h2>Where to connect</h2><div class="cards">'
        '<div class="card"><h3>Contacts and calendars</h3><p>CardDAV and CalDAV programs find everything from</p>'
        f"{address(visit.site.origin + '/')}</div>"
        '<div class="card"><h3>Notes and photos</h3><p>WebDAV programs and file managers take</p>'
        f"{address(home + 'files/')}</div></div>"
    )


def _hidden(visit: Visit, **fields: str) -> str:
    return "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in {"token": visit.token, **fields}.items()
    )
