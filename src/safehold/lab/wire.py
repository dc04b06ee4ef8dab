"""What simulated devices say and hear: requests as a device words them, and a multistatus taken apart.

`TAG` is a property of no standard, which the server keeps for whoever sets it: devices and oracle know things by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from lxml import etree

DAV, CALDAV, CARDDAV = "{DAV:}", "{urn:ietf:params:xml:ns:caldav}", "{urn:ietf:params:xml:ns:carddav}"
TAG = "{urn:example:lab}tag"
_DECLARED = (
    'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav" '
    'xmlns:L="urn:example:lab"'
)
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)


class Request(NamedTuple):
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012
    user: str = "ann"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


#: Sends a request and waits for its answer.
Send = Callable[[Request], Answer]


class Line(NamedTuple):
    """A response within a multistatus. `status` is 200 where it has properties."""

    path: str  # decoded, below /dav/, without a slash at its end
    status: int
    etag: str
    tag: str
    is_collection: bool
    data: bytes | None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Multistatus(NamedTuple):
    lines: list[Line]
    token: str
    truncated: bool


def href(path: str, *, folder: bool = False) -> str:
    """The URL path of what lies at `path` below /dav/."""
    return "/dav/" + quote(path) + "/" * folder


def propfind(user: str, path: str, depth: int) -> Request:
    body = f"<D:propfind {_DECLARED}><D:prop><D:getetag/><D:resourcetype/><L:tag/></D:prop></D:propfind>"
    return Request("PROPFIND", href(path, folder=True), body.encode(), {"Depth": str(depth)}, user)


def sync_collection(user: str, path: str, token: str, limit: int | None = None) -> Request:
    bound = f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>" if limit is not None else ""
    body = (
        f"<D:sync-collection {_DECLARED}><D:sync-token>{escape(token)}</D:sync-token><D:sync-level>1</D:sync-level>"
        f"{bound}<D:prop><D:getetag/></D:prop></D:sync-collection>"
    )
    return Request("REPORT", href(path, folder=True), body.encode(), {"Depth": "0"}, user)


def multiget(user: str, path: str, names: Iterable[str]) -> Request:
    report, data = ("A:addressbook-multiget", "A:address-data")
    if "/calendars/" in path:
        report, data = ("C:calendar-multiget", "C:calendar-data")
    hrefs = "".join(f"<D:href>{escape(href(f'{path}/{name}'))}</D:href>" for name in names)
    body = f"<{report} {_DECLARED}><D:prop><D:getetag/><{data}/></D:prop>{hrefs}</{report}>"
    return Request("REPORT", href(path, folder=True), body.encode(), {"Depth": "0"}, user)


def proppatch(user: str, path: str, tag: str, *, folder: bool) -> Request:
    """Set the tag, or remove it where it is empty."""
    change = f"<D:set><D:prop><L:tag>{escape(tag)}</L:tag></D:prop></D:set>"
    if not tag:
        change = "<D:remove><D:prop><L:tag/></D:prop></D:remove>"
    body = f"<D:propertyupdate {_DECLARED}>{change}</D:propertyupdate>"
    return Request("PROPPATCH", href(path, folder=folder), body.encode(), {}, user)


def make_collection(user: str, path: str, type_: str) -> Request:
    """`type_` is folder, addressbook, or a component: VEVENT, VTODO, VJOURNAL."""
    if type_ == "folder":
        return Request("MKCOL", href(path, folder=True), b"", {}, user)
    if type_ == "addressbook":
        kind = "<D:resourcetype><D:collection/><A:addressbook/></D:resourcetype>"
        body = f"<D:mkcol {_DECLARED}><D:set><D:prop>{kind}</D:prop></D:set></D:mkcol>"
        return Request("MKCOL", href(path, folder=True), body.encode(), {"Content-Type": "application/xml"}, user)
    kind = f'<C:supported-calendar-component-set><C:comp name="{type_}"/></C:supported-calendar-component-set>'
    body = f"<C:mkcalendar {_DECLARED}><D:set><D:prop>{kind}</D:prop></D:set></C:mkcalendar>"
    return Request("MKCALENDAR", href(path, folder=True), body.encode(), {"Content-Type": "application/xml"}, user)


def read_multistatus(answer: Answer) -> Multistatus:
    """Asserts that it is one, complete."""
    assert answer.status == 207, answer
    root = etree.fromstring(answer.body, _PARSER)
    lines = [_line(response) for response in root.findall(DAV + "response")]
    truncated = any(line.status == 507 for line in lines)
    return Multistatus([x for x in lines if x.status != 507], root.findtext(DAV + "sync-token") or "", truncated)


def _line(response: etree._Element) -> Line:
    path = unquote(response.findtext(DAV + "href") or "").removeprefix("/dav/").rstrip("/")
    said = response.findtext(DAV + "status")
    status = 200 if said is None else int(said.split()[1])
    etag, tag, is_collection, data = "", "", False, None
    for propstat in response.findall(DAV + "propstat"):
        if " 200 " not in (propstat.findtext(DAV + "status") or ""):
            continue
        for prop in propstat.iterfind(DAV + "prop/*"):
            if prop.tag == DAV + "getetag":
                etag = prop.text or ""
            elif prop.tag == TAG:
                tag = prop.text or ""
            elif prop.tag == DAV + "resourcetype":
                is_collection = prop.find(DAV + "collection") is not None
            elif prop.tag in (CALDAV + "calendar-data", CARDDAV + "address-data"):
                data = (prop.text or "").encode()
    return Line(path, status, etag, tag, is_collection, data)
