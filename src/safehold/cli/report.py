"""Writes what was proved in a period as a report for whoever audits: HTML and PDF, of verified records only. A record
that was tampered with or is missing is refused and named in it, and the command exits with 1."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from safehold.cli.context import Context
from safehold.cli.evidence import exit_of, flaws_data, told
from safehold.cli.exits import UsageError
from safehold.cli.output import Answer, Table, count_text
from safehold.cli.parser import Parser
from safehold.cli.times import parse_day, parse_day_end

EXAMPLE = "safehold report --from 2026-10-01 --to 2026-12-31"
LANGUAGES = ("en", "es")
#: Ten years: more is a slip of the pen.
MOST_DAYS = 3660
_DAY = 86_400 * 1_000_000
_USUAL_DAYS = 30


def configure(parser: Parser) -> None:
    parser.add_argument(
        "--from", dest="begin", metavar="DATE", help="the first day (UTC), such as 2026-10-01 (default: 30 days)"
    )
    parser.add_argument("--to", dest="end", metavar="DATE", help="the last day, which is included (default: today)")
    parser.add_argument("--out", metavar="DIR", help="where to (default: reports in the data folder)")
    parser.add_argument("--lang", choices=LANGUAGES, default=LANGUAGES[0], help="in which language (default: en)")
    parser.add_argument("--format", choices=("html", "pdf", "both"), default="both", help="what to write")
    parser.add_argument("--by", metavar="TEXT", help="who makes it, for its first page (default: USER@HOST)")
    parser.set_defaults(run=run)


def run(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import open_vaults
    from safehold.assembly.reporting import FORMATS, make_report, who

    site = open_vaults(context.data, context.config, context.config_path)
    begin, end = period(args.begin, args.end, site.clock.now())
    made = make_report(
        site,
        begin,
        end,
        lang=args.lang,
        by=args.by or who(),
        out=Path(args.out).absolute() if args.out else context.data / "reports",
        formats=FORMATS if args.format == "both" else (args.format,),
    )
    figures = made.figures
    data: dict[str, Any] = {
        "ok": made.checked.ok,
        "files": {kind: str(path) for kind, path in made.files.items()},
        **figures._asdict(),
        "refused": flaws_data(made.checked.flaws),
        "unsettled": flaws_data(made.checked.unsettled),
        "away": made.checked.away,
    }
    blocks: list[str | Table] = [str(path) for path in made.files.values()]
    blocks.append(
        f"{count_text(figures.records, 'record')}, {count_text(figures.drills, 'drill')}"
        f" ({figures.drills_failed} failed); days without any record: {len_of_days(figures.days_without_records)}"
    )
    return Answer(data, [*blocks, *told(made.checked)], exit_of(made.checked))


def period(begin: str | None, end: str | None, now: int) -> tuple[int, int]:
    """Whole days, µs. Raises UsageError."""
    until = parse_day_end(end) if end else now // _DAY * _DAY + _DAY
    since = parse_day(begin) if begin else until - _USUAL_DAYS * _DAY
    if since >= until:
        raise UsageError("the last day lies before the first", hint="--from 2026-10-01 --to 2026-12-31")
    if since > now:
        raise UsageError("the period lies in the future", hint="--from 2026-10-01 --to 2026-12-31")
    if until - since > MOST_DAYS * _DAY:
        raise UsageError("that is more than ten years", hint="make a report of each")
    return since, until


def len_of_days(rows: list[str]) -> str:
    return ", ".join(rows) if rows else "none"
