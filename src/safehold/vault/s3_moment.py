"""The moment behind the @ of a bucket's URL, as `s3:BUCKET/PREFIX@20261127T134500Z`: in UTC, by the store's clock."""

from __future__ import annotations

from datetime import UTC, datetime

from safehold.model.errors import OperatorError

_FORMAT = "%Y%m%dT%H%M%SZ"


def parse_moment(text: str) -> int:
    """Seconds since 1970. Raises OperatorError."""
    try:
        return int(datetime.strptime(text, _FORMAT).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise OperatorError(f"{text!r} is no moment", hint="write it as 20261127T134500Z", exit_code=2) from None


def moment_text(seconds: int) -> str:
    """The same moment in a URL."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_FORMAT)
