"""Preferences of a request: Prefer (RFC 7240), as WebDAV uses it (RFC 8144), and its forerunner Brief.

    Prefer     = preference *( "," preference )
    preference = token [ "=" word ] *( ";" [ parameter ] )         word = token / quoted-string

A preference that is not known, or has a value that is not, is passed over; of one that comes twice the first counts.
Where the header is not of this form, what stands before the fault counts: a preference is never a reason to refuse.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from safehold.protocol.problems import Headers

# Nothing here can be matched in two ways, and nothing is tried again: the cost is that of the header's length.
_SPACE = r"[ \t]*+"
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_WORD = rf'(?:{_NAME}|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*+")'
_PARAMETER = rf";{_SPACE}(?:{_NAME}{_SPACE}(?:={_SPACE}{_WORD}{_SPACE})?+)?+"
_PREFERENCE = re.compile(
    rf"[ \t,]*+(?P<name>{_NAME}){_SPACE}(?:={_SPACE}(?P<word>{_WORD})?+{_SPACE})?+(?:{_PARAMETER})*+(?:,|$)"
)
_QUOTED_PAIR = re.compile(r"\\(.)")
#: No client has so much to prefer.
_MAX_BYTES = 4096

MINIMAL, REPRESENTATION = "minimal", "representation"


class Preferences(NamedTuple):
    """`returned` is MINIMAL, REPRESENTATION or "" (RFC 7240 section 4.2); `noroot` is of RFC 8144 section 3."""

    returned: str = ""
    noroot: bool = False

    @property
    def minimal(self) -> bool:
        return self.returned == MINIMAL


def parse_preferences(header: dict[bytes, bytes]) -> Preferences:
    """The preferences of a request; `Brief: t` is `return=minimal` where Prefer says nothing else of it."""
    prefer, brief = header.get(b"prefer"), header.get(b"brief")
    return _parse(prefer or b"", brief or b"") if prefer or brief else _NONE


_NONE = Preferences()


@lru_cache(maxsize=64)
def _parse(prefer: bytes, brief: bytes) -> Preferences:
    said: dict[str, str] = {}
    text = prefer.decode("latin-1") if len(prefer) <= _MAX_BYTES else ""
    at = 0
    while at < len(text) and (match := _PREFERENCE.match(text, at)) is not None:
        said.setdefault(match["name"].lower(), _value(match["word"] or ""))
        at = match.end()
    returned = said.get("return", "").lower()
    if returned not in (MINIMAL, REPRESENTATION):
        returned = MINIMAL if brief.strip().lower() == b"t" else ""
    return Preferences(returned, "depth-noroot" in said)


def _value(word: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", word[1:-1]) if word.startswith('"') else word


def applied(*preferences: str) -> Headers:
    """The headers that tell which preferences were followed (RFC 7240 sections 2 and 3); none where none was."""
    if not preferences:
        return []
    return [(b"preference-applied", ", ".join(preferences).encode()), (b"vary", b"Prefer, Brief")]
