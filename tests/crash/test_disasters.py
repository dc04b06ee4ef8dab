"""Disasters of real services in small worlds, some seeds of each. `--disasters N` runs N of each, `--long` thirty."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest

from safehold.disaster.scenario import MODULES, run, scenario_named

SEEDS, MANY = (1,), 30
#: Seeds that have once found something: losses of which nothing told, recoveries that refused their own plan.
TELLING = {
    "sidekick-2009": (2, 12, 60, 75, 79, 185, 799, 850),
    "kde-2013": (7, 10, 16, 22, 25, 26),
    "toy-story-2-1998": (2,),
    "gmail-2011": (2,),
    "google-music-2012": (2,),
    "unisuper-2024": (2,),
    "g-drive-2025": (2,),
}
#: Looked at in other processes; the others are only with --long.
TWICE = ("sidekick-2009",)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "disaster_seed" not in metafunc.fixturenames:
        return
    count = metafunc.config.getoption("--disasters")
    seeds = range(1, count + 1) if count else SEEDS
    cases = [(name, seed) for name in MODULES for seed in (*seeds, *TELLING.get(name, ()))]
    metafunc.parametrize(("name", "disaster_seed"), cases, ids=[f"{name}-{seed}" for name, seed in cases])


def test_a_disaster(name: str, disaster_seed: int) -> None:
    check(name, disaster_seed)


@pytest.mark.long
@pytest.mark.parametrize("name", MODULES)
def test_many_of_a_disaster(name: str) -> None:
    for seed in range(1, MANY + 1):
        check(name, seed)


def check(name: str, seed: int) -> None:
    found, world = run(scenario_named(name), seed)
    assert found.exact + found.older + found.lost + found.unknown == found.acknowledged
    told = "\n    ".join(world.story)
    assert found.passed, f"{'; '.join(found.why)}\n  safehold disaster run {name} --seed {seed}\n    {told}"


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n not in TWICE)) for n in MODULES])
def test_the_same_seed_gives_the_same_result_in_any_process(name: str) -> None:
    program = (
        "import msgspec, sys\nfrom safehold.disaster.scenario import run, scenario_named\n"
        "sys.stdout.buffer.write(msgspec.json.encode(run(scenario_named(sys.argv[1]), 3)[0]))"
    )
    results = []
    for hashing in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashing}
        done = subprocess.run(
            [sys.executable, "-c", program, name], env=environment, capture_output=True, check=True, timeout=120
        )
        results.append(json.loads(done.stdout))
    assert results[0] == results[1]
    assert results[0] == json.loads(msgspec.json.encode(run(scenario_named(name), 3)[0]))
