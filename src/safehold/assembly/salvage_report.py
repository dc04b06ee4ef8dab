"""What would come back by what was salvaged: recovery's own plan and accounting, over the find and whatever vaults and
core the data folder still has.

    DIR/report.json      what the command answers
    DIR/report.txt       for the operator (recovery/items_report.py)
    DIR/accounts/        a text for each person         DIR/items.jsonl   a line for each item
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from safehold.assembly.salvaging import Scanned, salvage_into
from safehold.model.errors import SafeholdError
from safehold.recovery.plan import Plan
from safehold.recovery.report import EXIT_LOSS, Progress, silent
from safehold.salvage.quarantine import write_file

if TYPE_CHECKING:
    from safehold.assembly.installation import Installation

REPORT_JSON = "report.json"


class SalvageReport(msgspec.Struct):
    """`plan` is None where none could be made of what was found: `notes` say why."""

    scanned: Scanned
    plan: Plan | None
    people: int = 0  # who have a text
    homeless: bool = False  # things of exports alone, and no installation here whose accounts they could go into

    @property
    def exit_code(self) -> int:
        """That of the plan; and something went aside is something found."""
        code = EXIT_LOSS if self.plan is None else self.plan.report.exit_code
        return code or (EXIT_LOSS if self.scanned.aside else 0)

    def data(self) -> dict[str, Any]:
        """The object of the command: see docs/commands.md."""
        scanned = self.scanned
        report: dict[str, Any] | None = None
        if self.plan is not None:
            report = msgspec.to_builtins(self.plan.report)
            assert report is not None
            del report["not_exact"]  # accounts/ and items.jsonl have it
        return {
            "sources": scanned.sources,
            "changes": scanned.changes,
            "items": scanned.items,
            "bodies": scanned.bodies,
            "aside": scanned.aside,
            "report": report,
            "out": scanned.out,
            "notes": scanned.notes,
        }


def salvage(
    site: Installation,
    sources: Sequence[str],
    out: str,
    *,
    identity: Path | None = None,
    account: str = "",
    progress: Progress = silent,
) -> SalvageReport:
    """Find what is left in damaged things, keep it in the folder `out`, and say what would come back by it."""
    key = None if identity is None else str(identity)
    scanned = salvage_into(sources, out, site=site, identity=key, account=account, progress=progress)
    return _report_on(site, scanned, identity, progress)


def _report_on(site: Installation, scanned: Scanned, identity: Path | None, progress: Progress) -> SalvageReport:
    """Plan with a salvage folder, account for every item, and write both into it."""
    key = identity or (Path(scanned.key) if scanned.key else None)
    try:
        plan = site.recovery_plan(salvages=[scanned.out], identity=key, progress=progress)
        written = site.account_for(plan, Path(scanned.out), identity=key, progress=progress)
    except SafeholdError as error:
        homeless = bool(scanned.items) and not any(scanned.changes.values()) and not site.was_used()
        why = "things out of exports go into accounts, and no installation is here" if homeless else error.message
        scanned.notes.append(f"no plan can be made of it: {why}")
        told = SalvageReport(scanned, None, homeless=homeless)
    else:
        told = SalvageReport(scanned, plan, written.accounts)
    data = msgspec.json.format(msgspec.json.encode(told.data()), indent=1)
    write_file(site.disk, f"{scanned.out}/{REPORT_JSON}", data)
    site.disk.sync_folder(scanned.out)
    return told
