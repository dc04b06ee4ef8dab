"""Whether a sync token still counts (RFC 6578 section 3.2), and where it leads on from."""

from __future__ import annotations

from collections.abc import Container

from safehold.model.errors import BadToken, Held
from safehold.model.token import SyncPoint
from safehold.protocol.problems import VALID_SYNC_TOKEN


class DeviceAhead(Held):
    """A device holds a token of ours for a state that is not on the stream: it saw what the server has lost.

    503 and never 403, which would make the device resync and delete what it alone still has.
    """


def judge_point(point: SyncPoint, hash_at: bytes | None, base_rev: int = 0) -> int:
    """The rev after which changes are news to the device. `hash_at` is the stream's hash at the point's rev, if any.

    `base_rev` is where the stream's history begins: what was removed before is not on record any more, so that an older
    token leads to a new start. That is safe because nobody gets here while the stream is held: its listing is whole.
    Raises DeviceAhead, BadToken.
    """
    if point.rev < base_rev and hash_at is None:
        raise _too_old()
    if hash_at is None or hash_at[: len(point.hash)] != point.hash:
        raise DeviceAhead(
            "this device has seen changes that the server does not have",
            hint="keep the device as it is; what it holds can be recovered from",
            retry_after_seconds=3600,
        )
    if point.rev < base_rev:
        raise _too_old()
    return point.rev


def _too_old() -> BadToken:
    return BadToken(
        "this sync token is older than the history that is kept",
        hint="sync again from the beginning",
        element=VALID_SYNC_TOKEN,
    )


def judge_collection(point: SyncPoint, known: Container[bytes], base_rev: int = 0) -> None:
    """What a token means whose collection is not at its path, where `known` has the ids of all that are on record.

    Returns where that collection lies elsewhere or was removed (one made anew under the same path has a new id), also
    where that was before `base_rev`, from which on all is on record, in every stream that it may have been of: what
    lived at a base is proved, so that it was not lost. Raises DeviceAhead where it was lost with its making.
    """
    if point.collection not in known and point.rev >= base_rev:
        raise DeviceAhead(
            "this device has seen a collection that the server does not have",
            hint="keep the device as it is; what it holds can be recovered from",
            retry_after_seconds=3600,
        )
