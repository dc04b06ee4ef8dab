"""A configuration profile for iPhone, iPad and Mac, with one CalDAV and one CardDAV account.

Keys as Apple documents them in its schema of profiles (`TopLevel`, `com.apple.caldav.account`,
`com.apple.carddav.account`). The profile is not signed, and the device says so: signing needs a certificate that the
device trusts, and the server does not hold the key of the one it is reached under. A profile with the password carries
it in the clear; Apple asks for encrypted profiles then, which need the device's own certificate.

Identifier and UUIDs are derived from installation and account, so that a profile that is installed again replaces the
one before.
"""

from __future__ import annotations

import hmac
import plistlib
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from safehold.model.token import account_key
from safehold.protocol.target import principal_href

MEDIA_TYPE = "application/x-apple-aspen-config"
ORGANIZATION = "Safehold"

CALDAV, CARDDAV = "com.apple.caldav.account", "com.apple.carddav.account"


class Server(NamedTuple):
    """Where the device finds the server."""

    host: str  # without a port; an IPv6 address without brackets
    port: int
    secure: bool


def profile(server: Server, name: str, installation: UUID, password: str | None = None) -> bytes:
    """The profile of an account as an XML property list; the device asks for the password where none is given."""
    identifier = f"safehold.{installation}"
    title = f"{name} on {server.host}"
    payloads = [
        _payload(CALDAV, "CalDAV", "Calendars and reminders", server, name, installation, password),
        _payload(CARDDAV, "CardDAV", "Contacts", server, name, installation, password),
    ]
    document = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": _text(installation),
        "PayloadDisplayName": f"Safehold: {title}",
        "PayloadDescription": f"Contacts, calendars and reminders of {title}.",
        "PayloadOrganization": ORGANIZATION,
        "PayloadContent": payloads,
    }
    return plistlib.dumps(document)


def _payload(
    type_: str, prefix: str, what: str, server: Server, name: str, installation: UUID, password: str | None
) -> dict[str, Any]:
    """One account. CalDAV and CardDAV differ in the prefix of their keys."""
    own = {
        "AccountDescription": f"{what} ({server.host})",
        "HostName": server.host,
        "Port": server.port,
        "UseSSL": server.secure,
        "PrincipalURL": principal_href(name),
        "Username": name,
    }
    if password is not None:
        own["Password"] = password
    return {
        "PayloadType": type_,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"safehold.{installation}.{prefix.lower()}",
        "PayloadUUID": _text(uuid5(installation, type_)),
        "PayloadDisplayName": what,
        "PayloadDescription": f"{what} of {name} on {server.host}.",
        "PayloadOrganization": ORGANIZATION,
        **{prefix + key: value for key, value in own.items()},
    }


def profile_id(token_key: bytes, account: bytes) -> UUID:
    """The id of an account's profiles: the same for as long as the account is, and no other installation's."""
    digest = hmac.digest(account_key(token_key, account), b"configuration profile", sha256)
    return UUID(bytes=digest[:16], version=4)


def _text(id_: UUID) -> str:
    return str(id_).upper()
