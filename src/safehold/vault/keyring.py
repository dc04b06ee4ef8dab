"""The `keys/` folder: made once, completed after a crash or by a newer version, loaded at each start.

    identity.txt    age identities, the newest first; may lie elsewhere (with a keeper, or offline)
    recipients.txt  whom everything is sealed to, one `age1…` a line
    root.txt        the signing root; may lie elsewhere once writer.txt bears its certificate
    recovery.txt    the recovery keys: identities and the root's fingerprint; may be moved away
    writer.txt      the writer's key, and the root's certificate for it
    keeper.txt      the keeper's, likewise; where the keeper has its own folder, the certificate alone

Made in this order, each under another name first, so that a file that bears its name is whole and a folder says by what
it lacks how far its making came. What is missing is made where what comes before it allows, and refused as lost where
it does not: another root or identity would make a stranger of every vault.

- identity.txt is missing: it lies elsewhere if recipients.txt is there, and is lost if not;
- root.txt is missing: it lies elsewhere if writer.txt bears a certificate, and is lost if not;
- writer.txt is missing, or lacks its certificate: the root makes and certifies it;
- keeper.txt is missing: it is made where root and identity both are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safehold.formats import keys
from safehold.formats.keys import Certificate, Opener, Role, Sealer, SigningKey
from safehold.formats.keytext import spell, unspell
from safehold.model.errors import Damaged, OperatorError
from safehold.ports.disk import Disk
from safehold.ports.world import Entropy

IDENTITY = "identity.txt"
RECIPIENTS = "recipients.txt"
ROOT = "root.txt"
RECOVERY = "recovery.txt"
WRITER = "writer.txt"
KEEPER = "keeper.txt"
_ORDER = (IDENTITY, RECIPIENTS, ROOT, RECOVERY, WRITER, KEEPER)
_MAX_FILE_BYTES = 64 * 1024
_NEW = ".new"
_LABELS = {Role.WRITER: keys.WRITER_LABEL, Role.KEEPER: keys.KEEPER_LABEL}
_FILES = {Role.WRITER: WRITER, Role.KEEPER: KEEPER}
_RECOVERY_TEXT = """\
# The recovery key of a Safehold installation.
#
# With this key and any one of its vaults everything can be brought back, on any machine:
#     safehold recover plan --vault FOLDER --identity THIS-FILE
# Whoever has this key can read everything in the vaults. Print it, or keep a copy away from this machine:
# beside the only copy of the data it protects against nothing.

{key}
"""
_OLDER_TEXT = """
# Older keys, replaced since. The vaults hold them for the key above, so that this one alone is enough.

{keys}
"""
_RECIPIENTS_TEXT = "# Everything in the vaults is sealed to these: whoever holds an identity of one can read it.\n"


@dataclass(frozen=True)
class Keyring:
    """The keys of an installation, as far as they are here. `installation` is the root's fingerprint, 16 bytes.

    `opener` holds no identity where that lies elsewhere, and `root` is None where that does. `keeper` seals with the
    keeper's key where that is here; `keeper_public` is its public key where it was ever made.
    """

    installation: bytes
    sealer: Sealer
    opener: Opener
    root: SigningKey | None = None
    keeper: Sealer | None = None
    keeper_public: bytes | None = None

    @property
    def recovery_key(self) -> str | None:
        """The newest, one line of text; None where the identity lies elsewhere."""
        return next(iter(recovery_keys(self.opener)), None)


@dataclass(frozen=True)
class KeeperKeys:
    """What a keeper holds: it reads everything, and signs in its own role."""

    installation: bytes
    sealer: Sealer
    opener: Opener


def ensure_keyring(disk: Disk, folder: str, entropy: Entropy) -> Keyring:
    """Load the keys, making them first where there are none and completing what a crash interrupted.

    Raises OperatorError where the folder is damaged, OSError where it cannot be written.
    """
    disk.make_folders(folder)
    there = {name for name in _ORDER if disk.exists(f"{folder}/{name}")}
    if not there:
        identity = keys.identity_of(entropy.bytes(keys.SECRET_BYTES))
        write_identities(disk, folder, [identity])
        there = {IDENTITY}
    if there <= {IDENTITY, RECIPIENTS} and IDENTITY in there:
        write_recipients(disk, folder, _recipients(disk, folder))
        write_root(disk, folder, entropy.bytes(keys.SECRET_BYTES))
    complete_keyring(disk, folder, entropy)
    return load_keyring(disk, folder)


def is_complete(disk: Disk, folder: str) -> bool:
    """Whether the making of a keys folder came to where it can be worked with."""
    return disk.exists(f"{folder}/{WRITER}")


def complete_keyring(disk: Disk, folder: str, entropy: Entropy) -> None:
    """Make what a folder lacks and can have: its making was interrupted, is of an older version, or it lost its writer.

    Harmless on one that is whole. Raises OperatorError, OSError.
    """
    root = _root(disk, folder)
    if not disk.exists(f"{folder}/{RECIPIENTS}"):
        write_recipients(disk, folder, _recipients(disk, folder))
    identities = _identities(disk, folder)
    begun = not disk.exists(f"{folder}/{WRITER}")
    if root is not None and identities and begun and not disk.exists(f"{folder}/{RECOVERY}"):
        write_recovery(disk, folder, Opener(identities, keys.fingerprint(root.public)))
    if _certified(disk, folder, Role.WRITER) is None:
        if root is None:
            raise _missing(folder, ROOT)
        secret = _secret(disk, folder, Role.WRITER) or entropy.bytes(keys.SECRET_BYTES)
        write_signer(disk, folder, Role.WRITER, root, secret)
    if root is not None and identities and not disk.exists(f"{folder}/{KEEPER}"):
        write_signer(disk, folder, Role.KEEPER, root, entropy.bytes(keys.SECRET_BYTES))


def load_keyring(disk: Disk, folder: str) -> Keyring:
    """Reads only. Raises OperatorError where a key is damaged, or missing and not to be done without."""
    identities = _identities(disk, folder)
    root = _root(disk, folder)
    secret = _secret(disk, folder, Role.WRITER)
    if secret is None:
        raise _missing(folder, WRITER)
    writer = SigningKey(secret)
    certificate = _certified(disk, folder, Role.WRITER)
    if certificate is None:
        if root is None:
            raise _missing(folder, ROOT)
        certificate = Certificate(root.public, writer.public, keys.certify(root, writer.public))
    if root is not None and root.public != certificate.root_public:
        raise OperatorError(
            f"{folder}/{WRITER} and {folder}/{ROOT} are of different installations",
            hint="bring back the files that belong together",
        )
    recipients = _recipients(disk, folder)
    installation = keys.fingerprint(certificate.root_public)
    keeper, keeper_public = _keeper(disk, folder, recipients, certificate.root_public)
    return Keyring(
        installation,
        Sealer(recipients, writer, certificate.root_public, certificate.signature),
        Opener(identities, installation),
        root,
        keeper,
        keeper_public,
    )


def load_keeper(disk: Disk, folder: str) -> KeeperKeys:
    """The keys of a keeper, in its own folder or in the installation's. Raises OperatorError where one is missing."""
    certificate = _certified(disk, folder, Role.KEEPER)
    identities = _identities(disk, folder)
    if not identities:
        raise _missing(folder, IDENTITY)
    sealer = None
    if certificate is not None:
        sealer, _ = _keeper(disk, folder, _recipients(disk, folder), certificate.root_public)
    if sealer is None:
        raise _missing(folder, KEEPER)
    return KeeperKeys(sealer.installation, sealer, Opener(identities, sealer.installation))


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


def load_root(disk: Disk, path: str) -> SigningKey:
    """The signing root in a file (`--root FILE`). Raises OperatorError."""
    try:
        return SigningKey(unspell(keys.ROOT_LABEL, _read(disk, path), keys.SECRET_BYTES))
    except FileNotFoundError:
        raise OperatorError(f"there is no file {path} with a signing root", exit_code=2) from None
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}", exit_code=2) from error
    except Damaged as error:
        raise OperatorError(f"{path} is no signing root: {error.message}", exit_code=2) from None


def recovery_keys(opener: Opener) -> list[str]:
    """One line of text for each identity, the newest first."""
    return [keys.recovery_key(identity, opener.installation) for identity in opener.identities]


# -- writing the files, each whole or not at all


def write_identities(disk: Disk, folder: str, identities: Sequence[str]) -> None:
    """As age-keygen writes them, the newest first."""
    parts = [f"# public key: {keys.recipient_of(identity)}\n{identity}\n" for identity in identities]
    _write(disk, folder, IDENTITY, "".join(parts))


def write_recipients(disk: Disk, folder: str, recipients: Sequence[str]) -> None:
    _write(disk, folder, RECIPIENTS, _RECIPIENTS_TEXT + "".join(f"{recipient}\n" for recipient in recipients))


def write_root(disk: Disk, folder: str, secret: bytes) -> None:
    _write(disk, folder, ROOT, spell(keys.ROOT_LABEL, secret) + "\n")


def write_recovery(disk: Disk, folder: str, opener: Opener) -> None:
    newest, *older = recovery_keys(opener)
    text = _RECOVERY_TEXT.format(key=newest)
    _write(disk, folder, RECOVERY, text + (_OLDER_TEXT.format(keys="\n".join(older)) if older else ""))


def write_signer(disk: Disk, folder: str, role: Role, root: SigningKey, secret: bytes) -> None:
    """A signing key and the root's certificate for it, in one file: they change together."""
    public = SigningKey(secret).public
    certificate = Certificate(root.public, public, keys.certify(root, public, role))
    _write(disk, folder, _FILES[role], f"{spell(_LABELS[role], secret)}\n{certificate.text()}\n")


def remove_secret(disk: Disk, folder: str, role: Role) -> None:
    """Leave a signer's certificate alone: its key lies elsewhere from now on."""
    certificate = _certified(disk, folder, role)
    assert certificate is not None, "what has no certificate cannot be told by it"
    _write(disk, folder, _FILES[role], f"# the key itself lies elsewhere\n{certificate.text()}\n")


def remove_key(disk: Disk, folder: str, name: str) -> None:
    """Take a file out of a folder of keys, durably."""
    if disk.exists(f"{folder}/{name}"):
        disk.remove(f"{folder}/{name}")
    disk.sync_folder(folder)


def copy_key(disk: Disk, folder: str, name: str, to: str) -> None:
    """The same file in another folder, synced. Raises OperatorError where it cannot be read, OSError."""
    _write(disk, to, name, _load(disk, folder, name))


def _write(disk: Disk, folder: str, name: str, text: str) -> None:
    """Under another name first, so that a file that bears its name is whole."""
    temporary = f"{folder}/{name}{_NEW}"
    file = disk.open(temporary, write=True, create=True)
    try:
        file.truncate(0)
        file.write_at(0, text.encode("ascii"))
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, f"{folder}/{name}")
    disk.sync_folder(folder)


# -- reading them


def _identities(disk: Disk, folder: str) -> list[str]:
    """Of identity.txt; none where it lies elsewhere."""
    if not disk.exists(f"{folder}/{IDENTITY}") and disk.exists(f"{folder}/{RECIPIENTS}"):
        return []
    found = _lines(_load(disk, folder, IDENTITY))
    try:
        if not 0 < len(found) <= keys.MAX_IDENTITIES:
            raise Damaged(f"it holds {len(found)} identities")
        for identity in found:
            keys.recipient_of(identity)
    except Damaged as error:
        raise _damaged(folder, IDENTITY, error) from None
    return found


def _recipients(disk: Disk, folder: str) -> list[str]:
    """Of recipients.txt; where an older version made none, the recipient of the newest identity."""
    if not disk.exists(f"{folder}/{RECIPIENTS}"):
        return [keys.recipient_of(_identities(disk, folder)[0])]
    found = _lines(_load(disk, folder, RECIPIENTS))
    try:
        if not 0 < len(found) <= keys.MAX_RECIPIENTS:
            raise Damaged(f"it names {len(found)} recipients; there must be 1 to {keys.MAX_RECIPIENTS}")
        for recipient in found:
            keys.parse_recipient(recipient)
    except Damaged as error:
        raise _damaged(folder, RECIPIENTS, error) from None
    return found


def _root(disk: Disk, folder: str) -> SigningKey | None:
    """None where it lies elsewhere."""
    if not disk.exists(f"{folder}/{ROOT}"):
        if _certified(disk, folder, Role.WRITER) is None and _certified(disk, folder, Role.KEEPER) is None:
            raise _missing(folder, ROOT)
        return None
    try:
        return SigningKey(unspell(keys.ROOT_LABEL, _load(disk, folder, ROOT), keys.SECRET_BYTES))
    except Damaged as error:
        raise _damaged(folder, ROOT, error) from None


def _secret(disk: Disk, folder: str, role: Role) -> bytes | None:
    """The secret of a signing key; None where there is no such file, or only its certificate."""
    line = _line(disk, folder, _FILES[role], _LABELS[role])
    try:
        return None if line is None else unspell(_LABELS[role], line, keys.SECRET_BYTES)
    except Damaged as error:
        raise _damaged(folder, _FILES[role], error) from None


def _certified(disk: Disk, folder: str, role: Role) -> Certificate | None:
    """The certificate beside a signing key; None where there is no such file, or it is of an older version."""
    line = _line(disk, folder, _FILES[role], keys.CERTIFICATE_LABEL)
    if line is None:
        return None
    try:
        certificate = keys.parse_certificate(line)
        if not certificate.holds(role):
            raise Damaged("its certificate is none for this role")
        secret = _secret(disk, folder, role)
        if secret is not None and SigningKey(secret).public != certificate.public:
            raise Damaged("its certificate is for another key")
    except Damaged as error:
        raise _damaged(folder, _FILES[role], error) from None
    return certificate


def _line(disk: Disk, folder: str, name: str, label: str) -> str | None:
    if not disk.exists(f"{folder}/{name}"):
        return None
    found = _lines(_load(disk, folder, name))
    known = (*_LABELS.values(), keys.CERTIFICATE_LABEL)
    if not found or not all(line.startswith(known) for line in found):
        raise _damaged(folder, name, Damaged("it holds something else than keys"))
    return next((line for line in found if line.startswith(label)), None)


def _keeper(
    disk: Disk, folder: str, recipients: Sequence[str], root_public: bytes
) -> tuple[Sealer | None, bytes | None]:
    certificate = _certified(disk, folder, Role.KEEPER)
    if certificate is None or certificate.root_public != root_public:
        return None, None
    secret = _secret(disk, folder, Role.KEEPER)
    if secret is None:
        return None, certificate.public
    return Sealer(recipients, SigningKey(secret), root_public, certificate.signature), certificate.public


def _lines(text: str) -> list[str]:
    """Without blanks, comments and empty lines."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


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
