"""A command that comes while a service starts, or ends: it waits for whichever of socket and lock is to be had."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.test_cli_commands import Run, run, with_ada

__all__ = ["run", "with_ada"]

#: Holds the lock as a service does, and listens, or ends, once it is told to.
_SERVICE = """
import sys
from safehold.adapters.channel import ChannelServer
from safehold.adapters.lock import FolderLock
from safehold.model.commands import Outcome
from safehold.service.control import decode_commands, encode_json, encode_results

def answer(payload):
    if payload.startswith((b"objects ", b"reload")):
        return encode_json({"ok": True, "why": None, "down": {}})
    return encode_results([Outcome(path="by the service") for _ in decode_commands(payload)])

with FolderLock(sys.argv[1] + "/lock"):
    print("locked", flush=True)
    if sys.stdin.readline() == "listen\\n":
        ChannelServer(sys.argv[1] + "/safehold.sock", answer).start()
        print("listening", flush=True)
        sys.stdin.readline()
"""

Starting = subprocess.Popen[str]
STALE = pytest.mark.parametrize("stale", [False, True], ids=["no socket", "a socket of one that was killed"])


@pytest.fixture
def starting(with_ada: Run, tmp_path: Path) -> Iterator[Starting]:
    place = tmp_path / "data" / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVICE, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.communicate("")


def leave_socket(place: Path) -> None:
    """As a service that was killed does."""
    here = os.getcwd()
    os.chdir(place)
    try:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind("safehold.sock")
    finally:
        os.chdir(here)


def when_waiting(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> list[float]:
    """Do something the first time that somebody waits for the service; what was waited."""
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            act()

    monkeypatch.setattr("safehold.assembly.site.pause", pause)
    return waits


def listen(process: Starting) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("listen\n")
    process.stdin.flush()
    assert process.stdout.readline() == "listening\n"


@STALE
def test_a_change_goes_to_a_service_that_begins_to_listen(
    starting: Starting, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: bool
) -> None:
    if stale:
        leave_socket(tmp_path / "data" / "run")
    waits = when_waiting(monkeypatch, lambda: listen(starting))
    code, told = run("account", "app-password", "ada", "--label", "phone")
    assert (code, told["label"]) == (0, "phone") and told["password"]
    assert len(waits) == 1
    assert run("account", "list")[1]["accounts"][0]["app_passwords"] == [], "it was the service's to enter it"


@STALE
def test_a_change_is_made_here_once_the_service_has_ended(
    starting: Starting, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: bool
) -> None:
    if stale:
        leave_socket(tmp_path / "data" / "run")
    when_waiting(monkeypatch, lambda: starting.communicate("end\n") and None)
    assert run("account", "app-password", "ada", "--label", "phone")[0] == 0
    assert run("account", "list")[1]["accounts"][0]["app_passwords"] == ["phone"]


@STALE
@pytest.mark.parametrize("line", [("snapshot",), ("vault", "add", "third")], ids=" ".join)
def test_so_do_a_snapshot_and_a_new_vault(
    starting: Starting,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stale: bool,
    line: tuple[str, ...],
) -> None:
    if stale:
        leave_socket(tmp_path / "data" / "run")
    waits = when_waiting(monkeypatch, lambda: listen(starting))
    more = (f"folder:{tmp_path / 'third'}",) if line[0] == "vault" else ()
    code, told = run(*line, *more)
    assert code == 0, told
    assert len(waits) == 1


@STALE
def test_patience_ends(
    starting: Starting, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: bool
) -> None:
    if stale:
        leave_socket(tmp_path / "data" / "run")
    monkeypatch.setattr("safehold.assembly.site.PATIENCE_SECONDS", 0.2)
    code, told = run("account", "app-password", "ada", "--label", "phone")
    assert code == 3
    assert ("does not answer" if stale else str(starting.pid)) in told["error"]
