"""Runbooks as data: complete in both languages, every command one that parses, and the pages made from them (I91)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.cli.main import COMMANDS, build_parser
from safehold.cli.parser import chosen_command
from safehold.cli.runbook_pages import pages
from safehold.proof.runbook_names import RUNBOOKS
from safehold.proof.runbooks import NAMES, all_runbooks, runbook_named
from safehold.proof.runbooks.value import (
    LANGUAGES,
    Asks,
    Expect,
    Gives,
    Runbook,
    Sort,
    Test,
    Text,
    commands_of,
    fill_all,
    placeholders,
    what_fails,
)

PAGES = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
BOOKS = all_runbooks()
#: What stands for a placeholder of a text.
_SHOWN = {"N": "7", "TIME": "2h", "KIND": "contacts"}
_TICKED = re.compile(r"`(safehold(?: [^`]*)?)`")
_BLOCK = re.compile(r"^    (safehold .*)$", re.MULTILINE)


def parse(words: list[str]) -> None:
    """Raises UsageError where the real command line does not know it."""
    if chosen_command(words) in {"drill", "alarm", "evidence"} - set(COMMANDS):
        return
    try:
        build_parser(chosen_command(words)).parse_args(words)
    except SystemExit as leave:
        assert not leave.code


def texts(book: Runbook) -> Iterator[tuple[str, Text]]:
    yield "title", book.title
    yield "when", book.when
    for asked in book.asked:
        yield f"asked {asked.name}", asked.question
    for step in book.steps:
        yield f"{step.name}: title", step.title
        yield f"{step.name}: text", step.text
        if step.changes.en or step.changes.es:
            yield f"{step.name}: changes", step.changes
        if step.only is not None:
            yield f"{step.name}: only", step.only.text
        if isinstance(step.check, Asks):
            yield f"{step.name}: question", step.check.question
    for section in book.more:
        yield f"section {section.title.en}", section.title
        yield f"section {section.title.en}: text", section.text


def shown(text: str) -> list[str]:
    return sorted({*_TICKED.findall(text), *_BLOCK.findall(text)})


def test_every_name_has_its_runbook_and_sort() -> None:
    assert [book.name for book in BOOKS] == list(NAMES) and len(set(NAMES)) == len(NAMES) == 27
    assert {book.sort for book in BOOKS} == set(Sort)
    with pytest.raises(KeyError):
        runbook_named("no-such-thing")


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.name)
def test_both_languages_say_the_same_things(book: Runbook) -> None:
    for where, text in texts(book):
        assert text.en.strip() and text.es.strip(), where
        assert text.en != text.es, f"{where} is not translated"
        assert shown(text.en) == shown(text.es), where
        assert text.en.count("\n\n") == text.es.count("\n\n"), where
        for mark in ("](", "\n- ", "\n| ", "\n1. "):
            assert text.en.count(mark) == text.es.count(mark), (where, mark)
        assert re.findall(r"\]\(([^)]+)\)", text.en) == re.findall(r"\]\(([^)]+)\)", text.es), where


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.name)
def test_every_command_of_every_step_parses(book: Runbook) -> None:
    samples = {asked.name: asked.sample for asked in book.asked}
    assert book.steps
    for step in book.steps:
        for command in commands_of(step):
            parse([*fill_all(command, samples), "--json"])
        assert step.command is None or "--json" not in step.command


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.name)
def test_every_command_in_a_text_parses(book: Runbook, lang: str) -> None:
    for where, text in texts(book):
        for line in shown(text.to(lang)):
            words = [_SHOWN.get(word, word) for word in shlex.split(line, comments=True)[1:]]
            try:
                parse(words or ["--help"])
            except Exception as error:
                raise AssertionError(f"{where}: {line}: {error}") from error


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.name)
def test_steps_are_named_asked_for_and_said_what_they_change(book: Runbook) -> None:
    names = [step.name for step in book.steps]
    assert len(set(names)) == len(names)
    asked = {each.name for each in book.asked}
    assert {name for step in book.steps for name in placeholders(step)} == asked
    cases = {step.only.name: step.only for step in book.steps if step.only is not None}
    assert all(step.only == cases[step.only.name] for step in book.steps if step.only is not None)
    assert asked.isdisjoint(cases)
    for step in book.steps:
        assert not step.dangerous or step.changes.en, f"{step.name} is dangerous, and does not say what it changes"
        assert not isinstance(step.check, Asks) or step.command is None, f"{step.name} can be checked by its command"
        assert step.command is not None or not isinstance(step.check, Gives) or step.check.command is not None


def test_alarms_name_the_same_runbooks() -> None:
    assert set(NAMES) == set(RUNBOOKS)


def test_names_of_other_runbooks_lead_to_one() -> None:
    for book in BOOKS:
        for _, text in texts(book):
            for name in re.findall(r"\]\(([a-z-]+)\.md\)", text.en + text.es):
                assert name in NAMES and name != book.name, (book.name, name)


def test_the_pages_are_made_from_the_data() -> None:
    made = dict(pages())
    assert len(made) == 2 * (len(NAMES) + 1)
    lies = {str(path.relative_to(PAGES)): path.read_text(encoding="utf-8") for path in PAGES.rglob("*.md")}
    assert sorted(lies) == sorted(made)
    differing = [place for place, text in made.items() if lies[place] != text]
    assert differing == [], "make them anew: python -m safehold.cli.runbook_pages docs/runbooks"


SAID = {
    "ok": True,
    "vaults": [{"name": "near", "state": "reachable", "behind": 0}, {"name": "far", "state": "missing", "behind": 3}],
    "none": None,
    "empty": [],
    "counts": {"a": 1, "b": 2},
}


@pytest.mark.parametrize(
    ("expect", "good"),
    [
        (Expect("ok", Test.IS, True), True),
        (Expect("ok", Test.IS, False), False),
        (Expect("vaults.*.state", Test.IS, "reachable"), False),
        (Expect("vaults.name={vault}.state", Test.IS, "reachable"), True),
        (Expect("vaults.name=far.state", Test.IS_NOT, "reachable"), True),
        (Expect("vaults.name=third.state", Test.IS, "reachable"), False),
        (Expect("vaults.name=third.name", Test.EMPTY), True),
        (Expect("vaults.name=near.name", Test.EMPTY), False),
        (Expect("vaults.*.behind", Test.LEAST, 0), True),
        (Expect("vaults.*.behind", Test.LEAST, 1), False),
        (Expect("none", Test.EMPTY), True),
        (Expect("empty", Test.EMPTY), True),
        (Expect("empty", Test.FILLED), False),
        (Expect("no.such.path", Test.FILLED), False),
        (Expect("no.such.path", Test.IS, None), False),
        (Expect("counts.*", Test.LEAST, 1), True),
    ],
    ids=str,
)
def test_what_is_expected_is_held_against_what_was_said(expect: Expect, good: bool) -> None:
    wrong = what_fails(Gives(expects=(expect,)), 0, SAID, {"vault": "near"})
    assert (wrong == []) is good
    assert good or expect.path.replace("{vault}", "near") in wrong[0]


def test_an_exit_code_that_is_not_expected_is_told() -> None:
    assert what_fails(Gives((0, 1)), 1, None, {}) == []
    assert what_fails(Gives((0, 1)), 3, None, {}) == ["exit code 3, expected 0 or 1"]
