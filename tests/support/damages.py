"""Damage to vaults: seeded, one at a time, on a dictionary of objects; and the vaults of a real house to do it to.

flip      one bit of one object
cut       bytes off the end of an object, up to all of them
grow      bytes at the end of an object
swap      the bytes of two objects, or two ranges within one
delete    an object
stray     a file that nobody put there: under a name of nothing, of an object, or a copy of an object
"""

from __future__ import annotations

import random
from typing import NamedTuple

from safehold.formats import segment
from safehold.formats.segment import SegmentName

Objects = dict[str, bytes]
WAYS = ("flip", "flip", "flip", "flip", "cut", "cut", "grow", "swap", "ranges", "delete", "delete", "stray")


class Harm(NamedTuple):
    """What was done; `objects` are those at which a scrub must find it (one of them at least, all if `every`)."""

    what: str
    objects: tuple[str, ...]
    every: bool = True


def harm(objects: Objects, rng: random.Random, ways: tuple[str, ...] = WAYS) -> tuple[Objects, Harm]:
    """The objects with one damage more, which changes them for certain."""
    while True:
        result = _try(objects, rng, rng.choice(ways))
        if result is not None and result[0] != objects:
            return result


def _pick(objects: Objects, rng: random.Random) -> str:
    """Any kind of object as likely as any other, small and large alike."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(objects):
        kinds.setdefault(name.partition("/")[0] + ("#" if name.endswith("generation") else ""), []).append(name)
    weights = [3 if kind == "log" else 1 for kind in kinds]
    return rng.choice(kinds[rng.choices(list(kinds), weights)[0]])


def _try(objects: Objects, rng: random.Random, way: str) -> tuple[Objects, Harm] | None:
    name = _pick(objects, rng)
    data = objects[name]
    after = dict(objects)
    told = f"{way} {name}"
    if way == "flip":
        offset = rng.randrange(len(data))
        after[name] = data[:offset] + bytes((data[offset] ^ 1 << rng.randrange(8),)) + data[offset + 1 :]
        return after, Harm(f"{told} at {offset}", (name,))
    if way == "cut":
        count = rng.choice((1, rng.randint(1, len(data)), min(len(data), segment.HEADER_BYTES), len(data)))
        after[name] = data[: len(data) - count]
        return after, Harm(f"{told} by {count} of {len(data)}", (name,))
    if way == "grow":
        after[name] = data + rng.choice((b"\0", rng.randbytes(rng.randint(1, 500)), data))
        return after, Harm(told, (name,))
    if way == "swap":
        other = _pick(objects, rng)
        after[name], after[other] = objects[other], data
        return after, Harm(f"{told} with {other}", (name, other))
    if way == "ranges":
        size = rng.choice((1, 8, 200, 512))
        if len(data) < 2 * size:
            return None
        one = rng.randrange(len(data) - 2 * size + 1)
        two = rng.randrange(one + size, len(data) - size + 1)
        cut = data[:one], data[one : one + size], data[one + size : two], data[two : two + size], data[two + size :]
        after[name] = b"".join((cut[0], cut[3], cut[2], cut[1], cut[4]))
        return after, Harm(f"{told}: {size} bytes at {one} and {two}", (name,))
    if way == "delete":
        del after[name]
        return after, Harm(told, (name,))
    return _stray(objects, rng)


def _stray(objects: Objects, rng: random.Random) -> tuple[Objects, Harm] | None:
    model = _pick(objects, rng)
    parsed = segment.parse_name(model)
    names = ["notes.txt", "log/README", ".hidden", "blobs/ab/abcd", f"{model}.bak", "runs/x", "log/00000001/core"]
    names.append("blobs/ab/ab" + rng.randbytes(31).hex())
    if parsed is not None:
        near = parsed.first + rng.randint(0, 3)
        names.append(str(SegmentName(parsed.timeline, parsed.number + rng.randint(0, 2), near)))
        names.append(str(SegmentName(parsed.timeline + rng.randint(0, 9), rng.randint(0, 3), near)))
    name = rng.choice(names)
    if name in objects or any(other.startswith(f"{name}/") for other in objects):
        return None
    content = rng.choice((b"", rng.randbytes(300), objects[model], objects[model][:100]))
    return {**objects, name: content}, Harm(f"stray {name}", (name,))
