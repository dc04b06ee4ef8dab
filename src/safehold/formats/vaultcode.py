"""The one-time code that brings an installation to a vault server: one line that a person sends to another.

SAFEHOLD-VAULT-XXXXX-XXXXX-…        formats/keytext.py: groups of five, with a checksum

version   1 byte, 1
flags     1 byte: bit 0, a key's digest follows; bit 1, the token that it gives may only read
guest     16 bytes: what the server calls the installation
secret    16 bytes: what the server knows the code by; it is good once
key       32 bytes, with bit 0: SHA-256 of the server's public key (SubjectPublicKeyInfo)
address   the rest, UTF-8: https://HOST:PORT
"""

from __future__ import annotations

from typing import NamedTuple

from safehold.formats.keytext import is_spelled, spell, unspell_any
from safehold.model.errors import Damaged

LABEL = "SAFEHOLD-VAULT"
VERSION = 1
GUEST_BYTES = SECRET_BYTES = 16
PIN_BYTES = 32
MAX_ADDRESS_BYTES = 300
_PINNED, _READ_ONLY = 1, 2
_FIXED_BYTES = 2 + GUEST_BYTES + SECRET_BYTES


class VaultCode(NamedTuple):
    address: str  # https://HOST:PORT, without a slash at its end
    guest: bytes
    secret: bytes
    pin: bytes = b""  # b"": whoever the system's authorities vouch for
    read_only: bool = False


def encode_code(code: VaultCode) -> str:
    flags = (_PINNED if code.pin else 0) | (_READ_ONLY if code.read_only else 0)
    data = bytes((VERSION, flags)) + code.guest + code.secret + code.pin + code.address.encode()
    return spell(LABEL, data)


def is_code(text: str) -> bool:
    """Whether somebody who typed this meant a code."""
    return is_spelled(LABEL, text)


def parse_code(text: str) -> VaultCode:
    """Raises Damaged, in words for whoever typed it."""
    data = unspell_any(LABEL, text)
    if len(data) <= _FIXED_BYTES or data[0] != VERSION:
        raise Damaged("this is no code of a vault server that this release can read")
    guest, rest = data[2 : 2 + GUEST_BYTES], data[2 + GUEST_BYTES :]
    secret, rest = rest[:SECRET_BYTES], rest[SECRET_BYTES:]
    pin = rest[:PIN_BYTES] if data[1] & _PINNED else b""
    address = rest[len(pin) :]
    if not 0 < len(address) <= MAX_ADDRESS_BYTES or data[1] & ~(_PINNED | _READ_ONLY):
        raise Damaged("this is no code of a vault server that this release can read")
    try:
        return VaultCode(address.decode(), guest, secret, pin, bool(data[1] & _READ_ONLY))
    except UnicodeDecodeError:
        raise Damaged("the address in this code cannot be read") from None
