"""A keeper's process as another user: it serves a vault's folder over a socket until it is told to stop."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safehold.assembly.vault_serving import VaultServer
from safehold.store.realdisk import RealDisk

#: Users that no machine's own accounts are likely to have.
CORE_USER, KEEPER_USER = 42_001, 42_002
READY_SECONDS = 300.0
ACT_SECONDS = 120.0
_context = multiprocessing.get_context("fork")  # another user may not reach the interpreter's files, but has its copy


def drop_to(uid: int | None) -> None:
    """Be another user from here on, where one is named."""
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def run_as(uid: int | None, act: Callable[[], object]) -> None:
    """Run something as another user, in a process of its own, to its end; what fails there fails here."""
    told, tell = _context.Pipe(duplex=False)

    def run() -> None:
        drop_to(uid)
        try:
            act()
            tell.send(None)
        except BaseException:
            tell.send(traceback.format_exc())

    process = _context.Process(target=run)
    process.start()
    tell.close()
    try:
        said = told.recv() if told.poll(ACT_SECONDS) else "it did not end"
    except EOFError:
        said = "it said nothing"
    process.kill() if said else None
    process.join(10)
    assert said is None, said


class SmallDisk(RealDisk):
    """One with so much room, of which what lies below a folder takes its part."""

    def __init__(self, room: int) -> None:
        self._room = room

    def free_bytes(self, path: str) -> int:
        used = sum(each.stat().st_size for each in Path(path).rglob("*") if each.is_file())
        return max(0, self._room - used)


class KeeperProcess:
    """Serves `folder` at `address`; as user `uid`, where that is given. `users` may connect, None for everybody."""

    def __init__(
        self,
        folder: Path,
        address: Path,
        uid: int | None = None,
        *,
        users: Sequence[int] | None = None,
        room: int | None = None,
    ) -> None:
        """`room`: bytes that its disk has for the vault, whatever else lies there."""
        self.folder, self.address, self._uid = folder, address, uid
        self._users, self._room = users, room
        self._process: multiprocessing.process.BaseProcess | None = None

    def _run(self) -> None:
        drop_to(self._uid)
        server = VaultServer(
            str(self.folder),
            str(self.address),
            mode=0o666,
            users=self._users,
            reserve_bytes=0,
            disk=None if self._room is None else SmallDisk(self._room),
        )
        told = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: told.set())
        server.start()
        told.wait()
        server.stop()

    def start(self) -> None:
        self._process = _context.Process(target=self._run, daemon=True)
        self._process.start()
        end = time.monotonic() + READY_SECONDS
        while not self._is_served():
            assert self._process.is_alive(), "the keeper ended"
            assert time.monotonic() < end, "the keeper does not serve"
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        assert self._process is not None and self._process.pid is not None
        return self._process.pid

    def _is_served(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.address)) == 0

    def freeze(self) -> None:
        """It answers nothing more, and ends no connection."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join(10)

    def stop(self) -> int | None:
        assert self._process is not None
        self._signal(signal.SIGTERM)
        self._process.join(20)
        return self._process.exitcode

    def _signal(self, number: int) -> None:
        assert self._process is not None and self._process.pid is not None
        os.kill(self._process.pid, number)


@contextmanager
def ground() -> Iterator[Path]:
    """A folder that every user can pass through; what lies in it is each one's own."""
    root = Path(tempfile.mkdtemp(prefix="safehold-ground-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def own_folder(path: Path, uid: int | None) -> Path:
    """A folder that only this user may look into."""
    path.mkdir(mode=0o700)
    if uid is not None:
        os.chown(path, uid, uid)
    return path
