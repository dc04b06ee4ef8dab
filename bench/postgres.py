"""A PostgreSQL cluster in a folder, for as long as a benchmark lasts.

PostgreSQL refuses to be run by root: then the cluster belongs to the user `postgres`, which the system's package has
made. It listens on a Unix socket only.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from bench.items import BEGIN_SECONDS, Item, Reference, Row, account_name

_SCHEMA = """
    CREATE TABLE account (number bigint PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE item (
        id bigint PRIMARY KEY, account bigint NOT NULL, kind text NOT NULL, collection text NOT NULL,
        name text NOT NULL, rev bigint NOT NULL, etag text NOT NULL, modified bigint NOT NULL, body bytea NOT NULL
    );
    CREATE UNIQUE INDEX item_name ON item(account, collection, name);
"""
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    "autovacuum": "off",
}
_USER = "postgres"


class Cluster:
    """Made by `start`, ended by `stop`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = False
        # The path of a socket may have about a hundred bytes.
        self._sockets = Path(tempfile.mkdtemp(prefix="bench-pg-"))

    @staticmethod
    def program(name: str) -> str:
        """The newest one that the system has. Raises FileNotFoundError."""
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
        found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
        if found is None:
            raise FileNotFoundError(f"{name} is missing: apt install postgresql")
        return found

    def start(self) -> None:
        """Raises CalledProcessError, KeyError where root finds no other user to run it."""
        self._folder.mkdir(parents=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            for folder in (self._folder, self._sockets):
                os.chown(folder, user.pw_uid, user.pw_gid)
            self._let_through(self._folder)
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        self._server(
            "initdb", "-D", self._folder / "data", "-A", "trust", "-U", _USER, "-E", "UTF8", "--locale=C", "-N"
        )
        options = shlex.join([*settings, "-c", f"unix_socket_directories={self._sockets}"])
        self._server(
            *("pg_ctl", "-D", self._folder / "data", "-l", self._folder / "log", "-w", "-s"), "-o", options, "start"
        )
        self._running = True

    def stop(self) -> None:
        if self._running:
            self._server("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "-s", "stop")
            self._running = False
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _server(self, name: str, *args: str | Path) -> None:
        command = [self.program(name), *map(str, args)]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", *command]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL)

    @staticmethod
    def _let_through(folder: Path) -> None:
        """Every folder on the way there can be passed by anybody: `mkdtemp` makes some that only we may enter."""
        for parent in folder.parents:
            if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)

    def command(self, name: str, *args: str) -> str:
        """A client program with its arguments, for a shell."""
        return shlex.join([self.program(name), "-h", str(self._sockets), "-U", _USER, *args])

    # -- what is in it

    def make(self, database: str) -> None:
        """An empty database; one of that name that is there goes."""
        self._sql("postgres", f"DROP DATABASE IF EXISTS {database}")
        self._sql("postgres", f"CREATE DATABASE {database}")

    def fill(self, database: str, reference: Reference) -> None:
        accounts = (f"{number}\t{account_name(number)}\n".encode() for number in range(reference.accounts))
        self._sql(database, _SCHEMA)
        self._copy(database, "COPY account FROM STDIN", accounts)
        self._copy(database, "COPY item FROM STDIN", map(line_of, reference.items()))
        self._sql(database, "VACUUM ANALYZE")

    def change(self, database: str, changed: Iterable[Item]) -> None:
        self._sql(database, "CREATE TABLE changed (LIKE item)")
        self._copy(database, "COPY changed FROM STDIN", map(line_of, changed))
        self._sql(
            database,
            "UPDATE item SET rev = item.rev + 1, etag = c.etag, modified = item.modified + 1, body = c.body "
            "FROM changed c WHERE item.id = c.id; DROP TABLE changed",
        )

    def rows(self, database: str) -> Iterator[Row]:
        select = "SELECT a.name, i.collection, i.name, i.body FROM item i JOIN account a ON a.number = i.account"
        with subprocess.Popen(self._psql(database, f"COPY ({select}) TO STDOUT"), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                account, collection, name, body = line.rstrip(b"\n").split(b"\t")
                yield account.decode(), collection.decode(), name.decode(), _bytes(body)

    def _psql(self, database: str, sql: str) -> list[str]:
        return [*shlex.split(self.command("psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql))]

    def _sql(self, database: str, sql: str) -> None:
        subprocess.run(self._psql(database, sql), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def _copy(self, database: str, sql: str, lines: Iterable[bytes]) -> None:
        with subprocess.Popen(self._psql(database, sql), stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.writelines(lines)
            process.stdin.close()
            if process.wait():
                raise RuntimeError(f"psql ended with {process.returncode}: {sql}")


def line_of(item: Item) -> bytes:
    """A row of the table `item` for COPY: no name or collection here needs escaping."""
    etag = sha256(item.body).hexdigest()[:16]
    head = f"{item.id}\t{item.account}\t{item.kind}\t{item.collection}\t{item.name}\t1\t{etag}\t{BEGIN_SECONDS}\t"
    return f"{head}\\\\x{item.body.hex()}\n".encode()


def row_of(line: bytes, account: str) -> Row:
    """The row of a line of the table `item` as COPY writes it."""
    fields = line.split(b"\t")
    return account, fields[3].decode(), fields[4].decode(), _bytes(fields[8])


def _bytes(field: bytes) -> bytes:
    """bytea as COPY writes it: two backslashes, x, hexadecimal digits."""
    return bytes.fromhex(field.decode().removeprefix("\\\\x"))
