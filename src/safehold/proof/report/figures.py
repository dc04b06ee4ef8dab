"""Recorded samples and drills as drawn plots: shapes in a box, the same for a page and for paper.

Long series are drawn by their worst in each of BUCKETS parts of the period; a part in which nothing was recorded is
shaded, and no line goes across it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from safehold.proof.report.document import (
    NBSP,
    Area,
    Column,
    Cross,
    Dot,
    Figure,
    Label,
    Line,
    Shape,
    Table,
    day_text,
    figure_text,
)
from safehold.proof.report.words import Words
from safehold.proof.series import DAY, HOUR, Sample

WIDTH, HEIGHT = 640.0, 220.0
#: A series is drawn by so many points at most.
BUCKETS = 160
#: A target that is more than so many times what was measured is named, and not drawn.
_FAR = 4.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 12.0, 22.0, 24.0
_STYLES = 6
_TABLE_ROWS = 62
_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))


class Box(NamedTuple):
    """Where a plot lies, what it spans: µs from left to right, `top` the greatest value."""

    left: float
    upper: float
    right: float
    lower: float
    begin: int
    end: int
    top: float

    def at(self, at: float, value: float) -> tuple[float, float]:
        x = self.left + (self.right - self.left) * (at - self.begin) / max(1, self.end - self.begin)
        y = self.lower - (self.lower - self.upper) * value / self.top
        return round(x, 2), round(y, 2)


class Bucket(NamedTuple):
    at: int  # µs, its middle
    samples: Sequence[Sample]


class Shot(NamedTuple):
    """A drill, as it is drawn."""

    at: int
    value: float
    ok: bool
    whole: bool


def in_buckets(samples: Sequence[Sample], begin: int, end: int) -> list[Bucket]:
    """The period in parts of equal length, none shorter than an hour."""
    count = max(1, min(BUCKETS, (end - begin) // HOUR))
    step = (end - begin) / count
    parts: list[list[Sample]] = [[] for _ in range(count)]
    for sample in samples:
        if begin <= sample.at < end:
            parts[min(count - 1, int((sample.at - begin) / step))].append(sample)
    return [Bucket(begin + int((n + 0.5) * step), part) for n, part in enumerate(parts)]


def lag_figure(words: Words, samples: Sequence[Sample], begin: int, end: int, target: float | None) -> Figure:
    """The greatest lag of each vault in each part of the period."""
    title = words("figure.lag")
    names = sorted({name for sample in samples for name in sample.lag})
    buckets = in_buckets(samples, begin, end)
    series = {name: [(b.at, _most(s.lag.get(name) for s in b.samples)) for b in buckets] for name in names}
    values = [value for points in series.values() for _, value in points if value is not None]
    shapes, box = _frame(words, begin, end, values, target, seconds=True)
    shapes[:0] = _shades(box, buckets)
    for style, name in enumerate(names):
        shapes += [Line(part, f"s{style % _STYLES}") for part in _parts(box, series[name])]
    shapes += _legend(names)
    table = _lag_table(words, title, samples, names, begin, end)
    return _figure(words, "lag", title, words("figure.lag.told"), shapes, table, bool(values))


def shots_figure(words: Words, key: str, shots: Sequence[Shot], begin: int, end: int, target: float | None) -> Figure:
    """Drills by when they began; the table with their figures is that of the drills."""
    shapes, box = _frame(words, begin, end, [shot.value for shot in shots], target, seconds=True)
    shapes += _marks(box, shots)
    return _figure(words, key, words(f"figure.{key}"), words(f"figure.{key}.told"), shapes, None, bool(shots))


def forecast_figure(
    words: Words,
    name: str,
    samples: Sequence[Sample],
    shots: Sequence[Shot],
    begin: int,
    end: int,
    target: float | None,
) -> Figure:
    """The forecast of an objective with its interval, and what whole drills took."""
    title = words("figure.forecast", name=words.known(f"objective.{name}", name))
    told = [sample for sample in samples if name in sample.forecast]
    buckets = in_buckets(told, begin, end)
    latest = [(b.at, b.samples[-1].forecast[name] if b.samples else None) for b in buckets]
    values = [one.high for _, one in latest if one is not None] + [shot.value for shot in shots]
    shapes, box = _frame(words, begin, end, values, target, seconds=True)
    band: list[tuple[int, float, float]] = []
    for at, one in [*latest, (end, None)]:
        if one is not None:
            band.append((at, one.low, one.high))
        elif band:
            upper = [box.at(x, high) for x, _, high in band]
            lower = [box.at(x, low) for x, low, _ in reversed(band)]
            shapes.append(Area([*upper, *lower], "band"))
            band = []
    shapes += [
        Line(part, "s0") for part in _parts(box, [(at, None if one is None else one.seconds) for at, one in latest])
    ]
    shapes += _marks(box, shots)
    rows = [
        (day_text(bucket.samples[-1].at), *_forecast_cells(bucket.samples[-1], name))
        for bucket in _by_days(told, begin, end)
        if bucket.samples
    ]
    columns = [Column("day", words("col.day"))]
    columns += [Column(key, words(f"col.{key}"), number=True) for key in ("forecast", "low", "high")]
    table = Table(f"forecast-{name}-figures", words("figure.table", title=title), columns, rows)
    return _figure(words, f"forecast-{name}", title, words("figure.forecast.told"), shapes, table, bool(told))


def sizes_figure(words: Words, samples: Sequence[Sample], begin: int, end: int) -> Figure:
    """Live items by kind, a small plot each: they differ by orders of magnitude."""
    title = words("figure.sizes")
    kinds = list(dict.fromkeys(kind for sample in samples for kind in sample.items))
    buckets = in_buckets(samples, begin, end)
    shapes: list[Shape] = []
    across, wide, high = 3, WIDTH / 3, 104.0
    rows: list[tuple[str | int | None, ...]] = []
    for place, kind in enumerate(kinds):
        counts = [(b.at, max((s.items[kind] for s in b.samples if kind in s.items), default=None)) for b in buckets]
        seen = [sample.items[kind] for sample in samples if kind in sample.items]
        sizes: list[int | None] = [sample.bytes.get(kind) for sample in samples if kind in sample.items]
        name = words.known(f"kind.{kind}", kind)
        rows.append((name, seen[0], seen[-1], min(seen), max(seen), sizes[0], sizes[-1]))
        left, upper = place % across * wide, place // across * high
        box = Box(left + 8, upper + 30, left + wide - 12, upper + high - 14, begin, end, max(1.0, max(seen) * 1.1))
        shapes += [
            Label(left + 8, upper + 14, words.known(f"kind.{kind}", kind), style="name"),
            Label(left + wide - 12, upper + 14, figure_text(seen[-1]), "end", "value"),
            Line([(box.left, box.lower), (box.right, box.lower)], "axis"),
        ]
        shapes += [Line(part, "s0") for part in _parts(box, counts)]
    columns = [
        Column("kind", words("col.kind")),
        Column("first", words("col.first"), number=True),
        Column("latest", words("col.latest"), number=True),
        Column("low", "min", number=True),
        Column("high", "max", number=True),
        Column("first-bytes", words("col.first-bytes"), number=True),
        Column("latest-bytes", words("col.latest-bytes"), number=True),
    ]
    table = Table("sizes-figures", words("figure.table", title=title), columns, rows)
    tall = max(1, -(-len(kinds) // across)) * high
    return _figure(words, "sizes", title, words("figure.sizes.told"), shapes, table, bool(rows), tall)


# -- parts -----------------------------------------------------------------------------------------------------


def _figure(
    words: Words,
    key: str,
    title: str,
    told: str,
    shapes: Sequence[Shape],
    table: Table | None,
    anything: bool,
    height: float = HEIGHT,
) -> Figure:
    if anything:
        return Figure(key, title, told, WIDTH, height, shapes, table)
    empty = Label(WIDTH / 2, 34, words("figure.none"), "middle", "soft")
    return Figure(key, title, words("figure.none"), WIDTH, 60.0, [empty], None)


def _frame(
    words: Words, begin: int, end: int, values: Sequence[float], target: float | None, *, seconds: bool
) -> tuple[list[Shape], Box]:
    """Axes, gridlines and the target."""
    most = max(values, default=0.0)
    drawn = target is not None and (not values or target <= _FAR * max(most, 0.001))
    top = max(most, target if drawn and target is not None else 0.0, 0.001) * 1.12
    box = Box(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM, begin, end, top)
    shapes: list[Shape] = []
    unit, sign = next(((u, s) for u, s in _UNITS if top >= u), _UNITS[-1]) if seconds else (1.0, "")
    for tick in ticks(top / unit):
        y = box.at(begin, tick * unit)[1]
        shapes.append(Line([(box.left, y), (box.right, y)], "axis" if tick == 0 else "grid"))
        shapes.append(Label(box.left - 6, y + 3.5, f"{figure_text(tick)}{NBSP}{sign}".strip(), "end"))
    for at, text in day_ticks(begin, end):
        x = box.at(at, 0)[0]
        shapes.append(Line([(x, box.lower), (x, box.lower + 4)], "axis"))
        shapes.append(Label(x, box.lower + 16, text, "middle"))
    if target is not None:
        named = span_text(target)
        if drawn:
            y = box.at(begin, target)[1]
            shapes.append(Line([(box.left, y), (box.right, y)], "target"))
            shapes.append(Label(box.right, y - 4, words("figure.target", target=named), "end", "target"))
        else:
            shapes.append(Label(box.right, 12, words("figure.above", target=named), "end", "target"))
    return shapes, box


def ticks(top: float) -> list[float]:
    """Three to six round numbers from 0 on, not above `top`."""
    raw = top / 5
    scale = 1.0
    while scale > raw:
        scale /= 10
    while scale * 10 <= raw:
        scale *= 10
    step = next(scale * n for n in (1, 2, 5, 10) if scale * n >= raw)
    return [round(n * step, 9) for n in range(int(top / step) + 1)]


def day_ticks(begin: int, end: int) -> list[tuple[int, str]]:
    """Beginnings of days, at most eight."""
    days = max(1, (end - begin) // DAY)
    step = next((n for n in (1, 2, 4, 7, 14, 28, 56, 91, 182, 365) if days / n <= 8), 3650)
    return [(at, day_text(at)[5:] if days < 365 else day_text(at)) for at in range(begin, end, step * DAY)]


def span_text(seconds: float) -> str:
    """`4 h`, `90 s`: in the greatest unit that it is a whole or a tenth of."""
    unit, sign = next(((u, s) for u, s in _UNITS if seconds >= u and round(seconds / u, 1) * u == seconds), (1.0, "s"))
    return f"{figure_text(round(seconds / unit, 3))}{NBSP}{sign}"


def _parts(box: Box, points: Iterable[tuple[int, float | None]]) -> list[list[tuple[float, float]]]:
    """Lines through what is there; a single point is a short line."""
    parts: list[list[tuple[float, float]]] = []
    going: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            going.append(box.at(at, value))
        elif going:
            parts.append(going)
            going = []
    if going:
        parts.append(going)
    return [part if len(part) > 1 else [part[0], (part[0][0] + 1.5, part[0][1])] for part in parts]


def _shades(box: Box, buckets: Sequence[Bucket]) -> list[Shape]:
    """Where nothing was recorded."""
    half = (box.end - box.begin) / len(buckets) / 2
    shades: list[Shape] = []
    begin: float | None = None
    for bucket in [*buckets, None]:
        empty = bucket is not None and not bucket.samples
        if empty and begin is None and bucket is not None:
            begin = bucket.at - half
        elif not empty and begin is not None:
            until = box.end if bucket is None else bucket.at - half
            left, right = box.at(begin, 0)[0], box.at(until, 0)[0]
            shades.append(Area([(left, box.upper), (right, box.upper), (right, box.lower), (left, box.lower)], "gap"))
            begin = None
    return shades


def _marks(box: Box, shots: Sequence[Shot]) -> list[Shape]:
    found: list[Shape] = []
    for shot in shots:
        x, y = box.at(shot.at, shot.value)
        found.append(Dot(x, y, "s0", hollow=not shot.whole) if shot.ok else Cross(x, y, "bad"))
    return found


def _legend(names: Sequence[str]) -> list[Shape]:
    shapes: list[Shape] = []
    x = _LEFT
    for style, name in enumerate(names):
        shapes.append(Line([(x, 9.0), (x + 18, 9.0)], f"s{style % _STYLES}"))
        shapes.append(Label(x + 23, 12.5, name))
        x += 40 + 6.2 * len(name)
    return shapes


def _lag_table(
    words: Words, title: str, samples: Sequence[Sample], names: Sequence[str], begin: int, end: int
) -> Table:
    columns = [Column("day", words("col.day"))]
    for name in names:
        columns.append(Column(f"{name}-greatest", words("col.greatest", name=name), number=True))
        columns.append(Column(f"{name}-median", words("col.median", name=name), number=True))
    rows: list[tuple[str | float | None, ...]] = []
    for bucket in _by_days(samples, begin, end):
        cells: list[str | float | None] = [day_text(bucket.at)]
        for name in names:
            found = sorted(lag for sample in bucket.samples if (lag := sample.lag.get(name)) is not None)
            cells += [found[-1] if found else None, median(found)]
        rows.append(tuple(cells))
    return Table("lag-figures", words("figure.table", title=title), columns, rows)


def _by_days(samples: Sequence[Sample], begin: int, end: int) -> list[Bucket]:
    """Parts of whole days, so long that there are at most _TABLE_ROWS; `at` is the beginning of each."""
    days = max(1, -(-(end - begin) // DAY))
    step = -(-days // _TABLE_ROWS) * DAY
    parts: Mapping[int, list[Sample]] = {at: [] for at in range(begin, end, step)}
    for sample in samples:
        parts[begin + (sample.at - begin) // step * step].append(sample)
    return [Bucket(at, part) for at, part in parts.items()]


def _forecast_cells(sample: Sample, name: str) -> tuple[float, float, float]:
    one = sample.forecast[name]
    return one.seconds, one.low, one.high


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def median(ranked: Sequence[float]) -> float | None:
    """Of values in order."""
    if not ranked:
        return None
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2
