"""A report out of checked records and recorded series: a pure function, so that the same gives the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from safehold.proof.report.demands import DEMANDS
from safehold.proof.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Pairs,
    Para,
    Section,
    State,
    Table,
    Tone,
    day_text,
    time_text,
)
from safehold.proof.report.figures import forecast_figure, lag_figure, sizes_figure
from safehold.proof.report.gaps import Days, days_of, days_without, in_rows, spans_without
from safehold.proof.report.reading import count, flag
from safehold.proof.report.sections import Record, Sections, attested
from safehold.proof.report.words import Words
from safehold.proof.series import DAY, Read, Sample
from safehold.recovery.evidence_check import Checked, records_digest

#: Kinds of records that have a section of their own.
SHOWN = {"drill", "scrub", "repair", "attest", "recovery", "alarm", "runbook", "surprise"}
#: What evidence may be too old of, and the kind of record that it is.
AGED = {"scrub": "scrub", "replay": "attest", "drill": "drill"}
_ORDER = ("rpo", "rto", "first_contact", "scrub", "replay", "drill")
#: From worst to best: the state of a day is the first that was seen on it.
_STATES = ("violated", "at risk", "met", "unknown")
_TONES = {"violated": Tone.BAD, "at risk": Tone.WARN, "met": Tone.GOOD}
_MICROSECONDS = 1_000_000


class Basis(NamedTuple):
    """All that a report is made of."""

    installation: bytes
    version: str
    begin: int  # µs: the beginning of the first day, UTC
    end: int  # µs: the end of the last day
    made: int  # µs: the one moment that is not of the evidence
    by: str
    checked: Checked
    series: Read  # of the period
    targets: Mapping[str, float]  # seconds by objective, as configured now
    vaults: Sequence[str]  # that are configured


class Figures(NamedTuple):
    """What a report comes to, for a program."""

    records: int
    digest: str
    drills: int
    drills_failed: int
    violated: dict[str, list[str]]  # objective to the days, rows of days as `FIRST/LAST`
    days: int
    days_without_records: list[str]
    days_not_recorded: list[str]


class Composed(NamedTuple):
    document: Document
    figures: Figures


def compose(basis: Basis, lang: str) -> Composed:
    """The document, in a language of words.LANGUAGES, and its main figures."""
    return _Composer(basis, Words(lang)).compose()


class _Composer:
    def __init__(self, basis: Basis, words: Words) -> None:
        self._basis = basis
        self._words = words
        self._begin = basis.begin
        self._end = max(basis.begin + DAY, min(basis.end, basis.made))  # what has not been yet is no gap
        found = [one for one in basis.checked.found if basis.begin <= one.evidence.at < basis.end]
        self._records = [Record(n + 1, one) for n, one in enumerate(found)]
        self._samples = [sample for sample in basis.series.samples if basis.begin <= sample.at < basis.end]
        self._sections = Sections(words, self._records, self._begin, self._end)
        self._targets = {**basis.targets, **_last_targets(self._samples)}
        self._states = _day_states(self._samples)
        self._silent = days_without(self._begin, self._end, (record.at for record in self._records))
        self._unrecorded = days_without(self._begin, self._end, (sample.at for sample in self._samples))
        self._digest = records_digest(found).hex()

    def compose(self) -> Composed:
        words, basis, sections = self._words, self._basis, self._sections
        period = words("subtitle", begin=day_text(basis.begin), end=day_text(basis.end - 1))
        parts = [
            self._summary(),
            self._objectives(),
            sections.drills(self._targets),
            sections.scrubs(),
            sections.repairs(),
            sections.attests(),
            sections.recoveries(),
            sections.alarms(),
            sections.runbooks(),
            sections.surprises(),
            sections.others(SHOWN),
            self._gaps(),
            sections.refused(basis.checked),
            self._demands(),
            sections.records(basis.checked.copies),
            self._verify(),
        ]
        fingerprint = basis.installation.hex()
        document = Document(
            words.lang,
            words("title"),
            period,
            self._cover(),
            self._verdict(),
            parts,
            words("contents"),
            words("page"),
            f"{fingerprint[:16]} · {period}",
        )
        drills = sections.of_kind("drill")
        figures = Figures(
            len(self._records),
            self._digest,
            len(drills),
            sum(1 for drill in drills if flag(drill.facts, "ok") is not True),
            {name: [_iso(row) for row in self._violated(name)] for name in self._names() if self._violated(name)},
            len(days_of(self._begin, self._end)),
            [_iso(row) for row in self._silent],
            [_iso(row) for row in self._unrecorded],
        )
        return Composed(document, figures)

    # -- the first page

    def _cover(self) -> Pairs:
        words, basis = self._words, self._basis
        hexes = basis.installation.hex()
        rows: list[tuple[str, Cell]] = [
            (words("cover.installation"), " ".join(hexes[n : n + 8] for n in range(0, len(hexes), 8))),
            (words("cover.period"), f"{day_text(basis.begin)} – {day_text(basis.end - 1)}"),
            (words("cover.made"), time_text(basis.made)),
            (words("cover.by"), basis.by),
            (words("cover.version"), f"Safehold {basis.version}"),
            (words("cover.records"), len(self._records)),
            (words("cover.digest"), self._digest),
            (words("cover.samples"), len(self._samples)),
        ]
        return Pairs("cover", rows)

    def _verdict(self) -> list[State]:
        words, checked = self._words, self._basis.checked
        found: list[State] = []
        told = len(checked.flaws) - len(checked.news)
        bad = len(checked.news) + len(checked.unsettled)
        if bad:
            text = words("verdict.records.bad", count=bad, section=words("section.refused"))
            found.append(State(text, Tone.BAD))
        else:
            found.append(State(words("verdict.records.ok", count=len(self._records)), Tone.GOOD))
        if told:
            found.append(State(words("verdict.records.told", count=told), Tone.WARN))
        if checked.away:
            found.append(State(words("verdict.away", names=", ".join(checked.away)), Tone.BAD))
        found.append(self._verdict_of_drills())
        found.append(self._verdict_of_objectives())
        days, silent = len(days_of(self._begin, self._end)), sum(row.length for row in self._silent)
        gaps = words("verdict.gaps.bad", days=silent, all=days) if silent else words("verdict.gaps.ok")
        found.append(State(gaps, Tone.WARN if silent else Tone.GOOD))
        return found

    def _verdict_of_drills(self) -> State:
        drills = self._sections.of_kind("drill")
        bad = sum(1 for drill in drills if flag(drill.facts, "ok") is not True)
        if not drills:
            return State(self._words("verdict.drills.none"), Tone.BAD)
        if bad:
            return State(self._words("verdict.drills.bad", bad=bad, count=len(drills)), Tone.BAD)
        return State(self._words("verdict.drills.ok", count=len(drills)), Tone.GOOD)

    def _verdict_of_objectives(self) -> State:
        words = self._words
        if not self._states:
            return State(words("verdict.objectives.none"), Tone.WARN)
        violated = {name: sum(row.length for row in self._violated(name)) for name in self._names()}
        named = [f"{self._objective(name)} ({words.days(days)})" for name, days in violated.items() if days]
        if named:
            return State(words("verdict.objectives.bad", names="; ".join(named)), Tone.BAD)
        return State(words("verdict.objectives.ok"), Tone.GOOD)

    # -- sections of the whole

    def _summary(self) -> Section:
        words = self._words
        rows: list[tuple[Cell, ...]] = []
        kinds = dict.fromkeys((*sorted(SHOWN), *sorted({record.kind for record in self._records} - SHOWN)))
        for kind in kinds:
            found = self._sections.of_kind(kind)
            bad = sum(1 for record in found if _is_bad(record))
            last = time_text(found[-1].at) if found else None
            rows.append((kind, len(found), len(found) - bad, bad, last))
        columns = [
            Column("kind", words("col.kind")),
            Column("records", words("cover.records"), number=True, weight=1.5),
            Column("ok", words("col.ok"), number=True),
            Column("bad", words("col.bad"), number=True),
            Column("latest", words("col.latest"), weight=1.5),
        ]
        return Section(
            "summary",
            words("section.summary"),
            [Para(words("summary.how")), Table("summary", words("section.summary"), columns, rows)],
        )

    def _objectives(self) -> Section:
        words = self._words
        blocks: list[Block] = [Para(words("objectives.how"))]
        rows: list[tuple[Cell, ...]] = []
        days: list[tuple[Cell, ...]] = []
        for name in self._names():
            standing = next((s.objectives[name] for s in reversed(self._samples) if name in s.objectives), None)
            seen = [states[name] for states in self._states.values() if name in states]
            state = "unknown" if standing is None else standing.state
            rows.append(
                (
                    self._objective(name),
                    self._targets.get(name),
                    None if standing is None else standing.actual,
                    State(words.known(f"state.{state}", state), _TONES.get(state, Tone.SOFT)),
                    *(
                        sum(1 for each in seen if each == wanted)
                        for wanted in ("met", "at risk", "violated", "unknown")
                    ),
                    len(days_of(self._begin, self._end)) - len(seen),
                )
            )
            days += [
                (self._objective(name), day_text(row.first), day_text(row.last), row.length)
                for row in self._violated(name)
            ]
        numbers = ("target", "last", "met", "risk", "violated", "unknown-days", "unrecorded")
        columns = [Column("objective", words("section.objectives"), weight=2)]
        for key in ("target", "last", "state", "met", "risk", "violated", "unknown-days", "unrecorded"):
            columns.append(Column(key, words(f"col.{key}"), number=key in numbers))
        if rows:
            blocks.append(Table("objectives", words("section.objectives"), columns, rows))
        if days:
            columns = [Column("objective", words("section.objectives"), weight=2)]
            columns += [Column(key, words(f"col.{key}"), number=key == "days") for key in ("from", "until", "days")]
            blocks.append(Table("violated", words("objectives.violated"), columns, days))
        begin, end = self._begin, self._end
        blocks.append(lag_figure(words, self._samples, begin, end, self._targets.get("rpo")))
        for name, fact in (("rto", "seconds"), ("first_contact", "first_contact_seconds")):
            shots = [shot for shot in self._sections.shots(fact, whole=True) if begin <= shot.at < end]
            target = self._targets.get(name)
            blocks.append(forecast_figure(words, name, self._samples, shots, begin, end, target))
        blocks.append(sizes_figure(words, self._samples, begin, end))
        return Section("objectives", words("section.objectives"), blocks)

    def _gaps(self) -> Section:
        words, basis = self._words, self._basis
        rows: list[tuple[Cell, ...]] = []
        for sort, found in (("any", self._silent), ("recorded", self._unrecorded)):
            for row in found:
                rows.append(
                    (words(f"sort.{sort}"), None, day_text(row.first), day_text(row.last), float(row.length), None)
                )
        for sort, kind in AGED.items():
            most = self._targets.get(sort)
            if most is None:
                continue
            for vault in basis.vaults if sort != "drill" else ("",):
                moments = [
                    one.evidence.at
                    for one in basis.checked.found
                    if one.evidence.kind == kind and vault in ("", one.evidence.vault) and not _is_bad(Record(0, one))
                ]
                for span in spans_without(self._begin, self._end, moments, int(most * _MICROSECONDS)):
                    length = round((span.end - span.begin) / DAY, 2)
                    limit = round(most * _MICROSECONDS / DAY, 2)
                    cells = (time_text(span.begin), time_text(span.end), length, limit)
                    rows.append((words(f"sort.{sort}"), vault or None, *cells))
        blocks: list[Block] = [Para(words("gaps.how"))]
        columns = [Column("sort", words("col.kind"), weight=2), Column("vault", words("col.vault"))]
        columns += [Column(key, words(f"col.{key}"), weight=1.5) for key in ("from", "until")]
        columns += [
            Column("days", words("col.days"), number=True),
            Column("most", words("col.most"), number=True),
        ]
        blocks.append(
            Table("gaps", words("section.gaps"), columns, rows) if rows else Para(words("gaps.none"), Tone.GOOD)
        )
        retained = max((count(one.evidence.facts, "evidence_from") for one in basis.checked.found), default=0)
        if retained > basis.begin:
            blocks.append(Para(words("gaps.retained", at=time_text(retained)), Tone.WARN))
        if basis.series.broken:
            blocks.append(Para(words("gaps.broken", count=basis.series.broken), Tone.WARN))
        return Section("gaps", words("section.gaps"), blocks)

    def _demands(self) -> Section:
        words = self._words
        rows = [
            (
                demand.framework,
                words.pick(demand.asks),
                "; ".join(words(f"section.{key}").partition(":")[0] for key in demand.sections),
                words.pick(demand.beyond),
            )
            for demand in DEMANDS
        ]
        columns = [
            Column("framework", words("col.framework")),
            Column("asks", words("col.asks"), weight=3.4),
            Column("here", words("col.here"), weight=1.8),
            Column("not-here", words("col.not-here"), weight=1.6),
        ]
        table = Table("demands", words("section.demands"), columns, rows)
        return Section("demands", words("section.demands"), [Para(words("demands.how")), table])

    def _verify(self) -> Section:
        words, basis = self._words, self._basis
        values = {"begin": day_text(basis.begin), "end": day_text(basis.end - 1)}
        said = [words("verify.1"), words("verify.2", **values), words("verify.3"), words("verify.4")]
        return Section("verify", words("section.verify"), [Para(text) for text in said])

    # -- parts

    def _names(self) -> list[str]:
        """Objectives that were seen or are set, in order."""
        seen = {name for sample in self._samples for name in sample.objectives} | set(self._targets)
        return [*(name for name in _ORDER if name in seen), *sorted(seen - set(_ORDER))]

    def _objective(self, name: str) -> str:
        """`photos.rto` is the objective of a kind."""
        kind, _, plain = name.rpartition(".")
        text = self._words.known(f"objective.{plain}", plain)
        return f"{text} ({self._words.known(f'kind.{kind}', kind)})" if kind else text

    def _violated(self, name: str) -> list[Days]:
        return in_rows(day for day, states in sorted(self._states.items()) if states.get(name) == "violated")


def _day_states(samples: Sequence[Sample]) -> dict[int, dict[str, str]]:
    """The beginning of a day to the state of each objective on it."""
    days: dict[int, dict[str, str]] = {}
    for sample in samples:
        states = days.setdefault(sample.at // DAY * DAY, {})
        for name, standing in sample.objectives.items():
            before = states.get(name, "unknown")
            states[name] = min(before, standing.state, key=_place)
    return days


def _place(state: str) -> int:
    return _STATES.index(state) if state in _STATES else len(_STATES)


def _last_targets(samples: Sequence[Sample]) -> dict[str, float]:
    targets: dict[str, float] = {}
    for sample in samples:
        targets.update(
            (name, standing.target) for name, standing in sample.objectives.items() if standing.target is not None
        )
    return targets


def _is_bad(record: Record) -> bool:
    facts = record.facts
    if record.kind == "attest":
        return not attested(facts)
    if record.kind == "alarm":
        channels = facts.get("channels")
        return isinstance(channels, list) and any(isinstance(c, dict) and c.get("ok") is not True for c in channels)
    if record.kind == "repair":
        return bool(facts.get("remaining"))
    if record.kind == "recovery":
        return facts.get("verified") is not True
    return facts.get("ok") is False


def _iso(row: Days) -> str:
    first, last = day_text(row.first), day_text(row.last)
    return first if first == last else f"{first}/{last}"
