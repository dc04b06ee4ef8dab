"""Exports and plain files of people: .vcf, .ics, Safehold's own export, Takeout archives, folders of photos, scores.

Everything becomes `Loose`: nobody signed it and nothing chains it. Whose it is the export itself says, or whoever gave
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from safehold.content.media import VCARD, sniff
from safehold.model.counting import count_text
from safehold.model.errors import Damaged, OperatorError, OutOfSpace, SafeholdError
from safehold.model.kinds import HOME_CALENDARS, HOME_CONTACTS, ROOT_NOTES, ROOT_PHOTOS, CollectionType, Kind
from safehold.salvage.loosely import Loosely, path_of, segment, text_of
from safehold.salvage.takeout import (
    KEEP_FOLDER,
    MARKDOWN,
    MAX_TOLD_BYTES,
    NO_JSON,
    KeptNote,
    Sidecar,
    is_year_album,
    parse_note,
    parse_note_page,
    parse_sidecar,
)
from safehold.salvage.trees import Member, Tree
from safehold.service.transfer.layout import FORMAT, CollectionEntry, ExportIndex, ItemEntry, ScoreEntry, ScoreFile
from safehold.service.transfer.names import media_for, original_name

VCF = (".vcf", ".vcard")
ICS = (".ics", ".ical", ".icalendar")
NOTES = (".txt", ".md", ".markdown")
PAGES = (".html", ".htm")
CONTACTS = "default"
#: Folders of an archive that say where it came from, not where its photos belong.
_FRAME_FOLDERS = frozenset(("takeout", "google photos", "google fotos", "photos", "fotos", "dcim"))
_LITTER = frozenset(("thumbs.db", "desktop.ini", "icon\r", "archive_browser.html"))
_MAX_EXTENSIONS = 8
#: Photos of albums that are remembered, not to be taken again out of the folder of their year.
_MAX_SEEN = 1_000_000


class _ApiScores(msgspec.Struct):
    """What `GET /api/v1/scores/GAME` answers."""

    history: list[ScoreEntry]
    best: float | int | None
    game: str = ""


_decode_scores = msgspec.json.Decoder(ScoreFile).decode
_decode_api = msgspec.json.Decoder(_ApiScores).decode
_decode_index = msgspec.json.Decoder(ExportIndex).decode

#: Told of each member that was looked at.
Told = Callable[[Member], None]


def nobody(_member: Member) -> None:
    """A Told for nobody."""


def take_tree(tree: Tree, to: Loosely, tell: Told = nobody) -> None:
    """All that is known in a tree. What is nothing known is counted; what breaks off is told. Raises OSError."""
    _Taking(tree, to, tell).run()


class _Taking:
    def __init__(self, tree: Tree, to: Loosely, tell: Told) -> None:
        self._tree = tree
        self._to = to
        self._tell = tell
        self._sidecars: dict[tuple[tuple[str, ...], str], Sidecar] = {}
        self._told: set[tuple[str, ...]] = set()  # JSON files that speak of photos
        self._names: set[tuple[str, ...]] = set()  # all JSON files
        self._years = False  # whether there are folders that hold all photos of a year
        self._seen: set[tuple[str, int]] = set()  # photos of albums: name, size
        self._unknown: Counter[str] = Counter()

    def run(self) -> None:
        try:
            self._look_around()
            for year in (False, True) if self._years else (False,):
                for member in self._tree.members():
                    if self._is_of_year(member) == year:
                        self._tell(member)
                        self._take(member)
        except Damaged as error:
            self._to.problem(f"it could not be read to its end: {error.message}")
        if self._unknown:
            named = ", ".join(sorted(self._unknown)[:_MAX_EXTENSIONS])
            count = sum(self._unknown.values())
            self._to.problem(f"{count_text(count, 'file that is', 'files that are')} nothing known ({named})")

    def _look_around(self) -> None:
        """What files say of their neighbours."""
        for member in self._tree.members():
            lower = member.name.lower()
            self._years = self._years or (_is_photo(lower) and self._year_folder(member))
            if not lower.endswith(".json"):
                continue
            self._names.add(member.parts)
            if member.size > MAX_TOLD_BYTES:
                continue
            try:
                found = parse_sidecar(_small(member), member.name)
            except (Damaged, OSError):
                continue
            if found is not None:
                self._told.add(member.parts)
                for name in found[0]:
                    self._sidecars.setdefault((member.parts[:-1], name), found[1])

    def _year_folder(self, member: Member) -> bool:
        return len(member.parts) > 1 and is_year_album(member.parts[-2])

    def _is_of_year(self, member: Member) -> bool:
        return self._years and _is_photo(member.name.lower()) and self._year_folder(member)

    def _take(self, member: Member) -> None:
        name = member.name
        if name.startswith(".") or name.lower() in _LITTER or member.parts in self._told:
            return
        try:
            self._take_known(member, name.lower())
        except (OutOfSpace, OperatorError):  # the next would fare no better
            raise
        except SafeholdError as error:
            self._to.set_aside(member.where, error.message, b"", None, name)
        except OSError as error:
            self._to.set_aside(member.where, f"it cannot be read: {error.strerror or error}", b"", None, name)

    def _take_known(self, member: Member, lower: str) -> None:
        to, where, name, at = self._to, member.where, member.name, member.at
        if lower.endswith(VCF):
            to.cards(text_of(member.chunks()), where, CONTACTS, name if lower.endswith(VCF[0]) else None, at)
        elif lower.endswith(ICS):
            to.calendar(text_of(member.chunks()), where, "", name if lower.endswith(ICS[0]) else None, at)
        elif lower.endswith(".json"):
            self._json(member)
        elif lower.endswith(PAGES) and KEEP_FOLDER in member.parts[:-1]:
            self._page(member)
        elif _is_photo(lower):
            self._photo(member)
        elif lower.endswith(NOTES):
            to.file(Kind.NOTES, path_of(_below(member)), name, media_for(name), member.chunks, where, at)
        else:
            self._sniffed(member)

    def _sniffed(self, member: Member) -> None:
        """What its name does not tell, its first line may."""
        head = next(iter(member.chunks()), b"")
        known = sniff(head)
        if known is None:
            dot = member.name.rfind(".")
            self._unknown[member.name[dot:].lower()[:16] if dot > 0 else "without an extension"] += 1
        elif known == VCARD:
            self._to.cards(text_of(member.chunks()), member.where, CONTACTS, None, member.at)
        else:
            self._to.calendar(text_of(member.chunks()), member.where, "", None, member.at)

    def _json(self, member: Member) -> None:
        data = _small(member)
        note = parse_note(data)
        if note is not None:
            self._note(member, note, member.name[: -len(".json")])
            return
        scores = _scores(data, member.name[: -len(".json")])
        if scores is None:
            self._unknown[".json"] += 1
            return
        game, history = scores
        for number, entry in enumerate(history, 1):
            self._to.score(game, entry, f"{member.where}: score {number}")

    def _page(self, member: Member) -> None:
        stem = member.name.rpartition(".")[0]
        if (*member.parts[:-1], f"{stem}.json") in self._names:
            return
        note = parse_note_page(_small(member))
        if note is None:
            self._unknown[".html"] += 1
        else:
            self._note(member, note, stem)

    def _note(self, member: Member, note: KeptNote, stem: str) -> None:
        name = segment(f"{stem}.md")
        if note.trashed:
            self._to.set_aside(member.where, "it lay in the bin", note.body, Kind.NOTES, name)
            return
        self._to.note(note.body, member.where, KEEP_FOLDER, name, MARKDOWN, note.at or member.at)

    def _photo(self, member: Member) -> None:
        sidecar = self._sidecar(member)
        if sidecar is not None and sidecar.trashed:
            self._to.set_aside(member.where, "it lay in the bin", b"", Kind.PHOTOS, member.name)
            return
        key = (member.name, member.size)
        if self._is_of_year(member):
            if key in self._seen:
                return
        elif self._years and len(self._seen) < _MAX_SEEN:
            self._seen.add(key)
        at = sidecar.at if sidecar is not None and sidecar.at is not None else member.at
        collection = path_of(_below(member))
        media = media_for(member.name)
        self._to.file(Kind.PHOTOS, collection, member.name, media, member.chunks, member.where, at)

    def _sidecar(self, member: Member) -> Sidecar | None:
        folder, name = member.parts[:-1], member.name
        stem, dot, suffix = name.rpartition(".")
        plain = stem.removesuffix("-edited") + dot + suffix
        return self._sidecars.get((folder, name)) or self._sidecars.get((folder, plain))


def _is_photo(lower: str) -> bool:
    return media_for(lower).startswith(("image/", "video/"))


def _below(member: Member) -> tuple[str, ...]:
    """The folders of a member, without those that every Takeout has."""
    folders = list(member.parts[:-1])
    while folders and folders[0].lower() in _FRAME_FOLDERS:
        del folders[0]
    return tuple(folders)


def _small(member: Member) -> bytes:
    """All of a file that speaks of one thing. Raises Damaged where it is too large for that, OSError."""
    parts, size = [], 0
    for chunk in member.chunks():
        size += len(chunk)
        if size > MAX_TOLD_BYTES:
            raise Damaged(f"it is larger than {MAX_TOLD_BYTES} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _scores(data: bytes, stem: str) -> tuple[str, list[ScoreEntry]] | None:
    """A game's scores, as an export or the API gives them; None where it is neither."""
    try:
        content = _decode_scores(data)
        return content.game, content.history
    except NO_JSON:
        pass
    try:
        answer = _decode_api(data)
    except NO_JSON:
        return None
    return answer.game or stem, answer.history


# -- Safehold's own exports


def parse_index(data: bytes) -> ExportIndex | None:
    """The index of an export; None where it is none that this release reads."""
    try:
        index = _decode_index(data)
    except NO_JSON:
        return None
    return index if index.format == FORMAT else None


def take_export(tree: Tree, index: ExportIndex, to: Loosely, tell: Told = nobody) -> None:
    """What an export's index names, under the names and in the collections that it gives. Raises OSError."""
    folders = {entry.folder: entry for entry in index.collections}
    named = {f"{entry.folder}/{file}" for entry in index.collections for file in entry.items}
    extra = 0
    for member in tree.members():
        tell(member)
        entry = folders.get(member.where) or folders.get("/".join(member.parts[:-1]))
        named.discard(member.where)
        if entry is None:
            extra += len(member.parts) > 1
            continue
        try:
            _take_exported(member, entry, to)
        except (OutOfSpace, OperatorError):
            raise
        except SafeholdError as error:
            to.set_aside(member.where, error.message, b"", entry.kind, member.name)
        except (OSError, *NO_JSON) as error:
            to.set_aside(member.where, f"it cannot be read: {error}", b"", entry.kind, member.name)
    if extra:
        to.problem(f"{count_text(extra, 'file')} that the export's index does not name")
    for name in sorted(named):
        to.problem(f"{name} is named by the export's index and not there")


def _take_exported(member: Member, entry: CollectionEntry, to: Loosely) -> None:
    told = entry.items.get(member.name, ItemEntry())
    name = told.name or original_name(member.name)
    collection = below_home(entry.path)
    if entry.type is CollectionType.GAME:
        content = _decode_scores(text_of(member.chunks()))
        for number, score in enumerate(content.history, 1):
            to.score(content.game, score, f"{member.where}: score {number}")
    elif entry.type is CollectionType.ADDRESSBOOK:
        to.card(text_of(member.chunks()), member.where, collection, name, member.at)
    elif entry.type is CollectionType.CALENDAR:
        to.calendar_object(text_of(member.chunks()), member.where, collection, name, member.at, entry.kind)
    else:
        media = told.media or media_for(name)
        to.file(entry.kind, collection, name, media, member.chunks, member.where, member.at)


def below_home(path: str) -> str:
    """A collection's path below its kind's home; "" for the home of notes or photos itself."""
    for home in (ROOT_NOTES, ROOT_PHOTOS, HOME_CONTACTS, HOME_CALENDARS):
        if path == home:
            return ""
        if path.startswith(home + "/"):
            return path[len(home) + 1 :]
    return path.partition("/")[2]


def is_named(name: str) -> bool:
    """Whether a file's name says that it is one of those."""
    lower = name.lower()
    return _is_photo(lower) or lower.endswith(tuple(extensions()))


def extensions() -> Iterable[str]:
    """Of files that are taken here by their names, pictures and films apart."""
    return (*VCF, *ICS, *NOTES, *PAGES, ".json")
