"""Content lines: what is read, what is refused, that folding is undone exactly, and that no body takes long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.lines import FOLD_BYTES, MAX_DEPTH, LineError, fold, lex, parse, parse_params, unfold

MEGABYTE = 1 << 20


def error(body: bytes) -> LineError:
    with pytest.raises(LineError) as caught:
        parse(body)
    return caught.value


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_lines_are_unfolded_and_taken_apart(newline: bytes) -> None:
    raw = newline.join(
        (
            b"BEGIN:VCARD",
            b'item1.TEL;TYPE="work,voice";PREF=1:tel:+1-418;ext=102',
            b"NOTE:one",
            b"  two",
            b"\tthree\xc3",
            b" \xa9",
            b"",
            b"x_lower/name;CELL:",
            b"END:VCARD",
        )
    )
    assert lex(raw) == [
        ("BEGIN", "", "VCARD"),
        ("item1.TEL", ';TYPE="work,voice";PREF=1', "tel:+1-418;ext=102"),
        ("NOTE", "", "one twothreeé"),
        ("x_lower/name", ";CELL", ""),
        ("END", "", "VCARD"),
    ]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert lex(b"\xef\xbb\xbfBEGIN:VCARD\n") == [("BEGIN", "", "VCARD")]


def test_an_unfolded_long_line_is_taken() -> None:
    assert lex(b"PHOTO:" + b"A" * MEGABYTE) == [("PHOTO", "", "A" * MEGABYTE)]


def test_params() -> None:
    assert parse_params(';CN="Doe, J.";type=a,"b;c",d;CELL;X=;N^n=^^') == [
        ("CN", ["Doe, J."]),
        ("TYPE", ["a", "b;c", "d"]),
        ("CELL", []),
        ("X", []),
        ("N^N", ["^^"]),
    ]


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        (b"BEGIN:A\nno colon\nEND:A\n", 2, "no colon"),
        (b"BEGIN:A\n:empty name\nEND:A\n", 2, "no name"),
        (b'BEGIN:A\nX;Y="open:z\nEND:A\n', 2, "quote"),
        (b"BEGIN:A\nX:a\n b\n c\n\nbad\nEND:A\n", 6, "no colon"),
        (b"BEGIN:A\nX:\x00\nEND:A\n", 2, "control character 0x00"),
        (b"BEGIN:A\nX:a\x0bb\nEND:A\n", 2, "control character 0x0b"),
        (b"BEGIN:A\r\nX:a\rb\r\nEND:A\r\n", 2, "carriage return"),
        (b"BEGIN:A\nX:ok\n  folded\nY:\xff\nEND:A\n", 4, "not UTF-8"),
        (b"BEGIN:A\nX:\xef\xbf\xbe\nEND:A\n", 2, "no character"),
        (b"BEGIN:A\nX:1\n", 1, "BEGIN:A has no END"),
        (b"BEGIN:A\nBEGIN:B\nEND:A\n", 3, "END:A stands where END:B should"),
        (b"BEGIN:A\nEND:A\nEND:A\n", 3, "has no BEGIN"),
        (b"X:1\n", 1, "outside of any component"),
        (b"BEGIN:A\nEND:A\nX:1\n", 3, "outside of any component"),
        (b"BEGIN:A\n" * (MAX_DEPTH + 1), MAX_DEPTH + 1, "components within each other"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(body: bytes, line: int, reason: str) -> None:
    found = error(body)
    assert (found.line, reason in found.reason) == (line, True), str(found)


def test_components_nest() -> None:
    document = parse(b"Begin:vcalendar\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\nX:y\nend:VCALENDAR\n")
    (calendar,) = document.roots
    assert (calendar.name, calendar.values("VERSION"), calendar.values("X")) == ("VCALENDAR", ["2.0"], ["y"])
    assert [component.values("UID") for component in calendar.components] == [["1"]]
    assert document.number(calendar.components[0].lines[0]) == 4


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")))
def test_folding_is_undone(value: str) -> None:
    line = b"NOTE:" + value.encode()
    folded = fold(line)
    assert all(len(part) <= FOLD_BYTES for part in folded.split(b"\r\n"))
    assert unfold(folded) == line + b"\n"
    assert lex(folded) == [("NOTE", "", value)]
    for part in folded.replace(b"\r\n ", b"\r\n").split(b"\r\n"):
        part.decode()


@given(st.lists(st.sampled_from([b"a", b"\n", b" ", b"\t", b":", b"\xc3\xa9"])).map(b"".join))
def test_unfolding_removes_each_break_before_a_blank_and_nothing_else(body: bytes) -> None:
    expected = bytearray()
    index = 0
    while index < len(body):
        if body[index : index + 1] == b"\n" and body[index + 1 : index + 2] in (b" ", b"\t"):
            index += 2
        else:
            expected.append(body[index])
            index += 1
    assert unfold(body) == bytes(expected)
    assert unfold(body.replace(b"\n", b"\r\n")) == bytes(expected)


@given(st.binary(max_size=300))
def test_any_bytes_are_lines_or_a_line_error(body: bytes) -> None:
    try:
        document = parse(body)
    except LineError as caught:
        assert 1 <= caught.line <= body.count(b"\n") + 1
    else:
        assert all(root.name == root.name.upper() for root in document.roots)


@pytest.mark.parametrize(
    "body",
    [
        b"a:\n" * (MEGABYTE // 3),
        b"BEGIN:VCARD\nNOTE:" + b"\n a" * (MEGABYTE // 3),
        b"BEGIN:VCARD\nNOTE:" + b"\n a\n\tb" * (MEGABYTE // 6),
        b"BEGIN:X\n" * (MEGABYTE // 8),
        b"A" + b";B=C" * (MEGABYTE // 4) + b"\n",
        b"A" + b';B="x"' * (MEGABYTE // 6) + b"\n",
        b"A" + b';B="' * (MEGABYTE // 4) + b"\n",
        b"A;\n" * (MEGABYTE // 3),
        b"A" * MEGABYTE,
        b":" * MEGABYTE,
        b"BEGIN:VCARD\n" + b"END:X\n" * (MEGABYTE // 6),
        b"\n" * MEGABYTE,
        b"\n\n " * (MEGABYTE // 3),
        b"\xff" * MEGABYTE,
        b"X:\n" * (MEGABYTE // 3) + b"\x00",
    ],
    ids=range(15),
)
def test_a_hostile_megabyte_ends(body: bytes) -> None:
    """Each takes a fraction of a second; one that cost its square would never end here."""
    try:
        assert not parse(body).roots
    except LineError as caught:
        assert caught.line >= 1
