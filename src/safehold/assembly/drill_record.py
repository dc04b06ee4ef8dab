"""What a data folder remembers of its drills: `run/drills.json`, and the evidence in the vaults behind it.

    {"version": 1, "drills": [Drilled, …]}      newest last, at most KEPT of them, replaced as a whole by a rename

The file may be lost at any time: `drills` reads it back from the evidence, which is the record; `remembered_drills`,
for whoever may not wait for vaults, takes what is there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from safehold.assembly.site import Site
from safehold.formats import evidence as evidence_format
from safehold.formats.evidence import Evidence
from safehold.model.errors import OperatorError, OutOfSpace, SafeholdError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.whole_file import write_whole
from safehold.proof.drills import WHOLE, Drilled
from safehold.service.items import stamp
from safehold.vault.evidence import put_evidence, read_evidence

#: The `kind` of evidence of a drill.
DRILL = "drill"
VERSION = 1
#: Drills that are remembered: a year of one a day.
KEPT = 400
_MICROSECONDS = 1_000_000
_MOST_BYTES = 64 * 1024 * 1024

_log = logging.getLogger("safehold.drill")


class _Page(msgspec.Struct):
    version: int = VERSION
    drills: list[Drilled] = []


def remembered_drills(site: Site) -> list[Drilled]:
    """What the file says, newest last; nothing where it is not there or cannot be read. No vault is looked at."""
    page = _load(site)
    return [] if page is None else page.drills


def drills(site: Site) -> list[Drilled]:
    """The last drills, newest last: from the file, and where that is gone or damaged from evidence in the vaults."""
    page = _load(site)
    if page is not None:
        return page.drills
    found = _from_evidence(site)
    if found:
        with suppress(OSError):
            _save(site, found)
    return found


def note_drill(site: Site, drilled: Drilled) -> None:
    """Add one to the file. Where that cannot be written, its evidence still has it. The caller holds the drill lock."""
    known = [one for one in drills(site) if (one.at, one.vault) != (drilled.at, drilled.vault)]
    try:
        _save(site, sorted([*known, drilled], key=lambda one: one.at)[-KEPT:])
    except OSError as error:
        _log.warning("the drill could not be noted in %s: %s", _path(site), error.strerror)


def record_drill(site: Site, drilled: Drilled, upto: LogPosition = EMPTY_LOG) -> Drilled:
    """Put evidence of a drill into every vault that can be reached, and note it; as it was noted.

    `upto` is the log position that was recovered. What hinders the evidence is logged: the drill still counts here.
    """
    vaults = [site.vault(config) for config in site.config.vaults]
    sealer = site.keyring.keeper or site.keyring.sealer
    value = Evidence(evidence_format.VERSION, DRILL, 0, drilled.vault, upto, b"", facts_of(drilled))
    try:
        drilled = msgspec.structs.replace(drilled, evidence=put_evidence(vaults, sealer, site.clock, value).name)
    except (OperatorError, OutOfSpace) as error:
        _log.warning("no evidence of the drill could be kept: %s", error.message)
    finally:
        for vault in vaults:
            vault.close()
    note_drill(site, drilled)
    return drilled


def facts_of(drilled: Drilled) -> dict[str, Any]:
    """JSON values."""
    facts: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(drilled))
    return facts


def last_drill_object(site: Site, vault: str, known: Sequence[Drilled] | None = None) -> dict[str, Any] | None:
    """The last drill of a vault as status tells it; None where none is known here."""
    found = [one for one in (remembered_drills(site) if known is None else known) if one.vault == vault]
    if not found:
        return None
    last = found[-1]
    return {
        "at": last.at,
        "seconds_ago": round(max(0, site.clock.now() - last.at) / _MICROSECONDS, 1),
        "ok": last.ok,
        "scope": last.scope,
        "seconds": round(last.seconds, 3),
        "items": last.items,
        "evidence": last.evidence,
    }


def failed_drills(known: Sequence[Drilled]) -> list[Drilled]:
    """The newest drill of each vault that failed and that no later one of that vault has made up for.

    A whole drill makes up for all before it; a rolling one for its own share; all shares of one division for all.
    """
    failed: dict[str, Drilled] = {}
    since: dict[str, list[Drilled]] = {}
    for one in known:
        if not one.ok:
            failed[one.vault], since[one.vault] = one, []
        elif one.vault in failed:
            since[one.vault].append(one)
            if _made_up(failed[one.vault], since[one.vault]):
                del failed[one.vault]
    return [failed[name] for name in sorted(failed)]


def drill_incidents(known: Sequence[Drilled], names: Sequence[str]) -> list[dict[str, Any]]:
    """What stands of failed drills, of the vaults with these names."""
    return [_incident(one) for one in failed_drills(known) if one.vault in names]


def _incident(failed: Drilled) -> dict[str, Any]:
    count = len(failed.damaged) + len(failed.deviations)
    things = "1 thing was" if count == 1 else f"{count} things were"
    first = next(iter(failed.deviations), "") or next((str(one.get("why", "")) for one in failed.damaged), "")
    return {
        "what": "drill failed",
        "key": failed.vault,
        "since": stamp(failed.at),
        "until": None,
        "message": f"the last drill of the vault {failed.vault} failed: {things} not as they should be"
        + (f", first: {first}" if first else ""),
        "summary": f"A recovery drill from the vault {failed.vault} failed",
        "hint": f"`safehold runbook run drill-failed`; then `safehold drill run --vault {failed.vault}` again",
        "runbook": "drill-failed",
    }


def _made_up(failed: Drilled, later: Sequence[Drilled]) -> bool:
    if any(one.scope == WHOLE or (failed.scope != WHOLE and one.share == failed.share) for one in later):
        return True
    shares = [one.share for one in later]
    return any({part for part, parts in shares if parts == of} == set(range(1, of + 1)) for _, of in set(shares))


def _from_evidence(site: Site) -> list[Drilled]:
    """What the vaults have; nothing where the identity is not here to open it."""
    found: list[Drilled] = []
    vaults = []
    try:
        opener = site.opener
        if not opener.can_open:
            return []
        vaults = [site.vault(config) for config in site.config.vaults]
        there = [vault for vault in vaults if vault.available()]
        for one in read_evidence(there, opener.installation, opener):
            if one.evidence.kind == DRILL:
                with suppress(msgspec.ValidationError):
                    found.append(
                        msgspec.structs.replace(msgspec.convert(one.evidence.facts, Drilled), evidence=one.name)
                    )
    except (SafeholdError, OSError) as error:
        _log.info("drills cannot be read back from the vaults: %s", error)
        return []
    finally:
        for vault in vaults:
            vault.close()
    return sorted(found, key=lambda one: one.at)[-KEPT:]


def _path(site: Site) -> str:
    return str(site.data / "run" / "drills.json")


def _load(site: Site) -> _Page | None:
    try:
        file = site.disk.open(_path(site))
    except OSError:
        return None
    try:
        page = msgspec.json.decode(file.read_at(0, min(file.size(), _MOST_BYTES)), type=_Page)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
        return None
    finally:
        file.close()
    return page if page.version == VERSION else None


def _save(site: Site, known: Sequence[Drilled]) -> None:
    """Raises OSError."""
    write_whole(site.disk, _path(site), msgspec.json.encode(_Page(drills=list(known))))
