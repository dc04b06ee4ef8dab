"""The records of evidence of a data folder: looked at whole, and with what else remembers that they were put."""

from __future__ import annotations

from safehold.adapters.system import pause
from safehold.assembly.drill_record import remembered_drills
from safehold.assembly.probing import remembered
from safehold.assembly.scrubbing import notebook_folder
from safehold.assembly.site import Site
from safehold.formats.evidence import EVIDENCE_PREFIX
from safehold.recovery.evidence_check import Checked, check_evidence
from safehold.recovery.notebook import FileNotebook
from safehold.recovery.under_way import UnderWay


def check_site_evidence(site: Site) -> Checked:
    """Every record in every configured vault. Raises OperatorError, KeyAway where the identity is not here."""
    vaults = [site.vault(config) for config in site.config.vaults]
    try:
        names = remembered_names(site)
        under_way = UnderWay(site.clock, pause)
        return check_evidence(vaults, site.opener.installation, site.opener, under_way, names)
    finally:
        for vault in vaults:
            vault.close()


def remembered_names(site: Site) -> set[str]:
    """Records that this data folder knows to have been put: what scrubs have met, what probes and drills left.

    The chain tells of every record that is gone but a signer's last; this often tells of that.
    """
    names = {drilled.evidence for drilled in remembered_drills(site) if drilled.evidence}
    for config in site.config.vaults:
        book = FileNotebook(site.disk, notebook_folder(site), config.name)
        probed = remembered(site, config.name)
        names.update(name for name in book.remembered() if name.startswith(EVIDENCE_PREFIX))
        names.update(one.evidence for one in (book.last(), probed) if one is not None and one.evidence)
    return names
