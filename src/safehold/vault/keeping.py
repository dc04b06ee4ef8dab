"""A vault under its keeper's credentials: what repair, retention and erasure may do there, and nothing else may.

    aside/UUUUUUUUUUUUUUUU+log+00000001+…    what was moved out of the way: microseconds of the keeper's clock, then
                                             the object's name with + for /

Nothing that runs beside the core holds one of these (I18): the Vault port has no such verb.

Write order. `set_aside`: a second name in aside/, its folder synced, then the first name removed, its folder synced.
`replace`: temporary file, synced; the old object a second name in aside/, synced; the temporary renamed over the
name, the folder synced. Killed at any point, the object's name gives the old or the new one, whole, or, once
`set_aside` or `remove` has gone so far, none. Whatever was there before is under its name or in aside/; the same bytes
set aside again take no second place.

An object that somebody appends to is none for these verbs: its writer holds a handle, and stops (VaultDown) once it
finds that another file bears the name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from safehold.formats import mark
from safehold.model.errors import OperatorError
from safehold.ports.disk import Disk, File
from safehold.ports.vault import KeptVault
from safehold.ports.world import Clock
from safehold.vault.folder import ASIDE, FolderVault, Putting, is_object_name, leads_out

_ASIDE_NAME = re.compile(r"(\d{16})\+.+")
_COMPARED_BYTES = 1024 * 1024
#: There for a moment after each removal, so that the time of aside/ tells of it; left by a kill, it is nothing.
_SIGN = "removed"


class KeptFolderVault(FolderVault):
    """Implements ports.vault.KeptVault on a folder that `FolderVault.create` made. The clock is the keeper's own."""

    def __init__(self, name: str, path: str, disk: Disk, installation: bytes | None = None, *, clock: Clock) -> None:
        super().__init__(name, path, disk, installation)
        self._clock = clock

    def set_aside(self, name: str) -> str:
        # What a desktop or a file system leaves in a folder bears names that no object has.
        if leads_out(name) or name.partition("/")[0] in ("tmp", ASIDE):
            raise _no_object(name)
        if name != mark.NAME:
            self._require()
        self.close()
        path = self._at(name)
        try:
            aside = self._link_aside(name)
            if aside is None:
                raise KeyError(name)
            self._disk.remove(path)
            self._disk.sync_folder(posixpath.dirname(path))
        except OSError as error:
            raise self._refusal(error) from error
        return aside

    def replace(self, name: str, chunks: Iterable[bytes]) -> None:
        self._require_object(name)
        self.close()
        path = self._at(name)
        try:
            temporary = self._written(name, chunks)
            self._link_aside(name)
            self._disk.make_folders(posixpath.dirname(path))
            self._disk.rename(temporary, path)
            try:
                self._disk.sync_folder(posixpath.dirname(path))
            except OSError as error:
                raise self._suspect(name, error) from error
        except OSError as error:
            raise self._refusal(error) from error

    def remove(self, name: str) -> None:
        self._require_object(name)
        if name == mark.NAME:
            raise OperatorError(f"{mark.NAME} of the vault {self.name} is never removed: without it this is no vault")
        self.close()
        path = self._at(name)
        try:
            there = self._disk.exists(path)
            if there:
                self._disk.remove(path)
            folder = posixpath.dirname(path)
            if self._disk.exists(folder):  # also where the name is gone: whoever removed it may not have synced that
                self._disk.sync_folder(folder)
            if there:
                self._tell_removed()
        except OSError as error:
            raise self._refusal(error) from error

    def purge_aside(self, before: int | None) -> int:
        self._require()
        removed = 0
        try:
            for name in sorted(self._aside()):
                match = _ASIDE_NAME.fullmatch(name)
                if before is None or (match is not None and int(match[1]) < before):
                    self._disk.remove(self._at(f"{ASIDE}/{name}"))
                    removed += 1
            if self._disk.exists(self._at(ASIDE)):
                self._disk.sync_folder(self._at(ASIDE))
        except OSError as error:
            raise self._refusal(error) from error
        return removed

    def _tell_removed(self) -> None:
        """Who serves this vault sees by the time of aside/ that something went."""
        self._disk.make_folders(self._at(ASIDE))
        sign = self._at(f"{ASIDE}/{_SIGN}")
        self._disk.open(sign, write=True, create=True).close()
        self._disk.remove(sign)

    def _require_object(self, name: str) -> None:
        """A name that may be kept, in a vault that is there; its FORMAT may be what is to be mended."""
        if not is_object_name(name):
            raise _no_object(name)
        if name != mark.NAME:
            self._require()

    def _written(self, name: str, chunks: Iterable[bytes]) -> str:
        """A temporary file that holds all of an object, synced; its path."""
        putting = Putting(self, name, *self._temporary(name))
        try:
            for chunk in chunks:
                putting.write(chunk)
            return putting.written()
        except Exception:
            putting.abandon()
            raise

    def _aside(self) -> list[str]:
        try:
            return [entry.name for entry in self._disk.list(self._at(ASIDE)) if not entry.is_folder]
        except FileNotFoundError:
            return []

    def _link_aside(self, name: str) -> str | None:
        """A second, synced name in aside/ for what bears this one; None where nothing does. Raises OSError."""
        path = self._at(name)
        if not self._disk.exists(path):
            return None
        self._disk.make_folders(self._at(ASIDE))
        flat = name.replace("/", "+")
        found = (n for n in self._aside() if n.partition("+")[2] == flat)
        aside = next((n for n in found if self._same(path, self._at(f"{ASIDE}/{n}"))), "")
        at = self._clock.now()
        while not aside:
            try:
                self._disk.link(path, self._at(f"{ASIDE}/{at:016d}+{flat}"))
                aside = f"{at:016d}+{flat}"
            except FileExistsError:
                at += 1
        self._disk.sync_folder(self._at(ASIDE))
        return f"{ASIDE}/{aside}"

    def _same(self, path: str, other: str) -> bool:
        """Whether two files hold the same bytes."""
        if self._disk.size(path) != self._disk.size(other):
            return False
        one, two = self._disk.open(path), self._disk.open(other)
        try:
            return all(a == b for a, b in zip(_pieces(one), _pieces(two), strict=True))
        finally:
            one.close()
            two.close()


def _no_object(name: str) -> OperatorError:
    return OperatorError(f"{name!r} is no name of an object in a vault", exit_code=2)


def _pieces(file: File) -> Iterator[bytes]:
    for offset in range(0, file.size(), _COMPARED_BYTES):
        yield file.read_at(offset, _COMPARED_BYTES)


_: type[KeptVault] = KeptFolderVault
