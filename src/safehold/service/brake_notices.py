"""How an incident of service/brakes.py becomes a notice: one for each collection, which counts on."""

from __future__ import annotations

from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.point import parse_point, point_text
from safehold.service.brakes import Open, Told
from safehold.service.ledger import Ledger
from safehold.service.notices import MASS_DELETE, MERGE_SECONDS, Notice, Notices, notices_of

_MICROSECONDS = 1_000_000


class NoticeTeller:
    """Implements brakes.Teller. Facts beyond those of `MASS_DELETE`: `point`, the moment before; `last`, a rev."""

    def __init__(self, ledger: Ledger, window: int) -> None:
        self._ledger = ledger
        self._window = window

    def open(self, account: Account, kind: Kind, path: str) -> Open | None:
        found = self._found(account, kind, path, self._window)
        if found is None:
            return None
        before = found.facts.get("before")
        last = found.facts.get("last")
        return Open(
            found.at,
            before if isinstance(before, int) else found.since - 1,
            _rev_of(found, kind),
            last if isinstance(last, int) else 0,
        )

    def tell(self, account: Account, told: Told) -> None:
        earlier = self._found(account, told.kind, told.path, MERGE_SECONDS * _MICROSECONDS + 1)
        point = told.point if earlier is None else min(told.point, _rev_of(earlier, told.kind))
        Notices.tell(
            self._ledger,
            account,
            MASS_DELETE,
            kind=told.kind,
            collection=told.path,
            count=told.more,
            before=told.before,
            point=point_text({told.kind: point}),
            last=told.last,
            device=", ".join(told.devices),
        )

    def _found(self, account: Account, kind: Kind, path: str, within: int) -> Notice | None:
        for notice in notices_of(self._ledger.core, account):
            if (notice.what, notice.kind, notice.collection) == (MASS_DELETE, str(kind), path):
                return notice if self._ledger.now - notice.at < within else None
        return None


def _rev_of(notice: Notice, kind: Kind) -> int:
    """The rev that a notice's point names; a rev beyond all where it names none."""
    point = notice.facts.get("point")
    return (parse_point(point) or {}).get(kind, 1 << 62) if isinstance(point, str) else 1 << 62
