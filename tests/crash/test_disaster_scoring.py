"""The scorekeeper of the disaster lab: a house that breaks its word is found out, in the member that stands for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from safehold.disaster.copies import Copies
from safehold.disaster.costs import AWAY, LOCAL, Meter
from safehold.disaster.lab import World
from safehold.disaster.ledger import Ledger, kind_of
from safehold.disaster.scoring import Counted, Told, score
from safehold.lab.clients.tables import table_of
from safehold.lab.wire import Answer, Request
from safehold.lab.world import SimClock
from safehold.model.commands import DeleteItem
from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.recovery.report import KindCount, Loss, Report


@pytest.fixture
def world() -> World:
    made = World("scoring", 1, 1)
    made.by_hand("ann", 6)
    for number in range(3):
        assert put(made, f"c{number}").status == 201
    made.sync()
    made.struck("nothing, yet")
    yield made
    made.house.abandon()


def put(world: World, uid: str) -> Answer:
    card = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\nEND:VCARD\r\n"
    return world.put("ann", "contacts/default", f"{uid}.vcf", card.encode(), "text/vcard")


def lose(world: World, name: str) -> None:
    """The house deletes by itself what nobody deleted."""
    command = DeleteItem(account=world.house.account("ann").id, path="contacts/default", name=name, actor="fault")
    world.house.engine.execute(command)


def report(*lost: Loss, unknown_seconds: float = 0.0) -> Report:
    items = {kind: KindCount() for kind in Kind}
    return Report(1, 1, 1, 1, items, list(lost), unknown_seconds, [], 0.0, 0.0, True, 1)


def test_all_is_exact_where_nothing_is_wrong(world: World) -> None:
    counted = Counted(world)
    assert counted.exact == counted.acknowledged >= 6
    assert (counted.silent, counted.resurrected, counted.not_exact) == ([], [], {})


def test_an_item_that_is_gone_without_a_word_is_silent(world: World) -> None:
    lose(world, "c1.vcf")
    counted = Counted(world)
    assert (counted.lost, len(counted.silent)) == (1, 1)
    assert counted.lost + counted.exact == counted.acknowledged
    found = score(world, counted, None)
    assert found.silent == 1
    assert not found.passed


@pytest.mark.parametrize(
    "loss",
    [
        lambda rev: Loss("ann", Kind.CONTACTS, "contacts/default", "c1.vcf", []),
        lambda rev: Loss("ann", Kind.CONTACTS, None, None, [rev - 1, rev]),
    ],
)
def test_a_loss_that_is_told_by_name_or_by_rev_is_not(world: World, loss: Callable[[int], Loss]) -> None:
    rev = world.ledger.last(("ann/contacts/default", "c1.vcf")).rev
    assert rev
    lose(world, "c1.vcf")
    world.reports.append(report(loss(rev)))
    counted = Counted(world)
    assert (counted.lost, counted.silent) == (1, [])


def test_what_is_younger_than_a_told_moment_is_unknown(world: World) -> None:
    lose(world, "c1.vcf")
    world.unknown_from = world.ledger.last(("ann/contacts/default", "c1.vcf")).at
    counted = Counted(world)
    assert (counted.unknown, counted.lost, counted.silent) == (1, 0, [])
    world.unknown_from += 2_000_000
    assert Counted(world).silent


def test_what_lies_in_lost_frames_that_are_named_is_unknown() -> None:
    told = Told([], None, [(7, 9)], {})
    ledger = Ledger(lambda: 5)
    ledger.say(("ann/contacts/default", "x"), b"1")
    word = ledger.last(("ann/contacts/default", "x"))
    assert told.unknown(word._replace(frame=7))
    assert not told.unknown(word._replace(frame=10))


def test_an_older_version_is_older_and_a_delete_that_did_not_last_is_a_resurrection(world: World) -> None:
    key = ("ann/contacts/default", "c2.vcf")
    world.ledger.say(key, b"what a device was told is there now")
    world.ledger.say(("ann/contacts/default", "c0.vcf"), None)
    counted = Counted(world)
    assert counted.not_exact[key] == "older"
    assert len(counted.resurrected) == 1


def test_a_body_that_nobody_ever_sent_is_silent(world: World) -> None:
    world.ledger._words.pop(("ann/contacts/default", "c0.vcf"))
    assert any("never sent" in why for why in Counted(world).silent)


def test_what_is_left_of_an_erased_account_is_a_resurrection(world: World) -> None:
    world.ledger.erase("ann")
    counted = Counted(world)
    assert counted.acknowledged == 0
    assert len(counted.resurrected) >= 3


def test_a_body_that_cannot_be_had_is_not_there(world: World) -> None:
    photo = world.put("ann", "files/photos", "big.jpg", bytes(70_000))
    assert photo.status == 201
    for folder in ("/blobs", "/near/blobs", "/far/blobs"):
        for path in world.disk.files(folder):
            world.disk.lose(path)
    assert ("ann/files/photos", "big.jpg") not in world.there()


def test_a_device_that_drops_what_nobody_deleted_is_wiped(world: World) -> None:
    world.devices = [world._device("lister", "ann", table_of("Evolution"))]
    world.sync()
    lose(world, "c1.vcf")
    world.sync()
    assert list(world.wiped) == [("lister", "ann/contacts/default", "c1.vcf")]


def test_a_device_that_starts_from_nothing_and_is_told_that_there_is_nothing(world: World) -> None:
    fresh = world.replaced(world.devices[0])
    for name in ("c0.vcf", "c1.vcf", "c2.vcf"):
        lose(world, name)
    if "ann/contacts/default" not in fresh.kept:
        fresh = world._device("book", "ann", table_of("Apple"))
        world._fresh.append(fresh)
    world.sync([fresh])
    assert {name for _, _, name in world.wiped} >= {"c0.vcf", "c1.vcf", "c2.vcf"}
    before = dict(world.wiped)
    world.wiped.clear()
    world.excused = {(path, name) for _, path, name in before}
    world.sync([fresh])
    assert not world.wiped


def test_a_delete_by_a_person_is_no_wipe(world: World) -> None:
    world.devices = [world._device("one", "ann", table_of("Apple")), world._device("two", "ann", table_of("Evolution"))]
    world.sync()
    world.devices[0].delete("ann/contacts/default", "c1.vcf")
    world.sync()
    world.sync()
    assert not world.wiped
    assert world.ledger.last(("ann/contacts/default", "c1.vcf")).state is None
    assert not Counted(world).silent


def test_an_answer_that_never_came_leaves_both(world: World) -> None:
    ledger, key = Ledger(lambda: 1), ("ann/files/notes", "n")
    request = Request("PUT", "/dav/ann/files/notes/n", b"x")
    ledger.heard(request, Answer(201, {}, b""))
    state = ledger.last(key).state
    ledger.heard(request._replace(body=b"y"), None)
    assert ledger.fits(key, state)
    assert ledger.in_doubt(key)
    other = Ledger(lambda: 1)
    other.heard(request._replace(body=b"y"), Answer(201, {}, b""))
    assert ledger.fits(key, other.last(key).state)
    assert not ledger.fits(key, None)


def test_kinds_of_paths() -> None:
    assert kind_of("ann/calendars/tasks") is Kind.TASKS
    assert kind_of("ann/calendars/work") is Kind.CALENDAR
    assert kind_of("ann/files/photos/2026") is Kind.PHOTOS
    assert kind_of("ann/scores/chess") is Kind.SCORES


def test_the_disk_takes_its_time_only_while_it_is_metered() -> None:
    clock = SimClock()
    meter = Meter(clock, ["/near", "/far"])
    meter("/far/log", "list", 0)
    assert clock.monotonic() == 0
    meter.running = True
    meter("/far/log", "list", 0)
    assert clock.monotonic() == pytest.approx(AWAY.operation)
    meter("/core/core.db", "bytes", 1 << 20)
    assert clock.monotonic() == pytest.approx(AWAY.operation + LOCAL.megabyte)


def test_nothing_is_noticed_where_nothing_is_wrong(world: World) -> None:
    with suppress(SafeholdError):
        world.watch.notice()
    assert world.noticed_at is None
    assert score(world, Counted(world), None).why[0].startswith("the service has not said")


def test_an_item_of_which_a_whole_copy_is_left_has_to_be_back(world: World) -> None:
    copies = Copies(world)
    key = ("ann/contacts/default", "c1.vcf")
    copies.look()
    (told,) = copies.left_behind({key: "lost"})
    assert "is whole in /" in told
    for path in world.disk.files("/near/log") + world.disk.files("/far/log"):
        world.disk.overwrite(path, 0, bytes(world.disk.length(path)))
    struck = Copies(world)
    struck.look()
    assert struck.left_behind({key: "lost"}) == []
