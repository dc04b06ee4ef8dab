"""A keeper with a folder of its own: its keys, its vault, and the vaults of the core that it copies from.

    keys/            identity.txt, recipients.txt and keeper.txt, as `safehold vault keys move identity` leaves them
    safehold.toml    its vault (`[vaults.kept]`), its retention, where it pulls from and serves (`[keeper]`)
    vault/           its own copy, which the core cannot reach
    run/             its lock, and what it remembers

It reads the core's vaults and writes only its own: what is longer, shorter or other there than here is told, and what
was removed there stays here. Its work is that of assembly/keeping.py.
"""

from __future__ import annotations

import logging
import pwd
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from safehold.adapters.lock import Locked
from safehold.archiver.shipper import Shipper
from safehold.assembly.installation import Installation
from safehold.assembly.jobs import KEEP, job_run
from safehold.assembly.keeping import LastKeep, keep_vaults, keeper_lock, last_keep
from safehold.assembly.site import Site
from safehold.assembly.snapshot import take_snapshot
from safehold.assembly.vault_serving import VaultServer
from safehold.assembly.vault_urls import open_vault, with_scheme
from safehold.config import FILE_NAME, Config, VaultConfig, check_vault, load, write
from safehold.model.errors import OperatorError, SafeholdError
from safehold.recovery.retention import policy_text
from safehold.vault.folder import FolderVault
from safehold.vault.keyring import IDENTITY, KEEPER, RECIPIENTS, Keyring, copy_key, is_complete, load_keeper
from safehold.vault.refusals import Refusals

KEPT = "kept"
#: The vaults of the core are looked at so often.
PULL_SECONDS = 30.0
#: Steps of one look, at most: the work of a day goes on in between.
PULL_STEPS = 100_000
#: A piece of work that failed is tried again after so long.
RETRY_SECONDS = 300.0
_MICROSECONDS = 1_000_000
_HOUR_SECONDS = 3600

_log = logging.getLogger("safehold.keeper")

_TEXT = """\
# A keeper of Safehold: it holds a copy of the vaults of a service, and proves every day that it can be restored.

[vaults.{name}]
url = "folder:vault"
mode = "sync"

[keeper]
hours = 24             # so often its vault is read whole, attested, and what is older than the retention removed
pull = [{pull}]
socket = {socket}      # where it serves its vault to a core that appends to it (keeper:PATH there); "": nowhere
users = [{users}]             # who may connect there besides its own user: the user that the service runs as

[alarms]
# Who is told where the service falls silent, or a vault is not as it should be. Mail needs a section [mail].
webhooks = []
mail = []
command = ""
silent_minutes = 45    # the service says something every quarter of an hour

[retention]
history_days = {days}
generations = "{generations}"
"""


class KeeperSite(Site):
    """The data folder of a keeper: it has no core, and no writer's key."""

    @property
    def is_keeper(self) -> bool:
        return True

    @property
    def keyring(self) -> Keyring:
        """Raises OperatorError where a key is missing or damaged."""
        if self._keyring is None:
            held = load_keeper(self.disk, str(self.keys_folder))
            public = held.sealer.writer.public
            self._keyring = Keyring(held.installation, held.sealer, held.opener, None, held.sealer, public)
        return self._keyring


def open_site(data: Path, config_path: Path | None = None) -> Site:
    """A keeper's folder, or an installation's own. Raises OperatorError where it is neither."""
    path = config_path or data / FILE_NAME
    for site_type in (Site, KeeperSite):
        site = site_type(data, load(path), config_path)
        if is_complete(site.disk, str(site.keys_folder)) == (site_type is Site):
            if not site.disk.exists(str(site.keys_folder / KEEPER)):
                break
            _ = site.keyring
            return site
    raise OperatorError(
        f"{data} is no folder of a keeper, nor of an installation",
        hint="make one: `safehold keeper init FOLDER --keys DIR --pull URL`",
        exit_code=2,
    )


def open_vaults(data: Path, config: Config, config_path: Path | None = None) -> Site:
    """What reads or mends vaults works on: a keeper's folder, an installation (made where there is none), or what is
    left of one whose core is lost: its vaults can be looked at before it is recovered. Raises OperatorError.
    """
    keeper = open_keeper(data, config, config_path)
    if keeper is not None:
        return keeper
    installation = Installation(data, config, config_path)
    if installation.has_core() or not is_complete(installation.disk, str(installation.keys_folder)):
        installation.make()
    return installation


def open_keeper(data: Path, config: Config, config_path: Path | None = None) -> KeeperSite | None:
    """A keeper's own folder; None where this is none."""
    keeper = KeeperSite(data, config, config_path)
    complete = is_complete(keeper.disk, str(keeper.keys_folder))
    return keeper if not complete and keeper.disk.exists(str(keeper.keys_folder / KEEPER)) else None


def init_keeper(
    folder: Path,
    *,
    keys: Path | None,
    pull: Sequence[str],
    socket: str,
    users: Sequence[str] = (),
    name: str,
    based_on: Config,
) -> dict[str, Any]:
    """Make a keeper's folder; harmless where it is there, but for settings that differ. Raises OperatorError."""
    urls = [with_scheme(url) for url in pull]
    for url in urls:
        check_vault("pulled", url, "async")
    path = folder / FILE_NAME
    text = _TEXT.format(
        name=name,
        pull=", ".join(f'"{url}"' for url in urls),
        socket=f'"{socket}"',
        users=", ".join(f'"{user}"' for user in users),
        days=based_on.retention.history_days,
        generations=policy_text(based_on.retention),
    )
    if path.exists() and load(path).text != text:
        raise OperatorError(f"{path} is there and says otherwise", hint="edit it, or name another folder", exit_code=2)
    write(path, text)
    site = KeeperSite(folder, load(path), path)
    site.disk.make_folders(str(site.keys_folder))
    for key in (RECIPIENTS, IDENTITY, KEEPER) if keys is not None else ():
        if keys is not None and keys != site.keys_folder and site.disk.exists(str(keys / key)):
            copy_key(site.disk, str(keys), key, str(site.keys_folder))
    installation = site.keyring.installation
    vault = site.config.vaults[0]
    FolderVault.create(vault.name, str(vault.folder(folder)), site.disk, installation).close()
    return {"keeper": str(folder), "installation": installation.hex(), "vault": vault.name, "pull": urls}


def pull(site: Site, stopped: threading.Event | None = None) -> list[str]:
    """Bring the kept vault level with those that it is pulled from; what differs. Raises nothing: trouble is told."""
    told: list[str] = []
    target = site.config.vaults[0]
    for number, url in enumerate(site.config.keeper_pull):
        source = VaultConfig(f"source-{number}" if number else "source", url, "async")
        installation = site.opener.installation
        theirs, ours = (open_vault(config, site.data, site.disk, installation) for config in (source, target))
        try:
            if not theirs.available():
                told.append(f"{url} cannot be reached")
                continue
            shipper = Shipper(theirs, ours, site.clock, live=True)
            shipper.hurry()
            for _ in range(PULL_STEPS):
                if (stopped is not None and stopped.is_set()) or shipper.step() != 0.0:
                    break
            told += shipper.differences()
            if shipper.trouble:
                told.append(f"{url}: {shipper.trouble}")
        except SafeholdError as error:
            told.append(f"{url}: {error.message}")
        finally:
            theirs.close()
            ours.close()
    return told


def run_once(site: Site, *, limit_bytes: int = 0, stopped: threading.Event | None = None) -> LastKeep:
    """Pull, scrub, attest, retain. Raises OperatorError."""
    with _locked(site):
        return _work(site, limit_bytes, stopped)


@contextmanager
def _locked(site: Site) -> Iterator[None]:
    """Raises OperatorError where another keeper works here."""
    with ExitStack() as stack:
        try:
            stack.enter_context(keeper_lock(site))
        except Locked:
            raise OperatorError("another keeper works in this folder", hint="wait until it has ended") from None
        yield


def _work(site: Site, limit_bytes: int, stopped: threading.Event | None) -> LastKeep:
    with job_run(site, KEEP) as job:
        last = _kept(site, limit_bytes, stopped)
        troubles = [kept.trouble for kept in last.vaults if kept.trouble]
        if troubles:
            job.failed("; ".join(troubles))
        elif any(kept.damaged or kept.refused for kept in last.vaults) or last.differences:
            job.found("something is wrong: see `safehold keeper status`")
    return last


def _kept(site: Site, limit_bytes: int, stopped: threading.Event | None) -> LastKeep:
    differences = pull(site, stopped)
    last = keep_vaults(site, limit_bytes=limit_bytes, differences=differences)
    if site.has_core() and any(kept.wants_generation for kept in last.vaults):
        try:
            take_snapshot(site, full=True, workers=1)
        except SafeholdError as error:
            _log.warning("no new generation could be written, which erased accounts wait for: %s", error.message)
    return last


def run_keeper(site: Site, *, limit_bytes: int = 0) -> None:
    """Until SIGTERM or Ctrl-C: serve the vault where that is wanted, pull, and do the day's work when it is due."""
    from safehold.assembly.alarming_keeper import KeeperAlarms  # what only reads vaults needs none

    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with _locked(site):
        server = _server(site)
        if server is not None:
            server.start()
        alarms = KeeperAlarms(site, _run_folder(site))
        alarms.start()
        try:
            failed_at: float | None = None
            while not stopped.is_set():
                alarms.differences = pull(site, stopped)
                for difference in alarms.differences:
                    _log.warning("%s", difference)
                waited = failed_at is None or site.clock.monotonic() - failed_at >= RETRY_SECONDS
                if not stopped.is_set() and waited and is_due(site):
                    try:
                        last = _work(site, limit_bytes, stopped)
                        if server is not None:
                            server.forget()  # retention may have taken segments away
                        _log.info("the vaults were kept in %g seconds", last.seconds)
                        failed_at = None
                    except SafeholdError as error:
                        _log.error("%s; it is tried again", error.message)
                        failed_at = site.clock.monotonic()
                stopped.wait(PULL_SECONDS)
        finally:
            alarms.stop()
            if server is not None:
                server.stop()


def is_due(site: Site) -> bool:
    """Whether the day's work is to be done. A clock that was set back makes it due."""
    last = last_keep(site)
    if last is None or last.at > site.clock.now():
        return True
    return site.clock.now() - last.at >= max(1, site.config.keeper_hours) * _HOUR_SECONDS * _MICROSECONDS


def _run_folder(site: Site) -> str:
    """In the folder of a service the files of that service's own alarms lie beside."""
    return str(site.data / "run" / ("" if isinstance(site, KeeperSite) else "keeper"))


def _server(site: Site) -> VaultServer | None:
    if not site.config.keeper_socket:
        return None
    vault = site.config.vaults[0]
    folder = str(vault.folder(site.data))
    return VaultServer(
        folder,
        str(site.data / site.config.keeper_socket),
        installation=site.opener.installation,
        users=[_user_id(user) for user in site.config.keeper_users],
        mode=0o666 if site.config.keeper_users else 0o600,  # the server looks who it is
        refusals=Refusals(folder, _run_folder(site), site.disk, site.clock),
    )


def _user_id(user: str) -> int:
    """Raises OperatorError."""
    if user.isascii() and user.isdigit():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise OperatorError(f"there is no user {user!r} here", hint="see `users` in its safehold.toml") from None
