"""Vaults: the places that hold every change, from which the core can be rebuilt."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from safehold.cli import scrub, vault_keys, vault_parity, vault_repair, vault_retain, vault_server
from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table
from safehold.cli.parser import Parser
from safehold.config import FOLDER_SCHEME, MODES, ConfigError, S3Options, VaultConfig, check_vault

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
        help="folder:PATH, or keeper:SOCKET-PATH, absolute or relative to the data folder; or s3:BUCKET/PREFIX; or the "
        "one-time code of a vault server's operator",
    )
    add.add_argument(
        "--mode",
        choices=MODES,
        help="sync: written ahead of every answer; async: follows within moments (default: async, or as configured)",
    )
    add.add_argument("--endpoint", metavar="URL", help="of a bucket: its store (default: AWS_ENDPOINT_URL, or AWS)")
    add.add_argument("--region", metavar="NAME", help="of a bucket: its region (default: AWS_REGION, or us-east-1)")
    add.add_argument(
        "--credentials-file",
        metavar="FILE",
        help="of a bucket: aws_access_key_id and aws_secret_access_key, absolute or relative to keys/ (default: AWS_…)",
    )
    add.add_argument(
        "--lock-days", metavar="DAYS", type=int, help="of a bucket: how long it must keep whatever is put (Object Lock)"
    )
    probed = parser.command(
        "probe",
        "find out what a vault really enforces",
        "safehold vault probe kept",
        _probe,
        "Finds out, as the user that runs it, whether a vault keeps what it has: whether a name that is taken is "
        "refused, whether what is there can be overwritten, shortened, renamed or removed. It touches no data. A "
        "running service does the same every day.",
    )
    probed.add_argument("name", metavar="NAME", nargs="?", help="the vault (default: all)")
    mode = parser.command(
        "mode",
        "say whether answers wait for a vault",
        "safehold vault mode far sync",
        _mode,
        "Changes whether a change is answered only once this vault holds it (sync), or the vault follows (async). The "
        "change is on record with who made it and why. Where it weakens what an answer promises it needs --yes.",
    )
    mode.add_argument("name", metavar="NAME", help="the vault")
    mode.add_argument("mode", choices=MODES, help="sync or async")
    mode.add_argument(
        "--instead-of",
        metavar="NAME",
        action="append",
        default=[],
        help="a sync vault that becomes async in the same step, as one that is away; repeatable",
    )
    mode.add_argument("--why", metavar="TEXT", default="", help="why, for the record")
    mode.add_argument("--yes", action="store_true", help="do it, also where it weakens what an answer promises")
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
    vault_repair.configure(parser)
    vault_parity.configure(
        parser.command(
            "parity",
            "write what a damaged vault can be mended from by itself",
            "safehold vault parity near",
            vault_parity.run,
            vault_parity.__doc__ or "",
        )
    )
    vault_server.configure(parser)
    vault_retain.configure(
        parser.command(
            "retain",
            "remove from a vault what is older than the retention",
            "safehold vault retain near --yes",
            vault_retain.run,
            vault_retain.__doc__ or "",
        )
    )


def _list(_args: Namespace, context: Context) -> Answer:
    vaults = context.as_it_stands().vaults()
    rows = [tuple(str(vault.get(key, "-")) for key in ("name", "mode", "url", "state")) for vault in vaults]
    return Answer({"vaults": vaults}, [Table(("name", "mode", "url", "state"), rows)])


def _add(args: Namespace, context: Context) -> Answer:
    known = {vault.name: vault for vault in context.config.vaults}.get(args.name)
    # Where the core is gone a vault may be needed to recover into; nothing else is made then.
    installation = context.installation(make=not (context.data / "keys").exists())
    if args.url and vault_server.is_code(args.url):
        check_vault(args.name, f"{FOLDER_SCHEME}x", args.mode or "async")  # before the code is used
        args.url = vault_server.redeem(installation, args.url, to_write=True)
    vault = _wanted(args, known)
    added = installation.vault_add(vault.name, vault.url, vault.mode, vault.s3)
    return Answer({"vault": added}, [f"the vault {vault.name} stands at {vault.url} ({vault.mode})"])


def _probe(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.probing import probe_and_remember, put_over_text
    from safehold.assembly.scrubbing import find_vault

    installation = context.installation()
    chosen = installation.config.vaults if args.name is None else [find_vault(installation, args.name)]
    found = [probe_and_remember(installation, vault) for vault in chosen]
    verbs = ("put_if_absent", "append_length", "overwrite", "shorten", "delete", "rename")
    rows = []
    for each in found:
        told = (_told(verb, getattr(each, verb)) for verb in verbs)
        rows.append((each.vault, each.why or each.append_only, *told, ", ".join(each.ignores) or "-"))
    heads = ("vault", "append-only", "second put", "wrong length", *verbs[2:], "its store ignores")
    put_over = [text for each in found if (text := put_over_text(each.vault, each.facts()))]
    code = Exit.UNFINISHED if any(each.why for each in found) else Exit.FOUND if put_over else Exit.DONE
    return Answer({"vaults": [each.facts() for each in found]}, [Table(heads, rows), *put_over], exit=code)


def _told(verb: str, found: bool | None) -> str:
    """The first two verbs say what the vault keeps to, the others what this user may do."""
    if found is None:
        return "not known"
    refused = found if verb in ("put_if_absent", "append_length") else not found
    return "refused" if refused else "possible"


def _mode(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.modes import change_mode

    done = change_mode(
        context.installation(), args.name, args.mode, why=args.why, yes=args.yes, instead_of=args.instead_of
    )
    return Answer(done.facts(), [done.text()])


def _wanted(args: Namespace, known: VaultConfig | None) -> VaultConfig:
    """The vault as the line and the configuration together say it."""
    default_url = known.url if known else f"{FOLDER_SCHEME}vaults/{args.name}"
    default_mode = known.mode if known else "async"
    vault = check_vault(args.name, args.url or default_url, args.mode or default_mode)
    given = {
        "endpoint": args.endpoint and args.endpoint.rstrip("/"),
        "region": args.region,
        "credentials_file": args.credentials_file,
        "lock_days": args.lock_days,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if given and not vault.is_s3:
        raise ConfigError(
            f"--{next(iter(given)).replace('_', '-')} is for a vault in a bucket", hint="s3:BUCKET/PREFIX"
        )
    return replace(vault, s3=replace(known.s3 if known else S3Options(), **given))
