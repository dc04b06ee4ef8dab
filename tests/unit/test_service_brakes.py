"""Brakes: what devices delete is counted and told as a plain model would, whatever is rolled back or forgotten."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.disaster.house import PASSWORD, House
from safehold.lab.world import MICROSECONDS
from safehold.model.commands import (
    AnyCommand,
    Body,
    DeleteItem,
    EraseAccount,
    MakeCollection,
    PutItem,
    RemoveCollection,
    Tags,
    TakeBackErasure,
    Transfer,
    Undo,
)
from safehold.model.errors import Conflict, Held, NotFound, PreconditionFailed, Unconfirmed
from safehold.model.kinds import CollectionType, Kind
from safehold.model.point import parse_point
from safehold.ports.core import INTAKE, NOT_YET
from safehold.service.brakes import DEFAULT_BRAKES, BrakeLimits
from safehold.service.erasing import erasing_accounts
from safehold.service.notices import MASS_DELETE, Notice, notices_of

BOOK = "contacts/default"
PHONE, LAPTOP = "device:phone", "device:laptop"
HOUR = 3600


def card(uid: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nEND:VCARD\r\n".encode()


def put(house: House, n: int, *, path: str = BOOK, actor: str = PHONE, uid: str = "") -> AnyCommand:
    data = card(uid or f"u{n}")
    return PutItem(
        account=house.account().id,
        actor=actor,
        path=path,
        name=f"{n}.vcf",
        body=Body(sha256(data).digest(), len(data), inline=data),
        media="text/vcard",
        uid=uid or f"u{n}",
    )


def delete(house: House, n: int, *, path: str = BOOK, actor: str = PHONE) -> AnyCommand:
    return DeleteItem(account=house.account().id, actor=actor, path=path, name=f"{n}.vcf")


def fill(house: House, count: int, **more: str) -> None:
    house.engine.execute_all([put(house, n, **more) for n in range(count)])  # type: ignore[arg-type]
    house.sim_clock.advance(2 * HOUR)


def told(house: House) -> list[Notice]:
    return [notice for notice in notices_of(house.reads, house.account()) if notice.what == MASS_DELETE]


def living(house: House, path: str = BOOK) -> list[str]:
    collection = house.reads.collection(house.account().number, path)
    assert collection is not None
    return [item.name for item in house.reads.items(collection)]


def bring_back(house: House, notice: Notice) -> None:
    """As the notice's button does."""
    revs = parse_point(str(notice.facts["point"]))
    assert revs is not None
    house.engine.execute(
        Undo(account=house.account().id, revs=revs, path=notice.collection, deep=True, deleted_only=True)
    )


@pytest.fixture
def house() -> House:
    return House.new()


# -- what is told ----------------------------------------------------------------------------------------------


def test_below_the_share_nothing_is_told(house: House) -> None:
    fill(house, 40)
    for n in range(9):
        house.engine.execute(delete(house, n))
    assert told(house) == []
    house.engine.execute(delete(house, 9))
    (notice,) = told(house)
    assert (notice.kind, notice.collection, notice.count, notice.facts["device"]) == ("contacts", BOOK, 10, "phone")


def test_of_few_items_nothing_is_told(house: House) -> None:
    fill(house, 19)
    for n in range(19):
        house.engine.execute(delete(house, n))
    assert told(house) == []


def test_several_devices_together_within_the_window(house: House) -> None:
    fill(house, 40)
    for n in range(10):
        house.engine.execute(delete(house, n, actor=(PHONE, LAPTOP)[n % 3 == 0]))
        house.sim_clock.advance(300)
    (notice,) = told(house)
    assert notice.facts["device"] == "phone, laptop"


def test_slow_deletes_are_no_incident(house: House) -> None:
    fill(house, 40)
    for n in range(30):
        house.engine.execute(delete(house, n))
        house.sim_clock.advance(HOUR)
    assert told(house) == []


def test_what_others_delete_makes_the_rest_weigh_more(house: House) -> None:
    fill(house, 60)
    for n in range(5):
        house.engine.execute(delete(house, n))
    for n in range(5, 45):
        house.engine.execute(delete(house, n, actor="operator"))
    assert told(house) == []
    house.engine.execute(delete(house, 45))
    assert [notice.count for notice in told(house)] == [6]


@pytest.mark.parametrize(("seconds", "count"), [(HOUR - 1, 10), (HOUR, 0)])
def test_the_window_has_an_end(house: House, seconds: int, count: int) -> None:
    fill(house, 40)
    house.engine.execute(delete(house, 0))
    house.sim_clock.advance(seconds)
    for n in range(1, 10):
        house.engine.execute(delete(house, n))
    assert sum(notice.count for notice in told(house)) == count


def test_what_is_no_devices_is_not_told(house: House) -> None:
    fill(house, 40)
    for n in range(40):
        house.engine.execute(delete(house, n, actor="operator"))
    assert told(house) == []


def test_one_notice_counts_on_and_one_command_brings_all_back(house: House) -> None:
    fill(house, 100)
    for n in range(80):
        house.engine.execute(delete(house, n))
        house.sim_clock.advance(10)
    house.engine.execute(put(house, 90, uid="u90"))
    house.sim_clock.advance(61)
    house.engine.tend()
    (notice,) = told(house)
    assert notice.count == 80
    before = notice.facts["before"]
    assert isinstance(before, int)
    # Meanwhile one was changed and another one made: both stay.
    house.engine.execute(put(house, 200))
    bring_back(house, notice)
    assert living(house) == sorted([f"{n}.vcf" for n in range(100)] + ["200.vcf"])


def test_the_count_survives_a_restart(house: House) -> None:
    fill(house, 100)
    for n in range(24):
        house.engine.execute(delete(house, n))
    assert told(house) == []
    house = house.crash()
    house.boot()
    house.engine.execute(delete(house, 24))
    (notice,) = told(house)
    assert notice.count == 25
    house = house.crash()
    house.boot()
    for n in range(25, 60):
        house.engine.execute(delete(house, n))
    house.sim_clock.advance(61)
    house.engine.tend()
    (notice,) = told(house)
    assert notice.count == 60
    bring_back(house, notice)
    assert len(living(house)) == 100


def test_what_is_rolled_back_was_not_deleted(house: House) -> None:
    fill(house, 40)
    for n in range(9):
        house.engine.execute(delete(house, n))
    copy = "files/notes"
    house.engine.execute(MakeCollection(account=house.account().id, path=f"{copy}/a", type=CollectionType.FOLDER))
    # One command of the batch fails after it has made changes: the whole attempt is rolled back, and made again.
    real = house.engine._judge._undo.undo

    def broken(command: Undo) -> object:
        real(command)
        raise Held("cannot be had")

    house.engine._judge._undo.undo = broken  # type: ignore[method-assign,assignment]
    undo = Undo(account=house.account().id, to=house.clock.now() - HOUR * MICROSECONDS, path=BOOK)
    results = house.engine.execute_all([delete(house, 9), undo])
    assert isinstance(results[1], Held)
    (notice,) = told(house)
    assert notice.count == 10


def test_a_collection_that_is_removed_with_all_below_it(house: House) -> None:
    account = house.account().id
    for path in ("files/photos/a", "files/photos/a/b"):
        house.engine.execute(MakeCollection(account=account, path=path, type=CollectionType.FOLDER))
        for n in range(12):
            house.engine.execute(put_file(house, path, n))
    house.sim_clock.advance(2 * HOUR)
    house.engine.execute(RemoveCollection(account=account, actor=PHONE, path="files/photos/a"))
    (notice,) = told(house)
    assert (notice.collection, notice.count, notice.kind) == ("files/photos/a", 24, "photos")
    bring_back(house, notice)
    assert len(living(house, "files/photos/a")) == len(living(house, "files/photos/a/b")) == 12


def put_file(house: House, path: str, n: int, actor: str = PHONE) -> AnyCommand:
    data = b"picture %d" % n
    return PutItem(
        account=house.account().id,
        actor=actor,
        path=path,
        name=f"{n}.jpg",
        body=Body(sha256(data).digest(), len(data), inline=data),
        media="image/jpeg",
    )


def moved(house: House, source: str, destination: str) -> None:
    house.engine.execute(
        Transfer(account=house.account().id, actor=PHONE, source=source, destination=destination, move=True)
    )


def test_items_that_are_moved_away_count_and_those_that_are_renamed_do_not(house: House) -> None:
    account = house.account().id
    for path in ("files/photos/a", "files/photos/b"):
        house.engine.execute(MakeCollection(account=account, path=path, type=CollectionType.FOLDER))
    for n in range(20):
        house.engine.execute(put_file(house, "files/photos/a", n))
    house.sim_clock.advance(2 * HOUR)
    for n in range(20):
        moved(house, f"files/photos/a/{n}.jpg", f"files/photos/a/new-{n}.jpg")
    assert told(house) == []
    for n in range(5):
        moved(house, f"files/photos/a/new-{n}.jpg", f"files/photos/b/{n}.jpg")
    (notice,) = told(house)
    assert (notice.collection, notice.count) == ("files/photos/a", 5)


def test_a_folder_that_is_moved_elsewhere_counts_and_one_that_is_renamed_does_not(house: House) -> None:
    account = house.account().id
    for path in ("files/photos/a", "files/photos/b"):
        house.engine.execute(MakeCollection(account=account, path=path, type=CollectionType.FOLDER))
    for n in range(20):
        house.engine.execute(put_file(house, "files/photos/a", n))
    moved(house, "files/photos/a", "files/photos/c")
    assert told(house) == []
    moved(house, "files/photos/c", "files/photos/b/c")
    (notice,) = told(house)
    assert (notice.collection, notice.count) == ("files/photos/c", 20)


def test_what_took_the_uid_meanwhile_stays_and_is_named(house: House) -> None:
    fill(house, 20)
    for n in range(20):
        house.engine.execute(delete(house, n))
    house.engine.execute(put(house, 100, uid="u3"))
    (notice,) = told(house)
    revs = parse_point(str(notice.facts["point"]))
    assert revs is not None
    outcome = house.engine.execute(Undo(account=house.account().id, revs=revs, path=BOOK, deleted_only=True))
    assert [line.name for line in outcome.undone if line.action == "left"] == ["3.vcf"]
    assert len(living(house)) == 20


def test_a_delete_costs_no_more_in_a_large_collection(house: House) -> None:
    """I34: what is counted of the living is bounded by what was deleted."""
    fill(house, 3000)
    asked: list[int] = []
    real = house.engine.core.count_items
    house.engine.core.count_items = lambda c, limit: asked.append(limit) or real(c, limit)  # type: ignore[method-assign,func-returns-value]
    for n in range(200):
        house.engine.execute(delete(house, n))
    assert told(house) == []
    assert sum(asked) < 200 * 20


# -- beside a plain model --------------------------------------------------------------------------------------


class Model:
    """All deletes of one collection, and what is told of them."""

    def __init__(self, limits: BrakeLimits) -> None:
        self.limits = limits
        self.live: set[int] = set()
        self.deletes: list[int] = []  # when, by devices
        self.open = False
        self.counted = 0  # in incidents

    def delete(self, n: int, at: int, *, device: bool) -> bool:
        """Whether an incident begins."""
        self.live.discard(n)
        if not device:
            return False
        last = self.deletes[-1] if self.deletes else 0
        self.deletes.append(at)
        if self.open and at - last >= self.limits.window:
            self.open = False
        if self.open:
            self.counted += 1
            return False
        gone = sum(at - self.limits.window < d for d in self.deletes)
        self.open = self.limits.is_mass(gone, gone + len(self.live))
        self.counted += gone if self.open else 0
        return self.open


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("delete"), st.integers(0, 39), st.sampled_from((PHONE, LAPTOP, "operator"))),
        st.tuples(st.just("delete many"), st.integers(0, 39), st.sampled_from((PHONE, PHONE, "operator"))),
        st.tuples(st.just("put"), st.integers(0, 39), st.just(PHONE)),
        st.tuples(st.just("wait"), st.integers(1, 5000), st.just("")),
        st.tuples(st.just("refused"), st.integers(0, 39), st.just(PHONE)),
        st.tuples(st.just("restart"), st.just(0), st.just("")),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(STEPS, st.sampled_from((10, 25, 60, 100)), st.sampled_from((1, 5, 20)))
def test_incidents_begin_as_a_plain_model_says(steps: list[tuple[str, int, str]], share: int, least: int) -> None:
    limits = BrakeLimits(share_percent=share, least_items=least)
    house = House.new()
    house.brakes = limits
    house.writer.close()
    house.boot()
    model = Model(limits)
    for n in range(30):
        house.engine.execute(put(house, n))
        model.live.add(n)
    house.sim_clock.advance(2 * HOUR)
    begun = 0
    for what, n, actor in steps:
        house.sim_clock.advance(1)
        if what == "wait":
            house.sim_clock.advance(61)
            house.engine.tend()
            house.sim_clock.advance(n)
        elif what == "put":
            house.engine.execute(put(house, n))
            model.live.add(n)
        elif what == "restart":
            house = house.crash()
            house.brakes = limits
            house.boot()
        elif what == "refused":
            with pytest.raises((PreconditionFailed, NotFound)):
                command = delete(house, n)
                house.engine.execute(
                    DeleteItem(
                        account=command.account, actor=actor, path=BOOK, name=f"{n}.vcf", if_match=Tags(digests=(b"x",))
                    )
                )
        else:
            many = sorted(model.live)[:5] if what == "delete many" else [n] if n in model.live else []
            for each in many:
                house.engine.execute(delete(house, each, actor=actor))
                begun += model.delete(each, house.clock.now(), device=actor != "operator")
    house.sim_clock.advance(61)
    house.engine.tend()
    versions = [v for v in house.reads.history(house.account().number, kind=Kind.IDENTITY) if MASS_DELETE in v.name]
    assert bool(versions) == bool(begun)
    counted = sum(notice.count for notice in told(house))
    if any(what == "restart" for what, _, _ in steps):
        assert counted <= model.counted, "what was counted and not told before a restart may be missing"
    else:
        assert counted == model.counted
    # Incidents that follow each other within an hour of the last word are told in one notice.
    assert len({v.name for v in versions}) <= begun


# -- what is no device's ---------------------------------------------------------------------------------------


def test_an_undo_that_removes_a_great_share_asks_to_be_confirmed(house: House) -> None:
    account = house.account().id
    house.sim_clock.advance(10)
    moment = house.clock.now()
    house.sim_clock.advance(10)
    fill(house, 30)
    for what in ({"path": BOOK}, {"kind": Kind.CONTACTS}, {}):
        with pytest.raises(Unconfirmed, match="30 of 30"):
            house.engine.execute(Undo(account=account, to=moment, **what))  # type: ignore[arg-type]
    assert len(living(house)) == 30
    assert len(house.engine.execute(Undo(account=account, to=moment, path=BOOK, dry_run=True)).undone) == 30
    house.engine.execute(Undo(account=account, to=moment, path=BOOK, confirmed=True))
    assert living(house) == []
    assert told(house) == []


# -- accounts --------------------------------------------------------------------------------------------------


def erase(house: House, name: str) -> int:
    return house.engine.execute(EraseAccount(account=house.account(name).id, braked=True)).due


def test_a_script_that_erases_accounts_erases_few_and_locks_the_rest() -> None:
    names = tuple(f"user{n}" for n in range(8))
    house = House.new(accounts=("ann", *names))
    dues = [erase(house, name) for name in names]
    week = DEFAULT_BRAKES.grace_days * 24 * HOUR
    assert [due > 0 for due in dues] == [False] * 3 + [True] * 5
    assert dues[3] == house.clock.now() + week * MICROSECONDS
    assert [house.reads.account_named(name) is None for name in names] == [True] * 3 + [False] * 5
    with pytest.raises(Held, match="locked"):
        sign_in(house, "user5")
    assert erase(house, "user5") == dues[5], "asking again moves nothing"

    house.engine.execute(TakeBackErasure(account=house.account("user5").id))
    assert sign_in(house, "user5") == "user5"
    with pytest.raises(NotFound):
        house.engine.execute(TakeBackErasure(account=house.account("user5").id))

    house.sim_clock.advance(week - 1)
    house.engine.tend()
    assert house.reads.account_named("user4") is not None
    house.sim_clock.advance(2)
    house.engine.tend()
    assert [house.reads.account_named(name) is None for name in names] == [True] * 5 + [False] + [True] * 2
    assert erasing_accounts(house.reads) == []
    house.sim_clock.advance(HOUR)
    assert erase(house, "user5") == 0, "an hour later a few may go again"


def sign_in(house: House, name: str) -> str:
    house.reopen_reads()
    account = house.account(name)
    hashed = house.reads.secret(account.number, "password")
    assert hashed is not None
    from base64 import b64encode

    header = "Basic " + b64encode(f"{name}:{PASSWORD}".encode()).decode()
    found = house.authenticator.begin(header, "192.0.2.1")
    if not isinstance(found, tuple):
        found = house.authenticator.finish(found, found.run())
    return found.account.name


def test_who_waits_to_be_erased_keeps_the_name(house: House) -> None:
    house.brakes = BrakeLimits(erasures=1)
    house.writer.close()
    house.boot()
    house.engine.execute(house.new_account("bob"))
    house.engine.execute(house.new_account("eve"))
    assert erase(house, "bob") == 0
    assert erase(house, "eve") > 0
    with pytest.raises(Conflict):
        house.engine.execute(house.new_account("eve"))
    house.engine.execute(house.new_account("bob"))


# -- what came during a recovery -------------------------------------------------------------------------------


def test_deletes_that_waited_in_the_intake_are_counted_when_they_are_carried_out(house: House) -> None:
    fill(house, 40)
    account = house.account()
    core = house.engine.core
    core.begin()
    core.hold(account.id, Kind.CONTACTS, NOT_YET)
    core.commit()
    house.engine._ledger.forget()
    for n in range(12):
        house.engine.execute(DeleteItem(account=account.id, actor=PHONE, path=BOOK, name=f"{n}.vcf", intake=True))
    assert told(house) == []
    core.begin()
    core.hold(account.id, Kind.CONTACTS, INTAKE)
    core.commit()
    house.engine._ledger.forget()
    house.engine.drain_intake(account.id, Kind.CONTACTS)
    house.sim_clock.advance(61)
    house.engine.tend()
    assert len(living(house)) == 28
    (notice,) = told(house)
    assert (notice.count, notice.facts["device"]) == (12, "phone")
    bring_back(house, notice)
    assert len(living(house)) == 40
