"""Vaults: the places that hold every change, from which the core can be rebuilt."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli import scrub
from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter
from safehold.config import FOLDER_SCHEME, MODES, VaultConfig, check_vault

if TYPE_CHECKING:
    from safehold.recovery.judging import Damage
    from safehold.recovery.repair import Mend

EXAMPLE = "safehold vault list"


def configure(parser: Parser) -> None:
    parser.command("list", "list the vaults", "safehold vault list --json", _list)
    add = parser.command(
        "add",
        "add a vault, or make one anew whose folder is missing",
        "safehold vault add usb folder:/media/usb/safehold --mode async",
        _add,
        "Enters a vault in the configuration and brings it up to date. A vault that is configured already but whose "
        "folder is missing is made anew only by this command. A running service takes it up at once.",
    )
    add.add_argument("name", metavar="NAME", help="what to call it: lowercase letters, digits and -")
    add.add_argument("url", metavar="URL", nargs="?", help="folder:PATH, absolute or relative to the data folder")
    add.add_argument(
        "--mode",
        choices=MODES,
        help="sync: written ahead of every answer; async: follows within moments (default: async, or as configured)",
    )
    check = parser.command(
        "scrub",
        "read a vault whole and check every byte",
        "safehold vault scrub near --level replay",
        scrub.run,
        "Reads one vault, or all, and says what is missing, corrupt or unexpected in it. Changes nothing.",
    )
    check.add_argument("name", metavar="NAME", nargs="?", help="the vault (default: all)")
    scrub.add_options(check)
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


def _list(_args: Namespace, context: Context) -> Answer:
    vaults = context.installation().vaults()
    rows = [tuple(str(vault.get(key, "-")) for key in ("name", "mode", "url", "state")) for vault in vaults]
    return Answer({"vaults": vaults}, [Table(("name", "mode", "url", "state"), rows)])


def _add(args: Namespace, context: Context) -> Answer:
    known = {vault.name: vault for vault in context.config.vaults}.get(args.name)
    vault = _wanted(args, known)
    # Where the core is gone a vault may be needed to recover into; nothing else is made then.
    installation = context.installation(make=not (context.data / "keys").exists())
    added = installation.vault_add(vault.name, vault.url, vault.mode)
    return Answer({"vault": added}, [f"the vault {vault.name} stands at {vault.url} ({vault.mode})"])


def _repair(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.repairing import repair_vaults

    installation = context.installation()
    with Reporter() as reporter:
        results = repair_vaults(installation, args.name, yes=args.yes, progress=reporter)
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


def _wanted(args: Namespace, known: VaultConfig | None) -> VaultConfig:
    """The vault as the line and the configuration together say it."""
    default_url = known.url if known else f"{FOLDER_SCHEME}vaults/{args.name}"
    default_mode = known.mode if known else "async"
    return check_vault(args.name, args.url or default_url, args.mode or default_mode)
