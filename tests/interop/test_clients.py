"""Programs that people use go round once: discover, add, edit, delete, and all of it arrives."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import caldav
import pytest

from tests.interop.conftest import Running
from tests.support.vdir import Vdir, counted
from tests.support.writers import CARD, card, component

BERLIN = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//round trip//EN\r
BEGIN:VEVENT\r
UID:{uid}\r
DTSTAMP:20260101T000000Z\r
DTSTART:20260610T090000Z\r
DTEND:20260610T100000Z\r
SUMMARY:{summary}\r
{rule}END:VEVENT\r
END:VCALENDAR\r
"""


@pytest.fixture
def phone(running: Running, tmp_path: Path) -> Vdir:
    vdir = Vdir(tmp_path / "phone")
    vdir.configure(running.service.port, running.user, running.password)
    code, output = vdir.run("discover")
    assert code == 0, output
    return vdir


def synced(vdir: Vdir) -> dict[str, int]:
    code, output = vdir.run("sync")
    assert code == 0, output
    return counted(output)


def test_vdirsyncer_carries_changes_both_ways(running: Running, phone: Vdir) -> None:
    draw = random.Random(1)
    client = running.client()
    root = f"/dav/{running.user}"
    bodies = {uid: card(uid, draw) for uid in ("vd-a", "vd-b", "vd-c")}
    for uid, body in bodies.items():
        phone.add("contacts/default", uid, body)
    event, task = component("VEVENT", "vd-event", draw), component("VTODO", "vd-task", draw)
    phone.add("calendars/default", "vd-event", event)
    phone.add("calendars/tasks", "vd-task", task)
    assert synced(phone)["uploaded"] == 5
    for uid, body in bodies.items():
        assert client.ask("GET", f"{root}/contacts/default/{uid}.vcf").body == body
    assert client.ask("GET", f"{root}/calendars/default/vd-event.ics").body == event
    assert client.ask("GET", f"{root}/calendars/tasks/vd-task.ics").body == task

    edited = bodies["vd-a"].replace(b"NOTE:", b"NOTE:edited on the phone ")
    phone.add("contacts/default", "vd-a", edited)
    (phone.root / "contacts/default/vd-b.vcf").unlink()
    fresh = card("vd-d", draw)
    assert client.put(f"{root}/contacts/default/vd-d.vcf", fresh, CARD, new=True).status == 201
    assert client.ask("DELETE", f"{root}/contacts/default/vd-c.vcf").status == 204
    assert synced(phone) == {"uploaded": 1, "downloaded": 1, "deleted_here": 1, "deleted_there": 1}
    assert client.ask("GET", f"{root}/contacts/default/vd-a.vcf").body == edited
    assert client.ask("GET", f"{root}/contacts/default/vd-b.vcf").status == 404
    assert sorted(n for n in phone.files() if n.startswith("contacts")) == [
        "contacts/default/vd-a.vcf",
        "contacts/default/vd-d.vcf",
    ]
    assert synced(phone) == {"uploaded": 0, "downloaded": 0, "deleted_here": 0, "deleted_there": 0}


def names_of(objects: Iterable[Any]) -> list[str]:
    """Last path segments of calendars or calendar objects."""
    return sorted(str(o.url).rstrip("/").rpartition("/")[2] for o in objects)


def test_the_caldav_library_makes_syncs_edits_and_deletes(running: Running) -> None:
    with caldav.DAVClient(url=running.url + "/", username=running.user, password=running.password) as client:
        principal = client.principal()
        assert {"default", "tasks", "notes"} <= set(names_of(principal.calendars()))
        calendar = principal.make_calendar(name="Round trip", cal_id="round-trip")
        once = calendar.save_event(BERLIN.format(uid="once", summary="Once", rule=""), no_overwrite=False)
        calendar.save_event(BERLIN.format(uid="weekly", summary="Weekly", rule="RRULE:FREQ=WEEKLY\r\n"))

        first = calendar.get_objects_by_sync_token(load_objects=True)
        assert names_of(first) == ["once.ics", "weekly.ics"]
        once.load()
        once.icalendar_component["summary"] = "Twice"
        once.save()
        assert b"SUMMARY:Twice" in running.client().ask("GET", once.url.path).body
        second = calendar.get_objects_by_sync_token(first.sync_token, load_objects=False)
        assert names_of(second) == ["once.ics"]

        once.delete()
        assert names_of(calendar.get_objects_by_sync_token(load_objects=False)) == ["weekly.ics"]
        assert running.client().ask("GET", once.url.path).status == 404
        calendar.delete()
        assert "round-trip" not in names_of(principal.calendars())


def test_the_caldav_library_finds_by_time_by_uid_and_by_state(running: Running) -> None:
    person = running.with_account("finder", "finds things")
    with caldav.DAVClient(url=person.url + "/", username=person.user, password=person.password) as client:
        principal = client.principal()
        calendar = principal.make_calendar(name="Finding", cal_id="finding")
        calendar.save_event(BERLIN.format(uid="once", summary="Once", rule=""))
        calendar.save_event(BERLIN.format(uid="weekly", summary="Weekly", rule="RRULE:FREQ=WEEKLY\r\n"))
        july, august = dt.datetime(2026, 7, 1, tzinfo=dt.UTC), dt.datetime(2026, 8, 1, tzinfo=dt.UTC)
        found = calendar.search(start=july, end=august, event=True)
        assert {str(e.icalendar_component["uid"]) for e in found} == {"weekly"}
        assert str(calendar.event_by_uid("once").icalendar_component["summary"]) == "Once"

        tasks = next(c for c in principal.calendars() if str(c.url).endswith("/tasks/"))
        todo = tasks.save_todo(summary="Water the plants", due=july)
        assert [str(t.icalendar_component["summary"]) for t in tasks.todos()] == ["Water the plants"]
        todo.complete()
        assert tasks.todos() == []
        assert len(tasks.todos(include_completed=True)) == 1
        todo.delete()
        calendar.delete()


def curl(running: Running, *args: str, stdin: bytes = b"") -> bytes:
    """curl as a person runs it; --fail makes an answer of 400 and more an error."""
    login = f"{running.user}:{running.password}"
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--user", login, *args],
        input=stdin,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout


def code_of(running: Running, *args: str) -> str:
    login = f"{running.user}:{running.password}"
    said = subprocess.run(
        ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--user", login, *args],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return said.stdout.decode()


def test_curl_keeps_notes_and_photos_as_plain_webdav(running: Running, tmp_path: Path) -> None:
    files = f"{running.url}/dav/{running.user}/files"
    note = "Einkauf: Brot, Käse, 茶\n".encode()
    curl(running, "--upload-file", "-", f"{files}/notes/einkauf.txt", stdin=note)
    assert curl(running, f"{files}/notes/einkauf.txt") == note

    photo = tmp_path / "photo.jpg"
    photo.write_bytes(random.Random(2).randbytes(700_001))
    assert code_of(running, "--request", "MKCOL", f"{files}/photos/2026") == "201"
    curl(running, "--upload-file", str(photo), f"{files}/photos/2026/strand%20%26%20meer.jpg")
    whole = f"{files}/photos/2026/strand%20%26%20meer.jpg"
    data = photo.read_bytes()
    assert curl(running, whole) == data
    assert curl(running, "--range", "0-9", whole) == data[:10]
    assert curl(running, "--range", "300000-600000", whole) == data[300_000:600_001]
    assert curl(running, "--range", "-5", whole) == data[-5:]
    assert code_of(running, "--range", "700001-", whole) == "416"

    part = tmp_path / "part.jpg"
    part.write_bytes(data[:250_000])
    curl(running, "--continue-at", "-", "--output", str(part), whole)
    assert part.read_bytes() == data

    assert code_of(running, "--request", "DELETE", f"{files}/photos/2026") == "204"
    assert code_of(running, whole) == "404"
