"""Unix sockets: messages with their length before them, addresses of any length, and who is at the other end.

length   4 bytes, big-endian
payload  `length` bytes
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator

#: Whether somebody serves at an address is asked for so long.
PROBE_SECONDS = 10.0
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
