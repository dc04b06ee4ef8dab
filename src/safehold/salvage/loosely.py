"""Things of people that bear no proof: checked as what a device sends would be, and put as `Loose`.

What cannot be a card, a calendar object, a picture goes aside with its reason; its bytes are kept with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from safehold.content.check import check_icalendar, check_vcard
from safehold.content.media import ICALENDAR, VCARD
from safehold.content.split import Piece, split_calendar, split_vcards
from safehold.model.errors import BadRequest, Damaged, RequestError, SafeholdError
from safehold.model.kinds import COMPONENTS, Kind, calendar_kind
from safehold.model.paths import MAX_SEGMENT_BYTES, check_segment
from safehold.ports.blobs import INLINE_LIMIT_BYTES
from safehold.ports.survivors import Aside, Finds, Loose
from safehold.salvage.keep import Keep
from safehold.service.items import stamp
from safehold.service.transfer.intake import at_of
from safehold.service.transfer.layout import ScoreEntry
from safehold.service.transfer.names import uid_name

#: Of a text that is taken apart in memory.
MAX_TEXT_BYTES = 256 * 1024 * 1024
ASIDE_BYTES = 1024 * 1024
MEDIA_JSON = "application/json"
#: The calendar that takes a component where nobody knows which.
DEFAULT_CALENDAR = {"VEVENT": "default", "VTODO": "tasks", "VJOURNAL": "notes"}
_EXIF_TIME = re.compile(rb"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)\0")
_HEAD_BYTES = 128 * 1024
#: How pictures and films begin, by what their media type begins with: (offset, bytes).
_MAGIC: dict[str, tuple[tuple[int, bytes], ...]] = {
    "image/jpeg": ((0, b"\xff\xd8\xff"),),
    "image/png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "image/gif": ((0, b"GIF87a"), (0, b"GIF89a")),
    "image/webp": ((8, b"WEBP"),),
    "image/heic": ((4, b"ftyp"),),
    "image/heif": ((4, b"ftyp"),),
    "image/avif": ((4, b"ftyp"),),
    "image/tiff": ((0, b"II*\0"), (0, b"MM\0*")),
    "image/x-adobe-dng": ((0, b"II*\0"), (0, b"MM\0*")),
    "image/bmp": ((0, b"BM"),),
    "video/mp4": ((4, b"ftyp"),),
    "video/quicktime": ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free")),
}


class NotLoose(SafeholdError):
    """Something that is nothing that an account holds: why."""


class Loosely:
    """What one source gives to one account ("" where nobody knows whose it is)."""

    def __init__(self, finds: Finds, keep: Keep, source: int, account: str) -> None:
        self._finds = finds
        self._keep = keep
        self._source = source
        self.account = account
        self.items = 0
        self.aside = 0
        self._uids: dict[tuple[Kind, str, str], bytes] = {}  # kind, collection, UID -> digest of what came first

    # -- texts

    def cards(self, data: bytes, where: str, collection: str, name: str | None, at: int | None) -> None:
        """All vCards of a file; `name` is for a file that holds one."""
        parts = split_vcards(data)
        for flaw in parts.flaws:
            self.set_aside(f"{where}: line {flaw.line}", flaw.reason, b"", Kind.CONTACTS, name or "")
        for piece in parts.pieces:
            self.card(
                piece.body, _line(where, parts.pieces, piece), collection, name if _one(parts.pieces) else None, at
            )

    def card(self, body: bytes, where: str, collection: str, name: str | None, at: int | None) -> None:
        try:
            uid = check_vcard(body).uid
        except RequestError as error:
            self.set_aside(where, error.message, body, Kind.CONTACTS, name or "")
            return
        if self._is_new(Kind.CONTACTS, collection, uid, body, where, name):
            self.put(Kind.CONTACTS, collection, name or uid_name(uid, ".vcf"), VCARD, body, where, at)

    def calendar(self, data: bytes, where: str, collection: str, name: str | None, at: int | None) -> None:
        """All objects of an .ics file, one for each UID. An empty `collection` is the usual one of the component."""
        parts = split_calendar(data)
        for flaw in parts.flaws:
            self.set_aside(f"{where}: line {flaw.line}", flaw.reason, b"", Kind.CALENDAR, name or "")
        for piece in parts.pieces:
            self.calendar_object(
                piece.body, _line(where, parts.pieces, piece), collection, name if _one(parts.pieces) else None, at
            )

    def calendar_object(
        self, body: bytes, where: str, collection: str, name: str | None, at: int | None, kind: Kind | None = None
    ) -> None:
        """`kind` is that of the collection, where it is known: a calendar may hold tasks."""
        try:
            facts = check_icalendar(body)
        except RequestError as error:
            self.set_aside(where, error.message, body, kind or Kind.CALENDAR, name or "")
            return
        assert facts.component in COMPONENTS
        collection = collection or DEFAULT_CALENDAR[facts.component]
        kind = kind or calendar_kind(frozenset((facts.component,)))
        if self._is_new(kind, collection, facts.uid, body, where, name):
            self.put(kind, collection, name or uid_name(facts.uid, ".ics"), ICALENDAR, body, where, at)

    def score(self, game: str, entry: ScoreEntry, where: str) -> None:
        """A score, in the words in which the service keeps it."""
        try:
            check_segment(game)
            at = at_of(entry)
            detail = msgspec.json.decode(bytes(entry.detail) or b"null")
            body = msgspec.json.encode({"score": entry.score, "at": stamp(at), "detail": detail})
        except (RequestError, msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
            told = error.message if isinstance(error, RequestError) else str(error)
            self.set_aside(where, told, bytes(entry.detail), Kind.SCORES, game)
            return
        name = f"{at:014x}-{sha256(body).hexdigest()[:8]}.json"
        self.put(Kind.SCORES, game, name, MEDIA_JSON, body, where, at)

    def note(self, body: bytes, where: str, collection: str, name: str, media: str, at: int | None) -> None:
        self.put(Kind.NOTES, collection, name, media, body, where, at)

    # -- files of any size

    def file(
        self,
        kind: Kind,
        collection: str,
        name: str,
        media: str,
        chunks: Callable[[], Iterable[bytes]],
        where: str,
        at: int | None,
    ) -> bool:
        """A note or photo in constant memory; False where it went aside. What is large is copied: sources go away.

        Raises Damaged, OSError where its bytes cannot be had to their end.
        """
        digest, size, head = sha256(), 0, b""
        held: list[bytes] = []
        iterator = iter(chunks())
        for chunk in iterator:
            digest.update(chunk)
            size += len(chunk)
            head = head if len(head) >= _HEAD_BYTES else (head + chunk)[:_HEAD_BYTES]
            held.append(chunk)
            if size > INLINE_LIMIT_BYTES:
                return self._large(kind, collection, name, media, held, iterator, where, at)
        why = what_is_wrong(media, head)
        if why:
            self.set_aside(where, why, head, kind, name)
            return False
        at = taken_at(head) or at if kind is Kind.PHOTOS else at
        body = b"".join(held)
        self._emit(
            Loose(
                *(self.account, kind, collection, segment(name), media, digest.digest(), size, at, body, ""),
                *(self._source, where),
            )
        )
        return True

    def _large(
        self,
        kind: Kind,
        collection: str,
        name: str,
        media: str,
        before: list[bytes],
        rest: Iterable[bytes],
        where: str,
        at: int | None,
    ) -> bool:
        """A body that is too large to be kept beside what is said of it."""
        head = b"".join(before)[:_HEAD_BYTES]
        why = what_is_wrong(media, head)
        if why:
            self.set_aside(where, why, head, kind, name)
            return False
        kept = self._keep.put(_chained(before, rest))
        at = taken_at(head) or at if kind is Kind.PHOTOS else at
        self._emit(
            Loose(
                *(self.account, kind, collection, segment(name), media, kept.digest, kept.size, at, None, kept.path),
                *(self._source, where),
            )
        )
        return True

    # -- putting

    def _is_new(self, kind: Kind, collection: str, uid: str, body: bytes, where: str, name: str | None) -> bool:
        """Whether nothing of this UID came before: exports have a person in each of their groups."""
        digest = sha256(body).digest()
        before = self._uids.setdefault((kind, collection, uid), digest)
        if before is digest:
            return True
        if before != digest:
            why = f"the UID {uid[:80]} came before in this source, with other content"
            self.set_aside(where, why, body, kind, name or "")
        return False

    def put(self, kind: Kind, collection: str, name: str, media: str, body: bytes, where: str, at: int | None) -> None:
        digest = sha256(body).digest()
        self._emit(
            Loose(
                *(self.account, kind, collection, segment(name), media, digest, len(body), at, body, ""),
                *(self._source, where),
            )
        )

    def _emit(self, loose: Loose) -> None:
        self.items += 1
        self._finds.loose(loose)

    def set_aside(self, where: str, why: str, data: bytes, kind: Kind | None = None, name: str = "") -> None:
        self.aside += 1
        self._finds.aside(Aside(self._source, where, why, "file", data[:ASIDE_BYTES], None, kind, name))

    def problem(self, words: str) -> None:
        self._finds.problem(self._source, words)


def text_of(chunks: Iterable[bytes]) -> bytes:
    """A text in memory. Raises Damaged where it is too long to be one."""
    parts, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_TEXT_BYTES:
            raise Damaged(f"it is larger than {MAX_TEXT_BYTES} bytes, too large to be taken apart")
        parts.append(chunk)
    return b"".join(parts)


def segment(name: str) -> str:
    """A name that an item may bear: as it is, or as near to it as may be."""
    try:
        return check_segment(name)
    except BadRequest:
        kept = "".join(c if c.isprintable() and c != "/" else "_" for c in name).strip() or "unnamed"
        kept = kept.encode("utf-8", "replace").decode()
        while len(kept.encode()) > MAX_SEGMENT_BYTES:
            dot = kept.rfind(".")
            stem, suffix = (kept[:dot], kept[dot:]) if dot > 0 and len(kept) - dot < 12 else (kept, "")
            kept = stem[:-1] + suffix
        return f"_{kept}" if kept in (".", "..") else kept


def path_of(folders: Iterable[str]) -> str:
    """Folders as a path below a home."""
    return "/".join(segment(folder) for folder in folders)


def what_is_wrong(media: str, head: bytes) -> str:
    """Why these bytes cannot be of that media type; "" where they may be."""
    known = _MAGIC.get(media)
    if not head:
        return "it is empty"
    if known is None or any(head[at : at + len(mark)] == mark for at, mark in known):
        return ""
    return f"its content is not {media}, as its name says" if any(head) else "it holds nothing but zeros"


def taken_at(head: bytes) -> int | None:
    """When a picture was taken, µs, as its EXIF says; None where it does not. EXIF knows no zone: UTC is assumed."""
    start = head.find(b"Exif\0\0")
    match = _EXIF_TIME.search(head, start) if start != -1 else None
    if match is None:
        return None
    try:
        at = datetime(*map(int, match.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return int(at.timestamp()) * 1_000_000


def _chained(before: Iterable[bytes], rest: Iterable[bytes]) -> Iterable[bytes]:
    yield from before
    yield from rest


def _one(pieces: list[Piece]) -> bool:
    return len(pieces) == 1


def _line(where: str, pieces: list[Piece], piece: Piece) -> str:
    return where if _one(pieces) else f"{where}: the {piece.component} of line {piece.line}"
