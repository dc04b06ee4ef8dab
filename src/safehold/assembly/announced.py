"""Announcements as a data folder has them: in the installation's identity, and in a file beside the core.

The file `run/announcements.json` remembers those of the identity for the time in which there is no core to read them
from, and holds those that were made then. These go into the identity, and so into the vaults, once it is there again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from safehold.assembly.site import Site
from safehold.model.commands import Announce, AnyCommand, Withdraw
from safehold.model.errors import NotFound, OperatorError, OutOfSpace, RequestError, SafeholdError
from safehold.ports.core import CoreReads
from safehold.service.announcements import Announcement, announcements_of, check_text
from safehold.service.identity import SYSTEM_ACCOUNT

if TYPE_CHECKING:  # it brings in the whole of writing, which a page does not need
    from safehold.assembly.session import Session

FILE_NAME = "announcements.json"


class _Kept(msgspec.Struct):
    vaulted: list[Announcement] = []
    own: list[Announcement] = []


_decode = msgspec.json.Decoder(_Kept).decode


class Told(NamedTuple):
    """An announcement, and whether the vaults hold it."""

    announcement: Announcement
    vaulted: bool


class Announced:
    """Used by one thread at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._path: Path = site.data / "run" / FILE_NAME

    def all(self, reads: CoreReads | None) -> list[Announcement]:
        """Those that stand now, the newest first. Without `reads` as they were last seen."""
        now = self._site.clock.now()
        kept = self._kept()
        vaulted = kept.vaulted if reads is None else announcements_of(reads)
        if reads is not None and vaulted != kept.vaulted:
            self._keep(_Kept(vaulted, kept.own))
        both = {one.name: one for one in (*vaulted, *kept.own)}
        return [both[name] for name in sorted(both, reverse=True) if both[name].stands(now)]

    def waiting(self) -> list[AnyCommand]:
        """What is to be entered into the identity, once it is there."""
        now = self._site.clock.now()
        own = [one for one in self._kept().own if one.stands(now)]
        return [Announce(account=SYSTEM_ACCOUNT, text=one.text, until=one.until) for one in reversed(own)]

    def entered(self) -> None:
        """They have been."""
        self._keep(_Kept(self._kept().vaulted, []))

    # -- commands --------------------------------------------------------------------------------------------

    def announce(self, text: str, until: int | None) -> Told:
        """Enter it, or keep it beside the core where that cannot be had now. Raises RequestError."""
        now = self._site.clock.now()
        text = check_text(text)
        command = Announce(account=SYSTEM_ACCOUNT, text=text, until=until)
        try:
            with self._site_session() as session:
                name = session.execute(command).name
            return Told(Announcement(name, text, int(name, 16), until), True)
        except (RequestError, OutOfSpace):
            raise
        except SafeholdError:  # no core, no identity, no vault: what matters now is that people are told
            kept = self._kept()
            made = Announcement(f"{now:016x}", text, now, until)
            self._keep(_Kept(kept.vaulted, [made, *kept.own]))
            return Told(made, False)

    def withdraw(self, name: str) -> None:
        """Raises NotFound; and as a change does, where it lies in the identity."""
        kept = self._kept()
        if any(one.name == name for one in kept.own):
            self._keep(_Kept(kept.vaulted, [one for one in kept.own if one.name != name]))
            return
        try:
            with self._site_session() as session:
                session.execute(Withdraw(account=SYSTEM_ACCOUNT, name=name))
        except NotFound:
            raise
        except SafeholdError as error:
            raise OperatorError(
                f"it lies in the installation's identity, which cannot be changed now: {error.message}",
                hint="make another announcement, or try again once the identity is back",
            ) from error

    def listed(self) -> list[Told]:
        """All that stand, and whether each is vaulted."""
        own = {one.name for one in self._kept().own}
        reads = None
        with suppress(SafeholdError):
            reads = self._site.open_reads()
        try:
            return [Told(one, one.name not in own) for one in self.all(reads)]
        finally:
            if reads is not None:
                reads.close()

    def _site_session(self) -> Session:
        from safehold.assembly.session import Session

        return Session(self._site)

    # -- the file --------------------------------------------------------------------------------------------

    def _kept(self) -> _Kept:
        try:
            return _decode(self._path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return _Kept()

    def _keep(self, kept: _Kept) -> None:
        """A page that says less is no reason to fail."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".new")
            temporary.write_bytes(msgspec.json.encode(kept))
            os.replace(temporary, self._path)


def as_facts(announcements: Sequence[Announcement]) -> list[dict[str, object]]:
    """For the status object."""
    return [{"name": one.name, "text": one.text, "at": one.at, "until": one.until} for one in announcements]
