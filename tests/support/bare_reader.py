"""The stand-alone reader as somebody without Safehold runs it: Python, zstandard, pyrage, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

PACKAGES = ("zstandard", "pyrage")
_SECONDS = 120
#: Isolated and without site-packages; then nothing is importable but the standard library and the copied packages.
_START = """\
import importlib.util, runpy, sys
sys.path.append(sys.argv[1])
for name in ("safehold", "msgspec", "cryptography", "apsw"):
    assert importlib.util.find_spec(name) is None, name
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Found(NamedTuple):
    """What a run of the reader gave. `items` are bodies by account, path of the collection and name of the item."""

    code: int
    said: str
    items: dict[tuple[str, str, str], bytes]
    collections: dict[tuple[str, str], dict[str, Any]]


def packages(folder: Path) -> Path:
    """A folder with the reader's two packages alone."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, folder / name)
    return folder


def read(bare: Path, vault: Path, key: Path, out: Path, *options: str, reader: Path | None = None) -> Found:
    """Run the reader that lies in the vault, or another."""
    program = [sys.executable, "-I", "-S", "-c", _START, str(bare), str(reader or vault / "reader.py")]
    ended = subprocess.run(
        [*program, str(vault), str(key), str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SECONDS,
        check=False,
    )
    said = ended.stdout.decode()
    assert "Traceback" not in said, said
    items: dict[tuple[str, str, str], bytes] = {}
    collections: dict[tuple[str, str], dict[str, Any]] = {}
    for index in out.glob("*.*.json"):
        account = index.name.rsplit(".", 2)[0]
        for collection in json.loads(index.read_text()):
            collections[account, collection["path"]] = collection
            for file, item in collection["items"].items():
                items[account, collection["path"], item["name"]] = (out / account / file).read_bytes()
    return Found(ended.returncode, said, items, collections)
