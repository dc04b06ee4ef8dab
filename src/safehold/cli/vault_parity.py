"""Covers a vault's closed objects with parity, as `parity` in its configuration asks. From it `safehold vault repair`
computes damaged and missing ones again, without another vault. The keeper does this once a day by itself."""

from __future__ import annotations

from argparse import Namespace

from safehold.cli.context import Context
from safehold.cli.output import Answer, Table, count_text, size_text
from safehold.cli.parser import Parser


def configure(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the vault (default: all whose configuration asks)")
    parser.add_argument("--all", action="store_true", help="also what fills no group yet: of it less can be mended")


def run(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import open_site
    from safehold.assembly.keeping import keeper_lock
    from safehold.assembly.parity import cover_vaults

    site = open_site(context.data, context.config_path)
    with keeper_lock(site):
        done = cover_vaults(site, args.name, everything=args.all)
    blocks: list[str | Table] = [
        f"{c.vault}: {count_text(c.written, 'group')} written ({c.parity[0]}+{c.parity[1]}); "
        f"{count_text(c.waiting, 'object')}, {size_text(c.waiting_bytes)}, wait for a group that is full"
        + (f"; {count_text(c.too_long, 'object')}, {size_text(c.too_long_bytes)}, are too long" if c.too_long else "")
        for c in done
    ]
    vaults = [
        {
            "vault": c.vault,
            "parity": f"{c.parity[0]}+{c.parity[1]}",
            "groups_written": c.written,
            "objects_waiting": c.waiting,
            "bytes_waiting": c.waiting_bytes,
            "objects_too_long": c.too_long,
            "bytes_too_long": c.too_long_bytes,
        }
        for c in done
    ]
    return Answer({"vaults": vaults}, blocks or ["no vault asks for parity"])
