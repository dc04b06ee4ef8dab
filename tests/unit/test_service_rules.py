"""What commands do and what refuses them: the rules of items, collections, identity and undo, on a real core."""

from __future__ import annotations

from hashlib import sha256

import pytest

from safehold.disaster.house import House
from safehold.model.change import Op
from safehold.model.commands import (
    AcceptLoss,
    AddAccount,
    AddAppPassword,
    AddScore,
    Body,
    DeleteItem,
    EraseAccount,
    MakeCollection,
    Outcome,
    PatchProps,
    PutItem,
    RemoveCollection,
    RevokeAppPassword,
    SetListed,
    Tags,
    Undo,
)
from safehold.model.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Held,
    InvalidContent,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    UnsupportedMedia,
)
from safehold.model.kinds import CollectionType, Kind
from safehold.ports.core import NOT_YET

FOLDER = CollectionType.FOLDER
CALENDAR = CollectionType.CALENDAR
BOOK = "contacts/default"


@pytest.fixture
def house() -> House:
    return House.new()


def card(uid: str, note: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def body(data: bytes) -> Body:
    return Body(sha256(data).digest(), len(data), inline=data)


def put(house: House, name: str, uid: str, note: str = "", **more: object) -> Outcome:
    command = PutItem(
        account=house.account().id,
        path=BOOK,
        name=name,
        body=body(card(uid, note)),
        media="text/vcard",
        uid=uid,
        **more,  # type: ignore[arg-type]
    )
    return house.engine.execute(command)


def note(house: House, path: str, name: str, data: bytes) -> Outcome:
    return house.engine.execute(
        PutItem(account=house.account().id, path=path, name=name, body=body(data), media="text/plain")
    )


def folder(house: House, path: str) -> Outcome:
    return house.engine.execute(MakeCollection(account=house.account().id, path=path, type=FOLDER))


def names(house: House, path: str = BOOK) -> list[str]:
    collection = house.reads.collection(house.account().number, path)
    assert collection is not None
    return [item.name for item in house.reads.items(collection)]


def stored(house: House, path: str, name: str) -> bytes | None:
    collection = house.reads.collection(house.account().number, path)
    assert collection is not None
    item = house.reads.item(collection, name)
    return None if item is None else house.reads.body(item).inline


def test_a_new_account_has_its_collections(house: House) -> None:
    paths = [c.path for c in house.reads.collections(house.account().number)]
    assert paths == [
        "calendars/default",
        "calendars/notes",
        "calendars/tasks",
        "contacts/default",
        "files/notes",
        "files/photos",
        "identity",
    ]


@pytest.mark.parametrize("name", ["", "Ann", "a b", "principals", "a/b", "x" * 65, "é"])
def test_a_bad_account_name_is_refused(house: House, name: str) -> None:
    with pytest.raises(BadRequest):
        house.engine.execute(AddAccount(account=b"\1" * 16, name=name))


def test_a_taken_account_name_is_refused(house: House) -> None:
    with pytest.raises(Conflict):
        house.engine.execute(AddAccount(account=b"\1" * 16, name="ann"))


def test_put_creates_then_replaces(house: House) -> None:
    first = put(house, "a.vcf", "a")
    second = put(house, "a.vcf", "a", "more")
    assert first.created and not second.created
    assert second.rev == first.rev + 1
    assert stored(house, BOOK, "a.vcf") == card("a", "more")


def test_the_same_bytes_again_are_no_change(house: House) -> None:
    first = put(house, "a.vcf", "a")
    again = put(house, "a.vcf", "a")
    assert not again.changed and again.digest == first.digest
    assert house.reads.head(house.account().number, Kind.CONTACTS).rev == first.rev


def test_if_none_match_and_if_match(house: House) -> None:
    first = put(house, "a.vcf", "a", if_none_match=Tags(any=True))
    with pytest.raises(PreconditionFailed):
        put(house, "a.vcf", "a", "x", if_none_match=Tags(any=True))
    with pytest.raises(PreconditionFailed):
        put(house, "a.vcf", "a", "x", if_match=Tags(digests=(bytes(32),)))
    with pytest.raises(PreconditionFailed):
        put(house, "b.vcf", "b", if_match=Tags(any=True))
    put(house, "a.vcf", "a", "x", if_match=Tags(digests=(first.digest,)))
    assert stored(house, BOOK, "a.vcf") == card("a", "x")


def test_a_refused_body_stays_in_the_history(house: House) -> None:
    put(house, "a.vcf", "a")
    with pytest.raises(PreconditionFailed):
        put(house, "a.vcf", "a", "precious", if_none_match=Tags(any=True))
    newest = next(house.reads.history(house.account().number, path=BOOK, name="a.vcf"))
    assert newest.op is Op.REFUSED
    assert house.reads.version_body(newest.journal).inline == card("a", "precious")
    assert stored(house, BOOK, "a.vcf") == card("a")


def test_what_is_refused_again_and_again_is_kept_once(house: House) -> None:
    put(house, "a.vcf", "a")

    def refused(note: str) -> int:
        with pytest.raises(PreconditionFailed):
            put(house, "a.vcf", "a", note, if_none_match=Tags(any=True))
        return house.reads.head(house.account().number, Kind.CONTACTS).rev

    first = refused("precious")
    assert refused("precious") == first
    assert refused("other") == first + 1
    assert refused("precious") == first + 2


def test_a_refused_delete_raises_the_revision_of_the_item(house: House) -> None:
    before = put(house, "a.vcf", "a")
    with pytest.raises(PreconditionFailed):
        house.engine.execute(
            DeleteItem(account=house.account().id, path=BOOK, name="a.vcf", if_match=Tags(digests=(bytes(32),)))
        )
    collection = house.reads.collection(house.account().number, BOOK)
    assert collection is not None
    touched = house.reads.touched(collection, before.rev)
    assert [(t.name, t.deleted, t.item is not None) for t in touched] == [("a.vcf", False, True)]


def test_a_delete_of_what_is_not_there_has_nothing_to_be_in_conflict_with(house: House) -> None:
    """RFC 9110 section 13.2.1: conditions are passed over where the answer without them would be 404."""
    put(house, "a.vcf", "a")
    for tags in (None, Tags(any=True), Tags(digests=(bytes(32),))):
        with pytest.raises(NotFound):
            house.engine.execute(DeleteItem(account=house.account().id, path=BOOK, name="b.vcf", if_match=tags))


def test_one_uid_one_resource(house: House) -> None:
    put(house, "a.vcf", "a")
    with pytest.raises(Conflict) as taken:
        put(house, "b.vcf", "a")
    assert taken.value.element.endswith("no-uid-conflict") and taken.value.href == "contacts/default/a.vcf"
    with pytest.raises(Conflict):
        put(house, "a.vcf", "other")
    house.engine.execute(DeleteItem(account=house.account().id, path=BOOK, name="a.vcf"))
    assert put(house, "b.vcf", "a").created


def test_a_collection_takes_what_it_is_for(house: House) -> None:
    account = house.account().id
    with pytest.raises(UnsupportedMedia):
        house.engine.execute(PutItem(account=account, path=BOOK, name="n", body=body(b"x"), media="text/plain"))
    with pytest.raises(InvalidContent) as wrong:
        house.engine.execute(
            PutItem(
                account=account,
                path="calendars/tasks",
                name="e.ics",
                body=body(b"x"),
                media="text/calendar",
                uid="e",
                component="VEVENT",
            )
        )
    assert wrong.value.element.endswith("supported-calendar-component")
    with pytest.raises(Conflict):
        house.engine.execute(
            PutItem(account=account, path="contacts/none", name="a", body=body(b"x"), media="", uid="a")
        )


def test_delete_of_what_never_was_is_not_found(house: House) -> None:
    with pytest.raises(NotFound):
        house.engine.execute(DeleteItem(account=house.account().id, path=BOOK, name="a.vcf"))


def test_folders_lie_in_folders(house: House) -> None:
    with pytest.raises(Conflict):
        folder(house, "files/notes/a/b")
    folder(house, "files/notes/a")
    folder(house, "files/notes/a/b")
    with pytest.raises(NotAllowed):
        folder(house, "files/notes/a")
    note(house, "files/notes/a/b", "n.txt", b"hi")
    with pytest.raises(NotAllowed):
        folder(house, "files/notes/a/b/n.txt")
    with pytest.raises(NotAllowed):
        note(house, "files/notes/a", "b", b"x")
    with pytest.raises(Forbidden):
        folder(house, "files/music")
    with pytest.raises(Forbidden):
        house.engine.execute(RemoveCollection(account=house.account().id, path="files/notes"))


def test_a_removed_folder_takes_all_below_in_one_group(house: House) -> None:
    folder(house, "files/notes/a")
    folder(house, "files/notes/a/b")
    house.engine.execute(RemoveCollection(account=house.account().id, path="files/notes/a"))
    assert house.reads.collections(house.account().number, "files/notes/") == []
    last, before = list(house.reads.history(house.account().number, kind=Kind.NOTES))[:2]
    assert last.op is before.op is Op.RMCOL and last.group == before.group == before.rev


def test_a_new_collection_under_an_old_name_has_a_new_id(house: House) -> None:
    account = house.account()
    folder(house, "files/notes/a")
    old = house.reads.collection(account.number, "files/notes/a")
    house.engine.execute(RemoveCollection(account=account.id, path="files/notes/a"))
    folder(house, "files/notes/a")
    new = house.reads.collection(account.number, "files/notes/a")
    assert old is not None and new is not None and old.id != new.id


def test_properties_of_items_and_collections(house: House) -> None:
    put(house, "a.vcf", "a")
    account = house.account()
    house.engine.execute(PatchProps(account=account.id, path=BOOK, name="a.vcf", set={"{x}y": '<y xmlns="x">1</y>'}))
    collection = house.reads.collection(account.number, BOOK)
    assert collection is not None
    item = house.reads.item(collection, "a.vcf")
    assert item is not None and house.reads.props(item) == {"{x}y": '<y xmlns="x">1</y>'}
    put(house, "a.vcf", "a", "new body")
    item = house.reads.item(collection, "a.vcf")
    assert item is not None and house.reads.props(item) == {"{x}y": '<y xmlns="x">1</y>'}, "properties outlive a PUT"
    house.engine.execute(PatchProps(account=account.id, path=BOOK, set={"{x}z": "<z/>"}, remove=("{DAV:}displayname",)))
    collection = house.reads.collection(account.number, BOOK)
    assert collection is not None and collection.props == {"type": "addressbook", "{x}z": "<z/>"}
    with pytest.raises(Forbidden):
        house.engine.execute(PatchProps(account=account.id, path=BOOK, set={"type": "folder"}))


def test_scores_make_their_game(house: House) -> None:
    account = house.account()
    for score in (3, 9.5, 7):
        house.engine.execute(AddScore(account=account.id, game="tetris", score=score, detail='{"level": 1}'))
    assert house.reads.best_score(account.number, "tetris") == 9.5
    assert len(names(house, "scores/tetris")) == 3
    for bad in (float("nan"), float("inf")):
        with pytest.raises(BadRequest):
            house.engine.execute(AddScore(account=account.id, game="tetris", score=bad))
    with pytest.raises(BadRequest):
        house.engine.execute(AddScore(account=account.id, game="tetris", score=1, detail="{"))


def test_only_those_who_chose_are_listed(house: House) -> None:
    account = house.account()
    house.engine.execute(AddScore(account=account.id, game="go", score=5))
    assert house.reads.leaderboard("go", 10) == []
    house.engine.execute(SetListed(account=account.id, listed=True))
    assert [(name, score) for name, score, _ in house.reads.leaderboard("go", 10)] == [("ann", 5)]


def test_app_passwords_are_added_once_and_revoked(house: House) -> None:
    account = house.account().id
    house.engine.execute(AddAppPassword(account=account, label="phone", sha256=bytes(32)))
    with pytest.raises(Conflict):
        house.engine.execute(AddAppPassword(account=account, label="phone", sha256=bytes(32)))
    house.engine.execute(RevokeAppPassword(account=account, label="phone"))
    assert house.reads.secrets(house.account().number, "app/") == []
    with pytest.raises(NotFound):
        house.engine.execute(RevokeAppPassword(account=account, label="phone"))


def test_an_erased_account_is_gone_and_registered(house: House) -> None:
    account = house.account()
    put(house, "a.vcf", "a")
    house.engine.execute(EraseAccount(account=account.id))
    assert house.reads.account_named("ann") is None
    assert [name for name, _ in house.reads.secrets(0, "erased/")] == [f"erased/{account.id.hex()}"]
    with pytest.raises(NotFound):
        house.engine.execute(DeleteItem(account=account.id, path=BOOK, name="a.vcf"))


class TestAcceptLoss:
    @staticmethod
    def hold(house: House, kind: Kind, reason: str) -> None:
        core = house.engine.core
        core.begin()
        core.hold(house.account().id, kind, reason)
        core.commit()

    @pytest.mark.parametrize("kind", [Kind.CONTACTS, Kind.SCORES])
    def test_the_stream_is_served_again_and_it_is_on_record(self, house: House, kind: Kind) -> None:
        """Of scores nothing is there, not even a game."""
        self.hold(house, kind, "revisions 2 to 3 are in no vault")
        account = house.account()
        command = AcceptLoss(account=account.id, kind=kind)
        outcome = house.engine.execute(command)
        assert outcome.changed
        assert house.reads.held(account.number, kind) is None
        version = house.reads.version_at(account.number, kind, outcome.rev)
        assert version is not None
        assert version.op is Op.GAP
        assert not house.engine.execute(command).changed
        after = house.crash()
        after.boot()
        assert after.reads.held(account.number, kind) is None

    def test_it_is_taken_in_like_any_change(self, house: House) -> None:
        self.hold(house, Kind.CONTACTS, "revisions 2 to 3 are in no vault")
        account = house.account()
        house.disk.fail("write", path="/core/", times=1)
        with pytest.raises(Held):
            house.engine.execute(AcceptLoss(account=account.id, kind=Kind.CONTACTS))
        house.disk.mend()
        assert house.reads is not None and house.tick()
        assert house.reads.held(account.number, Kind.CONTACTS) is None

    def test_what_a_recovery_left_out_is_not_lost(self, house: House) -> None:
        self.hold(house, Kind.CONTACTS, NOT_YET)
        account = house.account()
        with pytest.raises(Conflict):
            house.engine.execute(AcceptLoss(account=account.id, kind=Kind.CONTACTS))
        assert house.reads.held(account.number, Kind.CONTACTS) == NOT_YET


class TestUndo:
    def at(self, house: House) -> int:
        """A moment between what was before and what comes after."""
        house.sim_clock.advance(10)
        moment = house.clock.now()
        house.sim_clock.advance(10)
        return moment

    def undo(self, house: House, to: int, **more: object) -> list[tuple[str, str, str]]:
        outcome = house.engine.execute(Undo(account=house.account().id, to=to, **more))  # type: ignore[arg-type]
        return [(u.path, u.name, u.action) for u in outcome.undone]

    def test_a_collection_comes_back_to_a_moment(self, house: House) -> None:
        put(house, "kept.vcf", "kept")
        put(house, "changed.vcf", "changed", "old")
        put(house, "deleted.vcf", "deleted")
        moment = self.at(house)
        put(house, "changed.vcf", "changed", "new")
        put(house, "added.vcf", "added")
        house.engine.execute(DeleteItem(account=house.account().id, path=BOOK, name="deleted.vcf"))
        expected = [
            (BOOK, "added.vcf", "removed"),
            (BOOK, "changed.vcf", "changed"),
            (BOOK, "deleted.vcf", "added"),
        ]
        before = house.reads.head(house.account().number, Kind.CONTACTS)
        assert self.undo(house, moment, path=BOOK, dry_run=True) == expected
        assert house.reads.head(house.account().number, Kind.CONTACTS) == before, "a dry run changes nothing"
        assert self.undo(house, moment, path=BOOK) == expected
        assert names(house) == ["changed.vcf", "deleted.vcf", "kept.vcf"]
        assert stored(house, BOOK, "changed.vcf") == card("changed", "old")
        assert self.undo(house, moment, path=BOOK) == []

    @pytest.mark.parametrize("more", [{"path": "calendars/lost"}, {"path": "calendars/lost", "name": "a.ics"}])
    def test_what_may_have_been_there_is_not_denied(self, house: House, more: dict[str, str]) -> None:
        moment = self.at(house)
        core = house.engine.core
        core.begin()
        core.hold(house.account().id, Kind.TASKS, "revisions 2 to 3 are in no vault")
        core.commit()
        with pytest.raises(Held):
            self.undo(house, moment, **more)

    def test_an_undo_can_be_undone(self, house: House) -> None:
        moment = self.at(house)
        put(house, "a.vcf", "a")
        later = self.at(house)
        self.undo(house, moment, path=BOOK)
        assert names(house) == []
        self.undo(house, later, path=BOOK)
        assert stored(house, BOOK, "a.vcf") == card("a")

    def test_one_item(self, house: House) -> None:
        put(house, "a.vcf", "a", "old")
        put(house, "b.vcf", "b", "old")
        moment = self.at(house)
        put(house, "a.vcf", "a", "new")
        put(house, "b.vcf", "b", "new")
        assert self.undo(house, moment, path=BOOK, name="a.vcf") == [(BOOK, "a.vcf", "changed")]
        assert stored(house, BOOK, "a.vcf") == card("a", "old")
        assert stored(house, BOOK, "b.vcf") == card("b", "new")

    def test_properties_come_back(self, house: House) -> None:
        put(house, "a.vcf", "a")
        account = house.account().id
        house.engine.execute(PatchProps(account=account, path=BOOK, name="a.vcf", set={"{x}y": "<y/>"}))
        moment = self.at(house)
        house.engine.execute(PatchProps(account=account, path=BOOK, name="a.vcf", set={"{x}y": "<y>2</y>"}))
        house.engine.execute(PatchProps(account=account, path=BOOK, set={"{x}c": "<c/>"}))
        assert self.undo(house, moment, path=BOOK) == [(BOOK, "", "changed"), (BOOK, "a.vcf", "changed")]
        collection = house.reads.collection(house.account().number, BOOK)
        assert collection is not None and "{x}c" not in collection.props
        item = house.reads.item(collection, "a.vcf")
        assert item is not None and house.reads.props(item) == {"{x}y": "<y/>"}

    def test_a_kind_with_its_folders(self, house: House) -> None:
        folder(house, "files/notes/a")
        note(house, "files/notes/a", "n.txt", b"text")
        moment = self.at(house)
        house.engine.execute(RemoveCollection(account=house.account().id, path="files/notes/a"))
        folder(house, "files/notes/new")
        assert self.undo(house, moment, kind=Kind.NOTES) == [
            ("files/notes/a", "", "added"),
            ("files/notes/a", "n.txt", "added"),
            ("files/notes/new", "", "removed"),
        ]
        assert stored(house, "files/notes/a", "n.txt") == b"text"

    def test_an_item_whose_uid_another_has_taken_does_not_come_back_alone(self, house: House) -> None:
        put(house, "a.vcf", "a")
        moment = self.at(house)
        house.engine.execute(DeleteItem(account=house.account().id, path=BOOK, name="a.vcf"))
        put(house, "b.vcf", "a")
        with pytest.raises(Conflict, match="UID"):
            self.undo(house, moment, path=BOOK, name="a.vcf")
        assert names(house) == ["b.vcf"]
        self.undo(house, moment, path=BOOK)
        assert names(house) == ["a.vcf"]

    def test_a_folder_comes_back_only_into_a_folder(self, house: House) -> None:
        folder(house, "files/notes/a")
        folder(house, "files/notes/a/b")
        moment = self.at(house)
        house.engine.execute(RemoveCollection(account=house.account().id, path="files/notes/a"))
        for dry_run in (True, False):
            with pytest.raises(Conflict, match="no folder"):
                self.undo(house, moment, path="files/notes/a/b", dry_run=dry_run)
        note(house, "files/notes", "a", b"in its place")
        with pytest.raises(Conflict, match="file"):
            self.undo(house, moment, path="files/notes/a")
        self.undo(house, moment, kind=Kind.NOTES)
        assert house.reads.collection(house.account().number, "files/notes/a/b") is not None

    def test_a_file_does_not_come_back_where_a_folder_lies(self, house: House) -> None:
        note(house, "files/notes", "a", b"a file")
        moment = self.at(house)
        house.engine.execute(DeleteItem(account=house.account().id, path="files/notes", name="a"))
        folder(house, "files/notes/a")
        with pytest.raises(Conflict, match="folder"):
            self.undo(house, moment, path="files/notes", name="a")
        self.undo(house, moment, kind=Kind.NOTES)
        assert stored(house, "files/notes", "a") == b"a file"

    def test_a_calendar_does_not_come_back_over_a_list_of_tasks(self, house: House) -> None:
        account, path = house.account().id, "calendars/x"
        kinds = [frozenset((component,)) for component in ("VEVENT", "VTODO")]
        make = [MakeCollection(account=account, path=path, type=CALENDAR, components=c) for c in kinds]
        house.engine.execute(make[0])
        moment = self.at(house)
        house.engine.execute(RemoveCollection(account=account, path=path))
        house.engine.execute(make[1])
        with pytest.raises(Conflict, match="another kind"):
            self.undo(house, moment, path=path)
        with pytest.raises(Conflict, match="another kind"):
            self.undo(house, moment, kind=Kind.CALENDAR)

    def test_a_time_before_the_account_is_refused(self, house: House) -> None:
        put(house, "a.vcf", "a")
        with pytest.raises(NotFound):
            self.undo(house, 1, kind=Kind.CONTACTS)
        with pytest.raises(NotFound):
            self.undo(house, 1, path=BOOK)
        with pytest.raises(BadRequest):
            self.undo(house, house.clock.now() + 10**9, kind=Kind.CONTACTS)
        assert names(house) == ["a.vcf"]
