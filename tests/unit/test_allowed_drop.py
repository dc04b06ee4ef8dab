"""What keepers allow to drop, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from safehold.assembly import allowed_drop
from safehold.assembly.allowed_drop import allowed_to_drop
from safehold.assembly.installation import Installation, open_installation
from safehold.config import Config
from safehold.formats.evidence import Evidence
from safehold.formats.keys import Sealer
from safehold.vault.evidence import put_evidence, read_evidence
from safehold.vault.receipts import RetainFacts


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return open_installation(tmp_path / "data", Config(), make=True)


def say(installation: Installation, vault: str, upto: int, sealer: Sealer | None = None) -> None:
    facts = msgspec.to_builtins(RetainFacts(1, 1, drop_upto=upto))
    vaults = [installation.vault(config) for config in installation.config.vaults]
    keeper = sealer or installation.keyring.keeper
    assert keeper is not None
    put_evidence(vaults, keeper, installation.clock, Evidence(1, "retain", 0, vault, (0, 0, b""), b"", facts))


def test_every_piece_is_read_once(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(*args: Any) -> Any:
        found = read_evidence(*args)
        read.extend(one.name for one in found)
        return found

    monkeypatch.setattr(allowed_drop, "read_evidence", reading)
    assert allowed_to_drop(installation) == 0
    say(installation, "near", 50)
    assert allowed_to_drop(installation) == 0, "far's keeper has not said"
    say(installation, "far", 40)
    say(installation, "far", 90, installation.keyring.sealer)
    assert allowed_to_drop(installation) == 40
    again = Installation(installation.data, Config())
    assert allowed_to_drop(again) == 40
    assert len(read) == len(set(read)) == 3
    say(installation, "far", 45)
    say(installation, "far", 0)
    assert allowed_to_drop(again) == 45
    (installation.data / "run" / allowed_drop.NAME).write_bytes(b"rubbish")
    assert allowed_to_drop(again) == 45


def test_what_is_gone_is_forgotten_and_what_it_allowed_is_not(installation: Installation) -> None:
    say(installation, "near", 50)
    say(installation, "far", 50)
    assert allowed_to_drop(installation) == 50
    for path in (installation.data / "vaults").glob("*/evidence/*.ev"):
        path.unlink()
    assert allowed_to_drop(installation) == 50
    page = msgspec.msgpack.decode((installation.data / "run" / allowed_drop.NAME).read_bytes())
    assert page["seen"] == []
