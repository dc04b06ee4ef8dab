"""Values that vCard 3.0 and 4.0 write differently (RFC 2426, RFC 6350): dates, places, zones, bytes within a card.

Each function gives None where the value is none of the form that it knows: it is then kept as it stands.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

# -- dates (RFC 2426 section 4: ISO 8601, extended or basic; RFC 6350 section 4.3: basic, possibly truncated) --------

_DATE = re.compile(r"(\d{4}|--)-?(\d{2})-?(\d{2})(?:[Tt](.+))?").fullmatch
_TIME = re.compile(r"(\d{2}):?(\d{2})(?::?(\d{2}))?(?:[.,]\d+)?([Zz]|[+-]\d{2}(?::?\d{2})?)?").fullmatch
_TRUNCATED = re.compile(r"\d{4}(?:-\d{2})?|--\d{2}|---\d{2}|[Tt].+").fullmatch


class Date(NamedTuple):
    """`year` is "" where it is not known; `time` as it was written, "" where there is none."""

    year: str
    month: str
    day: str
    time: str


def read_date(value: str) -> Date | None:
    match = _DATE(value.strip())
    if match is None or (match[4] and _TIME(match[4]) is None):
        return None
    return Date("" if match[1] == "--" else match[1], match[2], match[3], match[4] or "")


def is_truncated(value: str) -> bool:
    """Whether a value is a date of RFC 6350 that RFC 2426 has no form for: a year, a month, a day, a time alone."""
    return _TRUNCATED(value.strip()) is not None


def basic(date: Date) -> str:
    """`19960415`, `--0415`, `19960415T102200Z`."""
    return f"{date.year or '--'}{date.month}{date.day}" + (f"T{_time(date.time, '')}" if date.time else "")


def extended(date: Date, year: str = "") -> str:
    """`1996-04-15`, `1996-04-15T10:22:00Z`; `year` stands in for one that is not known."""
    day = f"{date.year or year}-{date.month}-{date.day}"
    return day + (f"T{_time(date.time, ':')}" if date.time else "")


def _time(time: str, between: str) -> str:
    match = _TIME(time)
    assert match is not None, "a date was read with a time that is none"
    parts = [match[1], match[2], *([match[3]] if match[3] else [])]
    zone = (match[4] or "").upper()
    if len(zone) > 3:
        zone = zone[:3] + between + zone[-2:]
    return between.join(parts) + zone


# -- places and zones ------------------------------------------------------------------------------------------------

_PAIR = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*[;,]\s*([+-]?\d+(?:\.\d+)?)\s*").fullmatch
_GEO = re.compile(r"geo:([+-]?\d+(?:\.\d+)?),([+-]?\d+(?:\.\d+)?)", re.IGNORECASE).fullmatch
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?").fullmatch


def geo_uri(value: str) -> str | None:
    """`37.386013;-122.082932` as `geo:37.386013,-122.082932` (RFC 6350 section 6.5.2)."""
    match = _PAIR(value.replace("\\", ""))
    return None if match is None else f"geo:{match[1]},{match[2]}"


def geo_pair(value: str) -> str | None:
    """The other way; None also where the URI says more than a pair of numbers."""
    match = _GEO(value.strip())
    return None if match is None else f"{match[1]};{match[2]}"


def offset(value: str, between: str) -> str | None:
    """A UTC offset as `-0500`, or with a colon `between` hours and minutes."""
    match = _OFFSET(value.strip())
    return None if match is None else f"{match[1]}{match[2]}{between}{match[3] or '00'}"


# -- bytes within a card ---------------------------------------------------------------------------------------------

_DATA = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.IGNORECASE | re.DOTALL).fullmatch
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
#: How images begin whose card does not say what they are.
_STARTS = (("/9j/", "image/jpeg"), ("iVBORw0KGgo", "image/png"), ("R0lGOD", "image/gif"))
_FAMILY = {"PHOTO": "image", "LOGO": "image", "SOUND": "audio"}
_KEY_TYPES = {"pgp": "application/pgp-keys", "x509": "application/pkix-cert"}
#: Types of a place or rank, which are not those of a format.
_NOT_FORMATS = frozenset(("home", "work", "pref"))


def media_of(name: str, types: list[str]) -> tuple[str, list[str]]:
    """The media type that TYPE names in version 3.0 (`PHOTO;TYPE=JPEG`), "" where none; and the types that remain."""
    formats = [t for t in types if t.lower() not in _NOT_FORMATS]
    rest = [t for t in types if t.lower() in _NOT_FORMATS]
    if not formats:
        return "", rest
    first = formats[0].lower()
    if "/" in first:
        return first, rest
    if name == "KEY":
        return _KEY_TYPES.get(first, f"application/{first}"), rest
    return f"{_FAMILY[name]}/{first}", rest


def format_of(media: str) -> str:
    """What TYPE says in version 3.0 of a media type."""
    known = next((name for name, full in _KEY_TYPES.items() if full == media.lower()), "")
    return (known or media.partition("/")[2]).upper()


def data_uri(base64_text: str, media: str) -> str | None:
    """Base64, possibly with white space in it, as a data: URI (RFC 2397)."""
    text = re.sub(r"\s+", "", base64_text.replace("\\", ""))
    if not _BASE64(text):
        return None
    guessed = next((full for start, full in _STARTS if text.startswith(start)), "application/octet-stream")
    return f"data:{media or guessed};base64,{text}"


def read_data_uri(value: str) -> tuple[str, str] | None:
    """(media type, base64) of a data: URI."""
    match = _DATA(value.strip().replace("\\,", ",").replace("\\;", ";"))
    if match is None:
        return None
    if "base64" in match[2].lower().split(";"):
        text = re.sub(r"\s+", "", match[3])
        return (match[1], text) if _BASE64(text) else None
    return match[1], base64.b64encode(unquote_to_bytes(match[3])).decode()


def unquoted(value: str) -> str | None:
    """What quoted-printable text says, as a value with its escapes."""
    try:
        said = binascii.a2b_qp(value).decode()
    except (ValueError, binascii.Error):
        return None
    return said.replace("\r\n", "\n").replace("\n", "\\n")
