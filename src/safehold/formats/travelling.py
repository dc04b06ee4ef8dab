"""What the installation's own identity stream carries for a bare machine. The page: docs/formats/keys.md.

    config             the text of safehold.toml
    root-key           the signing root
    older-identities   identities that were replaced, for the recovery key that replaced them

The last two are sealed once more, to the recipients, so that the core, which holds the stream in the clear, does not
reveal them. Each such item is a JSON object: `recipients`, and `sealed`, an age file as base64. The recipients tell,
without a key, whether it has to be sealed anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safehold.formats import keys
from safehold.formats.keys import Opener, Sealer, SigningKey
from safehold.formats.keytext import spell, unspell
from safehold.model.errors import Damaged

CONFIG = "config"
ROOT_KEY = "root-key"
OLDER_IDENTITIES = "older-identities"
#: Every item of that stream that a bare machine takes up by itself; the rest enters the core like any other.
TRAVELLING = frozenset((CONFIG, ROOT_KEY, OLDER_IDENTITIES))


class _Sealed(msgspec.Struct, frozen=True):
    recipients: tuple[str, ...]
    sealed: bytes


_decode = msgspec.json.Decoder(_Sealed).decode


def seal_root(root: SigningKey, sealer: Sealer) -> bytes:
    """The item ROOT_KEY."""
    return _seal(spell(keys.ROOT_LABEL, root.secret), sealer)


def open_root(item: bytes, opener: Opener) -> SigningKey:
    """Raises Damaged, also where it is the root of another installation; KeyAway."""
    root = SigningKey(unspell(keys.ROOT_LABEL, _open(item, opener), keys.SECRET_BYTES))
    if keys.fingerprint(root.public) != opener.installation:
        raise Damaged("the signing root in the vaults is not the one that this recovery key names")
    return root


def seal_identities(identities: Sequence[str], sealer: Sealer) -> bytes:
    """The item OLDER_IDENTITIES."""
    return _seal("\n".join(identities), sealer)


def open_identities(item: bytes, opener: Opener) -> list[str]:
    """Raises Damaged, KeyAway."""
    found = _open(item, opener).split()
    for identity in found:
        keys.recipient_of(identity)
    return found


def recipients_of(item: bytes) -> tuple[str, ...]:
    """Whom an item is sealed to; nobody where it cannot be read."""
    try:
        return _decode(item).recipients
    except msgspec.MsgspecError:
        return ()


def _seal(text: str, sealer: Sealer) -> bytes:
    return msgspec.json.encode(_Sealed(sealer.recipients, sealer.encrypt(text.encode("ascii"))))


def _open(item: bytes, opener: Opener) -> str:
    try:
        return opener.decrypt(_decode(item).sealed).decode("ascii")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"what travels with the installation cannot be read ({error})") from None
