"""Small files that are replaced whole: killed at any write, the old or the new one is there."""

from __future__ import annotations

import msgspec

from safehold.lab.simdisk import Crash, SimDisk
from safehold.ports.whole_file import read_json, read_whole, write_whole

PATH = "/run/jobs/record.json"
OLD, NEW = b'{"at": 1}', b'{"at": 2, "why": "a longer one, which overlaps"}'


class Record(msgspec.Struct):
    at: int
    why: str = ""


def test_killed_at_any_write_it_leaves_the_old_or_the_new_one() -> None:
    found = set()
    for left in range(100):
        disk = SimDisk()
        write_whole(disk, PATH, OLD)
        points = left

        def point(operation: str, path: str) -> None:
            nonlocal points
            if not points:
                raise Crash
            points -= 1

        disk.on_write_point = point
        try:
            write_whole(disk, PATH, NEW)
        except Crash:
            for seed in range(4):
                found.add(read_whole(disk.crash(seed), PATH))
            continue
        disk.on_write_point = lambda operation, path: None
        assert read_whole(disk.crash(1), PATH) == NEW, "synced when it returns"
        assert left > 3
        assert OLD in found and found <= {OLD, NEW}
        return
    raise AssertionError("it never ended")


def test_what_is_not_there_or_something_else_is_none() -> None:
    disk = SimDisk()
    assert read_whole(disk, PATH) == b"" and read_json(disk, PATH, Record) is None
    for data in (b"", b"\xff", b"{", b"[1]", b'{"at": "x"}'):
        write_whole(disk, PATH, data)
        assert read_json(disk, PATH, Record) is None
    write_whole(disk, PATH, OLD)
    assert read_json(disk, PATH, Record) == Record(1)
