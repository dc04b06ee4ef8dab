"""The status object of the contract: what is here, how far each vault is, and what is at risk, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from safehold.adapters.places import Place
from safehold.adapters.watch import Seen
from safehold.archiver.claiming import LogVault, Mode, refuse_unwritable
from safehold.archiver.shipper import Shipper
from safehold.assembly.domains import Part, domain_risks, own_parts, vault_place
from safehold.assembly.drill_record import drill_incidents, last_drill_object, remembered_drills
from safehold.assembly.keystate import key_risks, key_state
from safehold.assembly.mode_record import recorded_modes
from safehold.assembly.objectives import Measures, Told
from safehold.assembly.parity import parity_object
from safehold.assembly.probing import BY_CONVENTION, put_over_text, remembered
from safehold.assembly.site import CoreMissing, Site
from safehold.assembly.vault_urls import AnyVault, full_url, store_costs
from safehold.assembly.writer import Writer
from safehold.config import VaultConfig
from safehold.model.counting import count_text
from safehold.model.errors import OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS
from safehold.ports.core import CoreReads, LogPosition
from safehold.proof.runbook_names import runbook_of
from safehold.recovery.notebook import FileNotebook
from safehold.service.anew import founded_anew
from safehold.service.erasing import erasing_accounts
from safehold.service.incidents import SHOWN_MICROSECONDS, end_in_doubt
from safehold.service.items import stamp
from safehold.vault.log import VaultLogReader

#: States of the service: it takes changes; it does, and has not all of what was there yet; it takes none; none runs.
SERVING, RECOVERING, READ_ONLY, STOPPED = "serving", "recovering", "read-only", "stopped"
#: States of a vault: a look into it has not ended yet, or has taken too long to be waited for.
NOT_SEEN, NOT_ANSWERING = "not seen yet", "not answering"
_MICROSECONDS = 1_000_000


def status_object(
    site: Site,
    reads: CoreReads,
    writer: Writer | None,
    devices_ahead: Sequence[dict[str, Any]] = (),
    looks: Looks | None = None,
    measures: Measures | None = None,
) -> dict[str, Any]:
    """What stands on the status page. `writer` is the running one, or None where nothing runs.

    `looks` are what is known of the vaults; without them they are looked at now. `measures`: of who is asked often.
    """
    counts, sizes = reads.counts(), reads.sizes()
    looks = looks_now(site) if looks is None else looks
    vaults = describe_vaults(site, writer, looks, reads)
    incidents = [*_incidents(site.config.vaults, vaults, writer), *_put_off(reads), *devices_ahead]
    incidents += [*_unwritable(site, reads, writer, vaults), *end_in_doubt(reads), *_drills(site)]
    incidents += founded_anew(reads, site.clock.now(), SHOWN_MICROSECONDS)
    told = (measures or Measures(site)).told(reads, vaults, looks)
    return {
        "service": _service_state(writer),
        "timeline": _timeline(reads, writer),
        "accounts": counts["accounts"],
        "changes": counts["changes"],
        "items": {kind.value: counts.get(kind.value, 0) for kind in DATA_KINDS},
        "bytes": {kind.value: sizes.get(kind.value, 0) for kind in DATA_KINDS},
        "vaults": vaults,
        **_promised(told),
        "incidents": with_runbooks([*incidents, *told.incidents]),
        "intake": _intake(reads),
        "recovery": None,
        "risks": [*_risks(site, vaults, looks), *key_risks(site, reads)],
        "keys": key_state(site, reads),
    }


def status_without_core(
    site: Site,
    error: SafeholdError,
    writer: Writer | None = None,
    incidents: Sequence[dict[str, Any]] = (),
    looks: Looks | None = None,
    measures: Measures | None = None,
) -> dict[str, Any]:
    """The same where the core is not there or cannot be read, for the reason of `error`: what it would tell is None."""
    looks = looks_now(site) if looks is None else looks
    vaults = describe_vaults(site, writer, looks)
    lost = {
        "what": "core missing" if isinstance(error, CoreMissing) else "core unreadable",
        "message": error.message,
        "summary": "The service's database is missing or damaged",
        "hint": error.hint,
    }
    told = (measures or Measures(site)).told(None, vaults, looks)
    writing = writer is not None and writer.engine.stopped is None
    return {
        "service": _service_state(writer),
        "timeline": writer.engine.log.timeline if writer is not None and writing else None,
        "accounts": None,
        "changes": None,
        "items": dict.fromkeys(kind.value for kind in DATA_KINDS),
        "vaults": vaults,
        **_promised(told),
        "incidents": with_runbooks(
            [lost, *_incidents(site.config.vaults, vaults, writer), *incidents, *_drills(site), *told.incidents]
        ),
        "intake": None,
        "recovery": None,
        "risks": _risks(site, vaults, looks),
        "keys": None,
    }


def with_runbooks(incidents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with the runbook that it calls for, where it names none."""
    return [{**incident, "runbook": incident.get("runbook") or runbook_of(incident["what"])} for incident in incidents]


def _promised(told: Told) -> dict[str, Any]:
    return {"objectives": told.objectives, "forecast": told.forecast, "evidence": told.evidence}


def _drills(site: Site) -> list[dict[str, Any]]:
    return drill_incidents(remembered_drills(site), [vault.name for vault in site.config.vaults])


def _put_off(reads: CoreReads) -> list[dict[str, Any]]:
    """Accounts that were to be erased and are locked: whoever did not mean it learns of it while they are there."""
    waiting = [erasing for erasing in erasing_accounts(reads) if reads.account_by_id(erasing.id) is not None]
    if not waiting:
        return []
    count = count_text(len(waiting), "account is", "accounts are")
    return [
        {
            "what": "erasures put off",
            "since": stamp(min(erasing.asked for erasing in waiting)),
            "until": None,
            "message": f"{count} locked, and erased from {stamp(waiting[0].due)} on: more were to be erased within an "
            "hour than brakes.erasures says",
            "hint": "`safehold account list` names them, `safehold account restore NAME` takes one back",
            "summary": "The operator has been asked to look at something.",
            "steps": [],
        }
    ]


def _intake(reads: CoreReads) -> dict[str, int]:
    """Writes that wait for streams that cannot be had now."""
    waiting = [figures for figures in reads.intakes().values() if figures.items]
    return {
        "accounts": len(waiting),
        "items": sum(figures.items for figures in waiting),
        "bytes": sum(figures.inline_bytes + figures.blob_bytes for figures in waiting),
    }


def _timeline(reads: CoreReads, writer: Writer | None) -> int:
    """The one that is written in; with no writer that of the last frame."""
    if writer is not None and writer.engine.stopped is None:
        return writer.engine.log.timeline
    return reads.log_position().timeline


def _service_state(writer: Writer | None) -> str:
    if writer is None:
        return STOPPED
    return SERVING if writer.engine.stopped is None else READ_ONLY


class Backlog(NamedTuple):
    """How far a vault is behind: changes that it lacks, the age of the oldest, what hinders. None: not known."""

    changes: int | None
    lag_seconds: float | None
    trouble: str | None


class VaultLook(NamedTuple):
    """What only a look into a vault's folder tells; on a network mount that is gone such a look may never end."""

    available: bool
    place: Place | None = None  # what it shares its fate with
    backlog: Backlog | None = None  # what it lacked, where nobody keeps count
    end: LogPosition | None = None  # of the log that this is about: what came later, it lacks too
    own: Sequence[Part] = ()  # where the core and the keys lie, seen at the same time


#: By the vault's name.
Looks = Mapping[str, Seen[VaultLook]]


def look_at(site: Site, config: VaultConfig, writer: Writer | None) -> VaultLook:
    """Look into a vault. For a thread that may hang."""
    vault = site.vault(config)
    try:
        if not vault.available():
            return VaultLook(False)
        place = vault_place(site, config, vault)
        look = _look_inside(site, config, writer, vault, place)
        return look._replace(own=own_parts(site))
    except OSError:  # it went away between two looks
        return VaultLook(False)
    finally:
        vault.close()


def _look_inside(
    site: Site, config: VaultConfig, writer: Writer | None, vault: AnyVault, place: Place | None
) -> VaultLook:
    try:
        if _counted(config, writer) is not None:
            return VaultLook(True, place)
        shipper = _shipper(config, writer)
        if shipper is not None and writer is not None:
            end = writer.engine.log.position
            with suppress(OperatorError):  # it has never seen its source: the core tells what the vault lacks
                return VaultLook(True, place, _figures(shipper), end)
        return VaultLook(True, place, Backlog(0, 0.0, None), VaultLogReader([vault], site.keyring.opener).end())
    except OperatorError as error:
        return VaultLook(True, place, Backlog(None, None, error.message))


def looks_now(site: Site) -> Looks:
    """A look into every vault, at once and in this thread: where nothing runs that others wait for."""
    return {vault.name: Seen(look_at(site, vault, None), 0.0, False) for vault in site.config.vaults}


def describe_vaults(
    site: Site, writer: Writer | None, looks: Looks, reads: CoreReads | None = None
) -> list[dict[str, Any]]:
    """One line for each configured vault, as far as `looks` tell."""
    drills = remembered_drills(site)
    lines = [_describe(site, vault, writer, looks[vault.name], reads) for vault in site.config.vaults]
    return [{**line, "last_drill": last_drill_object(site, line["name"], drills)} for line in lines]


def _describe(
    site: Site, config: VaultConfig, writer: Writer | None, seen: Seen[VaultLook], reads: CoreReads | None
) -> dict[str, Any]:
    look = seen.found
    backlog = Backlog(None, None, None)
    if look is not None and look.available:
        backlog = _counted(config, writer) or _since(site, look, reads)
    if seen.overdue:
        state = NOT_ANSWERING
    elif look is None:
        state = NOT_SEEN
    else:
        state = backlog.trouble or "reachable" if look.available else "missing"
    probed = remembered(site, config.name)
    mode = recorded_modes(reads).get(config.name)
    return {
        "name": config.name,
        "url": full_url(config, site.data),
        "mode": config.mode,
        "mode_since": None if mode is None else mode.since,
        "mode_by": None if mode is None else mode.by,
        "mode_why": None if mode is None else mode.why or None,
        "state": state,
        "append_only": BY_CONVENTION if probed is None else probed.append_only,
        "probed": None if probed is None else probed.facts(),
        "unarchived_changes": backlog.changes,
        "lag_seconds": backlog.lag_seconds,
        "failure_domain": look.place.text() if look is not None and look.place is not None else None,
        "seen_seconds_ago": None if seen.age_seconds is None else round(seen.age_seconds, 1),
        "last_scrub": last_scrub_object(site, config.name),
        "costs": store_costs(config, site.data),
        "parity": parity_object(site, config),
    }


def last_scrub_object(site: Site, name: str) -> dict[str, Any] | None:
    """When this data folder last saw the vault scrubbed to its end, and what was found; None where it never did."""
    last = FileNotebook(site.disk, str(site.data / "run" / "scrub"), name).last()
    if last is None:
        return None
    return {
        "at": last.at,
        "seconds_ago": round(max(0, site.clock.now() - last.at) / _MICROSECONDS, 1),
        "level": last.level,
        "ok": not last.damaged,
        "objects": last.objects,
        "bytes": last.bytes,
        "damaged": last.damaged,
        "links": last.links,
        "evidence": last.evidence,
    }


def _shipper(config: VaultConfig, writer: Writer | None) -> Shipper | None:
    """Who brings changes to this vault, where somebody does."""
    if writer is None or writer.engine.stopped is not None:
        return None
    return next((s for s in writer.shippers if s.name.rpartition(" ")[2] == config.name), None)


def _figures(shipper: Shipper) -> Backlog:
    return Backlog(shipper.unarchived_changes, shipper.lag_seconds, shipper.trouble)


def _counted(config: VaultConfig, writer: Writer | None) -> Backlog | None:
    """What is known without a look at any vault; None where nobody keeps count."""
    if writer is None or writer.engine.stopped is not None:
        return None
    shipper = _shipper(config, writer)
    if shipper is not None:
        return _figures(shipper) if shipper.compared else None
    # A change that a sync vault does not hold is not in the core either.
    return Backlog(0, 0.0, None) if config.mode == Mode.SYNC else None


def _since(site: Site, look: VaultLook, reads: CoreReads | None) -> Backlog:
    """What a vault lacked when it was looked at, and what the core has taken since: rather too much than too little."""
    seen = look.backlog
    if seen is None or seen.changes is None or seen.lag_seconds is None or look.end is None or reads is None:
        return Backlog(None, None, None if seen is None else seen.trouble)
    count, oldest = reads.unarchived(look.end.frame)
    age = 0.0 if oldest is None else max(0.0, (site.clock.now() - oldest) / _MICROSECONDS)
    return Backlog(seen.changes + count, max(seen.lag_seconds, age), seen.trouble)


def _incidents(
    configs: Sequence[VaultConfig], vaults: list[dict[str, Any]], writer: Writer | None
) -> list[dict[str, Any]]:
    found = []
    if writer is not None and writer.engine.stopped is not None:
        stopped = writer.engine.stopped
        found.append({"what": "writing stopped", "message": stopped.message, "hint": stopped.hint})
    for shipper in writer.shippers if writer is not None else ():
        found += [_lost(shipper.target, told) for told in shipper.missed()]
    for config, vault in zip(configs, vaults, strict=True):
        if vault["state"] == "missing":
            message = f"the vault {vault['name']} is not at {vault['url']}"
            hint = f"mount its disk, or make it anew with `safehold vault add {vault['name']}`"
            if config.is_s3:
                hint = f"`safehold vault probe {vault['name']}` says what hinders: the network, or the credentials"
            elif config.is_server:
                hint = "see whether the vault server runs there and can be reached from here"
            elif not config.is_folder:
                hint = "see whether its keeper runs (`safehold keeper run`) and serves that socket"
            found.append(
                {
                    "what": "vault missing",
                    "key": vault["name"],
                    "message": message,
                    "summary": f"The vault {vault['name']} is away",
                    "hint": hint,
                }
            )
        elif vault["state"] == NOT_ANSWERING:
            message = f"the vault {vault['name']} at {vault['url']} does not answer"
            hint = "see whether its disk or network mount hangs"
            found.append(
                {
                    "what": "vault not answering",
                    "key": vault["name"],
                    "message": message,
                    "summary": f"The vault {vault['name']} is slow",
                    "hint": hint,
                }
            )
        scrubbed = vault["last_scrub"]
        if scrubbed is not None and not scrubbed["ok"]:
            found.append(_damaged(vault["name"], scrubbed["damaged"], kept_elsewhere=not config.is_folder))
    links = max((vault["last_scrub"]["links"] for vault in vaults if vault["last_scrub"] is not None), default=0)
    if links:
        found.append(
            {
                "what": "evidence missing",
                "message": f"{count_text(links, 'piece of evidence is', 'pieces of evidence are')} in no vault, which "
                "later ones name",
                "summary": "Evidence is missing",
                "hint": "see who may remove objects from the vaults; `safehold scrub` names those that follow",
            }
        )
    return found


def _lost(name: str, told: str) -> dict[str, Any]:
    """What a vault had lost when it was last compared, for as long as this process runs."""
    return {
        "what": "vault lost objects",
        "key": name,
        "message": f"the vault {told}",
        "summary": f"The vault {name} had lost objects",
        "hint": f"see what happened to its disk, then run `safehold vault scrub {name}`",
        "runbook": "damaged-vault",
    }


def _unwritable(
    site: Site, reads: CoreReads, writer: Writer | None, vaults: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Why the next writer would refuse to write, where none runs: a sync vault may be there and not be level.

    Of one that is away another incident tells.
    """
    away = any(vault["mode"] == Mode.SYNC and vault["state"] == "missing" for vault in vaults)
    if writer is not None or away or not site.keyring.opener.can_open:
        return []
    opened = [LogVault(site.vault(config), Mode(config.mode)) for config in site.config.vaults]
    try:
        refuse_unwritable(opened, site.keyring.opener, reads.log_position())
    except OperatorError as error:
        return [
            {
                "what": "writing refused",
                "message": f"nothing can be written: {error.message}",
                "summary": "Nothing can be written",
                "hint": error.hint,
                "runbook": "damaged-vault",
            }
        ]
    finally:
        for vault, _ in opened:
            vault.close()
    return []


def _damaged(name: str, count: int, *, kept_elsewhere: bool) -> dict[str, Any]:
    """What the last scrub of a vault found, until a scrub finds nothing or a repair leaves nothing."""
    objects, were = ("object", "was") if count == 1 else ("objects", "were")
    hint = f"`safehold vault repair {name}` says how it would be mended, and with --yes mends it"
    return {
        "what": "vault damaged",
        "key": name,
        "message": f"{count} {objects} in the vault {name} {were} damaged when it was last scrubbed",
        "summary": f"{count} damaged {objects} in the vault {name}",
        "hint": f"where its keeper runs: {hint}" if kept_elsewhere else hint,
    }


def _risks(site: Site, vaults: list[dict[str, Any]], looks: Looks) -> list[str]:
    """Parts that would be lost together, as far as the last looks tell."""
    found = {name: seen.found for name, seen in looks.items() if seen.found is not None and seen.found.available}
    parts = [Part(v.name, found[v.name].place) for v in site.config.vaults if v.name in found]
    own = next((look.own for look in found.values() if look.own), ())
    put_over = [put_over_text(vault["name"], vault["probed"] or {}) for vault in vaults]
    domains = domain_risks(parts, own, {vault["name"]: vault["append_only"] for vault in vaults})
    return [*filter(None, put_over), *domains]
