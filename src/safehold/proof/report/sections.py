"""Records of each kind as sections: what, when, by which sample rule, how long, what deviated, who approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safehold.proof.report.document import Block, Cell, Column, Pairs, Para, Ref, Section, State, Table, Tone, time_text
from safehold.proof.report.figures import Shot, shots_figure
from safehold.proof.report.reading import clipped, count, flag, in_short, items, maps, number, parts, text
from safehold.proof.report.record import Record, attested, began
from safehold.proof.report.words import Words
from safehold.recovery.evidence_check import Checked, Flaw

#: Of one record so many things are named; how many there were is said all the same.
MOST_NAMED = 40
#: Stages of a drill, in their order; others follow.
_STAGES = ("read", "enter", "compare", "serve")


class Sections:
    """Makes sections of the records of a period, in the words of one language."""

    def __init__(self, words: Words, records: Sequence[Record], begin: int, end: int) -> None:
        self._words = words
        self._records = records
        self._begin, self._end = begin, end

    def of_kind(self, *kinds: str) -> list[Record]:
        return [record for record in self._records if record.kind in kinds]

    # -- drills

    def drills(self, targets: Mapping[str, float]) -> Section:
        words, found = self._words, self.of_kind("drill")
        if not found:
            return self._section("drills", [Para(words("drills.how")), Para(words("none"), Tone.WARN)])
        rules = list(dict.fromkeys(text(r.facts, "rule") for r in found if text(r.facts, "rule")))
        blocks: list[Block] = [
            Para(words("drills.how")),
            self._drill_figure("drills", "seconds", targets.get("rto")),
            self._drills_table(found, rules),
            self._drill_times(found, targets),
            self._drill_figure("contact", "first_contact_seconds", targets.get("first_contact")),
        ]
        if rules:
            blocks.append(Para(words("drills.rules")))
            blocks.append(Pairs("drill-rules", [(f"R{n + 1}", rule) for n, rule in enumerate(rules)]))
        rows = [(Ref(r.number), what) for r in found for what in _deviations(r.facts)]
        if rows:
            columns = [self._column("record"), Column("what", words("col.what"), weight=8)]
            blocks.append(Table("drill-deviations", words("drills.deviations"), columns, rows))
        else:
            blocks.append(Para(words("drills.none-differ"), Tone.GOOD))
        return self._section("drills", blocks)

    def shots(self, key: str, *, whole: bool = False) -> list[Shot]:
        """Drills as they are drawn."""
        return [
            Shot(began(r), float(value), _went_well(r), text(r.facts, "scope") != "rolling")
            for r in self.of_kind("drill")
            if (value := number(r.facts, key)) is not None and not (whole and text(r.facts, "scope") == "rolling")
        ]

    def _drill_figure(self, key: str, fact: str, target: float | None) -> Block:
        shots = [shot for shot in self.shots(fact) if self._begin <= shot.at < self._end]
        return shots_figure(self._words, key, shots, self._begin, self._end, target)

    def _drills_table(self, found: Sequence[Record], rules: Sequence[str]) -> Table:
        words = self._words
        rows: list[tuple[Cell, ...]] = []
        for r in found:
            facts, rule = r.facts, text(r.facts, "rule")
            result = State(words("equal"), Tone.GOOD) if _went_well(r) else State(words("differs"), Tone.BAD)
            to = text(facts, "to")
            rows.append(
                (
                    Ref(r.number),
                    time_text(began(r)),
                    text(facts, "vault") or r.vault,
                    self._scope(facts),
                    words("latest") if to == "latest" else to or None,
                    result,
                    number(facts, "streams_equal"),
                    number(facts, "streams_compared"),
                    number(facts, "accounts"),
                    number(facts, "items"),
                    number(facts, "requests"),
                    f"R{rules.index(rule) + 1}" if rule else None,
                    self._approved(facts),
                )
            )
        numbers = {"roots", "compared", "accounts", "items", "requests"}
        keys = ("record", "began", "vault", "scope", "to", "result", "roots", "compared", "accounts", "items")
        columns = [self._column(key, number=key in numbers) for key in (*keys, "requests", "rule", "approved")]
        return Table("drills", words("section.drills"), columns, rows)

    def _drill_times(self, found: Sequence[Record], targets: Mapping[str, float]) -> Table:
        words, target = self._words, targets.get("rto")
        stages = list(dict.fromkeys(name for r in found for name in parts(r.facts, "stages")))
        stages.sort(key=lambda name: (_STAGES.index(name) if name in _STAGES else len(_STAGES), name))
        rows: list[tuple[Cell, ...]] = []
        for r in found:
            facts, seconds = r.facts, number(r.facts, "seconds")
            forecast = number(facts, "forecast_rto_seconds")
            rows.append(
                (
                    Ref(r.number),
                    seconds,
                    *(number(parts(facts, "stages"), name) for name in stages),
                    number(facts, "waited_seconds"),
                    number(facts, "first_contact_seconds"),
                    forecast,
                    _error_percent(forecast, seconds),
                    target,
                    self._within(facts, seconds, target),
                )
            )
        columns = [self._column("record"), self._column("seconds", number=True)]
        columns += [Column(f"stage-{name}", words("col.stage", name=name), number=True) for name in stages]
        columns += [self._column(key, number=True) for key in ("waited", "contact", "forecast", "error", "objective")]
        columns.append(self._column("within"))
        return Table("drill-times", words("figure.drills"), columns, rows)

    def _within(self, facts: Mapping[str, Any], seconds: float | None, target: float | None) -> Cell:
        """Of whole drills only: a share of the accounts says nothing of the whole."""
        if seconds is None or target is None or text(facts, "scope") == "rolling":
            return None
        return self._yes_no(seconds <= target)

    def _scope(self, facts: Mapping[str, Any]) -> str:
        scope, share = text(facts, "scope"), items(facts, "share")
        if scope == "rolling" and len(share) == 2:
            return self._words("rolling", part=share[0], of=share[1])
        return self._words("whole") if scope == "whole" else scope

    # -- vaults

    def scrubs(self) -> Section:
        rows: list[tuple[Cell, ...]] = []
        named: list[tuple[Cell, ...]] = []
        for r in self.of_kind("scrub"):
            facts = r.facts
            damaged = count(facts, "damaged_count") + len(items(facts, "links"))
            both = parts(facts, "reconciled")
            ok = flag(facts, "ok") is not False and not damaged and not items(both, "differences")
            result = self._words("nothing-wrong") if ok else self._words("found", count=damaged)
            rows.append(
                (
                    Ref(r.number),
                    time_text(r.at),
                    r.vault,
                    text(facts, "level"),
                    State(result, Tone.GOOD if ok else Tone.BAD),
                    number(facts, "objects"),
                    number(facts, "bytes"),
                    number(facts, "seconds"),
                    number(both, "streams"),
                    self._approved(facts),
                )
            )
            told = [_damage_text(each) for each in maps(facts, "damaged")]
            told += [self._words("scrub.link", name=name) for name in items(facts, "links")]
            told += [str(each) for each in items(both, "differences")]
            named += [(Ref(r.number), what) for what in _most(told)]
        keys = ("record", "at", "vault", "level", "result", "objects", "bytes", "seconds", "roots", "approved")
        numbers = ("objects", "bytes", "seconds", "roots")
        return self._table_section("scrubs", keys, numbers, rows, named)

    def repairs(self) -> Section:
        rows: list[tuple[Cell, ...]] = []
        named: list[tuple[Cell, ...]] = []
        for r in self.of_kind("repair"):
            facts = r.facts
            left = len(items(facts, "remaining"))
            mended = count(facts, "repaired_count") + count(facts, "mended_count")
            result = self._words("remains", count=left) if left else self._words("repaired")
            rows.append(
                (
                    Ref(r.number),
                    time_text(r.at),
                    r.vault or self._words("installation"),
                    State(result, Tone.BAD if left else Tone.GOOD),
                    mended,
                    left,
                    self._approved(facts),
                )
            )
            told = [
                self._words("repaired.from", what=_damage_text(each), source=text(each, "from"))
                for each in maps(facts, "repaired")
            ]
            told += [str(each) for each in items(facts, "mended")]
            told += [self._words("repaired.not", what=_damage_text(each)) for each in maps(facts, "remaining")]
            told += [self._words("repaired.made-up", what=name) for name in parts(facts, "made_up")]
            told = told or [in_short(facts)]
            named += [(Ref(r.number), what) for what in _most(told)]
        keys = ("record", "at", "vault", "result", "repaired", "remaining", "approved")
        return self._table_section("repairs", keys, ("repaired", "remaining"), rows, named)

    def attests(self) -> Section:
        rows: list[tuple[Cell, ...]] = []
        named: list[tuple[Cell, ...]] = []
        for r in self.of_kind("attest"):
            facts, ok = r.facts, attested(r.facts)
            rows.append(
                (
                    Ref(r.number),
                    time_text(r.at),
                    r.vault,
                    number(facts, "generation"),
                    State(self._words("attested" if ok else "not-attested"), Tone.GOOD if ok else Tone.BAD),
                    number(facts, "streams") or 0,
                    number(facts, "changes") or 0,
                    number(facts, "objects") or 0,
                    number(facts, "seconds") or 0,
                )
            )
            named += [(Ref(r.number), str(why)) for why in items(facts, "why")]
        keys = ("record", "at", "vault", "generation", "result", "streams", "changes", "objects", "seconds")
        numbers = ("generation", "streams", "changes", "objects", "seconds")
        return self._table_section("attests", keys, numbers, rows, named)

    # -- recoveries, alarms, people

    def recoveries(self) -> Section:
        rows: list[tuple[Cell, ...]] = []
        named: list[tuple[Cell, ...]] = []
        for r in self.of_kind("recovery"):
            facts = r.facts
            kinds = [each for each in parts(facts, "items").values() if isinstance(each, dict)]
            ok = flag(facts, "verified") is True
            rows.append(
                (
                    Ref(r.number),
                    time_text(r.at),
                    text(facts, "how"),
                    State(self._words("verified" if ok else "not-verified"), Tone.GOOD if ok else Tone.BAD),
                    number(facts, "changes_expected"),
                    number(facts, "changes_recovered"),
                    *(sum(count(each, key) for each in kinds) for key in ("exact", "older", "lost")),
                    number(facts, "unknown_seconds"),
                    number(facts, "first_contact_seconds"),
                    number(facts, "seconds"),
                    self._approved(facts),
                )
            )
            told = [self._suspect(one) for one in maps(facts, "suspect")]
            told += [str(each) for key in ("accepted", "notes") for each in items(facts, key)]
            named += [(Ref(r.number), what) for what in _most(told)]
        numbers = ("expected", "recovered", "exact", "older", "lost", "unknown", "contact", "seconds")
        keys = ("record", "at", "how", "result", *numbers, "approved")
        return self._table_section("recoveries", keys, numbers, rows, named)

    def _suspect(self, one: Mapping[str, Any]) -> str:
        """From when on a vault's log may be somebody else's."""
        at, vault, why = time_text(count(one, "at")), text(one, "vault"), text(one, "why")
        if number(one, "frame") is None:
            return self._words("suspect", at=at, vault=vault, why=why)
        return self._words("suspect.frame", at=at, vault=vault, why=why, frame=count(one, "frame"))

    def alarms(self) -> Section:
        rows: list[tuple[Cell, ...]] = []
        for r in self.of_kind("alarm"):
            by = text(r.facts, "approved_by") or text(r.facts, "by") or self._words("schedule")
            for channel in maps(r.facts, "channels"):
                ok = flag(channel, "ok") is True
                rows.append(
                    (
                        Ref(r.number),
                        time_text(r.at),
                        text(channel, "channel"),
                        State(self._words("arrived" if ok else "not-arrived"), Tone.GOOD if ok else Tone.BAD),
                        number(channel, "seconds"),
                        text(channel, "why") or None,
                        by,
                    )
                )
        keys = ("record", "at", "channel", "result", "seconds", "why", "by")
        return self._table_section("alarms", keys, ("seconds",), rows, [])

    def runbooks(self) -> Section:
        words = self._words
        rows: list[tuple[Cell, ...]] = []
        steps: list[tuple[Cell, ...]] = []
        for r in self.of_kind("runbook"):
            facts, walked = r.facts, maps(r.facts, "steps")
            ok = flag(facts, "ok") is True
            result = State(words("done" if ok else "not-done"), Tone.GOOD if ok else Tone.BAD)
            spent = sum(number(step, "seconds") or 0 for step in walked)
            by = text(facts, "approved_by") or text(facts, "by") or None
            rows.append((Ref(r.number), time_text(began(r)), text(facts, "name"), result, len(walked), spent, by))
            for step in walked:
                fine = flag(step, "ok") is not False
                steps.append(
                    (
                        Ref(r.number),
                        _plain(step.get("step")),
                        _plain(step.get("answer")),
                        _plain(step.get("command")),
                        number(step, "exit"),
                        State(words("yes" if fine else "no"), Tone.GOOD if fine else Tone.BAD),
                        number(step, "seconds"),
                    )
                )
        keys = ("record", "began", "name", "result", "steps", "seconds", "by")
        section = self._table_section("runbooks", keys, ("steps", "seconds"), rows, [])
        if not steps:
            return section
        columns = [self._column(key, number=key in ("exit", "seconds")) for key in _STEP_KEYS]
        return section._replace(blocks=[*section.blocks, Table("runbook-steps", words("col.steps"), columns, steps)])

    def surprises(self) -> Section:
        rows: list[tuple[Cell, ...]] = []
        for r in self.of_kind("surprise"):
            facts, ok = r.facts, flag(r.facts, "ok") is True
            result = State(self._words("in-time" if ok else "not-in-time"), Tone.GOOD if ok else Tone.BAD)
            rows.append(
                (
                    Ref(r.number),
                    time_text(began(r)),
                    text(facts, "what"),
                    text(facts, "vault") or None,
                    text(facts, "runbook"),
                    result,
                    number(facts, "seconds"),
                    number(facts, "limit_seconds"),
                    text(facts, "undone") or None,
                    text(facts, "approved_by") or None,
                )
            )
        numbers = ("seconds", "limit")
        keys = ("record", "began", "what", "vault", "runbook", "result", *numbers, "undone", "approved")
        return self._table_section("surprises", keys, numbers, rows, [])

    def others(self, shown: set[str]) -> Section:
        """Records of kinds that have no section of their own."""
        found = [r for r in self._records if r.kind not in shown]
        rows = [(Ref(r.number), time_text(r.at), r.kind, r.vault or None, in_short(r.facts)) for r in found]
        columns = [self._column(key) for key in ("record", "at", "kind", "vault")]
        columns.append(Column("facts", self._words("col.facts"), weight=4))
        blocks: list[Block] = [Table("others", self._words("section.others"), columns, rows)]
        return self._section("others", blocks if rows else [Para(self._words("none"), Tone.SOFT)])

    # -- what does not hold, and the list of all

    def refused(self, checked: Checked) -> Section:
        words = self._words
        if not checked.flaws and not checked.unsettled:
            return self._section("refused", [Para(words("refused.none"), Tone.GOOD)])
        blocks: list[Block] = []
        for key, flaws in (("how", checked.flaws), ("unsettled", checked.unsettled)):
            if flaws:
                blocks.append(Para(words(f"refused.{key}"), Tone.BAD))
                blocks.append(self._flaws("refused" if key == "how" else key, flaws))
        return self._section("refused", blocks)

    def _flaws(self, key: str, flaws: Sequence[Flaw]) -> Table:
        words = self._words
        rows = [
            (f.object, f.vault or None, State(words(f"problem.{f.problem}"), Tone.BAD), f.why, f.told or None)
            for f in flaws
        ]
        columns = [
            Column("object", words("col.object"), mono=True, weight=2.5),
            self._column("vault"),
            Column("problem", words("col.problem"), weight=1.2),
            Column("why", words("col.why"), weight=2.5),
            Column("told", words("col.told"), mono=True, weight=1.5),
        ]
        return Table(key, words("section.refused"), columns, rows)

    def records(self, copies: Mapping[str, Sequence[str]]) -> Section:
        words = self._words
        rows = [
            (
                Ref(r.number),
                r.found.name.removeprefix("evidence/"),
                r.kind,
                r.vault or None,
                r.found.role.value,
                ", ".join(copies.get(r.found.name, ())),
                r.found.digest.hex(),
            )
            for r in self._records
        ]
        columns = [
            self._column("record"),
            Column("name", words("col.name"), mono=True, weight=2.6),
            self._column("kind"),
            self._column("vault"),
            self._column("signed"),
            self._column("copies"),
            Column("digest", words("col.digest"), mono=True, weight=3.4),
        ]
        return self._section("records", [Table("records", words("section.records"), columns, rows)])

    # -- parts

    def _section(self, key: str, blocks: Sequence[Block]) -> Section:
        return Section(key, self._words(f"section.{key}"), blocks)

    def _table_section(
        self,
        key: str,
        keys: Sequence[str],
        numbers: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        named: Sequence[Sequence[Cell]],
    ) -> Section:
        title = self._words(f"section.{key}")
        if not rows:
            return Section(key, title, [Para(self._words("none"), Tone.SOFT)])
        columns = [self._column(each, number=each in numbers) for each in keys]
        blocks: list[Block] = [Table(key, title, columns, rows)]
        if named:
            what = [self._column("record"), Column("what", self._words("col.what"), weight=8)]
            blocks.append(Table(f"{key}-named", self._words("detail"), what, named))
        return Section(key, title, blocks)

    def _column(self, key: str, *, number: bool = False) -> Column:
        return Column(key, self._words(f"col.{key}"), number=number, weight=_WEIGHTS.get(key, 1.0))

    def _approved(self, facts: Mapping[str, Any]) -> str | None:
        """Who asked: a person, or the schedule; where a record says neither, nothing is said here."""
        if not isinstance(facts.get("approved_by"), str):
            return None
        return text(facts, "approved_by") or self._words("schedule")

    def _yes_no(self, value: bool) -> State:
        return State(self._words("yes" if value else "no"), Tone.GOOD if value else Tone.BAD)


_STEP_KEYS = ("record", "step", "answer", "command", "exit", "result", "seconds")
_WEIGHTS = {
    "record": 0.6,
    "at": 1.5,
    "began": 1.5,
    "why": 2.0,
    "step": 2.0,
    "command": 2.5,
    "approved": 1.2,
    "rule": 0.8,
    "result": 1.2,
}


def _went_well(record: Record) -> bool:
    return flag(record.facts, "ok") is True


def _deviations(facts: Mapping[str, Any]) -> list[str]:
    told = [clipped(str(each)) for each in items(facts, "deviations")]
    return _most([*told, *(_damage_text(each) for each in maps(facts, "damaged"))])


def _damage_text(damage: Mapping[str, Any]) -> str:
    return ": ".join(part for part in (text(damage, key) for key in ("object", "problem", "why")) if part)


def _most(told: Sequence[str]) -> list[str]:
    shown = [clipped(each) for each in told[:MOST_NAMED]]
    return [*shown, f"… {len(told) - MOST_NAMED} +"] if len(told) > MOST_NAMED else shown


def _plain(value: Any) -> str | None:
    if isinstance(value, list):
        value = " ".join(str(each) for each in value)
    return None if value is None or value == "" else clipped(str(value))


def _error_percent(forecast: float | None, seconds: float | None) -> float | None:
    return None if forecast is None or not seconds else round(100 * (forecast - seconds) / seconds, 1)
