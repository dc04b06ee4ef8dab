"""The `keys/` folder: made once, completed after a crash, loaded at each start.

    identity.txt   the age identity, as age-keygen writes it
    root.txt       the signing root
    recovery.txt   the recovery key: identity and the root's fingerprint
    writer.txt     the writer's key; made last

A folder without writer.txt is one whose making was interrupted, or whose writer's key was lost: both are mended, as
the root certifies any writer. A folder that has recovery.txt or writer.txt but lacks what was made before is damaged,
and refused: another root or identity would make a stranger of every vault.
"""

from __future__ import annotations

from dataclasses import dataclass

from safehold.formats import keys
from safehold.formats.keys import Opener, Sealer, SigningKey
from safehold.formats.keytext import spell, unspell
from safehold.model.errors import Damaged, OperatorError
from safehold.ports.disk import Disk
from safehold.ports.world import Entropy

IDENTITY = "identity.txt"
ROOT = "root.txt"
RECOVERY = "recovery.txt"
WRITER = "writer.txt"
_ORDER = (IDENTITY, ROOT, RECOVERY, WRITER)
_MAX_FILE_BYTES = 64 * 1024
_RECOVERY_TEXT = """\
# The recovery key of a Safehold installation.
#
# With this key and any one of its vaults everything can be brought back, on any machine:
#     safehold recover plan --vault FOLDER --identity THIS-FILE
# Whoever has this key can read everything in the vaults. Print it, or keep a copy away from this machine:
# beside the only copy of the data it protects against nothing.

{key}
"""


@dataclass(frozen=True)
class Keyring:
    """All keys of an installation. `installation` is the root's fingerprint, 16 bytes."""

    installation: bytes
    sealer: Sealer
    opener: Opener
    recovery_key: str  # one line of text


def ensure_keyring(disk: Disk, folder: str, entropy: Entropy) -> Keyring:
    """Load the keys, making them first where there are none and completing what a crash interrupted.

    Raises OperatorError where the folder is damaged, OSError where it cannot be written.
    """
    disk.make_folders(folder)
    for position, name in enumerate(_ORDER):
        if not disk.exists(f"{folder}/{name}"):
            later = [other for other in _ORDER[position + 1 :] if disk.exists(f"{folder}/{other}")]
            if later:
                raise _missing(folder, name)
            _write(disk, folder, name, _make(disk, folder, name, entropy))
    return load_keyring(disk, folder)


def load_keyring(disk: Disk, folder: str) -> Keyring:
    """Raises OperatorError where a key is missing or damaged. recovery.txt may have been moved to a safe place."""
    identity = _identity(disk, folder)
    root = SigningKey(_secret(disk, folder, ROOT, keys.ROOT_LABEL))
    writer = SigningKey(_secret(disk, folder, WRITER, keys.WRITER_LABEL))
    installation = keys.fingerprint(root.public)
    sealer = Sealer(keys.recipient_of(identity), writer, root.public, keys.certify(root, writer.public))
    return Keyring(installation, sealer, Opener(identity, installation), keys.recovery_key(identity, installation))


def load_identity(disk: Disk, path: str) -> Opener:
    """The opener in a recovery key file (`--identity FILE`). Raises OperatorError."""
    try:
        return keys.parse_recovery_key(_read(disk, path))
    except FileNotFoundError:
        raise OperatorError(f"there is no recovery key file {path}", exit_code=2) from None
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}", exit_code=2) from error
    except Damaged as error:
        raise OperatorError(f"{path}: {error.message}", hint=error.hint, exit_code=2) from None


def _make(disk: Disk, folder: str, name: str, entropy: Entropy) -> str:
    """The text of a file that is missing, from those made before it."""
    if name == IDENTITY:
        identity = keys.identity_of(entropy.bytes(keys.SECRET_BYTES))
        return f"# public key: {keys.recipient_of(identity)}\n{identity}\n"
    if name == ROOT:
        return spell(keys.ROOT_LABEL, entropy.bytes(keys.SECRET_BYTES)) + "\n"
    if name == WRITER:
        return spell(keys.WRITER_LABEL, entropy.bytes(keys.SECRET_BYTES)) + "\n"
    root = SigningKey(_secret(disk, folder, ROOT, keys.ROOT_LABEL))
    return _RECOVERY_TEXT.format(key=keys.recovery_key(_identity(disk, folder), keys.fingerprint(root.public)))


def _write(disk: Disk, folder: str, name: str, text: str) -> None:
    """Under another name first, so that a file that bears its name is whole."""
    temporary = f"{folder}/{name}.new"
    file = disk.open(temporary, write=True, create=True)
    try:
        file.truncate(0)
        file.write_at(0, text.encode("ascii"))
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, f"{folder}/{name}")
    disk.sync_folder(folder)


def _identity(disk: Disk, folder: str) -> str:
    text = _load(disk, folder, IDENTITY)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        keys.recipient_of(lines[0] if len(lines) == 1 else "")
    except Damaged as error:
        raise _damaged(folder, IDENTITY, error) from None
    return lines[0]


def _secret(disk: Disk, folder: str, name: str, label: str) -> bytes:
    try:
        return unspell(label, _load(disk, folder, name), keys.SECRET_BYTES)
    except Damaged as error:
        raise _damaged(folder, name, error) from None


def _load(disk: Disk, folder: str, name: str) -> str:
    try:
        return _read(disk, f"{folder}/{name}")
    except FileNotFoundError:
        raise _missing(folder, name) from None
    except OSError as error:
        raise OperatorError(f"{folder}/{name} cannot be read: {error.strerror}") from error


def _read(disk: Disk, path: str) -> str:
    file = disk.open(path)
    try:
        return file.read_at(0, _MAX_FILE_BYTES).decode("utf-8", "replace")
    finally:
        file.close()


def _missing(folder: str, name: str) -> OperatorError:
    return OperatorError(
        f"{folder}/{name} is missing",
        hint="bring it back from a copy of the keys folder; with the recovery key alone, `safehold recover run` works",
    )


def _damaged(folder: str, name: str, error: Damaged) -> OperatorError:
    return OperatorError(
        f"{folder}/{name} is damaged: {error.message}", hint="bring it back from a copy of the keys folder"
    )
