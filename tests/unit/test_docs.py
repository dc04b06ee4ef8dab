"""The documents against the code: commands and options, invariants by number, decision records, links."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.cli.main import COMMANDS, build_parser
from safehold.cli.parser import Parser

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COMMON = {"--help", "--data", "--config", "--json"}

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_INVARIANT = re.compile(r"\bI([1-9][0-9]?)\b")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def leaves(parser: Parser, words: tuple[str, ...]) -> Iterator[tuple[str, Parser]]:
    """Every command that does something, by its words."""
    branches = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not branches:
        yield " ".join(words), parser
    for name, child in (item for branch in branches for item in branch.choices.items()):
        yield from leaves(child, (*words, name))


def real_commands() -> dict[str, set[str]]:
    """Command to its options, the common ones left out."""
    found: dict[str, set[str]] = {}
    for command in COMMANDS:
        for words, leaf in leaves(build_parser(command), ("safehold",)):
            if words.split()[1] == command:
                options = {o for action in leaf._actions for o in action.option_strings if o.startswith("--")}
                found[words] = options - COMMON
    return found


def documented_commands() -> dict[str, set[str]]:
    """The same, as docs/commands.md has it: a heading for each command, a list of its options below."""
    found: dict[str, set[str]] = {}
    for section in (DOCS / "commands.md").read_text().split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        words = " ".join(
            word for word in heading.split() if (word.islower() and word.isalpha()) or word == "app-password"
        )
        listed = [line.partition(": ")[0] for line in body.splitlines() if line.startswith("- ")]
        found[words] = {option for line in listed for option in _OPTION.findall(line)}
    return found


def test_every_command_and_option_is_documented_and_no_other() -> None:
    assert documented_commands() == real_commands()


def test_the_readme_names_every_command() -> None:
    table = (ROOT / "README.md").read_text().partition("## The commands")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z]+)`", row.split("|")[1])}
    assert named == set(COMMANDS)


def test_a_module_of_more_than_500_lines_says_why_at_its_head() -> None:
    texts = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    long = {path: ast.get_docstring(ast.parse(text)) or "" for path, text in texts.items() if text.count("\n") > 500}
    assert [str(path) for path, told in long.items() if not re.search(r"\bLong(er)?\b", told)] == []


def invariants() -> list[int]:
    return [int(n) for n in re.findall(r"^- \*\*I(\d+)\*\*", (DOCS / "invariants.md").read_text(), re.MULTILINE)]


def test_invariants_are_numbered_in_order_and_no_number_stands_twice() -> None:
    assert invariants() == sorted(set(invariants()))


def test_every_invariant_that_is_cited_exists() -> None:
    known = set(invariants())
    places = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *DOCS.rglob("*.md")]
    cited = {
        (str(path.relative_to(ROOT)), int(number))
        for path in places
        for number in _INVARIANT.findall(path.read_text(encoding="utf-8"))
    }
    assert {(path, number) for path, number in cited if number not in known} == set()
    assert {1, 2, 3, 4} <= {number for path, number in cited if path.startswith("src")}


def test_every_decision_is_in_the_index_and_numbered_in_order() -> None:
    index = (DOCS / "decisions" / "README.md").read_text()
    records = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md") if path.name != "0000-template.md")
    numbers = [int(name[:4]) for name in records]
    assert numbers == sorted(set(numbers))
    assert re.findall(r"^\| \[\d{4}\]\(([^)]+)\)", index, re.MULTILINE) == records


@pytest.mark.parametrize("record", sorted((DOCS / "decisions").glob("[0-9]*.md"))[1:], ids=lambda p: p.name[:4])
def test_records_have_one_form(record: Path) -> None:
    """That of the template: number and sentence, date and standing, what; then the rest, each by words in bold."""
    number, text = record.name[:4], record.read_text(encoding="utf-8")
    row = re.search(
        rf"^\| \[{number}\]\([^)]+\) \| (.*) \|$", (DOCS / "decisions" / "README.md").read_text(), re.MULTILINE
    )
    assert row is not None
    title, date, what = text.split("\n\n")[:3]
    assert title == f"# {number} {row[1]}"
    assert re.fullmatch(r"\*\d{4}-\d{2}-\d{2}; (stands|replaced by \S+)\.?.*\*", date)
    assert what.startswith("**What.**")
    assert "**Rejected.**" in text
    assert not re.search(r"^##+ ", text, re.MULTILINE)


def test_every_configuration_that_is_shown_can_be_used() -> None:
    from safehold.config import parse

    shown = [
        (page, text)
        for page in (ROOT / "README.md", *DOCS.rglob("*.md"))
        for text in re.findall(r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    ]
    assert len(shown) >= 3
    for page, text in shown:
        parse(text, str(page))


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []
