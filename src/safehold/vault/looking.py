"""A folder vault whose mark is what may be damaged: for scrub and repair, which are to say so rather than give up."""

from __future__ import annotations

from safehold.formats import segment
from safehold.ports.vault import VaultDown
from safehold.vault.folder import FolderVault
from safehold.vault.keeping import KeptFolderVault

#: So many timelines, and so many segments of each, are looked at for the installation that they are of.
_GLANCES = 16


class _Tolerant(FolderVault):
    """Believes a folder whose FORMAT is missing, or not this installation's, where its log is."""

    _believed = False

    def _require(self) -> None:
        try:
            super()._require()
        except VaultDown:
            if self._wanted is None or not (self._believed or self._is_ours(self._wanted)):
                raise
            self._believed = True

    def _is_ours(self, installation: bytes) -> bool:
        """Whether every segment that is looked at is this installation's, and one is there.

        That FORMAT names another says nothing against it: one digit of the name may be what was damaged.
        """
        looked_at = 0
        try:
            for folder in sorted(self._disk.list(self._at("log")), key=lambda entry: entry.name)[:_GLANCES]:
                for entry in list(self._disk.list(self._at(f"log/{folder.name}")))[:_GLANCES]:
                    file = self._disk.open(self._at(f"log/{folder.name}/{entry.name}"))
                    try:
                        header = segment.parse_segment_header(file.read_at(0, segment.HEADER_BYTES))
                    finally:
                        file.close()
                    if header is None:
                        continue
                    if not segment.vouched(header, installation):
                        return False
                    looked_at += 1
        except OSError:
            return False
        return looked_at > 0


class ScrubbedVault(_Tolerant):
    """To read from."""


class RepairedVault(_Tolerant, KeptFolderVault):
    """To mend, with the keeper's credentials."""
