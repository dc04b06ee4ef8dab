"""litmus, the WebDAV test suite of Apache's and neon's authors, against the real service: every test of every suite.

One warning stands: a client that sends the fragment of a URL along (which RFC 9110 section 7.1 forbids it) is served
as if it had not, for the HTTP server in front takes it off before anybody can see it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.conftest import Running

SECONDS = 300
#: Suites of litmus 0.13 and the tests in each.
SUITES = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
WARNINGS = ["WARNING: DELETE removed collection resource with Request-URI including fragment; unsafe"]

_SUMMARY = re.compile(r"^<- summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed", re.MULTILINE)
_PASSED = re.compile(r"^[ .\w]+ pass(?: \(with \d+ warnings?\))?$", re.MULTILINE)
_BAD = re.compile(r"^.*\b(?:FAIL|XFAIL|SKIPPED|skipped)\b.*$", re.MULTILINE)


class Outcome(NamedTuple):
    """What litmus said: tests run, passed and failed by suite; lines that tell of failures or skips; warnings."""

    suites: dict[str, tuple[int, int, int]]
    passed: int
    bad: list[str]
    warnings: list[str]


def run(running: Running, tree: str, folder: Path) -> Outcome:
    """All suites on one tree of files. `folder` takes litmus' own logs."""
    url = f"{running.url}/dav/{running.user}/files/{tree}/"
    ended = subprocess.run(
        ["litmus", "-k", url, running.user, running.password],
        cwd=folder,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    said = ended.stdout.decode(errors="replace").replace("\r", "\n")
    print(said, ended.stderr.decode(errors="replace"))
    return Outcome(
        {name: (int(ran), int(passed), int(failed)) for name, ran, passed, failed in _SUMMARY.findall(said)},
        len(_PASSED.findall(said)),
        _BAD.findall(said),
        re.findall(r"WARNING: .*$", said, re.MULTILINE),
    )


@pytest.mark.skipif(shutil.which("litmus") is None, reason="litmus is not installed")
@pytest.mark.parametrize("tree", ["notes", "photos"])
def test_every_test_of_litmus_passes(running: Running, tree: str, tmp_path: Path) -> None:
    outcome = run(running, tree, tmp_path)
    assert outcome.bad == []
    assert outcome.suites == {name: (count, count, 0) for name, count in SUITES.items()}
    assert outcome.passed == sum(SUITES.values())
    assert outcome.warnings == WARNINGS
