"""Lines of the log, as text for people or as JSON for programs, on standard error.

Each line is one record. It bears the ids of the requests it was written for: one, or those of a group commit that
fared together. What names a person or a thing of theirs (`model.private.Private`) is left out, and so is the text of an
exception that is a bug, which may hold anything: both are shown at level debug, and by no other (I92).
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from safehold.model.errors import SafeholdError
from safehold.model.private import Private

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
LEVELS = ("debug", "info", "warning", "error")
#: Key of a record under which further facts of it stand: a mapping of names to values.
FACTS = "facts"
#: Ids of a group commit that one line bears.
MOST_REQUESTS = 20

#: Whose text tells of the machine and of our own words, not of what people hold.
_PLAIN_ERRORS = (SafeholdError, OSError, MemoryError)

Requests = Callable[[], Sequence[str]]


class _Told(NamedTuple):
    at: datetime
    level: str
    logger: str
    message: str
    requests: Sequence[str]
    facts: dict[str, Any]
    trace: str


class _Lines(logging.Formatter):
    """What both formats share: what a record says, and what of it may be said."""

    def __init__(self, requests: Requests, *, names: bool) -> None:
        super().__init__()
        self._requests = requests
        self._names = names

    def _told(self, record: logging.LogRecord) -> _Told:
        facts = {key: self._open(value) for key, value in getattr(record, FACTS, {}).items()}
        return _Told(
            datetime.fromtimestamp(record.created, UTC),
            record.levelname.lower(),
            record.name,
            self._message(record),
            self._requests()[:MOST_REQUESTS],
            {key: value for key, value in facts.items() if not isinstance(value, Private)},
            self._trace(record),
        )

    def _message(self, record: logging.LogRecord) -> str:
        args = record.args
        if self._names and isinstance(args, tuple):
            return str(record.msg) % tuple(map(self._open, args)) if args else str(record.msg)
        if args and isinstance(args, tuple):
            return str(record.msg) % tuple(map(_without_names, args))
        return record.getMessage()

    def _open(self, value: Any) -> Any:
        return value.shown if self._names and isinstance(value, Private) else value

    def _trace(self, record: logging.LogRecord) -> str:
        if not isinstance(record.exc_info, tuple) or record.exc_info[1] is None:
            return ""
        _, error, frames = record.exc_info
        return "".join(traceback.format_exception(error)) if self._names else _bare_trace(error, frames)


def _without_names(value: object) -> object:
    """An exception that is a bug may hold anything in its text."""
    if isinstance(value, BaseException) and not isinstance(value, _PLAIN_ERRORS):
        return f"{type(value).__name__} (its text is shown at level debug)"
    return value


def _bare_trace(error: BaseException, frames: TracebackType | None) -> str:
    """Where it happened and of what class it is, that of its causes included."""
    parts: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        parts += [_bare_trace(cause, cause.__traceback__), "and then:\n"]
    parts += traceback.format_tb(frames)
    parts.append(
        f"{type(error).__name__}: {error}\n" if isinstance(error, _PLAIN_ERRORS) else f"{type(error).__name__}\n"
    )
    return "".join(parts)


class TextLines(_Lines):
    """`TIME LEVEL LOGGER: MESSAGE [request ID]`, and a traceback below where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        told = self._told(record)
        word = "request" if len(told.requests) == 1 else "requests"
        asked = f" [{word} {', '.join(told.requests)}]" if told.requests else ""
        facts = "".join(f" {key}={value}" for key, value in told.facts.items())
        at = f"{told.at:%Y-%m-%d %H:%M:%S},{told.at.microsecond // 1000:03d}"
        message = told.message.replace("\n", "\\n").replace("\r", "\\r")
        line = f"{at} {told.level.upper()} {told.logger}: {message}{facts}{asked}"
        return f"{line}\n{told.trace.rstrip()}" if told.trace else line


class JsonLines(_Lines):
    """One object a line: time, level, logger, message, request or requests, trace, and further facts by name."""

    def format(self, record: logging.LogRecord) -> str:
        told = self._told(record)
        line: dict[str, Any] = {
            "time": told.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": told.level,
            "logger": told.logger,
            "message": told.message,
        }
        if len(told.requests) == 1:
            line["request"] = told.requests[0]
        elif told.requests:
            line["requests"] = list(told.requests)
        line |= {key: value for key, value in told.facts.items() if key not in line}
        if told.trace:
            line["trace"] = told.trace
        return msgspec.json.encode(line, enc_hook=str).decode()


def log_to(stream: Any, format_: str, level: str, requests: Requests) -> logging.Handler:
    """Send what our own code logs, from this level on, to a stream; of libraries only what is a warning.

    Replaces what was set up before.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter((JsonLines if format_ == JSON else TextLines)(requests, names=level == "debug"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("safehold").setLevel(level.upper())
    return handler
