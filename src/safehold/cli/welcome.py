"""The one screen that `serve` greets with: how to sign in, connect a phone, add an account."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safehold.cli.context import DEFAULT_DATA


def welcome(url: str, data: Path, accounts: Sequence[str]) -> str:
    """At most 24 lines of 80 columns for the usual lengths of names and paths. `url` ends without a slash."""
    elsewhere = "" if data == Path(DEFAULT_DATA).absolute() else f"\n  (each with --data {data})"
    name = accounts[0] if accounts else "NAME"
    if accounts:
        shown = ", ".join(accounts[:5]) + (f" and {len(accounts) - 5} more" if len(accounts) > 5 else "")
        who = f"accounts   {shown}"
    else:
        who = "accounts   none yet: add one as below, while this runs"
    host = url.partition("://")[2]
    return f"""\
Safehold serves at {url}/
data in    {data}
{who}

Sign in    {url}/ with an account's name and password.
Status     {url}/status tells anybody how the service stands.

Connect a phone or computer (password: the account's, or better one of its own):
  iOS          Settings > Apps > Contacts (and Calendar) > Accounts > Other
               > CardDAV (CalDAV): server {host}, user {name}
  DAVx5        base URL {url}/ and user {name}
  Thunderbird  new address book or calendar on the network:
               {url}/
  files        WebDAV: {url}/dav/{name}/files/

A password for one device, another account, how everything stands{elsewhere}:
  safehold account app-password {name}
  safehold account add NAME
  safehold status

Keep a copy of the folder keys (in the data folder) away from this machine:
with it and one vault, everything can be brought back. Ctrl-C stops."""
