"""The order in which sources are read, so that what one of them says helps to read the next.

1. survey     every file below every source, told by its content
2. glance     the ends of all objects of vaults: whose signatures count, which segments follow each other
3. vaults     frames and blobs, those in images too; what could not be verified is tried again at the end
4. cores      rows, for which accounts and collections that vaults named are known
5. blobs      live ones, for which digests and keys are known
6. exports    files of people, which need nothing
7. devices    tokens, for which the key is known from any source
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from safehold.formats.keys import KeyAway, Opener, Role
from safehold.model.errors import Damaged, OperatorError
from safehold.ports.disk import Disk
from safehold.ports.survivors import Survivors
from safehold.recovery.report import Progress
from safehold.salvage.blob_folder import BLOB_FILE, take_blob
from safehold.salvage.core_sources import scan_core_files, scan_image
from safehold.salvage.device_tokens import take_proofs, take_tokens
from safehold.salvage.ear import Ear
from safehold.salvage.files import is_named, parse_index, take_export, take_tree
from safehold.salvage.keep import Keep
from safehold.salvage.loosely import Loosely, text_of
from safehold.salvage.reading import FoundFile, Reading
from safehold.salvage.survey import Looks, Names, Sort, Survey, Unit, survey
from safehold.salvage.takeout import KEEP_FOLDER
from safehold.salvage.trees import FolderTree, Member, TarTree, Tree, ZipTree
from safehold.salvage.vault_parts import VaultParts
from safehold.service.transfer.layout import COLLECTIONS_FILE

LOOKED_FOR = (
    "what is looked for: a core (SQLite), vaults and single objects of them, live blobs, disk images with any of "
    "these, .vcf, .ics, exports of Safehold, Takeout archives (.zip, .tgz or unpacked), photos, notes, scores, tokens"
)
_ZIP = b"PK"


class NothingKnown(OperatorError):
    """Not one of the sources holds anything that a salvage knows."""


class Salvaged(NamedTuple):
    """How much of each sort was read, in files."""

    units: int
    files: int


class Scanner:
    """Reads sources into `ear`. `opener` is None where no key is at hand: then nothing sealed may be among them."""

    def __init__(
        self,
        ear: Ear,
        disk: Disk,
        looks: Looks,
        opener: Opener | None,
        out: str,
        survivors: Survivors,
        progress: Progress,
        account: str = "",
        names: Names | None = None,
        writers: Sequence[bytes] = (),
        settled: Callable[[int, str], None] = lambda _source, _where: None,
        scratch: str | None = None,
    ) -> None:
        """`out` is the salvage folder, and `survivors` what has been put so far.

        `writers` are public keys that are known to be certified, though no object at hand may say so.
        `settled` takes back what had gone aside from a place, of which something has proved itself since.
        `scratch` is a folder of this machine for rows of a core, `out` unless it is given; "": one of SQLite's own.
        """
        self._ear = ear
        self._disk = disk
        self._looks = looks
        self._opener = opener
        self._out = out
        self._keep = Keep(disk, out)
        self._survivors = survivors
        self._progress = progress
        self._account = account
        self._names = names
        self._writers = writers
        self._settled = settled
        self._scratch = out if scratch is None else scratch
        self._fruitful: set[str] = set()  # files in which something of a vault or a core was found

    def run(self, sources: Iterable[str]) -> Salvaged:
        """Raises NothingKnown, KeyAway, and OSError where a source cannot be read at all."""
        units = [unit for source in sources for unit in self._survey(source)]
        if not units:
            raise NothingKnown("nothing that a salvage knows was found in these sources", hint=LOOKED_FOR, exit_code=1)
        # A core is entered by who reads it, with its log apart.
        entered = [unit for unit in units if unit.sort is not Sort.CORE]
        numbers = {unit: self._ear.source(unit.path, _word(unit), unit.size) for unit in entered}
        self._vaults(units, numbers)
        self._cores(_of(units, Sort.CORE, Sort.IMAGE), numbers)
        self._blobs(_of(units, Sort.BLOBS), numbers)
        for unit in _of(units, Sort.EXPORT, Sort.ARCHIVE, Sort.FILES):
            self._files(unit, numbers[unit])
        self._misnamed(_of(units, Sort.IMAGE), numbers)
        self._devices(_of(units, Sort.TOKENS), numbers)
        return Salvaged(len(units), sum(len(unit.files) for unit in units))

    def _survey(self, source: str) -> list[Unit]:
        self._progress("looking", 0, 0, "files")
        found: Survey = survey(self._disk, self._looks, source, self._names)
        if found.passed and found.units:
            number = self._ear.source(found.units[0].path, _word(found.units[0]), found.units[0].size)
            for words, count in found.passed.items():
                self._ear.problem(number, f"passed over: {words} ({count})")
        return found.units

    # -- sealed things

    def _vaults(self, units: Sequence[Unit], numbers: dict[Unit, int]) -> None:
        sealed = _of(units, Sort.VAULT, Sort.OBJECTS)
        searched = [*sealed, *_of(units, Sort.IMAGE)]
        if not searched:
            return
        if self._opener is None or not self._opener.can_open:
            if sealed:
                raise KeyAway(f"what lies in {sealed[0].path}")
            for unit in searched:
                self._ear.problem(numbers[unit], "not searched for what vaults hold, since no key was given")
            return
        parts = VaultParts(self._ear, self._disk, self._opener, self._keep, self._survivors.blob_path, self._settled)
        for public in self._writers:
            parts.certified.know(public, Role.WRITER)
        step = _Counted(self._progress, "vaults", sum(unit.size for unit in searched))
        for unit in searched:
            parts.glance(unit.files)
        for unit in searched:
            for found in unit.files:
                try:
                    if parts.scan(found, numbers[unit], step, image=unit.sort is Sort.IMAGE):
                        self._fruitful.add(found.path)
                except OSError as error:
                    self._ear.problem(numbers[unit], f"{found.name} cannot be read: {error.strerror or error}")
        parts.finish(_Counted(self._progress, "blobs", 0))

    def _cores(self, units: Sequence[Unit], numbers: dict[Unit, int]) -> None:
        told = self._ear, self._survivors, self._disk, self._progress, self._scratch
        for unit in units:
            try:
                if unit.sort is Sort.CORE:
                    scan_core_files(unit.files, *told)
                    continue
                for found in unit.files:
                    if any(scan_image(found, numbers[unit], *told)):
                        self._fruitful.add(found.path)
            except OperatorError as error:
                number = self._ear.source(unit.path, _word(unit), unit.size)
                self._ear.problem(number, error.message)

    def _blobs(self, units: Sequence[Unit], numbers: dict[Unit, int]) -> None:
        step = _Counted(self._progress, "blobs", sum(unit.size for unit in units))
        for unit in units:
            for found in unit.files:
                assert BLOB_FILE.match(found.path.rpartition("/")[2])
                try:
                    take_blob(found, numbers[unit], self._ear, self._disk, self._keep, step)
                except OSError as error:
                    self._ear.problem(numbers[unit], f"{found.name} cannot be read: {error.strerror or error}")

    # -- files of people

    def _files(self, unit: Unit, number: int) -> None:
        to = Loosely(self._ear, self._keep, number, self._account)
        step = _Counted(self._progress, "files", unit.size)

        def tell(member: Member) -> None:
            step(member.size)

        try:
            if unit.sort is Sort.ARCHIVE:
                self._tree(self._archive(unit.files[0]), to, tell)
            else:
                self._tree(FolderTree(self._disk, self._relative(unit)), to, tell)
        except OSError as error:
            self._ear.problem(number, f"{unit.path} cannot be read: {error.strerror or error}")

    def _misnamed(self, units: Sequence[Unit], numbers: dict[Unit, int]) -> None:
        """What bears a photo's name or a card's, begins like none, and holds nothing else either: it goes aside."""
        for unit in units:
            files = [found for found in unit.files if found.path not in self._fruitful and is_named(found.name)]
            if files:
                to = Loosely(self._ear, self._keep, numbers[unit], self._account)
                take_tree(FolderTree(self._disk, files), to)

    def _tree(self, tree: Tree, to: Loosely, tell: Tell) -> None:
        index = _index_of(tree)
        if index is None:
            take_tree(tree, to, tell)
            return
        data, root = index
        parsed = parse_index(data)
        if parsed is None:
            to.problem(f"{COLLECTIONS_FILE} is none that this release reads: its files are taken by their names")
            take_tree(tree, to, tell)
            return
        if not to.account:
            to.account = parsed.account
        below: Tree = _Below(tree, root) if root else tree
        take_export(below, parsed, to, tell)

    def _archive(self, found: FoundFile) -> Tree:
        file = self._disk.open(found.path)
        try:
            is_zip = file.read_at(0, 2) == _ZIP
        finally:
            file.close()
        return ZipTree(self._disk, found) if is_zip else TarTree(self._disk, found)

    def _relative(self, unit: Unit) -> list[FoundFile]:
        """Files by their paths below the unit, not below the source."""
        base = unit.path.rstrip("/") + "/"
        return [f._replace(name=f.path.removeprefix(base)) if f.path.startswith(base) else f for f in unit.files]

    # -- devices

    def _devices(self, units: Sequence[Unit], numbers: dict[Unit, int]) -> None:
        if self._ear.proofs:
            number = self._ear.source("identities", "device", sum(map(len, self._ear.proofs.values())))
            take_proofs(self._ear, number)
        for unit in units:
            for found in unit.files:
                try:
                    file = self._disk.open(found.path)
                    try:
                        text = text_of(Reading(file, found.size).chunks(0, found.size))
                    finally:
                        file.close()
                except (OSError, Damaged) as error:
                    self._ear.problem(numbers[unit], f"{found.name} cannot be read: {error}")
                    continue
                take_tokens(text, found.name, self._ear, numbers[unit])


class Tell(Protocol):
    def __call__(self, member: Member, /) -> None: ...


class _Below:
    """The part of a tree below a folder."""

    def __init__(self, tree: Tree, root: tuple[str, ...]) -> None:
        self._tree = tree
        self._root = root

    def members(self) -> Iterator[Member]:
        for member in self._tree.members():
            if member.parts[: len(self._root)] == self._root and len(member.parts) > len(self._root):
                yield member._replace(parts=member.parts[len(self._root) :])


class _Counted:
    """A Step that tells a Progress."""

    def __init__(self, progress: Progress, stage: str, total: int) -> None:
        self._progress = progress
        self._stage = stage
        self._total = total
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._progress(self._stage, self._done, self._total, "bytes")


def _index_of(tree: Tree) -> tuple[bytes, tuple[str, ...]] | None:
    """An export's index, and the folder that it lies in; None where there is none at most one folder down."""
    try:
        for member in tree.members():
            if member.name == COLLECTIONS_FILE and len(member.parts) <= 2:
                return text_of(member.chunks()), member.parts[:-1]
    except Damaged:  # told by whoever takes it
        return None
    return None


def _of(units: Iterable[Unit], *sorts: Sort) -> list[Unit]:
    return [unit for unit in units if unit.sort in sorts]


def _word(unit: Unit) -> str:
    """The sort of a source, as reports have it: archives and files by what they are made of."""
    if unit.sort is Sort.ARCHIVE:
        return "takeout" if "takeout" in unit.path.rpartition("/")[2].lower() else "export"
    if unit.sort is not Sort.FILES:
        return str(unit.sort)
    folders = {part for found in unit.files for part in found.name.split("/")[:-1]}
    if "Takeout" in folders or KEEP_FOLDER in folders:
        return "takeout"
    photos = sum(_is_picture(found.name) for found in unit.files)
    return "photos" if photos * 2 > len(unit.files) else "export"


def _is_picture(name: str) -> bool:
    from safehold.service.transfer.names import media_for

    return media_for(name).startswith(("image/", "video/"))
