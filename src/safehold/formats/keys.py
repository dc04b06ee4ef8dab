"""The keys of an installation, as values and as text. The page: docs/formats/keys.md.

root      Ed25519; certifies writers and keepers. Its fingerprint, the first 16 bytes of the SHA-256 of its public key,
          is the id of the installation: whoever knows the id can tell whose log this is without trusting the vault.
writer    Ed25519; signs frames. Certified by the root, so it can be replaced without a new recovery key.
keeper    Ed25519; signs evidence and what it writes from a vault. Certified by the root in a role of its own.
identity  age X25519; opens everything. Sealing needs only its recipient, the public half.

The recovery key text holds identity and fingerprint: enough to read and to verify every vault. A text may hold several,
the newest first: after an identity was replaced the older ones still open what was written before.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from safehold.formats.keytext import bech32, spell, spelled_in, unbech32, unspell
from safehold.formats.streams import ByteSink, ByteSource
from safehold.model.errors import Damaged, OperatorError

FINGERPRINT_BYTES = 16
SIGNATURE_BYTES = 64
SECRET_BYTES = 32
RECOVERY_LABEL = "SAFEHOLD-RECOVERY-1"
ROOT_LABEL = "SAFEHOLD-ROOT-1"
WRITER_LABEL = "SAFEHOLD-WRITER-1"
KEEPER_LABEL = "SAFEHOLD-KEEPER-1"
CERTIFICATE_LABEL = "SAFEHOLD-CERTIFICATE-1"
#: Whom one installation seals to, at most: each costs some 100 bytes and 0.1 ms in every age file.
MAX_RECIPIENTS = 8
#: Identities that one opener tries, at most, and recipients that it tries them on: whoever writes decides what a reader
#: has to compute. age adds stanzas of its own, so there are more of them than recipients.
MAX_IDENTITIES = 32
MAX_STANZAS = 32
MAX_HEAD_BYTES = 16 * 1024
#: Stands in the reason of whatever is whole and sealed to other recipients than this opener's.
SEALED_TO_OTHERS = "sealed to a key that was not given"
#: What age's library says then; it has no type of its own for it.
_NO_MATCHING_KEY = "No matching keys found"
_AGE_PREFIX = "age-secret-key-"
_PUBLIC_BYTES = 32


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


class Certificate(NamedTuple):
    """The root's word for a key in a role, with the root's public key, so that it can be checked without the root."""

    root_public: bytes
    public: bytes
    signature: bytes

    def holds(self, role: Role) -> bool:
        """Whether the root it names signed it for this role. Whose root that is, the fingerprint tells."""
        return certificate_holds(fingerprint(self.root_public), self.root_public, self.public, self.signature, role)

    def text(self) -> str:
        return spell(CERTIFICATE_LABEL, b"".join(self))


def parse_certificate(text: str) -> Certificate:
    """Raises Damaged."""
    raw = unspell(CERTIFICATE_LABEL, text, 2 * _PUBLIC_BYTES + SIGNATURE_BYTES)
    return Certificate(raw[:_PUBLIC_BYTES], raw[_PUBLIC_BYTES : 2 * _PUBLIC_BYTES], raw[2 * _PUBLIC_BYTES :])


class KeyAway(OperatorError):
    """Something is sealed, and no identity is here that opens it. Nothing is lost or damaged by that."""

    def __init__(self, what: str = "what the vaults hold") -> None:
        super().__init__(
            f"{what} can be opened only with the recovery key, which is not beside the core",
            hint="`safehold serve` and `safehold recover` take it: --identity FILE, where FILE holds the recovery key",
        )


class Sealer:
    """Whoever writes: recipients to encrypt to, its signing key and its certificate."""

    def __init__(
        self, recipients: str | Sequence[str], writer: SigningKey, root_public: bytes, certificate: bytes
    ) -> None:
        """Raises Damaged where a recipient is none. Not more than MAX_RECIPIENTS."""
        self.recipients = (recipients,) if isinstance(recipients, str) else tuple(recipients)
        assert 0 < len(self.recipients) <= MAX_RECIPIENTS
        self.installation = fingerprint(root_public)
        self.writer = writer
        self.root_public = root_public
        self.certificate = certificate
        self._recipients = [parse_recipient(text) for text in self.recipients]

    def encrypt(self, plain: bytes) -> bytes:
        """One age file."""
        sealed: bytes = pyrage.encrypt(plain, self._recipients)
        return sealed

    def encrypt_stream(self, source: ByteSource, sink: ByteSink) -> None:
        """One age file, in constant memory. What source or sink raise comes out as EncryptError: keep your own copy."""
        pyrage.encrypt_io(source, sink, self._recipients)


class SealedToOthers(Damaged):
    """An age file for other keys than those at hand. Where a signature covers it, nothing is wrong with it."""


def _not_opened(error: Exception) -> Damaged:
    if _NO_MATCHING_KEY in str(error):
        return SealedToOthers(f"does not decrypt with this key ({SEALED_TO_OTHERS})")
    return Damaged(f"does not decrypt with this key ({error})")


class Opener:
    """Whoever reads: the installation whose signatures count, and the age identities that open what is sealed.

    Identities are tried in their order: the newest first. Without any it verifies signatures and digests all the same,
    and `decrypt` raises KeyAway.
    """

    def __init__(self, identities: str | Sequence[str], installation: bytes) -> None:
        """Raises Damaged where one is no age identity."""
        assert len(installation) == FINGERPRINT_BYTES
        self.identities = (identities,) if isinstance(identities, str) else tuple(identities)
        assert len(self.identities) <= MAX_IDENTITIES
        self.installation = installation
        self._identities: list[Any] = [_parse_identity(text) for text in self.identities]

    @property
    def can_open(self) -> bool:
        return bool(self.identities)

    def with_older(self, identities: Sequence[str]) -> Opener:
        """One that tries these after its own."""
        return Opener(tuple(dict.fromkeys((*self.identities, *identities))), self.installation)

    def require(self, what: str = "what the vaults hold") -> None:
        """Raises KeyAway where there is no identity to open `what` with."""
        if not self.can_open:
            raise KeyAway(what)

    def decrypt(self, sealed: bytes) -> bytes:
        """What one age file holds. Raises Damaged, KeyAway."""
        self.require()
        _check_head(sealed[:MAX_HEAD_BYTES])
        try:
            plain: bytes = pyrage.decrypt(sealed, self._identities)
        except (pyrage.DecryptError, OSError) as error:
            raise _not_opened(error) from None
        return plain

    def decrypt_stream(self, source: ByteSource, sink: ByteSink) -> None:
        """As `decrypt`, in constant memory. What source or sink raise comes out as Damaged: keep your own copy."""
        self.require()
        headed = _Headed(source)
        _check_head(headed.head)
        try:
            pyrage.decrypt_io(headed, sink, self._identities)
        except (pyrage.DecryptError, OSError) as error:
            raise _not_opened(error) from None


class _Headed:
    """A source whose first MAX_HEAD_BYTES have been looked at."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        parts = []
        wanted = MAX_HEAD_BYTES
        try:
            while wanted and (part := source.read(wanted)):
                parts.append(part)
                wanted -= len(part)
        except Exception as error:  # as age's library does it
            raise Damaged(f"does not decrypt with this key ({error})") from error
        self.head = self._left = b"".join(parts)

    def read(self, count: int = -1, /) -> bytes:
        if not self._left:
            return self._source.read(count)
        if count < 0:
            data, self._left = self._left + self._source.read(), b""
        else:
            data, self._left = self._left[:count], self._left[count:]
        return data


def _check_head(head: bytes) -> None:
    """That an age file does not make its reader try thousands of keys. Raises Damaged."""
    end = head.find(b"\n---")
    if end < 0:
        raise Damaged("does not decrypt with this key (it has not the head of an age file)")
    if head.count(b"\n-> ", 0, end) > MAX_STANZAS:
        raise Damaged(f"does not decrypt with this key (its head names more than {MAX_STANZAS} recipients)")


def identity_of(secret: bytes) -> str:
    """The age identity text (`AGE-SECRET-KEY-1…`) of 32 random bytes."""
    assert len(secret) == SECRET_BYTES
    return bech32(_AGE_PREFIX, secret).upper()


def recipient_of(identity: str) -> str:
    """The recipient (`age1…`) of an identity. Raises Damaged."""
    return str(_parse_identity(identity).to_public())


def parse_recipient(text: str) -> Any:
    """The recipient as age's library takes it. Raises Damaged where the text is none, or an identity."""
    if text.upper().startswith(_AGE_PREFIX.upper()):
        raise Damaged("this is an identity, which is secret; give its recipient, which begins with age1")
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise Damaged(f"this is no age recipient ({error})") from None


def _parse_identity(text: str) -> Any:
    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError as error:
        raise Damaged(f"this is no age identity ({error})") from None


def recovery_key(identity: str, installation: bytes) -> str:
    """The recovery key text: 48 bytes (identity's secret, installation) and a checksum, spelled for people."""
    return spell(RECOVERY_LABEL, unbech32(_AGE_PREFIX, identity) + installation)


def parse_recovery_key(text: str) -> Opener:
    """The opener behind recovery keys, bare or in a text that holds them between lines that begin with `#`.

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
        raws = [
            unspell(RECOVERY_LABEL, each, SECRET_BYTES + FINGERPRINT_BYTES) for each in spelled_in(RECOVERY_LABEL, key)
        ]
    except Damaged as error:
        raise Damaged(error.message, hint="compare it with the printed or saved recovery key") from None
    installations = {raw[SECRET_BYTES:] for raw in raws}
    if len(installations) > 1:
        raise Damaged("these are recovery keys of different installations", hint="give those of one")
    if len(raws) > MAX_IDENTITIES:
        raise Damaged(f"these are {len(raws)} recovery keys; at most {MAX_IDENTITIES} are taken")
    return Opener([identity_of(raw[:SECRET_BYTES]) for raw in raws], installations.pop())
