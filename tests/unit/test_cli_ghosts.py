"""`recover run` over a body that rotted in every vault, `recover ghosts`, and the snapshot that comes after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safehold.formats.frame import FrameType, RawFrame, parse_header, scan_frames
from safehold.formats.segment import HEADER_BYTES
from tests.unit.test_cli_commands import Run, run, with_ada

__all__ = ["run", "with_ada"]

CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%d\r\nFN:Ada\r\nN:Ada;;;;\r\nNOTE:%s\r\nEND:VCARD\r\n"


def rot(vault: Path) -> None:
    """The last frame of bodies of the run that has several, and the log up to there."""
    for path in (vault / "runs").rglob("*.run"):
        data = bytearray(path.read_bytes())
        found = [f for f in scan_frames(data, HEADER_BYTES, len(data) - HEADER_BYTES) if isinstance(f, RawFrame)]
        bodies = [f for f in found if (header := parse_header(data, f.offset)) and header.type is FrameType.BODIES]
        if len(bodies) > 1:
            data[bodies[-1].offset + 200] ^= 1
            path.write_bytes(data)
    for timeline in sorted((vault / "log").iterdir())[:-2]:
        shutil.rmtree(timeline)


def test_what_rotted_everywhere_is_a_ghost_until_its_owner_says_otherwise(with_ada: Run, tmp_path: Path) -> None:
    data, cards = tmp_path / "data", tmp_path / "cards"
    cards.mkdir()
    for number in range(14):
        (cards / f"{number:02}.vcf").write_bytes(CARD % (number, b"x" * 30_000))
    assert with_ada("import", "ada", str(cards))[1]["added"] == 14
    assert with_ada("snapshot")[0] == 0
    assert with_ada("account", "add", "bob", "--password-stdin", stdin="secret\n")[0] == 0, "a timeline after it"
    assert with_ada("recover", "ghosts") == (0, {"ghosts": [], "dropped": False})
    for vault in ("near", "far"):
        rot(data / "vaults" / vault)
    shutil.rmtree(data / "core")
    code, told = with_ada("recover", "run", "--yes", "--items", str(tmp_path / "items"))
    gone = {loss["name"] for loss in told["lost"]}
    assert code == 1 and 1 <= len(gone) < 14
    assert told["items"]["contacts"] == {"expected": 14, "exact": 14 - len(gone), "older": 0, "lost": len(gone)}
    lines = [json.loads(line) for line in (tmp_path / "items" / "items.jsonl").read_text().splitlines()]
    assert {line["name"] for line in lines if line.get("state") == "ghost"} == gone
    code, told = with_ada("recover", "ghosts")
    assert code == 1 and {one["name"] for one in told["ghosts"]} == gone
    assert {(one["account"], one["kind"], one["collection"]) for one in told["ghosts"]} == {
        ("ada", "contacts", "contacts/default")
    }
    assert with_ada("status")[1]["items"]["contacts"] == 14, "listed all the same"
    assert with_ada("snapshot")[0] == 0, "that they are gone is on record"
    assert with_ada("recover", "ghosts", "--drop")[0] == 2, "whose word is it?"
    assert with_ada("recover", "ghosts", "--account", "bob", "--drop")[0] == 0
    assert len(with_ada("recover", "ghosts")[1]["ghosts"]) == len(gone)
    code, told = with_ada("recover", "ghosts", "--account", "ada", "--drop")
    assert (code, told["dropped"], len(told["ghosts"])) == (0, True, len(gone))
    assert with_ada("recover", "ghosts")[0] == 0
    assert with_ada("status")[1]["items"]["contacts"] == 14 - len(gone)
