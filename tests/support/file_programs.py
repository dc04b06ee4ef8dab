"""Programs that people keep files with over WebDAV, behind one small interface. Each has a home of its own.

Paths are relative to the root that the program was opened on, decoded, without a slash at either end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from tests.support.home import Home, which
from tests.support.service import Client

#: A line of a listing of cadaver's: kind, name, size, and when it was changed.
_LISTED = re.compile(r"^(Coll:|Ref:|Error:)?\s+(.*?)\s+\d+\s+[A-Z][a-z]{2} .\d [\d: ]{5}$", re.MULTILINE)


class FileProgram(Protocol):
    """What every one of them can do."""

    def put(self, path: str, data: bytes) -> None: ...
    def get(self, path: str) -> bytes: ...
    def delete(self, path: str) -> None: ...
    def make(self, folder: str) -> None: ...
    def remove(self, folder: str) -> None: ...
    def move(self, path: str, to: str) -> None: ...
    def copy(self, path: str, to: str) -> None: ...
    def names(self, folder: str = "") -> list[str]: ...


class PlainFiles:
    """Plain HTTP, by what the server says itself."""

    def __init__(self, client: Client, root: str) -> None:
        self._client = client
        self._root = f"/dav/{client.user}/{root}/"

    def _done(self, method: str, path: str, codes: tuple[int, ...], body: bytes = b"", **headers: str) -> bytes:
        answer = self._client.ask(method, self._root + path, body, headers, query=False)
        assert answer.status in codes, (method, path, answer)
        return answer.body

    def _address(self, path: str) -> str:
        return self._client.origin + quote(self._root + path)

    def put(self, path: str, data: bytes) -> None:
        self._done("PUT", path, (201, 204), data)

    def get(self, path: str) -> bytes:
        return self._done("GET", path, (200,))

    def delete(self, path: str) -> None:
        self._done("DELETE", path, (204,))

    def make(self, folder: str) -> None:
        self._done("MKCOL", folder, (201,))

    def remove(self, folder: str) -> None:
        self._done("DELETE", folder + "/", (204,))

    def move(self, path: str, to: str) -> None:
        self._done("MOVE", path, (201, 204), Destination=self._address(to))

    def copy(self, path: str, to: str) -> None:
        self._done("COPY", path, (201, 204), Destination=self._address(to))

    def names(self, folder: str = "") -> list[str]:
        items, folders = self._client.listing(self._root + (folder + "/" if folder else ""))
        return sorted([*items, *folders])


class Cadaver:
    """cadaver, told by its standard input what a person would type."""

    def __init__(self, home: Path, url: str, user: str, password: str) -> None:
        self.home = Home(home)
        self._url = url
        self.home.write(".netrc", f"machine 127.0.0.1 login {user} password {password}\n")

    @staticmethod
    def is_here() -> bool:
        return which("cadaver") is not None

    def say(self, *commands: tuple[str, ...], editor: str = "false") -> str:
        """Run commands in one session; what cadaver said. Words are quoted as its reader wants them."""
        script = "".join(" ".join((verb, *map(_quoted, words))) + "\n" for verb, *words in commands)
        said = self.home.run("cadaver", self._url, stdin=script + "quit\n", env={"EDITOR": editor})
        assert not re.search(r"failed|Could not|Authentication|redirect", said), said
        return said

    def put(self, path: str, data: bytes) -> None:
        (self.home.root / "outgoing").write_bytes(data)
        self.say(("put", "outgoing", path))

    def get(self, path: str) -> bytes:
        incoming = self.home.root / "incoming"
        incoming.unlink(missing_ok=True)
        self.say(("get", path, "incoming"))
        return incoming.read_bytes()

    def edit(self, path: str, command: str) -> None:
        """cadaver's own edit: lock, fetch, run an editor (`command`, which is given the file), store, unlock."""
        # What was changed within the second it was fetched in, cadaver takes for unchanged.
        script = self.home.write("editor", f'#!/bin/sh\n{command} "$1"\ntouch -d "2 minutes" "$1"\n')
        script.chmod(0o700)
        assert "Unlocking" in self.say(("edit", path), editor=str(script))

    def delete(self, path: str) -> None:
        self.say(("delete", path))

    def make(self, folder: str) -> None:
        self.say(("mkcol", folder))

    def remove(self, folder: str) -> None:
        self.say(("rmcol", folder))

    def move(self, path: str, to: str) -> None:
        self.say(("move", path, to))

    def copy(self, path: str, to: str) -> None:
        self.say(("copy", path, to))

    def names(self, folder: str = "") -> list[str]:
        said = self.say(("ls", folder) if folder else ("ls",))
        return sorted(name for _, name in _LISTED.findall(said))


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Rclone:
    """rclone with the service as a remote of its own, configured by its environment alone."""

    def __init__(self, home: Path, url: str, user: str, password: str) -> None:
        self.home = Home(home)
        self._environment = {
            "RCLONE_CONFIG": str(home / "rclone.conf"),
            "RCLONE_CONFIG_NET_TYPE": "webdav",
            "RCLONE_CONFIG_NET_URL": url,
            "RCLONE_CONFIG_NET_VENDOR": "other",
            "RCLONE_CONFIG_NET_USER": user,
        }
        self.home.write("rclone.conf", "")
        self._environment["RCLONE_CONFIG_NET_PASS"] = self.home.run("rclone", "obscure", password).strip()

    def run(self, *args: str) -> str:
        """One try of each command: what fails is seen, not tried again."""
        return self.home.run("rclone", "--retries=1", "--low-level-retries=1", *args, env=self._environment)

    def put(self, path: str, data: bytes) -> None:
        (self.home.root / "outgoing").write_bytes(data)
        self.run("copyto", "--ignore-times", "outgoing", "net:" + path)

    def get(self, path: str) -> bytes:
        self.run("copyto", "--ignore-times", "net:" + path, "incoming")
        return (self.home.root / "incoming").read_bytes()

    def delete(self, path: str) -> None:
        self.run("deletefile", "net:" + path)

    def make(self, folder: str) -> None:
        self.run("mkdir", "net:" + folder)

    def remove(self, folder: str) -> None:
        self.run("purge", "net:" + folder)

    def move(self, path: str, to: str) -> None:
        self.run("moveto", "net:" + path, "net:" + to)

    def copy(self, path: str, to: str) -> None:
        self.run("copyto", "net:" + path, "net:" + to)

    def names(self, folder: str = "") -> list[str]:
        return sorted(line.rstrip("/") for line in self.run("lsf", "net:" + folder).splitlines())
