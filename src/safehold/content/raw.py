"""A body as the very bytes of its lines, in the tree of its components: for answers that leave most of it as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from safehold.content.lines import Component, Document, Line, fold, lex, property_name, unfold

#: A content line with its folds and its line break.
_LOGICAL = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")


class RawLine(NamedTuple):
    """A line as it stands, with its line break, and what it says."""

    raw: bytes
    line: Line


class RawComponent:
    """A component: its BEGIN and END, and between them lines and components in order."""

    __slots__ = ("begin", "end", "name", "parts")

    def __init__(self, name: str, begin: bytes) -> None:
        self.name = name  # in upper case
        self.begin = begin
        self.parts: list[RawLine | RawComponent] = []
        self.end = b""

    @property
    def components(self) -> list[RawComponent]:
        return [part for part in self.parts if isinstance(part, RawComponent)]

    def written(self) -> bytes:
        """As it stands."""
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        yield self.begin
        for part in self.parts:
            if isinstance(part, RawComponent):
                yield from part._pieces()
            else:
                yield part.raw
        yield self.end


def raw_components(body: bytes) -> list[RawComponent]:
    """The outermost components of a body that `lines.parse` takes. Raises LineError."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    raws = [raw for raw in _LOGICAL.findall(body) if unfold(raw).strip(b"\r\n")]
    roots: list[RawComponent] = []
    open_: list[RawComponent] = []
    for raw, line in zip(raws, lex(body), strict=True):
        name = property_name(line)
        if name == "BEGIN":
            component = RawComponent(line[2].strip().upper(), _ended(raw))
            if open_:
                open_[-1].parts.append(component)
            else:
                roots.append(component)
            open_.append(component)
        elif name == "END":
            open_.pop().end = _ended(raw)
        else:
            open_[-1].parts.append(RawLine(_ended(raw), line))
    return roots


def raw_by_component(document: Document, roots: list[RawComponent]) -> dict[int, RawComponent]:
    """The raw component of each parsed one, by its `id`; both are of the same body."""
    found: dict[int, RawComponent] = {}

    def pair(components: list[Component], raws: list[RawComponent]) -> None:
        for component, raw in zip(components, raws, strict=True):
            found[id(component)] = raw
            pair(component.components, raw.components)

    pair(document.roots, roots)
    return found


def newline_of(body: bytes) -> bytes:
    """The line break that a body uses."""
    return b"\r\n" if b"\r\n" in body else b"\n"


def line_of(name: str, params: str, value: str, newline: bytes) -> bytes:
    """A new line, folded."""
    return fold(f"{name}{params}:{value}".encode()).replace(b"\r\n", newline)


def _ended(raw: bytes) -> bytes:
    """With a line break, which the last line of a body may lack."""
    return raw if raw.endswith(b"\n") else raw + b"\r\n"
