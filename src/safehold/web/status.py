"""`/healthz` for machines that watch, `/status` for everybody: how the service stands, without a name of anyone.

What is public is chosen here, key by key; what a status object has beyond that stays inside: names of accounts, places
of vaults, the operator's messages. An incident shows its `what`, `since`, `until`, `summary` and `steps`, which are
written for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from safehold.model.errors import Held, SafeholdError
from safehold.model.kinds import DATA_KINDS
from safehold.web.answers import Resource, json_answer, refuse_json
from safehold.web.gate import Gate
from safehold.web.layout import escape, page, refuse_page, table

#: States of the service in which it cannot answer as it should.
UNHEALTHY = frozenset(("starting", "stopping", "stopped", "failed"))
#: The state in which it answers, and is still bringing back a part of what it holds.
RECOVERING = "recovering"
#: States in which it answers, but takes no change.
READ_ONLY = frozenset(("read-only",))
#: A public address must not make the core count again and again.
FRESH_SECONDS = 1.0

_STATUS_KEYS = ("service", "timeline", "accounts", "changes", "items", "objectives")
_VAULT_KEYS = (
    "name",
    "mode",
    "append_only",
    "unarchived_changes",
    "lag_seconds",
    "seen_seconds_ago",
    "last_scrub",
    "last_drill",
)
_INCIDENT_KEYS = ("what", "since", "until", "summary", "steps")
_RECOVERY_KEYS = ("state", "stage", "stages", "since", "progress", "forecast_seconds", "seconds", "verified")

StatusSource = Callable[[], dict[str, Any]]


def remembered(gate: Gate) -> StatusSource:
    """`gate.status`, asked at most once a second."""
    last: list[tuple[float, dict[str, Any]]] = []

    def status() -> dict[str, Any]:
        now = gate.clock.monotonic()
        if not last or now - last[0][0] >= FRESH_SECONDS:
            last[:] = [(now, gate.status())]
        return last[0][1]

    return status


def public(status: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a status object that everybody may see."""
    shown = _pick(status, _STATUS_KEYS)
    shown["vaults"] = [_pick(vault, _VAULT_KEYS) for vault in status.get("vaults") or ()]
    shown["incidents"] = [_pick(incident, _INCIDENT_KEYS) for incident in status.get("incidents") or ()]
    recovery = status.get("recovery")
    shown["recovery"] = _pick(recovery, _RECOVERY_KEYS) if recovery else None
    return shown


def _pick(found: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        return {}
    return {key: found[key] for key in keys if key in found}


def routes(gate: Gate, status: StatusSource | None = None) -> list[Route]:
    source = status or remembered(gate)

    async def healthz(_: Request) -> Response:
        return health(source)

    async def status_page(request: Request) -> Response:
        shown = public(source())
        if wants_json(request):
            return json_answer(msgspec.json.encode(shown))
        return page("Safehold: status", status_html(shown))

    def refuse(request: Request, error: SafeholdError, dice: int) -> Response:
        return (refuse_json if wants_json(request) else refuse_page)(request, error, dice)

    return [
        Route("/healthz", Resource(gate, {"GET": healthz}, refuse_json), name="healthz"),
        Route("/status", Resource(gate, {"GET": status_page}, refuse), name="status"),
    ]


def health(source: StatusSource) -> Response:
    """200 and `ok`, or `recovering`, while requests are answered; 503 and the state where they are not."""
    state = source().get("service")
    if state in UNHEALTHY:
        raise Held(f"the service is {state}", retry_after_seconds=5)
    said = RECOVERING if state == RECOVERING else "ok"
    return PlainTextResponse(f"{said}\n", headers={"cache-control": "no-store"})


def wants_json(request: Request) -> bool:
    """By `?format=`, else by Accept: a browser names text/html, a program application/json or nothing in particular."""
    chosen = request.query_params.get("format")
    if chosen in ("json", "html"):
        return chosen == "json"
    accept = request.headers.get("accept", "")
    return "json" in accept and "text/html" not in accept


# -- the page --------------------------------------------------------------------------------------------------

_OBJECTIVES = {
    "rpo": "At most this much may be lost",
    "rto": "Everything is back within",
    "first_contact": "The first contacts are back within",
}
_STATE_CLASSES = {"met": "good", "at risk": "warn", "violated": "bad"}


def status_html(shown: Mapping[str, Any]) -> str:
    """The body of the status page from a public status object."""
    incidents = shown.get("incidents") or []
    parts = ["<h1>Status</h1>", _headline(str(shown.get("service", "unknown")), bool(incidents))]
    parts += [_incident(incident) for incident in incidents]
    if shown.get("recovery"):
        parts.append(_recovery(shown["recovery"]))
    promised = {k: o for k, o in (shown.get("objectives") or {}).items() if o.get("target_seconds") is not None}
    if promised:
        parts.append("<h2>What we promise, and how it stands</h2>" + _objectives(promised))
    if shown.get("vaults"):
        parts.append("<h2>Vaults</h2>" + _vaults(shown["vaults"]))
    if shown.get("items"):
        counts = shown["items"]
        rows = [[kind.capitalize(), number(counts[kind])] for kind in DATA_KINDS if kind in counts]
        parts.append("<h2>What is kept here</h2>" + table(["Kind", "Items"], rows, numbers=frozenset((1,))))
    return "".join(parts)


def _headline(service: str, incidents: bool) -> str:
    if service in UNHEALTHY:
        return f'<p class="state bad">The service is {escape(service)}.</p>'
    if service in READ_ONLY:
        return '<p class="state warn">What is kept here can be read; changes cannot be taken at this moment.</p>'
    if incidents:
        return '<p class="state warn">The service answers, and there is something you should know.</p>'
    return f'<p class="state good">Everything answers. The service is {escape(service)}.</p>'


def _incident(incident: Mapping[str, Any]) -> str:
    said = escape(str(incident.get("summary") or incident.get("what") or "An incident is being looked into"))
    since = f"<p>Since {escape(str(incident['since']))}.</p>" if incident.get("since") else ""
    steps = incident.get("steps") or ()
    listed = [steps] if isinstance(steps, str) else [str(step) for step in steps]
    todo = "".join(f"<li>{escape(step)}</li>" for step in listed)
    return f'<div class="note"><h3>{said}</h3>{since}' + (f"<ol>{todo}</ol>" if todo else "") + "</div>"


def _recovery(recovery: Mapping[str, Any]) -> str:
    known = [
        f"{key.replace('_', ' ')}: {value}" for key, value in recovery.items() if isinstance(value, str | int | float)
    ]
    text = escape("; ".join(known))
    return f'<div class="note"><h3>A recovery is under way</h3><p>{text}</p>' + (
        "<p>Nothing has been deleted. Your devices keep what they have.</p></div>"
    )


def _objectives(objectives: Mapping[str, Any]) -> str:
    rows = []
    for name, objective in objectives.items():
        state = str(objective.get("state", "unknown"))
        class_ = _STATE_CLASSES.get(state, "warn")
        rows.append(
            [
                escape(_OBJECTIVES.get(name, name)),
                duration(objective.get("target_seconds")),
                duration(objective.get("actual_seconds")),
                f'<span class="{class_}">{escape(state)}</span>',
            ]
        )
    return table(["Promise", "Target", "Measured", "State"], rows, numbers=frozenset((1, 2)))


def _vaults(vaults: list[Mapping[str, Any]]) -> str:
    rows = [
        [
            escape(str(vault.get("name", ""))),
            "written first" if vault.get("mode") == "sync" else "follows",
            number(vault.get("unarchived_changes")),
            duration(vault.get("lag_seconds")),
            escape(str(vault.get("append_only") or "unknown")),
            _ago(vault.get("seen_seconds_ago")),
            _scrubbed(vault.get("last_scrub")),
        ]
        for vault in vaults
    ]
    columns = ["Vault", "Mode", "Changes behind", "Behind by", "Append-only", "Last seen", "Read whole"]
    return table(columns, rows, numbers=frozenset((2, 3, 5)))


def _scrubbed(last: Any) -> str:
    if not isinstance(last, Mapping):
        return "never"
    if not last.get("ok"):
        return f'<span class="bad">{number(last.get("damaged"))} damaged</span>'
    return _ago(last.get("seconds_ago"))


def _ago(seconds: Any) -> str:
    return f"{duration(seconds)} ago" if seconds is not None else "–"


def number(value: Any) -> str:
    """A count for people: thousands set apart; a dash where it is not known."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else "–"


def duration(seconds: Any) -> str:
    """Seconds for people, in the largest unit that fits."""
    if not isinstance(seconds, int | float):
        return "–"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g}\u202f{unit}"
    return f"{seconds:.3g}\u202fs"
