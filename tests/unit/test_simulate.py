"""The simulator as a tool: courses that hang on nothing but their seed, shrinking, and the program over both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import pytest

from safehold.disaster import simulate
from safehold.disaster.course import UNFORESEEN, Course, Failure, try_course
from safehold.disaster.house import House
from safehold.disaster.shrinking import likeness, shrink
from safehold.lab.oracle import Wrong

PROGRAM = (sys.executable, "-m", "safehold.disaster.simulate")


class Toy(Course):
    """Fails where actions 3 and 7 were taken."""

    title = "toy"
    length = 20
    fails = True

    def __init__(self, seed: int | str, *, steps: int = 0, keep: Collection[int] | None = None) -> None:
        super().__init__(seed, House.new("toy"), steps=steps, keep=keep)
        self.drawn: dict[int, tuple[float, float, bytes]] = {}
        self.device = self.dice("device")

    def weights(self) -> dict[str, float]:
        return {"draw": 1, "draw_more": 1}

    def take(self, act: Callable[[], None]) -> None:
        act()
        if self.fails and {3, 7} <= self.drawn.keys():
            raise Wrong(f"3 and 7 came together at step {self.step}", "I1")

    def draw(self) -> None:
        self.drawn[self.step] = self.rng.random(), self.device.random(), self.house.entropy.bytes(4)

    def draw_more(self) -> None:
        self.rng.random()
        self.draw()

    def finish(self) -> None:
        pass


class Sound(Toy):
    fails = False


class Broken(Toy):
    def finish(self) -> None:
        raise KeyError("a bug")


class Dying(Toy):
    fails = False

    def finish(self) -> None:
        os._exit(9)


# -- courses -----------------------------------------------------------------------------------------------------------


def test_what_an_action_draws_does_not_hang_on_those_before_it() -> None:
    whole, _ = try_course(lambda: Sound(1))
    part, _ = try_course(lambda: Sound(1, keep=(2, 9, 20)))
    assert len(whole.drawn) == 20
    assert part.drawn == {number: whole.drawn[number] for number in (2, 9, 20)}
    assert len(set(whole.drawn.values())) == 20


def test_an_error_that_nobody_foresaw_is_a_failure() -> None:
    _, failure = try_course(lambda: Broken(1, keep=(1,)))
    assert failure is not None
    assert (failure.rule, failure.message, failure.kept) == (UNFORESEEN, "KeyError('a bug')", (1,))


@pytest.mark.parametrize("course", simulate.COURSES)
def test_a_seed_is_one_course_whatever_the_order_of_sets(course: str) -> None:
    code = (
        "from safehold.disaster.simulate import *\n"
        f"with small_limits(): print('\\n'.join(try_course(lambda: COURSES[{course!r}](3))[0].log))"
    )
    logs = [
        subprocess.run(
            (sys.executable, "-c", code), env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert logs[0] == logs[1]
    assert logs[0].count(b"\n") > 30


# -- shrinking ---------------------------------------------------------------------------------------------------------


def test_a_failing_course_shrinks_to_what_it_needs() -> None:
    _, failure = try_course(lambda: Toy(5))
    assert failure is not None
    shrunk = shrink(failure, lambda keep: try_course(lambda: Toy(5, keep=keep))[1])
    assert shrunk.failure.kept == (3, 7)
    assert shrunk.tries < 30
    assert "3 and 7" in shrunk.failure.message


def test_another_failure_is_not_taken_for_it() -> None:
    def failure(rule: str, message: str, kept: Sequence[int]) -> Failure:
        return Failure("toy", 1, max(kept), rule, message, tuple(kept), ())

    def attempt(keep: Sequence[int]) -> Failure | None:
        if {2, 4} <= {*keep}:
            return failure("I1", "7 changes are gone", keep)
        return failure("I2", "7 changes are gone", keep) if keep else None

    assert shrink(failure("I1", "12 changes are gone", (1, 2, 3, 4, 5)), attempt).failure.kept == (2, 4)


def test_shrinking_ends() -> None:
    tries = 0

    def attempt(keep: Sequence[int]) -> Failure | None:
        nonlocal tries
        tries += 1
        return None

    kept = tuple(range(1, 200))
    shrunk = shrink(Failure("toy", 1, 199, "I1", "wrong", kept, ()), attempt, tries=25)
    assert (shrunk.failure.kept, shrunk.tries, tries) == (kept, 25, 25)


def test_names_and_numbers_do_not_make_another_failure() -> None:
    one, other = (
        likeness(Failure("toy", 1, 1, "I7", message, (), ()))
        for message in ("ann/contacts/x: 3 items live, not 'a'", "bob/files/y: 12 items live, not 'b'")
    )
    assert one == other


# -- the program -------------------------------------------------------------------------------------------------------


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    courses: dict[str, Any] = {"simulation": Sound, "law-two": Sound}
    monkeypatch.setattr(simulate, "COURSES", courses)
    return courses


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    code = simulate.main([*argv, "--json"])
    return code, msgspec.json.decode(capsys.readouterr().out)


def test_all_seeds_are_dealt(toys: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, "--seeds", "10", "--first", "5", "--jobs", "2")
    assert (code, told["seeds"], told["courses"]) == (0, 10, {"simulation": 8, "law-two": 2})
    assert (told["passed"], told["failures"], told["interrupted"]) == (True, [], False)


def test_a_failure_is_told_with_the_way_to_run_it_again(
    toys: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    toys["law-two"] = Toy
    code, told = run(capsys, "--seeds", "5", "--jobs", "1")
    (failure,) = told["failures"]
    assert (code, told["passed"], told["seeds"]) == (1, False, 5)
    assert (failure["seed"], failure["rule"], failure["kept"]) == (4, "I1", [3, 7])
    assert failure["again_shrunk"] == "bin/simulate --course toy --first 4 --seeds 1 --keep 3,7"
    assert any(line.startswith("7: draw") for line in failure["trace"])


def test_a_failure_in_words(toys: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    toys["simulation"] = Toy
    assert simulate.main(["--seeds", "1", "--first", "8"]) == 1
    said = capsys.readouterr()
    assert "I1 was broken at step 7" in said.out
    assert "--first 8 --seeds 1 --keep 3,7" in said.out
    assert "failed: toy seed 8: I1" in said.err


def test_only_the_actions_that_are_kept(toys: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    toys["simulation"] = Toy
    assert run(capsys, "--seeds", "1", "--keep", "1,2,3")[0] == 0
    code, told = run(capsys, "--seeds", "1", "--keep", "2,3,7", "--no-shrink")
    assert (code, told["failures"][0]["kept"]) == (1, [2, 3, 7])


def test_a_worker_that_dies_is_told(toys: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    toys["simulation"] = Dying
    code, told = run(capsys, "--seeds", "2", "--jobs", "1")
    assert (code, told["workers_lost"], told["passed"]) == (3, 1, False)


def test_time_is_up(toys: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, "--minutes", "0.01", "--jobs", "1")
    assert code == 0
    assert told["seeds"] >= 1


@pytest.mark.parametrize("argv", [(), ("--minutes", "0"), ("--seeds", "-1"), ("--seeds", "1", "--keep", "a,b")])
def test_wrong_usage(argv: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        simulate.main(argv)
    assert ended.value.code == 2


def test_ctrl_c_ends_it_with_what_there_is() -> None:
    process = subprocess.Popen(
        (*PROGRAM, "--minutes", "5", "--jobs", "1", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    assert b"1 processes" in process.stderr.readline()  # from here on it hears
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    told = msgspec.json.decode(out)
    assert told["interrupted"]
    assert (process.returncode, told["passed"]) == ((0, True) if told["seeds"] else (3, False))
