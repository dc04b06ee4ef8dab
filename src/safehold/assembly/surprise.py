"""`drill surprise`: something of the operator's list is broken, and the people are timed until it is right again.

Before anything is touched, `run/surprise.json` says what will be, durably; it is removed once all is back in place. So
a surprise whose process was killed is found by the next call, which undoes it first. What cannot be undone without
harm (a core, once a recovery has been begun) is left to the runbook, and told.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from safehold.adapters.system import pause
from safehold.archiver.claiming import Mode
from safehold.assembly.drill_record import drills
from safehold.assembly.site import Site
from safehold.config import VaultConfig
from safehold.formats import evidence as evidence_format
from safehold.formats.evidence import Evidence
from safehold.model.errors import OperatorError, OutOfSpace, SafeholdError
from safehold.ports.core import EMPTY_LOG
from safehold.ports.whole_file import write_whole
from safehold.proof.drills import WHOLE
from safehold.proof.surprises import CORE_ASIDE, SERVICE_STOPPED, SURPRISES, VAULT_AWAY, Struck, Surprised, as_object
from safehold.service.control import STATUS
from safehold.vault.evidence import put_evidence
from safehold.vault.log import VaultLogReader

#: The `kind` of evidence of a surprise.
SURPRISE = "surprise"
#: How often the check is made, and how long a service is given to end.
LOOK_SECONDS, STOP_SECONDS = 1.0, 60.0
LIMIT_SECONDS = 3600.0


def candidates(site: Site) -> dict[str, str]:
    """Of the operator's list: why each cannot be done now, "" where it can."""
    return {what: _hindrance(site, what) for what in site.config.surprises}


def _hindrance(site: Site, what: str) -> str:
    if what == VAULT_AWAY:
        return "" if _away(site) else "no async vault in a folder is there"
    if not site.socket_path.exists() or _holder(site) is None:
        return "no service of this user runs"
    if what == CORE_ASIDE:
        sync = {config.name for config in site.config.vaults if config.mode == Mode.SYNC}
        last = [one for one in drills(site) if one.vault in sync and one.scope == WHOLE]
        if not last or not last[-1].ok:
            return "the last whole drill of a sync vault has to be sound: `safehold drill run`"
    return ""


def _away(site: Site) -> list[VaultConfig]:
    return [
        config
        for config in site.config.vaults
        if config.mode != Mode.SYNC and config.is_folder and site.vault(config).available()
    ]


def _holder(site: Site) -> int | None:
    """The process that holds the core, where this user may end it."""
    with suppress(OSError, ValueError):
        holder = int((site.data / "run" / "lock").read_text().strip())
        os.kill(holder, 0)
        return holder
    return None


def _record(site: Site) -> Path:
    return site.data / "run" / "surprise.json"


def under_way(site: Site) -> Struck | None:
    """A surprise that was not ended: its process was killed."""
    try:
        return msgspec.json.decode(_record(site).read_bytes(), type=Struck)
    except (OSError, msgspec.MsgspecError):
        return None


# -- breaking


def strike(site: Site, what: str, by: str, draw: Callable[[int], int], wait: Callable[[float], None] = pause) -> Struck:
    """Break it, once it is on record how it is put back. Raises OperatorError."""
    if reason := _hindrance(site, what):
        raise OperatorError(f"{what!r} cannot be done now: {reason}")
    struck = Struck(what=what, at=site.clock.now(), by=by)
    if what == VAULT_AWAY:
        there = _away(site)
        config = there[draw(len(there))]
        folder = config.folder(site.data).resolve()
        aside = folder.with_name(f"{folder.name}.away")
        if aside.exists():
            raise OperatorError(f"{aside} is in the way", hint="see what it is, and move it elsewhere")
        struck = msgspec.structs.replace(struck, vault=config.name, moved=str(folder), aside=str(aside))
    elif what == CORE_ASIDE:
        with_core = site.open_reads()
        try:
            counts, position = with_core.counts(), with_core.log_position()
        finally:
            with_core.close()
        folder = site.core_path.parent
        aside = site.scratch_folder / f"core-surprise-{struck.at}"
        struck = msgspec.structs.replace(
            struck, moved=str(folder), aside=str(aside), changes=counts["changes"], timeline=position.timeline
        )
    _note(site, struck)
    if what in (SERVICE_STOPPED, CORE_ASIDE):
        _stop(site, wait)
    if struck.moved:
        Path(struck.moved).rename(struck.aside)
    return struck


def _note(site: Site, struck: Struck) -> None:
    write_whole(site.disk, str(_record(site)), msgspec.json.encode(struck))


def _stop(site: Site, wait: Callable[[float], None]) -> None:
    """Raises OperatorError where the service does not end."""
    holder = _holder(site)
    if holder is not None:
        os.kill(holder, signal.SIGTERM)
    until = site.clock.monotonic() + STOP_SECONDS
    while site.is_locked():
        if site.clock.monotonic() > until:
            _record(site).unlink(missing_ok=True)
            raise OperatorError("the service does not end", hint="look at its log; nothing else was touched")
        wait(0.1)


# -- whether it is right again, and the end


def passes(site: Site, struck: Struck) -> bool:
    """Whether the people have got it right again."""
    try:
        if struck.what == VAULT_AWAY:
            config = next(config for config in site.config.vaults if config.name == struck.vault)
            return site.vault(config).available()
        answer = site.ask_service(STATUS)
        told = msgspec.json.decode(answer) if answer is not None else {}
        if told.get("service") != "serving":
            return False
        return struck.what != CORE_ASIDE or (told.get("changes") or 0) >= struck.changes
    except (SafeholdError, OSError, StopIteration, msgspec.MsgspecError):
        return False


def undo(site: Site, struck: Struck) -> str:
    """Put back what is still away; what was done, in words. What would do harm is left, and told."""
    told = ""
    if struck.moved:
        moved, aside = Path(struck.moved), Path(struck.aside)
        if not aside.exists():
            told = ""
        elif moved.exists():
            told = f"another {moved.name} is in its place; the one that was there lies in {aside}"
        elif struck.what == CORE_ASIDE and _begun(site, struck):
            told = f"a recovery has been begun: the database that was there lies in {aside}, and is not put back"
        else:
            aside.rename(moved)
            told = f"{moved.name} was put back"
    _record(site).unlink(missing_ok=True)
    return told


def _begun(site: Site, struck: Struck) -> bool:
    """Whether somebody has claimed a timeline since: the old core would be refused."""
    if site.is_locked():
        return True
    for config in site.config.vaults:
        try:
            if VaultLogReader([site.vault(config)], site.opener).end().timeline > struck.timeline:
                return True
        except SafeholdError:
            continue
    return False


def run_surprise(
    site: Site,
    *,
    by: str = "",
    limit_seconds: float = LIMIT_SECONDS,
    tell: Callable[[str], None] = lambda _: None,
    wait: Callable[[float], None] = pause,
) -> Surprised:
    """Draw, break, wait for the people, put back, and keep evidence. Raises OperatorError."""
    left = under_way(site)
    if left is not None:
        tell(f"an earlier surprise ({left.what}) was not ended: {undo(site, left) or 'nothing had to be put back'}")
    possible = [what for what, why in candidates(site).items() if not why]
    if not possible:
        raise OperatorError(
            "nothing can be broken now",
            hint="name in safehold.toml what may be, [drills] surprise; `safehold drill surprise` says what hinders it",
            exit_code=2,
        )

    def draw(count: int) -> int:
        return int.from_bytes(site.entropy.bytes(4), "big") % count

    struck = strike(site, possible[draw(len(possible))], by, draw, wait)
    runbook = SURPRISES[struck.what].runbook
    tell(f"something has been broken. Open the runbook: `safehold runbook run {runbook}`")
    began = site.clock.monotonic()
    ok = False
    undone = ""
    try:
        while not ok and site.clock.monotonic() - began < limit_seconds:
            wait(LOOK_SECONDS)
            ok = passes(site, struck)
    finally:
        seconds = site.clock.monotonic() - began
        undone = undo(site, struck)
    found = Surprised(
        at=struck.at,
        what=struck.what,
        vault=struck.vault,
        runbook=runbook,
        ok=ok,
        seconds=round(seconds, 3),
        limit_seconds=limit_seconds,
        undone=undone,
        approved_by=by,
    )
    return _keep(site, found)


def _keep(site: Site, found: Surprised) -> Surprised:
    sealer = site.keyring.keeper or site.keyring.sealer
    vaults = [site.vault(config) for config in site.config.vaults]
    value = Evidence(evidence_format.VERSION, SURPRISE, 0, found.vault, EMPTY_LOG, b"", as_object(found))
    try:
        return msgspec.structs.replace(found, evidence=put_evidence(vaults, sealer, site.clock, value).name)
    except (OperatorError, OutOfSpace):
        return found
    finally:
        for vault in vaults:
            vault.close()
