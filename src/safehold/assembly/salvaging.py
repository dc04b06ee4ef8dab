"""A salvage wired to real disks: which key opens what is found, where it is kept, and what is said of it.

    DIR/salvage.db               all that was found (store/survivors.py)
    DIR/bodies/                  bodies that lay in no file of their own
    DIR/report.json, report.txt  what there is, and what would come back
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
from safehold.model.errors import OperatorError
from safehold.ports.disk import Disk
from safehold.ports.survivors import Proof, SalvageSource
from safehold.recovery.report import Progress, silent
from safehold.salvage.ear import Ear
from safehold.salvage.keep import Keep
from safehold.salvage.quarantine import FOLDER, write_file, write_quarantine
from safehold.salvage.reading import FoundFile
from safehold.salvage.scan import Scanner
from safehold.salvage.survey import Look
from safehold.store.survivors import STORE_NAME, SurvivorStore
from safehold.vault.keyring import IDENTITY, RECOVERY, WRITER, load_identity, load_keyring

REPORT_JSON, REPORT_TEXT = "report.json", "report.txt"
_KEYS = "keys"
_TICK = 1000


class Kindred(msgspec.Struct):
    """What was found of one account's kind."""

    changes: int = 0
    page: int = 0  # of which the change before is lost
    bodies_missing: int = 0
    known: int = 0  # items that a core lists as living


class AccountFound(msgspec.Struct):
    account: str  # "" where no name was found
    id: str  # hex
    kinds: dict[str, Kindred] = {}


class SalvageResult(msgspec.Struct):
    """`problems` of sources are in words. `items` are loose ones: of exports, without a change."""

    out: str
    sources: list[dict[str, Any]]
    changes: dict[str, int]
    items: int
    bodies: int
    aside: int
    accounts: list[AccountFound]
    erased: int
    notes: list[str] = []

    @property
    def clean(self) -> bool:
        """Whether nothing was damaged."""
        return not self.aside and not any(source["problems"] for source in self.sources)


def salvage_into(
    sources: Sequence[str],
    out: str,
    *,
    site: Site,
    identity: str | None = None,
    account: str = "",
    progress: Progress = silent,
) -> SalvageResult:
    """Read sources into the salvage folder `out`, and write what is to be said of all that lies in it.

    `account` is the name of the person whose exports these are. Raises OperatorError: a place that cannot be, nothing
    known in the sources, no key for what is sealed; Damaged, OSError.
    """
    places = [os.path.abspath(source) for source in sources]
    out = os.path.abspath(out)
    _check_places(places, out)
    disk, notes = site.disk, list[str]()
    opener, writers = _key(site, identity, places, notes)
    disk.make_folders(out)
    os.chmod(out, 0o700)
    with SurvivorStore.open(out, create=True) as store:
        ear = Ear(store, store.body_of)
        if store.state():
            ear.learn(store)
        scanner = Scanner(ear, disk, look, opener, Keep(disk, out), _scan_core, progress, account, writers)
        try:
            scanner.run(places)
        except KeyAway as error:
            raise OperatorError(
                f"{error.message}",
                hint="give the recovery key: --identity FILE (keys/recovery.txt of the data folder, or a printed copy)",
            ) from None
        store.commit()
        result = _told(store, out, notes, progress)
        names = {id_: name for id_, name in store.accounts().items() if name}
        write_quarantine(disk, out, store.asides(), store.sources(), names)
    _write_report(disk, result)
    return result


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


def _key(
    site: Site, identity: str | None, sources: Sequence[str], notes: list[str]
) -> tuple[Opener | None, Sequence[bytes]]:
    """What opens sealed things, and which writers are known without their objects: given, or in keys at hand."""
    if identity is not None:
        return load_identity(site.disk, os.path.abspath(identity)), ()
    folders = [str(site.keys_folder), *(f"{source}/{_KEYS}" for source in sources)]
    for folder in folders:
        found = _key_in(site.disk, folder)
        if found is not None:
            notes.append(f"opened with the key in {folder}")
            return found
    for source in sources:
        if site.disk.exists(f"{source}/{RECOVERY}"):
            notes.append(f"opened with the key in {source}/{RECOVERY}")
            return load_identity(site.disk, f"{source}/{RECOVERY}"), ()
    return None, ()


def _key_in(disk: Disk, folder: str) -> tuple[Opener, Sequence[bytes]] | None:
    """The key of a folder of keys, though it may be damaged itself; None where there is none."""
    if disk.exists(f"{folder}/{WRITER}") and disk.exists(f"{folder}/{IDENTITY}"):
        with suppress(OperatorError):
            keyring = load_keyring(disk, folder)
            return keyring.opener, (keyring.sealer.writer.public,)
    if disk.exists(f"{folder}/{RECOVERY}"):
        return load_identity(disk, f"{folder}/{RECOVERY}"), ()
    return None


def _scan_core(files: Sequence[FoundFile], ear: Ear, _disk: Disk, _progress: Progress) -> int:
    number = ear.source(files[0].path, "core", sum(found.size for found in files))
    ear.problem(number, "its pages were not searched")
    return 0


# -- what is said of it


def _told(store: SurvivorStore, out: str, notes: list[str], progress: Progress) -> SalvageResult:
    """Counted out of the store, so that what an earlier run found is in it."""
    accounts: dict[bytes, AccountFound] = {}
    counts = dict.fromkeys(map(str, Proof), 0)
    names = store.accounts()
    missing = 0
    for key in list(store.keys()):
        account, kind = key
        found = accounts.setdefault(account, AccountFound(names.get(account, ""), account.hex()))
        kindred = found.kinds.setdefault(str(kind), Kindred())
        for proof in Proof:
            for survivor in store.changes(key, proof):
                counts[str(proof)] += 1
                kindred.changes += 1
                kindred.page += proof is Proof.PAGE
                change = survivor.change
                kindred.bodies_missing += bool(change.digest) and change.body is None and change.blob is None
                if not kindred.changes % _TICK:
                    progress("counting", counts[str(Proof.CHAIN)], 0, "changes")
        kindred.known = sum(1 for _ in store.known_items(key))
        missing += kindred.bodies_missing
    return SalvageResult(
        out,
        [_source(each) for each in store.sources()],
        counts,
        sum(1 for _ in store.loose_items()),
        0,
        sum(1 for _ in store.asides()),
        sorted(accounts.values(), key=lambda each: (each.account, each.id)),
        len(store.erased_accounts()),
        notes,
    )


def _source(source: SalvageSource) -> dict[str, Any]:
    return {"path": source.path, "sort": source.sort, "bytes": source.size, "problems": list(source.problems)}


def _write_report(disk: Disk, result: SalvageResult) -> None:
    data = msgspec.json.format(msgspec.json.encode(result), indent=1)
    write_file(disk, f"{result.out}/{REPORT_JSON}", data)
    write_file(disk, f"{result.out}/{REPORT_TEXT}", ("\n".join(describe(result)) + "\n").encode("utf-8", "replace"))
    disk.sync_folder(result.out)


def describe(result: SalvageResult) -> list[str]:
    """A salvage for people, a line each."""
    lines = [f"salvage in {result.out}", ""]
    for source in result.sources:
        lines.append(f"{source['sort']}: {source['path']} ({source['bytes']:,} bytes)")
        lines += [f"    {problem}" for problem in source["problems"]]
    lines += [
        "",
        f"{result.changes[str(Proof.CHAIN)]:,} changes that prove themselves, {result.changes[str(Proof.PAGE)]:,} of "
        f"which the change before is lost, {result.items:,} items of exports",
    ]
    for account in result.accounts:
        kinds = ", ".join(f"{kind} {found.changes:,}" for kind, found in account.kinds.items() if found.changes)
        lines.append(f"    {account.account or account.id}: {kinds or 'nothing but witnesses'}")
    if result.aside:
        lines.append(f"{result.aside:,} pieces went aside: {result.out}/{FOLDER}/index.txt says why")
    return [*lines, *result.notes]
