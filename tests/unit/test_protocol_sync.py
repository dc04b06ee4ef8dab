"""Sync tokens judged: on the stream, off it, and older than the history that is kept."""

from __future__ import annotations

import pytest

from safehold.model.errors import BadToken
from safehold.model.token import SyncPoint
from safehold.protocol.problems import VALID_SYNC_TOKEN
from safehold.protocol.sync import DeviceAhead, judge_point

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
