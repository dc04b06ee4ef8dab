"""Live blobs, sync tokens, what a source is told to be, and the quarantine."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from safehold.assembly.salvaging import look
from safehold.formats.frame import RawFrame, scan_frames
from safehold.model.change import Op
from safehold.model.errors import OutOfSpace
from safehold.model.kinds import Kind
from safehold.model.token import PREFIX, account_key, make_token
from safehold.ports.disk import File
from safehold.ports.survivors import Aside, Proof, SalvageSource, Survivor
from safehold.salvage.ear import Ear
from safehold.salvage.quarantine import write_quarantine
from safehold.salvage.reading import FoundFile, reading
from safehold.salvage.survey import Sort, survey
from safehold.store.blobs import blob_name
from safehold.store.realdisk import RealDisk
from safehold.store.survivors import SurvivorStore
from tests.support.changes import Streams
from tests.support.logs import OPENER, sealed_blob
from tests.support.recovery_fakes import History, an_id, card
from tests.support.recovery_vaults import Vaults
from tests.support.salvage import Salvage, lay_out

KEY = b"b" * 32
PHOTO = b"\xff\xd8\xff" + bytes(range(256)) * 400


@pytest.fixture(scope="module")
def vaults() -> Vaults:
    history = History()
    history.family("ada", cards=3)
    home = history.collections[an_id("ada"), "files/photos"]
    history.put("ada", Kind.IDENTITY, "blob-key", KEY)
    name = blob_name(KEY, sha256(PHOTO).digest())
    history.change("ada", Kind.PHOTOS, Op.PUT, home, "rome.jpg", PHOTO, blob=name)
    return Vaults(history)


def blob_file(body: bytes) -> str:
    name = blob_name(KEY, sha256(body).digest()).hex()
    return f"blobs/{name[:2]}/{name}"


# -- blobs


def test_live_blobs_are_checked_where_a_change_or_a_key_tells_how(tmp_path: Path, vaults: Vaults) -> None:
    unnamed = b"never named" * 9000
    damaged = bytearray(PHOTO)
    damaged[5000] ^= 1
    other = blob_file(unnamed)
    files = {blob_file(PHOTO): PHOTO, other: unnamed, f"blobs/00/{'00' * 32}": b"whose?" * 99}
    source = lay_out(tmp_path / "data", files)
    near = lay_out(tmp_path / "near", vaults.near.objects)
    found = Salvage(tmp_path, vaults.keyring.opener).run(near, source)
    with found.open() as store:
        for path, body in files.items():
            copy = store.blob_path(bytes.fromhex(path[-64:]))
            assert copy is not None and Path(copy).is_relative_to(found.out) and Path(copy).read_bytes() == body
    assert sorted(found.sorts()) == ["blobs", "vault"] and found.asides() == []
    worse = lay_out(tmp_path / "worse", {blob_file(PHOTO): bytes(damaged)})
    found = Salvage(tmp_path / "2", vaults.keyring.opener).run(worse, near)
    (aside,) = found.asides()
    assert aside.what == "body" and aside.data == bytes(damaged)
    with found.open() as store:
        assert store.blob_path(bytes.fromhex(blob_file(PHOTO)[-64:])) is None


# -- tokens


def token(vaults: Vaults, account: str, kind: Kind, path: str, rev: int, hash_: bytes, key: bytes = b"k" * 32) -> str:
    id_ = an_id(account)
    return make_token(account_key(key, id_), vaults.history.collections[id_, path], rev, hash_)


def test_tokens_by_hand_become_witnesses_by_their_mac(tmp_path: Path, vaults: Vaults) -> None:
    ahead = token(vaults, "ada", Kind.CONTACTS, "contacts/default", 77, b"h" * 32)
    bare = token(vaults, "ada", Kind.NOTES, "files/notes", 9, b"i" * 32).removeprefix(PREFIX)
    forged = token(vaults, "ada", Kind.CONTACTS, "contacts/default", 99, b"h" * 32, key=b"x" * 32)
    text = f"# of ada's phone\n\n{ahead}\n{bare}\n{forged}\nnonsense\n"
    near = lay_out(tmp_path / "near", vaults.near.objects)
    found = Salvage(tmp_path, vaults.keyring.opener).run(near)
    found.run(lay_out(tmp_path, {"tokens.txt": text.encode()}) / "tokens.txt")  # the key is known from the run before
    told = [w for w in found.witnesses(an_id("ada"), Kind.CONTACTS) if w.what == "token"]
    assert [(w.head.rev, w.head.hash) for w in told] == [(77, b"h" * 16)]
    assert [w.head.rev for w in found.witnesses(an_id("ada"), Kind.NOTES) if w.what == "token"] == [9]
    assert sorted(a.where for a in found.asides()) == ["tokens.txt: line 5", "tokens.txt: line 6"]


def test_tokens_without_the_key_go_aside(tmp_path: Path, vaults: Vaults) -> None:
    ahead = token(vaults, "ada", Kind.CONTACTS, "contacts/default", 77, b"h" * 32)
    found = Salvage(tmp_path, None).run(lay_out(tmp_path, {"t.txt": ahead.encode()}) / "t.txt")
    (aside,) = found.asides()
    assert "key of sync tokens" in aside.why and aside.data == ahead.encode()


def test_what_devices_proved_is_heard_from_identities(tmp_path: Path) -> None:
    history = History()
    history.family("ada", cards=3)
    collection = history.collections[an_id("ada"), "contacts/default"]
    proof = {"path": "contacts/default", "rev": 55, "hash": "ab" * 16, "device": "phone", "at": 5, "let_go": 0}
    name = f"ahead/{collection.hex()}-{'ab' * 16}"
    history.put("ada", Kind.IDENTITY, name, json.dumps({"collection": collection.hex()} | proof).encode())
    lost = {"collection": "00" * 16, "path": "scores/x", "rev": 3, "hash": "cd" * 16, "at": 6}
    history.put("ada", Kind.IDENTITY, "ahead/other", json.dumps(lost).encode())
    history.put("ada", Kind.IDENTITY, "ahead/settled", json.dumps(lost | {"rev": 9, "let_go": 7}).encode())
    vaults = Vaults(history)
    found = Salvage(tmp_path, vaults.keyring.opener).run(lay_out(tmp_path / "near", vaults.near.objects))
    (told,) = [w for w in found.witnesses(an_id("ada"), Kind.CONTACTS) if w.what == "token"]
    assert (told.head.rev, told.head.hash, told.at) == (55, bytes.fromhex("ab" * 16), 5)
    (told,) = [w for w in found.witnesses(an_id("ada"), Kind.SCORES) if w.what == "token"]
    assert told.head.rev == 3  # its path leaves no doubt, though its collection is lost


# -- accounts and the register of erased ids


def test_erased_accounts_are_heard_of_whatever_comes_first(tmp_path: Path) -> None:
    history = History()
    history.family("ada", "bob", cards=2)
    history.put("", Kind.IDENTITY, f"erased/{an_id('bob').hex()}", b"{}")
    vaults = Vaults(history)
    found = Salvage(tmp_path, vaults.keyring.opener).run(lay_out(tmp_path / "near", vaults.near.objects))
    with found.open() as store:
        assert store.erased_accounts() == {an_id("bob")}
        assert an_id("bob") not in {account for account, _ in iter(store.keys())}


def everything_in(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def test_nothing_of_an_erased_account_is_kept(tmp_path: Path) -> None:
    """Neither cards nor photos nor what went aside, though the register is read last; ada's own stay."""
    history = History()
    history.family("ada", "bob", cards=2)
    photo = b"\xff\xd8\xff" + b"bob's photo, large " * 5000
    name = blob_name(KEY, sha256(photo).digest())
    history.put("bob", Kind.CONTACTS, "secret.vcf", card("bobs-secret-card"))
    history.put("bob", Kind.CONTACTS, "other.vcf", card("bobs-broken-card"))
    broken = history.changes[-1]
    folder = history.collections[an_id("bob"), "files/photos"]
    history.change("bob", Kind.PHOTOS, Op.PUT, folder, "rome.jpg", photo, blob=name)
    history.put("", Kind.IDENTITY, f"erased/{an_id('bob').hex()}", b"{}")
    vaults = Vaults(history)
    name_in_vault, frame = vaults.holds(broken)
    data = bytearray(vaults.near.objects[name_in_vault])
    data[frame.offset + len(frame.data) - 40] ^= 1  # its signature: it is opened, and goes aside
    vaults.near.objects[name_in_vault] = bytes(data)
    live = {f"blobs/{name.hex()[:2]}/{name.hex()}": photo}
    sources = lay_out(tmp_path / "near", vaults.near.objects), lay_out(tmp_path / "data", live)
    found = Salvage(tmp_path, vaults.keyring.opener).run(*sources)
    kept = everything_in(found.out)
    for trace in (b"bobs-secret-card", b"bobs-broken-card", b"bob's photo"):
        assert trace not in kept
    with found.open() as store:
        assert store.blob_path(name) is None and store.erased_accounts() == {an_id("bob")}
        assert an_id("ada") in store.accounts()
    assert len([c for c in found.changes().values() if c.account == an_id("ada")]) > 5
    assert b"bob's photo" not in everything_in(found.run(*sources).out)


def test_a_body_of_an_erased_account_that_lies_apart_from_its_change_is_not_kept(tmp_path: Path) -> None:
    """As in a run: once the account is known as erased its changes are passed over, and their bodies come by."""
    bobs, adas, both = b"bob's card", b"ada's card", b"a card that both have"
    streams = Streams()
    for body in (bobs, both):
        streams.make(an_id("bob"), Kind.CONTACTS, Op.PUT, b"c" * 16, "x.vcf", body=body)
    for body in (adas, both):
        streams.make(an_id("ada"), Kind.CONTACTS, Op.PUT, b"c" * 16, "x.vcf", body=body)
    with SurvivorStore.open(str(tmp_path / "out"), create=True) as store:
        ear = Ear(store, store.body_of)
        ear.erased(an_id("bob"))
        for body in (bobs, adas, both):
            ear.body(sha256(body).digest(), body, 1)
        for change in streams.made:
            ear.survivor(Survivor(msgspec.structs.replace(change, body=None), Proof.CHAIN, 1, ""))
        store.forget_erased(ear.erased_blobs, ear.erased_digests)
        kept = [body for body in (bobs, adas, both) if store.body_of(sha256(body).digest()) is not None]
    assert kept == [adas, both]
    assert bobs not in everything_in(tmp_path / "out")


def test_what_proves_itself_in_a_later_run_is_aside_no_more(tmp_path: Path, vaults: Vaults) -> None:
    names = vaults.segments()
    bare = b"".join(f.data for f in scan_frames(vaults.near.objects[names[0]], 176) if isinstance(f, RawFrame))
    source = lay_out(tmp_path / "a", {"frames": bare})  # their writer is told by another segment only
    found = Salvage(tmp_path, vaults.keyring.opener).run(source)
    assert found.asides() and not found.changes()
    rest = lay_out(tmp_path / "b", {names[1]: vaults.near.objects[names[1]]})
    assert found.run(rest).asides()  # where those frames lie is not looked at again
    found.run(rest, source)
    assert found.asides() == [] and len(found.changes()) > 3
    once = found.state()
    assert found.run(rest, source).state() == once


# -- what a source is


def sorts_of(root: Path) -> dict[str, Sort]:
    return {
        unit.path.removeprefix(f"{root}").lstrip("/"): unit.sort for unit in survey(RealDisk(), look, str(root)).units
    }


def test_a_data_folder_is_taken_apart(tmp_path: Path, vaults: Vaults) -> None:
    near = {f"vaults/near/{n}": d for n, d in vaults.near.objects.items()}
    far = {f"vaults/far/{n}": bytes(200) + d[200:] for n, d in vaults.far.objects.items()}
    rest = {
        "core/core.db": b"SQLite format 3\0" + bytes(8176),
        "core/core.db-wal": b"\x37\x7f\x06\x82" + bytes(5000),
        "core/core.db-shm": bytes(32768),
        blob_file(PHOTO): PHOTO,
        "keys/recovery.txt": b"secret",
        "keys/identity.txt": b"secret",
        "safehold.toml": b"[x]",
        "run/lock": b"",
        "old/core.db": bytes(4096) + b"\x0d" + bytes(4095),
    }
    root = lay_out(tmp_path / "data", near | far | rest)
    assert sorts_of(root) == {
        "core/core.db": Sort.CORE,
        "old/core.db": Sort.CORE,
        "blobs": Sort.BLOBS,
        "vaults/near": Sort.VAULT,
        "vaults/far": Sort.VAULT,
    }
    units = {unit.path: unit for unit in survey(RealDisk(), look, str(root)).units}
    assert [f.name for f in units[str(root / "core/core.db")].files] == ["core/core.db", "core/core.db-wal"]
    names = {f.name for unit in units.values() for f in unit.files}
    assert not any("keys/" in name or "toml" in name for name in names)


@pytest.mark.parametrize("head", [b"SQLite format 3\0", b"\x37\x7f\x06\x82", bytes(257) + b"ustar"])
def test_what_somebody_wrote_into_a_large_body_is_not_read_as_anything_else(tmp_path: Path, head: bytes) -> None:
    body = head + bytes(70_000)
    root = lay_out(tmp_path / "data", {blob_file(body): body})
    assert sorts_of(root) == {"blobs": Sort.BLOBS}


def test_what_other_programs_keep_is_not_searched(tmp_path: Path) -> None:
    files = {"a.pdf": b"%PDF-1.7" + bytes(9000), "b.docx": b"PK\x03\x04" + bytes(9000), "c.mp3": b"ID3" + bytes(9000)}
    found = Salvage(tmp_path, None).run(lay_out(tmp_path / "src", files | {"n.txt": b"note"}))
    assert found.sorts() == ["export"] and len(found.loose()) == 1
    assert found.problems() == ["3 files that are nothing known (.docx, .mp3, .pdf)"]


# -- a disk that fails


class _Failing(RealDisk):
    """Gives nothing of one sector of any file."""

    def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        file = super().open(path, write=write, create=create, exclusive=exclusive)
        if write or create:
            return file
        read = file.read_at

        def read_at(offset: int, count: int) -> bytes:
            if offset < 8192 and offset + count > 4096:
                raise OSError(5, "Input/output error")
            return read(offset, count)

        file.read_at = read_at  # type: ignore[method-assign]
        return file


def test_a_bad_sector_costs_what_lies_on_it(tmp_path: Path, vaults: Vaults) -> None:
    name = max(vaults.near.objects, key=lambda n: len(vaults.near.objects[n]))
    source = lay_out(tmp_path / "near", {name: vaults.near.objects[name]})
    whole = Salvage(tmp_path / "1", vaults.keyring.opener).run(source)
    found = Salvage(tmp_path / "2", vaults.keyring.opener, _Failing()).run(source)
    assert 0 < len(found.changes()) < len(whole.changes())
    assert any("did not give 4096 bytes" in problem for problem in found.problems())
    size = (source / name).stat().st_size
    with reading(_Failing(), FoundFile(str(source / name), name, size)) as file:
        data = file.at(0, size)
    assert data[4096:8192] == bytes(4096) and data[:4096] == vaults.near.objects[name][:4096]
    assert data[8192:] == vaults.near.objects[name][8192:]


class _Full(RealDisk):
    """Has room for so many bytes."""

    room = 0

    def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        file = super().open(path, write=write, create=create, exclusive=exclusive)
        put = file.write_at

        def write_at(offset: int, data: bytes) -> None:
            self.room -= len(data)
            if self.room < 0:
                raise OSError(28, "No space left on device")
            put(offset, data)

        file.write_at = write_at  # type: ignore[method-assign]
        return file


def test_a_disk_that_is_full_ends_it_and_a_second_run_goes_on(tmp_path: Path, vaults: Vaults) -> None:
    """It must not pass for damage in what was read."""
    photos = lay_out(tmp_path / "p", {f"{n}.jpg": PHOTO + bytes([n]) * 9 for n in range(3)})
    disk = _Full()
    disk.room = 2 * len(PHOTO)
    found = Salvage(tmp_path, None, disk)
    with pytest.raises(OutOfSpace, match="no room"):
        found.run(photos)
    assert found.asides() == [] and len(found.loose()) == 1
    assert [p.name for p in found.out.rglob("half*")] == []
    disk.room = 10**9
    assert len(found.run(photos).loose()) == 3
    whole = sealed_blob(b"n" * 32, PHOTO)
    disk.room = 1000
    found = Salvage(tmp_path / "2", OPENER, disk)
    with pytest.raises(OutOfSpace):
        found.run(lay_out(tmp_path / "v", {"blob": whole}))
    assert found.asides() == []


# -- quarantine


def test_the_quarantine_can_be_looked_through_and_harms_nobody(tmp_path: Path) -> None:
    ugly = "../../\x1b[31m\nevil/\u202ename.vcf"
    asides = [
        Aside(1, "x.vcf: line 3\x07", "no FN\n", "file", b"BEGIN", None, Kind.CONTACTS, ugly),
        Aside(1, "page 7", "its checksum", "page", b"\0" * 10, b"a" * 16, Kind.NOTES, ""),
        Aside(2, "frame 9", "gone", "frame", b""),
    ]
    sources = [SalvageSource(1, "/srv/x", "export", 5), SalvageSource(2, "/srv/y", "vault", 5)]
    disk = RealDisk()
    assert write_quarantine(disk, str(tmp_path), asides, sources, {b"a" * 16: "ada"}) == 3
    folder = tmp_path / "quarantine"
    index = json.loads((folder / "index.json").read_text())
    assert [(folder / entry["file"]).read_bytes() for entry in index if entry["file"]] == [b"BEGIN", b"\0" * 10]
    assert [entry["source"] for entry in index] == ["/srv/x", "/srv/x", "/srv/y"] and index[1]["account"] == "ada"
    text = (folder / "index.txt").read_text()
    assert len(text.splitlines()) == 3 and text.replace("\n", "").isprintable()
    assert all(p.resolve().is_relative_to(folder.resolve()) for p in tmp_path.rglob("*") if p.is_file())
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and "index" not in p.name}
    write_quarantine(disk, str(tmp_path), asides, sources, {b"a" * 16: "ada"})
    assert before == {p: p.stat().st_mtime_ns for p in before}
    write_quarantine(disk, str(tmp_path), asides[:1], sources, {})  # one has proved itself meanwhile
    assert len([p for p in folder.rglob("*") if p.is_file()]) == 3
