"""Law 2 on every path: what the server lost, has not restored or is unsure of is never told as gone.

First each request that reads, on streams that are held, one kind at a time; then tokens; then what a token from beyond
the stream closes, for whom, and how that ends (I64). A refusal is always the whole request: 503, Retry-After, XML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256

import pytest

from safehold.formats.doubt import Doubt
from safehold.formats.doubt import encode as encode_doubt
from safehold.model.commands import AcceptEnd, LetGo, NoteDoubt
from safehold.model.errors import BadRequest, Held, NotFound
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.token import TOKEN_KEY, account_key, make_token, parse_token
from safehold.service.ahead import END, MAX_PROOFS, PREFIX, proofs_of, require_end
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.service.incidents import end_in_doubt
from tests.support.asgi import DECLARED, ICAL, Answer, Device, event, vcard

BOOK, CALENDAR, TASKS, JOURNAL = (
    "/dav/anna/contacts/default/",
    "/dav/anna/calendars/default/",
    "/dav/anna/calendars/tasks/",
    "/dav/anna/calendars/notes/",
)
NOTES, PHOTOS = "/dav/anna/files/notes/", "/dav/anna/files/photos/"
CONTACTS_HOME, CALENDARS_HOME, FILES = "/dav/anna/contacts/", "/dav/anna/calendars/", "/dav/anna/files/"
#: Where each kind lies: a collection, an item that is there, the homes that would tell of it.
PLACES = {
    Kind.CONTACTS: (BOOK, "one.vcf", CONTACTS_HOME),
    Kind.CALENDAR: (CALENDAR, "one.ics", CALENDARS_HOME),
    Kind.TASKS: (TASKS, "one.ics", CALENDARS_HOME),
    Kind.NOTES: (NOTES, "one.txt", FILES),
    Kind.PHOTOS: (PHOTOS, "one.jpg", FILES),
}
SYNCED = (BOOK, CALENDAR, TASKS)
ANY_PLACE = (*SYNCED, NOTES, PHOTOS)
COMPONENTS = {CALENDAR: "VEVENT", TASKS: "VTODO"}


@pytest.fixture
def filled(device: Device) -> Iterator[Device]:
    """Two items in each place, and folders of files."""
    for path, name, _ in PLACES.values():
        for each in (name, name.replace("one", "two")):
            assert put(device, path + each).status == 201
    for path in (NOTES, PHOTOS):
        assert device.ask("MKCOL", path + "folder/").status == 201
        assert put(device, path + "folder/in.txt").status == 201
    return device  # type: ignore[return-value]


def put(device: Device, path: str, **headers: str) -> Answer:
    folder, _, name = path.rpartition("/")
    if "/contacts/" in path:
        return device.put(path, vcard(name), **headers)
    if "/calendars/" in path:
        return device.put(path, event(name, COMPONENTS.get(folder + "/", "VEVENT")), ICAL, **headers)
    return device.put(path, name.encode(), "text/plain", **headers)


def anna(device: Device) -> Account:
    account = device.gate.reads.account_named("anna")
    assert account is not None
    return account


def hold(device: Device, kind: Kind, reason: str | None = "it is being restored") -> None:
    device.gate.hold(anna(device), kind, reason)


def query(device: Device, path: str) -> Answer:
    prefix, data = ("A:addressbook", "A") if "/contacts/" in path else ("C:calendar", "C")
    comp = '<C:comp-filter name="VCALENDAR"/>' if data == "C" else ""
    asked = f"<D:prop><D:getetag/></D:prop><{data}:filter>{comp}</{data}:filter>"
    body = f"<{prefix}-query {DECLARED}>{asked}</{prefix}-query>"
    return device.ask("REPORT", path, body, {"Depth": "1"})


def free_busy(device: Device, path: str) -> Answer:
    within = '<C:time-range start="20260101T000000Z" end="20260201T000000Z"/>'
    body = f"<C:free-busy-query {DECLARED}>{within}</C:free-busy-query>"
    return device.ask("REPORT", path, body, {"Depth": "1"})


def transfer(device: Device, method: str, source: str, to: str) -> Answer:
    return device.ask(method, source, headers={"Destination": f"http://pim.example{to}", "Host": "pim.example"})


def require_later(answer: Answer) -> None:
    """The whole request, to be asked again."""
    assert answer.status == 503, (answer.status, answer.body[:200])
    assert int(answer.headers["retry-after"]) > 0
    assert answer.error == ""


# -- streams that are not whole --------------------------------------------------------------------------------------


def reads_of(device: Device, kind: Kind) -> Iterator[tuple[str, Callable[[], Answer]]]:
    """Every request that reads and that this kind bears on."""
    path, name, home = PLACES[kind]
    yield "the collection", lambda: device.propfind(path)
    yield "its tags", lambda: device.propfind(path, "S:getctag", "D:sync-token")
    yield "its list", lambda: device.propfind(path, "D:getetag", depth="1")
    yield "an item", lambda: device.ask("GET", path + name)
    yield "its head", lambda: device.ask("HEAD", path + name)
    yield "its properties", lambda: device.propfind(path + name)
    yield "an item that never was", lambda: device.ask("GET", path + "never.x")
    yield "a collection that never was", lambda: device.propfind(home + "never/" if kind in CARDS else path + "never/")
    yield "the home", lambda: device.propfind(home, depth="1")
    if kind in CARDS:
        yield "a first sync", lambda: device.sync(path)
        yield "a sync with a strange token", lambda: device.sync(path, "urn:x:1")
        yield "a multiget", lambda: device.multiget(path, [path + name, path + "never.x"])
        yield "a query", lambda: query(device, path)
    else:
        yield "a folder", lambda: device.propfind(path + "folder/", depth="1")
        yield "a file in it", lambda: device.ask("GET", path + "folder/in.txt")
    if kind is Kind.CALENDAR:
        yield "free and busy", lambda: free_busy(device, path)


CARDS = (Kind.CONTACTS, Kind.CALENDAR, Kind.TASKS)


@pytest.mark.parametrize("kind", PLACES)
def test_each_request_that_reads_a_held_stream(filled: Device, kind: Kind) -> None:
    token = filled.sync(PLACES[kind][0]).token if kind in CARDS else ""
    hold(filled, kind)
    for what, ask in reads_of(filled, kind):
        answer = ask()
        assert answer.status == 503, (what, answer.status)
        assert "retry-after" in answer.headers, what
    if token:
        require_later(filled.sync(PLACES[kind][0], token))
    hold(filled, kind, None)
    for what, ask in reads_of(filled, kind):
        assert ask().status in (200, 207, 403, 404), what


@pytest.mark.parametrize("kind", PLACES)
def test_the_other_kinds_are_served_meanwhile(filled: Device, kind: Kind) -> None:
    hold(filled, kind)
    for other, (path, name, home) in PLACES.items():
        if other is kind:
            continue
        assert filled.ask("GET", path + name).status == 200
        assert len(filled.propfind(path, "D:getetag", depth="1").listed) >= 3
        if home not in (PLACES[kind][2], CALENDARS_HOME if kind is Kind.NOTES else ""):
            assert filled.propfind(home, depth="1").status == 207


def test_a_home_is_listed_whole_or_not_at_all(filled: Device) -> None:
    for kind in (Kind.CALENDAR, Kind.TASKS, Kind.NOTES):
        hold(filled, kind)
        require_later(filled.propfind(CALENDARS_HOME, depth="1"))
        assert filled.propfind(CALENDARS_HOME).status == 207, "itself it is there"
        assert filled.propfind(CONTACTS_HOME, depth="1").status == 207
        hold(filled, kind, None)
    assert len(filled.propfind(CALENDARS_HOME, depth="1").listed) == 4


def test_the_principal_tells_where_homes_lie_whatever_is_held(filled: Device) -> None:
    for kind in PLACES:
        hold(filled, kind)
    answer = filled.propfind("/dav/principals/anna/", "C:calendar-home-set", "A:addressbook-home-set")
    assert answer.status == 207
    assert set(answer.listed[0][200]) == {"C:calendar-home-set", "A:addressbook-home-set"}
    assert len(filled.propfind("/dav/anna/", depth="1").listed) == 4


def test_without_identity_nobody_is_told_that_he_is_not_known(filled: Device) -> None:
    hold(filled, Kind.IDENTITY)
    for path in ("/dav/", BOOK, CONTACTS_HOME, "/dav/principals/anna/"):
        require_later(filled.propfind(path))


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_nothing_is_copied_or_moved_from_or_to_a_held_stream(filled: Device, method: str, kind: Kind) -> None:
    path, name, _ = PLACES[kind]
    hold(filled, kind)
    for source, to in (
        (path + name, path + "there.x"),
        (path + "never.x", path + "there.x"),
        *(((path + "folder/", path + "there/"),) if kind not in CARDS else ()),
    ):
        require_later(transfer(filled, method, source, to))
    other, (elsewhere, its, _) = next((k, place) for k, place in PLACES.items() if k is not kind)
    assert other is not kind
    require_later(transfer(filled, method, elsewhere + its, path + its))
    require_later(transfer(filled, method, path + name, elsewhere + name))
    hold(filled, kind, None)
    assert filled.ask("GET", path + name).status == 200
    assert filled.ask("GET", elsewhere + its).status == 200


@pytest.mark.parametrize("kind", PLACES)
def test_a_write_to_a_held_stream_is_never_told_that_something_is_not_there(filled: Device, kind: Kind) -> None:
    path, name, _ = PLACES[kind]
    hold(filled, kind)
    assert put(filled, path + "new.x").status in (202, 201, 204, 503)
    assert put(filled, path + name, If_Match='"x"').status in (202, 201, 204, 503)
    assert filled.ask("DELETE", path + "never.x").status in (202, 204, 503)
    hold(filled, kind, None)
    assert filled.ask("GET", path + name).status == 200


# -- bodies that are not here ----------------------------------------------------------------------------------------


def test_an_item_whose_body_is_gone_is_listed_with_its_tag(filled: Device) -> None:
    large = b"x" * 70_000
    assert filled.put(NOTES + "large.bin", large, "text/plain").status == 201
    filled.gate.memory_blobs.lost.update(filled.gate.memory_blobs.kept)
    listed = filled.propfind(NOTES, "D:getetag", "D:getcontenttype", depth="1").responses
    assert {"D:getetag", "D:getcontenttype"} <= set(listed[NOTES + "large.bin"][200])
    require_later(filled.ask("GET", NOTES + "large.bin"))
    assert filled.ask("HEAD", NOTES + "large.bin").status == 200


def test_one_body_that_is_damaged_fails_a_whole_multiget(filled: Device) -> None:
    core = filled.gate.core
    core.begin()
    core._db.execute("UPDATE journal SET body = x'00' WHERE name = 'one.vcf'")
    core.commit()
    require_later(filled.multiget(BOOK, [BOOK + "one.vcf", BOOK + "two.vcf"]))
    assert filled.multiget(BOOK, [BOOK + "two.vcf"]).status == 207
    assert len(filled.sync(BOOK).listed) == 2, "listed all the same"


# -- tokens ----------------------------------------------------------------------------------------------------------


def key_of(device: Device) -> bytes:
    key = device.gate.reads.secret(0, TOKEN_KEY)
    assert key is not None
    return account_key(key, anna(device).id)


def token_beyond(device: Device, path: str = BOOK, further: int = 3) -> str:
    """A token that a device got for a state that was then lost."""
    collection = device.gate.reads.collection(anna(device).number, path.removeprefix("/dav/anna/").rstrip("/"))
    assert collection is not None
    return make_token(key_of(device), collection.id, collection.rev + further, sha256(b"%d" % further).digest())


def orphaned(device: Device) -> str:
    """A token of a collection that was lost with its making."""
    return make_token(key_of(device), b"made and lost ..", 900, b"lost" * 8)


LISTS: dict[str, Callable[[Device, str], Answer]] = {
    "a list": lambda device, path: device.propfind(path, "D:getetag", depth="1"),
    "a first sync": lambda device, path: device.sync(path),
    "a sync with a strange token": lambda device, path: device.sync(path, "urn:x:1"),
    "the same of Thunderbird": lambda device, path: device.sync(path, "urn:x:1", agent="Thunderbird"),
    "a query": query,
    "a name that is not there": lambda device, path: device.ask("GET", path + "lost.x"),
    "its properties": lambda device, path: device.propfind(path + "lost.x"),
    "a multiget with such a name": lambda device, path: device.multiget(path, [path + "one.vcf", path + "lost.x"]),
}


@pytest.mark.parametrize("what", LISTS)
def test_once_a_loss_is_proved_nobody_is_given_a_list(filled: Device, what: str) -> None:
    assert LISTS[what](filled, BOOK).status in (207, 400, 403, 404)
    require_later(filled.sync(BOOK, token_beyond(filled), agent="DAVx5"))
    require_later(LISTS[what](filled, BOOK))
    assert LISTS[what](filled, CALENDAR).status != 503, "the others lack nothing that anybody proved"


def test_who_shows_a_good_token_is_answered_and_every_write_is_taken(filled: Device) -> None:
    good = filled.sync(BOOK).token
    require_later(filled.sync(BOOK, token_beyond(filled), agent="DAVx5"))
    assert filled.sync(BOOK, good).listed == []
    assert put(filled, BOOK + "three.vcf").status == 201
    assert filled.ask("DELETE", BOOK + "two.vcf").status == 204
    told = filled.sync(BOOK, good).responses
    assert told[BOOK + "two.vcf"]["status"] == 404, "a recorded delete"
    assert BOOK + "three.vcf" in told
    assert filled.ask("GET", BOOK + "one.vcf").status == 200
    assert filled.multiget(BOOK, [BOOK + "one.vcf"]).status == 207
    assert filled.propfind(BOOK, "D:sync-token").status == 207
    assert filled.propfind(CONTACTS_HOME, depth="1").status == 207, "the collection itself is there"


def test_a_proof_outlives_the_process(filled: Device) -> None:
    require_later(filled.sync(BOOK, token_beyond(filled), agent="DAVx5/4.5"))
    filled.gate.proofs = type(filled.gate.proofs)()
    require_later(filled.propfind(BOOK, "D:getetag", depth="1"))
    (proof,) = proofs_of(filled.gate.reads, anna(filled))
    assert (proof.path, proof.device) == ("contacts/default", "DAVx5/4.5")
    rev = filled.gate.reads.head(anna(filled).number, Kind.IDENTITY).rev
    require_later(filled.sync(BOOK, token_beyond(filled), agent="another"))
    assert filled.gate.reads.head(anna(filled).number, Kind.IDENTITY).rev == rev, "one proof is written once"


def test_a_proof_that_cannot_be_written_counts_and_is_written_later(
    filled: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_: object) -> None:
        raise Held("the vault near is away")

    token = token_beyond(filled)
    with monkeypatch.context() as patched:
        patched.setattr(filled.gate, "execute", down)
        require_later(filled.sync(BOOK, token))
        require_later(filled.propfind(BOOK, "D:getetag", depth="1"))
        assert proofs_of(filled.gate.reads, anna(filled)) == []
    require_later(filled.sync(BOOK, token))
    assert len(proofs_of(filled.gate.reads, anna(filled))) == 1


def test_it_ends_when_the_point_is_on_the_stream_again(filled: Device) -> None:
    """As after a recovery that went further: here the point is one that comes to be."""
    collection = filled.gate.reads.collection(anna(filled).number, "contacts/default")
    assert collection is not None
    put(filled, BOOK + "three.vcf")
    token = filled.sync(BOOK).token
    point = parse_token(key_of(filled), token)
    kept = filled.gate.reads.hash_at

    def without(account: int, kind: Kind, rev: int) -> bytes | None:
        return None if (kind, rev) == (Kind.CONTACTS, point.rev) else kept(account, kind, rev)

    def shown() -> Answer:
        return filled.propfind(BOOK, "D:getetag", depth="1")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(filled.gate.reads), "hash_at", lambda _, account, kind, rev: without(account, kind, rev))
        require_later(filled.sync(BOOK, token))
        require_later(shown())
    assert shown().status == 207
    assert filled.sync(BOOK, token).listed == []


def test_it_ends_by_the_persons_word(filled: Device) -> None:
    token = token_beyond(filled)
    require_later(filled.sync(BOOK, token))
    filled.gate.engine.execute(LetGo(account=anna(filled).id, path="contacts/default"))
    for text in (token, token_beyond(filled, further=2)):
        answer = filled.sync(BOOK, text)
        assert (answer.status, answer.error) == (403, "D:valid-sync-token")
    assert filled.sync(BOOK, token, agent="Thunderbird").status == 400
    assert len(filled.sync(BOOK).listed) == 2
    require_later(filled.sync(BOOK, token_beyond(filled, further=9)))
    require_later(filled.sync(BOOK))


def test_a_device_may_keep_what_it_alone_has_where_the_person_says_so(filled: Device) -> None:
    token = token_beyond(filled)
    require_later(filled.sync(BOOK, token))
    filled.gate.engine.execute(LetGo(account=anna(filled).id, path="contacts/default", word="keep"))
    answer = filled.sync(BOOK, token)
    assert [one["status"] for one in answer.listed] == [None, None], "and no delete is told"
    assert filled.sync(BOOK, answer.token).listed == [], "it counts from there on"
    with pytest.raises(BadRequest):
        filled.gate.engine.execute(LetGo(account=anna(filled).id, path="contacts/default", word="perhaps"))


def test_a_collection_that_was_lost_with_its_making_is_not_told_as_gone(filled: Device) -> None:
    lost = CONTACTS_HOME + "lost/"
    assert filled.propfind(lost).status == 404
    require_later(filled.sync(lost, orphaned(filled)))
    require_later(filled.propfind(lost))
    require_later(filled.propfind(lost, depth="1"))
    require_later(filled.ask("GET", lost + "one.vcf"))
    require_later(filled.propfind(CONTACTS_HOME, depth="1"))
    assert filled.propfind(CALENDARS_HOME, depth="1").status == 207
    assert put(filled, lost + "new.vcf").status == 503, "and no 409, which devices take for final"
    filled.gate.engine.execute(LetGo(account=anna(filled).id, path="contacts/lost"))
    assert filled.propfind(lost).status == 404
    assert filled.sync(lost, orphaned(filled)).status == 404
    assert filled.propfind(CONTACTS_HOME, depth="1").status == 207


def test_a_token_shown_at_another_place_closes_that_place_too(filled: Device) -> None:
    require_later(filled.sync(BOOK, orphaned(filled)))
    require_later(filled.propfind(BOOK, "D:getetag", depth="1"))
    assert filled.propfind(CONTACTS_HOME, depth="1").status == 207, "the book that lies there is on record"


def test_a_forged_token_closes_nothing(filled: Device) -> None:
    point = parse_token(key_of(filled), filled.sync(BOOK).token)
    forged = make_token(b"k" * 32, point.collection, point.rev + 3, b"lost" * 8)
    assert filled.sync(BOOK, forged).status == 403
    assert filled.propfind(BOOK, "D:getetag", depth="1").status == 207


def test_proofs_have_a_bound(filled: Device) -> None:
    for further in range(1, MAX_PROOFS + 10):
        require_later(filled.sync(BOOK, token_beyond(filled, further=further)))
    assert len(filled.gate.reads.secrets(anna(filled).number, PREFIX)) == MAX_PROOFS
    require_later(filled.propfind(BOOK, "D:getetag", depth="1"))


def test_another_account_is_not_told(filled: Device) -> None:
    require_later(filled.sync(BOOK, token_beyond(filled)))
    bob = Device(filled.gate, "bob")
    try:
        assert bob.propfind("/dav/bob/contacts/default/", "D:getetag", depth="1").status == 207
    finally:
        bob.loop.close()


# -- retries ---------------------------------------------------------------------------------------------------------


def test_retries_are_spread(filled: Device) -> None:
    hold(filled, Kind.CONTACTS)
    waits = {int(filled.sync(BOOK).headers["retry-after"]) for _ in range(60)}
    assert len(waits) > 10
    assert all(45 <= seconds <= 75 for seconds in waits)


# -- the end of the log is in doubt ------------------------------------------------------------------------------------


def doubt_the_end(device: Device, mark: str = "7-abc") -> None:
    """As a recovery leaves it that could not know how the log had ended, in the core alone."""
    core = device.gate.core
    core.begin()
    core.set_end_in_doubt(encode_doubt(Doubt(5, 12.0, mark)))
    core.commit()


def put_on_record(device: Device) -> None:
    device.gate.engine.execute(NoteDoubt(account=SYSTEM_ACCOUNT))
    assert device.gate.reads.end_in_doubt() == b""


def accept(device: Device) -> bool:
    return device.gate.engine.execute(AcceptEnd(account=SYSTEM_ACCOUNT)).changed


def give_the_word(device: Device) -> bool:
    return device.gate.engine.execute(LetGo(account=anna(device).id, path=END)).changed


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("end", [accept, give_the_word])
def test_while_the_end_is_in_doubt_nothing_is_listed_and_nothing_is_absent(
    filled: Device, recorded: bool, end: Callable[[Device], bool]
) -> None:
    asks = {
        **{f"list {path}": partial(filled.propfind, path, "D:getetag", depth="1") for path in ANY_PLACE},
        **{f"sync {path}": partial(filled.sync, path) for path in SYNCED},
        "home of contacts": lambda: filled.propfind(CONTACTS_HOME, depth="1"),
        "home of calendars": lambda: filled.propfind(CALENDARS_HOME, depth="1"),
        "a bad token": lambda: filled.sync(BOOK, "urn:x:nothing"),
        "an item": lambda: filled.ask("GET", BOOK + "gone.vcf"),
        "an item, by HEAD": lambda: filled.ask("HEAD", BOOK + "gone.vcf"),
        "a file": lambda: filled.ask("GET", NOTES + "gone.txt"),
        "a file deep down": lambda: filled.ask("GET", NOTES + "lost/gone.txt"),
        "a collection": lambda: filled.propfind(CONTACTS_HOME + "lost/"),
        "an item of a lost collection": lambda: filled.ask("GET", CONTACTS_HOME + "lost/one.vcf"),
        "a write below a lost collection": lambda: put(filled, CONTACTS_HOME + "lost/one.vcf"),
        "multiget": lambda: filled.multiget(BOOK, [BOOK + "gone.vcf"]),
    }
    before = {what: ask().status for what, ask in asks.items()}
    assert 503 not in before.values()
    tokens = {path: filled.sync(path).token for path in SYNCED}
    doubt_the_end(filled)
    if recorded:
        put_on_record(filled)
    for what, ask in asks.items():
        answer = ask()
        assert answer.status == 503, what
        if "HEAD" not in what:
            require_later(answer)
    for path, token in tokens.items():
        assert filled.sync(path, token).status == 207, "who shows a token that is on the stream is answered"
    assert filled.ask("GET", BOOK + "one.vcf").status == 200
    assert filled.propfind(BOOK).status == 207
    assert filled.multiget(BOOK, [BOOK + "one.vcf"]).status == 207
    assert put(filled, BOOK + "new.vcf").status == 201
    assert filled.ask("DELETE", BOOK + "new.vcf").status == 204
    assert filled.ask("MKCOL", NOTES + "made/").status == 201
    assert filled.ask("MOVE", NOTES + "two.txt", headers={"Destination": NOTES + "moved.txt"}).status == 201
    assert filled.ask("MOVE", NOTES + "moved.txt", headers={"Destination": NOTES + "two.txt"}).status == 201
    assert end(filled)
    after = {what: ask().status for what, ask in asks.items()}
    assert after == before


def test_the_word_is_one_persons_and_about_one_loss(filled: Device) -> None:
    doubt_the_end(filled)
    put_on_record(filled)
    other = filled.gate.add_account("other")
    assert give_the_word(filled)
    with pytest.raises(Held):
        require_end(filled.gate.reads, other)
    with pytest.raises(NotFound):
        give_the_word(filled)
    doubt_the_end(filled, "9-fff")
    require_later(filled.sync(BOOK))
    with pytest.raises(BadRequest):
        filled.gate.engine.execute(LetGo(account=anna(filled).id, path=END, word="keep"))
    assert accept(filled)
    assert filled.sync(BOOK).status == 207
    assert not accept(filled), "nothing is in doubt any more"
    require_end(filled.gate.reads, other)


def test_what_a_device_proves_closes_its_collection_after_the_word_too(filled: Device) -> None:
    doubt_the_end(filled)
    require_later(filled.sync(BOOK, token_beyond(filled)))
    assert give_the_word(filled)
    require_later(filled.propfind(BOOK, "D:getetag", depth="1"))
    assert filled.propfind(CALENDAR, "D:getetag", depth="1").status == 207


def test_the_operator_is_told_until_it_ends(filled: Device) -> None:
    assert end_in_doubt(filled.gate.reads) == []
    doubt_the_end(filled)
    (told,) = end_in_doubt(filled.gate.reads)
    assert (told["what"], told["unknown_seconds"], told["until"]) == ("the end of the log is in doubt", 12.0, None)
    assert "--accept-loss" in told["hint"]
    put_on_record(filled)
    assert end_in_doubt(filled.gate.reads) == [told]
    give_the_word(filled)
    assert end_in_doubt(filled.gate.reads) == [told], "it is one person's word"
    accept(filled)
    assert end_in_doubt(filled.gate.reads) == []


def test_a_doubt_that_cannot_be_read_is_a_doubt(filled: Device) -> None:
    core = filled.gate.core
    core.begin()
    core.set_end_in_doubt(b"{")
    core.commit()
    require_later(filled.sync(BOOK))
    assert accept(filled)
    assert filled.sync(BOOK).status == 207
