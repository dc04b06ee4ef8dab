"""Reed-Solomon codes over GF(256): from k columns m more, and any k of these k + m give all of them back.

The field is that of the polynomial 0x11d. Parity column k + i is the sum over data columns j of the inverse of
(k + i) XOR j times column j: a Cauchy matrix, of which every square part can be inverted. It is the matrix that ISA-L
(`gf_gen_cauchy1_matrix`) and pyeclib (`isa_l_rs_cauchy`) use, so that these give the same columns.

A product with a constant is a table of 256 bytes, and a sum is XOR, which Python does on whole columns at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

POLYNOMIAL = 0x11D
MAX_COLUMNS = 255

_EXP = [1] * 512
for _power in range(1, 512):
    _doubled = _EXP[_power - 1] << 1
    _EXP[_power] = _doubled ^ POLYNOMIAL if _doubled & 0x100 else _doubled
_LOG = {value: power for power, value in enumerate(_EXP[:255])}


def times(a: int, b: int) -> int:
    """The product of two elements."""
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def inverse(a: int) -> int:
    """Of an element that is not 0."""
    return _EXP[255 - _LOG[a]]


@cache
def _table(constant: int) -> bytes:
    return bytes(times(constant, value) for value in range(256))


def row(data: int, index: int) -> list[int]:
    """By what each data column is multiplied for column `index`, data column or parity."""
    if index < data:
        return [int(column == index) for column in range(data)]
    return [inverse(index ^ column) for column in range(data)]


def _sum(factors: Sequence[int], columns: Sequence[bytes], length: int) -> bytes:
    total = 0
    for factor, column in zip(factors, columns, strict=True):
        if factor:
            product = column if factor == 1 else column.translate(_table(factor))
            total ^= int.from_bytes(product, "little")
    return total.to_bytes(length, "little")


def encode(columns: Sequence[bytes], parity: int) -> list[bytes]:
    """The parity columns of data columns of one length."""
    data = len(columns)
    assert data and data + parity <= MAX_COLUMNS
    length = len(columns[0])
    return [_sum(row(data, data + index), columns, length) for index in range(parity)]


def rebuild(columns: Sequence[bytes | None], data: int) -> list[bytes] | None:
    """The data columns, from data and parity columns of which some are None; None where too few are there."""
    lost = [index for index in range(data) if columns[index] is None]
    there = [index for index, column in enumerate(columns) if column is not None]
    if len(there) < data:
        return None
    used = there[:data]
    given = [column for index in used if (column := columns[index]) is not None]
    if not lost:
        return given
    inverted = _inverted([row(data, index) for index in used])
    length = len(given[0])
    found = dict(zip(used, given, strict=True))
    return [found[i] if i in found else _sum(inverted[i], given, length) for i in range(data)]


def _inverted(matrix: list[list[int]]) -> list[list[int]]:
    """By Gauss and Jordan; of k rows of the code any matrix can be inverted."""
    size = len(matrix)
    work = [[*line, *(int(i == j) for j in range(size))] for i, line in enumerate(matrix)]
    for column in range(size):
        pivot = next(r for r in range(column, size) if work[r][column])
        work[column], work[pivot] = work[pivot], work[column]
        scale = inverse(work[column][column])
        work[column] = [times(scale, value) for value in work[column]]
        for other in range(size):
            factor = work[other][column]
            if other != column and factor:
                work[other] = [a ^ times(factor, b) for a, b in zip(work[other], work[column], strict=True)]
    return [line[size:] for line in work]
