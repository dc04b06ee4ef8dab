"""Vaults: the places that hold every change, from which the core can be rebuilt."""

from __future__ import annotations

from argparse import Namespace

from safehold.cli import scrub, vault_keys
from safehold.cli.context import Context
from safehold.cli.output import Answer, Table
from safehold.cli.parser import Parser
from safehold.config import FOLDER_SCHEME, MODES, VaultConfig, check_vault

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
    add.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help="folder:PATH, or keeper:SOCKET-PATH; absolute or relative to the data folder",
    )
    add.add_argument(
        "--mode",
        choices=MODES,
        help="sync: written ahead of every answer; async: follows within moments (default: async, or as configured)",
    )
    keys = parser.command(
        "keys", "show, print, replace and move keys", "safehold vault keys", None, vault_keys.__doc__ or ""
    )
    vault_keys.configure(keys)
    check = parser.command(
        "scrub",
        "read a vault whole and check every byte",
        "safehold vault scrub near --level replay",
        scrub.run,
        "Reads one vault, or all, and says what is missing, corrupt or unexpected in it. Changes nothing.",
    )
    check.add_argument("name", metavar="NAME", nargs="?", help="the vault (default: all)")
    scrub.add_options(check)


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


def _wanted(args: Namespace, known: VaultConfig | None) -> VaultConfig:
    """The vault as the line and the configuration together say it."""
    default_url = known.url if known else f"{FOLDER_SCHEME}vaults/{args.name}"
    default_mode = known.mode if known else "async"
    return check_vault(args.name, args.url or default_url, args.mode or default_mode)
