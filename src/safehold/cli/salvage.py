"""Finds what is left in damaged things, when neither the core nor any vault can be recovered from: torn cores, vaults
with holes, single objects of them, blobs, disk images, exports, Takeout archives, photos, sync tokens. What proves
itself is kept in DIR, for `safehold recover plan --salvage DIR`; what does not goes into DIR/quarantine."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, size_text
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
    import msgspec

    from safehold.assembly.salvaging import salvage_into

    with Reporter() as progress:
        result = salvage_into(
            args.sources,
            args.out,
            site=context.installation(make=False),
            identity=args.identity,
            account=args.account,
            progress=progress,
        )
    data: dict[str, Any] = msgspec.to_builtins(result)
    rows = [(s["sort"], s["path"], size_text(s["bytes"]), len(s["problems"])) for s in result.sources]
    blocks: list[str | Table] = [Table(("sort", "source", "size", "problems"), rows)]
    for source in result.sources:
        blocks += [f"{source['path']}: {problem}" for problem in source["problems"][:SHOWN]]
    chain, page = result.changes["chain"], result.changes["page"]
    blocks += [
        f"{chain:,} changes that prove themselves, {page:,} of which the change before is lost; "
        f"{result.items:,} items of exports; {result.aside:,} pieces set aside",
        *result.notes,
        f"the report is in {result.out}/report.txt, what failed verification in {result.out}/quarantine",
        f"next: safehold recover plan --salvage {result.out}",
    ]
    return Answer(data, blocks, Exit.DONE if result.clean else Exit.FOUND)
