"""WebDAV over the wire: what only the real HTTP server in front decides."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import Running

NOTES = "/dav/ada/files/notes/"


def exchange(running: Running, head: str, body: bytes = b"") -> tuple[bytes, bytes]:
    """Send a header, wait for the first answer, send the body; the first answer and the last."""
    login = base64.b64encode(f"{running.user}:{running.password}".encode()).decode()
    with socket.create_connection(("127.0.0.1", running.service.port), timeout=30) as connection:
        connection.sendall(f"{head}Authorization: Basic {login}\r\nConnection: close\r\n\r\n".encode())
        first = connection.recv(65536)
        if first.startswith(b"HTTP/1.1 100"):
            connection.sendall(body)
        last = b"" if first.startswith(b"HTTP/1.1 100") else first
        while data := connection.recv(65536):
            last += data
    return first, last


def test_a_body_is_sent_once_it_is_asked_for(running: Running) -> None:
    head = f"PUT {NOTES}asked HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
    first, last = exchange(running, head, b"hello")
    assert first.startswith(b"HTTP/1.1 100 ")
    assert last.startswith(b"HTTP/1.1 201 ")
    assert running.client().ask("GET", NOTES + "asked").body == b"hello"


def test_a_body_that_is_not_wanted_is_not_asked_for(running: Running) -> None:
    head = f"PUT {NOTES}no/folder HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 500000000\r\n"
    first, last = exchange(running, head)
    assert first == last[: len(first)]
    assert first.startswith(b"HTTP/1.1 409 ")


def test_a_destination_names_this_server(running: Running) -> None:
    client = running.client()
    client.put(NOTES + "from", b"x", "text/plain")
    port = running.service.port
    for server, status in (
        (f"http://127.0.0.1:{port}", 201),
        ("", 204),
        (f"http://localhost:{port}", 502),
        ("http://127.0.0.1:1", 502),
    ):
        answer = client.ask("COPY", NOTES + "from", headers={"Destination": f"{server}{NOTES}to"})
        assert (server, answer.status) == (server, status)


def test_locks_end_with_the_process(running: Running) -> None:
    client = running.client()
    body = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    answer = client.ask("LOCK", NOTES + "locked", body, {"Timeout": "Infinite"})
    assert answer.status == 201
    assert client.put(NOTES + "locked", b"x", "text/plain").status == 423
    client.close()
    assert running.service.stop() == 0
    running.service.start()
    assert running.client().put(NOTES + "locked", b"x", "text/plain").status == 204


@pytest.mark.skipif(shutil.which("cadaver") is None, reason="cadaver is not installed")
def test_cadaver_locks_copies_and_moves(running: Running, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(
        f'machine 127.0.0.1 login {running.user} password "{running.password}"\n', encoding="utf-8"
    )
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "local.txt").write_bytes(b"by cadaver")
    commands = [
        "mkcol Trip",
        "put local.txt Trip/one.txt",
        "lock Trip/one.txt",
        "put local.txt Trip/one.txt",
        "copy Trip/one.txt Trip/two.txt",
        "unlock Trip/one.txt",
        "move Trip/one.txt Trip/three.txt",
        "copy Trip/ Copied/",
        "move Copied/ Moved/",
        "rmcol Trip/",
        "quit",
    ]
    ended = subprocess.run(
        ["cadaver", f"{running.url}{NOTES}"],
        input="\n".join(commands).encode() + b"\n",
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = ended.stdout.decode(errors="replace")
    assert "failed" not in said, said
    client = running.client()
    items, folders = client.listing(NOTES)
    assert "Trip" not in folders
    assert "Moved" in folders
    items, _ = client.listing(NOTES + "Moved/")
    assert set(items) == {"two.txt", "three.txt"}
    assert client.ask("GET", NOTES + "Moved/three.txt").body == b"by cadaver"
