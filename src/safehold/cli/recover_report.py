"""`recover report`: what the last recovery brought back, by account and kind, as the vaults remember it."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text, time_text
from safehold.cli.parser import Parser
from safehold.model.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from safehold.recovery.after import AccountPart, AfterReport
    from safehold.recovery.report import Suspicion

#: Accounts, and losses of each, that are told to people; --json has all.
SHOWN = 20


def configure(parser: Parser) -> None:
    report = parser.command(
        "report",
        "say what the last recovery brought back, by account and kind",
        "safehold recover report --account ada",
        _report,
        "What the last recovery brought back: exact, older, lost by name, by account and kind, from what, and the "
        "evidence of it. It is read from the vaults, where every recovery leaves its report; without them from beside "
        "the core.",
    )
    report.add_argument("--account", metavar="NAME", help="this account's part only")
    report.add_argument("--all", action="store_true", help="every recovery that the vaults remember, the newest first")


def _report(args: Namespace, context: Context) -> Answer:
    from safehold.recovery.after import all_of

    reports = context.installation(make=False).recovery_reports()
    if not reports:
        raise NotFound("no recovery has left a report", hint="`safehold recover run` leaves one in every vault")
    chosen = reports if args.all else reports[:1]
    told = [_part_data(report, args.account) if args.account else all_of(report) for report in chosen]
    blocks: list[str | Table] = []
    for report in chosen:
        blocks += describe(report, args.account)
    data = {"reports": told} if args.all else told[0]
    exact = all(_is_exact(report, args.account) for report in chosen[:1])
    return Answer(data, blocks, Exit.DONE if exact else Exit.FOUND)


def _is_exact(report: AfterReport, account: str | None) -> bool:
    return report.exact if account is None else report.part(account) is None


def _part_data(report: AfterReport, account: str) -> dict[str, Any]:
    """An account's own part: what the owner may read, and nobody else's."""
    import msgspec

    part = report.part(account)
    return {
        "account": account,
        "exact": part is None,
        "kinds": {} if part is None else msgspec.to_builtins(part.kinds, str_keys=True),
        "lost": [] if part is None else msgspec.to_builtins(part.lost),
        "at": report.at,
        "timeline": report.timeline,
        "unknown_seconds": report.unknown_seconds,
        "truncated": report.truncated,
        "evidence": report.evidence or None,
    }


def describe(report: AfterReport, account: str | None = None) -> list[str | Table]:
    """A report for people."""
    how = "while serving" if report.how == "serving" else "with the service stopped"
    blocks: list[str | Table] = [f"recovery {how}, ended {time_text(report.at)[:16]}Z, timeline {report.timeline}"]
    if account is None:
        rows = [
            (str(kind), count.expected, count.exact, count.older, count.lost)
            for kind, count in report.items.items()
            if count.expected
        ]
        blocks.append(Table(("items", "expected", "exact", "older", "lost"), rows))
        blocks.append(f"{report.exact_accounts} of {count_text(report.accounts, 'account')} are exact")
    parts = report.affected if account is None else [part for part in report.affected if part.account == account]
    for part in parts[:SHOWN]:
        blocks += _describe_part(part)
    if len(parts) > SHOWN or report.truncated:
        blocks.append("there are more: --json names them, as many as were kept")
    if account is not None and not parts:
        blocks.append(f"all of {account} is exact")
    if report.unknown_seconds:
        blocks.append(f"what was written in the last {report.unknown_seconds:.0f} s before the end is unknown")
    sources = [f"{read.vault} ({read.problem})" if read.problem else read.vault for read in report.sources]
    generation = f"generation {report.generation} and the log after it" if report.generation else "the log"
    if sources:
        blocks.append(f"read from {', '.join(sources)}: {generation}")
    blocks.append(f"evidence: {report.evidence or 'in no vault'}")
    return [*blocks, *(describe_suspect(report.suspect) if account is None else ())]


def describe_suspect(suspect: Sequence[Suspicion]) -> list[str]:
    """From when on the log is suspect, a line for each reason; nothing where nothing is."""
    told = []
    for one in suspect:
        after = f", after frame {one.frame}," if one.frame is not None else ""
        told.append(f"from {time_text(one.at)} on{after} the log of {one.vault} is suspect: {one.why}")
    return told


def _describe_part(part: AccountPart) -> list[str | Table]:
    who = part.account or "the installation"
    blocks: list[str | Table] = [
        f"{who}, {kind}: {count.exact} exact, {count.older} older, {count.lost} lost"
        for kind, count in part.kinds.items()
    ]
    for loss in part.lost[:SHOWN]:
        where = "/".join(filter(None, (loss.collection, loss.name))) or "something that nobody can name"
        blocks.append(f"lost: {who} {loss.kind} {where}")
    if len(part.lost) > SHOWN:
        blocks.append(f"and {count_text(len(part.lost) - SHOWN, 'more loss', 'more losses')} of {who}")
    return blocks
