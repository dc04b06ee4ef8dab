"""Live properties: which resource has which, their values, and which a client may not set.

A value is made as the text of the whole element. Everything else that a client sets is a dead property, kept and
given back as it came; displayname, descriptions, colours and the order of calendars are among them.

Long because it is a table: one entry for each property, and which resource has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from safehold.content.filters import Collation
from safehold.model.items import Collection, Item
from safehold.model.kinds import ROOT_NOTES, ROOT_PHOTOS, CollectionType
from safehold.model.locks import NO_LOCKS, HeldLocks
from safehold.model.paths import below
from safehold.model.token import make_token
from safehold.protocol import cloud, principals
from safehold.protocol.caldav import (
    CALENDAR_MULTIGET,
    CALENDAR_QUERY,
    FREE_BUSY_QUERY,
    SUPPORTED_COMPONENTS,
    refuses_value,
)
from safehold.protocol.carddav import ADDRESSBOOK_MULTIGET, ADDRESSBOOK_QUERY
from safehold.protocol.conditions import etag, http_date, rfc3339
from safehold.protocol.locks import LOCKDISCOVERY, SUPPORTED, SUPPORTEDLOCK, discovery
from safehold.protocol.methods import allow
from safehold.protocol.names import CALDAV, CALENDARSERVER, CARDDAV, DAV, element, empty, escape
from safehold.protocol.target import Place, Target, collection_href, principal_href
from safehold.protocol.webdav import Instruction, PropFind

RESOURCETYPE = DAV + "resourcetype"
DISPLAYNAME = DAV + "displayname"
GETETAG = DAV + "getetag"
SYNC_COLLECTION = DAV + "sync-collection"
SYNC_TOKEN = DAV + "sync-token"
_REPORT_SET = DAV + "supported-report-set"

PROTECTED_ERROR = DAV + "cannot-modify-protected-property"


class Facts(NamedTuple):
    """What is looked up only where a request asks for it: see `needs_facts`."""

    used_bytes: int = 0  # what the account holds
    available_bytes: int | None = None  # None: not known now
    recovery_mark: str = ""


NO_FACTS = Facts()
QUOTA_USED, QUOTA_AVAILABLE = DAV + "quota-used-bytes", DAV + "quota-available-bytes"
_OF_FACTS = frozenset((QUOTA_USED, QUOTA_AVAILABLE, cloud.DATA_FINGERPRINT))


def needs_facts(asked: PropFind) -> bool:
    """Whether an answer to this tells anything of `Facts`; allprop does not, unless it names them (RFC 4331)."""
    return not _OF_FACTS.isdisjoint(asked.names)


class View:
    """One resource other than an item, as the account that looks at it sees it."""

    __slots__ = (
        "_token",
        "account",
        "account_id",
        "collection",
        "facts",
        "href",
        "kept",
        "key",
        "limits",
        "locks",
        "now",
        "place",
    )

    def __init__(
        self,
        href: str,
        place: Place,
        account: str,
        collection: Collection | None = None,
        key: bytes = b"",
        limits: tuple[int, int] = (0, 0),
        locks: HeldLocks = NO_LOCKS,
        now: float = 0.0,
        account_id: bytes = b"",
        facts: Facts = NO_FACTS,
        kept: Mapping[str, str] | None = None,
    ) -> None:
        self.href = href
        self.place = place
        self.account = account
        self.collection = collection
        self.key = key  # of sync tokens
        self.limits = limits  # bytes of one object, of one file
        self.locks = locks  # all of the account's
        self.now = now  # by the clock that locks end by
        self.account_id = account_id
        self.facts = facts
        self.kept = kept or {}  # dead properties of a home
        self._token = ""

    @property
    def token(self) -> str:
        """The sync token of a collection as it is now; its getctag is the same text."""
        if not self._token:
            collection = self.collection
            assert collection is not None, "only collections have sync tokens"
            self._token = make_token(self.key, collection.id, collection.rev, collection.head)
        return self._token

    def discovery(self, path: str) -> str:
        """lockdiscovery of what lies at a path."""
        return discovery(self.locks.covering(path), self.account, self.now)

    @property
    def locked_items(self) -> dict[str, str]:
        """lockdiscovery of those items of the collection that are locked themselves, by name."""
        path = self.collection.path if self.collection is not None else ""
        roots = {lock.root for lock in self.locks if below(lock.root, path)}
        return {root[len(path) + 1 :]: self.discovery(root) for root in roots if "/" not in root[len(path) + 1 :]}

    @property
    def dead(self) -> Mapping[str, str]:
        """Properties that are stored; those of Safehold's own, without a namespace, are among them."""
        return self.collection.props if self.collection is not None else self.kept


#: The value of a live property as the text of its element; "" where it has none now, which is answered as 404.
Live = Callable[[View], str]

_href = principals.href


def _constant(name: str, content: str = "") -> tuple[str, Live]:
    text = element(name, content)
    return name, lambda _view: text


def _account_href(name: str, href: Callable[[str], str]) -> tuple[str, Live]:
    return name, lambda view: element(name, _href(href(view.account)))


def _types(*names: str) -> tuple[str, Live]:
    return _constant(RESOURCETYPE, "".join(map(empty, names)))


def _reports(*names: str) -> tuple[str, Live]:
    """Those of its own that a collection has, besides those of all collections."""
    return _constant(_REPORT_SET, _supported_reports(*principals.REPORTS_OF_COLLECTIONS, *names))


def _supported_reports(*names: str) -> str:
    return "".join(f"<D:supported-report><D:report>{empty(n)}</D:report></D:supported-report>" for n in names)


def _collation_set(namespace: str) -> dict[str, str]:
    """RFC 4791 section 7.5.1, RFC 6352 section 8.3.1: the name and the text of the element."""
    name = namespace + "supported-collation-set"
    inner = "".join(element(namespace + "supported-collation", collation) for collation in Collation)
    return {name: element(name, inner)}


def _collations(namespace: str) -> tuple[str, Live]:
    ((name, text),) = _collation_set(namespace).items()
    return name, lambda _view: text


def _methods(view: View) -> str:
    """RFC 3253 section 3.1.3."""
    collection = view.collection
    if collection is not None and collection.type is CollectionType.FOLDER:
        return _method_set(allow(Target(Place.FILE), "GET"))
    return _method_set(allow(Target(view.place)))


def _method_set(allowed: bytes) -> str:
    names = allowed.decode().split(", ")
    return element(_METHOD_SET, "".join(f'<D:supported-method name="{name}"/>' for name in names))


_METHOD_SET = DAV + "supported-method-set"


def _privileges(*names: str) -> tuple[str, Live]:
    return _constant(DAV + "current-user-privilege-set", "".join(map(principals.privilege, names)))


_READ, _WRITE = principals.READ, principals.WRITE

#: Everyone's (RFC 4918, 5397, 3744).
_COMMON: dict[str, Live] = dict(
    [
        _account_href(DAV + "current-user-principal", principal_href),
        _constant(DAV + "principal-collection-set", principals.PRINCIPAL_COLLECTIONS),
        _constant(SUPPORTEDLOCK),
        _constant(LOCKDISCOVERY),
        _reports(),
        (_METHOD_SET, _methods),
        _privileges(*_READ),
        _constant(DAV + "supported-privilege-set", principals.SUPPORTED_PRIVILEGES),
        _constant(DAV + "owner"),
        _constant(DAV + "group"),
        _constant(DAV + "inherited-acl-set"),
        _constant(DAV + "acl-restrictions", principals.ACL_RESTRICTIONS),
        (DAV + "acl", lambda _view: principals.ACL_OF_ALL),
    ]
)

_OWNED: dict[str, Live] = {
    **_COMMON,
    **dict(
        [
            _account_href(DAV + "owner", principal_href),
            (DAV + "acl", lambda view: principals.acl_of_owner(view.account)),
        ]
    ),
}

_HOMES: dict[str, Live] = dict(
    [
        _account_href(CALDAV + "calendar-home-set", lambda name: collection_href(name, "calendars")),
        _account_href(CARDDAV + "addressbook-home-set", lambda name: collection_href(name, "contacts")),
    ]
)


def _used(view: View) -> str:
    return f"<D:quota-used-bytes>{view.facts.used_bytes}</D:quota-used-bytes>"


def _available(view: View) -> str:
    left = view.facts.available_bytes
    return "" if left is None else f"<D:quota-available-bytes>{left}</D:quota-available-bytes>"


#: RFC 4331: of the account, and so the same for everything that is put into it.
_QUOTA: dict[str, Live] = {QUOTA_USED: _used, QUOTA_AVAILABLE: _available}

#: Reports of the places that all accounts have.
_PLACE_REPORTS = _constant(_REPORT_SET, _supported_reports(*principals.REPORTS_OF_PLACES))

_PRINCIPAL: dict[str, Live] = {
    **_OWNED,
    **_HOMES,
    **dict(
        [
            _types(DAV + "collection", DAV + "principal"),
            (DISPLAYNAME, lambda view: element(DISPLAYNAME, escape(view.account))),
            _account_href(DAV + "principal-URL", principal_href),
            # An account has no address that is known to be its own, so what it is called by here is all there is.
            _account_href(CALDAV + "calendar-user-address-set", principal_href),
            _constant(CALDAV + "calendar-user-type", "INDIVIDUAL"),
            _constant(DAV + "alternate-URI-set"),
            _constant(DAV + "group-member-set"),
            _constant(DAV + "group-membership"),
            (DAV + "resource-id", lambda view: principals.resource_id(view.account_id)),
            _PLACE_REPORTS,
        ]
    ),
}

_ROOT: dict[str, Live] = {**_COMMON, **dict([_types(DAV + "collection"), _PLACE_REPORTS])}
# Some clients ask the home or the root for the homes instead of the principal.
_USER: dict[str, Live] = {**_OWNED, **_HOMES, **_QUOTA, **dict([_types(DAV + "collection"), _PLACE_REPORTS])}
_HOME: dict[str, Live] = {**_USER, **dict([_privileges(*_READ, "bind", "unbind", "write-properties")])}


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
    **_QUOTA,
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


def _collection_id(view: View) -> str:
    """Of what is never moved: a folder that is moved is made anew."""
    assert view.collection is not None
    return principals.resource_id(view.collection.id)


_ADDRESSBOOK: dict[str, Live] = {
    **_SYNCED,
    DAV + "resource-id": _collection_id,
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
    DAV + "resource-id": _collection_id,
    **dict(
        [
            _types(DAV + "collection", CALDAV + "calendar"),
            _privileges(*_READ, principals.READ_FREE_BUSY, *_WRITE),
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


def _number(view: View) -> int:
    return cloud.number_of(view.account_id if view.collection is None else view.collection.id)


def _permissions(view: View) -> str:
    if view.collection is None:
        return cloud.HOME_PERMISSIONS
    return cloud.ROOT_PERMISSIONS if is_file_root(view.collection.path) else cloud.FOLDER_PERMISSIONS


#: Of trees of files.
_CLOUD: dict[str, Live] = {
    cloud.ID: lambda view: cloud.text_property(cloud.ID, cloud.id_text(_number(view))),
    cloud.FILE_ID: lambda view: cloud.text_property(cloud.FILE_ID, str(_number(view))),
    cloud.PERMISSIONS: lambda view: cloud.text_property(cloud.PERMISSIONS, _permissions(view)),
    cloud.OWNER_ID: lambda view: cloud.text_property(cloud.OWNER_ID, view.account),
    cloud.OWNER_NAME: lambda view: cloud.text_property(cloud.OWNER_NAME, view.account),
    cloud.DATA_FINGERPRINT: lambda view: cloud.text_property(cloud.DATA_FINGERPRINT, view.facts.recovery_mark),
}


def _locks_within(view: View) -> str:
    """lockdiscovery of an item that is not locked itself: the locks of the folders that it lies in."""
    assert view.collection is not None
    return view.discovery(view.collection.path + "/")


def _locks(view: View) -> str:
    assert view.collection is not None
    return view.discovery(view.collection.path)


_FILES: dict[str, Live] = {
    **_FOLDER,
    **_CLOUD,
    SUPPORTEDLOCK: lambda _view: SUPPORTED,
    LOCKDISCOVERY: _locks,
}

_BY_PLACE: dict[Place, dict[str, Live]] = {
    Place.ROOT: _ROOT,
    Place.PRINCIPALS: _ROOT,
    Place.PRINCIPAL: _PRINCIPAL,
    Place.USER: _USER,
    Place.CONTACTS: _HOME,
    Place.CALENDARS: _HOME,
    Place.FILES: {**_HOME, **_CLOUD},
}
_BY_TYPE: dict[CollectionType, dict[str, Live]] = {
    CollectionType.ADDRESSBOOK: _ADDRESSBOOK,
    CollectionType.CALENDAR: _CALENDAR,
    CollectionType.FOLDER: _FILES,
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
        "lockdiscovery",
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
    DAV + "group": "<D:group/>",
    _METHOD_SET: _method_set(allow(Target(Place.ITEM))),
    DAV + "supported-privilege-set": element(DAV + "supported-privilege-set", principals.SUPPORTED_PRIVILEGES),
    DAV + "principal-collection-set": element(DAV + "principal-collection-set", principals.PRINCIPAL_COLLECTIONS),
}

#: The same of objects, whose queries compare texts too.
_OBJECT_LIVE: Mapping[CollectionType, Mapping[str, ItemLive]] = {
    CollectionType.ADDRESSBOOK: {**ITEM_LIVE, **_collation_set(CARDDAV)},
    CollectionType.CALENDAR: {**ITEM_LIVE, **_collation_set(CALDAV)},
}

#: The same of files, but for ids and owner, which their folder completes.
_FILE_LIVE: dict[str, ItemLive] = {
    _METHOD_SET: _method_set(allow(Target(Place.FILE), "MKCOL")),
    cloud.PERMISSIONS: cloud.text_property(cloud.PERMISSIONS, cloud.FILE_PERMISSIONS),
    cloud.SIZE: (cloud.text_property(cloud.SIZE, "%s"), lambda item: str(item.size)),
    cloud.CHECKSUMS: (cloud.checksums("%s"), lambda item: item.digest.hex()),
}


def item_live(view: View) -> Mapping[str, ItemLive]:
    """The live properties of the items of a collection, but for ITEM_LIVE_OF_VIEW."""
    collection = view.collection
    if collection is None or collection.type is not CollectionType.FOLDER:
        return ITEM_LIVE if collection is None else _OBJECT_LIVE[collection.type]
    id_ = collection.id
    return {
        **ITEM_LIVE,
        **_FILE_LIVE,
        cloud.ID: (
            cloud.text_property(cloud.ID, "%s"),
            lambda item: cloud.id_text(cloud.number_of(id_, item.name)),
        ),
        cloud.FILE_ID: (
            cloud.text_property(cloud.FILE_ID, "%s"),
            lambda item: str(cloud.number_of(id_, item.name)),
        ),
        cloud.OWNER_ID: _CLOUD[cloud.OWNER_ID](view),
        cloud.OWNER_NAME: _CLOUD[cloud.OWNER_NAME](view),
    }


#: Reports on items, by the type of their collection; on plain files there are those of all.
_ITEM_REPORTS: dict[CollectionType, str] = {
    type_: element(_REPORT_SET, _supported_reports(*principals.REPORTS_OF_ALL, *names))
    for type_, names in (
        (CollectionType.ADDRESSBOOK, (ADDRESSBOOK_MULTIGET, ADDRESSBOOK_QUERY)),
        (CollectionType.CALENDAR, (CALENDAR_MULTIGET, CALENDAR_QUERY)),
        (CollectionType.FOLDER, ()),
    )
}


def _item_reports(view: View) -> str:
    assert view.collection is not None, "items lie in collections"
    return _ITEM_REPORTS[view.collection.type]


#: Those of an item's that its owner's name or its collection completes.
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
    SUPPORTEDLOCK: lambda view: live_of(view)[SUPPORTEDLOCK](view),
    LOCKDISCOVERY: _locks_within,
}

#: What allprop answers about an item.
ITEM_ALLPROP = tuple(name for name in ALLPROP_NAMES if name in ITEM_LIVE or name in ITEM_LIVE_OF_VIEW)

#: Properties that no client can set: everything live, and what standards reserve. displayname is live on
#: principals only, and nothing can be set there.
PROTECTED = (
    frozenset().union(*_BY_PLACE.values(), *_BY_TYPE.values(), ITEM_LIVE, _FILE_LIVE) - {DISPLAYNAME}
) | frozenset(
    (
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
