"""What the fuzz decides by: small numbers from one source, so that a run can be made again and made smaller.

The source is a `random.Random` with a seed that is printed, or one that hypothesis hands out. The first option of
everything is the plainest: a smaller number means a request nearer to what any device sends.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    def __init__(self, source: random.Random) -> None:
        self._source = source

    def below(self, count: int) -> int:
        """0 … count - 1."""
        return self._source.randrange(count)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def one_in(self, count: int) -> bool:
        """True once in `count` times."""
        return self.below(count) == count - 1

    def several(self, options: Sequence[T], most: int) -> list[T]:
        """At most so many, with repetitions."""
        return [self.pick(options) for _ in range(self.below(most + 1))]

    def data(self, most: int) -> bytes:
        """At most so many bytes of any value."""
        return bytes(self.below(256) for _ in range(self.below(most + 1)))


def mangled(dice: Dice, data: bytes) -> bytes:
    """Bytes with a few of them changed, left out, said twice or put in, or cut off."""
    body = bytearray(data)
    for _ in range(1 + dice.below(3)):
        at = dice.below(len(body) + 1)
        what = dice.below(6)
        if what == 0:
            body[at : at + 1] = b""
        elif what == 1:
            body[at:at] = dice.pick(
                (b"\x00", b"\xff", b"<", b"&", b'"', b"\n", b" ", b"\xe2\x80\xa8", b"%", b";", b":")
            )
        elif what == 2 and at < len(body):
            body[at] ^= 1 << dice.below(8)
        elif what == 3:
            end = at + dice.below(40)
            body[at:at] = body[at:end]
        elif what == 4:
            del body[at : at + dice.below(40)]
        else:
            del body[at:]
    return bytes(body)
