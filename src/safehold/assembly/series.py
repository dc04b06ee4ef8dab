"""Series of a data folder: one line for every few minutes of a running service, a file a month.

    run/series/2026-11.jsonl        proof/series.py: a Sample a line
    run/series/2026-08.hours.jsonl  the same of a month that ended THIN_DAYS ago: the worst sample of each hour

A line is appended and not synced: a kill may tear the last one, which the reader passes over and the next append ends.
The newest MONTHS files are kept; a file that has grown to MOST_BYTES takes no more. Nothing here is a record: what is
lost leaves a gap, which a report names.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from safehold.adapters.threads import in_daemon
from safehold.assembly.site import Site
from safehold.ports.disk import Disk
from safehold.ports.whole_file import write_whole
from safehold.proof.series import (
    DAY,
    SAMPLE_SECONDS,
    Read,
    Sample,
    decode_lines,
    encode_line,
    sample_of,
    thinned,
)

THIN_DAYS = 90
#: Six years. A month of hours is about 0.4 MiB.
MONTHS = 72
MOST_BYTES = 32 * 1024 * 1024
_MICROSECONDS = 1_000_000
_NAME = re.compile(r"(\d{4})-(\d{2})(\.hours)?\.jsonl", re.ASCII)

_log = logging.getLogger("safehold.series")


class SeriesRecorder:
    """Records how a running service stands. Used on one thread; the disk is written in another, which may hang."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._next = 0.0
        self._month = ""
        self._under_way: Future[None] | None = None

    def tick(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """To be called about once a second; asks for the status only where a sample is due. Returns at once."""
        now = self._site.clock.monotonic()
        if now < self._next or (self._under_way is not None and not self._under_way.done()):
            return
        self._next = now + SAMPLE_SECONDS
        sample = sample_of(status(), self._site.clock.now())
        month = month_of(sample.at)
        is_new, self._month = month != self._month, month
        self._under_way = in_daemon(lambda: self._write(sample, is_new), "series")

    def _write(self, sample: Sample, thin: bool) -> None:
        try:
            append(self._site.disk, _folder(self._site), sample)
            if thin:
                thin_old(self._site.disk, _folder(self._site), sample.at)
        except OSError as error:
            _log.warning("how the service stands could not be recorded: %s", error.strerror or error)


def read_series(site: Site, begin: int, end: int) -> Read:
    """What was recorded from `begin` up to `end` (µs), as far as it can be read."""
    folder = _folder(site)
    found: dict[int, Sample] = {}
    broken = 0
    for name in _files(site.disk, folder):
        if not month_of(begin) <= name[:7] <= month_of(end):
            continue
        read = decode_lines(_content(site.disk, f"{folder}/{name}"))
        broken += read.broken
        found.update((sample.at, sample) for sample in read.samples if begin <= sample.at < end)
    return Read([found[at] for at in sorted(found)], broken)


def append(disk: Disk, folder: str, sample: Sample) -> None:
    """Raises OSError."""
    disk.make_folders(folder)
    file = disk.open(f"{folder}/{month_of(sample.at)}.jsonl", write=True, create=True)
    try:
        size = file.size()
        if size > MOST_BYTES:
            return
        torn = size > 0 and file.read_at(size - 1, 1) != b"\n"
        file.write_at(size, (b"\n" if torn else b"") + encode_line(sample))
    finally:
        file.close()


def thin_old(disk: Disk, folder: str, now: int) -> None:
    """Months that ended THIN_DAYS ago to hours; drop what is more than MONTHS files. Raises OSError."""
    limit = month_of(max(0, now - THIN_DAYS * DAY))
    names = _files(disk, folder)
    for name in names:
        if ".hours" in name or name[:7] >= limit:
            continue
        hours = f"{folder}/{name[:7]}.hours.jsonl"
        known = decode_lines(_content(disk, hours)).samples  # a kill between rename and removal, or a clock set back
        samples = [*known, *decode_lines(_content(disk, f"{folder}/{name}")).samples]
        kept = thinned(sorted(samples, key=lambda sample: sample.at))
        write_whole(disk, hours, b"".join(map(encode_line, kept)))
        disk.remove(f"{folder}/{name}")
    for name in _files(disk, folder)[:-MONTHS]:
        disk.remove(f"{folder}/{name}")


def month_of(at: int) -> str:
    return datetime.fromtimestamp(at // _MICROSECONDS, UTC).strftime("%Y-%m")


def _files(disk: Disk, folder: str) -> list[str]:
    """Oldest first."""
    try:
        return sorted(entry.name for entry in disk.list(folder) if _NAME.fullmatch(entry.name))
    except OSError:
        return []


def _content(disk: Disk, path: str) -> bytes:
    try:
        file = disk.open(path)
    except OSError:
        return b""
    try:
        return file.read_at(0, min(file.size(), 2 * MOST_BYTES))
    except OSError:
        return b""
    finally:
        file.close()


def _folder(site: Site) -> str:
    return str(site.data / "run" / "series")
