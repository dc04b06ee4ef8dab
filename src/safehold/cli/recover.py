"""Brings the core back from vaults and keys: first a plan, which reads and verifies all and writes nothing but itself,
then the run."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safehold.cli import recover_ghosts, recover_report, recover_status
from safehold.cli.context import Context
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, Table, as_lines, count_text, say, size_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter
from safehold.cli.times import parse_time
from safehold.model.kinds import DATA_KINDS, Kind

if TYPE_CHECKING:
    from safehold.recovery.plan import Plan
    from safehold.recovery.report import Report
    from safehold.recovery.returns import Returned

EXAMPLE = "safehold recover plan && safehold recover run --yes"
PLAN_NAME = "recovery-plan.json"

#: Losses and problems that are told to people; --json and the plan file have all.
SHOWN = 20


def configure(parser: Parser) -> None:
    plan = parser.command(
        "plan",
        "say what would come back, and write a plan",
        "safehold recover plan --json",
        _plan,
        "Reads and verifies everything the vaults hold, says what would come back exact, older or lost, and how long "
        "it takes. Writes nothing but the plan file, and what --items and --salvage ask for.",
    )
    _filters(plan)
    plan.add_argument("--output", metavar="FILE", help=f"the plan file (default: {PLAN_NAME} in the data folder)")
    run = parser.command(
        "run",
        "carry a plan out",
        "safehold recover run --yes",
        _run,
        "Rebuilds the core, verifies it against the vaults and puts it into place; what was there is kept aside. It "
        "may be killed and run again. Without a plan file it plans, prints the plan, and goes on with --yes. The "
        "service must be stopped.",
    )
    run.add_argument("plan", metavar="PLAN", nargs="?", help="a file that recover plan has written")
    _filters(run)
    run.add_argument("--yes", action="store_true", help="go on after planning")
    run.add_argument(
        "--accept-loss",
        action="store_true",
        help="record that what is lost is gone, so that the rest of it is served again",
    )
    recover_status.configure(parser)
    recover_report.configure(parser)
    recover_ghosts.configure(parser)


def _filters(parser: Parser) -> None:
    parser.add_argument("--account", metavar="NAME", help="only this account")
    parser.add_argument("--kind", choices=[str(kind) for kind in DATA_KINDS], help="only this kind")
    parser.add_argument(
        "--to", metavar="TIME", help="then undo what came after: 2026-11-20T08:30Z, or how long ago: 30m, 2h, 1d"
    )
    parser.add_argument("--from", dest="source", metavar="VAULT", help="read this vault only")
    parser.add_argument("--vault", metavar="URL", help="read the vault at this place: folder:PATH, or a one-time code")
    parser.add_argument("--identity", metavar="FILE", help="the recovery key text, where the data folder has no keys")
    parser.add_argument(
        "--salvage",
        metavar="PATH",
        action="append",
        help="take what was salvaged too: a folder that `safehold salvage` made, or what is to be salvaged first; "
        "may be given several times",
    )
    parser.add_argument(
        "--items", metavar="DIR", help="write what becomes of each item into this folder, and a text for each person"
    )


def _plan(args: Namespace, context: Context) -> Answer:
    plan = _make_plan(args, context)
    path = Path(args.output).absolute() if args.output else context.data / PLAN_NAME
    data = _plan_data(plan)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plan.to_json(as_lines(describe_plan(plan))))
        data["plan"] = str(path)
        written = f"the plan is in {path}: safehold recover run {path}"
    except OSError as error:
        if args.output:
            raise
        data["plan"] = None
        written = f"the plan could not be written to {path} ({error.strerror}): give --output FILE"
    told = _account_for(plan, args, context, data)
    nothing = "nothing to do" if not plan.salvages else f"the core stays as it is; what it lacks is put back: {written}"
    blocks = [*describe_plan(plan), *told, nothing if plan.nothing_to_do else written, *_look_further(plan)]
    return Answer(data, blocks, Exit(plan.report.exit_code))


def _look_further(plan: Plan) -> list[str]:
    """Where something is lost, and nothing but cores and vaults was asked for it."""
    if not plan.report.lost or plan.salvages:
        return []
    return [
        "more may be left in damaged vaults, old cores, disk images, exports or on devices: safehold salvage SOURCE... "
        "--out DIR finds it, then plan again with --salvage DIR"
    ]


def _run(args: Namespace, context: Context) -> Answer:
    context.installation(make=False).refuse_beside_recovery()
    if args.plan:
        given = [o for o in ("account", "kind", "to", "source", "vault", "salvage") if getattr(args, o) is not None]
        if given:
            raise UsageError("a plan file already says what to recover", hint="give the file alone, or make a new plan")
        plan = _read_plan(Path(args.plan))
    else:
        plan = _make_plan(args, context, at_once=args.yes and not args.items)
        if not args.yes:
            data = _plan_data(plan) | {"executed": False}
            told = _account_for(plan, args, context, data)
            why = "nothing was written: add --yes to carry this out"
            return Answer(data, [*describe_plan(plan), *told, why], Exit(plan.report.exit_code))
        for block in describe_plan(plan):
            if isinstance(block, str):
                say(block)
    accounted: dict[str, Any] = {}
    # Before the run: what it moves aside is a witness too. The run verifies that what it enters is what was planned.
    told = _account_for(plan, args, context, accounted)
    with Reporter() as progress:
        result = context.installation(make=False).recover(
            plan,
            accept_loss=args.accept_loss,
            identity=Path(args.identity) if args.identity else None,
            progress=progress,
        )
    report = result.report
    blocks = [*describe_report(report, planned=False), *told, *result.notes]
    if result.moved_aside:
        blocks.append(f"the core that was there lies in {result.moved_aside}")
    blocks += describe_returned(result.returned)
    more: dict[str, Any] = {
        "executed": True,
        "moved_aside": result.moved_aside,
        "accepted": result.accepted,
        "suspect": _suspect_data(report),
        "by_parity": [{"vault": one.vault, "object": one.object} for one in result.by_parity],
        "notes": result.notes,
    }
    if result.returned is not None:
        more["returned"] = _plain(result.returned)
    return Answer(
        _report_data(report) | more | accounted,
        [*blocks, result.refused or "the service can be started: safehold serve"],
        Exit(report.exit_code),
    )


def _account_for(plan: Plan, args: Namespace, context: Context, data: dict[str, Any]) -> list[str | Table]:
    """With --items: written, entered in `data`, and told."""
    if args.items is None:
        return []
    import msgspec

    with Reporter() as progress:
        written = context.installation(make=False).account_for(
            plan,
            Path(args.items).absolute(),
            identity=Path(args.identity) if args.identity else None,
            progress=progress,
        )
    data["accounting"] = msgspec.to_builtins(written)
    people = count_text(written.accounts, "person", "people")
    return [f"what becomes of each item is in {written.folder}, with a text for {people}"]


def _make_plan(args: Namespace, context: Context, *, at_once: bool = False) -> Plan:
    to = parse_time(args.to, time.time_ns() // 1000) if args.to is not None else None
    with Reporter() as progress:
        return context.installation(make=False).recovery_plan(
            account=args.account,
            kind=Kind(args.kind) if args.kind else None,
            to=to,
            source=args.source,
            vault=args.vault,
            identity=Path(args.identity) if args.identity else None,
            salvages=args.salvage or (),
            at_once=at_once,
            progress=progress,
        )


def _read_plan(path: Path) -> Plan:
    from safehold.recovery.plan import parse_plan

    return parse_plan(path.read_bytes())


def _report_data(report: Report) -> dict[str, Any]:
    import msgspec

    data = msgspec.to_builtins(report)
    assert isinstance(data, dict)
    del data["not_exact"]  # by account: `recover report` tells
    del data["suspect"]  # beside the fields of the contract
    return data


def _suspect_data(report: Report) -> list[dict[str, Any]]:
    import msgspec

    data = msgspec.to_builtins(report.suspect)
    assert isinstance(data, list)
    return data


def _plan_data(plan: Plan) -> dict[str, Any]:
    return _report_data(plan.report) | {
        "core": str(plan.core),
        "core_reason": plan.core_reason,
        "sources": [{"vault": s.vault, "url": s.url, "problem": s.problem or None} for s in plan.sources],
        "salvages": [mark.path for mark in plan.salvages],
        "read_from": [{"sources": words, "streams": count} for words, count in plan.come_from()],
        "basis": plan.basis,
        "stage_bytes": {str(kind): size for kind, size in plan.stage_bytes.items()},
        "suspect": _suspect_data(plan.report),
        "by_parity": [{"vault": one.vault, "object": one.object} for one in plan.by_parity],
        "problems": plan.problems,
    }


def describe_plan(plan: Plan) -> list[str | Table]:
    """A plan for people."""
    from safehold.assembly.recovering import parity_told, sealed_to_others

    reason = f" ({plan.core_reason})" if plan.core_reason else ""
    blocks: list[str | Table] = [f"the core is {plan.core}{reason}"]
    blocks += [f"{s.vault}: {s.problem}" if s.problem else f"{s.vault}: read, {s.url}" for s in plan.sources]
    if frame := sealed_to_others(plan):
        blocks.append(
            f"from frame {frame} on the log is sealed to a key that was not given: give the newest recovery key"
        )
    blocks += parity_told(plan.by_parity)
    blocks += plan.problems[:SHOWN]
    if len(plan.problems) > SHOWN:
        blocks.append(f"and {count_text(len(plan.problems) - SHOWN, 'more problem')}, in the plan file")
    known = [(words, count) for words, count in plan.come_from() if words]
    blocks += [f"from {words}: {count_text(count, 'stream')}" for words, count in known[:SHOWN]]
    told = describe_report(plan.report, planned=True)
    return [*blocks, *told, _stages(plan), f"how the time is reckoned: {plan.basis}"]


def describe_returned(returned: Returned | None) -> list[str | Table]:
    """What a salvage put back as new changes, and what somebody has to look at."""
    if returned is None:
        return []
    put, skipped = count_text(returned.put, "thing"), returned.skipped
    blocks: list[str | Table] = [f"put back anew of what was salvaged: {put}; of {skipped} the streams know better"]
    blocks += [f"{who}: waits until its loss is accepted (--accept-loss)" for who in returned.held[:SHOWN]]
    for each in returned.aside[:SHOWN]:
        where = "/".join(filter(None, (each.account, str(each.kind), each.collection, each.name)))
        blocks.append(f"not put back: {where}: {each.why}")
    if returned.aside_count > SHOWN:
        blocks.append(f"and {returned.aside_count - SHOWN} more that were not: --json names them")
    return blocks


def _plain(returned: Returned) -> dict[str, Any]:
    import msgspec

    data = msgspec.to_builtins(returned)
    assert isinstance(data, dict)
    return data


def _stages(plan: Plan) -> Table:
    """In the order in which people get their data back."""

    def size_of(kind: Kind) -> str:
        return size_text(plan.stage_bytes[kind]) if kind in plan.stage_bytes else "not read"

    rows = [
        (f"{place}. {stage.kind}", stage.items, size_of(stage.kind), f"{stage.seconds:.1f} s")
        for place, stage in enumerate(plan.report.stages, 1)
    ]
    return Table(("stage", "items", "size", "time"), rows)


def describe_report(report: Report, *, planned: bool) -> list[str | Table]:
    """Counts by kind, each loss by name, and how long."""
    rows = [
        (str(kind), count.expected, count.exact, count.older, count.lost)
        for kind, count in report.items.items()
        if count.expected or kind is not Kind.IDENTITY
    ]
    blocks: list[str | Table] = [Table(("items", "expected", "exact", "older", "lost"), rows)]
    for loss in report.lost[:SHOWN]:
        where = "/".join(filter(None, (loss.collection, loss.name))) or "items that nobody can name"
        revs = "before its base" if not loss.revs else f"revs {loss.revs[0]} to {loss.revs[-1]}"
        revs = f"rev {loss.revs[0]}" if len(loss.revs) == 1 else revs
        blocks.append(f"lost: {loss.account or 'the installation'} {loss.kind} {where} ({revs})")
    if len(report.lost) > SHOWN:
        blocks.append(f"and {count_text(len(report.lost) - SHOWN, 'more loss', 'more losses')}: --json names them all")
    accounts, changes = count_text(report.accounts, "account"), count_text(report.changes_recovered, "change")
    takes = "would take about" if planned else "took"
    blocks.append(f"{accounts}, {changes} of {report.changes_expected}; {takes} {report.seconds:.1f} s")
    if report.unknown_seconds:
        blocks.append(f"what was written in the last {report.unknown_seconds:.0f} s before the end is unknown")
    if not report.verified:
        blocks.append("not everything could be verified")
    return [*blocks, *recover_report.describe_suspect(report.suspect)]
