"""The If header: every form of RFC 4918 section 10.4, and nothing else; and the addresses in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.model.errors import BadRequest, OtherServer
from safehold.model.guards import Condition, ConditionList, Guard
from safehold.protocol.destination import read_destination, read_reference
from safehold.protocol.if_header import MAX_CONDITIONS, parse_if
from safehold.protocol.target import Place

HERE = "files/notes/here"
TOKEN, OTHER = "urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2", "opaquelocktoken:x"
DIGEST = bytes(range(32))
ETAG = f'"{DIGEST.hex()}"'

tokens = st.sampled_from([TOKEN, OTHER, "DAV:no-lock", "urn:safehold:A-_9"])
digests = st.sampled_from([DIGEST, bytes(32), b""])
conditions = st.builds(Condition, tokens, st.just(b""), st.booleans()) | st.builds(
    Condition, st.just(""), digests, st.booleans()
)
paths = st.sampled_from([HERE, "files/notes/ä/b", "x", None])
guards = st.builds(
    Guard,
    st.lists(
        st.builds(ConditionList, paths, st.lists(conditions, min_size=1, max_size=4).map(tuple)), min_size=1, max_size=5
    ).map(tuple),
)
spaces = st.text(" \t", max_size=2)


def resolve(reference: str) -> str | None:
    return reference.removeprefix("/") if reference.startswith("/") else None


def written(guard: Guard, space: Callable[[], str]) -> str:
    """A header that says this, with a tag wherever the path changes; where there is but HERE, perhaps without one."""
    said = space()
    before: str | None = ""
    for path, inner in ((each.path, each.conditions) for each in guard.lists):
        if path != before:
            said += f"<{'http://elsewhere/' if path is None else '/' + path}>" + space()
        said += "(" + space() + "".join(_condition(c) + space() for c in inner) + ")" + space()
        before = path
    return said


def _condition(condition: Condition) -> str:
    state = f"<{condition.token}>" if condition.token else f'["{condition.digest.hex() or "foreign"}"]'
    return f"Not {state}" if condition.negated else state


@given(guards, st.data())
def test_what_is_written_is_read(guard: Guard, data: st.DataObject) -> None:
    value = written(guard, lambda: data.draw(spaces))
    assert parse_if(value, HERE, resolve) == guard


@given(st.text(st.characters(max_codepoint=255), max_size=60) | st.text('()<>[]"Not W/:a \t', max_size=40))
def test_nothing_else_than_a_guard_or_400_comes_of_it(value: str) -> None:
    try:
        guard = parse_if(value, HERE, resolve)
    except BadRequest:
        return
    assert guard.lists
    assert all(each.conditions for each in guard.lists)


@given(st.data())
def test_no_piece_of_a_header_is_taken_for_the_whole(data: st.DataObject) -> None:
    value = f"<{'/a'}> (<{TOKEN}> [{ETAG}]) (Not <{OTHER}>)"
    end = data.draw(st.integers(0, len(value) - 1))
    piece = value[:end]
    if piece.rstrip().endswith(")"):
        assert len(parse_if(piece, HERE, resolve).lists) == 1
    else:
        with pytest.raises(BadRequest):
            parse_if(piece, HERE, resolve)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"(<{TOKEN}>)", [(HERE, [Condition(TOKEN)])]),
        (f"(<{TOKEN}>)(<{OTHER}>)", [(HERE, [Condition(TOKEN)]), (HERE, [Condition(OTHER)])]),
        (f"([{ETAG}])", [(HERE, [Condition(digest=DIGEST)])]),
        (f"([W/{ETAG}])", [(HERE, [Condition(digest=DIGEST)])]),
        (f'(["{DIGEST.hex().upper()}"])', [(HERE, [Condition()])]),
        (f"(not<{TOKEN}> NOT [{ETAG}])", [(HERE, [Condition(TOKEN, b"", True), Condition("", DIGEST, True)])]),
        (f"</a> (<{TOKEN}>) ([{ETAG}])", [("a", [Condition(TOKEN)]), ("a", [Condition(digest=DIGEST)])]),
        (f"</a>(<{TOKEN}>)</b>(<{OTHER}>)", [("a", [Condition(TOKEN)]), ("b", [Condition(OTHER)])]),
        (f"<http://other/> (<{TOKEN}>)", [(None, [Condition(TOKEN)])]),
    ],
)
def test_forms(value: str, expected: list[tuple[str | None, list[Condition]]]) -> None:
    lists = parse_if(value, HERE, resolve).lists
    assert [(each.path, list(each.conditions)) for each in lists] == expected


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "()", "(", ")", f"<{TOKEN}>", "</a>", TOKEN, f"({TOKEN})", f"(<{TOKEN}>", f"(<{TOKEN}> )x"),
        *(f"(<{TOKEN}>) </a> (<{TOKEN}>)", f"</a> </b> (<{TOKEN}>)", f"(<{TOKEN}>) </a>", f"(<{TOKEN}>), (<{OTHER}>)"),
        *("(Not)", f"(Not Not <{TOKEN}>)", f"(Nothing <{TOKEN}>)", "(<no-scheme>)", "(<urn:a b>)", "(<>)"),
        *('(["open])', "([unquoted])", '([""x""])', '(["a" "b"])', "(W/[])", f"((<{TOKEN}>))", f"[{ETAG}]"),
    ],
)
def test_malformed(value: str) -> None:
    with pytest.raises(BadRequest):
        parse_if(value, HERE, resolve)


def test_conditions_are_bounded() -> None:
    assert len(parse_if(f"(<{TOKEN}>)" * MAX_CONDITIONS, HERE, resolve).lists) == MAX_CONDITIONS
    with pytest.raises(BadRequest):
        parse_if(f"(<{TOKEN}>)" * (MAX_CONDITIONS + 1), HERE, resolve)


def test_only_what_is_said_to_hold_is_submitted() -> None:
    guard = parse_if(f"(<{TOKEN}> Not <{OTHER}>) (Not <DAV:no-lock>)", HERE, resolve)
    assert guard.tokens == {TOKEN}


# -- addresses -----------------------------------------------------------------------------------------------

HOSTS = ("pim.example:8460",)
NOTE = "/dav/anna/files/notes/a"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        (NOTE, ()),
        (NOTE, HOSTS),
        ("http://pim.example:8460" + NOTE, HOSTS),
        ("HTTPS://PIM.example:8460" + NOTE, HOSTS),
        ("https://pim.example" + NOTE, ("pim.example",)),
        ("https://pim.example:443" + NOTE, ("pim.example",)),
        ("http://pim.example" + NOTE, ("pim.example:80",)),
        ("http://[::1]:8460" + NOTE, ("other", "[::1]:8460")),
    ],
)
def test_addresses_of_this_server(text: str, hosts: tuple[str, ...]) -> None:
    target = read_reference(text, hosts)
    assert target is not None
    assert (target.account, target.full_path) == ("anna", "files/notes/a")
    assert read_destination(f" {text} ", hosts) == target


@pytest.mark.parametrize(
    "text",
    [
        *("http://other:8460" + NOTE, "http://pim.example" + NOTE, "http://pim.example:84600" + NOTE),
        *("ftp://pim.example:8460" + NOTE, "http://me@pim.example:8460" + NOTE, "http://" + NOTE),
    ],
)
def test_addresses_elsewhere(text: str) -> None:
    assert read_reference(text, HOSTS) is None
    with pytest.raises(OtherServer):
        read_destination(text, HOSTS)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a",
            "files/notes/a",
            "?x",
            NOTE + "?x",
            NOTE + "#x",
            NOTE + " b",
            "http:" + NOTE,
            "//pim.example" + NOTE,
        ),
        *(
            NOTE + "/../b",
            NOTE + "//b",
            NOTE + "%2Fb",
            NOTE + "%00",
            NOTE + "\x7f",
            "/dav/anna/%ff",
            "/dav/" + "x" * 9000,
        ),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadRequest):
        read_reference(text, HOSTS)


def test_a_destination_is_needed() -> None:
    with pytest.raises(BadRequest):
        read_destination(None, HOSTS)


@pytest.mark.parametrize("text", ["/", "/other", "/davy/x", "http://pim.example:8460"])
def test_addresses_here_where_nothing_can_be(text: str) -> None:
    target = read_reference(text, HOSTS)
    assert target is not None
    assert target.place is Place.NOWHERE


def test_spellings_of_one_name_are_one_name() -> None:
    spelled = ["/dav/anna/files/notes/%C3%A4%3B%23%3F", "/dav/anna/files/notes/ä;%23%3f".encode().decode("latin-1")]
    assert {read_reference(text, ())[3] for text in spelled} == {"ä;#?"}  # type: ignore[index]


@given(st.text(st.characters(max_codepoint=255), max_size=40).map(lambda text: "/dav/anna/files/notes/" + text))
def test_any_text_is_an_address_or_400(text: str) -> None:
    try:
        target = read_reference(text, HOSTS)
    except BadRequest:
        return
    assert target is not None
    assert target.account == "anna"
