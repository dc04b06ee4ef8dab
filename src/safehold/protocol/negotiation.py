"""Accept (RFC 9110 section 12.5.1), as far as it chooses between versions of a vCard (RFC 6352 section 5.1.1)."""

from __future__ import annotations

import re

from safehold.content.check import CARD_VERSIONS, CARDDAV
from safehold.content.media import VCARD
from safehold.model.errors import Forbidden

_CONVERSION = CARDDAV + "supported-address-data-conversion"
_PARAM = re.compile(r'\s*([^=\s]+)\s*=\s*"?([^"\s]*)"?\s*').fullmatch
_QUALITY = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?").fullmatch


def names_version(accept: str | None) -> bool:
    """Whether the header tells versions apart at all; nearly none does."""
    return accept is not None and "version" in accept.lower()


def card_version(accept: str, stored: str) -> str:
    """The version to answer in: the one that is stored, unless the other one is wanted more.

    Raises Forbidden where versions are named and none of ours is wanted at all.
    """
    ranges = [_range(part) for part in accept.split(",")]
    wanted = {version: _quality(ranges, version) for version in CARD_VERSIONS}
    if stored not in wanted:
        return stored
    best = max(wanted, key=lambda version: (wanted[version], version == stored))
    if wanted[best] == 0:
        raise Forbidden("a vCard can be had in versions 3.0 and 4.0", element=_CONVERSION)
    return best


_Range = tuple[str, str, float]  # media range, version or "", quality


def _range(part: str) -> _Range:
    name, *rest = part.split(";")
    params = {m[1].lower(): m[2] for m in map(_PARAM, rest) if m is not None}
    said = params.get("q", "1")
    return name.strip().lower(), params.get("version", ""), float(said) if _QUALITY(said) else 1.0


def _quality(ranges: list[_Range], version: str) -> float:
    """The quality that the most specific range gives to a version."""
    for name, exact in ((VCARD, version), (VCARD, ""), ("text/*", ""), ("*/*", "")):
        found = [quality for range_, named, quality in ranges if range_ == name and named == exact]
        if found:
            return max(found)
    return 0.0
