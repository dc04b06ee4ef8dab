"""Vaults in buckets of a real SeaweedFS: a plain bucket, and one with Object Lock. One server for all of a run."""

from __future__ import annotations

import atexit
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path

from safehold.adapters.objectstore import S3ObjectStore
from safehold.vault.s3 import S3Vault
from tests.support.logs import INSTALLATION
from tests.support.s3 import S3Server, seaweed
from tests.support.vault_kinds import Open, VaultKind

_numbers = itertools.count()


@cache
def shared_server() -> S3Server:
    ends = ExitStack()
    atexit.register(ends.close)
    folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="safehold-s3-"))
    return ends.enter_context(seaweed(Path(folder)))


def bucket(name: str, lock_days: int = 0, *, versioned: bool = False) -> S3ObjectStore:
    """A bucket of that server in its owner's hands, made at the first call."""
    return _bucket(name, lock_days, versioned)


@cache
def _bucket(name: str, lock_days: int, versioned: bool) -> S3ObjectStore:
    return shared_server().bucket(name, versioned=versioned, lock_days=lock_days)


def _in_bucket(name: str, lock_days: int) -> Callable[[Path], AbstractContextManager[Open]]:
    @contextmanager
    def place(_: Path) -> Iterator[Open]:
        store = bucket(name, lock_days)
        where = f"{name}/vault-{next(_numbers)}"
        S3Vault.create("v", where, store, INSTALLATION).close()
        yield lambda: S3Vault("v", where, store, INSTALLATION)

    return place


KINDS: tuple[VaultKind, ...] = (
    VaultKind("s3", _in_bucket("plain", 0), many_objects=1_002),
    VaultKind("s3 with Object Lock", _in_bucket("locked", 1), many_objects=150, threads=False),
)
