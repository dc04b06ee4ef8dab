"""What every command needs of the line and of the installation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from safehold import config as configuration
from safehold.model.errors import NotFound

if TYPE_CHECKING:
    from safehold.assembly import Installation
    from safehold.model.items import Account
    from safehold.ports.core import CoreReads

DEFAULT_DATA = "safehold-data"
_ID_DIGITS = 32  # hexadecimal, of an account's id


@dataclass(frozen=True)
class Context:
    """The common options, resolved."""

    data: Path
    config_path: Path
    as_json: bool

    @classmethod
    def of(cls, data: str | None, config: str | None, as_json: bool) -> Context:
        folder = Path(data or os.environ.get("SAFEHOLD_DATA") or DEFAULT_DATA).absolute()
        path = Path(config).absolute() if config else folder / configuration.FILE_NAME
        return cls(folder, path, as_json)

    @cached_property
    def config(self) -> configuration.Config:
        """Written with its comments at first use."""
        configuration.write_default(self.config_path)
        return configuration.load(self.config_path)

    def installation(self, *, make: bool = True) -> Installation:
        """Made as the first `serve` does, unless `make` is False."""
        from safehold.assembly import open_installation

        config = self.config if make else configuration.load(self.config_path)
        return open_installation(self.data, config, make=make, config_path=self.config_path)

    def as_it_stands(self) -> Installation:
        """For who reports: made where there is nothing at all, and not where a core is gone."""
        from safehold.assembly.site import CoreMissing

        try:
            return self.installation()
        except CoreMissing:
            return self.installation(make=False)


def account_named(reads: CoreReads, name: str) -> Account:
    """One whose name is lost goes by its id. Raises NotFound with a hint."""
    account = reads.account_named(name)
    if account is None and len(name) == _ID_DIGITS and set(name) <= set("0123456789abcdef"):
        found = reads.account_by_id(bytes.fromhex(name))
        account = found if found is not None and not found.name and found.number else None
    if account is None:
        raise NotFound(f"there is no account {name!r}", hint="safehold account list tells which there are")
    return account
