"""A write that waits: an item `intake/…` of an account's identity. The page: docs/formats/intake.md.

The item's body is the body that was sent, its properties say what is to be done with it. So a large body is a blob like
any other, and whatever reads an identity without knowing of the intake reads it right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from safehold.model.change import DIGEST_BYTES
from safehold.model.commands import Tags
from safehold.model.errors import Damaged

#: Before the sixteen hex digits of the rev of the identity's change that took it: names sort as they were taken.
PREFIX = "intake/"
PUT, DELETE = "PUT", "DELETE"
#: After the name of who sent a write, in the history; the time at which it came follows.
BY_INTAKE = ", by intake of "

_TAG = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}")


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done once the stream of `path` is there. The body, its media type, who and when are the item's."""

    method: str  # PUT or DELETE
    path: str  # of the collection
    name: str  # of the item in it
    component: str | None = None  # of an iCalendar object
    if_match: Tags | None = None
    if_none_match: Tags | None = None


def sender(actor: str) -> str:
    """Who sent what this actor did, whether it came by the intake or not."""
    return actor.partition(BY_INTAKE)[0]


def item_name(rev: int) -> str:
    """The name of the item that the change of this rev takes."""
    return f"{PREFIX}{rev:016x}"


def waiting_props(waiting: Waiting) -> dict[str, str]:
    """The item's properties."""
    props = {"method": waiting.method, "path": waiting.path, "name": waiting.name}
    if waiting.component is not None:
        props["component"] = waiting.component
    for name, tags in (("if-match", waiting.if_match), ("if-none-match", waiting.if_none_match)):
        if tags is not None:
            props[name] = "*" if tags.any else " ".join(digest.hex() for digest in tags.digests)
    return props


def read_waiting(props: Mapping[str, str]) -> Waiting:
    """The inverse. Raises Damaged where this is nothing that this version knows how to do."""
    method = props.get("method", "")
    path, name = props.get("path", ""), props.get("name", "")
    if method not in (PUT, DELETE) or not path or not name:
        raise Damaged(f"a write in the intake says {method!r}, which is not known here", where="intake")
    return Waiting(
        method=method,
        path=path,
        name=name,
        component=props.get("component"),
        if_match=_tags(props.get("if-match")),
        if_none_match=_tags(props.get("if-none-match")),
    )


def _tags(text: str | None) -> Tags | None:
    if text is None:
        return None
    if text == "*":
        return Tags(any=True)
    found = text.split()
    if not all(map(_TAG.fullmatch, found)):
        raise Damaged("the condition of a write in the intake cannot be read", where="intake")
    return Tags(digests=tuple(map(bytes.fromhex, found)))
