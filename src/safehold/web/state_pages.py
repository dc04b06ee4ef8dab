"""An account's own state as a page, as JSON and as a feed, in either language. Pure: from an AccountState to text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from safehold.service.ahead import ACCEPT, END, KEEP
from safehold.service.notices import Notice
from safehold.web.atom import Entry, feed, timestamp
from safehold.web.layout import escape, table
from safehold.web.notice_words import may_undo, notice_text
from safehold.web.state import (
    PARTIAL,
    RESTORING,
    WHOLE,
    AccountState,
    AheadState,
    EndState,
    KindState,
    Missing,
    ReportState,
    ahead_step,
    steps,
)
from safehold.web.status_pages import recovery_sentences
from safehold.web.words import Words

PATH = "/account/state"
NOTICES, AHEAD, MAIL, GHOSTS = "/account/notices", "/account/ahead", "/account/mail", "/account/ghosts"
_CLASSES = {WHOLE: "good", RESTORING: "warn", PARTIAL: "bad"}
_SHOWN_MISSING = 20

#: What a form has to carry beside what is typed: fields to HTML.
Hidden = Callable[[dict[str, str]], str]


def undo_fields(notice: Notice) -> dict[str, str] | None:
    """What brings back what a notice tells of, as `/undo` takes it; None where it tells of nothing of that sort."""
    if not may_undo(notice):
        return None
    to = str(notice.facts.get("point") or "") or timestamp(int(str(notice.facts["before"])))
    where = {"collection": notice.collection} if notice.collection else {"kind": notice.kind}
    return {"to": to, **where, "below": "1", "deleted": "1"}


def undo_url(notice: Notice) -> str | None:
    """The page that shows what going back would bring, where a notice tells of what can be undone."""
    fields = undo_fields(notice)
    return None if fields is None else "/undo?" + urlencode(fields)


# -- the page --------------------------------------------------------------------------------------------------


def state_html(state: AccountState, words: Words, *, hidden: Hidden, feed_url: str, mailing: bool) -> str:
    """`mailing`: whether the service sends mail, so that an address is of use."""
    parts = [f"<h1>{words('own.title')}</h1>", _headline(state, words)]
    if state.recovery is not None:
        told = "".join(f"<p>{escape(sentence)}</p>" for sentence in recovery_sentences(state.recovery, words))
        parts.append(f'<div class="note"><h3>{words("recovery.title")}</h3>{told}</div>')
    todo = [step for step in steps(state, words) if step not in _told_below(state, words)]
    if todo:
        listed = "".join(f"<li>{escape(step)}</li>" for step in todo)
        parts.append(f"<h2>{words('own.what-to-do')}</h2><ol>{listed}</ol>")
    if state.end_in_doubt is not None:
        parts.append(_end(state.end_in_doubt, words, hidden))
    for path in dict.fromkeys(one.collection for one in state.devices_ahead):
        parts.append(_ahead([one for one in state.devices_ahead if one.collection == path], words, hidden))
    if state.notices:
        parts.append(f"<h2>{words('own.notices')}</h2>")
        parts += [_notice(notice, state, words, hidden) for notice in state.notices]
    if state.intake_waiting:
        parts.append(f"<p>{words.count('own.intake', state.intake_waiting)}</p>")
    parts.append(f"<h2>{words('own.by-kind')}</h2>" + _kinds(state.kinds, words))
    parts += [_missing_of(kind, words) for kind in state.kinds if kind.state == PARTIAL]
    if state.ghosts:
        parts.append(_ghosts(state, words, hidden))
    if state.report is not None:
        parts.append(_report(state.report, words))
    parts.append(_feed(feed_url, words))
    if mailing:
        parts.append(_mail(state, words, hidden))
    parts.append(f'<p><a href="/status">{words("own.public")}</a></p>')
    return "".join(parts)


def headline(state: AccountState, words: Words) -> tuple[str, str]:
    if state.state == RESTORING:
        return words("own.restoring"), "warn"
    if state.state == PARTIAL:
        return words("own.something"), "bad"
    if state.end_in_doubt is not None or state.devices_ahead or state.notices:
        return words("own.something"), "warn"
    return words("own.all-well"), "good"


def _headline(state: AccountState, words: Words) -> str:
    text, class_ = headline(state, words)
    return f'<p class="state {class_}">{escape(text)}</p>'


def _told_below(state: AccountState, words: Words) -> set[str]:
    """Steps that stand beside what they are about."""
    return {words("step.end"), *(ahead_step(one, words) for one in state.devices_ahead)}


def _kinds(kinds: Sequence[KindState], words: Words) -> str:
    rows = []
    for kind in kinds:
        class_ = _CLASSES.get(kind.state, "warn")
        told = f'<span class="{class_}">{escape(words(f"kind-state.{kind.state}"))}</span>'
        if kind.back is not None and kind.back[1]:
            told += f' <progress max="{kind.back[1]}" value="{kind.back[0]}"></progress>'
        rows.append([escape(words.kind(kind.kind)), told, words.number(kind.items)])
    return table([words("kind"), words("state"), words("items")], rows, numbers=frozenset((2,)))


def _missing_of(kind: KindState, words: Words) -> str:
    """What of a kind is missing, by name where anybody knows it; else the reason that it is held for."""
    head = f"<h3>{escape(words.kind(kind.kind))}: {words('own.missing')}</h3>"
    if not kind.missing:
        return f'<div class="note">{head}<p>{escape(kind.reason or "")}</p></div>'
    return f'<div class="note">{head}{_names(kind.missing, kind.missing_count, words)}</div>'


def _ghosts(state: AccountState, words: Words, hidden: Hidden) -> str:
    """Items of which nothing but the name is left, and the word by which they leave the list."""
    named = [Missing(one.collection, one.name, []) for one in state.ghosts]
    told = words.count("ghosts.told", state.ghost_count)
    return (
        f'<div class="note"><h3>{words("ghosts.title")}</h3><p>{escape(told)}</p>'
        f"{_names(named, state.ghost_count, words)}"
        f'<form method="post" action="{GHOSTS}">{hidden({})}<p>{escape(words("ghosts.drop-means"))}</p>'
        f'<button class="plain">{escape(words("ghosts.drop"))}</button></form></div>'
    )


def _names(missing: Sequence[Missing], count: int, words: Words) -> str:
    listed = "".join(f"<li>{escape(_name(one, words))}</li>" for one in missing[:_SHOWN_MISSING])
    more = count - min(len(missing), _SHOWN_MISSING)
    return f"<ul>{listed}</ul>" + (f"<p>{words('report.more', count=words.number(more))}</p>" if more > 0 else "")


def _name(one: Missing, words: Words) -> str:
    if one.name:
        return "/".join(filter(None, (one.collection, one.name)))
    return words.count("report.nameless", max(1, len(one.revs)))


def _ahead(those: Sequence[AheadState], words: Words, hidden: Hidden) -> str:
    """What the person can say of the devices that are ahead in one collection, and what each word means."""
    told = f'<div class="note"><h3>{words("ahead.title")}</h3>'
    told += "".join(f"<p>{escape(ahead_step(one, words))}</p>" for one in those)
    told += f"<p>{escape(words('ahead.closed', collection=those[0].title))}</p>"
    told += f"<p>{escape(words('step.ahead-export', collection=those[0].title))}</p>"
    first = those[0]
    keep, accept = (KEEP, "", "keep"), (ACCEPT, ' class="plain"', "accept" if first.there else "gone")
    chosen = (keep, accept) if first.there else (accept,)
    for word, class_, means in chosen:
        fields = hidden({"path": first.collection, "word": word})
        said = escape(words(f"ahead.{means}-means", collection=first.title))
        told += (
            f'<form method="post" action="{AHEAD}">{fields}<p>{said}</p>'
            f"<button{class_}>{escape(words(f'ahead.{word}'))}</button></form>"
        )
    return told + "</div>"


def _end(end: EndState, words: Words, hidden: Hidden) -> str:
    """What a person can say of the end of the log, and what it means."""
    how_long = words("notice.unknown-seconds", time=words.duration(end.unknown_seconds))
    told = "".join(f"<p>{escape(text)}</p>" for text in (how_long, words("end.closed"), words("step.end")))
    fields = hidden({"path": END, "word": ACCEPT})
    return (
        f'<div class="note"><h3>{words("end.title")}</h3>{told}<form method="post" action="{AHEAD}">{fields}'
        f'<p>{escape(words("end.accept-means"))}</p><button class="plain">{escape(words("end.accept"))}</button>'
        "</form></div>"
    )


def _notice(notice: Notice, state: AccountState, words: Words, hidden: Hidden) -> str:
    text = notice_text(notice, words, state.titles.get(notice.collection, ""))
    names = ""
    if notice.names:
        names = f"<p>{escape(words('notice.names', names=', '.join(notice.names)))}</p>"
    undo = undo_url(notice)
    link = f'<p><a href="{escape(undo)}">{escape(words("notice.undo"))}</a></p>' if undo is not None else ""
    back = ""
    if (fields := undo_fields(notice)) is not None:
        back = (
            f'<form method="post" action="/undo">{hidden(fields)}'
            f"<button>{escape(words('notice.bring-back'))}</button></form>"
        )
    dismiss = (
        f'<form method="post" action="{NOTICES}">{hidden({"key": notice.key})}'
        f'<button class="quiet">{escape(words("notice.dismiss"))}</button></form>'
    )
    return (
        f'<div class="note"><h3>{words.time(notice.at)} UTC</h3><p>{escape(text)}</p>{names}{link}{back}{dismiss}</div>'
    )


def _report(report: ReportState, words: Words) -> str:
    head = f"<h2>{words('report.title')}</h2>"
    said = words("report.exact" if report.exact else "report.not-exact", day=words.day(report.at))
    rows = [
        [escape(words.kind(kind)), words.number(count.exact), words.number(count.older), words.number(count.lost)]
        for kind, count in report.kinds.items()
    ]
    columns = [words("kind"), words("report.col.exact"), words("report.col.older"), words("report.col.lost")]
    counts = table(columns, rows, numbers=frozenset((1, 2, 3))) if rows else ""
    lost = _names(report.lost, report.lost_count, words) if report.lost else ""
    unknown = ""
    if report.unknown_seconds > 0:
        unknown = f"<p>{escape(words('notice.unknown-seconds', time=words.duration(report.unknown_seconds)))}</p>"
    return f"{head}<p>{escape(said)}</p>{counts}{lost}{unknown}"


def _feed(url: str, words: Words) -> str:
    return (
        f'<div class="card"><p>{escape(words("own.feed"))}</p><span class="address">{escape(url)}</span>'
        f"<p>{escape(words('own.feed-renewed'))}</p></div>"
    )


def _mail(state: AccountState, words: Words, hidden: Hidden) -> str:
    address = state.mail.address if state.mail is not None else ""
    said = words("own.mail", address=address) if address else words("own.no-mail")
    return (
        f'<div class="card"><p>{escape(said)}</p><form method="post" action="{MAIL}">{hidden({"lang": words.lang})}'
        f'<label class="field">{escape(words("own.mail-field"))}'
        f'<input type="email" name="address" value="{escape(address)}" maxlength="254"></label>'
        f"<button>{escape(words('own.mail-set'))}</button></form></div>"
    )


# -- the API and the feed --------------------------------------------------------------------------------------


def state_json(state: AccountState, words: Words) -> dict[str, Any]:
    """The object of `GET /api/v1/state`. Times in it are RFC 3339."""
    facts = msgspec.to_builtins(state)
    assert isinstance(facts, dict)
    facts.pop("titles")
    facts["mail"] = None if state.mail is None else state.mail.address
    facts["steps"] = steps(state, words)
    for told, notice in zip(facts["notices"], state.notices, strict=True):
        told["text"] = notice_text(notice, words, state.titles.get(notice.collection, ""))
        told["undo"] = undo_url(notice)
        told["at"], told["since"] = timestamp(notice.at), timestamp(notice.since)
    for told, ghost in zip(facts["ghosts"], state.ghosts, strict=True):
        told["at"] = timestamp(ghost.at)
    for told, one in zip(facts["devices_ahead"], state.devices_ahead, strict=True):
        told["since"] = timestamp(one.since)
    if state.end_in_doubt is not None:
        facts["end_in_doubt"]["since"] = timestamp(state.end_in_doubt.since)
    if state.report is not None:
        facts["report"]["at"] = timestamp(state.report.at)
    return facts


def state_atom(state: AccountState, words: Words, *, id_: str, since: int, page: str, here: str) -> str:
    """The feed: how the data stands, and each notice. It names no item, collection or device."""
    text, _ = headline(state, words)
    told = [text, *(recovery_sentences(state.recovery, words) if state.recovery is not None else ())]
    told += [f"{words.kind(kind.kind)}: {words(f'kind-state.{kind.state}')}" for kind in state.kinds]
    if state.end_in_doubt is not None:
        told.append(words("end.title"))
    if state.devices_ahead:
        told.append(words("kind-state.ahead"))
    entries = [Entry(f"{id_}#{state.state}-{since}", text, since, "\n".join(told))]
    for notice in state.notices:
        said = notice_text(_bare(notice), words)
        entries.append(Entry(f"{id_}#{notice.key}", said, notice.at, said))
    newest = max(entry.at for entry in entries)
    return feed(id_, f"Safehold: {words('own.title')}", newest, entries, lang=words.lang, page=page, here=here)


def _bare(notice: Notice) -> Notice:
    """Without what only who has signed in may read."""
    facts = {key: fact for key, fact in notice.facts.items() if key != "device"}
    return msgspec.structs.replace(notice, collection="", names=(), facts=facts)
