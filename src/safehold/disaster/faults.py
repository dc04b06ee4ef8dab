"""Faults of a simulated disk: power that goes at a write point, and what is drawn from a seed."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

from safehold.lab.simdisk import Crash, SimDisk

PARTS = ("/core/", "/core/", "/near/log", "/near/", "/far/", "/blobs", "/scratch")
OPERATIONS = ("sync", "write", "*", "read", "sync_folder", "create")


def break_disk(disk: SimDisk, rng: random.Random) -> str:
    """Let it fail in one of its parts, or be nearly full, until it is mended; what was done, in words."""
    if rng.random() < 0.2:
        disk.capacity_bytes = disk.used_bytes() + rng.randint(0, 20_000)
        return "full: the disk"
    part, operation = rng.choice(PARTS), rng.choice(OPERATIONS)
    error = rng.choice((errno.EIO, errno.ENOSPC))
    times = rng.choice((1, 1, 3, 1000))
    disk.fail(operation, nth=rng.randint(1, 6), error=error, path=part, times=times)
    return f"fault: {operation} {part} {errno.errorcode[error]} {times}"


def rot(disk: SimDisk, path: str, rng: random.Random) -> None:
    """Flip bits in a file, where there is one."""
    size = disk.size(path) if disk.exists(path) else 0
    for _ in range(rng.choice((1, 3, 30)) if size else 0):
        disk.flip_bit(path, rng.randrange(size), rng.randrange(8))


def same_objects(disk: SimDisk, one: str, other: str) -> bool:
    """Whether two vaults hold the same, byte for byte."""
    return _objects(disk, one) == _objects(disk, other)


def _objects(disk: SimDisk, vault: str) -> dict[str, bytes]:
    return {name: data for name, data in disk.contents(vault).items() if name.startswith(("log/", "blobs/", "runs/"))}


def hurt_vault(disk: SimDisk, vault: str, rng: random.Random) -> str:
    """Damage a vault's objects in one of the ways that disks do, or people; what was done, in words."""
    objects = sorted(_objects(disk, vault))
    blobs = [name for name in objects if name.startswith("blobs/")]
    way = rng.choice(("rot", "rot in blobs", "swap", "cut", "gone"))
    if way == "swap" and len(blobs) > 1:  # a write that went astray
        one, other = (f"{vault}/{name}" for name in rng.sample(blobs, 2))
        before, after = (disk.contents(vault)[path.removeprefix(f"{vault}/")] for path in (one, other))
        disk.damage(one, after)
        disk.damage(other, before)
    elif way == "cut":  # as an older copy of it would be
        last = max(name for name in objects if name.startswith("log/"))
        data = disk.contents(vault)[last]
        disk.damage(f"{vault}/{last}", data[: rng.randrange(len(data))])
    elif way == "gone":
        for name in rng.sample(objects, rng.randint(1, max(1, len(objects) // 4))):
            disk.lose(f"{vault}/{name}")
    else:
        some = blobs if way == "rot in blobs" and blobs else objects
        for name in rng.sample(some, rng.randint(1, len(some))):
            rot(disk, f"{vault}/{name}", rng)
    return way


def power_loss_after(points: int) -> Callable[[str, str], None]:
    """A hook for `SimDisk.on_write_point`: so many write points pass, then the power is gone."""
    left = points

    def strike(operation: str, path: str) -> None:
        nonlocal left
        if left == 0:
            raise Crash
        left -= 1

    return strike


def count_write_points(disk: SimDisk, act: Callable[[], object]) -> int:
    """How many write points an act has that nothing disturbs."""
    count = 0

    def tick(operation: str, path: str) -> None:
        nonlocal count
        count += 1

    disk.on_write_point = tick
    act()
    disk.on_write_point = None
    return count


# -- what tears whole folders ------------------------------------------------------------------------------------------

PAGE_BYTES = 4096
#: How a storage system leaves what it was moving when it failed.
TEARS = ("lost", "cut", "zeroed", "garbled")


def tear(disk: SimDisk, folder: str, rng: random.Random, *, how: str = "") -> str:
    """A folder after a storage system has failed in the midst of moving it; what was done, in words.

    lost: nothing of it is there. cut: from some file on, in the order of their names, nothing is there, and that one
    ends early. zeroed, garbled: some of its pages are, those of one stretch or here and there.
    """
    files = disk.files(folder)
    how = how or rng.choice(TEARS)
    if how == "lost" or not files:
        disk.lose(folder)
        return f"{folder} is gone"
    if how == "cut":
        first = rng.randrange(len(files))
        disk.cut(files[first], rng.randrange(disk.length(files[first]) + 1))
        for path in files[first + 1 :]:
            disk.lose(path)
        return f"{folder} ends within {files[first]}"
    share = rng.choice((0.01, 0.1, 0.5))
    hit = sum(strike_pages(disk, path, rng, share, garbled=how == "garbled") for path in files)
    return f"{hit} pages of {folder} are {how}"


def strike_pages(disk: SimDisk, path: str, rng: random.Random, share: float, *, garbled: bool = False) -> int:
    """Zero, or fill with noise, about this share of a file's pages, one at least; how many."""
    pages = -(-disk.length(path) // PAGE_BYTES)
    chosen = [page for page in range(pages) if rng.random() < share] or ([rng.randrange(pages)] if pages else [])
    for page in chosen:
        disk.overwrite(path, page * PAGE_BYTES, rng.randbytes(PAGE_BYTES) if garbled else bytes(PAGE_BYTES))
    return len(chosen)


def damage_objects(disk: SimDisk, folder: str, rng: random.Random, count: int) -> list[str]:
    """So many of a vault's objects are each cut, lost, or hit in a page; what was done, in words."""
    files = [path for path in disk.files(folder) if disk.length(path)]
    told = []
    for path in rng.sample(files, min(count, len(files))):
        how = rng.choice(("cut", "lost", "page", "bit"))
        if how == "cut":
            disk.cut(path, rng.randrange(disk.length(path)))
        elif how == "lost":
            disk.lose(path)
        elif how == "page":
            start = rng.randrange(disk.length(path))
            disk.overwrite(path, start, rng.randbytes(min(PAGE_BYTES, disk.length(path) - start)))
        else:
            disk.flip_bit(path, rng.randrange(disk.length(path)), rng.randrange(8))
        told.append(f"{path}: {how}")
    return told


# -- what goes on in silence -------------------------------------------------------------------------------------------


def rot_bits(disk: SimDisk, place: str, rng: random.Random, count: int) -> str:
    """Flip so many bits in a file, or in files of a folder; what was done, in words."""
    files = disk.files(place)
    hurt = []
    for _ in range(count):
        path = rng.choice(files) if files else ""
        if path and disk.length(path):
            disk.flip_bit(path, rng.randrange(disk.length(path)), rng.randrange(8))
            hurt.append(path)
    return f"a bit rots in {', '.join(dict.fromkeys(hurt))}" if hurt else ""


def write_over(disk: SimDisk, folder: str, rng: random.Random, pattern: str) -> int:
    """All files below a folder, from their beginning to their end: "zeros", "noise" or "one byte"; how many."""
    files = disk.files(folder)
    byte = bytes([rng.randrange(1, 256)]) if pattern == "one byte" else b"\0"
    for path in files:
        size = disk.length(path)
        disk.overwrite(path, 0, rng.randbytes(size) if pattern == "noise" else byte * size)
    return len(files)


def damage_listing(disk: SimDisk, folder: str, rng: random.Random, *, for_good: bool) -> str:
    """A folder lists fewer files; what was done, in words. Unless `for_good` they can still be opened by name."""
    files = [path for path in disk.files(folder) if not path.endswith(("/FORMAT", "/reader.py"))]
    share = rng.choice((0.2, 0.5, 0.9))
    chosen = {path for path in files if rng.random() < share} or set(files[-1:])
    if for_good:
        for path in sorted(chosen):
            disk.lose(path)
        return f"{len(chosen)} of {len(files)} files of {folder} are gone"
    for path in chosen:
        disk.hide(path)
    return f"{len(chosen)} of {len(files)} files of {folder} are not listed"
