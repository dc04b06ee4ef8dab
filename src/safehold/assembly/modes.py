"""Which vaults answers wait for: changed on record only (law 1).

`vault mode` changes the configuration, lets the service take it up, and enters who did it and why. Whoever edits the
configuration instead is found out by the next start, which says so and enters that. A vault that answers waited for
and that is in the configuration no more is entered as gone.

While a sync vault is away nothing can be written, neither a change nor a record of one. So another vault takes its
place in one step (`instead_of`): what it lacks and the core has is archived in it, then the record of both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
    instead_of: list[str]  # vaults that become async in the same step

    def facts(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def text(self) -> str:
        if self.before == self.mode and not self.instead_of:
            return f"the vault {self.vault} is {self.mode} already"
        waits = f"answers wait for {' and '.join(self.sync)}"
        if self.changed:
            return f"the vault {self.vault} is {self.mode} now: {waits}"
        no_more = " and ".join(self.instead_of) or self.vault
        return f"would make the vault {self.vault} {self.mode}: {waits} then, and no longer for {no_more}; add --yes"


def change_mode(
    site: Site, name: str, mode: str, *, why: str = "", yes: bool = False, instead_of: Sequence[str] = ()
) -> ModeChange:
    """Raises OperatorError, also where no vault would be left that answers wait for."""
    modes = {v.name: str(v.mode) for v in site.config.vaults}
    for each in (name, *instead_of):
        if each not in modes:
            known = ", ".join(modes)
            raise OperatorError(f"there is no vault {each!r}", hint=f"the configured ones are {known}", exit_code=2)
    if instead_of and (mode != Mode.SYNC or name in instead_of):
        raise OperatorError("only a vault that becomes sync can do so instead of another one", exit_code=2)
    wanted = modes | dict.fromkeys(instead_of, str(Mode.ASYNC)) | {name: mode}
    sync = [each for each, its in wanted.items() if its == Mode.SYNC]
    if not sync:
        raise OperatorError(
            f"{name} is the only vault that answers wait for: it stays sync",
            hint="make another one sync first; where this one is away: `safehold vault mode OTHER sync --instead-of "
            f"{name}`",
            exit_code=2,
        )
    weakens = any(modes[each] == Mode.SYNC and wanted[each] != Mode.SYNC for each in modes)
    changed = {each: its for each, its in wanted.items() if modes[each] != its}
    plan = ModeChange(name, modes[name], mode, weakens, False, sync, list(instead_of))
    if not changed or (weakens and not yes):
        return plan
    before = site.config
    for each, its in sorted(changed.items(), key=lambda c: c[1] != Mode.SYNC):  # so that one is sync at each step
        site.config = configuration.set_mode(site.config_path, each, its)
    try:
        take_up(site)
    except SafeholdError:
        if mode == Mode.SYNC:  # what was to be stricter, or to take a place, hinders: as it was
            site.config = configuration.write(site.config_path, before.text)
            with suppress(SafeholdError):
                take_up(site)
        raise
    _record(site, changed, modes, why)
    return replace(plan, changed=True)


def _record(site: Site, changed: Mapping[str, str], before: Mapping[str, str], why: str) -> None:
    with Session(site) as session:
        now = site.clock.now()
        modes = modes_now(recorded_modes(session.reads), site.config.vaults, now)
        for name, mode in changed.items():
            modes[name] = RecordedMode(mode, now, f"{_user()} by `safehold vault mode`", why, before[name])
        session.execute(NoteInstallation(account=SYSTEM_ACCOUNT, items={MODES: encode_modes(modes)}))


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return f"user {os.geteuid()}"
