"""Recoveries on record in a vault: while one is open nothing may be removed there.

recovery/TTTTTTTT.open    put when a recovery has claimed timeline T
recovery/TTTTTTTT.done    put when it is over
"""

from __future__ import annotations

import re

from safehold.ports.vault import Vault

RECOVERY_PREFIX = "recovery/"
_NAME = re.compile(r"recovery/(\d{8})\.(open|done)", re.ASCII)


def open_recoveries(vault: Vault) -> list[int]:
    """Timelines of the recoveries that are open. Raises VaultDown."""
    found: dict[str, set[int]] = {"open": set(), "done": set()}
    for info in vault.list(RECOVERY_PREFIX):
        match = _NAME.fullmatch(info.name)
        if match is not None:
            found[match[2]].add(int(match[1]))
    return sorted(found["open"] - found["done"])
