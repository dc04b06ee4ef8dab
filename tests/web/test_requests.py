"""What a request may cost: time without a word, memory for bodies, answers that nobody waits for any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import pytest

from safehold.model.errors import Held
from safehold.web import dav_propfind, dav_sync
from safehold.web import request as requests
from safehold.web.request import LINGER_BYTES, SMALL_BYTES, Request, Room, Stalled
from safehold.web.respond import Reply, send_reply
from tests.support.asgi import CARD, DECLARED, Device, vcard

BOOK = "/dav/anna/contacts/default/"
Message = MutableMapping[str, Any]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits longer than it takes to look."""
    monkeypatch.setattr(requests, "STALL_SECONDS", 0)
    monkeypatch.setattr(requests, "ROOM_SECONDS", 0)
    yield


def body_of(*chunks: bytes) -> Callable[[], Awaitable[Message]]:
    """A client that sends these pieces of a body of unknown length."""
    left = list(chunks)

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


def asked(room: Room, *chunks: bytes, length: int | None = None) -> Request:
    headers = [] if length is None else [(b"content-length", b"%d" % length)]
    scope = {"method": "PUT", "path": "/dav/", "raw_path": b"/dav/", "headers": headers, "client": None}
    return Request(scope, body_of(*chunks), room)


# -- bodies that do not come ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("method", "path"), [("PUT", "/dav/"), ("PUT", "/dav/anna/files/photos/x"), ("POST", "/api/")])
def test_a_body_of_which_nothing_comes_is_given_up(device: Device, method: str, path: str) -> None:
    path = {"/dav/": BOOK + "a.vcf", "/api/": "/api/v1/scores/x"}.get(path, path)
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    assert device.authorization is not None
    headers = [(b"authorization", device.authorization.encode()), (b"content-length", b"100")]
    scope = {
        "scheme": "http",
        "root_path": "",
        "query_string": b"",
        "client": None,
        "server": ("pim.example", 80),
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "headers": [*headers, (b"content-type", CARD.encode())],
    }
    device.loop.run_until_complete(device.app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


class Sender:
    """Who sends a head, and the pieces of its body one by one; `story` tells in which order things went."""

    def __init__(self, device: Device, pieces: list[bytes], headers: dict[str, str]) -> None:
        self.device, self.left, self.headers = device, list(pieces), headers
        self.story: list[str | int] = []

    async def receive(self) -> Message:
        if not self.left:
            await asyncio.Event().wait()
        self.story.append("piece")
        return {"type": "http.request", "body": self.left.pop(0), "more_body": bool(self.left)}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.story.append(message["status"])

    def ask(self, method: str, path: str) -> list[str | int]:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        scope = {"type": "http", "scheme": "http", "root_path": "", "query_string": b"", "client": None}
        scope |= {"method": method, "path": path, "raw_path": path.encode(), "headers": headers}
        self.device.loop.run_until_complete(self.device.app(scope, self.receive, self.send))
        return self.story


@pytest.mark.parametrize(
    ("path", "status"), [("/.well-known/caldav", 301), ("/dav/", 401), ("/nothing", 404), ("//", 400)]
)
def test_an_answer_that_needs_no_body_waits_for_a_small_one(device: Device, path: str, status: int) -> None:
    """Phones ask without credentials first: an answer that closes the connection in their middle never reaches them."""
    for headers in ({"content-length": "4"}, {"transfer-encoding": "chunked"}):
        assert Sender(device, [b"<a", b"/>"], headers).ask("PROPFIND", path) == ["piece", "piece", status]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-length": "0"},
        {"content-length": "4", "expect": "100-continue"},
        {"content-length": str(LINGER_BYTES + 1)},
        {"content-length": "9" * 5000},
    ],
    ids=["none", "empty", "expecting", "large", "endless"],
)
def test_an_answer_waits_for_no_other_body(device: Device, headers: dict[str, str]) -> None:
    assert Sender(device, [], headers).ask("PROPFIND", "/dav/") == [401]


def test_no_more_is_read_of_a_body_without_a_length_than_of_others(device: Device) -> None:
    quarter = b"x" * (LINGER_BYTES // 4)
    story = Sender(device, [quarter] * 9, {"transfer-encoding": "chunked"}).ask("PUT", BOOK + "a.vcf")
    assert story == ["piece"] * 4 + [401]


def test_an_answer_does_not_wait_for_long(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "LINGER_SECONDS", 0)
    assert Sender(device, [], {"content-length": "4"}).ask("PROPFIND", "/dav/") == [401]


def test_two_ways_to_tell_the_length_are_refused(device: Device) -> None:
    answer = device.ask("PUT", BOOK + "a.vcf", vcard("a"), {"Transfer-Encoding": "chunked", "Content-Type": CARD})
    assert answer.status == 400
    assert device.ask("GET", BOOK + "a.vcf").status == 404


# -- room for bodies -----------------------------------------------------------------------------------------------


def test_large_bodies_take_room_and_give_it_back() -> None:
    room = Room(10 * SMALL_BYTES)
    large, small = b"x" * (SMALL_BYTES + 1), b"x" * SMALL_BYTES

    async def run() -> None:
        for request, taken in (
            (asked(room, small), 0),
            (asked(room, large, length=len(large)), len(large)),
            (asked(room, small, small), 3 * SMALL_BYTES),  # nobody knows how long it will be
        ):
            assert len(await request.read(3 * SMALL_BYTES)) > 0
            assert room.free == room.size - taken
            request.release()
            request.release()
            assert room.free == room.size

    asyncio.run(run())


def test_who_finds_no_room_waits_for_it_in_turn() -> None:
    room = Room(10)
    order: list[str] = []

    async def take(name: str, count: int) -> None:
        taken = await room.take(count)
        order.append(name)
        await asyncio.sleep(0)
        room.give_back(taken)

    async def run() -> None:
        first = await room.take(8)
        tasks = [asyncio.create_task(take(name, count)) for name, count in (("large", 99), ("small", 1), ("two", 2))]
        gone = asyncio.create_task(take("gone", 5))
        await asyncio.sleep(0)
        assert order == [], "a small one does not pass a large one, or that would wait for ever"
        gone.cancel()
        room.give_back(first)
        await asyncio.gather(*tasks)
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert room.free == room.size

    asyncio.run(run())
    assert order == ["large", "small", "two"]


@pytest.mark.usefixtures("impatient")
def test_no_room_for_long_is_503() -> None:
    room = Room(10)

    async def run() -> None:
        taken = await room.take(10)
        with pytest.raises(Held):
            await room.take(1)
        room.give_back(taken)
        assert room.free == room.size
        await room.take(10)

    asyncio.run(run())


def with_rooms(device: Device) -> tuple[Device, list[Room]]:
    """The same device before an application of its own, and the rooms of that."""
    rooms: list[Room] = []
    make = Room.__init__

    def seen(room: Room, *args: int) -> None:
        make(room, *args)
        rooms.append(room)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Room, "__init__", seen)
        return Device(device.gate), rooms


def test_the_room_is_free_again_after_every_answer(device: Device) -> None:
    again, rooms = with_rooms(device)
    card = vcard("a", extra="NOTE:" + "x" * 100_000 + "\r\n")
    assert again.put(BOOK + "a.vcf", card).status == 201
    assert again.put(BOOK + "b.vcf", card).status == 409
    assert again.put(BOOK + "c.vcf", b"x" * 100_000).status == 403
    assert again.ask("PUT", BOOK + "d.vcf", chunks=[card], gone=True).status == 400
    assert again.multiget(BOOK, [BOOK + "a.vcf"] * 3000, prop="<D:getetag/>").status == 207
    assert [room.free for room in rooms] == [room.size for room in rooms]
    again.loop.close()


@pytest.mark.usefixtures("impatient")
def test_listings_without_room_are_held_and_changes_are_not(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dav_propfind, "INLINE_ITEMS", -1)
    monkeypatch.setattr(dav_sync, "INLINE_ITEMS", -1)
    again, (_, listings) = with_rooms(device)
    listings.free = 0
    assert again.propfind(BOOK, depth="1").status == 503
    assert again.sync(BOOK).status == 503
    assert again.propfind(BOOK, depth="0").status == 207
    assert again.put(BOOK + "a.vcf", vcard("a", extra="NOTE:" + "x" * 100_000 + "\r\n")).status == 201
    listings.give_back(listings.size)
    assert again.propfind(BOOK, depth="1").status == 207
    assert again.sync(BOOK).status == 207
    assert listings.free == listings.size
    again.loop.close()


# -- answers -------------------------------------------------------------------------------------------------------


def test_no_more_is_made_of_an_answer_than_somebody_waits_for() -> None:
    made: list[int] = []
    closed: list[bool] = []
    leave = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            for number in range(1000):
                made.append(number)
                yield b"x"
        finally:
            closed.append(True)

    async def receive() -> Message:
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if len(made) == 3:
            leave.set()
        await asyncio.sleep(0)

    asyncio.run(send_reply(send, Reply(200, [], chunks=chunks()), receive))
    assert len(made) < 10
    assert closed == [True]


@pytest.mark.usefixtures("impatient")
def test_an_answer_of_which_nothing_is_taken_is_given_up() -> None:
    closed: list[bool] = []

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"x"
            raise AssertionError
        finally:
            closed.append(True)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    with pytest.raises(Stalled):  # the server breaks the connection off: nobody takes it for the whole
        asyncio.run(send_reply(send, Reply(200, [], chunks=chunks())))
    assert closed == [True]


def test_hrefs_beyond_number_and_bodies_beyond_use_are_refused(device: Device) -> None:
    assert device.ask("REPORT", BOOK, f"<x {DECLARED}>{'<D:href/>' * 250_001}</x>").status == 413
    attributes = "".join(f" a{n}='1'" for n in range(250_001))
    assert device.ask("REPORT", BOOK, f"<x {DECLARED}{attributes}/>").status == 413
    for method in ("PROPFIND", "PROPPATCH", "MKCALENDAR", "MKCOL"):
        assert device.ask(method, "/dav/anna/calendars/x", b" " * (1 << 20) + b" <a/>").status == 413
