"""The command line's grammar: one argparse tree in which the common options stand anywhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from safehold.cli.exits import UsageError

if TYPE_CHECKING:
    from safehold.cli.context import Context
    from safehold.cli.output import Answer

#: What a command does once it is parsed.
Run = Callable[[argparse.Namespace, "Context"], "Answer"]

#: Options that take a value and may stand before the command.
VALUE_OPTIONS = ("--data", "--config")


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UsageError instead of leaving, and whose help ends with an example."""

    def __init__(self, *, example: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        epilog = f"example:\n  {example}" if example else None
        super().__init__(allow_abbrev=False, epilog=epilog, **kwargs)
        self._branches: argparse._SubParsersAction[Parser] | None = None
        self._add_common()

    def _add_common(self) -> None:
        # SUPPRESS: a deeper parser that was not given the option must not overwrite what a higher one was given.
        common = self.add_argument_group("common options, anywhere on the line")
        common.add_argument(
            "--data",
            metavar="DIR",
            default=argparse.SUPPRESS,
            help="the data folder (default: SAFEHOLD_DATA, else ./safehold-data)",
        )
        common.add_argument(
            "--config",
            metavar="FILE",
            default=argparse.SUPPRESS,
            help="the configuration (default: safehold.toml in the data folder)",
        )
        common.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on standard output"
        )

    def command(self, name: str, help_text: str, example: str, run: Run | None = None, description: str = "") -> Parser:
        """A subcommand; `run` is what it does, where it has none below it."""
        if self._branches is None:
            # One that does something by itself, set before, may be given without a subcommand.
            needed = self.get_default("run") is None
            self._branches = self.add_subparsers(
                title="commands", metavar="COMMAND", required=needed, parser_class=Parser
            )
        found = self._branches.add_parser(
            name, help=help_text, description=description or f"{help_text[0].upper()}{help_text[1:]}.", example=example
        )
        if run is not None:
            found.set_defaults(run=run)
        return found

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help tells what it takes")


def chosen_command(arguments: list[str]) -> str | None:
    """The first word of the line that is neither an option nor the value of one."""
    words = iter(arguments)
    for word in words:
        if word in VALUE_OPTIONS:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None
