"""The client's end of a link to a vault server: vaultwire messages in the bodies of HTTP requests, over TLS.

    POST /v1/GUEST                     a message of formats/vaultwire.py; the answer's body is one too
    POST /v1/GUEST/join                a code is redeemed (JSON)

    Authorization: Bearer HEX          the token; of a join, the code's secret
    Safehold-Session: HEX              16 random bytes, the same for all requests of one link
    Safehold-Request: N                1, 2, 3 … within the link
    Content-Digest: sha-256=:BASE64:   of the body, in both directions (RFC 9530)

A link outlives its connection. Where that breaks, the same request with the same number goes over another one: the
server carries a number out once, and says again what it said. So an upload goes on where it was, cut at whatever byte,
and an answer that was lost is no doubt, as long as the server runs and remembers the session.

The server proves itself by its key, where that is pinned, before anything is sent, and else by its certificate.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from safehold.adapters.vault_link import ANSWER_SECONDS, HURRY_SECONDS
from safehold.formats.vaultwire import MAX_ANSWER_BYTES, is_change
from safehold.ports.link import NoAnswer, NotSent
from safehold.ports.objectstore import Costs

MEDIA_TYPE = "application/vnd.safehold.vault"
SESSION, NUMBER, DIGEST = "Safehold-Session", "Safehold-Request", "Content-Digest"
SESSION_BYTES = 16
CONNECT_SECONDS = 5.0
#: A connection that was idle for longer is not used again: the server may be about to close it.
IDLE_SECONDS = 8.0
#: Connections that one request may break, at most, before it is given up.
TRIES = 3
MAX_JOIN_BYTES = 4096


class Access(NamedTuple):
    """How a vault server is reached, and what lets one in. `pin`: SHA-256 of its public key, or b""."""

    url: str  # https://HOST:PORT/v1/GUEST
    token: bytes
    pin: bytes = b""


def content_digest(data: bytes) -> str:
    return f"sha-256=:{b64encode(sha256(data).digest()).decode()}:"


def key_digest(certificate: bytes) -> bytes:
    """SHA-256 of the public key in a certificate (DER), as it is pinned. Raises ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate).public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class _Pinned(http.client.HTTPSConnection):
    """Whoever shows the pinned key is the server, whatever its certificate says of names and dates."""

    def __init__(self, host: str, port: int, pin: bytes) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=CONNECT_SECONDS, context=context)
        self._pin = pin

    def connect(self) -> None:
        super().connect()
        shown = self.sock.getpeercert(binary_form=True)
        try:
            right = shown is not None and key_digest(shown) == self._pin
        except ValueError:
            right = False
        if not right:
            self.close()
            raise ssl.SSLError("it shows another key than the one that this vault's server has")


def open_connection(url: str, pin: bytes) -> http.client.HTTPConnection:
    """Not yet connected."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=CONNECT_SECONDS)
    port = parts.port or 443
    if pin:
        return _Pinned(host, port, pin)
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=context)


class HttpLink:
    """`ports.link.Link`. `access` is asked for at once, and raises NotSent where there is none."""

    def __init__(
        self, access: Callable[[], Access], *, answer_seconds: float = ANSWER_SECONDS, costs: Costs | None = None
    ) -> None:
        """`costs` counts what goes over it; several links may have one."""
        self._costs = costs if costs is not None else Costs()
        self._access = access()
        self._answer_seconds = answer_seconds
        parts = urlsplit(self._access.url)
        self._where, self._path = parts.netloc, parts.path
        self._session = os.urandom(SESSION_BYTES).hex()
        self._number = 0
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def ask(self, request: bytes, *, hurry: bool = False) -> bytes:
        patience = min(self._answer_seconds, HURRY_SECONDS) if hurry else self._answer_seconds
        until = time.monotonic() + patience
        self._number += 1
        headers = {
            "Authorization": f"Bearer {self._access.token.hex()}",
            "Content-Type": MEDIA_TYPE,
            SESSION: self._session,
            NUMBER: str(self._number),
            DIGEST: content_digest(request),
        }
        costs = self._costs
        changes = is_change(request)
        doubt = ""  # the request may have been carried out
        for _ in range(TRIES):
            costs.writes += changes
            costs.reads += not changes
            costs.sent_bytes += len(request)
            try:
                connection = self._connected(until)
                connection.request("POST", self._path, request, headers)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._drop()
                why = _why(error)
                if time.monotonic() >= until or isinstance(error, ssl.SSLError | ConnectionRefusedError):
                    break
                continue
            try:
                answer = connection.getresponse()
                body = answer.read(MAX_ANSWER_BYTES + 1)
            except TimeoutError as error:
                self.close()
                costs.failures += 1
                raise NoAnswer(f"{self._where} did not answer in {patience:g} seconds", late=True) from error
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                why = doubt = f"it ended the connection: {_why(error)}"
                continue
            if answer.headers.get("Content-Length") is None and not answer.chunked:
                self._drop()  # headers that are cut off look like an answer
                why = doubt = "it ended the connection within its answer"
                continue
            costs.received_bytes += len(body)
            self._used_at = time.monotonic()
            if answer.will_close:
                self._drop()
            if answer.headers.get_content_type() == MEDIA_TYPE:
                if answer.headers.get(DIGEST) == content_digest(body):
                    return body
                why = doubt = "its answer was changed on its way"
                self._drop()
                continue
            if answer.status == 408:
                self._drop()
                why = "it did not get the whole request in time"
                continue
            why = _REFUSED.get(answer.status, f"it answered {answer.status} {answer.reason}")
            if answer.status not in _REFUSED:
                doubt = doubt or why
            break
        self.close()
        costs.failures += 1
        if doubt:
            raise NoAnswer(f"{self._where}: {why}")
        raise NotSent(f"{self._where}: {why}")

    def close(self) -> None:
        self._drop()

    def _connected(self, until: float) -> http.client.HTTPConnection:
        """Raises OSError."""
        now = time.monotonic()
        connection = self._connection
        if connection is not None and (now - self._used_at > IDLE_SECONDS or _has_ended(connection.sock)):
            self._drop()
            connection = None
        if connection is None:
            connection = open_connection(self._access.url, self._access.pin)
            connection.timeout = max(0.05, min(CONNECT_SECONDS, until - now))
            connection.connect()
            self._connection = connection
        connection.sock.settimeout(max(0.05, until - time.monotonic()))
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


#: Answers after which nothing was carried out, of this request or of the one that it repeats, in words.
_REFUSED = {
    400: "it could not read the request",
    401: "it does not know this token, or has no such vault",
    404: "it has no such address: it may be no vault server",
    410: "it does not remember this link",
    413: "the request is longer than it takes",
    429: "it is asked too much at a time",
}


def join(url: str, pin: bytes, secret: bytes, installation: bytes, token: bytes) -> None:
    """Redeem a code for an installation, whose token has this digest. Raises NotSent, NoAnswer."""
    body = json.dumps({"installation": installation.hex(), "token": token.hex()}).encode()
    where = urlsplit(url).netloc
    connection = open_connection(url, pin)
    connection.timeout = ANSWER_SECONDS
    try:
        headers = {
            "Authorization": f"Bearer {secret.hex()}",
            "Content-Type": "application/json",
            DIGEST: content_digest(body),
        }
        connection.request("POST", f"{urlsplit(url).path}/join", body, headers)
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise NotSent(f"{where} cannot be reached: {_why(error)}") from error
    try:
        answer = connection.getresponse()
        answer.read(MAX_JOIN_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{where} did not answer: {_why(error)}") from error
    finally:
        connection.close()
    if answer.status == 401:
        raise NotSent(f"{where} does not take this code: it was used, is too old, or is another installation's")
    if answer.status != 200:
        raise NoAnswer(f"{where} answered {answer.status} {answer.reason}")


def _has_ended(sock: socket.socket | None) -> bool:
    """Whether something came that nobody asked for: the end, mostly."""
    return sock is None or bool(select.select([sock], [], [], 0)[0])


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return error.args[-1] if error.args else "TLS failed"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
