"""Links to a vault's server over a Unix socket: the client's end, and the server that gives each connection a session.

Who may connect is said by the socket's file (mode and group) and, where `users` are given, by the user that the kernel
names at the other end. The server's own user and root are let in always: they can reach the folder anyway.

Bounds: connections at a time, the size of a message, the time that one may take to arrive once it has begun. A
connection may be idle for ever: a peer that died is noticed by the kernel.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Collection

from safehold.adapters.unix_socket import SocketServer, peer_uid, receive, send, short_address
from safehold.formats.vaultwire import MAX_ANSWER_BYTES, MAX_REQUEST_BYTES
from safehold.ports.link import NoAnswer, NotSent, Session

_log = logging.getLogger("safehold.vault-server")

#: How long a client waits for its answer: an append waits for the server's disk.
ANSWER_SECONDS = 20.0
CONNECT_SECONDS = 3.0
#: How long where it only asks whether somebody is there.
HURRY_SECONDS = 3.0
#: How long a message may take to arrive whole, once it has begun.
MESSAGE_SECONDS = 30.0
MAX_CONNECTIONS = 128
STOP_SECONDS = 10.0
_QUEUE_SECONDS = 0.01
_PEEK = socket.MSG_PEEK


class UnixLink:
    """`ports.link.Link`. Raises NotSent where nobody listens."""

    def __init__(self, address: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._address = address
        self._answer_seconds = answer_seconds
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(min(CONNECT_SECONDS, answer_seconds))
            self._connect(time.monotonic() + CONNECT_SECONDS)
        except OSError as error:
            self._socket.close()
            raise NotSent(f"nobody answers at {address}: {error.strerror or error}") from error

    def _connect(self, until: float) -> None:
        """Where many come at once the server's queue is full for a moment: a socket with a timeout is told at once."""
        with short_address(self._address) as short:
            while True:
                try:
                    self._socket.connect(short)
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(_QUEUE_SECONDS)
                else:
                    return

    def ask(self, request: bytes, *, hurry: bool = False) -> bytes:
        patience = min(self._answer_seconds, HURRY_SECONDS) if hurry else self._answer_seconds
        self._socket.settimeout(patience)
        try:
            send(self._socket, request)
        except OSError as error:
            self.close()
            raise NotSent(f"{self._address} took no request: {error.strerror or error}") from error
        try:
            return receive(self._socket, MAX_ANSWER_BYTES)
        except TimeoutError as error:
            self.close()
            raise NoAnswer(f"{self._address} did not answer in {patience:g} seconds", late=True) from error
        except OSError as error:
            self.close()
            raise NoAnswer(f"{self._address} ended the connection: {error.strerror or error}") from error

    def close(self) -> None:
        self._socket.close()


class LinkServer:
    """Serves sessions at an address, each connection in a thread of its own."""

    def __init__(
        self,
        address: str,
        make_session: Callable[[], Session],
        *,
        mode: int = 0o600,
        group: int | None = None,
        users: Collection[int] | None = None,
        message_seconds: float = MESSAGE_SECONDS,
    ) -> None:
        """`mode` and `group` of the socket's file; `users`: ids that may connect, None for whoever the file lets in."""
        self.address = address
        self._make_session = make_session
        self._users = None if users is None else frozenset((*users, os.geteuid(), 0))
        self._message_seconds = message_seconds
        self._server = SocketServer(
            address,
            self._serve,
            name="vault-server",
            log=_log,
            most=MAX_CONNECTIONS,
            mode=mode,
            group=group,
            refuse=True,
            stop_seconds=STOP_SECONDS,
        )

    def start(self) -> None:
        """Listen. A socket that nobody serves is replaced; raises FileExistsError where somebody does, OSError."""
        self._server.start()

    def stop(self) -> None:
        """Take no more requests, let the running ones end (those that hang are left), remove the socket."""
        self._server.stop()

    def _serve(self, connection: socket.socket) -> None:
        if self._lets_in(connection):
            self._converse(connection, self._make_session())

    def _lets_in(self, connection: socket.socket) -> bool:
        uid = peer_uid(connection)
        if self._users is None or uid is None or uid in self._users:
            return True
        _log.warning("user %d was refused at the vault's server", uid)
        return False

    def _converse(self, connection: socket.socket, session: Session) -> None:
        try:
            while True:
                connection.settimeout(None)
                if not connection.recv(1, _PEEK):
                    return
                connection.settimeout(self._message_seconds)
                answer = session.answer(receive(connection, MAX_REQUEST_BYTES))
                if answer is None:
                    _log.warning("a connection was ended: what came was no request")
                    return
                send(connection, answer)
        finally:
            session.close()
