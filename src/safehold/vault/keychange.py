"""Changes of a keys folder, file by file: cut off anywhere, it loads, and can be changed again (I45).

    new_identity      identity.txt, recovery.txt, then recipients.txt: whoever seals to the new one can open it
    identity_away     copy, open something with the copy, then remove: the identity itself last
    root_away         copy, compare, then remove

Who writes meanwhile is somebody else's matter (assembly/keywork.py).
"""

from __future__ import annotations

from safehold.formats import keys
from safehold.formats.keys import MAX_IDENTITIES, Opener, Role
from safehold.model.errors import Damaged, OperatorError
from safehold.ports.disk import Disk
from safehold.vault import keyring
from safehold.vault.keyring import IDENTITY, KEEPER, RECIPIENTS, RECOVERY, ROOT, load_keyring

_PROBE = b"what was moved opens what was sealed"


def new_identity(disk: Disk, folder: str, secret: bytes) -> Opener:
    """A new identity in the place of those that are there, which stay for reading. Raises OperatorError."""
    ring = load_keyring(disk, folder)
    old = ring.opener.identities
    assert old, "without an identity there is nothing to put another in the place of"
    if len(old) >= MAX_IDENTITIES:
        raise OperatorError(f"there are {len(old)} identities already, which is the most")
    identity = keys.identity_of(secret)
    opener = Opener((identity, *old), ring.installation)
    keyring.write_identities(disk, folder, opener.identities)
    if disk.exists(f"{folder}/{RECOVERY}"):
        keyring.write_recovery(disk, folder, opener)
    own = {keys.recipient_of(each) for each in old}
    others = [recipient for recipient in ring.sealer.recipients if recipient not in own]
    keyring.write_recipients(disk, folder, [keys.recipient_of(identity), *others])
    return opener


def identity_away(disk: Disk, folder: str, to: str) -> None:
    """Identities, recovery keys and keeper's key to another folder. Raises OperatorError; nothing is gone then."""
    ring = load_keyring(disk, folder)
    if ring.opener.can_open:
        disk.make_folders(to)
        for name in (IDENTITY, RECIPIENTS, *((KEEPER,) if ring.keeper is not None else ())):
            keyring.copy_key(disk, folder, name, to)
        keyring.write_recovery(disk, to, ring.opener)
    sealed = ring.sealer.encrypt(_PROBE)
    _check_opens(sealed, keyring.load_identity(disk, f"{to}/{RECOVERY}"))
    if ring.keeper is not None:
        _check_opens(sealed, keyring.load_keeper(disk, to).opener)
        keyring.remove_secret(disk, folder, Role.KEEPER)
    keyring.remove_key(disk, folder, RECOVERY)
    keyring.remove_key(disk, folder, IDENTITY)


def root_away(disk: Disk, folder: str, to: str) -> None:
    """The signing root to another folder. Raises OperatorError; nothing is gone then."""
    ring = load_keyring(disk, folder)
    if ring.root is not None:
        disk.make_folders(to)
        keyring.copy_key(disk, folder, ROOT, to)
    copy = keyring.load_root(disk, f"{to}/{ROOT}")
    if copy.public != ring.sealer.root_public:
        raise OperatorError(f"the root in {to} is not that of this installation; nothing was removed")
    keyring.remove_key(disk, folder, ROOT)


def _check_opens(sealed: bytes, opener: Opener) -> None:
    try:
        opened = opener.decrypt(sealed) == _PROBE
    except Damaged:
        opened = False
    if not opened:
        raise OperatorError("the copy of the identity does not open what is sealed now; nothing was removed")
