"""Vaults with holes, objects without their listing, frames in an image: each intact frame is found, no more (I72)."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from safehold.formats import blob, segment, travelling
from safehold.formats.frame import END_MARK, FrameHeader, FrameType, RawFrame, encode_frame, scan_frames
from safehold.formats.keys import KeyAway, Opener, Sealer, SigningKey, identity_of, recipient_of
from safehold.formats.payload import Packer
from safehold.model.change import Change, Op, hashed
from safehold.model.kinds import Kind
from safehold.salvage.marks import BlobStart, pieces
from safehold.salvage.reading import Held, Reading
from safehold.salvage.scan import NothingKnown
from tests.support.changes import Streams
from tests.support.generations import Home
from tests.support.logs import OPENER, ROOT, SEALER, WRITER, sealed_blob
from tests.support.recovery_fakes import History, an_id, card
from tests.support.recovery_vaults import Vaults
from tests.support.salvage import Salvage, lay_out

Objects = dict[str, bytes]


@pytest.fixture(scope="module")
def history() -> History:
    history = History()
    history.family("ada", "bob", cards=8)
    for n in range(30):
        history.put("bob", Kind.CONTACTS, f"more-{n}.vcf", card(f"more-{n}"))
    return history


@pytest.fixture
def vaults(history: History) -> Vaults:
    return Vaults(history)


def hashes(history: History) -> set[bytes]:
    return {change.hash for change in history.changes}


def frames(data: bytes) -> list[RawFrame]:
    return [item for item in scan_frames(data) if isinstance(item, RawFrame)]


def without(vaults: Vaults, *gone: int) -> set[bytes]:
    """Hashes of all changes but those in these frames."""
    found: set[bytes] = set()
    for entry in vaults.reader().entries():
        number = getattr(entry, "position").frame  # noqa: B009
        if number not in gone:
            found.update(change.hash for change in getattr(entry, "changes", ()))
    return found


def salvage(tmp_path: Path, vaults: Vaults) -> Salvage:
    return Salvage(tmp_path, vaults.keyring.opener)


def test_a_whole_vault_gives_every_change_and_every_sealed_head(tmp_path: Path, vaults: Vaults) -> None:
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects))
    assert {h: c.body for h, c in found.changes().items()} == {c.hash: c.body for c in vaults.history.changes}
    assert found.sorts() == ["vault"] and found.problems() == [] and found.asides() == []
    for (account, kind), head in vaults.history.heads.items():
        assert [w.head for w in found.witnesses(account, kind) if w.what == "seal"][-1] == head
    with found.open() as store:
        assert store.accounts()[an_id("ada")] == "ada"


def test_names_and_places_of_objects_do_not_matter(tmp_path: Path, vaults: Vaults) -> None:
    scattered = {f"a/{n}/holiday-{n}.jpg" if n % 2 else f"{n}": d for n, d in enumerate(vaults.near.objects.values())}
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "mess", scattered))
    assert set(found.changes()) == hashes(vaults.history)
    assert found.sorts() == ["objects"]


def test_a_damaged_frame_costs_itself_alone(tmp_path: Path, vaults: Vaults) -> None:
    change = vaults.history.changes[20]
    _, frame = vaults.holds(change)
    vaults.spoil(change, vaults.near)
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects))
    assert set(found.changes()) == without(vaults, frame.header.number) == hashes(vaults.history) - {change.hash}
    (aside,) = found.asides()
    assert aside.what == "frame" and f"frame {frame.header.number} " in aside.where and len(aside.data) > 100
    assert any("signed" in problem for problem in found.problems())


@pytest.mark.parametrize("part", ["mark", "header", "end mark"])
def test_a_frame_without_a_part_of_itself_costs_itself_alone(tmp_path: Path, vaults: Vaults, part: str) -> None:
    change = vaults.history.changes[30]
    name, frame = vaults.holds(change)
    data = bytearray(vaults.near.objects[name])
    at = {"mark": 0, "header": 40, "end mark": len(frame.data) - len(END_MARK)}[part]
    data[frame.offset + at] ^= 1
    vaults.near.objects[name] = bytes(data)
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects))
    assert set(found.changes()) == hashes(vaults.history) - {change.hash}
    assert len(found.asides()) == 1 and found.problems()


def test_two_vaults_that_are_damaged_in_different_places_are_one_whole(tmp_path: Path, vaults: Vaults) -> None:
    for number, change in enumerate(vaults.history.changes):
        vaults.spoil(change, vaults.near if number % 2 else vaults.far)
    near, far = lay_out(tmp_path / "near", vaults.near.objects), lay_out(tmp_path / "far", vaults.far.objects)
    found = salvage(tmp_path, vaults).run(near)
    half = set(found.changes())
    assert half == {c.hash for c in vaults.history.changes[::2]}
    assert set(found.run(far).changes()) == hashes(vaults.history)  # a second run adds
    once = found.state()
    assert found.run(near, far).state() == once  # and the same again adds nothing


def test_the_ends_of_a_segment_are_not_needed_where_another_has_its_writer(tmp_path: Path, vaults: Vaults) -> None:
    names = vaults.segments()
    for name in names[1:]:
        data = vaults.near.objects[name]
        end = len(data) - segment.HEADER_BYTES * (segment.parse_segment_footer(data) is not None)
        vaults.near.objects[name] = data[segment.HEADER_BYTES : end]
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects))
    assert set(found.changes()) == hashes(vaults.history)


def test_frames_whose_writer_nobody_certifies_go_aside_opened(tmp_path: Path, vaults: Vaults) -> None:
    bare = {n: b"".join(f.data for f in frames(d)) for n, d in vaults.near.objects.items() if n.startswith("log/")}
    source = lay_out(tmp_path / "near", bare)
    found = salvage(tmp_path, vaults).run(source)
    assert found.changes() == {}
    asides = found.asides()
    assert {(a.account, a.kind, a.name) for a in asides if a.what == "change"} == {
        (c.account, c.kind, c.name) for c in vaults.history.changes
    }
    assert any(a.data == c.body for a in asides for c in vaults.history.changes if c.body)
    again = Salvage(tmp_path / "again", vaults.keyring.opener)
    again.run(source, writers=[vaults.keyring.sealer.writer.public])
    assert set(again.changes()) == hashes(vaults.history)


def test_a_forged_frame_is_never_taken(tmp_path: Path, vaults: Vaults) -> None:
    """Whoever knows the recipient can encrypt to it; without a certified key that counts for nothing."""
    invented = hashed(msgspec.structs.replace(vaults.history.changes[-1], at=1))
    stranger = SigningKey(b"s" * 32)
    ours = vaults.keyring.sealer
    name = vaults.segments()[1]
    like = frames(vaults.near.objects[name])[0]
    forged = encode_frame(like.header, Packer(ours).pack_changes([invented]), stranger.sign)
    head = segment.parse_segment_header(vaults.near.objects[name])
    assert head is not None
    lying = head._replace(writer_public=stranger.public)
    data = vaults.near.objects[name]
    within = {
        "beside": data[: segment.HEADER_BYTES] + forged + data[segment.HEADER_BYTES :],
        "own": segment.encode_header(lying) + forged + segment.encode_footer(lying),
    }
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects | within))
    assert set(found.changes()) == hashes(vaults.history)
    assert {aside.what for aside in found.asides()} == {"change"}
    assert all("certified has signed" in aside.why for aside in found.asides())
    assert any("never certified" in problem for problem in found.problems())


def test_a_signed_change_that_is_not_true_to_itself_goes_aside(tmp_path: Path, vaults: Vaults) -> None:
    """A writer that erred, or whose key was taken: its signature makes no change true."""
    ours = vaults.keyring.sealer
    name = vaults.segments()[1]
    data = vaults.near.objects[name]
    like = frames(data)[0]
    first, second = [c for c in vaults.history.changes if c.body and c.kind is Kind.CONTACTS][:2]
    false = msgspec.structs.replace(first, name="other.vcf")
    wrong = hashed(msgspec.structs.replace(second, rev=900, body=b"another body"))
    lying = encode_frame(like.header, Packer(ours).pack_changes([false, wrong]), ours.writer.sign)
    vaults.near.objects = {name: data[: segment.HEADER_BYTES] + lying}
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects))
    (kept,) = found.changes().values()  # its body is not what its digest says: it can be named, and no more
    assert (kept.rev, kept.body, kept.digest) == (900, None, second.digest)
    assert sorted((a.name, a.data) for a in found.asides()) == sorted(
        [("other.vcf", first.body), (second.name, b"another body")]
    )


def test_another_installations_vault_is_told_and_not_taken(tmp_path: Path, vaults: Vaults) -> None:
    found = Salvage(tmp_path, Opener(vaults.keyring.opener.identities, bytes(16)))
    found.run(lay_out(tmp_path / "near", vaults.near.objects))
    assert found.changes() == {}
    assert any("another installation" in problem for problem in found.problems())


def test_without_a_key_it_says_what_is_needed(tmp_path: Path, vaults: Vaults) -> None:
    source = lay_out(tmp_path / "near", vaults.near.objects)
    with pytest.raises(KeyAway):
        Salvage(tmp_path, None).run(source)
    with pytest.raises(NothingKnown, match="nothing that a salvage knows"):
        Salvage(tmp_path, None).run(lay_out(tmp_path / "empty", {"thumbs.db": b"x"}))


def test_frames_are_found_in_an_image_at_any_byte(tmp_path: Path, vaults: Vaults) -> None:
    rng = random.Random(5)
    parts = [rng.randbytes(rng.randrange(1, 9000)) + data for data in vaults.near.objects.values()]
    image = lay_out(tmp_path, {"disk.img": b"\0" * 512 + b"".join(parts)}) / "disk.img"
    found = salvage(tmp_path, vaults).run(image)
    assert set(found.changes()) == hashes(vaults.history)
    assert found.asides() == [] and found.sorts() == ["image"]


def test_a_zeroed_stretch_costs_the_frames_that_it_touches(tmp_path: Path, vaults: Vaults) -> None:
    name = vaults.segments()[1]
    data = bytearray(vaults.near.objects[name])
    data[0:1500] = bytes(1500)
    hit = {f.header.number for f in frames(vaults.near.objects[name]) if f.offset < 1500}
    vaults.near.objects[name] = bytes(data)
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects))
    assert hit and set(found.changes()) == without(Vaults(vaults.history), *hit)
    assert any("no frame" in problem for problem in found.problems())


def test_a_write_that_was_given_up_is_told_and_not_taken(tmp_path: Path, vaults: Vaults) -> None:
    """A frame whose number a later segment begins with: it was done again there, and this one never acknowledged."""
    names = vaults.segments()
    late = next(f for f in frames(vaults.near.objects[names[2]]) if f.header.type is FrameType.CHANGES)
    moved = vaults.near.objects[names[1]]
    end = len(moved) - segment.HEADER_BYTES
    vaults.near.objects[names[1]] = moved[:end] + late.data + moved[end:]
    data = vaults.near.objects[names[2]]
    vaults.near.objects[names[2]] = data[: late.offset] + data[late.offset + len(late.data) :]
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects))
    assert set(found.changes()) == without(Vaults(vaults.history), late.header.number)
    assert all("never acknowledged" in aside.why for aside in found.asides()) and found.asides()


def test_random_damage_never_costs_an_intact_frame_and_never_invents_one(tmp_path: Path, vaults: Vaults) -> None:
    seed = 20_260_101
    print("seed", seed)
    rng = random.Random(seed)
    where = {f.header.number: (n, f.offset, f.offset + len(f.data)) for n in vaults.segments() for f in
             frames(vaults.near.objects[n])}  # fmt: skip
    numbers = {c.hash: vaults.holds(c)[1].header.number for c in vaults.history.changes}
    for trial in range(6):
        objects = dict(vaults.near.objects)
        hit: list[tuple[str, int, int]] = []
        for _ in range(rng.randrange(1, 8)):
            name = rng.choice(vaults.segments())
            data = bytearray(objects[name])
            start = rng.randrange(len(data))
            end = min(len(data), start + rng.choice((1, 64, 512, 4096)))
            data[start:end] = bytes(end - start) if rng.random() < 0.5 else rng.randbytes(end - start)
            objects[name] = bytes(data)
            hit.append((name, start, end))
        intact = {
            number
            for number, (name, start, end) in where.items()
            if not any(n == name and s < end and start < e for n, s, e in hit)
        }
        found = Salvage(tmp_path / str(trial), vaults.keyring.opener)
        found.run(lay_out(tmp_path / str(trial) / "near", objects))
        taken = set(found.changes())
        assert {h for h, number in numbers.items() if number in intact} <= taken <= set(numbers)


# -- runs


def of_home(home: Home) -> dict[bytes, Change]:
    return {change.hash: change for _, change in home.history}


def test_a_generation_gives_changes_bodies_and_heads(tmp_path: Path) -> None:
    home = Home()
    home.put(40)
    home.put(10, account=1, kind=Kind.NOTES)
    home.snapshot()
    objects = {n: d for n, d in home.vaults[0].objects.items() if n.startswith("runs/")}
    found = Salvage(tmp_path, OPENER).run(lay_out(tmp_path / "runs-only", objects))
    assert {h: (c.prev, c.body) for h, c in found.changes().items()} == {
        h: (c.prev, c.body) for h, c in of_home(home).items()
    }
    assert found.asides() == [] and found.problems() == []
    (witness,) = found.witnesses(home.accounts[1], Kind.NOTES)
    assert witness.what == "generation" and witness.head == home.streams.heads[home.accounts[1], Kind.NOTES]


def test_a_change_and_its_body_find_each_other_from_different_copies(tmp_path: Path) -> None:
    home = Home()
    home.put(40, body=random.Random(1).randbytes(3000))
    home.snapshot()
    name = next(n for n in home.vaults[0].objects if n.endswith(".run"))
    whole = home.vaults[0].objects[name]
    copies: list[bytes] = []
    for type_ in (FrameType.BODIES, FrameType.INDEX):
        data = bytearray(whole)
        for frame in frames(whole):
            if frame.header.type is type_:
                data[frame.offset + 100] ^= 1
        copies.append(bytes(data))
    found = Salvage(tmp_path, OPENER).run(lay_out(tmp_path / "near", {name: copies[0]}))
    puts = [c for c in found.changes().values() if c.digest]
    assert len(puts) == 40 and all(c.body is None for c in puts)  # each can be named
    found.run(lay_out(tmp_path / "far", {name: copies[1]}))
    assert {h: c.body for h, c in found.changes().items()} == {h: c.body for h, c in of_home(home).items()}


def test_run_frames_without_the_ends_of_their_object_stand_alone(tmp_path: Path) -> None:
    home = Home()
    home.put(20)
    home.snapshot()
    name = next(n for n in home.vaults[0].objects if n.endswith(".run"))
    data = home.vaults[0].objects[name]
    manifest = next(d for n, d in home.vaults[0].objects.items() if n.endswith("generation"))
    bare = {"x": b"".join(f.data for f in reversed(frames(data))), "m": manifest}
    found = Salvage(tmp_path, OPENER).run(lay_out(tmp_path / "objects", bare))
    assert set(found.changes()) == set(of_home(home))


# -- blobs


BODY = b"body" * 50_000


def kept(found: Salvage, name: bytes) -> bytes | None:
    with found.open() as store:
        path = store.blob_path(name)
    return None if path is None else Path(path).read_bytes()


def test_a_blob_is_opened_wherever_it_lies_and_one_that_is_damaged_goes_aside(tmp_path: Path) -> None:
    name = b"n" * 32
    whole = sealed_blob(name, BODY)
    broken = bytearray(whole)
    broken[100_000] ^= 1
    found = Salvage(tmp_path, OPENER).run(lay_out(tmp_path / "a", {"photo": whole}))
    assert kept(found, name) == BODY
    once = found.state()
    assert found.run(lay_out(tmp_path / "a2", {"copy": whole})).state() != once  # another source, and nothing else
    assert len([p for p in (found.out / "bodies").rglob("*") if p.is_file()]) == 1
    found = Salvage(tmp_path / "2", OPENER).run(lay_out(tmp_path / "b", {"photo": bytes(broken), "cut": whole[:-9]}))
    assert sorted(a.why for a in found.asides()) == ["its digest does not match", "its end is missing"]
    assert kept(found, name) is None
    image = {"disk.img": b"\1" * 4096 + whole + b"\2" * 999}
    assert kept(Salvage(tmp_path / "3", OPENER).run(lay_out(tmp_path / "c", image)), name) == BODY
    assert [p.name for p in (found.out / "bodies").rglob("half*")] == []


def test_a_blob_sealed_before_the_identity_was_replaced_is_opened_once_that_is_found(tmp_path: Path) -> None:
    """The older identity travels in a frame that comes after it."""
    newer = identity_of(b"9" * 32)
    name = b"n" * 32
    source = lay_out(tmp_path / "a", {"a-blob": sealed_blob(name, BODY)})
    only_newer = Opener(newer, OPENER.installation)
    found = Salvage(tmp_path / "1", only_newer).run(source)
    assert kept(found, name) is None and any("not given" in problem for problem in found.problems())
    sealer = Sealer(recipient_of(newer), WRITER, ROOT.public, SEALER.certificate)
    item = travelling.seal_identities(list(OPENER.identities), sealer)
    change = Streams().make(bytes(16), Kind.IDENTITY, Op.PUT, b"c" * 16, travelling.OLDER_IDENTITIES, body=item)
    end = segment.header_for(segment.SegmentName(1, 0, 0), sealer)
    header = FrameHeader(FrameType.CHANGES, 1, 0, 1, 2, 5, 1, 0, bytes(32))
    frame = encode_frame(header, Packer(sealer).pack_changes([change]), WRITER.sign)
    lay_out(tmp_path / "a", {"b-segment": segment.encode_header(end) + frame})
    found = Salvage(tmp_path / "2", only_newer).run(source)
    assert kept(found, name) == BODY and found.problems() == []


def test_a_blob_that_is_not_what_the_change_says_goes_aside(tmp_path: Path) -> None:
    """Whole, and sealed to us: whoever knows the recipient can make one."""
    history = History()
    history.family("ada", cards=1)
    name = b"n" * 32
    folder = history.collections[an_id("ada"), "files/photos"]
    history.change("ada", Kind.PHOTOS, Op.PUT, folder, "rome.jpg", BODY, blob=name)
    vaults = Vaults(history)
    sealed = vaults.keyring.sealer.encrypt(b"forged" * 999)
    head = blob.encode_header(name) + sealed
    tail = blob.encode_trailer(blob.BlobTrailer(len(sealed), sha256(head).digest(), name))
    found = salvage(tmp_path, vaults).run(lay_out(tmp_path / "near", vaults.near.objects | {"a-blob": head + tail}))
    assert kept(found, name) is None
    assert [a.why for a in found.asides()] == ["it holds another body than the change says that names it"]


def test_a_blob_whose_trailer_lies_does_not_hide_what_follows() -> None:
    name = b"n" * 32
    data = blob.encode_header(name) + b"x" * 500 + blob.encode_header(b"m" * 32) + b"y" * 10
    data += blob.encode_trailer(blob.BlobTrailer(10, bytes(32), b"m" * 32))
    starts = [p for p in pieces(Reading(Held(data), len(data))) if isinstance(p, BlobStart)]
    assert [(p.name[:1], p.end) for p in starts] == [(b"n", None), (b"m", len(data))]


def test_a_window_never_hides_a_mark() -> None:
    """Marks at every place around the bounds of what is read at once, and right behind what only looks like one."""
    rng = random.Random(3)
    head = blob.encode_header(b"n" * 32)
    for shift in (-50, -9, -8, -7, -1, 0, 1, 7):
        data = rng.randbytes(1024 * 1024 + shift) + head + rng.randbytes(3000)
        found = [p.offset for p in pieces(Reading(Held(data), len(data))) if isinstance(p, BlobStart)]
        assert found == [1024 * 1024 + shift]
    data = b"\x93SH" + head + b"x" * 200
    assert [p.offset for p in pieces(Reading(Held(data), len(data))) if isinstance(p, BlobStart)] == [3]
