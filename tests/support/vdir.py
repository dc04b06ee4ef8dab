"""vdirsyncer as a device: folders of files, one pair for contacts, calendar and tasks, and its real command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.home import Home

#: Collection below the home, and the ending of its files.
COLLECTIONS = {"contacts/default": ".vcf", "calendars/default": ".ics", "calendars/tasks": ".ics"}
SYNC_SECONDS = 300

_TWO_CALENDARS = 'collections = ["default", "tasks"]'
_ALL_CALENDARS = 'collections = ["from b"]\nimplicit = "create"\nmetadata = ["displayname"]'
_CONFIG = """\
[general]
status_path = "status"

[pair contacts]
a = "contacts_here"
b = "contacts_there"
collections = ["default"]

[storage contacts_here]
type = "filesystem"
path = "contacts"
fileext = ".vcf"

[storage contacts_there]
type = "carddav"
url = "{url}"
username = "{user}"
password = "{password}"

[pair calendars]
a = "calendars_here"
b = "calendars_there"
{calendars}

[storage calendars_here]
type = "filesystem"
path = "calendars"
fileext = ".ics"

[storage calendars_there]
type = "caldav"
url = "{url}"
username = "{user}"
password = "{password}"
"""


class Vdir:
    """A folder `root` with the files of three collections, vdirsyncer's status and its configuration.

    Paths in the configuration are relative, so that a copy is the same device to vdirsyncer.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for path in COLLECTIONS:
            (root / path).mkdir(parents=True, exist_ok=True)

    def copy(self, root: Path) -> Vdir:
        """The same device a second time: its files and what it remembers of its last sync."""
        shutil.copytree(self.root, root)
        return Vdir(root)

    def configure(self, port: int, user: str, password: str, *, all_calendars: bool = False) -> None:
        """Where the service is; with `all_calendars` each that is found there is followed, with its name.

        After a change `discover` has to run; what was synced before stays known.
        """
        url = f"http://127.0.0.1:{port}/"
        calendars = _ALL_CALENDARS if all_calendars else _TWO_CALENDARS
        (self.root / "config").write_text(_CONFIG.format(url=url, user=user, password=password, calendars=calendars))

    def add(self, collection: str, uid: str, body: bytes) -> None:
        """A new item, made on the device. The service will know it by the name of `uid` and the ending."""
        (self.root / collection / (uid + COLLECTIONS[collection])).write_bytes(body)

    def files(self) -> dict[str, bytes]:
        """All items on the device: bytes by `collection/name`."""
        return {f"{c}/{p.name}": p.read_bytes() for c in COLLECTIONS for p in (self.root / c).iterdir() if p.is_file()}

    def run(self, command: str, each_line: Callable[[str], None] | None = None, *, only: str = "") -> tuple[int, str]:
        """Run `discover` or `sync`; exit code and output. `each_line` hears each line as it comes.

        `only` is the one collection to sync, as in COLLECTIONS.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "vdirsyncer", "-c", "config", command, *([only] if only else [])],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=Home(self.root / "home").environment(),
            text=True,
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if each_line is not None:
                each_line(line)
        return process.wait(SYNC_SECONDS), "".join(lines)


def counted(output: str) -> dict[str, int]:
    """How many items a sync said it uploads, downloads and deletes on either side."""
    return {
        "uploaded": len(re.findall(r"Copying \((?:uploading|updating)\) item .* to \w+_there", output)),
        "downloaded": len(re.findall(r"Copying \((?:uploading|updating)\) item .* to \w+_here", output)),
        "deleted_here": len(re.findall(r"Deleting item .* from \w+_here", output)),
        "deleted_there": len(re.findall(r"Deleting item .* from \w+_there", output)),
    }
