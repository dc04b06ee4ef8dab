"""A small HTTP client for alarms and heartbeats: time-outs, certificates checked, no redirects to another host."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

TIMEOUT_SECONDS = 20.0
#: No more of an answer is read.
MAX_ANSWER_BYTES = 4096
_MICROSECONDS = 1_000_000


class HttpFailed(Exception):
    """No answer, or one that is no success."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class HttpAnswer(NamedTuple):
    status: int
    date: int | None  # µs, by the clock of who answered
    text: str


class _SameHost(HTTPRedirectHandler):
    """A POST is never redirected (its body would be lost, or go to somebody else), a GET to the same host only."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if req.get_method() != "GET" or (old.scheme, old.netloc) != (new.scheme, new.netloc):
            raise HTTPError(req.full_url, code, f"it redirects to {new.netloc}, which is not followed", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def ask(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> HttpAnswer:
    """One request. Raises HttpFailed where there is no answer of the 200s in time."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    by_tls = urlsplit(url).scheme == "https"  # reading all authorities takes a while
    secure = [HTTPSHandler(context=ssl.create_default_context())] if by_tls else []
    opener = build_opener(HTTPHandler(), *secure, _SameHost())
    request = Request(url, data=body, headers=dict(headers or {}), method=method)  # noqa: S310 - the scheme is checked
    try:
        with opener.open(request, timeout=timeout_seconds) as answer:
            text = answer.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
            return HttpAnswer(answer.status, _date(answer.headers.get("Date")), text)
    except HTTPError as error:
        raise HttpFailed(f"{host} answered {error.code} {error.reason}", error.code) from error
    except URLError as error:
        raise HttpFailed(f"{host}: {error.reason}") from error
    except (HTTPException, OSError, ValueError) as error:
        why = "no answer in time" if isinstance(error, socket.timeout) else str(error) or type(error).__name__
        raise HttpFailed(f"{host}: {why}") from error


def _date(text: str | None) -> int | None:
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    return int(found.replace(tzinfo=found.tzinfo or UTC).timestamp()) * _MICROSECONDS
