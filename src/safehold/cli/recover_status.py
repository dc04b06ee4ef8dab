"""How a recovery stands: the one that a running service is at, or one that waits for the next start."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from safehold.cli.context import Context
from safehold.cli.output import Answer, Table, count_text, time_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Follower

#: How often a recovery that is waited for is asked about.
LOOK_SECONDS = 0.5


def configure(parser: Parser) -> None:
    command = parser.command(
        "status",
        "say how a recovery stands that a service is at",
        "safehold recover status --wait",
        _run,
        "Tells of the recovery under way: its stage, what has been entered of what is expected, and about how long it "
        "still takes. What a device asks for comes first.",
    )
    command.add_argument("--wait", action="store_true", help="show progress until it has ended")


def _run(args: Namespace, context: Context) -> Answer:
    installation = context.installation(make=False)
    found = installation.recovery_status()
    if args.wait:
        with Follower(as_json=context.as_json) as follower:
            while (now := found["recovery"]) is not None and now["state"] != "stopped":
                follower(now)
                time.sleep(LOOK_SECONDS)
                found = installation.recovery_status()
    return Answer(found, describe(found))


def describe(found: Mapping[str, Any]) -> list[str | Table]:
    """For people."""
    recovery, last = found["recovery"], found["last"]
    if recovery is None:
        return ["no recovery is under way", *([describe_last(last)] if last else [])]
    rows = [
        (kind, counted["expected"], counted["entered"])
        for kind, counted in recovery["kinds"].items()
        if counted["expected"]
    ]
    streams = ", ".join(f"{count} {state}" for state, count in recovery["streams"].items())
    since = recovery["since"]
    stopped = recovery["state"] == "stopped"
    head = f"a recovery was begun at {since}, and the next start of the service goes on with it" if stopped else ""
    blocks: list[str | Table] = [head or f"a recovery is under way since {since}: {recovery['stage']}"]
    if rows:
        blocks.append(Table(("kind", "expected", "entered"), rows))
    blocks.append(f"streams: {streams or 'none'}")
    blocks += recovery["held"]
    if recovery.get("trouble"):
        blocks.append(f"it waits: {recovery['trouble']}")
    if recovery["forecast_seconds"] is not None:
        blocks.append(f"about {recovery['forecast_seconds']:.0f} s more")
    return blocks


def describe_last(last: Mapping[str, Any]) -> str:
    """What came of the one that this service has ended."""
    counts = [count for kind, count in last["items"].items() if kind != "identity"]  # what people keep
    exact, older, lost = (sum(count[how] for count in counts) for how in ("exact", "older", "lost"))
    return (
        f"the last one ended at {time_text(last['at'])} after {last['seconds']:.1f} s: "
        f"{count_text(exact, 'item')} exact, {older} older, {lost} lost"
    )
