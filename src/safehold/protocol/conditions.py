"""Headers that make a request conditional or partial: RFC 9110 sections 13 and 14, RFC 4918 section 10.

An entity tag of ours is the quoted SHA-256 of the body in lower-case hex. Header values come as latin-1 text.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from safehold.model.commands import Tags
from safehold.model.errors import BadRequest, PreconditionFailed
from safehold.model.items import Item

# Empty elements of a list are passed over (RFC 9110 section 5.6.1.2).
_TAG = re.compile(r'[ \t,]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,[ \t,]*|$)')
_DIGEST = re.compile(r"[0-9a-f]{64}").fullmatch
_RANGE = re.compile(r"[ \t]*(\d{0,18})-(\d{0,18})[ \t]*").fullmatch
_DAY_SECONDS = 86400
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

INFINITY = -1


def etag(digest: bytes) -> str:
    """The entity tag of a body with this digest."""
    return f'"{digest.hex()}"'


def parse_tags(value: str | None, *, weak: bool = False) -> Tags | None:
    """If-Match, or (with `weak` comparison) If-None-Match. None where the header is absent.

    Tags that cannot be ours match nothing, and so do weak ones unless the comparison is weak. Raises BadRequest
    where it is no list of tags: to take it for a list that matches nothing would turn If-None-Match into consent.
    """
    if value is None:
        return None
    if value.strip() == "*":
        return Tags(any=True)
    digests = []
    at = 0
    while at < len(value):
        match = _TAG.match(value, at)
        if match is None:
            raise BadRequest("If-Match and If-None-Match take * or quoted entity tags")
        at = match.end()
        if _DIGEST(match[2]) and (weak or not match[1]):
            digests.append(bytes.fromhex(match[2]))
    if not value.strip(" \t,"):
        raise BadRequest("If-Match and If-None-Match take * or quoted entity tags")
    return Tags(digests=tuple(digests))


def matches(tags: Tags, digest: bytes) -> bool:
    return tags.any or digest in tags.digests


@lru_cache(maxsize=512)
def _day(day: int) -> tuple[str, str]:
    """A day since 1970 as the front of an HTTP date and of an RFC 3339 one."""
    date = datetime.fromtimestamp(day * _DAY_SECONDS, UTC)
    front = f"{_WEEKDAYS[date.weekday()]}, {date.day:02d} {_MONTHS[date.month - 1]} {date.year:04d} "
    return front, f"{date.year:04d}-{date.month:02d}-{date.day:02d}T"


def _clock(at: int) -> tuple[int, str]:
    day, seconds = divmod(min(max(at // 1_000_000, 0), 253402300799), _DAY_SECONDS)
    return day, f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def http_date(at: int) -> str:
    """A time in µs since 1970 as an HTTP date (RFC 9110 section 5.6.7)."""
    day, clock = _clock(at)
    return f"{_day(day)[0]}{clock} GMT"


def rfc3339(at: int) -> str:
    """A time in µs since 1970 as `creationdate` has it (RFC 4918 section 15.1)."""
    day, clock = _clock(at)
    return f"{_day(day)[1]}{clock}Z"


def parse_http_date(value: str | None) -> int | None:
    """Whole seconds since 1970; None where absent or no date, as RFC 9110 section 13.1.3 wants it ignored."""
    if value is None:
        return None
    try:
        date = parsedate_to_datetime(value)
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def not_modified(item: Item, header: dict[bytes, bytes]) -> bool:
    """Whether a GET is to be answered 304, in the order of RFC 9110 section 13.2.2.

    A date says that nothing changed only where it is the very one: times of changes may run backwards. Raises
    PreconditionFailed where If-Match or If-Unmodified-Since does not hold, BadRequest.
    """
    if_match = parse_tags(text(header, b"if-match"))
    if if_match is not None:
        if not matches(if_match, item.digest):
            raise PreconditionFailed("If-Match does not hold: it was changed meanwhile")
    else:
        check_unmodified_since(item, header)
    if_none_match = parse_tags(text(header, b"if-none-match"), weak=True)
    if if_none_match is not None:
        return matches(if_none_match, item.digest)
    since = parse_http_date(text(header, b"if-modified-since"))
    return since is not None and item.at // 1_000_000 == since


def check_unmodified_since(item: Item, header: dict[bytes, bytes]) -> None:
    """Raises PreconditionFailed."""
    since = parse_http_date(text(header, b"if-unmodified-since"))
    if since is not None and item.at // 1_000_000 > since:
        raise PreconditionFailed("If-Unmodified-Since does not hold: it was changed meanwhile")


def parse_range(item: Item, header: dict[bytes, bytes]) -> tuple[int, int] | None:
    """The part of the body asked for as (offset, count); None where the whole is the answer.

    One range of bytes is served; several are answered with the whole, as RFC 9110 section 14.2 allows. A count
    of 0 means that the range cannot be satisfied (416).
    """
    value = text(header, b"range")
    if value is None or value[:6].lower() != "bytes=" or not _if_range(item, text(header, b"if-range")):
        return None
    match = _RANGE(value[len("bytes=") :])
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        count = min(int(match[2]), item.size)
        return item.size - count, count
    first = int(match[1])
    last = min(int(match[2]), item.size - 1) if match[2] else item.size - 1
    if match[2] and int(match[2]) < first:
        return None  # not a valid range: RFC 9110 section 14.1.1 has it ignored
    return first, max(0, last - first + 1)


def _if_range(item: Item, value: str | None) -> bool:
    """A date is never taken: an item may change twice within its second (RFC 9110 section 13.1.5)."""
    return value is None or value.strip() == etag(item.digest)


def parse_depth(header: dict[bytes, bytes], *, default: int = INFINITY) -> int:
    """Depth: 0, 1 or INFINITY. Raises BadRequest."""
    value = text(header, b"depth")
    if value is None:
        return default
    value = value.strip().lower()
    if value in ("0", "1"):
        return int(value)
    if value == "infinity":
        return INFINITY
    raise BadRequest(f"Depth is 0, 1 or infinity, not {value[:40]!r}")


def parse_overwrite(header: dict[bytes, bytes]) -> bool:
    """Overwrite: T or F (RFC 4918 section 10.6); T where it is absent. Raises BadRequest."""
    value = header.get(b"overwrite", b"T").strip().upper()
    if value not in (b"T", b"F"):
        raise BadRequest("Overwrite is T or F")
    return value == b"T"


def text(header: dict[bytes, bytes], name: bytes) -> str | None:
    """A header as text; None where it is absent."""
    value = header.get(name)
    return None if value is None else value.decode("latin-1")
