"""A vault server in threads of this process, guests of it, and lines that are cut at a byte."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from safehold.adapters.vault_http import DIGEST, MEDIA_TYPE, NUMBER, SESSION, Access, HttpLink, content_digest
from safehold.adapters.vault_http_server import VaultApp, serve
from safehold.assembly.vault_server import ServerFolder, VaultHost
from safehold.formats import vaultwire
from safehold.formats.vaultcode import parse_code
from safehold.formats.vaultwire import Answer, Request
from safehold.vault.http_vault import HttpVault
from tests.support.logs import INSTALLATION
from tests.support.service import free_port

READY_SECONDS = 60.0
TOKEN = bytes(range(32))


class Said(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def answer(self) -> Answer:
        return vaultwire.parse_answer(self.body)


class HttpServer:
    """Serves `folder` in threads. `tls` False: plain, for who cuts the line or sends what no client sends."""

    def __init__(self, folder: Path, *, tls: bool = True, body_seconds: float = 60.0) -> None:
        self.port = free_port()
        self.server = ServerFolder(folder)
        self.config = self.server.make(
            listen=f"127.0.0.1:{self.port}", url=f"http{'s' * tls}://127.0.0.1:{self.port}", tls=tls
        )
        self.pin = self.server.pin(self.config) if tls else b""
        self._body_seconds = body_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.host = VaultHost(self.server, self.config)
        self.app = VaultApp(self.host, body_seconds=self._body_seconds)
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(READY_SECONDS), "the vault server does not serve"

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await serve(
            self.app,
            "127.0.0.1",
            self.port,
            self._stopping,
            certificate=self.config.certificate,
            key=self.config.key,
            listening=ready.set,
        )

    def stop(self) -> None:
        """All links are forgotten with it."""
        if self._thread is not None:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(READY_SECONDS)
            assert not self._thread.is_alive()
            self.app.close()
            self._thread = None

    def invite(
        self, name: str, *, installation: bytes = INSTALLATION, token: bytes = TOKEN, quota: int = 0, read: bool = False
    ) -> str:
        """A guest who has come in with this token; its id."""
        known = [guest for guest in self.server.guests.all() if guest.record.name == name]
        _, code = self.server.invite(name, again=known[0].id if known else "", quota_bytes=quota, read_only=read)
        parsed = parse_code(code)
        assert self.host.redeem(parsed.guest.hex(), parsed.secret, installation, sha256(token).digest())
        self.host.refresh()
        return parsed.guest.hex()

    def folder(self, guest: str) -> Path:
        return Path(self.server.guests.vault_folder(guest))

    def access(self, guest: str, token: bytes = TOKEN, *, port: int = 0) -> Access:
        return Access(f"{self.config.url.rpartition(':')[0]}:{port or self.port}/v1/{guest}", token, self.pin)

    def vault(
        self, guest: str, token: bytes = TOKEN, *, installation: bytes | None = INSTALLATION, port: int = 0
    ) -> HttpVault:
        access = self.access(guest, token, port=port)
        return HttpVault("v", access.url, lambda: HttpLink(lambda: access), installation, lock=threading.Lock())

    def connection(self) -> http.client.HTTPConnection:
        if not self.pin:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=ssl._create_unverified_context())

    def say(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Said:
        """One request over a connection of its own."""
        connection = self.connection()
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            return Said(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def ask(
        self, guest: str, request: Request | bytes, session: str, number: int, token: bytes = TOKEN, **headers: str
    ) -> Said:
        """One message of a link, by hand."""
        body = request if isinstance(request, bytes) else vaultwire.encode(request)
        all_headers = {
            "Authorization": f"Bearer {token.hex()}",
            "Content-Type": MEDIA_TYPE,
            SESSION: session,
            NUMBER: str(number),
            DIGEST: content_digest(body),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.say("POST", f"/v1/{guest}", body, all_headers)


class Storm:
    """A port that passes everything on to another, and a weather over it, which lasts until the next one comes."""

    WEATHERS = ("calm", "cut", "half-closed", "silent", "slow", "closed", "cut within a request")

    def __init__(self, port: int) -> None:
        self._target = port
        self._weather = "calm"
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._ended = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def turn(self, weather: str) -> None:
        assert weather in self.WEATHERS
        with self._lock:
            self._weather = weather
            sockets, self._sockets = self._sockets, [] if weather in ("cut", "closed") else self._sockets
            self._changed.notify_all()
        for each in sockets:
            with suppress(OSError):
                if weather in ("cut", "closed"):
                    each.shutdown(socket.SHUT_RDWR)
                elif weather == "half-closed":
                    each.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with self._lock:
            self._ended = True
        self.turn("closed")
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                refused = self._weather == "closed" or self._ended
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                refused = True
            if refused:
                near.close()
                continue
            with self._lock:
                self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    while self._weather == "silent":
                        self._changed.wait()
                    weather = self._weather
                    if weather == "slow":
                        self._changed.wait(0.05)
                if weather == "cut within a request" and len(data) > 1:
                    target.sendall(data[: len(data) // 2])
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class CutLine:
    """A port that passes everything on to another, until a connection has passed so many bytes one way or the other.

    `cuts`: for each connection that comes, in turn, how many bytes it passes to the server and how many back; where the
    list has come to its end, all.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.cuts: list[tuple[int | None, int | None]] = []
        self.passed: list[list[int]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            there, back = self.cuts.pop(0) if self.cuts else (None, None)
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            counts = [0, 0]
            self.passed.append(counts)
            for source, target, most, way in ((near, far, there, 0), (far, near, back, 1)):
                threading.Thread(target=self._pass, args=(source, target, most, counts, way), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, most: int | None, counts: list[int], way: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if most is not None and counts[way] + len(data) > most:
                    target.sendall(data[: most - counts[way]])
                    counts[way] = most
                    break
                counts[way] += len(data)
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
