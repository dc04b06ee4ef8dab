"""Shows the changes of an account, a kind, a collection or an item, newest first; also what was removed, and bodies."""

from __future__ import annotations

from argparse import Namespace
from itertools import islice
from pathlib import Path
from typing import Any

from safehold.cli.context import Context, account_named
from safehold.cli.exits import UsageError
from safehold.cli.output import Answer, Table, size_text, time_text
from safehold.cli.parser import Parser
from safehold.model.kinds import DATA_KINDS, RESTORE_ORDER, Kind
from safehold.model.paths import kinds_under
from safehold.model.point import parse_point, point_text

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
    parser.add_argument("--before", metavar="POINT", help="only changes before this point, e.g. contacts:120")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--removed", action="store_true", help="instead: collections that were removed")
    other.add_argument(
        "--body", metavar="CHANGE", help="instead: write the body that a change brought, e.g. contacts:12"
    )
    parser.add_argument("--output", metavar="FILE", help="with --body: the file to write, which must not be there yet")
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    if args.name is not None and args.path is None:
        raise UsageError("--name needs --path", hint="an item is named within its collection")
    if args.limit < 1:
        raise UsageError("--limit needs a number of 1 or more")
    if (args.body is None) != (args.output is None):
        raise UsageError("--body and --output belong together")
    if args.removed:
        return _removed(args, context)
    if args.body is not None:
        return _body(args, context)
    below = None if args.before is None else parse_point(args.before)
    if args.before is not None and below is None:
        raise UsageError(f"{args.before!r} is not a point of the history", hint="for instance contacts:120")
    path = args.path.strip("/") if args.path is not None else None
    kind = Kind(args.kind) if args.kind else None
    with context.installation().session() as session:
        account = account_named(session.reads, args.account)
        session.require_in(account, (kind,) if kind else kinds_under(path) if path else DATA_KINDS)
        with session.reads.snapshot() as reads:
            versions = reads.history(account.number, kind=kind, path=path, name=args.name, below=below)
            changes = [_described(version) for version in islice(versions, args.limit)]
    rows = [
        (
            c["at"],
            f"{c['kind']}:{c['rev']}",
            c["op"],
            "/".join(filter(None, (c["path"], c["name"]))),
            size_text(c["size"]),
            c["actor"],
        )
        for c in changes
    ]
    table = Table(("at", "change", "what", "item", "size", "by"), rows)
    return Answer({"account": args.account, "history": changes}, [table] if rows else ["no changes are recorded here"])


def _removed(args: Namespace, context: Context) -> Answer:
    from safehold.service.past import removed_collections

    kinds = (Kind(args.kind),) if args.kind else DATA_KINDS
    with context.installation().session() as session, session.reads.snapshot() as reads:
        account = account_named(reads, args.account)
        found = [gone for kind in kinds for gone in removed_collections(reads, account, kind)]
    found = [gone for gone in found if args.path is None or gone.path == args.path.strip("/")][: args.limit]
    removed = [
        {"path": gone.path, "kind": str(gone.kind), "removed_at": time_text(gone.at), "point": point_text(gone.point)}
        for gone in found
    ]
    table = Table(
        ("removed", "collection", "kind", "as it was before"),
        [(r["removed_at"], r["path"], r["kind"], r["point"]) for r in removed],
    )
    hint = f"to bring one back: safehold undo {args.account} --path COLLECTION --below --deleted --to POINT"
    return Answer(
        {"account": args.account, "removed": removed}, [table, hint] if removed else ["no collection was removed"]
    )


def _body(args: Namespace, context: Context) -> Answer:
    from safehold.service.past import find_version, read_version

    output = Path(args.output)
    with context.installation().session() as session, session.reads.snapshot() as reads:
        account = account_named(reads, args.account)
        version = find_version(reads, account, args.body)
        try:
            with output.open("xb") as file:
                for piece in read_version(reads, session.blobs, version):
                    file.write(piece)
        except FileExistsError:
            raise UsageError(f"{output} is there already", hint="name a file that is not") from None
        except BaseException:
            output.unlink(missing_ok=True)
            raise
    described = _described(version) | {"account": args.account, "file": str(output)}
    return Answer(described, [f"wrote {size_text(version.size)} of {version.name} as of {time_text(version.at)}"])


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
