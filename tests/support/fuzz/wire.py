"""Requests of the fuzz over a real connection, written byte by byte: a library would put right what is to be wrong."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import socket
from collections.abc import Iterator

from tests.support.fuzz.judge import Got
from tests.support.fuzz.requests import Asked

#: A hang, by any measure: what the service itself waits for ends long before.
WAIT_SECONDS = 150.0
#: Headers that decide where a message ends, and those that decide what becomes of its connection.
_FRAMING = frozenset(("content-length", "transfer-encoding"))
_PASSING = frozenset(("connection", "upgrade", "expect", "te", "host"))


class Hung(AssertionError):
    """No answer, and no end of the connection either."""


class Wire:
    """One keep-alive connection, opened again as often as it is closed."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._port = port
        self._logins = {
            "me": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(),
            "wrong": "Basic " + base64.b64encode(f"{user}:not {password}".encode()).decode(),
            "odd": "Basic \xff",
        }
        self._socket: socket.socket | None = None
        self.closed_without_answer = 0
        self.refused_by_server = 0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, asked: Asked) -> Got | None:
        """The answer; None where the connection was closed instead, or HTTP itself was refused. Raises Hung."""
        names = {name.lower() for name in asked.headers}
        apart = not names.isdisjoint(_FRAMING | _PASSING)
        if apart:
            self.close()
        try:
            # No method that changes anything does so before its body is whole: the sender may say that no more comes.
            got = self._answer(asked, half_closed=not names.isdisjoint(_FRAMING))
        except TimeoutError as error:
            raise Hung(str(asked)) from error
        except (OSError, http.client.HTTPException):
            self.close()
            self.closed_without_answer += 1
            return None
        if apart:
            self.close()
        if got.status in (400, 414, 431, 417) and not got.body:
            self.close()
            self.refused_by_server += 1
            return None
        return got

    def _answer(self, asked: Asked, *, half_closed: bool) -> Got:
        connection = self._open()
        with _while_it_is_taken():
            connection.sendall(self.written(asked))
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection, method=asked.method)
        answer.begin()
        body = answer.read()
        if answer.will_close:
            self.close()
        return Got(answer.status, answer.getheaders(), body)

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_SECONDS)
        return self._socket

    def written(self, asked: Asked) -> bytes:
        """A request as it goes over the wire."""
        lines = [f"{asked.method} {asked.target} HTTP/1.1"]
        headers = {"Host": f"127.0.0.1:{self._port}"}
        if asked.login in self._logins:
            headers["Authorization"] = self._logins[asked.login]
        chunked = asked.chunked and not any(name.lower() in _FRAMING for name in asked.headers)
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif asked.body:
            headers["Content-Length"] = str(len(asked.body))
        headers |= {name: value for name, value in asked.headers.items() if all(ord(c) < 256 for c in value)}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        body = b"".join(_chunks(asked.body)) if chunked else asked.body
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def raw(self, data: bytes) -> bytes:
        """Send bytes that may be no HTTP at all, and nothing more; what came back until the end. Raises Hung."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_SECONDS) as connection:
            try:
                with _while_it_is_taken():
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65536), b""))
            except ConnectionResetError:
                return b""
            except TimeoutError as error:
                raise Hung(repr(data[:2000])) from error


@contextlib.contextmanager
def _while_it_is_taken() -> Iterator[None]:
    """A refusal may come, and the connection go, before all has been sent."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
            raise


def heard(asked: Asked) -> Asked:
    """A request as the HTTP server understands it: what follows a `#` is no part of a target, and is dropped unseen."""
    return asked._replace(target=asked.target.partition("#")[0])


def _chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 4000):
        piece = body[start : start + 4000]
        yield b"%x;a=b\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\nX-Trailer: 1\r\n\r\n"
