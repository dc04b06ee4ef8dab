"""A disk in memory that loses what was not synced.

Faults that it injects, and what must be survived:

Power loss, `crash()`. The disk turns into what a real one may hold afterwards, and the one that crashed answers
nothing more. Without a seed it is the worst that the port allows: every unsynced write and every unsynced name is
gone, a file that was synced under a name that was not is gone too, and a removed or renamed name whose folder was
not synced is back. With a seed each file keeps its unsynced writes in one of the ways that disks have: none, all,
the first few with the last of them torn, or any subset of their 512-byte sectors in any mixture; and each folder
keeps the first few of its unsynced names. MUST be survived without the loss of anything acknowledged, and without
anything half done being taken for whole.

A process that is killed, `kill()`: what it wrote can be read, and a power loss may still take what was not synced.
MUST be survived: what is read back is not believed to be durable.

A disk that is gone, `lose()`: a folder with all that is in it.

A crash at a given moment. `on_write_point` is called before every operation that changes anything; raising `Crash`
there stops the process at that point. MUST be survived at every such point.

Errors, `fail()`: the nth operation of a sort raises ENOSPC, EIO or what is asked for. A write that fails leaves a
part of itself behind; a sync that fails leaves the writes readable and never makes them durable, whatever syncs
follow (as Linux does: the pages are marked clean). MUST be survived: refuse, stop, or read back; never acknowledge.

A full disk, `capacity_bytes`: writes past it raise ENOSPC after the part that fits. MUST be survived, and service
goes on once there is room.

A disk that lies, `lies_about_sync` (below a folder, `lies_below`): syncs return and do nothing. What was acknowledged
may be lost: where any other disk told the truth it MUST be noticed after a crash, and named or made good, and MUST NOT
be served as if it were whole. (Where all lie at once and agree, nothing is left that knows.)

Bit rot, `flip_bit()`, and bytes that are written over from outside, `overwrite()`: MUST be detected when they are read.

A damaged directory, `hide()`: names in it are not listed, though they can be opened. They are listed again once they
are given anew, or after `mend_folders()`; a folder that is moved takes its damage along. MUST be noticed by the next
check; what is not listed MUST NOT be taken for deleted.

What time the disk takes, `meter`: it is told of every operation and of every byte, and may let a clock go on. Faults
but errors and crash hooks stay with the disk over a crash, as its meter does.

Long, as the port and every fault of it share the same few nodes.

Not simulated: reordering between a file's bytes and its name beyond the above, wrong answers to `size`, sharing
between threads.
"""

from __future__ import annotations

import errno
import os
import posixpath
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache

import msgspec

from safehold.ports.disk import Disk, Entry, File

SECTOR_BYTES = 512
#: Operations that change something; each is a write point, named so in `on_write_point` and `fail`.
WRITE_POINTS = ("create", "write", "truncate", "sync", "make_folder", "rename", "link", "remove", "sync_folder")

_Bytes = tuple[int, bytes]  # a write: offset, data
_Step = _Bytes | int  # or a truncation to a size


class Crash(BaseException):
    """The power is gone. No `except Exception` may catch it: nothing runs after a power loss."""


class _Node:
    """A file's bytes: as they read now, as they are on disk, and the steps from the one to the other."""

    __slots__ = ("durable", "now", "steps")

    def __init__(self, durable: bytes = b"") -> None:
        self.now = bytearray(durable)
        self.durable = bytearray(durable)
        self.steps: list[_Step] = []

    def step(self, step: _Step) -> None:
        if not isinstance(step, int) and not step[1]:
            return
        _take(self.now, step)
        self.steps.append(step)


class _Folder:
    """A folder's names, likewise. A step is (name, what it names from then on, or None)."""

    __slots__ = ("durable", "hidden", "now", "steps")

    def __init__(self) -> None:
        self.now: dict[str, _Node | _Folder] = {}
        self.hidden: set[str] = set()
        self.durable: dict[str, _Node | _Folder] = {}
        # One step may set several names: a rename within a folder is one.
        self.steps: list[dict[str, _Node | _Folder | None]] = []

    def step(self, names: dict[str, _Node | _Folder | None]) -> None:
        _rename(self.now, names)
        self.hidden.difference_update(name for name, node in names.items() if node is None)
        self.steps.append(names)


class _Fault(msgspec.Struct):
    operation: str
    nth: int
    error: int
    path: str
    times: int


def _take(data: bytearray, step: _Step) -> None:
    if isinstance(step, int):
        if step < len(data):
            del data[step:]
        else:
            data.extend(bytes(step - len(data)))
        return
    offset, piece = step
    if offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece


def _rename(names: dict[str, _Node | _Folder], step: dict[str, _Node | _Folder | None]) -> None:
    for name, node in step.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class SimDisk:
    """See the module's text. Relative paths are taken from "/"."""

    def __init__(self, *, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.on_write_point: Callable[[str, str], None] | None = None
        self.lies_about_sync = False
        #: Where it lies, if not everywhere.
        self.lies_below = "/"
        #: Told of each operation by (path, its name, 0), and of what it moved by (path, "bytes", count).
        self.meter: Callable[[str, str, int], None] | None = None
        self.operations: Counter[str] = Counter()
        self._root = _Folder()
        self._faults: list[_Fault] = []
        self._crashed = False

    @property
    def dead(self) -> bool:
        """Whether it crashed: whatever a process still does or says is not heard any more."""
        return self._crashed

    # -- faults

    def fail(
        self, operation: str = "*", *, nth: int = 1, error: int = errno.EIO, path: str = "", times: int = 1
    ) -> None:
        """Let the nth operation from now raise OSError(error), and those after it while `times` lasts.

        `operation` is one of WRITE_POINTS, "read", "list", or "*" for any write point; `path` a part of its path.
        """
        self._faults.append(_Fault(operation, nth, error, path, times))

    def mend(self) -> list[_Fault]:
        """Forget all faults that `fail` ordered; returns them for `restore`."""
        faults, self._faults = self._faults, []
        return faults

    def restore(self, faults: list[_Fault]) -> None:
        """Order them again."""
        self._faults += faults

    def flip_bit(self, path: str, offset: int, bit: int = 0) -> None:
        """Bit rot, on the platter and in the cache alike."""
        node = self._file(path)
        for data in (node.now, node.durable):
            if offset < len(data):
                data[offset] ^= 1 << bit

    def damage(self, path: str, data: bytes) -> None:
        """From now on this is what a file holds, whatever was written: on the platter and in the cache alike."""
        node = self._file(path)
        node.now[:] = node.durable[:] = data
        node.steps.clear()

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Something else writes over a file, past all that knows of it; what lies past its end is left out."""
        node = self._file(path)
        for there in (node.now, node.durable):
            piece = data[: max(0, len(there) - offset)]
            there[offset : offset + len(piece)] = piece

    def cut(self, path: str, size: int) -> None:
        """A file ends here from now on, as after a torn copy."""
        node = self._file(path)
        for there in (node.now, node.durable):
            del there[size:]

    def hide(self, path: str) -> None:
        """The folder that a file lies in does not list it any more."""
        folder, name = self._parent(path)
        folder.hidden.add(name)

    def mend_folders(self) -> None:
        """Folders list all that is in them again."""
        folders = [self._root]
        for folder in folders:
            folder.hidden.clear()
            folders += [node for node in folder.now.values() if isinstance(node, _Folder)]

    def copy(self, folder: str) -> SimDisk:
        """A disk of its own with the files of one folder, under the same paths, as they read now."""
        other = SimDisk()
        other.meter = self.meter
        for path in self.files(folder):
            other.make_folders(posixpath.dirname(path))
            within, name = other._parent(path)
            within.now[name] = within.durable[name] = _Node(self.bytes_of(path))
        return other

    def files(self, folder: str = "/") -> list[str]:
        """The paths of all files below a folder, or of one file, sorted; not hindered by faults, nor by `hidden`."""
        found: list[str] = []

        def walk(path: str, here: _Folder) -> None:
            for name in sorted(here.now):
                node = here.now[name]
                if isinstance(node, _Folder):
                    walk(f"{path}/{name}", node)
                else:
                    found.append(f"{path}/{name}")

        try:
            walk(folder.rstrip("/"), self._folder(folder))
        except NotADirectoryError:
            return [folder]
        except FileNotFoundError:
            return []
        return found

    def length(self, path: str) -> int:
        """Bytes of a file, asked by nobody of the house."""
        return len(self._file(path).now)

    def bytes_of(self, path: str) -> bytes:
        """A file's bytes as they read now, asked by nobody of the house."""
        return bytes(self._file(path).now)

    def crash(self, seed: int | None = None) -> SimDisk:
        """The disk after a power loss; this one raises Crash from now on. See the module's text."""
        self._crashed = True
        return self.survivor(seed)

    def survivor(self, seed: int | None = None) -> SimDisk:
        """What `crash` would give, from a disk that goes on."""
        rng = None if seed is None else random.Random(seed)
        after = SimDisk(capacity_bytes=self.capacity_bytes)
        nodes: dict[int, _Node] = {}  # files with two names stay one file

        def survive(folder: _Folder) -> _Folder:
            names = dict(folder.durable)
            if rng is not None:
                for step in folder.steps[: rng.randint(0, len(folder.steps))]:
                    _rename(names, step)
            result = _Folder()
            result.hidden = set(folder.hidden)
            for name in sorted(names):
                node = names[name]
                if isinstance(node, _Folder):
                    result.durable[name] = survive(node)
                else:
                    if id(node) not in nodes:
                        nodes[id(node)] = _Node(_survivor(node, rng))
                    result.durable[name] = nodes[id(node)]
            result.now = dict(result.durable)
            return result

        after._root = survive(self._root)
        after.meter = self.meter
        return after

    def kill(self) -> SimDisk:
        """The disk after the process was killed: all that it wrote can be read, synced or not; this one is dead."""
        self._crashed = True
        after = SimDisk(capacity_bytes=self.capacity_bytes)
        after._root = self._root
        after.meter = self.meter
        return after

    def lose(self, path: str) -> None:
        """What lay at a path is gone, as with the disk that it lay on. No error where there was nothing."""
        try:
            folder, name = self._parent(path)
        except FileNotFoundError:
            return
        self._sync_names(folder, path)
        folder.now.pop(name, None)
        folder.durable.pop(name, None)

    def point(self, operation: str, path: str) -> None:
        """Count an operation, let the crash hook speak, and raise what was ordered for it."""
        if self._crashed:
            raise Crash
        self.operations[operation] += 1
        if operation in WRITE_POINTS and self.on_write_point is not None:
            try:
                self.on_write_point(operation, path)
            except Crash:
                self._crashed = True
                raise
        for fault in self._faults:
            wanted = fault.operation == operation or (fault.operation == "*" and operation in WRITE_POINTS)
            if not wanted or fault.path not in path or fault.times == 0:
                continue
            fault.nth -= 1
            if fault.nth <= 0:
                fault.times -= 1
                raise OSError(fault.error, os.strerror(fault.error), path)
        if self.meter is not None:
            self.meter(path, operation, 0)

    def contents(self, folder: str) -> dict[str, bytes]:
        """The bytes of all files below a folder, by names within it, as they read now. Nothing where there is none."""
        above = len(folder.rstrip("/")) + 1
        return {path[above:]: self.bytes_of(path) for path in self.files(folder)}

    def used_bytes(self) -> int:
        """Bytes of all files that have a name."""
        seen: dict[int, int] = {}

        def walk(folder: _Folder) -> None:
            for node in folder.now.values():
                if isinstance(node, _Folder):
                    walk(node)
                else:
                    seen[id(node)] = len(node.now)

        walk(self._root)
        return sum(seen.values())

    def room_for(self, node: _Node, offset: int, count: int) -> int:
        """How many of count bytes can be written at offset."""
        if self.capacity_bytes is None:
            return count
        free = self.capacity_bytes - self.used_bytes()
        return max(0, min(count, len(node.now) + free - offset))

    # -- the port

    def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        folder, name = self._parent(path)
        node = folder.now.get(name)
        if isinstance(node, _Folder):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if node is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            self.point("create", path)
            node = _Node()
            folder.step({name: node})
        elif create and exclusive:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        else:
            self.point("open", path)
        return SimFile(self, node, path, write or create)

    def exists(self, path: str) -> bool:
        self.point("exists", path)
        try:
            folder, name = self._parent(path)
        except OSError:
            return False
        return not name or name in folder.now

    def size(self, path: str) -> int:
        self.point("size", path)
        return len(self._file(path).now)

    def list(self, folder: str) -> Iterator[Entry]:
        self.point("list", folder)
        here = self._folder(folder)
        for name, node in list(here.now.items()):
            if name in here.hidden:
                continue
            is_folder = isinstance(node, _Folder)
            yield Entry(name, is_folder, 0 if isinstance(node, _Folder) else len(node.now))

    def make_folders(self, path: str) -> None:
        here = self._root
        for name in _segments(path):
            node = here.now.get(name)
            if node is None:
                self.point("make_folder", path)
                node = _Folder()
                here.step({name: node})
                self._sync_names(here, path)
            if not isinstance(node, _Folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            here = node

    def rename(self, source: str, target: str) -> None:
        old, old_name = self._parent(source)
        new, new_name = self._parent(target)
        if old_name not in old.now:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        self.point("rename", target)
        node = old.now[old_name]
        if old is new:
            old.step({old_name: None, new_name: node})
        else:
            new.step({new_name: node})
            old.step({old_name: None})

    def link(self, source: str, target: str) -> None:
        node = self._file(source)
        folder, name = self._parent(target)
        if name in folder.now:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        self.point("link", target)
        folder.step({name: node})

    def remove(self, path: str) -> None:
        self._file(path)
        folder, name = self._parent(path)
        self.point("remove", path)
        folder.step({name: None})

    def sync_folder(self, path: str) -> None:
        folder = self._folder(path)
        try:
            self.point("sync_folder", path)
        except OSError:
            folder.steps.clear()
            raise
        self._sync_names(folder, path)

    def free_bytes(self, path: str) -> int:
        self.point("free_bytes", path)
        return 1 << 40 if self.capacity_bytes is None else max(0, self.capacity_bytes - self.used_bytes())

    # -- within

    def lies(self, path: str) -> bool:
        """Whether a sync there is one in name only."""
        return self.lies_about_sync and path.startswith(self.lies_below)

    def _sync_names(self, folder: _Folder, path: str) -> None:
        if not self.lies(path):
            for step in folder.steps:
                _rename(folder.durable, step)
            folder.steps.clear()

    def _parent(self, path: str) -> tuple[_Folder, str]:
        *above, name = _segments(path) or ("",)
        here: _Node | _Folder | None = self._root
        for segment in above:
            if isinstance(here, _Folder):
                here = here.now.get(segment)
        if here is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not isinstance(here, _Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return here, name

    def _folder(self, path: str) -> _Folder:
        folder, name = self._parent(path)
        node = folder.now.get(name) if name else folder
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not isinstance(node, _Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return node

    def _file(self, path: str) -> _Node:
        folder, name = self._parent(path)
        node = folder.now.get(name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not isinstance(node, _Node):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return node


class SimFile:
    """An open file of a SimDisk; it stays usable when its name is gone."""

    def __init__(self, disk: SimDisk, node: _Node, path: str, writable: bool) -> None:
        self._disk = disk
        self._node = node
        self._path = path
        self._writable = writable
        self._closed = False

    def read_at(self, offset: int, count: int) -> bytes:
        self._check("read", writing=False)
        data = bytes(self._node.now[offset : offset + count])
        if self._disk.meter is not None:
            self._disk.meter(self._path, "bytes", len(data))
        return data

    def write_at(self, offset: int, data: bytes) -> None:
        try:
            self._check("write")
        except OSError:
            if not self._closed and self._writable:
                self._node.step((offset, bytes(data[: len(data) // 2])))
            raise
        if self._disk.meter is not None:
            self._disk.meter(self._path, "bytes", len(data))
        room = self._disk.room_for(self._node, offset, len(data))
        self._node.step((offset, bytes(data[:room])))
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def truncate(self, size: int) -> None:
        self._check("truncate")
        self._node.step(size)

    def sync(self) -> None:
        try:
            self._check("sync", writing=False)
        except OSError:
            self._node.steps.clear()
            raise
        if not self._disk.lies(self._path):
            for step in self._node.steps:
                _take(self._node.durable, step)
            self._node.steps.clear()

    def size(self) -> int:
        self._check("size", writing=False)
        return len(self._node.now)

    def close(self) -> None:
        self._closed = True

    def _check(self, operation: str, writing: bool = True) -> None:
        if self._closed or (writing and not self._writable):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._path)
        self._disk.point(operation, self._path)


@lru_cache(maxsize=1 << 14)
def _segments(path: str) -> tuple[str, ...]:
    return tuple(part for part in posixpath.normpath("/" + path).split("/") if part)


def _survivor(node: _Node, rng: random.Random | None) -> bytes:
    """A file's bytes after a power loss."""
    data = bytearray(node.durable)
    steps = node.steps
    if rng is None or not steps:
        return bytes(data)
    way = rng.choice(("none", "all", "torn", "sectors"))
    if way == "all":
        keep: list[_Step] = list(steps)
    elif way == "torn":
        keep = list(steps[: rng.randint(1, len(steps))])
        last = keep.pop()
        if not isinstance(last, int):
            sectors = _sectors(*last)
            keep += sectors[: rng.randint(0, len(sectors))]
    elif way == "sectors":
        keep = []
        for step in steps:
            pieces: list[_Step] = [step] if isinstance(step, int) else list(_sectors(*step))
            keep += [piece for piece in pieces if rng.random() < 0.5]
    else:
        keep = []
    for step in keep:
        _take(data, step)
    return bytes(data)


def _sectors(offset: int, data: bytes) -> list[_Bytes]:
    """A write cut at the boundaries of the sectors it covers."""
    pieces = []
    end = offset + len(data)
    here = offset
    while here < end:
        stop = min(end, (here // SECTOR_BYTES + 1) * SECTOR_BYTES)
        pieces.append((here, data[here - offset : stop - offset]))
        here = stop
    return pieces


_: type[Disk] = SimDisk
