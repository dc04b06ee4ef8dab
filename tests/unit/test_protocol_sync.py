"""Sync tokens judged: on the stream, off it, and older than the history that is kept."""

from __future__ import annotations

import pytest

from safehold.model.errors import BadToken
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.stream import Base
from safehold.model.token import SyncPoint
from safehold.protocol.problems import VALID_SYNC_TOKEN
from safehold.protocol.sync import DeviceAhead, judge_collection, judge_point
from safehold.web.dav_sync import _recorded_from

HASH = b"h" * 32
POINT = SyncPoint(b"c" * 16, 7, HASH[:16])


def test_a_token_on_the_stream_leads_on_from_its_rev() -> None:
    assert judge_point(POINT, HASH) == 7
    assert judge_point(POINT, HASH, base_rev=7) == 7, "the base itself is on record"


@pytest.mark.parametrize("hash_at", [None, b"x" * 32])
@pytest.mark.parametrize("base_rev", [0, 6, 7])
def test_a_token_that_is_off_the_stream_proves_a_loss(hash_at: bytes | None, base_rev: int) -> None:
    with pytest.raises(DeviceAhead):
        judge_point(POINT, hash_at, base_rev)


def test_a_token_older_than_the_history_leads_to_a_new_start() -> None:
    """Also where the hash is still told: deletes after it are not on record any more."""
    for hash_at in (None, HASH):
        with pytest.raises(BadToken) as raised:
            judge_point(POINT, hash_at, base_rev=8)
        assert raised.value.element == VALID_SYNC_TOKEN


def test_another_hash_before_the_base_proves_a_loss_all_the_same() -> None:
    with pytest.raises(DeviceAhead):
        judge_point(POINT, b"x" * 32, base_rev=8)


def test_a_collection_that_was_removed_before_the_history_proves_no_loss() -> None:
    """Else its device would be told for ever to wait, and would be taken for the proof of an incident."""
    judge_collection(POINT, (), base_rev=8)
    for base_rev in (0, 6, 7):
        with pytest.raises(DeviceAhead):
            judge_collection(POINT, (), base_rev)


@pytest.mark.parametrize(
    ("path", "based", "known_from"),
    [
        ("contacts/old", {Kind.CONTACTS: 9}, 9),
        ("contacts/old", {Kind.NOTES: 9}, 0),
        ("calendars/old", {Kind.CALENDAR: 9, Kind.TASKS: 7, Kind.NOTES: 8}, 7),
        ("calendars/old", {Kind.CALENDAR: 9}, 0),
        ("files/notes/a", {Kind.NOTES: 9}, 9),
        ("elsewhere", dict.fromkeys(DATA_KINDS, 9), 9),
        ("elsewhere", {Kind.NOTES: 9}, 0),
    ],
)
def test_what_is_on_record_at_a_path_is_what_every_stream_of_it_has(
    path: str, based: dict[Kind, int], known_from: int
) -> None:
    class Reads:
        def base(self, account: int, kind: Kind) -> Base | None:
            assert account == 5
            return Base(1, based[kind], HASH, HASH, 0) if kind in based else None

    assert _recorded_from(Reads(), Account(5, b"a" * 16, "ann", False), path) == known_from  # type: ignore[arg-type]
