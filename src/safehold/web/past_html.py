"""What `/history` and `/undo` show, as HTML, in either language; what comes from outside passes through `escape`."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlencode

from safehold.model.change import Op
from safehold.model.kinds import DATA_KINDS
from safehold.model.point import parse_point, point_text
from safehold.ports.core import Version
from safehold.protocol.rest import format_time
from safehold.service.past import Gone, Page
from safehold.service.undo_plan import ADDED, CHANGED, LEFT, REMOVED
from safehold.web.layout import escape, table
from safehold.web.words import Words

HISTORY, UNDO = "/history", "/undo"

#: The order in which an undo's actions are shown.
ACTIONS = (ADDED, CHANGED, REMOVED, LEFT)
#: Who acts, where it is no device.
_ACTORS = frozenset(("undo", "operator", "recovery", "import", "service"))

#: What the address of a page, or a form, says of an undo.
Fields = dict[str, str]


class Line(NamedTuple):
    """An item or a collection as a person knows it."""

    path: str
    name: str  # "" for the collection itself
    title: str


class Preview(NamedTuple):
    """What an undo would do. `lines` are the first of each action, `counts` all; `point` is the moment, exactly."""

    lines: dict[str, list[Line]]
    counts: dict[str, int]
    point: str


# -- history ---------------------------------------------------------------------------------------------------


def history_html(found: Page, titles: list[str], removed: list[Gone], filters: Fields, words: Words) -> str:
    """`titles` go with `found.versions`; `filters` is what the page was asked to show."""
    where = filters.get("collection") or (words.kind(filters["kind"]) if "kind" in filters else "")
    head = words("past.history-of", what=where) if where else words("past.history")
    lead = words("past.lead", link=f'<a href="{UNDO}{_query(filters)}">{words("past.lead.link")}</a>')
    kinds = [f'<a href="{HISTORY}?kind={kind}">{words.kind(kind)}</a>' for kind in DATA_KINDS]
    if filters:
        kinds.insert(0, f'<a href="{HISTORY}">{words("past.everything")}</a>')
    held = "".join(f'<div class="note"><p>{words("past.held", kind=words.kind(kind))}</p></div>' for kind in found.held)
    rows = [_row(version, title, words) for version, title in zip(found.versions, titles, strict=True)]
    shown = f'<ul class="log">{"".join(rows)}</ul>' if rows else f"<p>{words('past.none')}</p>"
    more = ""
    if found.next is not None:
        target = _query(filters | {"before": point_text(found.next)})
        more = f'<p><a href="{HISTORY}{target}">{words("past.earlier")}</a></p>'
    return (
        f'<h1>{escape(head)}</h1><p class="lead">{lead}</p><p>{" · ".join(kinds)}</p>'
        f"{held}{_removed(removed, words)}{shown}{more}"
    )


def _removed(removed: list[Gone], words: Words) -> str:
    if not removed:
        return ""
    rows = []
    for gone in removed:
        fields = {"collection": gone.path, "to": point_text(gone.point), "below": "1", "deleted": "1"}
        parts = [f"{_time(gone.at)} UTC", words.kind(gone.kind), _link(words("past.what-would-come-back"), fields)]
        rows.append(f"<li>{escape(gone.path)}<small>{' · '.join(parts)}</small></li>")
    return (
        f'<h2>{words("past.removed-collections")}</h2><ul class="log">{"".join(rows)}</ul>'
        f"<h2>{words('past.changes')}</h2>"
    )


def _row(version: Version, title: str, words: Words) -> str:
    """A change as an item of the list: what, then when, where and by whom, and what can be done with it."""
    own = version.name == version.path or not version.name
    named = "" if own else version.name
    parts = [
        f"{_time(version.at)} UTC",
        f'<a href="{HISTORY}{_query({"collection": version.path})}">{escape(version.path)}</a>',
        escape(words("past.by", who=_who(version.actor, words))),
    ]
    if title:
        parts.append(escape(named))
    if version.digest:
        change = point_text({version.kind: version.rev})
        parts.append(f'<a href="{HISTORY}/body?{urlencode({"change": change})}">{words("past.body")}</a>')
    before = point_text({version.kind: version.group - 1})
    if version.op in (Op.PUT, Op.DELETE, Op.PROPS) and named:
        fields = {"collection": version.path, "name": named, "to": before}
        parts.append(_link(words("past.undo"), fields))
    elif version.op is Op.RMCOL:
        fields = {"collection": version.path, "below": "1", "deleted": "1", "to": before}
        parts.append(_link(words("past.undo"), fields))
    what = escape(title or named or version.path)
    return f"<li>{what}: {words(f'past.op.{version.op}')}<small>{' · '.join(parts)}</small></li>"


def _who(actor: str, words: Words) -> str:
    return words(f"past.actor.{actor}") if actor in _ACTORS else actor.removeprefix("device:")


# -- undo ------------------------------------------------------------------------------------------------------


def choice_html(paths: list[str], fields: Fields, words: Words) -> str:
    """Where the time to go back to, and what shall go, are chosen."""
    chosen = fields.get("collection")
    options = f'<option value="">{words("past.all-collections")}</option>' + "".join(
        f"<option{' selected' if path == chosen else ''}>{escape(path)}</option>" for path in paths
    )
    return (
        f'<h1>{words("past.as-it-was")}</h1><p class="lead">{words("past.as-it-was.lead")}</p>'
        f'<div class="card"><form method="get" action="{UNDO}">'
        f'<label class="field">{words("past.when")}<input type="datetime-local" name="to" required></label>'
        f'<label class="field">{words("past.what")}<select name="collection">{options}</select></label>'
        f'<label class="choice"><input type="checkbox" name="deleted" value="1"> {words("past.only-deleted")}</label>'
        f"<button>{words('past.show')}</button></form></div>"
        f'<p><a href="{HISTORY}">{words("past.look")}</a></p>'
    )


def preview_html(fields: Fields, preview: Preview, hidden: str, words: Words) -> str:
    """What going back would do, and the button that does it; `hidden` is what its form carries."""
    key = "past.deleted-since" if "deleted" in fields else "past.what-as-it-was"
    head = f"<h1>{escape(words(key, what=_what(fields, words), when=_when(fields['to'], words)))}</h1>"
    lists = "".join(_list(preview, action, words) for action in ACTIONS)
    if not any(preview.counts[action] for action in (ADDED, CHANGED, REMOVED)):
        return f'{head}<p class="lead">{words("past.nothing-differs")}</p>{lists}{_back(words)}'
    counts = " · ".join(
        f"{words(f'past.action.{action}')}: {words.number(preview.counts[action])}"
        for action in ACTIONS
        if preview.counts[action]
    )
    sure = f'<div class="note"><p>{words("past.goes-too")}</p></div>' if preview.counts[REMOVED] else ""
    button = f'<form method="post" action="{UNDO}">{hidden}<button>{words("past.do")}</button></form>'
    return f'{head}<p class="lead">{words("past.not-yet")} {counts}.</p>{sure}{button}{lists}{_back(words)}'


def _list(preview: Preview, action: str, words: Words) -> str:
    lines, count = preview.lines[action], preview.counts[action]
    if not count:
        return ""
    itself = f"<em>{words('past.itself')}</em>"
    rows = [[escape(line.path), (escape(line.title) or escape(line.name)) if line.name else itself] for line in lines]
    left_out = count - len(lines)
    more = f"<p>{words('past.more', count=words.number(left_out))}</p>" if left_out > 0 else ""
    heading = f"<h2>{words(f'past.action.{action}')}: {words.number(count)}</h2>"
    return heading + table([words("past.collection"), words("past.item")], rows) + more


def told_html(fields: Fields, before: str, words: Words) -> str:
    """After an undo. `before` is where the undo of it goes back to; no point where nothing had to be changed."""
    if not parse_point(before):
        return f'<h1>{words("past.was-so")}</h1><p class="lead">{words("past.was-so.lead")}</p>{_back(words)}'
    again = _link(words("past.undo-this"), {**fields, "to": before})
    said = escape(words("past.done.lead", what=_what(fields, words)))
    return (
        f'<h1>{words("past.done")}</h1><p class="lead">{said}</p>'
        f"<p>{words('past.not-wanted')} {again}.</p>{_back(words)}"
    )


def _what(fields: Fields, words: Words) -> str:
    if fields.get("name"):
        return f"{fields.get('collection', '')}/{fields['name']}"
    if fields.get("collection"):
        return fields["collection"]
    return words.kind(fields["kind"]) if fields.get("kind") in DATA_KINDS else words("past.everything")


def _when(to: str, words: Words) -> str:
    point = parse_point(to)
    if point is None:
        return words("past.on", time=to.replace("T", " ").removesuffix("Z"))
    return ", ".join(words("past.before-change", number=rev + 1, kind=words.kind(kind)) for kind, rev in point.items())


def _back(words: Words) -> str:
    return f'<p><a href="{HISTORY}">{words("past.history")}</a> · <a href="{UNDO}">{words("past.other-time")}</a></p>'


def _link(text: str, fields: Fields) -> str:
    return f'<a href="{UNDO}{_query(fields)}">{text}</a>'


def _query(fields: Fields) -> str:
    return escape("?" + urlencode(fields)) if fields else ""


def _time(at: int) -> str:
    return format_time(at)[:19].replace("T", " ")
