"""Namespaces, Clark names and the text form of names and hrefs in answers.

A property is named in Clark notation, `{namespace}local`; one without a namespace is `{}local`, so that it
cannot be taken for one of Safehold's own property names, which have no brace.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

DAV = "{DAV:}"
CALDAV = "{urn:ietf:params:xml:ns:caldav}"
CARDDAV = "{urn:ietf:params:xml:ns:carddav}"
CALENDARSERVER = "{http://calendarserver.org/ns/}"
#: Ours: what an error means in words.
ERROR = "{urn:safehold:error}"

#: Prefixes that the root element of every answer declares.
PREFIXES = {DAV: "D", CALDAV: "C", CARDDAV: "A", CALENDARSERVER: "S"}
DECLARATIONS = " ".join(f'xmlns:{prefix}="{name[1:-1]}"' for name, prefix in PREFIXES.items())
XML_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'

#: Its prefix needs no declaration, and may have no other (Namespaces in XML 1.0 section 3).
_XML = "{http://www.w3.org/XML/1998/namespace}"
#: Names beyond are not worth remembering: strangers choose them.
_REMEMBERED_CHARACTERS = 200
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def escape(text: str) -> str:
    """Text as element content. CR is kept as a reference (a parser would drop it); what XML cannot say is `?`."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return _UNSPEAKABLE.sub("?", text) if _UNSPEAKABLE.search(text) else text


def escape_attribute(text: str) -> str:
    """Text as the value of an attribute in double quotes."""
    return escape(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def tag(name: str) -> tuple[str, str]:
    """A Clark name as (`D:local`, declaration to add): the second is empty where the root declares the prefix."""
    return _tag(name) if len(name) <= _REMEMBERED_CHARACTERS else _tag.__wrapped__(name)


@lru_cache(maxsize=1024)
def _tag(name: str) -> tuple[str, str]:
    namespace, local = name[: name.index("}") + 1], name[name.index("}") + 1 :]
    prefix = "xml" if namespace == _XML else PREFIXES.get(namespace)
    if prefix is not None:
        return f"{prefix}:{local}", ""
    return local, f' xmlns="{escape_attribute(namespace[1:-1])}"'


def empty(name: str) -> str:
    """An empty element of this name."""
    qualified, declaration = tag(name)
    return f"<{qualified}{declaration}/>"


def element(name: str, content: str) -> str:
    """An element around content that is XML already."""
    if not content:
        return empty(name)
    qualified, declaration = tag(name)
    return f"<{qualified}{declaration}>{content}</{qualified}>"


def is_unreserved(text: str) -> bool:
    """Whether text is the same percent-encoded as not (RFC 3986 section 2.3)."""
    return _UNRESERVED(text) is not None


def quote_segment(segment: str) -> str:
    """A path segment as it stands in an href: everything but unreserved characters percent-encoded."""
    return segment if _UNRESERVED(segment) else quote(segment, safe="")


def quote_path(path: str) -> str:
    """A path under an account (`contacts/default`) as it stands in an href."""
    return "/".join(map(quote_segment, path.split("/")))
