"""The configuration: its defaults, what it refuses and where it says the fault lies, and adding a vault to it."""

from __future__ import annotations

import re
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
    move_vaults,
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
        ('[log]\nformat = "xml"\n', 2, "log.format"),
        ('[log]\nlevel = "loud"\n', 2, "log.level"),
        ("[log]\naccess = 1\n", 2, "log.access"),
        ("[auth]\nwindow_seconds = '1 minute'\n", 2, "auth.window_seconds"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "here.toml")
    assert f"here.toml, line {line}: " in caught.value.message
    assert named in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://dav.example.org", "https://dav.example.org"),
        ("https://DAV.example.org:443/", "https://dav.example.org"),
        (" http://192.0.2.1:80 ", "http://192.0.2.1"),
        ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080"),
        ("", ""),
    ],
)
def test_the_public_url_in_its_shortest_form(text: str, url: str) -> None:
    assert parse(f"[serve]\npublic_url = {text!r}\n").public_url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dav.example.org", "does not begin with https://"),
        ("ftp://dav.example.org", "does not begin with https://"),
        ("https://", "no host"),
        ("https://a b", "no host"),
        ("https://dav.example.org:99999", "not a URL"),
        ("https://dav.example.org:x", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://ada:secret@dav.example.org", "user name"),
        ("https://dav.example.org/safehold", "goes on after the host"),
        ("https://dav.example.org/?x", "goes on after the host"),
    ],
)
def test_what_cannot_be_a_public_url(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        parse(f"[serve]\npublic_url = '{text}'\n", "here.toml")
    assert "here.toml, line 2: serve.public_url" in caught.value.message
    assert caught.value.hint


def test_proxies_are_addresses_networks_and_sockets() -> None:
    proxies = parse("[serve]\ntrusted_proxies = ['127.0.0.1', '::1', '10.0.0.0/8', 'unix:']\n").trusted_proxies
    for peer in ("127.0.0.1", "::1", "10.255.0.1", "::ffff:10.0.0.1", "", "unix:/run/x"):
        assert proxies.trusts(peer)
    for peer in ("127.0.0.2", "11.0.0.1", "2001:db8::1", "nonsense"):
        assert not proxies.trusts(peer)
    assert not Config().trusted_proxies.trusts("127.0.0.1"), "by default nobody is believed"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("'127.0.0.1'", "needs a list"),
        ("[1]", "needs a list"),
        ("['localhost']", "'localhost' cannot be used"),
        ("['10.0.0.1/8']", "the network is 10.0.0.0/8"),
        ("['']", "cannot be used"),
        ("['0.0.0.0/0']", "is everybody"),
        ("['::/0']", "is everybody"),
    ],
)
def test_what_cannot_be_a_proxy(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        parse(f"[serve]\ntrusted_proxies = {value}\n", "here.toml")
    assert "here.toml, line 2: serve.trusted_proxies" in caught.value.message
    assert caught.value.hint


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


TWO = """
[vaults.near]
url = "folder:/mnt/near"  # a disk
mode = "sync"
[auth]
failures = 3
[vaults.auth]
url = 'folder:/mnt/auth'
mode = "sync"
"""


def test_vaults_get_other_places_and_the_rest_stays() -> None:
    text = move_vaults(TWO, {"near": "folder:/new"}, ["auth"])
    assert parse(text).vaults == (VaultConfig("near", "folder:/new", "sync"),)
    assert parse(text).auth_failures == 3
    assert "# url = 'folder:/mnt/auth'" in text
    assert move_vaults(DEFAULT_TEXT, {}) == DEFAULT_TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[limits]\nquota = 7000\n",
        '[vaults]\nnear = {url = "folder:a", mode = "sync"}\nfar = {url = "folder:b"}\n[limits]\nquota = 7000\n',
        'vaults.near.url = "folder:a"\nvaults.near.mode = "sync"\n[vaults.far]\nurl = "folder:b"\n',
        '[ vaults . "near" ]\nmode = "sync"\nurl="folder:a"\n\n[vaults.far]\nurl = "folder:b"',
    ],
)
def test_however_the_vaults_are_written_down(text: str) -> None:
    moved = parse(move_vaults(text, {"near": "folder:/new"}))
    assert moved.vaults == (VaultConfig("near", "folder:/new", "sync"), parse(text).vaults[1])
    assert moved.quota_bytes == parse(text).quota_bytes
    assert [v.name for v in parse(move_vaults(text, {"near": "folder:/new"}, ["far"])).vaults] == ["near"]
