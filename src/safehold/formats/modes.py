"""The item `vault-modes` of the installation's identity: for which vaults answers wait, since when, by whom and why.

A JSON object, by the vault's name. It is a change like any other: it lies in the core, in the log of every vault, and
in the history.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from safehold.model.errors import Damaged

MODES = "vault-modes"
#: The mode of a vault that is in the configuration no more.
GONE = "gone"


class RecordedMode(msgspec.Struct, frozen=True):
    """`mode` is sync, async or GONE; `since` in µs; `before` the mode that it had until then, "" for none."""

    mode: str
    since: int
    by: str
    why: str = ""
    before: str = ""


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(dict[str, RecordedMode]).decode


def encode_modes(modes: Mapping[str, RecordedMode]) -> bytes:
    return _encode(dict(modes))


def parse_modes(item: bytes) -> dict[str, RecordedMode]:
    """Raises Damaged."""
    try:
        return _decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"the record of the vaults' modes cannot be read: {error}") from None
