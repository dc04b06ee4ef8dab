"""Walks through runbooks on disk and on record: run/runbooks/NAME.json while one is under way, evidence once it ended.

Nothing here makes an installation: a runbook may be walked through where there is none yet, or none any more. Evidence
that no vault takes waits as run/runbooks/ended/BEGAN-NAME.json, and is put when the next walk ends.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from safehold import config as configuration
from safehold.adapters.lock import FolderLock
from safehold.adapters.system import SystemClock
from safehold.assembly.scrubbing import evidence_sealer
from safehold.assembly.site import Site
from safehold.formats.evidence import VERSION, Evidence
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.core import EMPTY_LOG
from safehold.proof.runbooks.walk import EVIDENCE_KIND, Walk
from safehold.vault.evidence import put_evidence

#: So many walks wait for a vault; the oldest are dropped.
MAX_WAITING = 100

_log = logging.getLogger("safehold.runbooks")
_decode = msgspec.json.Decoder(Walk).decode


class WalkRecord:
    """The record of walks in one data folder."""

    def __init__(self, data: Path, config_path: Path) -> None:
        self._data = data
        self._config_path = config_path
        self._folder = data / "run" / "runbooks"
        self.clock = SystemClock()

    def lock(self, name: str) -> FolderLock:
        """One walk of a runbook at a time."""
        return FolderLock(str(self._folder / f"{name}.lock"))

    def under_way(self, name: str) -> Walk | None:
        """Raises OperatorError where there is one that cannot be read."""
        path = self._path(name)
        try:
            return _decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise OperatorError(
                f"{path} cannot be read: {error}", hint="move it away, then begin the runbook anew"
            ) from None

    def save(self, walk: Walk) -> None:
        """Whole or not at all."""
        _write(self._path(walk.name), walk)

    def finish(self, walk: Walk) -> str:
        """Take it off the table and put it on record, with what has waited; its evidence's name, "" where it waits."""
        waiting = self._waiting_path(walk)
        _write(waiting, walk)
        with suppress(FileNotFoundError):
            self._path(walk.name).unlink()
        return self._put_waiting().get(waiting.name, "")

    def _put_waiting(self) -> dict[str, str]:
        """File to the evidence that it has become."""
        ended = self._folder / "ended"
        paths = sorted(ended.glob("*.json"))
        for path in paths[:-MAX_WAITING]:
            path.unlink()
        put: dict[str, str] = {}
        try:
            site = Site(self._data, configuration.load(self._config_path), self._config_path)
            sealer = evidence_sealer(site)
            if sealer is None:
                return put
            vaults = [site.vault(each) for each in site.config.vaults]
        except (SafeholdError, OSError) as error:
            _log.info("no evidence of a runbook can be put yet: %s", error)
            return put
        try:
            for path in paths[-MAX_WAITING:]:
                with suppress(msgspec.MsgspecError):
                    walk = _decode(path.read_bytes())
                    value = Evidence(VERSION, EVIDENCE_KIND, self.clock.now(), "", EMPTY_LOG, b"", walk.facts())
                    put[path.name] = put_evidence(vaults, sealer, site.clock, value).name
                    path.unlink()
        except (SafeholdError, OSError) as error:
            _log.info("no evidence of a runbook can be put yet: %s", error)
        finally:
            for vault in vaults:
                vault.close()
        return put

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _waiting_path(self, walk: Walk) -> Path:
        return self._folder / "ended" / f"{walk.began:016d}-{walk.name}.json"


def _write(path: Path, walk: Walk) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(walk), indent=1))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
