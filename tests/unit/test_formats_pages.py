"""The tables of docs/formats against the structures of the code."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import msgspec
import pytest

from safehold.formats import blob, claim, ends, evidence, frame, generation, mark, parity, run, seal
from safehold.model.change import Change

PAGES = Path(__file__).parents[2] / "docs" / "formats"
_ROW = re.compile(r"^\| (\d+)(?: \+ \*n\*)? \| (\d+|\*n\*) \|", re.MULTILINE)
_INDEX = re.compile(r"^\| ([\d, ]+) \|", re.MULTILINE)


def places(page: str) -> list[tuple[int, int]]:
    """Offset and size of each field of the page's first byte table; *n* counts as nothing."""
    table = (PAGES / page).read_text().partition("| offset | bytes | field |")[2].partition("\n\n")[0]
    return [(int(at), 0 if size == "*n*" else int(size)) for at, size in _ROW.findall(table)]


def fields(*structs: struct.Struct | int) -> list[tuple[int, int]]:
    """The same of structures, one behind the other; a number is that of raw bytes."""
    found, at = [], 0
    for each in structs:
        if isinstance(each, int):
            found.append((at, each))
            at += each
            continue
        for part in re.findall(r"\d*[a-zA-Z]", each.format.lstrip(">")):
            size = struct.calcsize(">" + part)
            found.append((at, size))
            at += size
    return found


def test_the_ends() -> None:
    assert places("header.md") == fields(ends._FIELDS, ends._CRC)


def test_the_frame() -> None:
    assert places("frame.md") == fields(frame._HEADER, frame._CRC, 0, frame.SIGNATURE_BYTES, frame._TRAILER)


def test_the_blob() -> None:
    assert places("blob.md") == fields(blob._HEADER, blob._CRC, 0, blob._TRAILER, blob._CRC)


def test_the_parity() -> None:
    padded = re.sub("xxx", "3s", parity._HEADER.format)
    assert places("parity.md") == fields(struct.Struct(padded))
    assert parity.HEADER_BYTES == 64 and parity.TRAILER_BYTES == 44


@pytest.mark.parametrize(
    ("page", "heading", "type_"),
    [
        ("change.md", "| index | field | content |", Change),
        ("claim.md", "| index | field |", claim.Claim),
        ("seal.md", "| index | field |", seal.Seal),
        ("run.md", "| index | field |", run.Directory),
        ("run.md", "| index | field of a stream |", run.RunStream),
        ("index.md", "| index | field |", run.Index),
        ("base.md", "| index | field |", run.RunBase),
        ("generation.md", "| index | field |", generation.Manifest),
        ("evidence.md", "| index | field |", evidence.Evidence),
    ],
)
def test_an_array_has_as_many_members_as_its_page(page: str, heading: str, type_: type[msgspec.Struct]) -> None:
    table = (PAGES / page).read_text().partition(heading)[2].partition("\n\n")[0]
    numbers = [int(n) for cell in _INDEX.findall(table) for n in cell.split(", ")]
    assert numbers == list(range(len(type_.__struct_fields__)))


def test_every_type_of_frame_is_on_its_page() -> None:
    table = (PAGES / "frame.md").read_text().partition("| type | payload |")[2].partition("\n\n")[0]
    assert [int(n) for n in re.findall(r"^\| (\d) \|", table, re.MULTILINE)] == [int(t) for t in frame.FrameType]


def test_every_page_is_in_the_index_and_says_what_it_must() -> None:
    index = (PAGES / "README.md").read_text()
    for page in PAGES.glob("*.md"):
        if page.name == "README.md":
            continue
        assert f"]({page.name})" in index
        if page.name not in ("export.md", "keys.md"):
            text = page.read_text()
            assert "Worked example" in text, page.name
            assert "what a reader does" in text or page.name == "vault.md", page.name


def test_the_reader_and_the_mark_fit_their_purpose() -> None:
    assert len(mark.reader().decode().splitlines()) <= 300
    text = mark.encode_mark(bytes(16)).decode("ascii")
    assert max(map(len, text.splitlines())) <= 120
    for word in ("reader.py", "runs/", "evidence/", "aside/", "recovery/", "blobs/", "log/"):
        assert word in text
