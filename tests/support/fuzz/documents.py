"""XML request bodies for the fuzz: from a grammar of every method and report, bent as trees and as bytes; hostile ones.

Grammars: RFC 4918 section 14, RFC 3253 section 3.8, RFC 3744 sections 8 and 9, RFC 4791 sections 5.3.1, 7 and 9,
RFC 5689, RFC 6352 sections 8 and 10, RFC 6578 section 6. What this service does not serve is asked all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from tests.support.fuzz.dice import Dice, mangled

NAMESPACES = {
    "D": "DAV:",
    "C": "urn:ietf:params:xml:ns:caldav",
    "A": "urn:ietf:params:xml:ns:carddav",
    "S": "http://calendarserver.org/ns/",
    "I": "http://apple.com/ns/ical/",
    "O": "http://owncloud.org/ns",
    "X": "urn:x:fuzz",
}
_DECLARED = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())

_PROPS = (
    *("D:getetag", "D:resourcetype", "D:displayname", "D:getcontenttype", "D:getcontentlength", "D:creationdate"),
    *("D:getlastmodified", "D:sync-token", "D:supported-report-set", "D:current-user-principal", "D:lockdiscovery"),
    *("D:supportedlock", "D:owner", "D:acl", "D:current-user-privilege-set", "D:principal-URL", "D:group-membership"),
    *(
        "D:quota-available-bytes",
        "D:quota-used-bytes",
        "D:principal-collection-set",
        "D:resource-id",
        "D:alternate-URI-set",
    ),
    *("C:calendar-data", "C:calendar-home-set", "C:calendar-description", "C:calendar-timezone", "C:max-instances"),
    *(
        "C:supported-calendar-component-set",
        "C:calendar-user-address-set",
        "C:schedule-inbox-URL",
        "C:calendar-timezone-id",
    ),
    *(
        "A:address-data",
        "A:addressbook-home-set",
        "A:supported-address-data",
        "A:max-resource-size",
        "A:principal-address",
    ),
    *("S:getctag", "S:me-card", "S:email-address-set", "S:checksum-versions", "S:source", "S:push-transports"),
    *("I:calendar-color", "I:calendar-order", "O:id", "O:permissions", "O:fileid", "X:own", "X:ä", "D:href", "D:prop"),
)
_TIMES = (
    *("20260101T000000Z", "20260201T000000Z", "20270101T000000Z", "21000101T000000Z", "00010101T000000Z"),
    *("99991231T235959Z", "20260101T000000", "20260101", "", "now", "20261301T000000Z", "-20260101T000000Z"),
)
_TEXTS = (
    *("", "Lunch", "a", "ä", "x" * 5000, "%41", "<&>", "\u2028", "urn:x", "]]>", "/dav/", "http://[::1", "0", "-1"),
    *(
        "99999999999999999999",
        "infinity",
        "20260101T000000Z",
        "BEGIN:VCALENDAR\r\nEND:VCALENDAR",
        "i;octet",
        "\U0001f600",
    ),
)
_COLLATIONS = ("i;ascii-casemap", "i;octet", "i;unicode-casemap", "default", "", "i;nonsense")
_MATCHES = ("contains", "equals", "starts-with", "ends-with", "nonsense")
_COMPONENTS = ("VCALENDAR", "VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VALARM", "VTIMEZONE", "X-THING", "*", "")
_NAMED = (
    *("UID", "SUMMARY", "DTSTART", "DTEND", "DUE", "CATEGORIES", "RRULE", "ATTENDEE", "COMPLETED", "X-EMPTY", "", "ü"),
    *("FN", "N", "EMAIL", "TEL", "ADR", "PHOTO", "item1.EMAIL", "*"),
)


class Node(NamedTuple):
    """An element by prefixed name."""

    name: str
    inner: tuple[Node | str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


def n(tag: str, /, *inner: Node | str, **attributes: str) -> Node:
    """An element; an underscore in an attribute stands for a hyphen."""
    return Node(tag, inner, tuple((key.replace("_", "-"), value) for key, value in attributes.items()))


class Known(NamedTuple):
    """What the fuzz knows of its account, to ask for."""

    hrefs: Sequence[str]
    tokens: Sequence[str]


def _prop(dice: Dice) -> Node:
    return n("D:prop", *(_asked(dice, dice.pick(_PROPS)) for _ in range(dice.below(6))))


def _asked(dice: Dice, name: str) -> Node:
    if name == "C:calendar-data":
        return _calendar_data(dice)
    if name == "A:address-data":
        return _address_data(dice)
    return n(name)


def _calendar_data(dice: Dice) -> Node:
    inner: list[Node | str] = []
    if dice.one_in(3):
        inner.append(_comp(dice, 0))
    if dice.one_in(3):
        name = dice.pick(("C:expand", "C:limit-recurrence-set", "C:limit-freebusy-set"))
        inner.append(_range(dice, name))
    attributes = dice.pick(((), (("content-type", "text/calendar"), ("version", "2.0")), (("content-type", "x/y"),)))
    return Node("C:calendar-data", tuple(inner), attributes)


def _comp(dice: Dice, depth: int) -> Node:
    inner: list[Node | str] = [
        dice.pick((n("C:allprop"), n("C:prop", name=dice.pick(_NAMED), novalue="yes"), n("C:prop")))
    ]
    if depth < 3 and dice.one_in(2):
        inner.append(_comp(dice, depth + 1))
    elif dice.one_in(2):
        inner.append(n("C:allcomp"))
    return n("C:comp", *inner, name=dice.pick(_COMPONENTS))


def _address_data(dice: Dice) -> Node:
    inner = tuple(n("A:prop", name=dice.pick(_NAMED), novalue=dice.pick(("no", "yes"))) for _ in range(dice.below(3)))
    version = dice.pick(("3.0", "4.0", "2.1", "9"))
    attributes = dice.pick(((), (("content-type", "text/vcard"), ("version", version)), (("content-type", "x/y"),)))
    return Node("A:address-data", inner or ((n("A:allprop"),) if dice.one_in(4) else ()), attributes)


def _range(dice: Dice, name: str) -> Node:
    if not dice.one_in(4):
        at = dice.below(3)
        return n(name, start=_TIMES[at], end=_TIMES[at + 1])
    start, end = dice.pick(_TIMES), dice.pick(_TIMES)
    return dice.pick((n(name, start=start, end=end), n(name, start=start), n(name, end=end), n(name)))


def _text_match(dice: Dice, prefix: str) -> Node:
    match = dice.pick(_MATCHES)
    attributes = {"collation": dice.pick(_COLLATIONS), "negate_condition": dice.pick(("no", "yes", "maybe"))}
    if prefix == "A" or dice.one_in(4):
        attributes["match_type"] = match
    return n(f"{prefix}:text-match", dice.pick(_TEXTS), **attributes)


def _calendar_filter(dice: Dice, depth: int) -> Node:
    """Half of the time as clients write them: VCALENDAR, within it one component, within it what it should be like."""
    wild = dice.one_in(3)
    name = dice.pick(_COMPONENTS) if wild else ("VCALENDAR", _COMPONENTS[1 + dice.below(3)], "VALARM", "VALARM")[depth]
    if depth and dice.one_in(10):
        return n("C:comp-filter", n("C:is-not-defined"), name=name)
    inner: list[Node | str] = []
    if (depth and dice.one_in(2)) or (wild and dice.one_in(4)):
        inner.append(_range(dice, "C:time-range"))
    for _ in range(dice.below(3) if depth else 0):
        parts: list[Node | str] = [_text_match(dice, "C"), _range(dice, "C:time-range"), n("C:is-not-defined")]
        within = [dice.pick(parts)] if not wild else dice.several(parts, 2)
        if dice.one_in(3) and within[:1] != [parts[2]]:
            parameter = dice.pick(("TZID", "PARTSTAT", "VALUE", ""))
            within.append(n("C:param-filter", dice.pick((parts[0], parts[2])), name=parameter))
        inner.append(n("C:prop-filter", *within, name=dice.pick(_NAMED)))
    if depth < 3:
        inner += [_calendar_filter(dice, depth + 1) for _ in range(dice.below(3) if wild or depth else 1)]
    return n("C:comp-filter", *inner, name=name)


def _card_filter(dice: Dice) -> Node:
    filters = []
    for _ in range(dice.below(4)):
        parts = [
            _text_match(dice, "A"),
            n("A:is-not-defined"),
            n("A:param-filter", _text_match(dice, "A"), name="TYPE"),
        ]
        filters.append(
            n("A:prop-filter", *dice.several(parts, 3), name=dice.pick(_NAMED), test=dice.pick(("anyof", "allof", "x")))
        )
    return n("A:filter", *filters, test=dice.pick(("anyof", "allof", "none")))


def _hrefs(dice: Dice, known: Known) -> list[Node]:
    odd = (
        "/dav/",
        "",
        "a.vcf",
        "/dav/bob/contacts/default/a.vcf",
        "http://elsewhere.example/x",
        "/dav/%ff",
        "//",
        "/" * 300,
    )
    options = (*known.hrefs, *odd) if known.hrefs else odd
    return [n("D:href", dice.pick(options)) for _ in range(dice.below(5) if dice.one_in(8) else 1 + dice.below(4))]


def propfind(dice: Dice, known: Known) -> Node:
    return dice.pick(
        (
            n("D:propfind", _prop(dice)),
            n("D:propfind", n("D:allprop")),
            n("D:propfind", n("D:allprop"), n("D:include", n(dice.pick(_PROPS)))),
            n("D:propfind", n("D:propname")),
            n("D:propfind"),
        )
    )


def _values(dice: Dice) -> list[Node]:
    found = []
    for _ in range(1 + dice.below(3)):
        name = dice.pick(("D:displayname", "I:calendar-color", "X:own", "C:calendar-timezone", *_PROPS))
        inner: tuple[Node | str, ...] = (dice.pick(_TEXTS),)
        if dice.one_in(4):
            inner = (n("X:inner", dice.pick(_TEXTS), n("D:href", "/")), dice.pick(_TEXTS))
        found.append(Node(name, inner, dice.pick(((), (("xml:lang", "de"),), (("X:attribute", "ä"),)))))
    return found


def proppatch(dice: Dice, known: Known) -> Node:
    steps = [
        n(dice.pick(("D:set", "D:set", "D:remove")), n("D:prop", *_values(dice))) for _ in range(1 + dice.below(3))
    ]
    return n("D:propertyupdate", *steps)


def mkcol(dice: Dice, known: Known) -> Node:
    types = (
        (),
        ("C:calendar",),
        ("A:addressbook",),
        ("C:calendar", "A:addressbook"),
        ("X:own",),
        ("C:schedule-inbox",),
    )
    kind = n("D:resourcetype", n("D:collection"), *map(n, dice.pick(types)))
    return n("D:mkcol", n("D:set", n("D:prop", kind, *(_values(dice) if dice.one_in(2) else []))))


def mkcalendar(dice: Dice, known: Known) -> Node:
    sets = n(
        "C:supported-calendar-component-set", *(n("C:comp", name=dice.pick(_COMPONENTS)) for _ in range(dice.below(3)))
    )
    return n("C:mkcalendar", n("D:set", n("D:prop", *([sets] if dice.one_in(2) else []), *_values(dice))))


def lock(dice: Dice, known: Known) -> Node:
    scope = n("D:lockscope", n(dice.pick(("D:exclusive", "D:shared", "X:own"))))
    return n(
        "D:lockinfo", scope, n("D:locktype", n("D:write")), n("D:owner", dice.pick((n("D:href", "mailto:a"), *_TEXTS)))
    )


def acl(dice: Dice, known: Known) -> Node:
    who = dice.pick((n("D:all"), n("D:href", "/dav/principals/bob/"), n("D:property", n("D:owner")), n("X:own")))
    grant = n(dice.pick(("D:grant", "D:deny")), n("D:privilege", n(dice.pick(("D:read", "D:write", "D:all", "X:own")))))
    return n("D:acl", *([n("D:ace", n("D:principal", who), grant)] * (1 + dice.below(3))))


def sync_collection(dice: Dice, known: Known) -> Node:
    token = dice.pick((*known.tokens, "", "urn:x", "data:,1", "x" * 3000)) if not dice.one_in(3) else ""
    inner = [
        n("D:sync-token", token),
        n("D:sync-level", "1" if not dice.one_in(8) else dice.pick(("infinite", "0", ""))),
    ]
    if dice.one_in(2):
        count = dice.pick(("1", "2", "1000")) if not dice.one_in(8) else dice.pick(("0", "-1", "x", "9" * 30))
        inner.append(n("D:limit", n("D:nresults", count)))
    return n("D:sync-collection", *inner, _prop(dice))


def calendar_query(dice: Dice, known: Known) -> Node:
    inner = [_prop(dice), n("C:filter", _calendar_filter(dice, 0))]
    if dice.one_in(4):
        zone = "BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:Own Zone\r\nEND:VTIMEZONE\r\nEND:VCALENDAR\r\n"
        inner.append(
            dice.pick((n("C:timezone", zone), n("C:timezone-id", "Europe/Berlin"), n("C:timezone", dice.pick(_TEXTS))))
        )
    if dice.one_in(8):
        inner.append(n("C:limit", n("C:nresults", "1")))
    return n("C:calendar-query", *inner)


def card_query(dice: Dice, known: Known) -> Node:
    limit = [n("A:limit", n("A:nresults", dice.pick(("1", "0", "-1", "x"))))] if dice.one_in(4) else []
    return n("A:addressbook-query", _prop(dice), _card_filter(dice), *limit)


def multiget(dice: Dice, known: Known) -> Node:
    contacts = bool(known.hrefs) and "/contacts/" in known.hrefs[0]
    names = ("A:addressbook-multiget", "C:calendar-multiget")
    return n(names[0 if contacts else 1] if not dice.one_in(8) else dice.pick(names), _prop(dice), *_hrefs(dice, known))


def free_busy(dice: Dice, known: Known) -> Node:
    return n("C:free-busy-query", _range(dice, "C:time-range"))


def expand_property(dice: Dice, known: Known, depth: int = 0) -> Node:
    def inner(depth: int) -> Node:
        prefix, _, local = dice.pick(_PROPS).partition(":")
        more = [inner(depth + 1) for _ in range(dice.below(3))] if depth < 3 else []
        return n("D:property", *more, name=local, namespace=NAMESPACES[prefix])

    return n("D:expand-property", *(inner(0) for _ in range(dice.below(4))))


def other_report(dice: Dice, known: Known) -> Node:
    search = n("D:property-search", _prop(dice), n("D:match", dice.pick(_TEXTS)))
    return dice.pick(
        (
            n("D:principal-property-search", search, _prop(dice), n("D:apply-to-principal-collection-set")),
            n("D:principal-search-property-set"),
            n("D:principal-match", n("D:self"), _prop(dice)),
            n("D:principal-match", n("D:principal-property", n("D:owner")), _prop(dice)),
            n("D:acl-principal-prop-set", _prop(dice)),
            n("D:version-tree", _prop(dice)),
            n("S:calendarserver-principal-search", n("S:search-token", dice.pick(_TEXTS)), context="attendee"),
            n("X:own"),
        )
    )


#: By the home of what is asked: those that mean something there.
REPORTS_OF = {
    "contacts": (card_query, multiget, sync_collection, expand_property),
    "calendars": (calendar_query, calendar_query, multiget, sync_collection, free_busy, free_busy),
}
REPORTS = (sync_collection, calendar_query, card_query, multiget, free_busy, expand_property, other_report)
BY_METHOD = {
    "PROPFIND": (propfind,),
    "PROPPATCH": (proppatch,),
    "MKCOL": (mkcol,),
    "MKCALENDAR": (mkcalendar,),
    "LOCK": (lock,),
    "ACL": (acl,),
    "REPORT": REPORTS,
}
_ANY = (*REPORTS, propfind, proppatch, mkcol, mkcalendar, lock, acl)


def document(dice: Dice, method: str, home: str, known: Known) -> bytes:
    """A body for a method: most of the time what it takes, else that bent, or another's, or a hostile one."""
    if dice.one_in(40):
        return dice.pick(HOSTILE)
    makers: Sequence[Callable[[Dice, Known], Node]] = BY_METHOD.get(method, _ANY)
    if method == "REPORT" and not dice.one_in(4):
        makers = REPORTS_OF.get(home, makers)
    elif dice.one_in(25):
        makers = _ANY
    tree = dice.pick(makers)(dice, known)
    while dice.one_in(4):
        tree = bent(dice, tree)
    data = (dice.pick(_PROLOGUES) + _written(tree, top=True)).encode()
    return mangled(dice, data) if dice.one_in(10) else data


_PROLOGUES = ('<?xml version="1.0" encoding="utf-8"?>',) * 40 + (
    *("", "\ufeff", "<!-- a -->", '<?xml version="1.0" encoding="utf-16"?>', '<?xml version="1.1"?>', "<?pi x?>", " "),
)


def _written(node: Node | str, *, top: bool = False) -> str:
    if isinstance(node, str):
        return escape("".join(c for c in node if c >= " " or c in "\t\r\n"))
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in node.attributes)
    opened = node.name + (" " + _DECLARED if top else "") + attributes
    inner = "".join(map(_written, node.inner))
    return f"<{opened}>{inner}</{node.name}>" if inner else f"<{opened}/>"


def bent(dice: Dice, tree: Node) -> Node:
    """A tree with one thing changed somewhere in it."""
    if tree.inner and not dice.one_in(3):
        at = dice.below(len(tree.inner))
        inner = list(tree.inner)
        child = inner[at]
        if isinstance(child, Node):
            inner[at] = bent(dice, child)
            return tree._replace(inner=tuple(inner))
    children = tuple(child for child in tree.inner if isinstance(child, Node))
    return dice.pick(
        (
            tree._replace(inner=tree.inner[1:]),
            tree._replace(inner=tree.inner * 2),
            tree._replace(inner=tree.inner[::-1]),
            tree._replace(inner=(*tree.inner, dice.pick(_TEXTS))),
            tree._replace(inner=(n("X:own"), *tree.inner)),
            tree._replace(inner=(tree,)),
            tree._replace(
                name=dice.pick(("X:own", "D:prop", "D:href", "C:filter", "D:" + tree.name.partition(":")[2]))
            ),
            tree._replace(attributes=()),
            tree._replace(attributes=tuple((name, dice.pick(_TEXTS)) for name, _ in tree.attributes)),
            tree._replace(attributes=(*tree.attributes, ("X:more", "1"))),
            children[0] if children else n("D:prop"),
        )
    )


def _hostile() -> tuple[bytes, ...]:
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    attributes = " ".join(f'a{i}="{i}"' for i in range(5000))
    namespaces = " ".join(f'xmlns:n{i}="urn:{i}"' for i in range(2000))
    deep = "<D:propfind xmlns:D='DAV:'>"
    return tuple(
        text.encode()
        for text in (
            f'<!DOCTYPE x [<!ENTITY e0 "boom">{bomb}]><D:propfind xmlns:D="DAV:"><D:prop>&e11;</D:prop></D:propfind>',
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><D:propfind xmlns:D="DAV:">&e;</D:propfind>',
            '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><D:propfind xmlns:D="DAV:"/>',
            '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:9/"> %e;]><D:propfind xmlns:D="DAV:"/>',
            deep + "<x>" * 200 + "</x>" * 200 + "</D:propfind>",
            deep + "<x>" * 20_000 + "</x>" * 20_000 + "</D:propfind>",
            deep + "<x>" * 20_000,
            deep + "<D:prop>" + "<D:getetag/>" * 5000 + "</D:prop></D:propfind>",
            f"<D:propfind xmlns:D='DAV:' {attributes}/>",
            f"<D:propfind xmlns:D='DAV:' {namespaces}/>",
            "<D:propfind xmlns:D='DAV:' xmlns:D='DAV:'/>",
            "<D:propfind/>",
            "<propfind xmlns='DAV:' a='1' a='2'/>",
            "<D:propfind xmlns:D='DAV:'><D:prop><x xmlns=''/><y:z xmlns:y='DAV:'/></D:prop></D:propfind>",
            "<D:propfind xmlns:D='DAV:'><D:prop><x xmlns='" + "u" * 50_000 + "'/></D:prop></D:propfind>",
            "<D:propfind xmlns:D='DAV:'><D:prop><" + "l" * 50_000 + "/></D:prop></D:propfind>",
            "<D:propfind xmlns:D='DAV:'><![CDATA[<D:prop/>]]></D:propfind>",
            "<D:propfind xmlns:D='DAV:'>&#0;&#xD800;&#x110000;</D:propfind>",
            "<x:include xmlns:x='http://www.w3.org/2001/XInclude' href='/etc/passwd'/>",
            "<?xml-stylesheet href='/etc/passwd'?><D:propfind xmlns:D='DAV:'/>",
            "<?xml version='1.0' encoding='ebcdic-cp-us'?><D:propfind xmlns:D='DAV:'/>",
            "{}",
            "null",
            " " * 100_000,
            "<" * 10_000,
        )
    )


HOSTILE = _hostile()
