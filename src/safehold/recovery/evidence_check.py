"""All records of evidence, each proved or refused by name: what a report may be made of, and what `verify` tells.

`read_evidence` passes over what does not hold, as fits whoever looks for proof. Here nothing is passed over (I89): an
object that was altered, is another installation's or lies under another one's name is named with the vault it lies in;
one that is gone from a vault it was put into, or from all, is named too, by the signer's next one where nothing else
remembers it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from safehold.formats import evidence as formats
from safehold.formats.evidence import EVIDENCE_PREFIX
from safehold.formats.keys import KeyAway, Opener, Role
from safehold.formats.payload import Unpacker
from safehold.model.errors import Damaged
from safehold.ports.vault import Vault, VaultDown
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.under_way import UnderWay
from safehold.vault.evidence import (
    VAULTS,
    ChainGap,
    Foreign,
    Found,
    Misplaced,
    Newer,
    chain_gaps,
    told_links,
    verify_evidence,
)


class Problem(StrEnum):
    TAMPERED = "tampered"  # bits were changed: no signature covers what is there
    FOREIGN = "foreign"  # of another installation, or no record at all
    MISPLACED = "misplaced"  # whole, under the name of another: taken out of its order
    UNREADABLE = "unreadable"  # of a newer release
    REMOVED = "removed"  # from one vault; another still has it
    MISSING = "missing"  # in no vault


class Flaw(NamedTuple):
    """One record that does not count, or is not where it was put."""

    object: str  # its name; `sha256:…` where only its digest is known
    vault: str  # where it lies, or should; "" for all of them
    problem: Problem
    why: str
    told: str = ""  # the keeper's record that has told of it before; "" for none: only such are news


class Checked(NamedTuple):
    """What came of looking at every record in every vault that can be reached."""

    found: list[Found]  # those that hold, oldest first
    copies: dict[str, list[str]]  # name to the vaults that hold it whole
    flaws: list[Flaw]
    unsettled: list[Flaw]  # missing, unless a vault that is away has it
    away: list[str]  # vaults that could not be read
    branches: list[str]  # names of records that follow one which another record of the same signer follows too

    @property
    def news(self) -> list[Flaw]:
        """Flaws that no keeper's record has told of."""
        return [flaw for flaw in self.flaws if not flaw.told]

    @property
    def ok(self) -> bool:
        return not self.news and not self.away


def records_digest(found: Iterable[Found]) -> bytes:
    """One digest over all of them: SHA-256 of their own, in order of their names."""
    return sha256(b"".join(one.digest for one in sorted(found, key=lambda each: each.name))).digest()


def check_evidence(
    vaults: Sequence[Vault],
    installation: bytes,
    opener: Opener,
    under_way: UnderWay,
    remembered: Collection[str] = (),
) -> Checked:
    """Look at every record. `remembered` are names of such as were put, by what else remembers them.

    Raises KeyAway where the identity is not here: what is sealed can be neither read nor refused.
    """
    if not opener.can_open:
        raise KeyAway("evidence")
    looking = _Looking(installation, Unpacker(opener))
    for vault in vaults:
        looking.look(vault)
    found = [looking.found[name] for name in sorted(looking.found)]
    words = [one.evidence for one in found if one.role is Role.KEEPER]
    excuses = {vault.name: EvidenceExcuses(vault.name, words) for vault in vaults}
    removed = _removed(looking, excuses, under_way)
    flaws = [*looking.flaws, *removed]
    evidence_from = max((each.evidence_from for each in excuses.values()), default=0)
    missing = _missing(looking, found, remembered, evidence_from)
    away = looking.away
    return Checked(
        found,
        looking.copies,
        sorted(flaws if away else [*flaws, *missing]),
        sorted(missing) if away else [],
        away,
        _branches(found),
    )


class _Looking:
    def __init__(self, installation: bytes, unpacker: Unpacker) -> None:
        self._installation = installation
        self._unpacker = unpacker
        self.found: dict[str, Found] = {}
        self.copies: dict[str, list[str]] = {}
        self.vaults: dict[str, Vault] = {}  # those that could be listed
        self.listed: dict[str, set[str]] = {}  # by the vault's name
        self.flaws: list[Flaw] = []
        self.away: list[str] = []

    def look(self, vault: Vault) -> None:
        try:
            if not vault.available():
                self.away.append(vault.name)
                return
            names = sorted(info.name for info in vault.list(EVIDENCE_PREFIX))
            for name in names:
                self._one(vault, name)
            self.vaults[vault.name] = vault
            self.listed[vault.name] = set(names)
        except VaultDown:
            self.away.append(vault.name)

    def has_come(self, vault: str, name: str, under_way: UnderWay) -> bool:
        """Whether a record that was not listed was put meanwhile; it is proved like the others then."""
        try:
            if not under_way.has_come(self.vaults[vault], name):
                return False
            self._one(self.vaults[vault], name)
        except VaultDown:
            self.away.append(vault)
        return True

    def _one(self, vault: Vault, name: str) -> None:
        """Raises VaultDown."""
        problem = Problem.TAMPERED
        try:
            if formats.parse_evidence_name(name) is None:
                raise Foreign("no record has such a name")
            one = verify_evidence(name, vault.get(name), self._installation, self._unpacker)
            known = self.found.setdefault(name, one)
            if known.digest != one.digest:
                raise Damaged("another vault holds another record of this name")
            self.copies.setdefault(name, []).append(vault.name)
            return
        except KeyError:  # it went between listing and reading
            return
        except Foreign as error:
            problem, why = Problem.FOREIGN, error.message
        except Misplaced as error:
            problem, why = Problem.MISPLACED, error.message
        except Newer as error:
            problem, why = Problem.UNREADABLE, error.message
        except Damaged as error:
            why = error.message
        self.flaws.append(Flaw(name, vault.name, problem, why))


def _removed(looking: _Looking, excuses: dict[str, EvidenceExcuses], under_way: UnderWay) -> list[Flaw]:
    """Records that hold elsewhere and are gone from a vault that they were put into."""
    flaws = []
    for name, one in looking.found.items():
        said = one.evidence.facts.get(VAULTS)
        for vault in said if isinstance(said, list) else ():
            listed = looking.listed.get(vault)
            if listed is not None and name not in listed and not excuses[vault].missing(name):
                if looking.has_come(vault, name, under_way):
                    continue
                why = f"it was put there; whole copies: {', '.join(looking.copies[name])}"
                flaws.append(Flaw(name, vault, Problem.REMOVED, why))
    return flaws


def _missing(looking: _Looking, found: Sequence[Found], remembered: Collection[str], evidence_from: int) -> list[Flaw]:
    """Records that are in no vault. One that is there, but was refused, is named as that only."""
    told = told_links(found)
    refused = {flaw.object for flaw in looking.flaws} - looking.found.keys()
    names = {name for name in remembered if formats.parse_evidence_name(name) is not None}
    gone = {name for name in names if name not in looking.found and name not in refused and _at(name) >= evidence_from}
    scrubbed = _scrubbed(found)
    why = "this data folder remembers that it was put"
    flaws = {name: Flaw(name, "", Problem.MISSING, why, scrubbed.get(name, "")) for name in gone}
    for gap in chain_gaps(found, evidence_from):
        if any(_fills(name, gap) for name in refused):
            continue
        known = next((name for name in sorted(gone, reverse=True) if _fills(name, gap)), None)
        name = known or f"sha256:{gap.digest.hex()}"
        why = f"{gap.after} names it as the one before it"
        flaws[name] = Flaw(name, "", Problem.MISSING, why, told.get(gap.after, ""))
    return list(flaws.values())


def _scrubbed(found: Sequence[Found]) -> dict[str, str]:
    """Records that a keeper's scrub found missing in a vault, to the first that told so."""
    told: dict[str, str] = {}
    for one in found:
        damaged = one.evidence.facts.get("damaged") if one.role is Role.KEEPER else None
        for damage in damaged if isinstance(damaged, list) else ():
            if isinstance(damage, dict) and damage.get("problem") == Problem.MISSING:
                told.setdefault(str(damage.get("object")), one.name)
    return told


def _fills(name: str, gap: ChainGap) -> bool:
    parsed = formats.parse_evidence_name(name)
    return parsed is not None and parsed.signer == gap.signer and gap.since < parsed.at < gap.until


def _branches(found: Sequence[Found]) -> list[str]:
    """A signer that could not reach the vault with its last record follows an earlier one: told, and no flaw."""
    followed: set[bytes] = set()
    branches = []
    for one in found:
        before = one.evidence.before
        if before and before in followed:
            branches.append(one.name)
        followed.add(before)
    return branches


def _at(name: str) -> int:
    parsed = formats.parse_evidence_name(name)
    return 0 if parsed is None else parsed.at
