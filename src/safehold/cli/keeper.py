"""Scrubs, attests and retains vaults under credentials of its own: copies those of a service, or holds one for it."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text, size_text
from safehold.cli.parser import Parser
from safehold.cli.scrub import parse_size

if TYPE_CHECKING:
    from safehold.assembly.keeping import LastKeep

EXAMPLE = "safehold keeper run --data /srv/keeper"


def configure(parser: Parser) -> None:
    init = parser.command(
        "init",
        "make a folder for a keeper",
        "safehold keeper init /srv/keeper --keys /media/keys --pull folder:/srv/safehold/vaults/near",
        _init,
        "Makes the folder that a keeper works in: its keys, its vault, its configuration. The keys are those that "
        "`safehold vault keys move identity DIR` puts into DIR, or a copy of them.",
    )
    init.add_argument("folder", metavar="FOLDER", help="where the keeper is to live")
    init.add_argument("--keys", metavar="DIR", help="where its keys are now (default: FOLDER/keys)")
    init.add_argument(
        "--pull", metavar="URL", action="append", default=[], help="a vault of the service to copy from; repeatable"
    )
    init.add_argument("--socket", metavar="PATH", default="", help="serve its vault there, for keeper:PATH")
    init.add_argument(
        "--user",
        metavar="USER",
        action="append",
        default=[],
        help="a user who may connect there, by name or number: the one that the service runs as; repeatable",
    )
    init.add_argument("--name", metavar="NAME", default="kept", help="what to call its vault (default: kept)")
    run = parser.command(
        "run",
        "do a keeper's work",
        EXAMPLE,
        _run,
        "Copies what is new from the vaults of the service, and once a day reads its vault whole, attests the newest "
        "generation by replaying it, and removes what is older than the retention. In the data folder of a service it "
        "does that for the service's own vaults.",
    )
    run.add_argument("--once", action="store_true", help="do the day's work now, then end")
    run.add_argument("--limit", metavar="SIZE", default="0", help="read at most so much a second (default: no limit)")
    cut = parser.command(
        "cut",
        "set aside what stands at the end of a vault's log and nobody can read",
        "safehold keeper cut --yes",
        _cut,
        "Where somebody has signed frames that nothing can open, a writer does not start, since it cannot tell that "
        "nothing was acknowledged in them. Says what would be set aside; with --yes it is done, and put on record.",
    )
    cut.add_argument("name", metavar="NAME", nargs="?", help="the vault (default: all that are kept here)")
    cut.add_argument("--from", metavar="FRAME", type=int, default=0, dest="first", help="cut before this frame")
    cut.add_argument("--yes", action="store_true", help="do it")
    parser.command("status", "say what the keeper did last", "safehold keeper status --json", _status)


def _init(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import init_keeper
    from safehold.config import Config, load

    folder = Path(args.folder).absolute()
    based_on = load(context.config_path) if context.config_path.exists() else replace(Config())
    keys = Path(args.keys).absolute() if args.keys else None
    pull = [_absolute(url) for url in args.pull]
    made = init_keeper(
        folder, keys=keys, pull=pull, socket=args.socket, users=args.user, name=args.name, based_on=based_on
    )
    return Answer(made, [f"a keeper lives in {folder}", f"next: safehold keeper run --data {folder}"])


def _absolute(url: str) -> str:
    """A URL whose path is not relative to where the keeper lives, but to where this is typed."""
    from safehold.assembly.vault_urls import is_network, with_scheme

    if is_network(url):
        return url
    scheme, _, path = with_scheme(url).partition(":")
    return f"{scheme}:{Path(path).absolute()}"


def _run(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import open_site, run_keeper, run_once
    from safehold.assembly.logs import set_up_log

    limit = parse_size(args.limit)
    site = open_site(context.data, context.config_path)
    set_up_log(site.config.log)
    if args.once:
        return answer(run_once(site, limit_bytes=limit))
    run_keeper(site, limit_bytes=limit)
    return Answer({"stopped": True}, ["stopped"])


def _cut(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.cutting import cut_vaults
    from safehold.assembly.keeper import open_site

    done = cut_vaults(open_site(context.data, context.config_path), args.name, first=args.first, yes=args.yes)
    blocks: list[str | Table] = []
    for cut in done:
        if cut.empty:
            blocks.append(f"{cut.vault}: the end of the log can be read; nothing is to be cut")
            for hole in cut.holes:
                told = f"{cut.vault}: frames {hole[0]} to {hole[1]} can be read in no vault, though more comes after"
                blocks.append(f"{told}: --from {hole[0]} would cut that off too")
            continue
        lost = f"; {count_text(cut.changes, 'change')} in them would not count any more" if cut.changes else ""
        blocks.append(f"{cut.vault}: frames {cut.first} to {cut.last} go{lost}; the log ends at frame {cut.upto.frame}")
        blocks += cut.why[:3]
        rows = [(p.object, size_text(p.size), size_text(p.stays) if p.stays else "set aside") for p in cut.pieces]
        blocks.append(Table(("object", "size", "stays"), rows))
    waiting = not args.yes and any(not cut.empty for cut in done)
    if waiting:
        blocks.append("nothing was changed: add --yes to do it")
    vaults = [
        {
            "vault": cut.vault,
            "upto": {"timeline": cut.upto.timeline, "frame": cut.upto.frame},
            "first": cut.first,
            "last": cut.last,
            "changes": cut.changes,
            "holes": cut.holes,
            "objects": [msgspec.structs.asdict(piece) for piece in cut.pieces],
            "why": cut.why,
        }
        for cut in done
    ]
    return Answer({"done": bool(args.yes), "vaults": vaults}, blocks, exit=Exit.FOUND if waiting else Exit.DONE)


def _status(_args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import open_site
    from safehold.assembly.keeping import last_keep

    last = last_keep(open_site(context.data, context.config_path))
    if last is None:
        return Answer({"at": None, "seconds": None, "vaults": []}, ["it has not done its work here yet"])
    return answer(last)


def answer(last: LastKeep) -> Answer:
    rows = []
    blocks: list[str | Table] = []
    for kept in last.vaults:
        removed = kept.blocked or f"{count_text(kept.removed, 'object')}, {size_text(kept.removed_bytes)}"
        rows.append((kept.vault, kept.attested or "-", kept.damaged, kept.trouble or removed))
        blocks += [f"{kept.vault}: not attested: {why}" for why in kept.refused]
    blocks += [f"differs: {difference}" for difference in last.differences]
    blocks.insert(0, Table(("vault", "attested", "damaged", "removed"), rows))
    wrong = any(kept.damaged or kept.refused for kept in last.vaults) or bool(last.differences)
    code = Exit.UNFINISHED if any(kept.trouble for kept in last.vaults) else Exit.FOUND if wrong else Exit.DONE
    fields = {"at": last.at, "seconds": last.seconds, "vaults": [msgspec.structs.asdict(kept) for kept in last.vaults]}
    return Answer({**fields, "differences": last.differences}, blocks, exit=code)
