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
