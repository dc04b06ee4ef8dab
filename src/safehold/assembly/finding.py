"""What a start finds where the core should be, in plain words, and whether it may recover by itself.

    whole      served as it is; one that is merely behind its vaults is taken in by the writer
    lost       gone, an empty file, damaged, or older than all that the log has left: it is to be recovered

By itself a start recovers where nothing is left to decide (I58): the key is at hand, and so is a vault that answers
waited for. In every other case it ends, says why, and changes nothing. A core that a newer release has written is never
touched, and one whose history is not that of its vaults is never moved aside by a start: what it alone holds is for a
person to look at.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from safehold.archiver.claiming import Mode
from safehold.assembly.renewal import wanted
from safehold.assembly.site import CoreMissing, NoVaultInReach, Site
from safehold.config import ASK
from safehold.model.counting import count_text
from safehold.model.errors import Damaged, NewerCore, OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS
from safehold.ports.core import NOT_YET, CoreReads, LogPosition
from safehold.ports.log import LogFrame
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.keyring import is_complete
from safehold.vault.log import NotOnTheLog

if TYPE_CHECKING:  # brought in where something is lost: a start that finds its core whole waits for none of it
    from safehold.assembly.recovering import Sources
    from safehold.recovery.sources import Source


class Lost(NamedTuple):
    """The core has to be recovered, and why: the end of a sentence that begins with `the core`.

    `begun`: an earlier start has put the core that is there into place, and has not brought everything into it.
    """

    why: str
    begun: bool = False


class NotByItself(OperatorError):
    """The core has to be recovered, and a person has to have a part in it."""


def find_core(site: Site) -> Lost | None:
    """None where there is one to serve, or none is needed yet. Reads little; opens for reading only.

    Raises NewerCore, and CoreMissing where no vault is in reach.
    """
    if not site.has_core():
        there = site.core_path.exists()
        try:
            site.refuse_history_without_core()
        except NoVaultInReach:
            raise
        except CoreMissing:
            return Lost("is an empty file" if there else "is missing")
        return None
    try:
        core = SqliteCore.open(str(site.core_path), read_only=True, older=True)
    except NewerCore:
        raise
    except (Damaged, OperatorError) as error:
        return Lost(f"cannot be read ({error.message})")
    with closing(core):
        try:
            core.log_position()
            core.accounts()
            begun = core.recovery_record() is not None
            old = begun and _is_old_copy(site, core)
        except Damaged as error:
            return Lost(f"cannot be read ({error.message})")
    if old:
        return Lost("is an old copy of one that was still being recovered: the log goes on with what it lacks")
    if begun:
        return Lost("is still being recovered", begun=True)
    renewal = wanted(site)
    return None if renewal is None else Lost(f"is to be made anew ({renewal.reason})")


def find_why_not(site: Site, error: SafeholdError) -> Lost | None:
    """What a writer that could not open says of its core; None where recovering it is no way out."""
    if isinstance(error, Damaged) and error.where == "core":
        return Lost(f"cannot be read ({error.message})")
    if not isinstance(error, OperatorError) or isinstance(error, NewerCore) or not site.opener.can_open:
        return None
    with closing(site.open_reads()) as core:
        position = core.log_position()
    try:
        return Lost("is older than all that the log has left") if _is_too_old(site, position) else None
    except SafeholdError:
        return None


def _is_old_copy(site: Site, core: CoreReads) -> bool:
    """Whether streams that have not come into a half recovered core were written to since: then they had come.

    What comes after a held stream's end cannot be taken in, so that the writer would never open.
    """
    from safehold.assembly.recovering import Sources

    waiting = set(core.held_streams(NOT_YET))
    if not waiting or not site.opener.can_open:
        return False
    position = core.log_position()
    reader = Sources(site).reader()
    try:
        if reader.branch().left(position):
            return False
        return any(
            (change.account, change.kind) in waiting
            for entry in reader.entries(position)
            if isinstance(entry, LogFrame)
            for change in entry.changes
        )
    except SafeholdError:  # no vault is in reach, or none has what follows: who goes on with it says so
        return False


def _is_too_old(site: Site, position: LogPosition) -> bool:
    """Whether what came right after a position was dropped from the log, and a generation holds all of that."""
    from safehold.assembly.recovering import Sources
    from safehold.recovery.origin import Origin

    sources = Sources(site)
    reader = sources.reader()
    if reader.branch().left(position):
        return False
    origin = Origin(reader, sources.runs())
    if origin.position.frame <= position.frame:
        return False
    try:
        first = next(iter(reader.entries(position)), None)
    except NotOnTheLog:
        return True
    return not isinstance(first, LogFrame)


def require_recoverable(site: Site, lost: Lost) -> Sources:
    """What a start recovers from. Raises OperatorError, exit code 3, that says why it does not, and what to do."""
    from safehold.assembly.recovering import Sources
    from safehold.recovery.sources import look

    if not is_complete(site.disk, str(site.keys_folder)):
        raise NotByItself(
            f"the core {lost.why}, and so are the keys: {site.keys_folder} does not hold them",
            hint="give the recovery key to `safehold recover run --identity FILE`; nothing was changed",
        )
    site.opener.require(f"the core {lost.why}, and what the vaults hold")
    sources = Sources(site)
    vaults = sources.vaults()
    try:
        found = look(vaults)
        _require_vaults(site, lost, found)
        if site.config.recovery_start == ASK and not lost.begun:
            raise NotByItself(
                f"the core {lost.why}; {_in_short(site, sources)}",
                hint="look with `safehold recover plan`, then `safehold recover run`; or let `serve` do it by itself: "
                'start = "automatic" in the section [recovery] of the configuration; nothing was changed',
            )
    finally:
        for vault in vaults:
            vault.close()
    return sources


def _require_vaults(site: Site, lost: Lost, found: list[Source]) -> None:
    told = "; ".join(f"{source.vault}: {source.problem}" for source in found if source.problem)
    modes = {config.name: config.mode for config in site.config.vaults}
    there = [source for source in found if source.folders]
    if not there:
        raise NotByItself(
            f"the core {lost.why}, and no vault that holds its history is in reach ({told or 'they are empty'})",
            hint="mount the vaults' disks, then start again or run `safehold recover run`; nothing was changed",
        )
    if not any(modes[source.vault] == Mode.SYNC for source in there):
        names = ", ".join(source.vault for source in there)
        raise NotByItself(
            f"the core {lost.why}, and of its vaults only {names} can be read, for which no answer has waited: what "
            f"was written last may be missing there ({told})",
            hint="bring the other vault back; or see what `safehold recover plan` says, and go on with that by "
            "`safehold recover run`; nothing was changed",
        )


def _in_short(site: Site, sources: Sources) -> str:
    """What a plan would say, at a glance."""
    from safehold.recovery.glance import glance

    plan = glance(sources.reader(), sources.vaults(), site.clock, sources.runs(), sync=sources.sync_names())
    if plan is None:
        return "what would come back takes a plan to say"
    report = plan.report
    # What came after the newest generation is counted by its changes, which may be of things that were there or went.
    kinds = ", ".join(f"{report.items[kind].expected} {kind}" for kind in DATA_KINDS if report.items[kind].expected)
    held = f"up to {kinds}" if kinds else "no items"
    return (
        f"the vaults hold {count_text(report.accounts, 'account')} with {held} in "
        f"{count_text(report.changes_expected, 'change')}; "
        f"all of that would come back in about {report.seconds:.1f} s"
    )
