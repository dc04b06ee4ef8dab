"""Sealing without a secret and without chance, so that one seed gives the same bytes at every run.

age draws an ephemeral key and a stanza of random length for each file, from a source that nobody can seed. Here a
sealed body is the plain one behind its SHA-256: readable to anybody, and as quick to fail as age's where a bit flips.
Signing is the real thing.
"""

from __future__ import annotations

from hashlib import sha256

from safehold.formats.keys import Opener, Sealer
from safehold.formats.streams import ByteSink, ByteSource
from safehold.model.errors import Damaged

_MARK = b"lab-sealed-1\n"
_DIGEST_BYTES = 32
#: So many bytes come before the body.
SEALED_BEFORE = len(_MARK) + _DIGEST_BYTES
_CHUNK_BYTES = 64 * 1024


def _seal(plain: bytes) -> bytes:
    return _MARK + sha256(plain).digest() + plain


def _open(sealed: bytes) -> bytes:
    plain = sealed[SEALED_BEFORE:]
    if _seal(plain) != sealed:
        raise Damaged("does not decrypt with this key (it is not what was sealed)")
    return plain


def _read(source: ByteSource) -> bytes:
    return b"".join(iter(lambda: source.read(_CHUNK_BYTES), b""))


class LabSealer(Sealer):
    """Made from a real one."""

    def __init__(self, sealer: Sealer) -> None:
        self.__dict__.update(sealer.__dict__)

    def encrypt(self, plain: bytes) -> bytes:
        return _seal(plain)

    def encrypt_stream(self, source: ByteSource, sink: ByteSink) -> None:
        sink.write(_seal(_read(source)))


class LabOpener(Opener):
    """Made from a real one."""

    def __init__(self, opener: Opener) -> None:
        self.__dict__.update(opener.__dict__)

    def decrypt(self, sealed: bytes) -> bytes:
        self.require()
        return _open(sealed)

    def decrypt_stream(self, source: ByteSource, sink: ByteSink) -> None:
        self.require()
        sink.write(_open(_read(source)))
