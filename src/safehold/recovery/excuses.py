"""What evidence says of objects that are not in a vault, or not whole: removed on record, or made up for elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from safehold.formats.evidence import Evidence, parse_evidence_name
from safehold.formats.keys import Opener, Role
from safehold.formats.segment import SegmentName, parse_name
from safehold.ports.vault import Vault
from safehold.vault.evidence import MADE_UP, read_evidence

RETAIN, REPAIR = "retain", "repair"
#: From where on the log is there on purpose: timeline and first frame.
LOG_FROM = "log_from"


class EvidenceExcuses:
    """Implements judging.Excuses. Only a keeper's word excuses anything.

    `retain` evidence names what it removes (`removed`, `aside`) and from where on the log is kept (`log_from`: timeline
    and first frame); of the first segment of a timeline before that the header stays. Evidence that is older than
    `evidence_from` may be gone: which of it counts still is for each vault to say.

    `repair` evidence names what was made up for elsewhere (`made_up`); and, where a recovery found nothing of the log
    and began it anew after a generation, from where on it is there (`log_from`).
    """

    def __init__(self, vault: str, evidence: Iterable[Evidence]) -> None:
        self.log_from = (0, 0)
        self.evidence_from = 0
        self._lost_before = (0, 0)  # as log_from, but not even the first header of a timeline is there
        #: The generation (number, digest of its manifest's frame in hex) that a recovery began with, without a log.
        self.begun: tuple[int, str] | None = None
        self._gone: set[str] = set()
        self._made_up: dict[str, bytes] = {}
        for one in sorted(evidence, key=lambda e: e.at):
            if one.vault == vault and one.kind == RETAIN:
                for member in ("removed", "aside"):
                    self._gone.update(_names(one.facts.get(member)))
                self.log_from = max(self.log_from, _position(one.facts.get(LOG_FROM)))
                self.evidence_from = max(self.evidence_from, _moment(one.facts.get("evidence_from")))
            elif one.vault == vault and one.kind == REPAIR:
                self._lost_before = max(self._lost_before, _position(one.facts.get(LOG_FROM)))
                self.log_from = max(self.log_from, self._lost_before)
                self.begun = _generation(one.facts) or self.begun
                self._made_up.update(_digests(one.facts.get(MADE_UP)))

    @classmethod
    def read(cls, vault: str, vaults: Iterable[Vault], installation: bytes, opener: Opener | None) -> EvidenceExcuses:
        """From all evidence in these vaults; without an opener nothing of it can be read."""
        found = read_evidence(vaults, installation, opener) if opener is not None else []
        return cls(vault, [each.evidence for each in found if each.role is Role.KEEPER])

    def missing(self, name: str) -> bool:
        segment = parse_name(name)
        if segment is not None:
            place = segment.timeline, segment.first
            return (segment.number > 0 and place < self.log_from) or place < self._lost_before
        evidence = parse_evidence_name(name)
        return name in self._gone or (evidence is not None and evidence.at < self.evidence_from)

    def shortened(self, name: str) -> bool:
        segment = parse_name(name)
        return segment is not None and segment.number == 0 and (segment.timeline, segment.first) < self.log_from

    def made_up_segments(self, timeline: int) -> list[SegmentName]:
        """Those of a timeline that are made up for."""
        named = (parse_name(name) for name in self._made_up)
        return [name for name in named if name is not None and name.timeline == timeline]

    def made_up(self, name: str) -> bytes | None:
        return self._made_up.get(name)


def _names(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _moment(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _position(value: Any) -> tuple[int, int]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(each, int) for each in value):
        return value[0], value[1]
    return 0, 0


def _generation(facts: Mapping[str, Any]) -> tuple[int, str] | None:
    number, manifest = facts.get("generation"), facts.get("manifest")
    return (number, manifest) if isinstance(number, int) and isinstance(manifest, str) else None


def _digests(value: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, digest in value.items() if isinstance(value, dict) else ():
        if isinstance(name, str) and isinstance(digest, str):
            try:
                found[name] = bytes.fromhex(digest)
            except ValueError:
                continue
    return found
