"""The REST API as values: JSON requests to commands, what was found to JSON, an error to a problem document (RFC 9457).

Times are RFC 3339 text in both directions; what is answered is UTC with `Z`, without a fraction where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from operator import itemgetter
from typing import TypeVar

import msgspec

from safehold.model.commands import AddScore, SetListed
from safehold.model.errors import BadRequest, Damaged, Forbidden, SafeholdError, TooLarge
from safehold.model.items import Account
from safehold.model.paths import check_segment
from safehold.protocol.problems import status_of, told

#: No request of this API is longer: a score's detail, and room for its name and time.
MAX_REQUEST_BYTES = 64 * 1024
MAX_DETAIL_BYTES = 16 * 1024
MAX_LIMIT = 10_000
DEFAULT_LEADERS = 20
#: Scores beyond are kept as they came, but compared and ranked as IEEE doubles.
EXACT_LIMIT = 1 << 53

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"

_MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_AT = (1 << 52) - 1
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d{1,12}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

T = TypeVar("T")
_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode


# -- requests --------------------------------------------------------------------------------------------------


class _NewScore(msgspec.Struct, forbid_unknown_fields=True):
    score: int | float
    at: str | None = None
    detail: msgspec.Raw = _NULL


class _AccountPatch(msgspec.Struct, forbid_unknown_fields=True):
    listed: bool


_decode_score = msgspec.json.Decoder(_NewScore)
_decode_patch = msgspec.json.Decoder(_AccountPatch)


def parse_score(body: bytes, account: Account, game: str, now: int, actor: str) -> AddScore:
    """POST scores/GAME. A score without a time is of `now` (µs). Raises BadRequest, TooLarge."""
    check_segment(game)
    new = parse_body(_decode_score, body)
    if isinstance(new.score, int) and not -(1 << 63) <= new.score < 1 << 63:
        raise BadRequest("the score does not fit 64 bits - at `$.score`", hint="send it as a float: 1e30")
    at = now if new.at is None else parse_time(new.at)
    return AddScore(
        account=account.id, actor=actor, game=game, score=new.score, at=at, detail=_detail(new.detail), intake=True
    )


def parse_account_patch(body: bytes, account: Account, actor: str) -> SetListed:
    """PATCH account. Raises BadRequest."""
    return SetListed(account=account.id, actor=actor, listed=parse_body(_decode_patch, body).listed)


def parse_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not what is expected here: {error}", hint="see /api/v1/openapi.json") from None


def _detail(raw: msgspec.Raw) -> str | None:
    """The detail as compact JSON text; None for null. It must survive being read and written again."""
    data = bytes(raw)
    if len(data) > MAX_DETAIL_BYTES:
        raise TooLarge(f"the detail of a score is {len(data)} bytes of JSON; the limit is {MAX_DETAIL_BYTES}")
    try:
        value = msgspec.json.decode(data)
        return None if value is None else _encode(value).decode()
    except RecursionError:
        raise BadRequest("the detail is nested too deeply - at `$.detail`") from None
    except (msgspec.DecodeError, UnicodeError, OverflowError, ValueError) as error:
        raise BadRequest(f"the detail cannot be kept: {error} - at `$.detail`") from None


def parse_limit(text: str | None, default: int | None) -> int | None:
    """The query parameter `limit`. Raises BadRequest."""
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadRequest(f"limit is a whole number from 1 to {MAX_LIMIT}, not {text!r}")
    return int(text)


def parse_time(text: str) -> int:
    """RFC 3339 text as µs since 1970. A leap second counts as the second after it. Raises BadRequest."""
    match = _TIME.fullmatch(text)
    at = None
    if match is not None:
        day, minute, second, fraction, zone = match.groups()
        leap = second == "60"
        try:
            whole = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{zone.upper()}")
            seconds = (whole - _EPOCH) // timedelta(seconds=1) + leap
            at = seconds * _MICROSECONDS + int((fraction or "0").ljust(6, "0")[:6])
        except ValueError:
            pass
    if at is None:
        raise BadRequest(f"{text[:64]!r} is not a time", hint="write RFC 3339: 2026-11-20T08:30:00Z")
    if not 0 <= at <= _LAST_AT:
        raise BadRequest("the time of a score lies between 1970 and 2112")
    return at


def format_time(at: int) -> str:
    """µs since 1970 as RFC 3339 text."""
    return (_EPOCH + timedelta(microseconds=at)).replace(tzinfo=None).isoformat() + "Z"


def check_origin(site: str | None, origin: str | None, host: str | None) -> None:
    """Refuse what another site's page sends through a browser that knows the password.

    Browsers say where a request comes from in Sec-Fetch-Site, older ones in Origin; programs and devices send neither.
    Raises Forbidden.
    """
    foreign = site not in ("same-origin", "none") if site is not None else False
    if site is None and origin is not None:
        foreign = origin.partition("://")[2].lower() != (host or "").lower()
    if foreign:
        raise Forbidden("another site's page may not change anything here")


# -- answers ---------------------------------------------------------------------------------------------------


class _StoredScore(msgspec.Struct):
    """The body of an item in scores/GAME."""

    score: int | float
    at: str
    detail: msgspec.Raw = _NULL


class Score(msgspec.Struct, frozen=True):
    """One line of a history."""

    score: int | float
    at: str
    detail: msgspec.Raw = _NULL


class History(msgspec.Struct, frozen=True):
    """GET scores/GAME."""

    game: str
    best: int | float | None
    history: Sequence[Score]


class Recorded(msgspec.Struct, frozen=True):
    """POST scores/GAME: what was recorded, and the best so far."""

    game: str
    score: int | float
    at: str
    detail: msgspec.Raw
    best: int | float | None


class Game(msgspec.Struct, frozen=True):
    game: str
    best: int | float | None
    changed_at: str


class Games(msgspec.Struct, frozen=True):
    """GET scores."""

    games: Sequence[Game]


class Leader(msgspec.Struct, frozen=True):
    rank: int
    name: str
    score: int | float
    at: str


class Leaderboard(msgspec.Struct, frozen=True):
    """GET leaderboards/GAME."""

    game: str
    entries: Sequence[Leader]


class AccountView(msgspec.Struct, frozen=True):
    """GET account."""

    name: str
    listed: bool
    waiting: int  # writes of its devices that are entered once what they are to is restored


class _Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
    request: str = ""


_decode_stored = msgspec.json.Decoder(_StoredScore).decode


def to_json(value: msgspec.Struct) -> bytes:
    return _encode(value)


def problem(error: SafeholdError, request: str = "") -> tuple[int, bytes]:
    """Status and problem document of an error. Beyond RFC 9457 it has `hint`, what to do next, and the request's id."""
    status = status_of(error)
    return status, _encode(_Problem("about:blank", HTTPStatus(status).phrase, status, *told(error), request))


def score_of(body: bytes) -> tuple[int, Score]:
    """A stored score, with its time in µs. Raises Damaged where the body is none."""
    try:
        stored = _decode_stored(body)
        at = parse_time(stored.at)
    except (msgspec.DecodeError, BadRequest) as error:
        raise Damaged(f"a stored score cannot be read: {error}") from error
    return at, Score(stored.score, format_time(at), stored.detail)


def recorded(command: AddScore, best: float | None) -> Recorded:
    assert command.at is not None
    detail = msgspec.Raw((command.detail or "null").encode())
    return Recorded(command.game, command.score, format_time(command.at), detail, whole(best))


def history(game: str, best: int | float | None, scores: Iterable[tuple[int, int, Score]]) -> History:
    """Newest first. `scores` are (time in µs, rev, score): of one time, the one recorded last comes first."""
    ordered = sorted(scores, key=itemgetter(0, 1), reverse=True)
    return History(game, whole(best), [score for _, _, score in ordered])


def leaderboard(game: str, rows: Iterable[tuple[str, float, int]]) -> Leaderboard:
    """Equal scores share a rank, and the next one after them skips as many."""
    entries: list[Leader] = []
    for place, (name, score, at) in enumerate(rows, start=1):
        last = entries[-1] if entries else None
        rank = last.rank if last is not None and last.score == score else place
        entries.append(Leader(rank, name, _number(score), format_time(at)))
    return Leaderboard(game, entries)


def whole(score: int | float | None) -> int | float | None:
    """A score without `.0` where it is a whole number; None stays None."""
    return None if score is None else _number(score)


def _number(score: int | float) -> int | float:
    return int(score) if isinstance(score, float) and score.is_integer() and abs(score) <= EXACT_LIMIT else score
