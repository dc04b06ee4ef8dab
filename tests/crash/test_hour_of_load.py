"""An hour of clients' writes, while the network to a vault at a server is cut, slow, reordered and half-closed.

Nothing acknowledged is lost, law 1 holds, the backlog is caught up, status is true throughout.

In simulated time, over the real application, engine, writer and shippers (tests/support/net_house.py). The same with
real processes and sockets is in test_vault_server_storm.py.
"""

from __future__ import annotations

import pytest

from safehold.lab.faulty_link import State
from tests.support.net_house import Hour

SHARES = (0.6, 0.25, 0.8)
#: Seeds whose hour has every state of the network. Few spells make an hour: in another one, one sort may not occur.
EVERY_STATE = (0, 1)


def hour(mode: str, seed: int) -> Hour:
    found = Hour(seed, mode, SHARES[seed % 3])
    found.run()
    spells = found.house.network.spells
    assert len(spells) > (len(State) - 1 if seed in EVERY_STATE else 2), spells
    assert found.checked > 10, found.checked
    assert len(found.acknowledged) > 10, len(found.acknowledged)
    return found


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 40))])
def test_an_hour_while_answers_wait_for_the_server(seed: int) -> None:
    found = hour("sync", seed)
    assert found.refused or found.starts, "a vault that is away refuses writes"


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 40))])
def test_an_hour_while_the_server_follows(seed: int) -> None:
    found = hour("async", seed)
    assert not found.refused and found.behind
