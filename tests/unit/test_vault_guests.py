"""Codes and tokens of a vault server's guests are seen and taken back; a record that cannot be read lets nobody in."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from safehold.adapters.vault_http import join
from safehold.assembly.vault_server_alarms import ServerAlarms
from safehold.cli.main import main
from safehold.formats.vaultcode import VaultCode, parse_code
from safehold.model.errors import OperatorError
from safehold.ports.link import NotSent
from safehold.vault.http_guests import CODE_HOURS
from tests.support.logs import INSTALLATION
from tests.support.vault_http import TOKEN, HttpServer

OTHER_TOKEN = bytes(range(64, 96))
HOUR = 3600 * 1_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    found = HttpServer(tmp_path / "server", tls=False)
    found.start()
    yield found
    found.stop()


def listed(server: HttpServer, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["vault", "guests", "--folder", str(server.server.folder), "--json", *words]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def shown(server: HttpServer, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["vault", "guests", "--folder", str(server.server.folder), *words]) == code
    return capsys.readouterr().out


def redeem(code: VaultCode, token: bytes = TOKEN) -> None:
    join(f"{code.address}/v1/{code.guest.hex()}", code.pin, code.secret, INSTALLATION, sha256(token).digest())


def test_codes_that_were_not_used_are_listed_and_taken_back(
    server: HttpServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    guests, clock = server.server.guests, server.server.clock
    _, text = server.server.invite("ada")
    _, second = server.server.invite(again="ada", read_only=True)
    one, other = parse_code(text), parse_code(second)
    server.host.refresh()
    (ada,) = listed(server, capsys)["guests"]
    assert [code["may_append"] for code in ada["codes"]] == [True, False]
    for code in ada["codes"]:
        assert abs(code["made"] - clock.now()) < HOUR
        assert code["until"] - code["made"] == CODE_HOURS * HOUR
    # What is shown opens nothing.
    said = shown(server, capsys)
    for whole, parsed in ((text, one), (second, other)):
        assert sha256(parsed.secret).hexdigest()[:12] in said
        assert whole not in said and parsed.secret.hex() not in said + json.dumps(ada)
    with pytest.raises(NotSent):
        redeem(one._replace(secret=bytes.fromhex(ada["codes"][0]["code"])[:16]))
    assert "1 code" in shown(server, capsys, "--revoke", ada["codes"][0]["code"][:12])
    with pytest.raises(NotSent, match="does not take this code"):
        redeem(one)
    redeem(other, OTHER_TOKEN)
    (ada,) = listed(server, capsys)["guests"]
    assert not ada["codes"] and len(ada["tokens"]) == 1  # one was used, and one is gone
    server.server.invite(again="ada")
    late = clock.now() + (CODE_HOURS + 1) * HOUR
    monkeypatch.setattr(clock, "now", lambda: late)
    assert not guests.open_codes(guests.find("ada"))


def test_all_that_opens_a_guests_vault_is_taken_back_at_once(
    server: HttpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    guest = server.invite("ada")
    assert server.invite("ada", token=OTHER_TOKEN, read=True) == guest
    bob = server.invite("bob", token=bytes(32))
    left = parse_code(server.server.invite(again="ada")[1])
    vault, reader = server.vault(guest), server.vault(guest, OTHER_TOKEN)
    assert vault.put("keys/kept", [b"kept"]) and reader.available()
    answer = listed(server, capsys, "--revoke-all", "ada")
    assert [(g["name"], len(g["tokens"]), g["codes"]) for g in answer["guests"]] == [("ada", 0, []), ("bob", 1, [])]
    server.host.refresh()
    assert not vault.available() and not reader.available() and server.vault(bob, bytes(32)).available()
    with pytest.raises(NotSent):
        redeem(left)
    assert listed(server, capsys, "--revoke-all", "eve", code=2)["error"]
    # Its place is kept: a further code lets the installation in again, with another token.
    again = parse_code(server.server.invite(again="ada")[1])
    redeem(again, bytes([9]) * 32)
    assert server.vault(guest, bytes([9]) * 32).get("keys/kept") == b"kept"


@pytest.mark.parametrize("how", ["torn", "empty", "not ours", "gone"])
def test_a_record_that_cannot_be_read_lets_nobody_in(
    server: HttpServer, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, how: str
) -> None:
    guest, bob = server.invite("ada"), server.invite("bob", token=bytes(32))
    vault = server.vault(guest)
    assert vault.available()
    alarms = ServerAlarms(server.server, server.config)
    assert not alarms.look()
    code = parse_code(server.server.invite(again="ada")[1])
    record = server.folder(guest).parent / "guest.json"
    good = record.read_bytes()
    if how == "gone":
        record.unlink()
    else:
        record.write_bytes({"torn": good[: len(good) // 2], "empty": b"", "not ours": b'{"made": "x"}'}[how])
    with caplog.at_level(logging.ERROR):
        server.host.refresh()
        server.host.refresh()
    assert not vault.available() and server.vault(bob, bytes(32)).available()
    with pytest.raises(NotSent):
        redeem(code, OTHER_TOKEN)
    assert [line for line in caplog.messages if guest in line and "nobody is let in" in line] == [caplog.messages[0]]
    assert [t.alarm.what for t in alarms.look()] == ["guest closed"]
    with pytest.raises(OperatorError, match="cannot be read"):  # what is there is not written over
        server.server.guests.revoke_all("ada")
    if how != "gone":
        said = listed(server, capsys, code=1)
        assert [one["guest"] for one in said["closed"]] == [guest]
        assert "nobody is let in" in shown(server, capsys, code=1)
    record.write_bytes(good)
    server.host.refresh()
    assert vault.available()
    assert not server.server.guests.closed and not alarms.look()
