"""Names of items and folders as file names, and back.

A file name is the name itself wherever every common file system can take it; else the bytes in question are percent
encoded (RFC 3986 section 2.1), `%` itself always, so that decoding is certain. Two names of one folder never give file
names that differ by case or Unicode normalisation only.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from hashlib import sha256
from urllib.parse import unquote

MAX_FILE_NAME_BYTES = 255

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*%]')
#: Device names of Windows, whatever follows the dot.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)", re.IGNORECASE)
_UID_UNSAFE = re.compile(r"[^A-Za-z0-9._@+-]")
_MAX_UID_NAME = 120

#: Only the table that comes with Python: the same file has the same type on every machine.
_MEDIA = mimetypes.MimeTypes(filenames=())
_MORE_MEDIA = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".avif": "image/avif",
    ".webp": "image/webp",
    ".dng": "image/x-adobe-dng",
    ".vcf": "text/vcard",
    ".ics": "text/calendar",
}
UNKNOWN_MEDIA = "application/octet-stream"


def _encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def file_name(name: str, taken: set[str]) -> str:
    """The file name for a name; `taken` holds the folder's file names, folded, and gets this one too.

    A name too long for a file is replaced by a digest: then `original_name` of it is not the name, and the caller
    must keep the name elsewhere.
    """
    text = _UNSAFE.sub(lambda match: _encoded(match.group()), name)
    if text.startswith(".") or _RESERVED.match(text):
        text = _encoded(text[0]) + text[1:]
    if text.endswith((".", " ")):
        text = text[:-1] + _encoded(text[-1])
    if len(text.encode("utf-8", "surrogatepass")) > MAX_FILE_NAME_BYTES:
        suffix = re.search(r"\.[A-Za-z0-9]{1,8}\Z", text)
        text = sha256(name.encode()).hexdigest() + (suffix.group() if suffix else "")
    head, tail = "", text
    while _folded(head + tail) in taken and tail:
        whole = 3 if tail.startswith("%") else 1
        head += tail[:3] if whole == 3 else _encoded(tail[0])
        tail = tail[whole:]
    taken.add(_folded(head + tail))
    return head + tail


def original_name(file: str) -> str:
    """The name behind a file name that `file_name` made."""
    return unquote(file, errors="surrogateescape")


def uid_name(uid: str, extension: str) -> str:
    """A name for an item of this UID: readable, safe in paths and URLs, and different for different UIDs."""
    text = _UID_UNSAFE.sub("_", uid)
    if text != uid or len(text) > _MAX_UID_NAME or text.startswith("."):
        text = f"{text[:_MAX_UID_NAME].lstrip('.')}-{sha256(uid.encode()).hexdigest()[:12]}"
    return text + extension


def media_for(name: str) -> str:
    """The media type that a name's extension stands for."""
    dot = name.rfind(".")
    extension = name[dot:].lower() if dot > 0 else ""
    return _MORE_MEDIA.get(extension) or _MEDIA.types_map[True].get(extension) or UNKNOWN_MEDIA


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())
