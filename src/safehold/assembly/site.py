"""A data folder: where its parts lie, and how each is opened.

core/core.db     the live database          blobs/   live blobs
vaults/<name>/   the default vaults         keys/    identity, root and writer key, recovery.txt
safehold.toml    the configuration          run/     locks and socket         scratch/   what may be thrown away
generations      what was written of generations (archiver/generation_ledger.py)
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from safehold.adapters.lock import PATIENCE_SECONDS, FolderLock, Locked
from safehold.adapters.system import SystemClock, SystemEntropy, pause
from safehold.archiver.claiming import Mode
from safehold.assembly.vault_urls import AnyVault, has_history, open_vault
from safehold.config import FILE_NAME, Config, VaultConfig
from safehold.formats.keys import Opener
from safehold.model.change import Change
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.blobs import BlobArchive
from safehold.ports.vault import VaultDown
from safehold.store.realdisk import RealDisk
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.keyring import IDENTITY, KEEPER, Keyring, complete_keyring, is_complete, load_keyring
from safehold.vault.remote import RemoteVault

if TYPE_CHECKING:  # brought in by the methods that need them: most commands write nothing and ask nobody
    from safehold.archiver.shipped import FileBook
    from safehold.archiver.shipper import Shipper
    from safehold.assembly.writer import Writer

#: In scratch/: bodies being staged (store/blobs.py) and being encrypted (vault/blobs.py).
_HALF_WRITTEN = re.compile(r"body-[0-9]+|[0-9a-f]+-[0-9]+\.sealed")


#: An async vault that says nothing for so long is left to its shipper.
ANSWER_SECONDS = 5.0
#: Whether a service listens by now is looked for so often.
LOOK_SECONDS = 0.05


class CoreMissing(OperatorError):
    """There are vaults with history, but no core."""


class NoVaultInReach(CoreMissing):
    """There is no core, and no vault in reach that holds its history."""


class Site:
    """The parts of one data folder. Opens nothing by itself."""

    def __init__(self, data: Path, config: Config, config_path: Path | None = None) -> None:
        self.data = data
        self._config_path = config_path
        self.config = config
        self.disk = RealDisk()
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self._keyring: Keyring | None = None
        self._given: Opener | None = None

    @property
    def is_keeper(self) -> bool:
        """Whether this is a keeper's own folder, which has no core."""
        return False

    # -- places ----------------------------------------------------------------------------------------------

    @property
    def core_path(self) -> Path:
        return self.data / "core" / "core.db"

    @property
    def config_path(self) -> Path:
        return self._config_path or self.data / FILE_NAME

    @property
    def blobs_folder(self) -> Path:
        return self.data / "blobs"

    @property
    def scratch_folder(self) -> Path:
        return self.data / "scratch"

    @property
    def keys_folder(self) -> Path:
        return self.data / "keys"

    @property
    def socket_path(self) -> Path:
        return self.data / "run" / "safehold.sock"

    def lock(self) -> FolderLock:
        """Not yet acquired: use it as a context manager. A command's short work is waited for, a service is not."""
        patience = 0.0 if self.socket_path.exists() else PATIENCE_SECONDS
        return FolderLock(str(self._lock_path), patience)

    @property
    def _lock_path(self) -> Path:
        return self.data / "run" / "lock"

    @property
    def core_check_path(self) -> Path:
        """What is remembered of the check of the core."""
        return self.data / "run" / "core-check.json"

    @property
    def ledger_path(self) -> Path:
        return self.data / "generations"

    def snapshot_lock(self) -> FolderLock:
        """Of whoever writes a generation; beside the lock of whoever writes the core."""
        return FolderLock(str(self.data / "run" / "snapshot"))

    def is_locked(self) -> bool:
        """Whether another process is writing to this data folder."""
        try:
            with FolderLock(str(self._lock_path)):
                return False
        except Locked:
            return True

    @property
    def keyring(self) -> Keyring:
        """Raises OperatorError where keys are missing or damaged."""
        if self._keyring is None:
            self._keyring = self._with_given(load_keyring(self.disk, str(self.keys_folder)))
        return self._keyring

    def use_identity(self, given: Opener) -> None:
        """Open with these identities too, as long as this process runs; nothing of them is written.

        Raises OperatorError where they are of another installation than the keys that are here.
        """
        self._given = given
        self._keyring = None
        if is_complete(self.disk, str(self.keys_folder)):
            self._keyring = self.keyring

    @property
    def opener(self) -> Opener:
        """What opens the vaults: given identities, and those that are here. Raises OperatorError without either."""
        if self._given is not None and not is_complete(self.disk, str(self.keys_folder)):
            return self._given
        return self.keyring.opener

    @property
    def has_given_identity(self) -> bool:
        return self._given is not None

    @property
    def identity_beside(self) -> bool:
        """Whether the identity lies beside the core."""
        return self.disk.exists(str(self.keys_folder / IDENTITY))

    def reload_keys(self) -> Keyring:
        """The keys as they are on disk now. Raises OperatorError."""
        self._keyring = None
        return self.keyring

    def _with_given(self, keyring: Keyring) -> Keyring:
        given = self._given
        if given is None:
            return keyring
        if given.installation != keyring.installation:
            raise OperatorError(
                f"this recovery key is of another installation ({given.installation.hex()}) than {self.keys_folder} "
                f"({keyring.installation.hex()})",
                hint="give the recovery key of this installation",
                exit_code=2,
            )
        return replace(keyring, opener=given.with_older(keyring.opener.identities))

    def complete_keys(self) -> None:
        """Make what an older version did not make, or a crash left out. The caller holds the lock."""
        complete_keyring(self.disk, str(self.keys_folder), self.entropy)
        self._keyring = None

    def vault(self, config: VaultConfig) -> AnyVault:
        """A fresh instance, for one thread."""
        return open_vault(config, self.data, self.disk, self.keyring.installation)

    def free_bytes(self) -> int | None:
        """Room on the fullest disk that a change is written to: the core's, and those of sync vaults. None: unknown."""
        try:
            rooms = [self.disk.free_bytes(str(self.data))]
            for config in self.config.vaults:
                if config.mode == Mode.SYNC and not config.is_s3:  # a bucket does not fill
                    rooms.append(self._room_in(config))
        except (OSError, SafeholdError):
            return None
        return min(rooms)

    def rooms(self) -> list[tuple[str, int, int]]:
        """Disks that something is written to: what lies on it, free and all bytes (0: unknown). Parts of one disk are
        one. What cannot be asked is left out.
        """
        found: dict[object, tuple[list[str], int, int]] = {}
        for config in (None, *self.config.vaults):
            name = "core" if config is None else f"vault {config.name}"
            try:
                if config is not None and config.is_s3:
                    continue
                if config is not None and not config.is_folder:
                    found[name] = ([name], self._room_in(config), 0)
                    continue
                path = self.data if config is None else config.place(self.data)
                stat = os.statvfs(path)
                names, _, _ = found.setdefault(os.stat(path).st_dev, ([], 0, 0))
                names.append(name)
                found[os.stat(path).st_dev] = (names, stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize)
            except (OSError, SafeholdError):
                continue
        return [(", ".join(names), free, total) for names, free, total in found.values()]

    def _room_in(self, config: VaultConfig) -> int:
        """Raises OSError, VaultDown where it is not known."""
        vault = self.vault(config)
        try:
            if isinstance(vault, RemoteVault):
                room = vault.about().get("room_bytes")
                if not isinstance(room, int):
                    raise VaultDown(f"who holds the vault {config.name} does not say what room it has")
                return room
            return self.disk.free_bytes(str(config.place(self.data)))
        finally:
            vault.close()

    # -- whether it was ever used -----------------------------------------------------------------------------

    def refuse_history_without_core(self) -> None:
        """An empty core beside vaults that hold history would tell every device that all is gone."""
        keeper = self.disk.exists(str(self.keys_folder / KEEPER)) and not is_complete(self.disk, str(self.keys_folder))
        if keeper and not self.disk.exists(str(self._used_mark)):
            raise OperatorError(
                f"{self.data} is the folder of a keeper, which has no core and serves nobody",
                hint="`safehold keeper status`, `scrub`, `vault repair` and `vault retain` work here",
                exit_code=2,
            )
        held = [v.name for v in self.config.vaults if has_history(v, self.data, self.disk)]
        if held:
            raise CoreMissing(
                f"the core is missing, but the vaults hold its history ({', '.join(held)})",
                hint="`safehold serve` brings it back, while serving, or `safehold recover run`; nothing was changed",
            )
        if self.disk.exists(str(self._used_mark)):
            raise NoVaultInReach(
                f"the core is missing, and no vault that holds its history is in reach of {self.data}",
                hint="mount the vaults' disks, then run `safehold recover run`; nothing was changed",
            )

    @property
    def _used_mark(self) -> Path:
        """Tells keys whose vaults may hold history, wherever these are now, from keys that were just made."""
        return self.keys_folder / "used"

    def was_used(self) -> bool:
        """Whether vaults may hold history that was written with the keys that are here."""
        return self.disk.exists(str(self._used_mark))

    def mark_used(self) -> None:
        if self.disk.exists(str(self.keys_folder)) and not self.disk.exists(str(self._used_mark)):
            self.disk.open(str(self._used_mark), write=True, create=True).close()
            self.disk.sync_folder(str(self.keys_folder))

    def sweep(self) -> None:
        """Remove what killed processes left half written: bodies on their way in, objects on their way into vaults.

        The caller holds the lock. A command that brings a large body at this very moment is told to try again.
        """
        with contextlib.suppress(OSError):
            for entry in list(self.disk.list(str(self.scratch_folder))):
                if not entry.is_folder and _HALF_WRITTEN.fullmatch(entry.name):
                    self.disk.remove(str(self.scratch_folder / entry.name))
        for config in self.config.vaults:
            if config.is_s3:  # nothing half written has a name there, and a start does not wait for a network
                continue
            with contextlib.suppress(SafeholdError):
                vault = self.vault(config)
                if vault.available():
                    vault.clear_temporary()

    # -- opening ---------------------------------------------------------------------------------------------

    def open_core(self) -> SqliteCore:
        """For writing; its caller holds the lock. Raises CoreMissing, OperatorError, Damaged."""
        self._require_core()
        return SqliteCore.open(str(self.core_path))

    def open_reads(self) -> SqliteCore:
        """Committed state, for one thread. Raises CoreMissing, OperatorError, Damaged."""
        self._require_core()
        return SqliteCore.open(str(self.core_path), read_only=True)

    def has_core(self) -> bool:
        """An empty file is none: a start that was killed while it made one leaves that."""
        return self.core_path.exists() and self.core_path.stat().st_size > 0

    def why_no_core(self) -> str:
        """Where none can be read: the end of a sentence that begins with `the core`."""
        return "cannot be read" if self.has_core() else "is missing"

    def _require_core(self) -> None:
        if not self.has_core():
            self.refuse_history_without_core()
            raise OperatorError(f"there is no core in {self.data}", hint="`safehold serve` makes a new installation")

    def blob_archive(self) -> BlobArchive:
        """For one thread."""
        from safehold.vault.blobs import VaultBlobs

        sync = [self.vault(v) for v in self.config.vaults if v.mode == Mode.SYNC]
        others = [self.vault(v) for v in self.config.vaults if v.mode != Mode.SYNC]
        keys = self.keyring
        return VaultBlobs(sync, others, keys.sealer, keys.opener, self.disk, str(self.scratch_folder))

    def make_writer(
        self,
        *,
        wake: Callable[[Shipper], None] = lambda _: None,
        on_committed: Callable[[Sequence[Change]], None] = lambda _: None,
    ) -> Writer:
        """A writer that is not yet open; its caller holds the lock."""
        from safehold.adapters.threads import answers_within, side_by_side
        from safehold.assembly.writer import Writer
        from safehold.proof.cadence import cadence

        self.complete_keys()
        return Writer(
            open_core=self.open_core,
            vaults=self.config.vaults,
            make_vault=self.vault,
            keyring=self.keyring,
            disk=self.disk,
            blobs=str(self.blobs_folder),
            scratch=str(self.scratch_folder),
            clock=self.clock,
            entropy=self.entropy,
            wake=wake,
            on_committed=on_committed,
            quota_bytes=self.config.quota_bytes,
            brakes=self.config.brakes,
            side_by_side=side_by_side,
            answers=partial(answers_within, seconds=ANSWER_SECONDS),
            book_of=self.book_of,
            seal_seconds=cadence(self.config.objectives).seal,
        )

    def book_of(self, vault: VaultConfig) -> FileBook:
        """Where it is kept what a vault has, by who ships to it."""
        from safehold.archiver.shipped import FileBook

        return FileBook(self.disk, str(self.data / "run" / "shipped"), vault.name)

    def ask_service(self, request: bytes) -> bytes | None:
        """The running service's answer over the local socket; None where none runs.

        One that starts or ends has left a socket behind at which nobody listens: it is waited for. Raises
        OperatorError where one runs and does not answer.
        """
        if not self.socket_path.exists():
            return None
        from safehold.adapters.channel import NobodyListens, UnixChannel

        until = self.clock.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return UnixChannel().request(str(self.socket_path), request)
            except ConnectionError as error:
                if not self._is_held_by_another():
                    return None
                if isinstance(error, NobodyListens) and self.clock.monotonic() < until:
                    pause(LOOK_SECONDS)
                    continue
                raise OperatorError(
                    f"the running service does not answer: {error}", hint="look at its log, or stop it and try again"
                ) from error

    def ask_or_lock(self, request: bytes, stack: ExitStack) -> bytes | None:
        """As `ask_service`; where none runs `stack` has the lock afterwards.

        Between a service's lock and its socket, as it starts and as it ends, there is neither an answer nor the lock
        to be had: that is waited for. Raises OperatorError.
        """
        until = self.clock.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.ask_service(request)
            if answer is not None:
                return answer
            try:
                stack.enter_context(FolderLock(str(self._lock_path)))
                return None
            except Locked as error:
                if error.holder == os.getpid() or self.clock.monotonic() >= until:
                    raise
            pause(LOOK_SECONDS)

    def _is_held_by_another(self) -> bool:
        try:
            with FolderLock(str(self._lock_path)):
                return False
        except Locked as error:
            return error.holder != os.getpid()
