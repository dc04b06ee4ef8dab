"""Import: files and folders into an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

import msgspec

from safehold.content.media import VCARD, sniff
from safehold.content.split import Parts, Piece, split_calendar, split_vcards
from safehold.model.commands import AnyCommand, Outcome
from safehold.model.errors import BadRequest, OperatorError, OutOfSpace, RequestError, SafeholdError
from safehold.model.items import Account
from safehold.model.kinds import (
    HOME_CALENDARS,
    HOME_CONTACTS,
    ROOT_NOTES,
    ROOT_PHOTOS,
    CollectionType,
    Kind,
    calendar_kind,
)
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.disk import Disk
from safehold.service.transfer.intake import Intake, at_of
from safehold.service.transfer.layout import (
    COLLECTIONS_FILE,
    FORMAT,
    CollectionEntry,
    ExportIndex,
    ItemEntry,
    Problem,
    ScoreFile,
    is_folder,
    read_chunks,
    read_file,
    reason_of,
    walk,
)
from safehold.service.transfer.names import media_for, original_name

#: A .vcf or .ics file is taken apart in memory.
MAX_TEXT_FILE_BYTES = 512 * 1024 * 1024

_VCF = (".vcf", ".vcard")
_ICS = (".ics", ".ical", ".icalendar")
_NOTES = (".txt", ".md", ".markdown")
#: The calendar that takes a component where none is named.
_DEFAULT_CALENDAR = {"VEVENT": "default", "VTODO": "tasks", "VJOURNAL": "notes"}
_DISPLAY_NAME = "{DAV:}displayname"


class ImportReport(msgspec.Struct):
    """What an import did. All that was found is in the account where `problems` is empty."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    collections: int = 0  # made
    given_uids: list[Problem] = []  # objects without a UID, which were given one
    problems: list[Problem] = []


class _Source(NamedTuple):
    """A file to import: where it is, the names of the folders between it and the source, its name."""

    path: str
    folders: tuple[str, ...]
    name: str
    size: int
    #: Of a file of an export: its collection, and what is told of it there.
    entry: CollectionEntry | None = None
    item: ItemEntry | None = None


def import_into(
    account: Account,
    sources: Sequence[str],
    *,
    reads: CoreReads,
    disk: Disk,
    blobs: Blobs,
    blob_key: bytes,
    execute: Callable[[AnyCommand], Outcome],
    kind: Kind | None = None,
    collection: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportReport:
    """Bring files, folders of files, and exports into an account. It can be repeated.

    `kind` takes things of that kind only, and says what files are whose name does not tell (photos and notes).
    `collection` is the name of the address book, calendar or folder to import into, which is made where it is
    missing; of an export it selects the collections of that name. `progress` is told bytes done and in all.
    What cannot be taken is reported and nothing else stopped, except that OutOfSpace and OperatorError go up.
    """
    intake = Intake(account, reads, blobs, blob_key, execute)
    run = _Import(intake, disk, kind, collection)
    found = [each for source in sources for each in run.find(source.rstrip("/") or "/")]
    total, done = sum(each.size for each in found), 0
    for each in found:
        run.take(each)
        done += each.size
        progress(done, total)
    tally = intake.tally
    report = run.report
    report.added, report.replaced, report.unchanged = tally.added, tally.replaced, tally.unchanged
    report.collections = tally.collections
    return report


class _Import:
    def __init__(self, intake: Intake, disk: Disk, kind: Kind | None, collection: str | None) -> None:
        self._intake = intake
        self._disk = disk
        self._kind = kind
        self._collection = collection
        self.report = ImportReport()

    # -- finding ---------------------------------------------------------------------------------------------

    def find(self, source: str) -> Iterator[_Source]:
        """The files of one source. Collections of an export are made on the way."""
        try:
            if not is_folder(self._disk, source):
                yield _Source(source, (), source.rpartition("/")[2], self._disk.size(source))
            elif self._disk.exists(f"{source}/{COLLECTIONS_FILE}"):
                yield from self._find_export(source)
            else:
                for found in walk(self._disk, source):
                    yield _Source("/".join((source, *found.folders, found.name)), *found)
        except OSError as error:
            self._problem(source, reason_of(error))

    def _find_export(self, source: str) -> Iterator[_Source]:
        path = f"{source}/{COLLECTIONS_FILE}"
        try:
            index = msgspec.json.decode(read_file(self._disk, path), type=ExportIndex)
        except msgspec.DecodeError as error:
            self._problem(path, f"cannot be read: {error}")
            return
        if index.format != FORMAT:
            self._problem(path, f"is of format {index.format!r}; this release reads {FORMAT!r}")
            return
        for entry in sorted(index.collections, key=lambda entry: entry.path):
            if self._kind not in (None, entry.kind):
                continue
            if self._collection not in (None, entry.path, entry.path.rpartition("/")[2]):
                continue
            try:
                yield from self._find_collection(source, entry)
            except OSError as error:
                self._problem(f"{source}/{entry.folder}", reason_of(error))
            except SafeholdError as error:
                if _is_of_all(error):
                    raise
                self._problem(f"{source}/{entry.folder}", reason_of(error))

    def _find_collection(self, source: str, entry: CollectionEntry) -> Iterator[_Source]:
        if any(part in ("", ".", "..") for part in entry.folder.split("/")):
            raise BadRequest(f"{entry.folder!r} is no folder of an export")
        folder = f"{source}/{entry.folder}"
        self._intake.ensure(entry.path, entry.type, entry.components, entry.props, patch=True)
        if entry.type is CollectionType.GAME:
            yield _Source(folder, (), folder.rpartition("/")[2], self._disk.size(folder), entry)
            return
        for found in sorted(self._disk.list(folder)):
            if not found.is_folder and not found.name.startswith("."):
                item = entry.items.get(found.name, ItemEntry())
                yield _Source(f"{folder}/{found.name}", (), found.name, found.size, entry, item)
        missing = entry.items.keys() - {found.name for found in self._disk.list(folder)}
        for name in sorted(missing):
            self._problem(f"{folder}/{name}", "is named by the export and not there")

    # -- taking ----------------------------------------------------------------------------------------------

    def take(self, source: _Source) -> None:
        """Import one file; whatever is wrong with it is reported."""
        try:
            if source.entry is not None:
                self._take_exported(source, source.entry)
            else:
                self._take_plain(source)
        except (OSError, msgspec.DecodeError) as error:
            self._problem(source.path, reason_of(error))
        except SafeholdError as error:
            if _is_of_all(error):
                raise
            self._problem(source.path, reason_of(error))

    def _take_exported(self, source: _Source, entry: CollectionEntry) -> None:
        if entry.type is CollectionType.GAME:
            self._take_scores(source)
            return
        told = source.item or ItemEntry()
        name = told.name or original_name(source.name)
        if entry.type is CollectionType.ADDRESSBOOK:
            self._intake.put_card(entry.path, name, read_file(self._disk, source.path))
        elif entry.type is CollectionType.CALENDAR:
            self._intake.put_calendar_object(entry.path, name, read_file(self._disk, source.path))
        else:
            media = told.media or media_for(name)
            self._intake.put_file(entry.path, name, media, lambda: read_chunks(self._disk, source.path))
        if told.props:
            self._intake.set_props(entry.path, name, told.props)

    def _take_scores(self, source: _Source) -> None:
        content = msgspec.json.decode(read_file(self._disk, source.path), type=ScoreFile)
        for number, entry in enumerate(content.history, 1):
            try:
                self._intake.add_score(content.game, entry, at_of(entry))
            except RequestError as error:
                self._problem(f"{source.path}: score {number}", reason_of(error))

    def _take_plain(self, source: _Source) -> None:
        kind = self._kind_of(source)
        if kind is Kind.CONTACTS:
            self._take_cards(source)
        elif kind is Kind.CALENDAR:
            self._take_calendar(source)
        elif kind is Kind.SCORES:
            self._take_scores(source)
        else:
            self._take_file(source, ROOT_NOTES if kind is Kind.NOTES else ROOT_PHOTOS)

    def _kind_of(self, source: _Source) -> Kind:
        """What a file is: contacts, calendar (of any component), notes, photos or scores. Raises BadRequest."""
        name = source.name.lower()
        wanted = self._kind
        calendar = wanted in (None, Kind.CALENDAR, Kind.TASKS, Kind.NOTES)
        if wanted is Kind.SCORES:
            return Kind.SCORES
        if wanted is Kind.PHOTOS:
            return Kind.PHOTOS
        if name.endswith(_ICS) and calendar:
            return Kind.CALENDAR
        if wanted is Kind.NOTES:
            return Kind.NOTES
        if name.endswith(_VCF) and wanted in (None, Kind.CONTACTS):
            return Kind.CONTACTS
        if wanted is None and name.endswith(_NOTES):
            return Kind.NOTES
        if wanted is None and media_for(name).startswith(("image/", "video/")):
            return Kind.PHOTOS
        head = next(read_chunks(self._disk, source.path), b"")
        sniffed = sniff(head)
        if sniffed is not None:
            found = Kind.CONTACTS if sniffed == VCARD else Kind.CALENDAR
            if wanted is None or (found is Kind.CONTACTS) == (wanted is Kind.CONTACTS):
                return found
        hint = "say with --kind what it is" if wanted is None else ""
        raise BadRequest(f"is nothing that is imported as {wanted or 'anything known'}", hint=hint)

    def _take_cards(self, source: _Source) -> None:
        path = f"{HOME_CONTACTS}/{self._named() or 'default'}"
        parts = split_vcards(self._text(source))
        self._intake.ensure(path, CollectionType.ADDRESSBOOK)
        self._take_parts(source, parts, lambda name, piece: self._intake.put_card(path, name, piece.body), _VCF[0])

    def _take_calendar(self, source: _Source) -> None:
        parts = split_calendar(self._text(source))
        named = self._named()
        if named is not None and not self._intake.has_collection(f"{HOME_CALENDARS}/{named}"):
            self._make_calendar(f"{HOME_CALENDARS}/{named}", parts)

        def put(name: str | None, piece: Piece) -> None:
            component = piece.component
            if self._kind not in (None, calendar_kind(frozenset((component,)))):
                raise BadRequest(f"is a {component} and not of kind {self._kind}")
            path = f"{HOME_CALENDARS}/{named or _DEFAULT_CALENDAR[component]}"
            if named is None:
                self._intake.ensure(path, CollectionType.CALENDAR, (component,))
            self._intake.put_calendar_object(path, name, piece.body)

        self._take_parts(source, parts, put, _ICS[0])

    def _make_calendar(self, path: str, parts: Parts) -> None:
        """A new calendar for what the file holds (of the wanted kind), under the name that the file bears."""
        found = {piece.component for piece in parts.pieces}
        if self._kind is not None:
            found = {component for component in found if calendar_kind(frozenset((component,))) is self._kind}
        title = parts.properties.get("X-WR-CALNAME") or parts.properties.get("NAME")
        props = {_DISPLAY_NAME: f'<displayname xmlns="DAV:">{escape(title)}</displayname>'} if title else {}
        self._intake.ensure(path, CollectionType.CALENDAR, found or {"VEVENT"}, props)

    def _take_parts(
        self, source: _Source, parts: Parts, put: Callable[[str | None, Piece], None], extension: str
    ) -> None:
        single = len(parts.pieces) == 1
        name = source.name if source.name.lower().endswith(extension) else source.name + extension
        for flaw in parts.flaws:
            self._problem(f"{source.path}: line {flaw.line}", flaw.reason)
        for piece in parts.pieces:
            where = source.path if single else f"{source.path}: the {piece.component} of line {piece.line}"
            try:
                put(name if single else None, piece)
            except SafeholdError as error:
                if _is_of_all(error):
                    raise
                self._problem(where, reason_of(error))
                continue
            if piece.uid_given:
                self.report.given_uids.append(Problem(where, "had no UID and was given one"))

    def _take_file(self, source: _Source, root: str) -> None:
        below = [*(self._named() or "").split("/"), *source.folders]
        path = "/".join((root, *(part for part in below if part)))
        self._intake.ensure(path, CollectionType.FOLDER)
        self._intake.put_file(path, source.name, media_for(source.name), lambda: read_chunks(self._disk, source.path))

    def _text(self, source: _Source) -> bytes:
        if source.size > MAX_TEXT_FILE_BYTES:
            raise BadRequest(f"is larger than {MAX_TEXT_FILE_BYTES} bytes", hint="cut it into several files")
        return read_file(self._disk, source.path)

    def _named(self) -> str | None:
        """The collection to import into, without the path of its home, which may be given or not."""
        if self._collection is None:
            return None
        name = self._collection.strip("/")
        for home in (ROOT_NOTES, ROOT_PHOTOS, HOME_CONTACTS, HOME_CALENDARS):
            name = name.removeprefix(home + "/")
        return name

    def _problem(self, where: str, reason: str) -> None:
        self.report.problems.append(Problem(where, reason))


def _is_of_all(error: SafeholdError) -> bool:
    """Whether an error ends the import: the next item would fare no better."""
    return isinstance(error, (OutOfSpace, OperatorError))
