"""Whole systems under seeded faults and disasters.

Every seed is one course of events; see src/safehold/disaster/simulation.py for what happens in one and what must hold,
and docs/simulation.md for how to read a failure. `--simulations N` runs N of them, `--simulation-seed S` begins with
that seed (and runs it alone). Broken houses, which must be found out: test_mutants.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from safehold.disaster.course import small_limits
from safehold.disaster.simulation import Simulation, run_seed
from safehold.model.errors import SafeholdError

#: All in one process: the last test looks at what has happened in all of them.
pytestmark = pytest.mark.xdist_group("simulation")

#: In the ordinary suite, and those of the long runs, which come after them.
SEEDS, MANY = 45, 110

_happened: Counter[str] = Counter()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first, count = metafunc.config.getoption("--simulation-seed"), metafunc.config.getoption("--simulations")
        asked = range(first or 0, (first or 0) + (count or (SEEDS if first is None else 1)))
        more = range(SEEDS, SEEDS + MANY) if first is None and not count else ()
        seeds = [*asked, *(pytest.param(seed, marks=pytest.mark.long) for seed in more)]
        metafunc.parametrize("seed", seeds, ids=[f"seed-{seed}" for seed in (*asked, *more)])


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_limits():
        yield


def test_a_course_of_events(seed: int) -> None:
    _happened.update(run_seed(seed).happened)
    _happened["courses"] += 1


def test_enough_happened(request: pytest.FixtureRequest) -> None:
    """A simulation in which nothing happens proves nothing."""
    check_enough(request)


@pytest.mark.long
def test_enough_happened_in_many_courses(request: pytest.FixtureRequest) -> None:
    check_enough(request)


def check_enough(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--simulation-seed") is not None or not _happened:
        pytest.skip("only after all the seeds")
    often = [
        "disaster: core",
        "disaster: core and near",
        "disaster: restart",
        "another_writer",
        "crash",
        "fault",
        "full",
    ]
    often += ["undo", "ask_tokens", "doubt: it had happened", "doubt: it had not happened", "down: killed"]
    often += ["down: power", "interrupted: writer", "interrupted: shipper", "copy 201", "copy 403"]
    rare = ["disaster: near", "disaster: far", "disaster: blobs", "disaster: core, near hurt", "lost"]
    rare += ["another_writer"]
    rare += ["copy 204", "copy 412", "move 201", "move 204", "move 403", "move 412"]
    # Some come once in fifty courses or so: two of all may be missing from a hundred, and never more.
    missing = [what for what in (*often, *rare) if not _happened[what]]
    if _happened["courses"] >= MANY:
        assert len(missing) <= 2, missing
    else:
        assert not {*often} & {*missing} and len(missing) <= len(rare) // 2, missing


def test_a_failing_seed_says_how_to_run_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Simulation) -> None:
        raise SafeholdError("on purpose")

    monkeypatch.setattr(Simulation, "finish", refuse)
    with pytest.raises(AssertionError, match=r"bin/simulate --course simulation --first 7(.|\n)*finish"):
        run_seed(7)
