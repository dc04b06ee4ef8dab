"""Whether a sync token still counts (RFC 6578 section 3.2), and where it leads on from."""

from __future__ import annotations

from safehold.model.errors import BadToken, Held
from safehold.model.items import Collection
from safehold.model.token import SyncPoint
from safehold.protocol.problems import VALID_SYNC_TOKEN


class DeviceAhead(Held):
    """A device holds a token of ours for a state that is not on the stream: it saw what the server has lost.

    503 and never 403, which would make the device resync and delete what it alone still has.
    """


def judge_point(point: SyncPoint, collection: Collection, hash_at: bytes | None) -> int:
    """The rev after which changes are news to the device. `hash_at` is the stream's hash at the point's rev, if any.

    Raises BadToken for a token of another collection (one deleted and made anew under the same path has a new id),
    DeviceAhead.
    """
    if point.collection != collection.id:
        raise BadToken(
            "this sync token is of another collection", hint="sync again from the beginning", element=VALID_SYNC_TOKEN
        )
    if hash_at is None or hash_at[: len(point.hash)] != point.hash:
        raise DeviceAhead(
            "this device has seen changes that the server does not have",
            hint="keep the device as it is; what it holds can be recovered from",
            retry_after_seconds=3600,
        )
    return point.rev
