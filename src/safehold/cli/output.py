"""How answers, errors and progress are printed: tables drawn on a terminal only, plain text or one JSON object else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from safehold.cli.exits import Exit
from safehold.model import counting

#: Set in the environment: with --json what a command says for people goes to standard error as well.
TELL = "SAFEHOLD_TELL"


@dataclass(frozen=True)
class Table:
    """Rows under headings. Cells that are numbers stand to the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str | int]]


@dataclass(frozen=True)
class Answer:
    """What a command came to: `data` for --json, `blocks` for people, and the exit code.

    `printed` says that the command has printed by itself already, as `serve` does at its start.
    """

    data: dict[str, Any]
    blocks: Sequence[str | Table] = field(default_factory=tuple)
    exit: Exit = Exit.DONE
    printed: bool = False


def print_answer(answer: Answer, *, as_json: bool) -> None:
    if answer.printed:
        return
    if as_json:
        if os.environ.get(TELL):
            for line in as_lines(answer.blocks):
                say(line)
        print_json(answer.data)
        return
    for block in answer.blocks:
        if isinstance(block, Table):
            _print_table(block)
        else:
            print(printable(block))


def print_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=2), flush=True)


def print_error(message: str, hint: str, *, as_json: bool) -> None:
    """The sentence that says what is wrong and the one that says what to do; with --json on standard output too."""
    say(f"safehold: {message}")
    if hint:
        say(f"  {hint}")
    if as_json:
        print_json({"error": message, "hint": hint})


def say(text: str) -> None:
    """A line for people while a command runs: standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def prepare_streams() -> None:
    """No name of an item, in whatever script, may end a command on a terminal that cannot show it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def silence_stdout() -> None:
    """After its reader has gone: what is still buffered goes nowhere, and the interpreter ends quietly."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def printable(text: str) -> str:
    """Without what a terminal would obey: names come from devices."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def time_text(at: int | None) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC, `Z` at the end."""
    if at is None:
        return ""
    seconds, micros = divmod(at, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{micros:06d}Z" if micros else f"{text}Z"


def size_text(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


count_text = counting.count_text


def _print_table(table: Table) -> None:
    if is_terminal(sys.stdout):
        _draw(table)
        return
    for line in _columns(table):
        print(line)


def as_lines(blocks: Sequence[str | Table]) -> list[str]:
    """What would be printed into a pipe, a line each."""
    return [line for block in blocks for line in (_columns(block) if isinstance(block, Table) else [printable(block)])]


def _columns(table: Table) -> list[str]:
    """Plain columns, two blanks apart, nothing cut off: for pipes, logs and small terminals."""
    texts = [[str(h) for h in table.headings], *([printable(str(c)) for c in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    numeric = _numeric(table)
    lines = []
    for row in texts:
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _numeric(table: Table) -> list[bool]:
    if not table.rows:
        return [False] * len(table.headings)
    return [all(isinstance(cell, int) for cell in column) for column in zip(*table.rows, strict=True)]


def _draw(table: Table) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    for heading, number in zip(table.headings, _numeric(table), strict=True):
        drawn.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(printable(str(cell))) for cell in row))
    Console().print(drawn)
