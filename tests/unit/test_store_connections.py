"""Several connections on this machine's files: who sees what, and what survives closing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from safehold.model.errors import Held
from safehold.model.kinds import Kind
from safehold.store.sqlite import connection
from safehold.store.sqlite.core import SqliteCore
from tests.support.changes import Streams, account_id

ANN = account_id(1)
BOOK = "contacts/default"


@pytest.fixture
def core(tmp_path: Path) -> SqliteCore:
    return SqliteCore.open(str(tmp_path / "core.db"), create=True)


def test_readers_see_what_is_committed_and_no_more(core: SqliteCore, tmp_path: Path) -> None:
    streams = Streams()
    inside, outside = core.reader(), SqliteCore.open(str(tmp_path / "core.db"), read_only=True)
    core.begin()
    core.apply(streams.mkcol(ANN, Kind.CONTACTS, BOOK), 1)
    assert core.counts()["changes"] == 1
    assert inside.counts()["changes"] == outside.counts()["changes"] == 0
    core.commit()
    assert inside.counts()["changes"] == outside.counts()["changes"] == 1
    outside.close()
    core.close()
    core.close()


def test_a_snapshot_holds_its_moment(core: SqliteCore) -> None:
    streams = Streams()
    reader = core.reader()
    with reader.snapshot() as moment:
        assert moment.counts()["changes"] == 0
        core.begin()
        core.apply(streams.mkcol(ANN, Kind.CONTACTS, BOOK), 1)
        core.commit()
        with reader.snapshot() as inner:
            assert inner.counts()["changes"] == 0
        assert moment.counts()["changes"] == 0
    assert reader.counts()["changes"] == 1
    core.close()


def test_a_reader_works_in_a_thread_of_its_own_while_the_writer_commits(core: SqliteCore) -> None:
    streams = Streams()
    core.begin()
    core.apply(streams.mkcol(ANN, Kind.CONTACTS, BOOK), 1)
    core.commit()
    seen: list[int] = []
    reader = core.reader()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with reader.snapshot() as moment:
                book = moment.collection(1, BOOK)
                assert book is not None
                counts = moment.counts()
                assert len(moment.items(book)) == counts["contacts"] == counts["changes"] - 1 == book.rev - 1
                seen.append(counts["contacts"])

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(50):
        core.begin()
        for i in range(4):
            core.apply(streams.put_card(ANN, BOOK, f"{streams.at}-{i}.vcf"), 2)
        core.commit()
    done.set()
    thread.join()
    assert seen == sorted(seen)
    assert all(count % 4 == 0 for count in seen), "a group is seen whole or not at all"
    core.close()


def test_a_second_writer_is_told_to_wait(core: SqliteCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 1)
    other = SqliteCore.open(str(tmp_path / "core.db"))
    core.begin()
    with pytest.raises(Held):
        other.begin()
    core.rollback()
    other.begin()
    other.rollback()
    other.close()
    core.close()


def test_an_erased_body_is_nowhere_in_the_files(core: SqliteCore, tmp_path: Path) -> None:
    streams = Streams()
    core.begin()
    core.apply(streams.mkcol(ANN, Kind.CONTACTS, BOOK), 1)
    for i in range(50):
        core.apply(streams.put_card(ANN, BOOK, f"{i}.vcf", text="a very secret friend"), 1)
    core.commit()
    core.begin()
    core.drop_account(ANN)
    core.commit()
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert not any(b"secret friend" in path.read_bytes() for path in files)
    core.close()
    assert [path.name for path in tmp_path.iterdir()] == ["core.db"]


def test_what_is_read_again_and_again_is_prepared_once(core: SqliteCore) -> None:
    streams = Streams()
    core.begin()
    core.apply(streams.mkcol(ANN, Kind.CONTACTS, BOOK), 1)
    for i in range(5):
        core.apply(streams.put_card(ANN, BOOK, f"{i}.vcf"), 1)
    core.commit()
    reader = core.reader()
    book = reader.collection(1, BOOK)
    assert book is not None
    asked: list[int] = []

    def allow(action: int, *_: str | None) -> int:
        """SQLite asks its authorizer while it prepares a statement, and at no other time."""
        asked.append(action)
        return apsw.SQLITE_OK

    def read(names: Sequence[str], revs: Sequence[int]) -> None:
        assert len(list(reader.items_with_bodies(book, names))) == len(names)
        assert [len(reader.touched(book, rev)) for rev in revs] == [6 - rev for rev in revs]

    reader._db.authorizer = allow
    read(["0.vcf"], [1])
    assert apsw.SQLITE_SELECT in asked
    asked.clear()
    read(["1.vcf", "2.vcf", "3.vcf"], [2, 3, 4])
    assert asked == []
    core.close()
