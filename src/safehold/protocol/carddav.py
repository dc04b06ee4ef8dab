"""CardDAV names (RFC 6352)."""

from __future__ import annotations

from safehold.protocol.names import CARDDAV

ADDRESSBOOK_MULTIGET = CARDDAV + "addressbook-multiget"
ADDRESSBOOK_QUERY = CARDDAV + "addressbook-query"
