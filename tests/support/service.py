"""The real service as a subprocess on a data folder of its own, its commands, and a small DAV client.

Nothing here imports the product: what is proved through this module is proved of the program that people run.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
#: Nothing takes so long unless it fails, however busy the machine is.
READY_SECONDS = 300.0
COMMAND_SECONDS = 600.0
STOP_SECONDS = 120.0
#: A connection that has been idle for longer is not used again.
IDLE_SECONDS = 5.0
DAV = "{DAV:}"


class Ran(NamedTuple):
    """A command that has ended. `out` is the one JSON object of its standard output, None where there was none."""

    code: int
    out: dict[str, Any] | None
    text: str
    err: str


def environment() -> dict[str, str]:
    """The environment of every subprocess: the tree's own source, plain output."""
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


def command_line(data: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "safehold", "--data", str(data), *args]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Service:
    """One data folder and at most one `serve` on it."""

    def __init__(self, data: Path, *, port: int | None = None, wrapper: tuple[str, ...] = ()) -> None:
        self.data = data
        self.port = port or free_port()
        self.log = data.with_name(data.name + ".log")
        self._wrapper = wrapper  # e.g. strace and its options, before the command
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *args: str, stdin: str = "", codes: Iterable[int] | None = (0,)) -> Ran:
        """Run a command with --json to its end. `codes` are the exit codes that are no failure of the test."""
        ended = subprocess.run(
            command_line(self.data, "--json", *args),
            input=stdin.encode(),
            capture_output=True,
            env=environment(),
            timeout=COMMAND_SECONDS,
            check=False,
        )
        text, err = ended.stdout.decode(), ended.stderr.decode()
        assert codes is None or ended.returncode in codes, f"safehold {args}: exit {ended.returncode}\n{text}\n{err}"
        out = json.loads(text) if text.strip() else None
        return Ran(ended.returncode, out, text, err)

    def interrupt(self, mark: str, *args: str) -> bool:
        """Run a command and SIGKILL it when it tells that stage `mark` has begun; False where it ended before that."""
        process = subprocess.Popen(
            command_line(self.data, "--json", *args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        assert process.stderr is not None
        said = any(line.decode().startswith(f"{mark} …") for line in process.stderr)
        process.kill()
        process.wait(30)
        process.stderr.close()
        return said

    def add_account(self, name: str, password: str) -> None:
        self.run("account", "add", name, "--password-stdin", stdin=password + "\n")

    def status(self) -> dict[str, Any]:
        out = self.run("status").out
        assert out is not None
        return out

    def vault_status(self, name: str) -> dict[str, Any]:
        return next(v for v in self.status()["vaults"] if v["name"] == name)

    @property
    def pid(self) -> int:
        """The process that serves; below a wrapper, its child."""
        assert self._process is not None
        if not self._wrapper:
            return self._process.pid
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def begin(self, *args: str) -> None:
        """Start `serve`, and wait for nothing."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrapper, *command_line(self.data, "serve", "--listen", f"127.0.0.1:{self.port}", *args)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment(),
            )

    def start(self, *args: str) -> None:
        """Start `serve` and return once /healthz answers, whatever it says."""
        self.begin(*args)
        end = time.monotonic() + READY_SECONDS
        while self.health() is None:
            code = self.wait(0.02)
            assert code is None, f"serve ended with exit {code}:\n{self.tail()}"
            assert time.monotonic() < end, f"serve is not ready after {READY_SECONDS} s:\n{self.tail()}"

    def health(self) -> int | None:
        """What /healthz answers; None where nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def wait(self, seconds: float) -> int | None:
        """The exit code, waiting at most so long for it; None while it runs."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def strike(self) -> None:
        """SIGKILL, this moment."""
        os.kill(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        assert self._process is not None
        if self._process.poll() is None:
            self.strike()
            self._process.wait(30)

    def stop(self, seconds: float = STOP_SECONDS) -> int | None:
        """SIGTERM; the exit code, or None if it still runs after so many seconds."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(seconds)

    def close(self) -> None:
        """Whatever runs is gone afterwards."""
        if self._process is not None:
            self.kill()

    def tail(self, count: int = 40) -> str:
        """The last lines that serve has printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:]) if self.log.exists() else ""

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes of resident memory; `VmHWM` is the peak."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")

    def reset_peak(self) -> None:
        """Let VmHWM begin again at what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def client(self, user: str, password: str) -> Client:
        return Client(self.port, user, password)


class Answer(NamedTuple):
    """An HTTP answer with its whole body. Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "")


class Delta(NamedTuple):
    """The answer to a sync-collection report (RFC 6578): names with ETags, names gone, the next token."""

    status: int
    token: str
    changed: dict[str, str]
    gone: set[str]


class Client:
    """One keep-alive connection with Basic credentials. Paths are given decoded; used by one thread at a time.

    A connection that breaks raises OSError or http.client.HTTPException: then the outcome of the request is
    unknown, and nothing is sent a second time. One that was idle is opened anew before.
    """

    def __init__(
        self, port: int, user: str, password: str, *, connection: http.client.HTTPConnection | None = None
    ) -> None:
        self.user = user
        self.origin = f"http://127.0.0.1:{port}"
        self._login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
        self._used_at = time.monotonic()

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, *, query: bool = True
    ) -> Answer:
        """One request. Without `query` a question mark is part of the path."""
        target = quote(path, safe="/?=&" if query else "/")
        if time.monotonic() - self._used_at > IDLE_SECONDS:  # the service may be about to close it
            self._connection.close()
        self._connection.request(method, target, body or None, {"Authorization": self._login} | (headers or {}))
        answer = self._connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        self._used_at = time.monotonic()
        return found

    def xml(self, method: str, path: str, body: str, depth: str = "0") -> Answer:
        headers = {"Content-Type": "application/xml; charset=utf-8", "Depth": depth}
        return self.ask(method, path, b'<?xml version="1.0" encoding="utf-8"?>' + body.encode(), headers)

    def close(self) -> None:
        self._connection.close()

    def put(self, path: str, body: bytes, media: str, *, match: str = "", new: bool = False) -> Answer:
        """PUT; `match` is an ETag for If-Match, `new` asks If-None-Match: *."""
        headers = {"Content-Type": media}
        if match:
            headers["If-Match"] = match
        if new:
            headers["If-None-Match"] = "*"
        return self.ask("PUT", path, body, headers)

    def listing(self, path: str) -> tuple[dict[str, str], dict[str, str]]:
        """PROPFIND Depth 1 of a collection -> ({item: ETag}, {sub-collection: displayname}), by last path segment."""
        asked = '<propfind xmlns="DAV:"><prop><getetag/><displayname/><resourcetype/></prop></propfind>'
        answer = self.xml("PROPFIND", path, asked, "1")
        assert answer.status == 207, f"PROPFIND {path}: {answer.status} {answer.body[:300]!r}"
        items: dict[str, str] = {}
        folders: dict[str, str] = {}
        for href, found in _found(answer.body):
            if href.rstrip("/") == path.rstrip("/"):
                continue
            name = href.rstrip("/").rpartition("/")[2]
            if found.find(f".//{DAV}resourcetype/{DAV}collection") is not None:
                folders[name] = found.findtext(f".//{DAV}displayname") or ""
            else:
                items[name] = found.findtext(f".//{DAV}getetag") or ""
        return items, folders

    def sync(self, path: str, token: str) -> Delta:
        """sync-collection from a token ("" for the first), page after page to its end."""
        changed: dict[str, str] = {}
        gone: set[str] = set()
        while True:
            answer = self.xml(
                "REPORT",
                path,
                f'<sync-collection xmlns="DAV:"><sync-token>{token}</sync-token><sync-level>1</sync-level>'
                "<prop><getetag/></prop></sync-collection>",
            )
            if answer.status != 207:
                return Delta(answer.status, token, changed, gone)
            more = False
            for href, found in _found(answer.body):
                name = href.rstrip("/").rpartition("/")[2]
                status = found.findtext(f"{DAV}status") or ""
                if " 404" in status:
                    changed.pop(name, None)
                    gone.add(name)
                elif " 507" in status:
                    more = True
                elif href.rstrip("/") != path.rstrip("/"):
                    gone.discard(name)
                    changed[name] = found.findtext(f".//{DAV}getetag") or ""
            token = ET.fromstring(answer.body).findtext(f"{DAV}sync-token") or ""
            if not more:
                return Delta(207, token, changed, gone)


def _found(body: bytes) -> Iterator[tuple[str, ET.Element]]:
    """Each response of a multistatus with its decoded path."""
    for response in ET.fromstring(body).iter(f"{DAV}response"):
        href = (response.findtext(f"{DAV}href") or "").strip()
        yield unquote(urlsplit(href).path), response
