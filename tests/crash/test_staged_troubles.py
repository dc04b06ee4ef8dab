"""What goes wrong for a moment while a core that serves is being recovered: nothing is left out, nothing lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest

from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_PATH, VAULTS, House
from safehold.disaster.rebuilding import recover
from safehold.lab.wire import Request
from safehold.model.commands import AcceptLoss
from safehold.model.errors import OperatorError, SafeholdError
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.ports.core import INTAKE
from safehold.ports.log import Hole, LogFrame
from safehold.ports.vault import VaultDown
from safehold.recovery.report import Report
from safehold.recovery.staged import Staged
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.log import VaultLogReader
from tests.support.absent import hold, take_away

BOOK = "/dav/{}/contacts/default"
PHOTOS = "/dav/{}/files/photos"
VCARD = {"Content-Type": "text/vcard"}
LARGE = bytes(range(256)) * 300


def card(uid: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nEND:VCARD\r\n".encode()


def lost_house(*, generation: bool = True, blobs: bool = False) -> House:
    """A house of two people whose core is gone."""
    house = House.new("troubles", accounts=("ann", "bob"))
    for user in ("ann", "bob"):
        assert house.request("PUT", f"{BOOK.format(user)}/a.vcf", card("a"), VCARD, user=user).status == 201
        assert house.request("PUT", f"{PHOTOS.format(user)}/a.jpg", LARGE, user=user).status == 201
    house.scheduler.run_ready()
    if generation:
        snapshot(house)
    house.close()
    house = house.kill()
    house.disk.lose("/core")
    if blobs:
        house.disk.lose("/blobs")
        house.disk.make_folders("/blobs")
    return house


def test_a_log_whose_end_cannot_be_read_moves_no_core_aside() -> None:
    house = lost_house(generation=False).kill()
    house.disk.make_folders("/core")
    SqliteCore.open(CORE_PATH, disk=house.disk, create=True).close()
    house.load_keys()
    near, opener = house.vault(VAULTS[0]), house.keyring.opener
    reader = VaultLogReader([near], opener)
    last = reader.end().frame

    def entries(*wanted: object) -> Iterator[LogFrame | Hole]:
        yield from VaultLogReader([near], opener).entries(*wanted)  # type: ignore[arg-type]
        yield Hole(last + 1, last + 2, 1, ("near: damaged",))

    def judge(beyond: Sequence[Hole]) -> None:
        assert [(hole.first, hole.last) for hole in beyond] == [(last + 1, last + 2)]
        raise OperatorError("the end of the log cannot be read")

    reader.entries = entries  # type: ignore[method-assign, assignment]
    with pytest.raises(OperatorError, match="the end of the log"):
        Staged.begin(
            reader,
            None,
            [near],
            make_core=house._make_core,
            make_rows=StreamRows,
            disk=house.disk,
            data="",
            clock=house.clock,
            claim=house.claim,
            judge=judge,
        )
    assert house.disk.exists("/core/core.db")
    assert not [entry.name for entry in house.disk.list("/scratch") if entry.name.startswith("core-")]
    house.abandon()


@pytest.mark.parametrize("generation", [False, True])
def test_a_stream_that_could_not_be_read_for_a_moment_comes_all_the_same(
    generation: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = lost_house(generation=generation)
    house.serve_recovering(anew=True)
    assert house.staged is not None
    streamwise = house.staged._streamwise
    settled, failed = streamwise.settled, list[object]()

    def fails_once(key: tuple[bytes, Kind], *rest: object) -> object:
        if key not in failed:
            failed.append(key)
            raise VaultDown("near cannot be read now")
        return settled(key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(streamwise, "settled", fails_once)
    for _ in range(100):
        try:
            if not house.recovery_turn():
                break
        except SafeholdError:
            house.engine.core.rollback()
    assert failed
    assert not house.recovering, "it never comes to an end"
    assert house.request("GET", f"{BOOK.format('bob')}/a.vcf", user="bob").body == card("a")
    house.close()


def test_a_body_is_not_lost_for_a_vault_that_is_away() -> None:
    house = lost_house(blobs=True)
    house.serve_recovering(anew=True)
    staged = house.staged
    assert staged is not None
    core = house.engine.core
    while staged.step(core, 20):
        pass
    blobs = LiveBlobs(house.disk, "/blobs", "/scratch", house.writer.archive)
    for place in ("/near", "/far"):
        house.disk.rename(place, place + "-away")
    for _ in range(3):
        with pytest.raises(VaultDown):
            while staged.fetch(core, blobs, 1):
                pass
    for place in ("/near", "/far"):
        house.disk.rename(place + "-away", place)
    while staged.fetch(core, blobs, 1):
        pass
    report: Report = staged.close(core)
    assert report.lost == []
    assert report.items[Kind.PHOTOS].exact == 2
    house.abandon()


def test_one_intake_that_cannot_be_applied_keeps_nobody_else_waiting() -> None:
    for first, second in (("ann", "bob"), ("bob", "ann")):
        house = House.new("poison", accounts=("ann", "bob"))
        for user in ("ann", "bob"):
            take_away(house, Kind.CONTACTS, user)
            sent = Request("PUT", f"{BOOK.format(user)}/a.vcf", card("a"), VCARD, user)
            assert [answer.status for answer in house.requests([sent])] == [204]
        for user in ("ann", "bob"):
            hold(house, Kind.CONTACTS, INTAKE, user)
        hold(house, Kind.IDENTITY, "revs 7 to 9 are missing", first)
        for _ in range(3):
            house.engine.drain_intakes()
        account = house.account(second)
        assert house.reads.held(account.number, Kind.CONTACTS) is None, second
        assert house.reads.held(house.account(first).number, Kind.CONTACTS) == INTAKE
        house.abandon()


def test_what_a_run_has_made_is_held_for_its_intake_before_any_writer_opens() -> None:
    house = House.new("run", accounts=("ann",))
    take_away(house, Kind.CONTACTS)
    assert house.request("PUT", f"{BOOK.format('ann')}/a.vcf", card("a"), VCARD).status == 204
    house.close()
    house = house.kill()
    house.disk.lose("/core")
    house.load_keys()
    recover(house)
    core = house.open_core()
    account = core.account_named("ann")
    assert account is not None
    assert core.held(account.number, Kind.CONTACTS) == INTAKE
    house = house.kill()
    house.boot()
    assert house.request("GET", f"{BOOK.format('ann')}/a.vcf").body == card("a")
    house.close()


def test_a_loss_can_be_accepted_by_who_is_over_quota_with_what_was_sent_meanwhile() -> None:
    house = House.new("quota", accounts=("ann",), quota_bytes=100_000)
    assert house.request("PUT", f"{PHOTOS.format('ann')}/a.jpg", LARGE).status == 201
    hold(house, Kind.CONTACTS, "revs 2 to 3 are missing")
    assert house.request("PUT", f"{BOOK.format('ann')}/a.vcf", card("a"), VCARD).status == 204
    house.close()
    house = house.kill()
    house.quota_bytes = 50_000  # or what came back meanwhile is more than was known then
    house.boot()
    outcome = house.engine.execute(AcceptLoss(account=house.account().id, actor="person", kind=Kind.CONTACTS))
    assert outcome.changed
    assert house.request("GET", f"{BOOK.format('ann')}/a.vcf").body == card("a")
    house.close()


@pytest.mark.parametrize("place", ["contacts/default/a.vcf", "contacts/default/", "files/photos/a.jpg"])
def test_what_comes_between_two_looks_is_not_called_absent(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    house = lost_house()
    house.serve_recovering(anew=True)
    house.patience = lambda: False
    core = house.engine.core
    held = core.held

    def comes_first(account: int, kind: Kind) -> str | None:
        monkeypatch.setattr(core, "held", held)
        while house.recovery_turn():  # a turn of the writer's thread, between two statements of a reader's
            pass
        return held(account, kind)

    ready = house.ready

    async def knock(account: Account, kinds: Iterable[Kind]) -> None:
        await ready(account, kinds)
        monkeypatch.setattr(core, "held", comes_first)

    monkeypatch.setattr(house, "ready", knock)
    answer = house.request("PROPFIND", f"/dav/ann/{place}", headers={"depth": "0"})
    assert not house.recovering
    assert answer.status in (207, 503), answer
    house.close()


def test_a_commit_that_was_one_though_it_failed_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    house = lost_house()
    house.serve_recovering(anew=True)
    staged, core = house.staged, house.engine.core
    assert staged is not None
    commit = core.commit

    def fails_afterwards() -> None:
        commit()
        raise OperatorError("nobody knows")

    monkeypatch.setattr(core, "commit", fails_afterwards)
    with pytest.raises(OperatorError):
        house.recovery_turn(1)
    monkeypatch.setattr(core, "commit", commit)
    house.engine.pause(OperatorError("a step of the recovery failed"))
    assert house.tick()
    while house.recovery_turn(1):
        pass
    report = staged.report()
    assert report.changes_recovered == report.changes_expected
    assert (report.items[Kind.CONTACTS].exact, report.items[Kind.PHOTOS].exact) == (2, 2)
    assert all(count.streams == count.streams_entered for count in staged.progress().kinds.values())
    house.close()
