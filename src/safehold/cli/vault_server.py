"""A vault server: holds vaults of installations that run elsewhere, which can add to them and read them, no more."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text, print_json, size_text, time_text
from safehold.cli.parser import Parser

if TYPE_CHECKING:
    from safehold.assembly.site import Site
    from safehold.vault.http_guests import Code, Guest, Token
    from safehold.vault.refusals import Refused


def configure(parser: Parser) -> None:
    serve = parser.command(
        "serve",
        "be a vault server, for installations on other machines",
        "safehold vault serve --folder /srv/vaults --listen 0.0.0.0:8470 --url https://backup.example.org:8470",
        _serve,
        "Serves vaults over HTTPS to installations that were invited, until it is told to stop (SIGTERM or Ctrl-C). "
        "They can add to their own vault and read it; they cannot overwrite, shorten or remove, nor learn of each "
        "other. The first start makes the folder, with server.toml and a certificate of its own.",
    )
    _folder(serve)
    serve.add_argument("--listen", metavar="HOST:PORT", help="where to listen (default: as server.toml says)")
    serve.add_argument("--url", metavar="URL", help="as guests reach it; entered at the first start")
    serve.add_argument("--tls-certificate", metavar="FILE", help="a certificate (PEM) instead of its own; first start")
    serve.add_argument("--tls-key", metavar="FILE", help="the key of that certificate; first start")
    serve.add_argument(
        "--no-tls", action="store_true", help="plain HTTP, behind a proxy with TLS on this machine; first start"
    )
    invite = parser.command(
        "invite",
        "let an installation keep a vault at this vault server",
        "safehold vault invite --folder /srv/vaults --name ada --quota 100GB --dead-man 1h",
        _invite,
        "Prints a one-time code. On the installation's machine `safehold vault add NAME CODE` uses it. It is good for "
        "48 hours and once.",
    )
    _folder(invite)
    invite.add_argument("--name", metavar="NAME", default="", help="what to call the guest here")
    invite.add_argument(
        "--for",
        dest="guest",
        metavar="GUEST",
        default="",
        help="a further code for a guest that is there, by name or id: for its keeper, or a machine that replaces one",
    )
    invite.add_argument("--quota", metavar="SIZE", help="how much its vault may fill (default: as the disk has room)")
    invite.add_argument(
        "--dead-man", metavar="TIME", help="alarm once it has been silent for so long, as 1h; 0s: never (default: 1h)"
    )
    invite.add_argument("--read", action="store_true", help="a code whose token may only read")
    invite.add_argument(
        "--keeper", action="store_true", help="a code for a keeper elsewhere: its token may read, put evidence and mend"
    )
    invite.add_argument("--url", metavar="URL", help="the server's address in this code (default: as server.toml says)")
    guests = parser.command(
        "guests",
        "list the guests of this vault server, their tokens and open codes",
        "safehold vault guests --folder /srv/vaults",
        _guests,
        "Lists who has a vault here, what it fills, which tokens there are and which codes were not used yet. Tokens "
        "and codes are named by the beginning of a digest, which opens nothing.",
    )
    _folder(guests)
    revoking = guests.add_mutually_exclusive_group()
    revoking.add_argument("--revoke", metavar="TOKEN", help="take back the token or code whose digest begins with this")
    revoking.add_argument(
        "--revoke-all", metavar="GUEST", help="take back all tokens and codes of this guest, named by name or id"
    )
    join = parser.command(
        "join",
        "use a one-time code, and enter nothing in the configuration",
        "safehold vault join SAFEHOLD-VAULT-…",
        _join,
        "Exchanges a one-time code of a vault server for a token, which lies in keys/ then, and prints the vault's "
        "URL. `safehold vault add NAME CODE` does the same and adds the vault.",
    )
    join.add_argument("code", metavar="CODE", help="the line that the server's operator sent")


def _folder(parser: Parser) -> None:
    parser.add_argument("--folder", metavar="DIR", required=True, help="where the vault server lives")


def is_code(text: str) -> bool:
    from safehold.assembly.vault_urls import is_code as is_one

    return is_one(text)


def redeem(installation: Site, code: str, *, to_write: bool = False) -> str:
    """The URL of the vault that a code is for; `to_write`: which is to be written to. Raises OperatorError."""
    from safehold.assembly.vault_urls import redeem_code

    site = installation
    return redeem_code(code, site.data, site.disk, site.entropy, site.opener.installation, to_write=to_write)


def _serve(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.logs import set_up_log
    from safehold.assembly.vault_server import ServerFolder, run_server
    from safehold.config import parse_listen

    folder = Path(args.folder).absolute()
    config = ServerFolder(folder).make(
        listen=args.listen, url=args.url, certificate=args.tls_certificate, key=args.tls_key, tls=not args.no_tls
    )
    set_up_log(config.channels.log)

    def announce(url: str) -> None:
        if context.as_json:
            print_json({"url": url, "folder": str(folder)})
        else:
            print(f"a vault server in {folder}, reached at {url}", flush=True)
            print(f"invite somebody: safehold vault invite --folder {folder} --name NAME", flush=True)

    run_server(folder, config, parse_listen(args.listen) if args.listen else None, announce)
    return Answer({}, printed=True)


def _invite(args: Namespace, _context: Context) -> Answer:
    from safehold.assembly.vault_server import ServerFolder
    from safehold.assembly.vault_server_config import parse_bytes
    from safehold.config import parse_public_url
    from safehold.proof.durations import parse_duration

    server = ServerFolder(Path(args.folder).absolute())
    server.make(url=args.url)
    dead_man = None if args.dead_man is None else int(_duration(parse_duration, args.dead_man))
    guest, code = server.invite(
        args.name,
        again=args.guest,
        quota_bytes=None if args.quota is None else parse_bytes(args.quota),
        dead_man_seconds=3600 if dead_man is None and not args.guest else dead_man,
        read_only=args.read,
        keeper=args.keeper,
        url=parse_public_url(args.url) if args.url else None,
    )
    told = "safehold vault join" if args.read or args.keeper else "safehold vault add NAME"
    return Answer(
        {"guest": guest.id, "name": guest.record.name, "code": code},
        [code, f"a code for {guest.record.name}, good once and for 48 hours. There: {told} {code[:20]}…"],
    )


def _duration(parse: Any, text: str) -> float:
    from safehold.cli.exits import UsageError

    try:
        return float(parse(text))
    except ValueError as error:
        raise UsageError(str(error), hint="for instance 45m, 1h or 0s") from None


def _guests(args: Namespace, _context: Context) -> Answer:
    from safehold.assembly.vault_server import ServerFolder, read_refused
    from safehold.assembly.vault_server_config import load_server

    folder = Path(args.folder).absolute()
    load_server(folder)
    server = ServerFolder(folder)
    server.guests.load()
    closed = server.guests.closed
    told = []
    if args.revoke is not None or args.revoke_all is not None:
        guests = server.guests
        gone = guests.revoke(args.revoke) if args.revoke is not None else guests.revoke_all(args.revoke_all)
        tokens_gone, codes_gone = count_text(gone.tokens, "token"), count_text(gone.codes, "code")
        told.append(f"{gone.guest.record.name}: {tokens_gone} and {codes_gone} were taken back")
    told += [f"nobody is let in for guest {guest}: its record cannot be read: {why}" for guest, why in closed.items()]
    found = [(guest, server.used_bytes(guest)) for guest in server.guests.all()]
    refused = {guest.id: read_refused(server, guest.id) for guest, _ in found}
    told += [
        f"{guest.record.name}: {one.count} requests that would have made void what is here were refused, the first at "
        f"{time_text(one.first)}, after frame {one.frame}: what came later may be somebody else's"
        for guest, _ in found
        if (one := refused[guest.id]) is not None
    ]
    rows = []
    for guest, used in found:
        record = guest.record
        quota = size_text(record.quota_bytes) if record.quota_bytes else "-"
        rows.append((record.name, record.installation or "not here yet", size_text(used), quota, len(record.tokens)))
    tokens = [
        (guest.record.name, token.digest[:12], _right(token), time_text(token.made))
        for guest, _ in found
        for token in guest.record.tokens
    ]
    codes = {guest.id: server.guests.open_codes(guest) for guest, _ in found}
    invitations = [
        (
            guest.record.name,
            code.digest[:12],
            "mend" if code.keeper else "read" if code.read_only else "append",
            *map(time_text, (code.made, code.until)),
        )
        for guest, _ in found
        for code in codes[guest.id]
    ]
    return Answer(
        {
            "guests": [_facts(guest, used, refused[guest.id], codes[guest.id]) for guest, used in found],
            "closed": [{"guest": guest, "why": why} for guest, why in closed.items()],
        },
        [
            *told,
            Table(("guest", "installation", "fills", "of", "tokens"), rows),
            Table(("guest", "token", "may", "since"), tokens),
            *([Table(("guest", "open code", "may", "since", "until"), invitations)] if invitations else ()),
        ],
        Exit.FOUND if closed else Exit.DONE,
    )


def _right(token: Token) -> str:
    return "append" if token.may_append else "mend" if token.may_mend else "read"


def _facts(guest: Guest, used: int, refused: Refused | None, codes: list[Code]) -> dict[str, Any]:
    record = guest.record
    return {
        "guest": guest.id,
        "name": record.name,
        "installation": record.installation or None,
        "bytes": used,
        "quota_bytes": record.quota_bytes or None,
        "dead_man_seconds": record.dead_man_seconds or None,
        "refused": None if refused is None else msgspec.structs.asdict(refused),
        "tokens": [
            {"token": token.digest, "may_append": token.may_append, "may_mend": token.may_mend, "made": token.made}
            for token in record.tokens
        ],
        "codes": [
            {
                "code": code.digest,
                "may_append": not code.read_only,
                "may_mend": code.keeper,
                "made": code.made or None,
                "until": code.until,
            }
            for code in codes
        ],
    }


def _join(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.keeper import open_vaults

    site = open_vaults(context.data, context.config, context.config_path)
    url = redeem(site, args.code)
    return Answer({"url": url}, [f"the vault is at {url}; its token lies in {site.keys_folder}"])
