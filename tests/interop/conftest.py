"""`--seeds N`: how many seeds the proof of recovery runs; by default those of the continuous integration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.service import Client, Service

CI_SEEDS = 20
QUICK_SEEDS = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=None, help=f"seeds of test_lose_the_core ({CI_SEEDS})")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "storm_seed" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("--seeds", default=None)
    seeds = range(1, (asked or CI_SEEDS) + 1)
    metafunc.parametrize(
        "storm_seed",
        [pytest.param(s, marks=pytest.mark.long if asked is None and s > QUICK_SEEDS else ()) for s in seeds],
    )


class Running(NamedTuple):
    """A service that runs, with one account."""

    service: Service
    user: str
    password: str

    def client(self) -> Client:
        return self.service.client(self.user, self.password)

    def with_account(self, user: str, password: str) -> Running:
        """The same service, seen by an account that is made for it."""
        self.service.add_account(user, password)
        return Running(self.service, user, password)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = Service(tmp_path_factory.mktemp("running") / "data")
    service.add_account("ada", "correct horse")
    service.start()
    yield Running(service, "ada", "correct horse")
    service.close()
