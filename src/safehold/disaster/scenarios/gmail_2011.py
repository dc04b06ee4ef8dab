"""On 27 February 2011 some people who used a large mail service found their mailboxes empty: no mail, no labels, the
settings of a new account. An update of the storage software had a bug. The data lay in several copies in several data
centres, as all of the service's did, and the bug reached several of them, for each copy was kept by the same code.
The update was stopped and taken back within hours; what it had done stayed.

One user in five thousand was affected, some 40,000. The mail was on tape too, which the bug had not reached, since
nothing of that code had written it. It was restored from there, within a day for most and four days for the last.
What had been sent to these mailboxes meanwhile was turned away.

Here a new version of the service has the bug where all copies that are made of a core come by: it takes two items of
a collection for each other, bodies with all that belongs to them. In streams drawn from the seed it keeps its tables
wrongly: each row by itself is a good one, every page has its checksum, every count is right. And it reads the core
out wrongly, into a whole generation, which goes into both vaults: sealed, signed and digested like any other. It goes
on to take changes. Nothing has failed, and no scrub of any vault will find anything, as every byte there is what was
written.

What lives in a stream is known by two ways that share no code: through its chained changes, and through the tables.
Once a day the core walks both and compares their roots; a drill recovers a vault into a scratch core, and holds its
root against that of the tables. Whichever is due first says that they differ, and in which stream. The changes are
the older copy: they were written down, hashed and vaulted before the tables were touched, and a core is made anew
from them. A recovery holds each stream of the generation against what the seals of the log name, finds another one,
and takes it from the log.

Scored: it is noticed by the next due check or drill, as a difference of meaning, with all vaults undamaged; a keeper
does not attest the generation in any vault; after the core has been made anew everything is exact, and no device has
dropped anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, cast

import msgspec

from safehold.disaster import operator
from safehold.disaster.costs import OPERATOR_SECONDS
from safehold.disaster.drilling import drill
from safehold.disaster.lab import World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.upkeep import keeper_of
from safehold.model.change import CANONICAL_VERSION, GENESIS
from safehold.model.kinds import Kind
from safehold.ports.core import CoreStore, RunRow
from safehold.proof.alarms import Condition
from safehold.store.sqlite.core import SqliteCore

_DRILL_SECONDS = 24 * 3600.0
#: Places in a row that is read out (ports.core.RunRow); the size stands behind the digest.
_DIGEST, _PREV, _BODY = 8, 12, 14
#: All that a row of the table of items says, but whose it is.
_READ = """
    SELECT collection, name, rev, digest, size, media, at, created_at, journal, uid, props_journal, score
    FROM item ORDER BY collection, name
"""
_WRITE = """
    UPDATE item SET rev = ?, digest = ?, size = ?, media = ?, at = ?, created_at = ?, journal = ?, uid = ?,
        props_journal = ?, score = ?
    WHERE collection = ? AND name = ?
"""


def strike(world: World) -> None:
    rng = world.rng
    for user in world.users:
        world.by_hand(user, 8)
    world.pass_time(60)
    if rng.random() < 0.5:
        world.snapshot()
    world.house.scheduler.run_for(130)
    drills = _Drills(world, world.clock.monotonic() - rng.uniform(0, _DRILL_SECONDS))
    world.watch.more = drills.conditions
    world.struck("a new version of the service keeps its tables wrongly")
    core = world.house.engine.core
    assert isinstance(core, SqliteCore)
    world.note(f"in {_exchange(world, core)} collections two items are exchanged")
    house = world.house
    hit = {stream: id_ for stream, id_ in _streams(core).items() if rng.random() < 0.7}
    read_out = _NewVersion(core, hit)
    house.engine.core = cast(CoreStore, read_out)
    try:
        world.snapshot(full=True)
    finally:
        house.engine.core = core
    house.scheduler.run_for(130)
    world.note(f"a generation in which {len(read_out.exchanged)} streams have two items exchanged is in every vault")
    if not read_out.exchanged:
        world.wrong.append("the bug has reached no copy in a vault")


def _exchange(world: World, core: SqliteCore) -> int:
    """In some collections two rows change places, each with all that it says."""
    rng, db = world.rng, core._db
    rows = list(db.execute(_READ))
    system = {c.number for c in core.collections(0)}
    by_collection: dict[int, list[tuple[object, ...]]] = {}
    for row in rows:
        if row[0] not in system:
            by_collection.setdefault(row[0], []).append(row)
    able = [found for found in by_collection.values() if len(found) >= 2]
    core.begin()
    chosen = rng.sample(able, rng.randint(1, len(able)))
    for found in chosen:
        one, other = rng.sample(found, 2)
        names = (one[1], other[1])
        db.execute("UPDATE item SET uid = NULL WHERE collection = ? AND name IN (?, ?)", (one[0], *names))
        for name, row in ((one[1], other), (other[1], one)):
            db.execute(_WRITE, (*row[2:], one[0], name))
    core.commit()
    return len(chosen)


def _streams(core: SqliteCore) -> dict[tuple[int, Kind], bytes]:
    """Of people: account numbers and kinds, in an order that the seed alone decides, to their accounts' ids."""
    found = []
    for id_, kind in core.stream_ends():
        account = core.account_by_id(id_)
        if account is not None and account.number and kind is not Kind.IDENTITY:
            found.append(((account.number, kind), id_))
    return dict(sorted(found, key=lambda each: (each[0][0], each[0][1].value)))


class _NewVersion:
    """A core as the new version's code reads it out: in these streams two changes have each other's bodies.

    The same code makes the hashes that go with it: a stream is consistent in itself, and not the one that seals name.
    """

    def __init__(self, core: SqliteCore, hit: dict[tuple[int, Kind], bytes]) -> None:
        self._core = core
        self._hit = hit
        self.exchanged: set[tuple[int, Kind]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def run_rows(self, account: int, kind: Kind, after_rev: int, upto_rev: int) -> Iterator[RunRow]:
        rows = list(self._core.run_rows(account, kind, after_rev, upto_rev))
        whole = [place for place, row in enumerate(rows) if row[_BODY] is not None]
        id_ = self._hit.get((account, kind))
        if id_ is None or after_rev or len(whole) < 2:
            return iter(rows)
        one, other = rows[whole[0]], rows[whole[-1]]
        rows[whole[0]], rows[whole[-1]] = _with_body_of(one, other), _with_body_of(other, one)
        self.exchanged.add((account, kind))
        return _hashed_anew(id_, kind, rows)


def _with_body_of(row: RunRow, other: RunRow) -> RunRow:
    fields: Any = (*row[:_DIGEST], *other[_DIGEST : _DIGEST + 2], *row[_DIGEST + 2 : _BODY], other[_BODY])
    return cast(RunRow, (*fields, *row[_BODY + 1 :]))


def _hashed_anew(account: bytes, kind: Kind, rows: list[RunRow]) -> Iterator[RunRow]:
    """Each with the hash that its content has, continuing the one before."""
    before, last = GENESIS, 0
    for row in rows:
        prev = row[_PREV] if row[_PREV] is not None and row[1] != last + 1 else before
        canonical = msgspec.msgpack.encode((CANONICAL_VERSION, account, str(kind), *row[:_PREV], prev))
        before, last = sha256(canonical).digest(), row[1]
        yield cast(RunRow, (*row[:_PREV], None if prev != row[_PREV] else prev, before, *row[_BODY:]))


class _Drills:
    """One a day, of a vault in turn."""

    def __init__(self, world: World, last: float) -> None:
        self._world = world
        self._last = last
        self._turn = 0
        self._found: list[Condition] = []

    def conditions(self) -> list[Condition]:
        world = self._world
        now = world.clock.monotonic()
        if now - self._last >= _DRILL_SECONDS and not world.house.recovering and world.house.engine.stopped is None:
            self._last = now
            vaults = world.house.vaults
            config = vaults[self._turn % len(vaults)]
            self._turn += 1
            self._found = [
                Condition(what="drill failed", key=config.name, message=told) for told in drill(world.house, config)[:1]
            ]
        return self._found


def notice(world: World) -> None:
    """By the next due check, or drill. Whoever asks meanwhile is answered from the tables."""
    world.watch.notice(busy=False)
    scrubs = world.watch.scrub_all()
    if any(result.damaged for result in scrubs):
        world.wrong.append("a scrub found damage, though every byte in the vaults is what was written")
    for config in world.house.vaults:
        if all(verdict.facts.ok for verdict in keeper_of(world.house, config).attest()):
            world.wrong.append(f"the keeper of {config.name} attests a generation that is not what was acknowledged")


def recover(world: World) -> None:
    """The update is taken back, and the core is made anew from its changes."""
    world.clock.advance(OPERATOR_SECONDS)
    world.house.close()
    world.go_down(kill=True)
    operator.start(world, renew="its tables do not agree with its changes")
    operator.recover(world)
    for config in world.house.vaults:
        world.house.scheduler.run_for(130)
        world.wrong += drill(world.house, config)


def expects(world: World, found: Score) -> str:
    del world
    return "" if found.exact == found.acknowledged else f"{found.acknowledged - found.exact} items are not exact"


SCENARIO = Scenario(
    name="gmail-2011",
    title="A bug in shared code damages several copies",
    year=2011,
    lost_then="the mailboxes of some 40,000 people, for up to four days; they came back from tape",
    sources=(
        "https://www.theregister.com/2011/03/01/gmail_deleted_accounts_bug_explained/",
        "https://www.huffpost.com/entry/google-gmail-problems-explained_n_829638",
        "https://sre.google/sre-book/data-integrity/",
    ),
    strike=strike,
    notice=notice,
    recover=recover,
    expects=expects,
    days=2.0,
)
