"""The public status as HTML and as a feed, in either language. Pure: from a public status object to text.

The same text is served at `/status` and written as a file that another web server publishes (assembly/status_file.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from safehold.model.kinds import DATA_KINDS, RESTORE_ORDER
from safehold.web.atom import Entry, feed
from safehold.web.layout import escape, table
from safehold.web.words import Words

#: States of the service in which it cannot answer as it should.
UNHEALTHY = frozenset(("starting", "stopping", "stopped", "failed"))
#: States in which it answers, but takes no change.
READ_ONLY = frozenset(("read-only",))
_STATE_CLASSES = {"met": "good", "at risk": "warn", "violated": "bad"}
#: States of a recovery in which it does not go on, and the words for each.
_HALTS = {
    "failed": "recovery.failed",
    "waiting": "recovery.waiting",
    "stopped": "recovery.waiting",
    "ask": "recovery.asks",
    "asks": "recovery.asks",
}
_MICROSECONDS = 1_000_000


def status_html(shown: Mapping[str, Any], words: Words) -> str:
    """The body of the status page."""
    parts = [f"<h1>{words('status.title')}</h1>", _headline(shown, words)]
    if shown.get("announcements"):
        parts.append(_announcements(shown["announcements"], words))
    if shown.get("recovery"):
        parts.append(recovery_html(shown["recovery"], words))
    parts += [_incident(incident, words) for incident in shown.get("incidents") or ()]
    everything = {**(shown.get("objectives") or {}), **(shown.get("evidence") or {})}
    promised = {name: one for name, one in everything.items() if one.get("target_seconds") is not None}
    if promised:
        parts.append(f"<h2>{words('promises')}</h2>" + _objectives(promised, words))
    if shown.get("vaults"):
        parts.append(f"<h2>{words('vaults')}</h2>" + _vaults(shown["vaults"], words))
    if shown.get("items"):
        counts = shown["items"]
        rows = [[words.kind(kind), words.number(counts[kind])] for kind in DATA_KINDS if kind in counts]
        columns = [words("kind"), words("items")]
        parts.append(f"<h2>{words('kept')}</h2>" + table(columns, rows, numbers=frozenset((1,))))
    if isinstance(shown.get("at"), int):
        parts.append(f"<p>{words('as-of', time=words.time(shown['at']))}</p>")
    return "".join(parts)


def headline(shown: Mapping[str, Any], words: Words) -> tuple[str, str]:
    """How the service stands in one sentence, and how good that is: good, warn or bad."""
    service = str(shown.get("service", "unknown"))
    if service in UNHEALTHY:
        return words(f"service.{service}"), "bad"
    if shown.get("recovery"):
        return words("service.recovering"), "warn"
    if service in READ_ONLY:
        return words("service.read-only"), "warn"
    if shown.get("incidents"):
        return words("service.something"), "warn"
    if service == "serving":
        return words("service.good"), "good"
    return words("service.other", state=service), "warn"


def _headline(shown: Mapping[str, Any], words: Words) -> str:
    text, class_ = headline(shown, words)
    return f'<p class="state {class_}">{escape(text)}</p>'


def _announcements(announcements: list[Mapping[str, Any]], words: Words) -> str:
    told = "".join(
        f'<div class="note"><p>{_lines(str(one.get("text", "")))}</p><p class="lead">{_times(one, words)}</p></div>'
        for one in announcements
    )
    return f"<h2>{words('announcements')}</h2>{told}"


def _times(one: Mapping[str, Any], words: Words) -> str:
    at, until = one.get("at"), one.get("until")
    told = f"{words.time(at)} UTC. " if isinstance(at, int) else ""
    return told + (words("until", time=words.time(until)) if isinstance(until, int) else "")


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.splitlines())


def incident_words(incident: Mapping[str, Any], words: Words) -> tuple[str, list[str]]:
    """What happened and what to do, as it is told to everybody.

    An incident's own words are English and may say more; in another language those of its `what` stand for them.
    """
    key = f"incident.{incident.get('what')}"
    steps = incident.get("steps") or ()
    own = [steps] if isinstance(steps, str) else [str(step) for step in steps]
    said = incident.get("summary")
    if words.lang == "en":
        return str(said or words.either(key, words("incident.other"))), own
    todo = [words.either(f"{key}.step", step) for step in own]
    return words.either(key, str(said or words("incident.other"))), todo


def _incident(incident: Mapping[str, Any], words: Words) -> str:
    said, steps = incident_words(incident, words)
    since = f"<p>{words('since', time=escape(str(incident['since'])))}</p>" if incident.get("since") else ""
    todo = "".join(f"<li>{escape(step)}</li>" for step in steps)
    return f'<div class="note"><h3>{escape(said)}</h3>{since}' + (f"<ol>{todo}</ol>" if todo else "") + "</div>"


# -- a recovery ------------------------------------------------------------------------------------------------


def recovery_html(recovery: Mapping[str, Any], words: Words) -> str:
    """What is known of a recovery that is under way, and what not to do meanwhile."""
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in recovery_sentences(recovery, words))
    kinds = _kinds(recovery.get("kinds"), words)
    return f'<div class="note"><h3>{words("recovery.title")}</h3>{told}</div>{kinds}'


def recovery_sentences(recovery: Mapping[str, Any], words: Words) -> list[str]:
    """The same in sentences; the last says that nothing was deleted."""
    found = []
    state = str(recovery.get("state") or "")
    if state in _HALTS:
        found.append(words(_HALTS[state]))
    if recovery.get("stage"):
        stage = str(recovery["stage"])
        found.append(words("recovery.stage", stage=words.either(f"stage.{stage}", words.kind(stage))))
    if isinstance(recovery.get("seconds"), int | float):
        found.append(words("recovery.running-for", time=words.duration(recovery["seconds"])))
    forecast = recovery.get("forecast_seconds")
    if isinstance(forecast, int | float):
        found.append(words("recovery.forecast", time=words.duration(max(1, forecast), 2)))
    else:
        found.append(words("recovery.no-forecast"))
    return [*found, words("recovery.safe")]


def share_back(kind: Any) -> tuple[int, int] | None:
    """How much of a kind is back, of how much: items where they are counted, else changes or streams."""
    if not isinstance(kind, Mapping):
        return None
    for expected, entered in (
        ("expected_items", "entered_items"),
        ("items_expected", "items_entered"),
        ("expected", "entered"),
        ("expected_changes", "entered_changes"),
        ("changes_expected", "changes_entered"),
        ("streams", "whole"),
    ):
        if isinstance(kind.get(expected), int) and isinstance(kind.get(entered), int):
            return kind[entered], kind[expected]
    return None


def _kinds(kinds: Any, words: Words) -> str:
    if not isinstance(kinds, Mapping):
        return ""
    rows = []
    for kind in RESTORE_ORDER:
        share = share_back(kinds.get(kind.value))
        if share is None or not share[1]:
            continue
        back, of = share
        bar = f'<progress max="{of}" value="{back}"></progress>'
        rows.append([words.kind(kind), bar, f"{words.number(back)} / {words.number(of)}"])
    if not rows:
        return ""
    return table([words("kind"), words("recovery.progress"), words("items")], rows, numbers=frozenset((2,)))


# -- tables ----------------------------------------------------------------------------------------------------


def _objectives(objectives: Mapping[str, Any], words: Words) -> str:
    rows = []
    for name, objective in objectives.items():
        state = str(objective.get("state", "unknown"))
        class_ = _STATE_CLASSES.get(state, "warn")
        rows.append(
            [
                escape(_promise(name, words)),
                words.duration(objective.get("target_seconds")),
                words.duration(objective.get("actual_seconds")),
                f'<span class="{class_}">{escape(words.either(f"objective.{state}", state))}</span>',
            ]
        )
    columns = [words("promise"), words("target"), words("measured"), words("state")]
    return table(columns, rows, numbers=frozenset((1, 2)))


def _promise(name: str, words: Words) -> str:
    """An objective, or that of one kind, in words."""
    kind, _, plain = name.rpartition(".")
    told = words.either(f"objective.{plain}", plain)
    return f"{words.kind(kind)}: {told}" if kind in set(DATA_KINDS) else told


def _vaults(vaults: list[Mapping[str, Any]], words: Words) -> str:
    rows = [
        [
            escape(str(vault.get("name", ""))),
            words("mode.sync" if vault.get("mode") == "sync" else "mode.async"),
            words.number(vault.get("unarchived_changes")),
            words.duration(vault.get("lag_seconds")),
            escape(_append_only(vault.get("append_only"), words)),
            words.ago(vault.get("seen_seconds_ago")),
            _scrubbed(vault.get("last_scrub"), words),
        ]
        for vault in vaults
    ]
    columns = ["vault", "mode", "behind", "behind-by", "append-only", "seen", "read-whole"]
    return table([words(column) for column in columns], rows, numbers=frozenset((2, 3, 5)))


def _append_only(told: Any, words: Words) -> str:
    return words.either(f"append-only.{told}", str(told or words("unknown")))


def _scrubbed(last: Any, words: Words) -> str:
    if not isinstance(last, Mapping):
        return words("never")
    if not last.get("ok"):
        damaged = last.get("damaged")
        told = words.count("damaged", damaged) if isinstance(damaged, int) else words("damaged", count="–")
        return f'<span class="bad">{told}</span>'
    return words.ago(last.get("seconds_ago"))


# -- the feed --------------------------------------------------------------------------------------------------


def status_atom(shown: Mapping[str, Any], words: Words, *, since: int, page: str = "", here: str = "") -> str:
    """The feed: an entry for how the service stands, for each announcement and for each incident.

    `since` (µs) is when the service came to stand as it does: a reader shows the entry anew when that changes.
    """
    text, _ = headline(shown, words)
    told = [text]
    recovery = shown.get("recovery")
    if recovery:
        told += recovery_sentences(recovery, words)
    base = page or "urn:safehold:status"
    state = "recovering" if recovery else str(shown.get("service", "unknown"))
    entries = [Entry(f"{base}#state-{state}-{since}", text, since, "\n".join(told))]
    for one in shown.get("announcements") or ():
        if isinstance(one.get("at"), int):
            said = str(one.get("text", ""))
            title = said.splitlines()[0] if said else ""
            entries.append(Entry(f"{base}#said-{one['at']}", title, one["at"], f"{said}\n{_times(one, words)}".strip()))
    for incident in shown.get("incidents") or ():
        at = moment_of(incident.get("since"), since)
        said, steps = incident_words(incident, words)
        entries.append(Entry(f"{base}#{incident.get('what')}-{at}", said, at, "\n".join([said, *steps])))
    newest = max(entry.at for entry in entries)
    title = f"Safehold: {words('status.title')}"
    return feed(base, title, newest, entries, lang=words.lang, page=page, here=here)


def moment_of(since: Any, otherwise: int) -> int:
    """An incident's `since`, which is text, as µs."""
    try:
        return int(datetime.fromisoformat(str(since)).timestamp() * _MICROSECONDS)
    except ValueError:
        return otherwise
