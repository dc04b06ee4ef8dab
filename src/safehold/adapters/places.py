"""Where a folder lies, as far as the system tells: what it fails together with.

Read from the folder's device, /proc/self/mountinfo and /sys: the disk below a partition, an encrypted or logical
volume, the members of an array, the file behind a loop device, the server of a network mount, the folder behind a
bind mount or an overlay. What cannot be told falls back to the device's number: two folders with the same
one surely share.

A look may hang where a network mount does: call it in a thread that may.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

#: A loop device on a loop device on …: followed no deeper.
_MAX_DEPTH = 8
_NETWORK = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "afs", "9p", "virtiofs", "lustre"))
_MEMORY = frozenset(("tmpfs", "ramfs"))
_WORD_DIGITS = 12
_ESCAPE = re.compile(r"\\([0-7]{3})")
#: Levels of md arrays that outlive the loss of one member.
_REDUNDANT = frozenset(("raid1", "raid4", "raid5", "raid6", "raid10"))


class Place(NamedTuple):
    """`fails_with`: each of these alone takes the folder with it ("disk vda", "server nas", "array md0")."""

    device: str  # "major:minor"
    filesystem: str  # "" where unknown
    host: str  # name of the machine that sees it
    fails_with: frozenset[str]

    def text(self) -> str:
        """In one line, for people and for `failure_domain`."""
        return f"{', '.join(sorted(self.fails_with))} of {self.host}"


def place_of_store(endpoint: str) -> Place:
    """Where what is kept at a URL lies: all of it fails with its server, which may be on this machine."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        return Place("", "s3", socket.gethostname(), frozenset((f"store {parts.netloc}",)))
    return Place("", "s3", host, frozenset((f"server {host}",)))


class Mount(NamedTuple):
    device: str
    root: str  # what of the file system is mounted: not "/" for bind mounts
    point: str
    filesystem: str
    source: str
    options: str


def look_at_place(folder: str, system: str = "") -> Place:
    """Raises OSError. `system` stands before /proc and /sys, for tests."""
    return _Looker(system).place(folder)


def describe_place(folder: str) -> dict[str, object] | None:
    """The same as plain values, for other processes; None where it cannot be looked at."""
    try:
        place = look_at_place(folder)
    except OSError:
        return None
    return {**place._asdict(), "fails_with": sorted(place.fails_with)}


def place_from(described: object) -> Place | None:
    """What `describe_place` gave; None where it is none."""
    if not isinstance(described, dict):
        return None
    fields = [described.get(name) for name in Place._fields]
    device, filesystem, host, fails_with = fields
    if not all(isinstance(field, str) for field in fields[:3]) or not isinstance(fails_with, list):
        return None
    return Place(str(device), str(filesystem), str(host), frozenset(map(str, fails_with)))


def host_name() -> str:
    return socket.gethostname() or "this machine"


def machine() -> str:
    """A name of the running kernel that tells it from every other, and tells nobody else anything; "" where unknown."""
    with suppress(OSError):
        return sha256(b"safehold machine" + _read("/proc/sys/kernel/random/boot_id").encode()).hexdigest()[:32]
    return ""


def known_here(what: str) -> str:
    """A word for something of this machine, which only who is on it, and knows it, recognises; "" where unknown."""
    with suppress(OSError):
        boot = _read("/proc/sys/kernel/random/boot_id")
        return sha256(f"safehold {boot} {what}".encode()).hexdigest()[:_WORD_DIGITS]
    return ""


def cause_words(place: Place) -> list[str]:
    """What a place fails with, in words for others: its sort, and what tells it from others of the sort.

    A file server is the same from all machines, so whoever guesses its name recognises it; of all else only what is on
    the same machine is recognised.
    """
    return sorted(filter(None, map(cause_word, place.fails_with)))


def cause_word(cause: str) -> str:
    """ "" where there is none."""
    sort, _, name = cause.partition(" ")
    if not name:
        return sort
    word = sha256(f"safehold {cause}".encode()).hexdigest()[:_WORD_DIGITS] if sort == "server" else known_here(cause)
    return f"{sort} {word}" if word else ""


class _Looker:
    def __init__(self, system: str) -> None:
        self._system = system
        self._mounts = list(self._read_mounts())

    def place(self, folder: str) -> Place:
        real = os.path.realpath(folder)
        number = os.stat(real).st_dev
        device = f"{os.major(number)}:{os.minor(number)}"
        mount = self._mount_of(real, device)
        found = frozenset(self._below(device, mount, 0)) or frozenset((f"device {device}",))
        return Place(device, mount.filesystem if mount else "", host_name(), found)

    # -- mounts

    def _read_mounts(self) -> Iterator[Mount]:
        with suppress(OSError), open(f"{self._system}/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                left, _, right = line.partition(" - ")
                fields, rest = left.split(), right.split()
                if len(fields) >= 5 and len(rest) >= 2:
                    options = rest[2] if len(rest) > 2 else ""
                    yield Mount(
                        fields[2], _plain(fields[3]), _plain(fields[4]), rest[0], _plain(rest[1]), _plain(options)
                    )

    def _mount_of(self, real: str, device: str) -> Mount | None:
        """The mount that a path lies in: the deepest above it, of its own device where there is such a one."""
        above = [m for m in self._mounts if real == m.point or real.startswith(m.point.rstrip("/") + "/")]
        same = [m for m in above if m.device == device]
        return max(same or above, key=lambda m: len(m.point), default=None)

    def _below(self, device: str, mount: Mount | None, depth: int) -> Iterator[str]:
        if mount is None or depth > _MAX_DEPTH:
            yield f"device {device}"
            return
        kind = mount.filesystem
        if kind in _MEMORY:
            yield "memory"
        elif kind in _NETWORK or kind.startswith("fuse.ssh") or kind == "fuse.rclone":
            yield f"server {_server_of(mount.source)}"
        elif kind == "zfs":
            yield f"pool {mount.source.partition('/')[0]}"
        elif kind == "overlay" and (upper := _option(mount.options, "upperdir")) and os.path.exists(upper):
            number = os.stat(upper).st_dev
            inner = f"{os.major(number)}:{os.minor(number)}"
            yield from self._below(inner, self._mount_of(upper, inner), depth + 1)
        else:
            found = list(self._disks(device, depth)) or list(self._disks(self._number_of(mount.source), depth))
            yield from found or (f"device {device}",)

    def _number_of(self, source: str) -> str:
        """major:minor of a device file; "" where it is none. For file systems whose devices are their own (btrfs)."""
        name = os.path.basename(os.path.realpath(source)) if source.startswith("/dev/") else ""
        with suppress(OSError):
            return _read(f"{self._system}/sys/class/block/{name}/dev") if name else ""
        return ""

    # -- block devices

    def _disks(self, device: str, depth: int) -> Iterator[str]:
        """What a block device stands and falls with; nothing where the system does not tell."""
        path = os.path.realpath(f"{self._system}/sys/dev/block/{device}")
        if not device or not os.path.isdir(path) or depth > _MAX_DEPTH:
            return
        if os.path.exists(f"{path}/partition"):
            path = os.path.dirname(path)
        name = os.path.basename(path)
        with suppress(OSError):
            backing = _read(f"{path}/loop/backing_file")
            number = os.stat(os.path.dirname(backing)).st_dev
            inner = f"{os.major(number)}:{os.minor(number)}"
            yield from self._below(inner, self._mount_of(os.path.realpath(backing), inner), depth + 1)
            return
        members = []
        with suppress(OSError):
            members = sorted(os.listdir(f"{path}/slaves"))
        if not members:
            yield f"disk {name}"
            return
        level = ""
        with suppress(OSError):
            level = _read(f"{path}/md/level")
        if level:
            yield f"array {name}"
        if level not in _REDUNDANT:
            for member in members:
                with suppress(OSError):
                    yield from self._disks(_read(f"{self._system}/sys/class/block/{member}/dev"), depth + 1)


def _server_of(source: str) -> str:
    """The machine in `host:/path`, `//host/share`, `user@host:path`."""
    if source.startswith("//"):
        return source[2:].partition("/")[0]
    host = source.partition(":/")[0] if ":/" in source else source.partition(":")[0]
    return host.rpartition("@")[2] or source


def _option(options: str, name: str) -> str:
    return next((o.partition("=")[2] for o in options.split(",") if o.startswith(name + "=")), "")


def _plain(field: str) -> str:
    """A field of mountinfo, whose spaces are written as octal."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()
