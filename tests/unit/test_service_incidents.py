"""Devices that are ahead of the server are named, once each, and only so many are remembered."""

from __future__ import annotations

from safehold.lab.world import SimClock
from safehold.service.incidents import LIMIT, DevicesAhead


def test_a_device_is_named_once_with_since_and_last() -> None:
    clock = SimClock()
    ahead = DevicesAhead(clock)
    assert ahead.incidents() == []
    ahead.note("ann", "contacts/default", "DAVx5/4.4")
    clock.advance(60)
    ahead.note("ann", "contacts/default", "DAVx5/4.4")
    [incident] = ahead.incidents()
    assert (incident["what"], incident["account"], incident["device"]) == ("device ahead", "ann", "DAVx5/4.4")
    assert incident["since"] < incident["last_seen"]
    assert "ann" not in incident["summary"] + " ".join(incident["steps"]), "what is public names nobody"


def test_the_one_heard_of_longest_ago_makes_room() -> None:
    ahead = DevicesAhead(SimClock())
    for n in range(LIMIT + 1):
        ahead.note("ann", "contacts/default", f"device {n}")
        if n:
            ahead.note("ann", "contacts/default", "device 0")
    devices = {incident["device"] for incident in ahead.incidents()}
    assert len(devices) == LIMIT
    assert "device 0" in devices and "device 1" not in devices
