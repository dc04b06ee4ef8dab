"""The README's story is run as it stands: everything is lost in it, and everything comes back."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT, free_port

STORY_SECONDS = 180
ADDRESS = "127.0.0.1:8460"


def story() -> str:
    found = re.search(r"<!-- story:[^>]*-->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the story uses curl")
def test_the_story_of_the_readme_is_true(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "safehold"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m safehold "$@"\n')
    command.chmod(0o755)
    # Another test may listen where the README does.
    address = f"127.0.0.1:{free_port()}"
    data = tmp_path / "safehold-data"
    data.mkdir()
    (data / "safehold.toml").write_text(f'[serve]\nlisten = "{address}"\n')
    text = story()
    assert ADDRESS in text
    ended = subprocess.run(
        ["sh", "-eu", "-c", text.replace(ADDRESS, address)],
        cwd=tmp_path,
        capture_output=True,
        timeout=STORY_SECONDS,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    said = ended.stdout.decode()
    told = f"{said}\n{ended.stderr.decode()}"
    assert ended.returncode == 0, told
    assert "the core is missing: it is recovered" in ended.stderr.decode(), told
    assert "no recovery is under way" in said, told
    assert (tmp_path / "grace.vcf").read_bytes() in ended.stdout, told
    assert (tmp_path / "grace.vcf").read_bytes() in ended.stdout, told
