"""Shows the changes of an account, a kind, a collection or an item, newest first."""

from __future__ import annotations

from argparse import Namespace
from itertools import islice
from typing import Any

from safehold.cli.context import Context, account_named
from safehold.cli.exits import UsageError
from safehold.cli.output import Answer, Table, size_text, time_text
from safehold.cli.parser import Parser
from safehold.model.kinds import DATA_KINDS, RESTORE_ORDER, Kind
from safehold.model.paths import kinds_under

EXAMPLE = "safehold history ada --path contacts/default --limit 20"
DEFAULT_LIMIT = 100


def configure(parser: Parser) -> None:
    parser.add_argument("account", metavar="NAME", help="the account's name")
    parser.add_argument("--kind", choices=[str(kind) for kind in RESTORE_ORDER], help="only this kind")
    parser.add_argument("--path", metavar="PATH", help="only this collection, e.g. contacts/default")
    parser.add_argument("--name", metavar="ITEM", help="only this item of the collection")
    parser.add_argument(
        "--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help="at most so many changes (default: %(default)s)"
    )
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    if args.name is not None and args.path is None:
        raise UsageError("--name needs --path", hint="an item is named within its collection")
    if args.limit < 1:
        raise UsageError("--limit needs a number of 1 or more")
    path = args.path.strip("/") if args.path is not None else None
    kind = Kind(args.kind) if args.kind else None
    with context.installation().session() as session:
        account = account_named(session.reads, args.account)
        session.require_in(account, (kind,) if kind else kinds_under(path) if path else DATA_KINDS)
        with session.reads.snapshot() as reads:
            versions = reads.history(account.number, kind=kind, path=path, name=args.name)
            changes = [_described(version) for version in islice(versions, args.limit)]
    rows = [
        (c["at"], c["op"], "/".join(filter(None, (c["path"], c["name"]))), size_text(c["size"]), c["actor"])
        for c in changes
    ]
    table = Table(("at", "what", "item", "size", "by"), rows)
    return Answer({"account": args.account, "history": changes}, [table] if rows else ["no changes are recorded here"])


def _described(version: Any) -> dict[str, Any]:
    # A collection's own changes carry its path as their name.
    name = "" if version.name == version.path else version.name
    return {
        "kind": str(version.kind),
        "rev": version.rev,
        "group": version.group,
        "at": time_text(version.at),
        "op": str(version.op),
        "path": version.path,
        "name": name,
        "media": version.media,
        "size": version.size,
        "digest": version.digest.hex(),
        "actor": version.actor,
    }
