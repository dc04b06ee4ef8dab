"""What follows a recovery: its report as evidence and beside the core, and a notice to whom it concerns."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from safehold.assembly.site import Site
from safehold.formats.evidence import Evidence
from safehold.model.commands import NoteGhosts, TellNotice
from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads, LogPosition
from safehold.recovery.after import EVIDENCE_KIND, FILE_NAME, AccountPart, AfterReport, from_facts, to_facts
from safehold.service.notices import MAX_NAMES, RESTORED, notices_of
from safehold.vault.evidence import put_evidence, read_evidence

T = TypeVar("T")

_log = logging.getLogger("safehold.recovery")


def keep_report(site: Site, report: AfterReport, upto: LogPosition, *, again: bool = False) -> AfterReport:
    """Put it into every vault that can be reached, and beside the core. What cannot be put is logged, and raises not.

    The returned report names its evidence. With `again` it may have been put before, by a process that was killed then:
    that one is returned.
    """
    if again and (before := _kept_before(site, report)) is not None:
        _keep_beside(site, before)
        return before
    vaults = [site.vault(config) for config in site.config.vaults]
    try:
        value = Evidence(0, EVIDENCE_KIND, 0, "", (upto.timeline, upto.frame, upto.digest), b"", to_facts(report))
        report.evidence = put_evidence(vaults, site.keyring.sealer, site.clock, value).name
    except (SafeholdError, OSError) as error:
        _log.error("the recovery's report could not be kept in a vault: %s", error)
    finally:
        for vault in vaults:
            vault.close()
    _keep_beside(site, report)
    return report


def _kept_before(site: Site, report: AfterReport) -> AfterReport | None:
    """The report of the same recovery: each claims a timeline of its own."""
    try:
        found = all_reports(site)
    except (SafeholdError, OSError) as error:
        _log.warning("whether the recovery's report is kept already could not be seen: %s", error)
        return None
    return next((one for one in found if (one.how, one.timeline) == (report.how, report.timeline)), None)


def _keep_beside(site: Site, report: AfterReport) -> None:
    path = site.data / "run" / FILE_NAME
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
        os.replace(temporary, path)


def last_report(site: Site) -> AfterReport | None:
    """The one beside the core; None where there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((site.data / "run" / FILE_NAME).read_bytes(), type=AfterReport)
    except (OSError, msgspec.MsgspecError):
        return None


def all_reports(site: Site) -> list[AfterReport]:
    """Those that any vault holds and that verify, the newest first; without any, the one beside the core.

    Raises OperatorError where the vaults cannot be opened.
    """
    vaults = [site.vault(config) for config in site.config.vaults]
    try:
        found = read_evidence(vaults, site.opener.installation, site.opener)
    finally:
        for vault in vaults:
            vault.close()
    reports = [
        report
        for one in found
        if one.evidence.kind == EVIDENCE_KIND and (report := from_facts(one.evidence.facts, one.name)) is not None
    ]
    if not reports and (beside := last_report(site)) is not None:
        reports = [beside]
    return reports


def notices(report: AfterReport) -> list[TellNotice]:
    """One for each account that is named and has an id: what of it is older or lost."""
    return [_notice(report, part) for part in report.affected if part.account and part.id]


def ghost_notes(site: Site, report: AfterReport) -> list[NoteGhosts]:
    """For each account of which something is lost: to put on record whose bodies are gone.

    Of large bodies only where every configured vault is there to be asked: one that is away may have it.
    """
    vaults = [site.vault(config) for config in site.config.vaults]
    try:
        all_there = all(vault.available() for vault in vaults)
    except SafeholdError:
        all_there = False
    finally:
        for vault in vaults:
            vault.close()
    return [_ghosts_in(part, large=all_there) for part in report.affected if part.id and part.account]


def _ghosts_in(part: AccountPart, *, large: bool) -> NoteGhosts:
    revs: dict[Kind, list[int]] = {}
    for loss in part.lost:
        if large and loss.name is not None:
            revs.setdefault(loss.kind, []).extend(loss.revs)
    named = {kind: tuple(found) for kind, found in revs.items()}
    return NoteGhosts(account=bytes.fromhex(part.id), actor="recovery", large=named)


def not_yet_told(reads: CoreReads, told: Iterable[TellNotice]) -> list[TellNotice]:
    """Those of these that no notice of the same recovery has told."""
    wanted = []
    for one in told:
        account = reads.account_by_id(one.account)
        if account is None or not any(
            notice.what == one.what and notice.facts.get("timeline") == one.facts["timeline"]
            for notice in notices_of(reads, account)
        ):
            wanted.append(one)
    return wanted


def _notice(report: AfterReport, part: AccountPart) -> TellNotice:
    total = part.total
    names = [f"{loss.collection}/{loss.name}" for loss in part.lost if loss.collection and loss.name]
    return TellNotice(
        account=bytes.fromhex(part.id),
        actor="recovery",
        what=RESTORED,
        names=tuple(names[:MAX_NAMES]),
        count=total.older + total.lost,
        facts={
            "exact": total.exact,
            "older": total.older,
            "lost": max(total.lost, len(part.lost) if not total.expected else 0),
            "unknown_seconds": report.unknown_seconds,
            "timeline": report.timeline,
            "kinds": {kind.value: count.older + count.lost for kind, count in part.kinds.items()},
        },
    )


def in_batches(commands: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    for first in range(0, len(commands), size):
        yield commands[first : first + size]
