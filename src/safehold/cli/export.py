"""Writes an account's data as plain files that other programs read, and that `import` takes back as they were."""

from __future__ import annotations

import os
from argparse import Namespace

from safehold.cli.context import Context, account_named
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text, size_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter
from safehold.model.kinds import DATA_KINDS, Kind

EXAMPLE = "safehold export ada ./ada-export"

#: Problems that are told to people; --json names all.
SHOWN = 50


def configure(parser: Parser) -> None:
    parser.add_argument("account", metavar="NAME", help="the account's name")
    parser.add_argument("target", metavar="FOLDER", help="where to write: a folder that is new or empty")
    parser.add_argument(
        "--kind",
        choices=[str(kind) for kind in DATA_KINDS],
        action="append",
        help="only this kind; may be given more than once",
    )
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    import msgspec

    from safehold.service.transfer import export_from

    with context.installation().session() as session, Reporter() as progress:
        account = account_named(session.reads, args.account)
        kinds = [Kind(kind) for kind in args.kind] if args.kind else DATA_KINDS
        session.bring_in(account, kinds)
        report = export_from(
            account,
            os.path.abspath(args.target),
            reads=session.reads,
            disk=session.disk,
            blobs=session.blobs,
            kinds=kinds,
            progress=lambda done, total: progress("export", done, total, "items"),
        )
    blocks: list[str | Table] = [Table(("kind", "items"), list(report.items.items()))] if report.items else []
    blocks += [f"not written: {problem.where}: {problem.reason}" for problem in report.problems[:SHOWN]]
    if len(report.problems) > SHOWN:
        blocks.append(f"and {len(report.problems) - SHOWN} more: --json names them all")
    blocks.append(f"{count_text(report.collections, 'collection')}, {size_text(report.bytes)} in {report.target}")
    data = {"account": args.account} | msgspec.to_builtins(report)
    return Answer(data, blocks, Exit.FOUND if report.problems else Exit.DONE)
