"""How the service stands, without a name of anyone: `/healthz` and `/readyz` for machines, `/status` for everybody.

`/status` is a page or JSON, by Accept; `/status.json` and `/status.atom` are what they say, for whoever cannot choose.
What is public is chosen here, key by key; what a status object has beyond that stays inside: names of accounts, places
of vaults, the operator's messages. An incident shows its `what`, `since`, `until`, `summary` and `steps`, which are
written for everybody; a recovery shows counts by kind and by state, and nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from safehold.model.errors import Held, SafeholdError
from safehold.web.answers import Resource, json_answer, refuse_json
from safehold.web.atom import MEDIA_TYPE
from safehold.web.gate import Gate
from safehold.web.layout import page, refuse_page, words_of
from safehold.web.metric_samples import readiness
from safehold.web.pages import Site
from safehold.web.status_pages import UNHEALTHY, status_atom, status_html
from safehold.web.words import Words

#: The state in which it answers, and is still bringing back a part of what it holds.
RECOVERING = "recovering"
#: A public address must not make the core count again and again.
FRESH_SECONDS = 1.0

_STATUS_KEYS = ("service", "timeline", "accounts", "changes", "items")
#: Of an objective; why it stands so is the operator's.
_OBJECTIVE_KEYS = ("target_seconds", "actual_seconds", "state")
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
_ANNOUNCEMENT_KEYS = ("text", "at", "until")
_MAX_COUNTS = 32

#: Where it is told, to everybody.
STATUS_PATHS = ("/status", "/status.json", "/status.atom")
#: A count, on pages that are in English only.
number = Words().number

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
    for promised in ("objectives", "evidence"):
        told = status.get(promised)
        if isinstance(told, Mapping):
            shown[promised] = {str(name): _pick(one, _OBJECTIVE_KEYS) for name, one in list(told.items())[:_MAX_COUNTS]}
    shown["vaults"] = [_pick(vault, _VAULT_KEYS) for vault in status.get("vaults") or ()]
    shown["incidents"] = [_pick(incident, _INCIDENT_KEYS) for incident in status.get("incidents") or ()]
    recovery = status.get("recovery")
    shown["recovery"] = _recovery(recovery) if recovery else None
    shown["announcements"] = [_pick(one, _ANNOUNCEMENT_KEYS) for one in status.get("announcements") or ()]
    return shown


def _recovery(recovery: Any) -> dict[str, Any]:
    """Counts by kind and by state beside what is told of the whole; names are of kinds and states only."""
    shown = _pick(recovery, _RECOVERY_KEYS)
    for key in ("kinds", "streams"):
        told = recovery.get(key) if isinstance(recovery, Mapping) else None
        if isinstance(told, Mapping):
            shown[key] = {name: _counts(value) for name, value in list(told.items())[:_MAX_COUNTS]}
        elif isinstance(told, int):
            shown[key] = told
    return shown


def _counts(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = list(value.items())[:_MAX_COUNTS]
        return {k: v for k, v in kept if v is None or isinstance(v, int | float)}
    return value if isinstance(value, int | float) else None


class Standing:
    """Since when the service stands as it does: what a feed's entry is dated by."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._since = 0

    def since(self, shown: Mapping[str, Any], now: int) -> int:
        """In µs, as far as this process has seen."""
        recovery = shown.get("recovery")
        key = (shown.get("service"), recovery.get("stage") if recovery else None, bool(recovery))
        if key != self._key:
            self._key, self._since = key, now
        return self._since


def _pick(found: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        return {}
    return {key: found[key] for key in keys if key in found}


def routes(gate: Gate, status: StatusSource | None = None) -> list[Route]:
    source = status or remembered(gate)
    standing = Standing()

    async def healthz(_: Request) -> Response:
        return health(source)

    async def readyz(_: Request) -> Response:
        return ready(source())

    async def told(request: Request) -> Response:
        shown = public(source())
        return answer(request, shown, since=standing.since(shown, gate.clock.now()), public_url=gate.public_url)

    def refuse(request: Request, error: SafeholdError, dice: int) -> Response:
        return (refuse_json if wants_json(request) else refuse_page)(request, error, dice)

    return [
        Route("/healthz", Resource(gate, {"GET": healthz}, refuse_json), name="healthz"),
        Route("/readyz", Resource(gate, {"GET": readyz}, refuse_json), name="readyz"),
        Route("/status", Resource(gate, {"GET": told}, refuse), name="status"),
        Route("/status.json", Resource(gate, {"GET": told}, refuse_json), name="status.json"),
        Route("/status.atom", Resource(gate, {"GET": told}, refuse_json), name="status.atom"),
    ]


def answer(request: Request, shown: Mapping[str, Any], *, since: int, public_url: str) -> Response:
    """What `/status`, `/status.json` or `/status.atom` says of a public status object; `since` (µs) as for the feed."""
    path, words = request.url.path, words_of(request)
    if path == "/status.atom":
        origin = Site.of(request, public_url).origin
        page_url, here = f"{origin}/status", f"{origin}/status.atom"
        text = status_atom(shown, words, since=since, page=page_url, here=here)
        return Response(text, 200, {"cache-control": "no-store"}, media_type=MEDIA_TYPE)
    if path == "/status.json" or wants_json(request):
        return json_answer(msgspec.json.encode(shown))
    title = f"Safehold: {words('status.title')}"
    return page(title, status_html(shown, words), words=words, here="/status", feed="/status.atom")


def health(source: StatusSource) -> Response:
    """200 and `ok`, or `recovering`, while requests are answered; 503 and the state where they are not."""
    state = source().get("service")
    if state in UNHEALTHY:
        raise Held(f"the service is {state}", retry_after_seconds=5)
    said = RECOVERING if state == RECOVERING else "ok"
    return PlainTextResponse(f"{said}\n", headers={"cache-control": "no-store"})


def ready(status: Mapping[str, Any], *, strangers: bool = False) -> Response:
    """200 while all reads and writes are taken; else 503, and a JSON object that says why.

    For those who wait for a start or an upgrade to be done, and for alarms. `/healthz` is what a proxy should ask: a
    service that recovers serves whoever knocks first. `strangers`: nobody is known yet, so nothing is read or written.
    """
    fine, reason = readiness(status)
    recovery = status.get("recovery")
    told = {
        "ready": fine,
        "reads": not strangers and (fine or reason not in UNHEALTHY | {"unknown"}),
        "writes": not strangers and (fine or reason == RECOVERING),
        "reason": reason or None,
        "recovery": _pick(recovery, ("stage", "progress", "forecast_seconds")) if recovery else None,
    }
    response = json_answer(msgspec.json.encode(told), 200 if fine else 503)
    if not fine:
        response.headers["retry-after"] = "5"
    return response


def wants_json(request: Request) -> bool:
    """By `?format=`, else by Accept: a browser names text/html, a program application/json or nothing in particular."""
    chosen = request.query_params.get("format")
    if chosen in ("json", "html"):
        return chosen == "json"
    accept = request.headers.get("accept", "")
    return "json" in accept and "text/html" not in accept
