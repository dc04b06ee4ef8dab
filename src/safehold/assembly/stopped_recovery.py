"""What can be said of a recovery that was begun in a core which nobody serves now."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from safehold.assembly.site import Site
from safehold.model.kinds import Kind
from safehold.ports.core import NOT_YET, CoreReads

#: Streams that are held for good are named, up to so many.
NAMED = 100


def stopped_recovery(site: Site) -> dict[str, Any] | None:
    """As the `recovery` of a service that is at it; None where none is under way."""
    if not site.has_core():
        return None
    with closing(site.open_reads()) as core:
        data = core.recovery_record()
        return None if data is None else _told(site, core, data)


def _told(site: Site, core: CoreReads, data: bytes) -> dict[str, Any]:
    from safehold.recovery.staged_record import parse
    from safehold.service.items import stamp

    held = [
        f"{account.name}, {kind} is held: {why}"
        for account in core.accounts()
        for kind in Kind
        if (why := core.held(account.number, kind)) not in (None, NOT_YET)
    ]
    return {
        "state": "stopped",
        "stage": None,
        "since": stamp(parse(data).began_at),
        "kinds": {},
        "streams": {"queued": len(core.held_streams(NOT_YET)), "partial": len(held)},
        "seconds": None,
        "forecast_seconds": None,
        "sources": [vault.name for vault in site.config.vaults],
        "held": held[:NAMED],
        "trouble": None,
    }
