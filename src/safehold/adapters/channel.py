"""The local channel: a Unix socket over which a command hands its change to the running `serve`.

One connection carries one request and one answer, each as

    length   4 bytes, big-endian
    payload  `length` bytes

Who may speak: the socket file has mode 0600, and the kernel must name the same user (or root) as the peer.
"""

from __future__ import annotations

import logging
import os
import socket

from safehold.adapters.unix_socket import SocketServer, peer_uid, receive, send, short_address
from safehold.ports.world import Handler

_log = logging.getLogger("safehold.channel")

#: A request or answer may be this long. A vCard is at most some megabytes, a photo travels as a blob.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
#: How long a client waits for its answer; a commit waits for the vaults' disks.
ANSWER_SECONDS = 60.0
#: How long a client may take to bring its request.
REQUEST_SECONDS = 10.0
MAX_CONNECTIONS = 16


class NobodyListens(ConnectionError):
    """The request has reached nobody, so that it may be sent again."""


class UnixChannel:
    """`ports.world.Channel`: the asking side. An address is the path of a socket."""

    def __init__(self, *, timeout_seconds: float = ANSWER_SECONDS, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._timeout = timeout_seconds
        self._limit = max_message_bytes

    def request(self, address: str, payload: bytes) -> bytes:
        """Raises NobodyListens; ConnectionError where the answer does not come, or a message is too long."""
        if len(payload) > self._limit:
            raise ConnectionError(f"a request of {len(payload)} bytes is over the limit of {self._limit}")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, short_address(address) as short:
                sock.settimeout(self._timeout)
                try:
                    sock.connect(short)
                except (FileNotFoundError, ConnectionRefusedError) as error:
                    raise NobodyListens(f"nobody listens at {address}") from error
                send(sock, payload)
                return receive(sock, self._limit)
        except ConnectionError:
            raise
        except OSError as error:
            raise ConnectionError(f"no answer at {address}: {error}") from error


class ChannelServer:
    """The answering side: `handler` is called in a thread of its own for each connection, several at a time.

    A handler that raises is logged, and its client gets no answer.
    """

    def __init__(
        self,
        address: str,
        handler: Handler,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self.address = address
        self._handler = handler
        self._limit = max_message_bytes
        self._request_seconds = request_seconds
        self._server = SocketServer(address, self._answer, name="channel", log=_log, most=MAX_CONNECTIONS)

    def start(self) -> None:
        """Listen. A socket that nobody serves is replaced; raises FileExistsError where somebody does."""
        self._server.start()

    def stop(self) -> None:
        """Take no more requests, let the running ones end, remove the socket."""
        self._server.stop()

    def _answer(self, connection: socket.socket) -> None:
        uid = peer_uid(connection)
        if uid is not None and uid not in (os.geteuid(), 0):
            _log.warning("user %d was refused at the channel", uid)
            return
        connection.settimeout(self._request_seconds)
        answer = self._handler(receive(connection, self._limit))
        assert len(answer) <= self._limit
        send(connection, answer)
