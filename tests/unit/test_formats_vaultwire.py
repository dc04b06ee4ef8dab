"""What goes between a vault's server and its clients: it comes back as it was, and what is none is told."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.formats import vaultwire
from safehold.formats.vaultwire import (
    Append,
    Bytes,
    Facts,
    Finish,
    Flag,
    Folders,
    Get,
    Hello,
    List,
    Names,
    Number,
    Objects,
    Piece,
    Put,
    Refusal,
    Size,
    Welcome,
)
from safehold.model.errors import Damaged

names = st.text(max_size=vaultwire.MAX_NAME_BYTES)
places = st.integers(0, (1 << 63) - 1)
requests = st.one_of(
    st.builds(Hello, st.integers(0, 100)),
    st.builds(Size, names),
    st.builds(Get, names, places, st.integers(0, vaultwire.MAX_DATA_BYTES)),
    st.builds(Folders, names),
    st.builds(List, names, names),
    st.builds(Append, names, places, st.binary(max_size=100)),
    st.builds(Put, names),
    st.builds(Piece, st.binary(max_size=100)),
    st.just(Finish()),
    st.just(vaultwire.Look()),
    st.just(vaultwire.About()),
)
answers = st.one_of(
    st.builds(Welcome, st.integers(0, 100), st.binary(max_size=16)),
    st.builds(Flag, st.booleans()),
    st.builds(Number, st.none() | places),
    st.builds(Bytes, st.binary(max_size=100)),
    st.builds(Names, st.lists(names, max_size=3)),
    st.builds(Objects, st.lists(st.tuples(names, places), max_size=3), st.booleans()),
    st.builds(Facts, st.dictionaries(names, st.none() | st.text(max_size=5) | places, max_size=3)),
    st.builds(Refusal, st.sampled_from(sorted(vaultwire.ERRORS)), names, names),
)


@given(requests)
def test_requests_come_back(request_: vaultwire.Request) -> None:
    assert vaultwire.parse_request(vaultwire.encode(request_)) == request_


@given(answers)
def test_answers_come_back(answer: vaultwire.Answer) -> None:
    assert vaultwire.parse_answer(vaultwire.encode(answer)) == answer


@given(st.binary(max_size=200))
def test_rubbish_is_told(data: bytes) -> None:
    for parse in (vaultwire.parse_request, vaultwire.parse_answer):
        try:
            message = parse(data)
        except Damaged:
            continue
        assert vaultwire.encode(message)


@given(requests, st.integers(0, 300), st.integers(1, 255))
def test_a_damaged_request_is_told_or_another_request(request_: vaultwire.Request, place: int, flip: int) -> None:
    data = bytearray(vaultwire.encode(request_))
    data[place % len(data)] ^= flip
    with contextlib.suppress(Damaged):
        assert vaultwire.encode(vaultwire.parse_request(bytes(data)))


@pytest.mark.parametrize(
    "bad",
    [
        ["Remove", "log/x"],
        ["Rename", "a", "b"],
        ["Size", "x" * (vaultwire.MAX_NAME_BYTES + 1)],
        ["Size", 7],
        ["Get", "a", -1, 1],
        ["Get", "a", 0, vaultwire.MAX_DATA_BYTES + 1],
        ["Append", "a", 1 << 63, b""],
        ["Append", "a", -5, b""],
        ["Hello"],
        {"Hello": 1},
        [],
        None,
        [[[[[[]]]]]],
    ],
)
def test_what_is_no_request(bad: object) -> None:
    with pytest.raises(Damaged):
        vaultwire.parse_request(msgspec.msgpack.encode(bad))


def test_no_request_overwrites_shortens_or_removes_what_is_sound() -> None:
    """I54: whoever adds one has to explain it here. Mend takes the place of what is damaged alone (I112)."""
    sorts = {sort.__name__ for sort in vaultwire.Request.__args__}
    looking = {"Hello", "Look", "Size", "Get", "Folders", "List", "About"}
    assert sorts - looking == {"Append", "Put", "Mend", "Piece", "Finish"}
