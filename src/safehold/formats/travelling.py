"""What the installation's own identity stream carries for a bare machine. The page: docs/formats/keys.md.

    config             the text of safehold.toml
    root-key           the signing root
    older-identities   identities that were replaced, for the recovery key that replaced them

The last two are sealed once more, to the recipients, so that the core, which holds the stream in the clear, does not
reveal them. Such an item is the recipients, one a line, an empty line, and an age file. The recipients tell, without a
key, whether it has to be sealed anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from safehold.formats import keys
from safehold.formats.keys import Opener, Sealer, SigningKey
from safehold.formats.keytext import spell, unspell
from safehold.model.errors import Damaged

CONFIG = "config"
ROOT_KEY = "root-key"
OLDER_IDENTITIES = "older-identities"
#: Every item of that stream that a bare machine takes up by itself; the rest enters the core like any other.
TRAVELLING = frozenset((CONFIG, ROOT_KEY, OLDER_IDENTITIES))


_GAP = b"\n\n"


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
    return tuple(item.partition(_GAP)[0].decode("ascii", "replace").splitlines())


def _seal(text: str, sealer: Sealer) -> bytes:
    return "\n".join(sealer.recipients).encode("ascii") + _GAP + sealer.encrypt(text.encode("ascii"))


def _open(item: bytes, opener: Opener) -> str:
    try:
        return opener.decrypt(item.partition(_GAP)[2]).decode("ascii")
    except UnicodeDecodeError as error:
        raise Damaged(f"what travels with the installation cannot be read ({error})") from None
