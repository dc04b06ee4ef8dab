"""A bare machine: keys and configuration out of a vault, before a recovery builds the core.

What travels lies in the installation's own identity stream (formats/travelling.py), and the plan has read it:

    keys             the recovery key gives the identities, the stream gives the root, unless its file lies there;
                     writer and keeper are made new and certified
    safehold.toml    as it was, with places for the vaults that exist here; one that is there stays

Each step can be killed and done again. The given vault becomes a vault of the configuration: recovery goes on with its
log. Where nothing can be written to it, it is copied to a place of its own first, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from safehold import config as configuration
from safehold.archiver.log import Mode
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import AnyVault, open_vault
from safehold.assembly.vaults import copy_vault
from safehold.config import DEFAULT_TEXT, FOLDER_SCHEME, Config, ConfigError, VaultConfig, same_vault
from safehold.formats import keys, travelling
from safehold.formats.keys import Opener, SigningKey
from safehold.formats.travelling import CONFIG, OLDER_IDENTITIES, ROOT_KEY
from safehold.model.change import Change, Op
from safehold.model.errors import Damaged, OperatorError
from safehold.model.kinds import Kind
from safehold.ports.core import EMPTY_LOG
from safehold.ports.log import Hole, LogReader
from safehold.recovery.plan import Plan
from safehold.recovery.selection import SYSTEM
from safehold.vault import keyring
from safehold.vault.folder import FolderVault
from safehold.vault.runs import GenerationReader, Runs
from safehold.vault.s3 import S3Vault


def with_older_identities(reader: LogReader, runs: Runs, opener: Opener) -> Opener:
    """One that also opens what was written before the identity was replaced.

    The newest generation that opens says which were replaced before it, the log after it those since. Where none opens
    the log does: if its first frame opens there is nothing older, else the first frames that open are those after the
    change. Raises VaultDown, KeyAway.
    """
    generation = next(runs.generations(), None)
    item = None if generation is None else _in_generation(runs.reader(generation))
    whole = generation is None
    after = EMPTY_LOG if generation is None else generation.position
    for entry in reader.entries(after):
        if isinstance(entry, Hole):
            whole = False
            continue
        if whole:
            break
        item = _older_in(entry.changes) or item
    try:
        return opener if item is None else opener.with_older(travelling.open_identities(item, opener))
    except Damaged:  # sealed to a recipient that this key is not of
        return opener


def _in_generation(reader: GenerationReader) -> bytes | None:
    """The stream of the installation's own identity is the first of all."""
    first = next(iter(reader.streams()), None)
    if first is None or first.key != (SYSTEM, Kind.IDENTITY):
        return None
    return _older_in(change for _, change in reader.changes_of(first))


def _older_in(changes: Iterable[Change]) -> bytes | None:
    """The last item of OLDER_IDENTITIES among these changes."""
    found = None
    for change in changes:
        if change.account == SYSTEM and change.name == OLDER_IDENTITIES and change.op is Op.PUT:
            found = change.body or found
    return found


def bring_what_travels(site: Site, plan: Plan, given: AnyVault | None) -> list[str]:
    """Keys and configuration where they are not here yet; what deserves a sentence. Raises OperatorError.

    The caller holds the lock.
    """
    notes = []
    if not keyring.is_complete(site.disk, str(site.keys_folder)):
        bring_keys(site, plan.travelling.get(ROOT_KEY))
        notes.append(f"the keys are in {site.keys_folder}; writer and keeper are new")
    if not site.config_path.exists() and given is not None:
        notes += bring_config(site, plan.travelling.get(CONFIG), given)
    return notes


def bring_keys(site: Site, sealed_root: bytes | None) -> None:
    """The keys folder, from the recovery key in the opener and the root that travels, or whose file lies there."""
    folder, opener = str(site.keys_folder), site.opener
    root = _root(site, sealed_root, opener)
    site.disk.make_folders(folder)
    site.mark_used()  # first: until the core is back, no start takes this folder for that of a new installation (I16)
    own = keys.recipient_of(opener.identities[0])
    recipients = travelling.recipients_of(sealed_root) if sealed_root is not None else ()
    keyring.write_identities(site.disk, folder, opener.identities)
    keyring.write_recipients(site.disk, folder, recipients or (own,))
    keyring.write_root(site.disk, folder, root.secret)
    keyring.write_recovery(site.disk, folder, opener)
    site.complete_keys()


def _root(site: Site, sealed: bytes | None, opener: Opener) -> SigningKey:
    place = str(site.keys_folder / keyring.ROOT)
    if site.disk.exists(place):
        root = keyring.load_root(site.disk, place)
        if keys.fingerprint(root.public) != opener.installation:
            raise OperatorError(f"{place} is not the root that the recovery key names", hint="put the right one there")
        return root
    if sealed is None:
        raise OperatorError(
            "the signing root does not travel in these vaults: it was moved away from the core by choice",
            hint=f"put its file there as {place}, then run this again",
        )
    try:
        return travelling.open_root(sealed, opener)
    except Damaged as error:
        raise OperatorError(
            f"the signing root in these vaults cannot be used: {error.message}",
            hint=f"with its file as {place} this goes on; or read another vault",
        ) from None


def bring_config(site: Site, travelled: bytes | None, given: AnyVault) -> list[str]:
    """Write safehold.toml, with places for vaults that exist here, and take it up. What was changed, in sentences."""
    notes = []
    try:
        text = DEFAULT_TEXT if travelled is None else travelled.decode("utf-8")
        config = configuration.parse(text)
    except (ConfigError, UnicodeDecodeError) as error:
        notes.append(f"the configuration that travelled cannot be used ({error}): the defaults stand in its place")
        text, config = DEFAULT_TEXT, Config()
    moved, left_out = _places(site, config, given, notes)
    site.config = configuration.write(site.config_path, configuration.move_vaults(text, moved, left_out))
    notes.append(f"the configuration is in {site.config_path}, as it was but for what is said here")
    return notes


def _places(site: Site, config: Config, given: AnyVault, notes: list[str]) -> tuple[dict[str, str], list[str]]:
    """Other URLs for vaults, and vaults to be left out: one sync vault at least is there afterwards."""
    suspect = [v for v in config.vaults if v.mode != Mode.SYNC and _is_past_of(given, v)]
    missing = [v for v in config.vaults if v not in suspect and not _is_here(site, v, given)]
    for vault in suspect:
        notes.append(
            f"the vault {vault.name} at {vault.url} was read as it once was: what came later is in doubt, so that it "
            "stands in the configuration as a comment; add another with `safehold vault add`"
        )
    for vault in missing:
        if vault.is_s3:
            notes.append(
                f"the vault {vault.name} is at {vault.url}, and its credentials are not on this machine: put them into "
                f"{site.keys_folder / vault.s3.credentials_file}"
            )
        elif vault.mode != Mode.SYNC:
            notes.append(
                f"the vault {vault.name} is not at {vault.url} on this machine: bring its folder there, or make it "
                f"anew with `safehold vault add {vault.name}`"
            )
    if any(v.mode == Mode.SYNC and v not in missing for v in config.vaults):
        lost = [v.name for v in missing if v.mode == Mode.SYNC]
        moved: dict[str, str] = {}
    else:
        first, *others = [v for v in missing if v.mode == Mode.SYNC]
        lost = [v.name for v in others]
        taken = any(same_vault(v.url, given.url) for v in config.vaults if v != first)
        moved = {first.name: _place_for(site, first, given, notes, taken=taken)}
    for name in lost:
        notes.append(f"the vault {name} is not on this machine and stands in the configuration as a comment")
    return moved, [*lost, *(v.name for v in suspect)]


def _is_past_of(given: AnyVault, vault: VaultConfig) -> bool:
    return isinstance(given, S3Vault) and given.is_past and given.url.partition("@")[0] == vault.url


def _is_here(site: Site, vault: VaultConfig, given: AnyVault) -> bool:
    found = open_vault(vault, site.data, site.disk, site.opener.installation)
    return found.available() and (found.url != given.url or _is_writable(site, found))


def _place_for(site: Site, vault: VaultConfig, given: AnyVault, notes: list[str], *, taken: bool) -> str:
    """The URL that a sync vault has from now on: that of the given one, or of a copy where that takes nothing.

    `taken`: the given one is another vault of the configuration, and stays that.
    """
    if not taken and _is_writable(site, given):
        notes.append(f"the vault {vault.name} was at {vault.url}, which is not on this machine: it is {given.url} now")
        return given.url
    own = f"{FOLDER_SCHEME}vaults/{vault.name}"
    own_urls = [own, f"{own}-anew"]
    relative = vault.is_folder and not vault.url.startswith(f"{FOLDER_SCHEME}/")
    urls = [vault.url, *own_urls] if relative else own_urls
    paths = {url: str(VaultConfig(vault.name, url, vault.mode).folder(site.data)) for url in urls}
    url = next(url for url, path in paths.items() if f"{FOLDER_SCHEME}{path}" != given.url)
    target = FolderVault.create(vault.name, paths[url], site.disk, site.opener.installation)
    copy_vault(site, given, target)
    why = f"{given.url} stays the vault that it was" if taken else f"nothing can be written to {given.url}"
    notes.append(f"{why}: the vault {vault.name} at {url} is a copy of it")
    return url


def _is_writable(site: Site, vault: AnyVault) -> bool:
    """Whether an object can be made there. Who serves a vault over a socket takes what it may take."""
    if isinstance(vault, S3Vault):
        return not vault.is_past
    if not isinstance(vault, FolderVault):
        return True
    folder = vault.url.removeprefix(FOLDER_SCHEME)
    probe = f"{folder}/tmp/is-writable"
    try:
        site.disk.make_folders(f"{folder}/tmp")
        site.disk.open(probe, write=True, create=True).close()
        site.disk.remove(probe)
    except OSError:
        return False
    return True
