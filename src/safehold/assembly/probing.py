"""The probe: what a vault really enforces against the user that runs this, found out and remembered.

Two questions, neither of which touches data:

    the port      a second put of a name, of the evidence of an earlier probe, is refused and leaves the first; an
                  append with another length, of no bytes, is refused
    a bucket      the same, of an object that is no part of the vault (vault/s3_probe.py)
    the files     whether they can be overwritten, shortened, renamed or removed from here (adapters/rights.py); of
                  a keeper's vault those of the folder that it says it serves; those of a server on another
                  machine are out of reach

A vault is append-only, *enforced*, where the port holds and the files give nothing. Else it is so *by convention*.
What was found lies in run/probe/, and as evidence in the vaults once it is something new.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from safehold.adapters.places import known_here, machine
from safehold.adapters.rights import Rights, find_rights
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import AnyVault
from safehold.config import VaultConfig
from safehold.formats import evidence as evidence_format
from safehold.formats.evidence import Evidence
from safehold.model.counting import count_text
from safehold.model.errors import OperatorError, OutOfSpace, SafeholdError
from safehold.ports.core import EMPTY_LOG
from safehold.ports.objectstore import StoreError
from safehold.ports.vault import LengthMismatch, VaultDown
from safehold.vault.evidence import put_evidence
from safehold.vault.remote import RemoteVault
from safehold.vault.s3 import S3Vault
from safehold.vault.s3_moment import moment_text
from safehold.vault.s3_probe import look_for_put_over, try_out

ENFORCED, BY_CONVENTION = "enforced", "by convention"
#: A probe is done again after so long, and whenever a vault's URL or mode has changed.
FRESH_SECONDS = 24 * 3600.0
_MICROSECONDS = 1_000_000

_log = logging.getLogger("safehold.probe")


class Probed(msgspec.Struct, frozen=True):
    """What was found. True: this user can; False: it is refused; None: not found out. `at` in µs."""

    vault: str
    url: str
    at: int
    user: int
    put_if_absent: bool | None  # whether a name that is taken is refused
    append_length: bool | None  # whether an append with another length is refused
    overwrite: bool | None
    shorten: bool | None
    delete: bool | None
    rename: bool | None
    holder: int | None = None  # the user that holds the vault, where that is known
    why: str = ""  # it could not be found out
    ignores: tuple[str, ...] = ()  # of a bucket's store: what a safe one does and it does not
    lock_days: int | None = None  # of a bucket: how long it keeps what is put, whoever deletes it
    put_over: int = 0  # of a bucket: objects on top of which somebody else put, or deleted
    put_over_since: int | None = None  # µs, by the store's clock: when the first of it came
    evidence: str = ""  # the object that says so, and that the next probe tries to put once more

    @property
    def append_only(self) -> str:
        refused = (self.overwrite, self.shorten, self.delete, self.rename)
        holds = self.put_if_absent is True and self.append_length is True
        return ENFORCED if holds and all(found is False for found in refused) else BY_CONVENTION

    def same_as(self, other: Probed | None) -> bool:
        """But for when it was found, and where that is said."""
        return other is not None and msgspec.structs.replace(other, at=self.at, evidence=self.evidence) == self

    def facts(self) -> dict[str, Any]:
        facts = {**msgspec.structs.asdict(self), "append_only": self.append_only}
        del facts["evidence"]
        return facts


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Probed).decode


def probe(site: Site, config: VaultConfig, own: str = "") -> Probed:
    """Find it out; for a thread that may hang. What hinders it is told in `why`. `own` is an earlier probe's object."""
    vault = site.vault(config)
    nothing = Probed(config.name, config.url, site.clock.now(), os.geteuid(), *(None,) * 6)
    try:
        if not vault.available():
            vault.size("FORMAT")
            return msgspec.structs.replace(nothing, why="it cannot be reached")
        if isinstance(vault, S3Vault):
            return _probe_bucket(site, vault, msgspec.structs.replace(nothing, evidence=own))
        holder, rights = _files(site, config, vault)
        return msgspec.structs.replace(
            nothing,
            put_if_absent=_keeps_what_is_there(vault, own) if own else None,
            append_length=_wants_the_length(vault),
            holder=holder,
            evidence=own,
            **rights._asdict(),
        )
    except SafeholdError as error:
        return msgspec.structs.replace(nothing, why=error.message)
    except OSError as error:
        return msgspec.structs.replace(nothing, why=error.strerror or str(error))
    finally:
        vault.close()


def _probe_bucket(site: Site, vault: S3Vault, nothing: Probed) -> Probed:
    """Of a bucket the object that is tried out is one of the probe's own. Raises SafeholdError."""
    try:
        found = try_out(vault.store, vault.root, site.clock.now())
        over = look_for_put_over(vault.store, vault.root)
    except StoreError as error:
        raise VaultDown(str(error)) from error
    return msgspec.structs.replace(
        nothing,
        put_if_absent=found.conditional,
        append_length=found.conditional,  # a slot is such a put
        overwrite=found.overwrite,
        shorten=found.overwrite,
        delete=found.delete,
        rename=found.delete,
        ignores=tuple(found.ignores),
        lock_days=found.lock_days,
        put_over=over.keys,
        put_over_since=over.since * _MICROSECONDS or None,
    )


def _files(site: Site, config: VaultConfig, vault: AnyVault) -> tuple[int | None, Rights]:
    """Who holds the vault's files, and what this user may do to them. Raises OSError, VaultDown."""
    if not isinstance(vault, RemoteVault):
        place = str(config.place(site.data))
        return os.stat(place).st_uid, find_rights(place)
    about = vault.about()
    if config.is_server:
        return None, _rights_at_server(about)
    holder, folder = about.get("user"), about.get("folder")
    if not isinstance(holder, int) or not isinstance(folder, str):
        raise VaultDown("its keeper does not say who it is and what it serves")
    if holder == os.geteuid():  # whoever may signal or trace a process may do all that it may
        return holder, Rights(True, True, True, True)
    return holder, find_rights(folder)


def _rights_at_server(about: Mapping[str, Any]) -> Rights:
    """By what the server says (assembly/vault_server.py): nobody but its own user and root reaches a private folder."""
    if is_elsewhere(about):  # nothing here reaches the files
        return Rights(False, False, False, False)
    holder = known_here(f"user {os.geteuid()}")
    if not os.geteuid() or (holder and about.get("holder") == holder):
        return Rights(True, True, True, True)
    refused = False if holder and about.get("private") is True else None
    return Rights(refused, refused, refused, refused)


def is_elsewhere(about: Mapping[str, Any]) -> bool:
    """Whether a vault server that says this of itself runs on another machine than this process."""
    theirs, ours = about.get("machine"), machine()
    return bool(theirs) and bool(ours) and theirs != ours


def put_over_text(vault: str, facts: Mapping[str, Any]) -> str:
    """What lies on top of what a bucket was given first, in words; "" where nothing does."""
    if not facts.get("put_over"):
        return ""
    since = moment_text(facts["put_over_since"] // _MICROSECONDS)
    count = count_text(facts["put_over"], "object")
    return (
        f"somebody with credentials for the bucket of the vault {vault} put something over {count}, or deleted them, "
        f"from {since} on: what was there first is what is read"
    )


def _keeps_what_is_there(vault: AnyVault, own: str) -> bool | None:
    try:
        before = vault.get(own)
    except KeyError:  # retention has removed it
        return None
    again = vault.put(own, [b"other"])
    return not again and vault.get(own) == before


def _wants_the_length(vault: AnyVault) -> bool | None:
    """Asked of a segment, with a wrong length and no bytes, so that nothing is written whatever it answers."""
    for timeline in vault.folders("log/"):
        for info in vault.list(f"log/{timeline}/"):
            try:
                vault.append(info.name, info.size + 1, b"")
            except LengthMismatch:
                return True
            return False
    return None


# -- what was found before


def remembered(site: Site, name: str) -> Probed | None:
    """The last probe of a vault that came to a result here."""
    with suppress(OSError, msgspec.DecodeError):
        file = site.disk.open(_place(site, name))
        try:
            return _decode(file.read_at(0, 1 << 16))
        finally:
            file.close()
    return None


def is_due(site: Site, config: VaultConfig) -> bool:
    last = remembered(site, config.name)
    if last is None or last.url != config.url or last.user != os.geteuid():
        return True
    return not 0 <= site.clock.now() - last.at < FRESH_SECONDS * _MICROSECONDS


def probe_and_remember(site: Site, config: VaultConfig) -> Probed:
    """A probe that came to no result leaves what was known. The first one is done twice: it has no object yet."""
    before = remembered(site, config.name)
    found = probe(site, config, "" if before is None else before.evidence)
    if not found.why and found.put_if_absent is None:
        found = probe(site, config, _note_evidence(site, config, found))
    if found.why:
        _log.warning("what the vault %s enforces could not be found out: %s", config.name, found.why)
        return found
    if not found.same_as(before):
        found = msgspec.structs.replace(found, evidence=_note_evidence(site, config, found))
    try:
        _remember(site, found)
    except OSError as error:
        _log.warning("what the vault %s enforces could not be noted: %s", config.name, error.strerror)
    return found


def _note_evidence(site: Site, config: VaultConfig, found: Probed) -> str:
    """The object's name; "" where there can be none."""
    sealer = site.keyring.keeper or site.keyring.sealer
    value = Evidence(evidence_format.VERSION, "probe", found.at, config.name, EMPTY_LOG, b"", found.facts())
    vaults = [site.vault(each) for each in site.config.vaults]
    try:
        return put_evidence(vaults, sealer, site.clock, value).name
    except (OperatorError, OutOfSpace) as error:
        _log.warning("no evidence of a probe could be kept: %s", error.message)
        return ""
    finally:
        for vault in vaults:
            vault.close()


def _remember(site: Site, found: Probed) -> None:
    """Whole or not at all; what is lost is found out again."""
    path = _place(site, found.vault)
    site.disk.make_folders(str(site.data / "run" / "probe"))
    file = site.disk.open(f"{path}.new", write=True, create=True)
    try:
        file.truncate(0)
        file.write_at(0, _encode(found))
    finally:
        file.close()
    site.disk.rename(f"{path}.new", path)


def _place(site: Site, name: str) -> str:
    return str(site.data / "run" / "probe" / f"{name}.json")
