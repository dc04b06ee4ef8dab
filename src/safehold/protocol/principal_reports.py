"""Bodies of the reports on principals and access: expand-property (RFC 3253 section 3.8), RFC 3744 section 9.

What a body may cost is bounded by the number of properties it names, at any depth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lxml import etree

from safehold.model.errors import BadRequest
from safehold.protocol.names import CALDAV, DAV, DECLARATIONS, XML_DECLARATION, empty
from safehold.protocol.principals import (
    ACL_PRINCIPAL_PROP_SET,
    EXPAND_PROPERTY,
    PRINCIPAL_MATCH,
    PRINCIPAL_PROPERTY_SEARCH,
    PRINCIPAL_SEARCH_PROPERTY_SET,
)
from safehold.protocol.webdav import MAX_NAMES, Mode, PropFind, which_properties
from safehold.protocol.xml import Element, child, children, clark, text_of

#: How deep properties may be nested: clients nest one or two.
MAX_EXPANSIONS = 8


class Wanted(NamedTuple):
    """A property, and what is wanted of the resources that its value names."""

    name: str
    within: tuple[Wanted, ...] = ()


def read_expand_property(root: Element) -> tuple[Wanted, ...]:
    """Raises BadRequest."""
    count = sum(1 for _ in root.iter(DAV + "property"))
    if count > MAX_NAMES:
        raise BadRequest(f"{count} properties are asked for; the limit is {MAX_NAMES}")
    return _wanted(root, MAX_EXPANSIONS)


def _wanted(element: Element, depth: int) -> tuple[Wanted, ...]:
    if not depth:
        raise BadRequest(f"properties are nested more than {MAX_EXPANSIONS} deep")
    # A name that comes twice is answered once, by what was asked of it first.
    found: dict[str, Wanted] = {}
    for one in children(element, DAV + "property"):
        name = _name(str(one.get("namespace", "DAV:")), str(one.get("name", "")))
        found.setdefault(name, Wanted(name, _wanted(one, depth - 1) if len(one) else ()))
    return tuple(found.values())


def _name(namespace: str, local: str) -> str:
    """A Clark name from two attributes, which may hold anything. Raises BadRequest.

    It is one where the text that would stand for it in the answer is an element of just this name.
    """
    name = f"{{{namespace}}}{local}"
    try:
        sound = clark(etree.fromstring(f"<D:prop {DECLARATIONS}>{empty(name)}</D:prop>".encode())[0]) == name
    except (etree.XMLSyntaxError, IndexError, UnicodeEncodeError):
        sound = False
    if not sound:
        raise BadRequest(f"{local[:40]!r} in {namespace[:40]!r} cannot be the name of a property")
    return name


def names_in(wanted: tuple[Wanted, ...]) -> tuple[str, ...]:
    """All names, at any depth."""
    return tuple(name for one in wanted for name in (one.name, *names_in(one.within)))


class Match(NamedTuple):
    """principal-match: `of` is the property that has to name the sender, None where the principal itself is meant."""

    of: str | None
    asked: PropFind


def read_principal_match(root: Element) -> Match:
    """RFC 3744 section 9.3. Raises BadRequest."""
    of = child(root, DAV + "principal-property")
    if of is None:
        if child(root, DAV + "self") is None:
            raise BadRequest("principal-match names self or a principal-property")
        return Match(None, _asked(root))
    if len(of) != 1:
        raise BadRequest("principal-property names one property")
    return Match(clark(of[0]), _asked(root))


class Clause(NamedTuple):
    """Any of these properties matches the text, without regard to case."""

    names: tuple[str, ...]
    text: str
    how: str


class Search(NamedTuple):
    """principal-property-search: all clauses have to hold, or one of them."""

    clauses: tuple[Clause, ...]
    one_suffices: bool
    asked: PropFind


_MATCHES: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda value, text: text in value,
    "starts-with": str.startswith,
    "ends-with": str.endswith,
    "equals": lambda value, text: value == text,
}
#: What is looked for in principals, and what it is called.
SEARCHABLE: Mapping[str, str] = {
    DAV + "displayname": "Name of the account",
    CALDAV + "calendar-user-address-set": "Address of the account",
}


def read_principal_property_search(root: Element) -> Search:
    """RFC 3744 section 9.4, with the `test` and `match-type` that Apple's clients send. Raises BadRequest."""
    searches = children(root, DAV + "property-search")
    if not 0 < len(searches) <= MAX_NAMES:
        raise BadRequest(f"a principal-property-search has 1 to {MAX_NAMES} property-search elements")
    clauses = []
    for search in searches:
        match = child(search, DAV + "match")
        names = tuple(clark(one) for prop in children(search, DAV + "prop") for one in prop)
        if match is None or not names:
            raise BadRequest("a property-search names properties and a text to match")
        how = str(match.get("match-type", "contains"))
        if how not in _MATCHES:
            raise BadRequest(f"{how[:40]!r} is no way to match")
        clauses.append(Clause(names[:MAX_NAMES], text_of(match).casefold(), how))
    return Search(tuple(clauses), root.get("test") == "anyof", _asked(root))


def finds(search: Search, values: Mapping[str, str]) -> bool:
    """Whether a principal with these searchable values is found."""
    results = (
        any(_MATCHES[clause.how](values[name].casefold(), clause.text) for name in clause.names if name in values)
        for clause in search.clauses
    )
    return any(results) if search.one_suffices else all(results)


def read_acl_principal_prop_set(root: Element) -> PropFind:
    """RFC 3744 section 9.2. Raises BadRequest."""
    return _asked(root)


def read_principal_search_property_set(_: Element) -> None:
    """RFC 3744 section 9.5: nothing is in it."""


def _asked(root: Element) -> PropFind:
    return PropFind(Mode.PROP) if child(root, DAV + "prop") is None else which_properties(root)


READERS: Mapping[str, Callable[[Element], Any]] = {
    EXPAND_PROPERTY: read_expand_property,
    PRINCIPAL_MATCH: read_principal_match,
    PRINCIPAL_PROPERTY_SEARCH: read_principal_property_search,
    PRINCIPAL_SEARCH_PROPERTY_SET: read_principal_search_property_set,
    ACL_PRINCIPAL_PROP_SET: read_acl_principal_prop_set,
}

SEARCH_PROPERTIES = (
    f'{XML_DECLARATION}<D:principal-search-property-set xmlns:D="DAV:" xmlns:C="{CALDAV[1:-1]}">'
    + "".join(
        f"<D:principal-search-property><D:prop>{empty(name)}</D:prop>"
        f'<D:description xml:lang="en">{description}</D:description></D:principal-search-property>'
        for name, description in SEARCHABLE.items()
    )
    + "</D:principal-search-property-set>"
).encode()
