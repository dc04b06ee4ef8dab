"""The vectors: whole and broken bytes made once, read as they must be for ever. See tests/vectors/README.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from safehold.formats import keys, mark
from safehold.model.change import Change
from tests.support import log_vectors, part_vectors, run_vectors
from tests.support.logs import IDENTITY, INSTALLATION

LOGS = sorted(path.name for path in log_vectors.FOLDER.iterdir())
RUNS = sorted(path.name for path in run_vectors.FOLDER.iterdir())
PARTS = sorted(str(path.relative_to(part_vectors.FOLDER)) for path in part_vectors.FOLDER.glob("*/*.bin"))
READER = Path(mark.__file__).with_name(mark.READER)
#: A key that nobody can make anew: of the first release of this format.
KEPT = {"mark/first.bin"}


@pytest.mark.parametrize("case", LOGS)
def test_a_log_is_read_as_written_down(case: str) -> None:
    folder = log_vectors.FOLDER / case
    assert log_vectors.outcome(log_vectors.load(folder)) == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize("case", RUNS)
def test_runs_are_read_as_written_down(case: str) -> None:
    folder = run_vectors.FOLDER / case
    assert run_vectors.outcome(run_vectors.load(folder)) == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize("case", PARTS)
def test_a_part_is_read_as_written_down(case: str) -> None:
    path = part_vectors.FOLDER / case
    expected = json.loads(path.with_suffix(".json").read_text())
    assert part_vectors.READERS[path.parent.name](path.read_bytes()) == expected


def test_every_case_is_there() -> None:
    assert sorted(log_vectors.cases()) == LOGS
    assert sorted(run_vectors.cases()) == RUNS
    made = {f"{group}/{name}.bin" for group, make in part_vectors.MAKERS.items() for name in make()}
    assert made | KEPT == set(PARTS)


def test_the_shorter_mark_of_the_first_vaults_is_still_a_mark() -> None:
    first = (part_vectors.FOLDER / "mark" / "first.bin").read_bytes()
    assert first != mark.encode_mark(INSTALLATION)
    assert mark.parse_mark(first) == INSTALLATION
    assert mark.is_mark(first, INSTALLATION) and mark.is_mark(mark.encode_mark(INSTALLATION), INSTALLATION)
    assert not mark.is_mark(first, bytes(16))
    assert not any(mark.is_mark(part_vectors.flipped(first, place), INSTALLATION) for place in range(len(first)))


def test_a_reader_is_told_from_anything_else() -> None:
    assert mark.is_reader(mark.reader())
    assert not mark.is_reader(mark.reader() + b"\n")


# -- the stand-alone reader reads the same ---------------------------------------------------------------------------


def run_reader(vault: Path, folder: Path) -> tuple[int, str, set[bytes]]:
    """Exit code, what was said, and the bodies that came out."""
    (folder / "key").write_text(keys.recovery_key(IDENTITY, INSTALLATION))
    program = [sys.executable, "-I", str(READER), str(vault), str(folder / "key"), str(folder / "out")]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in ended.stderr, ended.stderr
    bodies = {path.read_bytes() for path in (folder / "out").glob("*/**/*") if path.is_file()}
    return ended.returncode, ended.stdout + ended.stderr, bodies


def bodies_in(case: Path) -> set[bytes]:
    """Of the cards that no later change replaced or deleted: found in the log of whole vectors only."""
    changes: list[Change] = []
    for entry in log_vectors.VaultLogReader(log_vectors.load(case), log_vectors.OPENER).entries():
        changes += getattr(entry, "changes", ())
    return {change.body for change in changes if change.body is not None}


@pytest.mark.parametrize(
    "case", [c for c in LOGS if [p.name for p in (log_vectors.FOLDER / c).iterdir() if p.is_dir()] == ["near"]]
)
def test_the_reader_gets_out_of_a_log_what_the_product_gets(case: str, tmp_path: Path) -> None:
    """The logs hold nothing but new cards, so that every change that was read is an item."""
    folder = log_vectors.FOLDER / case
    code, said, bodies = run_reader(folder / "near", tmp_path)
    assert bodies == bodies_in(folder)
    whole = case in ("whole", "left-open", "write-given-up", "forked")
    assert (code == 0) == whole, said


@pytest.mark.parametrize("case", RUNS)
def test_the_reader_gets_out_of_runs_what_lives(case: str, tmp_path: Path) -> None:
    live = {c.body for _, c in run_vectors.history() if c.body is not None}
    whole = {"whole", "delta", "base"}
    code, said, bodies = run_reader(run_vectors.FOLDER / case / "near", tmp_path)
    assert bodies <= live
    if case in whole | {"directory-flipped", "header-flipped", "footer-flipped", "manifest-missing"}:
        _, _, meant = run_reader_on_whole(tmp_path)
        assert bodies == meant, said
    if case in whole:
        assert code == 0, said
    elif case not in ("healed", "damaged-apart", "manifest-missing"):
        assert code == 1, said


def run_reader_on_whole(tmp_path: Path) -> tuple[int, str, set[bytes]]:
    (tmp_path / "again").mkdir()
    return run_reader(run_vectors.FOLDER / "whole" / "near", tmp_path / "again")


def test_a_hash_is_made_of_the_first_bytes_of_a_stored_change() -> None:
    """What the stand-alone reader relies on: the members before `prev` are stored in the canonical form."""
    for changes in part_vectors.made_changes().values():
        for change in changes:
            stored = msgspec.msgpack.encode(change)
            canonical = msgspec.msgpack.encode((1, *(getattr(change, f) for f in Change.__struct_fields__[:15])))
            assert canonical[4:-34] == stored[3 : 3 + len(canonical) - 38]
