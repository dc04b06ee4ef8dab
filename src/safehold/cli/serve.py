"""Serves phones, computers and browsers until it is told to stop (SIGTERM or Ctrl-C): then it finishes what is under
way, ships and seals. Where the core is missing or damaged it is recovered from the vaults, while serving."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, print_json
from safehold.cli.parser import Parser
from safehold.cli.welcome import welcome

EXAMPLE = "safehold serve --listen 127.0.0.1:8460"


def configure(parser: Parser) -> None:
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to listen (default: as configured)")
    parser.add_argument(
        "--identity",
        metavar="FILE",
        help="the recovery key text, where the identity does not lie beside the core; held in memory only",
    )
    parser.set_defaults(run=_run)


def _run(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.logs import set_up_log
    from safehold.assembly.starting import serve
    from safehold.config import parse_listen
    from safehold.vault.keyring import load_identity

    config = context.config
    set_up_log(config.log, serves=True)
    listen = parse_listen(args.listen) if args.listen else (config.listen_host, config.listen_port)

    def announce(url: str, accounts: Sequence[str]) -> None:
        """Called once, when people can sign in."""
        if context.as_json:
            public = config.public_url or None
            print_json({"url": url, "public_url": public, "data": str(context.data), "accounts": list(accounts)})
        else:
            print(welcome(url, context.data, accounts, config.public_url), flush=True)

    installation = context.installation(make=False)
    if args.identity:
        installation.use_identity(load_identity(installation.disk, args.identity))
    return Answer({}, exit=Exit(serve(installation, listen, announce)), printed=True)
