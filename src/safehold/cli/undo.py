"""Brings an item, a collection, a kind or a whole account back to what it was. Nothing is rewritten: what it does is
new changes, and can itself be undone."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import TYPE_CHECKING

from safehold.cli.context import Context, account_named
from safehold.cli.exits import UsageError
from safehold.cli.output import Answer, Table, count_text, time_text
from safehold.cli.parser import Parser
from safehold.cli.times import parse_time
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.point import parse_point

if TYPE_CHECKING:
    from safehold.assembly.session import Session
    from safehold.model.commands import Undo
    from safehold.service.undone import Undone

EXAMPLE = "safehold undo ada --kind contacts --to 2h --dry-run"


def configure(parser: Parser) -> None:
    parser.add_argument("account", metavar="NAME", help="the account's name")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--kind", choices=[str(kind) for kind in DATA_KINDS], help="only this kind")
    what.add_argument("--path", metavar="PATH", help="only this collection, e.g. contacts/default")
    parser.add_argument("--name", metavar="ITEM", help="only this item of the collection")
    parser.add_argument("--below", action="store_true", help="with --path: also the collections below it")
    parser.add_argument(
        "--to",
        required=True,
        metavar="TIME",
        help="2026-11-20T08:30Z, or how long ago: 30m, 2h, 1d, '2 hours ago'; or a point of the history: contacts:120",
    )
    parser.add_argument(
        "--deleted", action="store_true", help="only bring back what was deleted since; what was changed stays"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--yes", action="store_true", help="do it even if a great share of a collection is removed")
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    if args.name is not None and args.path is None:
        raise UsageError("--name needs --path", hint="an item is named within its collection")
    if args.below and (args.path is None or args.name is not None):
        raise UsageError("--below needs --path, and no --name")
    with context.installation().session() as session:
        command = _command(args, session)
        undone = _planned(session, args.account, command) if args.dry_run else _done(session, command)
    return _answer(args, command, undone)


def _command(args: Namespace, session: Session) -> Undo:
    from safehold.model.commands import Undo

    revs = parse_point(args.to)
    return Undo(
        account=account_named(session.reads, args.account).id,
        actor="undo",
        to=parse_time(args.to, time.time_ns() // 1000) if revs is None else None,
        revs=revs or {},
        kind=Kind(args.kind) if args.kind else None,
        path=args.path.strip("/") if args.path is not None else None,
        name=args.name,
        deep=args.below,
        deleted_only=args.deleted,
        confirmed=args.yes,
    )


def _planned(session: Session, name: str, command: Undo) -> Undone:
    """Read here, by whatever is in the core: the service need not interrupt its work."""
    from safehold.model.commands import Outcome
    from safehold.service.undo_plan import plan_undo
    from safehold.service.undone import Undone

    with session.reads.snapshot() as reads:
        plan = plan_undo(reads, account_named(reads, name), command, time.time_ns() // 1000)
    return Undone(Outcome(changed=False, undone=plan.lines(), revs=plan.revs))


def _done(session: Session, command: Undo) -> Undone:
    from safehold.service.undone import Undone

    undone = Undone(session.execute(command))
    while undone.more:
        undone.add(session.execute(undone.next(command)))
    return undone


def _answer(args: Namespace, command: Undo, undone: Undone) -> Answer:
    from safehold.service.undone import path_of

    at = undone.point if command.to is None else time_text(command.to)
    data = {
        "account": args.account,
        "to": at,
        "point": undone.point,
        "dry_run": args.dry_run,
        **undone.named(),
        "undone": [{"path": line.path, "name": line.name, "action": line.action} for line in undone.lines],
        "before": undone.point_before or None,
    }
    if not undone.lines:
        return Answer(data, ["nothing differs from what was then"])
    done = "would be" if args.dry_run else "now"
    blocks: list[str | Table] = [
        Table(("does", "item"), [(line.action, path_of(line)) for line in undone.lines]),
        f"{count_text(len(undone.lines), 'thing')} {done} as at {at}",
    ]
    if undone.point_before:
        blocks.append(f"to undo this: safehold undo {args.account} --to {undone.point_before}")
    return Answer(data, blocks)
