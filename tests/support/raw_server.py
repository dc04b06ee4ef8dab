"""A server on this machine that answers requests with whatever bytes a test wants: a hostile store."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

#: Gets the connection and the head of each request on it; False ends the connection.
Answer = Callable[[socket.socket, str], bool]


class RawServer:
    """`requests` are the first lines of what was asked, in order."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while head := _head(client):
                self.requests.append(head.partition("\r\n")[0])
                if not self._answer(client, head):
                    return

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _head(client: socket.socket) -> str:
    """The head of the next request, once its body was read too; "" at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(1 << 16)
        if not more:
            return ""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    text = head.decode("latin-1")
    lengths = [int(line.partition(":")[2]) for line in text.split("\r\n") if line.lower().startswith("content-length:")]
    missing = sum(lengths) - len(rest)
    while missing > 0 and (more := client.recv(1 << 16)):
        missing -= len(more)
    return text


def answer_text(body: str, status: str = "200 OK", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@contextmanager
def raw_server(answer: Answer) -> Iterator[RawServer]:
    server = RawServer(answer)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.close()
