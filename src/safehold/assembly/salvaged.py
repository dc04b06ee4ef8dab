"""What was salvaged, wired to a recovery: folders that a salvage made, raw sources that are salvaged first, a new
installation where nothing of the old one is left but that; and what is done once the new core is in place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from safehold import config as configuration
from safehold.assembly.session import Session
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import create_vault
from safehold.model.commands import NoteErased
from safehold.model.errors import OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS
from safehold.recovery.find import Find, Salvage
from safehold.recovery.plan import Plan
from safehold.recovery.report import Progress, silent
from safehold.recovery.returns import Returned
from safehold.service.ahead import doubts_of
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.store.survivors import STORE_NAME, SurvivorStore
from safehold.vault.keyring import ensure_keyring, is_complete

#: In scratch/: what raw sources were salvaged into, one folder each.
SALVAGES = "salvages"


def salvage_folders(
    site: Site, given: Sequence[str], *, identity: Path | None = None, account: str = "", progress: Progress = silent
) -> list[str]:
    """For each path the folder of its salvage: itself, or one in scratch/ that it is salvaged into now.

    Raises OperatorError (exit 2) where there is nothing, and what salvaging raises.
    """
    if not given:
        return []
    from safehold.assembly.salvaging import salvage_into  # scanners, which no other recovery waits for

    found = []
    for path in given:
        place = os.path.abspath(path)
        if not os.path.exists(place):
            raise OperatorError(f"there is no {place} to salvage from", hint="give a folder or a file", exit_code=2)
        if os.path.exists(f"{place}/{STORE_NAME}"):
            found.append(place)
            continue
        name = f"{Path(place).name}-{sha256(place.encode()).hexdigest()[:8]}"
        out = str(site.scratch_folder / SALVAGES / name)
        key = None if identity is None else str(identity)
        salvage_into([place], out, site=site, identity=key, account=account, progress=progress)
        found.append(out)
    return list(dict.fromkeys(found))


def open_find(site: Site, folders: Sequence[str], stack: ExitStack) -> Find | None:
    """What lies in these salvage folders, to read. Raises OperatorError, Damaged."""
    if not folders:
        return None
    salvages = []
    for folder in folders:
        store = stack.enter_context(SurvivorStore.open(folder, read_only=True))
        salvages.append(Salvage(folder, store.state(), store))
    return Find(salvages, site.disk)


def make_ready(site: Site, plan: Plan, *, given: bool) -> list[str]:
    """Where nothing of an installation is here but what was salvaged, its vaults, and keys where none are given.

    Vaults of an installation that was used are not made in place of what may only be away: `vault add` does that.
    What was made, in sentences. The caller holds the lock.
    """
    if given or not plan.salvages or site.was_used():
        return []
    notes = []
    configuration.write_default(site.config_path)
    if not is_complete(site.disk, str(site.keys_folder)) and not site.has_given_identity:
        ensure_keyring(site.disk, str(site.keys_folder), site.entropy)
        site.reload_keys()
        notes.append(f"new keys are in {site.keys_folder}: the old ones were not given")
    for vault in site.config.vaults:
        create_vault(vault, site.data, site.disk, site.opener.installation)
    notes.append(f"new vaults were made: {', '.join(vault.name for vault in site.config.vaults)}")
    return notes


def archive_found(site: Site, plan: Plan) -> list[str]:
    """What came out of a salvage, in the core alone so far, goes into the vaults, and whom it knows as erased into the
    register. What hinders that, in plain words.
    """
    try:
        with Session(site) as session:
            # Opens a writer, which archives what is marked, or raises.
            note = NoteErased(account=SYSTEM_ACCOUNT, actor="recovery", erased=tuple(plan.erased))
            (noted,) = session.execute_all([note])
    except SafeholdError as error:
        return [
            f"what was salvaged is in the core, and could not be written to the vaults yet: {error.message}; the next "
            "start of the service does that. Until then give --salvage with every `safehold recover run`: one without "
            "it would leave that out"
        ]
    if isinstance(noted, SafeholdError):
        return [
            f"who was erased, as what was salvaged says, could not be put into the register yet: {noted.message}; give "
            "the same --salvage with every further `safehold recover run`, until one does not say this"
        ]
    return []


def put_back(site: Site, plan: Plan, folders: Sequence[str]) -> tuple[Returned | None, list[str]]:
    """Put back what was found without its place in the chain. What hinders that, in plain words: it can be repeated."""
    from safehold.assembly.returning import return_found

    try:
        with Session(site) as session, ExitStack() as stack:
            find = open_find(site, folders, stack)
            assert find is not None
            returned = return_found(
                find,
                reads=session.reads,
                blobs=session.blobs,
                blob_key=session.blob_key,
                execute=session.execute,
                in_doubt=bool(doubts_of(session.reads)),
                accounts=plan.selection.accounts,
                kinds=plan.selection.kinds or DATA_KINDS,
            )
    except SafeholdError as error:
        return None, [f"what was found is not put back yet: {error.message}; run this again once that is mended"]
    return returned, []
