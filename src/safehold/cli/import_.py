"""Takes vCards, iCalendar files, notes, photos and whole exports into an account, item by item, each judged as if a
device had sent it. It can be repeated: what is there already is left alone."""

from __future__ import annotations

import os
from argparse import Namespace

from safehold.cli.context import Context, account_named
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, count_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter
from safehold.model.kinds import DATA_KINDS, Kind

EXAMPLE = "safehold import ada contacts.vcf calendar.ics ~/Photos"

#: Problems that are told to people; --json names all.
SHOWN = 50


def configure(parser: Parser) -> None:
    parser.add_argument("account", metavar="NAME", help="the account's name")
    parser.add_argument(
        "sources", metavar="FILE", nargs="+", help=".vcf or .ics, a folder of files, or the folder of an export"
    )
    parser.add_argument(
        "--kind",
        choices=[str(kind) for kind in DATA_KINDS],
        help="take things of this kind only; says too what files are whose names do not tell",
    )
    parser.add_argument(
        "--collection",
        metavar="COLLECTION",
        help="the address book, calendar or folder to import into (made if missing)",
    )
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    import msgspec

    from safehold.service.transfer import import_into

    for source in args.sources:
        if not os.path.lexists(source):
            raise UsageError(f"there is no {source}")
    with context.installation().session() as session, Reporter() as progress:
        account = account_named(session.reads, args.account)
        report = import_into(
            account,
            args.sources,
            reads=session.reads,
            disk=session.disk,
            blobs=session.blobs,
            blob_key=session.blob_key(account),
            execute=session.execute,
            kind=Kind(args.kind) if args.kind else None,
            collection=args.collection,
            progress=lambda done, total: progress("import", done, total, "bytes"),
        )
    told = [f"not taken: {problem.where}: {problem.reason}" for problem in report.problems[:SHOWN]]
    if len(report.problems) > SHOWN:
        told.append(f"and {len(report.problems) - SHOWN} more: --json names them all")
    if report.given_uids:
        told.append(f"{count_text(len(report.given_uids), 'object')} had no UID and were given one")
    told.append(
        f"{report.added} added, {report.replaced} replaced, {report.unchanged} there already, "
        f"{count_text(report.collections, 'collection')} made, {len(report.problems)} not taken"
    )
    data = {"account": args.account} | msgspec.to_builtins(report)
    return Answer(data, told, Exit.FOUND if report.problems else Exit.DONE)
