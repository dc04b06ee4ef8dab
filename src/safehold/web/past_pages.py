"""`/history` and `/undo`: what happened to one's data, as it was at any time, and the way back.

No GET changes anything. `/undo` with a moment shows what going back to it would add, change and remove, by name; a form
of that page does it. What it did can be undone by the same page. Nothing here needs a script.

    /undo?to=POINT|TIME [&kind=K | &collection=PATH [&name=ITEM]] [&below=1] [&deleted=1]     what it would do
    POST /undo, with the same fields                                                          do it
    /history [?kind=K | ?collection=PATH [&name=ITEM]] [&before=POINT]                        what happened
    /history/body?change=KIND:REV                                                             what was in it
"""

from __future__ import annotations

import re
from itertools import islice
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from safehold.model.change import Op
from safehold.model.commands import Undo
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.point import point_text
from safehold.ports.core import CoreReads, Version
from safehold.protocol.rest_past import parse_before, parse_kind, undo_command
from safehold.service.past import Gone, history_page, removed_collections, title_at
from safehold.service.undo_plan import ADDED, CHANGED, LEFT, REMOVED, Plan, plan_undo
from safehold.web.answers import Resource, in_place, signed_in
from safehold.web.gate import Gate
from safehold.web.layout import FORM_HEADERS, HEADERS, page, refuse_page, words_of
from safehold.web.past_html import (
    ACTIONS,
    HISTORY,
    UNDO,
    Line,
    Preview,
    choice_html,
    history_html,
    preview_html,
    told_html,
)
from safehold.web.posted import hidden_fields, posted_fields
from safehold.web.rest_past import body_answer
from safehold.web.undoing import done, kinds_meant
from safehold.web.words import Words

#: Changes on one page, names of each action, and collections that were removed.
SHOWN_CHANGES = 50
SHOWN_NAMES = 100
SHOWN_REMOVED = 20
#: Earlier changes that are looked through for what the deleted was called.
LOOKED_BACK = 2_000

_FIELDS = ("to", "kind", "collection", "name", "below", "deleted")
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", re.ASCII)


def routes(gate: Gate) -> list[Route]:
    past = PastPages(gate)
    return [
        Route(HISTORY, Resource(gate, {"GET": past.history}, refuse_page), name="history"),
        Route(HISTORY + "/body", Resource(gate, {"GET": past.body}, refuse_page), name="history/body"),
        Route(UNDO, Resource(gate, {"GET": past.undo, "POST": past.do}, refuse_page), name="undo"),
    ]


class PastPages:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    # -- history ---------------------------------------------------------------------------------------------

    async def history(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        query, words = request.query_params, words_of(request)
        filters = {name: query[name].strip("/") for name in ("kind", "collection", "name") if query.get(name)}
        kind = parse_kind(filters["kind"]) if "kind" in filters else None
        before = parse_before(query.get("before") or None)
        await in_place(self._gate, account, *kinds_meant(kind, filters.get("collection")))
        main = await self._gate.in_thread(lambda reads: _history(reads, account, filters, kind, before, words))
        return page(words("past.history"), main, name=account.name, headers=FORM_HEADERS, words=words, here=HISTORY)

    async def body(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        return await body_answer(self._gate, account, request.query_params.get("change", ""))

    # -- undo ------------------------------------------------------------------------------------------------

    async def undo(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        query, words = request.query_params, words_of(request)
        fields = {name: query[name] for name in _FIELDS if query.get(name)}
        if "undone" in query:
            main = told_html(fields, query["undone"], words)
        elif "to" not in fields:
            paths = await self._gate.in_thread(lambda reads: _paths(reads, account))
            gone = {fields["collection"]} - set(paths) if "collection" in fields else set[str]()
            main = choice_html([*paths, *gone], fields, words)
        else:
            command = _command(account, fields)
            await in_place(self._gate, account, *kinds_meant(command.kind, command.path))
            now = self._gate.clock.now()
            preview = await self._gate.in_thread(lambda reads: _preview(reads, account, command, now))
            # By the point: what is confirmed is what was shown, whatever the clock says meanwhile.
            hidden = hidden_fields(self._gate, account, fields | {"to": preview.point})
            main = preview_html(fields, preview, hidden, words)
        return page(words("past.as-it-was"), main, name=account.name, headers=FORM_HEADERS, words=words, here=UNDO)

    async def do(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        fields = await posted_fields(self._gate, request, account)
        undone = await done(self._gate, account, _command(account, fields, confirm=True))
        shown = {name: fields[name] for name in ("kind", "collection", "name", "below") if fields.get(name)}
        where = urlencode({**shown, "undone": undone.point_before})
        return RedirectResponse(f"{UNDO}?{where}", 303, HEADERS)


def _command(account: Account, fields: dict[str, str], *, confirm: bool = False) -> Undo:
    """Raises BadRequest."""
    return undo_command(
        account,
        _moment(fields.get("to", "")),
        kind=fields.get("kind"),
        collection=fields.get("collection"),
        name=fields.get("name"),
        below="below" in fields,
        deleted="deleted" in fields,
        confirm=confirm,
    )


def _moment(to: str) -> str:
    """As the API takes it. A field of date and time sends neither seconds nor a zone; the page says that it is UTC."""
    if not _LOCAL_TIME.fullmatch(to):
        return to
    return to.replace(" ", "T") + ("Z" if to.count(":") == 2 else ":00Z")


# -- reads, each of one moment ---------------------------------------------------------------------------------


def _history(
    reads: CoreReads,
    account: Account,
    filters: dict[str, str],
    kind: Kind | None,
    before: dict[Kind, int] | None,
    words: Words,
) -> str:
    path, name = filters.get("collection"), filters.get("name")
    with reads.snapshot() as now:
        found = history_page(now, account, kind=kind, path=path, name=name, limit=SHOWN_CHANGES, before=before)
        titles = _titles(now, account, found.versions)
        removed = [] if name or before else _gone(now, account, kind, path)
    return history_html(found, titles, removed, filters, words)


def _titles(reads: CoreReads, account: Account, versions: list[Version]) -> list[str]:
    """What each change is about, as a person calls it: of a delete, what was there before it."""
    titles = [title_at(reads, v.journal, v.media, v.size) if v.digest else "" for v in versions]
    wanted: dict[tuple[bytes, str], list[int]] = {}
    for place, version in enumerate(versions):
        if version.op is Op.DELETE:
            wanted.setdefault((version.collection, version.name), []).append(place)
    for kind in {version.kind for version in versions if version.op is Op.DELETE}:
        newest = max(v.rev for v in versions if v.kind is kind and v.op is Op.DELETE)
        for earlier in islice(reads.history(account.number, kind=kind, below={kind: newest}), LOOKED_BACK):
            places = wanted.get((earlier.collection, earlier.name), [])
            after = [place for place in places if versions[place].rev > earlier.rev and not titles[place]]
            if after and earlier.op is Op.PUT:
                title = title_at(reads, earlier.journal, earlier.media, earlier.size)
                for place in after:
                    titles[place] = title
    return titles


def _gone(reads: CoreReads, account: Account, kind: Kind | None, path: str | None) -> list[Gone]:
    found: list[Gone] = []
    for each in DATA_KINDS if kind is None else (kind,):
        if reads.held(account.number, each) is None:
            found += removed_collections(reads, account, each)
    if path is not None:
        found = [gone for gone in found if gone.path == path]
    return sorted(found, key=lambda gone: -gone.at)[:SHOWN_REMOVED]


def _paths(reads: CoreReads, account: Account) -> list[str]:
    found = reads.collections(account.number)
    return [c.path for c in found if c.kind in DATA_KINDS and c.kind is not Kind.SCORES]


def _preview(reads: CoreReads, account: Account, command: Undo, now: int) -> Preview:
    with reads.snapshot() as moment:
        plan = plan_undo(moment, account, command, now)
        lines = {action: list[Line]() for action in ACTIONS}
        counts = dict.fromkeys(ACTIONS, 0)
        for line in plan.lines():
            counts[line.action] += 1
        _fill(moment, plan, lines)
    return Preview(lines, counts, point_text(plan.revs))


def _fill(reads: CoreReads, plan: Plan, lines: dict[str, list[Line]]) -> None:
    """The first lines of each action, with titles where a body tells one."""

    def add(action: str, path: str, name: str, journal: int = 0, media: str = "", size: int = 0) -> None:
        if len(lines[action]) < SHOWN_NAMES:
            title = title_at(reads, journal, media, size) if journal else ""
            lines[action].append(Line(path, name, title))

    for each in plan.collections:
        if each.now is None:
            add(ADDED, each.path, "")
        elif each.then is None:
            add(REMOVED, each.path, "")
        elif each.props:
            add(CHANGED, each.path, "")
        for item in each.delete:
            add(REMOVED, each.path, item.name, item.journal, item.media, item.size)
        for past, live in each.put:
            add(ADDED if live is None else CHANGED, each.path, past.name, past.journal, past.media, past.size)
        for name in each.left:
            add(LEFT, each.path, name)
