"""Read repair: what the core has and cannot give comes from the vaults, to whoever asks, and then into the core again.

Two sources of bodies for the readers of one process, over what was brought once: a *patient* one, whose readers may
wait for the vaults (reading threads, commands), and a *hasty* one, whose readers may not (the event loop, the writer):
it raises BodiesDamaged, and whoever asked has the body brought and reads again.

What was brought is kept in memory until the core's own row reads right (`wanting` says which do not yet), or it makes
room for others. One call to the vaults is under way at a time: however many readers wait, they find what it brought.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

from safehold.adapters.threads import in_daemon
from safehold.assembly.site import Site
from safehold.model.change import Change
from safehold.model.errors import BodiesDamaged, Held, LostBody, SafeholdError
from safehold.ports.care import BodySource, CareReads, ChangePlace
from safehold.ports.world import Clock
from safehold.recovery.one_body import Fetched, fetch
from safehold.service.incidents import Incidents
from safehold.store.sqlite.core import SqliteCore

#: Bytes of bodies that are kept in memory.
KEPT_BYTES = 64 * 1024 * 1024
#: What no vault could give is not asked for again for so long.
AGAIN_SECONDS = 120.0
#: Bodies brought by one call.
AT_ONCE = 500

#: Whoever reads waits so long for the vaults.
FETCH_SECONDS = 20.0

UNHAD = "body damaged"

_log = logging.getLogger("safehold.care")


class ReadRepair:
    """May be used from several threads."""

    def __init__(
        self,
        fetch: Callable[[Sequence[ChangePlace]], Fetched],
        reads: Callable[[], CareReads],
        clock: Clock,
        incidents: Incidents,
        account_name: Callable[[bytes], str] = lambda id_: id_.hex(),
        in_time: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        """`fetch` asks the vaults, `reads` gives a connection of its own: each is used by one thread at a time.

        `in_time` does work that may hang, and raises Held where it has not ended in time.
        """
        self._fetch = fetch
        self._reads = reads
        self._clock = clock
        self._incidents = incidents
        self._account_name = account_name
        self._in_time = in_time
        self._asking = Lock()
        self._brought: OrderedDict[int, Change] = OrderedDict()
        self._bytes = 0
        self._failed: dict[int, tuple[float, Held]] = {}
        self._wanting: dict[int, None] = {}
        self.patient: BodySource = _Patient(self)
        self.hasty: BodySource = _Hasty(self)
        self.on_brought: Callable[[], None] = lambda: None

    def get(self, journal: int) -> Change | None:
        return self._brought.get(journal)

    def wanting(self) -> list[tuple[int, Change]]:
        """What was brought and is to be written into the core again."""
        kept = [(journal, self._brought.get(journal)) for journal in list(self._wanting)]
        return [(journal, change) for journal, change in kept if change is not None]

    def want(self, rows: Sequence[int]) -> None:
        """Try once more to mend these, as far as they are at hand."""
        with self._asking:
            self._wanting.update({journal: None for journal in rows if journal in self._brought})

    def settle(self, journal: int, *, mended: bool) -> None:
        """A row was mended; or it could not be, and what was brought stands in for it."""
        self._wanting.pop(journal, None)
        if mended:
            self._forget(journal)

    def forget_all(self) -> None:
        """The core is another one now."""
        with self._asking:
            self._brought.clear()
            self._failed.clear()
            self._wanting.clear()
            self._bytes = 0

    def bring(self, lost: Sequence[LostBody]) -> None:
        """Have these at hand. Raises Held where one cannot be had; the others are at hand all the same."""
        self._in_time(lambda: self._bring_all(lost))

    def _bring_all(self, lost: Sequence[LostBody]) -> None:
        with self._asking:
            now = self._clock.monotonic()
            self._failed = {n: failed for n, failed in self._failed.items() if now - failed[0] < AGAIN_SECONDS}
            missing = [body for body in lost if body.journal not in self._brought and body.journal not in self._failed]
            for start in range(0, len(missing), AT_ONCE):
                self._bring(missing[start : start + AT_ONCE])
            failed = [self._failed[body.journal][1] for body in lost if body.journal in self._failed]
        self.on_brought()
        if failed:
            raise failed[0]

    def _bring(self, lost: Sequence[LostBody]) -> None:
        reads = self._reads()
        places: dict[int, ChangePlace] = {}
        for body in lost:
            place = reads.place_of(body)
            if place is None:
                self._fail(body, None, "what it belongs to cannot be read either")
            else:
                places[body.journal] = place
        if not places:
            return
        try:
            fetched = self._fetch(list(places.values()))
        except SafeholdError as error:
            for body in lost:
                if body.journal in places:
                    self._fail(body, places[body.journal], error.message, error.hint)
            return
        for body in lost:
            place = places.get(body.journal)
            if place is None:
                continue
            change = fetched.changes.get(place)
            if change is None:
                self._fail(body, place, "; ".join(fetched.problems[-3:]) or "no vault has it")
                continue
            self._keep(body.journal, change)
            where = self._where(place)
            _log.warning("%s was damaged in the core: the vaults gave it back", _in_log(body, place))
            self._incidents.end(UNHAD, str(body.journal))
            self._incidents.note(
                "body mended",
                str(body.journal),
                message=f"{where} was damaged in the core, and was given back by the vaults",
                hint="nothing was lost; where this comes again, see what is wrong with the disk",
                over=True,
                facts=self._facts(place),
            )

    def _keep(self, journal: int, change: Change) -> None:
        self._brought[journal] = change
        self._wanting[journal] = None
        self._bytes += len(change.body or b"")
        while self._bytes > KEPT_BYTES and len(self._brought) > 1:
            self._forget(next(iter(self._brought)))

    def _forget(self, journal: int) -> None:
        change = self._brought.pop(journal, None)
        if change is not None:
            self._bytes -= len(change.body or b"")

    def _fail(self, body: LostBody, place: ChangePlace | None, why: str, hint: str = "") -> None:
        where = f"change {body.journal} of the core" if place is None else self._where(place)
        hint = hint or "run `safehold scrub`, then `safehold vault repair`; `safehold recover plan` says what is lost"
        _log.error("%s is damaged in the core, and cannot be had from the vaults now: %s", _in_log(body, place), why)
        held = Held(f"the body of {place.name if place else 'an item'} is damaged here, and no vault can give it now")
        self._failed[body.journal] = (self._clock.monotonic(), held)
        self._incidents.note(
            UNHAD,
            str(body.journal),
            message=f"{where} is damaged in the core, and cannot be had from the vaults now: {why}",
            hint=hint,
            facts={
                "summary": "Something is damaged and is being looked for. It is not shown until it is whole.",
                "steps": ["Do not reset the device: what it holds can be recovered from."],
                **({} if place is None else self._facts(place)),
            },
        )

    def _where(self, place: ChangePlace) -> str:
        what = "/".join(part for part in (place.path, place.name) if part) or f"rev {place.rev}"
        return f"{what} of {self._account_name(place.account)} ({place.kind})"

    def _facts(self, place: ChangePlace) -> dict[str, str]:
        """Who and what, for the operator."""
        return {
            "account": self._account_name(place.account),
            "kind": str(place.kind),
            "collection": place.path,
            "name": place.name,
        }


def _in_log(body: LostBody, place: ChangePlace | None) -> str:
    """What is damaged, without a name that anybody has given (I92): `safehold history` finds it by kind and rev."""
    if place is None:
        return f"change {body.journal} of the core"
    return f"rev {place.rev} of account {place.account.hex()[:8]} ({place.kind})"


def repair_for(site: Site, incidents: Incidents) -> tuple[ReadRepair, Callable[[], None]]:
    """Over the vaults and the core of a data folder, and what closes the connection that it opens when it needs one."""
    opened: list[SqliteCore] = []

    def reads() -> SqliteCore:
        if not opened:
            opened.append(site.open_reads())
        return opened[0]

    def bring(wanted: Sequence[ChangePlace]) -> Fetched:
        return fetch(lambda: [site.vault(config) for config in site.config.vaults], site.opener, wanted)

    def name_of(id_: bytes) -> str:
        try:
            account = reads().account_by_id(id_)
        except SafeholdError:
            account = None
        if account is None:
            return id_.hex()
        return account.name or ("the installation" if not account.number else id_.hex())

    def close() -> None:
        for core in opened:
            core.close()

    return ReadRepair(bring, reads, site.clock, incidents, name_of, _in_time), close


def _in_time(work: Callable[[], None]) -> None:
    """A vault on a mount that hangs keeps those waiting who ask it for a body, for so long, and nobody else."""
    try:
        in_daemon(work, "a body from the vaults").result(FETCH_SECONDS)
    except TimeoutError:
        raise Held("a vault that is asked for a damaged body does not answer", retry_after_seconds=60) from None


class _Patient:
    def __init__(self, repair: ReadRepair) -> None:
        self._repair = repair

    def get(self, journal: int) -> Change | None:
        return self._repair.get(journal)

    def ask(self, lost: Sequence[LostBody]) -> None:
        self._repair.bring(lost)


class _Hasty:
    def __init__(self, repair: ReadRepair) -> None:
        self._repair = repair

    def get(self, journal: int) -> Change | None:
        return self._repair.get(journal)

    def ask(self, lost: Sequence[LostBody]) -> None:
        raise BodiesDamaged(lost)
