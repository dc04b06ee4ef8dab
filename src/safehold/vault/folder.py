"""A vault in a folder, on any Disk.

    FORMAT                 the mark: without it this is no vault, and nothing in it is believed to be absent
    reader.py              reads all of it without Safehold
    log/…  blobs/…         objects
    tmp/                   objects being put, each under a number and the name that it is to have
    aside/                 what the keeper moved out of the way (vault/keeping.py); never read

Put: temporary file, sync, link to the name (which fails where the name is taken), sync the folder, remove the
temporary. Where the folder could not be synced, or the process was killed before, the temporary is left: it says that
the name may not last, whatever syncs follow, and whoever puts that name next, or clears up, writes it once more.
Append: write, sync, and the folder at the first append through a handle; an append of nothing writes what is there once
more, since after a sync that failed bytes and names can be read that no later sync would bring to disk. A name is
written once more by renaming a whole, synced copy over it: at no moment does the object lack it. The handle of the last
object appended to stays open; a handle whose sync failed is closed and never used again.

Append-only is by convention here: whoever may write the folder may also remove what is in it.
"""

from __future__ import annotations

import contextlib
import errno
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence

from safehold.formats import mark
from safehold.model.errors import Damaged, OperatorError
from safehold.ports.disk import Disk, Entry, File
from safehold.ports.vault import LengthMismatch, ObjectInfo, Vault, VaultDown, VaultFull, VaultSuspect

_TEMPORARY = "tmp"
ASIDE = "aside"
_CERTAIN_BYTES = 1024 * 1024
#: Segments are closed long before: a longer object was appended to after its name had been synced.
_CERTAIN_NAME_BYTES = 8 * _CERTAIN_BYTES
_SAFE_NAME = re.compile(
    r"(?!(?:tmp|aside)(?:/|\Z))[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\Z", re.ASCII
)
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def is_object_name(name: str) -> bool:
    """Whether an object may bear this name: a relative path of safe ASCII segments, not in tmp/ or aside/."""
    return _SAFE_NAME.match(name) is not None


def require_object_name(vault: str, name: str) -> None:
    """Raises VaultDown where no object may bear it: nothing of the kind is ever put or appended to."""
    if not is_object_name(name):
        raise VaultDown(
            f"vault {vault}: {name!r} is no name of an object in a vault",
            hint="see where that name comes from: it was not given by Safehold",
        )


def require_mark(vault: str, data: bytes, wanted: bytes | None, hint: str) -> None:
    """Raises VaultDown where this is no FORMAT, or that of another installation than the one that is wanted."""
    try:
        installation = mark.parse_mark(data)
    except Damaged as error:
        raise VaultDown(f"{vault}: {error.message}") from None
    if wanted is not None and installation != wanted:
        raise VaultDown(f"{vault} belongs to another installation ({installation.hex()})", hint=hint)


def mismatch(vault: str, name: str, length: int, expected: int) -> LengthMismatch:
    return LengthMismatch(
        f"vault {vault}: {name} is {length} bytes long and should be {expected}",
        hint="another writer appended to it, or the vault lost what was written",
    )


def leads_out(path: str) -> bool:
    """Whether a path may lead out of the vault, or is none: what is there is then never looked at.

    Other strange names are looked at: people leave files in folders, and a scrub names them.
    """
    return "\0" in path or any(part in ("", ".", "..") for part in path.split("/"))


class FolderVault:
    """Implements ports.vault.Vault. `installation` is the id its FORMAT must bear; None takes any.

    `put`, `get`, `list` and `size` keep no state and may be called from several threads; `append` may not.
    """

    def __init__(self, name: str, path: str, disk: Disk, installation: bytes | None = None) -> None:
        self._name = name
        self._path = path.rstrip("/") or "/"
        self._disk = disk
        self._wanted = installation
        self._recognised = False
        self._open_name = ""
        self._open_file: File | None = None
        self._open_is_new = False  # its name may not be synced yet

    @classmethod
    def create(cls, name: str, path: str, disk: Disk, installation: bytes) -> FolderVault:
        """Make the folder, write FORMAT and the reader; harmless where it is a vault of this installation already.

        Raises OperatorError where it holds something else.
        """
        vault = cls(name, path, disk, installation)
        try:
            if disk.exists(vault._at(mark.NAME)):
                vault._require()
                vault._settle(mark.NAME)
                place_reader(vault)
                return vault
            disk.make_folders(vault._at(_TEMPORARY))
            strange = sorted(entry.name for entry in disk.list(path) if entry.name != _TEMPORARY)
            if strange:
                raise OperatorError(
                    f"{path} is not empty and no vault: it holds {', '.join(strange[:3])}",
                    hint="name an empty or a new folder for the vault",
                )
            putting = Putting(vault, mark.NAME, *vault._temporary(mark.NAME))
            putting.write(mark.encode_mark(installation))
            putting.finish()
            place_reader(vault)
        except OSError as error:
            raise vault._refusal(error) from error
        return vault

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return f"folder:{self._path}"

    def available(self) -> bool:
        try:
            self._recognised = False
            self._require()
        except VaultDown:
            return False
        return True

    def folders(self, prefix: str) -> Sequence[str]:
        assert prefix.endswith("/")
        if leads_out(prefix[:-1]):
            return []
        return sorted(entry.name for entry in self._entries(prefix[:-1]) if entry.is_folder)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self.list_after(prefix, "")

    def list_after(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """As `list`, without the names up to `after`: looks into no folder that holds only such."""
        folder, _, _ = prefix.rpartition("/")
        return self._walk(folder, prefix, after)

    def size(self, name: str) -> int | None:
        if leads_out(name):
            return None
        try:
            return self._disk.size(self._at(name))
        except (FileNotFoundError, NotADirectoryError):
            self._require()
            return None
        except OSError as error:
            raise self._refusal(error) from error

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        if leads_out(name):
            raise KeyError(name)
        try:
            file = self._disk.open(self._at(name))
            try:
                return file.read_at(offset, max(0, file.size() - offset) if count is None else count)
            finally:
                file.close()
        except (FileNotFoundError, NotADirectoryError):
            self._require()
            raise KeyError(name) from None
        except OSError as error:
            raise self._refusal(error) from error

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        putting = self.begin(name)
        if putting is None:
            return False
        try:
            for chunk in chunks:
                putting.write(chunk)
            return putting.finish()
        except Exception:
            putting.abandon()
            raise

    def begin(self, name: str) -> Putting | None:
        """A put in pieces, for who is handed them one by one; None, and nothing done, where the name is taken."""
        require_object_name(self._name, name)
        there = self.size(name) is not None
        self._require()
        try:
            if there:  # under a name that whoever put it may not have lived to sync
                self._settle(name)
                self._disk.sync_folder(posixpath.dirname(self._at(name)))
                return None
            self._disk.make_folders(posixpath.dirname(self._at(name)))
            return Putting(self, name, *self._temporary(name))
        except OSError as error:
            raise self._refusal(error) from error

    def append(self, name: str, expected: int, data: bytes) -> None:
        if not data and 0 < expected <= _CERTAIN_NAME_BYTES:
            self._make_certain(name, expected)
            return
        if name != self._open_name or self._open_file is None:
            self._open(name, expected)
        file = self._open_file
        assert file is not None
        try:
            length = file.size()
            if length != expected:
                self.close()
                raise self._mismatch(name, expected, length)
            if data:
                file.write_at(expected, data)
            else:
                start = max(0, expected - _CERTAIN_BYTES)
                file.write_at(start, file.read_at(start, expected - start))
        except OSError as error:
            self.close()
            raise self._refusal(error) from error
        try:
            file.sync()
            if self._open_is_new:
                self._disk.sync_folder(posixpath.dirname(self._at(name)))
                self._open_is_new = False
        except OSError as error:
            self.close()
            raise self._suspect(name, error) from error
        # The handle outlives the name: a folder that was moved away or replaced must not take acknowledged writes.
        if self.size(name) != expected + len(data):
            self.close()
            raise VaultDown(
                f"vault {self._name}: {name} was replaced or removed while it was being written",
                hint=f"see what happened to {self._path}",
            )

    def _make_certain(self, name: str, expected: int) -> None:
        """Write an object and its name once more, as they are. Raises as `append`."""
        self.close()
        require_object_name(self._name, name)
        self._require()
        path = self._at(name)
        try:
            length = self._disk.size(path)
            if length != expected:
                raise self._mismatch(name, expected, length)
            copy = Putting(self, name, *self._temporary(name))
        except FileNotFoundError:
            raise self._mismatch(name, expected, 0) from None
        except OSError as error:
            raise self._refusal(error) from error
        try:
            for offset in range(0, expected, _CERTAIN_BYTES):
                copy.write(self.get(name, offset, min(_CERTAIN_BYTES, expected - offset)))
            copy.take_place(expected)
        except Exception:
            copy.abandon()
            raise

    def _settle(self, name: str) -> None:
        """Make certain of an object whose put has left its temporary. Raises as `append`, OSError."""
        if any(_name_in(entry) == _flat(name) for entry in self._left_over()):
            self._make_certain(name, self.size(name) or 0)

    def _left_over(self) -> Sequence[str]:
        try:
            return [entry.name for entry in self._disk.list(self._at(_TEMPORARY))]
        except FileNotFoundError:
            return []

    def close(self) -> None:
        file, self._open_file, self._open_name = self._open_file, None, ""
        if file is not None:
            file.close()

    def clear_temporary(self) -> None:
        """Remove what interrupted puts left, and make certain of names that they gave. Only while nothing else writes
        to this vault.
        """
        try:
            for entry in self._left_over():
                name = _name_in(entry).replace("+", "/")
                if is_object_name(name) and (size := self.size(name)):
                    self._make_certain(name, size)
                self._disk.remove(self._at(f"{_TEMPORARY}/{entry}"))
        except OSError as error:
            raise self._refusal(error) from error

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _open(self, name: str, expected: int) -> None:
        """Open an object to append to it, making it where the expected length is 0."""
        require_object_name(self._name, name)
        self.close()
        path = self._at(name)
        self._require()
        try:
            if not expected:
                self._disk.make_folders(posixpath.dirname(path))
            self._open_file = self._disk.open(path, write=True, create=not expected)
        except FileNotFoundError:
            raise self._mismatch(name, expected, 0) from None
        except OSError as error:
            raise self._refusal(error) from error
        self._open_name, self._open_is_new = name, True

    def _temporary(self, name: str) -> tuple[str, File]:
        """A new file in tmp/ for an object of this name, under the first number that is free."""
        self._disk.make_folders(self._at(_TEMPORARY))
        number = 0
        while True:
            path = self._at(f"{_TEMPORARY}/{number:08d}+{_flat(name)}")
            try:
                return path, self._disk.open(path, write=True, create=True, exclusive=True)
            except FileExistsError:
                number += 1

    def _entries(self, folder: str) -> Sequence[Entry]:
        """Entries of a folder under the vault's path; what is being put and what was set aside are left out."""
        if folder and leads_out(folder):
            return []
        try:
            entries = list(self._disk.list(self._at(folder) if folder else self._path))
        except (FileNotFoundError, NotADirectoryError):
            self._require()
            return []
        except OSError as error:
            raise self._refusal(error) from error
        self._require()
        return [entry for entry in entries if folder or entry.name not in (_TEMPORARY, ASIDE)]

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
        for entry in sorted(self._entries(folder), key=lambda entry: entry.name + "/" * entry.is_folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_folder:
                below = name + "/"
                if below.startswith(prefix) and (below > after or after.startswith(below)):
                    yield from self._walk(name, prefix, after)
            elif name.startswith(prefix) and name > after:
                yield ObjectInfo(name, entry.size)

    def _require(self) -> None:
        """Raises VaultDown where this is not the vault it should be. Reads FORMAT once, then only looks for it."""
        path = self._at(mark.NAME)
        try:
            if self._recognised and self._disk.exists(path):
                return
            file = self._disk.open(path)
            try:
                data = file.read_at(0, file.size())
            finally:
                file.close()
        except (FileNotFoundError, NotADirectoryError):
            raise VaultDown(
                f"vault {self._name}: there is no vault in {self._path}",
                hint="mount or bring back the folder; to begin a new vault there, use `safehold vault add`",
            ) from None
        except OSError as error:
            raise self._refusal(error) from error
        hint = "mount the right folder, or name another one with `safehold vault add`"
        require_mark(f"vault {self._name} in {self._path}", data, self._wanted, hint)
        self._recognised = True

    def _refusal(self, error: OSError) -> OperatorError | VaultFull:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            return VaultFull(f"vault {self._name} is full: {reason}", hint=f"make room in {self._path}")
        return VaultDown(f"vault {self._name} cannot be used: {reason}", hint=f"see what is wrong with {self._path}")

    def _suspect(self, name: str, error: OSError) -> VaultSuspect:
        return VaultSuspect(
            f"vault {self._name}: {name} could not be synced: {error.strerror or error}",
            hint="see what is wrong with its disk, then start again: what was written is read back then",
        )

    def _mismatch(self, name: str, expected: int, length: int) -> LengthMismatch:
        return mismatch(self._name, name, length, expected)


class Putting:
    """An object on its way into a FolderVault, in a temporary file; to be finished or abandoned. Raises as `put`."""

    def __init__(self, vault: FolderVault, name: str, temporary: str, file: File) -> None:
        assert is_object_name(name), name
        self._vault = vault
        self._name = name
        self._temporary: str | None = temporary
        self._file = file
        self.size = 0

    def write(self, data: bytes) -> None:
        try:
            self._file.write_at(self.size, data)
        except OSError as error:
            raise self._vault._refusal(error) from error
        self.size += len(data)

    def written(self) -> str:
        """Sync and close the temporary file; its path, from here on the caller's."""
        try:
            self._file.sync()
        except OSError as error:
            raise self._vault._suspect(self._name, error) from error
        finally:
            self._file.close()
        assert self._temporary is not None
        temporary, self._temporary = self._temporary, None
        return temporary

    def finish(self) -> bool:
        """Give it its name; False where that was taken meanwhile."""
        vault, disk, path = self._vault, self._vault._disk, self._vault._at(self._name)
        temporary = self.written()
        taken = linked = False
        try:
            try:
                disk.link(temporary, path)
                linked = True
            except FileExistsError:
                taken = True
            finally:
                if not linked:
                    self._remove(temporary)
        except OSError as error:
            raise vault._refusal(error) from error
        if linked:
            try:
                disk.sync_folder(posixpath.dirname(path))
            except OSError as error:  # the temporary stays, and says so
                raise vault._suspect(self._name, error) from error
            with contextlib.suppress(OSError):
                self._remove(temporary)
        return not taken

    def _remove(self, temporary: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._vault._disk.remove(temporary)

    def take_place(self, expected: int) -> None:
        """Take the name from the object that has it: of so many bytes, and the same ones. Raises as `Vault.append`."""
        vault, disk, path = self._vault, self._vault._disk, self._vault._at(self._name)
        temporary = self.written()
        try:
            length = disk.size(path)
            if length == expected:
                disk.rename(temporary, path)
            else:  # somebody appended meanwhile
                disk.remove(temporary)
                raise vault._mismatch(self._name, expected, length)
        except OSError as error:
            raise vault._refusal(error) from error
        try:
            disk.sync_folder(posixpath.dirname(path))
        except OSError as error:
            raise vault._suspect(self._name, error) from error

    def abandon(self) -> None:
        """Leave nothing behind, as far as the disk lets it."""
        self._file.close()
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            with contextlib.suppress(OSError):
                self._vault._disk.remove(temporary)


def _flat(name: str) -> str:
    return name.replace("/", "+")


def _name_in(temporary: str) -> str:
    """The flat name that a temporary file was to have; "" in one of an earlier release."""
    return temporary.partition("+")[2]


def place_reader(vault: Vault) -> None:
    """Give a vault the reader if it has none: one that an earlier release made. Raises as Vault.put."""
    if vault.size(mark.READER) is None:
        vault.put(mark.READER, (mark.reader(),))


_: type[Vault] = FolderVault
