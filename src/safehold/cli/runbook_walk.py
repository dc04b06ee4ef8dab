"""`runbook run`: walks through a runbook, with a person on a terminal, or by what the line says alone.

Commands are processes of their own, as a person would run them, so that one that ends badly ends nothing else. Where
their JSON is judged they say the rest on standard error. What was answered lies on disk before the next step begins.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safehold.assembly.runbook_record import WalkRecord
from safehold.cli import runbook_words as words
from safehold.cli.context import Context
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import TELL, Answer, say
from safehold.cli.runbook_guides import AGAIN, STOP, Guide, Line, Person
from safehold.proof.runbooks.page import check_text, command_text
from safehold.proof.runbooks.value import Asks, Gives, Runbook, Step, fill_all, placeholders, what_fails
from safehold.proof.runbooks.walk import (
    MAX_WHY,
    MAX_WRONG,
    NOT_ASKED,
    NOT_NEEDED,
    RUN,
    SKIPPED,
    YES,
    Done,
    Walk,
    begin,
    failed_at,
)

#: Commands that are at home where there is no installation.
MAKES_NOTHING = ("recover", "salvage", "--version")


class Ran(NamedTuple):
    exit: int
    said: Any  # its JSON object, where it was asked for; None where there was none


class Stopped(Exception):
    """The walk ends here for now; `exit` is the command's code."""

    def __init__(self, why: str, exit_code: Exit) -> None:
        super().__init__(why)
        self.why = why
        self.exit = exit_code


def run(book: Runbook, args: Namespace, context: Context) -> Answer:
    """Walk to the end, or to where it is stopped."""
    record = WalkRecord(context.data, context.config_path)
    given = _given(book, args.set or [])
    guide = _guide(book, args)
    with record.lock(book.name):
        walk = _begun(book, args, record)
        walk.values = {**walk.values, **{k: v for k, v in given.items() if k in {a.name for a in book.asked}}}
        cases = {step.only.name for step in book.steps if step.only is not None}
        walk.cases = {**walk.cases, **{k: _yes(k, v) for k, v in given.items() if k in cases}}
        guide.ready(book, walk)
        stopped = None
        try:
            Walking(book, walk, guide, record, context).to_the_end()
        except Stopped as why:
            stopped = why
            record.save(walk)
        evidence = ""
        if stopped is None:
            walk.ended = record.clock.now()
            evidence = record.finish(walk)
    return _answer(book, walk, stopped, evidence)


class Walking:
    """One walk, step by step."""

    def __init__(self, book: Runbook, walk: Walk, guide: Guide, record: WalkRecord, context: Context) -> None:
        self._book = book
        self._walk = walk
        self._guide = guide
        self._record = record
        self._context = context

    def to_the_end(self) -> None:
        """Raises Stopped."""
        while (step := self._walk.next(self._book)) is not None:
            self._record.save(self._walk)
            self._step(step)

    def _tell(self, text: str) -> None:
        say(text)

    def _step(self, step: Step) -> None:
        lang, walk = self._walk.lang, self._walk
        began = time.monotonic()
        number = walk.at + 1
        title = step.title.to(lang)
        self._tell("")
        self._tell(words.STEP.to(lang).format(number=number, count=len(self._book.steps), title=title))
        if step.only is not None:
            if step.only.name not in walk.cases:
                walk.cases = {**walk.cases, step.only.name: self._case(step)}
            if not walk.cases[step.only.name]:
                self._tell(words.NOT_NEEDED.to(lang))
                walk.note(Done(step=step.name, answer=NOT_NEEDED, ok=True, seconds=0.0))
                return
        self._tell(step.text.to(lang))
        if changes := step.changes.to(lang):
            self._tell(words.CHANGES.to(lang).format(changes=changes))
        self._ask_values(step)
        while not self._tried(step, began):
            began = time.monotonic()

    def _case(self, step: Step) -> bool:
        assert step.only is not None
        answer = self._guide.needed(step.only, self._walk.lang)
        if answer == STOP:
            raise self._stopped(step)
        return answer == YES

    def _ask_values(self, step: Step) -> None:
        for name in placeholders(step):
            if name not in self._walk.values:
                asked = next(each for each in self._book.asked if each.name == name)
                self._walk.values = {**self._walk.values, name: self._guide.value(asked, self._walk.lang)}

    def _tried(self, step: Step, began: float) -> bool:
        """One try at a step; whether the walk is past it. Raises Stopped."""
        lang, walk = self._walk.lang, self._walk
        if isinstance(step.check, Asks):
            answer, why = self._guide.question(step, lang)
            if answer == NOT_ASKED:
                self._tell(words.NOT_ASKED.to(lang).format(question=step.check.question.to(lang)))
            command, code, wrong = None, None, [] if answer in (YES, NOT_ASKED) else [answer]
        else:
            command = fill_all(step.command, walk.values) if step.command is not None else None
            self._show(step, command)
            answer, why = self._guide.deed(step, lang)
            code, wrong = (None, [answer]) if answer in (SKIPPED, STOP) else self._checked(step, answer, command)
        if answer == STOP:
            raise self._stopped(step)
        ran = command if answer == RUN else None
        done = Done(
            step=step.name,
            answer=answer,
            ok=not wrong,
            seconds=round(time.monotonic() - began, 3),
            command=ran,
            exit=code,
            wrong=[] if answer == SKIPPED else [each[:MAX_WHY] for each in wrong[:MAX_WRONG]],
            why=why[:MAX_WHY],
        )
        if done.ok or answer == SKIPPED:
            if done.ok:
                self._tell(words.GOOD.to(lang))
            walk.note(done)
            return True
        return self._went_wrong(step, done)

    def _went_wrong(self, step: Step, done: Done) -> bool:
        lang, walk = self._walk.lang, self._walk
        self._tell(words.WRONG.to(lang).format(wrong="; ".join(done.wrong)))
        if not self._guide.attempts(step):  # it is a person's to do, and nobody has been here
            raise Stopped(f"step {step.name} is for a person: {step.title.to(lang)}", Exit.UNFINISHED)
        choice = self._guide.after_failure(lang)
        walk.note(done, on=choice not in (AGAIN, STOP))
        if choice == STOP:
            raise Stopped(f"step {step.name} is not as expected: {'; '.join(done.wrong)}", Exit.FOUND)
        return choice != AGAIN

    def _show(self, step: Step, command: Sequence[str] | None) -> None:
        lang = self._walk.lang
        if command is not None:
            self._tell(words.COMMAND.to(lang).format(command=command_text(command)))
        self._tell(words.CHECK.to(lang).format(check=check_text(step, lang, self._walk.values)))

    def _checked(self, step: Step, answer: str, command: list[str] | None) -> tuple[int | None, list[str]]:
        """The exit code of the step's command, and what its check finds."""
        check, values = step.check, self._walk.values
        assert isinstance(check, Gives)
        code = None
        said = None
        if answer == RUN:
            assert command is not None
            code, said = self._run(command, judged=check.command is None and bool(check.expects))
        if check.command is None:
            if code is None:  # done by hand, with nothing that could be asked
                return None, self._guide.by_hand(step, self._walk.lang)
            return code, what_fails(check, code, said, values)
        if code is not None and code not in check.exits:
            return code, what_fails(Gives(check.exits), code, None, values)
        found = self._run(fill_all(check.command, values), judged=True, quiet=True)
        return code, what_fails(Gives((0,), check.expects), found.exit, found.said, values)

    def _run(self, command: Sequence[str], *, judged: bool, quiet: bool = False) -> Ran:
        """As a process of its own; its standard output is read where it is judged."""
        context = self._context
        if (missing := _no_installation(command, context)) is not None:
            self._tell(f"there is no installation in {missing}")
            return Ran(Exit.UNFINISHED, None)
        line = [sys.executable, "-m", "safehold"]
        if "--data" not in command:
            line += ["--data", str(context.data)]
            if context.config_path.parent != context.data:
                line += ["--config", str(context.config_path)]
        line += [*command, *(["--json"] if judged else [])]
        environment = os.environ | ({} if quiet else {TELL: "1"})
        ended = subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if judged else 2,
            stderr=subprocess.DEVNULL if quiet else None,
            env=environment,
            check=False,
        )
        if not judged:
            return Ran(ended.returncode, None)
        try:
            return Ran(ended.returncode, json.loads(ended.stdout))
        except ValueError:
            return Ran(ended.returncode, None)

    def _stopped(self, step: Step) -> Stopped:
        lang = self._walk.lang
        text = words.STOPPED.to(lang).format(number=self._walk.at + 1, title=step.title.to(lang))
        return Stopped(text, Exit.UNFINISHED)


def _no_installation(command: Sequence[str], context: Context) -> Path | None:
    """The folder, where a command would make an installation by looking for one: that is no check, and no cure."""
    if command[0] in MAKES_NOTHING or tuple(command[:2]) == ("keeper", "init"):
        return None
    folder = Path(command[command.index("--data") + 1]) if "--data" in command else context.data
    config = folder / context.config_path.name if "--data" in command else context.config_path
    return None if config.exists() else folder


def _guide(book: Runbook, args: Namespace) -> Guide:
    if args.yes:
        return Line()
    if sys.stdin.isatty() and sys.stderr.isatty():
        return Person()
    needed = " ".join(f"--set {asked.name}=…" for asked in book.asked)
    raise UsageError(
        "there is no terminal to ask on",
        hint=f"give --yes, and what is asked for{': ' + needed if needed else ''}",
    )


def _begun(book: Runbook, args: Namespace, record: WalkRecord) -> Walk:
    """The walk that was stopped, with --resume; else a new one, and the one that was stopped goes on record."""
    before = record.under_way(book.name)
    if args.resume:
        if before is None:
            raise UsageError(f"no walk through {book.name} was stopped", hint="begin one without --resume")
        before.at = min(before.at, len(book.steps))
        say(words.RESUMED.to(before.lang).format(number=before.at + 1))
        return before
    if before is not None:
        record.finish(before)
    return begin(book, args.lang, args.by or _who(), record.clock.now())


def _given(book: Runbook, pairs: Sequence[str]) -> dict[str, str]:
    known = {asked.name for asked in book.asked}
    known |= {step.only.name for step in book.steps if step.only is not None}
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in known:
            hint = "give NAME=VALUE; it asks for " + (", ".join(sorted(known)) or "nothing")
            raise UsageError(f"{pair!r} is nothing that {book.name} asks for", hint=hint)
        given[name] = value
    return given


def _yes(name: str, value: str) -> bool:
    if value.lower() not in ("yes", "no"):
        raise UsageError(f"{name} is a question: {value!r} does not answer it", hint=f"give --set {name}=yes, or no")
    return value.lower() == "yes"


def _who() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _answer(book: Runbook, walk: Walk, stopped: Stopped | None, evidence: str) -> Answer:
    lang = walk.lang
    step = walk.next(book)
    data = {
        **walk.facts(),
        "next": None if step is None else step.name,
        "stopped": None if stopped is None else stopped.why,
        "evidence": evidence or None,
    }
    if stopped is not None:
        return Answer(data, [stopped.why, f"safehold runbook run {book.name} --resume"], stopped.exit)
    bad = failed_at(walk)
    told = words.ENDED_BAD.to(lang).format(steps=", ".join(bad)) if bad else words.ENDED.to(lang)
    kept = words.KEPT.to(lang).format(evidence=evidence) if evidence else words.WAITS.to(lang)
    return Answer(data, [told, kept], Exit.DONE if walk.ok else Exit.FOUND)
