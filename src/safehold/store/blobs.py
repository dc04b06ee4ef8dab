"""Live blobs: bodies too large for the journal, one file each under `blobs/XX/`, by their name in hex.

A blob lies in every sync vault before it lies here, and a live file bears its name only once it is whole and synced.
What is missing here, or is not what its digest says, is fetched back before a byte of it is given to anybody.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from hashlib import sha256

from safehold.formats.streams import ByteSink
from safehold.model.commands import Body
from safehold.model.errors import Damaged, Held, OutOfSpace
from safehold.ports.blobs import INLINE_LIMIT_BYTES, BlobArchive, Blobs, BodyStage
from safehold.ports.disk import Disk, Entry, File
from safehold.ports.streams import FileSink, FileSource
from safehold.ports.vault import VaultDown

CHUNK_BYTES = 256 * 1024
#: Bodies up to this size are checked in memory, larger ones by reading their file once more than is asked for.
SMALL_BYTES = 4 * 1024 * 1024
#: A large file is given without reading all of it first where that was done so recently, of so many files. Who reads
#: all of it sees at the end whether it is still right.
VERIFIED_SECONDS = 300.0
VERIFIED_FILES = 1000
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_BLOB_FILE = re.compile(r"[0-9a-f]{64}")


def blob_name(key: bytes, digest: bytes) -> bytes:
    """The name of a body under an account's blob key: nobody without the key can tell what it names."""
    return hmac.digest(key, digest, sha256)


class LiveBlobs:
    """Implements ports.blobs.Blobs. May be used from several threads; a stage from one at a time."""

    def __init__(
        self,
        disk: Disk,
        folder: str,
        scratch: str,
        archive: BlobArchive,
        *,
        monotonic: Callable[[], float] = lambda: 0.0,
        on_mended: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """`on_mended` is told of each live file that was damaged and has been fetched back."""
        self._disk = disk
        self._folder = folder
        self._scratch = scratch
        self._archive = archive
        self._numbers = itertools.count()
        self._monotonic = monotonic
        self._on_mended = on_mended
        self._verified: OrderedDict[bytes, float] = OrderedDict()  # large files, by name: when

    def stage(self, key: bytes) -> BodyStage:
        return _Stage(self, key)

    def read(
        self, name: bytes, size: int, offset: int = 0, count: int | None = None, *, digest: bytes | None = None
    ) -> Iterator[bytes]:
        """See ports.blobs. What can go wrong does so at once, not at the first chunk."""
        end = size if count is None else min(size, offset + count)
        path = self._at(name)
        found = self._look(path, size)
        if found is not None and digest is not None and size <= SMALL_BYTES:
            body = self._whole(path, size)
            if body is not None and sha256(body).digest() == digest:
                return iter([body[at : min(at + CHUNK_BYTES, end)] for at in range(offset, end, CHUNK_BYTES)])
            found = False
        elif found and digest is not None:
            found = self._is_verified(name, path, size, digest)
        if not found:
            self.restore(name, size, digest)
            if found is not None:
                self._on_mended(name)
        try:
            file = self._disk.open(path)
        except OSError as error:
            raise _refusal(error) from error
        return _chunks(file, offset, end)

    def check(self, name: bytes, size: int, digest: bytes) -> bool | None:
        """Whether a live file is what its digest says; None where it is not here. Raises Held."""
        path = self._at(name)
        found = self._look(path, size)
        return self._is_right(path, size, digest) if found else found

    def _look(self, path: str, size: int) -> bool | None:
        """Whether a file is of the right size; None where there is none. Raises Held."""
        try:
            return self._disk.size(path) == size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refusal(error) from error

    def _whole(self, path: str, size: int) -> bytes | None:
        """All of a small file; None where the disk does not give it."""
        try:
            file = self._disk.open(path)
            try:
                return file.read_at(0, size)
            finally:
                file.close()
        except OSError:
            return None

    def doubt(self, name: bytes) -> None:
        """What was read of it was not right: all of it is looked at before it is given again."""
        self._verified.pop(name, None)

    def _is_verified(self, name: bytes, path: str, size: int, digest: bytes) -> bool:
        """Whether a large file is right, or was found so some minutes ago."""
        at = self._verified.get(name)
        if at is not None and self._monotonic() - at < VERIFIED_SECONDS:
            return True
        self._verified.pop(name, None)
        if not self._is_right(path, size, digest):
            return False
        self._verified[name] = self._monotonic()
        while len(self._verified) > VERIFIED_FILES:
            self._verified.popitem(last=False)
        return True

    def _is_right(self, path: str, size: int, digest: bytes) -> bool:
        actual = sha256()
        try:
            file = self._disk.open(path)
            try:
                for offset in range(0, size, CHUNK_BYTES):
                    actual.update(file.read_at(offset, CHUNK_BYTES))
                return file.size() == size and actual.digest() == digest
            finally:
                file.close()
        except OSError:  # what the disk does not give is as damaged as what it gives wrong
            return False

    def restore(self, name: bytes, size: int, digest: bytes | None = None) -> None:
        """Fetch a blob back from the vaults, verified, in place of the live file. Raises Held, OutOfSpace."""
        path, file = self.temporary()
        sinks: list[FileSink] = []

        def begin() -> ByteSink:
            file.truncate(0)
            sinks.append(FileSink(file))
            return sinks[-1]

        try:
            try:
                self._archive.fetch(name, begin, digest)
                if sinks[-1].offset != size:
                    raise Damaged(f"the blob is {sinks[-1].offset} bytes long; it should be {size}")
                file.sync()
            finally:
                file.close()
            self._put_in_place(path, name)
        except OSError as error:
            self._drop(path)
            raise _refusal(error) from error
        except (KeyError, Damaged, VaultDown) as error:
            self._drop(path)
            reason = "no vault has it" if isinstance(error, KeyError) else str(error)
            raise Held(
                f"a large body ({name.hex()}) cannot be had now: {reason}",
                hint="bring back the vaults that are missing, then run `safehold vault repair`",
            ) from error

    def archive_again(self, name: bytes, size: int, digest: bytes) -> bool:
        """See that every sync vault has a blob that lies here; False where it does not, whole.

        Raises OutOfSpace, VaultDown, VaultSuspect, Held.
        """
        try:
            file = self._disk.open(self._at(name))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _refusal(error) from error
        try:
            whole = sha256()
            for offset in range(0, size, CHUNK_BYTES):
                whole.update(file.read_at(offset, CHUNK_BYTES))
            if file.size() != size or whole.digest() != digest:
                return False
            self._archive.store(name, FileSource(file))
        except OSError as error:
            raise _refusal(error) from error
        finally:
            file.close()
        return True

    def remove(self, name: bytes) -> None:
        """Remove a live blob for good; harmless where it is not there. Raises OSError."""
        path = self._at(name)
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(path)
            self._disk.sync_folder(path.rpartition("/")[0])

    def sweep(self, named: Container[bytes]) -> int:
        """Remove all live blobs but those named; how many. Raises OSError."""
        removed = 0
        for folder in [entry.name for entry in self._folder_entries(self._folder) if entry.is_folder]:
            for entry in self._folder_entries(f"{self._folder}/{folder}"):
                if _BLOB_FILE.fullmatch(entry.name) and bytes.fromhex(entry.name) not in named:
                    self.remove(bytes.fromhex(entry.name))
                    removed += 1
        return removed

    def _folder_entries(self, folder: str) -> list[Entry]:
        try:
            return list(self._disk.list(folder))
        except FileNotFoundError:
            return []

    def keep(self, file: File, path: str, name: bytes) -> None:
        """Take a staged file: into the vaults first, then under its name. Raises as BodyStage.finish."""
        try:
            self._archive.store(name, FileSource(file))
            file.sync()
            file.close()
            self._put_in_place(path, name)
        except OSError as error:
            raise _refusal(error) from error

    def temporary(self) -> tuple[str, File]:
        """A new file in the scratch folder. Raises OutOfSpace, Held."""
        try:
            return self._temporary()
        except OSError as error:
            raise _refusal(error) from error

    def drop(self, path: str) -> None:
        """Remove a scratch file that may be gone already."""
        self._drop(path)

    def _at(self, name: bytes) -> str:
        text = name.hex()
        return f"{self._folder}/{text[:2]}/{text}"

    def _put_in_place(self, path: str, name: bytes) -> None:
        target = self._at(name)
        folder = target.rpartition("/")[0]
        self._disk.make_folders(folder)
        self._disk.rename(path, target)
        self._disk.sync_folder(folder)

    def _temporary(self) -> tuple[str, File]:
        self._disk.make_folders(self._scratch)
        while True:
            path = f"{self._scratch}/body-{next(self._numbers):08d}"
            try:
                return path, self._disk.open(path, write=True, create=True, exclusive=True)
            except FileExistsError:
                continue

    def _drop(self, path: str) -> None:
        with contextlib.suppress(OSError):  # scratch is swept at the next start
            self._disk.remove(path)


class _Stage:
    """Implements ports.blobs.BodyStage: in memory up to the inline limit, then in a scratch file."""

    def __init__(self, blobs: LiveBlobs, key: bytes) -> None:
        self._blobs = blobs
        self._key = key
        self._digest = sha256()
        self._size = 0
        self._held = bytearray()
        self._path = ""
        self._file: File | None = None
        self._aborted = False

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        self._held += data
        if self._file is None and self._size > INLINE_LIMIT_BYTES:
            self._path, self._file = self._blobs.temporary()
        if self._file is not None and len(self._held) >= CHUNK_BYTES:
            self._spill(self._file)

    def finish(self) -> Body:
        digest = self._digest.digest()
        assert not self._aborted
        if self._file is None:
            return Body(digest, self._size, inline=bytes(self._held))
        name = blob_name(self._key, digest)
        try:
            self._spill(self._file)
            self._blobs.keep(self._file, self._path, name)
        except BaseException:
            self.abort()
            raise
        self._file = None
        return Body(digest, self._size, blob=name)

    def abort(self) -> None:
        file, self._file = self._file, None
        self._aborted = True
        self._held = bytearray()
        if file is not None:
            file.close()
            self._blobs.drop(self._path)

    def _spill(self, file: File) -> None:
        try:
            file.write_at(self._size - len(self._held), bytes(self._held))
        except OSError as error:
            self.abort()
            raise _refusal(error) from error
        self._held.clear()


def _chunks(file: File, offset: int, end: int) -> Iterator[bytes]:
    try:
        while offset < end:
            chunk = file.read_at(offset, min(CHUNK_BYTES, end - offset))
            if not chunk:
                raise Held("a large body ended early while it was read", hint="ask again")
            yield chunk
            offset += len(chunk)
    except OSError as error:
        raise _refusal(error) from error
    finally:
        file.close()


def _refusal(error: OSError) -> Held:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return OutOfSpace(f"there is no room for a large body: {reason}", hint="make room on the data disk")
    return Held(f"a large body cannot be read or written now: {reason}", hint="see what is wrong with the data disk")


_: type[Blobs] = LiveBlobs
