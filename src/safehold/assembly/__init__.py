"""The only room that chooses implementations: it puts disk, clock, core, log, vaults and service together.

site          a data folder: where its parts lie, and how each is opened
installation  what can be done with it: make, work in, recover, say how it stands
writer        core and log opened for writing, with the vault's tail taken in, and the shippers behind them
session       what a command works with: the running service over its socket, or a writer of its own
status        how it stands, as an object       recovering, vaults  recovery, and adding vaults, wired to a site
snapshot      generations written, beside a service or alone      scheduled  snapshots that a service has taken
serving       the service: writer, sign-in, edge and local socket in one process
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safehold.assembly.installation import Installation, open_installation

__all__ = ["Installation", "open_installation"]


def __getattr__(name: str) -> Any:
    """Brought in when asked for: a command that needs a part of this room does not wait for all of it."""
    if name not in __all__:
        raise AttributeError(name)
    from safehold.assembly import installation

    return getattr(installation, name)
