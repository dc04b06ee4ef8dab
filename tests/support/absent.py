"""Streams that are not in the core yet, as while a recovery is under way, and their coming."""

from __future__ import annotations

from safehold.disaster.house import House
from safehold.model.change import Change
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.ports.core import NOT_YET
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.schema import KIND_NUMBERS

#: Changes of a stream with their frames.
Stream = list[tuple[int, Change]]


def take_away(house: House, kind: Kind, user: str = "ann", reason: str = NOT_YET) -> Stream:
    """Nothing of the stream is in the core any more, and it is held. Returns what was there."""
    core, account = house.engine.core, house.account(user)
    assert isinstance(core, SqliteCore)
    found = [(frame, c) for _, frame, c in core.changes(limit=1 << 30) if (c.account, c.kind) == (account.id, kind)]
    key = (account.number, KIND_NUMBERS[kind])
    core.begin()
    collections = "SELECT number FROM collection WHERE account = ? AND kind = ?"
    core._db.execute(f"DELETE FROM item WHERE collection IN ({collections})", key)
    for table in ("journal", "collection", "stream"):
        core._db.execute(f"DELETE FROM {table} WHERE account = ? AND kind = ?", key)
    if kind is Kind.SCORES:
        core._db.execute("DELETE FROM best WHERE account = ?", (account.number,))
    core.hold(account.id, kind, reason)
    core.commit()
    forget(house)
    return found


def bring_back(house: House, account: Account, kind: Kind, stream: Stream, *, drain: bool = True) -> None:
    """The stream enters whole and is released, in one transaction; then what waits for it is applied."""
    core = house.engine.core
    core.begin()
    for frame, change in stream:
        core.apply(change, frame)
    core.hold(account.id, kind, None)
    core.commit()
    if drain:
        house.engine.drain_intake(account.id, kind)


def hold(house: House, kind: Kind, reason: str | None, user: str = "ann") -> None:
    """The stream is there, but parts of it are missing."""
    core = house.engine.core
    core.begin()
    core.hold(house.account(user).id, kind, reason)
    core.commit()
    forget(house)


def forget(house: House) -> None:
    """What the writer remembers is of streams that were whole."""
    core = house.engine.core
    assert isinstance(core, SqliteCore)
    core._applier.forget()
    house.engine._ledger.forget()
