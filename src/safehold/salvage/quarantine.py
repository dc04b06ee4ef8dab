"""What went aside, as files that a person can look through.

    quarantine/index.txt    a line each: file, why, where, whose, what
    quarantine/index.json   the same for programs
    quarantine/00/000001-contacts-ada-name.vcf  …  what was kept of each, a thousand to a folder

Names of files are made here and hold nothing that a disk or a terminal obeys. A second run writes the index anew and
the files that are new; what lies there already is not touched.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from hashlib import sha256

import msgspec

from safehold.ports.disk import Disk
from safehold.ports.survivors import Aside, SalvageSource

FOLDER = "quarantine"
_PER_FOLDER = 1000
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+-]+")
_MAX_NAME = 60
_SUFFIX = {"frame": ".frame", "page": ".page"}


class Entry(msgspec.Struct):
    """One line of the index; `file` is "" where no bytes were kept."""

    file: str
    source: str
    where: str
    why: str
    what: str
    account: str
    kind: str
    name: str
    size: int


def write_quarantine(
    disk: Disk, out: str, asides: Iterable[Aside], sources: Iterable[SalvageSource], names: Mapping[bytes, str]
) -> int:
    """All of them; how many. Raises OSError."""
    folder = f"{out}/{FOLDER}"
    disk.make_folders(folder)
    paths = {source.number: source.path for source in sources}
    entries: list[Entry] = []
    made: set[str] = set()
    for number, aside in enumerate(asides):
        entry = _entry(aside, paths, names)
        if aside.data:
            below = f"{number // _PER_FOLDER:02d}"
            if below not in made:
                disk.make_folders(f"{folder}/{below}")
                made.add(below)
            entry.file = f"{below}/{_file_name(number, aside, entry)}"
            write_file(disk, f"{folder}/{entry.file}", aside.data, again=False)
        entries.append(entry)
    text = "".join(map(_line, entries)) or "nothing went aside\n"
    write_file(disk, f"{folder}/index.txt", text.encode("utf-8", "backslashreplace"))
    write_file(disk, f"{folder}/index.json", msgspec.json.format(msgspec.json.encode(entries), indent=1))
    _sweep(disk, folder, {entry.file for entry in entries})
    disk.sync_folder(folder)
    return len(entries)


def _sweep(disk: Disk, folder: str, named: Container[str]) -> None:
    """Remove what an earlier run wrote and the index names no more: it was found whole, or must not be kept."""
    for entry in [entry for entry in disk.list(folder) if entry.is_folder]:
        for file in list(disk.list(f"{folder}/{entry.name}")):
            if not file.is_folder and f"{entry.name}/{file.name}" not in named:
                disk.remove(f"{folder}/{entry.name}/{file.name}")


def write_file(disk: Disk, path: str, data: bytes, *, again: bool = True) -> None:
    """Whole under its name or not at all. With `again` unset one of this size that is there stays."""
    if not again and disk.exists(path) and disk.size(path) == len(data):
        return
    half = f"{path}.half"
    file = disk.open(half, write=True, create=True)
    try:
        file.truncate(0)
        file.write_at(0, data)
        file.sync()
    finally:
        file.close()
    disk.rename(half, path)


def _entry(aside: Aside, paths: Mapping[int, str], names: Mapping[bytes, str]) -> Entry:
    account = ""
    if aside.account is not None:
        account = names.get(aside.account) or aside.account.hex()
    return Entry(
        *("", paths.get(aside.source, ""), aside.where, aside.why, aside.what, account),
        *(str(aside.kind or ""), aside.name, len(aside.data)),
    )


def _file_name(number: int, aside: Aside, entry: Entry) -> str:
    """Of what is known of it, and a few digits of its digest, so that another one never passes for it."""
    mark = sha256(aside.data).hexdigest()[:8]
    parts = [_UNSAFE.sub("_", part).strip("._")[:_MAX_NAME] for part in (entry.kind or entry.what, entry.account)]
    name = _UNSAFE.sub("_", aside.name).strip("._")[-_MAX_NAME:] or _SUFFIX.get(aside.what, "bytes").strip(".")
    return "-".join((f"{number:06d}", *(part for part in parts if part), mark, name))


def _line(entry: Entry) -> str:
    whose = f" [{entry.account} {entry.kind} {entry.name}]" if entry.account or entry.name else ""
    words = f"{entry.file or '(nothing was kept)'}: {entry.why}; {entry.what} in {entry.source}, {entry.where}{whose}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words) + "\n"
