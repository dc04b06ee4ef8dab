"""Attestation, and with it retention, goes on after a permanent hole in the middle of the log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.segment import HEADER_BYTES
from tests.unit.test_cli_commands import Run, import_cards, run, with_ada
from tests.unit.test_scrub_commands import segments

__all__ = ["run", "with_ada"]


@pytest.fixture
def vaults(tmp_path: Path) -> Path:
    return tmp_path / "data" / "vaults"


@pytest.fixture
def attested(with_ada: Run, tmp_path: Path) -> Run:
    """A generation that is attested, and contacts after it in a segment of their own."""
    import_cards(with_ada, tmp_path / "cards", "one", "two", "three")
    assert with_ada("snapshot")[0] == 0
    assert keep(with_ada)[0] == keep(with_ada)[0] > 0
    import_cards(with_ada, tmp_path / "more", "four", "five")
    import_cards(with_ada, tmp_path / "again", "six")
    return with_ada


def keep(run: Run) -> tuple[int, list[str]]:
    """The keeper's day: the generation that is attested, and what was refused."""
    told: dict[str, Any] = run("keeper", "run", "--once")[1]
    return min(v["attested"] for v in told["vaults"]), [why for v in told["vaults"] for why in v["refused"]]


def spoil(vaults: Path, type_: FrameType, *, back: int = 0) -> None:
    """Flip a bit of the newest frame of this type but `back`, in every vault."""
    for vault in ("near", "far"):
        found = []
        for name in segments(vaults / vault):
            data = (vaults / vault / name).read_bytes()
            for frame in scan_frames(data, HEADER_BYTES):
                if isinstance(frame, RawFrame) and frame.header.type is type_:
                    found.append((name, frame.offset + len(frame.data) // 2))
        name, at = found[-1 - back]
        raw = bytearray((vaults / vault / name).read_bytes())
        raw[at] ^= 1
        (vaults / vault / name).write_bytes(raw)


@pytest.mark.parametrize(("type_", "back"), [(FrameType.CHANGES, 2), (FrameType.SEAL, 1), (FrameType.CLAIM, 1)])
def test_after_the_core_has_written_it_again(attested: Run, vaults: Path, type_: FrameType, back: int) -> None:
    before = keep(attested)[0]
    spoil(vaults, type_, back=back)
    assert attested("scrub")[0] == 1
    code, told = attested("snapshot", "--full")
    assert code == 0, told
    code, told = attested("vault", "repair", "--yes")
    assert code == 0, told
    code, told = attested("scrub")
    assert code == 0, told
    code, told = attested("snapshot", "--full")
    assert code == 0, told
    newest, refused = keep(attested)
    assert (newest > before, refused) == (True, [])


def test_after_a_loss_was_accepted(attested: Run, vaults: Path) -> None:
    """Nobody has the changes: the keeper attests nothing until somebody took the loss on record."""
    before = keep(attested)[0]
    spoil(vaults, FrameType.CHANGES, back=1)
    shutil.rmtree(vaults.parent / "core")
    code, told = attested("recover", "run", "--yes")
    assert code == 1 and told["lost"]
    code, told = attested("snapshot", "--full")
    assert code == 0, told
    assert keep(attested)[0] == before
    code, told = attested("recover", "run", "--yes", "--accept-loss")
    assert told["accepted"], told
    code, told = attested("snapshot", "--full")
    assert code == 0, told
    newest, refused = keep(attested)
    assert (newest > before, refused) == (True, [])


def test_after_a_recovery_that_found_nothing_of_the_log(attested: Run, vaults: Path, tmp_path: Path) -> None:
    before = keep(attested)[0]
    code, told = attested("snapshot")
    assert code == 0, told
    shutil.rmtree(vaults.parent / "core")
    for vault in ("near", "far"):
        shutil.rmtree(vaults / vault / "log")
    code, told = attested("recover", "run", "--yes")
    assert (code, told["lost"]) == (0, [])
    import_cards(attested, tmp_path / "later", "seven")
    code, told = attested("snapshot", "--full")
    assert code == 0, told
    newest, refused = keep(attested)
    assert (newest > before, refused) == (True, [])
    code, told = attested("scrub", "--level", "replay", "--reconcile")
    assert code == 0, told
