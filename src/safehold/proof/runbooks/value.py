"""What a runbook is made of, and how what a command said is held against what a step expects.

A command is the words after `safehold`; `{word}` in one is asked of the person. A path into what it says with --json is
keys joined by dots: `*` is every element of a list, `name=near` the elements whose `name` is `near`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

LANGUAGES = ("en", "es")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


class Text(NamedTuple):
    """The same in both languages; Markdown, paragraphs and tables as a page has them."""

    en: str
    es: str

    def to(self, lang: str) -> str:
        return self.es if lang == "es" else self.en


NOTHING = Text("", "")


class Sort(StrEnum):
    MAINTENANCE = "maintenance"
    PREVENTION = "prevention"
    CONTINGENCY = "contingency"


class Test(StrEnum):
    """How a value that was found is judged."""

    __test__ = False  # no test of pytest's

    IS = "is"
    IS_NOT = "is not"
    EMPTY = "is empty"  # null, 0, "", [], or not there
    FILLED = "is there"
    LEAST = "is at least"


class Expect(NamedTuple):
    """Of what a command says: what stands at `path` (see the head), all of it where it is several."""

    path: str
    test: Test
    value: Any = None

    def __str__(self) -> str:
        bare = self.test in (Test.EMPTY, Test.FILLED)
        return f"{self.path} {self.test}" + ("" if bare else f" {self.value!r}")


class Gives(NamedTuple):
    """A check by a command: its exit code is one of these, and its JSON is as expected.

    Without a command it is the step's own that is judged.
    """

    exits: tuple[int, ...] = (0,)
    expects: tuple[Expect, ...] = ()
    command: tuple[str, ...] | None = None


class Asks(NamedTuple):
    """A check that only a person can make: yes is good."""

    question: Text


class Asked(NamedTuple):
    """What is asked for before a command that needs it."""

    name: str
    question: Text
    sample: str  # an answer, as pages and tests show it
    default: str = ""  # "": there is none


class Case(NamedTuple):
    """When some steps are needed, which a person tells: asked once, whichever of them comes first."""

    name: str
    text: Text


class Step(NamedTuple):
    """One thing to do. Without a command it is the person who does it, by hand."""

    name: str
    title: Text
    text: Text
    check: Gives | Asks
    command: tuple[str, ...] | None = None
    changes: Text = NOTHING  # what it changes; empty: nothing
    dangerous: bool = False  # it takes something away, or cannot be taken back by the same means
    only: Case | None = None  # in which case it is done; None: always


class Section(NamedTuple):
    """What is good to know beside the steps."""

    title: Text
    text: Text


class Runbook(NamedTuple):
    name: str
    title: Text
    sort: Sort
    when: Text  # how to tell that it is this one
    steps: tuple[Step, ...]
    asked: tuple[Asked, ...] = ()
    more: tuple[Section, ...] = ()

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


def commands_of(step: Step) -> Iterator[tuple[str, ...]]:
    """The step's own and its check's."""
    if step.command is not None:
        yield step.command
    if isinstance(step.check, Gives) and step.check.command is not None:
        yield step.check.command


def placeholders(step: Step) -> list[str]:
    """Names of what a step asks for, in the order in which they stand."""
    words = [word for command in commands_of(step) for word in command]
    if isinstance(step.check, Gives):
        words += [each for e in step.check.expects for each in (e.path, e.value) if isinstance(each, str)]
    return list(dict.fromkeys(name for word in words for name in _PLACEHOLDER.findall(word)))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Raises KeyError with the name of what was not given."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def fill_all(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    return [fill(word, values) for word in command]


def what_fails(check: Gives, code: int, said: Any, values: Mapping[str, str]) -> list[str]:
    """In words that name path and value, why a command's answer is not what is expected. Empty: it is good."""
    wrong = [] if code in check.exits else [f"exit code {code}, expected {' or '.join(map(str, check.exits))}"]
    for expect in check.expects:
        value = fill(expect.value, values) if isinstance(expect.value, str) else expect.value
        filled = Expect(fill(expect.path, values), expect.test, value)
        found = list(_at(said, filled.path.split(".")))
        if not _holds(filled, found):
            seen = ", ".join(map(repr, found[:5])) or "nothing"
            wrong.append(f"expected: {filled}; found: {seen}")
    return wrong


def _at(value: Any, keys: Sequence[str]) -> Iterator[Any]:
    if not keys:
        yield value
        return
    key, rest = keys[0], keys[1:]
    if key == "*":
        for each in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            yield from _at(each, rest)
    elif "=" in key:
        field, _, wanted = key.partition("=")
        for each in value if isinstance(value, list) else ():
            if isinstance(each, dict) and str(each.get(field)) == wanted:
                yield from _at(each, rest)
    elif isinstance(value, dict) and key in value:
        yield from _at(value[key], rest)


def _holds(expect: Expect, found: list[Any]) -> bool:
    if expect.test is Test.EMPTY:
        return not any(found)
    if not found:
        return False
    if expect.test is Test.FILLED:
        return all(found)
    if expect.test is Test.IS:
        return all(each == expect.value for each in found)
    if expect.test is Test.IS_NOT:
        return all(each != expect.value for each in found)
    return all(isinstance(each, int | float) and each >= expect.value for each in found)
