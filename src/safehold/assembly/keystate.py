"""Where the keys lie, and what that costs, in plain words: for `status` and `vault keys`."""

from __future__ import annotations

from typing import Any

from safehold.assembly.site import Site
from safehold.formats.travelling import OLDER_IDENTITIES, ROOT_KEY
from safehold.ports.core import CoreReads
from safehold.vault.keyring import Keyring, is_complete

#: Where a key lies.
BESIDE, ELSEWHERE, IN_MEMORY = "beside the core", "elsewhere", "in memory until the service ends"


def key_state(site: Site, reads: CoreReads | None) -> dict[str, Any] | None:
    """The field `keys` of the status; None where there are none. No secret is in it."""
    if not is_complete(site.disk, str(site.keys_folder)):
        return None
    keyring = site.keyring
    return {
        "installation": keyring.installation.hex(),
        "identity": identity_place(site),
        "root": BESIDE if keyring.root is not None else ELSEWHERE,
        "root_travels": travels(reads, ROOT_KEY),
        "recipients": len(keyring.sealer.recipients),
        "keeper": keeper_place(keyring),
    }


def identity_place(site: Site) -> str:
    if site.identity_beside:
        return BESIDE
    return IN_MEMORY if site.keyring.opener.can_open else ELSEWHERE


def keeper_place(keyring: Keyring) -> str | None:
    """None where no keeper was ever certified here."""
    if keyring.keeper_public is None:
        return None
    return BESIDE if keyring.keeper is not None else ELSEWHERE


def travels(reads: CoreReads | None, name: str) -> bool:
    """Whether an item of formats/travelling.py is in the installation's identity."""
    return reads is not None and reads.secret(0, name) is not None


def key_risks(site: Site, reads: CoreReads | None) -> list[str]:
    """What follows from where the keys lie, that somebody should know."""
    state = key_state(site, reads)
    if state is None:
        return []
    risks = []
    if state["identity"] == BESIDE:
        risks.append("the key that opens the vaults lies beside the core: keep a copy of the folder keys elsewhere")
    else:
        risks.append(
            "the identity does not lie beside the core: recovery, replay, drills and bringing back a damaged body "
            "wait for the recovery key, and scrubs here see only ciphertext"
        )
    if state["root"] == ELSEWHERE and not state["root_travels"]:
        risks.append("the signing root is neither here nor in the vaults: a bare machine needs its file as well")
    if len(site.keyring.opener.identities) > 1 and not travels(reads, OLDER_IDENTITIES):
        risks.append("older identities are not in the vaults yet: the newest recovery key alone does not open them all")
    return risks
