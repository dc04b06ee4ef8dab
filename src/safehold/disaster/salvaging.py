"""A salvage on a simulated disk: everything that is left of an installation is read below its formats, into /salvage.

As `safehold salvage` and `recover run --salvage` do it, with the scanners that they use.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from safehold.assembly.returning import return_found
from safehold.disaster.house import CORE_FOLDER, House
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.errors import OperatorError, SafeholdError
from safehold.model.items import Account
from safehold.recovery.find import Find, Salvage
from safehold.recovery.report import silent
from safehold.recovery.returns import Returned
from safehold.salvage.ear import Ear
from safehold.salvage.scan import NothingKnown, Scanner
from safehold.salvage.survey import Look
from safehold.service.ahead import doubts_of
from safehold.service.identity import BLOB_KEY
from safehold.store.survivors import SurvivorStore

FOLDER = "/salvage"
#: What was moved out of the way before, by a recovery or an operator, lies there.
_ASIDE = ("/scratch", "/aside-")


class Salvaged(NamedTuple):
    """What was found, in an open store."""

    find: Find
    store: SurvivorStore

    def close(self) -> None:
        """Harmless where the disk has gone meanwhile."""
        with suppress(Crash, SafeholdError):
            self.store.close()


def salvage(house: House) -> Salvaged | None:
    """Read the remains of core, blobs and vaults; None where nothing is known in them. Raises OperatorError."""
    disk = house.disk
    top = sorted({"/" + path.split("/")[1] for path in disk.files("/")})
    vaults = [house.folder(config) for config in house.vaults]
    places = [path for path in top if path in (CORE_FOLDER, "/blobs", *vaults) or path.startswith(_ASIDE)]
    store = SurvivorStore.open(FOLDER, disk=disk, create=True)
    try:
        ear = Ear(store, store.body_of)
        if store.state():
            ear.learn(store)
        scanner = Scanner(
            ear,
            disk,
            lambda path: _look(disk, path),
            house.keyring.opener,
            FOLDER,
            store,
            silent,
            settled=store.settle,
            scratch="",
        )
        try:
            scanner.run(places)
        except NothingKnown:
            store.close()
            return None
        store.commit()
        return Salvaged(Find([Salvage(FOLDER, store.state(), store)], disk), store)
    except BaseException:
        store.close()
        raise


def put_back(house: House, salvaged: Salvaged) -> Returned:
    """What was found without its place in the chain, as new changes, once the service writes. Raises SafeholdError."""

    def key_of(account: Account) -> bytes:
        key = house.reads.secret(account.number, BLOB_KEY)
        if key is None:
            raise OperatorError(f"the account {account.name} has no blob key")
        return key

    return return_found(
        salvaged.find,
        reads=house.reads,
        blobs=house.blobs,
        blob_key=key_of,
        execute=house.engine.execute,
        in_doubt=bool(doubts_of(house.reads)),
    )


def _look(disk: SimDisk, path: str) -> Look | None:
    try:
        return Look(False, disk.length(path))
    except IsADirectoryError:
        return Look(True, 0)
    except OSError:
        return None
