"""The public status as files that another web server, or a bucket, publishes: it is read when this machine is down.

A folder with `index.html`, `index.es.html`, `status.json` and `status.atom`, each replaced whole. Written when what
they say changes, at most every LEAST_SECONDS, and every FRESH_SECONDS all the same: the time they bear says how old
they are. They are for everybody, so that everybody may read them (mode 644).

A folder on a mount that hangs holds nobody up: each writing is a thread of its own, and there is one at a time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from concurrent.futures import Future
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from safehold.adapters.threads import in_daemon
from safehold.ports.world import Clock
from safehold.web.layout import page_text
from safehold.web.status import Standing, public
from safehold.web.status_pages import status_atom, status_html
from safehold.web.words import LANGUAGES, Words

_log = logging.getLogger("safehold.status")

LEAST_SECONDS = 5.0
FRESH_SECONDS = 60.0
#: What says how long ago, and so changes without anything having changed.
_PASSING = frozenset(("seen_seconds_ago", "lag_seconds", "seconds_ago", "actual_seconds", "at"))
_MODE = 0o644
_FOLDER_MODE = 0o755


class StatusFile:
    """Used on one thread."""

    def __init__(self, folder: Path, clock: Clock, public_url: str = "") -> None:
        self._folder = folder
        self._clock = clock
        self._page = f"{public_url}/status" if public_url else ""
        self._standing = Standing()
        self._written: bytes | None = None  # digest of what was last written
        self._at = -FRESH_SECONDS
        self._under_way: Future[None] | None = None
        self._trouble: str | None = None

    def offer(self, status: Mapping[str, Any]) -> None:
        """How the service stands now. Begins to write it where that is due, and returns at once."""
        if self._under_way is not None:
            if not self._under_way.done():
                return
            self._ended(self._under_way)
            self._under_way = None
        now = self._clock.monotonic()
        waited = now - self._at
        if waited < LEAST_SECONDS:
            return
        shown = public(status)
        digest = _digest(shown)
        if digest == self._written and waited < FRESH_SECONDS:
            return
        self._written, self._at = digest, now
        files = self.files(shown)
        self._under_way = in_daemon(lambda: write_files(self._folder, files), "status file")

    def last(self, status: Mapping[str, Any]) -> None:
        """Write it now, in this thread: the service ends, or a command has something to say."""
        try:
            write_files(self._folder, self.files(public(status)))
        except OSError as error:
            _log.warning("the status could not be published in %s: %s", self._folder, error)

    def files(self, shown: Mapping[str, Any]) -> dict[str, str]:
        """Name to text, from a public status object."""
        at = self._clock.now()
        shown = {**shown, "at": at}
        since = self._standing.since(shown, at)
        found = {f"index{_suffix(lang)}.html": _page(shown, Words(lang)) for lang in LANGUAGES}
        found["status.json"] = msgspec.json.encode(shown).decode()
        found["status.atom"] = status_atom(shown, Words(), since=since, page=self._page)
        return found

    def incidents(self) -> list[dict[str, Any]]:
        if self._trouble is None:
            return []
        return [
            {
                "what": "status file",
                "message": f"the status could not be published in {self._folder}: {self._trouble}",
                "summary": "The published status is not fresh.",
                "hint": "see whether the folder of [status] file is there and may be written to",
            }
        ]

    def _ended(self, writing: Future[None]) -> None:
        error = writing.exception()
        trouble = None if error is None else str(error)
        if trouble is not None and self._trouble is None:
            _log.warning("the status could not be published in %s: %s", self._folder, trouble)
        self._trouble = trouble
        if trouble is not None:
            self._written = None


def _suffix(lang: str) -> str:
    return "" if lang == LANGUAGES[0] else f".{lang}"


def _page(shown: Mapping[str, Any], words: Words) -> str:
    other = f"index{_suffix(words.other)}.html"
    body = status_html(shown, words) + f"<p>{words('as-of.old')}</p>"
    title = f"Safehold: {words('status.title')}"
    return page_text(title, body, words=words, switch=other, feed="status.atom")


def _digest(shown: Mapping[str, Any]) -> bytes:
    return sha256(msgspec.json.encode(_lasting(shown))).digest()


def _lasting(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _lasting(one) for key, one in value.items() if key not in _PASSING}
    return [_lasting(one) for one in value] if isinstance(value, list | tuple) else value


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Each whole or not at all. Raises OSError."""
    if not folder.is_dir():
        folder.mkdir(_FOLDER_MODE, parents=True)
    for name, text in files.items():
        temporary = folder / f".{name}.new"
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(_MODE)
        os.replace(temporary, folder / name)
