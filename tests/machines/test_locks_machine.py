"""The table of locks (I40) against a plain list of them, looked through for every question.

Commands take, renew and drop locks within transactions that are committed or rolled back, while time passes; after
every step the table says which locks protect what, which exclude a new one, and what readers see, as the list does.
"""

from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from safehold.model.locks import Lock, Scope
from safehold.service.locks import LockTable

ACCOUNTS = [b"a" * 16, b"b" * 16]
PATHS = ["files/notes", "files/notes/a", "files/notes/a/x", "files/notes/a/x/y", "files/notes/ab", "files/notes/b"]

accounts = st.sampled_from(ACCOUNTS)
paths = st.sampled_from(PATHS)
Model = list[tuple[bytes, Lock]]


def is_below(path: str, above: str) -> bool:
    return path.split("/")[: len(above.split("/"))] == above.split("/") and path != above


def covers(lock: Lock, path: str) -> bool:
    return lock.root == path or (lock.deep and is_below(path, lock.root))


class LockMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.table = LockTable()
        self.now = 0.0
        self.committed: Model = []
        self.working: Model | None = None
        self.numbers = count()

    def alive(self, account: bytes, model: Model) -> list[Lock]:
        return [lock for owner, lock in model if owner == account and lock.until > self.now]

    @property
    def seen(self) -> Model:
        """What the commands of the transaction see; outside of one, what the next would."""
        return self.committed if self.working is None else self.working

    # -- what happens

    @precondition(lambda self: self.working is None)
    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 20.0]))
    def begin(self, seconds: float) -> None:
        self.now += seconds
        self.table.begin(self.now)
        self.working = list(self.committed)

    @precondition(lambda self: self.working is not None)
    @rule(
        account=accounts,
        root=paths,
        deep=st.booleans(),
        scope=st.sampled_from(Scope),
        seconds=st.sampled_from([0.5, 6.0, 100.0]),
    )
    def take(self, account: bytes, root: str, deep: bool, scope: Scope, seconds: float) -> None:
        assert self.working is not None
        others = [
            lock
            for lock in self.alive(account, self.working)
            if (covers(lock, root) or (deep and is_below(lock.root, root)))
            and (lock.scope is Scope.EXCLUSIVE or scope is Scope.EXCLUSIVE)
        ]
        found = self.table.of(account).conflicting(root, deep=deep, scope=scope)
        assert (found is None) is (not others)
        if found is not None:
            assert found in others
            return
        lock = Lock(
            token=f"urn:{next(self.numbers)}",
            root=root,
            folder=False,
            scope=scope,
            deep=deep,
            until=self.now + seconds,
        )
        self.table.put(account, lock)
        self.working.append((account, lock))

    @precondition(lambda self: self.working is not None)
    @rule(account=accounts, which=st.integers(0, 5), renew=st.booleans())
    def renew_or_drop(self, account: bytes, which: int, renew: bool) -> None:
        assert self.working is not None
        held = self.alive(account, self.working)
        if not held:
            return
        lock = held[which % len(held)]
        self.working.remove((account, lock))
        if renew:
            later = Lock(
                token=lock.token,
                root=lock.root,
                folder=False,
                scope=lock.scope,
                deep=lock.deep,
                until=self.now + 50,
            )
            self.working.append((account, later))
            self.table.put(account, later)
        else:
            self.table.drop(account, [lock])

    @precondition(lambda self: self.working is not None)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        assert self.working is not None
        if commit:
            self.table.commit()
            self.committed = self.working
        else:
            self.table.rollback()
        self.working = None

    # -- what holds at every moment

    @rule(account=accounts, path=paths, member=st.booleans(), tree=st.booleans())
    def ask_what_protects(self, account: bytes, path: str, member: bool, tree: bool) -> None:
        held = self.alive(account, self.seen)
        touched = {path}
        if member:
            touched.add(path.rpartition("/")[0])
        if tree:
            touched |= {lock.root for lock in held if is_below(lock.root, path)}
        expected = {each: {lock.token for lock in held if covers(lock, each)} for each in touched}
        protecting = self.table.of(account).protecting(path, member=member, tree=tree)
        assert {each: {lock.token for lock in locks} for each, locks in protecting} == {
            each: found for each, found in expected.items() if found
        }

    @invariant()
    def both_say_the_same(self) -> None:
        for account in ACCOUNTS:
            committed = {lock.token: lock for lock in self.alive(account, self.committed)}
            assert {lock.token: lock for lock in self.table.held(account, self.now)} == committed
            seen = {lock.token: lock for lock in self.alive(account, self.seen)}
            assert {lock.token: lock for lock in self.table.of(account)} == seen
            assert len(self.table.of(account)) == len(seen)
            assert bool(self.table.of(account)) is bool(seen)

    @invariant()
    def nothing_is_kept_for_those_whose_locks_have_ended(self) -> None:
        if self.working is not None:
            assert set(self.table._committed) == {a for a in ACCOUNTS if self.alive(a, self.committed)}


TestLocks = LockMachine.TestCase
TestLocks.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, print_blob=True)
