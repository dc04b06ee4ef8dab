"""What the OpenAPI description says of `/state`: how one's own data stands."""

from __future__ import annotations

from typing import Any

_Json = dict[str, Any]

_TEXT: _Json = {"type": "string"}
_COUNT: _Json = {"type": "integer"}
_MAYBE_COUNT: _Json = {"type": ["integer", "null"]}
_MAYBE_TEXT: _Json = {"type": ["string", "null"]}
_TIME: _Json = {"type": "string", "format": "date-time"}
_KINDS: _Json = {"type": "object", "description": "counts by kind"}


def _object(properties: _Json, description: str = "", *, nullable: bool = False) -> _Json:
    schema = {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        "required": list(properties),
    }
    return schema | ({"description": description} if description else {})


def _list(items: _Json, description: str = "") -> _Json:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


_MISSING = _object({"collection": _MAYBE_TEXT, "name": _MAYBE_TEXT, "revs": _list(_COUNT)})
_KIND = _object(
    {
        "kind": _TEXT,
        "state": {"type": "string", "enum": ["whole", "restoring", "partial"]},
        "items": _MAYBE_COUNT,
        "reason": _MAYBE_TEXT,
        "missing": _list(_MISSING, "what no source holds, by name where anybody knows it"),
        "missing_count": _COUNT,
        "back": {"type": ["array", "null"], "items": _COUNT, "description": "of this kind, of everybody: (back, all)"},
    }
)
_AHEAD = _object(
    {
        "device": _TEXT,
        "collection": _TEXT,
        "title": _TEXT,
        "since": _TIME,
        "newer_changes": {"type": ["integer", "null"], "description": "at most; null where that cannot be told"},
        "there": {"type": "boolean", "description": "whether the collection itself is"},
    }
)
_END = _object(
    {"since": _TIME, "unknown_seconds": {"type": "number"}},
    "what was written so long before a loss may be missing: no list is given until that is accepted",
    nullable=True,
)
_NOTICE = _object(
    {
        "key": _TEXT,
        "what": _TEXT,
        "since": _TIME,
        "at": _TIME,
        "kind": _TEXT,
        "collection": _TEXT,
        "names": _list(_TEXT),
        "count": _COUNT,
        "facts": {"type": "object"},
        "text": {"type": "string", "description": "in the language of the request"},
        "undo": {"type": ["string", "null"], "description": "path of the page that shows what going back would bring"},
    }
)
_REPORT = _object(
    {
        "at": _TIME,
        "exact": {"type": "boolean"},
        "kinds": _KINDS,
        "lost": _list(_MISSING),
        "lost_count": _COUNT,
        "unknown_seconds": {"type": "number"},
    },
    "the last recovery, as far as it concerns you",
    nullable=True,
)

_GHOST = _object({"kind": _TEXT, "collection": _TEXT, "name": _TEXT, "at": _TIME})

SCHEMAS: _Json = {
    "State": _object(
        {
            "account": _TEXT,
            "state": {"type": "string", "enum": ["whole", "restoring", "partial", "doubt", "ahead"]},
            "kinds": _list(_KIND),
            "devices_ahead": _list(_AHEAD, "devices that have seen what the server does not have: do not reset them"),
            "end_in_doubt": _END,
            "notices": _list(_NOTICE, "newest first"),
            "intake_waiting": {"type": "integer", "description": "changes that wait to be entered"},
            "recovery": {"type": ["object", "null"], "description": "as in /status"},
            "report": _REPORT,
            "ghosts": _list(_GHOST, "items whose body is in no source; listed until you say that they are gone"),
            "ghost_count": _COUNT,
            "mail": {"type": ["string", "null"], "description": "the address that you are written to at"},
            "steps": _list(_TEXT, "what to do, in the language of the request (?lang=, else Accept-Language)"),
        }
    )
}
