"""Whether a sync token still counts (RFC 6578 section 3.2), and where it leads on from."""

from __future__ import annotations

from collections.abc import Container

from safehold.model.errors import Held
from safehold.model.token import SyncPoint


class DeviceAhead(Held):
    """A device holds a token of ours for a state that is not on the stream: it saw what the server has lost.

    503 and never 403, which would make the device resync and delete what it alone still has.
    """


def judge_point(point: SyncPoint, hash_at: bytes | None) -> int:
    """The rev after which changes are news to the device. `hash_at` is the stream's hash at the point's rev, if any.

    Raises DeviceAhead.
    """
    if hash_at is None or hash_at[: len(point.hash)] != point.hash:
        raise DeviceAhead(
            "this device has seen changes that the server does not have",
            hint="keep the device as it is; what it holds can be recovered from",
            retry_after_seconds=3600,
        )
    return point.rev


def judge_collection(point: SyncPoint, known: Container[bytes]) -> None:
    """What a token means whose collection is not at its path, where `known` has the ids of all that are on record.

    Returns where that collection lies elsewhere or was removed (one made anew under the same path has a new id).
    Raises DeviceAhead where it was lost with its making.
    """
    if point.collection not in known:
        raise DeviceAhead(
            "this device has seen a collection that the server does not have",
            hint="keep the device as it is; what it holds can be recovered from",
            retry_after_seconds=3600,
        )
