"""Request bodies of the reports on items: multiget (RFC 4791 section 7.9, RFC 6352 section 8.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from safehold.model.errors import BadRequest
from safehold.protocol.names import DAV
from safehold.protocol.webdav import PropFind, which_properties
from safehold.protocol.xml import Element, children, text_of


class Multiget(NamedTuple):
    """What is asked of which items; the hrefs as they were sent."""

    asked: PropFind
    hrefs: Sequence[str]


def read_multiget(root: Element) -> Multiget:
    """Raises BadRequest."""
    hrefs = [text_of(href) for href in children(root, DAV + "href")]
    asked = which_properties(root)
    if not hrefs:
        raise BadRequest("a multiget names at least one href")
    return Multiget(asked, hrefs)
