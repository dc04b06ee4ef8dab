"""Reading XML that strangers send: no DTD, no entity, no network, no huge trees; and keeping parts of it as text."""

from __future__ import annotations

from typing import TypeAlias

from lxml import etree

from safehold.model.errors import BadRequest, TooLarge

Element: TypeAlias = "etree._Element"

#: Tags in one body, and attributes: an href of a report has two and perhaps one. A tree takes some 250 bytes for each.
MAX_TAGS = 250_000
#: Namespaces declared around a property that is kept: every one of them goes through the parser again with it.
MAX_NAMESPACES = 64

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def parse(body: bytes, *, root: str = "") -> Element:
    """The root element of a request body.

    Raises BadRequest (not well formed, a DOCTYPE, or not the root asked for), TooLarge.
    """
    # A DTD buys a client nothing and an attacker much, so it is refused before a parser sees it.
    if b"<!DOCTYPE" in body:
        raise BadRequest("a request body may not have a document type", element="{DAV:}no-external-entities")
    if max(body.count(b"<"), body.count(b'="') + body.count(b"='")) > MAX_TAGS:
        raise TooLarge(f"the request body has more than {MAX_TAGS} tags or attributes")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        found = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadRequest(f"the request body is not well-formed XML: {error}") from None
    if found is None:
        raise BadRequest("the request body has no root element")
    if found.getroottree().docinfo.internalDTD is not None:  # in UTF-16, which the search above does not see
        raise BadRequest("a request body may not have a document type", element="{DAV:}no-external-entities")
    if root and clark(found) != root:
        raise BadRequest(f"the request body should be a {root} element, not {clark(found)}")
    return found


def clark(element: Element) -> str:
    """The name of an element in Clark notation, `{}local` where it has no namespace."""
    name = element.tag
    if not isinstance(name, str):
        return "{}"  # an entity reference that was not resolved
    return name if name[0] == "{" else "{}" + name


def children(element: Element, *names: str) -> list[Element]:
    """Child elements of these Clark names, in document order."""
    return list(element.iterchildren(*names))


def child(element: Element, name: str) -> Element | None:
    """The first child element of this Clark name."""
    return next(element.iterchildren(name), None)


def text_of(element: Element | None) -> str:
    """The text directly in an element, without white space around it."""
    return (element.text or "").strip() if element is not None else ""


def keep(element: Element) -> str:
    """A property as it is stored: the whole element as XML text that stands alone (RFC 4918 section 4.3).

    Namespace declarations it uses come with it, and so does the xml:lang in scope. A prefix that occurs in text
    or in an attribute's value, where only the application knows what it means, keeps its declaration too.
    Raises BadRequest where too many namespaces are in scope.
    """
    if len(element.nsmap) > MAX_NAMESPACES:
        raise BadRequest(f"more than {MAX_NAMESPACES} namespaces are declared around a property")
    language = next((e.get(_XML_LANG) for e in _upwards(element) if e.get(_XML_LANG) is not None), None)
    # In UTF-8: the default of ASCII has no way to write a name with other letters.
    copy = etree.fromstring(etree.tostring(element, with_tail=False, encoding="utf-8"))
    if language is not None:
        copy.set(_XML_LANG, language)
    words = "\n".join([*copy.itertext(), *(str(value) for e in copy.iter() for value in e.attrib.values())])
    used = [prefix for prefix in copy.nsmap if prefix and f"{prefix}:" in words]
    etree.cleanup_namespaces(copy, keep_ns_prefixes=used)
    return str(etree.tostring(copy, encoding="unicode"))


def _upwards(element: Element) -> list[Element]:
    return [element, *element.iterancestors()]
