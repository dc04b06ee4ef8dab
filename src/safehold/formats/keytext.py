"""Keys as text that people copy: bech32 as age writes it, and a forgiving base32 with a checksum.

`spell` and `unspell` use Crockford's alphabet (no I, L, O, U). Case, blanks, dashes of any kind and wide letters do not
matter, O reads as 0, I and L as 1, also in the label: what a person types, or a scanner takes from paper. The last 4
bytes are the start of the SHA-256 of the label and the bytes before, so that any other slip is noticed; where one
character explains it, the group that it stands in is named. Nothing is guessed: the person looks again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from hashlib import sha256

from safehold.model.errors import Damaged

CHECKSUM_BYTES = 4
_GROUP = 5
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {c: i for i, c in enumerate(_CROCKFORD)}
_LOOK_ALIKE = str.maketrans("OIL", "011")
_MINUS = "\N{MINUS SIGN}"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CHECKSUM = 6


def spell(label: str, data: bytes) -> str:
    """`LABEL-XXXXX-XXXXX…`: data and checksum in groups of five."""
    raw = data + _checksum(label, data)
    text = "".join(_CROCKFORD[d] for d in _regroup(raw, 8, 5, pad=True))
    return "-".join([label, *(text[i : i + _GROUP] for i in range(0, len(text), _GROUP))])


def unspell(label: str, text: str, size: int) -> bytes:
    """The `size` bytes behind a spelled text. Raises Damaged, which says what is wrong with it."""
    body = _compact(text).removeprefix(_compact(label))
    digits = []
    for c in body:
        if c not in _VALUES:
            raise Damaged(f"the key has {c!r} in it, which is none of its letters and digits")
        digits.append(_VALUES[c])
    want = ((size + CHECKSUM_BYTES) * 8 + 4) // 5
    if len(digits) != want:
        raise Damaged(f"the key is {len(digits)} characters long after {label}; it must be {want}")
    data = _checked(label, digits, size)
    if data is None:
        raise Damaged(f"the key's checksum does not match: {_suspect(label, digits, size)}")
    return data


def unspell_any(label: str, text: str) -> bytes:
    """As `unspell`, where the length is not known before. Raises Damaged."""
    digits = len(_compact(text).removeprefix(_compact(label)))
    return unspell(label, text, max(0, digits * 5 // 8 - CHECKSUM_BYTES))


def is_spelled(label: str, text: str) -> bool:
    """Whether a text begins with that label, whatever follows."""
    return _compact(text).startswith(_compact(label))


def spelled_in(label: str, text: str) -> list[str]:
    """The spelled keys in a text, each from its label on; the text as it is where no label stands in it."""
    compact, begin = _compact(text), _compact(label)
    parts = compact.split(begin)
    if len(parts) == 1 or parts[0]:
        return [compact]
    return [begin + part for part in parts[1:]]


def _compact(text: str) -> str:
    """Upper case without blanks and dashes; characters that look alike are one."""
    wide = unicodedata.normalize("NFKC", text).upper().translate(_LOOK_ALIKE)
    return "".join(c for c in wide if not c.isspace() and unicodedata.category(c) not in ("Pd", "Cf") and c != _MINUS)


def _checked(label: str, digits: list[int], size: int) -> bytes | None:
    """The data behind digits whose checksum holds, else None."""
    number = 0
    for digit in digits:
        number = number << 5 | digit
    spare_bits = len(digits) * 5 - (size + CHECKSUM_BYTES) * 8
    raw = (number >> spare_bits).to_bytes(size + CHECKSUM_BYTES)
    spare = number & ((1 << spare_bits) - 1)
    return None if spare or raw[size:] != _checksum(label, raw[:size]) else raw[:size]


def _suspect(label: str, digits: list[int], size: int) -> str:
    """Which group to look at, where one other character or one swap would make the checksum match."""
    for place, tried in _slips(digits):
        if _checked(label, tried, size) is not None:
            group = "".join(_CROCKFORD[d] for d in digits[place - place % _GROUP :][:_GROUP])
            return f"look at group {place // _GROUP + 1} after {label}, which reads {group}"
    return "a character is wrong or two are swapped, in more than one place"


def _slips(digits: list[int]) -> Iterator[tuple[int, list[int]]]:
    """What may have been meant, if one character was misread or two neighbours swapped; with the place."""
    for place, digit in enumerate(digits):
        for other in range(32):
            if other != digit:
                yield place, [*digits[:place], other, *digits[place + 1 :]]
        yield place, digits[:place] + digits[place : place + 2][::-1] + digits[place + 2 :]


def bech32(prefix: str, data: bytes) -> str:
    """BIP 173 text of data, in lower case."""
    values = _regroup(data, 8, 5, pad=True)
    polymod = _polymod([*_expand(prefix), *values, *([0] * _BECH32_CHECKSUM)]) ^ 1
    values += [(polymod >> 5 * (5 - i)) & 31 for i in range(_BECH32_CHECKSUM)]
    return prefix + "1" + "".join(_BECH32[v] for v in values)


def unbech32(prefix: str, text: str) -> bytes:
    """The bytes behind BIP 173 text with this prefix. Raises Damaged."""
    text = text.lower()
    head, separator, tail = text.rpartition("1")
    if not separator or head != prefix or any(c not in _BECH32 for c in tail):
        raise Damaged(f"this is not a key that begins with {prefix}1")
    values = [_BECH32.index(c) for c in tail]
    if _polymod([*_expand(prefix), *values]) != 1:
        raise Damaged("the key's checksum does not match")
    return bytes(_regroup(values[:-_BECH32_CHECKSUM], 5, 8, pad=False))


def _checksum(label: str, data: bytes) -> bytes:
    return sha256(label.encode() + b"\0" + data).digest()[:CHECKSUM_BYTES]


def _regroup(values: bytes | list[int], width: int, to: int, *, pad: bool) -> list[int]:
    """The same bits in groups of another width; with pad the last one is filled up with zeros, else dropped."""
    out, held, bits = [], 0, 0
    for value in values:
        held = held << width | value
        bits += width
        while bits >= to:
            bits -= to
            out.append(held >> bits & ((1 << to) - 1))
        held &= (1 << bits) - 1
    if pad and bits:
        out.append(held << (to - bits) & ((1 << to) - 1))
    return out


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_BECH32_GENERATOR):
            check ^= generator if top >> i & 1 else 0
    return check
