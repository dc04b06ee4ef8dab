"""What is particular to a Google Takeout: notes of Keep, and the JSON files beside photos.

Layouts, as they came out of it through the years (names of folders are in the person's language, so that nothing rests
on them but "Keep" for HTML):

    Takeout/Contacts/<group>/<group>.vcf        Takeout/Calendar/<calendar>.ics
    Takeout/Keep/<title>.json, .html            `textContent` or `listContent`; `isTrashed`
    Takeout/Google Photos/<album>/IMG.jpg       and IMG.jpg.json, or IMG.jpg.supplemental-metadata.json, cut off at
                                                46 characters; IMG(1).jpg has IMG.jpg(1).json
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

import msgspec

#: Of a JSON file or a page that speaks of one thing.
MAX_TOLD_BYTES = 16 * 1024 * 1024
KEEP_FOLDER = "Keep"
MARKDOWN = "text/markdown"
_YEAR_ALBUM = re.compile(r"[^\d]*\b(19|20)\d\d\b[^\d]*\Z")
_SIDECAR = re.compile(r"(?P<stem>.+?)(?P<suffix>\.[A-Za-z0-9]{2,5})(?:\.s[a-z-]*)?(?P<number>\(\d+\))?\.json\Z")


class Sidecar(NamedTuple):
    """What is said of a photo."""

    at: int | None  # µs, when it was taken
    trashed: bool


class KeptNote(NamedTuple):
    body: bytes
    at: int | None
    trashed: bool


class _Time(msgspec.Struct):
    timestamp: str = ""


class _Photo(msgspec.Struct, rename={"taken": "photoTakenTime", "created": "creationTime"}):
    taken: _Time
    title: str = ""
    created: _Time = msgspec.field(default_factory=_Time)
    trashed: bool = False


class _Line(msgspec.Struct, rename={"checked": "isChecked"}):
    text: str = ""
    checked: bool = False


class _Label(msgspec.Struct):
    name: str = ""


class _Note(
    msgspec.Struct,
    rename={
        "text": "textContent",
        "lines": "listContent",
        "edited": "userEditedTimestampUsec",
        "created": "createdTimestampUsec",
        "trashed": "isTrashed",
    },
):
    title: str = ""
    text: str | None = None
    lines: list[_Line] | None = None
    edited: int = 0
    created: int = 0
    trashed: bool = False
    labels: list[_Label] = []


#: What decoding raises over what is no JSON, is not of the sort, or is nested to do harm.
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_decode_photo = msgspec.json.Decoder(_Photo).decode
_decode_note = msgspec.json.Decoder(_Note).decode


def parse_sidecar(data: bytes, name: str) -> tuple[list[str], Sidecar] | None:
    """The names of the photo that a JSON file speaks of, and what it says; None where it is no such file."""
    try:
        photo = _decode_photo(data)
    except NO_JSON:
        return None
    seconds = next((t.timestamp for t in (photo.taken, photo.created) if t.timestamp.lstrip("-").isdigit()), "")
    at = int(seconds) * 1_000_000 if 0 < len(seconds) < 13 else None
    names = [photo.title] if photo.title else []
    match = _SIDECAR.match(name)
    if match is not None:
        names.insert(0, f"{match['stem']}{match['number'] or ''}{match['suffix']}")
        if match["number"]:
            names = names[:1]  # the title is that of the other one too
    return names, Sidecar(at, photo.trashed)


def is_year_album(folder: str) -> bool:
    """Whether an album is one of those that hold every photo of a year: what else is in albums lies there too."""
    return _YEAR_ALBUM.match(folder) is not None


def parse_note(data: bytes) -> KeptNote | None:
    """A note of Keep as Markdown; None where the JSON is none."""
    try:
        note = _decode_note(data)
    except NO_JSON:
        return None
    if note.text is None and note.lines is None:
        return None
    parts = [f"# {note.title}"] if note.title else []
    if note.text:
        parts.append(note.text)
    if note.lines:
        parts.append("\n".join(f"- [{'x' if line.checked else ' '}] {line.text}" for line in note.lines))
    if note.labels:
        parts.append(" ".join(f"#{label.name.replace(' ', '-')}" for label in note.labels if label.name))
    at = note.edited or note.created
    return KeptNote(("\n\n".join(parts) + "\n").encode("utf-8", "replace"), at if at > 0 else None, note.trashed)


def parse_note_page(data: bytes) -> KeptNote | None:
    """A note of Keep out of its HTML page, where the JSON is lost: title and text. None where it is none."""
    reader = _Page()
    try:
        reader.feed(data.decode("utf-8", "replace"))
        reader.close()
    except (ValueError, AssertionError, RecursionError):
        return None
    title, text = "".join(reader.title).strip(), "".join(reader.text).strip()
    if not title and not text:
        return None
    parts = [f"# {title}"] if title else []
    return KeptNote(("\n\n".join((*parts, text)) + "\n").encode("utf-8", "replace"), None, False)


class _Page(HTMLParser):
    """Collects the title and the text of the element of class `content`."""

    _BREAKS = frozenset(("br", "p", "div", "li", "tr"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.text: list[str] = []
        self._in_title = False
        self._depth = 0  # of elements within the content; 0 outside

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title = True
        if tag in self._BREAKS and self._depth:
            self.text.append("\n")
        if tag != "br" and (self._depth or ("class", "content") in attrs):
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if self._depth and tag != "br":
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif self._depth:
            self.text.append(data)
