"""A folder vault whose mark is what may be damaged: for scrub and repair, which are to say so rather than give up."""

from __future__ import annotations

from safehold.formats import mark, segment
from safehold.model.errors import Damaged
from safehold.ports.vault import VaultDown
from safehold.vault.folder import FolderVault
from safehold.vault.keeping import KeptFolderVault

#: Segments that are looked at for the installation that they are of.
_GLANCES = 16


class _Tolerant(FolderVault):
    """Believes a folder whose FORMAT is missing or damaged where its log is this installation's."""

    _believed = False

    def _require(self) -> None:
        try:
            super()._require()
        except VaultDown:
            if self._wanted is None or not (self._believed or self._is_ours(self._wanted)):
                raise
            self._believed = True

    def _is_ours(self, installation: bytes) -> bool:
        try:
            file = self._disk.open(self._at(mark.NAME))
            try:
                return mark.parse_mark(file.read_at(0, file.size())) == installation
            finally:
                file.close()
        except (OSError, Damaged):
            pass
        try:
            for folder in sorted(self._disk.list(self._at("log")), key=lambda entry: entry.name)[:_GLANCES]:
                for entry in list(self._disk.list(self._at(f"log/{folder.name}")))[:_GLANCES]:
                    file = self._disk.open(self._at(f"log/{folder.name}/{entry.name}"))
                    try:
                        header = segment.parse_segment_header(file.read_at(0, segment.HEADER_BYTES))
                    finally:
                        file.close()
                    if header is not None:
                        return segment.vouched(header, installation)
        except OSError:
            pass
        return False


class ScrubbedVault(_Tolerant):
    """To read from."""


class RepairedVault(_Tolerant, KeptFolderVault):
    """To mend, with the keeper's credentials."""
