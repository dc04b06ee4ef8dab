"""Every kind of vault, for the suites of tests/contracts: each is a place in which instances are opened.

A module of this package that has `KINDS` adds to the list, in the order of the modules' names; nothing else has to be
changed. What a kind cannot do it says in its VaultKind, and the suite leaves out no more than that.

The names and bytes that the suite uses are such as every vault takes: what is appended to bears the name of a segment
of the log and holds no frames, what is put lies in keys/, recovery/ or blobs/.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest

from safehold.ports.vault import KeptVault, Vault
from safehold.ports.world import Clock

#: Opens one more instance of the same vault, as another process does. Each is for one thread; the caller closes it.
Open = Callable[[], Vault]


class VaultKind(NamedTuple):
    """One kind of vault: `place` gives a new one that holds nothing but its mark and the reader, until its end."""

    name: str
    place: Callable[[Path], AbstractContextManager[Open]]
    #: Bytes and objects that the long tests of the suite may use: less where every request costs.
    large_bytes: int = 10_000_000
    many_objects: int = 2_100
    #: Whether instances may be used by several threads at once; not where all share a simulated disk.
    threads: bool = True
    #: Marks of pytest for all tests of this kind: `pytest.mark.long`, or a `skipif` where its server is not installed.
    marks: Sequence[pytest.MarkDecorator] = ()


class KeptVaultKind(NamedTuple):
    """One kind of vault with its keeper's credentials; `place` is given a folder and the keeper's clock."""

    name: str
    place: Callable[[Path, Clock], AbstractContextManager[KeptVault]]
    marks: Sequence[pytest.MarkDecorator] = ()


def _modules() -> list[object]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def vault_kinds() -> list[VaultKind]:
    return [kind for module in _modules() for kind in getattr(module, "KINDS", ())]


def kept_vault_kinds() -> list[KeptVaultKind]:
    return [kind for module in _modules() for kind in getattr(module, "KEPT_KINDS", ())]


def vault_parameters() -> list[object]:
    """For `pytest.fixture(params=…)`."""
    return [pytest.param(kind, id=kind.name, marks=tuple(kind.marks)) for kind in vault_kinds()]


def kept_vault_parameters() -> list[object]:
    return [pytest.param(kind, id=kind.name, marks=tuple(kind.marks)) for kind in kept_vault_kinds()]
