"""The installation's own key is in no source: what a recovery says of it, what a start makes anew, and what no device
loses by it (I103, I104).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest

from safehold.assembly.writer import InstallationLost
from safehold.disaster.course import quietly
from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_FOLDER, PASSWORD, VAULTS, House
from safehold.disaster.operator import begin_serving, recover_run
from safehold.disaster.vault_work import make_anew, reader_of
from safehold.formats.doubt import PREFIX as DOUBT_PREFIX
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.wire import propfind, read_multistatus, sync_collection
from safehold.lab.world import CheapHasher
from safehold.model.change import Change, Op
from safehold.model.commands import AcceptEnd, AcceptLoss, AddAppPassword, NameAccount
from safehold.model.errors import Conflict
from safehold.model.kinds import Kind
from safehold.model.token import TOKEN_KEY, account_key, make_token
from safehold.ports.core import TO_FOUND
from safehold.ports.log import LogFrame
from safehold.recovery.anew import hold_installation
from safehold.recovery.run import Result
from safehold.service.ahead import doubts_of
from safehold.service.anew import PREFIX, founded
from safehold.service.identity import APP_PREFIX, BLOB_KEY, SYSTEM_ACCOUNT
from tests.crash.test_core_behind import BOOK, put
from tests.support.thinning import every

FOLDER = BOOK.removeprefix("/dav/ann/")
PLACE = f"ann/{FOLDER}"
NEAR, FAR = VAULTS


def made(*, noted: bool = True, seed: str = "founded anew") -> House:
    """The installation's own identity begins in the first segment of the log, ann's and her contact lie in others.

    `noted`: it goes on in one of those.
    """
    house = House.new(seed, accounts=())
    another_segment(house)
    if noted:
        house.writer.found("a configuration")
    house.engine.execute(house.new_account("ann"))
    put(house, "one")
    another_segment(house)
    put(house, "two")
    house.engine.seal()
    house.scheduler.run_for(60)
    assert house.writer.shippers[0].unarchived_changes == 0
    return house


def another_segment(house: House) -> None:
    house.sim_clock.advance(11)
    house.tick()


def struck(house: House, *, also: str = "") -> House:
    """Core and blobs are gone, the first segment in every vault, and `also`."""
    house.close()
    house = house.kill()
    for vault in VAULTS:
        folder = House.folder(vault)
        house.disk.lose(min(house.disk.files(f"{folder}/log")))
    for folder in (CORE_FOLDER, "/blobs", *((also,) if also else ())):
        house.disk.lose(folder)
    return ready(house)


def ready(house: House) -> House:
    house.load_keys()
    for folder in ("/scratch", "/blobs"):
        house.disk.make_folders(folder)
    return house


def recovered(house: House, **how: bool) -> Result:
    with quietly():
        return recover_run(house, **how)[1]


def token_of(house: House, *, beyond: int = 0) -> str:
    """What a device has of ann's contacts; `beyond` what the service has, where that is asked for."""
    account = house.account()
    collection = house.reads.collection(account.number, FOLDER)
    assert collection is not None
    key = account_key(house.token_key, account.id)
    head = bytes([beyond]) * 32 if beyond else collection.head
    return make_token(key, collection.id, collection.rev + beyond, head)


def synced(house: House, token: str) -> tuple[int, list[tuple[str, int]]]:
    answer = house.requests([sync_collection("ann", PLACE, token)])[0]
    lines = read_multistatus(answer).lines if answer.status == 207 else []
    return answer.status, [(line.name, line.status) for line in lines]


def listed(house: House) -> int:
    return house.requests([propfind("ann", PLACE, 1)])[0].status


def frames_of(house: House) -> list[list[Change]]:
    """What the vaults have of the installation's own identity, frame by frame."""
    frames = [entry for entry in reader_of(house).entries() if isinstance(entry, LogFrame)]
    return [[change for change in frame.changes if change.account == SYSTEM_ACCOUNT] for frame in frames]


def in_the_log(house: House, name: str) -> list[Change]:
    return [change for frame in frames_of(house) for change in frame if change.name.startswith(name)]


@pytest.fixture
def house() -> Iterator[House]:
    house = made()
    yield house
    house.abandon()


@pytest.mark.parametrize("noted", [True, False], ids=["it is missing revisions", "nothing of it is left"])
def test_a_recovery_that_has_read_every_vault_lets_the_next_start_make_a_key(noted: bool) -> None:
    house = made(noted=noted)
    old = token_of(house)
    lost_end = token_of(house, beyond=3)
    before = house.token_key
    house = struck(house)
    result = recovered(house)
    assert any("THE INSTALLATION'S OWN KEY IS LOST" in note for note in result.notes)
    house.boot()
    assert house.token_key != before
    assert [one.made for one in founded(house.reads)] == [(TOKEN_KEY,)]
    assert house.reads.held(0, Kind.IDENTITY) is None
    # What else stood in that identity is lost too: nothing is called absent until somebody says so.
    assert doubts_of(house.reads)
    assert listed(house) == 503
    assert synced(house, "") == (503, [])
    assert synced(house, "garbage") == (503, [])
    # A token that the old key made goes on where what it names is here.
    assert synced(house, old) == (207, [])
    put(house, "three")
    assert synced(house, old) == (207, [("three.vcf", 200)])
    assert synced(house, lost_end) == (503, [])
    # And after the operator's word none makes a device begin anew but one that nobody has made.
    house.engine.execute(AcceptEnd(account=SYSTEM_ACCOUNT, actor="recovery"))
    assert synced(house, old) == (207, [("three.vcf", 200)])
    assert synced(house, lost_end) == (503, [])
    assert listed(house) == 503, "what the token proves closes the list"
    assert synced(house, token_of(house)) == (207, [])
    house.abandon()


def test_a_token_of_another_form_still_leads_to_a_new_start(house: House) -> None:
    house = struck(house)
    recovered(house, accept_loss=True)
    house.boot()
    assert not doubts_of(house.reads)
    assert synced(house, "urn:safehold:sync:1:AAAA")[0] == 403
    assert synced(house, "") == (207, [("one.vcf", 200), ("two.vcf", 200)])


def test_what_was_known_of_the_end_may_have_gone_with_the_key(house: House) -> None:
    core, told = house.engine.core, []
    for in_doubt in (False, True):
        core.begin()
        told.append(hold_installation(core, "revisions", house.clock.now(), may_found=True, in_doubt=in_doubt))
        assert bool(doubts_of(core)) is in_doubt
        assert core.held(0, Kind.IDENTITY) == f"{TO_FOUND}revisions"
        core.rollback()
    assert told[0] == told[1]


def test_the_key_is_told_from_one_that_is_not_lost(house: House) -> None:
    """Where no key was lost a token with a bad MAC is none of ours, whatever it names."""
    good = house.token_key
    house.token_key = bytes(32)
    strange = token_of(house)
    house.token_key = good
    assert synced(house, strange)[0] == 403


def test_a_vault_that_is_away_may_have_the_key(house: House) -> None:
    house.close()
    house = house.kill()
    away = {path: house.disk.bytes_of(path) for path in house.disk.files("/far")}
    house.disk.lose(min(house.disk.files("/near/log")))
    for folder in (CORE_FOLDER, "/blobs", "/far"):
        house.disk.lose(folder)
    house = ready(house)
    for _ in range(2):
        assert any("nothing can be served without its key" in note for note in recovered(house).notes)
        with quietly(), pytest.raises(InstallationLost) as caught:
            house.boot()
        assert "--accept-loss" in caught.value.hint
        house = ready(house.kill())
    assert not in_the_log(house, TOKEN_KEY)
    put_back(house.disk, away)
    recovered(house)
    house.boot()
    assert not founded(house.reads)
    assert house.request("GET", f"{BOOK}/two.vcf").status == 200
    house.abandon()


def put_back(disk: SimDisk, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        disk.make_folders(path.rpartition("/")[0])
        file = disk.open(path, write=True, create=True)
        file.write_at(0, data)
        file.sync()
        file.close()


def test_a_vault_that_is_made_anew_is_given_up(house: House) -> None:
    """The word of `vault add`, in place of a vault that is gone, is one about what it held."""
    house = struck(house, also="/near")
    recovered(house)
    make_anew(house, NEAR, aside=False)
    with quietly(), pytest.raises(InstallationLost):
        house.boot(mend=True)
    house = ready(house.kill())
    recovered(house)
    house.boot(mend=True)
    assert [one.made for one in founded(house.reads)] == [(TOKEN_KEY,)]
    house.abandon()


def test_a_start_alone_never_makes_a_key_where_there_are_accounts(house: House) -> None:
    house.close()
    house = ready(house.kill())
    core = house.open_core()
    core.begin()
    core.drop_account(SYSTEM_ACCOUNT)
    core.commit()
    core.close()
    with quietly(), pytest.raises(InstallationLost):
        house.boot()
    assert not in_the_log(house, PREFIX)
    house.abandon()


@pytest.mark.parametrize("by_itself", [True, False], ids=["while serving", "stopped"])
def test_the_new_key_comes_back_as_the_old_one_did(house: House, by_itself: bool) -> None:
    """From a generation, too, which a writer makes only of streams that are whole or whose loss is on record."""
    house = struck(house)
    recovered(house)
    house.boot()
    key, token = house.token_key, token_of(house)
    snapshot(house)
    put(house, "three")
    house.engine.seal()
    house.scheduler.run_for(60)
    house.close()
    house = house.kill()
    for folder in (CORE_FOLDER, "/blobs", *(() if by_itself else ("/near",))):
        house.disk.lose(folder)
    house = ready(house)
    if by_itself:
        begin_serving(house)
        house.boot()
        while house.recovery_turn():
            pass
    else:
        make_anew(house, NEAR, aside=False)
        recovered(house)
        house.boot(mend=True)
    assert house.token_key == key
    assert len(founded(house.reads)) == 1
    assert doubts_of(house.reads)
    assert synced(house, token) == (207, [("three.vcf", 200)])
    house.abandon()


def test_an_account_is_given_what_it_cannot_do_without(house: House) -> None:
    """Its password is lost, and the key of its large bodies; what devices sign in with has come back."""
    secret = bytes(range(32))
    another_segment(house)
    house.engine.execute(AddAppPassword(account=house.account().id, label="phone", sha256=secret))
    house.engine.seal()
    house.scheduler.run_for(60)
    house.close()
    house = house.kill()
    for vault in VAULTS:
        house.disk.lose(sorted(house.disk.files(f"{House.folder(vault)}/log"))[1])
    for folder in (CORE_FOLDER, "/blobs"):
        house.disk.lose(folder)
    house = ready(house)
    recovered(house)
    house.boot()
    (account,) = house.reads.accounts()
    assert house.reads.held(account.number, Kind.IDENTITY)
    house.close()
    house = ready(house.kill())
    result = recovered(house, accept_loss=True)
    house.boot()
    for one in result.taken:
        house.engine.execute(AcceptLoss(account=one.account, actor="recovery", kind=one.kind, missing=one.why))
    (account,) = house.reads.accounts()
    assert house.reads.secret(account.number, APP_PREFIX + "phone") is not None
    assert house.reads.secret(account.number, BLOB_KEY) is not None
    assert [(one.made, one.left) for one in founded(house.reads, account)] == [((BLOB_KEY,), (f"{APP_PREFIX}phone",))]
    # Its devices must not be given an empty account of its name in its place.
    assert account.name == ""
    with pytest.raises(Conflict, match="whose name has been lost"):
        house.engine.execute(house.new_account("ann"))
    name = NameAccount(account=account.id, name="ann", password=CheapHasher().hash(PASSWORD))
    assert house.request("GET", f"{BOOK}/two.vcf").status == 401
    house.engine.execute(name)
    # What it had is there still; the book in which that lay was made in what is lost, and closed for that.
    assert house.request("GET", f"{BOOK}/two.vcf").status == 503
    with pytest.raises(Conflict, match="has a name"):
        house.engine.execute(msgspec.structs.replace(name, name="bob"))
    house.engine.execute(house.new_account("bob"))
    house.abandon()


# -- killed at any point ---------------------------------------------------------------------------------------------


class _Strike:
    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, _operation: str, _path: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise Crash


def course(house: House) -> None:
    recover_run(house)
    house.boot()


@every(23)
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power lost"])
def test_whatever_ends_the_recovery_or_the_start_one_key_is_made(step: int, power: bool) -> None:
    before = struck(made(seed="struck"))
    with quietly():
        for at in range(0, 10_000, step):
            house = ready(before.kill())
            house.disk = before.disk.copy("/")
            house = ready(house)
            if not crashed(house, at, course):
                assert at > 100, "the course has more points than that"
                return
            house = ready(house.crash(at) if power else house.kill())
            course(house)
            check_one_key(house, at)
            house.abandon()
    raise AssertionError("the course comes to no end")


def crashed(house: House, at: int, work: Callable[[House], None]) -> bool:
    house.disk.on_write_point = _Strike(at)
    try:
        work(house)
    except (Crash, Exception):
        if not house.disk.dead:  # else it got lost on its way through a library
            raise
        return True
    house.disk.on_write_point = None
    return False


def check_one_key(house: House, at: int) -> None:
    where = f"struck at point {at}"
    keys = [change.body for change in in_the_log(house, TOKEN_KEY)]
    assert keys == [house.token_key], where
    assert [change.op for change in in_the_log(house, PREFIX)] == [Op.PUT], where
    (together,) = (frame for frame in frames_of(house) if any(change.name == TOKEN_KEY for change in frame))
    assert any(change.name.startswith(DOUBT_PREFIX) for change in together), where
    assert len(founded(house.reads)) == 1, where
    assert doubts_of(house.reads), where
    assert house.request("GET", f"{BOOK}/two.vcf").status == 200, where
    assert listed(house) == 503, where
