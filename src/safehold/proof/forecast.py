"""How long a recovery will take at a given size, out of drills; and how far such forecasts were off.

The model is a sum that cannot fall as sizes grow: a fixed part, and so much for each account, change, byte and byte of
a photo. Its coefficients are fitted to the drills by least squares of relative errors, none below zero, and drawn
towards the shape of a *reckoning* (figures that were measured once, on some machine) as far as the drills scatter:
drills of one size alone cannot tell bytes from changes, and the reckoning does. What is left is corrected by how the
last drills, and those of the same vault, came out against the fit.

The interval is meant to hold four times in five. It comes from the errors that were kept: of each drill what had been
forecast before it began, or else how it lies to a fit made without it; with few of them it is wider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, exp, inf, log
from typing import Any, NamedTuple

from safehold.model.kinds import Kind
from safehold.proof.drills import Drilled

RTO, FIRST_CONTACT = "rto", "first_contact"
#: Errors that are kept, and drills that a fit is made of: the newest so many.
MOST_ERRORS, MOST_DRILLS = 40, 60
#: A forecast tells of so many days ahead at most.
MOST_DAYS = 3650.0
#: Growth is believed from so many days of sizes on.
LEAST_DAYS = 7.0

#: The part of an interval that is wanted to hold.
_HOLDS = 0.8
#: Half-widths, as logarithms of a factor: without any drill, with one, two, three, and the least.
_FEW = (log(3.0), log(1.8), log(1.5), log(1.35))
_LEAST_WIDTH = log(1.03)
#: How much the interval widens for each factor of e that a size lies outside of all that was drilled.
_OUTSIDE_WIDTH = 0.15
#: Relative scatter that is reckoned with where drills are too few to show it, and the least.
_SCATTER, _LEAST_SCATTER = 0.1, 1e-4
#: By how many times itself a coefficient may well be off the reckoning's.
_LOOSE = 4.0
_RECENT = 3


class Size(NamedTuple):
    """What a recovery has to bring back."""

    accounts: float
    changes: float
    bytes: float  # of bodies, those of photos left out
    photo_bytes: float
    items: float = 0.0

    def features(self) -> tuple[float, ...]:
        return (1.0, self.accounts, self.changes, self.bytes, self.photo_bytes)


#: Seconds for each feature, as measured on two cores: see decision 0073.
_RECKONED = {
    RTO: (1.5, 1e-4, 40e-6, 8e-9, 10e-9),
    FIRST_CONTACT: (0.5, 2e-4, 0.5e-6, 1e-10, 0.0),
}


class Forecast(NamedTuple):
    """Seconds, four times in five within `low` and `high`; in words what it is made of."""

    seconds: float
    low: float
    high: float
    drills: int
    basis: str
    error: float | None = None  # median of the relative errors that were kept
    errors: int = 0
    held: float | None = None  # share of the kept forecasts that came out within what is now the interval
    violated_in_days: float | None = None

    def facts(self) -> dict[str, Any]:
        """For the status object."""
        days = self.violated_in_days
        return {
            "seconds": round(self.seconds, 3),
            "low_seconds": round(self.low, 3),
            "high_seconds": round(self.high, 3),
            "drills": self.drills,
            "basis": self.basis,
            "median_error": None if self.error is None else round(self.error, 4),
            "errors_kept": self.errors,
            "violated_in_days": None if days is None else round(days, 1),
        }


def size_of(drilled: Drilled) -> Size:
    """What a drill brought back."""
    photos = float(drilled.kinds[Kind.PHOTOS.value].bytes) if Kind.PHOTOS.value in drilled.kinds else 0.0
    return Size(
        float(drilled.accounts), float(drilled.changes), max(0.0, drilled.bytes - photos), photos, float(drilled.items)
    )


def reckoned(what: str, size: Size) -> float:
    """Seconds where nothing has been measured here."""
    return sum(c * x for c, x in zip(_RECKONED[what], size.features(), strict=True))


class Forecaster:
    """Made of the drills that are known; forecasts `what` for any size and source."""

    def __init__(self, what: str, drills: Sequence[Drilled]) -> None:
        self.what = what
        told = [(drilled, _seconds(what, drilled)) for drilled in drills if drilled.ok and not drilled.damaged]
        self._drills = [(d, s) for d, s in told if s is not None and s > 0][-MOST_DRILLS:]
        self._fit = _fitted(what, [(size_of(d), s) for d, s in self._drills])
        self._errors = _kept_errors(what, self._drills)

    def forecast(self, size: Size, source: str = "", *, reckoned_seconds: float | None = None) -> Forecast:
        """`source`: the vault; "" any. `reckoned_seconds`: what to say where no drill has been."""
        if not self._drills:
            seconds = reckoned(self.what, size) if reckoned_seconds is None else reckoned_seconds
            width = exp(_FEW[0])
            return Forecast(seconds, seconds / width, seconds * width, 0, "reckoned with figures of another machine")
        seconds = self._fit.seconds(size) * self._corrected(source)
        half = self._half_width(size)
        shown = sorted(abs(exp(error) - 1.0) for error in self._errors)
        count = len(self._drills)
        return Forecast(
            seconds,
            seconds / exp(half),
            seconds * exp(half),
            count,
            f"from {count} drill{'s' if count > 1 else ''}{f', {source}' if source else ''}",
            _median(shown) if shown else None,
            len(shown),
            sum(abs(error) <= half for error in self._errors) / len(shown) if shown else None,
        )

    def slope(self, growth: Size, source: str = "") -> float:
        """Seconds more a day where a size grows by so much a day."""
        fixed = self._fit.coefficients[0]
        return (self._fit.seconds_of(growth) - fixed) * (self._corrected(source) if self._drills else 1.0)

    def _corrected(self, source: str) -> float:
        """How the last drills, those of this source before others, came out against the fit; fewer count for less."""
        same = [pair for pair in self._drills if pair[0].vault == source] or self._drills
        off = [log(s / self._fit.seconds(size_of(d))) for d, s in same[-_RECENT:]]
        return exp(_median(sorted(off)) * len(off) / (len(off) + 2.0))

    def _half_width(self, size: Size) -> float:
        """From the kept errors, one in five of which may lie outside."""
        count = len(self._errors)
        sizes = sorted(max(1.0, size_of(d).changes) for d, _ in self._drills)
        changes = max(1.0, size.changes)
        outside = max(0.0, log(changes / sizes[-1]), log(sizes[0] / changes))
        rank = ceil((count + 1) * _HOLDS)
        ranked = sorted(abs(error) for error in self._errors)
        half = ranked[rank - 1] if count and rank <= count else 1.5 * ranked[-1] if count else 0.0
        least = _FEW[count] if count < len(_FEW) else _LEAST_WIDTH
        return max(half, least) + _OUTSIDE_WIDTH * outside


class _Fit(NamedTuple):
    coefficients: tuple[float, ...]

    def seconds(self, size: Size) -> float:
        return max(1e-6, self.seconds_of(size))

    def seconds_of(self, size: Size) -> float:
        return sum(c * x for c, x in zip(self.coefficients, size.features(), strict=True))


def _seconds(what: str, drilled: Drilled) -> float | None:
    return drilled.seconds if what == RTO else drilled.first_contact_seconds


def _foretold(what: str, drilled: Drilled) -> float | None:
    return drilled.forecast_rto_seconds if what == RTO else drilled.forecast_first_contact_seconds


def _kept_errors(what: str, drills: Sequence[tuple[Drilled, float]]) -> list[float]:
    """Logarithms of actual to forecast, oldest first."""
    errors = []
    for place in range(max(0, len(drills) - MOST_ERRORS), len(drills)):
        drilled, seconds = drills[place]
        told = _foretold(what, drilled) if place else None  # before the first drill there was a reckoning at most
        if told is None and len(drills) > 2:
            others = [(size_of(d), s) for n, (d, s) in enumerate(drills) if n != place]
            told = _fitted(what, others).seconds(size_of(drilled))
        if told is not None and told > 0:
            errors.append(log(seconds / told))
    return errors


def _fitted(what: str, points: Sequence[tuple[Size, float]]) -> _Fit:
    """Coefficients, none below zero, of the drills; the reckoning's where there are none."""
    prior = _RECKONED[what]
    if not points:
        return _Fit(prior)
    offs = sorted(seconds / max(1e-9, reckoned(what, size)) for size, seconds in points)
    drawn = tuple(max(c, 1e-15) * _median(offs) for c in prior)
    weights = [1.0] * len(points)
    found = _solved(points, drawn, _LEAST_SCATTER, weights)
    scatter = _SCATTER
    for _ in range(2):
        offs = [_off(found, size, seconds) for size, seconds in points]
        if len(points) > _RECENT:
            scatter = max(_LEAST_SCATTER, 1.4826 * _median(sorted(map(abs, offs))))
        far = max(2.0 * scatter, 1e-3)
        weights = [1.0 if abs(off) <= far else far / abs(off) for off in offs]
        found = _solved(points, drawn, scatter if len(points) > 1 else _SCATTER, weights)
    return _Fit(found)


def _off(coefficients: Sequence[float], size: Size, seconds: float) -> float:
    return sum(c * x for c, x in zip(coefficients, size.features(), strict=True)) / seconds - 1.0


def _solved(
    points: Sequence[tuple[Size, float]], drawn: Sequence[float], pull: float, weights: Sequence[float]
) -> tuple[float, ...]:
    """Least squares of relative errors, in units of `drawn`, towards 1 as `pull` says."""
    width = len(drawn)
    rows = [tuple(c * x / s for c, x in zip(drawn, size.features(), strict=True)) for size, s in points]
    gram = [
        [sum(w * r[i] * r[j] for r, w in zip(rows, weights, strict=True)) for j in range(width)] for i in range(width)
    ]
    goal = [sum(w * r[i] for r, w in zip(rows, weights, strict=True)) for i in range(width)]
    found = _active(gram, goal, (pull / _LOOSE) ** 2)
    return tuple(f * c for f, c in zip(found, drawn, strict=True))


def _active(gram: Sequence[Sequence[float]], goal: Sequence[float], pull: float) -> list[float]:
    """Minimum over x >= 0 of x'Gx - 2g'x + pull |x - 1|²: the best of all choices of what is zero (there are few)."""
    width = len(goal)
    best, least = [1.0] * width, inf
    for choice in range(1, 1 << width):
        used = [i for i in range(width) if choice >> i & 1]
        matrix = [[gram[i][j] + (pull if i == j else 0.0) for j in used] + [goal[i] + pull] for i in used]
        values = _gauss(matrix)
        if values is None or min(values) < 0.0:
            continue
        full = [0.0] * width
        for i, value in zip(used, values, strict=True):
            full[i] = value
        cost = sum(full[i] * full[j] * gram[i][j] for i in used for j in used)
        cost += sum(pull * (value - 1.0) ** 2 for value in full) - 2.0 * sum(goal[i] * full[i] for i in used)
        if cost < least:
            best, least = full, cost
    return best


def _gauss(rows: list[list[float]]) -> list[float] | None:
    """The solution of a small system, each row with its right side at its end; None where it has none."""
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        if abs(rows[pivot][column]) < 1e-300:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(column + 1, size):
            factor = rows[row][column] / rows[column][column]
            for place in range(column, size + 1):
                rows[row][place] -= factor * rows[column][place]
    found = [0.0] * size
    for row in reversed(range(size)):
        rest = sum(rows[row][place] * found[place] for place in range(row + 1, size))
        found[row] = (rows[row][size] - rest) / rows[row][row]
    return found


# -- by kind ---------------------------------------------------------------------------------------------------


def kind_seconds(drills: Sequence[Drilled], total: float, changes: Mapping[Kind, int]) -> dict[Kind, float]:
    """How a forecast is divided among kinds: by changes, at each kind's own pace in the drills."""
    spent: dict[str, float] = {}
    counted: dict[str, int] = {}
    for drilled in drills[-MOST_DRILLS:]:
        for name, timed in drilled.kinds.items():
            spent[name] = spent.get(name, 0.0) + timed.seconds
            counted[name] = counted.get(name, 0) + timed.changes
    everywhere = max(1, sum(counted.values()))
    usual = max(sum(spent.values()), 1e-9) / everywhere
    share = {
        kind: count * (spent[kind.value] / counted[kind.value] if counted.get(kind.value) else usual)
        for kind, count in changes.items()
    }
    whole = sum(share.values())
    return {kind: total * part / whole if whole else 0.0 for kind, part in share.items()}


# -- growth ----------------------------------------------------------------------------------------------------


class Sized(NamedTuple):
    """The size on one day; `day` counts days from any moment."""

    day: float
    size: Size


def growth(series: Sequence[Sized]) -> Size | None:
    """What is added a day: the median of all slopes, so that one import is no growth; None: too short a time."""
    if len(series) < 3 or series[-1].day - series[0].day < LEAST_DAYS:
        return None
    slopes = []
    for place in range(len(Size._fields)):
        found = sorted(
            (b.size[place] - a.size[place]) / (b.day - a.day)
            for n, a in enumerate(series)
            for b in series[n + 1 :]
            if b.day > a.day
        )
        slopes.append(max(0.0, _median(found)))
    return Size(*slopes)


def days_until(target: float, forecast: Forecast, seconds_a_day: float) -> float | None:
    """After how many days the forecast passes the target; None where it does not within years."""
    if forecast.seconds >= target:
        return 0.0
    if seconds_a_day <= 0.0:
        return None
    days = (target - forecast.seconds) / seconds_a_day
    return days if days <= MOST_DAYS else None


def _median(ranked: Sequence[float]) -> float:
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2
