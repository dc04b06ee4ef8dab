"""The part of the OpenAPI description that is about history and undo. `openapi.py` puts it in its place."""

from __future__ import annotations

from typing import Any

from safehold.protocol.rest_past import DEFAULT_CHANGES, MAX_CHANGES, MAX_NAMES

_Json = dict[str, Any]

_TIME: _Json = {"type": "string", "format": "date-time", "examples": ["2026-11-20T08:30:00Z"]}
_POINT: _Json = {
    "type": "string",
    "description": "a point of the history: after which change of each kind",
    "examples": ["contacts:120", "contacts:120,notes:7"],
}
_KIND: _Json = {"enum": ["contacts", "calendar", "notes", "tasks", "photos", "scores"]}
_PATH: _Json = {"type": "string", "examples": ["contacts/default"]}
_HELD: _Json = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "kinds that cannot be looked at now, and why: they are left out here, which says nothing about them",
}
_NAMES: _Json = {
    "type": "array",
    "items": {"type": "string"},
    "maxItems": MAX_NAMES,
    "description": "COLLECTION/ITEM, or COLLECTION/ for the collection itself; the first ones, where there are more",
}


def _object(properties: _Json, *, optional: tuple[str, ...] = (), description: str = "", closed: bool = False) -> _Json:
    schema: _Json = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }
    if closed:
        schema["additionalProperties"] = False
    return schema | ({"description": description} if description else {})


def _ref(name: str) -> _Json:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: _Json = {
    "Change": _object(
        {
            "change": {"type": "string", "description": "its name: KIND:NUMBER", "examples": ["contacts:12"]},
            "at": _TIME,
            "op": {"enum": ["mkcol", "setcol", "rmcol", "put", "props", "delete", "refused", "gap"]},
            "kind": _KIND,
            "collection": _PATH,
            "name": {"type": "string", "description": "of the item; empty for the collection itself"},
            "media": {"type": "string"},
            "size": {"type": "integer"},
            "digest": {"type": "string", "description": "SHA-256 of the body in hex; empty where there is none"},
            "actor": {"type": "string", "description": "device:…, undo, import, recovery, operator"},
        }
    ),
    "Changes": _object(
        {
            "history": {"type": "array", "items": _ref("Change")},
            "next": {"anyOf": [_POINT, {"type": "null"}], "description": "`before` of the next page"},
            "held": _HELD,
        },
        description="newest first",
    ),
    "CollectionName": _object({"kind": _KIND, "collection": _PATH}),
    "RemovedCollection": _object(
        {"kind": _KIND, "collection": _PATH, "removed_at": _TIME, "to": _POINT | {"description": "the moment before"}}
    ),
    "Collections": _object(
        {
            "collections": {"type": "array", "items": _ref("CollectionName")},
            "removed": {"type": "array", "items": _ref("RemovedCollection"), "description": "the last removed first"},
            "held": _HELD,
        }
    ),
    "UndoRequest": _object(
        {
            "to": {"anyOf": [_TIME, _POINT], "description": "back to when"},
            "kind": {"anyOf": [_KIND, {"type": "null"}], "description": "only this kind; not beside collection"},
            "collection": {"anyOf": [_PATH, {"type": "null"}], "description": "only this collection"},
            "name": {"type": ["string", "null"], "description": "only this item of the collection"},
            "below": {"type": "boolean", "default": False, "description": "also the collections below it"},
            "deleted": {
                "type": "boolean",
                "default": False,
                "description": "only bring back what was deleted since; what was changed stays",
            },
            "confirm": {
                "type": "boolean",
                "default": False,
                "description": "that it is meant, where a great share of a collection would be removed",
            },
        },
        optional=("kind", "collection", "name", "below", "deleted", "confirm"),
        closed=True,
        description="without kind and collection: all that the account has",
    ),
    "Undone": _object(
        {
            "to": _POINT,
            "dry_run": {"type": "boolean"},
            "added": _NAMES,
            "changed": _NAMES,
            "removed": _NAMES,
            "left": _NAMES | {"description": "could not come back: another item bears their UID now"},
            "counts": _object({action: {"type": "integer"} for action in ("added", "changed", "removed", "left")}),
            "before": {
                "anyOf": [_POINT, {"type": "null"}],
                "description": "the moment before this undo: going back to it undoes it; null where nothing changed",
            },
        }
    ),
}


def _parameter(name: str, schema: _Json, description: str = "", where: str = "query") -> _Json:
    parameter: _Json = {"name": name, "in": where, "schema": schema}
    if where == "path":
        parameter["required"] = True
    return parameter | ({"description": description} if description else {})


_HISTORY_QUERY = [
    _parameter("kind", _KIND),
    _parameter("collection", _PATH, "also one that was removed"),
    _parameter("name", {"type": "string"}, "of an item; with collection"),
    _parameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_CHANGES, "default": DEFAULT_CHANGES}),
    _parameter("before", _POINT, "only changes before this point"),
]


def paths(responses: Any) -> _Json:
    """The paths; `responses(problems)` gives references to problem documents."""

    def operation(id_: str, summary: str, schema: str, problems: tuple[int, ...], **more: Any) -> _Json:
        done = {"description": "Done", "content": {"application/json": {"schema": _ref(schema)}}}
        return {"operationId": id_, "summary": summary, "responses": {"200": done, **responses(problems)}, **more}

    body = {"description": "The bytes", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    return {
        "/history": {
            "get": operation(
                "getHistory",
                "Your changes, newest first",
                "Changes",
                (400, 401, 429, 503),
                parameters=_HISTORY_QUERY,
            ),
        },
        "/history/{change}": {
            "parameters": [_parameter("change", {"type": "string"}, "a change's name, as contacts:12", "path")],
            "get": {
                "operationId": "getBody",
                "summary": "The body that a change brought",
                "responses": {"200": body, **responses((400, 401, 404, 429, 503))},
            },
        },
        "/collections": {
            "get": operation(
                "listCollections", "Your collections, and those that were removed", "Collections", (401, 429, 503)
            ),
        },
        "/undo": {
            "post": operation(
                "undo",
                "Bring things back to what they were; it makes new changes, and can itself be undone",
                "Undone",
                (400, 401, 403, 404, 409, 413, 429, 503, 507),
                parameters=[_parameter("dry_run", {"type": "boolean"}, "only say what would be done")],
                requestBody={
                    "required": True,
                    "content": {"application/json": {"schema": _ref("UndoRequest")}},
                },
            ),
        },
    }
