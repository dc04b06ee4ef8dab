"""Commands below `status` by which the operator tells everybody something."""

from __future__ import annotations

import time
from argparse import Namespace

from safehold.cli.context import Context
from safehold.cli.output import Answer, Table, time_text
from safehold.cli.parser import Parser
from safehold.cli.times import parse_until


def configure(parser: Parser) -> None:
    announce = parser.command(
        "announce",
        "tell everybody something, on the status page and in its feed",
        'safehold status announce "We move to a new machine tonight." --until 6h',
        _announce,
        "Tells everybody something: on /status, in its feed and in the published file. It is kept in the vaults like "
        "all that is kept; where the core is away it is kept beside it, and enters the vaults when that is back.",
    )
    announce.add_argument("text", metavar="TEXT", help="what to say, at most 1000 characters")
    announce.add_argument(
        "--until", metavar="TIME", help="until when it stands: 2026-11-20T08:30Z, or for how long: 30m, 2h, 1d"
    )
    parser.command("announcements", "list what stands", "safehold status announcements", _list)
    withdraw = parser.command(
        "withdraw", "take an announcement back", "safehold status withdraw 000647484e06c000", _withdraw
    )
    withdraw.add_argument("name", metavar="NAME", help="as announcing it, or the list, has named it")


def _announce(args: Namespace, context: Context) -> Answer:
    until = parse_until(args.until, time.time_ns() // 1000) if args.until else None
    installation = context.installation(make=False)
    told = installation.announced().announce(args.text, until)
    installation.publish_status()
    one = told.announcement
    where = "the sync vaults hold it" if told.vaulted else "kept beside the core until the identity is back"
    name = one.name if told.vaulted else f"{one.name}, until then; after that `safehold status announcements` names it"
    return Answer(
        {"name": one.name, "text": one.text, "at": one.at, "until": one.until, "vaulted": told.vaulted},
        [f"announced; {where}", f"to take it back: safehold status withdraw {name}"],
    )


def _list(_: Namespace, context: Context) -> Answer:
    told = context.installation(make=False).announced().listed()
    found = [{"name": o.name, "text": o.text, "at": o.at, "until": o.until, "vaulted": vaulted} for o, vaulted in told]
    rows = [(o.name, time_text(o.at)[:16], time_text(o.until)[:16] if o.until else "-", o.text) for o, _ in told]
    return Answer(
        {"announcements": found}, [Table(("name", "at", "until", "text"), rows) if rows else "nothing is announced"]
    )


def _withdraw(args: Namespace, context: Context) -> Answer:
    installation = context.installation(make=False)
    installation.announced().withdraw(args.name)
    installation.publish_status()
    return Answer({"name": args.name, "withdrawn": True}, ["taken back"])
