"""Finds what is left in damaged things, when neither the core nor any vault can be recovered from: torn cores, vaults
with holes, single objects of them, blobs, disk images, exports, Takeout archives, photos, sync tokens. What proves
itself is kept in DIR, for `safehold recover plan --salvage DIR`; what does not goes into DIR/quarantine."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text, size_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter

if TYPE_CHECKING:
    from safehold.assembly.salvage_report import SalvageReport

EXAMPLE = """safehold salvage /mnt/torn-disk/safehold-data --out /srv/salvage --identity recovery.txt
  safehold salvage vaults/near vaults/far --out /srv/salvage
  safehold salvage takeout-20261101.zip --account ada --out /srv/salvage"""

#: Problems of one source that are told to people; --json has all.
SHOWN = 10


def configure(parser: Parser) -> None:
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="a file or folder; it is only read")
    parser.add_argument("--out", metavar="DIR", required=True, help="a new folder, or that of an earlier salvage")
    parser.add_argument("--identity", metavar="FILE", help="the recovery key text, where the data folder has no keys")
    parser.add_argument("--account", metavar="NAME", default="", help="whose the exports and photos are")
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.salvage_report import salvage
    from safehold.cli.recover import describe_plan
    from safehold.salvage.scan import LOOKED_FOR

    with Reporter() as progress:
        told = salvage(
            context.installation(make=False),
            args.sources,
            args.out,
            identity=Path(args.identity).absolute() if args.identity else None,
            account=args.account,
            progress=progress,
        )
    found = told.scanned
    rows = [(s["sort"], s["path"], size_text(s["bytes"]), len(s["problems"])) for s in found.sources]
    blocks: list[str | Table] = [Table(("sort", "source", "size", "problems"), rows)]
    for source in found.sources:
        blocks += [f"{source['path']}: {problem}" for problem in source["problems"][:SHOWN]]
    chain, page = found.changes["chain"], found.changes["page"]
    blocks += [
        f"{count_text(chain, 'change that proves itself', 'changes that prove themselves')}, {page:,} of which the "
        f"change before is lost; {count_text(found.items, 'item')} of exports; "
        f"{count_text(found.bodies, 'body', 'bodies')}; {count_text(found.aside, 'piece')} set aside",
        *found.notes,
    ]
    if told.plan is not None:
        blocks += ["with this a recovery would bring back:", *describe_plan(told.plan)]
        blocks.append(
            f"for each of {count_text(told.people, 'person', 'people')} there is a text in {found.out}/accounts"
        )
    if not any((chain, page, found.items, found.bodies)):
        blocks.append("nothing was found in these that could be brought back; " + LOOKED_FOR)
    report = "report.txt" if told.plan is not None else "sources.txt"
    blocks.append(f"the report is in {found.out}/{report}, what failed verification in {found.out}/quarantine")
    return Answer(told.data(), [*blocks, *_next(told)], Exit(told.exit_code))


def _next(told: SalvageReport) -> list[str]:
    """What to do with what was found; nothing, where that is nothing."""
    found = told.scanned
    if told.homeless and "" in found.owners:
        return ["next: the same with --account NAME: nobody knows whose these are"]
    if told.homeless:
        first = "; ".join(f"safehold account add {name}" for name in found.owners)
        return [f"next: {first}; then safehold recover run --yes --salvage {found.out}, which puts these into it"]
    if not any((*found.changes.values(), found.items, found.bodies)):
        return []
    return [f"next: safehold recover plan --salvage {found.out}"]
