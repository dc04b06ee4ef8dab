"""The keys of an installation, as values and as text. The page: docs/formats/keys.md.

root      Ed25519; certifies writers. Its fingerprint, the first 16 bytes of the SHA-256 of its public key, is the id
          of the installation: whoever knows the id can tell whose log this is without trusting the vault.
writer    Ed25519; signs frames. Certified by the root, so it can be replaced without a new recovery key.
identity  age X25519; opens everything. Sealing needs only its recipient, the public half.

The recovery key text holds identity and fingerprint: enough to read and to verify every vault.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Any

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from safehold.formats.keytext import bech32, spell, unbech32, unspell
from safehold.formats.streams import ByteSink, ByteSource
from safehold.model.errors import Damaged

FINGERPRINT_BYTES = 16
SIGNATURE_BYTES = 64
SECRET_BYTES = 32
RECOVERY_LABEL = "SAFEHOLD-RECOVERY-1"
ROOT_LABEL = "SAFEHOLD-ROOT-1"
WRITER_LABEL = "SAFEHOLD-WRITER-1"
_AGE_PREFIX = "age-secret-key-"


class Role(StrEnum):
    """What the root certifies a key for. The value is part of what is signed."""

    WRITER = "writer"  # signs the log, and runs written from a core
    KEEPER = "keeper"  # signs evidence, and runs written from a vault


class SigningKey:
    """An Ed25519 key pair, made of 32 secret bytes. `sign` is bound once: it is on the write path."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == SECRET_BYTES
        key = Ed25519PrivateKey.from_private_bytes(secret)
        self.secret = secret
        self.public: bytes = key.public_key().public_bytes_raw()
        self.sign = key.sign


def signature_holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) is of `message` under this public key (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(root_public: bytes) -> bytes:
    """The id of the installation that this root makes."""
    return sha256(root_public).digest()[:FINGERPRINT_BYTES]


def certify(root: SigningKey, public: bytes, role: Role = Role.WRITER) -> bytes:
    """The root's certificate for a writer or keeper: a signature over context, fingerprint and its public key."""
    return root.sign(_certificate(role, fingerprint(root.public), public))


def _certificate(role: Role, installation: bytes, public: bytes) -> bytes:
    return b"safehold %s certificate 1\0" % role.encode() + installation + public


def certificate_holds(
    installation: bytes, root_public: bytes, public: bytes, certificate: bytes, role: Role = Role.WRITER
) -> bool:
    """Whether this root is the installation's and certified this key for this role."""
    message = _certificate(role, installation, public)
    return fingerprint(root_public) == installation and signature_holds(root_public, certificate, message)


class Sealer:
    """What the writer holds: recipients to encrypt to, its signing key and its certificate."""

    def __init__(self, recipient: str, writer: SigningKey, root_public: bytes, certificate: bytes) -> None:
        self.installation = fingerprint(root_public)
        self.writer = writer
        self.root_public = root_public
        self.certificate = certificate
        self._recipients = [pyrage.x25519.Recipient.from_str(recipient)]

    def encrypt(self, plain: bytes) -> bytes:
        """One age file."""
        sealed: bytes = pyrage.encrypt(plain, self._recipients)
        return sealed

    def encrypt_stream(self, source: ByteSource, sink: ByteSink) -> None:
        """One age file, in constant memory. What source or sink raise comes out as EncryptError: keep your own copy."""
        pyrage.encrypt_io(source, sink, self._recipients)


class Opener:
    """What reads: the age identity, and the installation whose signatures count."""

    def __init__(self, identity: str, installation: bytes) -> None:
        assert len(installation) == FINGERPRINT_BYTES
        self.identity = identity
        self.installation = installation
        self._identities: list[Any] = [pyrage.x25519.Identity.from_str(identity)]

    def decrypt(self, sealed: bytes) -> bytes:
        """What one age file holds. Raises Damaged."""
        try:
            plain: bytes = pyrage.decrypt(sealed, self._identities)
        except (pyrage.DecryptError, OSError) as error:
            raise Damaged(f"does not decrypt with this key ({error})") from None
        return plain

    def decrypt_stream(self, source: ByteSource, sink: ByteSink) -> None:
        """As `decrypt`, in constant memory. What source or sink raise comes out as Damaged: keep your own copy."""
        try:
            pyrage.decrypt_io(source, sink, self._identities)
        except (pyrage.DecryptError, OSError) as error:
            raise Damaged(f"does not decrypt with this key ({error})") from None


def identity_of(secret: bytes) -> str:
    """The age identity text (`AGE-SECRET-KEY-1…`) of 32 random bytes."""
    assert len(secret) == SECRET_BYTES
    return bech32(_AGE_PREFIX, secret).upper()


def recipient_of(identity: str) -> str:
    """The recipient (`age1…`) of an identity. Raises Damaged."""
    try:
        return str(pyrage.x25519.Identity.from_str(identity).to_public())
    except pyrage.IdentityError as error:
        raise Damaged(f"this is no age identity ({error})") from None


def recovery_key(identity: str, installation: bytes) -> str:
    """The recovery key text: 48 bytes (identity's secret, installation) and a checksum, spelled for people."""
    return spell(RECOVERY_LABEL, unbech32(_AGE_PREFIX, identity) + installation)


def parse_recovery_key(text: str) -> Opener:
    """The opener behind a recovery key, or behind a text that holds one between lines that begin with `#`.

    Raises Damaged, which says what is wrong: no key in the text, its length, a strange character, the checksum.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    key = "".join(lines)
    if "AGE-SECRET-KEY-" in key.upper():
        raise Damaged(
            "this is a bare age identity; it cannot tell whose signatures to trust",
            hint=f"use the recovery key, the line that begins with {RECOVERY_LABEL}",
        )
    if not key:
        raise Damaged("there is no recovery key in this text", hint=f"it begins with {RECOVERY_LABEL}")
    try:
        raw = unspell(RECOVERY_LABEL, key, SECRET_BYTES + FINGERPRINT_BYTES)
    except Damaged as error:
        raise Damaged(error.message, hint="compare it with the printed or saved recovery key") from None
    return Opener(identity_of(raw[:SECRET_BYTES]), raw[SECRET_BYTES:])
