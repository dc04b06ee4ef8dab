"""Mend vaults: the same bytes again from another vault, or written again by the core."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter

if TYPE_CHECKING:
    from safehold.recovery.judging import Damage
    from safehold.recovery.repair import Mend


def configure(parser: Parser) -> None:
    """Add `repair` to `vault`."""
    mend = parser.command(
        "repair",
        "mend what a scrub finds: the same bytes from another vault, or written again by the core",
        "safehold vault repair near --yes",
        _repair,
        "Reads a vault, or all, and says how what is damaged would be mended; with --yes it is mended. What was there "
        "is moved to aside/ in the vault.",
    )
    mend.add_argument("name", metavar="NAME", nargs="?", help="the vault (default: all)")
    mend.add_argument("--yes", action="store_true", help="do it")


def _repair(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import open_vaults
    from safehold.assembly.repairing import repair_vaults

    site = open_vaults(context.data, context.config, context.config_path)
    with Reporter() as reporter:
        results = repair_vaults(site, args.name, yes=args.yes, progress=reporter)
    vaults: list[dict[str, Any]] = []
    blocks: list[str | Table] = []
    for result in results:
        damaged = [_mended(mend, done=args.yes) for mend in result.mends]
        damaged += [{**_damage(damage), "repaired_from": None} for damage in result.remaining]
        vault = {"vault": result.vault, "objects": result.objects, "bytes": result.bytes, "damaged": damaged}
        if result.trouble:
            vault["trouble"] = result.trouble
            blocks.append(f"{result.vault}: {result.trouble}")
        elif not damaged:
            blocks.append(f"{result.vault}: all is well")
        if damaged:
            last = "repaired_from" if args.yes else "plan"
            rows = [(d["object"], d["problem"], str(d[last] or "not repaired")) for d in damaged]
            blocks += [
                f"{result.vault}: {count_text(len(damaged), 'object')} damaged",
                Table(("object", "problem", last), rows),
            ]
        vaults.append(vault)
    remain = any(result.remaining or (result.mends and not args.yes) for result in results)
    if remain and not args.yes:
        blocks.append("nothing was changed; `safehold vault repair --yes` does it")
    troubled = any(result.trouble for result in results)
    code = Exit.FOUND if remain else Exit.UNFINISHED if troubled else Exit.DONE
    return Answer({"ok": not remain and not troubled, "vaults": vaults}, blocks, exit=code)


def _damage(damage: Damage) -> dict[str, Any]:
    return {"object": damage.object, "problem": str(damage.problem), "why": damage.why}


def _mended(mend: Mend, *, done: bool) -> dict[str, Any]:
    if done:
        return {**_damage(mend.damage), "repaired_from": mend.repaired_from}
    plan = f"{mend.way} from {mend.source}" if mend.source else f"{mend.way}{f': {mend.why}' if mend.why else ''}"
    return {**_damage(mend.damage), "repaired_from": None, "plan": plan}
