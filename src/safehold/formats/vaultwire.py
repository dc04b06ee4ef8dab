"""What goes between a vault's server and its clients: one answer for each request, in order, over one connection.

Each message is msgpack: an array whose first member names its sort. A request is bounded by MAX_REQUEST_BYTES, an
answer by MAX_ANSWER_BYTES; how messages are told apart is the connection's business.

    Hello                             Welcome      first of all
    Size, Get, Folders, Look          Number, Bytes, Names, Flag
    List                              Objects      up to MAX_LISTED, those after `after`; `more`: ask again
    Append                            Flag         once it is synced
    Put, Piece …, Finish              Flag         False: the name is taken; Put: nothing need be sent, Finish: by now
    Mend, Piece …, Finish             Flag         False: nothing bears the name, so that it is to be put
    About                             Facts        what the server says of itself: room, device, user
    anything                          Refusal      `error` is a key of ERRORS

A put belongs to its connection: one that breaks leaves nothing behind. There is no request that overwrites, shortens
or removes what is sound (I54). `Mend` puts a sound object in the place of a damaged one, for a keeper's token alone
(I112); what was there is set aside.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safehold.model.errors import Damaged

VERSION = 1
#: Of an append, and of a piece of an object that is put or got; what is longer goes in several.
MAX_DATA_BYTES = 4 * 1024 * 1024
MAX_REQUEST_BYTES = MAX_DATA_BYTES + 4096
MAX_ANSWER_BYTES = MAX_DATA_BYTES + 4096
MAX_LISTED = 1000
MAX_NAME_BYTES = 255


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class Hello(_Message, frozen=True):
    version: int


class Look(_Message, frozen=True):
    """Whether the vault is there and bears its mark."""


class Size(_Message, frozen=True):
    name: str


class Get(_Message, frozen=True):
    name: str
    offset: int
    count: int


class Folders(_Message, frozen=True):
    prefix: str


class List(_Message, frozen=True):
    prefix: str
    after: str


class Append(_Message, frozen=True):
    name: str
    expected: int
    data: bytes


class Put(_Message, frozen=True):
    name: str


class Mend(_Message, frozen=True):
    name: str


class Piece(_Message, frozen=True):
    data: bytes


class Finish(_Message, frozen=True):
    pass


class About(_Message, frozen=True):
    pass


Request = Hello | Look | Size | Get | Folders | List | Append | Put | Mend | Piece | Finish | About


class Welcome(_Message, frozen=True):
    version: int
    installation: bytes  # b"" where the vault's mark cannot be read


class Flag(_Message, frozen=True):
    value: bool


class Number(_Message, frozen=True):
    value: int | None


class Bytes(_Message, frozen=True):
    value: bytes


class Names(_Message, frozen=True):
    value: list[str]


class Objects(_Message, frozen=True):
    value: list[tuple[str, int]]
    more: bool


class Facts(_Message, frozen=True):
    value: dict[str, Any]


class Refusal(_Message, frozen=True):
    error: str
    message: str
    hint: str = ""


Answer = Welcome | Flag | Number | Bytes | Names | Objects | Facts | Refusal

#: What a refusal can be, with what it says of what was asked for.
ERRORS = {
    "down": "the vault cannot be used; nothing was done",
    "full": "no room; a torn part may be there",
    "suspect": "a sync failed: it may or may not be there",
    "length": "the object has another length, or the log has what this would make void",
    "missing": "there is no such object",
    "refused": "not allowed here; nothing was done",
}

_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


def encode(message: Request | Answer) -> bytes:
    return _encode(message)


def is_change(message: bytes) -> bool:
    """Whether an encoded request adds something: by its sort, which comes after two bytes of headers."""
    return message[2:].startswith((b"Append", b"Put", b"Mend", b"Piece", b"Finish"))


def parse_request(data: bytes) -> Request:
    """Raises Damaged where it is none, or out of bounds."""
    try:
        request: Request = _decode_request(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"this is no request to a vault: {error}") from None
    for name in (getattr(request, field, "") for field in ("name", "prefix", "after")):
        if len(name) > MAX_NAME_BYTES:
            raise Damaged(f"a name of {len(name)} characters is over the limit of {MAX_NAME_BYTES}")
    for number in (getattr(request, field, 0) for field in ("offset", "count", "expected")):
        if not 0 <= number < 1 << 63:
            raise Damaged(f"{number} is neither a place nor a length")
    if isinstance(request, Get) and request.count > MAX_DATA_BYTES:
        raise Damaged(f"{request.count} bytes at once are over the limit of {MAX_DATA_BYTES}")
    return request


def parse_answer(data: bytes) -> Answer:
    """Raises Damaged where it is none."""
    try:
        answer: Answer = _decode_answer(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"this is no answer of a vault: {error}") from None
    return answer
