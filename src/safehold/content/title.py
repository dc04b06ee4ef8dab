"""What a person calls a contact, an event or a task: FN or SUMMARY, at a glance. Nothing is judged here."""

from __future__ import annotations

import re

MAX_TITLE = 100

_FOLD = re.compile(rb"\r?\n[ \t]")
_LINES = {
    "text/vcard": re.compile(rb"^(?:[A-Za-z0-9-]+\.)?FN(?:;[^:\r\n]*)?:([^\r\n]+)", re.IGNORECASE | re.MULTILINE),
    "text/calendar": re.compile(rb"^SUMMARY(?:;(?:[^:\"\r\n]|\"[^\"]*\")*)?:([^\r\n]+)", re.IGNORECASE | re.MULTILINE),
}
_ESCAPES = re.compile(r"\\([nN\\,;])")


def title_of(media: str, body: bytes) -> str:
    """As text, one line of at most MAX_TITLE characters; "" where there is none."""
    pattern = _LINES.get(media.partition(";")[0].strip().lower())
    match = pattern.search(_FOLD.sub(b"", body)) if pattern is not None else None
    if match is None:
        return ""
    text = _ESCAPES.sub(lambda m: " " if m[1] in "nN" else m[1], match[1].decode("utf-8", "replace"))
    text = " ".join(text.split())
    return text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1] + "…"
