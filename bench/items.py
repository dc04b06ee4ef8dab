"""People's items, made up: the same for one seed, whatever form they are then given.

An account holds contacts (vCards of 400 to 900 bytes), events (600 to 1,500), notes (200 to 4,000 bytes of plain
text), tasks (300 to 800) and high scores (about 150 bytes of JSON). Words are made of syllables and drawn as often as
their rank allows (Zipf), so that the text compresses about as people's text does: not like noise, not like one page
again and again.

`Reference` is a SQLite file of all items. It is what tools that back up a database file are given, what the other
forms are made from, and what restored copies are compared with: by their number and by a digest that does not depend
on the order of rows.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

#: Of a hundred items of an account.
SHARES = {"contacts": 40, "calendar": 30, "notes": 10, "tasks": 10, "scores": 10}
SUFFIXES = {"contacts": ".vcf", "calendar": ".ics", "notes": ".txt", "tasks": ".ics", "scores": ".json"}
BEGIN_SECONDS = 1_704_067_200  # 2024-01-01; what is dated lies in the two years from there
SPAN_SECONDS = 2 * 365 * 86_400
#: Rows that are written, or read, at a time.
BATCH_ROWS = 10_000

#: What words are made of.
_SYLLABLES = """
an ar be bel bra ca ce cor da de den do dre e el en er fa fel fi fra ga gen glo gra ha hel i in ir ja jo ka ke
kor la le len li lo lu ma me mi mon mu na ne nel no o ol on or pa pe pi pra ra re ri ron sa se sel si so sta
ster stra ta te ten ti to tra u un ur va ve ven vi vo wa we wen wi wo za ze zo ä ö ü é å ñ
"""

_SCHEMA = """
    CREATE TABLE account (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE item (
        id INTEGER PRIMARY KEY, account INTEGER NOT NULL REFERENCES account(number), kind TEXT NOT NULL,
        collection TEXT NOT NULL, name TEXT NOT NULL, rev INTEGER NOT NULL, etag TEXT NOT NULL,
        modified INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX item_name ON item(account, collection, name);
"""


class Item(NamedTuple):
    """An item; `id` counts all of them from 0, account after account."""

    id: int
    account: int
    kind: str
    collection: str
    name: str
    body: bytes


#: account name, collection, name, body: what a restored copy must hold.
Row = tuple[str, str, str, bytes]


class Print(NamedTuple):
    """What rows are compared by: how many, and the sum of their digests."""

    rows: int
    sum: int


def fingerprint(rows: Iterable[Row]) -> Print:
    """Two sets of rows have the same one only if they are the same, in whatever order they come."""
    count = total = 0
    for account, collection, name, body in rows:
        total += int.from_bytes(sha256(f"{account}\0{collection}\0{name}\0".encode() + body).digest(), "big")
        count += 1
    return Print(count, total % (1 << 256))


def account_name(number: int) -> str:
    return f"person{number:05}"


class Words:
    """The words of one seed, the frequent ones first."""

    def __init__(self, seed: int, count: int = 5000) -> None:
        rng = random.Random(f"words {seed}")
        syllables = _SYLLABLES.split()
        found: dict[str, None] = {}
        while len(found) < count:
            # The more words there are, the longer new ones are: frequent words are short.
            longest = 2 + (len(found) > 150) + (len(found) > 1500)
            found["".join(rng.choices(syllables, k=rng.randint(1, longest)))] = None
        self.words = list(found)
        self.weights = list(accumulate(1 / (rank + 2.5) for rank in range(1, count + 1)))
        rare = [word.capitalize() for word in self.words[300:]]
        self.given, self.family, self.places = rare[:400], rare[400:2200], rare[2200:]
        self.games = [word for word in self.words[1000:1008] if word.isascii()]

    def text(self, rng: random.Random, size: int) -> str:
        """Sentences of about so many bytes."""
        words = rng.choices(self.words, cum_weights=self.weights, k=size // 4 + 2)
        at = 0
        while at < len(words):
            words[at] = words[at].capitalize()
            at += rng.randint(5, 15)
            if at <= len(words):
                words[at - 1] += rng.choice((".", ".", ".", "?", "!"))
        return " ".join(words).encode()[:size].decode(errors="ignore").strip()


class Maker:
    """Makes the items of a seed."""

    def __init__(self, seed: int, items_each: int) -> None:
        self._seed = seed
        self._each = items_each
        self._words = Words(seed)
        counts = {kind: items_each * share // 100 for kind, share in SHARES.items()}
        counts["contacts"] += items_each - sum(counts.values())
        self._kinds = [kind for kind, count in counts.items() for _ in range(count)]

    def account(self, number: int) -> Iterator[Item]:
        """All items of an account (counted from 0), kinds mixed as people's days mix them."""
        rng = random.Random(f"account {self._seed} {number}")
        kinds = rng.sample(self._kinds, len(self._kinds))
        for place, kind in enumerate(kinds):
            key = f"{rng.getrandbits(128):032x}"
            yield self._item(rng, number * self._each + place, number, kind, self._collection(rng, kind), key)

    def again(self, item: Item, generation: int) -> Item:
        """The same item with a new body, as a later generation has it."""
        rng = random.Random(f"again {self._seed} {generation} {item.id}")
        key = item.name.removesuffix(SUFFIXES[item.kind])
        return self._item(rng, item.id, item.account, item.kind, item.collection, key)

    def changing(self, total: int, share: float, generation: int) -> list[int]:
        """The ids that a generation changes: exactly that share of them, scattered evenly."""
        return sorted(random.Random(f"changing {self._seed} {generation}").sample(range(total), round(total * share)))

    def _collection(self, rng: random.Random, kind: str) -> str:
        second = rng.random() < 0.25
        match kind:
            case "contacts":
                return "contacts/work" if second else "contacts/default"
            case "calendar":
                return "calendars/work" if second else "calendars/default"
            case "notes":
                return "files/notes"
            case "tasks":
                return "calendars/tasks"
            case _:
                return f"scores/{rng.choice(self._words.games)}"

    def _item(self, rng: random.Random, id_: int, account: int, kind: str, collection: str, key: str) -> Item:
        body = {
            "contacts": self._contact,
            "calendar": self._event,
            "notes": self._note,
            "tasks": self._task,
            "scores": self._score,
        }[kind](rng, key)
        return Item(id_, account, kind, collection, key + SUFFIXES[kind], body)

    def _contact(self, rng: random.Random, key: str) -> bytes:
        w = self._words
        given, family = rng.choice(w.given), rng.choice(w.family)
        lines = ["BEGIN:VCARD", "VERSION:3.0", f"UID:{key}", f"N:{family};{given};;;", f"FN:{given} {family}"]
        mail = f"{given}.{family}@{rng.choice(w.places)}.example".lower()
        lines.append(f"EMAIL;TYPE=HOME:{mail}")
        lines.append(f"TEL;TYPE=CELL:+{rng.randint(30, 49)}-{rng.randint(100, 999)}-{rng.randint(10**6, 10**8)}")
        if rng.random() < 0.6:
            lines.append(
                f"ADR;TYPE=HOME:;;{rng.choice(w.places)} {rng.randint(1, 180)};{rng.choice(w.places)};;"
                f"{rng.randint(1000, 99999)};"
            )
        if rng.random() < 0.4:
            lines.append(f"ORG:{rng.choice(w.places)} {rng.choice(('Ltd', 'Works', 'House', 'and Daughters'))}")
        if rng.random() < 0.5:
            lines.append(f"BDAY:{rng.randint(1935, 2018)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}")
        lines.append(f"REV:{_stamp(rng)}")
        return self._filled(rng, lines, "NOTE", ["END:VCARD"], rng.randint(400, 900))

    def _event(self, rng: random.Random, key: str) -> bytes:
        w = self._words
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//bench//items//EN", "BEGIN:VEVENT", f"UID:{key}"]
        lines += [f"DTSTAMP:{_stamp(rng)}", f"DTSTART:{_stamp(rng)}", f"DURATION:PT{rng.choice((15, 30, 60, 90))}M"]
        lines += [f"SUMMARY:{w.text(rng, rng.randint(10, 50))}", f"SEQUENCE:{rng.randint(0, 4)}"]
        if rng.random() < 0.5:
            lines.append(f"LOCATION:{rng.choice(w.places)} {rng.randint(1, 180)}")
        if rng.random() < 0.2:
            lines.append(f"RRULE:FREQ={rng.choice(('DAILY', 'WEEKLY', 'MONTHLY'))};COUNT={rng.randint(2, 50)}")
        for _ in range(rng.choice((0, 0, 1, 2, 4))):
            person = f"{rng.choice(w.given)} {rng.choice(w.family)}"
            state = rng.choice(("ACCEPTED", "DECLINED", "NEEDS-ACTION"))
            lines.append(f"ATTENDEE;CN={person};PARTSTAT={state}:mailto:{person.replace(' ', '.').lower()}@x.example")
        return self._filled(rng, lines, "DESCRIPTION", ["END:VEVENT", "END:VCALENDAR"], rng.randint(600, 1500))

    def _task(self, rng: random.Random, key: str) -> bytes:
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//bench//items//EN", "BEGIN:VTODO", f"UID:{key}"]
        lines += [f"DTSTAMP:{_stamp(rng)}", f"DUE:{_stamp(rng)}", f"PRIORITY:{rng.randint(0, 9)}"]
        lines += [f"SUMMARY:{self._words.text(rng, rng.randint(10, 50))}"]
        lines.append(rng.choice(("STATUS:NEEDS-ACTION", "STATUS:COMPLETED")))
        return self._filled(rng, lines, "DESCRIPTION", ["END:VTODO", "END:VCALENDAR"], rng.randint(300, 800))

    def _note(self, rng: random.Random, key: str) -> bytes:  # noqa: ARG002
        return self._words.text(rng, rng.randint(200, 4000)).encode()

    def _score(self, rng: random.Random, key: str) -> bytes:
        """As the service writes a score that was recorded."""
        detail = {
            "level": rng.randint(1, 80),
            "seconds": rng.randint(20, 9000),
            "device": key[:12],
            "with": rng.choice(self._words.given),
        }
        at = f"{rng.randint(2024, 2025)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T12:00:00.000000+00:00"
        score = {"score": int(rng.paretovariate(1.2) * 700), "at": at, "detail": detail}
        return json.dumps(score, ensure_ascii=False, separators=(",", ":")).encode()

    def _filled(self, rng: random.Random, lines: list[str], label: str, end: list[str], size: int) -> bytes:
        """The lines, with a text between them that brings the whole to about that size."""
        room = size - sum(len(line) + 2 for line in (*lines, *end)) - len(label)
        if room > 20:
            lines.append(f"{label}:{self._words.text(rng, room * 74 // 77)}")  # folding takes the rest
        return "".join(f"{_folded(line)}\r\n" for line in (*lines, *end)).encode()


def _stamp(rng: random.Random) -> str:
    day, second = divmod(rng.randrange(SPAN_SECONDS), 86_400)
    month, day = divmod(day % 336, 28)
    return f"{2024 + month % 2}{month + 1:02}{day + 1:02}T{second // 3600:02}{second // 60 % 60:02}{second % 60:02}Z"


def _folded(line: str) -> str:
    """In lines of at most 75 bytes (RFC 5545 section 3.1), as people's programs write them."""
    data = line.encode()
    if len(data) <= 75:
        return line
    pieces: list[str] = []
    piece: list[str] = []
    size = 0
    for letter in line:
        width = len(letter.encode())
        if size + width > 74:
            pieces.append("".join(piece))
            piece, size = [], 0
        piece.append(letter)
        size += width
    return "\r\n ".join([*pieces, "".join(piece)])


class Reference:
    """All items as a SQLite file, which is made once and then goes from generation to generation."""

    def __init__(self, path: Path, seed: int, accounts: int, items_each: int) -> None:
        self.path = path
        self.accounts = accounts
        self.items_each = items_each
        self.total = accounts * items_each
        self.maker = Maker(seed, items_each)

    def make(self) -> None:
        """Make it, or what is missing of it after a run that was broken off."""
        with _Writing(self.path) as db:
            if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                db.executescript(_SCHEMA)
            done = db.execute("SELECT COUNT(*) FROM account").fetchone()[0]
            for number in range(done, self.accounts):
                db.execute("INSERT INTO account VALUES (?, ?)", (number, account_name(number)))
                db.executemany(
                    "INSERT INTO item VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)",
                    (self._row(item, BEGIN_SECONDS) for item in self.maker.account(number)),
                )
                if number % 20 == 19:
                    db.commit()
            db.commit()

    @staticmethod
    def _row(item: Item, modified: int) -> tuple[object, ...]:
        return (*item[:5], sha256(item.body).hexdigest()[:16], modified, item.body)

    def changed(self, share: float, generation: int) -> list[Item]:
        """What a generation puts in the place of what is there."""
        with _Reading(self.path) as db:
            found = (_item_of(db, id_) for id_ in self.maker.changing(self.total, share, generation))
            return [self.maker.again(item, generation) for item in found]

    def rows(self, contacts_of: int | None = None) -> Iterator[Row]:
        """Every item, or the contacts of one account."""
        return database_rows(self.path, contacts_of)

    def items(self) -> Iterator[Item]:
        with _Reading(self.path) as db:
            yield from map(Item._make, db.execute("SELECT id, account, kind, collection, name, body FROM item"))

    def burst(self, accounts: range, places: range) -> Iterator[Item]:
        """Some items of each of some accounts."""
        with _Reading(self.path) as db:
            for account in accounts:
                first = account * self.items_each
                yield from map(
                    Item._make,
                    db.execute(
                        "SELECT id, account, kind, collection, name, body FROM item WHERE id BETWEEN ? AND ?",
                        (first + places.start, first + places.stop - 1),
                    ),
                )


def change_database(path: Path, items: Iterable[Item], *, db: sqlite3.Connection | None = None) -> None:
    """Put new bodies into a copy of the reference, in one transaction; over `db` where somebody watches its log."""
    with _Writing(path) if db is None else _Kept(db) as writer:
        writer.executemany(
            "UPDATE item SET rev = rev + 1, etag = ?, modified = modified + 1, body = ? WHERE id = ?",
            ((sha256(item.body).hexdigest()[:16], item.body, item.id) for item in items),
        )
        writer.commit()


def database_rows(path: Path, contacts_of: int | None = None) -> Iterator[Row]:
    """The rows of the reference or of a copy of it."""
    select = "SELECT a.name, i.collection, i.name, i.body FROM item i JOIN account a ON a.number = i.account"
    with _Reading(path) as db:
        if contacts_of is None:
            yield from db.execute(select)
        else:
            yield from db.execute(f"{select} WHERE i.account = ? AND i.collection GLOB 'contacts/*'", (contacts_of,))


class _Writing:
    """A connection that leaves a file at rest behind: nothing lies in its write-ahead log."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, *exc: object) -> None:
        self._db.close()


class _Reading(_Writing):
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)


class _Kept(_Writing):
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __exit__(self, *exc: object) -> None:
        return


def _item_of(db: sqlite3.Connection, id_: int) -> Item:
    """An item without its body."""
    select = "SELECT id, account, kind, collection, name, x'' FROM item WHERE id = ?"
    return Item._make(db.execute(select, (id_,)).fetchone())


# -- one file an item


def make_tree(folder: Path, items: Iterable[Item]) -> None:
    """ACCOUNT/COLLECTION/NAME, as servers that keep one file an item lay them out."""
    made: set[Path] = set()
    for item in items:
        path = tree_path(folder, item)
        if path.parent not in made:
            path.parent.mkdir(parents=True)
            made.add(path.parent)
        path.write_bytes(item.body)


def change_tree(folder: Path, items: Iterable[Item]) -> None:
    """As such servers write: a new file, which is renamed over the old one."""
    for item in items:
        path = tree_path(folder, item)
        new = path.with_suffix(".new")
        new.write_bytes(item.body)
        new.rename(path)


def tree_path(folder: Path, item: Item) -> Path:
    return folder / account_name(item.account) / item.collection / item.name


def tree_rows(folder: Path) -> Iterator[Row]:
    for path in folder.rglob("*"):
        if path.is_file():
            account, *collection, name = path.relative_to(folder).parts
            yield account, "/".join(collection), name, path.read_bytes()
