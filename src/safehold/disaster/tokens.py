"""The sync tokens that a house ever gave out, and what each must still be answered (RFC 6578)."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from safehold.lab.oracle import Moment, Oracle, Shelf, Wrong
from safehold.lab.wire import Answer, Line, Request, read_multistatus, sync_collection

TROUBLE = frozenset((503, 507))


class Token(NamedTuple):
    """A token that was given out at a moment.

    `beyond`: of a state that did not survive; `orphan`: of a collection that did not survive at all.
    """

    user: str
    path: str
    serial: int
    moment: int
    text: str
    beyond: bool = False
    orphan: bool = False


class TokenBook:
    """`send` asks the house; `troubled` says whether it may answer 503 for that."""

    def __init__(
        self, oracle: Oracle, rng: random.Random, send: Callable[[Request], Answer], troubled: Callable[[], bool]
    ) -> None:
        self._oracle = oracle
        self._rng = rng
        self._send = send
        self._troubled = troubled
        self._tokens: list[Token] = []

    def take_some(self) -> None:
        """First syncs, which list all."""
        shelves = [path for path, shelf in self._oracle.world.items() if shelf.type not in ("folder", "game")]
        for path in self._rng.sample(shelves, min(4, len(shelves))):
            self._take(path, self._oracle.world[path])

    def _take(self, path: str, shelf: Shelf) -> None:
        user = path.partition("/")[0]
        answer = self._send(sync_collection(user, path, ""))
        if answer.status in TROUBLE and self._troubled():
            return
        if answer.status != 207:
            raise Wrong(f"the first sync of {path} was answered {answer.status}: {answer.body[-300:]!r}", "I12")
        found = read_multistatus(answer)
        if {line.name: line.etag for line in found.lines} != {n: t.etag for n, t in shelf.items.items()}:
            raise Wrong(f"the first sync of {path} lists {sorted(line.name for line in found.lines)}", "I12")
        self._tokens.append(Token(user, path, shelf.serial, self._oracle.now, found.token))

    def ask_some(self) -> None:
        for token in self._rng.sample(self._tokens, min(3, len(self._tokens))):
            self._ask(token)

    def ask_those_beyond(self) -> None:
        for token in self._tokens:
            if token.beyond or token.orphan:
                self._ask(token)

    def _ask(self, token: Token) -> None:
        limit = self._rng.choice((None, None, 1, 2, 5))
        told: dict[str, Line] = {}
        text = token.text
        shelf = self._oracle.world.get(token.path)
        there = shelf is not None and shelf.serial == token.serial
        wanted = 503 if token.orphan else 404 if shelf is None else 403 if not there else 503 if token.beyond else 207
        while True:
            answer = self._send(sync_collection(token.user, token.path, text, limit))
            if answer.status in TROUBLE and self._troubled():
                return
            if answer.status != wanted:
                raise Wrong(
                    f"a token of {token.path}, given at moment {token.moment}, was answered {answer.status}, "
                    f"not {wanted}: {answer.body[-300:]!r}",
                    "I15",
                )
            if shelf is None or wanted != 207:
                return
            found = read_multistatus(answer)
            told.update((line.name, line) for line in found.lines)
            text = found.token
            if not found.truncated:
                break
        self._check_news(token, shelf, told)

    def _check_news(self, token: Token, shelf: Shelf, told: dict[str, Line]) -> None:
        news = self._oracle.news(token.path, token.serial, token.moment)
        if not news.must <= told.keys() <= news.must | news.may:
            raise Wrong(
                f"a sync of {token.path} since moment {token.moment} tells {sorted(told)}, "
                f"not {sorted(news.must)} (and perhaps {sorted(news.may)})",
                "I12",
            )
        for name, line in told.items():
            thing = shelf.items.get(name)
            if (line.status, line.etag) != ((404, "") if thing is None else (200, thing.etag)):
                raise Wrong(f"a sync of {token.path} says {line.status} {line.etag} of {name}", "I12")

    def forget(self, lost: Sequence[Moment], users: Collection[str]) -> None:
        """These moments, the last ones, did not survive. Of users who were lost with them nothing is asked."""
        self._tokens = [self._after_loss(token, lost) for token in self._tokens if token.user in users]

    def _after_loss(self, token: Token, lost: Sequence[Moment]) -> Token:
        last = self._oracle.now
        if token.orphan or token.moment <= last:
            return token
        touched = [touch for moment in lost[: token.moment - last] for touch in moment.touched]
        changed = any((touch.shelf, touch.serial) == (token.path, token.serial) for touch in touched)
        made = token.serial not in {shelf.serial for moment in self._oracle.moments for shelf in moment.world.values()}
        return token._replace(moment=last, beyond=token.beyond or changed, orphan=made)
