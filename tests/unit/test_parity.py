"""Parity within one vault: the code, the objects, who writes them and what can be had from them (I101)."""

from __future__ import annotations

import random
from hashlib import sha256
from itertools import combinations

import pytest

from safehold.formats import parity, reed_solomon
from safehold.formats.blob import blob_object
from safehold.model.errors import Damaged
from safehold.ports.vault import VaultDown
from safehold.vault.memory import MemoryVault
from safehold.vault.parity import PARITY_SOURCE, ParityVault, ParityWriter, drop_groups, groups_of
from tests.support.damages import KeptMemoryVault

# -- the code


def slow_product(a: int, b: int) -> int:
    """Multiplication of polynomials, bit by bit."""
    product = 0
    for bit in range(8):
        product ^= (a << bit) if b >> bit & 1 else 0
    for bit in range(14, 7, -1):
        product ^= (reed_solomon.POLYNOMIAL << (bit - 8)) if product >> bit & 1 else 0
    return product


def test_the_field_is_one() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        a, b, c = (rng.randrange(256) for _ in range(3))
        assert reed_solomon.times(a, b) == slow_product(a, b)
        assert reed_solomon.times(a, b ^ c) == reed_solomon.times(a, b) ^ reed_solomon.times(a, c)
    assert all(reed_solomon.times(a, reed_solomon.inverse(a)) == 1 for a in range(1, 256))


@pytest.mark.parametrize(("data", "more"), [(1, 1), (2, 2), (4, 3), (10, 2), (5, 5)])
def test_any_k_columns_give_all_back(data: int, more: int) -> None:
    rng = random.Random(data)
    columns = [rng.randbytes(50) for _ in range(data)]
    every = [*columns, *reed_solomon.encode(columns, more)]
    for there in combinations(range(data + more), data):
        given = [column if index in there else None for index, column in enumerate(every)]
        assert reed_solomon.rebuild(given, data) == columns, there
    few = [column if index < data - 1 else None for index, column in enumerate(every)]
    assert reed_solomon.rebuild(few, data) is None


def test_the_columns_are_those_that_other_programs_compute() -> None:
    """Of pyeclib 1.8.0 with isa_l_rs_cauchy, 10 + 2, over the bytes of SHA-256 of 0, 1, 2 …"""
    columns = [sha256(bytes([n])).digest() for n in range(10)]
    assert [column.hex() for column in reed_solomon.encode(columns, 2)] == [
        "8739107ffd55bdf5c820fbfa5eb4b1048a76d3d7dcf07bf832a387ea9f813e3b",
        "07e09e53cec11e81a895b802cbb26c6e211b915cb79607a92f4d33f004242393",
    ]


# -- the objects


def blobs(rng: random.Random, count: int, size: int = 9000) -> dict[str, bytes]:
    return {blob_object(rng.randbytes(32)): rng.randbytes(rng.randint(size // 2, size)) for _ in range(count)}


def covered(objects: dict[str, bytes], data: int = 10, more: int = 2) -> KeptMemoryVault:
    vault = KeptMemoryVault("near", objects)
    assert ParityWriter(vault, data, more).cover()
    return vault


def test_a_parity_object_proves_itself_byte_by_byte() -> None:
    vault = covered(blobs(random.Random(2), 17))
    (group,) = groups_of(vault)
    rng = random.Random(3)
    for name in group.objects():
        data = vault.get(name)
        assert parity.check_parity(data, name) == group
        places = {*range(parity.HEADER_BYTES), *(rng.randrange(len(data)) for _ in range(100)), *range(-44, 0)}
        for place in places:
            other = bytearray(data)
            other[place] ^= 1 << rng.randrange(8)
            with pytest.raises(Damaged):
                parity.check_parity(bytes(other), name)
        for other_data in (data[:-1], data + b"\0", b"", data[:60], data[: -parity.TRAILER_BYTES]):
            with pytest.raises(Damaged):
                parity.check_parity(other_data, name)
        with pytest.raises(Damaged):
            parity.check_parity(data, "parity/0123456789abcdef/00")


def test_tables_that_lie_are_refused_before_anything_is_made_of_them() -> None:
    group, columns = parity.make_group([("blobs/a", b"x" * 5000)], 2, 1, 4096)
    whole = parity.encode_parity(group, 0, columns[0])
    name = parity.parity_object(group.id, 0)
    assert parity.parse_group(whole, name, len(whole)).members[0].name == "blobs/a"
    shape = group.shape
    for wrong in (
        shape._replace(rows=1 << 31),
        shape._replace(rows=2),
        shape._replace(block_bytes=0),
        shape._replace(block_bytes=1 << 31),
        shape._replace(data=0),
        shape._replace(data=255),
    ):
        lying = parity.encode_parity(group._replace(shape=wrong), 0, columns[0])
        with pytest.raises(Damaged):
            parity.parse_group(lying, name, len(lying))


def test_groups_are_written_once_and_what_comes_later_gets_its_own() -> None:
    rng = random.Random(4)
    vault = covered(blobs(rng, 17))
    before = dict(vault.objects)
    writer = ParityWriter(vault, 10, 2)
    assert writer.cover() == 0
    assert 0 <= len(writer.waiting) < 17
    vault.objects.update(blobs(rng, 30))
    assert writer.cover() >= 1
    assert {name: vault.objects[name] for name in before} == before
    members = [member.name for group in groups_of(vault) for member in group.members]
    assert len(members) == len(set(members))
    assert len(members) + len(writer.waiting) == 47


def test_the_longest_object_of_a_group_can_go_missing() -> None:
    rng = random.Random(5)
    objects = {**blobs(rng, 80, 3000), **blobs(rng, 2, 60_000), **blobs(rng, 30, 300)}
    vault = covered(objects)
    longest = max(member.size for group in groups_of(vault) for member in group.members)
    assert longest <= 3000, "what is longer waits, and nothing waits for it"
    writer = ParityWriter(vault, 10, 2)
    assert writer.cover() == 0 and len(writer.waiting) >= 32
    assert writer.cover(everything=True) >= 2 and not writer.waiting
    assert not ParityWriter(vault, 10, 2).cover(everything=True)
    for group in groups_of(vault):
        longest = max(group.members, key=lambda member: member.size)
        if sum(member.size for member in group.members) < 10 * longest.size:
            continue
        del vault.objects[longest.name]
        assert ParityVault(vault).get(longest.name) == objects[longest.name]
        vault.objects[longest.name] = objects[longest.name]


def test_what_is_longer_than_a_group_is_told_and_not_covered() -> None:
    objects = blobs(random.Random(8), 20, 3000)
    vault = KeptMemoryVault("near", {**objects, blob_object(b"l" * 32): bytes(20_001)})
    writer = ParityWriter(vault, 2, 1, max_group_bytes=20_000)
    assert writer.cover(everything=True) > 1 and not writer.waiting
    assert [(info.name, info.size) for info in writer.too_long] == [(blob_object(b"l" * 32), 20_001)]
    assert all(sum(member.size for member in group.members) <= 20_000 for group in groups_of(vault))


def test_beyond_its_strength_nothing_is_given_and_that_is_told() -> None:
    vault = covered(blobs(random.Random(6), 17))
    whole = dict(vault.objects)
    (group,) = groups_of(vault)
    gone = [member.name for member in group.members[:5]]
    for name in gone:
        del vault.objects[name]
    source = ParityVault(vault)
    assert source.name == PARITY_SOURCE
    for member in group.members:
        if member.name in gone:
            with pytest.raises(KeyError):
                source.get(member.name)
        else:
            assert source.get(member.name) == whole[member.name]
    assert list(source.beyond) == gone


def test_a_table_that_names_what_lies_elsewhere_gives_nothing() -> None:
    """Parity is not signed: whoever can add to a vault can put what it likes there."""
    vault = MemoryVault("near")
    group, columns = parity.make_group([("../../etc/passwd", b"x" * 100), ("keys/root", b"y" * 100)], 1, 1, 4096)
    vault.objects[parity.parity_object(group.id, 0)] = parity.encode_parity(group, 0, columns[0])
    assert ParityWriter(vault, 10, 2).cover() == 0
    assert [info.name for info in ParityVault(vault).list()] == group.objects()
    with pytest.raises(KeyError):
        ParityVault(vault).get("keys/root")


def test_what_is_to_go_takes_its_parity_with_it() -> None:
    """I102: else it could be computed again."""
    objects = blobs(random.Random(7), 40)
    vault = covered(objects)
    groups = list(groups_of(vault))
    assert len(groups) > 1
    name = groups[0].members[3].name
    assert drop_groups(vault, {name}) == 1
    del vault.objects[name]
    left = {member.name for group in groups_of(vault) for member in group.members}
    assert name not in left and not any(n.startswith(f"parity/{groups[0].id}/") for n in vault.objects)
    with pytest.raises(KeyError):
        ParityVault(vault).get(name)
    assert ParityWriter(vault, 10, 2).cover() <= 1, "the rest is covered anew, where it makes a group"


def test_parity_that_says_no_more_whom_it_names_goes_with_what_is_removed() -> None:
    """I102: a table that is damaged here can be mended by hand."""
    objects = blobs(random.Random(8), 17)
    vault = covered(objects)
    (group,) = groups_of(vault)
    for name in group.objects():
        vault.objects[name] = vault.objects[name][:100] + b"?" + vault.objects[name][101:]
    assert not list(groups_of(vault))
    assert drop_groups(vault, set()) == 0 and set(group.objects()) <= set(vault.objects)
    assert drop_groups(vault, {group.members[0].name}) == 1
    assert not set(group.objects()) & set(vault.objects)


def test_one_object_that_the_disk_refuses_does_not_end_the_use_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = blobs(random.Random(9), 17)
    vault = covered(objects)
    (group,) = groups_of(vault)
    refused, gone = group.objects()[0], group.members[0].name
    get, lost = vault.get, vault.objects.pop(gone)

    def failing(name: str, offset: int = 0, count: int | None = None) -> bytes:
        if name == refused:
            raise VaultDown("the disk refuses it")
        return get(name, offset, count)

    monkeypatch.setattr(vault, "get", failing)
    assert ParityVault(vault).get(gone) == lost
