"""A vault server in a folder: made, its guests let in, and served until it is told to stop.

    server.toml        assembly/vault_server_config.py
    tls/               certificate and key, made at first use
    installations/     the guests (vault/http_guests.py), each with a vault
    run/               locks

What a guest may do is judged by vault/served.py and vault/admission.py, as over a keeper's socket.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from safehold.adapters.lock import PATIENCE_SECONDS, FolderLock, Locked
from safehold.adapters.places import cause_words, known_here, look_at_place, machine
from safehold.adapters.system import SystemClock, SystemEntropy
from safehold.adapters.threads import Rounds
from safehold.adapters.vault_http_server import VaultApp, serve
from safehold.assembly.mending_here import mend_here
from safehold.assembly.vault_server_config import DEFAULT_PORT, FILE_NAME, TEXT, ServerConfig, load_server
from safehold.assembly.vault_server_tls import make_certificate, pin_of
from safehold.config import parse_listen
from safehold.formats.vaultcode import VaultCode, encode_code
from safehold.model.errors import OperatorError
from safehold.ports.link import Session
from safehold.ports.whole_file import write_whole
from safehold.store.realdisk import RealDisk
from safehold.vault.folder import ASIDE, FolderVault
from safehold.vault.http_guests import Admitted, Guest, Guests
from safehold.vault.http_quota import VaultQuota
from safehold.vault.refusals import Refusals, Refused
from safehold.vault.served import ServedSession, ServedVault

_log = logging.getLogger("safehold.vault-server")

#: Records that a command has changed are taken up within so long.
REFRESH_SECONDS = 1.0
#: What a keeper has removed makes room within so long.
COUNT_SECONDS = 20.0
#: What lies in each vault is counted anew so often.
RECOUNT_SECONDS = 3600.0
#: Times of files are no finer than this.
_MOMENT_MICROSECONDS = 100_000


class ServerFolder:
    """The folder as commands use it, whether or not it is served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = RealDisk()
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self.guests = Guests(str(folder), self.disk, self.clock, self.entropy, self._lock)
        self._guard = threading.Lock()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with self._guard, FolderLock(str(self.folder / "run" / "guests"), PATIENCE_SECONDS):
            yield

    def make(
        self,
        *,
        listen: str | None = None,
        url: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        tls: bool = True,
    ) -> ServerConfig:
        """Make it where it is not there; what is given counts only then. Raises OperatorError."""
        if not (self.folder / FILE_NAME).exists():
            where = listen or f"0.0.0.0:{DEFAULT_PORT}"
            host, port = parse_listen(where)
            outside = socket.getfqdn() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
            text = TEXT.format(
                listen=json.dumps(where),
                url=json.dumps(url or f"{'https' if tls else 'http'}://{outside}:{port}"),
                tls=json.dumps(tls),
                certificate=json.dumps(os.path.abspath(certificate) if certificate else "tls/certificate.pem"),
                key=json.dumps(os.path.abspath(key) if key else "tls/key.pem"),
                pinned=json.dumps(tls and certificate is None),
            )
            write_whole(self.disk, str(self.folder / FILE_NAME), text.encode())
        config = load_server(self.folder)
        if config.certificate is not None and config.key is not None and not config.certificate.exists():
            if not config.pinned:  # somebody else's, as is its key
                raise OperatorError(
                    f"the certificate {config.certificate} is not there",
                    hint=f"bring it there, or correct `certificate` in {self.folder / FILE_NAME}",
                )
            make_certificate(self.disk, config.certificate, config.key, config.url)
        return config

    def invite(
        self,
        name: str = "",
        *,
        again: str = "",
        quota_bytes: int | None = None,
        dead_man_seconds: int | None = None,
        read_only: bool = False,
        keeper: bool = False,
        url: str | None = None,
    ) -> tuple[Guest, str]:
        """A guest, new or (`again`) one that is there, and a one-time code for it. Raises OperatorError, NotFound."""
        config = load_server(self.folder)
        self.guests.load()
        name = name or f"guest-{len(self.guests.all()) + 1}"
        guest = self.guests.find(again) if again else self.guests.invite(name)
        changed = {"quota_bytes": quota_bytes, "dead_man_seconds": dead_man_seconds}
        if wanted := {key: value for key, value in changed.items() if value is not None}:
            guest = self.guests.change(guest.id, **wanted)
        secret = self.guests.new_code(guest.id, read_only=read_only, keeper=keeper)
        pin = self.pin(config) if config.pinned else b""
        return guest, encode_code(
            VaultCode(url or config.url, bytes.fromhex(guest.id), secret, pin, read_only or keeper)
        )

    def pin(self, config: ServerConfig) -> bytes:
        """SHA-256 of the server's public key. Raises OperatorError."""
        assert config.certificate is not None
        return pin_of(config.certificate)

    def used_bytes(self, guest: Guest) -> int:
        """Raises OSError."""
        quota = VaultQuota(self.disk, self.guests.vault_folder(guest.id), lambda: 0, threading.Lock())
        return quota.used_bytes()


def read_refused(server: ServerFolder, guest: str) -> Refused | None:
    return refusals_of(server, guest).read()


def refusals_of(server: ServerFolder, guest: str) -> Refusals:
    guests = server.guests
    return Refusals(guests.vault_folder(guest), guests.run_folder(guest), server.disk, server.clock)


class _Seat:
    """One guest's vault, as it is served. Implements adapters.vault_http_server.Guest."""

    def __init__(self, host: VaultHost, admitted: Admitted, served: ServedVault) -> None:
        self._host = host
        self._admitted = admitted
        self._served = served

    @property
    def key(self) -> tuple[str, bool, bool]:
        return self._admitted.guest.id, self._admitted.may_append, self._admitted.may_mend

    def open_session(self) -> Session:
        return ServedSession(self._served, may_append=self._admitted.may_append, may_mend=self._admitted.may_mend)


class VaultHost:
    """Implements adapters.vault_http_server.Host."""

    def __init__(self, server: ServerFolder, config: ServerConfig) -> None:
        self._server = server
        self._reserve = config.reserve_bytes
        self._lock = threading.Lock()
        self._served: dict[str, ServedVault] = {}
        self._quotas: dict[str, VaultQuota] = {}
        self._limits: dict[str, int] = {}
        self._signature: object = None
        self._kept: dict[str, object] = {}
        self._to_count: set[str] = set()
        self._recounted = server.clock.monotonic()
        self.refresh()
        for guest in server.guests.all():
            vault = self._open(guest).open()
            if vault.available():
                vault.clear_temporary()

    def admit(self, guest: str, token: bytes) -> _Seat | None:
        admitted = self._server.guests.admit(guest, token)
        return None if admitted is None else _Seat(self, admitted, self._open(admitted.guest))

    def redeem(self, guest: str, secret: bytes, installation: bytes, token: bytes) -> bool:
        """Raises OSError, OperatorError."""
        admitted = self._server.guests.redeem(guest, secret, installation, token)
        if admitted is None:
            return False
        folder = self._server.guests.vault_folder(guest)
        FolderVault.create("vault", folder, self._server.disk, installation).close()
        with self._lock:
            served = self._served.get(guest)
            if served is not None:  # made before anybody had come; links that are open share its lock with all others
                served.installation = installation
        return True

    def refresh(self) -> None:
        """Take up what commands have changed, and keepers of single vaults. Raises OSError."""
        guests = self._server.guests
        signature = _signature(self._server.folder / "installations")
        if signature != self._signature or guests.closed:
            closed = dict(guests.closed)
            guests.reload()
            for guest, why in guests.closed.items():
                if closed.get(guest) != why:
                    _log.error("nobody is let in for guest %s: its record cannot be read: %s", guest, why)
            self._signature = signature
            self._limits = {guest.id: guest.record.quota_bytes for guest in guests.all()}
        with self._lock:
            served = list(self._served)
        for guest_id in served:
            kept = self._kept_signature(guest_id)
            if kept is None or self._kept.get(guest_id) != kept:
                self._kept[guest_id] = kept
                self.forget(guest_id)

    def forget(self, guest: str) -> None:
        """Retention has taken something out of this vault."""
        with self._lock:
            served = self._served.get(guest)
            self._to_count.add(guest)
        if served is not None:
            served.forget()

    def count_anew(self) -> None:
        """What lies in vaults that a keeper has changed, and at times in all. By one thread, and nobody waits for it.

        Raises OSError.
        """
        now = self._server.clock.monotonic()
        with self._lock:
            if now - self._recounted > RECOUNT_SECONDS:
                self._recounted = now
                self._to_count.update(self._quotas)
            wanted = [quota for name, quota in self._quotas.items() if name in self._to_count]
            self._to_count.clear()
        for quota in wanted:
            quota.recount()

    def _kept_signature(self, guest: str) -> object:
        """Something that differs once a keeper has set something aside or removed it (vault/keeping.py).

        None: within the moment that file systems tell times by, another change may follow that nobody would see.
        """
        try:
            at = os.stat(f"{self._server.guests.vault_folder(guest)}/{ASIDE}").st_mtime_ns
        except FileNotFoundError:
            return 0
        return None if abs(self._server.clock.now() - at // 1000) < _MOMENT_MICROSECONDS else at

    def _open(self, guest: Guest) -> ServedVault:
        with self._lock:
            served = self._served.get(guest.id)
            if served is None:
                folder = self._server.guests.vault_folder(guest.id)
                name, refusals = guest.id, refusals_of(self._server, guest.id)
                quota = VaultQuota(self._server.disk, folder, lambda: self._limits.get(name, 0), threading.Lock())
                served = ServedVault(
                    folder,
                    self._server.disk,
                    bytes.fromhex(guest.record.installation) or None,
                    reserve_bytes=self._reserve,
                    about=lambda: {**about(folder), **refusals.told()},
                    to_guests=True,
                    lock=threading.Lock(),
                    quota=quota,
                    refused=refusals.note,
                    mend=partial(mend_here, folder, self._server.disk, self._server.clock),
                )
                self._served[guest.id], self._quotas[guest.id] = served, quota
                self._kept[guest.id] = self._kept_signature(guest.id)
            self._limits.setdefault(guest.id, guest.record.quota_bytes)
            return served


def about(folder: str) -> dict[str, Any]:
    """What a guest is told of where its vault lies: words by which it recognises what it has itself, and no more.

    So it can judge whether the vault fails together with something of its own, and whether its user holds it (I110).
    """
    try:
        causes = cause_words(look_at_place(folder))
        private = any(os.stat(above).st_mode & 0o077 == 0 for above in (folder, os.path.dirname(folder)))
    except OSError:
        causes, private = [], False
    return {"machine": machine(), "holder": known_here(f"user {os.geteuid()}"), "private": private, "causes": causes}


def run_server(
    folder: Path, config: ServerConfig, listen: tuple[str, int] | None, announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises OperatorError."""
    server = ServerFolder(folder)
    host, port = listen or (config.host, config.port)
    lock = FolderLock(str(folder / "run" / "serving"))
    try:
        lock.acquire()
    except Locked:
        raise OperatorError(f"another vault server serves {folder}", hint="stop it first") from None
    try:
        asyncio.run(_serve(server, config, host, port, announce))
    except OSError as error:
        raise OperatorError(
            f"{host} port {port} cannot be served at: {error.strerror or error}",
            hint="choose another place with --listen HOST:PORT",
        ) from error
    finally:
        lock.release()


async def _serve(
    server: ServerFolder, config: ServerConfig, host: str, port: int, announce: Callable[[str], None]
) -> None:
    vaults = VaultHost(server, config)
    app = VaultApp(vaults)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    housekeeping = [
        Rounds("guests", vaults.refresh, lambda: REFRESH_SECONDS),
        Rounds("counting", vaults.count_anew, lambda: COUNT_SECONDS),
    ]
    for rounds in housekeeping:
        rounds.start()
    require_free(host, port)
    from safehold.assembly.vault_server_alarms import ServerAlarms  # what only invites needs none

    alarms = ServerAlarms(server, config)
    alarms.start()
    try:
        await serve(
            app,
            host,
            port,
            stopping,
            certificate=config.certificate,
            key=config.key,
            listening=lambda: announce(config.url),
        )
    finally:
        for rounds in housekeeping:
            rounds.stop()
        app.close()
        alarms.stop()


def require_free(host: str, port: int) -> None:
    """Raises OSError where something else listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _signature(folder: Path) -> object:
    """Something that differs once a record has been changed."""
    found = []
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                stat = os.stat(f"{entry.path}/guest.json")
                found.append((entry.name, stat.st_mtime_ns, stat.st_ino))
    return sorted(found)
