"""The vault that misbehaves, on days when it does not: it keeps all that the port promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safehold.lab.faulty_vault import Place, Plan
from tests.support.vault_kinds import Open, VaultKind
from tests.support.vault_kinds.memory import in_memory


@contextmanager
def calm(root: Path) -> Iterator[Open]:
    with in_memory(root) as beneath:
        place = Place(beneath(), Plan(0))
        yield place.open


KINDS: tuple[VaultKind, ...] = (VaultKind("faulty, and calm", calm, many_objects=300, threads=False),)
