"""Finds what is left in damaged things, when neither the core nor any vault can be recovered from: torn cores, vaults
with holes, single objects of them, blobs, disk images, exports, Takeout archives, photos, sync tokens. What proves
itself is kept in DIR, for `safehold recover plan --salvage DIR`; what does not goes into DIR/quarantine."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text, size_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter

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
    from safehold.cli.recover import describe_plan
    from safehold.salvage.scan import LOOKED_FOR

    with Reporter() as progress:
        told = context.installation(make=False).salvage(
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
        f"{chain:,} changes that prove themselves, {page:,} of which the change before is lost; "
        f"{found.items:,} items of exports; {found.bodies:,} bodies; {found.aside:,} pieces set aside",
        *found.notes,
    ]
    if told.plan is not None:
        blocks += ["with this a recovery would bring back:", *describe_plan(told.plan)]
        blocks.append(
            f"for each of {count_text(told.people, 'person', 'people')} there is a text in {found.out}/accounts"
        )
    if not any((chain, page, found.items, found.bodies)):
        blocks.append("nothing was found in these that could be brought back; " + LOOKED_FOR)
    blocks += [
        f"the report is in {found.out}/report.txt, what failed verification in {found.out}/quarantine",
        f"next: safehold recover plan --salvage {found.out}",
    ]
    return Answer(told.data(), blocks, Exit(told.exit_code))
