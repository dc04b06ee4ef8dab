"""Single changes from the vaults, for a core that has them and cannot give them.

A change is looked for in the newest generation on the log, then in the log after it, then in older generations. Of a
generation that costs its directory, the INDEX frames of one stream and the BODIES frames of what is wanted; of the log
all of it since the generation, which snapshots keep short. Each is verified: by its own hash, which frames signed by
certified writers state, and by the digest that the core has of its body, where it can still tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import msgspec

from safehold.formats.keys import Opener
from safehold.model.change import NO_DIGEST, Change
from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.model.stream import BadChange, check_self
from safehold.ports.care import ChangePlace
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import LogFrame
from safehold.ports.vault import Vault
from safehold.vault.log import NotOnTheLog, VaultLogReader
from safehold.vault.runs import GenerationReader, Runs

#: Older generations that are looked into for what the newest has no good copy of.
OLDER_GENERATIONS = 3


class _Key(NamedTuple):
    """What a change is found by: its rev, or where that is not known the digest of its body."""

    account: bytes
    kind: Kind
    rev: int
    digest: bytes


class Fetched(NamedTuple):
    """What came of one call; `problems` says what was wrong with copies, healed from another vault or not."""

    changes: dict[ChangePlace, Change]
    problems: list[str]


def fetch(open_vaults: Callable[[], Sequence[Vault]], opener: Opener, wanted: Sequence[ChangePlace]) -> Fetched:
    """Those of the wanted changes that any vault has, verified, with their bodies. For one thread at a time.

    `open_vaults` gives fresh instances, closed here; those that cannot be reached are left out. Raises KeyAway where no
    identity is at hand.
    """
    opener.require("a body that only the vaults have whole")
    with ExitStack() as stack:
        vaults = list(open_vaults())
        for vault in vaults:
            stack.callback(vault.close)
        return _Search([vault for vault in vaults if vault.available()], opener, wanted).run()


class _Search:
    def __init__(self, vaults: Sequence[Vault], opener: Opener, wanted: Sequence[ChangePlace]) -> None:
        self._log = VaultLogReader([], opener, spare=vaults)
        self._runs = Runs(vaults, opener)
        self._open = {place: _Key(*place[:3], place.digest) for place in wanted}
        self._found: dict[ChangePlace, Change] = {}

    def run(self) -> Fetched:
        after = EMPTY_LOG
        newest = True
        try:
            for reader in self._generations():
                self._look_into(reader)
                if newest:
                    after, newest = reader.generation.position, False
                    self._look_after(after)
                if not self._open:
                    break
            if newest:
                self._look_after(EMPTY_LOG)
        except SafeholdError as error:
            self._runs.note(error.message)
        return Fetched(self._found, [*self._runs.problems(), *self._log.problems()])

    def _generations(self) -> Iterator[GenerationReader]:
        """On the log, newest first."""
        count = 0
        for generation in self._runs.generations():
            try:
                self._log.check(generation.position)
            except NotOnTheLog:
                continue
            yield self._runs.reader(generation)
            count += 1
            if count > OLDER_GENERATIONS:
                return

    def _look_into(self, reader: GenerationReader) -> None:
        for account, kind in dict.fromkeys((key.account, key.kind) for key in self._open.values()):
            entry = reader.stream(account, kind)
            keys = [key for key in self._open.values() if key[:2] == (account, kind)]
            if entry is None or all(key.rev > entry.head.rev for key in keys):
                continue
            left = len(self._open) - len(keys)
            is_wanted = partial(
                _is_wanted, frozenset(key.rev for key in keys), frozenset(key.digest for key in keys if not key.rev)
            )
            for _, change in reader.changes_of(entry, bodies=is_wanted):
                if is_wanted(change):
                    self._take(change)
                    if len(self._open) == left:
                        break

    def _look_after(self, position: LogPosition) -> None:
        for entry in self._log.entries(position) if self._open else ():
            for change in entry.changes if isinstance(entry, LogFrame) else ():
                self._take(change)
            if not self._open:
                return

    def _take(self, change: Change) -> None:
        """Where it is one of the wanted, whole and right."""
        for place, key in list(self._open.items()):
            if (change.account, change.kind) != key[:2] or (change.rev != key.rev if key.rev else not change.digest):
                continue
            if key.digest not in (NO_DIGEST, change.digest):
                continue
            if change.digest and change.body is None and change.blob is None:
                continue
            try:
                check_self(change)
            except BadChange as error:
                self._runs.note(str(error))
                continue
            self._found[place] = msgspec.structs.replace(change)
            del self._open[place]


def _is_wanted(revs: frozenset[int], digests: frozenset[bytes], change: Change) -> bool:
    return change.rev in revs or change.digest in digests
