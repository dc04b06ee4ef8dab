"""A course of events: actions drawn from a seed, each of which draws from its own number alone.

The script, a list of numbered actions, is drawn once, from the seed. Everything that draws (the course, each device,
the house, its shippers) is set anew at each step, from the seed and the step's number. So an action does what it does
however many of those before it are left out, as far as the state lets it, and `shrinking` can find out which actions a
failure needs. The same seed and the same actions kept give the same course, in any process.

After each action, once nothing runs, `Inspector` asserts the numbered invariants.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from safehold.disaster.house import House
from safehold.disaster.invariants import Inspector
from safehold.lab.oracle import Wrong
from safehold.recovery import build as build_module
from safehold.store.sqlite import connection
from safehold.store.sqlite.vfs import PAGE_BYTES

#: Every so many steps the invariants that cost more are asserted too.
THOROUGH_STEPS = 6
#: What breaks a rule of no number: an error that nobody foresaw.
UNFORESEEN = "no error that nobody foresaw"

C = TypeVar("C", bound="Course")


class Act(NamedTuple):
    """One step of a script: its number, from 1, and the method of the course that it calls."""

    number: int
    name: str


class Failure(NamedTuple):
    """What went wrong in a course. `kept` are the numbers of the actions that were taken; `log` is what happened."""

    course: str
    seed: int | str
    step: int
    rule: str
    message: str
    kept: tuple[int, ...]
    log: tuple[str, ...]


class Course:
    """Subclasses have `title`, `length`, `weights`, `take` and `finish`, and make their house before all else."""

    title = ""
    #: Steps, unless told otherwise.
    length = 0

    def __init__(self, seed: int | str, house: House, *, steps: int = 0, keep: Collection[int] | None = None) -> None:
        self.seed = seed
        self.house = house
        self.log: list[str] = []
        self.happened: Counter[str] = Counter()
        self.step = 0
        self.inspector = Inspector()
        self._dice: dict[str, random.Random] = {}
        self._last = steps or self.length
        self.script = [act for act in self._draw() if keep is None or act.number in keep]
        self.rng = self.dice("course")

    def weights(self) -> dict[str, float]:
        """How often each action is drawn, by its name."""
        raise NotImplementedError

    def take(self, act: Callable[[], None]) -> None:
        """Take an action, and bear what it leads to."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What comes before the first step. Raises Wrong."""

    def finish(self) -> None:
        """What comes at the end of each course. Raises Wrong."""
        raise NotImplementedError

    def _draw(self) -> list[Act]:
        names, weights = zip(*self.weights().items(), strict=True)
        chosen = random.Random(f"{self.title} {self.seed}").choices(names, weights, k=self._last)
        return [Act(number, name) for number, name in enumerate(chosen, 1)]

    def run(self) -> None:
        """Raises Wrong."""
        self.prepare()
        for number, name in self.script:
            self.begin(number)
            self.note(name)
            self.take(getattr(self, name))
            self.inspect(thorough=number % THOROUGH_STEPS == 0)
        self.begin(self._last + 1)
        self.note("finish")
        self.finish()
        self.inspect(thorough=True)

    # -- chance --------------------------------------------------------------------------------------------------------

    def dice(self, who: str) -> random.Random:
        """A source of chance of its own for somebody, set anew at each step."""
        rng = self._dice[who] = random.Random(self._chance_of(who))
        return rng

    def _chance_of(self, who: str) -> str:
        return f"{self.title} {self.seed} step {self.step} {who}"

    def begin(self, step: int) -> None:
        """From here on all chance hangs on this step."""
        self.step = step
        for who, rng in self._dice.items():
            rng.seed(self._chance_of(who))
        self.house.reseed(self._chance_of("house"))

    def note(self, text: str) -> None:
        """What happens, for whoever reads the course, and counted by its words."""
        self.log.append(f"{self.step}: {text}")
        self.happened[text] += 1

    # -- looking -------------------------------------------------------------------------------------------------------

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Somebody looks: no faults meanwhile, no crash, and room for all."""
        disk = self.house.disk
        faults, capacity, hook = disk.mend(), disk.capacity_bytes, disk.on_write_point
        disk.capacity_bytes = disk.on_write_point = None
        try:
            yield
        finally:
            disk.restore(faults)
            disk.capacity_bytes, disk.on_write_point = capacity, hook

    def inspect(self, *, thorough: bool) -> None:
        """Assert the numbered invariants. Raises Wrong."""
        with self.calm():
            self.inspector.look(self.house, thorough=thorough)


def failure_of(course: Course, error: Exception) -> Failure:
    rule = error.rule if isinstance(error, Wrong) else UNFORESEEN
    message = str(error) if isinstance(error, Wrong) else repr(error)
    kept = tuple(act.number for act in course.script)
    return Failure(course.title, course.seed, course.step, rule, message, kept, tuple(course.log))


def try_course(make: Callable[[], C]) -> tuple[C, Failure | None]:
    """Run one; what went wrong is returned."""
    with quietly():
        course = make()
        try:
            course.run()
        except Exception as error:
            return course, failure_of(course, error)
        finally:
            course.house.abandon()
        return course, None


def run_course(make: Callable[[int], C], seed: int) -> C:
    """One that must not fail. What fails says how it came about, and how to run it alone."""
    with quietly():
        course = make(seed)
        try:
            course.run()
        except Exception as error:
            told = "\n    ".join(course.log[-40:])
            raise AssertionError(
                f"{failure_of(course, error).rule}: {error!r}\n  run it alone: {again(course.title, seed)}\n"
                f"  the end of its course:\n    {told}"
            ) from error
        finally:
            course.house.abandon()
        return course


def again(title: str, seed: int | str, kept: Collection[int] = ()) -> str:
    """The command that runs this course again, whole or only those of its actions."""
    keep = f" --keep {','.join(map(str, kept))}" if kept else ""
    return f"bin/simulate --course {title} --first {seed} --seeds 1{keep}"


@contextmanager
def small_limits() -> Iterator[None]:
    """Limits that are reached within a small history: of a recovery's batches, and of the core's write-ahead file."""
    batch, checkpoint = build_module.BATCH_CHANGES, connection.CHECKPOINT_BYTES
    build_module.BATCH_CHANGES, connection.CHECKPOINT_BYTES = 7, 40 * PAGE_BYTES
    try:
        yield
    finally:
        build_module.BATCH_CHANGES, connection.CHECKPOINT_BYTES = batch, checkpoint


@contextmanager
def quietly() -> Iterator[None]:
    """The house speaks to its operator of every fault; here they are on purpose."""
    logger = logging.getLogger("safehold")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
