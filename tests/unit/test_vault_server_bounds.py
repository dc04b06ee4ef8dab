"""What one guest of a vault server can do to the others, and what each learns of the server: over real sockets."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from safehold.adapters.places import look_at_place
from safehold.adapters.vault_http import content_digest
from safehold.adapters.vault_http_server import ACTIVE, SESSIONS, WAITING
from safehold.assembly import vault_server
from safehold.assembly.domains import Part, domain_risks, own_parts, vault_place
from safehold.assembly.installation import Installation
from safehold.assembly.probing import probe
from safehold.assembly.vault_urls import redeem_code
from safehold.config import Config, VaultConfig
from safehold.formats import vaultwire
from safehold.model.errors import SafeholdError
from safehold.store.realdisk import RealDisk
from safehold.vault.served import PLENTY_BYTES
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


# -- who waits for whom


HELLO = vaultwire.Hello(vaultwire.VERSION)


def hold_up(server: HttpServer, guest: str, token: bytes, requests: int) -> list[threading.Thread]:
    """So many appends of one guest, each over a link of its own, none of which can go on."""

    def ask(number: int) -> None:
        session = f"{number:032d}"
        with suppress(OSError, http.client.HTTPException):
            server.ask(guest, HELLO, session, 1, token)
            server.ask(guest, vaultwire.Append(segment(0), 0, b"x"), session, 2, token)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(requests)]
    for thread in threads:
        thread.start()
    return threads


def under_way(server: HttpServer) -> int:
    return sum(link.under_way for links in list(server.app.sessions._links.values()) for link in list(links.values()))


def test_guests_whose_requests_hang_are_in_nobody_elses_way(plain: HttpServer) -> None:
    hanging = [plain.invite(f"hanging {n}", installation=bytes([n]) * 16, token=bytes([n]) * 32) for n in range(6)]
    last = plain.invite("last")
    for number, guest in enumerate(hanging):
        assert plain.vault(guest, bytes([number]) * 32, installation=bytes([number]) * 16).available()
    locks = [plain.host._served[guest].lock for guest in hanging]
    for lock in locks:
        lock.__enter__()
    threads: list[threading.Thread] = []
    try:
        for number, guest in enumerate(hanging):
            threads += hold_up(plain, guest, bytes([number]) * 32, ACTIVE + 2)
        until(lambda: under_way(plain) >= 4 * ACTIVE)  # as many as there once were threads
        vault = plain.vault(last)
        assert vault.available()
        vault.append(segment(0), 0, b"one")
        assert vault.get(segment(0)) == b"one"
    finally:
        for lock in locks:
            lock.__exit__(None, None, None)
        for thread in threads:
            thread.join(60)


def test_a_token_that_may_only_read_holds_up_no_writer(plain: HttpServer) -> None:
    guest = plain.invite("read at length")
    assert plain.invite("read at length", token=THEIR_TOKEN, read=True) == guest
    body = vaultwire.encode(HELLO)
    lines = (
        f"POST /v1/{guest} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {THEIR_TOKEN.hex()}",
        f"Safehold-Session: {'a' * 32}",
        "Safehold-Request: 1",
        f"Content-Digest: {content_digest(body)}",
        f"Content-Length: {len(body)}",
        "",
        "",
    )
    held = []
    try:
        for _ in range(ACTIVE + WAITING):  # each says that a body comes, and sends none
            sock = socket.create_connection(("127.0.0.1", plain.port), timeout=60)
            sock.sendall("\r\n".join(lines).encode())
            held.append(sock)
        turns = plain.app._turns
        until(lambda: (guest, False, False) in turns and turns[(guest, False, False)].count == ACTIVE + WAITING)
        vault = plain.vault(guest)
        vault.append(segment(0), 0, b"one")
        assert vault.get(segment(0)) == b"one"
    finally:
        for sock in held:
            sock.close()


def test_a_link_that_gives_way_is_waited_for_by_nobody_else(plain: HttpServer) -> None:
    """Its upload gives back what it held, under its vault's lock."""
    guest, last = plain.invite("gives way"), plain.invite("does not wait", installation=OTHER, token=THEIR_TOKEN)
    for number in range(SESSIONS):
        session = f"{number:032d}"
        plain.ask(guest, HELLO, session, 1)
        plain.ask(guest, vaultwire.Put(segment(0)), session, 2)
        assert plain.ask(guest, vaultwire.Piece(b"x" * 100), session, 3).status == 200
    further = threading.Thread(target=lambda: plain.ask(guest, HELLO, "f" * 32, 1), daemon=True)
    links = plain.app.sessions._links[(guest, True, False)]
    with plain.host._served[guest].lock:  # as while something is appended
        further.start()
        until(lambda: "f" * 32 in links or f"{0:032d}" not in links)
        vault = plain.vault(last, THEIR_TOKEN, installation=OTHER)
        assert vault.available()
    further.join(60)


# -- what a guest learns of the server


def test_a_guest_learns_of_the_server_what_concerns_it_and_no_more(plain: HttpServer) -> None:
    guest, free = plain.invite("told", quota=50_000_000), plain.invite("told without a quota", token=THEIR_TOKEN)
    vault = plain.vault(guest)
    vault.append(segment(0), 0, b"x" * 1_000_000)
    said = vault.about()
    assert said["quota_bytes"] == 50_000_000
    assert 48_000_000 < said["room_bytes"] < 49_000_000
    unbounded = plain.vault(free, THEIR_TOKEN).about()
    assert "quota_bytes" not in unbounded and unbounded["room_bytes"] <= PLENTY_BYTES
    told = repr((said, unbounded))
    place = look_at_place(str(plain.folder(guest)))
    for secret in (
        str(plain.server.folder),
        place.host,
        place.device,
        *(cause.partition(" ")[2] for cause in place.fails_with),
        *(f" {os.geteuid()}," for _ in range(os.geteuid() > 0)),
    ):
        assert not secret or secret not in told
    rights = {"may_append", "may_mend"}
    assert set(said) == {"machine", "holder", "private", "causes", "quota_bytes", "room_bytes"} | rights


def test_no_refusal_names_a_path_of_the_server(plain: HttpServer) -> None:
    guest = plain.invite("refused", quota=400_000)
    vault = plain.vault(guest)
    vault.append(segment(0), 0, b"one")
    (plain.folder(guest) / "keys").write_bytes(b"a file where a folder should be")
    os.mkdir(plain.folder(guest) / "recovery")
    (plain.folder(guest) / "recovery" / "folder").mkdir()
    acts: list[Callable[[], object]] = [
        lambda: vault.append(segment(0), 7, b"x"),
        lambda: vault.append("keys/x", 0, b"x"),
        lambda: vault.append(segment(9), 0, b"x"),
        lambda: vault.put("keys/x", [b"x"]),
        lambda: vault.put("recovery/folder", [b"x"]),
        lambda: vault.get("recovery/folder"),
        lambda: vault.get("keys/none"),
        lambda: vault.put("recovery/large", [b"x" * 500_000]),
        lambda: vault.put("../x", [b"x"]),
    ]
    told = []

    def act_all(acts: list[Callable[[], object]]) -> None:
        for act in acts:
            try:
                act()
            except SafeholdError as error:
                told.extend((error.message, error.hint))
            except KeyError as error:
                told.append(str(error))

    act_all(acts)
    there = len(told)
    mark = plain.folder(guest) / "FORMAT"
    os.rename(mark, plain.folder(guest) / "tmp" / "FORMAT")
    fresh = plain.vault(guest)
    act_all(
        [lambda: fresh.append(segment(1), 0, b"x"), lambda: fresh.get("recovery/x"), lambda: fresh.put("keys/y", [])]
    )
    os.rename(plain.folder(guest) / "tmp" / "FORMAT", mark)
    assert there > 12 and len(told) > there
    assert not [text for text in told if str(plain.server.folder) in text]


@pytest.mark.parametrize("machine", ["this one", "another"])
def test_a_guest_sees_whether_its_vault_fails_with_what_it_has_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    server = HttpServer(tmp_path / "server", tls=False)
    server.start()
    try:
        installation = Installation(tmp_path / "data", Config())
        installation.make()
        _, code = server.server.invite("ada")
        url = redeem_code(
            code, installation.data, installation.disk, installation.entropy, installation.opener.installation
        )
        installation.vault_add("friend", url, "async")
        config = VaultConfig("friend", url, "async")
        if machine == "another":  # where the same words mean other disks, and other users
            told = {"machine": "f" * 32, "holder": "f" * 12, "private": True, "causes": ["disk ffffffffffff"]}
            monkeypatch.setattr(vault_server, "about", lambda folder: told)
        place = vault_place(installation, config, installation.vault(config))
        near = look_at_place(str(installation.core_path.parent))
        assert place is not None
        parts = [Part("friend", place)]
        risks = domain_risks(parts, own_parts(installation), {"friend": "enforced"})
        probed = probe(installation, config)
        assert not probed.why and probed.holder is None
        if machine == "another":
            assert place.fails_with == {f"server {url.split('/')[2]}"} and not risks
            assert (probed.overwrite, probed.delete) == (False, False)
        else:
            assert place.fails_with == near.fails_with and place.host == near.host
            assert any("in one machine" in risk for risk in risks)
            assert (probed.overwrite, probed.delete) == (True, True)
    finally:
        server.stop()
