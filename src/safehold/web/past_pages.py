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
from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from safehold.model.change import Op
from safehold.model.commands import Undo
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.point import parse_point, point_text
from safehold.ports.core import CoreReads, Version
from safehold.protocol.rest import format_time
from safehold.protocol.rest_past import parse_before, parse_kind, undo_command
from safehold.service.past import Gone, Page, history_page, removed_collections, title_at
from safehold.service.undo_plan import ADDED, CHANGED, LEFT, REMOVED, Plan, plan_undo
from safehold.web.answers import Resource, signed_in
from safehold.web.gate import Gate
from safehold.web.layout import ENGLISH, FORM_HEADERS, HEADERS, escape, page, refuse_page, table
from safehold.web.posted import hidden_fields, posted_fields
from safehold.web.rest_past import body_answer
from safehold.web.undoing import done

HISTORY, UNDO = "/history", "/undo"

#: Changes on one page, names of each action, and collections that were removed.
SHOWN_CHANGES = 50
SHOWN_NAMES = 100
SHOWN_REMOVED = 20

_FIELDS = ("to", "kind", "collection", "name", "below", "deleted")
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", re.ASCII)

_KINDS = {
    Kind.CONTACTS: "Contacts",
    Kind.CALENDAR: "Calendar",
    Kind.NOTES: "Notes",
    Kind.TASKS: "Tasks",
    Kind.PHOTOS: "Photos",
    Kind.SCORES: "High scores",
}
_DID = {
    Op.MKCOL: "collection made",
    Op.SETCOL: "collection changed",
    Op.RMCOL: "collection removed",
    Op.PUT: "saved",
    Op.PROPS: "properties changed",
    Op.DELETE: "deleted",
    Op.REFUSED: "refused, and kept here",
    Op.GAP: "lost changes accepted",
}
_HEADINGS = {
    ADDED: "Comes back",
    CHANGED: "Becomes again what it was",
    REMOVED: "Goes",
    LEFT: "Cannot come back: another item bears its UID now",
}
_WHO = {"undo": "an undo", "operator": "whoever runs this server", "recovery": "a recovery", "import": "an import"}


def routes(gate: Gate) -> list[Route]:
    past = PastPages(gate)
    return [
        Route(HISTORY, Resource(gate, {"GET": past.history}, refuse_page), name="history"),
        Route(HISTORY + "/body", Resource(gate, {"GET": past.body}, refuse_page), name="history/body"),
        Route(UNDO, Resource(gate, {"GET": past.undo, "POST": past.do}, refuse_page), name="undo"),
    ]


class Line(NamedTuple):
    """An item or a collection as a person knows it."""

    path: str
    name: str  # "" for the collection itself
    title: str


class Preview(NamedTuple):
    """What an undo would do. `lines` are the first of each action, `counts` all."""

    lines: dict[str, list[Line]]
    counts: dict[str, int]
    items: int  # that live now where it would act
    point: str


class PastPages:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    # -- history ---------------------------------------------------------------------------------------------

    async def history(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        query = request.query_params
        look = partial(
            _look,
            account=account,
            kind=parse_kind(query["kind"]) if query.get("kind") else None,
            path=query["collection"].strip("/") if query.get("collection") else None,
            name=query.get("name") or None,
            before=parse_before(query.get("before") or None),
        )
        main = await self._gate.in_thread(look)
        return page("History", main, name=account.name, headers=FORM_HEADERS)

    async def body(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        return await body_answer(self._gate, account, request.query_params.get("change", ""))

    # -- undo ------------------------------------------------------------------------------------------------

    async def undo(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        query = request.query_params
        fields = {name: query[name] for name in _FIELDS if query.get(name)}
        if "undone" in query:
            main = _told(fields, query["undone"])
        elif "to" not in fields:
            main = await self._gate.in_thread(lambda reads: _choice(reads, account, fields))
        else:
            command = _command(account, fields)
            now = self._gate.clock.now()
            preview = await self._gate.in_thread(lambda reads: _preview(reads, account, command, now))
            # By the point: what is confirmed is what was shown, whatever the clock says meanwhile.
            button = hidden_fields(self._gate, account, fields | {"to": preview.point})
            main = _shown(fields, preview, button)
        return page("Undo", main, name=account.name, headers=FORM_HEADERS)

    async def do(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        fields = await posted_fields(self._gate, request, account)
        command = _command(account, fields, confirm=True)
        undone = await done(self._gate, command)
        shown = {name: fields[name] for name in ("kind", "collection", "name") if fields.get(name)}
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


def _preview(reads: CoreReads, account: Account, command: Undo, now: int) -> Preview:
    with reads.snapshot() as moment:
        plan = plan_undo(moment, account, command, now)
        lines = {action: list[Line]() for action in _HEADINGS}
        counts = dict.fromkeys(_HEADINGS, 0)
        for line in plan.lines():
            counts[line.action] += 1
        _fill(moment, plan, lines)
    return Preview(lines, counts, sum(each.items for each in plan.collections), point_text(plan.revs))


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


def _look(
    reads: CoreReads,
    account: Account,
    kind: Kind | None,
    path: str | None,
    name: str | None,
    before: dict[Kind, int] | None,
) -> str:
    with reads.snapshot() as now:
        found = history_page(now, account, kind=kind, path=path, name=name, limit=SHOWN_CHANGES, before=before)
        titles = [title_at(now, v.journal, v.media, v.size) if v.digest else "" for v in found.versions]
        removed = [] if name or before else _gone(now, account, kind, path)
    filters = {"kind": kind or "", "collection": path or "", "name": name or ""}
    return _history(found, titles, removed, {key: value for key, value in filters.items() if value})


def _gone(reads: CoreReads, account: Account, kind: Kind | None, path: str | None) -> list[Gone]:
    found: list[Gone] = []
    for each in DATA_KINDS if kind is None else (kind,):
        if reads.held(account.number, each) is None:
            found += removed_collections(reads, account, each)
    if path is not None:
        found = [gone for gone in found if gone.path == path]
    return sorted(found, key=lambda gone: -gone.at)[:SHOWN_REMOVED]


def _choice(reads: CoreReads, account: Account, fields: dict[str, str]) -> str:
    with reads.snapshot() as now:
        paths = [c.path for c in now.collections(account.number) if c.kind in DATA_KINDS and c.kind is not Kind.SCORES]
    if fields.get("collection") and fields["collection"] not in paths:
        paths.append(fields["collection"])
    options = '<option value="">all collections</option>' + "".join(
        f"<option{' selected' if path == fields.get('collection') else ''}>{escape(path)}</option>" for path in paths
    )
    return (
        "<h1>As it was</h1>"
        '<p class="lead">See your data as it was at a time, and bring it back. First you are shown what would change; '
        "and whatever you do here can be undone.</p>"
        f'<div class="card"><form method="get" action="{UNDO}">'
        '<label class="field">When (UTC)<input type="datetime-local" name="to" required></label>'
        f'<label class="field">What<select name="collection">{options}</select></label>'
        '<label class="choice"><input type="checkbox" name="deleted" value="1"> Only bring back what was deleted '
        "since; leave the rest as it is</label>"
        "<button>Show what would change</button></form></div>"
        f'<p>You do not know when? <a href="{HISTORY}">Look at what happened.</a></p>'
    )


# -- HTML ------------------------------------------------------------------------------------------------------


def _history(found: Page, titles: list[str], removed: list[Gone], filters: dict[str, str]) -> str:
    rows = [_row(version, title) for version, title in zip(found.versions, titles, strict=True)]
    where = filters.get("collection") or (_KINDS[Kind(filters["kind"])] if "kind" in filters else "")
    head = f"<h1>History{f' of {escape(where)}' if where else ''}</h1>"
    lead = (
        '<p class="lead">What happened to your data, the latest first. Nothing of it can be changed here, and '
        f'everything can be <a href="{UNDO}{_query(filters)}">brought back as it was</a>.</p>'
    )
    kinds = " · ".join(f'<a href="{HISTORY}?kind={kind}">{_KINDS[kind]}</a>' for kind in DATA_KINDS)
    all_ = f'<a href="{HISTORY}">Everything</a> · ' if filters else ""
    held = "".join(
        f'<div class="note"><p>{_KINDS[kind]} cannot be looked at now: they are being restored.</p></div>'
        for kind in found.held
    )
    shown = table(["When (UTC)", "What", "Item", "By", ""], rows) if rows else "<p>Nothing has happened here yet.</p>"
    more = ""
    if found.next is not None:
        more = f'<p><a href="{HISTORY}{_query(filters | {"before": point_text(found.next)})}">Earlier</a></p>'
    return f"{head}{lead}<p>{all_}{kinds}</p>{held}{_removed(removed)}{shown}{more}"


def _removed(removed: list[Gone]) -> str:
    if not removed:
        return ""
    rows = [
        [
            _time(gone.at),
            escape(gone.path),
            _KINDS[gone.kind],
            _link("see what would come back", _undo_fields(gone)),
        ]
        for gone in removed
    ]
    return (
        "<h2>Collections that were removed</h2>"
        + table(["When (UTC)", "Collection", "Kind", ""], rows)
        + "<h2>Changes</h2>"
    )


def _undo_fields(gone: Gone) -> dict[str, str]:
    return {"collection": gone.path, "to": point_text(gone.point), "below": "1", "deleted": "1"}


def _row(version: Version, title: str) -> list[str]:
    own = version.name == version.path or not version.name
    named = "" if own else version.name
    item = f"{escape(title)}<br><small>{escape(named)}</small>" if title else escape(named)
    where = f'<a href="{HISTORY}{_query({"collection": version.path})}">{escape(version.path)}</a>'
    links = []
    if version.digest:
        change = point_text({version.kind: version.rev})
        links.append(f'<a href="{HISTORY}/body?{urlencode({"change": change})}">what was in it</a>')
    if version.op in (Op.PUT, Op.DELETE, Op.PROPS) and named:
        before = point_text({version.kind: version.group - 1})
        links.append(_link("undo", {"collection": version.path, "name": named, "to": before}))
    elif version.op is Op.RMCOL:
        before = point_text({version.kind: version.group - 1})
        links.append(_link("undo", {"collection": version.path, "below": "1", "deleted": "1", "to": before}))
    what = f"{where}<br>{item}" if item else where
    return [_time(version.at), _DID[version.op], what, escape(_who(version.actor)), "<br>".join(links)]


def _who(actor: str) -> str:
    return _WHO.get(actor, actor.removeprefix("device:"))


def _shown(fields: dict[str, str], preview: Preview, hidden: str) -> str:
    head = f"<h1>{_what(fields)} as it was {_when(fields['to'])}</h1>"
    total = sum(preview.counts[action] for action in (ADDED, CHANGED, REMOVED))
    if not total:
        left = _lists(preview) if preview.counts[LEFT] else ""
        return f'{head}<p class="lead">Nothing differs from what was then.</p>{left}<p>{_back()}</p>'
    counts = (
        f"{ENGLISH.number(preview.counts[ADDED])} come back, {ENGLISH.number(preview.counts[CHANGED])} become again "
        "what they were, "
        f"{ENGLISH.number(preview.counts[REMOVED])} go."
    )
    sure = ""
    if preview.counts[REMOVED]:
        sure = (
            '<div class="note"><p>What goes here goes from your devices too. It stays in the history, and this can be '
            "undone.</p></div>"
        )
    button = f'<form method="post" action="{UNDO}">{hidden}<button>Do this</button></form>'
    return (
        f'{head}<p class="lead">Nothing has been changed yet. {counts}</p>{sure}'
        f"{button}{_lists(preview)}<p>{_back()}</p>"
    )


def _lists(preview: Preview) -> str:
    parts = []
    for action, heading in _HEADINGS.items():
        lines, count = preview.lines[action], preview.counts[action]
        if not count:
            continue
        rows = [
            [escape(line.path), (escape(line.title) or escape(line.name)) if line.name else "<em>the collection</em>"]
            for line in lines
        ]
        more = f"<p>… and {ENGLISH.number(count - len(lines))} more.</p>" if count > len(lines) else ""
        parts.append(f"<h2>{heading}: {ENGLISH.number(count)}</h2>{table(['Collection', 'Item'], rows)}{more}")
    return "".join(parts)


def _told(fields: dict[str, str], before: str) -> str:
    """After an undo. `before` is where the undo of it goes back to."""
    if not parse_point(before):
        return f'<h1>Nothing had to be changed.</h1><p class="lead">It was so already.</p><p>{_back()}</p>'
    link = _link("See what undoing this would do", {**fields, "to": before})
    return (
        f'<h1>Done.</h1><p class="lead">{_what(fields)} is as it was. Your devices follow when they sync next.</p>'
        f"<p>Not what you wanted? {link}.</p><p>{_back()}</p>"
    )


def _what(fields: dict[str, str]) -> str:
    if fields.get("name"):
        return escape(f"{fields.get('collection', '')}/{fields['name']}")
    if fields.get("collection"):
        return escape(fields["collection"])
    return _KINDS.get(Kind(fields["kind"]), "Everything") if fields.get("kind") in DATA_KINDS else "Everything"


def _when(to: str) -> str:
    point = parse_point(to)
    if point is None:
        return f"on {escape(to.replace('T', ' ').removesuffix('Z'))} UTC"
    return "before that change"


def _back() -> str:
    return f'<a href="{HISTORY}">History</a> · <a href="{UNDO}">As it was at another time</a>'


def _link(text: str, fields: dict[str, str]) -> str:
    return f'<a href="{UNDO}{_query(fields)}">{text}</a>'


def _query(fields: dict[str, str]) -> str:
    return escape("?" + urlencode(fields)) if fields else ""


def _time(at: int) -> str:
    return format_time(at)[:19].replace("T", " ")
