"""Who leads a walk through a runbook: a person on a terminal, or the command line alone, which asks nobody."""

from __future__ import annotations

import sys
from typing import Protocol

from safehold.cli import runbook_words as words
from safehold.cli.exits import UsageError
from safehold.cli.output import say
from safehold.model.errors import OperatorError
from safehold.proof.runbooks.page import check_text
from safehold.proof.runbooks.value import Asked, Asks, Case, Runbook, Step, Text, placeholders
from safehold.proof.runbooks.walk import BY_HAND, NO, NOT_ASKED, RUN, SKIPPED, YES, Walk

#: What is answered beside a step's own answers.
STOP, AGAIN, ON = "stop", "again", "on"


class Guide(Protocol):
    """What a walk asks. Each answers STOP where it is to end for now."""

    def ready(self, book: Runbook, walk: Walk) -> None:
        """Raises UsageError where the walk cannot begin like this."""

    def needed(self, case: Case, lang: str) -> str:
        """YES or NO."""

    def value(self, asked: Asked, lang: str) -> str: ...

    def question(self, step: Step, lang: str) -> tuple[str, str]:
        """YES, NO, NOT_ASKED or SKIPPED, and why it was skipped."""

    def deed(self, step: Step, lang: str) -> tuple[str, str]:
        """RUN, BY_HAND or SKIPPED, and why it was skipped."""

    def by_hand(self, step: Step, lang: str) -> list[str]:
        """What is wrong with a step that was done by hand and cannot be looked at from here."""

    def attempts(self, step: Step) -> bool:
        """Whether a check that fails speaks of a try."""

    def after_failure(self, lang: str) -> str:
        """AGAIN or ON."""


class Line:
    """`--yes`: everything that has a command is run, and nothing is asked."""

    def ready(self, book: Runbook, walk: Walk) -> None:
        missing: list[str] = []
        for step in book.steps[walk.at :]:
            if step.only is not None and not walk.cases.get(step.only.name, False):
                continue
            for name in placeholders(step):
                default = next(asked.default for asked in book.asked if asked.name == name)
                if name not in walk.values and not default and name not in missing:
                    missing.append(name)
        if missing:
            needed = " ".join(f"--set {name}=…" for name in missing)
            raise UsageError(f"{book.name} asks for {', '.join(missing)}", hint=f"give {needed}")

    def needed(self, case: Case, lang: str) -> str:
        return NO

    def value(self, asked: Asked, lang: str) -> str:
        return asked.default

    def question(self, step: Step, lang: str) -> tuple[str, str]:
        return NOT_ASKED, ""

    def deed(self, step: Step, lang: str) -> tuple[str, str]:
        return (RUN if step.command is not None else BY_HAND), ""

    def by_hand(self, step: Step, lang: str) -> list[str]:
        raise AssertionError(f"{step.name} has a command, which is run")

    def attempts(self, step: Step) -> bool:
        return step.command is not None

    def after_failure(self, lang: str) -> str:
        return STOP


class Person:
    """Somebody on the terminal."""

    def ready(self, book: Runbook, walk: Walk) -> None:
        return

    def needed(self, case: Case, lang: str) -> str:
        say(words.ONLY.to(lang).format(case=case.text.to(lang)))
        return self._choose(words.YES_NO, words.YES_NO_KEYS, (YES, NO, STOP), lang)

    def value(self, asked: Asked, lang: str) -> str:
        shown = f" [{asked.default}]" if asked.default else ""
        while not (answer := self._line(f"{asked.question.to(lang)}{shown}") or asked.default):
            say(words.NEEDED.to(lang))
        return answer

    def question(self, step: Step, lang: str) -> tuple[str, str]:
        assert isinstance(step.check, Asks)
        say(step.check.question.to(lang))
        return self._with_why(words.ASKED, words.ASKED_KEYS, (YES, NO, SKIPPED, STOP), lang)

    def deed(self, step: Step, lang: str) -> tuple[str, str]:
        if step.command is None:
            return self._with_why(words.MANUAL, words.MANUAL_KEYS, (BY_HAND, SKIPPED, STOP), lang)
        while True:
            answers = (RUN, BY_HAND, SKIPPED, STOP)
            answer, why = self._with_why(words.COMMANDED, words.COMMANDED_KEYS, answers, lang)
            if answer != RUN or not step.dangerous:
                return answer, why
            say(words.REALLY.to(lang))
            sure = self._choose(words.YES_NO, words.YES_NO_KEYS, (YES, NO, STOP), lang)
            if sure != NO:
                return (RUN if sure == YES else STOP), ""

    def by_hand(self, step: Step, lang: str) -> list[str]:
        say(words.CHECK.to(lang).format(check=check_text(step, lang)))
        answer = self._choose(words.YES_NO, words.YES_NO_KEYS, (YES, NO, STOP), lang)
        return [] if answer == YES else [answer]

    def attempts(self, step: Step) -> bool:
        return True

    def after_failure(self, lang: str) -> str:
        return self._choose(words.FAILED, words.FAILED_KEYS, (AGAIN, ON, STOP), lang)

    def _with_why(self, shown: Text, keys: Text, answers: tuple[str, ...], lang: str) -> tuple[str, str]:
        answer = self._choose(shown, keys, answers, lang)
        if answer != SKIPPED:
            return answer, ""
        while not (why := self._line(words.WHY.to(lang))):
            say(words.NEEDED.to(lang))
        return answer, why

    def _choose(self, shown: Text, keys: Text, answers: tuple[str, ...], lang: str) -> str:
        """By the letters in brackets."""
        letters = keys.to(lang)
        while True:
            typed = self._line(shown.to(lang)).lower().replace("í", "i")[:1]
            if typed and typed in letters:
                return answers[letters.index(typed)]

    def _line(self, prompt: str) -> str:
        """Raises OperatorError where nobody is there any more."""
        say(prompt)
        line = sys.stdin.readline()
        if not line:
            raise OperatorError("nobody answers any more", hint="--resume goes on where it was")
        return line.strip()
