"""Atom feeds (RFC 4287): what a feed reader shows of the service's or an account's state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

MEDIA_TYPE = "application/atom+xml; charset=utf-8"
#: What XML 1.0 cannot carry at all.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MICROSECONDS = 1_000_000


class Entry(NamedTuple):
    """One entry. `id` is for ever; `at` in µs is when it last changed; `text` is plain."""

    id: str
    title: str
    at: int
    text: str


def feed(id_: str, title: str, at: int, entries: Sequence[Entry], *, lang: str, page: str = "", here: str = "") -> str:
    """A feed as XML. `at` (µs) is when it last changed; `page` and `here` are the URLs of the page and the feed."""
    links = (f'<link href="{_text(page)}"/>' if page else "") + (
        f'<link rel="self" href="{_text(here)}"/>' if here else ""
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="{lang}">'
        f"<id>{_text(id_)}</id><title>{_text(title)}</title><updated>{timestamp(at)}</updated><author><name>Safehold</name></author>{links}"
        + "".join(_entry(entry, page) for entry in entries)
        + "</feed>\n"
    )


def _entry(entry: Entry, page: str) -> str:
    link = f'<link href="{_text(page)}"/>' if page else ""
    return (
        f"<entry><id>{_text(entry.id)}</id><title>{_text(entry.title)}</title><updated>{timestamp(entry.at)}</updated>"
        f'{link}<content type="text">{_text(entry.text)}</content></entry>'
    )


def timestamp(at: int) -> str:
    """RFC 3339, of µs, to the second."""
    return datetime.fromtimestamp(at // _MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(text: str) -> str:
    return escape(_NO_XML.sub(" ", text))
