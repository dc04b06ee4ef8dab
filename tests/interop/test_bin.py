"""bin/safehold from nothing: in a copy of the repository whose program needs no packages and whose pins are few."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.service import ROOT

SETUP_SECONDS = 120
PROGRAM = """\
import json, os, sys
print(json.dumps({"args": sys.argv[1:], "cwd": os.getcwd(), "prefix": sys.prefix, "path": sys.path}))
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    house = tmp_path / "a house"
    (house / "src" / "safehold").mkdir(parents=True)
    (house / "src" / "safehold" / "__main__.py").write_text(PROGRAM)
    (house / "src" / "safehold" / "__init__.py").touch()
    (house / "requirements").mkdir()
    (house / "requirements" / "runtime.txt").write_text("# nothing\n")
    shutil.copytree(ROOT / "bin", house / "bin")
    return house


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), **more}


def start(
    house: Path, *args: str, env: dict[str, str] | None = None, stdin: int | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(house / "bin" / "safehold"), *args],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env or environment(house.parent),
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SETUP_SECONDS)
    return process.returncode, out, err


def test_two_first_runs_at_once_make_one_environment(house: Path) -> None:
    both = [start(house, "one", "a b"), start(house, "one", "a b")]
    results = [ended(process) for process in both]
    assert [code for code, _, _ in results] == [0, 0], results
    told = [json.loads(out) for _, out, _ in results]
    assert [t["args"] for t in told] == [["one", "a b"]] * 2
    assert told[0]["prefix"] == told[1]["prefix"]
    assert Path(told[0]["prefix"]).parent == house / ".venv"
    assert sum("setting up" in err for _, _, err in results) == 1
    # Once it stands, nothing is said, and it is found through a link, from another folder, without a home.
    link = house.parent / "link"
    link.symlink_to(house / "bin" / "safehold")
    elsewhere = house.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("raise SystemExit('imported from the working folder')\n")
    again = subprocess.run(
        [str(link), "x"],
        cwd=elsewhere,
        env={"PATH": os.environ["PATH"], "HOME": "", "PYTHONPATH": str(elsewhere)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stderr == ""
    assert json.loads(again.stdout)["cwd"] == str(elsewhere)


def test_what_a_killed_set_up_left_is_made_again(house: Path) -> None:
    code, out, _ = ended(start(house))
    assert code == 0
    env = Path(json.loads(out)["prefix"])
    (env / "complete").unlink()
    shutil.rmtree(env / "lib")
    code, out, err = ended(start(house))
    assert (code, Path(json.loads(out)["prefix"])) == (0, env)
    assert "setting up" in err


@pytest.mark.long
def test_new_pins_make_a_new_environment_and_the_old_one_goes_once_nobody_uses_it(house: Path) -> None:
    (house / "src" / "safehold" / "__main__.py").write_text(
        "import sys; print(sys.prefix, flush=True); sys.stdin.read()"
    )
    running = start(house, stdin=subprocess.PIPE)
    assert running.stdout is not None
    old = Path(running.stdout.readline().strip())
    (house / "requirements" / "runtime.txt").write_text("# nothing yet\n")
    code, out, _ = ended(start(house, stdin=subprocess.DEVNULL))
    assert code == 0
    new = Path(out.strip())
    assert new != old
    assert (old / "complete").exists()
    assert ended(running)[0] == 0
    (house / "requirements" / "runtime.txt").write_text("# nothing at all\n")
    assert ended(start(house, stdin=subprocess.DEVNULL))[0] == 0
    assert not old.exists()
    assert not new.exists()


def test_without_the_venv_module_it_names_the_package(house: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "readlink", "sha256sum", "mkdir", "flock", "tr", "rm"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    python = tools / "python3"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; *version_info*) echo "$0" ;; *) exit 9 ;; esac\n')
    python.chmod(0o755)
    code, out, err = ended(start(house, "status", "--json", env=environment(tmp_path, PATH=str(tools))))
    assert code == 3
    assert "apt install python3-venv" in err
    assert "python3-venv" in json.loads(out)["error"]
