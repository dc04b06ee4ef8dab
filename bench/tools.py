"""The backup tools that are measured beside Safehold: restic, BorgBackup, Litestream, and pg_dump with pg_restore.

Each has the same items in the form it is made for, and the settings that serve it best; restic and Borg, which take
any files, have them in two forms. Nothing here may drop items unseen: whatever a tool has restored is read, counted
and digested by the caller.

restic and Borg come from the system's packages, Litestream from requirements/peers.txt, PostgreSQL from where the
system keeps its programs.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import items
from bench.child import Ran, run
from bench.items import Item, Print, Reference, Row, account_name, fingerprint
from bench.postgres import Cluster, row_of

#: What is measured of a tool, in this order, and the method that does it. After the first the items change.
STEPS = {
    "full backup": "full",
    "1 % changed": "incremental",
    "verify": "verify",
    "verify, log and all": "verify_log",
    "one account's contacts": "contacts",
    "whole restore": "restore",
    "bare bulk load": "bare_load",
}


class Missing(Exception):
    """A tool is not installed; the text says how it gets here."""


class Sources:
    """The items of a round, in every form that a tool of this run wants them in."""

    def __init__(self, folder: Path, reference: Reference, *, tree: bool) -> None:
        """`folder` is the round's own, and empty."""
        self.reference = reference
        self.database = folder / "database" / "items.db"
        self.database.parent.mkdir(parents=True)
        shutil.copyfile(reference.path, self.database)
        self.tree = folder / "tree" if tree else None
        if self.tree is not None:
            items.make_tree(self.tree, reference.items())

    def rows(self, contacts_of: int | None = None) -> Iterator[Row]:
        """What a restore of the newest state brings, or one account's contacts of it."""
        return items.database_rows(self.database, contacts_of)

    def change(self, changed: list[Item]) -> None:
        items.change_database(self.database, changed)
        if self.tree is not None:
            items.change_tree(self.tree, changed)


class Tool(ABC):
    """A tool in one round: it has a folder of its own and makes a backup, one more, and what can be had from them."""

    name: str
    settings: str
    #: Programs, and how they get here.
    needs: tuple[tuple[str, str], ...] = ()
    #: Methods of STEPS that there are.
    can: tuple[str, ...] = ("full", "incremental", "verify", "contacts", "restore")

    def __init__(self, folder: Path, sources: Sources, limit_seconds: float) -> None:
        self.folder = folder
        self.sources = sources
        self.limit_seconds = limit_seconds
        self.folder.mkdir(parents=True)
        self.repository = folder / "repository"
        self.restored = folder / "restored"

    @abstractmethod
    def prepare(self) -> None:
        """What is not measured: an empty repository, a server of its own."""

    @classmethod
    def require(cls) -> None:
        """Raises Missing where what it needs is not installed."""
        for name, hint in cls.needs:
            if shutil.which(name) is None:
                raise Missing(f"{name} is missing: {hint}")

    @abstractmethod
    def full(self) -> Ran:
        """The first backup, of everything."""

    def change(self, changed: list[Item]) -> None:  # noqa: ARG002
        """Change what only this tool looks at; `sources` have been changed already."""
        return

    @abstractmethod
    def incremental(self) -> Ran:
        """Another backup, after 1 % of the items has changed."""

    @abstractmethod
    def verify(self) -> Ran:
        """Read all that is stored and check it as well as the tool can."""

    @abstractmethod
    def restore(self) -> Ran:
        """The newest state, whole, into `restored`."""

    @abstractmethod
    def restored_rows(self) -> Iterator[Row]:
        """What `restore` has brought."""

    @abstractmethod
    def contacts(self, account: int) -> tuple[Ran, Print]:
        """One account's contacts of the newest state, and what they are."""

    @staticmethod
    @abstractmethod
    def version() -> str: ...

    def stored_bytes(self) -> int:
        return size_of(self.repository)

    def close(self) -> None:
        """Stop what was started. The caller removes the folder."""
        return

    def _run(self, *command: str | Path, cwd: Path | None = None) -> Ran:
        return run(command, cwd=cwd, env=self.environment(), limit_seconds=self.limit_seconds)

    def environment(self) -> dict[str, str]:
        return {}


def size_of(path: Path) -> int:
    """Bytes of all files below."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def told_version(*command: str | Path) -> str:
    """The first word of what a program says of itself that looks like a version."""
    told = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout
    return next(word for word in told.split() if word[0].isdigit())


def timed(work: Callable[[], list[Row]]) -> tuple[Ran, list[Row]]:
    """Work in this process that belongs to a tool's step: a query of what it has restored."""
    began, cpu = time.perf_counter(), time.process_time()
    rows = work()
    return Ran(time.perf_counter() - began, time.process_time() - cpu, 0), rows


class _Database(Tool):
    """The items as a SQLite file: one account's contacts are had by restoring it, and a query."""

    def file(self) -> Path:
        return next(self.restored.rglob("items.db"))

    def restored_rows(self) -> Iterator[Row]:
        return items.database_rows(self.file())

    def contacts(self, account: int) -> tuple[Ran, Print]:
        whole = self.restore()
        query, rows = timed(lambda: list(items.database_rows(self.file(), account)))
        return whole.and_(query), fingerprint(rows)


class _Tree(Tool):
    """One file an item."""

    def source(self) -> Path:
        assert self.sources.tree is not None
        return self.sources.tree

    def found(self) -> Path:
        """Where the tree's own folders lie in what was restored."""
        return next(self.restored.rglob(account_name(0))).parent

    def restored_rows(self) -> Iterator[Row]:
        return items.tree_rows(self.found())

    def contacts_of(self, account: int) -> Print:
        return fingerprint(items.tree_rows(next(self.restored.rglob(account_name(account))).parent))


class _Restic(Tool):
    settings = "repository version 2, its own compression and cache; `check --read-data`"

    needs = (("restic", "apt install restic"),)

    @staticmethod
    def version() -> str:
        return told_version("restic", "version")

    def environment(self) -> dict[str, str]:
        return {
            "RESTIC_PASSWORD": "bench",
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
        }

    def prepare(self) -> None:
        self._run("restic", "init")

    @abstractmethod
    def source(self) -> Path: ...

    def full(self) -> Ran:
        return self._run("restic", "backup", "--quiet", self.source())

    def incremental(self) -> Ran:
        return self.full()

    def verify(self) -> Ran:
        return self._run("restic", "check", "--read-data")

    def restore(self) -> Ran:
        return self._restored()

    def _restored(self, *which: str | Path) -> Ran:
        shutil.rmtree(self.restored, ignore_errors=True)
        return self._run("restic", "restore", "latest", "--target", self.restored, *which)


class ResticDatabase(_Database, _Restic):
    name = "restic, database file"

    def source(self) -> Path:
        return self.sources.database.parent


class ResticTree(_Tree, _Restic):
    name = "restic, file an item"

    def contacts(self, account: int) -> tuple[Ran, Print]:
        ran = self._restored("--include", self.source() / account_name(account) / "contacts")
        return ran, self.contacts_of(account)


class _Borg(Tool):
    settings = "`repokey-blake2`, its own compression and cache; `check --verify-data`"
    needs = (("borg", "apt install borgbackup"),)

    def __init__(self, folder: Path, sources: Sources, limit_seconds: float) -> None:
        super().__init__(folder, sources, limit_seconds)
        self._archives = 0

    @staticmethod
    def version() -> str:
        return told_version("borg", "--version")

    def environment(self) -> dict[str, str]:
        return {"BORG_PASSPHRASE": "bench", "BORG_REPO": str(self.repository), "BORG_BASE_DIR": str(self.folder)}

    def prepare(self) -> None:
        self._run("borg", "init", "--encryption", "repokey-blake2")

    @abstractmethod
    def source(self) -> Path: ...

    def full(self) -> Ran:
        self._archives += 1
        return self._run("borg", "create", f"::{self._archives}", ".", cwd=self.source())

    def incremental(self) -> Ran:
        return self.full()

    def verify(self) -> Ran:
        return self._run("borg", "check", "--verify-data")

    def restore(self) -> Ran:
        return self._extracted()

    def _extracted(self, *which: str) -> Ran:
        shutil.rmtree(self.restored, ignore_errors=True)
        self.restored.mkdir()
        return self._run("borg", "extract", f"::{self._archives}", *which, cwd=self.restored)


class BorgDatabase(_Database, _Borg):
    name = "Borg, database file"

    def source(self) -> Path:
        return self.sources.database.parent


class BorgTree(_Tree, _Borg):
    name = "Borg, file an item"

    def contacts(self, account: int) -> tuple[Ran, Print]:
        return self._extracted(f"{account_name(account)}/contacts"), self.contacts_of(account)


class Litestream(_Database):
    """It follows a database that is in use: the application's connection stays open all the time."""

    name = "Litestream, database file"
    settings = "`replicate -once` with the application's connection open; verified by a restore with `-integrity-check`"
    #: From the environment of the peers; set before a run.
    path: Path

    def __init__(self, folder: Path, sources: Sources, limit_seconds: float) -> None:
        super().__init__(folder, sources, limit_seconds)
        self._live = folder / "live" / "items.db"

    @staticmethod
    def version() -> str:
        return told_version(Litestream.path, "version")

    def prepare(self) -> None:
        self._live.parent.mkdir()
        shutil.copyfile(self.sources.database, self._live)
        self._application = sqlite3.connect(self._live)
        self._application.execute("PRAGMA journal_mode = WAL")
        self._application.execute("PRAGMA wal_autocheckpoint = 0")  # that is Litestream's to do
        self._application.execute("SELECT COUNT(*) FROM account").fetchone()

    def full(self) -> Ran:
        return self._run(self.path, "replicate", "-log-level", "error", "-once", self._live, self._url())

    def change(self, changed: list[Item]) -> None:
        items.change_database(self._live, changed, db=self._application)

    def incremental(self) -> Ran:
        return self.full()

    def verify(self) -> Ran:
        return self._restored("full")

    def restore(self) -> Ran:
        return self._restored("none")

    def _restored(self, check: str) -> Ran:
        shutil.rmtree(self.restored, ignore_errors=True)
        self.restored.mkdir()
        file = self.restored / "items.db"
        return self._run(self.path, "restore", "-integrity-check", check, "-o", file, self._url())

    def _url(self) -> str:
        return f"file://{self.repository}"

    def close(self) -> None:
        self._application.close()


class PgDump(Tool):
    """The items in PostgreSQL."""

    name = "pg_dump and pg_restore"
    settings = (
        "`pg_dump -Fc -Z0 | zstd`, each dump whole; `zstd -dc | pg_restore --single-transaction` into a cluster with "
        "`wal_level = minimal`, `synchronous_commit = off`; no check of a dump exists"
    )
    needs = (("zstd", "apt install zstd"),)
    can = ("full", "incremental", "contacts", "restore")

    @classmethod
    def require(cls) -> None:
        super().require()
        try:
            for name in ("initdb", "pg_ctl", "psql", "pg_dump", "pg_restore"):
                Cluster.program(name)
        except FileNotFoundError as error:
            raise Missing(str(error)) from error

    def __init__(self, folder: Path, sources: Sources, limit_seconds: float) -> None:
        super().__init__(folder, sources, limit_seconds)
        self._cluster = Cluster(folder / "cluster")
        self._dumps = 0

    @staticmethod
    def version() -> str:
        return told_version(Cluster.program("pg_dump"), "--version").strip("()")

    def prepare(self) -> None:
        self._cluster.start()
        self._cluster.make("items")
        self._cluster.fill("items", self.sources.reference)
        self.repository.mkdir()

    def full(self) -> Ran:
        self._dumps += 1
        dump = self._cluster.command("pg_dump", "-Fc", "-Z0", "items")
        return self._shell(f"{dump} | zstd -q -3 -o {self._dump()}")

    def change(self, changed: list[Item]) -> None:
        self._cluster.change("items", changed)

    def incremental(self) -> Ran:
        return self.full()

    def verify(self) -> Ran:
        raise AssertionError("pg_dump has nothing that verifies: it is not among its steps")

    def restore(self) -> Ran:
        self._cluster.make("restored")
        restore = self._cluster.command("pg_restore", "--single-transaction", "-d", "restored")
        return self._shell(f"zstd -dcq {self._dump()} | {restore}")

    def restored_rows(self) -> Iterator[Row]:
        return self._cluster.rows("restored")

    def contacts(self, account: int) -> tuple[Ran, Print]:
        """Without a server: the dump as text, of which the account's lines are kept."""
        text = self._cluster.command("pg_restore", "-f", "-", "--data-only", "-t", "item")
        kept = f"grep -P '^\\d+\\t{account}\\tcontacts\\t'"
        ran = self._shell(f"zstd -dcq {self._dump()} | {text} | {kept}")
        return ran, fingerprint(row_of(line, account_name(account)) for line in ran.out.splitlines())

    def _dump(self) -> Path:
        return self.repository / f"{self._dumps}.dump.zst"

    def _shell(self, text: str) -> Ran:
        return self._run("bash", "-o", "pipefail", "-c", text)

    def close(self) -> None:
        self._cluster.stop()


def litestream_in(environment: Path) -> Path:
    """Raises Missing."""
    found = environment / "bin/litestream"
    if not found.exists():
        raise Missing("litestream is missing: see requirements/peers.txt")
    return found


DATABASES: tuple[type[Tool], ...] = (ResticDatabase, BorgDatabase, Litestream, PgDump)
TREES: tuple[type[Tool], ...] = (ResticTree, BorgTree)
