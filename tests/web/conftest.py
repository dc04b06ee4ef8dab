"""A device with an account of its own, over a core in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asgi import DavGate, Device


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    gate = DavGate(tmp_path)
    gate.add_account("anna")
    gate.add_account("bob")
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
