"""What one guest of a vault server can do to the others, and what each learns of the server: over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safehold.store.realdisk import RealDisk
from tests.support.logs import make_kept_vault
from tests.support.vault_http import HttpServer
from tests.support.waiting import until

OTHER = bytes(range(16, 32))
THEIR_TOKEN = bytes(range(64, 96))


def segment(number: int) -> str:
    return f"log/00000001/{number:08d}-{number:012d}.seg"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    server = HttpServer(tmp_path_factory.mktemp("plain") / "server", tls=False)
    server.start()
    yield server
    server.stop()


class Listed:
    """Which folders were listed; one of them may be held."""

    def __init__(self, server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folders: list[str] = []
        self.held = ""
        self.go = threading.Event()
        inner = server.server.disk.list

        def listing(folder: str) -> Iterator[Any]:
            self.folders.append(folder)
            if folder == self.held:
                assert self.go.wait(60)
            return inner(folder)

        monkeypatch.setattr(server.server.disk, "list", listing)


# -- what a vault's size costs


def test_new_segments_make_the_server_forget_and_count_nothing(
    plain: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = plain.invite("segments", quota=10_000_000)
    vault = plain.vault(guest)
    vault.append(segment(0), 0, b"zero")
    vault.append("log/00000002/00000000-000000000000.seg", 0, b"of a second timeline")
    plain.host.refresh()
    remembered = plain.host._served[guest].admission()
    listed = Listed(plain, monkeypatch)
    for number in range(1, 4):
        vault.append(segment(number), 0, b"more")
        vault.put(f"runs/{number:012d}/generation", [b"a manifest"])
        plain.host.refresh()
        plain.host.count_anew()
    assert str(plain.folder(guest)) not in listed.folders
    assert plain.host._served[guest].admission() is remembered


@pytest.mark.parametrize("how", ["removed", "set aside"])
def test_what_a_keeper_does_is_noticed(plain: HttpServer, how: str) -> None:
    guest = plain.invite(f"noticed {how}", quota=10_000_000)
    vault = plain.vault(guest)
    vault.append(segment(0), 0, b"zero")
    vault.append(segment(1), 0, b"x" * 1_000_000)
    plain.host.refresh()
    remembered, quota = plain.host._served[guest].admission(), plain.host._quotas[guest]
    used = quota.used_bytes()
    kept = make_kept_vault(RealDisk(), "v", str(plain.folder(guest)))
    if how == "removed":
        kept.remove(segment(1))
    else:
        kept.set_aside(segment(1))
        kept.purge_aside(None)
    plain.host.refresh()
    assert plain.host._served[guest].admission() is not remembered
    plain.host.count_anew()
    assert quota.used_bytes() < used - 900_000


def test_nobody_waits_while_a_vault_is_counted_anew(plain: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = plain.invite("counted", quota=10_000_000)
    vault = plain.vault(guest)
    vault.append(segment(0), 0, b"zero")
    before = plain.host._quotas[guest].used_bytes()
    make_kept_vault(RealDisk(), "v", str(plain.folder(guest))).set_aside(segment(0))
    plain.host.refresh()
    listed = Listed(plain, monkeypatch)
    listed.held = str(plain.folder(guest))
    counting = threading.Thread(target=plain.host.count_anew)
    counting.start()
    try:
        until(lambda: listed.held in listed.folders)
        assert vault.put("keys/meanwhile", [b"x" * 100_000])
        own = bytes([7]) * 32
        assert plain.invite("counted", token=own) == guest  # and what commands have changed is taken up
        assert plain.vault(guest, own).available()
        assert counting.is_alive()
    finally:
        listed.go.set()
        counting.join(60)
    assert plain.host._quotas[guest].used_bytes() > before + 100_000
