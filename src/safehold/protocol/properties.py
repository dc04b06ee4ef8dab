"""Live properties: which resource has which, their values, and which a client may not set.

A value is made as the text of the whole element. Everything else that a client sets is a dead property, kept and
given back as it came; displayname, descriptions, colours and the order of calendars are among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from safehold.content.filters import Collation
from safehold.model.items import Collection, Item
from safehold.model.kinds import ROOT_NOTES, ROOT_PHOTOS, CollectionType
from safehold.model.token import make_token
from safehold.protocol.caldav import (
    CALENDAR_MULTIGET,
    CALENDAR_QUERY,
    FREE_BUSY_QUERY,
    SUPPORTED_COMPONENTS,
    refuses_value,
)
from safehold.protocol.carddav import ADDRESSBOOK_MULTIGET, ADDRESSBOOK_QUERY
from safehold.protocol.conditions import etag, http_date, rfc3339
from safehold.protocol.names import CALDAV, CALENDARSERVER, CARDDAV, DAV, element, empty, escape
from safehold.protocol.target import PRINCIPALS_HREF, Place, collection_href, principal_href
from safehold.protocol.webdav import Instruction

RESOURCETYPE = DAV + "resourcetype"
DISPLAYNAME = DAV + "displayname"
GETETAG = DAV + "getetag"
SYNC_COLLECTION = DAV + "sync-collection"
SYNC_TOKEN = DAV + "sync-token"
_REPORT_SET = DAV + "supported-report-set"

PROTECTED_ERROR = DAV + "cannot-modify-protected-property"


class View:
    """One resource other than an item, as the account that looks at it sees it."""

    __slots__ = ("_token", "account", "collection", "href", "key", "limits", "place")

    def __init__(
        self,
        href: str,
        place: Place,
        account: str,
        collection: Collection | None = None,
        key: bytes = b"",
        limits: tuple[int, int] = (0, 0),
    ) -> None:
        self.href = href
        self.place = place
        self.account = account
        self.collection = collection
        self.key = key  # of sync tokens
        self.limits = limits  # bytes of one object, of one file
        self._token = ""

    @property
    def token(self) -> str:
        """The sync token of a collection as it is now; its getctag is the same text."""
        if not self._token:
            collection = self.collection
            assert collection is not None, "only collections have sync tokens"
            self._token = make_token(self.key, collection.id, collection.rev, collection.head)
        return self._token

    @property
    def dead(self) -> Mapping[str, str]:
        """Properties that are stored; those of Safehold's own, without a namespace, are among them."""
        return self.collection.props if self.collection is not None else {}


Live = Callable[[View], str]


def _href(href: str) -> str:
    return f"<D:href>{href}</D:href>"


def _constant(name: str, content: str = "") -> tuple[str, Live]:
    text = element(name, content)
    return name, lambda _view: text


def _account_href(name: str, href: Callable[[str], str]) -> tuple[str, Live]:
    return name, lambda view: element(name, _href(href(view.account)))


def _types(*names: str) -> tuple[str, Live]:
    return _constant(RESOURCETYPE, "".join(map(empty, names)))


def _reports(*names: str) -> tuple[str, Live]:
    inner = "".join(f"<D:supported-report><D:report>{empty(n)}</D:report></D:supported-report>" for n in names)
    return _constant(_REPORT_SET, inner)


def _collations(namespace: str) -> tuple[str, Live]:
    """RFC 4791 section 7.5.1, RFC 6352 section 8.3.1."""
    inner = "".join(element(namespace + "supported-collation", collation) for collation in Collation)
    return _constant(namespace + "supported-collation-set", inner)


def _privileges(*names: str) -> tuple[str, Live]:
    inner = "".join(f"<D:privilege>{empty(DAV + n)}</D:privilege>" for n in names)
    return _constant(DAV + "current-user-privilege-set", inner)


_READ = ("read", "read-acl", "read-current-user-privilege-set")
_WRITE = ("write", "write-properties", "write-content", "bind", "unbind", "all")

#: Everyone's (RFC 4918, 5397, 3744).
_COMMON: dict[str, Live] = dict(
    [
        _account_href(DAV + "current-user-principal", principal_href),
        _constant(DAV + "principal-collection-set", _href(PRINCIPALS_HREF)),
        _constant(DAV + "supportedlock"),
        _reports(),
        _privileges(*_READ),
    ]
)

_OWNED: dict[str, Live] = {
    **_COMMON,
    **dict(
        [
            _account_href(DAV + "owner", principal_href),
            _constant(DAV + "group"),
            _constant(DAV + "inherited-acl-set"),
            _constant(DAV + "acl-restrictions", "<D:grant-only/><D:no-invert/>"),
            (
                DAV + "acl",
                lambda view: (
                    f"<D:acl><D:ace><D:principal>{_href(principal_href(view.account))}</D:principal>"
                    "<D:grant><D:privilege><D:all/></D:privilege></D:grant><D:protected/></D:ace></D:acl>"
                ),
            ),
        ]
    ),
}

_HOMES: dict[str, Live] = dict(
    [
        _account_href(CALDAV + "calendar-home-set", lambda name: collection_href(name, "calendars")),
        _account_href(CARDDAV + "addressbook-home-set", lambda name: collection_href(name, "contacts")),
    ]
)

_PRINCIPAL: dict[str, Live] = {
    **_OWNED,
    **_HOMES,
    **dict(
        [
            _types(DAV + "collection", DAV + "principal"),
            (DISPLAYNAME, lambda view: element(DISPLAYNAME, escape(view.account))),
            _account_href(DAV + "principal-URL", principal_href),
            _constant(DAV + "alternate-URI-set"),
            _constant(DAV + "group-membership"),
        ]
    ),
}

_ROOT: dict[str, Live] = {**_COMMON, **dict([_types(DAV + "collection")])}
# Some clients ask the home or the root for the homes instead of the principal.
_USER: dict[str, Live] = {**_OWNED, **_HOMES, **dict([_types(DAV + "collection")])}
_HOME: dict[str, Live] = {**_USER, **dict([_privileges(*_READ, "bind", "unbind")])}


def _created(view: View) -> str:
    assert view.collection is not None
    return f"<D:creationdate>{rfc3339(view.collection.created_at)}</D:creationdate>"


def _changed(view: View) -> str:
    assert view.collection is not None
    return f"<D:getlastmodified>{http_date(view.collection.changed_at)}</D:getlastmodified>"


def _components(view: View) -> str:
    assert view.collection is not None
    inner = "".join(f'<C:comp name="{name}"/>' for name in sorted(view.collection.components))
    return element(SUPPORTED_COMPONENTS, inner)


_FOLDER: dict[str, Live] = {
    **_OWNED,
    **dict([_types(DAV + "collection"), _privileges(*_READ, *_WRITE)]),
    DAV + "creationdate": _created,
    DAV + "getlastmodified": _changed,
}

# The token moves with every change of an item, so it is a collection tag too. A folder has none: a change of the
# folders within it does not touch it.
_SYNCED: dict[str, Live] = {
    **_FOLDER,
    SYNC_TOKEN: lambda view: f"<D:sync-token>{view.token}</D:sync-token>",
    CALENDARSERVER + "getctag": lambda view: f"<S:getctag>{view.token}</S:getctag>",
}

_ADDRESSBOOK: dict[str, Live] = {
    **_SYNCED,
    **dict(
        [
            _types(DAV + "collection", CARDDAV + "addressbook"),
            _reports(SYNC_COLLECTION, ADDRESSBOOK_MULTIGET, ADDRESSBOOK_QUERY),
            _collations(CARDDAV),
            _constant(
                CARDDAV + "supported-address-data",
                '<A:address-data-type content-type="text/vcard" version="3.0"/>'
                '<A:address-data-type content-type="text/vcard" version="4.0"/>',
            ),
            (
                CARDDAV + "max-resource-size",
                lambda view: f"<A:max-resource-size>{view.limits[0]}</A:max-resource-size>",
            ),
        ]
    ),
}

_CALENDAR: dict[str, Live] = {
    **_SYNCED,
    **dict(
        [
            _types(DAV + "collection", CALDAV + "calendar"),
            _reports(SYNC_COLLECTION, CALENDAR_MULTIGET, CALENDAR_QUERY, FREE_BUSY_QUERY),
            (SUPPORTED_COMPONENTS, _components),
            _collations(CALDAV),
            _constant(
                CALDAV + "supported-calendar-data", '<C:calendar-data content-type="text/calendar" version="2.0"/>'
            ),
            (
                CALDAV + "max-resource-size",
                lambda view: f"<C:max-resource-size>{view.limits[0]}</C:max-resource-size>",
            ),
        ]
    ),
}

_BY_PLACE: dict[Place, dict[str, Live]] = {
    Place.ROOT: _ROOT,
    Place.PRINCIPALS: _ROOT,
    Place.PRINCIPAL: _PRINCIPAL,
    Place.USER: _USER,
    Place.CONTACTS: _HOME,
    Place.CALENDARS: _HOME,
    Place.FILES: _USER,
}
_BY_TYPE: dict[CollectionType, dict[str, Live]] = {
    CollectionType.ADDRESSBOOK: _ADDRESSBOOK,
    CollectionType.CALENDAR: _CALENDAR,
    CollectionType.FOLDER: _FOLDER,
}


def live_of(view: View) -> dict[str, Live]:
    """The live properties that a resource has."""
    return _BY_TYPE[view.collection.type] if view.collection is not None else _BY_PLACE[view.place]


#: What allprop answers besides dead properties: those of RFC 4918 section 15, as section 9.1 defines it.
ALLPROP_NAMES = tuple(
    DAV + local
    for local in (
        "resourcetype",
        "displayname",
        "creationdate",
        "getlastmodified",
        "getcontentlength",
        "getcontenttype",
        "getetag",
        "supportedlock",
    )
)

#: Live properties of an item: a constant element, or the text around a value and the value.
ItemLive = str | tuple[str, Callable[[Item], str]]

ITEM_LIVE: dict[str, ItemLive] = {
    RESOURCETYPE: "<D:resourcetype/>",
    GETETAG: ("<D:getetag>%s</D:getetag>", lambda item: etag(item.digest)),
    DAV + "getcontenttype": (
        "<D:getcontenttype>%s</D:getcontenttype>",
        lambda item: escape(item.media or "application/octet-stream"),
    ),
    DAV + "getcontentlength": ("<D:getcontentlength>%s</D:getcontentlength>", lambda item: str(item.size)),
    DAV + "getlastmodified": ("<D:getlastmodified>%s</D:getlastmodified>", lambda item: http_date(item.at)),
    DAV + "creationdate": ("<D:creationdate>%s</D:creationdate>", lambda item: rfc3339(item.created_at)),
    DAV + "supportedlock": "<D:supportedlock/>",
    DAV + "group": "<D:group/>",
    DAV + "principal-collection-set": element(DAV + "principal-collection-set", _href(PRINCIPALS_HREF)),
}

#: Reports on items, by the type of their collection; on plain files there are none.
_ITEM_REPORTS: dict[CollectionType, Live] = {
    CollectionType.ADDRESSBOOK: _reports(ADDRESSBOOK_QUERY)[1],
    CollectionType.CALENDAR: _reports(CALENDAR_QUERY)[1],
}


def _item_reports(view: View) -> str:
    assert view.collection is not None, "items lie in collections"
    return _ITEM_REPORTS.get(view.collection.type, _COMMON[_REPORT_SET])(view)


#: Those of an item's that its collection or its owner's name completes.
ITEM_LIVE_OF_VIEW: dict[str, Live] = {
    _REPORT_SET: _item_reports,
    **{
        name: _FOLDER[name]
        for name in (
            DAV + "owner",
            DAV + "acl",
            DAV + "acl-restrictions",
            DAV + "inherited-acl-set",
            DAV + "current-user-principal",
            DAV + "current-user-privilege-set",
        )
    },
}

#: Properties that no client can set: everything live, and what standards reserve. displayname is live on
#: principals only, and nothing can be set there.
PROTECTED = (frozenset().union(*_BY_PLACE.values(), *_BY_TYPE.values(), ITEM_LIVE) - {DISPLAYNAME}) | frozenset(
    (
        DAV + "lockdiscovery",
        DAV + "supported-privilege-set",
        DAV + "quota-available-bytes",
        DAV + "quota-used-bytes",
        DAV + "getcontentlanguage",
        CALDAV + "calendar-data",
        CALDAV + "max-instances",
        CALDAV + "max-attendees-per-instance",
        CALDAV + "min-date-time",
        CALDAV + "max-date-time",
        CALDAV + "supported-collation-set",
        CARDDAV + "address-data",
        CARDDAV + "supported-collation-set",
    )
)

#: Bytes of one dead property, its element included.
MAX_VALUE_BYTES = 64 * 1024


def refusal(step: Instruction) -> tuple[str, str] | None:
    """Why an instruction cannot be followed, as (status line, precondition element or ""); None where it can."""
    if step.name in PROTECTED:
        return "403 Forbidden", PROTECTED_ERROR
    if step.value is not None and len(step.value.encode()) > MAX_VALUE_BYTES:
        return "507 Insufficient Storage", ""
    broken = refuses_value(step)
    return ("403 Forbidden", broken) if broken else None


def is_file_root(path: str) -> bool:
    """Whether this is one of the two folders that belong to the account."""
    return path in (ROOT_NOTES, ROOT_PHOTOS)
