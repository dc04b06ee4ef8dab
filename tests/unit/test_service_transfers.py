"""Commands of copies, moves and locks where no edge is between: as values over the socket, and within one batch."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from safehold.model.commands import (
    AnyCommand,
    Body,
    DeleteItem,
    MakeCollection,
    Outcome,
    PutItem,
    RefreshLock,
    ReleaseLock,
    RemoveCollection,
    TakeLock,
    Transfer,
)
from safehold.model.errors import BadRequest, Conflict, Forbidden, Locked, NotFound, OtherServer, PreconditionFailed
from safehold.model.guards import OPEN, Condition, ConditionList, Guard
from safehold.model.items import Account
from safehold.model.kinds import CollectionType
from safehold.model.locks import Lock, Scope
from safehold.service.control import decode_commands, decode_results, encode_commands, encode_results
from tests.support.edge import TestGate

GUARD = Guard((ConditionList("files/notes/a", (Condition("urn:x", b"", True), Condition("", bytes(32)))),))
ID = bytes(16)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[TestGate]:
    found = TestGate(tmp_path)
    yield found
    found.close()


@pytest.fixture
def anna(gate: TestGate) -> Account:
    return gate.add_account("anna")


def text(data: bytes) -> Body:
    return Body(sha256(data).digest(), len(data), inline=data)


def put(account: Account, name: str, data: bytes = b"x", guard: Guard | None = OPEN) -> PutItem:
    return PutItem(account=account.id, path="files/notes", name=name, body=text(data), media="text/plain", guard=guard)


def transfer(account: Account, source: str, destination: str, *, move: bool = False) -> Transfer:
    return Transfer(
        account=account.id,
        source=f"files/notes/{source}",
        destination=f"files/notes/{destination}",
        move=move,
        guard=OPEN,
    )


def take(account: Account, name: str) -> TakeLock:
    return TakeLock(
        account=account.id, path=f"files/notes/{name}", scope=Scope.EXCLUSIVE, deep=True, seconds=60, guard=OPEN
    )


def test_commands_and_answers_cross_the_socket_whole() -> None:
    commands: list[AnyCommand] = [
        PutItem(account=ID, path="files/notes", name="a", body=text(b"x"), media="", guard=GUARD),
        DeleteItem(account=ID, path="files/notes", name="a"),
        MakeCollection(account=ID, path="files/notes/b", type=CollectionType.FOLDER, guard=OPEN),
        RemoveCollection(account=ID, path="files/notes/b", guard=GUARD),
        Transfer(account=ID, source="files/notes/a", destination="files/notes/b", move=True, guard=GUARD),
        TakeLock(account=ID, path="files/notes/a", scope=Scope.SHARED, deep=True, seconds=5, owner="<x/>", guard=OPEN),
        RefreshLock(account=ID, path="files/notes/a", seconds=5, guard=GUARD),
        ReleaseLock(account=ID, path="files/notes/a", token="urn:x"),
    ]
    assert decode_commands(encode_commands(commands)) == commands
    lock = Lock(token="urn:x", root="a", folder=True, scope=Scope.EXCLUSIVE, deep=False, owner="<o/>", until=1.5)
    outcome = Outcome(created=True, locks=(lock,))
    refusals = [Locked("locked", element="{DAV:}no-conflicting-lock", href="a"), OtherServer("elsewhere")]
    first, *rest = decode_results(encode_results([outcome, *refusals]))
    assert first == outcome
    assert [(type(r), r.message) for r in rest] == [(Locked, "locked"), (OtherServer, "elsewhere")]  # type: ignore[union-attr]


def test_a_batch_is_judged_in_its_order(gate: TestGate, anna: Account) -> None:
    results = gate.engine.execute_all(
        [
            put(anna, "a", b"one"),
            transfer(anna, "a", "b"),
            put(anna, "a", b"two"),
            transfer(anna, "a", "c", move=True),
            transfer(anna, "a", "d"),
            transfer(anna, "c", "b", move=True),
        ]
    )
    assert [type(r) for r in results] == [Outcome] * 4 + [NotFound, Outcome]
    notes = gate.reads.collection(anna.number, "files/notes")
    assert notes is not None
    assert {item.name: gate.reads.body(item).inline for item in gate.reads.items(notes)} == {"b": b"two"}


def test_a_lock_taken_in_a_batch_binds_what_follows(gate: TestGate, anna: Account) -> None:
    results = gate.engine.execute_all(
        [
            put(anna, "a"),
            take(anna, "a"),
            put(anna, "a", b"y"),
            transfer(anna, "a", "b", move=True),
            put(anna, "a", b"z", guard=None),
            take(anna, "a"),
            put(anna, "b"),
        ]
    )
    assert [type(r) for r in results] == [Outcome, Outcome, Locked, Locked, Outcome, Locked, Outcome]
    assert [lock.root for lock in gate.locks(anna)] == ["files/notes/a"]
    (second,) = [r for r in results[1:2] if isinstance(r, Outcome)]
    token = second.locks[0].token
    release = ReleaseLock(account=anna.id, path="files/notes/a", token=token)
    assert [type(r) for r in gate.engine.execute_all([release, release, put(anna, "a", b"q")])] == [
        Outcome,
        Conflict,
        Outcome,
    ]
    assert len(gate.locks(anna)) == 0


def test_a_refresh_by_anything_but_one_token_is_malformed(gate: TestGate, anna: Account) -> None:
    for guard in (None, OPEN, Guard((ConditionList("files/notes/a", (Condition("urn:x", b"", True),)),))):
        with pytest.raises(BadRequest):
            gate.engine.execute(RefreshLock(account=anna.id, path="files/notes/a", seconds=5, guard=guard))
    one = Guard((ConditionList("files/notes/a", (Condition("urn:x"),)),))
    with pytest.raises(PreconditionFailed):
        gate.engine.execute(RefreshLock(account=anna.id, path="files/notes/a", seconds=5, guard=one))


def test_locks_outlive_a_core_that_is_opened_anew(gate: TestGate, anna: Account) -> None:
    gate.engine.execute(put(anna, "a"))
    gate.engine.execute(take(anna, "a"))
    gate.hold(anna, gate.reads.collection(anna.number, "files/notes").kind, None)  # type: ignore[union-attr]
    with pytest.raises(Locked):
        gate.engine.execute(put(anna, "a", b"y"))


def test_nothing_is_copied_from_or_to_where_no_person_puts_things(gate: TestGate, anna: Account) -> None:
    """Whatever comes over the socket: credentials and scores are no files."""
    gate.engine.execute(put(anna, "a"))
    for source, destination in (
        ("identity/password", "files/notes/stolen"),
        ("identity", "files/notes/stolen"),
        ("identity/password", "identity/another"),
        ("files/notes/a", "identity/password"),
        ("files/notes/a", "scores/chess/x"),
        ("files/notes/a", "identity"),
        ("files/notes", "files/photos"),
        ("contacts/default", "files/notes/book"),
    ):
        for move in (False, True):
            with pytest.raises((Forbidden, Conflict)):
                gate.engine.execute(Transfer(account=anna.id, source=source, destination=destination, move=move))
    with pytest.raises(BadRequest):
        gate.engine.execute(transfer(anna, "a", "x" * 256))
    with pytest.raises(BadRequest):
        gate.engine.execute(transfer(anna, "a", ".."))
