"""The front door: finds the command, runs it, prints its answer or its error, and says by the exit code which."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from safehold import __version__
from safehold.cli.exits import Exit, UsageError, exit_for
from safehold.cli.parser import Parser, chosen_command
from safehold.model.errors import SafeholdError

#: Every command: its module under safehold.cli, and what it is for.
COMMANDS = {
    "serve": ("serve", "serve phones, computers and browsers"),
    "account": ("account", "add, list and erase accounts, and set their passwords"),
    "status": ("status", "say how the service, its vaults and its objectives stand"),
    "snapshot": ("snapshot", "write what is new into the vaults as runs, which recovery reads fast"),
    "vault": ("vault", "list, add, scrub, repair and serve vaults; show, print, replace and move keys"),
    "keeper": ("keeper", "scrub, attest and retain vaults under credentials of its own"),
    "scrub": ("scrub", "read every vault whole and check every byte"),
    "drill": ("drill", "recover from one vault into a scratch core, compare and time it; surprise people"),
    "alarm": ("alarm", "list what is wrong, test who is told of it, acknowledge"),
    "recover": ("recover", "bring the core back from vaults"),
    "salvage": ("salvage", "find what is left in torn cores, vaults with holes, exports and photos"),
    "evidence": ("evidence", "list, show and verify the signed records of what was done and found"),
    "report": ("report", "write what was proved in a period as HTML and PDF, for whoever audits"),
    "history": ("history", "show what was changed, when and by whom"),
    "undo": ("undo", "bring an item, a collection or a kind back to what it was"),
    "runbook": ("runbook", "say what to do when something has happened, and walk through it step by step"),
    "disaster": ("disaster", "strike simulated worlds as real services were struck, and count what is lost"),
    "import": ("import_", "take vCards, iCalendar files, notes and photos into an account"),
    "export": ("export", "write an account's data as files that other programs read"),
}

EXAMPLE = "safehold account add ada && safehold serve"
EXIT_TABLE = """
exit codes:
  0  done
  1  found something wrong with the data
  2  wrong usage
  3  could not finish"""


def build_parser(command: str | None, *, alone: bool = False) -> Parser:
    """The whole tree, with the options of one command only; the others are there by name, or not at all (`alone`)."""
    parser = Parser(
        prog="safehold",
        example=EXAMPLE + "\n" + EXIT_TABLE,
        description="Keeps contacts, calendars, notes, tasks, photos and scores, and can give every one of them back.",
    )
    parser.add_argument("--version", action="version", version=f"safehold {__version__}")
    for name, (module, text) in COMMANDS.items():
        if name == command:
            chosen = import_module(f"safehold.cli.{module}")
            chosen.configure(parser.command(name, text, chosen.EXAMPLE, description=chosen.__doc__ or ""))
        elif not alone:
            parser.command(name, text, "")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. Whatever goes wrong becomes a sentence, a hint and a code."""
    from safehold.cli.output import prepare_streams, silence_stdout

    arguments = list(sys.argv[1:] if argv is None else argv)
    prepare_streams()
    try:
        try:
            code = _run(arguments)
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            code = _fail(error, as_json="--json" in arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
        code = Exit.UNFINISHED
    return int(code)


def _run(arguments: list[str]) -> Exit:
    command = chosen_command(arguments)
    # Who asks for help may mean what stands before the command: then all are listed.
    parser = build_parser(command, alone=command in COMMANDS and not {"-h", "--help"} & set(arguments))
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as leave:  # --help and --version have printed
        return Exit(int(leave.code or 0))
    from safehold.cli.context import Context
    from safehold.cli.output import print_answer

    context = Context.of(
        getattr(parsed, "data", None), getattr(parsed, "config", None), bool(getattr(parsed, "json", False))
    )
    answer = parsed.run(parsed, context)
    print_answer(answer, as_json=context.as_json)
    return Exit(answer.exit)


def _fail(error: BaseException, *, as_json: bool) -> Exit:
    from safehold.cli.output import print_error

    if os.environ.get("SAFEHOLD_DEBUG") and not isinstance(error, UsageError):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, SafeholdError):
        print_error(error.message, error.hint, as_json=as_json)
    elif isinstance(error, KeyboardInterrupt):
        print_error("interrupted", "", as_json=as_json)
    elif isinstance(error, OSError):
        print_error(_os_message(error), "", as_json=as_json)
    else:
        print_error(
            f"a fault of Safehold's own: {type(error).__name__}: {error}",
            "SAFEHOLD_DEBUG=1 shows where it happened",
            as_json=as_json,
        )
    return exit_for(error)


def _os_message(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"
