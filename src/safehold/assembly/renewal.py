"""A core that cannot be mended in place is made anew: moved aside and recovered from the vaults, by a start.

The running service marks it, ends as at SIGTERM and begins again; the mark tells the start that this core counts as
damaged. It lies in the folder of the core, which is moved aside whole: so it is gone, in the same step, once a new core
is in its place, and a kill at any moment leaves either.

No core is renewed that holds anything alone (law 1 says that it does not, and it is looked at all the same): the
writer writes, every sync vault can be read and ends where the core ends, none of its changes waits to be archived, and
no vault is known to be damaged. Nor where the start could not go on by itself: the identity lies beside the core, and
the configuration leaves recovering to the service. A start that cannot all the same serves the core as it is.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import NoReturn

import msgspec

from safehold.archiver.log import Mode
from safehold.assembly.site import Site
from safehold.assembly.status import last_scrub_object
from safehold.config import ASK
from safehold.model.errors import SafeholdError
from safehold.ports.core import UNARCHIVED, CoreReads, LogPosition
from safehold.vault.log import VaultLogReader

MARK = "renew.json"
#: In the environment of a program that has begun again by itself: it has been announced already.
AGAIN = "SAFEHOLD_BEGUN_AGAIN"


class Renewal(msgspec.Struct, frozen=True):
    """What the mark says."""

    at: int  # µs
    reason: str


def wanted(site: Site) -> Renewal | None:
    """What the mark on the core in place says; None where there is none."""
    try:
        file = site.disk.open(_mark(site))
    except OSError:
        return None
    try:
        return msgspec.json.decode(file.read_at(0, 1 << 16), type=Renewal)
    except (OSError, msgspec.DecodeError):
        return Renewal(0, "it was found damaged")
    finally:
        file.close()


def mark(site: Site, reason: str) -> None:
    """Durable when this returns. Raises OSError."""
    path = _mark(site)
    file = site.disk.open(f"{path}.new", write=True, create=True)
    try:
        file.truncate(0)
        file.write_at(0, msgspec.json.encode(Renewal(site.clock.now(), reason)))
        file.sync()
    finally:
        file.close()
    site.disk.rename(f"{path}.new", path)
    site.disk.sync_folder(path.rpartition("/")[0])


def why_not(site: Site, core: CoreReads, end: LogPosition) -> str:
    """What keeps the core from being renewed now; "" where nothing does.

    `end` is that of a writer that writes, in its turn: what came after the core's own position are frames without
    changes (a claim, a seal), for with each that has some the core's position is committed.
    """
    if not site.opener.can_open:
        return "the recovery key is not at hand: give it to `safehold serve --identity FILE`"
    if not site.identity_beside:
        return "the recovery key was given by hand, and would have to be given again"
    if site.config.recovery_start == ASK:
        return "the configuration wants a person to be asked before anything is recovered"
    if core.unarchived(UNARCHIVED - 1)[0] or core.log_position().frame > end.frame:
        return "it holds changes that the vaults do not have yet"
    for config in site.config.vaults:
        if config.mode != Mode.SYNC:
            continue
        scrubbed = last_scrub_object(site, config.name)
        if scrubbed is not None and not scrubbed["ok"]:
            return f"the vault {config.name} is damaged: run `safehold vault repair {config.name} --yes` first"
        vault = site.vault(config)
        with closing(vault):
            if not vault.available():
                return f"the vault {config.name} is not in reach"
            try:
                if VaultLogReader([vault], site.opener).end() != end:
                    return f"the vault {config.name} does not end where the core ends"
            except SafeholdError as error:
                return f"the vault {config.name} cannot be read: {error.message}"
    return ""


def has_begun_again() -> bool:
    return AGAIN in os.environ


def begin_again() -> NoReturn:
    """Replace this process by the same program; its locks and sockets are given up by that. Does not return."""
    os.environ[AGAIN] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _mark(site: Site) -> str:
    return str(site.core_path.parent / MARK)
