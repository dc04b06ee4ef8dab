"""Unix sockets: messages with their length before them, addresses of any length, who is at the other end, and serving.

length   4 bytes, big-endian
payload  `length` bytes
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator

#: Whether somebody serves at an address is asked for so long.
PROBE_SECONDS = 10.0
_RETRY_ACCEPT_SECONDS = 0.2
#: `sun_path` holds 108 bytes on Linux, 104 elsewhere.
_MAX_ADDRESS_BYTES = 100
_LENGTH = struct.Struct(">I")
_CREDENTIALS = struct.Struct("3i")


def peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end as the kernel knows it; None where the system does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return int(uid)


def send(sock: socket.socket, payload: bytes) -> None:
    """Raises OSError where not all of it could be sent."""
    sock.sendall(_LENGTH.pack(len(payload)) + payload)


def receive(sock: socket.socket, limit: int) -> bytes:
    """Raises OSError; ConnectionError where the other side ended, or sends more than the limit."""
    (count,) = _LENGTH.unpack(_receive_exactly(sock, _LENGTH.size))
    if count > limit:
        raise ConnectionError(f"a message of {count} bytes is over the limit of {limit}")
    return _receive_exactly(sock, count)


def _receive_exactly(sock: socket.socket, count: int) -> bytes:
    buffer = bytearray()
    while len(buffer) < count:
        part = sock.recv(min(count - len(buffer), 1 << 20))
        if not part:
            raise ConnectionError("the connection ended within a message")
        buffer += part
    return bytes(buffer)


def remove_stale(address: str) -> None:
    """Remove a socket that nobody serves. Raises FileExistsError where somebody does, or it is no socket."""
    try:
        if not stat.S_ISSOCK(os.stat(address).st_mode):
            raise FileExistsError(f"{address} is in the way and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, short_address(address) as short:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(short)
        except ConnectionRefusedError:
            os.unlink(address)
            return
    raise FileExistsError(f"somebody serves at {address} already")


@contextlib.contextmanager
def short_address(address: str) -> Iterator[str]:
    """The address in a form that fits a socket address, however deep its folder lies."""
    if len(os.fsencode(address)) <= _MAX_ADDRESS_BYTES:
        yield address
        return
    folder, name = os.path.split(address)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


class SocketServer:
    """Listens at an address and has `serve` called for each connection, in a thread of its own, several at a time.

    What `serve` raises is logged. Beyond `most` connections at a time, one waits for another to end, or with `refuse`
    is closed. In the end, connections are let come to theirs; with `stop_seconds` those that hang are left.
    """

    def __init__(
        self,
        address: str,
        serve: Callable[[socket.socket], None],
        *,
        name: str,
        log: logging.Logger,
        most: int,
        mode: int = 0o600,
        group: int | None = None,
        refuse: bool = False,
        stop_seconds: float | None = None,
    ) -> None:
        """`name` is that of the threads; `mode` and `group` are the socket's file's."""
        self.address = address
        self._work = serve
        self._name = name
        self._log = log
        self._most = most
        self._mode = mode
        self._group = group
        self._refuse = refuse
        self._stop_seconds = stop_seconds
        self._slots = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._inode = 0

    def start(self) -> None:
        """Listen. A socket that nobody serves is replaced; raises FileExistsError where somebody does, OSError."""
        remove_stale(self.address)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_address(self.address) as short:
                listener.bind(short)
            # Until `listen` nobody can connect, so nobody gets in between bind and chmod.
            if self._group is not None:
                os.chown(self.address, -1, self._group)
            os.chmod(self.address, self._mode)
            self._inode = os.stat(self.address).st_ino
            listener.listen(self._most)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), name=self._name, daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Take no more, let what runs end, remove the socket."""
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
        self._accepting.join(self._stop_seconds)
        listener.close()
        with self._lock:
            running = dict(self._connections)
        patience = None
        if self._stop_seconds is not None:
            patience = self._stop_seconds / max(1, len(running))
            for connection in running:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)  # no more requests; the answer under way still goes out
        for thread in running.values():
            thread.join(patience)

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if not self._stopping.wait(_RETRY_ACCEPT_SECONDS):  # no descriptors left, say
                    self._log.warning("no connection could be taken at %s: %s", self.address, error)
                continue
            if not self._slots.acquire(blocking=not self._refuse):
                self._log.warning("a connection was refused: there are %d already", self._most)
                connection.close()
                continue
            thread = threading.Thread(
                target=self._serve, args=(connection,), name=f"{self._name}-connection", daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._work(connection)
        except OSError as error:
            self._log.info("a connection at %s was broken off: %s", self.address, error)
        except Exception:
            self._log.exception("a request at %s failed", self.address)
        finally:
            self._slots.release()
            with self._lock:
                self._connections.pop(connection, None)
