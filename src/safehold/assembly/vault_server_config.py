"""What a vault server is told in `server.toml`, in its folder."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from safehold import config as configuration
from safehold.config import Config, ConfigError, parse_listen, parse_public_url

FILE_NAME = "server.toml"
DEFAULT_PORT = 8470
_KEYS = ("listen", "url", "tls", "certificate", "key", "pinned", "reserve")
_HEADER = re.compile(r"\s*\[")
_SIZE = re.compile(r"(\d+)\s*([KMGT]i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

TEXT = """\
# A vault server of Safehold: it holds vaults of installations that run elsewhere, which can add to them and read them,
# and nothing else. It is read at its start.

[server]
listen = {listen}
url = {url}              # as its guests reach it: it stands in the codes that they are sent
tls = {tls}
certificate = {certificate}  # relative to this folder; made at the first start
key = {key}
pinned = {pinned}          # codes say by which key the server is known: no authority is needed, nor can one be fooled
reserve = "256 MiB"    # the last of the disk, which is kept free

[alarms]
# Who is told when a guest falls silent: see docs/alarms.md. Mail needs a section [mail].
webhooks = []
mail = []
command = ""
"""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`certificate` and `key` are None without TLS. `channels` has [alarms], [mail] and [log]."""

    host: str
    port: int
    url: str
    certificate: Path | None
    key: Path | None
    pinned: bool
    reserve_bytes: int
    channels: Config


def load_server(folder: Path) -> ServerConfig:
    """Raises ConfigError, OperatorError."""
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no vault server in {folder}", hint=f"make one: `safehold vault serve --folder {folder}`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse_server(text, folder)


def parse_server(text: str, folder: Path) -> ServerConfig:
    """Raises ConfigError."""
    where = str(folder / FILE_NAME)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {error}", hint="the file is TOML: see https://toml.io") from error
    channels = configuration.parse(_without_server(text), where)
    for section in tables:
        if section not in ("server", "alarms", "mail", "log"):
            raise ConfigError(f"{where}: [{section}] is no section of this file")
    values = tables.get("server", {})
    for key in values:
        if key not in _KEYS:
            raise ConfigError(f"{where}: server.{key} is not known", hint="known here: " + ", ".join(_KEYS))
    host, port = parse_listen(_text(values, "listen", f"0.0.0.0:{DEFAULT_PORT}", where))
    tls = _flag(values, "tls", True, where)
    return ServerConfig(
        host,
        port,
        parse_public_url(_text(values, "url", f"{'https' if tls else 'http'}://{host}:{port}", where)),
        folder / _text(values, "certificate", "tls/certificate.pem", where) if tls else None,
        folder / _text(values, "key", "tls/key.pem", where) if tls else None,
        _flag(values, "pinned", True, where) and tls,
        parse_bytes(_text(values, "reserve", "256 MiB", where)),
        channels,
    )


def parse_bytes(text: str) -> int:
    """`100GB`, `64 MiB`: powers of 1024, whatever the letters. Raises ConfigError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is no size", hint="write it as 100GB, 500MiB or 1TiB")
    return int(match[1]) * _UNITS[(match[2] or "")[:1].upper()]


def _without_server(text: str) -> str:
    """The other sections, in the lines where they stand."""
    kept, within = [], False
    for line in text.splitlines():
        if _HEADER.match(line):
            within = line.strip().startswith("[server]")
        kept.append("" if within else line)
    return "\n".join(kept)


def _text(values: dict[str, object], key: str, default: str, where: str) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: server.{key} needs a text in quotes")
    return value.strip()


def _flag(values: dict[str, object], key: str, default: bool, where: str) -> bool:
    value = values.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: server.{key} needs true or false")
    return value
