"""Recovers from one vault alone into a scratch core, compares that with the live one, and times it."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, Table, count_text, say, size_text, time_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter
from safehold.cli.times import parse_time

if TYPE_CHECKING:
    from safehold.assembly.site import Site
    from safehold.proof.drills import Drilled

EXAMPLE = "safehold drill run --vault near"
#: The whole vault, and shares of the accounts, that a rolling drill is cut into.
_SHARES = 7


def configure(parser: Parser) -> None:
    run = parser.command(
        "run",
        "recover from one vault into a scratch core, compare and time it",
        EXAMPLE,
        _run,
        "What `recover run` does, from one vault alone, beside a running service or without one. Writes nothing but "
        "evidence. Every stream is compared with the live core, a service is started over what was recovered "
        "and asked as devices ask, and every object that was read is checked. Exits 1 on any damage or difference.",
    )
    run.add_argument("--vault", metavar="NAME", default="", help="this one (default: the one drilled longest ago)")
    scope = run.add_mutually_exclusive_group()
    scope.add_argument("--whole", action="store_true", help="all accounts (the default)")
    scope.add_argument("--rolling", action="store_true", help="one share of the accounts, the one drilled longest ago")
    run.add_argument(
        "--shares", metavar="N", type=int, default=_SHARES, help=f"shares of a rolling drill (default: {_SHARES})"
    )
    run.add_argument(
        "--to", metavar="TIME", default="latest", help="latest (the default), random, a time, or how long ago: 2h, 1d"
    )
    run.add_argument(
        "--throttle",
        metavar="SHARE",
        type=float,
        default=0.0,
        help="use at most this share of one processor, at the lowest priority, e.g. 0.1 (default: as a recovery does)",
    )
    run.add_argument("--by", metavar="NAME", default="", help="who asked for it, for the record")
    surprise = parser.command(
        "surprise",
        "break something of the operator's list, and time the people until it is right again",
        "safehold drill surprise --yes --by ada",
        _surprise,
        "Without --yes it says what might be broken, by which runbook it is put right, and how it is undone. What may "
        "be is named in safehold.toml: [drills] surprise.",
    )
    surprise.add_argument("--yes", action="store_true", help="do it")
    surprise.add_argument("--by", metavar="NAME", default="", help="who asked for it, for the record")
    surprise.add_argument(
        "--minutes", metavar="N", type=float, default=60.0, help="how long the people are given (default: 60)"
    )
    parser.command("list", "say how the last drills went", "safehold drill list", _list)


def _run(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.drilling import LATEST, RANDOM, Wanted, run_drill
    from safehold.assembly.jobs import DRILL, job_run
    from safehold.proof.drills import ROLLING, WHOLE

    if not 0 <= args.throttle <= 1:
        raise UsageError(f"{args.throttle} is no share", hint="give a number between 0 and 1, e.g. --throttle 0.1")
    if args.shares < 1:
        raise UsageError(f"{args.shares} is no number of shares", hint="give 1 or more")
    to = args.to if args.to in (LATEST, RANDOM) else parse_time(args.to, time.time_ns() // 1000)
    site = _keeper(context) or context.installation()
    wanted = Wanted(args.vault, ROLLING if args.rolling else WHOLE, to, args.throttle, args.shares, args.by)
    with job_run(site, DRILL) as job, Reporter() as reporter:
        drilled = run_drill(site, wanted, reporter)
        if not drilled.ok:
            job.found(f"the drill of {drilled.vault} failed: see `safehold drill list`")
    return Answer(drill_object(drilled), describe(drilled), Exit.DONE if drilled.ok else Exit.FOUND)


def _keeper(context: Context) -> Site | None:
    """A keeper's own folder; None where this is none."""
    from safehold.assembly.keeper import open_keeper

    return open_keeper(context.data, context.config, context.config_path)


def drill_object(drilled: Drilled) -> dict[str, Any]:
    """The object of the contract, and what else is known of it."""
    import msgspec

    data: dict[str, Any] = msgspec.to_builtins(drilled)
    first = ("ok", "vault", "streams_compared", "streams_equal", "items", "seconds", "first_contact_seconds")
    return {name: data[name] for name in first} | data | {"share": list(drilled.share)}


def describe(drilled: Drilled) -> list[str | Table]:
    """For people."""
    number, of = drilled.share
    scope = "" if of == 1 else f", share {number} of {of} of the accounts"
    point = "" if drilled.to == "latest" else f" as of {drilled.to}"
    blocks: list[str | Table] = [
        f"{drilled.vault}{point}{scope}: {count_text(drilled.items, 'item')} and {size_text(drilled.bytes)} of "
        f"{count_text(drilled.accounts, 'account')} recovered and compared in {drilled.seconds:.2f} s",
        f"{drilled.streams_equal} of {count_text(drilled.streams_compared, 'stream')} equal, "
        f"{count_text(drilled.requests, 'request')} asked of the recovered service",
    ]
    if drilled.first_contact_seconds is not None:
        blocks.append(f"the first account's contacts could be answered after {drilled.first_contact_seconds:.2f} s")
    if drilled.forecast_rto_seconds is not None:
        blocks.append(f"forecast: {drilled.forecast_rto_seconds:.2f} s")
    blocks += drilled.deviations
    if drilled.damaged:
        rows = [(one["object"], one["problem"], one["why"]) for one in drilled.damaged]
        blocks.append(Table(("object", "problem", "why"), rows))
    if not drilled.ok:
        blocks.append("the drill failed: `safehold runbook run drill-failed` says what to do")
    blocks.append(f"evidence: {drilled.evidence or 'none could be kept'}")
    return blocks


def _list(_args: Namespace, context: Context) -> Answer:
    from safehold.assembly.drill_record import drills

    known = drills(_keeper(context) or context.as_it_stands())
    rows = [
        (
            time_text(one.at),
            one.vault,
            one.scope if one.share[1] == 1 else f"{one.share[0]}/{one.share[1]}",
            one.to,
            one.items,
            f"{one.seconds:.2f}",
            "ok" if one.ok else "failed",
        )
        for one in reversed(known)
    ]
    table = Table(("when", "vault", "scope", "to", "items", "seconds", "result"), rows)
    return Answer({"drills": [drill_object(one) for one in known]}, [table] if rows else ["no drill is on record"])


def _surprise(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.surprise import candidates, run_surprise
    from safehold.proof.surprises import SURPRISES, as_object

    if args.minutes <= 0:
        raise UsageError(f"{args.minutes} is no number of minutes", hint="give a number above 0")
    site = context.installation(make=False)
    if not args.yes:
        possible = candidates(site)
        rows = [(what, SURPRISES[what].runbook, why or "it could be done now") for what, why in possible.items()]
        data = [{"hindrance": why, **SURPRISES[what]._asdict()} for what, why in possible.items()]
        if not rows:
            blocks: list[str | Table] = ["nothing may be broken: name what may be in safehold.toml, [drills] surprise"]
        else:
            blocks = [Table(("what", "runbook", "now"), rows)]
            blocks += [f"{what}: {SURPRISES[what].done}; at the end {SURPRISES[what].undone}" for what in possible]
            blocks.append("nothing was touched: add --yes, and one of these is drawn")
        return Answer({"executed": False, "candidates": data}, blocks)
    found = run_surprise(site, by=args.by, limit_seconds=args.minutes * 60, tell=say)
    result = f"right again after {found.seconds:.0f} s" if found.ok else f"not right again after {found.seconds:.0f} s"
    told = [f"{found.what}: {result}", *([found.undone] if found.undone else [])]
    told.append(f"evidence: {found.evidence or 'none could be kept'}")
    return Answer({"executed": True, **as_object(found)}, told, Exit.DONE if found.ok else Exit.FOUND)
