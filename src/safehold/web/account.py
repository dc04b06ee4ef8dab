"""`/account/state`: how an account's data stands, to its owner; its feed; and what the owner can say there.

    GET  /account/state                     the page
    POST /account/notices, ahead, mail      put a notice away, say a word about a device, leave an address
    POST /account/ghosts                    say that items of which nothing but the name is left are gone
    GET  /feed/ACCOUNT/LINK                 the feed

Every POST comes from a form of this server and from somebody who has signed in with the account's own password: who
finds a device must not be able to say that its items are given up (I63).

The feed's link is a MAC over the account's id and the stored form of its password: nobody can guess it, a new password
makes a new one, and none is kept anywhere. Feed readers rarely sign in; whoever has the link reads how things stand,
and neither names nor contents.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from safehold.model.change import ID_BYTES
from safehold.model.commands import DismissNotice, DropGhosts, LetGo, SetMail
from safehold.model.errors import Conflict, Held, NotFound
from safehold.model.items import Account
from safehold.model.token import account_key
from safehold.ports.core import CoreReads
from safehold.service.ahead import KEEP, Proof
from safehold.service.auth import PASSWORD
from safehold.web.answers import Resource, actor, owner_signed_in, refuse_json, signed_in
from safehold.web.atom import MEDIA_TYPE
from safehold.web.gate import Gate
from safehold.web.layout import FORM_HEADERS, HEADERS, page, refuse_page, words_of
from safehold.web.pages import Site
from safehold.web.posted import hidden_fields, posted_fields
from safehold.web.state import AccountState, account_state
from safehold.web.state_pages import AHEAD, GHOSTS, MAIL, NOTICES, PATH, state_atom, state_html
from safehold.web.status import StatusSource, public

_LINK_CHARS = 32
FEED = "/feed/"


def routes(gate: Gate, source: StatusSource) -> list[Route]:
    pages = AccountPages(gate, source)

    def route(path: str, handlers: dict[str, str]) -> Route:
        found = {method: getattr(pages, name) for method, name in handlers.items()}
        return Route(path, Resource(gate, found, refuse_page), name=path)

    return [
        route(PATH, {"GET": "show"}),
        route(NOTICES, {"POST": "dismiss"}),
        route(AHEAD, {"POST": "resolve"}),
        route(MAIL, {"POST": "set_mail"}),
        route(GHOSTS, {"POST": "drop_ghosts"}),
        Route(FEED + "{account}/{link}", Resource(gate, {"GET": pages.feed}, refuse_json), name=FEED),
    ]


async def state_of(gate: Gate, source: StatusSource, account: Account) -> AccountState:
    """How an account's data stands now. Raises Held."""
    recovery = public(source()).get("recovery")
    report = gate.recovery_report()

    def standing(now: CoreReads) -> list[Proof]:
        return gate.proofs.standing(now, account)

    def read(reads: CoreReads) -> AccountState:
        return account_state(reads, account, recovery=recovery, standing=standing, report=report)

    return await gate.in_thread(read)


class AccountPages:
    """The handlers."""

    def __init__(self, gate: Gate, source: StatusSource) -> None:
        self._gate = gate
        self._source = source
        self._began = gate.clock.now()

    async def _state(self, account: Account) -> AccountState:
        return await state_of(self._gate, self._source, account)

    # -- reading ---------------------------------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        words = words_of(request)
        state = await self._state(account)
        main = state_html(
            state,
            words,
            hidden=lambda fields: hidden_fields(self._gate, account, fields),
            feed_url=Site.of(request, self._gate.public_url).origin + self._feed_path(account),
            mailing=self._gate.sends_mail,
        )
        title = words("own.title")
        return page(title, main, name=account.name, headers=FORM_HEADERS, words=words, here=PATH)

    async def feed(self, request: Request) -> Response:
        """Raises NotFound where the link is nobody's; Held where that cannot be known now."""
        account = self._of_link(request.path_params["account"], request.path_params["link"])
        origin = Site.of(request, self._gate.public_url).origin
        state = await self._state(account)
        text = state_atom(
            state,
            words_of(request),
            id_=f"urn:safehold:account:{account.id.hex()}",
            since=self._since(state),
            page=origin + PATH,
            here=origin + self._feed_path(account),
        )
        headers = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-robots-tag": "noindex"}
        return Response(text, 200, headers, media_type=MEDIA_TYPE)

    def _since(self, state: AccountState) -> int:
        """What an entry about the present state is dated by (µs): the last of what made it so, as far as is known."""
        report = 0 if state.report is None else state.report.at
        devices = [one.since for one in state.devices_ahead]
        end = 0 if state.end_in_doubt is None else state.end_in_doubt.since
        return max((report, end, *devices, *(notice.at for notice in state.notices))) or self._began

    def _of_link(self, id_: str, link: str) -> Account:
        try:
            account_id = bytes.fromhex(id_)
        except ValueError:
            account_id = b""
        account = self._gate.reads.account_by_id(account_id) if len(account_id) == ID_BYTES else None
        expected = "" if account is None else self._link(account)
        if account is None or not hmac.compare_digest(expected.encode(), link.encode("utf-8", "surrogatepass")):
            if self._source().get("recovery"):
                raise Held("whose feed this is cannot be told while a recovery is under way")
            raise NotFound(
                "this is no feed of anybody", hint=f"the link stands on {PATH}; a new password makes a new one"
            )
        return account

    def _feed_path(self, account: Account) -> str:
        return f"{FEED}{account.id.hex()}/{self._link(account)}"

    def _link(self, account: Account) -> str:
        password = self._gate.reads.secret(account.number, PASSWORD) or b""
        key = account_key(self._gate.token_key, account.id)
        return hmac.digest(key, b"feed " + sha256(password).digest(), sha256).hex()[:_LINK_CHARS]

    # -- changing --------------------------------------------------------------------------------------------

    async def dismiss(self, request: Request) -> Response:
        account, fields = await self._sent(request)
        command = DismissNotice(account=account.id, actor=actor(request), name=fields.get("key", ""))
        return await self._done(command)

    async def resolve(self, request: Request) -> Response:
        """The person's word about a device: its next sync is answered by it."""
        account, fields = await self._sent(request)
        path, word = fields.get("path", ""), fields.get("word", "")
        if word == KEEP and self._gate.reads.collection(account.number, path) is None:
            raise Conflict(
                f"{path} itself was lost: without it no device can go on", hint="export it on the device first"
            )
        with suppress(NotFound):  # where the button was pressed twice
            await self._gate.execute(LetGo(account=account.id, actor=actor(request), path=path, word=word))
        return RedirectResponse(PATH, 303, HEADERS)

    async def set_mail(self, request: Request) -> Response:
        account, fields = await self._sent(request)
        lang, address = fields.get("lang", "en"), fields.get("address", "")
        return await self._done(SetMail(account=account.id, actor=actor(request), address=address, lang=lang))

    async def drop_ghosts(self, request: Request) -> Response:
        """The person's word: devices are told of a delete, as of any other."""
        account, _ = await self._sent(request)
        while (await self._gate.execute(DropGhosts(account=account.id, actor=actor(request)))).more:
            continue
        return RedirectResponse(PATH, 303, HEADERS)

    async def _sent(self, request: Request) -> tuple[Account, dict[str, str]]:
        account = await owner_signed_in(self._gate, request)
        return account, await posted_fields(self._gate, request, account)

    async def _done(self, command: DismissNotice | SetMail) -> Response:
        await self._gate.execute(command)
        return RedirectResponse(PATH, 303, HEADERS)
