"""Which vaults answers wait for: changed on record only (law 1).

`vault mode` changes the configuration, lets the service take it up, and enters who did it and why. Whoever edits the
configuration instead is found out by the next start, which says so and enters that. A vault that answers waited for
and that is in the configuration no more is entered as gone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from safehold import config as configuration
from safehold.archiver.log import Mode
from safehold.assembly.mode_record import modes_now, recorded_modes
from safehold.assembly.session import Session
from safehold.assembly.site import Site
from safehold.assembly.taking_up import take_up
from safehold.formats.modes import MODES, RecordedMode, encode_modes
from safehold.model.commands import NoteInstallation
from safehold.model.errors import OperatorError, SafeholdError
from safehold.service.identity import SYSTEM_ACCOUNT


@dataclass(frozen=True)
class ModeChange:
    """What `vault mode` did, or would do."""

    vault: str
    before: str
    mode: str
    weakens: bool
    changed: bool
    sync: list[str]  # vaults that answers wait for afterwards

    def facts(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def text(self) -> str:
        if self.before == self.mode:
            return f"the vault {self.vault} is {self.mode} already"
        waits = f"answers wait for {' and '.join(self.sync)}"
        if self.changed:
            return f"the vault {self.vault} is {self.mode} now: {waits}"
        return f"would make the vault {self.vault} {self.mode}: {waits} then, and no longer for {self.vault}; add --yes"


def change_mode(site: Site, name: str, mode: str, *, why: str = "", yes: bool = False) -> ModeChange:
    """Raises OperatorError, also where no vault would be left that answers wait for."""
    found = next((v for v in site.config.vaults if v.name == name), None)
    if found is None:
        names = ", ".join(v.name for v in site.config.vaults)
        raise OperatorError(f"there is no vault {name!r}", hint=f"the configured ones are {names}", exit_code=2)
    sync = [v.name for v in site.config.vaults if (mode if v is found else v.mode) == Mode.SYNC]
    if not sync:
        raise OperatorError(
            f"{name} is the only vault that answers wait for: it stays sync",
            hint="make another one sync first",
            exit_code=2,
        )
    weakens = found.mode == Mode.SYNC and mode != Mode.SYNC
    plan = ModeChange(name, found.mode, mode, weakens, False, sync)
    if found.mode == mode or (weakens and not yes):
        return plan
    before = site.config
    site.config = configuration.set_mode(site.config_path, name, mode)
    try:
        take_up(site)
    except SafeholdError:
        if not weakens:  # what was to be stricter hinders: as it was
            site.config = configuration.write(site.config_path, before.text)
            with suppress(SafeholdError):
                take_up(site)
        raise
    _record(site, name, mode, found.mode, why)
    return ModeChange(name, found.mode, mode, weakens, True, sync)


def _record(site: Site, name: str, mode: str, before: str, why: str) -> None:
    with Session(site) as session:
        modes = modes_now(recorded_modes(session.reads), site.config.vaults, site.clock.now())
        modes[name] = RecordedMode(mode, site.clock.now(), f"{_user()} by `safehold vault mode`", why, before)
        session.execute(NoteInstallation(account=SYSTEM_ACCOUNT, items={MODES: encode_modes(modes)}))


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return f"user {os.geteuid()}"
