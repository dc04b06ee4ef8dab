"""Who may do what, and who is who (RFC 3744, 5397, 5842): values of properties, as the text of whole elements.

There is one rule of access and nothing to set: what is an account's is the account's, all of it, and nobody else's.
"""

from __future__ import annotations

from safehold.protocol.names import CALDAV, DAV, empty
from safehold.protocol.target import PRINCIPALS_HREF, principal_href

READ = ("read", "read-acl", "read-current-user-privilege-set")
WRITE = ("write", "write-properties", "write-content", "bind", "unbind", "all")
#: Of calendars: contained in read (RFC 4791 section 6.1.1).
READ_FREE_BUSY = CALDAV + "read-free-busy"

EXPAND_PROPERTY = DAV + "expand-property"
PRINCIPAL_MATCH = DAV + "principal-match"
ACL_PRINCIPAL_PROP_SET = DAV + "acl-principal-prop-set"
PRINCIPAL_PROPERTY_SEARCH = DAV + "principal-property-search"
PRINCIPAL_SEARCH_PROPERTY_SET = DAV + "principal-search-property-set"

#: Reports that every resource has, those that collections have too, and those of the places where principals are found.
REPORTS_OF_ALL = (EXPAND_PROPERTY, ACL_PRINCIPAL_PROP_SET)
REPORTS_OF_COLLECTIONS = (*REPORTS_OF_ALL, PRINCIPAL_MATCH)
REPORTS_OF_PLACES = (*REPORTS_OF_COLLECTIONS, PRINCIPAL_PROPERTY_SEARCH, PRINCIPAL_SEARCH_PROPERTY_SET)


def href(path: str) -> str:
    return f"<D:href>{path}</D:href>"


def privilege(name: str) -> str:
    """`name` is a Clark name, or a local one of WebDAV's."""
    return f"<D:privilege>{empty(name if name[0] == '{' else DAV + name)}</D:privilege>"


def _supported(name: str, description: str, *within: str) -> str:
    said = f'<D:description xml:lang="en">{description}</D:description>'
    return f"<D:supported-privilege>{privilege(name)}{said}{''.join(within)}</D:supported-privilege>"


#: RFC 3744 section 5.3. There is no write-acl: access cannot be granted.
SUPPORTED_PRIVILEGES = _supported(
    "all",
    "Do everything",
    _supported(
        "read",
        "Read",
        _supported("read-acl", "Read who may do what"),
        _supported("read-current-user-privilege-set", "Read what one may do oneself"),
        _supported(READ_FREE_BUSY, "Read when somebody is busy"),
    ),
    _supported(
        "write",
        "Write",
        _supported("write-properties", "Change properties"),
        _supported("write-content", "Change the body"),
        _supported("bind", "Add to a collection"),
        _supported("unbind", "Remove from a collection"),
    ),
)

ACL_RESTRICTIONS = "<D:grant-only/><D:no-invert/>"


def _entry(principal: str, *privileges: str) -> str:
    granted = "".join(map(privilege, privileges))
    return f"<D:ace><D:principal>{principal}</D:principal><D:grant>{granted}</D:grant><D:protected/></D:ace>"


def acl_of_owner(account: str) -> str:
    """The access control list of what is an account's."""
    return f"<D:acl>{_entry(href(principal_href(account)), 'all')}</D:acl>"


#: That of the places that all share: who is signed in may look at them, and finds there what is his.
ACL_OF_ALL = f"<D:acl>{_entry('<D:authenticated/>', *READ)}</D:acl>"

PRINCIPAL_COLLECTIONS = href(PRINCIPALS_HREF)


def resource_id(id_: bytes) -> str:
    """RFC 5842 section 3.1: a random UUID (RFC 9562 section 5.4) from an opaque id of 16 random bytes."""
    marked = bytearray(id_)
    marked[6] = marked[6] & 0x0F | 0x40
    marked[8] = marked[8] & 0x3F | 0x80
    text = marked.hex()
    uuid = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return f"<D:resource-id>{href(f'urn:uuid:{uuid}')}</D:resource-id>"
