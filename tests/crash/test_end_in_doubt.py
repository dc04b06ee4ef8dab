"""The end of the log is in doubt: what says so outlives restarts, further losses and recoveries, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.rebuilding import make_near, recover
from safehold.lab.wire import Request
from safehold.model.commands import AcceptEnd
from safehold.service.ahead import doubts_of
from safehold.service.identity import SYSTEM_ACCOUNT

BOOK = "/dav/ann/contacts/default/"


def put(house: House, name: str) -> None:
    body = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{name}\r\nN:;;;;\r\nEND:VCARD\r\n".encode()
    headers = {"content-type": "text/vcard"}
    assert house.requests([Request("PUT", BOOK + name + ".vcf", body, headers, user="ann")])[0].status == 201


def listed(house: House) -> int:
    """The status of a listing."""
    request = Request("PROPFIND", BOOK, b"", {"depth": "1"}, user="ann")
    return house.requests([request])[0].status


@pytest.fixture
def house() -> Iterator[House]:
    """One that has lost its core and its sync vault, with a contact that the async one never got."""
    house = House.new(1)
    put(house, "early")
    house.scheduler.run_for(30)
    assert house.writer.shippers[0].unarchived_changes == 0
    house.sim_clock.advance(5)
    put(house, "late")
    assert listed(house) == 207
    house = lose(house, "/near")
    yield house
    house.abandon()


def lose(house: House, *vaults: str) -> House:
    house = house.kill()
    house.load_keys()
    for folder in (CORE_FOLDER, "/blobs", *vaults):
        house.disk.lose(folder)
    return house


def again(house: House) -> House:
    house = house.kill()
    house.boot()
    return house


def from_far(house: House, *, accept_loss: bool = False) -> None:
    _, result = recover(house, accept_loss=accept_loss)
    assert result.report.unknown_seconds >= 1
    make_near(house)
    house.boot(mend=True)


def test_it_is_in_the_log_with_the_first_start_and_outlives_restarts(house: House) -> None:
    from_far(house)
    assert listed(house) == 503
    assert house.reads.end_in_doubt() == b"", "it is on record"
    (doubt,) = doubts_of(house.reads)
    put(house, "new")
    house = again(house)
    assert (doubts_of(house.reads), listed(house)) == ([doubt], 503)


def test_the_core_alone_says_so_until_a_writer_opens(house: House) -> None:
    recover(house)
    core = house.open_core()
    assert len(doubts_of(core)) == 1
    assert core.end_in_doubt()
    core.close()


def test_it_survives_a_second_loss_though_the_end_looks_whole_then(house: House) -> None:
    from_far(house)
    house = lose(house)
    _, result = recover(house)
    assert result.report.unknown_seconds == 0, "this time the sync vault was there"
    house.boot()
    assert len(doubts_of(house.reads)) == 1
    assert listed(house) == 503
    house.engine.execute(AcceptEnd(account=SYSTEM_ACCOUNT))
    assert listed(house) == 207
    house = lose(house)
    recover(house)
    house.boot()
    assert (doubts_of(house.reads), listed(house)) == ([], 207)


def test_it_survives_a_loss_while_a_recovery_serves(house: House) -> None:
    house.disk.make_folders("/scratch")
    house.disk.make_folders("/blobs")
    make_near(house)
    house.disk.lose("/near")
    with pytest.raises(Exception, match="near"):
        house.serve_recovering(anew=True)
    make_near(house)
    house = house.kill()
    house.load_keys()
    house.serve_recovering(anew=False)
    while house.recovery_turn():
        pass
    assert listed(house) == 503
    house = lose(house)
    for folder in ("/scratch", "/blobs"):
        house.disk.make_folders(folder)
    house.serve_recovering(anew=True)
    while house.recovery_turn():
        pass
    assert len(doubts_of(house.reads)) == 1
    assert listed(house) == 503


def test_the_operator_may_accept_it_with_the_recovery(house: House) -> None:
    from_far(house, accept_loss=True)
    assert (doubts_of(house.reads), listed(house)) == ([], 207)


def test_the_operator_may_accept_it_on_a_core_that_is_whole(house: House) -> None:
    recover(house)
    plan, _ = recover(house, accept_loss=True)
    assert str(plan.core) == "whole"
    make_near(house)
    house.boot(mend=True)
    assert (doubts_of(house.reads), listed(house)) == ([], 207)


def test_a_copy_of_what_was_left_ends_nothing(house: House) -> None:
    """With the copy for a sync vault, the end looks whole; the core that is there still knows."""
    recover(house)
    make_near(house)
    plan, _ = recover(house)
    assert plan.report.unknown_seconds == 0
    house.boot(mend=True)
    assert listed(house) == 503


def test_a_recovery_that_reads_the_end_ends_it() -> None:
    """The sync vault was only away, and is read in place of the copy that was left, before anybody has written."""
    house = House.new(1)
    put(house, "early")
    house.scheduler.run_for(30)
    put(house, "late")
    house = lose(house)
    house.disk.rename("/near", "/away")
    recover(house)
    house.disk.rename("/away", "/near")
    house.disk.lose("/far")
    plan, _ = recover(house)
    assert plan.report.unknown_seconds == 0
    house.boot()
    assert (doubts_of(house.reads), listed(house)) == ([], 207)
    account = house.reads.account_named("ann")
    assert account is not None
    book = house.reads.collection(account.number, "contacts/default")
    assert book is not None
    assert {item.name for item in house.reads.items(book)} == {"early.vcf", "late.vcf"}
    house.abandon()


def test_a_sync_vault_that_was_there_leaves_no_doubt() -> None:
    house = House.new(1)
    put(house, "early")
    house = lose(house)
    recover(house)
    house.boot()
    assert (doubts_of(house.reads), listed(house)) == ([], 207)
    house.abandon()
