"""The slow hash for passwords that people choose: argon2id (RFC 9106).

Cost: 64 MiB, one pass, one lane. Measured on the 2-core machine the project is built on: 73 ms, against 151 ms for
RFC 9106's second recommended profile (64 MiB, 3 passes, 4 lanes) and 20 ms for the smallest one in common use
(19 MiB, 2 passes). Memory is what makes guessing on graphics cards dear, so memory is kept at RFC 9106's figure and
passes are given up; one lane, so that a sign-in takes one core and not all of them. The parameters are
written into each hash: changing them here leaves old hashes valid.
"""

from __future__ import annotations

import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from safehold.model.errors import Held

if TYPE_CHECKING:
    import argon2

PASSES = 1
MEMORY_KIB = 64 * 1024
LANES = 1


class Argon2Hasher:
    """`ports.world.PasswordHasher`. Runs outside Python's lock, so threads hash side by side."""

    def __init__(self, *, passes: int = PASSES, memory_kib: int = MEMORY_KIB, lanes: int = LANES) -> None:
        self._cost = (passes, memory_kib, lanes)

    @cached_property
    def _argon2(self) -> argon2.PasswordHasher:
        import argon2

        passes, memory_kib, lanes = self._cost
        return argon2.PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)

    def hash(self, password: str) -> str:
        """The PHC string, salt and cost included."""
        return self._argon2.hash(_prepared(password))

    def verify(self, hashed: str, password: str) -> bool:
        """Raises Held where that cannot be told: `hashed` is no argon2 hash, or there is no memory for it."""
        from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

        try:
            return self._argon2.verify(hashed, _prepared(password))
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            raise Held(f"a stored password hash cannot be used: {error}") from error


def _prepared(password: str) -> bytes:
    """NFC, as OpaqueString asks (RFC 8265 section 4.2.2): an umlaut is the same from every keyboard."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
