"""A salvage wired to real disks: which key opens what is found, where it is kept, and what is said of it.

    DIR/salvage.db               all that was found (store/survivors.py)
    DIR/bodies/                  bodies that lay in no file of their own
    DIR/sources.txt              what each source was, and what was wrong with it
    DIR/quarantine/              what failed verification (salvage/quarantine.py)

Nothing is ever written into a source. A second run with more sources adds to what the first found; the same sources
once more change nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from safehold.assembly.site import Site
from safehold.formats.keys import KeyAway, Opener
from safehold.model.counting import count_text
from safehold.model.errors import OperatorError
from safehold.ports.disk import Disk
from safehold.ports.survivors import Proof, SalvageSource
from safehold.recovery.report import Progress, silent
from safehold.salvage.ear import Ear
from safehold.salvage.quarantine import FOLDER, write_file, write_quarantine
from safehold.salvage.scan import Scanner
from safehold.salvage.survey import Look
from safehold.store.survivors import STORE_NAME, SurvivorStore
from safehold.vault.keyring import IDENTITY, RECOVERY, WRITER, load_identity, load_keyring

SOURCES_TEXT = "sources.txt"
_KEYS = "keys"


class Scanned(msgspec.Struct):
    """What lies in a salvage folder, counted. `problems` of sources are in words, `items` those of exports."""

    out: str
    sources: list[dict[str, Any]]
    changes: dict[str, int]
    items: int
    bodies: int
    aside: int
    notes: list[str]
    key: str = ""  # the file of the recovery key that was found, where none was given
    owners: list[str] = []  # whose the items of exports are; "" among them where that is not known of all


def salvage_into(
    sources: Sequence[str],
    out: str,
    *,
    site: Site,
    identity: str | None = None,
    account: str = "",
    progress: Progress = silent,
) -> Scanned:
    """Read sources into the salvage folder `out`; what is in it then, with what earlier runs have put there.

    `account` is the name of the person whose exports these are. Raises OperatorError: a place that cannot be, nothing
    known in the sources, no key for what is sealed; Damaged, OSError.
    """
    places = [os.path.abspath(source) for source in sources]
    out = os.path.abspath(out)
    _check_places(places, out)
    disk, notes = site.disk, list[str]()
    key = _key(site, identity, places, notes)
    disk.make_folders(out)
    os.chmod(out, 0o700)
    with SurvivorStore.open(out, create=True) as store:
        ear = Ear(store, store.body_of)
        if store.state():
            ear.learn(store)
        scanner = Scanner(
            ear, disk, look, key.opener, out, store, progress, account, os.listdir, key.writers, store.settle
        )
        try:
            scanner.run(places)
        except KeyAway as error:
            raise OperatorError(
                f"{error.message}",
                hint="give the recovery key: --identity FILE (keys/recovery.txt of the data folder, or a printed copy)",
            ) from None
        for path in store.forget_erased(ear.erased_blobs, ear.erased_digests):
            if path.startswith(f"{out}/"):
                with suppress(FileNotFoundError):
                    disk.remove(path)
        store.commit()
        counts = store.counts()
        names = {id_: name for id_, name in store.accounts().items() if name}
        write_quarantine(disk, out, store.asides(), store.sources(), names)
        found = Scanned(
            out,
            [_source(each) for each in store.sources()],
            {str(Proof.CHAIN): counts.chain, str(Proof.PAGE): counts.page},
            counts.loose,
            counts.bodies + counts.blobs,
            counts.aside,
            notes,
            key.path,
            store.owners(),
        )
    write_file(disk, f"{out}/{SOURCES_TEXT}", ("\n".join(describe(found)) + "\n").encode("utf-8", "replace"))
    disk.sync_folder(out)
    return found


def look(path: str) -> Look | None:
    """What lies at a path, links not followed; None for what is neither a file nor a folder."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISDIR(info.st_mode):
        return Look(True, 0)
    if stat.S_ISREG(info.st_mode):
        return Look(False, info.st_size, info.st_mtime_ns // 1000)
    if stat.S_ISBLK(info.st_mode):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                return Look(False, os.lseek(descriptor, 0, os.SEEK_END))
            finally:
                os.close(descriptor)
    return None


# -- places and keys


def _check_places(sources: Sequence[str], out: str) -> None:
    target = Path(out).resolve()
    for source in sources:
        if not os.path.lexists(source):
            raise OperatorError(f"there is no {source}", hint="name files or folders that exist", exit_code=2)
        place = Path(source).resolve()
        if place == target or place in target.parents or target in place.parents:
            raise OperatorError(
                f"{out} and the source {source} lie within each other, and nothing may be written into a source",
                hint="give --out a folder elsewhere, on another disk if this one fails",
                exit_code=2,
            )
    if target.exists() and not target.is_dir():
        raise OperatorError(f"{out} is no folder", hint="give a new one, or that of an earlier salvage", exit_code=2)
    if target.exists() and any(target.iterdir()) and not (target / STORE_NAME).exists():
        raise OperatorError(
            f"{out} is not empty, and no salvage", hint="give a new folder, or that of an earlier salvage", exit_code=2
        )


class _Key(msgspec.Struct):
    """`writers` are those known to be certified without their objects; `path` is the recovery key's file, if found."""

    opener: Opener | None
    writers: Sequence[bytes] = ()
    path: str = ""


def _key(site: Site, identity: str | None, sources: Sequence[str], notes: list[str]) -> _Key:
    """What opens sealed things: what is given, else the keys of the data folder, else those that lie in a source."""
    if identity is not None:
        return _Key(load_identity(site.disk, os.path.abspath(identity)))
    own = str(site.keys_folder)
    for folder in (own, *(f"{source}/{_KEYS}" for source in sources), *sources):
        found = _key_in(site.disk, folder)
        if found is not None:
            notes.append(f"opened with the key in {folder}")
            if folder == own:
                found.path = ""
            return found
    return _Key(None)


def _key_in(disk: Disk, folder: str) -> _Key | None:
    """The key of a folder of keys, though it may be damaged itself; None where there is none."""
    path = f"{folder}/{RECOVERY}"
    path = path if disk.exists(path) else ""
    if disk.exists(f"{folder}/{WRITER}") and disk.exists(f"{folder}/{IDENTITY}"):
        with suppress(OperatorError):
            keyring = load_keyring(disk, folder)
            return _Key(keyring.opener, (keyring.sealer.writer.public,), path)
    return _Key(load_identity(disk, path), (), path) if path else None


# -- what is said of it


def _source(source: SalvageSource) -> dict[str, Any]:
    return {"path": source.path, "sort": source.sort, "bytes": source.size, "problems": list(source.problems)}


def describe(found: Scanned) -> list[str]:
    """What was found for people, a line each."""
    lines = [f"salvage in {found.out}", ""]
    for source in found.sources:
        lines.append(f"{source['sort']}: {source['path']} ({count_text(source['bytes'], 'byte')})")
        lines += [f"    {problem}" for problem in source["problems"]]
    lines += [
        "",
        f"{count_text(found.changes[str(Proof.CHAIN)], 'change that proves itself', 'changes that prove themselves')}, "
        f"{found.changes[str(Proof.PAGE)]:,} of which the change before is lost, "
        f"{count_text(found.items, 'item')} of exports, {count_text(found.bodies, 'body', 'bodies')}",
    ]
    if found.aside:
        lines.append(f"{count_text(found.aside, 'piece')} went aside: {found.out}/{FOLDER}/index.txt says why")
    return [*lines, *found.notes]
