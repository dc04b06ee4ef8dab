"""Brakes: a device's own deletes take effect at once, but a great share of a collection is never lost unnoticed (I62).

Within `window_minutes`, what devices delete in a collection is counted together, in the transaction that deletes. Once
it is `share_percent` or more of what was there (what lives plus what was deleted), of at least `least_items`, the
account is told: since when, how many, by which device. That is one incident, however long it goes on without a pause
of `window_minutes`; its notice counts on. One command brings all of it back (`Undo` with `deleted_only`).

What counts: a DELETE; the items of a collection that is removed; what a MOVE takes out of its collection. Not: what is
put back in the same group, a folder that only gets another name, and what is no device's.

Cost: memory of the window of collections in which something is being deleted, bounded; what was forgotten (a start, a
rollback, too many) is read again from the end of the stream's journal, at most MOST_READ changes of it. How many items
live is counted only where the last count leaves it open, and only as far as it can matter: so on the whole the cost of
a delete does not grow with its collection (I34).

Beyond `erasures` accounts within `window_minutes`, an erasure that is `braked` only locks the
account, for `grace_days`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from safehold.formats.intake import sender
from safehold.model.change import Change, Op
from safehold.model.commands import AnyCommand, ApplyIntake, RemoveCollection, Transfer
from safehold.model.errors import Held, NotFound
from safehold.model.items import Account, Collection
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.paths import parent
from safehold.service.ledger import Ledger

DEVICE = "device:"

#: Changes read from the end of a stream to know what has been deleted there, and entries remembered in all.
MOST_READ = 20_000
MOST_REMEMBERED = 100_000
#: An incident's notice is brought up to date when the untold are this part of what was told, or after a while.
UPDATE_PART = 4
UPDATE_SECONDS = 60
#: Devices that are named.
MAX_DEVICES = 3

_MICROSECONDS = 1_000_000


class BrakeLimits(NamedTuple):
    """As the configuration has them."""

    share_percent: int = 25
    least_items: int = 20
    window_minutes: int = 60
    erasures: int = 3
    grace_days: int = 7

    @property
    def window(self) -> int:
        """µs."""
        return self.window_minutes * 60 * _MICROSECONDS

    def is_mass(self, gone: int, of: int) -> bool:
        """Whether so many of so many are a great share."""
        return gone > 0 and of >= self.least_items and 100 * gone >= self.share_percent * of


DEFAULT_BRAKES = BrakeLimits()


class Told(NamedTuple):
    """What is told of an incident: `more` deletes since it was last told, and the moment before the first of all."""

    kind: Kind
    path: str
    more: int
    before: int  # µs
    point: int  # the rev before the first
    last: int  # the rev of the last, or of the first change of its group
    devices: tuple[str, ...]


class Open(NamedTuple):
    """An incident that was told before: when last (µs), and as in Told."""

    at: int
    before: int
    point: int
    last: int


class Teller(Protocol):
    """How the account is told, within the open transaction."""

    def open(self, account: Account, kind: Kind, path: str) -> Open | None: ...

    def tell(self, account: Account, told: Told) -> None:
        """Raises Held, NotFound where that cannot be now."""
        ...


class _Entry(NamedTuple):
    at: int
    rev: int  # of the first change of its group
    last: int  # the same of the last of several groups
    gone: int
    device: str

    def with_more(self, later: _Entry) -> _Entry:
        return self._replace(gone=self.gone + later.gone, last=later.rev)


class _Window:
    """What devices have deleted in one collection of late."""

    __slots__ = ("account", "collection", "entries", "incident", "last", "live", "since", "total", "untold")

    def __init__(self, account: Account, collection: Collection, live: int) -> None:
        self.account = account
        self.collection = collection
        self.entries: deque[_Entry] = deque()
        self.total = 0
        self.last = 0  # the rev of the last entry, pruned or not
        self.live = live  # at least so many items live
        self.incident: Open | None = None
        self.untold = 0
        self.since = 0  # told since last (µs)

    def add(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self.total += entry.gone
        self.last = entry.last

    def prune(self, oldest: int) -> int:
        """Forget what is older; how many entries that were."""
        count = 0
        while self.entries and self.entries[0].at <= oldest:
            self.total -= self.entries.popleft().gone
            count += 1
        return count

    def devices(self) -> tuple[str, ...]:
        """Who deleted, whoever deleted most first."""
        gone: dict[str, int] = {}
        for entry in self.entries:
            gone[entry.device] = gone.get(entry.device, 0) + entry.gone
        return tuple(sorted(gone, key=lambda device: (-gone[device], device))[:MAX_DEVICES])


class Before(NamedTuple):
    """What a command is about to remove with its collection: the topmost of them, and how many items in all."""

    collection: Collection
    items: int


class Brakes:
    """Counts within the open transaction of a Ledger. Used by one thread."""

    def __init__(self, ledger: Ledger, limits: BrakeLimits, teller: Teller) -> None:
        self._ledger = ledger
        self.limits = limits
        self._teller = teller
        self._windows: dict[tuple[bytes, bytes], _Window] = {}
        self._touched: set[tuple[bytes, bytes]] = set()
        self._remembered = 0

    # -- transactions ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A transaction begins: what was counted until now is committed."""
        self._touched.clear()

    def forget(self) -> None:
        """The transaction was rolled back: what it counted is read again where it matters."""
        for key in self._touched:
            self._drop(key)
        self._touched.clear()

    def _drop(self, key: tuple[bytes, bytes]) -> None:
        window = self._windows.pop(key, None)
        if window is not None:
            self._remembered -= len(window.entries) + 1

    # -- counting --------------------------------------------------------------------------------------------

    def look_ahead(self, command: AnyCommand) -> Before | None:
        """Before a command that may remove collections; None where it does not, or is no device's."""
        if not command.actor.startswith(DEVICE):
            return None
        if isinstance(command, RemoveCollection):
            path = command.path
        elif isinstance(command, Transfer) and command.overwrite:
            path = command.destination
        else:
            return None
        return self._look_at(command.account, path)

    def look_at_source(self, command: AnyCommand) -> Before | None:
        """The folder that a device takes elsewhere; None where it only gets another name."""
        if not isinstance(command, Transfer) or not command.move or not command.actor.startswith(DEVICE):
            return None
        if parent(command.source) == parent(command.destination):
            return None
        return self._look_at(command.account, command.source)

    def _look_at(self, id_: bytes, path: str) -> Before | None:
        core = self._ledger.core
        account = core.account_by_id(id_)
        found = None if account is None else core.collection(account.number, path)
        if account is None or found is None or found.kind not in DATA_KINDS:
            return None
        inner = core.collections(account.number, path + "/")
        return Before(found, sum(core.count_items(c, 1 << 62) for c in (found, *inner)))

    def count(self, command: AnyCommand, changes: Sequence[Change], removed: Sequence[Before]) -> None:
        """After a command: `changes` are what it made, `removed` what was looked at before it.

        What an intake held is counted as each of it is applied, and not once more with the command that applies it.
        """
        if isinstance(command, ApplyIntake):
            return
        if not changes:
            return
        gone = {change.collection: change for change in changes if change.op is Op.RMCOL}
        for before in removed:
            change = gone.get(before.collection.id)
            if change is not None and before.items:
                self._removed(self._ledger.account(command.account), before, change)
        by_devices: dict[bytes, _Entry] = {}
        for entry, id_ in _losses(changes):
            if id_ in gone:
                continue
            if entry.device.startswith(DEVICE):
                before_it = by_devices.get(id_)
                by_devices[id_] = entry if before_it is None else before_it.with_more(entry)
            elif (window := self._windows.get((command.account, id_))) is not None:
                window.live -= entry.gone
                self._touched.add((command.account, id_))
        for id_, entry in by_devices.items():
            self._deleted(self._ledger.account(command.account), id_, entry)

    def _deleted(self, account: Account, id_: bytes, entry: _Entry) -> None:
        """Items of a collection that lives on."""
        key = (account.id, id_)
        window = self._windows.get(key)
        if window is None:
            collection = self._collection(account, id_)
            if collection is None:
                return
            # What this command has made of it is in the journal already.
            window = self._derived(account, collection)
            self._windows[key] = window
        else:
            window.add(entry._replace(device=_device(entry.device)))
            window.live -= entry.gone
            window.untold += entry.gone if window.incident is not None else 0
            self._remembered += 1
        self._touched.add(key)
        self._judge(window)
        if self._remembered > MOST_REMEMBERED:
            self._windows.clear()
            self._remembered = 0

    def _collection(self, account: Account, id_: bytes) -> Collection | None:
        for collection in self._ledger.core.collections(account.number):
            if collection.id == id_:
                return collection
        return None

    def _derived(self, account: Account, collection: Collection) -> _Window:
        """From the end of the journal, and from what was told."""
        window = _Window(account, collection, live=0)
        oldest = self._ledger.now - self.limits.window
        groups: dict[int, _Entry] = {}
        for number, change in enumerate(self._ledger.core.removals(account.number, collection.kind, collection.id)):
            if change.at <= oldest or number >= MOST_READ:
                break
            if change.weight:
                group = groups.get(change.group) or _Entry(change.at, change.group, change.group, 0, change.actor)
                groups[change.group] = group._replace(gone=group.gone + change.weight)
        for entry in reversed(groups.values()):
            if entry.gone > 0 and entry.device.startswith(DEVICE):
                window.add(entry._replace(device=_device(entry.device)))
        window.incident = self._teller.open(account, collection.kind, collection.path)
        if window.incident is not None:
            window.since = window.incident.at
            window.untold = sum(entry.gone for entry in window.entries if entry.rev > window.incident.last)
        self._remembered += len(window.entries) + 1
        return window

    # -- judging and telling ---------------------------------------------------------------------------------

    def _judge(self, window: _Window) -> None:
        now = self._ledger.now
        last = window.entries[-1]
        if window.incident is not None and self._is_over(window, last):
            window.incident, window.untold = None, 0
        self._remembered -= window.prune(now - self.limits.window)
        if window.incident is None:
            if not window.total or not self._is_mass(window):
                return
            first = window.entries[0]
            window.incident = Open(now, first.at - 1, first.rev - 1, 0)
            window.untold = window.total
            self._tell(window)
        elif now - window.since >= UPDATE_SECONDS * _MICROSECONDS or self._grown(window):
            self._tell(window)

    def _is_over(self, window: _Window, last: _Entry) -> bool:
        """Whether the delete that just came is one of a new incident: the one before it lies a window back."""
        before = window.entries[-2].at if len(window.entries) > 1 else 0
        assert window.incident is not None
        return last.at - max(before, window.incident.at) >= self.limits.window

    @staticmethod
    def _grown(window: _Window) -> bool:
        return window.untold * UPDATE_PART >= window.total

    def _is_mass(self, window: _Window) -> bool:
        """Whether the share is reached, counting what lives only where it is open, and no further than it matters."""
        limits = self.limits
        if not limits.is_mass(window.total, max(window.total + window.live, limits.least_items)):
            return False
        most = 2 * (window.total * 100 // limits.share_percent + limits.least_items)
        window.live = self._ledger.core.count_items(window.collection, most)
        return limits.is_mass(window.total, window.total + window.live)

    def _tell(self, window: _Window) -> None:
        assert window.incident is not None
        told = Told(
            window.collection.kind,
            window.collection.path,
            window.untold,
            window.incident.before,
            window.incident.point,
            window.last,
            window.devices(),
        )
        with suppress(Held, NotFound):  # told with the next delete
            self._teller.tell(window.account, told)
            window.untold = 0
            window.since = self._ledger.now

    def _removed(self, account: Account, before: Before, change: Change) -> None:
        """A collection that was removed as a whole, with all below it."""
        key = (account.id, before.collection.id)
        window = self._windows.get(key)
        if window is None:
            window = self._derived(account, before.collection)
        else:
            self._drop(key)  # nothing more can be deleted there
        window.prune(self._ledger.now - self.limits.window)
        window.add(_Entry(change.at, change.group, change.group, before.items, _device(change.actor)))
        if window.incident is not None:
            window.untold += before.items
        elif self.limits.is_mass(window.total, window.total):
            first = window.entries[0]
            window.incident = Open(self._ledger.now, first.at - 1, first.rev - 1, 0)
            window.untold = window.total
        else:
            return
        self._tell(window)

    def overdue(self, now: int) -> bool:
        """Whether something was counted a while ago and not told."""
        late = now - UPDATE_SECONDS * _MICROSECONDS
        return any(w.untold and w.incident is not None and w.since <= late for w in self._windows.values())

    def tell_rest(self) -> None:
        """Bring the notices of incidents up to date, within a transaction."""
        for key, window in list(self._windows.items()):
            if window.untold and window.incident is not None:
                self._touched.add(key)
                self._tell(window)


def _losses(changes: Sequence[Change]) -> list[tuple[_Entry, bytes]]:
    """What each group takes from each collection: its deletes less its puts, where that is more than none."""
    nets: dict[tuple[bytes, int], _Entry] = {}
    for change in changes:
        if change.kind is Kind.IDENTITY or change.op not in (Op.DELETE, Op.PUT):
            continue
        key = (change.collection, change.group)
        if key not in nets and change.op is Op.PUT and len(changes) == 1:
            break  # most commands
        net = nets.get(key) or _Entry(change.at, change.group, change.group, 0, change.actor)
        nets[key] = net._replace(gone=net.gone + (1 if change.op is Op.DELETE else -1))
    return [(entry, id_) for (id_, _), entry in nets.items() if entry.gone > 0]


def _device(actor: str) -> str:
    """What the device calls itself."""
    return sender(actor).removeprefix(DEVICE)
