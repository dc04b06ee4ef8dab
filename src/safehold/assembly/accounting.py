"""The accounting of a plan's items, wired to a data folder; what is said of each is recovery's."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from safehold.assembly.after import last_report
from safehold.assembly.recovering import Sources, core_there
from safehold.assembly.salvaged import open_find
from safehold.assembly.site import Site
from safehold.model.errors import OperatorError, SafeholdError
from safehold.recovery.after import EVIDENCE_KIND, AfterReport, from_facts
from safehold.recovery.items_reading import ItemSources
from safehold.recovery.items_report import ItemsWritten, write_items
from safehold.recovery.plan import Plan
from safehold.recovery.report import Progress, silent
from safehold.vault.evidence import read_evidence
from safehold.vault.keyring import is_complete

_OTHERS = 0o077


def make_private(folder: Path) -> None:
    """A folder for its owner alone. Raises OperatorError (exit 2) where there is one that others can look into."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & _OTHERS:
        raise OperatorError(
            f"{folder} can be read by others, and the accounting names what people keep",
            hint=f"give a folder that is not there yet, or chmod 700 {folder}",
            exit_code=2,
        )


def account_for(site: Site, plan: Plan, sources: Sources, folder: Path, progress: Progress = silent) -> ItemsWritten:
    """Write what becomes of each item into a folder, from a plan that was read in full and the same sources."""
    make_private(folder)
    with ExitStack() as stack:
        core, _, _ = core_there(site, stack)
        find = open_find(site, sources.salvages, stack)
        blobs = sources.blobs() if is_complete(site.disk, str(site.keys_folder)) else None
        read = ItemSources(sources.reader(), sources.vaults(), sources.runs(), core, blobs, find)
        last = _last_report(site, sources)
        return write_items(plan, read, site.disk, str(folder), last=last, progress=progress)


def _last_report(site: Site, sources: Sources) -> AfterReport | None:
    """The newest that the vaults keep; without any, the one beside the core."""
    try:
        found = read_evidence(sources.vaults(), sources.opener.installation, sources.opener)
    except SafeholdError:
        found = []
    for one in found:
        report = from_facts(one.evidence.facts, one.name) if one.evidence.kind == EVIDENCE_KIND else None
        if report is not None:
            return report
    return last_report(site)
