"""Simulation testing on all cores: `bin/simulate` (docs/simulation.md).

Seeds are dealt out one by one to worker processes, each of which runs a seed's course on one thread. Progress goes to
standard error. What fails is run again and again with actions left out (`shrinking`), and told with the rule that was
broken, the shortest course found, and the command that runs it again.

Long, as options, dealing and telling are one small program that nothing else uses.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import msgspec

from safehold.disaster.course import Course, Failure, again, small_limits, try_course
from safehold.disaster.law_two import LawTwo
from safehold.disaster.shrinking import TRIES, Shrunk, shrink
from safehold.disaster.simulation import Simulation

COURSES: dict[str, type[Simulation] | type[LawTwo]] = {"simulation": Simulation, "law-two": LawTwo}
#: Of all courses every so many is one of law 2.
LAW_TWO_EVERY = 5
DONE, WRONG, USAGE, UNFINISHED = 0, 1, 2, 3
PROGRESS_SECONDS = 5.0

#: Nothing has to be imported anew.
_processes = multiprocessing.get_context("fork")


class Task(NamedTuple):
    """A seed to be run. `steps`: 0 for as many as the course has; `keep`: None for all."""

    course: str
    seed: int
    steps: int = 0
    keep: tuple[int, ...] | None = None


class Outcome(NamedTuple):
    """What came of a task. `seconds` are of one core, the shrinking of a failure left out."""

    task: Task
    seconds: float
    shrunk: Shrunk | None


class Run(NamedTuple):
    """What a whole run came to."""

    outcomes: list[Outcome]
    seconds: float  # that passed
    stopped: bool  # by hand
    broken: int  # workers that ended by themselves


def run_task(task: Task, tries: int) -> Outcome:
    """One course, and the shortest like it where it fails."""

    def make(keep: Collection[int] | None) -> Course:
        return COURSES[task.course](task.seed, steps=task.steps, keep=keep)

    with small_limits():
        began = time.process_time()
        failure = try_course(lambda: make(task.keep))[1]
        seconds = time.process_time() - began
        if failure is None:
            return Outcome(task, seconds, None)
        if not tries:
            return Outcome(task, seconds, Shrunk(failure, 0))
        return Outcome(task, seconds, shrink(failure, lambda keep: try_course(lambda: make(keep))[1], tries))


def course_of(seed: int, wanted: str) -> str:
    if wanted != "all":
        return wanted
    return "law-two" if seed % LAW_TWO_EVERY == LAW_TWO_EVERY - 1 else "simulation"


# -- workers -----------------------------------------------------------------------------------------------------------


def _work(pipe: Connection, tries: int) -> None:
    """A worker: takes tasks until it is told that there are none. The one who deals decides what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (task := pipe.recv()) is not None:
        pipe.send(run_task(task, tries))


class Workers:
    """Processes that run one task each, at most so many at once."""

    def __init__(self, count: int, tries: int) -> None:
        self._idle: list[Connection] = []
        self._busy: list[Connection] = []
        self._processes = []
        self.broken = 0
        for _ in range(count):
            mine, theirs = _processes.Pipe()
            process = _processes.Process(target=_work, args=(theirs, tries), daemon=True)
            process.start()
            theirs.close()
            self._idle.append(mine)
            self._processes.append(process)

    @property
    def idle(self) -> bool:
        return bool(self._idle)

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def give(self, task: Task) -> None:
        pipe = self._idle.pop()
        pipe.send(task)
        self._busy.append(pipe)

    def results(self, seconds: float) -> Iterator[Outcome]:
        """What has come within that time; waits no longer than for the first."""
        for pipe in wait(self._busy, seconds):
            assert isinstance(pipe, Connection)
            self._busy.remove(pipe)
            try:
                outcome = pipe.recv()
            except EOFError:
                self.broken += 1
                continue
            self._idle.append(pipe)
            yield outcome

    def end(self, *, at_once: bool) -> None:
        for pipe in self._idle:
            pipe.send(None)
        for process in self._processes:
            if at_once:
                process.terminate()
            process.join()


class Deal:
    """Deals seeds out until time is up, seeds are out, or somebody says stop."""

    def __init__(self, tasks: Iterator[Task], jobs: int, minutes: float | None, tries: int) -> None:
        self._tasks = tasks
        self._jobs = jobs
        self._tries = tries
        self._began = time.monotonic()
        self._until = None if minutes is None else self._began + 60 * minutes
        self._told = self._began
        self._stops = 0
        self._outcomes: list[Outcome] = []
        self._failures = 0

    def stop(self, *_: Any) -> None:
        """Once: what was dealt is finished. Twice: it is not."""
        self._stops += 1

    def run(self) -> Run:
        workers = Workers(self._jobs, self._tries)
        before = signal.signal(signal.SIGINT, self.stop)
        say(f"{self._jobs} processes; Ctrl-C ends after the seeds that are being run")
        try:
            while self._stops < 2 and (self._deal(workers) or workers.busy):
                for outcome in workers.results(0.5):
                    self._take(outcome)
                self._tell()
        finally:
            signal.signal(signal.SIGINT, before)
            workers.end(at_once=self._stops > 1)
        self._tell(last=True)
        return Run(self._outcomes, time.monotonic() - self._began, self._stops > 0, workers.broken)

    def _deal(self, workers: Workers) -> bool:
        """Whether anything was dealt."""
        dealt = False
        while workers.idle and not self._stops and (self._until is None or time.monotonic() < self._until):
            task = next(self._tasks, None)
            if task is None:
                break
            workers.give(task)
            dealt = True
        return dealt

    def _take(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        if outcome.shrunk is not None:
            self._failures += 1
            failure = outcome.shrunk.failure
            say(f"failed: {failure.course} seed {failure.seed}: {failure.rule}: {failure.message[:200]}")

    def _tell(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._told >= PROGRESS_SECONDS:
            self._told = now
            done = len(self._outcomes)
            say(f"{done} seeds in {now - self._began:.0f} s, {done / (now - self._began):.2f} a second, "
                f"{self._failures} failed")  # fmt: skip


def say(text: str) -> None:
    print(f"simulate: {text}", file=sys.stderr, flush=True)


# -- telling -----------------------------------------------------------------------------------------------------------


def told(failure: Failure) -> dict[str, Any]:
    """A failure as JSON has it; `trace` is what happened in the shortest course found."""
    return {
        "course": failure.course,
        "seed": failure.seed,
        "rule": failure.rule,
        "message": failure.message,
        "step": failure.step,
        "kept": list(failure.kept),
        "trace": list(failure.log),
        "again": again(failure.course, failure.seed),
        "again_shrunk": again(failure.course, failure.seed, failure.kept),
    }


def in_words(shrunk: Shrunk) -> str:
    failure = shrunk.failure
    lines = [
        f"{failure.course}, seed {failure.seed}: {failure.rule} was broken at step {failure.step}",
        f"  {failure.message}",
        f"  the shortest course found ({len(failure.kept)} actions, after {shrunk.tries} tries):",
        *(f"    {line}" for line in failure.log),
        f"  run it again:        {again(failure.course, failure.seed)}",
        f"  this shortest one:   {again(failure.course, failure.seed, failure.kept)}",
    ]
    return "\n".join(lines)


def summary(run: Run) -> dict[str, Any]:
    """The object that --json prints."""
    courses = Counter(outcome.task.course for outcome in run.outcomes)
    spent = sum(outcome.seconds for outcome in run.outcomes)
    failures = [outcome.shrunk.failure for outcome in run.outcomes if outcome.shrunk is not None]
    return {
        "seeds": len(run.outcomes),
        "courses": dict(courses),
        "seconds": round(run.seconds, 1),
        "core_seconds_a_seed": round(spent / len(run.outcomes), 3) if run.outcomes else None,
        "failures": [told(failure) for failure in failures],
        "interrupted": run.stopped,
        "workers_lost": run.broken,
        "passed": bool(run.outcomes) and not failures and not run.broken,
    }


def exit_code(run: Run) -> int:
    if any(outcome.shrunk is not None for outcome in run.outcomes):
        return WRONG
    return DONE if run.outcomes and not run.broken else UNFINISHED


# -- the command -------------------------------------------------------------------------------------------------------


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/simulate",
        description="Runs seeded courses of faults and disasters over whole simulated installations.",
        epilog="example: bin/simulate --minutes 10; exit codes: 0 all passed, 1 a course failed, 2 wrong usage, "
        "3 could not finish",
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="deal out seeds for so long")
    parser.add_argument("--seeds", type=int, metavar="N", help="deal out so many seeds")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="begin with this seed (0)")
    parser.add_argument("--course", choices=(*COURSES, "all"), default="all", help="which courses (all)")
    parser.add_argument("--jobs", type=int, metavar="J", help="so many processes (one a core)")
    parser.add_argument("--steps", type=int, default=0, metavar="N", help="make each course so many steps long")
    parser.add_argument("--keep", metavar="LIST", help="of each course only these actions, by number: 3,7,12")
    parser.add_argument("--no-shrink", action="store_true", help="tell a failure as it came")
    parser.add_argument("--json", action="store_true", help="print one object")
    chosen = parser.parse_args(argv)
    if chosen.minutes is None and chosen.seeds is None:
        parser.error("say --minutes M, --seeds N, or both")
    for name in ("minutes", "seeds", "jobs"):
        if getattr(chosen, name) is not None and getattr(chosen, name) <= 0:
            parser.error(f"--{name} has to be more than 0")
    try:
        chosen.keep = tuple(map(int, chosen.keep.split(","))) if chosen.keep else None
    except ValueError:
        parser.error("--keep takes numbers with commas between them")
    return chosen


def tasks_of(chosen: argparse.Namespace) -> Iterator[Task]:
    seed = chosen.first
    while chosen.seeds is None or seed < chosen.first + chosen.seeds:
        yield Task(course_of(seed, chosen.course), seed, chosen.steps, chosen.keep)
        seed += 1


def main(argv: Sequence[str] | None = None) -> int:
    chosen = options(argv)
    jobs = chosen.jobs or len(os.sched_getaffinity(0))
    if chosen.seeds is not None:
        jobs = min(jobs, chosen.seeds)
    run = Deal(tasks_of(chosen), jobs, chosen.minutes, 0 if chosen.no_shrink else TRIES).run()
    figures = summary(run)
    if chosen.json:
        print(msgspec.json.encode(figures).decode())
        return exit_code(run)
    for outcome in run.outcomes:
        if outcome.shrunk is not None:
            print(in_words(outcome.shrunk), end="\n\n")
    courses = ", ".join(f"{count} {name}" for name, count in sorted(figures["courses"].items()))
    print(
        f"{figures['seeds']} seeds ({courses}) in {figures['seconds']} s, "
        f"{figures['core_seconds_a_seed']} s of a core each: {len(figures['failures'])} failed"
    )
    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
