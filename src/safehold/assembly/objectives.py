"""Objectives measured: what status says of them, out of vaults' lag and places, drills, scrubs, keeping and sizes.

The rules are those of proof/objectives.py; here is where their facts come from. All of it is read from what the data
folder remembers and what was seen last: no vault is looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from safehold.adapters.places import Place
from safehold.adapters.watch import Seen
from safehold.archiver.claiming import Mode
from safehold.assembly.domains import CORE
from safehold.assembly.drill_record import remembered_drills
from safehold.assembly.jobs import DRILL, KEEP, SCRUB, last_run
from safehold.assembly.keeping import last_keep
from safehold.assembly.site import Site
from safehold.assembly.sizes import Day, remembered_sizes, series, size_now
from safehold.model.errors import OperatorError
from safehold.model.kinds import DATA_KINDS, RESTORE_ORDER, Kind
from safehold.ports.core import CoreReads
from safehold.proof.cadence import Cadence, Measured, cadence
from safehold.proof.drills import WHOLE, Drilled
from safehold.proof.forecast import (
    FIRST_CONTACT,
    RTO,
    Forecast,
    Forecaster,
    Size,
    days_until,
    growth,
    kind_seconds,
    reckoned,
)
from safehold.proof.objectives import (
    AGES,
    Aged,
    Targets,
    VaultLag,
    Verdict,
    judge_age,
    judge_rpo,
    judge_time,
    objective_incidents,
)
from safehold.recovery.forecast import glanced, glanced_basis
from safehold.recovery.notebook import FileNotebook
from safehold.recovery.scrub import Level

#: Lag is judged by its worst of so long: a look now and then would miss most of it.
LAG_WINDOW_SECONDS = 300.0
#: What the data folder remembers is read again after so long.
FRESH_SECONDS = 10.0
_MICROSECONDS = 1_000_000


class Told(NamedTuple):
    """For the status object."""

    objectives: dict[str, dict[str, Any]]
    forecast: dict[str, Any]
    evidence: dict[str, dict[str, Any]]
    incidents: list[dict[str, Any]]


class _Known(NamedTuple):
    """What the data folder remembers."""

    drills: list[Drilled]
    days: list[Day]
    rto: Forecaster
    first_contact: Forecaster
    scrubbed: dict[str, int | None]  # by vault: when it was last read whole


class Measures:
    """Made once by who is asked often: it remembers how far vaults were behind, and what forecasts are made of."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lags: dict[str, deque[tuple[float, float]]] = {}
        self._known: _Known | None = None
        self._read_at = 0.0

    def told(
        self,
        reads: CoreReads | None,
        vaults: Sequence[Mapping[str, Any]],
        looks: Mapping[str, Seen[Any]],
    ) -> Told:
        """`vaults` as the status object has them."""
        wanted = self._site.config.objectives
        verdicts: dict[str, Verdict] = {"rpo": judge_rpo(wanted.rpo, self._lags_of(vaults, looks))}
        size = self._size(reads)
        rto, first = (self.forecast(what, size) for what in (RTO, FIRST_CONTACT))
        rto, first = self._ahead(RTO, rto, wanted.rto), self._ahead(FIRST_CONTACT, first, wanted.first_contact)
        verdicts["rto"], verdicts["first_contact"] = (
            judge_time(wanted.rto, rto),
            judge_time(wanted.first_contact, first),
        )
        by_kind = self._by_kind(reads, rto)
        for kind, own in wanted.kinds:
            verdicts |= self._kind(kind, own, vaults, looks, by_kind, rto, first)
        ages = {name: judge_age(name, getattr(wanted, name), aged) for name, aged in self._ages().items()}
        return Told(
            {name: verdict.facts() for name, verdict in verdicts.items()},
            self._forecast_facts(rto, first, by_kind, size),
            {name: verdict.facts() for name, verdict in ages.items()},
            objective_incidents({**verdicts, **ages}),
        )

    # -- forecasts ---------------------------------------------------------------------------------------------

    def forecast(self, what: str, size: Size | None, source: str = "") -> Forecast | None:
        """None where not even the size is known."""
        if size is None:
            return None
        known = self._what_is_known()
        forecaster = known.rto if what == RTO else known.first_contact
        if what == RTO and not known.drills:
            found = forecaster.forecast(size, reckoned_seconds=max(reckoned(what, size), _glance(size)))
            return found._replace(basis=f"{found.basis}, or, where that is longer, {glanced_basis()}")
        return forecaster.forecast(size, source)

    def _ahead(self, what: str, forecast: Forecast | None, target: float | None) -> Forecast | None:
        """With the day on which growth breaks the target."""
        if forecast is None or target is None or not forecast.drills:
            return forecast
        known = self._what_is_known()
        added = growth(series(known.days))
        if added is None:
            return forecast
        forecaster = known.rto if what == RTO else known.first_contact
        return forecast._replace(violated_in_days=days_until(target, forecast, forecaster.slope(added)))

    def _size(self, reads: CoreReads | None) -> Size | None:
        known = self._what_is_known()
        whole = next((d for d in reversed(known.drills) if d.scope == WHOLE and d.items), None)
        each = None if whole is None else whole.bytes / whole.items
        return size_now(None if reads is None else reads.counts(), known.days[-1] if known.days else None, each)

    def _by_kind(self, reads: CoreReads | None, rto: Forecast | None) -> dict[Kind, float]:
        """Seconds of each kind's own part."""
        if rto is None:
            return {}
        known = self._what_is_known()
        if known.days:
            changes = {kind: of.changes for kind in RESTORE_ORDER if (of := known.days[-1].kinds.get(kind.value))}
        else:
            counts = {} if reads is None else reads.counts()
            changes = {kind: counts.get(kind.value, 0) for kind in DATA_KINDS}
        return kind_seconds(known.drills, rto.seconds, changes)

    def _forecast_facts(
        self, rto: Forecast | None, first: Forecast | None, by_kind: Mapping[Kind, float], size: Size | None
    ) -> dict[str, Any]:
        vaults = {config.name: self.forecast(RTO, size, config.name) for config in self._site.config.vaults}
        return {
            "rto": None if rto is None else rto.facts(),
            "first_contact": None if first is None else first.facts(),
            "by_kind": {kind.value: round(seconds, 3) for kind, seconds in by_kind.items()},
            "by_vault": {name: round(f.seconds, 3) for name, f in vaults.items() if f is not None and f.drills},
            "size": None if size is None else {name: round(value) for name, value in size._asdict().items()},
        }

    def _kind(
        self,
        kind: Kind,
        own: Targets,
        vaults: Sequence[Mapping[str, Any]],
        looks: Mapping[str, Seen[Any]],
        by_kind: Mapping[Kind, float],
        rto: Forecast | None,
        first: Forecast | None,
    ) -> dict[str, Verdict]:
        """Kinds come back one after the other: one is back once it and those before it are."""
        found = {}
        if own.rpo is not None:
            found[f"{kind}.rpo"] = judge_rpo(own.rpo, self._lags_of(vaults, looks))
        if own.rto is not None:
            until = RESTORE_ORDER[: RESTORE_ORDER.index(kind) + 1]
            part = sum(by_kind.get(each, 0.0) for each in until)
            share = 1.0 if rto is None or not sum(by_kind.values()) else part / sum(by_kind.values())
            scaled = rto and rto._replace(
                seconds=rto.seconds * share, low=rto.low * share, high=rto.high * share, violated_in_days=None
            )
            found[f"{kind}.rto"] = judge_time(own.rto, scaled)
        if own.first_contact is not None:  # drills time the first contacts; other kinds come after them
            timed = first if kind is Kind.CONTACTS or first is None else first._replace(drills=0)
            found[f"{kind}.first_contact"] = judge_time(own.first_contact, timed)
        return found

    # -- lag ---------------------------------------------------------------------------------------------------

    def _lags_of(self, vaults: Sequence[Mapping[str, Any]], looks: Mapping[str, Seen[Any]]) -> list[VaultLag]:
        core = next((look.found.own for look in looks.values() if look.found is not None and look.found.own), ())
        place = next((part.place for part in core if part.name == CORE), None)
        return [self._lag(vault, place, looks.get(str(vault["name"]))) for vault in vaults]

    def _lag(self, vault: Mapping[str, Any], core: Place | None, seen: Seen[Any] | None) -> VaultLag:
        name, lag = str(vault["name"]), vault["lag_seconds"]
        there = seen is not None and seen.found is not None and seen.found.available and not seen.overdue
        now = self._site.clock.monotonic()
        past = self._lags.setdefault(name, deque(maxlen=1000))
        if lag is not None and (not past or past[-1] != (now, lag)):
            past.append((now, float(lag)))
        while past and now - past[0][0] > LAG_WINDOW_SECONDS:
            past.popleft()
        place = seen.found.place if seen is not None and seen.found is not None else None
        outside = _outside(core, place)
        worst = max((each for _, each in past), default=None)
        return VaultLag(name, vault["mode"] == Mode.SYNC, outside, lag, worst, there)

    # -- evidence ----------------------------------------------------------------------------------------------

    def _ages(self) -> dict[str, Aged]:
        found = {"scrub": self._scrubbed(), "replay": self._replayed(), "drill": self._drilled()}
        assert tuple(found) == AGES
        return found

    def _scrubbed(self) -> Aged:
        run = last_run(self._site, SCRUB)
        takes = None if run is None or not run.ok or not run.ended else (run.ended - run.began) / _MICROSECONDS
        oldest: Aged | None = None
        for config in self._site.config.vaults:
            at = self.scrubbed_at(config.name)
            age = None if at is None else self._age(at)
            if oldest is None or age is None or (oldest.age_seconds is not None and age > oldest.age_seconds):
                oldest = Aged(age, self._waited(SCRUB), takes, config.name)
            if age is None:
                break
        return oldest or Aged(None)

    def _replayed(self) -> Aged:
        run, last = last_run(self._site, KEEP), last_keep(self._site)
        done = run.done if run is not None else 0
        if last is not None and not any(kept.trouble for kept in last.vaults):
            done = max(done, last.at)
        hindered = "" if self._able() else "the keeper's key and the identity are not both here; a keeper elsewhere may"
        takes = None if last is None else last.seconds
        return Aged(self._age(done) if done else None, self._waited(KEEP), takes, hindered=hindered)

    def _drilled(self) -> Aged:
        drills = [d for d in self._what_is_known().drills if d.ok]
        at = drilled_at(drills)
        whole = next((d for d in reversed(drills) if d.scope == WHOLE), None)
        takes = None if whole is None else whole.seconds + whole.waited_seconds
        hindered = "" if self._site.identity_beside else "the identity is not here; drills are run where it is"
        return Aged(None if at is None else self._age(at), self._waited(DRILL), takes, hindered=hindered)

    def _able(self) -> bool:
        try:
            return self._site.identity_beside and self._site.keyring.keeper is not None
        except OperatorError:
            return False

    def _age(self, at: int) -> float:
        return max(0, self._site.clock.now() - at) / _MICROSECONDS

    def _waited(self, job: str) -> float | None:
        run = last_run(self._site, job)
        return None if run is None or not run.since else self._age(run.since)

    def cadence(self) -> Cadence:
        """How often to do what, by the objectives and what was measured."""
        ages = self._ages()
        takes = {name: aged.takes_seconds for name, aged in ages.items()}
        return cadence(self._site.config.objectives, Measured(takes["scrub"], takes["replay"], takes["drill"]))

    def look_again(self) -> None:
        """Something was done: what was read of it no longer holds."""
        self._read_at = self._site.clock.monotonic() - FRESH_SECONDS

    def scrubbed_at(self, vault: str) -> int | None:
        """When it was last read whole, every byte of it, as far as this data folder knows; µs."""
        return self._what_is_known().scrubbed.get(vault)

    def drills(self) -> list[Drilled]:
        return self._what_is_known().drills

    def _what_is_known(self) -> _Known:
        now = self._site.clock.monotonic()
        known = self._known
        if known is None or now - self._read_at >= FRESH_SECONDS:
            drills, days = remembered_drills(self._site), remembered_sizes(self._site)
            scrubbed = {vault.name: _scrubbed_at(self._site, vault.name) for vault in self._site.config.vaults}
            if known is None or drills != known.drills:
                known = _Known(drills, days, Forecaster(RTO, drills), Forecaster(FIRST_CONTACT, drills), scrubbed)
            self._known, self._read_at = known._replace(days=days, scrubbed=scrubbed), now
        assert self._known is not None
        return self._known


def _scrubbed_at(site: Site, vault: str) -> int | None:
    last = FileNotebook(site.disk, str(site.data / "run" / "scrub"), vault).last()
    return None if last is None or last.level == str(Level.LIST) else last.at


def drilled_at(drills: Sequence[Drilled]) -> int | None:
    """By when every account had been drilled: a whole drill, or the oldest of all shares of one division."""
    found = [d.at for d in drills if d.scope == WHOLE][-1:]
    shares: dict[int, dict[int, int]] = {}
    for one in drills:
        if one.scope != WHOLE:
            part, parts = one.share
            shares.setdefault(parts, {})[part] = one.at
    found += [min(each.values()) for parts, each in shares.items() if len(each) == parts]
    return max(found, default=None)


def _outside(core: Place | None, vault: Place | None) -> bool | None:
    """Whether a vault shares nothing with the core that fails at once; None: not known."""
    if core is None or vault is None:
        return None
    return vault.host != core.host or not (vault.fails_with & core.fails_with)


def _glance(size: Size) -> float:
    return sum(glanced({kind: int(size.changes / len(RESTORE_ORDER)) for kind in RESTORE_ORDER}).values())
