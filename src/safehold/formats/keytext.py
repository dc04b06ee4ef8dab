"""Keys as text that people copy: bech32 as age writes it, and a forgiving base32 with a checksum.

`spell` and `unspell` use Crockford's alphabet (no I, L, O, U; case and dashes do not matter, O reads as 0, I and L as
1). The last 4 bytes are the start of the SHA-256 of the label and the bytes before, so a typo is noticed.
"""

from __future__ import annotations

from hashlib import sha256

from safehold.model.errors import Damaged

CHECKSUM_BYTES = 4
_GROUP = 5
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ = {c: i for i, c in enumerate(_CROCKFORD)} | {"O": 0, "I": 1, "L": 1}
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
    compact = "".join(text.upper().split()).replace("-", "").replace("\N{EN DASH}", "").replace("\N{EM DASH}", "")
    body = compact.removeprefix(label.upper().replace("-", ""))
    digits = []
    for c in body:
        if c not in _READ:
            raise Damaged(f"the key has {c!r} in it, which is none of its letters and digits")
        digits.append(_READ[c])
    want = ((size + CHECKSUM_BYTES) * 8 + 4) // 5
    if len(digits) != want:
        raise Damaged(f"the key is {len(digits)} characters long after {label}; it must be {want}")
    raw = _regroup(digits, 5, 8, pad=False)
    data, check = bytes(raw[:size]), bytes(raw[size:])
    spare = digits[-1] & ((1 << len(digits) * 5 - len(raw) * 8) - 1)
    if check != _checksum(label, data) or spare:
        raise Damaged("the key's checksum does not match: a character is wrong or two are swapped")
    return data


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
