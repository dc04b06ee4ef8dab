"""The running sums that SQLite takes of pages: of a page for its checksum VFS, and of each frame of a WAL.

Both are the same two sums over 32-bit words, modulo 2^32, two words at a step (https://sqlite.org/fileformat2.html,
section 4.2, and https://sqlite.org/cksumvfs.html):

    s1 += word[i] + s2;  s2 += word[i + 1] + s1

They are linear in the words and in where they start, so that a page takes one sum of products with fixed factors in
place of a step for each of its words. The checksum of a page starts at (0, 0) and runs over all but its last eight
bytes, little-endian; that of a frame starts where the frame before ended, in the byte order that the WAL's header
names.
"""

from __future__ import annotations

from functools import lru_cache
from operator import mul
from struct import Struct
from typing import NamedTuple

_WORD = 0xFFFFFFFF

Sums = tuple[int, int]
ZERO: Sums = (0, 0)


class Factors(NamedTuple):
    """What a unit in each word, and in each sum at the start, counts in the two sums at the end."""

    first: list[int]
    second: list[int]
    of_first: Sums  # what s1 at the start adds to both
    of_second: Sums


@lru_cache(maxsize=16)
def factors(words: int) -> Factors:
    """Of so many words, an even number."""
    first, second = [0] * words, [0] * words
    # Backwards from the end: how much a unit added to s1 or s2 before step i adds to the sums at the end.
    one, two = (1, 0), (0, 1)
    for i in range(words - 2, -1, -2):
        # A step is: s1 += word[i] + s2; s2 += word[i + 1] + s1.
        second[i + 1], first[i + 1] = two[1], two[0]
        first[i], second[i] = one[0] + two[0] & _WORD, one[1] + two[1] & _WORD
        before_one = (first[i], second[i])
        before_two = (first[i] + two[0] & _WORD, second[i] + two[1] & _WORD)
        one, two = before_one, before_two
    return Factors(first, second, one, two)


@lru_cache(maxsize=16)
def _reader(words: int, order: str) -> Struct:
    return Struct(f"{order}{words}I")


def sums(data: bytes | memoryview, words: int, start: Sums = ZERO, order: str = "<") -> Sums:
    """The two sums after the first `words` words of data. `order` is "<" for little-endian words, ">" for big."""
    values = _reader(words, order).unpack_from(data)
    by = factors(words)
    first, second = sum(map(mul, values, by.first)), sum(map(mul, values, by.second))
    if start != ZERO:
        first += start[0] * by.of_first[0] + start[1] * by.of_second[0]
        second += start[0] * by.of_first[1] + start[1] * by.of_second[1]
    return first & _WORD, second & _WORD
