"""The OpenAPI 3.1 description of the REST API. A test holds it against the routes that are served."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from safehold.protocol import openapi_past, openapi_state
from safehold.protocol.rest import DEFAULT_LEADERS, JSON_TYPE, MAX_DETAIL_BYTES, MAX_LIMIT, PROBLEM_TYPE

BASE = "/api/v1"

_Json = dict[str, Any]

_NUMBER: _Json = {"type": "number", "description": "finite; whole numbers up to 64 bits are kept exactly"}
_BEST: _Json = {"type": ["number", "null"], "description": "the highest score; compared as IEEE doubles"}
_TIME: _Json = {"type": "string", "format": "date-time", "examples": ["2026-11-20T08:30:00Z"]}
_NAME: _Json = {"type": "string", "minLength": 1, "maxLength": 255}


def _object(properties: _Json, *, optional: tuple[str, ...] = (), description: str = "", closed: bool = False) -> _Json:
    schema: _Json = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }
    if closed:
        schema["additionalProperties"] = False
    return schema | ({"description": description} if description else {})


def _list(name: str) -> _Json:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> _Json:
    return {"$ref": f"#/components/schemas/{name}"}


_DETAIL: _Json = {"description": f"any JSON, up to {MAX_DETAIL_BYTES} bytes; null where there is none"}

_SCHEMAS: _Json = {
    "NewScore": _object(
        {
            "score": _NUMBER,
            "at": {
                "anyOf": [_TIME, {"type": "null"}],
                "description": "when it was reached, 1970 to 2112; now where it is left out",
            },
            "detail": _DETAIL,
        },
        optional=("at", "detail"),
        closed=True,
    ),
    "Score": _object({"score": _NUMBER, "at": _TIME, "detail": _DETAIL}),
    "Recorded": _object({"game": _NAME, "score": _NUMBER, "at": _TIME, "detail": _DETAIL, "best": _BEST}),
    "History": _object(
        {"game": _NAME, "best": _BEST, "history": _list("Score")}, description="newest first, whole unless limited"
    ),
    "Game": _object({"game": _NAME, "best": _BEST, "changed_at": _TIME}),
    "Games": _object({"games": _list("Game")}),
    "Leader": _object({"rank": {"type": "integer", "minimum": 1}, "name": _NAME, "score": _NUMBER, "at": _TIME}),
    "Leaderboard": _object(
        {"game": _NAME, "entries": _list("Leader")},
        description="the best score of each account that chose to be listed, best first; equal scores share a rank",
    ),
    "Account": _object(
        {
            "name": _NAME,
            "listed": {"type": "boolean", "description": "shown on leaderboards"},
            "waiting": {
                "type": "integer",
                "minimum": 0,
                "description": "writes of your devices that are entered once what they are to is restored",
            },
        }
    ),
    **openapi_state.SCHEMAS,
    **openapi_past.SCHEMAS,
    "AccountPatch": _object({"listed": {"type": "boolean"}}, closed=True),
    "Problem": _object(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what is wrong"},
            "hint": {"type": "string", "description": "what to do next"},
            "request": {
                "type": "string",
                "description": "id of the request, as X-Request-Id and the operator's log have it",
            },
        },
        optional=("hint", "request"),
        description="RFC 9457",
    ),
}

_PROBLEMS: dict[int, str] = {
    400: "Malformed; `detail` names the field",
    401: "No credentials, or wrong ones",
    403: "Refused: sent by another site's page",
    404: "There is no such thing, and no trace of one that was lost",
    409: "The state forbids it, or it has to be confirmed; `detail` says what would happen",
    413: "Over a limit",
    429: "Too many wrong passwords from this address; Retry-After says when to come again",
    503: "Not now: something must be restored or freed first; Retry-After says when to come again. Never means `gone`",
    507: "A disk is full, or the account",
}
_READING = (401, 429, 503)
_WRITING = (400, *_READING[:1], 403, 413, *_READING[1:], 507)


def _operation(
    id_: str,
    summary: str,
    answer: tuple[int, str],
    *,
    problems: tuple[int, ...],
    body: str = "",
    query: _Json | None = None,
    later: str = "",
) -> _Json:
    """`later` says what it means where the answer is 202."""
    status, schema = answer
    operation: _Json = {
        "operationId": id_,
        "summary": summary,
        "responses": {
            str(status): {"description": "Done", "content": {JSON_TYPE: {"schema": _ref(schema)}}},
            **{str(code): {"$ref": f"#/components/responses/{code}"} for code in sorted(problems)},
        },
    }
    if later:
        taken = {"description": later, "content": {JSON_TYPE: {"schema": _ref(schema)}}}
        operation["responses"] = dict(sorted([*operation["responses"].items(), ("202", taken)]))
    if body:
        operation["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": _ref(body)}}}
    if query:
        operation["parameters"] = [query]
    return operation


def _limit(default: int | None) -> _Json:
    schema: _Json = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
    return {"name": "limit", "in": "query", "schema": schema if default is None else schema | {"default": default}}


_GAME: _Json = {
    "name": "game",
    "in": "path",
    "required": True,
    "schema": _NAME,
    "description": "any name without a slash or control character, up to 255 bytes of UTF-8",
}

_PATHS: _Json = {
    "/scores": {
        "get": _operation("listGames", "The games you have scores in", (200, "Games"), problems=_READING),
    },
    "/scores/{game}": {
        "parameters": [_GAME],
        "get": _operation(
            "getScores",
            "Your best score and your history in a game",
            (200, "History"),
            problems=(400, *_READING, 404),
            query=_limit(None),
        ),
        "post": _operation(
            "addScore",
            "Record a score; an unknown game is made",
            (201, "Recorded"),
            problems=_WRITING,
            body="NewScore",
            later="Taken, and recorded once your scores are restored; what the best one is is not known until then",
        ),
    },
    "/leaderboards/{game}": {
        "parameters": [_GAME],
        "get": _operation(
            "getLeaderboard",
            "The best of all who chose to be listed",
            (200, "Leaderboard"),
            problems=(400, *_READING),
            query=_limit(DEFAULT_LEADERS),
        ),
    },
    "/account": {
        "get": _operation("getAccount", "Your account", (200, "Account"), problems=_READING),
        "patch": _operation(
            "patchAccount",
            "Choose whether leaderboards show you",
            (200, "Account"),
            problems=_WRITING,
            body="AccountPatch",
        ),
    },
    "/state": {
        "get": _operation("getState", "How your data stands, and what to do", (200, "State"), problems=_READING),
    },
    **openapi_past.paths(lambda problems: {str(code): {"$ref": f"#/components/responses/{code}"} for code in problems}),
    "/openapi.json": {
        "get": {
            "operationId": "getDescription",
            "summary": "This description",
            "security": [],
            "responses": {
                "200": {"description": "OpenAPI 3.1", "content": {JSON_TYPE: {"schema": {"type": "object"}}}}
            },
        },
    },
}


def _problem_response(status: int, description: str) -> _Json:
    response: _Json = {"description": description, "content": {PROBLEM_TYPE: {"schema": _ref("Problem")}}}
    if status in (429, 503, 507):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


def document(version: str) -> _Json:
    """The description as a JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Safehold",
            "version": version,
            "summary": "High scores, account settings, history and undo",
            "description": "Contacts, calendars, tasks, notes and photos are served over WebDAV below /dav/.",
        },
        "servers": [{"url": BASE}],
        "security": [{"basic": []}],
        "paths": _PATHS,
        "components": {
            "schemas": _SCHEMAS,
            "responses": {str(code): _problem_response(code, text) for code, text in _PROBLEMS.items()},
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The account's name, and its password or an app password",
                }
            },
        },
    }


@lru_cache(maxsize=1)
def document_bytes(version: str) -> bytes:
    return msgspec.json.encode(document(version))
