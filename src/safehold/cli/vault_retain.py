"""Removes log, generations and large bodies older than the retention, as far as a keeper has attested that newer
generations hold all that lives. Without --yes it only says what would go, and why the rest stays."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.output import Answer, Table, count_text, size_text
from safehold.cli.parser import Parser

if TYPE_CHECKING:
    from safehold.recovery.retention import Plan

#: Objects that are listed for people, of each vault; `--json` has them all.
SHOWN = 20


def configure(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the vault (default: all that are kept here)")
    parser.add_argument("--yes", action="store_true", help="do it")


def run(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import open_site
    from safehold.assembly.keeping import keeper_lock, plan_vaults, retain_vaults

    site = open_site(context.data, context.config_path)
    with keeper_lock(site):
        done = retain_vaults(site, args.name) if args.yes else plan_vaults(site, args.name)
    blocks: list[str | Table] = []
    for _, made in done:
        blocks += _told(made, done=args.yes)
    data = {"done": bool(args.yes), "vaults": [_described(made) for _, made in done]}
    if not args.yes and any(not made.empty for _, made in done):
        blocks.append("nothing was removed: add --yes to do it")
    return Answer(data, blocks)


def _told(made: Plan, *, done: bool) -> list[str | Table]:
    if made.blocked:
        return [f"{made.vault}: nothing goes: {made.blocked}"]
    going = [*made.remove, *made.shorten, *made.aside]
    verb = "removed" if done else "would remove"
    blocks: list[str | Table] = [
        f"{made.vault}: {verb} {count_text(len(going), 'object')}, {size_text(made.bytes)}; generations "
        f"{' and '.join(map(str, made.cover))} hold all that stays"
    ]
    if going:
        blocks.append(Table(("object", "size", "why"), [(g.name, size_text(g.size), g.why) for g in going[:SHOWN]]))
    if len(going) > SHOWN:
        blocks.append(f"and {len(going) - SHOWN} more")
    blocks.append(Table(("stays", "why"), [(s.what, s.why) for s in made.keep]))
    return blocks


def _described(made: Plan) -> dict[str, Any]:
    return {
        "vault": made.vault,
        "blocked": made.blocked or None,
        "attested": list(made.cover),
        "bytes": made.bytes,
        "remove": [{"object": g.name, "bytes": g.size, "why": g.why} for g in (*made.remove, *made.aside)],
        "shorten": [{"object": g.name, "bytes": g.size, "why": g.why} for g in made.shorten],
        "put_back": made.put_back,
        "keep": [{"object": s.what, "why": s.why} for s in made.keep],
    }
