"""Up to which frame the keepers of all vaults let history be dropped, asked at every snapshot.

Evidence is never changed, so each piece is read and verified once: `run/drops` remembers which were, and what they
allowed in each vault. The file may be lost at any time, and is rebuilt from the vaults; a keeper judges by its own
words, whatever a generation claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from safehold.assembly.site import Site
from safehold.formats.evidence import EVIDENCE_PREFIX
from safehold.model.errors import SafeholdError
from safehold.ports.vault import Vault
from safehold.ports.whole_file import read_whole, write_whole
from safehold.vault.evidence import read_evidence
from safehold.vault.receipts import Receipts

NAME = "drops"


class _Page(msgspec.Struct):
    seen: set[str] = set()  # names of evidence that was read, of what is still in a vault
    allowed: dict[str, int] = {}  # by vault


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Page).decode


def allowed_to_drop(site: Site) -> int:
    """The frame; 0 where a vault's keeper did not say, or a vault cannot be listed."""
    there = [vault for vault in map(site.vault, site.config.vaults) if vault.available()]
    page = _load(site)
    try:
        listed = _listed(there)
        found = read_evidence(there, site.opener.installation, site.opener, page.seen)
    except SafeholdError:
        return 0
    if found:
        from safehold.recovery.keeper import keeper_words  # new evidence is rare, and this takes longer than to look

        words = keeper_words(found)
        for config in site.config.vaults:
            allowed = Receipts(config.name, words).drop_upto
            page.allowed[config.name] = max(page.allowed.get(config.name, 0), allowed)
    if found or not page.seen <= listed:
        page.seen = (page.seen | {one.name for one in found}) & listed
        _save(site, page)
    return min((page.allowed.get(config.name, 0) for config in site.config.vaults), default=0)


def _listed(vaults: Sequence[Vault]) -> set[str]:
    return {info.name for vault in vaults for info in vault.list(EVIDENCE_PREFIX)}


def _path(site: Site) -> str:
    return str(site.data / "run" / NAME)


def _load(site: Site) -> _Page:
    try:
        return _decode(read_whole(site.disk, _path(site)))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Page()


def _save(site: Site, page: _Page) -> None:
    """Whole or not at all; what cannot be kept is read again the next time."""
    with suppress(OSError):
        write_whole(site.disk, _path(site), _encode(page))
