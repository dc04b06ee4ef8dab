"""A vault server as a process of the real program, on a folder of its own."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.service import COMMAND_SECONDS, Service, command_line, environment, free_port

READY_SECONDS = 60.0


class VaultServerProcess:
    """`folder` is the server's. Its port stays the same from start to start."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder.with_name(folder.name + ".log")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        # Its commands; the data folder is that of nobody.
        self.commands = Service(folder.with_name(folder.name + "-nobody"))

    @property
    def scheme(self) -> str:
        return "http" if "--no-tls" in self._options else "https"

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command_line(
                    self.commands.data,
                    *("vault", "serve", "--folder", str(self.folder), "--listen", f"127.0.0.1:{self.port}"),
                    *("--url", self.address),
                    *self._options,
                ),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment(),
            )
        end = time.monotonic() + READY_SECONDS
        while not self.answers():
            assert self._process.poll() is None, f"the vault server ended:\n{self.log.read_text()}"
            assert time.monotonic() < end, f"the vault server is not ready:\n{self.log.read_text()}"
            time.sleep(0.02)

    def answers(self) -> bool:
        import http.client

        if self.scheme == "http":
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        else:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def invite(self, *words: str) -> str:
        """A one-time code."""
        ran = self.commands.run("vault", "invite", "--folder", str(self.folder), *words)
        assert ran.out is not None
        return str(ran.out["code"])

    def guests(self) -> list[dict[str, Any]]:
        ran = self.commands.run("vault", "guests", "--folder", str(self.folder))
        assert ran.out is not None
        return list(ran.out["guests"])

    def vault_folder(self, name: str) -> Path:
        (guest,) = [guest for guest in self.guests() if guest["name"] == name]
        return self.folder / "installations" / guest["guest"] / "vault"

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(COMMAND_SECONDS)
