"""How long a plan will take to carry out, by the drills of this data folder, where there are any.

A plan measures its own reading and reckons the rest (recovery/forecast.py). Drills have done the rest, here, with the
same code: where one has been, they say how long all of it takes, and the plan's basis says so.
"""

from __future__ import annotations

import msgspec

from safehold.assembly.drill_record import remembered_drills
from safehold.assembly.site import Site
from safehold.assembly.sizes import BODY_BYTES
from safehold.model.kinds import Kind
from safehold.proof.durations import duration_words
from safehold.proof.forecast import RTO, Forecaster, Size, kind_seconds
from safehold.recovery.plan import Plan
from safehold.recovery.report import Stage


def by_drills(site: Site, plan: Plan) -> Plan:
    """The plan with seconds out of drills; as it is where none has been, or nothing is to be done."""
    drills = remembered_drills(site)
    report = plan.report
    if not drills or plan.nothing_to_do or not report.changes_expected:
        return plan
    source = next((source.vault for source in plan.sources if not source.problem), "")
    forecast = Forecaster(RTO, drills).forecast(_size(plan), source)
    if not forecast.drills:
        return plan
    weights = {stage.kind: report.items[stage.kind].expected for stage in report.stages}
    seconds = kind_seconds(drills, forecast.seconds, weights)
    share = report.first_contact_seconds / report.seconds if report.seconds else 1.0
    told = msgspec.structs.replace(
        report,
        seconds=forecast.seconds,
        first_contact_seconds=forecast.seconds * min(1.0, share),
        stages=[Stage(stage.kind, stage.items, seconds[stage.kind]) for stage in report.stages],
    )
    span = f"{duration_words(forecast.low)} to {duration_words(forecast.high)}"
    basis = f"{forecast.basis}: four times in five within {span}"
    return msgspec.structs.replace(plan, report=told, basis=basis)


def _size(plan: Plan) -> Size:
    """What goes into the core. A glance has not seen bodies: they are reckoned."""
    report = plan.report
    items = sum(count.expected for kind, count in report.items.items() if kind is not Kind.IDENTITY)
    photos = plan.stage_bytes.get(Kind.PHOTOS, 0)
    total = sum(plan.stage_bytes.values()) or items * BODY_BYTES
    return Size(
        float(report.accounts), float(report.changes_expected), float(total - photos), float(photos), float(items)
    )
