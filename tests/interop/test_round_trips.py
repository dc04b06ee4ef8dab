"""What one program adds, edits and deletes, every other sees: contacts, appointments and tasks.

The programs: khard, khal and todoman on the folders of vdirsyncer, vdirsyncer by itself, the caldav library of Python.
In each test two of them and plain HTTP all act, and then all three are asked.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import caldav
import pytest
from caldav.lib.error import ETagMismatchError

from tests.interop.conftest import Running
from tests.support.programs import CaldavLibrary, Carried, Khal, Khard, Plain, Program, Todoman, title_of
from tests.support.vdir import Vdir

PASSWORD = "round-trips-1"
BODY = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//round trip//EN\r\nBEGIN:VEVENT\r\nUID:kick-off\r\n"
    "DTSTAMP:20260101T000000Z\r\nDTSTART:20300610T180000Z\r\nSUMMARY:Kick-off\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
_numbers = itertools.count(1)


@pytest.fixture
def person(running: Running) -> Running:
    """A new account of the running service, whose collections are empty."""
    return running.with_account(f"person-{next(_numbers)}", PASSWORD)


@pytest.fixture
def library(person: Running) -> Iterator[caldav.DAVClient]:
    with caldav.DAVClient(url=person.url + "/", username=person.user, password=person.password) as client:
        yield client


def go_round(programs: Mapping[str, Program]) -> None:
    """All add, retitle and delete, their own and another's; after each of these, everybody is asked what there is.

    One thing stays throughout: vdirsyncer takes a collection without anything for a loss, and stops.
    """
    first, *_ = programs.values()
    first.add("Stays Throughout")
    there = {"Stays Throughout"}

    def all_see(act: str) -> None:
        for name, program in programs.items():
            assert program.titles() == sorted(there), f"after {act}, as {name} sees it"

    for name, program in programs.items():
        program.add(f"Änne {name}")
        there.add(f"Änne {name}")
    all_see("all have added")
    for name, program in programs.items():
        program.retitle(f"Änne {name}", f"茶 {name}")
        there = there - {f"Änne {name}"} | {f"茶 {name}"}
    all_see("all have edited their own")
    names = list(programs)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        programs[name].retitle(f"茶 {other}", f"Öl {other}")
        there = there - {f"茶 {other}"} | {f"Öl {other}"}
    all_see("all have edited another's")
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        programs[name].delete(f"Öl {other}")
        there.discard(f"Öl {other}")
    all_see("all have deleted what another had made")


def test_khard_and_vdirsyncer(person: Running, tmp_path: Path) -> None:
    where = (person.service.port, person.user, person.password)
    go_round(
        {
            "khard": Khard(tmp_path / "one", *where),
            "vdirsyncer": Carried(tmp_path / "two", *where, "contacts/default"),
            "http": Plain(person.client(), "contacts/default"),
        }
    )


def test_khal_and_the_caldav_library(person: Running, library: caldav.DAVClient, tmp_path: Path) -> None:
    where = (person.service.port, person.user, person.password)
    go_round(
        {
            "khal": Khal(tmp_path, *where),
            "caldav": CaldavLibrary(library, "default"),
            "http": Plain(person.client(), "calendars/default"),
        }
    )


def test_todoman_and_the_caldav_library(person: Running, library: caldav.DAVClient, tmp_path: Path) -> None:
    where = (person.service.port, person.user, person.password)
    go_round(
        {
            "todoman": Todoman(tmp_path, *where),
            "caldav": CaldavLibrary(library, "tasks", tasks=True),
            "http": Plain(person.client(), "calendars/tasks"),
        }
    )


# -- what each kind of item is made of --------------------------------------------------------------------------------


def test_a_weekly_appointment_keeps_its_hour_over_the_change_of_clocks(
    person: Running, library: caldav.DAVClient, tmp_path: Path
) -> None:
    khal = Khal(tmp_path, person.service.port, person.user, person.password)
    plain = Plain(person.client(), "calendars/default")
    weekly = ("--repeat", "weekly", "--until", "2030-04-30", "--location", "Büro", "--alarms", "15m")
    khal.khal("new", *weekly, "2030-03-22", "09:00", "10:00", "Standup")
    khal.sync()
    (file,) = khal.folder.iterdir()
    assert plain.body_of("Standup") == file.read_bytes()
    by_the_library = CaldavLibrary(library, "default").calendar
    april = (dt.datetime(2030, 3, 25, tzinfo=dt.UTC), dt.datetime(2030, 4, 8, tzinfo=dt.UTC))
    found = by_the_library.search(start=april[0], end=april[1], event=True, expand=True)
    starts = sorted(event.icalendar_component["dtstart"].dt.astimezone(dt.UTC) for event in found)
    assert starts == [dt.datetime(2030, 3, 29, 8, tzinfo=dt.UTC), dt.datetime(2030, 4, 5, 7, tzinfo=dt.UTC)]

    # Somebody else moves one instance, and cancels another.
    event = CaldavLibrary(library, "default").named("Standup")
    zone = event.icalendar_component["dtstart"].dt.tzinfo
    whole = event.icalendar_instance
    moved = event.icalendar_component.copy()
    for gone in ("rrule", "dtstart", "dtend"):
        del moved[gone]
    moved.add("recurrence-id", dt.datetime(2030, 3, 29, 9, tzinfo=zone))
    moved.add("dtstart", dt.datetime(2030, 3, 29, 14, tzinfo=zone))
    moved.add("dtend", dt.datetime(2030, 3, 29, 15, tzinfo=zone))
    event.icalendar_component.add("exdate", dt.datetime(2030, 4, 5, 9, tzinfo=zone))
    whole.add_component(moved)
    event.save()
    assert khal.instances("2030-03-20", "2030-04-13") == [
        ("2030-03-22 09:00", "Standup"),
        ("2030-03-29 14:00", "Standup"),
        ("2030-04-12 09:00", "Standup"),
    ]
    found = by_the_library.search(start=april[0], end=april[1], event=True, expand=True)
    assert [e.icalendar_component["dtstart"].dt.astimezone(dt.UTC).hour for e in found] == [13]


def test_a_task_is_done_here_and_reopened_there(person: Running, library: caldav.DAVClient, tmp_path: Path) -> None:
    todoman = Todoman(tmp_path, person.service.port, person.user, person.password)
    tasks = CaldavLibrary(library, "tasks", tasks=True)
    todoman.todo("new", "--due", "2030-05-01", "--priority", "high", "--category", "home", "Water the plants")
    todoman.sync()
    assert [str(t.icalendar_component["summary"]) for t in tasks.calendar.todos()] == ["Water the plants"]
    seen = tasks.named("Water the plants").icalendar_component
    assert seen["priority"] < 5
    assert list(seen["categories"].cats) == ["home"]
    assert seen["due"].dt.isoformat().startswith("2030-05-01")

    todoman.todo("done", todoman.number("Water the plants"))
    todoman.sync()
    assert tasks.calendar.todos() == []
    done = tasks.named("Water the plants")
    assert done.icalendar_component["status"] == "COMPLETED"
    done.uncomplete()
    (open_again,) = todoman.listed()
    assert not open_again["completed"]
    assert len(tasks.calendar.todos()) == 1


def test_khard_keeps_what_it_does_not_know_of(person: Running, tmp_path: Path) -> None:
    khard = Khard(tmp_path, person.service.port, person.user, person.password)
    plain = Plain(person.client(), "contacts/default")
    plain.add("Ada Lovelace")
    path = plain.path_of("Ada Lovelace")
    more = b"X-ANNIVERSARY-OF:the engine\r\nTEL;TYPE=CELL:+49301234\r\nPHOTO;ENCODING=b;TYPE=JPEG:" + b"QUJD" * 2000
    client = person.client()
    before = client.ask("GET", path)
    body = before.body.replace(b"END:VCARD", more + b"\r\nEND:VCARD")
    assert client.put(path, body, "text/vcard", match=before.etag).status == 204
    assert khard.titles() == ["Ada Lovelace"]
    khard.retitle("Ada Lovelace", "Ada King")
    after = client.ask("GET", path).body.replace(b"\r\n ", b"").replace(b"\n ", b"")
    assert b"X-ANNIVERSARY-OF:the engine" in after
    assert b"QUJD" * 2000 in after
    assert b"FN:Ada King" in after


# -- two who change the same thing ------------------------------------------------------------------------------------


def test_vdirsyncer_tells_a_conflict_and_touches_neither_side(person: Running, tmp_path: Path) -> None:
    where = (person.service.port, person.user, person.password)
    device = Carried(tmp_path, *where, "contacts/default")
    plain = Plain(person.client(), "contacts/default")
    for title in ("Ada Lovelace", "Stays Throughout"):
        device.add(title)
    path = plain.path_of("Ada Lovelace")
    (file,) = (f for f in device.folder.iterdir() if b"Ada" in f.read_bytes())
    file.write_bytes(file.read_bytes().replace(b"Lovelace", b"Here"))
    plain.retitle("Ada Lovelace", "Ada There")
    code, said = device.vdir.run("sync")
    assert code != 0
    assert "conflict" in said
    assert b"Ada Here" in file.read_bytes()
    assert b"Ada There" in plain.bodies()[path]


def test_the_caldav_library_is_refused_what_it_has_not_seen(person: Running, library: caldav.DAVClient) -> None:
    plain = Plain(person.client(), "calendars/default")
    here = CaldavLibrary(library, "default")
    here.add("Dinner")
    event = here.named("Dinner")
    event.load()
    plain.retitle("Dinner", "Supper")
    event.icalendar_component["summary"] = "Lunch"
    with pytest.raises(ETagMismatchError):
        event.save()
    assert plain.titles() == ["Supper"]
    event.load()
    event.icalendar_component["summary"] = "Lunch"
    event.save()
    assert plain.titles() == ["Lunch"]


def test_a_calendar_that_one_makes_another_finds(person: Running, library: caldav.DAVClient, tmp_path: Path) -> None:
    components = ["VEVENT"]
    made = library.principal().make_calendar("Fußball", "fussball", supported_calendar_component_set=components)
    made.save_event(BODY)
    _, folders = person.client().listing(f"/dav/{person.user}/calendars/")
    assert folders["fussball"] == "Fußball"
    device = Vdir(tmp_path)
    device.configure(person.service.port, person.user, person.password, all_calendars=True)
    for command in ("discover", "sync", "metasync"):
        code, said = device.run(command)
        assert code == 0, said
    (file,) = (tmp_path / "calendars" / "fussball").glob("*.ics")
    assert title_of(file.read_bytes()) == "Kick-off"
    assert (tmp_path / "calendars" / "fussball" / "displayname").read_text() == "Fußball"

    made.delete()
    _, folders = person.client().listing(f"/dav/{person.user}/calendars/")
    assert "fussball" not in folders
    code, said = device.run("sync")
    assert code != 0, "a collection that is gone is no empty one"
    assert file.exists()
