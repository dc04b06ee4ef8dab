"""A device with an account of its own, over a core in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.web.app import make_app
from tests.support.asgi import DavGate, Device
from tests.support.edge import Edge


@pytest.fixture
def gate(tmp_path: Path) -> DavGate:
    """With two accounts."""
    gate = DavGate(tmp_path)
    gate.add_account("anna")
    gate.add_account("bob")
    return gate


@pytest.fixture
def edge(gate: DavGate) -> Iterator[Edge]:
    """Every page and path, as a browser asks."""
    edge = Edge(gate, make_app(gate))
    yield edge
    edge.close()


@pytest.fixture
def device(gate: DavGate) -> Iterator[Device]:
    found = Device(gate)
    yield found
    found.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Device]:
    """The same where an account may hold 300,000 bytes."""
    gate = DavGate(tmp_path, quota_bytes=300_000)
    gate.add_account("anna")
    found = Device(gate)
    yield found
    found.close()
