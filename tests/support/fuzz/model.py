"""What the fuzz knows of an account by the answers it got: a light model, to hold the account against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from tests.support.fuzz.documents import Known

AT_FIRST = (
    *("contacts/default", "calendars/default", "calendars/tasks", "calendars/notes", "files/notes", "files/photos"),
)
_REMEMBERED = 50  # tags and tokens, of which the last few are asked for again
_TOKEN = re.compile(rb"<(?:\w+:)?sync-token>([^<]+)<")


class Request(Protocol):
    """As much of a request as the model looks at."""

    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class World:
    """Items by path under the account with the tags they should have, and the collections there should be."""

    def __init__(self, name: str, origin: str) -> None:
        self.name = name
        self.origin = origin  # scheme, host and port
        self.items: dict[str, str] = {}
        self.collections: set[str] = set(AT_FIRST)
        self.etags: list[str] = []
        self.tokens: list[str] = []
        self.locks: list[str] = []
        self.locked: dict[str, str] = {}  # the target of each lock, by its token, as it was made

    def href(self, path: str) -> str:
        """Percent-encoded, without a slash at its end."""
        return f"/dav/{quote(self.name)}/{quote(path)}"

    def known(self, home: str) -> Known:
        """What to ask for, of one of the homes."""
        return Known([self.href(path) for path in sorted(self.items) if path.startswith(home)][:8], self.tokens[-4:])

    def path_of(self, target: str) -> str | None:
        """The path under the account that a target or an href names; None where it is elsewhere."""
        home = f"/dav/{self.name}/"
        found = unquote(urlsplit(target).path if "://" in target else target.partition("?")[0])
        return found[len(home) :].rstrip("/") if found.startswith(home) and found.rstrip("/") != home[:-1] else None

    def below(self, path: str) -> list[str]:
        """Everything at a path and under it."""
        return [p for p in (*self.items, *self.collections) if p == path or p.startswith(path + "/")]

    def learn(self, asked: Request, status: int, got: Mapping[str, str], answer: bytes) -> None:
        """Take in an answer: what was acknowledged is what should be there from now on."""
        if "etag" in got:
            self.etags = [*self.etags[-_REMEMBERED:], got["etag"]]
        self.tokens = [*self.tokens[-_REMEMBERED:], *(token.decode() for token in _TOKEN.findall(answer)[:4])]
        if "lock-token" in got:
            self.locks.append(got["lock-token"].strip("<>"))
            self.locked[self.locks[-1]] = asked.target
        method, headers = asked.method, asked.headers
        length = headers.get("Content-Length", "")
        body = asked.body[: int(length)] if length.isascii() and length.isdigit() else asked.body
        path = self.path_of(asked.target)
        if path is None or status not in (200, 201, 204):
            return
        if method == "PUT":
            tag = f'"{sha256(body).hexdigest()}"'
            assert (status == 201) == (path not in self.items), "201 says that there was nothing before"
            assert got.get("etag", tag) == tag
            self.items[path] = tag
        elif method == "DELETE":
            self._drop(path)
        elif method in ("MKCOL", "MKCALENDAR"):
            assert status == 201 and path not in self.collections and path not in self.items
            self.collections.add(path)
        elif method == "LOCK" and status == 201 and path not in self.collections:
            self.items[path] = f'"{sha256(b"").hexdigest()}"'  # an empty file holds the place (RFC 4918 section 7.3)
        elif method in ("MOVE", "COPY"):
            to = self.path_of(headers["Destination"])
            assert to is not None, "nothing goes beyond the account"
            self._carry(
                path,
                to,
                whole=method == "MOVE" or headers.get("Depth") != "0",
                keep=method == "COPY",
                new=status == 201,
            )

    def _carry(self, path: str, to: str, *, whole: bool, keep: bool, new: bool) -> None:
        assert new == (to not in self.items and to not in self.collections), "201 says that there was nothing before"
        carried = self.below(path) if whole else [path]
        items = {p: self.items[p] for p in carried if p in self.items}
        collections = [p for p in carried if p in self.collections]
        assert items or collections, "what is not there cannot be moved"
        self._drop(to)
        if not keep:
            self._drop(path)
        self.items |= {to + p[len(path) :]: tag for p, tag in items.items()}
        self.collections |= {to + p[len(path) :] for p in collections}

    def _drop(self, path: str) -> None:
        for gone in self.below(path):
            self.items.pop(gone, None)
            self.collections.discard(gone)
