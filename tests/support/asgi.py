"""A DAV device in memory: requests straight into the application, over the real service and core.

Blobs are in memory: what is staged, aborted and read shows in `MemoryBlobs`.
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from lxml import etree

from safehold.model.commands import Body
from safehold.model.errors import Held
from safehold.ports.blobs import INLINE_LIMIT_BYTES
from safehold.web.app import make_app
from tests.support.edge import TestGate

NS = {
    "D": "DAV:",
    "C": "urn:ietf:params:xml:ns:caldav",
    "A": "urn:ietf:params:xml:ns:carddav",
    "S": "http://calendarserver.org/ns/",
    "E": "urn:safehold:error",
}
DECLARED = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
CARD, ICAL = "text/vcard", "text/calendar"


def q(name: str) -> str:
    """`D:getetag` in Clark notation."""
    prefix, _, local = name.partition(":")
    return f"{{{NS[prefix]}}}{local}"


def vcard(uid: str, name: str = "Anna", extra: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{name}\r\nN:{name};;;;\r\n{extra}END:VCARD\r\n".encode()


def event(uid: str, component: str = "VEVENT") -> bytes:
    start = "DTSTART:20260101T100000Z\r\n" if component == "VEVENT" else ""
    return (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//EN\r\nBEGIN:{component}\r\nUID:{uid}\r\n"
        f"DTSTAMP:20260101T000000Z\r\n{start}SUMMARY:x\r\nEND:{component}\r\nEND:VCALENDAR\r\n"
    ).encode()


def tag_of(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()}"'


class MemoryBlobs:
    """`ports.blobs.Blobs` in memory. `lost` are names that no vault has now."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.stages: list[MemoryStage] = []
        self.lost: set[bytes] = set()
        self.chunk_bytes = 256 * 1024

    def stage(self, key: bytes) -> MemoryStage:
        self.stages.append(MemoryStage(self, key))
        return self.stages[-1]

    def doubt(self, name: bytes) -> None:
        """Nothing is remembered of what was right."""

    def read(
        self, name: bytes, size: int, offset: int = 0, count: int | None = None, *, digest: bytes | None = None
    ) -> Iterator[bytes]:
        if name in self.lost:
            raise Held("no vault that can be reached has it")
        data = self.kept[name]
        assert len(data) == size
        end = size if count is None else offset + count
        for start in range(offset, end, self.chunk_bytes):
            yield data[start : min(start + self.chunk_bytes, end)]


class MemoryStage:
    def __init__(self, blobs: MemoryBlobs, key: bytes) -> None:
        self._blobs, self._key = blobs, key
        self._data = bytearray()
        self.largest = 0
        self.state = "open"

    def write(self, data: bytes) -> None:
        assert self.state == "open"
        self.largest = max(self.largest, len(data))
        self._data += data

    def finish(self) -> Body:
        assert self.state == "open"
        self.state = "finished"
        data = bytes(self._data)
        digest = sha256(data).digest()
        if len(data) <= INLINE_LIMIT_BYTES:
            return Body(digest, len(data), inline=data)
        name = hmac.digest(self._key, digest, "sha256")
        self._blobs.kept[name] = data
        return Body(digest, len(data), blob=name)

    def abort(self) -> None:
        if self.state == "open":
            self.state = "aborted"


class DavGate(TestGate):
    """A gate with blobs; counts what ran off the loop."""

    __test__ = False

    def __init__(self, folder: Path, quota_bytes: int = 0) -> None:
        super().__init__(folder, quota_bytes)
        self.memory_blobs = MemoryBlobs()
        self.blobs = self.memory_blobs
        self.in_threads = 0

    async def in_thread(self, work: Any) -> Any:
        self.in_threads += 1
        return await super().in_thread(work)


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> None:
        self.status = status
        named = [(name, value) for name, value in headers if name != b"x-request-id"]
        #: Of its own: two answers that say the same differ in it.
        self.request_id = dict(headers)[b"x-request-id"].decode() if named != headers else ""
        self.raw_headers = named
        self.headers = {name.decode(): value.decode("latin-1") for name, value in named}
        self.pieces = pieces
        self.body = b"".join(pieces)

    @property
    def xml(self) -> etree._Element:
        assert self.headers["content-type"] == "application/xml; charset=utf-8"
        return etree.fromstring(self.body)

    @property
    def error(self) -> str:
        """The condition of a DAV:error body, `D:local`, or "" where it has none."""
        root = self.xml
        assert root.tag == q("D:error"), self.body
        assert root.findtext(q("E:message"))
        names = [e.tag for e in root if not e.tag.startswith("{urn:safehold:error}")]
        assert len(names) <= 1
        return short(names[0]) if names else ""

    @property
    def responses(self) -> dict[str, dict[str, Any]]:
        """By href: status line number -> names -> elements; `status` for one without propstats."""
        return {r["href"]: r for r in self.listed}

    @property
    def listed(self) -> list[dict[str, Any]]:
        """Every response in order."""
        assert self.status == 207, (self.status, self.body)
        found = []
        for response in self.xml.iter(q("D:response")):
            one: dict[str, Any] = {"href": response.findtext(q("D:href")), "status": None}
            status = response.find(q("D:status"))
            if status is not None:
                one["status"] = int(status.text.split()[1])
            for propstat in response.findall(q("D:propstat")):
                number = int(propstat.findtext(q("D:status")).split()[1])
                one[number] = {short(e.tag): e for e in propstat.find(q("D:prop"))}
                one[f"{number} error"] = [short(e.tag) for e in propstat.iterfind(f"{q('D:error')}/*")]
            one["error"] = [short(e.tag) for e in response.iterfind(f"{q('D:error')}/*")]
            found.append(one)
        return found

    @property
    def token(self) -> str:
        return self.xml.findtext(q("D:sync-token"))

    def text(self, href: str, name: str) -> str:
        """The text of a property that is there."""
        return self.responses[href][200][name].text


def short(clark: str) -> str:
    """A Clark name with the prefix that these tests use, or as it is."""
    for prefix, uri in NS.items():
        if clark.startswith(f"{{{uri}}}"):
            return f"{prefix}:{clark[len(uri) + 2 :]}"
    return clark


class Device:
    """A client of one application, signed in as `user` unless a request says otherwise."""

    def __init__(self, gate: DavGate, user: str = "anna", password: str = "secret") -> None:
        self.gate = gate
        self.app = make_app(gate)
        self.loop = asyncio.new_event_loop()
        self.user = user
        self.home = f"/dav/{user}"
        self.authorization: str | None = "Basic " + b64encode(f"{user}:{password}".encode()).decode()

    def close(self) -> None:
        self.loop.close()
        self.gate.close()

    def ask(
        self,
        method: str,
        target: str | bytes,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        *,
        chunks: Sequence[bytes] | None = None,
        gone: bool = False,
        raw_headers: Sequence[tuple[bytes, bytes]] = (),
        **scope_too: Any,
    ) -> Answer:
        """One request. `chunks` sends a body in pieces without Content-Length; with `gone` the client leaves then."""
        data = body.encode() if isinstance(body, str) else body
        sent = {k.lower().encode(): v.encode("latin-1") for k, v in (headers or {}).items()}
        if self.authorization is not None:
            sent.setdefault(b"authorization", self.authorization.encode())
        if chunks is None and data:
            sent.setdefault(b"content-length", str(len(data)).encode())
        pieces = [data] if chunks is None else list(chunks)
        raw = target if isinstance(target, bytes) else target.encode()
        scope = {
            "type": "http",
            "method": method,
            "path": raw.decode("latin-1"),
            "raw_path": raw,
            "query_string": b"",
            "headers": [*sent.items(), *raw_headers],
            "client": ("192.0.2.1", 1),
            "root_path": "",
            **scope_too,
        }
        return self.loop.run_until_complete(self._run(scope, pieces, gone))

    async def _run(self, scope: dict[str, Any], pieces: list[bytes], gone: bool) -> Answer:
        waiting: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": gone or i + 1 < len(pieces)}
            for i, piece in enumerate(pieces)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not waiting and not gone:
                await asyncio.Event().wait()  # nothing more comes, and the client stays
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        await self.app(scope, receive, send)
        if not sent:
            return Answer(0, [], [])
        start, *rest = sent
        assert start["type"] == "http.response.start"
        assert [m.get("more_body", False) for m in rest] == [True] * (len(rest) - 1) + [False]
        answer = Answer(start["status"], start["headers"], [m["body"] for m in rest])
        _check(scope["method"], answer)
        return answer

    # -- what devices do -----------------------------------------------------------------------------------------

    def put(self, path: str, body: bytes, media: str = CARD, **headers: str) -> Answer:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.ask("PUT", path, body, {"Content-Type": media, **named})

    def propfind(self, path: str, *names: str, depth: str = "0", **headers: str) -> Answer:
        inner = "".join(f"<{n}/>" for n in names)
        asked = f"<D:prop>{inner}</D:prop>" if names else "<D:allprop/>"
        body = f"<D:propfind {DECLARED}>{asked}</D:propfind>"
        return self.ask("PROPFIND", path, body, {"Depth": depth, **headers})

    def proppatch(self, path: str, inner: str) -> Answer:
        return self.ask("PROPPATCH", path, f"<D:propertyupdate {DECLARED}>{inner}</D:propertyupdate>")

    def sync(
        self, path: str, token: str = "", *, limit: int | None = None, agent: str = "test", prop: str = "<D:getetag/>"
    ) -> Answer:
        bound = f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>" if limit is not None else ""
        body = (
            f"<D:sync-collection {DECLARED}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>{bound}"
            f"<D:prop>{prop}</D:prop></D:sync-collection>"
        )
        return self.ask("REPORT", path, body, {"Depth": "0", "User-Agent": agent})

    def multiget(self, path: str, hrefs: Sequence[str], *, prop: str = "") -> Answer:
        kind = "addressbook" if "/contacts/" in path else "calendar"
        prefix, data = ("A", "address-data") if kind == "addressbook" else ("C", "calendar-data")
        prop = prop or f"<D:getetag/><{prefix}:{data}/>"
        inner = "".join(f"<D:href>{h.replace('&', '&amp;')}</D:href>" for h in hrefs)
        body = f"<{prefix}:{kind}-multiget {DECLARED}><D:prop>{prop}</D:prop>{inner}</{prefix}:{kind}-multiget>"
        return self.ask("REPORT", path, body)


def _check(method: str, answer: Answer) -> None:
    """What holds for every answer."""
    names = [name for name, _ in answer.raw_headers]
    assert all(name == name.lower() for name in names)
    assert len(set(names)) == len(names), names
    assert answer.status != 500
    if method == "HEAD" or answer.status in (204, 304):
        assert answer.body == b""
    elif "content-length" in answer.headers:
        assert int(answer.headers["content-length"]) == len(answer.body)
    if answer.status in (204, 304):
        assert "content-length" not in answer.headers
    if answer.status in (503, 507, 429):
        assert int(answer.headers["retry-after"]) > 0
    if answer.status == 405:
        assert answer.headers["allow"]
    if answer.status >= 400 and method != "HEAD" and answer.body and "preference-applied" not in answer.headers:
        assert answer.headers["content-type"].startswith(("application/xml", "application/problem+json", "text/"))
