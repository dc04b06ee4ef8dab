"""Programs that people keep contacts, appointments and tasks with, behind one small interface.

A program has a name for each thing it keeps (who a contact is, what an appointment or a task is about): its title.
Whatever it does ends in a sync, and it syncs before it looks. Each has a home of its own.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import zlib
from pathlib import Path
from typing import Protocol

import caldav

from tests.support.home import ZONE, Home
from tests.support.service import Client
from tests.support.vdir import Vdir
from tests.support.writers import CARD, ICAL

_TITLE = re.compile(r"^(?:FN|SUMMARY)(?:;[^:\r\n]*)?:(.*?)\r?$", re.MULTILINE)


def title_of(body: bytes) -> str:
    """FN or SUMMARY of an item, unfolded."""
    text = re.sub(r"\r?\n[ \t]", "", body.decode())
    found = _TITLE.findall(text.partition("END:VTIMEZONE")[2] or text)
    assert len(found) == 1, text
    return str(found[0])


def body_for(collection: str, title: str) -> tuple[str, bytes]:
    """UID and bytes of the smallest item with this title that a collection takes."""
    uid = f"made-{zlib.crc32(title.encode()):08x}"
    if collection.startswith("contacts"):
        return uid, f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{title}\r\nN:{title};;;;\r\nEND:VCARD\r\n".encode()
    task = collection.endswith("tasks")
    name, times = ("VTODO", "") if task else ("VEVENT", "DTSTART:20300610T090000Z\r\nDTEND:20300610T100000Z\r\n")
    body = (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//by hand//EN\r\nBEGIN:{name}\r\nUID:{uid}\r\n"
        f"DTSTAMP:20260101T000000Z\r\n{times}SUMMARY:{title}\r\nEND:{name}\r\nEND:VCALENDAR\r\n"
    )
    return uid, body.encode()


class Program(Protocol):
    """What every one of them can do. Titles are unique and come sorted."""

    def add(self, title: str) -> None: ...
    def retitle(self, old: str, new: str) -> None: ...
    def delete(self, title: str) -> None: ...
    def titles(self) -> list[str]: ...


class Plain:
    """Plain HTTP, by what the server says itself: the witness that every program is held against."""

    def __init__(self, client: Client, collection: str) -> None:
        self._client = client
        self._home = f"/dav/{client.user}/{collection}/"
        self._collection = collection
        self._media, self._ending = (CARD, "vcf") if collection.startswith("contacts") else (ICAL, "ics")

    def bodies(self) -> dict[str, bytes]:
        """By path."""
        items, _ = self._client.listing(self._home)
        found = {}
        for name, etag in items.items():
            answer = self._client.ask("GET", self._home + name)
            assert (answer.status, answer.etag) == (200, etag)
            found[self._home + name] = answer.body
        return found

    def path_of(self, title: str) -> str:
        return next(path for path, body in self.bodies().items() if title_of(body) == title)

    def body_of(self, title: str) -> bytes:
        return self.bodies()[self.path_of(title)]

    def add(self, title: str) -> None:
        uid, body = body_for(self._collection, title)
        answer = self._client.put(f"{self._home}{uid}.{self._ending}", body, self._media, new=True)
        assert answer.status == 201, answer

    def retitle(self, old: str, new: str) -> None:
        path = self.path_of(old)
        before = self._client.ask("GET", path)
        body = before.body.replace(old.encode(), new.encode())
        assert self._client.put(path, body, self._media, match=before.etag).status == 204

    def delete(self, title: str) -> None:
        assert self._client.ask("DELETE", self.path_of(title)).status == 204

    def titles(self) -> list[str]:
        return sorted(map(title_of, self.bodies().values()))


class Carried:
    """A program on the folders that vdirsyncer keeps in step with the server; on its own, a file manager."""

    def __init__(self, root: Path, port: int, user: str, password: str, collection: str) -> None:
        self.home = Home(root / "home")
        self.vdir = Vdir(root / "device")
        self.vdir.configure(port, user, password)
        self.collection = collection
        self.folder = self.vdir.root / collection
        code, output = self.vdir.run("discover")
        assert code == 0, output

    def sync(self) -> None:
        code, output = self.vdir.run("sync", only=self.collection)
        assert code == 0, output

    def _file(self, title: str) -> Path:
        return next(path for path in self.folder.iterdir() if title_of(path.read_bytes()) == title)

    # -- files by hand, where no program is put over them ---------------------------------------------------------

    def add(self, title: str) -> None:
        self.vdir.add(self.collection, *body_for(self.collection, title))
        self.sync()

    def retitle(self, old: str, new: str) -> None:
        path = self._file(old)
        path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
        self.sync()

    def delete(self, title: str) -> None:
        self._file(title).unlink()
        self.sync()

    def titles(self) -> list[str]:
        self.sync()
        return sorted(title_of(path.read_bytes()) for path in self.folder.iterdir())


class Khard(Carried):
    """khard on the default address book. A title is a given name and a family name."""

    def __init__(self, root: Path, port: int, user: str, password: str) -> None:
        super().__init__(root, port, user, password, "contacts/default")
        self.home.write(
            ".config/khard/khard.conf",
            f"[addressbooks]\n[[default]]\npath = {self.folder}\n[vcard]\npreferred_version = 3.0\n",
        )

    def _form(self, title: str) -> str:
        given, _, family = title.partition(" ")
        form = (
            f"Formatted name: {title}\nFirst name: {given}\nLast name: {family}\nEmail:\n  home: {given}@example.org\n"
        )
        return str(self.home.write("form.yaml", form))

    def add(self, title: str) -> None:
        self.home.run("khard", "new", "-a", "default", "-i", self._form(title))
        self.sync()

    def retitle(self, old: str, new: str) -> None:
        self.home.run("khard", "edit", "-i", self._form(new), old, stdin="y\n")
        self.sync()

    def delete(self, title: str) -> None:
        self.home.run("khard", "remove", "--force", title)
        self.sync()

    def titles(self) -> list[str]:
        self.sync()
        said = self.home.run("khard", "list", "--parsable", "--fields", "formatted_name", codes=(0, 1))
        return sorted(line for line in said.splitlines() if line and not line.startswith("Found no"))


class Khal(Carried):
    """khal on the default calendar."""

    def __init__(self, root: Path, port: int, user: str, password: str) -> None:
        super().__init__(root, port, user, password, "calendars/default")
        self.home.write(
            ".config/khal/config",
            f"[calendars]\n[[default]]\npath = {self.folder}\n[default]\ndefault_calendar = default\n"
            f"[locale]\nlocal_timezone = {ZONE}\ndefault_timezone = {ZONE}\ntimeformat = %H:%M\ndateformat = %Y-%m-%d\n"
            "longdateformat = %Y-%m-%d\ndatetimeformat = %Y-%m-%d %H:%M\nlongdatetimeformat = %Y-%m-%d %H:%M\n",
        )

    def khal(self, *args: str, stdin: str = "") -> str:
        return self.home.run("khal", *args, stdin=stdin)

    def add(self, title: str) -> None:
        self.khal("new", "2030-06-11", "09:00", "10:00", title)
        self.sync()

    def retitle(self, old: str, new: str) -> None:
        self.khal("edit", "--show-past", old, stdin=f"s\n{new}\nn\n")
        self.sync()

    def delete(self, title: str) -> None:
        self.khal("edit", "--show-past", title, stdin="D\ny\n")
        self.sync()

    def titles(self) -> list[str]:
        return sorted({title for _, title in self.instances("2030-01-01", "2031-01-01")})

    def instances(self, start: str, end: str) -> list[tuple[str, str]]:
        """Beginning, as khal writes it, and title of everything in a span of days."""
        self.sync()
        said = self.khal("list", "--format", "{start}|{title}", "--day-format", "", start, end)
        pairs = [line.partition("|") for line in said.splitlines() if "|" in line]
        return [(begins.strip(), title.strip()) for begins, _, title in pairs]


class Todoman(Carried):
    """todoman on the list of tasks."""

    def __init__(self, root: Path, port: int, user: str, password: str) -> None:
        super().__init__(root, port, user, password, "calendars/tasks")
        self.home.write(
            ".config/todoman/config.py",
            f'path = "{self.folder}"\ndate_format = "%Y-%m-%d"\ntime_format = "%H:%M"\ndefault_list = "tasks"\n'
            "default_due = 0\nhumanize = False\n",
        )

    def todo(self, *args: str, editor: str = "false") -> str:
        return self.home.run("todo", *args, env={"EDITOR": editor})

    def listed(self) -> list[dict[str, object]]:
        """Every task as todoman tells it to other programs."""
        self.sync()
        found: list[dict[str, object]] = json.loads(self.todo("--porcelain", "list", "--status", "ANY"))
        return found

    def number(self, title: str) -> str:
        return next(str(task["id"]) for task in self.listed() if task["summary"] == title)

    def add(self, title: str) -> None:
        self.todo("new", "--list", "tasks", title)
        self.sync()

    def retitle(self, old: str, new: str) -> None:
        """From a script todoman opens the file in an editor; its own screen is for people."""
        script = f'#!/bin/sh\nexec sed -i "s/SUMMARY:{old}/SUMMARY:{new}/" "$1"\n'
        editor = self.home.write("editor", script)
        editor.chmod(0o700)
        self.todo("edit", "--raw", self.number(old), editor=str(editor))
        self.sync()

    def delete(self, title: str) -> None:
        self.todo("delete", "--yes", self.number(title))
        self.sync()

    def titles(self) -> list[str]:
        return sorted(str(task["summary"]) for task in self.listed())


class CaldavLibrary:
    """The caldav library of Python on one collection of a signed-in client."""

    def __init__(self, client: caldav.DAVClient, name: str, *, tasks: bool = False) -> None:
        self.calendar = next(c for c in client.principal().calendars() if c.url.path.endswith(f"/{name}/"))
        self._tasks = tasks

    def _all(self) -> list[caldav.CalendarObjectResource]:
        return list(self.calendar.todos(include_completed=True) if self._tasks else self.calendar.events())

    def named(self, title: str) -> caldav.CalendarObjectResource:
        return next(found for found in self._all() if str(found.icalendar_component["summary"]) == title)

    def add(self, title: str) -> None:
        if self._tasks:
            self.calendar.save_todo(summary=title)
        else:
            start = dt.datetime(2030, 6, 12, 9, tzinfo=dt.UTC)
            self.calendar.save_event(summary=title, dtstart=start, dtend=start + dt.timedelta(hours=1))

    def retitle(self, old: str, new: str) -> None:
        found = self.named(old)
        found.icalendar_component["summary"] = new
        found.save()

    def delete(self, title: str) -> None:
        self.named(title).delete()

    def titles(self) -> list[str]:
        return sorted(str(found.icalendar_component["summary"]) for found in self._all())
