"""WebDAV, CalDAV, CardDAV and REST as values: request to command, outcome to response. No I/O."""
