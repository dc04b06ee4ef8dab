"""Tables of what real clients send, row after row: read from TOML, made into requests, and their answers made sense of.

What a table says and where its facts come from is told in `tests/interop/clients/README.md`. Nothing here judges an
answer; see `tests/support/tolerance.py` for that.
"""

from __future__ import annotations

import base64
import http.client
import re
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.sax.saxutils import escape

#: The words that tables write for namespaces.
NAMESPACES = {
    "DAV": "DAV:",
    "CALDAV": "urn:ietf:params:xml:ns:caldav",
    "CARDDAV": "urn:ietf:params:xml:ns:carddav",
    "CS": "http://calendarserver.org/ns/",
    "ICAL": "http://apple.com/ns/ical/",
    "ME": "http://me.com/_namespace/",
    "MOBILEME": "urn:mobileme:davservices",
    "PUSH": "https://bitfire.at/webdav-push",
}
DAV = "{DAV:}"
NO_SOURCE = "none found"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

#: How each client writes a PROPFIND: the prefix of DAV: ("" where it is the default namespace), the prefixes of other
#: namespaces, and whether all are declared at the root or each where it is used.
STYLES: dict[str, tuple[str, dict[str, str], bool]] = {
    "dav4jvm": ("", {"CALDAV": "CAL", "CARDDAV": "CARD", "CS": "n0", "ICAL": "n1", "PUSH": "n2"}, True),
    "apple": ("A", {"CALDAV": "B", "CARDDAV": "D", "CS": "C", "ICAL": "D", "ME": "E", "MOBILEME": "F"}, False),
    "apple-mac": ("A", {"CALDAV": "B", "CARDDAV": "C", "CS": "D", "ICAL": "D", "ME": "D", "MOBILEME": "E"}, False),
    "thunderbird-calendar": ("D", {"CALDAV": "C", "CS": "CS", "ICAL": "A"}, True),
    "thunderbird-addresses": ("", {"CARDDAV": "card", "CS": "cs"}, True),
    "evolution": ("", {"CALDAV": "C", "CARDDAV": "A", "CS": "CS", "ICAL": "IC"}, True),
}

_VARIABLE = re.compile(r"\{([a-z_]+)\}")


class Expected(NamedTuple):
    """What one response of a multistatus has to say. Names are Clark names, texts may hold variables."""

    of: str
    status: int | None  # of the response as a whole, where it has no properties
    found: tuple[str, ...]
    missing: tuple[str, ...]
    has: dict[str, tuple[str, ...]]  # a property and elements within it
    text: dict[str, str]
    data: str  # the item whose body calendar-data or address-data must be, or ""


class Row(NamedTuple):
    """One request of a client, or something that happens elsewhere meanwhile (`by` says where)."""

    what: str
    method: str
    target: str
    headers: dict[str, str]
    body: str
    ask: tuple[str, ...]
    item: str
    unauthenticated: bool
    follow: bool
    expect: tuple[int, ...]
    error: str
    answers: tuple[Expected, ...]
    only: bool
    equals: str
    header: dict[str, str]
    keep: dict[str, str]
    then: str
    source: str
    by: str
    action: str
    needs: str


class Table(NamedTuple):
    """The rows of one client's one task. `user` is who signs in; `writes` names a style of `STYLES`."""

    name: str
    client: str
    task: str
    user: str
    writes: str
    headers: dict[str, str]
    items: dict[str, bytes]
    rows: tuple[Row, ...]


# -- reading a table -----------------------------------------------------------------------------------------


def clark(name: str) -> str:
    """`DAV:getetag` as `{DAV:}getetag`."""
    word, _, local = name.partition(":")
    return f"{{{NAMESPACES[word]}}}{local}"


def spoken(name: str) -> str:
    """The inverse of `clark`; a name of another namespace stays as it is."""
    namespace, _, local = name[1:].partition("}")
    word = next((w for w, n in NAMESPACES.items() if n == namespace), None)
    return f"{word}:{local}" if word else name


def read_table(path: Path) -> Table:
    """Raises ValueError where a key is unknown or a row says too little."""
    told = tomllib.loads(path.read_text())
    sources = frozenset(told.pop("sources", ()))
    rows = tuple(_row(raw, sources, f"{path.name}, row {n}") for n, raw in enumerate(told.pop("row"), 1))
    table = Table(
        path.stem,
        told.pop("client"),
        told.pop("task"),
        told.pop("user", "ada"),
        told.pop("writes", ""),
        told.pop("headers", {}),
        {name: _body_of(item) for name, item in told.pop("items", {}).items()},
        rows,
    )
    if told or (table.writes and table.writes not in STYLES):
        raise ValueError(f"{path.name}: unknown {sorted(told) or table.writes}")
    return table


def _row(raw: dict[str, Any], sources: frozenset[str], where: str) -> Row:
    unknown = raw.keys() - set(Row._fields)
    if unknown or "what" not in raw:
        raise ValueError(f"{where}: unknown keys {sorted(unknown)}, or no `what`")
    expect = raw.get("expect", [])
    by, source = raw.get("by", ""), raw.get("source", "")
    if bool(by) == bool(source):
        raise ValueError(f"{where}: a row is a client's and has a source, or it is by something else")
    if source not in ("", NO_SOURCE) and not {part.split(":")[0] for part in source.split("; ")} <= sources:
        raise ValueError(f"{where}: {source!r} is none of the sources")
    if not raw.get("action") and not (raw.get("method") and raw.get("target") and expect):
        raise ValueError(f"{where}: a request has a method, a target and an expected status")
    return Row(
        what=raw["what"],
        method=raw.get("method", ""),
        target=raw.get("target", ""),
        headers=raw.get("headers", {}),
        body=raw.get("body", ""),
        ask=tuple(map(clark, raw.get("ask", ()))),
        item=raw.get("item", ""),
        unauthenticated=raw.get("unauthenticated", False),
        follow=raw.get("follow", False),
        expect=tuple(expect if isinstance(expect, list) else [expect]),
        error=clark(raw["error"]) if raw.get("error") else "",
        answers=tuple(_expected(answer, where) for answer in raw.get("answers", ())),
        only=raw.get("only", False),
        equals=raw.get("equals", ""),
        header={name.lower(): value for name, value in raw.get("header", {}).items()},
        keep=raw.get("keep", {}),
        then=raw.get("then", ""),
        source=source,
        by=by,
        action=raw.get("action", ""),
        needs=raw.get("needs", ""),
    )


def _expected(raw: dict[str, Any], where: str) -> Expected:
    unknown = raw.keys() - set(Expected._fields)
    if unknown:
        raise ValueError(f"{where}: an answer has no {sorted(unknown)}")
    return Expected(
        of=raw["of"],
        status=raw.get("status"),
        found=tuple(map(clark, raw.get("found", ()))),
        missing=tuple(map(clark, raw.get("missing", ()))),
        has={clark(name): tuple(map(clark, inner)) for name, inner in raw.get("has", {}).items()},
        text={clark(name): value for name, value in raw.get("text", {}).items()},
        data=raw.get("data", ""),
    )


def _body_of(text: str) -> bytes:
    """An item's body, with CRLF."""
    return text.strip().replace("\n", "\r\n").encode() + b"\r\n"


# -- making a request ----------------------------------------------------------------------------------------


class Unknown(Exception):
    """A row speaks of something that no row before it has brought."""


def filled(text: str, variables: Mapping[str, str], *, xml: bool = False) -> str:
    """The text with its `{variables}` filled in. Raises Unknown."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise Unknown(match[1])
        return escape(variables[match[1]]) if xml else variables[match[1]]

    return _VARIABLE.sub(value, text)


def propfind(style: str, names: tuple[str, ...]) -> str:
    """The body that asks for these properties as the client writes it."""
    own, prefixes, at_root = STYLES[style]
    parts = [spoken(name).partition(":")[::2] for name in names]

    def tag(word: str, local: str) -> tuple[str, str]:
        prefix = own if word == "DAV" else prefixes[word]
        declared = "" if at_root or word == "DAV" else f' xmlns:{prefix}="{NAMESPACES[word]}"'
        return (f"{prefix}:{local}" if prefix else local), declared

    root, _ = tag("DAV", "propfind")
    prop, _ = tag("DAV", "prop")
    asked = "".join("<{}{}/>".format(*tag(word, local)) for word, local in parts)
    declared = f' xmlns:{own}="DAV:"' if own else ' xmlns="DAV:"'
    if at_root:
        used = dict.fromkeys(word for word, _ in parts if word != "DAV")
        declared += "".join(f' xmlns:{prefixes[word]}="{NAMESPACES[word]}"' for word in used)
    return f"{DECLARATION}<{root}{declared}><{prop}>{asked}</{prop}></{root}>"


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def request_of(table: Table, row: Row, variables: Mapping[str, str]) -> Request:
    """What goes over the wire, but for the credentials. Raises Unknown."""
    headers = {} if row.by else dict(table.headers)
    body = b""
    if row.item:
        body = table.items[row.item]
    elif row.ask:
        body = propfind(table.writes, row.ask).encode()
    elif row.body:
        body = (DECLARATION + filled(row.body, variables, xml=True).strip()).encode()
    if row.body or row.ask:
        headers.setdefault("Content-Type", "application/xml; charset=utf-8")
    else:
        headers.pop("Content-Type", None)
    headers |= {name: filled(value, variables) for name, value in row.headers.items()}
    return Request(row.method, filled(row.target, variables), {n: v for n, v in headers.items() if v}, body)


class Answer(NamedTuple):
    """`headers` in lower case; `path` is where it came from, after redirects; `hops` are the redirects, as answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    path: str
    hops: tuple[Answer, ...] = ()

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


class Wire:
    """A client's connection: raw paths, nothing added to what the table says but Host, length and credentials."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def send(self, request: Request, *, login: bool = True, follow: bool = False) -> Answer:
        """The answer; with `follow`, of the place that redirects lead to, asked by the same method."""
        hops: list[Answer] = []
        while True:
            answer = self._once(request, login=login)
            if not (follow and answer.status in (301, 302, 307, 308) and len(hops) < 5):
                return answer._replace(hops=tuple(hops))
            hops.append(answer)
            request = request._replace(path=path_of(answer.header("location"), request.path))

    def _once(self, request: Request, *, login: bool) -> Answer:
        headers = request.headers | ({"Authorization": self._login} if login else {})
        chunked = "Transfer-Encoding" in headers
        self._connection.request(request.method, request.path, request.body or None, headers, encode_chunked=chunked)
        got = self._connection.getresponse()
        return Answer(got.status, [(k.lower(), v) for k, v in got.getheaders()], got.read(), request.path)


def path_of(href: str, base: str) -> str:
    """The path that an href means, seen from where it was read: as clients resolve it."""
    return urlsplit(urljoin(f"http://host{base}", href)).path


# -- making sense of an answer -------------------------------------------------------------------------------


class PropStat(NamedTuple):
    status: str
    properties: tuple[ET.Element, ...]


class Response(NamedTuple):
    """One response of a multistatus; `status` is its own status line, "" where it has propstats."""

    href: str
    status: str
    propstats: tuple[PropStat, ...]

    @property
    def found(self) -> dict[str, ET.Element]:
        """Properties that were answered 200."""
        return {p.tag: p for stat in self.propstats if " 200 " in stat.status for p in stat.properties}


class Multistatus(NamedTuple):
    responses: tuple[Response, ...]
    token: str


def read_multistatus(body: bytes) -> Multistatus:
    """Raises ET.ParseError, ValueError where it is none."""
    root = ET.fromstring(body)
    if root.tag != DAV + "multistatus":
        raise ValueError(f"a multistatus was expected, not {root.tag}")
    responses = tuple(
        Response(
            response.findtext(DAV + "href") or "",
            response.findtext(DAV + "status") or "",
            tuple(
                PropStat(stat.findtext(DAV + "status") or "", tuple(stat.findall(f"{DAV}prop/*")))
                for stat in response.findall(DAV + "propstat")
            ),
        )
        for response in root.findall(DAV + "response")
    )
    return Multistatus(responses, root.findtext(DAV + "sync-token") or "")


def kept(what: str, answer: Answer, variables: Mapping[str, str]) -> str:
    """What a client takes out of an answer: `header NAME`, `sync-token`, or `PROPERTY` with or without `of HREF`.

    Of a property that holds an href its path is taken, else its text. Raises ValueError where there is no such thing.
    """
    first, _, rest = what.partition(" ")
    if first == "header":
        return answer.header(rest.lower())
    told = read_multistatus(answer.body)
    if what == "sync-token":
        return told.token
    href = filled(rest.removeprefix("of "), variables)
    for response in told.responses:
        element = response.found.get(clark(first))
        if element is not None and (not href or response.href == href):
            inner = element.find(f".//{DAV}href")
            return (element.text or "").strip() if inner is None else path_of(inner.text or "", answer.path)
    raise ValueError(f"there is no {what} in the answer")
