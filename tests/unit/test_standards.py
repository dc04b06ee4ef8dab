"""docs/standards.md against the tests: every section has a line, every claim names tests, and those tests exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "standards.md").read_text(encoding="utf-8")

#: The sections that say what a server does, or what a client may count on. Introductions, examples within
#: a section, XML declarations that only repeat it, and considerations for their authors are left out.
SECTIONS = {
    "RFC 4918": """
        4.3 4.4 5.1 5.2 6.1 6.2 6.3 6.4 6.5 6.6 6.7 6.8 7.1 7.2 7.3 7.4 7.5 7.6 7.7 8.1 8.2 8.3 8.4 8.5 8.6 8.7 8.8
        9.1 9.2 9.3 9.4 9.5 9.6 9.7 9.8 9.9 9.10 9.11 10.1 10.2 10.3 10.4 10.5 10.6 10.7 11.1 11.2 11.3 11.4 11.5
        12.1 12.2 13.1 13.2 14 15.1 15.2 15.3 15.4 15.5 15.6 15.7 15.8 15.9 15.10 16 17 18.1 18.2 18.3 20""",
    "RFC 4791": """
        4.1 4.2 5.1 5.2.1 5.2.2 5.2.3 5.2.4 5.2.5 5.2.6 5.2.7 5.2.8 5.2.9 5.2.10 5.3.1 5.3.1.1 5.3.2 5.3.2.1 5.3.3
        5.3.4 6.1.1 6.2.1 7.1 7.2 7.3 7.4 7.5 7.5.1 7.6 7.7 7.8 7.9 7.10 9.6 9.6.1 9.6.2 9.6.3 9.6.4 9.6.5 9.6.6
        9.6.7 9.7 9.7.1 9.7.2 9.7.3 9.7.4 9.7.5 9.8 9.9""",
    "RFC 6352": """
        5.1 5.1.1 5.1.1.1 5.2 6.1 6.2.1 6.2.2 6.2.3 6.3.1 6.3.2 6.3.2.1 6.3.2.2 6.3.2.3 7.1.1 7.1.2 8.1 8.2 8.3 8.3.1
        8.4 8.5 8.6 8.6.1 8.6.2 8.7 10.4 10.4.1 10.4.2 10.5 10.5.1 10.5.2 10.5.3 10.5.4 10.6 10.6.1 11""",
    "RFC 6578": "3.1 3.2 3.3 3.4 3.5 3.5.1 3.5.2 3.6 3.7 4 5 6.1 6.2 6.3 6.4",
}
NOT_CLAIMED = "**Not claimed.** "
#: What stands in the place of tests where nothing is claimed.
NOTHING = "—"

_ROW = re.compile(r"^\| (\d[\d.]*) \| (.+) \| (.+) \|$", re.MULTILINE)
#: `tests/web/test_x.py::test_a, test_b`
_REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(\w+(?:, \w+)*)`")


def part(heading: str) -> str:
    """What stands below a heading."""
    found = re.search(rf"^## {heading}\b.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the page says nothing about {heading}"
    return found[0]


def rows(rfc: str) -> list[tuple[str, str, str]]:
    """Section, what is said of it, and what shows it."""
    return _ROW.findall(part(rfc))


@cache
def known_in(path: str) -> frozenset[str]:
    """Those that are collected: functions of the module itself."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


@pytest.mark.parametrize("rfc", SECTIONS)
def test_every_section_has_one_line_in_order(rfc: str) -> None:
    assert [section for section, _, _ in rows(rfc)] == SECTIONS[rfc].split()
    table = [line for line in part(rfc).splitlines() if line.startswith("|")]
    assert len(table) == len(rows(rfc)) + 2, "a line of the table has another form"


@pytest.mark.parametrize("rfc", SECTIONS)
def test_what_is_claimed_is_shown_and_nothing_else(rfc: str) -> None:
    for section, said, shown in rows(rfc):
        if NOT_CLAIMED.strip() in said:
            assert said.startswith(NOT_CLAIMED), f"{rfc} section {section} does not say so first"
            assert said.removeprefix(NOT_CLAIMED).endswith("."), f"{rfc} section {section} does not say why"
            assert shown == NOTHING, f"{rfc} section {section} is not claimed, and yet shown"
        else:
            assert _REFERENCE.search(shown), f"{rfc} section {section} is claimed, and no test is named"
            assert not _REFERENCE.sub("", shown).strip(", "), f"{rfc} section {section}: {shown}"


def test_every_other_standard_is_shown_too() -> None:
    lines = [line for line in part("Other standards").splitlines() if line.startswith("- ")]
    assert len(lines) > 5
    for line in lines:
        assert _REFERENCE.search(line), line


def test_every_test_that_is_named_exists() -> None:
    for path, named in _REFERENCE.findall(PAGE):
        unknown = set(named.split(", ")) - known_in(path)
        assert not unknown, f"there is no {unknown} in {path}"
