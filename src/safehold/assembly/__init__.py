"""The only room that chooses implementations: it puts disk, clock, core, log, vaults and service together.

site          a data folder: where its parts lie, and how each is opened
installation  what can be done with it: make, work in, recover, say how it stands
writer        core and log opened for writing, with the vault's tail taken in, and the shippers behind them
session       what a command works with: the running service over its socket, or a writer of its own
status        how it stands, as an object       recovering, vaults  recovery, and adding vaults, wired to a site
serving       the service: writer, sign-in, edge and local socket in one process
"""

from safehold.assembly.installation import Installation, open_installation

__all__ = ["Installation", "open_installation"]
