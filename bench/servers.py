"""The servers that are measured side by side: how each is filled, started and stopped, and with which settings.

The peers run from requirements/peers.txt as they come, each with the settings that serve it best, and without a
password check. They are filled by writing what they would have written, for PUTs would take an hour or more.
Safehold is filled by PUTs, with authentication and both its vaults on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bench.load import login, request, send, settled_cpu_seconds
from bench.processes import tree
from tests.support.service import Service, free_port

ROOT = Path(__file__).resolve().parents[1]
USER, PASSWORD = "ada", "correct horse"
CONNECTIONS = 16
READY_SECONDS = 60.0
#: How long a server may be busy with itself after its start; indexes are built then.
REST_SECONDS = 600.0

Items = Iterable[tuple[str, bytes]]


class Server(ABC):
    """A server on a folder of its own, with one address book and one calendar."""

    name: str
    version: str
    settings: str
    book: str
    calendar: str
    connections = CONNECTIONS  # where requests come side by side

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @property
    @abstractmethod
    def pid(self) -> int: ...

    @abstractmethod
    def fill(self, contacts: Items, events: Items) -> None:
        """Make both collections with these items; before `start`."""

    @abstractmethod
    def start(self) -> None:
        """Start it, and return once it answers and has come to rest."""

    @abstractmethod
    def stop(self) -> None: ...

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": login(USER, PASSWORD)}

    def rss_bytes(self) -> int:
        """Resident memory of the process and its descendants."""
        pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in tree(self.pid))
        return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")

    def written_bytes(self) -> int:
        """What the process and its descendants have had written to disk."""
        told = (Path(f"/proc/{pid}/io").read_text() for pid in tree(self.pid))
        return sum(int(text.split("\nwrite_bytes: ")[1].split()[0]) for text in told)

    def rest(self) -> None:
        """Return once it does nothing any more."""
        settled_cpu_seconds(self.pid, REST_SECONDS)


def described() -> str:
    """Which Safehold this is: the commit, and whether files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


class Safehold(Server):
    name = "Safehold"
    settings = "as installed: passwords checked, sync vault `near` and async vault `far`"
    book = f"/dav/{USER}/contacts/default/"
    calendar = f"/dav/{USER}/calendars/default/"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.version = described()
        self._service = Service(folder / "data", port=self.port)

    @property
    def pid(self) -> int:
        return self._service.pid

    def fill(self, contacts: Items, events: Items) -> None:
        self._service.add_account(USER, PASSWORD)
        self._service.start()
        for at, media, items in ((self.book, "text/vcard", contacts), (self.calendar, "text/calendar", events)):
            headers = self.headers | {"Content-Type": f"{media}; charset=utf-8"}
            puts = [request("PUT", at + name, body, headers) for name, body in items]
            send(self.port, self.pid, puts, CONNECTIONS)
        self.stop()

    def start(self) -> None:
        self._service.start()
        self.rest()

    def stop(self) -> None:
        try:
            assert self._service.stop() == 0, self._service.tail()
        finally:
            self._service.close()


class Peer(Server):
    """A server of another project, from the environment of requirements/peers.txt."""

    def __init__(self, folder: Path, environment: Path) -> None:
        super().__init__(folder)
        self.environment = environment
        self.version = self._python(f"from importlib.metadata import version; print(version({self.name.lower()!r}))")
        self._process: subprocess.Popen[bytes] | None = None

    def _python(self, code: str, *args: str) -> str:
        command = [str(self.environment / "bin/python"), "-c", code, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @abstractmethod
    def command(self) -> list[str]: ...

    def start(self) -> None:
        log = self.folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        end = time.monotonic() + READY_SECONDS
        probe = [request("OPTIONS", "/", headers=self.headers)]  # which tells it nothing of what will be asked
        while True:
            with suppress(OSError):
                send(self.port, self.pid, probe, 1, strict=False)
                break
            assert self._process.poll() is None, f"{self.name} has ended:\n{log.read_text()[-2000:]}"
            assert time.monotonic() < end, f"{self.name} is not ready:\n{log.read_text()[-2000:]}"
            time.sleep(0.1)
        self.rest()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._process = None


class Radicale(Peer):
    name = "Radicale"
    settings = (
        "its own server, 4 connections (its queue is short: more have to wait for seconds), `auth = none`, "
        "`rights = owner_only`, `use_mtime_and_size_for_item_cache = True`, log level warning"
    )
    connections = 4
    book = f"/{USER}/contacts/"
    calendar = f"/{USER}/calendar/"

    _CONFIG = """\
[server]
hosts = 127.0.0.1:{port}
[auth]
type = none
[rights]
type = owner_only
[storage]
filesystem_folder = {folder}
use_mtime_and_size_for_item_cache = True
[logging]
level = warning
"""

    def fill(self, contacts: Items, events: Items) -> None:
        """A folder for each collection: a file for each item, and its properties as JSON."""
        (self.folder / "config").write_text(self._CONFIG.format(port=self.port, folder=self.folder / "storage"))
        for path, tag, items in ((self.book, "VADDRESSBOOK", contacts), (self.calendar, "VCALENDAR", events)):
            folder = self.folder / "storage/collection-root" / path.strip("/")
            folder.mkdir(parents=True)
            (folder / ".Radicale.props").write_text(json.dumps({"tag": tag}))
            for name, body in items:
                (folder / name).write_bytes(body)

    def command(self) -> list[str]:
        return [str(self.environment / "bin/python"), "-m", "radicale", "--config", str(self.folder / "config")]


class Xandikos(Peer):
    name = "Xandikos"
    settings = "`xandikos serve --eager`, one commit and one pack for all items that were there before"
    book = "/user/contacts/addressbook/"
    calendar = "/user/calendars/calendar/"

    # Run by the peers' Python with the path of a collection, which Xandikos itself has made, and that of a folder.
    _COMMIT = """
import os, sys
from dulwich.objects import Blob
from dulwich.repo import Repo

repo, folder = Repo(sys.argv[1]), sys.argv[2]
index = repo.open_index()
tree = repo.object_store[index.commit(repo.object_store)]
blobs = []
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), "rb") as file:
        blobs.append(Blob.from_string(file.read()))
    tree.add(name.encode(), 0o100644, blobs[-1].id)
repo.object_store.add_objects([(each, None) for each in (*blobs, tree)])
worktree = repo.get_worktree()
worktree.commit(message=b"Fill", tree=tree.id, author=b"bench <bench>", committer=b"bench <bench>")
worktree.reset_index()
"""

    def fill(self, contacts: Items, events: Items) -> None:
        self.start()  # makes both collections
        self.stop()
        for number, (path, items) in enumerate(((self.book, contacts), (self.calendar, events))):
            source = self.folder / f"fill-{number}"
            source.mkdir()
            for name, body in items:
                (source / name).write_bytes(body)
            self._python(self._COMMIT, str(self.folder / "storage" / path.strip("/")), str(source))

    def command(self) -> list[str]:
        storage, state = self.folder / "storage", self.folder / "state"
        storage.mkdir(exist_ok=True)
        return [
            *(str(self.environment / "bin/xandikos"), "serve", "--eager", "--defaults", "--no-detect-systemd"),
            *("-d", str(storage), "--state-dir", str(state), "-l", "127.0.0.1", "-p", str(self.port)),
        ]


def peers_environment() -> Path:
    """The environment with the peers, made at the first call. Raises CalledProcessError where it cannot be made."""
    script = 'root=$1; . "$root/bin/environment.sh"; environment peers; printf %s "$env"'
    made = subprocess.run(["sh", "-c", script, "peers", str(ROOT)], check=True, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout)
