"""The vault in memory: all who open it have the same objects. And a keeper's in a bucket in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safehold.formats.mark import NAME, READER, encode_mark, reader
from safehold.ports.vault import KeptVault
from safehold.ports.world import Clock
from safehold.vault.memory import MemoryVault
from safehold.vault.s3 import S3Vault
from safehold.vault.s3_keeping import KeptS3Vault
from tests.support.logs import INSTALLATION
from tests.support.memory_bucket import MemoryBucket
from tests.support.vault_kinds import KeptVaultKind, Open, VaultKind


@contextmanager
def in_memory(root: Path) -> Iterator[Open]:
    del root
    vault = MemoryVault("v")
    vault.objects = {NAME: encode_mark(INSTALLATION), READER: reader()}
    yield lambda: vault


@contextmanager
def kept_in_a_bucket(root: Path, clock: Clock) -> Iterator[KeptVault]:
    del root
    store = MemoryBucket()
    S3Vault.create("near", "bucket/home", store, INSTALLATION)
    yield KeptS3Vault("near", "bucket/home", store, INSTALLATION, clock=clock)


KINDS: tuple[VaultKind, ...] = (VaultKind("memory", in_memory),)
KEPT_KINDS = (KeptVaultKind("bucket in memory", kept_in_a_bucket),)
