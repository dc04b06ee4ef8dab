"""A scratch home for a program: nothing of the machine's user is read or written, and the time zone is fixed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.service import environment

ZONE = "Europe/Berlin"
PROGRAM_SECONDS = 120
#: Where the programs lie that came as Python packages.
_BIN = Path(sys.executable).parent


class Home:
    """A folder that a program takes for its user's home."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def environment(self) -> dict[str, str]:
        """HOME and what the XDG base directory specification derives from it, a time zone, and UTF-8."""
        root = self.root
        given = environment()
        kept = {
            k: v for k, v in given.items() if not k.startswith(("XDG_", "LC_", "RCLONE_", "VDIRSYNCER_", "TODOMAN_"))
        }
        return kept | {
            "HOME": str(root),
            "XDG_CONFIG_HOME": str(root / ".config"),
            "XDG_DATA_HOME": str(root / ".local" / "share"),
            "XDG_CACHE_HOME": str(root / ".cache"),
            "XDG_STATE_HOME": str(root / ".local" / "state"),
            "TZ": ZONE,
            "LC_ALL": "C.UTF-8",
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "EDITOR": "false",  # whoever asks for an editor that no test gave it fails
            "PAGER": "cat",
        }

    def write(self, path: str, text: str) -> Path:
        """A file of the home, as only its user may read it (a .netrc must be)."""
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(text, encoding="utf-8")
        found.chmod(0o600)
        return found

    def run(
        self,
        program: str,
        *args: str,
        stdin: str = "",
        codes: Iterable[int] = (0,),
        env: Mapping[str, str] | None = None,
        errors: bool = True,
    ) -> str:
        """Run a program in the home to its end; what it says, with `errors` on both outputs.

        `codes` are no failure of the test.
        """
        path = which(program)
        assert path is not None, f"{program} is not here"
        ended = subprocess.run(
            [path, *args],
            cwd=self.root,
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            env=self.environment() | dict(env or {}),
            timeout=PROGRAM_SECONDS,
            check=False,
        )
        said = ended.stdout.decode(errors="replace")
        assert ended.returncode in codes, f"{program} {args}: exit {ended.returncode}\n{said}"
        return said


def which(program: str) -> str | None:
    """Where a program is: beside Python, or on the PATH; None where it is absent."""
    beside = _BIN / program
    return str(beside) if beside.exists() else shutil.which(program)
