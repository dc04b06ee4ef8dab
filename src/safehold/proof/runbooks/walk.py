"""A walk through a runbook: where it stands, what was answered, and what goes on record. Values only.

A step is done once an answer of it lets the walk go on; a try whose check failed is kept too, before the one that
follows. Nothing is recorded as done that was neither asked nor run: what `--yes` stands for says so (NOT_ASKED).
"""

from __future__ import annotations

from typing import Any

import msgspec

from safehold.proof.runbooks.value import Runbook, Step

VERSION = 1
EVIDENCE_KIND = "runbook"
#: Answers of a step.
RUN, BY_HAND, YES, NO, SKIPPED, NOT_NEEDED, NOT_ASKED = (
    "run",
    "by hand",
    "yes",
    "no",
    "skipped",
    "not needed",
    "not asked",
)
#: Longest reason that is kept, in characters; the most sentences about a check that failed.
MAX_WHY, MAX_WRONG = 500, 5


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: of a step that was done, or of a try at it."""

    step: str
    answer: str
    ok: bool  # its check was good, or it was not needed
    seconds: float  # from when the step was shown
    command: list[str] | None = None  # what was run, after `safehold`
    exit: int | None = None
    wrong: list[str] = []  # what its check found
    why: str = ""  # it was skipped


class Walk(msgspec.Struct, kw_only=True):
    """As it lies in run/runbooks/NAME.json while it is under way."""

    version: int
    name: str
    lang: str
    by: str
    began: int  # µs
    values: dict[str, str] = {}  # what was asked for commands
    cases: dict[str, bool] = {}  # which steps are needed
    steps: list[Done] = []
    at: int = 0  # how many steps of the runbook are behind
    ended: int | None = None  # µs

    def next(self, book: Runbook) -> Step | None:
        return book.steps[self.at] if self.at < len(book.steps) else None

    def note(self, done: Done, *, on: bool = True) -> None:
        """Keep an answer; `on` says that the walk goes on to the next step."""
        self.steps = [*self.steps, done]
        if on:
            self.at += 1

    @property
    def ok(self) -> bool:
        """Every step is behind, and the last word on each was good."""
        last = {done.step: done.ok for done in self.steps}
        return self.ended is not None and all(last.values())

    def facts(self) -> dict[str, Any]:
        """Of its evidence."""
        return {
            "name": self.name,
            "lang": self.lang,
            "began": self.began,
            "ended": self.ended,
            "by": self.by,
            "ok": self.ok,
            "steps": [msgspec.to_builtins(done) for done in self.steps],
        }


def begin(book: Runbook, lang: str, by: str, now: int) -> Walk:
    return Walk(version=VERSION, name=book.name, lang=lang, by=by, began=now)


def failed_at(walk: Walk) -> list[str]:
    """Steps whose last word was not good."""
    last = {done.step: done.ok for done in walk.steps}
    return [step for step, ok in last.items() if not ok]
