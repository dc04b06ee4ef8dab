"""Vaults that were changed in the configuration are taken up: by the service that runs, else by a writer of our own."""

from __future__ import annotations

from contextlib import ExitStack

from safehold.assembly.site import Site
from safehold.model.errors import OperatorError
from safehold.service.control import RELOAD, decode_json


def take_up(site: Site) -> None:
    """`site.config` is what stands in the file. Raises OperatorError where nothing can be written over these vaults."""
    with ExitStack() as stack:
        running = site.ask_or_lock(RELOAD, stack)
        if running is None:
            if site.core_path.exists():
                _open_over_all(site)
            return
    if not (answer := decode_json(running)).get("ok"):
        raise OperatorError(
            f"the service took up the vaults, but cannot write: {answer.get('why')}",
            hint="bring that vault back, or make it anew with `safehold vault add NAME`; then do this again",
        )


def _open_over_all(site: Site) -> None:
    """Open a writer once, which brings every vault to what the core holds; the lock is held."""
    writer = site.make_writer()
    try:
        writer.change_vaults(site.config.vaults)
        writer.require_open()
        writer.found(site.config.text)
    finally:
        writer.close()
    writer.ship_all()
