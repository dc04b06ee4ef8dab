"""The configuration: one frozen value, parsed once from `safehold.toml`.

Everything has a default, so an empty file is a good one. A key that is not known is an error that names it and
its line: a misspelt setting that is silently ignored is a setting that somebody believes in.

Long, as each setting is described, checked and told in one place; nothing here can be used without the rest.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from safehold.model.errors import BadRequest, OperatorError
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.mail import check_address
from safehold.proof.durations import parse_duration
from safehold.proof.objectives import AGES, DEFAULT_OBJECTIVES, PROMISES, Objectives, Targets
from safehold.proof.surprises import SURPRISES
from safehold.protocol.forwarded import NOBODY, UNIX, Proxies, is_host, read_proxies
from safehold.recovery.retention import DEFAULT_POLICY, Policy, parse_policy, policy_text
from safehold.service.brakes import DEFAULT_BRAKES, BrakeLimits

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

FILE_NAME = "safehold.toml"
MODES = ("sync", "async")
#: What a start does where the core has to be recovered.
AUTOMATIC, ASK = "automatic", "ask"
#: How a connection to the mail server is encrypted.
MAIL_TLS = ("starttls", "tls", "none")
MAIL_KEYS = ("host", "port", "tls", "user", "password_file", "from", "operator", "vault_down_minutes")
#: How the log is written, and from which level on; the first of each is the default.
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("info", "debug", "warning", "error")
#: Schemes of vault URLs: a folder, or the socket of a keeper; the path is absolute or relative to the data folder.
FOLDER_SCHEME = "folder:"
KEEPER_SCHEME = "keeper:"
#: A vault server's: https://HOST:PORT/v1/GUEST, or http:// to one on this machine.
SERVER_SCHEMES = ("https:", "http:")
#: An S3 store's: s3:BUCKET/PREFIX.
S3_SCHEME = "s3:"
SCHEMES = (FOLDER_SCHEME, KEEPER_SCHEME, *SERVER_SCHEMES, S3_SCHEME)

_SERVER_URL = re.compile(r"https?://[^/?#@\s]+/v1/([0-9a-f]{32})")
_PIN = re.compile(r"sha256:[0-9a-f]{64}")
#: Keys of a vault that is at a server.
_VAULT_KEYS = ("token_file", "certificate", "insecure")
_S3_URL = re.compile(r"s3:[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)*(@\d{8}T\d{6}Z)?")
#: Keys of a vault that is in a bucket.
S3_KEYS = ("endpoint", "region", "credentials_file", "lock_days", "batch_seconds", "batch_bytes", "keep")
#: What a keeper does in a bucket: nothing, say what it holds, or remove what is old besides.
S3_KEEP = ("", "attest", "retain")
_VAULT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_PARITY = re.compile(r"([0-9]{1,3})\+([0-9]{1,3})", re.ASCII)
MAX_PARITY_COLUMNS = 255
_SIZE = re.compile(r"(\d+)\s*(KiB|MiB|GiB)?")
_UNITS = {None: 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_-]+))\s*[=.]""")

DEFAULT_TEXT = """\
# Safehold's configuration. Every key may be left out; what stands here are the defaults.
# A running service reads it at its start.

[serve]
# Where `safehold serve` listens. Put a proxy with TLS before it to reach it from other machines.
listen = "127.0.0.1:8460"

# Under which address people and devices reach the server, as https://dav.example.org. Pages, profiles and QR codes
# show it. Empty: the address that each visitor has used.
public_url = ""

# Proxies whose headers (Forwarded, X-Forwarded-For, -Proto, -Host) are believed when they tell who asks: addresses,
# networks, and "unix:" for a socket. For a proxy with TLS on this machine: ["127.0.0.1", "::1"]. Empty: nobody's.
trusted_proxies = []

# Vaults hold every change, encrypted and signed, so that the core can be lost and rebuilt.
# A change is answered only once every vault in mode "sync" holds it; "async" vaults follow within moments.
# url: "folder:PATH", PATH absolute or relative to the data folder. Put them on disks that do not fail together.
# Or "keeper:PATH": the socket of a keeper that holds the vault as another user, so that nothing here can harm it.
# Or "s3:BUCKET/PREFIX": a bucket at any S3 store; docs/s3.md says what it takes, and how it is made safe.
# Or "https://HOST:PORT/v1/GUEST": a vault server elsewhere, as `safehold vault add NAME CODE` enters it.
# parity = "10+2": a folder's vault also holds parity, from which it is mended without another vault.
[vaults.near]
url = "folder:vaults/near"
mode = "sync"

[vaults.far]
url = "folder:vaults/far"
mode = "async"

[limits]
max_object = "1 MiB"   # one contact, event, task or journal entry
max_file = "4 GiB"     # one note or photo
max_request = "8 MiB"  # an XML or JSON request: a phone that asks for all its items by name needs room
quota = 0              # all that one account holds now, its history not counted: "50 GiB" for instance; 0: no limit

[snapshots]
# A running service writes what is new as sorted runs into the vaults, so that a recovery need not read all of the log.
tail = "16 MiB"        # when the log has grown by so much (or by a quarter of all runs, where that is more) …
hours = 24             # … or after so many hours, if anything was changed

[recovery]
# What `safehold serve` does where the core is missing or damaged, a vault holds it and the key is at hand:
# "automatic" recovers it while serving, what is asked for first; "ask" says what would come back, and ends.
start = "automatic"

[retention]
# What is older goes from the vaults, once a keeper has attested by replay that newer generations hold all that lives
# and all history since. Age is counted by the keeper's attestations, not by anybody's clock.
history_days = 90      # superseded and deleted things can be brought back for so long
generations = "7 daily, 4 weekly, 12 monthly"  # generations kept besides, each a whole state to fall back on

[keeper]
# A running service scrubs, attests and retains its own vaults in a process of low priority, where the keeper's key and
# the identity lie beside the core.
hours = 24             # so often; 0: never, because a keeper elsewhere does it

[objectives]
# What this service promises itself: status says whether each is met, at risk or violated, as measured and as forecast
# from drills. Durations as "30s", "15m", "4h", "7d"; "" for none.
rpo = "60s"            # at most so much may be lost where the core is, and all that fails together with it
rto = "4h"             # everything is back within
first_contact = "60s"  # somebody's contacts are back within
# Evidence is never older; how often vaults are scrubbed, kept and drilled follows from it.
scrub = "7d"           # each vault read whole, every byte checked
replay = "7d"          # a generation replayed and attested, by a keeper
drill = "7d"           # all of it recovered, compared and served
# Of a kind (contacts, calendar, notes, tasks, photos, scores) rpo, rto and first_contact may be others:
# [objectives.photos]
# rto = "2d"

[core]
# A running service reads its whole core once a day, and mends what it finds damaged from the vaults.
check_mb_per_second = 1  # at this pace; 0: never

[brakes]
# What devices delete is deleted at once. Where that is a great share of a collection within a while, the person is told
# and can bring all of it back with one click. What would remove as much otherwise (an undo) has to be confirmed.
share_percent = 25     # of what was there …
least_items = 20       # … where that was at least so many items …
window_minutes = 60    # … within so many minutes
# So many accounts are erased at once within that time. Those beyond are locked, and erased after so many days, until
# when `safehold account restore` takes them back. 0 days: all are erased at once.
erasures = 3
grace_days = 7

[status]
# A folder into which a running service writes what /status says, as index.html, index.es.html, status.json and
# status.atom, for another web server or a bucket to publish: it is read when this machine is down. Empty: nowhere.
file = ""

[mail]
# A mail server that takes messages to the operator, and to people who have left an address. Empty host: no mail.
host = ""
port = 587
tls = "starttls"       # or "tls" from the first byte (port 465), or "none"
user = ""              # empty: without signing in
password_file = ""     # a file that holds the password, absolute or relative to the data folder
from = ""              # for instance "safehold@example.org"
operator = ""          # who is told of recoveries, losses and vaults that are down
vault_down_minutes = 30  # a vault is told of after so long

[drills]
# What `safehold drill surprise` may break, to see whether people get it right again, and how fast: "async vault away",
# "service stopped", "core moved aside". Each is put back at the end of the drill, or by its runbook.
surprise = []

[alarms]
# Who is told when something is wrong, beyond the page: of what, and in which shape, docs/alarms.md says.
webhooks = []          # URLs that are sent each alarm as JSON
mail = []              # addresses, written to through [mail]
command = ""           # a program with its arguments, given each alarm as JSON on its standard input
heartbeat = ""         # a URL that is fetched while all is well, so that an outside monitor misses it when it is not …
heartbeat_seconds = 60 # … so often
test_days = 30         # all channels are tested at least so often
silent_minutes = 45    # a keeper: after so long without a word from the service it alarms

[auth]
failures = 10          # wrong passwords that one place may send for one account …
window_seconds = 60    # … within so many seconds, before it has to wait
remember_seconds = 300 # how long a password that was right is not hashed again

[log]
# On standard error. Names of accounts and items stand in it at level "debug" only.
format = "text"        # or "json": one object a line
level = "info"         # or "debug", "warning", "error"
access = false         # a line for each request
"""


@dataclass(frozen=True, slots=True)
class S3Options:
    """How a bucket is reached and used. What is "" comes from the environment (AWS_…)."""

    endpoint: str = ""
    region: str = ""
    credentials_file: str = ""  # absolute or relative to keys/
    lock_days: int = 0  # the retention that the bucket is to give whatever is put; 0: none is asked for
    batch_seconds: int = 1  # what is written within so long travels as one object …
    batch_bytes: int = 256 * KIB  # … unless so much is waiting
    keep: str = ""  # one of S3_KEEP: what the keeper of this folder does there


@dataclass(frozen=True, slots=True)
class VaultConfig:
    """A vault by name: `url` is of one of SCHEMES, `mode` is sync (written ahead) or async (follows).

    Of a vault server: where its token lies, relative to keys/ ("": a file by the guest's name), which key it must show
    ("": what its token's file says; a PEM file, or sha256:HEX), and whether plain http may leave this machine.

    `parity` of a folder: k and m, so that of k + m columns any m may be lost; None for none.
    """

    name: str
    url: str
    mode: str
    token_file: str = ""
    certificate: str = ""
    insecure: bool = False
    s3: S3Options = S3Options()
    parity: tuple[int, int] | None = None

    @property
    def scheme(self) -> str:
        return next(scheme for scheme in SCHEMES if self.url.startswith(scheme))

    @property
    def is_folder(self) -> bool:
        return self.scheme == FOLDER_SCHEME

    @property
    def is_s3(self) -> bool:
        return self.scheme == S3_SCHEME

    @property
    def is_server(self) -> bool:
        """Whether it is reached over the network."""
        return self.scheme in SERVER_SCHEMES

    @property
    def guest(self) -> str:
        """What a vault server calls the installation."""
        assert self.is_server, self.url
        return self.url.rpartition("/")[2]

    def token_path(self, data: Path) -> Path:
        return data / "keys" / (self.token_file or f"{self.guest}.token")

    def place(self, data: Path) -> Path:
        """The folder, or the keeper's socket, that the URL names; a relative path lies in the data folder."""
        assert not self.is_server, self.url
        return data / self.url.removeprefix(self.scheme)

    def folder(self, data: Path) -> Path:
        """The folder that a `folder:` URL names."""
        assert self.is_folder, self.url
        return self.place(data)


DEFAULT_VAULTS = (
    VaultConfig("near", "folder:vaults/near", "sync"),
    VaultConfig("far", "folder:vaults/far", "async"),
)


@dataclass(frozen=True, slots=True)
class MailConfig:
    """The mail server, and who is written to. Without a `host` there is no mail."""

    host: str = ""
    port: int = 587
    tls: str = "starttls"
    user: str = ""
    password_file: str = ""  # absolute or relative to the data folder
    sender: str = ""
    operator: str = ""
    vault_down_minutes: int = 30


@dataclass(frozen=True, slots=True)
class AlarmConfig:
    """Where alarms go. Nowhere by default: then they stand on the page and in `status` alone."""

    webhooks: tuple[str, ...] = ()
    mail: tuple[str, ...] = ()
    command: tuple[str, ...] = ()  # argv
    heartbeat: str = ""
    heartbeat_seconds: int = 60
    test_days: int = 30
    silent_minutes: int = 45

    @property
    def any(self) -> bool:
        """Whether somebody is told."""
        return bool(self.webhooks or self.mail or self.command)


@dataclass(frozen=True, slots=True)
class LogConfig:
    """How the log is written, and how much of it. `access`: a line for each request."""

    format: str = LOG_FORMATS[0]
    level: str = LOG_LEVELS[0]
    access: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of an installation. Sizes in bytes, durations in seconds."""

    listen_host: str = "127.0.0.1"
    listen_port: int = 8460
    public_url: str = ""  # scheme, host and port, without a slash at its end; "": as each visitor reaches it
    trusted_proxies: Proxies = NOBODY
    vaults: tuple[VaultConfig, ...] = DEFAULT_VAULTS
    max_object_bytes: int = MIB
    max_file_bytes: int = 4 * GIB
    max_request_bytes: int = 8 * MIB
    quota_bytes: int = 0  # 0: no limit
    snapshot_tail_bytes: int = 16 * MIB
    snapshot_hours: int = 24
    recovery_start: str = AUTOMATIC  # or ASK: whether `serve` recovers by itself
    retention: Policy = DEFAULT_POLICY
    keeper_hours: int = 24  # 0: never
    keeper_pull: tuple[str, ...] = ()  # of a keeper's own folder: URLs of the vaults that it copies
    keeper_socket: str = ""  # of a keeper's own folder: where it serves its vault; "": nowhere
    keeper_users: tuple[str, ...] = ()  # names or numbers of users that may connect there; its own and root always may
    core_check_bytes: int = MIB  # a second; 0: never
    status_folder: str = ""  # absolute or relative to the data folder; "": the status is not published
    mail: MailConfig = MailConfig()
    alarms: AlarmConfig = AlarmConfig()
    brakes: BrakeLimits = DEFAULT_BRAKES
    surprises: tuple[str, ...] = ()  # what a surprise drill may break: of proof.surprises.SURPRISES
    objectives: Objectives = DEFAULT_OBJECTIVES
    auth_failures: int = 10
    auth_window_seconds: int = 60
    auth_remember_seconds: int = 300
    log: LogConfig = LogConfig()
    #: The text it was parsed from: it travels in the identity stream, so that a bare machine gets it back.
    text: str = field(default=DEFAULT_TEXT, compare=False, repr=False)


class ConfigError(OperatorError):
    """The configuration cannot be used as it stands; the message names file, line and key."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, exit_code=2)


def load(path: Path) -> Config:
    """The configuration in a file; the defaults where there is none. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse(text, str(path))


def write_default(path: Path) -> bool:
    """Write the defaults with their comments, durably; False, and nothing done, where the file is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return False
    _replace(path, DEFAULT_TEXT)
    return True


def add_vault(path: Path, vault: VaultConfig) -> Config:
    """Enter a further vault at the end of the file; nothing is done where it stands there already.

    Raises ConfigError where the name stands for another URL or mode.
    """
    write_default(path)
    config = load(path)
    for known in config.vaults:
        if known.name == vault.name:
            if known == vault:
                return config
            raise ConfigError(
                f"the vault {vault.name} is already in {path} as {known.url} ({known.mode})",
                hint="choose another name, or edit the file",
            )
    text = config.text
    if "vaults" not in tomllib.loads(text):
        # The defaults stood for the section that is about to appear: write them down, or they would be gone.
        text = "".join([text.rstrip("\n"), "\n", *map(_vault_text, config.vaults)])
    text = text.rstrip("\n") + "\n" + _vault_text(vault)
    changed = parse(text, str(path))
    _replace(path, text)
    return changed


def move_vaults(text: str, moved: Mapping[str, str], left_out: Collection[str] = ()) -> str:
    """The text with other URLs for these vaults; sections of those that are left out become comments.

    Where a URL does not stand on a line of its own below `[vaults.NAME]`, all of the vaults are written anew, and what
    stood there becomes comments. So do the options of one that is of another sort afterwards. Raises ConfigError where
    the text is none, or cannot be changed so.
    """
    config = parse(text)
    vaults = tuple(_moved(v, moved.get(v.name, v.url)) for v in config.vaults)
    others = {f"vaults.{v.name}" for v, there in zip(config.vaults, vaults, strict=True) if v.scheme != there.scheme}
    wanted = replace(config, vaults=tuple(v for v in vaults if v.name not in left_out))
    urls = {f"vaults.{name}": f"url = {json.dumps(url, ensure_ascii=False)}" for name, url in moved.items()}
    gone = {f"vaults.{name}" for name in left_out}

    def in_place(section: str, key: str, line: str) -> str:
        if section in urls and key == "url":
            return urls[section]
        return _comment(line) if section in gone or (section in others and key not in ("", "mode")) else line

    def anew(section: str, key: str, line: str) -> str:
        return _comment(line) if f"{section}.{key}".lstrip(".").split(".")[0] == "vaults" else line

    for edited in (_edited(text, in_place), _edited(text, anew) + "".join(map(_vault_text, wanted.vaults))):
        with suppress(ConfigError):
            if parse(edited) == wanted:
                return edited
    raise ConfigError("the vaults of this configuration cannot be given other places", hint="edit it by hand")


def _moved(vault: VaultConfig, url: str) -> VaultConfig:
    there = replace(vault, url=url)
    return there if there.scheme == vault.scheme else VaultConfig(vault.name, url, vault.mode)


def _edited(text: str, edit: Callable[[str, str, str], str]) -> str:
    """The text with each line as `edit` gives it, called with the section and the key it stands in."""
    lines, section = [], ""
    for line in text.splitlines():
        key = ""
        if header := _HEADER.match(line):
            section = header[1].replace('"', "").replace(" ", "")
        elif match := _KEY.match(line):
            key = match[1] or match[2] or match[3]
        lines.append(edit(section, key, line))
    return "\n".join(lines) + "\n"


def _comment(line: str) -> str:
    return line if not line.strip() or line.lstrip().startswith("#") else f"# {line}"


def set_mode(path: Path, name: str, mode: str) -> Config:
    """Give a vault another mode in the file, and leave the rest of it as it is. Raises ConfigError."""
    write_default(path)
    config = load(path)
    wanted = tuple(replace(v, mode=mode) if v.name == name else v for v in config.vaults)
    line_of_mode = f'mode = "{mode}"'
    lines: list[str] = []
    current, placed = "", False
    for line in config.text.splitlines():
        if header := _HEADER.match(line):
            current = header[1].replace('"', "").replace(" ", "").removeprefix("vaults.")
        key = _KEY.match(line)
        if current == name and key and "mode" in key.groups():
            if not placed:
                lines.append(line_of_mode)
            placed = True
            continue
        lines.append(line)
        if current == name and key and "url" in key.groups() and "mode" not in _keys_of(config.text, name):
            lines.append(line_of_mode)
            placed = True
    text = "\n".join(lines) + "\n"
    if "vaults" not in tomllib.loads(config.text):
        text += "".join(map(_vault_text, wanted))
    with suppress(ConfigError):
        if parse(text) == replace(config, vaults=wanted):
            return write(path, text)
    raise ConfigError(f"the mode of {name} cannot be changed in {path}", hint="edit it by hand, then run this again")


def _keys_of(text: str, vault: str) -> Collection[str]:
    found: Collection[str] = tomllib.loads(text)["vaults"][vault]
    return found


def write(path: Path, text: str) -> Config:
    """Write a configuration, whole or not at all, that `parse` takes. Raises ConfigError."""
    config = parse(text, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, text)
    return config


def parse(text: str, where: str = FILE_NAME) -> Config:
    """The configuration in a TOML text. Raises ConfigError; `where` is named in its message."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {error}", hint="the file is TOML: see https://toml.io") from error
    reader = _Reader(text, where)
    sections = (
        *("serve", "vaults", "limits", "snapshots", "recovery", "retention"),
        *("keeper", "status", "mail", "alarms", "brakes", "core", "auth", "objectives", "log", "drills"),
    )
    reader.only(tables, "", sections)
    serve = reader.table(tables, "serve", ("listen", "public_url", "trusted_proxies"))
    limits = reader.table(tables, "limits", ("max_object", "max_file", "max_request", "quota"))
    snapshots = reader.table(tables, "snapshots", ("tail", "hours"))
    recovery = reader.table(tables, "recovery", ("start",))
    retention = reader.table(tables, "retention", ("history_days", "generations"))
    keeper = reader.table(tables, "keeper", ("hours", "pull", "socket", "users"))
    core = reader.table(tables, "core", ("check_mb_per_second",))
    status = reader.table(tables, "status", ("file",))
    brakes = reader.table(tables, "brakes", BrakeLimits._fields)
    drills = reader.table(tables, "drills", ("surprise",))
    auth = reader.table(tables, "auth", ("failures", "window_seconds", "remember_seconds"))
    try:
        host, port = parse_listen(reader.text(serve, "serve", "listen", "127.0.0.1:8460"))
    except ConfigError as error:
        raise reader.error("serve", "listen", error.message) from error
    default = Config()
    return Config(
        listen_host=host,
        listen_port=port,
        public_url=reader.public_url(serve),
        trusted_proxies=reader.proxies(serve),
        vaults=reader.vaults(tables),
        max_object_bytes=reader.size(limits, "max_object", default.max_object_bytes),
        max_file_bytes=reader.size(limits, "max_file", default.max_file_bytes),
        max_request_bytes=reader.size(limits, "max_request", default.max_request_bytes),
        quota_bytes=reader.size(limits, "quota", default.quota_bytes, least=0),
        snapshot_tail_bytes=reader.size(snapshots, "tail", default.snapshot_tail_bytes, table="snapshots"),
        snapshot_hours=reader.count(snapshots, "hours", default.snapshot_hours, table="snapshots"),
        recovery_start=reader.choice(recovery, "recovery", "start", (AUTOMATIC, ASK)),
        retention=reader.policy(retention),
        keeper_hours=reader.count(keeper, "hours", default.keeper_hours, least=0, table="keeper"),
        keeper_pull=reader.pull(keeper),
        keeper_socket=reader.text(keeper, "keeper", "socket", ""),
        keeper_users=reader.users(keeper),
        core_check_bytes=MIB * reader.count(core, "check_mb_per_second", 1, least=0, table="core"),
        status_folder=reader.text(status, "status", "file", ""),
        mail=reader.mail(tables),
        alarms=reader.alarms(tables),
        brakes=reader.brakes(brakes),
        surprises=reader.surprises(drills),
        objectives=reader.objectives(tables),
        auth_failures=reader.count(auth, "failures", default.auth_failures),
        auth_window_seconds=reader.count(auth, "window_seconds", default.auth_window_seconds),
        auth_remember_seconds=reader.count(auth, "remember_seconds", default.auth_remember_seconds, least=0),
        log=reader.log(tables),
        text=text,
    )


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, with an IPv6 address in brackets. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{text!r} is not HOST:PORT", hint="for instance 127.0.0.1:8460 or [::1]:8460")
    if (":" in bare) != bracketed:
        raise ConfigError(f"{text!r}: only an IPv6 address stands in brackets, and it must", hint="[::1]:8460")
    return bare, int(port)


def parse_public_url(text: str) -> str:
    """The address of the server as others reach it, in its shortest form. Raises ConfigError."""
    example = "for instance https://dav.example.org"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ConfigError(f"{text!r} is not a URL", hint=example) from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"{text!r} does not begin with https:// or http://", hint=example)
    if "@" in parts.netloc:
        raise ConfigError(f"{text!r} has a user name or a password in it", hint=example)
    if not is_host(parts.netloc):
        raise ConfigError(f"{text!r} has no host that can be used", hint=example)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(
            f"{text!r} goes on after the host: Safehold needs a host to itself, not a path below one", hint=example
        )
    host = parts.netloc.lower()
    if port == {"http": 80, "https": 443}[parts.scheme]:
        host = host.rpartition(":")[0]
    return f"{parts.scheme}://{host}"


def check_vault(name: str, url: str, mode: str, parity: str = "") -> VaultConfig:
    """A vault's settings, judged. Raises ConfigError."""
    if not _VAULT_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a name for a vault", hint="lowercase letters, digits and -, at most 32 of them"
        )
    if not url.startswith(SCHEMES) or url in SCHEMES or "\0" in url:
        raise ConfigError(
            f"{url!r} is not the URL of a vault",
            hint="write folder:PATH, keeper:SOCKET-PATH, https://HOST:PORT/v1/GUEST, or s3:BUCKET/PREFIX",
        )
    if url.startswith(SERVER_SCHEMES) and not _SERVER_URL.fullmatch(url):
        raise ConfigError(
            f"{url!r} is not the URL of a vault at a server",
            hint="it is https://HOST:PORT/v1/ and 32 hexadecimal digits, as `safehold vault add NAME CODE` enters it",
        )
    if url.startswith(S3_SCHEME) and not _S3_URL.fullmatch(url):
        raise ConfigError(f"{url!r} names no bucket", hint="write s3:BUCKET/PREFIX, of letters, digits and - _ .")
    if mode not in MODES:
        raise ConfigError(f"{mode!r} is not a mode of a vault", hint="sync or async")
    vault = VaultConfig(name, url, mode, parity=_parity(parity) if parity else None)
    if parity and not vault.is_folder:
        raise ConfigError("only a vault in a folder has parity", hint="leave `parity` out")
    return vault


def _parity(text: str) -> tuple[int, int]:
    match = _PARITY.fullmatch(text)
    data, more = (int(match[1]), int(match[2])) if match else (0, 0)
    if not data or not more or data + more > MAX_PARITY_COLUMNS:
        raise ConfigError(
            f"{text!r} is no parity", hint='write "10+2": with 10 columns of data 2 more, up to 255 in all'
        )
    return data, more


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine whatever its name service says."""
    host = urlsplit(url).hostname or ""
    return host == "::1" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def same_vault(url: str, other: str) -> bool:
    """Whether two URLs name one vault: a guest of a vault server is the same at whatever address that is reached."""
    if url.startswith(SERVER_SCHEMES) and other.startswith(SERVER_SCHEMES):
        return url.rpartition("/")[2] == other.rpartition("/")[2]
    return url == other


def is_pin(text: str) -> bool:
    """Whether a text names a key by its SHA-256."""
    return _PIN.fullmatch(text) is not None


class _Reader:
    """Takes values out of parsed tables and says where in the text a bad one stands."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where

    def error(self, table: str, key: str, message: str, hint: str = "") -> ConfigError:
        line = _line_of(self._text, table, key)
        place = f"{self._where}, line {line}" if line else self._where
        return ConfigError(f"{place}: {f'{table}.{key}' if table else key}: {message}", hint=hint)

    def only(self, values: Mapping[str, Any], table: str, known: tuple[str, ...]) -> None:
        for key in values:
            if key not in known:
                what = "key" if table else "section"
                raise self.error(table, key, f"not a {what} of this file", hint="known here: " + ", ".join(known))

    def table(self, values: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        found = values.get(name, {})
        if not isinstance(found, dict):
            raise self.error("", name, f"this is a section: write [{name}]")
        self.only(found, name, known)
        return found

    def text(self, values: Mapping[str, Any], table: str, key: str, default: str) -> str:
        value = values.get(key, default)
        if not isinstance(value, str):
            raise self.error(table, key, "needs a text in quotes")
        return value

    def choice(self, values: Mapping[str, Any], table: str, key: str, words: tuple[str, ...]) -> str:
        """One of these words; the first where nothing is said."""
        value = values.get(key, words[0])
        if value not in words:
            raise self.error(table, key, "needs one of " + ", ".join(f'"{word}"' for word in words))
        return str(value)

    def public_url(self, serve: Mapping[str, Any]) -> str:
        text = self.text(serve, "serve", "public_url", "")
        try:
            return parse_public_url(text) if text.strip() else ""
        except ConfigError as error:
            raise self.error("serve", "public_url", error.message, error.hint) from error

    def proxies(self, serve: Mapping[str, Any]) -> Proxies:
        entries = serve.get("trusted_proxies", [])
        hint = f'for instance ["127.0.0.1", "::1"], ["10.0.0.0/8"] or ["{UNIX}"]'
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise self.error("serve", "trusted_proxies", "needs a list of texts in quotes", hint)
        for entry in entries:
            try:
                read_proxies([entry])
            except ValueError as error:
                raise self.error("serve", "trusted_proxies", f"{entry!r} cannot be used: {error}", hint) from error
        return read_proxies(entries)

    def policy(self, values: Mapping[str, Any]) -> Policy:
        days = self.count(values, "history_days", DEFAULT_POLICY.history_days, table="retention")
        text = self.text(values, "retention", "generations", policy_text(DEFAULT_POLICY))
        try:
            return parse_policy(days, text)
        except ValueError as error:
            raise self.error("retention", "generations", str(error), f'for instance "{policy_text()}"') from error

    def mail(self, tables: Mapping[str, Any]) -> MailConfig:
        values = self.table(tables, "mail", MAIL_KEYS)
        default = MailConfig()

        def text(key: str, otherwise: str = "") -> str:
            return self.text(values, "mail", key, otherwise).strip()

        for key in ("from", "operator"):
            try:
                if text(key):
                    check_address(text(key))
            except BadRequest as error:
                raise self.error("mail", key, error.message, error.hint) from error
        if text("tls", default.tls) not in MAIL_TLS:
            raise self.error("mail", "tls", f"{text('tls')!r} is no way of encrypting", ", ".join(MAIL_TLS))
        if text("host") and not text("from"):
            raise self.error("mail", "from", "mail needs a sender", 'for instance from = "safehold@example.org"')
        return MailConfig(
            host=text("host"),
            port=self.count(values, "port", default.port, table="mail"),
            tls=text("tls", default.tls),
            user=text("user"),
            password_file=text("password_file"),
            sender=text("from"),
            operator=text("operator"),
            vault_down_minutes=self.count(values, "vault_down_minutes", default.vault_down_minutes, table="mail"),
        )

    def alarms(self, tables: Mapping[str, Any]) -> AlarmConfig:
        numbers = ("heartbeat_seconds", "test_days", "silent_minutes")
        values = self.table(tables, "alarms", ("webhooks", "mail", "command", "heartbeat", *numbers))
        webhooks = self.texts(values, "alarms", "webhooks", '["https://hooks.example.org/safehold"]')
        mail = self.texts(values, "alarms", "mail", '["eve@example.org"]')
        heartbeat = self.text(values, "alarms", "heartbeat", "").strip()
        for key, url in (*(("webhooks", url) for url in webhooks), *((("heartbeat", heartbeat),) if heartbeat else ())):
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise self.error("alarms", key, "needs URLs that begin with https:// or http://")
        for address in mail:
            try:
                check_address(address)
            except BadRequest as error:
                raise self.error("alarms", "mail", error.message, error.hint) from error
        if mail and not self.table(tables, "mail", MAIL_KEYS).get("host"):
            raise self.error("alarms", "mail", "no mail can be sent: [mail] names no host", 'host = "mail.example.org"')
        try:
            command = tuple(shlex.split(self.text(values, "alarms", "command", "")))
        except ValueError as error:
            raise self.error("alarms", "command", f"cannot be taken apart: {error}") from error
        default = AlarmConfig()
        counts = {key: self.count(values, key, getattr(default, key), table="alarms") for key in numbers}
        return AlarmConfig(webhooks, mail, command, heartbeat, **counts)

    def texts(self, values: Mapping[str, Any], table: str, key: str, example: str) -> tuple[str, ...]:
        """A list of texts."""
        found = values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
            raise self.error(table, key, "needs a list of texts in quotes", f"for instance {example}")
        return tuple(dict.fromkeys(one.strip() for one in found))

    def log(self, tables: Mapping[str, Any]) -> LogConfig:
        values = self.table(tables, "log", ("format", "level", "access"))
        access = values.get("access", False)
        if not isinstance(access, bool):
            raise self.error("log", "access", "needs true or false")
        return LogConfig(
            format=self.choice(values, "log", "format", LOG_FORMATS),
            level=self.choice(values, "log", "level", LOG_LEVELS),
            access=access,
        )

    def brakes(self, values: Mapping[str, Any]) -> BrakeLimits:
        least = {"grace_days": 0}
        found = {
            key: self.count(values, key, default, least=least.get(key, 1), table="brakes")
            for key, default in DEFAULT_BRAKES._asdict().items()
        }
        if found["share_percent"] > 100:
            raise self.error("brakes", "share_percent", "needs a whole number from 1 to 100")
        return BrakeLimits(**found)

    def surprises(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        found = values.get("surprise", [])
        if not isinstance(found, list) or any(not isinstance(what, str) or what not in SURPRISES for what in found):
            known = ", ".join(f'"{name}"' for name in SURPRISES)
            raise self.error("drills", "surprise", "needs a list of what may be broken", f"these can be: {known}")
        return tuple(dict.fromkeys(found))

    def objectives(self, tables: Mapping[str, Any]) -> Objectives:
        kinds = tuple(kind.value for kind in DATA_KINDS)
        values = self.table(tables, "objectives", (*PROMISES, *AGES, *kinds))

        def duration(table: Mapping[str, Any], where: str, key: str, default: float | None) -> float | None:
            if key not in table:
                return default
            text = self.text(table, where, key, "")
            try:
                return parse_duration(text) if text.strip() else None
            except ValueError as error:
                raise self.error(
                    where, key, str(error), 'for instance "30s", "15m", "4h" or "7d"; "" for none'
                ) from None

        default = DEFAULT_OBJECTIVES._asdict()
        whole = {key: duration(values, "objectives", key, default[key]) for key in (*PROMISES, *AGES)}
        own = []
        for name in kinds:
            table = values.get(name)
            if table is None:
                continue
            where = f"objectives.{name}"
            if not isinstance(table, dict):
                raise self.error("objectives", name, f"this is a section: write [{where}]")
            self.only(table, where, PROMISES)
            own.append((Kind(name), Targets(*(duration(table, where, key, None) for key in PROMISES))))
        return Objectives(**whole, kinds=tuple(own))

    def pull(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        urls = values.get("pull", [])
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise self.error("keeper", "pull", "needs a list of URLs in quotes", 'for instance ["folder:/srv/vault"]')
        for url in urls:
            try:
                check_vault("pulled", url, "async")
            except ConfigError as error:
                raise self.error("keeper", "pull", error.message, error.hint) from error
        return tuple(urls)

    def users(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        users = values.get("users", [])
        if not isinstance(users, list) or not all(isinstance(user, str) and user.strip() for user in users):
            raise self.error(
                "keeper", "users", "needs a list of users in quotes", 'for instance ["safehold"] or ["1001"]'
            )
        return tuple(user.strip() for user in users)

    def count(self, values: Mapping[str, Any], key: str, default: int, *, least: int = 1, table: str = "auth") -> int:
        value = values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(table, key, f"needs a whole number of {least} or more")
        return value

    def size(
        self, values: Mapping[str, Any], key: str, default: int, *, least: int = KIB, table: str = "limits"
    ) -> int:
        value = values.get(key, default)
        if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
            value = int(match[1]) * _UNITS[match[2]]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            needed = "a size of 1 KiB or more" if least else "a size, or 0 for no limit"
            raise self.error(table, key, f"needs {needed}", hint='bytes, or a text such as "8 MiB"')
        return value

    def vault_options(self, vault: VaultConfig, values: Mapping[str, Any], table: str) -> VaultConfig:
        """The keys that only vaults of some kinds have."""
        given = [key for key in _VAULT_KEYS if key in values]
        if given and not vault.is_server:
            raise self.error(table, given[0], "only a vault at a server has this", "its url begins with https://")
        insecure = values.get("insecure", False)
        if not isinstance(insecure, bool):
            raise self.error(table, "insecure", "needs true or false")
        if vault.scheme == "http:" and not insecure and not is_loopback(vault.url):
            raise self.error(table, "url", "without TLS a token can be read on its way", "https://, or insecure = true")
        vault = replace(
            vault,
            token_file=self.text(values, table, "token_file", "").strip(),
            certificate=self.text(values, table, "certificate", "").strip(),
            insecure=insecure,
        )
        return self.s3_options(vault, values, table)

    def s3_options(self, vault: VaultConfig, values: Mapping[str, Any], table: str) -> VaultConfig:
        """The keys that only a vault in a bucket has."""
        given = [key for key in S3_KEYS if key in values]
        if given and not vault.is_s3:
            raise self.error(table, given[0], "only a vault in a bucket has this", 'its url begins with "s3:"')
        default = S3Options()
        endpoint = self.text(values, table, "endpoint", "").strip().rstrip("/")
        if endpoint and not (urlsplit(endpoint).scheme in ("http", "https") and urlsplit(endpoint).hostname):
            raise self.error(table, "endpoint", "needs a URL that begins with https:// or http://")
        options = S3Options(
            endpoint=endpoint,
            region=self.text(values, table, "region", "").strip(),
            credentials_file=self.text(values, table, "credentials_file", "").strip(),
            lock_days=self.count(values, "lock_days", 0, least=0, table=table),
            batch_seconds=self.count(values, "batch_seconds", default.batch_seconds, least=0, table=table),
            batch_bytes=self.size(values, "batch_bytes", default.batch_bytes, table=table),
            keep=self.text(values, table, "keep", "").strip(),
        )
        if options.keep not in S3_KEEP:
            raise self.error(table, "keep", f"{options.keep!r} is none of these", 'write "attest" or "retain"')
        return replace(vault, s3=options)

    def vaults(self, tables: Mapping[str, Any]) -> tuple[VaultConfig, ...]:
        if "vaults" not in tables:
            return DEFAULT_VAULTS
        found = []
        section = tables["vaults"]
        if not isinstance(section, dict) or not all(isinstance(v, dict) for v in section.values()):
            raise self.error("", "vaults", "each vault is a section: write [vaults.NAME]")
        for name, values in section.items():
            table = f"vaults.{name}"
            self.only(values, table, ("url", "mode", "parity", *_VAULT_KEYS, *S3_KEYS))
            if "url" not in values:
                raise self.error("vaults", name, "url is missing", hint='url = "folder:PATH"')
            url, mode = self.text(values, table, "url", ""), self.text(values, table, "mode", "async")
            try:
                checked = check_vault(name, url, mode, self.text(values, table, "parity", ""))
            except ConfigError as error:
                raise self.error("vaults", name, error.message, error.hint) from error
            found.append(self.vault_options(checked, values, table))
        if not any(vault.mode == "sync" for vault in found):
            raise self.error(
                "", "vaults", "no vault is in mode sync", hint="nothing would be vaulted before it is acknowledged"
            )
        places: dict[str, str] = {}
        for vault in found:
            other = places.setdefault(vault.guest if vault.is_server else os.path.normpath(vault.url), vault.name)
            if other != vault.name:
                what = "is the same at a server" if vault.is_server else "lies in the same folder"
                raise self.error("vaults", vault.name, f"{what} as the vault {other}")
        return tuple(found)


def _line_of(text: str, table: str, key: str) -> int | None:
    """The number of the line where a key or section stands, as well as a look at single lines can tell."""
    full = f"{table}.{key}" if table else key
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            current = header[1].replace('"', "").replace(" ", "")
            if current == full or current.startswith(full + "."):
                return number
        elif match := _KEY.match(line):
            name = match[1] or match[2] or match[3]
            if name == key and current == table:
                return number
    return None


def _vault_text(vault: VaultConfig) -> str:
    lines = [f"\n[vaults.{vault.name}]", f"url = {_quoted(vault.url)}", f'mode = "{vault.mode}"']
    for key in ("token_file", "certificate"):
        if value := getattr(vault, key):
            lines.append(f"{key} = {_quoted(value)}")
    if vault.insecure:
        lines.append("insecure = true")
    if vault.parity is not None:
        lines.append(f'parity = "{vault.parity[0]}+{vault.parity[1]}"')
    for key in S3_KEYS:
        value = getattr(vault.s3, key)
        if value != getattr(S3Options(), key):
            lines.append(f"{key} = {_quoted(value)}")
    return "\n".join(lines) + "\n"


def _quoted(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False)  # a basic TOML string takes JSON's escapes


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, and sync it and its folder."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
