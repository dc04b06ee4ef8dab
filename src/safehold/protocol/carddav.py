"""CardDAV names (RFC 6352)."""

from __future__ import annotations

from safehold.protocol.names import CARDDAV

ADDRESS_DATA = CARDDAV + "address-data"
ADDRESSBOOK_MULTIGET = CARDDAV + "addressbook-multiget"
