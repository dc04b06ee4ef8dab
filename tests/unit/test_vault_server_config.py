"""What a vault server is told, and its commands on a folder that nobody serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly.vault_server import ServerFolder
from safehold.assembly.vault_server_config import FILE_NAME, load_server, parse_bytes, parse_server
from safehold.cli.main import main
from safehold.config import ConfigError
from safehold.formats.vaultcode import parse_code
from safehold.model.errors import OperatorError


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["--json", "vault", *words])
    out = capsys.readouterr().out
    return code, json.loads(out) if out.strip() else {}


def test_what_is_made_at_first_can_be_read_and_is_left_as_it_is(tmp_path: Path) -> None:
    server = ServerFolder(tmp_path / "v")
    made = server.make(listen="0.0.0.0:9000", url="https://backup.example.org:9000")
    assert (made.host, made.port, made.url) == ("0.0.0.0", 9000, "https://backup.example.org:9000")
    assert made.pinned and made.certificate is not None and made.key is not None and made.certificate.exists()
    assert made.key.stat().st_mode & 0o777 == 0o600
    pin = server.pin(made)
    again = server.make(listen="127.0.0.1:1", url="http://other", tls=False)
    assert again == made and server.pin(again) == pin
    assert ServerFolder(tmp_path / "w").make(tls=False).pinned is False
    own = ServerFolder(tmp_path / "x").make(certificate=str(made.certificate), key=str(made.key))
    assert not own.pinned and own.certificate == made.certificate


def test_a_key_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    server = ServerFolder(tmp_path / "v")
    made = server.make(url="https://backup.example.org:9000")
    assert made.certificate is not None and made.key is not None
    key, pin = made.key.read_bytes(), server.pin(made)
    made.certificate.unlink()
    assert server.pin(server.make()) == pin and made.key.read_bytes() == key
    missing = tmp_path / "missing.pem"
    with pytest.raises(OperatorError, match="is not there"):
        ServerFolder(tmp_path / "x").make(certificate=str(missing), key=str(made.key))
    assert made.key.read_bytes() == key and not missing.exists()
    made.certificate.unlink()
    made.key.write_text("no key")
    with pytest.raises(OperatorError, match="cannot be read"):
        server.make()
    assert made.key.read_text() == "no key"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nlisten = 8470", "listen needs a text"),
        ('[server]\nlisten = "8470"', "is not HOST:PORT"),
        ('[server]\nurl = "ftp://x"', "does not begin with https"),
        ('[server]\ntls = "yes"', "tls needs true or false"),
        ('[server]\nlisen = "x"', "server.lisen is not known"),
        ('[server]\nreserve = "much"', "is no size"),
        ("[brakes]\nerasures = 3", r"\[brakes\] is no section"),
        ("[server", "server.toml"),
        ('[server]\n\n[alarms]\nwebhooks = ["nowhere"]', "line 4"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_server(text, tmp_path)


def test_sizes() -> None:
    assert [parse_bytes(text) for text in ("0", "100", "2 KiB", "3MB", "1GiB", "2tb")] == [
        *(0, 100, 2048, 3 << 20, 1 << 30, 2 << 40),
    ]
    for text in ("", "-1", "1 PB", "1.5GB", "GB"):
        with pytest.raises(ConfigError):
            parse_bytes(text)


def test_guests_are_invited_listed_and_their_tokens_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ("--folder", str(tmp_path / "v"))
    assert run(capsys, "guests", *folder)[0] == 2  # it is not there
    code, ada = run(capsys, "invite", *folder, "--name", "ada", "--quota", "1GB", "--dead-man", "90m")
    assert code == 0 and parse_code(ada["code"]).guest.hex() == ada["guest"]
    assert run(capsys, "invite", *folder, "--name", "ada")[0] != 0
    assert run(capsys, "invite", *folder, "--for", "eve")[0] != 0
    assert run(capsys, "invite", *folder, "--quota", "much")[0] == 2
    assert run(capsys, "invite", *folder, "--dead-man", "soon")[0] == 2
    _, again = run(capsys, "invite", *folder, "--for", "ada", "--read", "--url", "https://other.example.org")
    assert again["guest"] == ada["guest"] and again["code"] != ada["code"]
    parsed = parse_code(again["code"])
    assert parsed.read_only and parsed.address == "https://other.example.org"
    server = ServerFolder(tmp_path / "v")
    assert server.guests.redeem(ada["guest"], parsed.secret, bytes(16), bytes(32)) is not None
    _, listed = run(capsys, "guests", *folder)
    (guest,) = listed["guests"]
    assert (guest["name"], guest["quota_bytes"], guest["dead_man_seconds"]) == ("ada", 1 << 30, 5400)
    assert guest["installation"] == "00" * 16 and [t["may_append"] for t in guest["tokens"]] == [False]
    assert run(capsys, "guests", *folder, "--revoke", "ff")[0] != 0
    code, listed = run(capsys, "guests", *folder, "--revoke", "00000000")
    assert code == 0 and listed["guests"][0]["tokens"] == []
    assert load_server(tmp_path / "v").url and (tmp_path / "v" / FILE_NAME).exists()
    for _ in range(14):
        assert run(capsys, "invite", *folder, "--for", "ada")[0] == 0
    assert run(capsys, "invite", *folder, "--for", "ada")[0] != 0  # so many codes are enough
