"""From when on the log is suspect: what each vault, or who holds it, knows of somebody who had the writer's keys.

Four things are known somewhere out of such a thief's reach, and are asked for here before a recovery:

    a vault server, a keeper's socket   requests that would have made void what is there, which were refused
    a folder that lies at one of these  the same, in `../run/` beside it
    a bucket                            what was put over what was there first, or deleted, and when, by the store;
                                        timelines that go on before what it held when they came
    a keeper's evidence                 positions that it attested and that the log has left since; generations that it
                                        did not attest, and that no damage explains

A thief who only adds what the writer could have added is told by none of these; nor is, in a bucket, a segment of a
timeline's own that begins early, which all of the log would have to be read for. What cannot be asked tells nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import msgspec

from safehold.assembly.vault_urls import AnyVault
from safehold.config import FOLDER_SCHEME, S3_SCHEME
from safehold.formats.keys import Opener, Role
from safehold.formats.segment import HEADER_BYTES, claim_object
from safehold.model.counting import count_text
from safehold.model.errors import SafeholdError
from safehold.ports.objectstore import StoreError
from safehold.ports.vault import VaultDown
from safehold.ports.whole_file import read_json
from safehold.recovery.report import Suspicion
from safehold.store.realdisk import RealDisk
from safehold.vault.evidence import read_evidence
from safehold.vault.folder import FolderVault
from safehold.vault.log import Branch, Stretch, VaultLogReader
from safehold.vault.receipts import Receipts, Signed
from safehold.vault.refusals import FILE_NAME, RACES, Refused
from safehold.vault.remote import RemoteVault
from safehold.vault.s3 import S3Vault
from safehold.vault.s3_moment import moment_text
from safehold.vault.s3_probe import look_for_put_over

REFUSED, PUT_OVER, FORKED, NOT_ATTESTED = "refused", "put over", "forked", "not attested"
_LIKE_RECOVERY = "a recovery that lost what came between does the same"
_MICROSECONDS = 1_000_000
_log = logging.getLogger("safehold.recovery")


def suspicions(
    vaults: Sequence[AnyVault], opener: Opener, *, names: bool = True, below: int | None = None
) -> list[Suspicion]:
    """The earliest first. `names` False: the vaults do not bear the names that their keepers call them by.

    Timelines from `below` on are a recovery's own, and no reason to suspect anybody.
    """
    there = [vault for vault in vaults if vault.available()]
    evidence = read_evidence(there, opener.installation, opener) if opener.can_open else []
    words = [Signed(one.name, one.evidence) for one in evidence if one.role is Role.KEEPER]
    found: set[Suspicion] = set()
    for vault in there:
        try:
            found.update(_refused(vault))
            forks = _Forks(_now(vault, opener), opener, below)
            if isinstance(vault, S3Vault) and vault.store.features().versioned:
                found.update(_put_over(vault, opener))
                found.update(_forked_in_bucket(_bucket(vault, opener), opener, forks))
            for name in sorted({each.evidence.vault for each in words}):
                if name == vault.name or not names:
                    receipts = Receipts(name, words)
                    found.update(_left(vault, forks, receipts))
                    found.update(_not_attested(vault, receipts))
        except (SafeholdError, StoreError, OSError) as error:
            _log.warning("whether something is suspect in the vault %s cannot be told: %s", vault.name, error)
    return sorted(found, key=lambda one: (one.at, one.vault, one.what))


def _now(vault: AnyVault, opener: Opener) -> AnyVault:
    """A bucket as it is, where it is read as it was at a moment: what came later tells from when on it is suspect."""
    return _bucket(vault, opener) if isinstance(vault, S3Vault) and vault.is_past else vault


class _Forks:
    """The timelines that count in a vault, and where each goes on."""

    def __init__(self, vault: AnyVault, opener: Opener, below: int | None) -> None:
        self._reader = VaultLogReader([vault], opener)
        branch = self._reader.branch()
        self.stretches = [s for s in branch.stretches if below is None or s.timeline < below]
        self.branch = Branch(self.stretches)

    def leaves_out(self, stretch: Stretch) -> bool:
        return self._reader.leaves_out(stretch)


# -- who holds it


def _refused(vault: AnyVault) -> Iterator[Suspicion]:
    refused = _told(vault)
    if refused is not None:
        asked = count_text(refused.count, "request")
        why = f"{asked} that would have made void what it holds came and were refused, the first: {refused.why}"
        if refused.count <= RACES:
            why += "; two writers that race do the same"
        yield Suspicion(vault.name, REFUSED, refused.first, refused.frame or None, why)


def _told(vault: AnyVault) -> Refused | None:
    if isinstance(vault, RemoteVault):
        return _of_server(vault.about().get("refused"))
    if isinstance(vault, FolderVault):
        folder = vault.url.removeprefix(FOLDER_SCHEME).rstrip("/")
        return read_json(RealDisk(), f"{folder.rpartition('/')[0]}/run/{FILE_NAME}", Refused)
    return None


def _of_server(told: object) -> Refused | None:
    """What a server says of itself; None where it says nothing of that, or something else."""
    try:
        return None if told is None else msgspec.convert(told, Refused)
    except msgspec.ValidationError:
        return None


# -- buckets


def _put_over(vault: S3Vault, opener: Opener) -> Iterator[Suspicion]:
    """By the versions that the store keeps, and its clock. A vault as it was at a moment tells what came later."""
    over = look_for_put_over(vault.store, vault.root)
    if over.keys:
        things = count_text(over.keys, "object")
        why = f"something was put over {things}, or deleted: what was there first is what is read"
        frame = _end(vault, over.since - 1, opener) or None
        yield Suspicion(vault.name, PUT_OVER, over.since * _MICROSECONDS, frame, why)


def _forked_in_bucket(vault: S3Vault, opener: Opener, forks: _Forks) -> Iterator[Suspicion]:
    """Timelines that go on before what the bucket held when they came: a start goes on at its end."""
    for stretch in forks.stretches:
        came = vault.came(claim_object(stretch.timeline), HEADER_BYTES) if forks.leaves_out(stretch) else 0
        held = _end(vault, came - 1, opener) if came else 0
        if held >= stretch.opened:
            left = count_text(held - stretch.opened + 1, "frame")
            why = (
                f"timeline {stretch.timeline} goes on before {left} that the bucket held when it came; {_LIKE_RECOVERY}"
            )
            yield Suspicion(vault.name, FORKED, came * _MICROSECONDS, stretch.opened - 1, why)


def _bucket(vault: S3Vault, opener: Opener, moment: str = "") -> S3Vault:
    place = vault.url.removeprefix(S3_SCHEME).partition("@")[0]
    return S3Vault(vault.name, f"{place}{moment}", vault.store, opener.installation)


def _end(vault: S3Vault, seconds: int, opener: Opener) -> int:
    """Number of the last frame of what was there at a moment; 0 where nothing was."""
    try:
        return VaultLogReader([_bucket(vault, opener, f"@{moment_text(seconds)}")], opener).end().frame
    except VaultDown:
        return 0


# -- keepers


def _left(vault: AnyVault, forks: _Forks, receipts: Receipts) -> Iterator[Suspicion]:
    """The newest position that a keeper attested and that the log has left: the fork came after that was said."""
    left = [attested for attested in receipts.attested if forks.branch.left(attested.position)]
    for attested in sorted(left, key=lambda one: one.position.frame)[-1:]:
        by = min((s for s in forks.stretches if s.timeline > attested.position.timeline), key=lambda s: s.opened)
        why = (
            f"timeline {by.timeline} goes on before frame {attested.position.frame}, which a keeper had attested; "
            f"{_LIKE_RECOVERY}"
        )
        yield Suspicion(vault.name, FORKED, attested.clock, by.opened - 1, why)


def _not_attested(vault: AnyVault, receipts: Receipts) -> Iterator[Suspicion]:
    """The first generation after the last that was attested which was written of another history."""
    last = receipts.attested[-1] if receipts.attested else None
    for facts in receipts.refused:
        if facts.otherwise and (last is None or facts.generation > last.generation):
            why = f"a keeper did not attest generation {facts.generation}: {'; '.join(facts.why[:1])}"
            at, frame = (facts.clock, None) if last is None else (last.clock, last.position.frame)
            yield Suspicion(vault.name, NOT_ATTESTED, at, frame, why)
            return
