"""Exports, Takeouts, photos and scores as loose items; archives that were made to do harm."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import tarfile
import zipfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from safehold.model.kinds import CollectionType, Kind
from safehold.ports.survivors import Loose
from safehold.salvage import loosely, trees
from safehold.salvage.loosely import segment, taken_at
from safehold.salvage.takeout import is_year_album, parse_note_page
from safehold.service.transfer.layout import FORMAT, CollectionEntry, ExportIndex, ItemEntry, ScoreEntry, ScoreFile
from tests.support.salvage import Salvage, lay_out

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8


def card(uid: str, name: str = "Ann") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{name}\r\nN:{name};;;;\r\nEND:VCARD\r\n".encode()


def event(uid: str, component: str = "VEVENT", more: str = "") -> str:
    start = "DTSTART:20260101T100000Z\r\n" if component != "VTODO" else ""
    return (
        f"BEGIN:{component}\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n{start}{more}SUMMARY:x\r\nEND:{component}\r\n"
    )


def calendar(*parts: str) -> bytes:
    return ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y\r\n" + "".join(parts) + "END:VCALENDAR\r\n").encode()


def exif(at: str) -> bytes:
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", 60) + b"Exif\0\0" + b"\0" * 12 + at.encode() + b"\0" + b"x" * 2000


def us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def take(tmp_path: Path, files: dict[str, bytes], **options: str) -> Salvage:
    return Salvage(tmp_path, None).run(lay_out(tmp_path / "src", files), **options)  # type: ignore[arg-type]


def by_name(found: Salvage) -> dict[str, Loose]:
    items = found.loose()
    assert len({(item.kind, item.collection, item.name) for item in items}) == len(items)
    return {item.name: item for item in items}


# -- cards and calendars


def test_a_file_of_many_cards_gives_each_byte_for_byte(tmp_path: Path) -> None:
    found = take(tmp_path, {"all.vcf": card("a") + card("b") + card("c")}, account="ada")
    items = by_name(found)
    assert sorted(items) == ["a.vcf", "b.vcf", "c.vcf"]
    assert items["b.vcf"].body == card("b") and items["b.vcf"].digest == sha256(card("b")).digest()
    assert {(i.account, i.kind, i.collection, i.media) for i in items.values()} == {
        ("ada", Kind.CONTACTS, "default", "text/vcard")
    }


def test_a_calendar_is_grouped_by_uid_and_goes_where_its_component_belongs(tmp_path: Path) -> None:
    override = event("one", more="RECURRENCE-ID:20260102T100000Z\r\n")
    text = calendar(event("one", more="RRULE:FREQ=DAILY\r\n"), override, event("two", "VTODO"), event("3", "VJOURNAL"))
    items = by_name(take(tmp_path, {"work.ics": text}))
    assert {(i.name, i.kind, i.collection) for i in items.values()} == {
        ("one.ics", Kind.CALENDAR, "default"),
        ("two.ics", Kind.TASKS, "tasks"),
        ("3.ics", Kind.NOTES, "notes"),
    }
    assert items["one.ics"].body is not None and items["one.ics"].body.count(b"BEGIN:VEVENT") == 2


def test_what_is_no_card_goes_aside_with_its_bytes(tmp_path: Path) -> None:
    bad = card("x").replace(b"FN:Ann\r\n", b"").replace(b"VERSION:3.0", b"VERSION:9.9")
    latin = card("y", "J\xfcrgen").decode().encode("latin-1")
    found = take(tmp_path, {"some.vcf": card("a") + bad, "old.vcf": latin, "cut.vcf": card("z")[:-12]})
    assert sorted(by_name(found)) == ["a.vcf"]
    asides = found.asides()
    assert len(asides) == 3 and all(a.kind is Kind.CONTACTS and a.why and a.what == "file" for a in asides)
    assert {bad, latin} <= {a.data for a in asides}


def test_one_person_in_several_groups_is_one_item(tmp_path: Path) -> None:
    found = take(
        tmp_path, {"all.vcf": card("a") + card("b"), "friends.vcf": card("a"), "old.vcf": card("b", "Old Name")}
    )
    assert sorted(by_name(found)) == ["a.vcf", "b.vcf"]
    (aside,) = found.asides()
    assert aside.data == card("b", "Old Name") and "with other content" in aside.why


# -- Safehold's own export


def export_files() -> dict[str, bytes]:
    scores = ScoreFile("chess", [ScoreEntry(7, "2026-01-01T00:00:00+00:00", msgspec.Raw(b'{"a":1}'))])
    index = ExportIndex(
        FORMAT,
        "ada",
        [
            CollectionEntry("contacts/work", Kind.CONTACTS, CollectionType.ADDRESSBOOK, "contacts/work"),
            CollectionEntry("calendars/mixed", Kind.CALENDAR, CollectionType.CALENDAR, "calendars/mixed", ["VEVENT"]),
            CollectionEntry("files/notes", Kind.NOTES, CollectionType.FOLDER, "files/notes"),
            CollectionEntry(
                "files/photos/rome",
                Kind.PHOTOS,
                CollectionType.FOLDER,
                "files/photos/rome",
                items={"a.jpg": ItemEntry("α.jpg", "image/x-own"), "gone.jpg": ItemEntry()},
            ),
            CollectionEntry("scores/chess", Kind.SCORES, CollectionType.GAME, "scores/chess.json"),
        ],
    )
    return {
        "collections.json": msgspec.json.encode(index),
        "contacts/work/we%3Aird.vcf": card("w"),
        "calendars/mixed/t.ics": calendar(event("t", "VTODO")),
        "files/notes/n.md": b"# note\n",
        "files/photos/rome/a.jpg": JPEG,
        "scores/chess.json": msgspec.json.encode(scores),
    }


def test_safeholds_export_keeps_paths_names_and_media(tmp_path: Path) -> None:
    found = take(tmp_path, export_files())
    items = {(i.kind, i.collection, i.name): i for i in found.loose()}
    score = next(key for key in items if key[0] is Kind.SCORES)
    assert set(items) - {score} == {
        (Kind.CONTACTS, "work", "we:ird.vcf"),
        (Kind.CALENDAR, "mixed", "t.ics"),
        (Kind.NOTES, "", "n.md"),
        (Kind.PHOTOS, "rome", "α.jpg"),
    }
    assert items[Kind.PHOTOS, "rome", "α.jpg"].media == "image/x-own"
    assert score[1] == "chess"
    assert items[score].body == b'{"score":7,"at":"2026-01-01T00:00:00+00:00","detail":{"a":1}}'
    assert {i.account for i in items.values()} == {"ada"}
    assert found.problems() == ["files/photos/rome/gone.jpg is named by the export's index and not there"]


def test_an_export_in_a_zip_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "e.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in export_files().items():
            archive.writestr(f"ada-export/{name}", data)
    packed = Salvage(tmp_path / "z", None).run(path)
    plain = take(tmp_path / "p", export_files())
    assert {(i.kind, i.collection, i.name, i.digest) for i in packed.loose()} == {
        (i.kind, i.collection, i.name, i.digest) for i in plain.loose()
    }


def test_scores_as_the_api_gives_them(tmp_path: Path) -> None:
    answer = {
        "game": "go",
        "best": 9,
        "history": [
            {"score": 9, "at": "2026-02-01T00:00:00+00:00", "detail": None},
            {"score": 8.5, "at": "no time", "detail": None},
        ],
    }
    found = take(tmp_path, {"anything.json": json.dumps(answer).encode()})
    (item,) = found.loose()
    assert (item.kind, item.collection, item.media) == (Kind.SCORES, "go", "application/json")
    assert item.name == f"{us(datetime(2026, 2, 1, tzinfo=UTC)):014x}-{item.digest.hex()[:8]}.json"
    (aside,) = found.asides()
    assert aside.kind is Kind.SCORES and "no date and time" in aside.why


# -- photos


def test_a_photo_folder_gives_names_folders_and_times(tmp_path: Path) -> None:
    source = lay_out(
        tmp_path / "src",
        {
            "rome/day 1/a.jpg": exif("2019:07:08 09:10:11"),
            "b.png": b"\x89PNG\r\n\x1a\n" + b"p" * 99,
            "big.jpg": JPEG * 99,
        },
    )
    os.utime(source / "b.png", (1_700_000_000, 1_700_000_000))
    found = Salvage(tmp_path, None).run(source)
    items = by_name(found)
    assert (items["a.jpg"].collection, items["a.jpg"].media) == ("rome/day 1", "image/jpeg")
    assert items["a.jpg"].at == us(datetime(2019, 7, 8, 9, 10, 11, tzinfo=UTC))
    assert items["b.png"].collection == "" and items["b.png"].at == 1_700_000_000_000_000
    big = items["big.jpg"]
    (source / "big.jpg").unlink()  # what was found stands by itself
    assert big.body is None and found.body_of(big) == JPEG * 99
    assert found.sorts() == ["photos"]


def test_a_picture_that_is_none_is_not_taken_for_one(tmp_path: Path) -> None:
    found = take(tmp_path, {"a.jpg": b"<html>not found</html>" * 9, "b.jpg": JPEG, "c.png": JPEG})
    assert sorted(by_name(found)) == ["b.jpg"]
    assert sorted(a.name for a in found.asides()) == ["a.jpg", "c.png"]


def test_links_and_pipes_are_passed_over_and_told(tmp_path: Path) -> None:
    secret = tmp_path / "secret.vcf"
    secret.write_bytes(card("secret"))
    source = lay_out(tmp_path / "src", {"a.vcf": card("a")})
    (source / "b.vcf").symlink_to(secret)
    (source / "loop").symlink_to(source)
    (source / "itself").symlink_to("itself")
    os.mkfifo(source / "pipe.vcf")
    found = Salvage(tmp_path, None).run(source)
    assert sorted(by_name(found)) == ["a.vcf"]
    assert found.problems() == ["passed over: links and special files (4)"]


# -- Takeout


def takeout_files() -> dict[str, bytes]:
    photo = {"title": "IMG_1.jpg", "photoTakenTime": {"timestamp": "1500000000"}}
    other = {"title": "IMG_1.jpg", "photoTakenTime": {"timestamp": "1500000001"}}
    binned = {"title": "bin.jpg", "photoTakenTime": {"timestamp": "1500000002"}, "trashed": True}
    note = {"title": "List", "listContent": [{"text": "milk", "isChecked": True}, {"text": "tea"}]}
    text = {"title": "", "textContent": "hello\nyou", "userEditedTimestampUsec": 1_600_000_000_000_000}
    gone = {"title": "x", "textContent": "secret", "isTrashed": True}
    page = "<html><head><title>Only</title></head><body><div class='content'>a &amp; b<br>c</div></body></html>"
    root = "Takeout/"
    return {
        f"{root}archive_browser.html": b"<html>",
        f"{root}Contacts/All Contacts/All Contacts.vcf": card("a") + card("b"),
        f"{root}Contacts/My Contacts/My Contacts.vcf": card("a"),
        f"{root}Calendar/ada@example.org.ics": calendar(event("e1"), event("e2")),
        f"{root}Keep/List.json": json.dumps(note).encode(),
        f"{root}Keep/List.html": b"<html><title>List</title></html>",
        f"{root}Keep/2020-09-13.json": json.dumps(text).encode(),
        f"{root}Keep/x.json": json.dumps(gone).encode(),
        f"{root}Keep/Only.html": page.encode(),
        f"{root}Google Photos/Photos from 2017/IMG_1.jpg": JPEG,
        f"{root}Google Photos/Photos from 2017/IMG_1.jpg.supplemental-metadata.json": json.dumps(photo).encode(),
        f"{root}Google Photos/Photos from 2017/IMG_1(1).jpg": JPEG + b"2",
        f"{root}Google Photos/Photos from 2017/IMG_1.jpg.supplemental-metad(1).json": json.dumps(other).encode(),
        f"{root}Google Photos/Photos from 2017/bin.jpg": JPEG + b"bin",
        f"{root}Google Photos/Photos from 2017/bin.jpg.json": json.dumps(binned).encode(),
        f"{root}Google Photos/Rome/IMG_1.jpg": JPEG,
        f"{root}Google Photos/Rome/metadata.json": b'{"title": "Rome"}',
        f"{root}Google Photos/Rome/large.jpg": JPEG * 60,
        f"{root}Mail/All mail.mbox": b"From x\n",
    }


def check_takeout(found: Salvage) -> None:
    items = {(i.kind, i.collection, i.name): i for i in found.loose()}
    assert set(items) == {
        (Kind.CONTACTS, "default", "a.vcf"),
        (Kind.CONTACTS, "default", "b.vcf"),
        (Kind.CALENDAR, "default", "e1.ics"),
        (Kind.CALENDAR, "default", "e2.ics"),
        (Kind.NOTES, "Keep", "List.md"),
        (Kind.NOTES, "Keep", "2020-09-13.md"),
        (Kind.NOTES, "Keep", "Only.md"),
        (Kind.PHOTOS, "Rome", "IMG_1.jpg"),  # and not once more out of its year
        (Kind.PHOTOS, "Rome", "large.jpg"),
        (Kind.PHOTOS, "Photos from 2017", "IMG_1(1).jpg"),
    }
    assert items[Kind.NOTES, "Keep", "List.md"].body == b"# List\n\n- [x] milk\n- [ ] tea\n"
    assert items[Kind.NOTES, "Keep", "2020-09-13.md"].at == 1_600_000_000_000_000
    assert items[Kind.NOTES, "Keep", "Only.md"].body == b"# Only\n\na & b\nc\n"
    assert items[Kind.PHOTOS, "Photos from 2017", "IMG_1(1).jpg"].at == 1_500_000_001_000_000
    large = items[Kind.PHOTOS, "Rome", "large.jpg"]
    assert found.body_of(large) == JPEG * 60 and sha256(JPEG * 60).digest() == large.digest
    assert {(a.name, a.why) for a in found.asides()} == {
        ("x.md", "it lay in the bin"),
        ("bin.jpg", "it lay in the bin"),
    }
    assert any("nothing known (.json, .mbox)" in problem for problem in found.problems())
    assert found.sorts() == ["takeout"]
    assert {i.account for i in items.values()} == {"ada"}


def test_a_takeout_that_was_unpacked(tmp_path: Path) -> None:
    check_takeout(take(tmp_path, takeout_files(), account="ada"))


def test_a_takeout_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "takeout-20261101-001.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in takeout_files().items():
            archive.writestr(name, data)
    found = Salvage(tmp_path, None)
    found.run(path, account="ada")
    check_takeout(found)
    once = found.state()
    assert found.run(path, account="ada").state() == once


def test_a_takeout_in_a_tgz(tmp_path: Path) -> None:
    path = tmp_path / "takeout-20261101-001.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in takeout_files().items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    found = Salvage(tmp_path, None)
    found.run(path, account="ada")
    check_takeout(found)


def test_years_and_albums() -> None:
    assert all(map(is_year_album, ("Photos from 2017", "Fotos de 2021", "2019", "Fotos von 2020")))
    assert not any(map(is_year_album, ("Rome", "Rome 2017-08", "Trip 12", "2017 and 2018")))
    assert parse_note_page(b"<div class=content>" * 5000) is None  # nothing in it, however deep


# -- hostile archives


def zipped(path: Path, *members: tuple[str, bytes], level: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", level) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_names_that_lead_elsewhere_lead_nowhere(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "x.zip",
        ("../../../../tmp/evil-salvage.jpg", JPEG * 60),
        ("/etc/cron.d/a.jpg", JPEG * 61),
        ("a/../../b.vcf", card("b")),
        ("c\\d\\e.vcf", card("e")),
    )
    before = sorted(p for p in tmp_path.rglob("*"))
    found = Salvage(tmp_path, None).run(path)
    assert len(found.loose()) == 4
    written = [p for p in tmp_path.rglob("*") if p not in before and tmp_path / "salvage" not in (p, *p.parents)]
    assert written == [] and not Path("/tmp/evil-salvage.jpg").exists()
    assert all(".." not in item.collection.split("/") for item in found.loose())


def test_what_swells_is_not_taken_and_the_rest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "FREE_BYTES", 64 * 1024)
    path = zipped(
        tmp_path / "bomb.zip", ("a.vcf", card("a")), ("bomb.jpg", JPEG + bytes(40_000_000)), ("z.vcf", card("z"))
    )
    found = Salvage(tmp_path, None).run(path)
    assert sorted(by_name(found)) == ["a.vcf", "z.vcf"]
    (aside,) = found.asides()
    assert "swells" in aside.why and aside.name == "bomb.jpg"
    assert not [p for p in (found.out / "bodies").rglob("*") if p.is_file()]  # nothing half is left behind


def test_bounds_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "many.zip", *((f"{n}.vcf", card(f"u{n}")) for n in range(20)))
    monkeypatch.setattr(trees, "MAX_MEMBERS", 5)
    found = Salvage(tmp_path, None).run(path)
    assert len(found.loose()) <= 5 and any("more than 5 members" in p for p in found.problems())
    monkeypatch.undo()
    monkeypatch.setattr(loosely, "MAX_TEXT_BYTES", 10)
    found = Salvage(tmp_path / "2", None).run(path)
    assert found.loose() == [] and all("too large" in a.why for a in found.asides())


def test_a_member_that_says_less_than_it_is(tmp_path: Path) -> None:
    path = zipped(tmp_path / "liar.zip", ("a.jpg", JPEG * 80), ("b.vcf", card("b")))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"b.vcf"))  # the central directory's entry of b
    for place in (data.find(b"PK\x01\x02"), at):
        struct.pack_into("<I", data, place + 24, 3)  # uncompressed size
    path.write_bytes(bytes(data))
    found = Salvage(tmp_path, None).run(path)
    for item in found.loose():
        assert sha256(found.body_of(item)).digest() == item.digest
    assert len(found.asides()) + len(found.loose()) == 2


@pytest.mark.parametrize("seed", range(4))
def test_broken_archives_end_in_words(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    print("seed", seed)
    whole = zipped(tmp_path / "w.zip", *((f"{n}.vcf", card(f"u{n}")) for n in range(9))).read_bytes()
    for trial in range(12):
        data = bytearray(whole)
        if rng.random() < 0.3:
            data = data[: rng.randrange(30, len(data))]
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        source = lay_out(tmp_path / str(trial), {"x.zip": bytes(data), "ok.vcf": card("ok")})
        found = Salvage(tmp_path / str(trial), None).run(source)
        items = found.loose()
        assert "ok.vcf" in {item.name for item in items}
        assert all(item.digest == sha256(item.body or b"").digest() for item in items)


def test_tar_links_and_devices_are_no_members(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for kind, name in ((tarfile.SYMTYPE, "l.vcf"), (tarfile.LNKTYPE, "h.vcf"), (tarfile.CHRTYPE, "d.vcf")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("a.vcf")
        info.size = len(card("a"))
        archive.addfile(info, io.BytesIO(card("a")))
    found = Salvage(tmp_path, None).run(path)
    assert sorted(by_name(found)) == ["a.vcf"]


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    path = zipped(tmp_path / "e.zip", ("a.vcf", card("a")), level=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + offset] |= 1
    path.write_bytes(bytes(data))
    found = Salvage(tmp_path, None).run(path)
    assert found.loose() == [] and "encrypted" in found.asides()[0].why


def test_names_that_no_item_may_bear_become_near_ones() -> None:
    assert segment("a.jpg") == "a.jpg"
    assert segment("") == "unnamed" and segment("..") == "_.." and segment("a/b\x00c") == "a_b_c"
    long = segment("ü" * 300 + ".jpeg")
    assert len(long.encode()) <= 255 and long.endswith(".jpeg")
    assert taken_at(exif("2019:13:40 00:00:00")) is None and taken_at(b"2019:01:01 00:00:00\0") is None


@pytest.mark.parametrize("packed", [False, True])
def test_a_name_in_no_encoding_that_is_known_costs_nothing(tmp_path: Path, packed: bool) -> None:
    source = lay_out(tmp_path / "src", {"b.vcf": card("b")})
    if packed:
        with tarfile.open(source / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
            info = tarfile.TarInfo("caf\xe9.vcf")
            info.size = len(card("a"))
            archive.addfile(info, io.BytesIO(card("a")))
    else:
        with open(os.fsencode(source) + b"/caf\xe9.vcf", "wb") as file:
            file.write(card("a"))
    found = Salvage(tmp_path, None).run(source, account="ada")
    assert sorted(item.name for item in found.loose()) == ["b.vcf", "caf_.vcf"]
    assert "caf\\udce9.vcf" in {item.where for item in found.loose()}
    state = found.state()
    assert found.run(source, account="ada").state() == state


def test_json_that_is_nested_to_do_harm_costs_itself_alone(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    scores = b'{"best":1,"history":[{"score":1,"at":"2026-01-01T00:00:00Z","detail":' + deep + b"}]}"
    found = take(tmp_path, {"a.json": deep, "maze.json": scores, "n.txt": b"a note"}, account="ada")
    assert list(by_name(found)) == ["n.txt"]


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_whose_attributes_would_fill_memory_is_told(tmp_path: Path, format_: int) -> None:
    source = lay_out(tmp_path / "src", {"n.txt": b"a note"})
    with tarfile.open(source / "a.tgz", "w:gz", format=format_) as archive:
        archive.addfile(tarfile.TarInfo("a" * (trees.MAX_ATTRIBUTES_BYTES + 1) + ".vcf"))
    found = Salvage(tmp_path, None).run(source, account="ada")
    assert list(by_name(found)) == ["n.txt"]
    assert any("longer than" in problem for problem in found.problems())


def test_a_tar_of_holes_swells_no_further_than_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "FREE_BYTES", 1 << 20)
    source = tmp_path / "src"
    source.mkdir()
    with tarfile.open(source / "a.tgz", "w:gz") as archive:
        for n in range(3):
            info = tarfile.TarInfo(f"{n}.jpg")
            info.size = len(JPEG) + (12 << 20)
            archive.addfile(info, io.BytesIO(JPEG + bytes(12 << 20)))
    monkeypatch.setattr(trees, "MAX_SWELL", 300)
    found = Salvage(tmp_path, None).run(source, account="ada")
    assert len(found.loose()) < 3
    assert any("swells" in words for words in [*found.problems(), *(aside.why for aside in found.asides())])
