"""A vCard in the other version: 3.0 (RFC 2426, with RFC 4770 and what Apple's devices add) and 4.0 (RFC 6350). Pure.

What both versions have, and what a version does not know, stays as it stands: order, groups and with them labels
(X-ABLabel), X- properties and parameters, escapes. What both say in different words is translated:

    3.0                                        4.0
    TYPE=pref                                  PREF=1 (of several ranks only the first is kept in 3.0)
    TEL;HOME:…  CHARSET=  ENCODING=Q…          TEL;TYPE=HOME:…; text is UTF-8 as it is
    PHOTO;ENCODING=b;TYPE=JPEG:…               PHOTO:data:image/jpeg;base64,…      (LOGO, SOUND, KEY too)
    PHOTO;VALUE=uri;TYPE=JPEG:http…            PHOTO;MEDIATYPE=image/jpeg:http…
    BDAY:1996-04-15                            BDAY:19960415                       (ANNIVERSARY, REV too)
    BDAY;X-APPLE-OMIT-YEAR=1604:1604-04-15     BDAY:--0415
    TEL:…                                      TEL;VALUE=uri:tel:…                 (only from 4.0 to 3.0)
    GEO:37.38;-122.08  TZ:-05:00               GEO:geo:37.38,-122.08  TZ;VALUE=utc-offset:-0500
    LABEL of an address  SORT-STRING           ADR;LABEL=  N;SORT-AS=
    X-ANNIVERSARY  X-GENDER                    ANNIVERSARY  GENDER
    X-ADDRESSBOOKSERVER-KIND, -MEMBER          KIND  MEMBER
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

from safehold.content import vcard_values as values
from safehold.content.lines import Component, Line, fold, parse, parse_params, property_name

V3, V4 = "3.0", "4.0"

_BINARY = frozenset(("PHOTO", "LOGO", "SOUND", "KEY"))
_DATES = frozenset(("BDAY", "ANNIVERSARY", "DEATHDATE"))
_RENAMED = {
    "X-ANNIVERSARY": "ANNIVERSARY",
    "X-GENDER": "GENDER",
    "X-ADDRESSBOOKSERVER-KIND": "KIND",
    "X-ADDRESSBOOKSERVER-MEMBER": "MEMBER",
}
_RENAMED_BACK = {new: old for old, new in _RENAMED.items()}
_GENDERS = {"male": "M", "female": "F", "other": "O", "none": "N", "unknown": "U"}
#: The year that Apple's devices write for one that is not known.
_NO_YEAR = "1604"
_OMIT_YEAR = "X-APPLE-OMIT-YEAR"
#: Properties whose names or values differ; of the others only parameters may.
_TRANSLATED = _BINARY | _DATES | {*_RENAMED, *_RENAMED_BACK, "REV", "GEO", "TZ", "UID", "TEL", "ADR", "N"}
_ENCODINGS = frozenset(("B", "BASE64", "QUOTED-PRINTABLE", "7BIT", "8BIT"))
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S").match

Params = list[tuple[str, list[str]]]


class _Prop(NamedTuple):
    name: str  # as written, with its group
    params: Params
    value: str

    @property
    def plain_name(self) -> str:
        return property_name((self.name, "", ""))

    @property
    def group(self) -> str:
        return self.name.rpartition(".")[0]

    def values_of(self, name: str) -> list[str]:
        return [value for own, several in self.params if own == name for value in several]

    def first(self, name: str) -> str:
        return next(iter(self.values_of(name)), "")

    def without(self, *names: str) -> _Prop:
        return self._replace(params=[param for param in self.params if param[0] not in names])

    def with_param(self, name: str, *several: str) -> _Prop:
        return self._replace(params=[*self.params, (name, list(several))]) if any(several) else self

    def renamed(self, name: str) -> _Prop:
        return self._replace(name=f"{self.group}.{name}" if self.group else name)

    @property
    def types(self) -> list[str]:
        return [t for value in self.values_of("TYPE") for t in value.split(",") if t]

    def typed(self, types: list[str]) -> _Prop:
        """With these types where the first TYPE stood, or at the end."""
        index = next((i for i, param in enumerate(self.params) if param[0] == "TYPE"), len(self.params))
        rest = [param for param in self.params if param[0] != "TYPE"]
        own: Params = [("TYPE", types)] if types else []
        return self._replace(params=[*rest[:index], *own, *rest[index:]])


def version_of(body: bytes) -> str:
    """The version of a vCard, "" where it has none. Raises LineError."""
    roots = parse(body).roots
    return next(iter(roots[0].values("VERSION")), "").strip() if roots else ""


def converted(body: bytes, version: str) -> bytes:
    """The card in this version; byte for byte the same where it is of that version already. Raises LineError."""
    document = parse(body)
    if not document.roots:
        return body
    card = document.roots[0]
    own = next(iter(card.values("VERSION")), "").strip()
    if own == version or own not in (V3, V4) or version not in (V3, V4):
        return body
    props = _to_4(card) if version == V4 else _to_3(card)
    lines = [_written(card.begin), *props, fold(f"END:{card.name}".encode())]
    return b"".join(lines)


def _read(line: Line) -> _Prop:
    return _Prop(line[0], parse_params(line[1]), line[2])


def _line(prop: _Prop) -> bytes:
    params = "".join(f";{name}{_several(several)}" for name, several in prop.params)
    return fold(f"{prop.name}{params}:{prop.value}".encode())


def _several(several: list[str]) -> str:
    """The values of a parameter after its name; nothing for one that has none, as in version 2.1."""
    return "=" + ",".join(map(_quoted, several)) if several else ""


def _quoted(value: str) -> str:
    return f'"{value}"' if any(mark in value for mark in ",;:") else value


def _written(line: Line) -> bytes:
    return fold(f"{line[0]}{line[1]}:{line[2]}".encode())


def _changed(line: Line, steps: Iterable[Callable[[_Prop], _Prop]]) -> bytes:
    """The line after the steps; as it stood where they changed nothing."""
    if not line[1] and property_name(line) not in _TRANSLATED:
        return _written(line)
    before = after = _read(line)
    for step in steps:
        after = step(after)
    return _written(line) if after == before else _line(after)


def _text(value: str) -> str:
    """A component as it stands within a structured value."""
    return value if "\\;" in value or ";" not in value else value.replace(";", "\\;")


# -- to 4.0 --------------------------------------------------------------------------------------------------


def _to_4(card: Component) -> Iterator[bytes]:
    labels = _labels(card)
    sort_string = next(iter(card.values("SORT-STRING")), "")
    if not card.values("FN"):
        yield fold(f"FN:{_formatted(card)}".encode())

    def labelled(prop: _Prop) -> _Prop:
        """RFC 6350 section 6.3.1: the label of an address is a parameter of it."""
        waiting = labels.get(_address(prop)) if prop.plain_name == "ADR" else None
        return prop.with_param("LABEL", _parameter(waiting.popleft().value)) if waiting else prop

    def sorted_as(prop: _Prop) -> _Prop:
        return prop.with_param("SORT-AS", _parameter(sort_string)) if prop.plain_name == "N" else prop

    for line in card.lines:
        name = property_name(line)
        if name == "VERSION":
            yield fold(b"VERSION:4.0")
        elif name not in ("LABEL", "PROFILE") and not (name == "SORT-STRING" and card.values("N")):
            yield _changed(line, (labelled, _plain_params, _binary_to_4, _dates_to_4, _others_to_4, sorted_as, _ranked))
    for waiting in labels.values():
        yield from map(_line, waiting)  # of no address: kept as it is


def _labels(card: Component) -> dict[tuple[str, frozenset[str]], deque[_Prop]]:
    """The LABEL properties by the addresses that they belong to."""
    labels: dict[tuple[str, frozenset[str]], deque[_Prop]] = {}
    for line in card.lines:
        if property_name(line) == "LABEL":
            label = _read(line)
            labels.setdefault(_address(label), deque()).append(label)
    return labels


def _address(prop: _Prop) -> tuple[str, frozenset[str]]:
    """What a label and its address have in common: group and types."""
    return prop.group, frozenset(_lower(prop.types))


def _lower(types: Iterable[str]) -> list[str]:
    return [t.lower() for t in types]


def _parameter(value: str) -> str:
    """A value as one of a parameter: escapes of commas and semicolons undone, a quote by RFC 6868."""
    return value.replace("\\,", ",").replace("\\;", ";").replace("\\N", "\\n").replace('"', "^'")


def _formatted(card: Component) -> str:
    """FN, which 4.0 must have, for a card without one (RFC 6350 section 6.2.1)."""
    structured = next(iter(card.values("N")), "").split(";")
    family, given = [*structured, "", ""][:2]
    name = " ".join(part for part in (given, family) if part)
    others = (next(iter(card.values(other)), "") for other in ("NICKNAME", "ORG", "EMAIL", "TEL"))
    return name or next((value.partition(";")[0] for value in others if value), "")


def _plain_params(prop: _Prop) -> _Prop:
    """What is left of version 2.1 (TEL;HOME, CHARSET, quoted-printable) in the words of later ones."""
    bare = [name for name, several in prop.params if not several and name not in ("TYPE", "VALUE", "ENCODING")]
    if bare:
        encodings = [name for name in bare if name in _ENCODINGS]
        types = [*prop.types, *(name for name in bare if name not in _ENCODINGS)]
        prop = prop.without(*bare).typed(types).with_param("ENCODING", *encodings[:1])
    encoding = prop.first("ENCODING").upper()
    if encoding == "QUOTED-PRINTABLE":
        said = values.unquoted(prop.value)
        prop = prop.without("ENCODING")._replace(value=prop.value if said is None else said)
    elif encoding in ("7BIT", "8BIT"):
        prop = prop.without("ENCODING")
    return prop.without("CHARSET")


def _binary_to_4(prop: _Prop) -> _Prop:
    name = prop.plain_name
    if name not in _BINARY:
        return prop
    media, rest = values.media_of(name, prop.types)
    if prop.first("ENCODING").upper() in ("B", "BASE64") or prop.first("VALUE").lower() == "binary":
        uri = values.data_uri(prop.value, media)
        return prop if uri is None else prop.without("ENCODING", "VALUE").typed(rest)._replace(value=uri)
    if _URI(prop.value):
        return prop.without("VALUE").typed(rest).with_param("MEDIATYPE", media)
    if name == "KEY":  # a key as text
        return prop.without("VALUE").typed(rest).with_param("VALUE", "text").with_param("MEDIATYPE", media)
    return prop


def _dates_to_4(prop: _Prop) -> _Prop:
    name = _RENAMED.get(prop.plain_name, prop.plain_name)
    if name not in _DATES and name != "REV":
        return prop
    if prop.first("VALUE").lower() == "text":
        return prop.without("VALUE") if values.is_truncated(prop.value) else prop
    date = values.read_date(prop.value)
    if date is None:
        return prop
    omitted = prop.first(_OMIT_YEAR)
    if omitted and omitted == date.year:
        date = date._replace(year="")
    return prop.without("VALUE", _OMIT_YEAR)._replace(value=values.basic(date))


def _others_to_4(prop: _Prop) -> _Prop:
    name = prop.plain_name
    if name in _RENAMED:
        prop = prop.renamed(_RENAMED[name])
        if name == "X-GENDER":
            prop = prop._replace(value=_GENDERS.get(prop.value.strip().lower(), prop.value))
    elif name == "GEO":
        prop = prop._replace(value=values.geo_uri(prop.value) or prop.value)
    elif name == "TZ":
        zone = values.offset(prop.value, "")
        prop = prop.without("VALUE").with_param("VALUE", "utc-offset")._replace(value=zone) if zone else prop
    elif name == "UID" and not _URI(prop.value):
        prop = prop.without("VALUE").with_param("VALUE", "text")
    elif name == "EMAIL":
        types = prop.types
        left = [t for t in types if t.lower() != "internet"]
        prop = prop.typed(left) if left != types else prop
    return prop


def _ranked(prop: _Prop) -> _Prop:
    types = prop.types
    if "pref" not in _lower(types):
        return prop
    ranked = prop.typed([t for t in types if t.lower() != "pref"])
    return ranked if ranked.values_of("PREF") else ranked.with_param("PREF", "1")


# -- to 3.0 --------------------------------------------------------------------------------------------------


def _to_3(card: Component) -> Iterator[bytes]:
    best = _best_ranks(card)
    if not card.values("N"):
        # 3.0 must have N (RFC 2426 section 3.1.2), and what it says is not known.
        yield fold(f"N:{_text(next(iter(card.values('FN')), ''))};;;;".encode())

    def ranked(prop: _Prop) -> _Prop:
        rank = prop.first("PREF")
        if not rank:
            return prop
        preferred = rank == best.get(prop.plain_name)
        prop = prop.without("PREF")
        return prop.typed([*prop.types, "pref"]) if preferred else prop

    for line in card.lines:
        name = property_name(line)
        if name == "VERSION":
            yield fold(b"VERSION:3.0")
            continue
        prop = _read(line)
        label = prop.first("LABEL") if name == "ADR" else ""
        sort_as = prop.first("SORT-AS") if name == "N" else ""
        steps = (_single_types, _binary_to_3, _dates_to_3, _others_to_3, ranked)
        yield _changed(line, (_without_moved, *steps))
        if label:
            types = prop.typed(prop.types).types
            yield _line(_Prop(prop.name, [("TYPE", types)] if types else [], _value(label)).renamed("LABEL"))
        if sort_as:
            yield fold(f"SORT-STRING:{_value(sort_as)}".encode())


def _without_moved(prop: _Prop) -> _Prop:
    """Parameters that are properties of their own in version 3.0."""
    if prop.plain_name == "ADR":
        return prop.without("LABEL")
    return prop.without("SORT-AS") if prop.plain_name == "N" else prop


def _value(parameter: str) -> str:
    """A parameter's value as one of a property: the opposite of `_parameter`."""
    text = parameter.replace("^n", "\\n").replace("^'", '"').replace("^^", "^")
    return text.replace(",", "\\,").replace(";", "\\;")


def _best_ranks(card: Component) -> dict[str, str]:
    """The lowest PREF of each property name, as it is written."""
    best: dict[str, str] = {}
    for line in card.lines:
        rank = _read(line).first("PREF") if "PREF" in line[1].upper() else ""
        name = property_name(line)
        if rank.isascii() and rank.isdigit() and (name not in best or int(rank[:4]) < int(best[name][:4])):
            best[name] = rank
    return best


def _single_types(prop: _Prop) -> _Prop:
    """TYPE="voice,home" as TYPE=voice,home: a quoted list is one value in version 3.0."""
    types = prop.types
    return prop.typed(types) if types != prop.values_of("TYPE") else prop


def _binary_to_3(prop: _Prop) -> _Prop:
    name = prop.plain_name
    if name not in _BINARY:
        return prop
    data = values.read_data_uri(prop.value)
    if data is not None:
        media, base64_text = data
        formats = [values.format_of(media)] if values.format_of(media) not in ("", "OCTET-STREAM") else []
        prop = prop.without("VALUE", "MEDIATYPE").typed([*formats, *prop.types])
        return prop._replace(params=[("ENCODING", ["b"]), *prop.params], value=base64_text)
    media = prop.first("MEDIATYPE")
    formats = [values.format_of(media)] if media else []
    if prop.first("VALUE").lower() == "text":
        return prop.without("VALUE", "MEDIATYPE").typed([*formats, *prop.types])
    if _URI(prop.value):
        return prop.without("VALUE", "MEDIATYPE").with_param("VALUE", "uri").typed([*formats, *prop.types])
    return prop


def _dates_to_3(prop: _Prop) -> _Prop:
    name = prop.plain_name
    if (name not in _DATES and name != "REV") or prop.first("VALUE").lower() == "text":
        return prop
    date = values.read_date(prop.value)
    if date is None:
        return prop.without("VALUE").with_param("VALUE", "text") if values.is_truncated(prop.value) else prop
    prop = prop.without("VALUE")
    if not date.year:
        prop = prop.with_param(_OMIT_YEAR, _NO_YEAR)
    elif date.time and name in _DATES:
        prop = prop.with_param("VALUE", "date-time")
    return prop._replace(value=values.extended(date, _NO_YEAR))


def _others_to_3(prop: _Prop) -> _Prop:
    name = prop.plain_name
    if name in _RENAMED_BACK:
        prop = prop.renamed(_RENAMED_BACK[name])
    elif name == "TEL":
        number = prop.value
        if number[:4].lower() == "tel:":
            number = unquote(number[4:]).replace("\\", "").replace(";", "\\;").replace(",", "\\,")
        prop = prop.without("VALUE")._replace(value=number)
    elif name == "GEO":
        prop = prop.without("VALUE")._replace(value=values.geo_pair(prop.value) or prop.value)
    elif name == "TZ":
        zone = values.offset(prop.value, ":")
        kind = "uri" if prop.first("VALUE").lower() == "uri" else "text"
        prop = prop.without("VALUE")._replace(value=zone) if zone else prop.without("VALUE").with_param("VALUE", kind)
    elif name == "UID":
        prop = prop.without("VALUE")
    return prop
