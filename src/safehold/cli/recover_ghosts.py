"""`recover ghosts`: items that are known to have been there, and whose body no source has; the word that ends them."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context, account_named
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, Table, count_text, time_text
from safehold.cli.parser import Parser

if TYPE_CHECKING:
    from safehold.model.items import Account
    from safehold.ports.core import CoreReads

#: Of ghosts, how many are told to people; --json has all.
SHOWN = 50


def configure(parser: Parser) -> None:
    command = parser.command(
        "ghosts",
        "say of which items nothing but their name is left",
        "safehold recover ghosts --account ada --drop",
        _run,
        "Items that are known to have been there and whose body no source has. They stay listed, so that a device that "
        "has one keeps it; a device that sends it again makes it whole. Only its owner's word makes such an item a "
        "delete: on /account/state, or here with --drop.",
    )
    command.add_argument("--account", metavar="NAME", help="of this account only")
    command.add_argument(
        "--drop", action="store_true", help="delete them, as their owner has said: devices delete them too"
    )


def _run(args: Namespace, context: Context) -> Answer:
    if args.drop and args.account is None:
        raise UsageError("one owner's word is about one account", hint="name it by --account")
    with context.installation(make=False).session() as session:
        chosen = None if args.account is None else account_named(session.reads, args.account)
        with session.reads.snapshot() as reads:
            found = _ghosts(reads, reads.accounts() if chosen is None else [chosen])
        if args.drop and chosen is not None:
            from safehold.model.commands import DropGhosts

            while session.execute(DropGhosts(account=chosen.id, actor="operator")).more:
                continue
    data = {"ghosts": found, "dropped": args.drop}
    return Answer(data, _describe(found, dropped=args.drop), Exit.FOUND if found and not args.drop else Exit.DONE)


def _ghosts(reads: CoreReads, accounts: list[Account]) -> list[dict[str, Any]]:
    from safehold.model.kinds import DATA_KINDS

    return [
        {
            "account": account.name,
            "kind": str(kind),
            "collection": path,
            "name": item.name,
            "size": item.size,
            "at": item.at,
            "digest": item.digest.hex(),
        }
        for account in accounts
        for kind in DATA_KINDS
        for path, item in reads.ghost_items(account.number, kind)
    ]


def _describe(found: list[dict[str, Any]], *, dropped: bool) -> list[str | Table]:
    if not found:
        return ["there are none: every item has its body"]
    rows = [(one["account"], f"{one['collection']}/{one['name']}", time_text(one["at"])) for one in found[:SHOWN]]
    blocks: list[str | Table] = [Table(("account", "item", "last saved"), rows)]
    if len(found) > SHOWN:
        blocks.append(f"and {len(found) - SHOWN} more: --json names them all")
    items = count_text(len(found), "item")
    blocks.append(f"{items} deleted" if dropped else f"of {items} nothing but this is left")
    return blocks
