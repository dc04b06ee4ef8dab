"""Requests to an S3 store, signed here, and what comes back, read no further than it can be needed.

Signed as AWS Signature Version 4 says (docs.aws.amazon.com, "Signature Version 4 signing process"), in the
Authorization header, with the digest of the body; addressed by path, which every store understands.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import random
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from safehold.ports.objectstore import Costs, StoreError, StoreUnanswered

CONNECT_SECONDS, TIMEOUT_SECONDS = 5.0, 30.0
#: An answer that is not whole after so long is given up, however steadily it comes.
ANSWER_SECONDS = 300.0
#: A page of a listing has at most 1,000 keys of 1,024 bytes each, in XML: more than this is no answer to anything else.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
#: Why a store refuses is said in less.
MAX_REFUSAL_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024
#: A request that cannot have done harm is tried so often, after waits that double from the first on, at random between
#: nothing and that: many who lost the same store do not come back in one moment.
TRIES = 4
_FIRST_WAIT_SECONDS = 0.2
_TRY_AGAIN = frozenset((429, 500, 502, 503, 504))
#: Of these, those by which a store says that it has done nothing.
_NOT_DONE = frozenset((429, 503))
_UNRESERVED = "-._~"


class S3Settings(NamedTuple):
    """How a bucket is reached."""

    endpoint: str  # scheme, host and port
    region: str
    bucket: str
    access_key: str
    secret_key: str
    session_token: str = ""


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    again: bool = False  # whether an earlier sending of this request may have been carried out

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class _NotReached(OSError):
    """Nothing was sent."""


class _Endless(http.client.HTTPException):
    """An answer that is longer than any may be, or takes longer: it is not asked for again."""


def signed_headers(
    settings: S3Settings,
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    moment: time.struct_time,
) -> dict[str, str]:
    """All headers of a request, Authorization among them; `path` is encoded already."""
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", moment), time.strftime("%Y%m%d", moment)
    digest = hashlib.sha256(body).hexdigest()
    sent = {name.lower(): value.strip() for name, value in headers.items()}
    sent |= {"host": host, "x-amz-date": stamp}
    sent.setdefault("x-amz-content-sha256", digest)
    if settings.session_token:
        sent["x-amz-security-token"] = settings.session_token
    names = ";".join(sorted(sent))
    canonical = "\n".join(
        (
            method,
            path,
            query_text(query),
            *(f"{name}:{sent[name]}" for name in sorted(sent)),
            "",
            names,
            sent["x-amz-content-sha256"],
        )
    )
    scope = f"{day}/{settings.region}/s3/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{settings.secret_key}".encode()
    for part in (day, settings.region, "s3", "aws4_request", to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"{settings.access_key}/{scope}"
    sent["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return sent


def query_text(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(k, safe=_UNRESERVED), quote(v, safe=_UNRESERVED)) for k, v in query.items())
    return "&".join(f"{k}={v}" for k, v in pairs)


def wait_before_try(number: int) -> None:
    """Before the second try, which is number 1, and those after it."""
    time.sleep(random.uniform(0, _FIRST_WAIT_SECONDS * 2**number))  # noqa: S311  # not a secret


class SignedClient:
    """Sends signed requests over connections that are kept. Safe from any thread."""

    def __init__(self, settings: S3Settings, costs: Costs) -> None:
        self.settings = settings
        self._costs = costs
        parts = urlsplit(settings.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StoreError(f"{settings.endpoint!r} is no address of a store: it begins with https://")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, parts.port
        self._host_header = parts.netloc.rpartition("@")[2]
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        bucket: str | None = None,
        again: bool = True,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> Response:
        """Its answer, whatever the status. `again`: it may be sent once more where no answer came, as whatever it did
        is then done once all the same. `most_bytes`: a longer answer is read no further.

        Raises StoreError where the store is not reached, StoreUnanswered where it may have been carried out.
        """
        name = self.settings.bucket if bucket is None else bucket
        path = "/" + quote(f"{name}/{key}" if key else name, safe="/" + _UNRESERVED)
        tries = TRIES if again else 1
        doubt = False
        for number in range(tries):
            if number:
                wait_before_try(number)
            self._count(method, query or {}, body)
            try:
                response = self._send(method, path, query or {}, headers or {}, body, again, most_bytes)
            except (OSError, http.client.HTTPException) as error:
                doubt = doubt or not (isinstance(error, _NotReached) or method in ("GET", "HEAD"))
                if number + 1 < tries and not isinstance(error, _Endless):
                    continue
                self._costs.failures += 1
                text = f"no answer came from {self.settings.endpoint}: {str(error) or type(error).__name__}"
                raise (StoreUnanswered if doubt else StoreError)(text) from error
            self._costs.received_bytes += len(response.body)
            if response.status not in _TRY_AGAIN or number + 1 == tries:
                return response._replace(again=response.again or doubt)
            doubt = doubt or response.status not in _NOT_DONE
        raise AssertionError("every try ends in an answer or an error")

    def _count(self, method: str, query: Mapping[str, str], body: bytes) -> None:
        if method == "DELETE":
            self._costs.deletes += 1
        elif method in ("GET", "HEAD") and not ({"list-type", "versions"} & set(query)):
            self._costs.reads += 1
        else:
            self._costs.writes += 1
        self._costs.sent_bytes += len(body)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        again: bool,
        most_bytes: int,
    ) -> Response:
        """Over a connection that lay idle only what may be sent `again`: it may have been ended long ago, and whether
        it was before the request came or after it cannot be told.
        """
        signed = signed_headers(self.settings, method, self._host_header, path, query, headers, body, time.gmtime())
        signed |= {"content-length": str(len(body))} if body else {}
        target = f"{path}?{query_text(query)}" if query else path
        with self._lock:
            idle = self._idle.pop() if again and self._idle else None
        connection = idle or self._connect()
        doubt = False
        while True:
            try:
                connection.request(method, target, _pieces(body) if body else None, signed)
                answer = connection.getresponse()
                data = _whole(answer, most_bytes)
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                ended = isinstance(error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError)
                if connection is not idle or not ended:
                    raise
                connection, doubt = self._connect(), True
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data, doubt)

    def _connect(self) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
            if self._tls is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=self._tls)
        )
        try:
            connection.connect()
        except OSError as error:
            raise _NotReached(f"the store cannot be reached: {error}") from error
        connection.sock.settimeout(TIMEOUT_SECONDS)
        return connection

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _pieces(body: bytes) -> Iterator[memoryview]:
    """Each of which has time of its own to go: a slow line takes large bodies too."""
    view = memoryview(body)
    return (view[start : start + _PIECE_BYTES] for start in range(0, len(body), _PIECE_BYTES))


def _whole(answer: http.client.HTTPResponse, most_bytes: int) -> bytes:
    """Its body; then it is closed, come what may. Raises OSError, HTTPException."""
    until = time.monotonic() + ANSWER_SECONDS
    pieces: list[bytes] = []
    size = 0
    with closing(answer):
        while piece := answer.read1(min(_PIECE_BYTES, most_bytes + 1 - size)):
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                raise _Endless(f"it is more than {most_bytes} bytes long")
            if time.monotonic() > until:
                raise _Endless(f"it was not whole after {ANSWER_SECONDS:g} s")
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(pieces)
