"""A vault in a bucket when things go wrong: thieves, lost answers, late listings, stores that ignore conditions.

Against a real SeaweedFS, and a real rclone for what it ignores.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from safehold.adapters import objectstore
from safehold.adapters.objectstore import PART_BYTES, S3ObjectStore
from safehold.adapters.processes import ForkedWorkers
from safehold.assembly.suspecting import suspicions
from safehold.formats import mark
from safehold.model.errors import OperatorError
from safehold.ports.objectstore import Put, Stored, StoreError
from safehold.ports.vault import LengthMismatch, Vault, VaultDown
from safehold.recovery.judging import Standing
from safehold.recovery.scrub import Pace, Scrubber, scrub
from safehold.vault.s3 import LARGE_BYTES, S3Vault
from safehold.vault.s3_moment import moment_text, parse_moment
from safehold.vault.s3_probe import PutOver, look_for_put_over, try_out
from tests.support.changes import Streams
from tests.support.cut_proxy import CutProxy, cut_proxy
from tests.support.logs import INSTALLATION, OPENER, Writing, read
from tests.support.s3 import CORE, S3Server, rclone
from tests.support.thief import FORKS, Thief
from tests.support.vault_kinds.s3 import bucket, shared_server

A = "log/00000001/00000000-000000000000.seg"
SLOT = f"{A}!{{:020d}}"


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    return f"locked/{request.node.name.translate(str.maketrans('[]', '--'))}"


@pytest.fixture
def locked(place: str) -> Iterator[S3Vault]:
    """A vault with some bytes in it, under the core's credentials, in a bucket that keeps versions and locks them."""
    owner = bucket("locked", lock_days=1)
    core = S3ObjectStore(shared_server().settings("locked", CORE))
    vault = S3Vault.create("v", place, core, INSTALLATION)
    vault.append(A, 0, b"one")
    vault.append(A, 3, b"two")
    assert vault.put("keys/a", [b"a"])
    yield vault
    assert owner.features().lock_days == 1


def fresh(vault: S3Vault) -> S3Vault:
    return S3Vault("v", vault.url.removeprefix("s3:"), vault.store, INSTALLATION)


def whole(vault: Vault) -> dict[str, bytes]:
    return {info.name: vault.get(info.name) for info in vault.list() if info.name != mark.READER}


@pytest.mark.parametrize("who", ["the core", "the owner"])
def test_whatever_a_thief_does_the_first_version_is_read(locked: S3Vault, who: str) -> None:
    before = whole(locked)
    assert before[A] == b"onetwo"
    thief = locked.store if who == "the core" else bucket("locked", lock_days=1)
    keys = [stored for stored, _ in thief.versions(locked.root)]
    assert len(keys) == 5  # FORMAT, the reader, two slots, a key
    assert try_out(locked.store, locked.root, 1).ignores == []
    assert look_for_put_over(locked.store, locked.root) == PutOver(), "a probe is no thief"
    done = 0
    for stored in keys:
        for act in (
            lambda s: thief.put(s.key, b"forged", unless_there=False),
            lambda s: thief.delete(s._replace(version="")),
            thief.delete,
        ):
            try:
                act(stored)
                done += 1
            except StoreError:
                continue
    assert done >= len(keys), "overwriting must have been possible, or this shows nothing"
    assert look_for_put_over(locked.store, locked.root).keys == 5
    assert whole(locked) == before
    after = fresh(locked)
    assert whole(after) == before and after.available()
    assert after.folders("log/") == ["00000001"]
    assert (after.size(A), after.get(A, 2, 2)) == (6, b"et")
    assert not after.put("keys/a", [b"again"]) or whole(fresh(locked)) == before
    after.append(A, 6, b"three")
    assert fresh(locked).get(A) == b"onetwothree"


def test_keys_that_are_no_slots_and_slots_of_what_does_not_grow_are_nobodys(locked: S3Vault) -> None:
    thief = locked.store
    keys = [SLOT.format(4), SLOT.format(3)[:-1], f"{SLOT.format(7)}0", f"{A}!{'x' * 20}", f"{A}!"]
    for key in (*keys, f"{A[:-5]}9.seg!", "keys/a!00000000000000000001", "!x", "keys/b!1"):
        thief.put(f"{locked.root}{key}", b"forged")
    after = fresh(locked)
    assert whole(after) == {mark.NAME: mark.encode_mark(INSTALLATION), A: b"onetwo", "keys/a": b"a"}
    assert after.put("keys/b", [b"b"])


def test_a_listing_that_is_late_does_not_end_the_log(locked: S3Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    late = S3ObjectStore(shared_server().settings("locked", CORE))
    truth = late.list

    def listed(prefix: str) -> Iterator[Stored]:
        return (stored for stored in truth(prefix) if "!" not in stored.key)

    monkeypatch.setattr(late, "list", listed)
    vault = S3Vault("v", locked.url.removeprefix("s3:"), late, INSTALLATION)
    assert [info.size for info in vault.list("log/")] == [6]
    assert vault.get(A) == b"onetwo"
    with pytest.raises(LengthMismatch, match="6 bytes"):
        vault.append(A, 3, b"other")
    vault.append(A, 6, b"!")


def moment_before(vault: S3Vault) -> str:
    """The last moment at which all that is there was put, once the store's clock has gone on."""
    last = max(stored.modified for stored, _ in vault.store.versions(vault.root))
    for number in itertools.count():
        key = f"{vault.root}!tick/{number}"
        vault.store.put(key, b"")
        found = vault.store.find(key)
        if found is not None and found.modified > last:
            return moment_text(last)
    raise AssertionError("it counts on")


@pytest.mark.parametrize(
    "fork", ["a claim that continues an earlier frame", "a fork put whole", "a segment that begins early"]
)
def test_before_a_thief_came_who_signs_as_the_writer_all_of_it_is_there(place: str, fork: str) -> None:
    bucket("locked", lock_days=1)
    core = S3ObjectStore(shared_server().settings("locked", CORE))
    streams = Streams()
    one = Writing([S3Vault.create("v", place, core, INSTALLATION, sync=True)], streams=streams)
    one.write(4)
    one.log.close()
    vault = S3Vault("v", place, core, INSTALLATION, sync=True)
    two = Writing([vault], core=one.log.position, streams=streams)
    two.write(6)
    acknowledged = [*one.acknowledged, *two.acknowledged]
    moment = moment_before(vault)
    assert suspicions([fresh(vault)], OPENER) == []
    FORKS[fork](Thief(fresh(vault), two.log.position, one.log.position.frame + 1))
    assert read(fresh(vault))[0] != acknowledged, "a bucket takes what is signed; else this shows nothing"
    past = S3Vault("v", f"{place}@{moment}", core, INSTALLATION)
    if fork != "a segment that begins early":  # one of a timeline's own is told by nobody's clock
        for each in (fresh(vault), past):
            (told,) = suspicions([each], OPENER)
            assert told.what == "forked" and told.at >= parse_moment(moment) * 1_000_000
            assert told.frame == (2 if fork.startswith("a claim") else 0)
    changes, holes, _ = read(past)
    assert (changes, holes) == (acknowledged, [])
    assert past.folders("log/") == ["00000001", "00000002"]
    for act in (lambda: past.put("keys/a", [b"a"]), lambda: past.append(A, past.size(A) or 0, b"x")):
        with pytest.raises(VaultDown, match="past"):
            act()
    with pytest.raises(VaultDown, match="no vault"):
        S3Vault("v", f"{place}@20200101T000000Z", core, INSTALLATION).size("keys/a")


@pytest.fixture
def cut() -> Iterator[CutProxy]:
    port = urlsplit(shared_server().endpoint).port
    assert port is not None
    with cut_proxy(port) as proxy:
        yield proxy


def test_an_answer_that_is_lost_is_found_out(place: str, cut: CutProxy) -> None:
    bucket("locked", lock_days=1)
    settings = shared_server().settings("locked", CORE)._replace(endpoint=cut.endpoint)
    vault = S3Vault.create("v", place, S3ObjectStore(settings), INSTALLATION)
    vault.append(A, 0, b"one")
    cut.lose = {"PUT": 1}
    vault.append(A, 3, b"two")
    assert cut.lose == {"PUT": 0}
    cut.lose = {"PUT": 1, "GET": 1}
    assert vault.put("keys/a", [b"a"])
    cut.lose = {"GET": 1}
    assert whole(fresh(vault)) == {mark.NAME: mark.encode_mark(INSTALLATION), A: b"onetwo", "keys/a": b"a"}
    assert len(list(vault.store.versions(vault.root))) == 5  # nothing was put twice


def test_a_store_that_is_away_is_down_and_nothing_is_made_up(place: str, cut: CutProxy) -> None:
    bucket("locked", lock_days=1)
    settings = shared_server().settings("locked", CORE)._replace(endpoint=cut.endpoint)
    vault = S3Vault.create("v", place, S3ObjectStore(settings), INSTALLATION)
    vault.append(A, 0, b"one")
    cut.strike()
    for act in (
        lambda: vault.size("keys/none"),
        lambda: list(vault.list()),
        lambda: vault.append(A, 3, b"two"),
    ):
        with pytest.raises(VaultDown):
            act()
    assert not vault.available()
    assert vault.store.costs.failures > 0


def test_what_the_probe_finds_of_a_store_that_locks(locked: S3Vault) -> None:
    found = try_out(locked.store, locked.root, 1)
    assert found.ignores == []
    assert not found.overwrite and not found.delete and found.versioned and found.lock_days == 1
    assert try_out(bucket("locked", lock_days=1), locked.root, 2).delete is False, "not even its owner can"
    plain = bucket("plain")
    found = try_out(plain, "some/", 3)
    assert found.overwrite and found.delete and found.ignores == ["Object Lock"]
    assert "keys/a" in whole(fresh(locked)) and not any("probe" in info.name for info in locked.list())


def test_a_bucket_is_made_for_one_vault_alone(place: str) -> None:
    store = bucket("locked", lock_days=1)
    S3Vault.create("v", place, store, INSTALLATION)
    assert S3Vault.create("v", place, store, INSTALLATION).available()
    with pytest.raises(VaultDown, match="another installation"):
        S3Vault.create("v", place, store, b"o" * 16)
    store.put(f"{place.partition('/')[2]}-full/letter.txt", b"dear")
    with pytest.raises(OperatorError, match=r"letter\.txt"):
        S3Vault.create("v", f"{place}-full", store, INSTALLATION)
    nowhere = S3Vault("v", "no-such-bucket/x", S3ObjectStore(shared_server().settings("no-such-bucket")), INSTALLATION)
    with pytest.raises(VaultDown, match="no bucket"):
        nowhere.size("x")
    stranger = S3ObjectStore(shared_server().settings("locked", ("NOBODY000000", "x" * 20)))
    with pytest.raises(VaultDown, match="not told"):
        S3Vault("v", place, stranger, INSTALLATION).size("x")


def test_a_process_that_was_forked_reads_all_the_same(locked: S3Vault) -> None:
    before = whole(locked)
    with ForkedWorkers(2, lambda _: (whole(locked), whole(fresh(locked)))) as workers:
        assert list(workers.run([1, 2])) == [(before, before)] * 2
    assert whole(locked) == before


def test_of_two_large_puts_the_first_stays() -> None:
    store = bucket("locked", lock_days=1)

    def chunks(letter: bytes) -> Iterator[bytes]:
        for _ in range(3):
            yield letter * (PART_BYTES // 2)

    assert store.put_large("large/x", chunks(b"a")) is Put.DONE
    assert store.put_large("large/x", chunks(b"b")) is Put.TAKEN
    found = store.find("large/x")
    assert found is not None and store.get(found) == b"a" * (PART_BYTES // 2 * 3)


def test_what_is_refused_as_taken_and_is_not_there_is_no_success(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers so, too, where another request for the key is under way."""
    store = S3ObjectStore(shared_server().settings("locked", CORE))
    bucket("locked", lock_days=1)
    vault = S3Vault.create("v", place, store, INSTALLATION)
    assert vault.put("keys/there", [b"a"])
    for answer in (Put.TAKEN, Put.UNSURE):
        with monkeypatch.context() as patch:
            patch.setattr(store, "put", lambda *_, answer=answer: answer)
            patch.setattr(store, "put_large", lambda *_: Put.TAKEN)
            assert not vault.put("keys/there", [b"b"])
            for size in (1, LARGE_BYTES + 1):
                with pytest.raises(VaultDown, match="it is not"):
                    vault.put("keys/a", [bytes(size)])
    assert vault.put("keys/a", [b"a"])


@pytest.fixture(scope="module")
def ignorant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone(tmp_path_factory.mktemp("rclone")) as server:
        server.bucket("ignorant")
        yield server


def test_a_store_that_ignores_conditions_is_told_of_and_used_by_one_writer(ignorant: S3Server, tmp_path: Path) -> None:
    store = S3ObjectStore(ignorant.settings("ignorant"))
    found = try_out(store, "", 1)
    assert found.ignores == ["conditional writes", "checksums", "Object Lock"]
    assert not found.conditional and found.overwrite and found.delete
    with pytest.raises(VaultDown, match="ignores conditional writes"):
        S3Vault.create("v", "ignorant/sync", store, INSTALLATION, sync=True)
    vault = S3Vault.create("v", "ignorant/follows", store, INSTALLATION)
    assert store.traits.conditional is False
    other = fresh(vault)
    vault.append(A, 0, b"one")
    other.append(A, 3, b"two")
    with pytest.raises(LengthMismatch):
        vault.append(A, 3, b"x")
    assert vault.put("keys/a", [b"a"])
    assert not other.put("keys/a", [b"b"])
    assert whole(fresh(vault)) == {mark.NAME: mark.encode_mark(INSTALLATION), A: b"onetwo", "keys/a": b"a"}
    sync = S3Vault("v", "ignorant/follows", store, INSTALLATION, sync=True)
    for act in (lambda: sync.append(A, 6, b"x"), lambda: sync.put("keys/b", [b"x"])):
        with pytest.raises(VaultDown, match="ignores conditional writes"):
            act()


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_slot_that_is_lost_is_a_hole_and_no_end(place: str, lost: int) -> None:
    """In the log's last segment, which is open: what follows is read as after any hole, and a scrub names it."""
    store, place = bucket("plain"), place.replace("locked", "plain")
    writing = Writing([S3Vault.create("v", place, store, INSTALLATION, sync=True)])
    writing.write(6)
    vault = S3Vault("v", place, store, INSTALLATION)
    (name,) = (info.name for info in vault.list("log/"))
    before, slots = vault.get(name), list(store.list(vault.root + name))
    assert len(slots) > 5
    store.delete(slots[lost])
    start = sum(slot.size for slot in slots[:lost])
    holed = before[:start] + bytes(slots[lost].size) + before[start + slots[lost].size :]
    for seen in (fresh(vault), vault):
        assert seen.get(name) == holed
        assert seen.get(name, max(0, start - 3), 9) == holed[max(0, start - 3) :][:9]
    assert fresh(vault).size(name) == len(before)

    found = scrub(Scrubber(fresh(vault), INSTALLATION, OPENER, Pace(writing.clock, lambda _: None)), [], Standing())
    assert [damage.object for damage in found.damaged] == [name]
    if lost:  # the first has the only word of who wrote it
        changes, holes, _ = read(fresh(vault))
        gone = writing.acknowledged[lost - 2 : lost - 1] if lost > 1 else []  # behind the claim's frame
        assert changes == [change for change in writing.acknowledged if change not in gone]
        assert [(hole.first, hole.last) for hole in holes] == [(lost, lost)]
    with pytest.raises(LengthMismatch, match=f"{len(before)} bytes"):
        fresh(vault).append(name, start, b"x")
    fresh(vault).append(name, len(before), b"more")
    assert fresh(vault).get(name) == holed + b"more"


def test_what_lies_far_beyond_the_end_makes_no_object_long(locked: S3Vault) -> None:
    """Nothing of ours begins there: whoever put it wants readers to hold what is not there in memory."""
    for key in (SLOT.format(10**12), SLOT.format(10**19), f"{A[:-4]}9.seg!{10**18:020d}"):
        locked.store.put(f"{locked.root}{key}", b"forged")
    assert whole(fresh(locked)) == whole(locked)
    fresh(locked).append(A, 6, b"three")


def test_a_slot_that_was_put_ahead_hides_nothing(locked: S3Vault) -> None:
    """The writer's own slots come first, wherever somebody else has put some; who comes anew is told of them."""
    writer = fresh(locked)
    writer.append(A, 6, b"three")
    locked.store.put(f"{locked.root}{SLOT.format(14)}", b"forged")
    writer.append(A, 11, b"four and more")
    assert fresh(locked).get(A) == b"onetwothreefour and more"
    locked.store.put(f"{locked.root}{SLOT.format(30)}", b"forged")
    assert fresh(locked).get(A) == b"onetwothreefour and more" + bytes(6) + b"forged"
    with pytest.raises(LengthMismatch):
        fresh(locked).append(A, 24, b"five")


def forge_under_a_marker(vault: S3Vault, name: str, data: bytes = b"forged") -> None:
    """By somebody who may put and delete: the store then says that nothing is there, and takes a put."""
    thief = bucket("locked", lock_days=1)
    thief.put(f"{vault.root}{name}", data)
    thief.delete(Stored(f"{vault.root}{name}", 0))


@pytest.mark.parametrize("large", [False, True])
def test_what_is_put_over_a_marker_with_something_beneath_it_is_refused(locked: S3Vault, large: bool) -> None:
    for name in (SLOT.format(6), f"{A[:-5]}9.seg", "keys/b", "keys/c"):
        forge_under_a_marker(locked, name, b"c" if name == "keys/c" else b"forged")
    writer = fresh(locked)
    writer._slots[A] = locked._slots[A]  # as whoever has written all of it remembers
    with pytest.raises(LengthMismatch):
        writer.append(A, 6, b"three")
    with pytest.raises(LengthMismatch):
        fresh(locked).append(f"{A[:-5]}9.seg", 0, b"new")
    assert not fresh(locked).put("keys/b", [bytes(LARGE_BYTES + 1 if large else 3)])
    assert fresh(locked).put("keys/c", [b"c"]), "the first version is what is put"
    bucket("locked", lock_days=1).delete(Stored(f"{locked.root}keys/d", 0))
    assert fresh(locked).put("keys/d", [bytes(LARGE_BYTES + 1 if large else 3)]), "a marker with nothing beneath it"
    assert fresh(locked).get("keys/d", 0, 3) == bytes(3)


@pytest.mark.parametrize("keys", [2, 3, 7, 1000])
def test_a_listing_in_many_pages_is_no_other(locked: S3Vault, keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some stores sort within a page only, and a key with its versions is torn by the pages' ends."""
    end = 6
    for number in range(12):
        locked.append(A, end, bytes([65 + number]) * 3)
        end += 3
    before = whole(fresh(locked))
    for stored in locked.store.list(locked.root):
        for letter in (b"x", b"yy"):
            locked.store.put(stored.key, letter, unless_there=False)
    monkeypatch.setattr(objectstore, "_PAGE_KEYS", keys)
    monkeypatch.setattr(objectstore, "_FIND_KEYS", keys)
    if keys < 3:  # fewer than the versions of a key: then SeaweedFS never lists the first, and nothing else is believed
        with pytest.raises(VaultDown, match="put over so often"):
            whole(fresh(locked))
        return
    assert whole(fresh(locked)) == before
    for name in before:
        found = locked.store.find(f"{locked.root}{name}")
        assert found is not None and before[name].startswith(locked.store.get(found))
    assert look_for_put_over(locked.store, locked.root).keys == 17


def test_a_store_is_not_taken_for_one_that_ignores_conditions_as_its_format_was_hidden(locked: S3Vault) -> None:
    bucket("locked", lock_days=1).delete(Stored(f"{locked.root}{mark.NAME}", 0))
    core = S3ObjectStore(shared_server().settings("locked", CORE))
    vault = S3Vault("v", locked.url.removeprefix("s3:"), core, INSTALLATION, sync=True)
    vault.append(A, 6, b"three")
    assert core.traits.conditional is True


def test_versioning_that_is_suspended_keeps_nothing_and_is_told_by_name() -> None:
    store = bucket("suspended", versioned=True)
    vault = S3Vault.create("v", "suspended/x", store, INSTALLATION)
    vault.append(A, 0, b"one")
    assert try_out(store, vault.root, 1).ignores == ["Object Lock"]
    store.set_versions(kept=False)
    found = try_out(store, vault.root, 2)
    assert found.ignores == ["Object Lock", "keeping versions: that is suspended"]
    assert found.overwrite and found.delete and not found.versioned
    assert fresh(vault).get(A) == b"one"
    store.put(f"{vault.root}{A}", b"forged", unless_there=False)
    assert fresh(vault).get(A) == b"one", "what was first while it kept versions is still what is read"
    vault.append(A, 3, b"two")
    for stored in store.list(f"{vault.root}{A}!"):
        store.delete(stored)
    with pytest.raises(VaultDown, match="removed while it was being written"):
        vault.append(A, 6, b"three")
