"""The payload of a frame: a value, as msgpack, in a zstd frame, in an age file. The page: docs/formats/frame.md.

Reading is bounded: the zstd frame must state its size, and one over the limit is damage, not an allocation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import zstandard

from safehold.formats.keys import Opener, Sealer
from safehold.model.change import Change
from safehold.model.errors import Damaged

MAX_PLAIN_BYTES = 512 * 1024 * 1024
_ZSTD_LEVEL = 3
T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_changes = msgspec.msgpack.Decoder(list[Change])


class Packer:
    """Values to payloads. Holds a zstd context, so one thread at a time."""

    def __init__(self, sealer: Sealer, level: int = _ZSTD_LEVEL) -> None:
        self._compress = zstandard.ZstdCompressor(level=level).compress
        self._encrypt = sealer.encrypt

    def pack(self, value: object) -> bytes:
        """A payload that holds `value`, which msgspec can encode."""
        return self.pack_plain(_encode(value))

    def pack_plain(self, plain: bytes) -> bytes:
        """The same of a value that is msgpack already."""
        assert len(plain) <= MAX_PLAIN_BYTES, "what no reader takes must not be written"
        return self._encrypt(self._compress(plain))

    def pack_changes(self, changes: Sequence[Change]) -> bytes:
        return self.pack(changes)


class Unpacker:
    """Payloads to values. Holds a zstd context, so one thread at a time."""

    def __init__(self, opener: Opener) -> None:
        self._decompress = zstandard.ZstdDecompressor().decompress
        self._decrypt = opener.decrypt

    def unpack(self, payload: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
        """Raises Damaged: not for this key, not zstd, too large, not what the decoder takes."""
        squeezed = self._decrypt(payload)
        try:
            size = zstandard.frame_content_size(squeezed)
            if not 0 <= size <= MAX_PLAIN_BYTES:
                raise Damaged(f"the payload states {size} bytes; the limit is {MAX_PLAIN_BYTES}")
            return decoder.decode(self._decompress(squeezed, allow_extra_data=False))
        except zstandard.ZstdError as error:
            raise Damaged(f"the payload is not compressed as it should be ({error})") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Damaged(f"the payload is not what it should be ({error})") from None

    def unpack_changes(self, payload: bytes) -> list[Change]:
        return self.unpack(payload, _changes)
