"""Contacts, events and tasks to test with: the standards' examples, what other projects test with, and derived ones.

- `tests/data/rfc`: examples of the RFCs, in this repository;
- the .ics and .vcf files within the source archives of icalendar, recurring-ical-events and vobject, which bin/test
  downloads (requirements/corpus.txt) into `.venv/corpus`, or the folder that SAFEHOLD_CORPUS names. They are read from
  the archives and never unpacked or copied;
- *derived*: the archives hold few vCards and tasks, so these are varied: the same object with another UID and another
  name, from a fixed list of names in many scripts. Their file names end in `-derived-<number>`.

Files that hold several objects are taken apart as an import does it. Every body given out passes content.check, and no
two of one kind have the same UID. What is not usable is listed by `refused`, with the reason. Each run gives the same.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path, PurePosixPath

from safehold.content.check import check_icalendar, check_vcard
from safehold.content.lines import fold, unfold
from safehold.content.media import ICALENDAR, VCARD, sniff
from safehold.content.split import Parts, derived_uid, split_calendar, split_vcards
from safehold.model.errors import InvalidContent

ROOT = Path(__file__).resolve().parents[2]
RFC_FOLDER = ROOT / "tests" / "data" / "rfc"
CARDS_WANTED = 400
TASKS_WANTED = 80

Object = tuple[str, bytes]

_GIVEN = (
    "Zoë",
    "Łukasz",
    "Ἑλένη",
    "Дмитрий",
    "নীলা",
    "محمد",
    "שרה",
    "प्रिया",
    "小明",
    "さくら",
    "지훈",
    "สมชาย",
    "Nguyễn",
    "Jón",
)
_FAMILY = (
    "O’Brien",
    "Müller-Lüdenscheidt",
    "Παπαδοπούλου",
    "Щербакова",
    "الحسن",
    "כהן",
    "शर्मा",
    "王",
    "山田",
    "김",
    "Đặng",
    "Æsir",
)
_BARE = re.compile(rb"\s*BEGIN:(VEVENT|VTODO|VJOURNAL)\r?\n", re.IGNORECASE)


@dataclass
class Corpus:
    """Usable objects by kind, and (file, line, reason) of what is not usable."""

    cards: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    tasks: list[Object] = field(default_factory=list)
    journals: list[Object] = field(default_factory=list)
    refused: list[tuple[str, int, str]] = field(default_factory=list)


def calendar_objects() -> Iterator[Object]:
    """(file name, body) of events: at least 300; the first ones from as many different files as there are."""
    return iter(load().events)


def cards() -> Iterator[Object]:
    """(file name, body) of vCards: at least 300, most of them derived."""
    return iter(load().cards)


def tasks() -> Iterator[Object]:
    """(file name, body) of tasks: at least 50, many of them derived."""
    return iter(load().tasks)


def refused() -> list[tuple[str, int, str]]:
    """(file, line, reason) of every part of a source file that is no object of its own."""
    return load().refused


def folder() -> Path:
    """Where the source archives lie."""
    return Path(os.environ.get("SAFEHOLD_CORPUS") or ROOT / ".venv" / "corpus")


def archives() -> list[Path]:
    """The source archives; empty where bin/test has not fetched them."""
    return sorted(folder().glob("*.tar.gz"))


@lru_cache(maxsize=1)
def load() -> Corpus:
    corpus = Corpus()
    by_file = [list(_pieces(name, data, corpus)) for name, data in chain(_rfc_files(), _archive_files())]
    uids: set[tuple[str, str]] = set()
    for name, component, uid, body in filter(None, chain.from_iterable(zip_longest(*by_file))):
        if (component, uid) in uids:
            corpus.refused.append((name, 1, f"the UID {uid} is that of another object"))
            continue
        uids.add((component, uid))
        {
            "VCARD": corpus.cards,
            "VEVENT": corpus.events,
            "VTODO": corpus.tasks,
            "VJOURNAL": corpus.journals,
        }[component].append((name, body))
    _derive(corpus.cards, CARDS_WANTED, (b"FN", b"N"))
    _derive(corpus.tasks, TASKS_WANTED, (b"SUMMARY",))
    return corpus


def _rfc_files() -> Iterator[Object]:
    for path in sorted(RFC_FOLDER.iterdir()):
        if path.suffix in (".ics", ".vcf"):
            yield path.name, path.read_bytes()


def _archive_files() -> Iterator[Object]:
    for archive in archives():
        project = archive.name.split("-")[0]
        with tarfile.open(archive) as tar:
            members = sorted((m for m in tar if m.isfile()), key=lambda member: member.name)
            for member in members:
                path = PurePosixPath(member.name)
                if path.suffix in (".ics", ".vcf"):
                    content = tar.extractfile(member)
                    assert content is not None
                    yield f"{project}-{path.parent.name}-{path.name}", content.read()


def _pieces(name: str, data: bytes, corpus: Corpus) -> Iterator[tuple[str, str, str, bytes]]:
    """(file name, component, UID, body) of each usable object of a file."""
    stem = name.rpartition(".")[0]
    parts = _split(data)
    if parts is None:
        corpus.refused.append((name, 1, "holds no vCard and no calendar"))
        return
    corpus.refused.extend((name, flaw.line, flaw.reason) for flaw in parts.flaws)
    for number, piece in enumerate(parts.pieces):
        try:
            card = piece.component == "VCARD"
            uid = check_vcard(piece.body).uid if card else check_icalendar(piece.body).uid
        except InvalidContent as error:
            corpus.refused.append((name, piece.line, error.message))
            continue
        own = stem if len(parts.pieces) == 1 else f"{stem}-{number:04d}"
        yield f"{own}.{'vcf' if card else 'ics'}", piece.component, uid, piece.body


def _split(data: bytes) -> Parts | None:
    kind = sniff(data)
    if kind is None and _BARE.match(data):
        kind, ending = ICALENDAR, b"" if data.endswith(b"\n") else b"\r\n"
        data = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + data.lstrip() + ending + b"END:VCALENDAR\r\n"
    if kind == VCARD:
        return split_vcards(data)
    return split_calendar(data) if kind == ICALENDAR else None


def _derive(objects: list[Object], wanted: int, named: tuple[bytes, ...]) -> None:
    """Fill up a list with variations of what is in it."""
    bases = list(objects)
    for number in range(max(0, wanted - len(bases)) if bases else 0):
        name, body = bases[number % len(bases)]
        stem, _, extension = name.rpartition(".")
        given = _GIVEN[number % len(_GIVEN)]
        family = _FAMILY[number // len(_GIVEN) % len(_FAMILY)]
        values = {
            b"UID": derived_uid(f"{name} {number}".encode()).encode(),
            b"FN": f"{given} {family} {number}".encode(),
            b"N": f"{family};{given};;;".encode(),
            b"SUMMARY": f"{given}: {family} {number}".encode(),
        }
        objects.append((f"{stem}-derived-{number:04d}.{extension}", _varied(body, {b"UID", *named}, values)))


def _varied(body: bytes, changed: set[bytes], values: dict[bytes, bytes]) -> bytes:
    lines = []
    for line in unfold(body.removeprefix(b"\xef\xbb\xbf")).split(b"\n"):
        head, _, _ = line.partition(b":")
        key = head.partition(b";")[0].upper()
        lines.append(fold(head + b":" + values[key] if key in changed and b":" in line else line) if line else b"")
    return b"".join(lines)
