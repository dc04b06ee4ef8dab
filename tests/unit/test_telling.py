"""What a service tells by itself: the file that others publish, and letters, each once and to nobody else."""

from __future__ import annotations

import stat
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly.announced import Announced
from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.session import Session
from safehold.assembly.status_file import FRESH_SECONDS, LEAST_SECONDS, StatusFile
from safehold.assembly.telling import LOOK_SECONDS, Telling
from safehold.config import Config, MailConfig
from safehold.disaster.house import House
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.model.commands import AddAccount, SetMail
from safehold.model.errors import NotFound
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads
from safehold.ports.mail import Letter
from safehold.recovery.report import KindCount
from safehold.service.notices import MASS_DELETE, Notices
from safehold.service.postbox import Postbox
from tests.unit.test_recovery_after import ANN, LOST, made, report

STATUS: dict[str, Any] = {
    "service": "serving",
    "vaults": [{"name": "near", "seen_seconds_ago": 1.0}],
    "incidents": [],
    "recovery": None,
    "announcements": [],
}


# -- the file --------------------------------------------------------------------------------------------------


def settle(file: StatusFile) -> None:
    if file._under_way is not None:
        file._under_way.result(10)


def test_the_file_says_what_the_page_says_in_both_languages(tmp_path: Path) -> None:
    folder = tmp_path / "public" / "status"
    file = StatusFile(folder, SimClock(), "https://dav.example.org")
    file.offer(STATUS | {"risks": ["secret"], "vaults": [{"name": "near", "url": "folder:/secret"}]})
    settle(file)
    assert {path.name for path in folder.iterdir()} == {"index.html", "index.es.html", "status.json", "status.atom"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in folder.iterdir())
    english, spanish = (folder / "index.html").read_text(), (folder / "index.es.html").read_text()
    assert "Everything answers." in english and "Todo responde." in spanish
    assert 'href="index.es.html"' in english and 'href="index.html"' in spanish
    assert 'href="/' not in english, "it lies on another server"
    assert "the server itself does not answer" in english
    for path in folder.iterdir():
        assert "secret" not in path.read_text()
    ET.parse(folder / "status.atom")


def test_the_file_is_written_when_something_changes_and_now_and_then(tmp_path: Path) -> None:
    clock = SimClock()
    file = StatusFile(tmp_path, clock)

    def offered(**changes: Any) -> bool:
        before = (tmp_path / "status.json").read_bytes() if (tmp_path / "status.json").exists() else b""
        file.offer(STATUS | changes)
        settle(file)
        return before != (tmp_path / "status.json").read_bytes()

    assert offered()
    assert not offered(service="read-only"), "too soon"
    clock.advance(LEAST_SECONDS)
    assert offered(service="read-only")
    clock.advance(LEAST_SECONDS)
    assert not offered(service="read-only", vaults=[{"name": "near", "seen_seconds_ago": 9.0}]), "nothing has changed"
    clock.advance(FRESH_SECONDS)
    assert offered(service="read-only"), "it says how old it is"


def test_a_folder_that_cannot_be_written_is_an_incident_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    clock = SimClock()
    file = StatusFile(tmp_path / "file" / "status", clock)
    file.offer(STATUS)
    with pytest.raises(OSError):
        settle(file)
    clock.advance(LEAST_SECONDS)
    file.offer(STATUS)
    [incident] = file.incidents()
    assert str(tmp_path) in incident["message"] and str(tmp_path) not in incident["summary"]
    (tmp_path / "file").unlink()
    while file.incidents():
        clock.advance(LEAST_SECONDS)
        file.offer(STATUS)
        time.sleep(0.01)
    assert (tmp_path / "file" / "status" / "index.html").exists()


# -- letters ---------------------------------------------------------------------------------------------------


class Carrier:
    def __init__(self) -> None:
        self.sent: list[Letter] = []

    def send(self, letter: Letter) -> None:
        self.sent.append(letter)


class Site:
    """As much of a Site as telling needs."""

    def __init__(self, data: Path, clock: SimClock, mail: MailConfig) -> None:
        self.data = data
        self.clock = clock
        self.config = Config(mail=mail, public_url="https://dav.example.org")


MAIL = MailConfig(host="127.0.0.1", sender="safehold@example.org", operator="root@example.org", vault_down_minutes=30)


@pytest.fixture
def house() -> House:
    house = House.new(accounts=("ann", "ben", "eva"))
    for name, address, lang in (("ann", "ann@example.org", "en"), ("eva", "eva@example.org", "es")):
        house.engine.execute(SetMail(account=house.account(name).id, address=address, lang=lang))
    return house


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


def make(house: House, carrier: Carrier, data: Path) -> Telling:
    def in_thread(work: Callable[[CoreReads], None]) -> None:
        work(house.reads)

    telling = Telling(Site(data, house.sim_clock, MAIL), in_thread)  # type: ignore[arg-type]
    telling.postbox = Postbox(carrier, house.clock)
    return telling


@pytest.fixture
def telling(house: House, carrier: Carrier, tmp_path: Path) -> Telling:
    return make(house, carrier, tmp_path)


def look(telling: Telling, house: House, seconds: float = LOOK_SECONDS, **changes: Any) -> None:
    house.sim_clock.advance(seconds)
    telling.tick(lambda: STATUS | changes)
    assert telling.postbox is not None
    telling.postbox.step()


def to(carrier: Carrier) -> list[str]:
    sent = [letter.to for letter in carrier.sent]
    carrier.sent.clear()
    return sorted(sent)


def test_a_recovery_is_told_once_when_it_begins_and_once_when_it_ends(
    telling: Telling, house: House, carrier: Carrier, tmp_path: Path
) -> None:
    look(telling, house)
    assert to(carrier) == []
    everybody = ["ann@example.org", "eva@example.org", "root@example.org"]
    look(telling, house, recovery={"state": "running", "stage": "contacts", "seconds": 3.0})
    assert to(carrier) == ["root@example.org"], "most people have not noticed"
    look(telling, house, recovery={"state": "running", "stage": "contacts", "seconds": 61.0})
    spanish = next(letter for letter in carrier.sent if letter.to == "eva@example.org")
    assert spanish.subject == "Estamos recuperando tus datos"
    assert "Hola, eva:" in spanish.text and "https://dav.example.org/account/state" in spanish.text
    assert to(carrier) == everybody[:2]
    for _ in range(3):
        look(telling, house, recovery={"state": "running", "stage": "photos", "seconds": 90.0})
    again = make(house, carrier, tmp_path)  # killed, and going on
    look(again, house, recovery={"state": "running", "stage": "photos", "seconds": 90.0})
    assert to(carrier) == []
    look(again, house, recovery={"state": "done"})
    assert {letter.subject for letter in carrier.sent} >= {"Your data is back", "Tus datos están de vuelta"}
    assert to(carrier) == everybody
    look(again, house)
    assert to(carrier) == []
    look(again, house, recovery={"state": "running", "seconds": 70.0})
    assert to(carrier) == everybody, "a second recovery is another one"


def test_a_short_recovery_is_told_to_the_operator_alone(telling: Telling, carrier: Carrier, house: House) -> None:
    telling.recovery({"state": "running", "seconds": 0.1})
    telling.recovery(None)
    look(telling, house)
    assert [letter.subject for letter in carrier.sent] == ["Safehold: recovery began", "Safehold: recovery ended"]
    assert to(carrier) == ["root@example.org"] * 2


def test_a_loss_is_told_to_the_operator(telling: Telling, carrier: Carrier, house: House) -> None:
    telling.recovered(made(report(changes_recovered=90)))
    telling.recovered(made(report(not_exact=[ANN], lost=[LOST], items={Kind.CONTACTS: KindCount(10, 7, 1, 2)})))
    look(telling, house)
    [letter] = carrier.sent
    assert letter.subject == "Safehold: loss"
    assert "Of 3 accounts 1 did not come back exactly: 1 item is older, 2 lost." in letter.text


def test_the_operator_is_told_of_a_vault_that_stays_down(telling: Telling, house: House, carrier: Carrier) -> None:
    missing = {"what": "vault missing", "message": "the vault far is not at /mnt/far", "hint": "mount it"}
    look(telling, house, incidents=[missing])
    look(telling, house, 29 * 60, incidents=[missing])
    assert to(carrier) == []
    look(telling, house, 60, incidents=[missing])
    [letter] = carrier.sent
    assert "not at /mnt/far" in letter.text and "mount it" in letter.text
    look(telling, house, 60, incidents=[missing])
    assert to(carrier) == ["root@example.org"]
    look(telling, house)
    look(telling, house, incidents=[missing])
    look(telling, house, 60, incidents=[missing])
    assert to(carrier) == [], "it came back, and has not been down for long again"


def test_what_cannot_wait_is_told_at_once_and_once(telling: Telling, house: House, carrier: Carrier) -> None:
    stopped = {"what": "writing stopped", "message": "the disk is full", "hint": "make room"}
    for _ in range(3):
        look(telling, house, incidents=[stopped, {"what": "mail", "message": "no mail can be sent"}])
    assert to(carrier) == ["root@example.org"]


def test_a_mass_delete_is_told_to_whom_it_is_about(telling: Telling, house: House, carrier: Carrier) -> None:
    engine = house.engine
    told: list[Change] = []
    for name in ("eva", "ben"):
        engine.core.begin()
        engine._ledger.begin(engine.log.position.frame + 1, house.clock.now())
        Notices.tell(
            engine._ledger,
            house.account(name),
            MASS_DELETE,
            collection="contacts/default",
            name="secret.vcf",
            count=40,
            device="DAVx5",
        )
        told += engine._ledger.changes
        engine.core.rollback()
        engine._ledger.forget()
    telling.committed(told)
    look(telling, house)
    by_address = {one.to: one for one in carrier.sent if "eva" in one.to or "eva" in one.text}
    assert len(carrier.sent) == 3, "to eva, and of each to the operator"
    letter = by_address["eva@example.org"]
    assert letter.subject == "Se han borrado muchos datos de golpe"
    assert by_address["root@example.org"].subject == "Safehold: brake"
    assert "DAVx5 ha borrado 40 elementos" in letter.text
    assert "secret" not in letter.text, "a letter names no item"


def test_without_configuration_nothing_is_written(house: House, tmp_path: Path) -> None:
    site = Site(tmp_path, house.sim_clock, MailConfig())
    telling = Telling(site, lambda work: work(house.reads))  # type: ignore[arg-type]
    assert telling.postbox is None

    def status() -> dict[str, Any]:
        raise AssertionError("nobody asked for it")

    telling.tick(status)
    telling.committed([])
    assert telling.incidents() == []
    assert list(tmp_path.iterdir()) == []


# -- announcements ---------------------------------------------------------------------------------------------


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return open_installation(tmp_path / "data", Config(), make=True)


def test_an_announcement_is_vaulted_where_there_is_a_core(installation: Installation) -> None:
    told = installation.announced().announce("We move tonight.", None)
    assert told.vaulted
    assert [(t.announcement.text, t.vaulted) for t in installation.announced().listed()] == [("We move tonight.", True)]
    assert installation.status()["announcements"][0]["text"] == "We move tonight."
    installation.announced().withdraw(told.announcement.name)
    assert installation.announced().listed() == []
    with pytest.raises(NotFound):
        installation.announced().withdraw(told.announcement.name)


def test_without_a_core_what_was_said_stands_and_more_can_be_said(installation: Installation) -> None:
    announced = installation.announced()
    announced.announce("Before.", None)
    announced.listed()
    core = installation.core_path
    core.rename(core.with_suffix(".away"))
    told = announced.announce("We bring it back.", None)
    assert not told.vaulted
    assert [t.announcement.text for t in announced.listed()] == ["We bring it back.", "Before."]
    assert [one.text for one in Announced(installation).all(None)] == ["We bring it back.", "Before."]
    core.with_suffix(".away").rename(core)
    with Session(installation) as session:
        session.execute_all(announced.waiting())
        session.execute(AddAccount(account=bytes([1]) * 16, name="ann"))
    announced.entered()
    assert announced.waiting() == []
    assert {(t.announcement.text, t.vaulted) for t in announced.listed()} == {
        ("We bring it back.", True),
        ("Before.", True),
    }
    announced.announce("Gone soon.", None)


def test_what_is_kept_beside_can_be_taken_back(installation: Installation) -> None:
    core = installation.core_path
    core.rename(core.with_suffix(".away"))
    told = installation.announced().announce("Oops.", None)
    installation.announced().withdraw(told.announcement.name)
    assert installation.announced().all(None) == []
