"""A vault server against those who would harm it, and lines that break: over real sockets, with and without TLS."""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from safehold.adapters.vault_http import DIGEST, HttpLink, content_digest, join
from safehold.adapters.vault_http_server import JOINS, Sessions, _Gone
from safehold.assembly.vault_urls import redeem_code
from safehold.formats import vaultwire
from safehold.formats.mark import NAME as MARK
from safehold.formats.vaultcode import VaultCode, encode_code, is_code, parse_code
from safehold.model.errors import Damaged, NotFound, OperatorError
from safehold.ports.link import NoAnswer, NotSent
from safehold.ports.objectstore import Costs
from safehold.ports.vault import LengthMismatch, VaultDown, VaultFull, VaultUnanswered
from safehold.store.realdisk import RealDisk
from safehold.vault import http_guests
from safehold.vault.http_guests import PROOFS
from safehold.vault.served import ServedSession
from tests.support.logs import INSTALLATION, make_kept_vault
from tests.support.vault_http import TOKEN, CutLine, HttpServer, Said

A = "log/00000001/00000000-000000000000.seg"
OTHER = bytes(range(16, 32))
THEIR_TOKEN = bytes(range(64, 96))
HELLO = vaultwire.Hello(vaultwire.VERSION)
SESSION_A, SESSION_B = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    server = HttpServer(tmp_path_factory.mktemp("plain") / "server", tls=False, body_seconds=2.0)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    server = HttpServer(tmp_path_factory.mktemp("secure") / "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def guest(plain: HttpServer, request: pytest.FixtureRequest) -> str:
    """A guest of this test alone."""
    return plain.invite(request.node.name)


# -- who is let in


def strangers(server: HttpServer, guest: str) -> dict[str, Said]:
    """What those are answered who are nobody here."""
    nobody = "f" * 32
    body = vaultwire.encode(HELLO)
    asked = {"Safehold-Session": SESSION_A, "Safehold-Request": "1", DIGEST: content_digest(body)}
    right = {"Authorization": f"Bearer {TOKEN.hex()}"}
    wrong = {"Authorization": f"Bearer {THEIR_TOKEN.hex()}"}
    found = {
        "a wrong token": (f"/v1/{guest}", asked | wrong),
        "no token": (f"/v1/{guest}", asked),
        "a guest that is not there": (f"/v1/{nobody}", asked | right),
        "neither": (f"/v1/{nobody}", asked),
        "another scheme": (f"/v1/{guest}", asked | {"Authorization": f"Basic {TOKEN.hex()}"}),
        "no hexadecimal": (f"/v1/{guest}", asked | {"Authorization": "Bearer zz"}),
        "a long token": (f"/v1/{guest}", asked | {"Authorization": "Bearer " + "00" * 4000}),
        "a path that leads out": ("/v1/..%00", asked | right),
        "upper case": (f"/v1/{guest.upper()}", asked | right) if guest.upper() != guest else (f"/v1/x{guest}", asked),
        "an installation's id": (f"/v1/{INSTALLATION.hex()}", asked | right),
    }
    return {what: server.say("POST", path, body, headers) for what, (path, headers) in found.items()}


def test_strangers_are_all_answered_alike(plain: HttpServer, guest: str) -> None:
    said = strangers(plain, guest)
    first = said["a wrong token"]
    assert first.status == 401
    for what, other in said.items():
        assert (other.status, other.body) == (401, first.body), what
        assert {k: v for k, v in other.headers.items() if k != "date"} == {
            k: v for k, v in first.headers.items() if k != "date"
        }, what
    secret = {"Authorization": f"Bearer {'00' * 16}", DIGEST: ""}
    for place in (guest, "f" * 32):
        body = json.dumps({"installation": INSTALLATION.hex(), "token": "00" * 32}).encode()
        other = plain.say("POST", f"/v1/{place}/join", body, secret | {DIGEST: content_digest(body)})
        assert (other.status, other.body) == (401, first.body)


def test_every_refusal_takes_the_same_comparisons(
    plain: HttpServer, guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def counting(a: bytes, b: bytes) -> bool:
        assert len(a) == len(b) == 32
        counted.append(1)
        return a == b

    monkeypatch.setattr(http_guests, "compare_digest", counting)
    guests = plain.server.guests
    reads: list[str] = []
    monkeypatch.setattr(plain.server.disk, "open", lambda *args, **kwargs: reads.append(args[0]))
    for asked, token in ((guest, THEIR_TOKEN), ("f" * 32, TOKEN), (guest, b""), ("", b"")):
        counted.clear()
        assert guests.admit(asked, token) is None
        assert len(counted) == PROOFS
    assert guests.admit(guest, TOKEN) is not None
    assert not reads


def test_a_guest_sees_nothing_of_another(plain: HttpServer) -> None:
    one = plain.invite("one")
    other = plain.invite("other", installation=OTHER, token=THEIR_TOKEN)
    plain.vault(one).put("keys/mine", [b"mine"])
    theirs = plain.vault(other, THEIR_TOKEN, installation=OTHER)
    assert theirs.size("keys/mine") is None
    for path in (
        f"../../{one}/vault/keys/mine",
        "../guest.json",
        "/etc/passwd",
        "keys/../../guest.json",
        "tmp/x",
        "aside/x",
    ):
        with pytest.raises(VaultDown, match="no name of an object"):
            theirs.get(path)
        with pytest.raises(VaultDown):
            theirs.put(path, [b"x"])
    for prefix in ("../", f"../../{one}/", "tmp/", "aside/"):
        with pytest.raises(VaultDown):
            list(theirs.list(prefix))
    for vault in (plain.vault(one, THEIR_TOKEN), plain.vault(other, TOKEN), plain.vault("0" * 32)):
        assert not vault.available()
        with pytest.raises(VaultDown, match="does not know this token"):
            vault.size(MARK)
    with pytest.raises(VaultDown, match="another installation"):
        plain.vault(other, THEIR_TOKEN, installation=INSTALLATION).size(MARK)


def test_links_belong_to_whoever_opened_them(plain: HttpServer) -> None:
    one = plain.invite("links")
    plain.invite("links", token=THEIR_TOKEN, read=True)
    other = plain.invite("links elsewhere", installation=OTHER, token=bytes(32))
    assert plain.ask(one, HELLO, SESSION_A, 1).status == 200
    assert plain.ask(other, vaultwire.Size(MARK), SESSION_A, 2, bytes(32)).status == 410
    assert plain.ask(one, vaultwire.Append(A, 0, b"x"), SESSION_A, 2, THEIR_TOKEN).status == 410
    assert plain.ask(one, vaultwire.Size(MARK), SESSION_A, 2).status == 200


def test_a_token_that_may_only_read(plain: HttpServer) -> None:
    guest = plain.invite("readers")
    plain.vault(guest).append(A, 0, b"one")
    assert plain.invite("readers", token=THEIR_TOKEN, read=True) == guest
    reader = plain.vault(guest, THEIR_TOKEN)
    assert reader.get(A) == b"one"
    assert [info.name for info in reader.list("log/")] == [A]
    for act in (
        lambda: reader.append(A, 3, b"two"),
        lambda: reader.put("keys/x", [b"x"]),
        lambda: reader.append(A, 3, b""),
    ):
        with pytest.raises(VaultDown, match="may only read"):
            act()
    assert plain.vault(guest).get(A) == b"one"


def test_a_token_that_is_taken_back_opens_nothing(plain: HttpServer, guest: str) -> None:
    own = bytes([7]) * 32
    assert plain.invite("test_a_token_that_is_taken_back_opens_nothing", token=own) == guest
    vault, other = plain.vault(guest, own), plain.vault(guest)
    vault.append(A, 0, b"one")
    plain.server.guests.revoke(sha256(own).hexdigest()[:12])
    with pytest.raises(VaultDown, match="does not know this token"):
        vault.append(A, 3, b"two")
    other.append(A, 3, b"two")
    with pytest.raises(NotFound):
        plain.server.guests.revoke("")


# -- codes


def test_a_code_lets_one_installation_in_with_one_token(secure: HttpServer) -> None:
    guest, code = secure.server.invite("once")
    parsed = parse_code(code)
    assert (parsed.address, parsed.guest.hex(), parsed.pin) == (secure.config.url, guest.id, secure.pin)
    url, mine, other = f"{parsed.address}/v1/{guest.id}", sha256(TOKEN).digest(), sha256(THEIR_TOKEN).digest()
    with pytest.raises(NotSent, match="does not take this code"):
        join(url, parsed.pin, bytes(16), INSTALLATION, mine)
    join(url, parsed.pin, parsed.secret, INSTALLATION, mine)
    join(url, parsed.pin, parsed.secret, INSTALLATION, mine)  # its answer was lost
    for installation, token in ((INSTALLATION, other), (OTHER, mine), (OTHER, other)):
        with pytest.raises(NotSent, match="does not take this code"):
            join(url, parsed.pin, parsed.secret, installation, token)
    assert len(secure.server.guests.find("once").record.tokens) == 1
    again = parse_code(secure.server.invite(again="once")[1])
    with pytest.raises(NotSent, match="does not take this code"):
        join(url, again.pin, again.secret, OTHER, other)
    join(url, again.pin, again.secret, INSTALLATION, other)
    for token in (TOKEN, THEIR_TOKEN):
        assert secure.vault(guest.id, token).available()


def test_a_further_code_leaves_all_links_under_one_lock(plain: HttpServer, guest: str) -> None:
    """Of two that append with locks of their own, one would write over what the other was acknowledged."""
    seat = plain.host.admit(guest, TOKEN)
    assert seat is not None
    before = seat.open_session()
    for token in (TOKEN, THEIR_TOKEN):
        assert plain.invite(plain.server.guests.find(guest).record.name, token=token) == guest
    after = plain.host.admit(guest, THEIR_TOKEN)
    assert after is not None
    assert isinstance(before, ServedSession)
    assert before._served is after._served
    assert before._served.lock is after._served.lock


def test_there_are_no_more_codes_than_tokens_would_be_known(plain: HttpServer, guest: str) -> None:
    guests = plain.server.guests
    guests.change(guest, codes=[])  # as when the one that it came with has ended
    for _ in range(PROOFS - 1):  # with the token that is there
        guests.new_code(guest)
    with pytest.raises(OperatorError, match="that is enough"):
        guests.new_code(guest)


def test_those_who_try_codes_have_few_threads(tmp_path: Path) -> None:
    release = threading.Event()
    server = HttpServer(tmp_path / "server", tls=False)
    server.start()
    try:
        guest = server.invite("ada")
        host = server.host
        redeem = host.redeem

        def slow(*asked: Any) -> bool:
            release.wait(60)
            return redeem(*asked)

        host.redeem = slow  # type: ignore[method-assign]
        body = json.dumps({"installation": "00", "token": "00"}).encode()
        headers = {"Authorization": "Bearer 00", DIGEST: content_digest(body)}
        said: queue.Queue[Said] = queue.Queue()
        strangers = [
            threading.Thread(target=lambda: said.put(server.say("POST", f"/v1/{'f' * 32}/join", body, headers)))
            for _ in range(JOINS + 2)
        ]
        for each in strangers:
            each.start()
        assert [said.get(timeout=30).status for _ in range(2)] == [429, 429]
        assert server.vault(guest).available()
        release.set()
        for each in strangers:
            each.join(60)
        assert [said.get(timeout=30).status for _ in range(JOINS)] == [401] * JOINS
    finally:
        release.set()
        server.stop()


def test_a_code_ends(secure: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, code = secure.server.invite("late")
    parsed = parse_code(code)
    late = secure.server.clock.now() + 49 * 3600 * 1_000_000
    monkeypatch.setattr(secure.server.clock, "now", lambda: late)
    with pytest.raises(NotSent, match="does not take this code"):
        join(f"{parsed.address}/v1/{guest.id}", parsed.pin, parsed.secret, INSTALLATION, bytes(32))


def test_codes_are_read_as_they_were_written_and_no_slip_passes() -> None:
    for code in (
        VaultCode("https://backup.example.org:8470", bytes(16), bytes(range(16)), bytes(range(32))),
        VaultCode("http://127.0.0.1:1", os.urandom(16), os.urandom(16), b"", True),
    ):
        text = encode_code(code)
        assert is_code(text) and "\n" not in text
        assert parse_code(text) == code
        assert parse_code(f"  {text.lower().replace('-', ' ')}\n") == code
        body = text.removeprefix("SAFEHOLD-VAULT-")
        for place, letter in enumerate(body):
            if letter != "-" and place % 23 == 0:  # looking for what the slip was takes a while
                slip = body[:place] + ("2" if letter != "2" else "3") + body[place + 1 :]
                with pytest.raises(Damaged):
                    parse_code("SAFEHOLD-VAULT-" + slip)
        for end in range(0, len(body), 17):
            with pytest.raises(Damaged):
                parse_code("SAFEHOLD-VAULT-" + body[:end])
    assert not is_code("folder:/x") and not is_code("https://x/v1/y")


# -- who the server is


def test_a_server_with_another_key_is_told_nothing(secure: HttpServer) -> None:
    guest = secure.invite("pinned")
    right = secure.access(guest)
    for pin in (bytes(32), sha256(secure.pin).digest()):
        with pytest.raises(NotSent, match="another key"):
            HttpLink(lambda pin=pin: right._replace(pin=pin)).ask(vaultwire.encode(HELLO))
    with pytest.raises(NotSent, match="cannot be trusted"):
        HttpLink(lambda: right._replace(pin=b"")).ask(vaultwire.encode(HELLO))
    assert HttpLink(lambda: right).ask(vaultwire.encode(HELLO))


# -- what no client sends


def test_what_is_no_request_is_refused_and_the_link_goes_on(plain: HttpServer, guest: str) -> None:
    assert plain.ask(guest, HELLO, SESSION_A, 1).status == 200
    for headers in (
        {"Safehold-Session": "a"},
        {"Safehold-Session": "../" * 11},
        {"Safehold-Request": "-1"},
        {"Safehold-Request": "two"},
        {"Safehold-Request": "9" * 40},
        {"Content-Digest": content_digest(b"else")},
        {"Content-Digest": ""},
    ):
        assert plain.ask(guest, vaultwire.Size(MARK), SESSION_A, 2, **headers).status == 400, headers
    for number in (0, 1, 3, 7):
        assert plain.ask(guest, vaultwire.Size(MARK), SESSION_A, number).status == 410, number
    for method, path in (("GET", f"/v1/{guest}"), ("PUT", f"/v1/{guest}"), ("POST", "/"), ("POST", f"/v1/{guest}/x")):
        assert plain.say(method, path).status == 404
    assert plain.ask(guest, vaultwire.Size(MARK), SESSION_A, 2).answer == vaultwire.Number(
        (plain.folder(guest) / MARK).stat().st_size
    )
    assert plain.ask(guest, vaultwire.Size(MARK), SESSION_B, 1).status == 410  # not greeted
    assert plain.ask(guest, b"\xff\xff", SESSION_A, 3).status == 410
    assert plain.ask(guest, vaultwire.Size(MARK), SESSION_A, 4).status == 410  # that ended it


def test_statuses_say_what_came_of_it(plain: HttpServer, guest: str) -> None:
    plain.ask(guest, HELLO, SESSION_A, 1)
    assert plain.ask(guest, vaultwire.Append(A, 0, b"one"), SESSION_A, 2).status == 200
    mismatch = plain.ask(guest, vaultwire.Append(A, 0, b"two"), SESSION_A, 3)
    assert mismatch.status == 409
    assert isinstance(mismatch.answer, vaultwire.Refusal) and "3 bytes long" in mismatch.answer.message
    assert plain.ask(guest, vaultwire.Get("keys/none", 0, 1), SESSION_A, 4).status == 404
    assert mismatch.headers["content-digest"] == content_digest(mismatch.body)


def test_a_request_that_comes_again_is_carried_out_once(plain: HttpServer, guest: str) -> None:
    plain.ask(guest, HELLO, SESSION_A, 1)
    append = vaultwire.Append(A, 0, b"one")
    first = plain.ask(guest, append, SESSION_A, 2)
    for _ in range(3):
        assert plain.ask(guest, append, SESSION_A, 2).body == first.body
    assert plain.ask(guest, vaultwire.Append(A, 3, b"two"), SESSION_A, 2).status == 410  # another one by that number
    assert plain.vault(guest).get(A) == b"one"
    # In a link of its own it is judged as whatever comes late is.
    plain.ask(guest, HELLO, SESSION_B, 1)
    assert plain.ask(guest, append, SESSION_B, 2).status == 409


def test_a_request_that_failed_half_way_is_not_carried_out_again() -> None:
    class Stranger:
        key = ("somebody", True)
        carried_out = closed = 0

        def open_session(self) -> Stranger:
            return self

        def answer(self, request: bytes) -> bytes | None:
            self.carried_out += 1
            raise ArithmeticError("nobody foresaw it")

        def close(self) -> None:
            self.closed += 1

    guest, sessions = Stranger(), Sessions()
    with pytest.raises(ArithmeticError):
        sessions.answer(guest, SESSION_A, 1, b"x")
    with pytest.raises(_Gone):
        sessions.answer(guest, SESSION_A, 1, b"x")
    assert (guest.carried_out, guest.closed) == (1, 1)


def raw(server: HttpServer, sent: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes, and read whatever comes until the end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
        sock.sendall(sent)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        found = b""
        while part := sock.recv(65536):
            found += part
            if b"\r\n\r\n" in found and b"content-length: " in found.lower():
                head, _, body = found.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                if len(body) >= length:
                    break
        return found


def head(guest: str, length: int, body: bytes = b"", token: bytes = TOKEN) -> bytes:
    lines = (
        f"POST /v1/{guest} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {token.hex()}",
        f"Safehold-Session: {SESSION_A}",
        "Safehold-Request: 1",
        f"Content-Digest: {content_digest(body)}",
        f"Content-Length: {length}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def test_bodies_that_are_too_long_too_late_or_cut_off(plain: HttpServer, guest: str) -> None:
    body = vaultwire.encode(HELLO)
    assert b" 413 " in raw(plain, head(guest, vaultwire.MAX_REQUEST_BYTES + 1))[:20]
    assert b" 413 " in raw(plain, head(guest, 10**14))[:20]
    assert b" 408 " in raw(plain, head(guest, len(body), body) + body[:1])[:20]  # and then nothing more
    assert b" 200 " not in raw(plain, head(guest, len(body) + 5, body) + body, half_close=True)[:20]
    assert b" 200 " in raw(plain, head(guest, len(body), body) + body)[:20]
    # A stranger's body is not waited for.
    assert b" 401 " in raw(plain, head(guest, 4_000_000, token=THEIR_TOKEN))[:20]
    chunked = head(guest, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    endless = b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n"
    assert raw(plain, chunked + endless * 6)[9:12] in (b"413", b"408")


def test_those_who_send_slowly_are_in_nobodys_way(plain: HttpServer, guest: str) -> None:
    slow = plain.invite("slow", token=THEIR_TOKEN)
    body = vaultwire.encode(HELLO)
    held = []
    for number in range(60):
        sock = socket.create_connection(("127.0.0.1", plain.port), timeout=60)
        sock.sendall(head(slow, len(body), body, THEIR_TOKEN)[: None if number % 2 else -20])
        held.append(sock)
    try:
        vault = plain.vault(guest)
        vault.append(A, 0, b"one")
        assert vault.get(A) == b"one"
    finally:
        for sock in held:
            sock.close()


def test_one_guests_links_are_bounded_and_the_oldest_gives_way(plain: HttpServer, guest: str) -> None:
    for number in range(100):
        assert plain.ask(guest, HELLO, f"{number:032d}", 1).status == 200
    assert plain.ask(guest, vaultwire.Size(MARK), f"{0:032d}", 2).status == 410
    assert plain.ask(guest, vaultwire.Size(MARK), f"{99:032d}", 2).status == 200
    assert len(plain.app.sessions._links[(guest, True, False)]) == 48


# -- quotas


def test_a_quota_stops_writing_and_drops_nothing(plain: HttpServer) -> None:
    guest = plain.invite("small", quota=400_000)
    vault = plain.vault(guest)
    vault.append(A, 0, b"x" * 100_000)
    with pytest.raises(VaultFull, match="quota"):
        vault.put("keys/large", [b"x" * 100_000] * 4)
    with pytest.raises(VaultFull, match="quota"):
        vault.append(A, 100_000, b"x" * 400_000)
    assert vault.put("keys/small", [b"x" * 100_000])  # what was broken off has given its room back
    count = 0
    with pytest.raises(VaultFull):  # names cost as well: a flood of empty objects comes to its end
        for count in range(200):
            vault.put(f"keys/{count}", [b""])
    assert count < 60
    assert vault.get(A) == b"x" * 100_000
    plain.server.guests.change(guest, quota_bytes=10_000_000)
    plain.host.refresh()
    assert vault.put("keys/large", [b"x" * 100_000] * 4)
    assert not list((plain.folder(guest) / "tmp").iterdir())


def test_what_a_keeper_removes_where_it_lies_makes_room(plain: HttpServer) -> None:
    guest = plain.invite("kept", quota=500_000)
    vault = plain.vault(guest)
    vault.append(A, 0, b"one")
    assert vault.put("keys/old", [b"x" * 300_000])
    with pytest.raises(VaultFull):
        vault.put("keys/new", [b"x" * 300_000])
    kept = make_kept_vault(RealDisk(), "v", str(plain.folder(guest)))
    kept.set_aside("keys/old")
    kept.purge_aside(None)
    plain.host.refresh()
    plain.host.count_anew()
    assert vault.put("keys/new", [b"x" * 300_000])
    vault.append(A, 3, b"two")
    assert vault.get(A) == b"onetwo"


# -- lines that break


def test_an_upload_goes_on_wherever_its_line_is_cut(plain: HttpServer, guest: str) -> None:
    line = CutLine(plain.port)
    pieces = [bytes([n]) * 300 for n in range(5)]
    places = [*range(0, 200, 40), *range(200, 1800, 97)]
    try:
        for number, place in enumerate(places):
            vault = plain.vault(guest, port=line.port)
            vault.size(MARK)  # a link of its own, whole
            line.cuts = [(place, None), (None, place % 350), (place + 700, None)]
            assert vault.put(f"keys/{number}", pieces), place
            assert vault.get(f"keys/{number}") == b"".join(pieces)
            assert not line.cuts
            vault.close()
    finally:
        line.close()
    assert not list((plain.folder(guest) / "tmp").iterdir())


def test_an_append_whose_answer_is_lost_is_done_once_and_in_no_doubt(plain: HttpServer, guest: str) -> None:
    line = CutLine(plain.port)
    try:
        vault = plain.vault(guest, port=line.port)
        length = 0
        for place in (0, 1, 40, 150, 290, None):
            line.cuts = [(None, place)]
            link = vault._changing.link
            if isinstance(link, HttpLink):
                link._drop()  # the next request opens a connection
            vault.append(A, length, b"x" * 10)
            length += 10
            assert vault.size(A) == length
    finally:
        line.close()
    assert (plain.folder(guest) / A).read_bytes() == b"x" * length


def test_a_line_that_breaks_again_and_again_leaves_a_doubt_and_says_so(plain: HttpServer, guest: str) -> None:
    line = CutLine(plain.port)
    try:
        link = HttpLink(lambda: plain.access(guest, port=line.port))
        link.ask(vaultwire.encode(HELLO))
        link._drop()
        line.cuts = [(None, 10)] * 10
        with pytest.raises(NoAnswer):
            link.ask(vaultwire.encode(vaultwire.Append(A, 0, b"one")))
        link._drop()
        line.cuts = [(10, None)] * 10
        with pytest.raises((NotSent, NoAnswer)):
            link.ask(vaultwire.encode(vaultwire.Append(A, 3, b"two")))
    finally:
        line.close()
    assert plain.vault(guest).get(A) == b"one"


def test_a_server_that_was_started_anew_remembers_no_link_and_loses_nothing(tmp_path: Path) -> None:
    server = HttpServer(tmp_path / "server", tls=False)
    server.start()
    guest = server.invite("ada")
    vault = server.vault(guest)
    vault.append(A, 0, b"one")
    link = vault._changing.link
    assert link is not None
    server.stop()
    with pytest.raises(VaultDown):
        vault.append(A, 3, b"two")
    server.start()
    vault.append(A, 3, b"two")
    with pytest.raises(LengthMismatch):
        vault.append(A, 3, b"two")
    assert vault.get(A) == b"onetwo"

    def pieces() -> Iterator[bytes]:
        yield b"x" * 1000
        server.stop()
        server.start()
        yield b"y" * 1000

    with pytest.raises((VaultDown, VaultUnanswered)):
        vault.put("keys/a", pieces())
    assert vault.size("keys/a") is None
    assert vault.put("keys/a", [b"x" * 1000, b"y" * 1000])
    assert not list((server.folder(guest) / "tmp").iterdir())
    server.stop()


def test_many_at_once(secure: HttpServer) -> None:
    guests = [secure.invite(f"many{n}", installation=bytes([n]) * 16, token=bytes([n]) * 32) for n in range(4)]
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            vault = secure.vault(guests[number], bytes([number]) * 32, installation=bytes([number]) * 16)
            length = 0
            for _ in range(20):
                vault.append(A, length, bytes([number]) * 100)
                length += 100
            assert vault.put(f"keys/{number}", [bytes([number]) * 5_000_000])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for number, guest in enumerate(guests):
        assert (secure.folder(guest) / A).read_bytes() == bytes([number]) * 2000
        assert (secure.folder(guest) / f"keys/{number}").stat().st_size == 5_000_000


def test_plain_http_leaves_this_machine_only_where_that_is_said(tmp_path: Path) -> None:
    from safehold.assembly.vault_urls import open_vault
    from safehold.config import ConfigError, VaultConfig, parse
    from safehold.store.realdisk import RealDisk

    url = f"http://192.0.2.1:8470/v1/{'0' * 32}"
    vault = open_vault(VaultConfig("v", url, "sync"), tmp_path, RealDisk(), INSTALLATION)
    with pytest.raises(VaultDown, match="without TLS"):
        vault.size(MARK)
    with pytest.raises(ConfigError, match="without TLS"):
        parse(f'[vaults.v]\nurl = "{url}"\nmode = "sync"\n')
    assert parse(f'[vaults.v]\nurl = "{url}"\nmode = "sync"\ninsecure = true\n').vaults[0].insecure
    assert parse(f'[vaults.v]\nurl = "{url.replace("192.0.2.1", "127.0.0.1")}"\nmode = "sync"\n').vaults[0].is_server


def test_what_goes_over_a_link_is_counted(plain: HttpServer, guest: str) -> None:
    costs = Costs()
    link = HttpLink(lambda: plain.access(guest), costs=costs)
    link.ask(vaultwire.encode(HELLO))
    link.ask(vaultwire.encode(vaultwire.Append(A, 0, b"x" * 1000)))
    link.ask(vaultwire.encode(vaultwire.Get(A, 0, 1000)))
    assert (costs.writes, costs.reads, costs.failures) == (1, 2, 0)
    assert 1000 < costs.sent_bytes < 1300 and 1000 < costs.received_bytes < 1300
    with pytest.raises((NotSent, NoAnswer)):
        link.ask(b"rubbish")
    assert costs.failures == 1


def test_a_code_that_may_only_read_adds_no_vault_and_takes_no_others_token(plain: HttpServer, tmp_path: Path) -> None:
    known, code = plain.server.invite("reading", read_only=True)
    entropy = plain.server.entropy
    with pytest.raises(OperatorError, match="may only read"):
        redeem_code(code, tmp_path, RealDisk(), entropy, INSTALLATION, to_write=True)
    (tmp_path / "keys").mkdir()
    begun = f"{known.id}.token.{sha256(parse_code(code).secret).hexdigest()[:8]}.new"
    (tmp_path / "keys" / begun).touch(0o600)  # by a try that ended before it was written
    url = redeem_code(code, tmp_path, RealDisk(), entropy, INSTALLATION)
    assert url == f"{plain.config.url}/v1/{known.id}"
    token = tmp_path / "keys" / f"{known.id}.token"
    assert token.stat().st_mode & 0o777 == 0o600
    text = token.read_text()
    assert redeem_code(code, tmp_path, RealDisk(), entropy, INSTALLATION) == url  # from here it was used already
    _, again = plain.server.invite(again="reading", read_only=True)
    with pytest.raises(OperatorError, match="there is a token"):
        redeem_code(again, tmp_path, RealDisk(), entropy, INSTALLATION)
    assert token.read_text() == text
    with pytest.raises(OperatorError, match="does not take this code"):
        redeem_code(code, tmp_path / "elsewhere", RealDisk(), entropy, INSTALLATION)
    with pytest.raises(OperatorError, match="checksum"):
        redeem_code(code[:-1] + ("2" if code[-1] != "2" else "3"), tmp_path, RealDisk(), entropy, INSTALLATION)
