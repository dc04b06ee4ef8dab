"""Brings an item, a collection, a kind or a whole account back to what it was at a time. Nothing is rewritten: what
it does is new changes, and can itself be undone."""

from __future__ import annotations

import time
from argparse import Namespace

from safehold.cli.context import Context, account_named
from safehold.cli.exits import UsageError
from safehold.cli.output import Answer, Table, count_text, time_text
from safehold.cli.parser import Parser
from safehold.cli.times import parse_time
from safehold.model.kinds import DATA_KINDS, Kind

EXAMPLE = "safehold undo ada --kind contacts --to 2h --dry-run"


def configure(parser: Parser) -> None:
    parser.add_argument("account", metavar="NAME", help="the account's name")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--kind", choices=[str(kind) for kind in DATA_KINDS], help="only this kind")
    what.add_argument("--path", metavar="PATH", help="only this collection, e.g. contacts/default")
    parser.add_argument("--name", metavar="ITEM", help="only this item of the collection")
    parser.add_argument(
        "--to", required=True, metavar="TIME", help="2026-11-20T08:30Z, or how long ago: 30m, 2h, 1d, '2 hours ago'"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    from safehold.model.commands import Undo

    if args.name is not None and args.path is None:
        raise UsageError("--name needs --path", hint="an item is named within its collection")
    to = parse_time(args.to, time.time_ns() // 1000)
    with context.installation().session() as session:
        account = account_named(session.reads, args.account)
        outcome = session.execute(
            Undo(
                account=account.id,
                actor="undo",
                to=to,
                kind=Kind(args.kind) if args.kind else None,
                path=args.path.strip("/") if args.path is not None else None,
                name=args.name,
                dry_run=args.dry_run,
            )
        )
    lines = outcome.undone
    done = "would bring" if args.dry_run else "brought"
    told = f"{done} back {count_text(len(lines), 'thing')} to what it was at {time_text(to)}"
    table = Table(("does", "item"), [(line.action, "/".join(filter(None, (line.path, line.name)))) for line in lines])
    return Answer(
        {
            "account": args.account,
            "to": time_text(to),
            "dry_run": args.dry_run,
            "undone": [{"path": line.path, "name": line.name, "action": line.action} for line in lines],
        },
        [table, told] if lines else ["nothing differs from what was then"],
    )
