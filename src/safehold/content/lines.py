"""Content lines: what vCard and iCalendar have in common (RFC 5545 section 3.1, RFC 6350 sections 3.2 and 3.3).

Strict about what no reader of these formats survives: bytes that are not UTF-8, control characters, lines without a
name or a colon, quotes that never close, BEGIN and END that do not match. Lenient about what clients in the field
send: bare LF, lines that should have been folded, a byte order mark, empty lines, no newline at the end, names in
lower case or with an underscore or slash, parameters without a value (as in vCard 2.1), unknown properties.

One pass of compiled expressions does the work and the values are never looked into, so the cost is that of the bytes.
All expressions are possessive: no body makes them go back over what they have read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Components within components; the formats need three levels.
MAX_DEPTH = 32
#: Octets of a physical line without its line break (RFC 5545 section 3.1: SHOULD).
FOLD_BYTES = 75

#: A content line as it stands: name with its group, parameters from their first `;` on (or ""), value.
Line = tuple[str, str, str]

_BOM = b"\xef\xbb\xbf"
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r")
#: U+FFFE and U+FFFF: like the controls, they cannot be carried in XML (XML 1.0 section 2.2).
_NONCHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_LINE = re.compile(r'^([A-Za-z0-9_./-]++)((?:;[^":\n]*+(?:"[^"\n]*+"[^":\n]*+)*+)?+):(.*+)', re.MULTILINE)
_PARAM = re.compile(r';([^=;"]*+)(?:=((?:[^";]++|"[^"]*+")*+))?+')
_PARAM_VALUE = re.compile(r'(?:[^",]++|"[^"]*+")++')


class LineError(Exception):
    """A body that is not made of content lines and closed components. `line` is physical, from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Component:
    """What lies between a BEGIN and its END: own lines in order, and components within. `name` is in upper case."""

    __slots__ = ("begin", "components", "lines", "name")

    def __init__(self, name: str, begin: Line) -> None:
        self.name = name
        self.begin = begin
        self.lines: list[Line] = []
        self.components: list[Component] = []

    def values(self, name: str) -> list[str]:
        """Values of all own properties of this name (given in upper case), as they stand."""
        return [line[2] for line in self.lines if property_name(line) == name]


class Document:
    """A body as its outermost components. `number` tells at which physical line something stands."""

    __slots__ = ("_body", "_lines", "roots")

    def __init__(self, body: bytes, lines: list[Line], roots: list[Component]) -> None:
        self._body = body
        self._lines = lines
        self.roots = roots

    def number(self, line: Line) -> int:
        """The physical line on which this line (the very object) begins."""
        index = next(i for i, candidate in enumerate(self._lines) if candidate is line)
        return physical_number(self._body, index)


def property_name(line: Line) -> str:
    """The property's name in upper case, without its group (`item1.TEL` -> `TEL`)."""
    name = line[0].upper()
    return name.rpartition(".")[2] if "." in name else name


def lex(body: bytes) -> list[Line]:
    """The content lines of a body, unfolded; empty lines left out. Raises LineError."""
    text = _unfolded_text(body)
    if "\n\n" in text or text.startswith("\n"):
        text = re.sub(r"\n{2,}", "\n", text).removeprefix("\n")
    lines: list[Line] = _LINE.findall(text)
    if len(lines) != text.count("\n") + (not text.endswith("\n") and text != ""):
        raise _bad_line(body, text)
    return lines


def parse(body: bytes) -> Document:
    """The components of a body. Raises LineError where a BEGIN or END has no partner, or lines lie outside."""
    lines = lex(body)
    roots: list[Component] = []
    open_: list[Component] = []
    siblings, own = roots, None
    for line in lines:
        name = property_name(line)
        if name == "BEGIN":
            component = Component(line[2].strip().upper(), line)
            siblings.append(component)
            open_.append(component)
            if len(open_) > MAX_DEPTH:
                raise _error(body, lines, line, f"more than {MAX_DEPTH} components within each other")
            siblings, own = component.components, component.lines
        elif name == "END":
            if not open_ or open_[-1].name != line[2].strip().upper():
                raise _bad_end(body, lines, line, open_)
            open_.pop()
            siblings, own = (open_[-1].components, open_[-1].lines) if open_ else (roots, None)
        elif own is not None:
            own.append(line)
        else:
            raise _error(body, lines, line, f"{line[0]} stands outside of any component")
    if open_:
        raise _error(body, lines, open_[-1].begin, f"BEGIN:{open_[-1].name} has no END")
    return Document(body, lines, roots)


def parse_params(raw: str) -> list[tuple[str, list[str]]]:
    """Parameters of a line (its second part) in order: names in upper case, values without their quotes.

    RFC 6868 carets are left as they are. A parameter without `=` has no values; empty values are left out.
    """
    return [
        (name.strip().upper(), [value.replace('"', "") for value in _PARAM_VALUE.findall(values)])
        for name, values in _PARAM.findall(raw)
    ]


def unfold(body: bytes) -> bytes:
    """The body with LF for CRLF and without folds. Raises LineError at a carriage return that ends no line."""
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
        if b"\r" in body:
            at = body.index(b"\r")
            raise LineError(body.count(b"\n", 0, at) + 1, "a carriage return without a line feed")
    spaces, tabs = b"\n " in body, b"\n\t" in body
    if spaces and tabs:
        return re.sub(rb"\n[ \t]", b"", body)
    if spaces:
        return body.replace(b"\n ", b"")
    return body.replace(b"\n\t", b"") if tabs else body


def fold(line: bytes) -> bytes:
    """One unfolded line in UTF-8, without a line break, as folded physical lines that each end with CRLF."""
    if len(line) <= FOLD_BYTES:
        return line + b"\r\n"
    parts = []
    start, room = 0, FOLD_BYTES
    while len(line) - start > room:
        end = start + room
        while end > start + 1 and line[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(line[start:end])
        start, room = end, FOLD_BYTES - 1
    parts.append(line[start:])
    return b"\r\n ".join(parts) + b"\r\n"


def physical_number(body: bytes, index: int) -> int:
    """The physical line, from 1, on which the content line of this index (from 0, empty ones not counted) begins."""
    for position, (number, _) in enumerate(_starts(body)):
        if position == index:
            return number
    raise IndexError(index)


def _starts(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Physical number and first physical line of each content line that is not empty, as `lex` counts them."""
    after_empty = True
    for number, raw in enumerate(body.removeprefix(_BOM).split(b"\n"), 1):
        line = raw.removesuffix(b"\r")
        if number > 1 and line[:1] in (b" ", b"\t"):
            if after_empty and len(line) > 1:
                yield number, line[1:]
                after_empty = False
            continue
        after_empty = not line
        if line:
            yield number, line


def _unfolded_text(body: bytes) -> str:
    body = body.removeprefix(_BOM)
    if len(body.translate(None, _CONTROLS)) != len(body):
        at = next(i for i, byte in enumerate(body) if byte in _CONTROLS)
        raise LineError(body.count(b"\n", 0, at) + 1, f"the control character 0x{body[at]:02x}")
    for code in _NONCHARACTERS:
        if code in body:
            raise LineError(body.count(b"\n", 0, body.index(code)) + 1, "a code point that is no character")
    unfolded = unfold(body)
    try:
        return unfolded.decode()
    except UnicodeDecodeError as error:
        index = sum(1 for line in unfolded[: error.start].split(b"\n")[:-1] if line)
        raise LineError(physical_number(body, index), "text that is not UTF-8") from None


def _bad_line(body: bytes, text: str) -> LineError:
    """The first line of an unfolded text that is no content line."""
    index, line = next((i, line) for i, line in enumerate(text.split("\n")) if not _LINE.match(line))
    number = physical_number(body, index)
    if ":" not in line:
        return LineError(number, f"no colon after the name in {_shown(line)}")
    if re.match(r"[A-Za-z0-9_./-]+;", line):
        return LineError(number, f"a quote that is not closed in {_shown(line)}")
    return LineError(number, f"no name of a property before the colon in {_shown(line)}")


def _shown(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:37] + "...")


def _error(body: bytes, lines: list[Line], line: Line, reason: str) -> LineError:
    index = next(i for i, candidate in enumerate(lines) if candidate is line)
    return LineError(physical_number(body, index), reason)


def _bad_end(body: bytes, lines: list[Line], line: Line, open_: list[Component]) -> LineError:
    name = line[2].strip()[:40]
    if not open_:
        return _error(body, lines, line, f"END:{name} has no BEGIN")
    return _error(body, lines, line, f"END:{name} stands where END:{open_[-1].name[:40]} should")
