"""The configuration: its defaults, what it refuses and where it says the fault lies, and adding a vault to it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.config import (
    DEFAULT_TEXT,
    DEFAULT_VAULTS,
    MIB,
    Config,
    ConfigError,
    VaultConfig,
    add_vault,
    load,
    parse,
    parse_listen,
    write_default,
)


def test_the_text_that_is_written_at_first_use_says_the_defaults() -> None:
    assert parse(DEFAULT_TEXT) == parse("") == Config()


def test_default_vaults_are_near_and_far_in_the_data_folder() -> None:
    near, far = Config().vaults
    assert (near.mode, far.mode) == ("sync", "async")
    assert near.folder(Path("/data")) == Path("/data/vaults/near")
    assert far.folder(Path("/data")) == Path("/data/vaults/far")
    assert VaultConfig("usb", "folder:/media/usb", "async").folder(Path("/data")) == Path("/media/usb")


def test_a_missing_file_means_the_defaults_and_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "safehold.toml"
    assert load(path) == Config()
    assert write_default(path)
    path.write_text("[limits]\nmax_object = 4096\n")
    assert not write_default(path)
    assert load(path).max_object_bytes == 4096


def test_values_are_taken() -> None:
    config = parse(
        """
        [serve]
        listen = "[::1]:9000"
        [vaults.a]
        url = "folder:/srv/a"
        mode = "sync"
        [vaults.b]
        url = "folder:b"
        [limits]
        max_object = "2 MiB"
        max_file = "1GiB"
        max_request = 65536
        quota = "50 GiB"
        [auth]
        failures = 3
        remember_seconds = 0
        """
    )
    assert (config.listen_host, config.listen_port) == ("::1", 9000)
    assert config.vaults == (VaultConfig("a", "folder:/srv/a", "sync"), VaultConfig("b", "folder:b", "async"))
    assert (config.max_object_bytes, config.max_file_bytes, config.max_request_bytes) == (2 * MIB, 1024 * MIB, 65536)
    assert config.quota_bytes == 50 * 1024 * MIB
    assert parse("[limits]\nquota = 0").quota_bytes == 0
    assert (config.auth_failures, config.auth_window_seconds, config.auth_remember_seconds) == (3, 60, 0)


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ("[serve]\nlisten = '127.0.0.1:1'\nport = 1\n", 3, "serve.port"),
        ("\n[server]\nlisten = 'x'\n", 2, "server"),
        ("listen = 'x'\n", 1, "listen"),
        ("[serve]\nlisten = 8460\n", 2, "serve.listen"),
        ("[serve]\n# one\nlisten = 'nowhere'\n", 3, "serve.listen"),
        ("[vaults.near]\nurl = 'folder:n'\nmode = 'sync'\nmodes = 'sync'\n", 4, "vaults.near.modes"),
        ("[vaults.near]\nmode = 'sync'\n", 1, "vaults.near"),
        ("[vaults.near]\nurl = 's3://bucket'\nmode = 'sync'\n", 1, "vaults.near"),
        ("[vaults.near]\nurl = 'folder:n'\nmode = 'slow'\n", 1, "vaults.near"),
        ("[vaults.Near]\nurl = 'folder:n'\nmode = 'sync'\n", 1, "vaults.Near"),
        ("[vaults.far]\nurl = 'folder:n'\nmode = 'async'\n", 1, "vaults"),
        (
            "[vaults.a]\nurl='folder:n'\nmode='sync'\n[vaults.b]\nurl='folder:./n'\n[vaults.c]\nurl='folder:n/'\n",
            6,
            "c",
        ),
        ("[limits]\nmax_object = '1 MB'\n", 2, "limits.max_object"),
        ("[limits]\nmax_object = true\n", 2, "limits.max_object"),
        ("[limits]\nmax_file = 0\n", 2, "limits.max_file"),
        ("[auth]\nfailures = 0\n", 2, "auth.failures"),
        ("[auth]\nwindow_seconds = '1 minute'\n", 2, "auth.window_seconds"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "here.toml")
    assert f"here.toml, line {line}: " in caught.value.message
    assert named in caught.value.message
    assert caught.value.exit_code == 2


def test_broken_toml_is_an_error_of_the_file() -> None:
    with pytest.raises(ConfigError, match=r"here\.toml: .*line 1"):
        parse("[serve\n", "here.toml")


def test_bytes_that_are_no_text_are_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "safehold.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize("text", ["", "8460", ":8460", "host:", "host:x", "host:70000", "::1:80", "[::1]", "[host]:80"])
def test_no_place_to_listen(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_listen(text)


def test_a_vault_is_added_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "safehold.toml"
    usb = VaultConfig("usb", "folder:/media/usb", "async")
    config = add_vault(path, usb)
    assert config.vaults == (*DEFAULT_VAULTS, usb)
    assert path.read_text().startswith(DEFAULT_TEXT.rstrip())
    assert load(path) == config
    assert add_vault(path, usb) == config


def test_adding_a_vault_to_a_file_without_any_keeps_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "safehold.toml"
    path.write_text("# mine\n[limits]\nmax_object = 4096")
    config = add_vault(path, VaultConfig("usb", "folder:/media/usb", "async"))
    assert [vault.name for vault in config.vaults] == ["near", "far", "usb"]
    assert config.max_object_bytes == 4096
    assert path.read_text().startswith("# mine\n")


def test_a_name_that_stands_for_another_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "safehold.toml"
    with pytest.raises(ConfigError, match="near is already"):
        add_vault(path, VaultConfig("near", "folder:/elsewhere", "sync"))
    assert path.read_text() == DEFAULT_TEXT


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1))
def test_any_path_of_a_vault_survives_the_file(tail: str) -> None:
    from safehold.config import _vault_text

    written = tomllib.loads(_vault_text(VaultConfig("v", "folder:" + tail, "async")))
    assert written["vaults"]["v"]["url"] == "folder:" + tail
