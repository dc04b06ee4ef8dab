"""Filters of calendar-query and addressbook-query as values, and whether a body matches one. Pure.

RFC 4791 section 9.7 and RFC 6352 section 10.5. Names are in upper case. A text is compared with what a value says:
its escapes are undone (RFC 5545 section 3.3.11, RFC 6350 section 3.4), and so are those of a parameter (RFC 6868).
A match of the whole, of a beginning or of an end is one also where a single element of a list or of a structured
value matches: the one tag among CATEGORIES, the family name in N.

What cannot be decided matches (I38). All of a prop-filter's conditions are about one and the same property, all of a
comp-filter's about the same component.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from safehold.content.budget import Budget, OverBudget
from safehold.content.calendar import CalendarObject, effective_end_overlaps, property_overlaps
from safehold.content.lines import Component, Document, Line, LineError, parse, parse_params, property_name, unfold
from safehold.content.timerange import TimeRange

#: Work that one body may cost: conditions looked at, texts compared. A step takes about a microsecond.
STEPS = 100_000
_CHARACTERS_FOLDED = 16
_CHARACTERS_COMPARED = 2048


class Collation(StrEnum):
    """How texts are compared (RFC 4790); both formats have to offer the first two, RFC 6352 the third as well."""

    OCTET = "i;octet"
    ASCII = "i;ascii-casemap"
    UNICODE = "i;unicode-casemap"


class MatchType(StrEnum):
    """RFC 6352 section 10.5.4."""

    EQUALS = "equals"
    CONTAINS = "contains"
    STARTS = "starts-with"
    ENDS = "ends-with"


class TextMatch(NamedTuple):
    """`needle` is folded as the collation wants it."""

    needle: str
    collation: Collation
    type: MatchType = MatchType.CONTAINS
    negated: bool = False


class ParamFilter(NamedTuple):
    name: str
    absent: bool = False  # is-not-defined
    text: TextMatch | None = None


class PropFilter(NamedTuple):
    """`name` may bear a group (RFC 6352 section 10.5.1): then only a property of exactly that group is meant."""

    name: str
    absent: bool = False
    within: TimeRange | None = None
    texts: tuple[TextMatch, ...] = ()
    params: tuple[ParamFilter, ...] = ()
    any_of: bool = False  # one of the conditions is enough; else all are needed


class CompFilter(NamedTuple):
    name: str
    absent: bool = False
    within: TimeRange | None = None
    props: tuple[PropFilter, ...] = ()
    comps: tuple[CompFilter, ...] = ()


class CardFilter(NamedTuple):
    """Without any prop-filter it matches every card."""

    props: tuple[PropFilter, ...] = ()
    any_of: bool = True


# -- texts ---------------------------------------------------------------------------------------------------

_LOWER = {code: code + 32 for code in range(65, 91)}
_ESCAPE = re.compile(r"\\([\\;,nN])")
_CARET = re.compile(r"\^([n^'])")
_CARETS = {"n": "\n", "^": "^", "'": '"'}
#: Where a list or a structured value is cut: at a comma or semicolon that no backslash stands before.
_ELEMENT = re.compile(r"(?:[^\\,;]++|\\.|\\$)++")


def text_match(
    text: str, collation: Collation, type_: MatchType = MatchType.CONTAINS, *, negated: bool = False
) -> TextMatch:
    return TextMatch(folded(text, collation), collation, type_, negated)


def folded(text: str, collation: Collation) -> str:
    """A text such that two are equal under the collation where their folded forms are the same."""
    if collation is Collation.OCTET:
        return text
    if text.isascii():
        return text.lower()
    if collation is Collation.ASCII:
        return text.translate(_LOWER)
    return _unicode_casemap(text)


def _unicode_casemap(text: str) -> str:
    """RFC 5051 section 2: each character to title case, then taken apart; at the end ASCII goes to lower case.

    Only characters that have one character in title case are mapped, as in UnicodeData.txt. The last step brings text
    into the form that `folded` gives pure ASCII. Beyond the letter it makes `ª` equal to `A`, not to `a` alone.
    """
    apart = unicodedata.normalize("NFKD", "".join(map(_titled, text)))
    return apart.translate(_LOWER)


@lru_cache(maxsize=4096)
def _titled(character: str) -> str:
    title = character.title()
    return title if len(title) == 1 else character


def plain(value: str) -> str:
    """A value with its escapes undone."""
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda m: "\n" if m[1] in "nN" else m[1], value)


def _plain_parameter(value: str) -> str:
    return _CARET.sub(lambda m: _CARETS[m[1]], value) if "^" in value else value


def _compare(match: TextMatch, value: str) -> bool:
    """`value` is folded."""
    if match.type is MatchType.CONTAINS:
        return match.needle in value
    if match.type is MatchType.EQUALS:
        return match.needle == value
    return value.startswith(match.needle) if match.type is MatchType.STARTS else value.endswith(match.needle)


class _Texts:
    """What the values of one body say, folded once for each collation however many filters look at them.

    Whatever is looked at costs steps of one budget (OverBudget).
    """

    __slots__ = ("_kept", "spend")

    def __init__(self) -> None:
        self._kept: dict[tuple[int, Collation, bool], tuple[str, ...]] = {}
        self.spend = Budget(STEPS).spend

    def meets(self, match: TextMatch, line: Line) -> bool:
        elements = match.type is not MatchType.CONTAINS
        key = (id(line), match.collation, elements)
        said = self._kept.get(key)
        if said is None:
            self.spend(len(line[2]) // _CHARACTERS_FOLDED)
            said = self._kept[key] = tuple(folded(text, match.collation) for text in _said(line[2], elements))
        self.spend(len(said) + len(line[2]) // _CHARACTERS_COMPARED)
        return any(_compare(match, text) for text in said) is not match.negated

    def meets_parameter(self, match: TextMatch, values: Sequence[str]) -> bool:
        self.spend(len(values))
        found = any(_compare(match, folded(_plain_parameter(value), match.collation)) for value in values)
        return found is not match.negated


def _said(value: str, elements: bool) -> Iterable[str]:
    """A value as text and, where these are asked for, the elements of a list or structured value."""
    yield plain(value)
    if elements and ("," in value or ";" in value):
        yield from map(plain, _ELEMENT.findall(value))


# -- properties ----------------------------------------------------------------------------------------------

_Overlaps = Callable[[Line, TimeRange], bool]


def _never(_line: Line, _within: TimeRange) -> bool:
    raise AssertionError("a filter of cards has no time-range")


def _props_match(
    filters: Sequence[PropFilter], lines: Sequence[Line], texts: _Texts, overlaps: _Overlaps, *, any_of: bool
) -> bool:
    by_name: dict[str, list[Line]] = {}
    for line in lines:
        by_name.setdefault(property_name(line), []).append(line)
    judged = (_prop_matches(f, by_name, texts, overlaps) for f in filters)
    return any(judged) if any_of else all(judged)


def _prop_matches(f: PropFilter, by_name: dict[str, list[Line]], texts: _Texts, overlaps: _Overlaps) -> bool:
    group, _, name = f.name.rpartition(".")
    lines = by_name.get(name, [])
    if group:
        lines = [line for line in lines if line[0].upper() == f.name]
    if f.absent:
        return not lines
    texts.spend(len(f.texts) + len(f.params))
    return any(_line_matches(f, line, texts, overlaps) for line in lines)


def _line_matches(f: PropFilter, line: Line, texts: _Texts, overlaps: _Overlaps) -> bool:
    texts.spend(1)
    if f.within is not None and not overlaps(line, f.within):
        return False
    if not f.texts and not f.params:
        return True
    params = parse_params(line[1]) if f.params else []
    judged = (
        *(texts.meets(match, line) for match in f.texts),
        *(_param_matches(param, params, texts) for param in f.params),
    )
    return any(judged) if f.any_of else all(judged)


def _param_matches(f: ParamFilter, params: list[tuple[str, list[str]]], texts: _Texts) -> bool:
    """RFC 4791 section 9.7.3. A parameter with several values (TYPE=home,work) matches where one of them does."""
    texts.spend(1 + len(params))
    values = [value for name, several in params if name == f.name for value in (several or [""])]
    if f.absent or f.text is None:
        return bool(values) is not f.absent
    return bool(values) and texts.meets_parameter(f.text, values)


# -- bodies --------------------------------------------------------------------------------------------------


#: The property that says when a component ends.
_ENDS = {"VEVENT": "DTEND", "VTODO": "DUE"}


def calendar_matches(f: CompFilter, obj: CalendarObject, floating: tzinfo) -> bool:
    """RFC 4791 section 9.7; `floating` is the zone of times that name none. Raises OverBudget."""
    texts = _Texts()

    def in_time(line: Line, within: TimeRange) -> bool:
        return property_overlaps(line, obj, within, floating)

    def ends_in_time(f: PropFilter, component: Component) -> bool:
        """An end that is told by a duration counts as one that stands there (section 9.9)."""
        if f.within is None or f.texts or f.params or f.name != _ENDS.get(component.name):
            return False
        return effective_end_overlaps(component, obj, f.within, floating)

    def matches(f: CompFilter, scope: Sequence[Component], parent: Component | None) -> bool:
        found = [component for component in scope if component.name == f.name]
        if f.absent:
            return not found
        return any(one_matches(f, component, parent) for component in found)

    def one_matches(f: CompFilter, component: Component, parent: Component | None) -> bool:
        if f.within is not None and not obj.overlaps(component, f.within, floating, parent):
            return False
        props = [prop for prop in f.props if not ends_in_time(prop, component)]
        if props and not _props_match(props, component.lines, texts, in_time, any_of=False):
            return False
        return all(matches(inner, component.components, component) for inner in f.comps)

    return matches(f, obj.document.roots, None)


def card_matches(f: CardFilter, document: Document) -> bool:
    """RFC 6352 section 10.5. Raises OverBudget."""
    if not f.props or not document.roots:
        return True
    return _props_match(f.props, document.roots[0].lines, _Texts(), _never, any_of=f.any_of)


Matcher = Callable[[bytes], bool]


def calendar_matcher(f: CompFilter, floating: tzinfo) -> Matcher:
    """Whether a body matches.

    One that cannot be read, or asks for too much work, does, unless even its bytes lack what is asked for: it may be
    listed in vain, but never looks absent.
    """
    needles = calendar_needles(f)

    def matches(body: bytes) -> bool:
        try:
            return may_hold(needles, body) and calendar_matches(f, CalendarObject.parse(body), floating)
        except (LineError, OverBudget):
            return True

    return matches


def card_matcher(f: CardFilter) -> Matcher:
    """The same for cards."""
    needles = card_needles(f)

    def matches(body: bytes) -> bool:
        try:
            return may_hold(needles, body) and card_matches(f, parse(body))
        except (LineError, OverBudget):
            return True

    return matches


# -- a look at the bytes before they are read as lines -------------------------------------------------------


class Needles(NamedTuple):
    """Texts of which a body that matches holds one, whatever their case."""

    any_of: tuple[bytes, ...]
    ascii_only: bool  # says nothing of a body with other characters, some of which fold into ASCII


#: What neither an escape nor a caret can stand for.
_VERBATIM = re.compile(r"[^\\,;^\"\r\n]+").fullmatch


def may_hold(needles: Needles | None, body: bytes) -> bool:
    """False where a body surely does not match. Raises LineError."""
    if needles is None or (needles.ascii_only and not body.isascii()):
        return True
    text = unfold(body).lower()
    return any(needle in text for needle in needles.any_of)


def calendar_needles(f: CompFilter) -> Needles | None:
    """What every body that the filter matches has in it; None where nothing can be said."""
    if f.absent:
        return None
    inner = _all([*map(_prop_needles, f.props), *map(calendar_needles, f.comps)])
    if inner is not None or f.name == "VCALENDAR" or not f.name.isascii():
        return inner
    return Needles((f.name.lower().encode(),), ascii_only=False)


def card_needles(f: CardFilter) -> Needles | None:
    """The same for cards."""
    each = list(map(_prop_needles, f.props))
    return _any(each) if f.any_of else _all(each)


def _prop_needles(f: PropFilter) -> Needles | None:
    if f.absent:
        return None
    each = [*map(_text_needles, f.texts), *(None for _ in f.params)]  # quotes may stand anywhere within a parameter
    return _any(each) if f.any_of else _all(each)


def _text_needles(match: TextMatch) -> Needles | None:
    if match.negated or not _VERBATIM(match.needle):
        return None
    if match.collation is not Collation.UNICODE:
        return Needles((match.needle.encode().lower(),), ascii_only=False)
    return Needles((match.needle.encode(),), ascii_only=True)


def _all(each: Sequence[Needles | None]) -> Needles | None:
    """One of what all are needed: the one that most likely tells most."""
    known = [needles for needles in each if needles is not None]
    return min(known, key=lambda n: (len(n.any_of), -len(n.any_of[0]))) if known else None


def _any(each: Sequence[Needles | None]) -> Needles | None:
    known = [needles for needles in each if needles is not None]
    if not known or len(known) < len(each):
        return None
    texts = tuple(dict.fromkeys(text for needles in known for text in needles.any_of))
    return Needles(texts, any(needles.ascii_only for needles in known))
