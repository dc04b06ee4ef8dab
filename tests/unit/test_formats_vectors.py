"""The log vectors: whole and broken logs made once, read as they must be for ever."""

from __future__ import annotations

import json

import pytest

from tests.support.log_vectors import FOLDER, cases, load, outcome

CASES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("case", CASES)
def test_a_vector_is_read_as_written_down(case: str) -> None:
    expected = json.loads((FOLDER / case / "expected.json").read_text())
    assert outcome(load(FOLDER / case)) == expected


def test_every_case_is_there() -> None:
    assert sorted(cases()) == CASES
