"""Import and export on a real core, with blobs and vaults, on a simulated disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.disaster.house import House
from safehold.model.commands import AddScore, AnyCommand, Body, DeleteItem, MakeCollection, Outcome, PatchProps, PutItem
from safehold.model.errors import OperatorError, OutOfSpace
from safehold.model.items import Collection
from safehold.model.kinds import CollectionType, Kind
from safehold.ports.disk import Disk
from safehold.service.transfer import ExportReport, ImportReport, export_from, import_into
from safehold.service.transfer.layout import read_file
from safehold.service.transfer.names import MAX_FILE_NAME_BYTES, file_name, media_for, original_name, uid_name

BIG = 100 * 1024
DISPLAY = "{DAV:}displayname"


def vcard(uid: str, note: str = "x") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:N\r\nUID:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def component(uid: str, name: str = "VEVENT") -> str:
    return f"BEGIN:{name}\r\nUID:{uid}\r\nDTSTART:20260101T100000Z\r\nEND:{name}\r\n"


def vcalendar(*components: str, head: str = "") -> bytes:
    return ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + head + "".join(components) + "END:VCALENDAR\r\n").encode()


def write(disk: Disk, path: str, data: bytes) -> None:
    disk.make_folders(path.rpartition("/")[0] or "/")
    file = disk.open(path, write=True, create=True)
    file.truncate(0)
    file.write_at(0, data)
    file.close()


@dataclass
class Home:
    """One account in a house, and what was asked of the service."""

    house: House = field(default_factory=lambda: House.new(accounts=("ann", "bob")))
    asked: list[AnyCommand] = field(default_factory=list)
    error: Exception | None = None

    def execute(self, command: AnyCommand) -> Outcome:
        if self.error is not None:
            raise self.error
        self.asked.append(command)
        return self.house.engine.execute(command)

    def bring(self, *sources: str, user: str = "ann", kind: Kind | None = None, to: str | None = None) -> ImportReport:
        account = self.house.account(user)
        key = self.house.reads.secret(account.number, "blob-key")
        assert key is not None
        told: list[tuple[int, int]] = []
        report = import_into(
            account,
            sources,
            reads=self.house.reads,
            disk=self.house.disk,
            blobs=self.house.blobs,
            blob_key=key,
            execute=self.execute,
            kind=kind,
            collection=to,
            progress=lambda done, total: told.append((done, total)),
        )
        assert not told or told[-1][0] == told[-1][1]
        return report

    def take(self, target: str, user: str = "ann", kinds: tuple[Kind, ...] = tuple(Kind)) -> ExportReport:
        told: list[tuple[int, int]] = []
        report = export_from(
            self.house.account(user),
            target,
            reads=self.house.reads,
            disk=self.house.disk,
            blobs=self.house.blobs,
            kinds=kinds,
            progress=lambda done, total: told.append((done, total)),
        )
        assert not told or told[-1][0] == told[-1][1]
        return report

    def collection(self, path: str) -> Collection:
        collection = self.house.reads.collection(self.house.account().number, path)
        assert collection is not None
        return collection

    def contents(self, user: str = "ann") -> dict[str, tuple[dict[str, str], dict[str, tuple[bytes, str, object]]]]:
        """Collections by path: properties, and items by name: body digest, media type, properties. Games by value."""
        reads, account = self.house.reads, self.house.account(user)
        found = {}
        for collection in reads.collections(account.number):
            if collection.kind is Kind.IDENTITY:
                continue
            items = reads.items(collection)
            if collection.type is CollectionType.GAME:
                bodies = reads.items_with_bodies(collection, [item.name for item in items])
                scores = sorted(stored.inline or b"" for _, stored in bodies)
                found[collection.path] = (collection.props, {str(n): (s, "", {}) for n, s in enumerate(scores)})
                continue
            found[collection.path] = (
                collection.props,
                {item.name: (item.digest, item.media, reads.props(item)) for item in items},
            )
        return found


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.house.engine.core.close()


def names(home: Home, path: str, user: str = "ann") -> list[str]:
    return list(home.contents(user)[path][1])


# -- import --------------------------------------------------------------------------------------------------


def test_files_of_one_object_keep_their_names(home: Home) -> None:
    write(home.house.disk, "/in/Ann Smith.vcf", vcard("1"))
    write(home.house.disk, "/in/b.ics", vcalendar(component("e")))
    report = home.bring("/in")
    assert (report.added, report.problems) == (2, [])
    assert names(home, "contacts/default") == ["Ann Smith.vcf"]
    assert names(home, "calendars/default") == ["b.ics"]


def test_files_of_many_objects_are_taken_apart(home: Home) -> None:
    write(home.house.disk, "/all.vcf", vcard("1") + vcard("a/b c") + vcard("3"))
    parts = component("e"), component("t", "VTODO"), component("j", "VJOURNAL"), component("f")
    write(home.house.disk, "/all.ics", vcalendar(*parts, head="METHOD:PUBLISH\r\n"))
    report = home.bring("/all.vcf", "/all.ics")
    assert (report.added, report.problems) == (7, [])
    assert names(home, "contacts/default") == ["1.vcf", "3.vcf", uid_name("a/b c", ".vcf")]
    assert names(home, "calendars/default") == ["e.ics", "f.ics"]
    assert names(home, "calendars/tasks") == ["t.ics"]
    assert names(home, "calendars/notes") == ["j.ics"]


def test_an_import_can_be_repeated(home: Home) -> None:
    write(home.house.disk, "/in/all.vcf", vcard("1") + vcard("2", "n" * BIG) + vcard("3").replace(b"UID:3\r\n", b""))
    write(home.house.disk, "/in/x/photo.jpg", b"\xff\xd8" * BIG)
    write(home.house.disk, "/in/note.txt", b"hello")
    first = home.bring("/in")
    assert (first.added, first.collections, len(first.given_uids), first.problems) == (5, 1, 1, [])
    home.asked.clear()
    again = home.bring("/in")
    assert (again.added, again.replaced, again.unchanged, again.collections) == (0, 0, 5, 0)
    assert home.asked == []


def test_the_same_uid_replaces_whatever_the_name(home: Home) -> None:
    write(home.house.disk, "/a.vcf", vcard("1", "old"))
    write(home.house.disk, "/b.vcf", vcard("1", "new"))
    home.bring("/a.vcf")
    report = home.bring("/b.vcf")
    assert (report.added, report.replaced) == (0, 1)
    assert names(home, "contacts/default") == ["a.vcf"]
    assert home.contents()["contacts/default"][1]["a.vcf"][0] == sha256(vcard("1", "new")).digest()


def test_the_same_uid_twice_in_one_import_is_told_and_the_first_is_kept(home: Home) -> None:
    write(home.house.disk, "/a.vcf", vcard("1", "one") + vcard("1", "two") + vcard("1", "one"))
    report = home.bring("/a.vcf")
    assert (report.added, report.unchanged, len(report.problems)) == (1, 1, 1)
    assert "came before in this import" in report.problems[0].reason
    assert report.problems[0].where == "/a.vcf: the VCARD of line 7"


def test_a_name_that_another_object_has_is_not_taken_from_it(home: Home) -> None:
    write(home.house.disk, "/in/x/card.vcf", vcard("1"))
    write(home.house.disk, "/in/y/card.vcf", vcard("2"))
    assert home.bring("/in").added == 2
    assert names(home, "contacts/default") == ["2.vcf", "card.vcf"]


def test_what_is_wrong_is_told_by_file_and_stops_nothing(home: Home) -> None:
    disk = home.house.disk
    write(disk, "/in/bad.vcf", b"BEGIN:VCARD\r\nVERSION:2.1\r\nUID:1\r\nEND:VCARD\r\n")
    write(disk, "/in/broken.ics", vcalendar(component("1")).replace(b"DTSTART:2026", b"DTSTART:20xx"))
    write(disk, "/in/cut.vcf", vcard("8") + vcard("9")[:40])
    write(disk, "/in/good.vcf", vcard("2"))
    write(disk, "/in/latin.vcf", vcard("4", "é").decode().encode("latin-1"))
    write(disk, "/in/mixed.ics", vcalendar(component("5"), "BEGIN:VFREEBUSY\r\nUID:6\r\nEND:VFREEBUSY\r\n"))
    write(disk, "/in/unknown.bin", b"\x00\x01")
    write(disk, "/in/.hidden.vcf", b"")
    report = home.bring("/in", "/missing")
    assert report.added == 3
    assert [(problem.where, problem.reason[:24]) for problem in report.problems] == [
        ("/missing", "No such file or director"),
        ("/in/bad.vcf", "line 2: vCard version '2"),
        ("/in/broken.ics", "line 5: DTSTART: '20xx01"),
        ("/in/cut.vcf: line 7", "BEGIN:VCARD has no END:V"),
        ("/in/latin.vcf", "line 5: text that is not"),
        ("/in/mixed.ics: line 7", "VFREEBUSY is not kept: o"),
        ("/in/unknown.bin", "is nothing that is impor"),
    ]


def test_a_full_disk_stops_the_import(home: Home) -> None:
    home.error = OutOfSpace("the disk is full")
    write(home.house.disk, "/a.vcf", vcard("1"))
    with pytest.raises(OutOfSpace):
        home.bring("/a.vcf")


def test_folders_of_notes_and_photos_keep_their_shape(home: Home) -> None:
    disk = home.house.disk
    write(disk, "/pics/2026/summer/a.jpg", b"a" * BIG)
    write(disk, "/pics/b.HEIC", b"b")
    write(disk, "/pics/2026/c.xyz", b"c")
    write(disk, "/pics/Thumbs.db", b"litter")
    report = home.bring("/pics/", kind=Kind.PHOTOS, to="phone")
    assert (report.added, report.problems) == (3, [])
    found = home.contents()
    assert found["files/photos/phone/2026/summer"][1]["a.jpg"][1] == "image/jpeg"
    assert found["files/photos/phone"][1]["b.HEIC"][1] == "image/heic"
    assert found["files/photos/phone/2026"][1]["c.xyz"][1] == "application/octet-stream"
    write(disk, "/notes/todo.md", b"# x")
    write(disk, "/notes/min.ics", vcalendar(component("j", "VJOURNAL")))
    assert home.bring("/notes", kind=Kind.NOTES).problems == []
    assert home.contents()["files/notes"][1]["todo.md"][1] == "text/markdown"
    assert names(home, "calendars/notes") == ["min.ics"]


def test_a_changed_file_replaces_and_the_rest_stays(home: Home) -> None:
    write(home.house.disk, "/n/a.txt", b"one")
    write(home.house.disk, "/n/b.txt", b"two")
    home.bring("/n")
    write(home.house.disk, "/n/a.txt", b"three")
    report = home.bring("/n")
    assert (report.added, report.replaced, report.unchanged) == (0, 1, 1)


def test_a_named_collection_is_made_for_what_the_file_holds(home: Home) -> None:
    both = vcalendar(component("e"), component("t", "VTODO"), head="X-WR-CALNAME:Work & more\r\n")
    write(home.house.disk, "/w.ics", both)
    report = home.bring("/w.ics", to="work")
    assert (report.added, report.collections, report.problems) == (2, 1, [])
    props, items = home.contents()["calendars/work"]
    assert props[DISPLAY] == '<displayname xmlns="DAV:">Work &amp; more</displayname>'
    assert (props["components"], len(items)) == ("VEVENT,VTODO", 2)
    write(home.house.disk, "/c.vcf", vcard("1"))
    home.bring("/c.vcf", to="contacts/club")
    assert names(home, "contacts/club") == ["c.vcf"]


def test_a_kind_takes_its_own_things_only(home: Home) -> None:
    write(home.house.disk, "/in/all.ics", vcalendar(component("e"), component("t", "VTODO")))
    write(home.house.disk, "/in/c.vcf", vcard("1"))
    report = home.bring("/in", kind=Kind.TASKS)
    assert report.added == 1
    assert [problem.reason for problem in report.problems] == [
        "is a VEVENT and not of kind tasks",
        "is nothing that is imported as tasks",
    ]


def test_a_stream_that_is_held_is_neither_read_nor_written(home: Home) -> None:
    write(home.house.disk, "/a.vcf", vcard("1"))
    write(home.house.disk, "/a.ics", vcalendar(component("e")))
    core = home.house.engine.core
    core.begin()
    core.hold(home.house.account().id, Kind.CONTACTS, "revisions 3 to 5 are missing")
    core.commit()
    report = home.bring("/a.vcf", "/a.ics")
    assert report.added == 1
    assert "revisions 3 to 5 are missing" in report.problems[0].reason
    exported = home.take("/out")
    assert [problem.where for problem in exported.problems] == ["contacts"]
    assert not home.house.disk.exists("/out/contacts")


# -- export, and back ----------------------------------------------------------------------------------------


def fill(home: Home) -> None:
    """An account with something of every kind, under names that are hard on file systems."""
    account = home.house.account().id
    run = home.house.engine.execute
    run(
        PatchProps(account=account, path="contacts/default", set={DISPLAY: '<displayname xmlns="DAV:">Ä</displayname>'})
    )
    for path, type_, components in (
        ("contacts/club: members", CollectionType.ADDRESSBOOK, frozenset()),
        ("calendars/work", CollectionType.CALENDAR, frozenset(("VEVENT", "VTODO"))),
        ("files/notes/a", CollectionType.FOLDER, frozenset()),
        ("files/notes/a/B?", CollectionType.FOLDER, frozenset()),
        ("files/notes/a/b?", CollectionType.FOLDER, frozenset()),
        ("files/photos/empty", CollectionType.FOLDER, frozenset()),
    ):
        props = {"{http://apple.com/ns/ical/}calendar-color": "<c>#123456</c>", "{urn:x}dead": "<dead>é</dead>"}
        run(MakeCollection(account=account, path=path, type=type_, components=components, props=props))
    key = home.house.reads.secret(home.house.account().number, "blob-key")
    assert key is not None

    def put(path: str, name: str, data: bytes, media: str, uid: str | None = None, kind: str | None = None) -> None:
        body = Body(sha256(data).digest(), len(data), inline=data)
        if uid is None:
            stage = home.house.blobs.stage(key)
            stage.write(data)
            body = stage.finish()
        run(PutItem(account=account, path=path, name=name, body=body, media=media, uid=uid, component=kind))

    put("contacts/default", "plain.vcf", vcard("1"), "text/vcard", "1")
    put("contacts/default", "PLAIN.vcf", vcard("2").rstrip(), "text/vcard", "2")
    put("contacts/default", "50% of a:b*c.vcf", b"\xef\xbb\xbf" + vcard("3"), "text/vcard", "3")
    put("contacts/default", "n" * 255, vcard("4", "n" * BIG), "text/vcard", "4")
    put("contacts/club: members", ".dot", vcard("1"), "text/vcard", "1")
    put("calendars/work", "e@x.ics", vcalendar(component("e")), "text/calendar", "e", "VEVENT")
    put("calendars/work", "t", vcalendar(component("t", "VTODO")), "text/calendar", "t", "VTODO")
    put("calendars/tasks", "t.ics", vcalendar(component("t", "VTODO")), "text/calendar", "t", "VTODO")
    put("files/notes", "root.txt", b"", "text/plain")
    put("files/notes/a", "con", b"reserved", "text/x-odd")
    put("files/notes/a/b?", "日記.md", b"x" * BIG, "text/markdown")
    put("files/photos", "p.jpg", bytes(range(256)) * 2000, "image/jpeg")
    run(PatchProps(account=account, path="files/photos", name="p.jpg", set={"{urn:x}stars": "<stars>5</stars>"}))
    for score, at, detail in ((10, 1_700_000_000_000_001, None), (12.5, 5, '{"b":[1,2],"a":null}'), (10, 5, None)):
        run(AddScore(account=account, game="Pac:Man", score=score, at=at, detail=detail))
    run(AddScore(account=account, game="Pac:Man", score=10, at=5))


def test_an_import_of_an_export_is_the_same_account(home: Home) -> None:
    fill(home)
    report = home.take("/out")
    assert report.problems == []
    assert report.items == {"contacts": 5, "calendar": 2, "tasks": 1, "notes": 3, "photos": 1, "scores": 4}
    back = home.bring("/out", user="bob")
    assert back.problems == []
    assert (back.added, back.unchanged) == (16, 0)
    assert home.contents("bob") == home.contents("ann")
    home.asked.clear()
    again = home.bring("/out", user="bob")
    assert (again.added, again.replaced, again.unchanged, home.asked) == (0, 0, 16, [])


def test_the_layout_is_that_of_the_documentation(home: Home) -> None:
    fill(home)
    home.take("/out")
    disk = home.house.disk
    assert read_file(disk, "/out/contacts/default/PLAIN.vcf") == vcard("2").rstrip()
    assert read_file(disk, "/out/contacts/default/%70lain.vcf") == vcard("1")
    assert read_file(disk, "/out/calendars/tasks/t.ics") == vcalendar(component("t", "VTODO"))
    assert read_file(disk, "/out/files/photos/p.jpg") == bytes(range(256)) * 2000
    scores = msgspec.json.decode(read_file(disk, "/out/scores/Pac%3AMan.json"))
    assert scores["game"] == "Pac:Man"
    assert sorted(entry["score"] for entry in scores["history"]) == [10, 10, 10, 12.5]
    folded = [entry.name.casefold() for entry in disk.list("/out/contacts/default")]
    assert len(set(folded)) == len(folded) == 4


def test_an_export_of_some_kinds_and_an_import_of_some(home: Home) -> None:
    fill(home)
    home.take("/out", kinds=(Kind.CONTACTS, Kind.SCORES))
    report = home.bring("/out", user="bob", kind=Kind.CONTACTS, to="default")
    assert (report.added, report.problems) == (4, [])
    assert home.contents("bob")["contacts/default"] == home.contents("ann")["contacts/default"]
    assert "scores/Pac:Man" not in home.contents("bob")


def test_an_older_export_brings_back_what_was_deleted(home: Home) -> None:
    fill(home)
    before = home.contents()
    home.take("/out")
    run, account = home.house.engine.execute, home.house.account().id
    run(DeleteItem(account=account, path="contacts/default", name="plain.vcf"))
    run(DeleteItem(account=account, path="files/photos", name="p.jpg"))
    report = home.bring("/out")
    assert (report.added, report.replaced, report.problems) == (2, 0, [])
    assert home.contents() == before


def test_an_export_goes_into_an_empty_folder_only(home: Home) -> None:
    write(home.house.disk, "/out/x", b"")
    with pytest.raises(OperatorError) as caught:
        home.take("/out")
    assert caught.value.exit_code == 2


def test_a_damaged_export_is_told_and_the_rest_taken(home: Home) -> None:
    fill(home)
    home.take("/out")
    disk = home.house.disk
    write(disk, "/out/contacts/default/PLAIN.vcf", b"rubbish")
    write(disk, "/out/scores/Pac%3AMan.json", b"{")
    report = home.bring("/out", user="bob")
    assert report.added == 11
    assert sorted(problem.where for problem in report.problems) == [
        "/out/contacts/default/PLAIN.vcf",
        "/out/scores/Pac%3AMan.json",
    ]
    write(disk, "/out/collections.json", b'{"format": "safehold-export/9", "account": "", "collections": []}')
    assert "safehold-export/9" in home.bring("/out", user="bob").problems[0].reason


def test_an_export_cannot_lead_out_of_its_folder(home: Home) -> None:
    write(home.house.disk, "/secret/a.vcf", vcard("1"))
    entry = {"path": "contacts/default", "kind": "contacts", "type": "addressbook", "folder": "../secret"}
    index = {"format": "safehold-export/1", "account": "x", "collections": [entry]}
    write(home.house.disk, "/out/collections.json", msgspec.json.encode(index))
    report = home.bring("/out")
    assert (report.added, len(report.problems)) == (0, 1)


def test_a_lost_blob_costs_itself_only(home: Home) -> None:
    fill(home)
    disk = home.house.disk
    item = home.house.reads.item(home.collection("files/notes/a/b?"), "日記.md")
    assert item is not None
    stored = home.house.reads.body(item)
    assert stored.blob is not None
    for root in ("/blobs", "/near", "/far"):
        for path in files_below(disk, root):
            if stored.blob.hex() in path:
                disk.remove(path)
    report = home.take("/out")
    assert [problem.where for problem in report.problems] == ["files/notes/a/b?/日記.md"]
    assert sum(report.items.values()) == 15
    assert home.bring("/out", user="bob").problems == []


def files_below(disk: Disk, path: str) -> list[str]:
    found = []
    for entry in disk.list(path):
        below = f"{path}/{entry.name}"
        found += files_below(disk, below) if entry.is_folder else [below]
    return found


# -- names ---------------------------------------------------------------------------------------------------

NAMES = st.text(
    alphabet=st.sampled_from('aAéÉe\u0301ß%:*?. "\\|<>~é1CONnul日') | st.characters(exclude_categories=["Cs"])
)


@given(st.lists(NAMES.filter(lambda name: name not in ("", ".", "..") and "/" not in name), max_size=12, unique=True))
def test_names_become_files_of_their_own_and_come_back(given: list[str]) -> None:
    taken: set[str] = set()
    for name in given:
        file = file_name(name, taken)
        assert 0 < len(file.encode()) <= MAX_FILE_NAME_BYTES * 3
        assert not file.startswith(".") and not file.endswith((".", " "))
        assert not set(file) & set('<>:"/\\|?*\x00')
        if len(name.encode()) < 80:
            assert original_name(file) == name
    assert len(taken) == len(given)


def test_uids_become_names_that_are_safe_and_their_own() -> None:
    assert uid_name("5f1c-A@x.org", ".vcf") == "5f1c-A@x.org.vcf"
    made = {uid_name(uid, ".ics") for uid in ("a/b", "a_b", "a?b", "../x", "é", "x" * 500, "x" * 501)}
    assert len(made) == 7
    assert all(len(name) < 200 and "/" not in name and not name.startswith(".") for name in made)


def test_media_types_do_not_depend_on_the_machine() -> None:
    assert [media_for(name) for name in ("a.jpeg", "b.TXT", "c", ".md", "d.md", "e.unheard")] == [
        "image/jpeg",
        "text/plain",
        "application/octet-stream",
        "application/octet-stream",
        "text/markdown",
        "application/octet-stream",
    ]
