"""What to do when something has happened, or so that it does not: lists runbooks, shows one, and walks through it."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.exits import UsageError
from safehold.cli.output import Answer, Table, printable
from safehold.cli.parser import Parser

if TYPE_CHECKING:
    from safehold.proof.runbooks.value import Runbook, Step

EXAMPLE = "safehold runbook list && safehold runbook run recover"
LANGUAGES = ("en", "es")


def configure(parser: Parser) -> None:
    listed = parser.command("list", "which runbooks there are, and what each is for", "safehold runbook list", _list)
    show = parser.command(
        "show",
        "show one: how to tell, every step with its command and its check",
        "safehold runbook show ransomware --lang es",
        _show,
    )
    show.add_argument("name", metavar="NAME", help="the runbook's name")
    run = parser.command(
        "run",
        "walk through one: shows each step, runs its command, makes its check, and keeps the answers on record",
        "safehold runbook run ransomware --lang es",
        _run,
        "Walks a person through a runbook: each step is shown, its command is run where they say so, and its check is "
        "made. Answers and times are kept as evidence. It may be stopped, and goes on with --resume.",
    )
    run.add_argument("name", metavar="NAME", help="the runbook's name")
    run.add_argument("--by", metavar="WHO", help="who walks through it, for the record (default: this user)")
    run.add_argument("--yes", action="store_true", help="ask nobody: run every step that has a command")
    run.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        help="answer what is asked for: a placeholder, or CASE=yes for steps of a case; may be given more than once",
    )
    run.add_argument("--resume", action="store_true", help="go on where it was stopped")
    for each in (listed, show, run):
        each.add_argument("--lang", choices=LANGUAGES, default="en", help="English or Spanish (default: en)")


def named(name: str) -> Runbook:
    """Raises UsageError."""
    from safehold.proof.runbooks import NAMES, runbook_named

    try:
        return runbook_named(name)
    except KeyError:
        import difflib

        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"is {near[0]} meant? " if near else ""
        raise UsageError(
            f"there is no runbook {name!r}", hint=f"{hint}safehold runbook list tells which there are"
        ) from None


def _list(args: Namespace, _context: Context) -> Answer:
    from safehold.proof.runbooks import all_runbooks

    books = all_runbooks()
    data = {
        "runbooks": [
            {
                "name": book.name,
                "sort": str(book.sort),
                "title": book.title.to(args.lang),
                "when": book.when.to(args.lang),
                "steps": len(book.steps),
            }
            for book in books
        ]
    }
    rows = [(book.name, str(book.sort), book.title.to(args.lang)) for book in books]
    return Answer(data, [Table(("runbook", "sort", "title"), rows)])


def _show(args: Namespace, _context: Context) -> Answer:
    from safehold.proof.runbooks.page import text

    book = named(args.name)
    return Answer(as_json(book, args.lang), [printable(text(book, args.lang)).rstrip()])


def _run(args: Namespace, context: Context) -> Answer:
    from safehold.cli.runbook_walk import run

    return run(named(args.name), args, context)


def as_json(book: Runbook, lang: str) -> dict[str, Any]:
    """All of a runbook in one language."""
    return {
        "name": book.name,
        "lang": lang,
        "sort": str(book.sort),
        "title": book.title.to(lang),
        "when": book.when.to(lang),
        "asked": [{"name": each.name, "question": each.question.to(lang)} for each in book.asked],
        "steps": [_step_json(step, lang) for step in book.steps],
        "more": [{"title": each.title.to(lang), "text": each.text.to(lang)} for each in book.more],
    }


def _step_json(step: Step, lang: str) -> dict[str, Any]:
    from safehold.proof.runbooks.page import check_text

    return {
        "name": step.name,
        "title": step.title.to(lang),
        "only": None if step.only is None else {"case": step.only.name, "text": step.only.text.to(lang)},
        "text": step.text.to(lang),
        "command": None if step.command is None else list(step.command),
        "check": check_text(step, lang),
        "changes": step.changes.to(lang),
        "dangerous": step.dangerous,
    }
