"""A store that answers more than was asked, or nothing: what it can cost, and what is sent to it twice."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from safehold.adapters import s3_requests
from safehold.adapters.objectstore import S3ObjectStore, S3Settings
from safehold.adapters.s3_requests import SignedClient
from safehold.ports.objectstore import Costs, Put, Stored, StoreError, StoreFull, StoreUnanswered
from tests.support.raw_server import RawServer, answer_text, raw_server

PLAIN = answer_text("<VersioningConfiguration/>")
#: What is sent in one piece, and how many of them before a test fails: far more than any answer may have.
PIECE, PIECES = bytes(1 << 20), 256


class Flood:
    """Answers what is not the question for versions with a body that does not end."""

    def __init__(self, head: str) -> None:
        self.head = head
        self.sent = 0
        self.ended = threading.Event()

    def __call__(self, client: socket.socket, asked: str) -> bool:
        if "?versioning" in asked:
            client.sendall(PLAIN)
            return True
        chunked = "chunked" in self.head
        with suppress(OSError):
            client.sendall(f"HTTP/1.1 {self.head}\r\n\r\n".encode())
            for _ in range(PIECES):
                client.sendall(b"100000\r\n" + PIECE + b"\r\n" if chunked else PIECE)
                self.sent += len(PIECE)
        self.ended.set()
        return False


def settings(server: RawServer) -> S3Settings:
    return S3Settings(server.endpoint, "us-east-1", "b", "key", "secret")


@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content", "404 Not Found", "403 Forbidden"])
@pytest.mark.parametrize("framing", ["Content-Length: 1000000000000", "Transfer-Encoding: chunked", "X-None: 1"])
@pytest.mark.parametrize("asked", ["get", "put"])
def test_an_answer_that_does_not_end_is_not_read(status: str, framing: str, asked: str) -> None:
    flood = Flood(f"{status}\r\n{framing}\r\nETag: x\r\nContent-Range: bytes 0-2/10")
    with raw_server(flood) as server:
        store = S3ObjectStore(settings(server))
        with pytest.raises(StoreError, match="more than") as caught:
            store.get(Stored("x", 10), 0, 3) if asked == "get" else store.put("x", b"x")
        assert flood.ended.wait(30)
        assert isinstance(caught.value, StoreUnanswered) == (asked == "put")
    assert flood.sent < 48 * len(PIECE)


@pytest.mark.parametrize("framing", ["Content-Length: 1000000000000", "Transfer-Encoding: chunked", "X-None: 1"])
def test_a_listing_that_does_not_end_is_not_read(framing: str) -> None:
    flood = Flood(f"200 OK\r\n{framing}")
    with raw_server(flood) as server:
        with pytest.raises(StoreError, match="more than"):
            list(S3ObjectStore(settings(server)).list("x"))
        assert flood.ended.wait(30)
    assert flood.sent < 64 * len(PIECE)


def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_requests, "ANSWER_SECONDS", 0.3)
    done = threading.Event()

    def trickle(client: socket.socket, asked: str) -> bool:
        with suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not done.wait(0.02):
                client.sendall(b".")
        return False

    with raw_server(trickle) as server:
        client = SignedClient(settings(server), Costs())
        with pytest.raises(StoreError, match="not whole after"):
            client.request("GET", again=False)
        done.set()


class Hangs:
    """Answers one request well, and ends the connection at the next, as if it had been idle too long."""

    def __init__(self, good: bytes = PLAIN) -> None:
        self.good = good
        self.served = 0

    def __call__(self, client: socket.socket, asked: str) -> bool:
        self.served += 1
        if self.served == 2:
            return False
        client.sendall(self.good)
        return True


@pytest.mark.parametrize(("method", "again", "sent"), [("GET", True, 3), ("PUT", True, 3), ("POST", False, 2)])
def test_only_what_may_be_done_twice_is_sent_twice(method: str, again: bool, sent: int) -> None:
    """An idle connection that ends may have brought the request there: the end of an upload is not sent once more."""
    with raw_server(Hangs()) as server:
        client = SignedClient(settings(server), Costs())
        assert client.request("GET").good
        if again:
            assert client.request(method, "x", again=True).good
        else:
            with pytest.raises(StoreUnanswered):
                client.request(method, "x", again=False)
        assert len(server.requests) == sent


def test_the_end_of_an_upload_goes_over_a_connection_of_its_own() -> None:
    """So that one that was ended long ago costs nothing."""
    asked: list[str] = []

    def answer(client: socket.socket, head: str) -> bool:
        line = head.partition("\r\n")[0]
        asked.append(line)
        if "?versioning" in line:
            client.sendall(PLAIN)
        elif "uploads" in line:
            client.sendall(answer_text("<X><UploadId>u</UploadId></X>"))
        else:
            client.sendall(answer_text("<X/>"))
        return "partNumber" not in line  # and then it ends this connection without a word

    with raw_server(answer) as server:
        assert S3ObjectStore(settings(server)).put_large("k", [b"x"]) is Put.DONE
    assert sum("uploadId" in line and line.startswith("POST") for line in asked) == 1


def test_a_key_that_was_put_over_and_over_is_found_in_few_requests() -> None:
    """Whoever may put can heap versions on a key; the first of them is what is looked for."""
    asked: list[str] = []
    count = 5_000

    def answer(client: socket.socket, head: str) -> bool:
        line = head.split(" ")[1]
        if "?versioning" in line:
            client.sendall(answer_text("<V><Status>Enabled</Status></V>"))
            return True
        if "object-lock" in line:
            client.sendall(answer_text("", "404 Not Found"))
            return True
        asked.append(line)
        keys = int(line.partition("max-keys=")[2].partition("&")[0] or 1000)
        start = int(line.partition("version-id-marker=")[2].partition("&")[0] or 0)
        stop = min(start + keys, count)
        entries = "".join(
            f"<Version><Key>k</Key><VersionId>{number}</VersionId><Size>{number}</Size></Version>"
            for number in range(start + 1, stop + 1)
        )
        more = "true" if stop < count else "false"
        markers = f"<NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>{stop}</NextVersionIdMarker>"
        client.sendall(answer_text(f"<L>{entries}<IsTruncated>{more}</IsTruncated>{markers}</L>"))
        return True

    with raw_server(answer) as server:
        found = S3ObjectStore(settings(server)).find("k")
    assert found is not None and found.version == str(count)
    assert "max-keys=10&" in asked[0] and len(asked) <= 7


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (["412 Precondition Failed"], Put.TAKEN),
        (["503 Slow Down", "412 Precondition Failed"], Put.TAKEN),
        (["500 Internal Server Error", "412 Precondition Failed"], Put.UNSURE),
        (["", "412 Precondition Failed"], Put.UNSURE),
        (["", "200 OK"], Put.DONE),
        (["409 Conflict"], StoreUnanswered),
        (["", "403 Forbidden"], StoreUnanswered),
        (["403 Forbidden"], StoreError),
        (["507 Insufficient Storage"], StoreFull),
        (["400 QuotaExceeded"], StoreFull),
        (["500 Internal Server Error"] * s3_requests.TRIES, StoreUnanswered),
        ([""] * s3_requests.TRIES, StoreUnanswered),
    ],
)
def test_what_a_put_came_to(answers: list[str], told: Put | type[StoreError], monkeypatch: pytest.MonkeyPatch) -> None:
    """ "" is no answer at all: it may have been carried out."""
    monkeypatch.setattr(s3_requests, "wait_before_try", lambda _: None)
    left = list(answers)

    def answer(client: socket.socket, head: str) -> bool:
        status = left.pop(0)
        if status:
            code = status.partition(" ")[2]
            client.sendall(answer_text(f"<Error><Code>{code}</Code></Error>", status))
        return bool(status)

    with raw_server(answer) as server:
        store = S3ObjectStore(settings(server))
        if isinstance(told, Put):
            assert store.put(f"x!{507:020d}", b"data") is told
        else:
            with pytest.raises(StoreError) as caught:
                store.put(f"x!{507:020d}", b"data")
            assert type(caught.value) is told
    assert not left
    store = S3ObjectStore(settings(server))
    with pytest.raises(StoreError) as caught:
        store.put("x", b"data")
    assert type(caught.value) is StoreError, "nobody is there, and nothing was sent"
