"""Large bodies: staged, encrypted into every sync vault, read back, restored from a vault."""

from __future__ import annotations

import errno
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from safehold.disaster.faults import power_loss_after
from safehold.formats import blob
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.commands import Body
from safehold.model.errors import Damaged, Held, OutOfSpace
from safehold.ports.blobs import INLINE_LIMIT_BYTES
from safehold.ports.vault import Vault, VaultDown
from safehold.store.blobs import LiveBlobs, blob_name
from safehold.vault.blobs import VaultBlobs
from safehold.vault.memory import MemoryVault
from tests.support.logs import OPENER, SEALER, folder_vault, make_vault

KEY = b"k" * 32
PHOTO = bytes(range(256)) * 4000
DIGEST = sha256(PHOTO).digest()
NAME = blob_name(KEY, DIGEST)
OBJECT = blob.blob_object(NAME)
LIVE = f"/blobs/{NAME.hex()[:2]}/{NAME.hex()}"


class World:
    """Live blobs on a simulated disk, over two sync vaults and one async vault in memory."""

    def __init__(self, disk: SimDisk | None = None) -> None:
        self.disk = disk or SimDisk()
        self.near, self.nigh, self.far = (MemoryVault(name) for name in ("near", "nigh", "far"))
        self.notes: list[tuple[str, int, bytes]] = []
        self.blobs = self.over([self.near, self.nigh], [self.far])

    def over(self, sync: list[Vault], others: list[Vault]) -> LiveBlobs:
        self.archive = VaultBlobs(sync, others, SEALER, OPENER, self.disk, "/scratch", self.note)
        return LiveBlobs(self.disk, "/blobs", "/scratch", self.archive)

    def note(self, name: str, size: int, digest: bytes) -> None:
        self.notes.append((name, size, digest))

    def store(self, data: bytes = PHOTO, chunk: int = 100_000) -> Body:
        stage = self.blobs.stage(KEY)
        for start in range(0, len(data), chunk):
            stage.write(data[start : start + chunk])
        return stage.finish()

    def read(self, **more: int) -> bytes:
        return b"".join(self.blobs.read(NAME, len(PHOTO), **more))

    def scratch(self) -> list[str]:
        return [entry.name for entry in self.disk.list("/scratch")]


def test_small_bodies_stay_inline() -> None:
    world = World()
    for size in (0, 1, INLINE_LIMIT_BYTES):
        data = b"x" * size
        assert world.store(data) == Body(sha256(data).digest(), size, inline=data)
    assert not world.near.objects
    assert not world.disk.exists("/scratch")


@pytest.mark.parametrize("chunk", [1_000, 65_536, 10_000_000])
def test_large_bodies_lie_in_every_sync_vault_under_a_keyed_name(chunk: int) -> None:
    world = World()
    assert world.store(chunk=chunk) == Body(DIGEST, len(PHOTO), blob=NAME)
    assert world.read() == PHOTO
    assert world.near.objects == world.nigh.objects
    assert set(world.near.objects) == {OBJECT}
    assert not world.far.objects
    data = world.near.objects[OBJECT]
    assert world.notes == [(OBJECT, len(data) - blob.TRAILER_BYTES, sha256(data[: -blob.TRAILER_BYTES]).digest())]
    assert PHOTO[:64] not in data
    assert world.scratch() == []
    assert blob_name(b"other" * 8, DIGEST) != NAME


def test_parts_are_read() -> None:
    world = World()
    world.store()
    assert world.read(offset=5, count=300_000) == PHOTO[5:300_005]
    assert world.read(offset=len(PHOTO) - 3) == PHOTO[-3:]
    assert world.read(offset=len(PHOTO), count=10) == b""


def test_the_same_body_is_stored_once() -> None:
    world = World()
    world.store()
    before = dict(world.near.objects)
    world.nigh.objects.clear()
    world.store()
    assert world.near.objects == world.nigh.objects == before
    assert len(world.notes) == 1


@pytest.mark.parametrize("vault", ["near", "nigh"])
def test_a_damaged_copy_in_a_sync_vault_is_not_vouched_for(vault: str) -> None:
    world = World()
    world.store()
    damaged: MemoryVault = getattr(world, vault)
    spoilt = bytearray(damaged.objects[OBJECT])
    spoilt[len(spoilt) // 2] ^= 4
    damaged.objects[OBJECT] = bytes(spoilt)
    with pytest.raises(Held, match=f"{vault} has a damaged copy"):
        world.store()
    other = world.nigh if vault == "near" else world.near
    del other.objects[OBJECT]
    with pytest.raises(Held):
        world.store()
    assert not other.objects, "damage is not copied"


def test_a_missing_or_short_live_file_is_restored() -> None:
    for harm in ("gone", "short"):
        world = World()
        world.store()
        if harm == "gone":
            world.disk.remove(LIVE)
        else:
            world.disk.open(LIVE, write=True).truncate(1000)
        assert world.read() == PHOTO
        assert world.disk.size(LIVE) == len(PHOTO)
        assert world.scratch() == []


@pytest.mark.parametrize("times", [1, 6])
def test_a_live_file_that_rots_is_fetched_back_before_it_is_given(times: int) -> None:
    """Also of large ones, of which not all is kept in memory; and also for those who ask for a part elsewhere."""
    world = World()
    photo = PHOTO * times
    digest = sha256(photo).digest()
    name = blob_name(KEY, digest)
    live = f"/blobs/{name.hex()[:2]}/{name.hex()}"
    assert world.store(photo).blob == name
    mended: list[bytes] = []
    now = [0.0]
    blobs = LiveBlobs(
        world.disk, "/blobs", "/scratch", world.archive, monotonic=lambda: now[0], on_mended=mended.append
    )

    def read(offset: int = 0, count: int | None = None) -> bytes:
        return b"".join(blobs.read(name, len(photo), offset, count, digest=digest))

    for number, part in enumerate([(0, None), (10, 100)], 1):
        world.disk.flip_bit(live, 500_000, 3)
        now[0] += 1000
        offset, count = part
        assert read(*part) == photo[offset : None if count is None else offset + count]
        assert mended == [name] * number
        assert blobs.check(name, len(photo), digest)
    world.disk.flip_bit(live, 500_000, 3)
    assert not blobs.check(name, len(photo), digest)
    blobs.doubt(name)
    assert read() == photo
    world.disk.remove(live)
    assert blobs.check(name, len(photo), digest) is None
    assert read() == photo
    assert mended == [name] * 3, "one that is not here is not damaged"


def test_a_damaged_copy_is_passed_over() -> None:
    world = World()
    world.store()
    whole = world.near.objects[OBJECT]
    for place in (3, 50, len(whole) // 2, len(whole) - 60, len(whole) - 1):
        spoilt = bytearray(whole)
        spoilt[place] ^= 4
        world.near.objects[OBJECT] = bytes(spoilt)
        world.blobs.restore(NAME, len(PHOTO), DIGEST)
        assert world.read() == PHOTO
    for data in (b"", whole[:-1], whole[:100], whole + b"x"):
        world.near.objects[OBJECT] = data
        world.blobs.restore(NAME, len(PHOTO), DIGEST)
    world.nigh.objects[OBJECT] = world.near.objects[OBJECT]
    world.disk.remove(LIVE)
    with pytest.raises(Held, match="cannot be had now"):
        world.read()
    with pytest.raises(Damaged, match=r"near.*nigh"):
        world.archive.fetch(NAME, lambda: pytest.fail("nothing was verified"))


def test_a_false_body_under_a_right_name_is_refused() -> None:
    """Whoever can write to a vault has the recipient, and can encrypt anything."""
    world = World()
    world.store()
    other = World()
    stage = other.blobs.stage(KEY)
    stage.write(b"f" * len(PHOTO))
    stage.finish()
    (forged,) = other.near.objects.values()
    wrong = blob.parse_trailer(forged, blob_name(KEY, sha256(b"f" * len(PHOTO)).digest()))
    body = blob.encode_header(NAME) + forged[blob.HEADER_BYTES : -blob.TRAILER_BYTES]
    world.near.objects[OBJECT] = body + blob.encode_trailer(wrong._replace(digest=sha256(body).digest(), name=NAME))
    world.disk.remove(LIVE)
    assert b"".join(world.blobs.read(NAME, len(PHOTO), digest=DIGEST)) == PHOTO


def test_what_no_vault_has_is_held_and_never_absent() -> None:
    world = World()
    world.store()
    world.disk.remove(LIVE)
    world.far.objects = dict(world.near.objects)
    world.near.down = world.nigh.down = True
    assert world.read() == PHOTO
    world.disk.remove(LIVE)
    world.far.objects.clear()
    with pytest.raises(Held, match="down"):
        world.read()
    world.near.down = world.nigh.down = False
    world.near.objects.clear()
    world.nigh.objects.clear()
    with pytest.raises(Held, match="no vault has it"):
        world.read()


def test_nothing_is_taken_that_a_sync_vault_lacks() -> None:
    world = World()
    world.nigh.down = True
    with pytest.raises(VaultDown):
        world.store()
    assert not world.disk.exists(LIVE)
    world.nigh.down = False
    world.nigh.room_bytes = 10
    with pytest.raises(OutOfSpace, match="nigh"):
        world.store()
    assert not world.disk.exists(LIVE)
    assert world.scratch() == []


@pytest.mark.parametrize("operation", ["create", "write", "sync"])
@pytest.mark.parametrize(("error", "expected"), [(errno.ENOSPC, OutOfSpace), (errno.EIO, Held)])
def test_a_disk_that_fails(operation: str, error: int, expected: type[Exception]) -> None:
    for nth in (1, 2, 3):
        world = World()
        world.disk.fail(operation, nth=nth, error=error, times=1)
        try:
            world.store()
        except expected:
            world.disk.mend()
        else:
            assert nth > 1
            continue
        assert world.scratch() == []
        assert world.store() == Body(DIGEST, len(PHOTO), blob=NAME)
        assert world.read() == PHOTO


def test_an_aborted_stage_leaves_nothing() -> None:
    world = World()
    stage = world.blobs.stage(KEY)
    stage.write(PHOTO)
    assert world.scratch()
    stage.abort()
    stage.abort()
    assert world.scratch() == []
    assert not world.near.objects


def test_what_finish_gave_survives_any_crash() -> None:
    for point in range(100):
        disk = SimDisk()
        make_vault(disk, "near")
        disk.on_write_point = power_loss_after(point)
        world = World(disk)
        world.blobs = world.over([folder_vault(disk, "near")], [])
        done = False
        try:
            world.store()
            done = True
        except Crash:
            pass
        after = disk.crash(point)
        again = World(after)
        again.blobs = again.over([folder_vault(after, "near")], [])
        if done:
            assert after.size(LIVE) == len(PHOTO)
            after.remove(LIVE)
            assert again.read() == PHOTO
            assert point > 10
            return
        assert not after.exists(LIVE) or again.read() == PHOTO
        assert again.store() == Body(DIGEST, len(PHOTO), blob=NAME)
        after.remove(LIVE)
        assert again.read() == PHOTO
    raise AssertionError("a body was never stored")


PROGRAM = """
import resource, sys
from safehold.store.realdisk import RealDisk
from safehold.store.blobs import LiveBlobs
from safehold.vault.blobs import VaultBlobs
from tests.support.logs import OPENER, SEALER, make_vault
disk, place, megabytes = RealDisk(), sys.argv[1], int(sys.argv[2])
vault = make_vault(disk, "near", place + "/near")
blobs = LiveBlobs(disk, place + "/blobs", place + "/scratch",
                  VaultBlobs([vault], [], SEALER, OPENER, disk, place + "/scratch"))
def run(count):
    stage = blobs.stage(b"k" * 32)
    for number in range(count):
        stage.write(bytes([number % 256]) * 1_000_000)
    body = stage.finish()
    blobs.restore(body.blob, body.size, body.digest)
    assert sum(map(len, blobs.read(body.blob, body.size))) == count * 1_000_000
run(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(megabytes)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_body(tmp_path: Path) -> None:
    """60 MB through stage, encryption, restore and read, in a process of its own; the growth is in KiB."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "60"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={"PYTHONPATH": f"{root / 'src'}:{root}"},
    )
    assert int(done.stdout) < 16 * 1024
