"""What holds for all tests: long runs only when they are asked for, and hypothesis without a stopwatch."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Machines are shared: a slow moment is not a failure. A failing example prints how to run it again.
settings.register_profile(
    "shared", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long too (-m long runs only these)")
    parser.addoption("--fuzz", type=int, help="so many requests of each fuzz (some thousands unless told)")
    parser.addoption("--fuzz-seed", type=int, default=1, help="the seed of the fuzz over the wire")
    parser.addoption("--damages", type=int, help="so many damages to vaults (150 unless told)")
    parser.addoption("--damage-seed", type=int, help="begin with this seed; without --damages it is done alone")
    parser.addoption("--simulations", type=int, help="so many seeds of the simulation (45 unless told)")
    parser.addoption("--salvages", type=int, help="so many seeds of recoveries from finds (25 unless told)")
    parser.addoption("--laws", type=int, help="so many seeds of the proof of law 2 (30 unless told)")
    parser.addoption("--law-seed", type=int, help="begin with this seed; without --laws it runs alone")
    parser.addoption("--disasters", type=int, help="so many seeds of each disaster (2 unless told)")
    parser.addoption("--simulation-seed", type=int, help="begin with this seed; without --simulations it runs alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long") or "long" in config.getoption("-m"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
