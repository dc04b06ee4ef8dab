"""The vault in memory: all who open it have the same objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safehold.formats.mark import NAME, READER, encode_mark, reader
from safehold.vault.memory import MemoryVault
from tests.support.logs import INSTALLATION
from tests.support.vault_kinds import Open, VaultKind


@contextmanager
def in_memory(root: Path) -> Iterator[Open]:
    del root
    vault = MemoryVault("v")
    vault.objects = {NAME: encode_mark(INSTALLATION), READER: reader()}
    yield lambda: vault


KINDS: tuple[VaultKind, ...] = (VaultKind("memory", in_memory),)
