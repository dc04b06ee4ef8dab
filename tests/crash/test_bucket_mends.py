"""Mends in a bucket: only what proves itself better counts, whoever put it; and a repair can be killed anywhere."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import cache

import pytest

from safehold.formats import blob, mark, segment
from safehold.formats.frame import RawFrame, scan_frames
from safehold.model.errors import OperatorError
from safehold.ports.objectstore import Put, Stored, StoreError
from safehold.ports.vault import VaultDown
from safehold.vault.s3 import SLOT_MARK, S3Vault
from safehold.vault.s3_mends import MENDED
from safehold.vault.s3_moment import moment_text
from tests.crash.test_damage_bucket import damaged, scrubbed, there, truth, whole, world
from tests.support.bucket_damages import PLACE, ROOT, SORTS, Bucketed, harm_keys
from tests.support.damages import Objects, objects

SEED = 2


@cache
def near() -> Objects:
    return world(SEED).near


def put_mend(bucket: Bucketed, name: str, data: bytes, number: int = 1) -> None:
    bucket.store.put(f"{ROOT}{MENDED}{name}!{number:06d}", data)


def frames_of(name: str) -> list[RawFrame]:
    return [item for item in scan_frames(near()[name]) if isinstance(item, RawFrame)]


def segments(count: int) -> list[str]:
    """Of the log, those with so many frames at least."""
    return [name for name in near() if segment.parse_name(name) and len(frames_of(name)) >= count]


@pytest.mark.parametrize("sort", SORTS)
def test_no_mend_takes_the_place_of_what_is_whole(sort: str) -> None:
    """Of every object and slot, whatever a thief who may put makes of it."""
    rng = random.Random(f"thief {sort}")
    bucket = Bucketed(world(SEED), whole(SEED), sort)
    names = sorted({*near(), *whole(SEED)})
    for name in names:
        data = near().get(name, b"")
        forged = [b"", rng.randbytes(300), near()[rng.choice(sorted(near()))], data[: len(data) // 2], data + data]
        if segment.parse_name(name) is not None:
            forged += [data[: frame.offset] for frame in frames_of(name)]
        for number, each in enumerate(forged, 1):
            put_mend(bucket, name, each, number)
    assert objects(bucket.reader()) == objects(bucket.scrubbed()) == near()
    for name in near():
        assert bucket.reader().get(name) == near()[name] and bucket.reader().size(name) == len(near()[name])
    assert scrubbed(bucket) == []


@pytest.mark.parametrize("name", segments(4))
def test_a_mend_takes_away_no_frame_that_is_left(name: str) -> None:
    """Of a segment in which one frame rots, and of which somebody offers the beginning, in good order."""
    frames, data = frames_of(name), near()[name]
    hurt = frames[1]
    middle = hurt.offset + len(hurt.data) // 2
    rotten = data[:middle] + bytes((data[middle] ^ 255,)) + data[middle + 1 :]
    bucket = Bucketed(world(SEED), {**near(), name: rotten}, "locked")
    put_mend(bucket, name, b"")
    put_mend(bucket, name, data[: hurt.offset], 2)
    assert bucket.reader().get(name) == rotten
    assert bucket.repairer(world(SEED).far).carry_out() == []
    assert bucket.reader().get(name) == data


def test_many_false_mends_hold_back_no_good_one() -> None:
    rng = random.Random("flood")
    for name in (next(n for n in near() if blob.parse_object(n)), segments(3)[0], mark.NAME):
        data = near()[name]
        bucket = Bucketed(world(SEED), {**near(), name: data[:-1] + bytes((data[-1] ^ 1,))}, "locked")
        for number in range(1, 40):
            put_mend(bucket, name, rng.randbytes(rng.randrange(200)), number)
        put_mend(bucket, name, b"", 40)
        bucket.kept().replace(name, [data])
        assert bucket.reader().get(name) == data
        for number in range(50, 60):
            put_mend(bucket, name, rng.choice((b"", data[:-9], rng.randbytes(100))), number)
        bucket.store.traits.mark = None
        assert bucket.reader().get(name) == data and objects(bucket.reader())[name] == data
        anyone = S3Vault("v", PLACE, bucket.store)
        assert anyone.get(name) == data and anyone.available()


def test_another_installations_mark_is_no_mend() -> None:
    bucket = Bucketed(world(SEED), {**near(), mark.NAME: b"rubbish"}, "locked")
    put_mend(bucket, mark.NAME, mark.encode_mark(bytes(16)))
    assert not bucket.reader().available()
    put_mend(bucket, mark.NAME, near()[mark.NAME], 2)
    assert bucket.reader().available()
    anyone = S3Vault("v", PLACE, bucket.store)
    assert anyone.get(mark.NAME) == near()[mark.NAME], "the log says whose it is"


def test_as_of_a_moment_later_mends_do_not_count() -> None:
    name = next(n for n in near() if blob.parse_object(n))
    bucket = Bucketed(world(SEED), {**near(), name: b"rotten"}, "locked")
    moment = moment_text(bucket.store.now)
    bucket.store.now += 60
    bucket.kept().replace(name, [near()[name]])
    assert bucket.reader().get(name) == near()[name]
    past = S3Vault("v", f"{PLACE}@{moment}", bucket.store, world(SEED).installation)
    assert past.get(name) == b"rotten"


@pytest.mark.parametrize("sort", SORTS)
def test_what_was_mended_is_appended_to(sort: str) -> None:
    """A segment that was open when a slot of it rotted: the writer goes on where it was, and so does a new reader."""
    name = max(segments(4))
    data, frames = near()[name], frames_of(name)
    cut = frames[-1].offset
    keys = {**near(), name: data[:200], f"{name}{SLOT_MARK}{200:020d}": data[200:cut]}
    bucket = Bucketed(world(SEED), keys, sort)
    writer = bucket.reader()
    assert writer.size(name) == cut
    slot = f"{ROOT}{name}{SLOT_MARK}{200:020d}"
    bucket.store.lay(slot, bytes(cut - 200))
    bucket.kept().replace(name, [data[:cut]])
    assert bucket.reader().get(name) == data[:cut]
    for vault in (writer, writer):
        with suppress(VaultDown):  # a writer that notices that its slots are gone looks anew
            vault.append(name, cut, data[cut:])
            break
    assert bucket.reader().get(name) == data
    assert next(info.size for info in bucket.reader().list(name)) == len(data)


@pytest.mark.parametrize("sort", SORTS)
def test_what_rotted_and_was_passed_over_can_be_put_again(sort: str) -> None:
    """As the core does it where no vault has a body any more."""
    name = next(n for n in near() if blob.parse_object(n))
    bucket = Bucketed(world(SEED), {**near(), name: near()[name][:-5]}, sort)
    assert not bucket.reader().put(name, [near()[name]]), "it is taken"
    bucket.kept().set_aside(name)
    assert bucket.reader().size(name) is None
    assert bucket.reader().put(name, [near()[name]])
    assert bucket.reader().get(name) == near()[name]
    assert not bucket.reader().put(name, [near()[name]])


def test_what_is_whole_is_not_set_aside_where_nothing_can_be_removed() -> None:
    bucket = Bucketed(world(SEED), near(), "locked")
    for name in near():
        with pytest.raises(VaultDown, match=f"does not let {name} go"):
            bucket.kept().set_aside(name)
        assert not bucket.kept()._mends.all()
    assert objects(bucket.reader()) == near()


def test_what_is_read_as_it_was_is_not_mended() -> None:
    bucket = Bucketed(world(SEED), near(), "locked")
    kept = bucket.kept()
    kept._upto = bucket.store.now
    for act in (lambda: kept.replace(mark.NAME, [b"x"]), lambda: kept.set_aside("reader.py"), lambda: kept.remove("x")):
        with pytest.raises(OperatorError):
            act()


class Killed(Exception):
    """The process is gone."""


def kill_at(bucket: Bucketed, left: int) -> None:
    """Within the n-th change: before it, or after it is done."""
    put, delete = bucket.store.put, bucket.store.delete

    def count(done: bool) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    def killed_put(key: str, data: bytes, *, unless_there: bool = True) -> Put:
        count(False)
        found = put(key, data, unless_there=unless_there)
        count(True)
        return found

    def killed_delete(stored: Stored) -> None:
        count(False)
        delete(stored)
        count(True)

    bucket.store.put, bucket.store.delete = killed_put, killed_delete  # type: ignore[method-assign]


@pytest.mark.parametrize("sort", SORTS)
def test_a_repair_that_is_killed_anywhere_can_be_run_again(sort: str) -> None:
    """And at no moment is anything gone that could be read before."""
    rng = random.Random(f"kills {sort}")
    keys = whole(SEED)
    for _ in range(4):
        keys, _ = harm_keys(keys, rng)
    before = objects(Bucketed(world(SEED), keys, sort).reader())
    good = {name for name, data in before.items() if near().get(name) == data}
    point = 0
    while True:
        point += 1
        bucket = Bucketed(world(SEED), keys, sort)
        bucket.store.traits.conditional = True
        put, delete = bucket.store.put, bucket.store.delete
        kill_at(bucket, point)
        try:
            bucket.repairer(world(SEED).far).carry_out()
            break
        except Killed:
            pass
        bucket.store.put, bucket.store.delete = put, delete  # type: ignore[method-assign]
        left = objects(bucket.scrubbed())
        assert all(left.get(name) == near()[name] for name in good), (sort, point)
        assert bucket.repairer(world(SEED).far).carry_out() == [], (sort, point)
        assert there(bucket.reader()) == truth(bucket), (sort, point)
        assert scrubbed(bucket) == [], (sort, point)
    assert point > 6


@pytest.mark.parametrize("sort", SORTS)
def test_a_store_that_refuses_in_the_middle_leaves_what_was_there(sort: str) -> None:
    bucket, _ = damaged(SEED)
    bucket = Bucketed(world(SEED), {**near(), segments(2)[0]: b"rotten"}, sort)
    put = bucket.store.put

    def refuse(key: str, data: bytes, *, unless_there: bool = True) -> Put:
        raise StoreError("503 SlowDown")

    bucket.store.put = refuse  # type: ignore[method-assign]
    with pytest.raises(VaultDown, match="SlowDown"):
        bucket.kept().replace(segments(2)[0], [near()[segments(2)[0]]])
    bucket.store.put = put  # type: ignore[method-assign]
    assert bucket.reader().get(segments(2)[0]) == b"rotten"
    bucket.kept().replace(segments(2)[0], [near()[segments(2)[0]]])
    assert bucket.reader().get(segments(2)[0]) == near()[segments(2)[0]]


@pytest.mark.parametrize("seed", range(8))
def test_many_damages_at_once_are_mended(seed: int) -> None:
    bucket, done = damaged(seed, count=random.Random(seed).randint(2, 6))
    assert scrubbed(bucket), done
    left = bucket.repairer(world(seed).far).carry_out()
    assert left == [], (seed, done, left)
    assert there(bucket.reader()) == truth(bucket), (seed, done)
    assert scrubbed(bucket) == [], (seed, done)
