"""Several salvages read as one `Survivors`, for who asks what is known of a stream."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from safehold.ports.survivors import (
    Aside,
    KnownItem,
    Loose,
    Proof,
    SalvageSource,
    StreamKey,
    Survivor,
    Survivors,
    Witnessed,
)
from safehold.recovery.find import Salvage
from safehold.vault.runs import stream_order

#: Sources of the next salvage are numbered from here on.
_STRIDE = 1_000_000


def together(salvages: Sequence[Salvage]) -> Survivors:
    """All of them; whom one knows as erased none gives."""
    return salvages[0].survivors if len(salvages) == 1 else _Together([each.survivors for each in salvages])


class _Together:
    def __init__(self, parts: Sequence[Survivors]) -> None:
        self._parts = list(enumerate(parts))
        self._erased = frozenset[bytes]().union(*(part.erased_accounts() for part in parts))

    def sources(self) -> Sequence[SalvageSource]:
        return [
            source._replace(number=source.number + n * _STRIDE) for n, part in self._parts for source in part.sources()
        ]

    def keys(self) -> Iterator[StreamKey]:
        found = {key for _, part in self._parts for key in iter(part.keys()) if key[0] not in self._erased}
        return iter(sorted(found, key=stream_order))

    def changes(self, key: StreamKey, proof: Proof) -> Iterator[Survivor]:
        """The same change may come from several."""
        if key[0] in self._erased:
            return iter(())
        return heapq.merge(
            *(self._numbered(n, part.changes(key, proof)) for n, part in self._parts),
            key=lambda survivor: (survivor.change.rev, survivor.change.hash, survivor.change.body is None),
        )

    @staticmethod
    def _numbered(n: int, survivors: Iterator[Survivor]) -> Iterator[Survivor]:
        return (survivor._replace(source=survivor.source + n * _STRIDE) for survivor in survivors)

    def known_items(self, key: StreamKey) -> Iterator[KnownItem]:
        for n, part in self._parts if key[0] not in self._erased else ():
            for item in part.known_items(key):
                yield item._replace(source=item.source + n * _STRIDE)

    def witnesses(self, key: StreamKey) -> Iterator[Witnessed]:
        for n, part in self._parts if key[0] not in self._erased else ():
            for seen in part.witnesses(key):
                yield seen._replace(source=seen.source + n * _STRIDE)

    def loose_items(self) -> Iterator[Loose]:
        for n, part in self._parts:
            for loose in part.loose_items():
                yield loose._replace(source=loose.source + n * _STRIDE)

    def asides(self) -> Iterator[Aside]:
        for n, part in self._parts:
            for aside in part.asides():
                yield aside._replace(source=aside.source + n * _STRIDE)

    def accounts(self) -> dict[bytes, str]:
        names: dict[bytes, str] = {}
        for _, part in reversed(self._parts):
            names.update({id_: name for id_, name in part.accounts().items() if name or id_ not in names})
        return {id_: name for id_, name in names.items() if id_ not in self._erased}

    def erased_accounts(self) -> frozenset[bytes]:
        return self._erased

    def body_of(self, digest: bytes) -> bytes | None:
        return next((body for _, part in self._parts if (body := part.body_of(digest)) is not None), None)

    def blob_path(self, name: bytes) -> str | None:
        return next((path for _, part in self._parts if (path := part.blob_path(name)) is not None), None)
