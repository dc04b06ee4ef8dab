"""Losses that the service names elsewhere than in a recovery's report, in its words, so that they are counted."""

from __future__ import annotations

from collections.abc import Iterable

from safehold.disaster.lab import World
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.recovery.report import Loss, Report


def accounts_gone(world: World, names: Iterable[str]) -> None:
    """The register of erased accounts has these, with all that they had."""
    _tell(world, [Loss(name, kind, None, None, []) for name in names for kind in DATA_KINDS])


def items_gone(world: World, items: Iterable[tuple[str, Kind, str, str]]) -> None:
    """A scrub, a repair or an incident names what these items consist of: account, kind, collection, name."""
    _tell(world, [Loss(account, kind, path, name, []) for account, kind, path, name in items])


def _tell(world: World, lost: list[Loss]) -> None:
    world.reports.append(Report(0, 0, 0, 0, {}, lost, 0.0, [], 0.0, 0.0, True, 0))
