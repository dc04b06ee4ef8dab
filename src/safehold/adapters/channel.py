"""The local channel: a Unix socket over which a command hands its change to the running `serve`.

One connection carries one request and one answer, each as

    length   4 bytes, big-endian
    payload  `length` bytes

Who may speak: the socket file has mode 0600, and the kernel must name the same user (or root) as the peer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import threading

from safehold.adapters.unix_socket import peer_uid, receive, remove_stale, send, short_address
from safehold.ports.world import Handler

_log = logging.getLogger("safehold.channel")

#: A request or answer may be this long. A vCard is at most some megabytes, a photo travels as a blob.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
#: How long a client waits for its answer; a commit waits for the vaults' disks.
ANSWER_SECONDS = 60.0
#: How long a client may take to bring its request.
REQUEST_SECONDS = 10.0
MAX_CONNECTIONS = 16
RETRY_ACCEPT_SECONDS = 0.2


class UnixChannel:
    """`ports.world.Channel`: the asking side. An address is the path of a socket."""

    def __init__(self, *, timeout_seconds: float = ANSWER_SECONDS, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._timeout = timeout_seconds
        self._limit = max_message_bytes

    def request(self, address: str, payload: bytes) -> bytes:
        """Raises ConnectionError where nobody listens, the answer does not come, or a message is too long."""
        if len(payload) > self._limit:
            raise ConnectionError(f"a request of {len(payload)} bytes is over the limit of {self._limit}")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, short_address(address) as short:
                sock.settimeout(self._timeout)
                sock.connect(short)
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
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._inode = 0

    def start(self) -> None:
        """Listen. A socket that nobody serves is replaced; raises FileExistsError where somebody does."""
        remove_stale(self.address)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_address(self.address) as short:
                listener.bind(short)
            # Until `listen` nobody can connect, so nobody gets in between bind and chmod.
            os.chmod(self.address, stat.S_IRUSR | stat.S_IWUSR)
            self._inode = os.stat(self.address).st_ino
            listener.listen(MAX_CONNECTIONS)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), name="channel", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Take no more requests, let the running ones end, remove the socket."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._stopping.set()
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.address).st_ino == self._inode:
                os.unlink(self.address)
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # ends the accept that is waiting
        assert self._accepting is not None
        self._accepting.join()
        listener.close()
        with self._lock:
            running = list(self._threads)
        for thread in running:
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if not self._stopping.wait(RETRY_ACCEPT_SECONDS):  # no descriptors left, say
                    _log.warning("the channel could not take a connection: %s", error)
                continue
            self._slots.acquire()
            thread = threading.Thread(target=self._serve, args=(connection,), name="channel-request", daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._answer(connection)
        except OSError as error:
            _log.info("a request over the channel was broken off: %s", error)
        except Exception:
            _log.exception("a request over the channel failed")
        finally:
            self._slots.release()
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _answer(self, connection: socket.socket) -> None:
        uid = peer_uid(connection)
        if uid is not None and uid not in (os.geteuid(), 0):
            _log.warning("user %d was refused at the channel", uid)
            return
        connection.settimeout(self._request_seconds)
        answer = self._handler(receive(connection, self._limit))
        assert len(answer) <= self._limit
        send(connection, answer)
