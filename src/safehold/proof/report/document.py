"""What a report consists of, before it is HTML or PDF: sections of tables, pairs, sentences and figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

#: Sets thousands apart: every font has it, and no reader takes it for a decimal mark.
NBSP = "\u00a0"
#: What stands where nothing is known.
NOTHING = "–"
_MICROSECONDS = 1_000_000


class Tone(StrEnum):
    """How a state is marked, beside the word that names it."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    SOFT = "soft"


class State(NamedTuple):
    text: str
    tone: Tone


class Ref(NamedTuple):
    """A record, by its number in the list of all."""

    number: int


Cell = str | int | float | None | State | Ref


class Column(NamedTuple):
    key: str  # the same in every language
    title: str
    number: bool = False
    mono: bool = False
    weight: float = 1.0  # share of the width on paper


class Table(NamedTuple):
    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


class Pairs(NamedTuple):
    key: str
    rows: Sequence[tuple[str, Cell]]


class Para(NamedTuple):
    text: str
    tone: Tone | None = None


# -- figures ---------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    points: Sequence[tuple[float, float]]
    style: str


class Area(NamedTuple):
    points: Sequence[tuple[float, float]]
    style: str


class Dot(NamedTuple):
    x: float
    y: float
    style: str
    hollow: bool = False


class Cross(NamedTuple):
    x: float
    y: float
    style: str


class Label(NamedTuple):
    x: float
    y: float
    text: str
    anchor: str = "start"  # start, middle, end
    style: str = "text"


Shape = Line | Area | Dot | Cross | Label


class Figure(NamedTuple):
    """Shapes in a box of `width` by `height` points, y downwards; the table beside it says the same in figures."""

    key: str
    title: str
    told: str  # what it shows, for who does not see it
    width: float
    height: float
    shapes: Sequence[Shape]
    table: Table | None = None


Block = Table | Pairs | Para | Figure


class Section(NamedTuple):
    key: str
    title: str
    blocks: Sequence[Block]


class Document(NamedTuple):
    lang: str
    title: str
    subtitle: str
    cover: Pairs
    verdict: Sequence[State]  # what the first page says at a glance
    sections: Sequence[Section]
    contents: str  # heading of the table of contents
    page: str  # "page {page} of {pages}"
    foot: str  # on every page


def cell_text(cell: Cell) -> str:
    """As it stands in either rendering."""
    if cell is None:
        return NOTHING
    if isinstance(cell, State):
        return cell.text
    if isinstance(cell, Ref):
        return f"#{cell.number}"
    return cell if isinstance(cell, str) else figure_text(cell)


def figure_text(value: float) -> str:
    """At most three decimals, thousands apart: `12 345.678`."""
    if isinstance(value, int):
        return f"{value:,}".replace(",", NBSP)
    text = f"{value:,.3f}".rstrip("0").rstrip(".")
    return ("0" if text in ("-0", "") else text).replace(",", NBSP)


def time_text(at: int) -> str:
    """µs to `2026-11-20 08:30:00`, UTC."""
    return datetime.fromtimestamp(at // _MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day_text(at: int) -> str:
    return time_text(at)[:10]
