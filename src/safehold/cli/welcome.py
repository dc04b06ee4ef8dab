"""The one screen that `serve` greets with: how to sign in, connect a device, add an account."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safehold.cli.context import DEFAULT_DATA


def welcome(url: str, data: Path, accounts: Sequence[str], public_url: str = "") -> str:
    """At most 24 lines of 80 columns for the usual lengths of names and paths. URLs end without a slash.

    `url` is where the service listens, `public_url` where others reach it: what is entered into a device is the latter.
    """
    elsewhere = "" if data == Path(DEFAULT_DATA).absolute() else f"\n  (each with --data {data})"
    name = accounts[0] if accounts else "NAME"
    if accounts:
        shown = ", ".join(accounts[:5]) + (f" and {len(accounts) - 5} more" if len(accounts) > 5 else "")
        who = f"accounts   {shown}"
    else:
        who = "accounts   none yet: add one as below, while this runs"
    behind = f"\nreached by {public_url}/" if public_url else ""
    base = public_url or url
    reach = (
        ""
        if public_url
        else """
  Phones need https: put a proxy with TLS before this, and say in
  safehold.toml under which address it is reached (docs/deploy.md)."""
    )
    return f"""\
Safehold serves at {url}/{behind}
data in    {data}
{who}

Sign in    {base}/ with an account's name and password.
Status     {base}/status tells anybody how the service stands.

Connect a phone or computer: open
  {base}/devices
  on it or beside it. Each gets a password of its own, as a profile for iOS and
  macOS, as a QR code for DAVx5, or as text for every other program.{reach}

Another account, a password for one device, how everything stands{elsewhere}:
  safehold account add NAME
  safehold account app-password {name}
  safehold status

Keep a copy of the folder keys (in the data folder) away from this machine:
with it and one vault, everything can be brought back. Ctrl-C stops."""
