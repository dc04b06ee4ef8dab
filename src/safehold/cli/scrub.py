"""Read every vault whole, check every byte, and say what is missing, corrupt or unexpected. Changes nothing."""

from __future__ import annotations

import re
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, Table, count_text, say, size_text, time_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter

if TYPE_CHECKING:
    from safehold.recovery.scrub import ScrubResult

EXAMPLE = "safehold scrub --limit 20MiB"
LEVELS = ("list", "scrub", "replay")
_MICROSECONDS = 1_000_000
_SIZE = re.compile(r"([0-9]+) *(|B|KiB|MiB|GiB|kB|KB|MB|GB|K|M|G)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}
_UNITS |= {"kb": 1000, "mb": 1000**2, "gb": 1000**3}


def configure(parser: Parser) -> None:
    add_options(parser)
    parser.set_defaults(run=run, name=None)


def add_options(parser: Parser) -> None:
    """What `scrub` and `vault scrub` take alike."""
    parser.add_argument(
        "--limit", metavar="SIZE", default="0", help="read at most so much a second, e.g. 20MiB (default: no limit)"
    )
    parser.add_argument(
        "--level",
        choices=LEVELS,
        default="scrub",
        help="list: names, sizes and the log; scrub: every byte; replay: besides, that all changes chain",
    )
    parser.add_argument(
        "--reconcile", action="store_true", help="compare heads and state roots of all streams with the core too"
    )
    parser.add_argument("--restart", action="store_true", help="begin anew where a scrub was broken off")


def run(args: Namespace, context: Context) -> Answer:
    """`args.name` is the vault, or None for all."""
    from safehold.assembly.jobs import SCRUB, job_run
    from safehold.assembly.keeper import open_vaults
    from safehold.assembly.scrubbing import scrub_vaults
    from safehold.recovery.scrub import Level

    limit = parse_size(args.limit)
    site = open_vaults(context.data, context.config, context.config_path)
    with job_run(site, SCRUB) as job, Reporter() as reporter:
        results = scrub_vaults(
            site,
            args.name,
            level=Level(args.level),
            limit_bytes=limit,
            restart=args.restart,
            with_core=args.reconcile,
            progress=reporter,
        )
        if troubles := [f"{result.vault}: {result.trouble}" for result in results if result.trouble]:
            job.failed("; ".join(troubles))
        elif not all(result.ok for result in results):
            job.found("something is wrong: see what `safehold scrub` says")
    if not site.opener.can_open:
        say("the identity is not here: what seals say should be there is unknown, and was not compared")
    return answer(results)


def parse_size(text: str) -> int:
    """Bytes of `20MiB` and the like. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no size", hint="write it as 20MiB, 500KiB or 1GiB")
    return int(match[1]) * _UNITS[match[2].lower()]


def answer(results: list[ScrubResult]) -> Answer:
    vaults: list[dict[str, Any]] = []
    blocks: list[str | Table] = []
    for result in results:
        damaged = [{"object": d.object, "problem": str(d.problem), "why": d.why} for d in result.damaged]
        vault: dict[str, Any] = {
            "vault": result.vault,
            "objects": result.objects,
            "bytes": result.bytes,
            "damaged": damaged,
        }
        if result.trouble:
            vault["trouble"] = result.trouble
            blocks.append(f"{result.vault}: it could not be read to its end: {result.trouble}")
        else:
            told = f"{count_text(len(damaged), 'object')} damaged" if damaged else "all is well"
            size = size_text(result.bytes)
            blocks.append(f"{result.vault}: {count_text(result.objects, 'object')}, {size} read: {told}")
        vault["unopened"] = list(result.unopened)
        if result.unopened:
            told = (
                f"{count_text(len(result.unopened), 'object')} not checked further: sealed to a key that was not given"
            )
            blocks.append(f"  {told}")
        shadowed = sorted((name, since * _MICROSECONDS) for name, since in result.shadowed.items())
        vault["shadowed"] = [{"object": name, "since": since} for name, since in shadowed]
        if shadowed:
            first = time_text(min(since for _, since in shadowed))
            told = f"{count_text(len(shadowed), 'key')} put over or deleted since, from {first} on"
            blocks.append(f"  {told}: the first versions count, and are whole unless this says otherwise")
        if damaged:
            blocks.append(Table(("object", "problem", "why"), [tuple(each.values()) for each in damaged]))
        if result.reconciled is not None:
            both = result.reconciled
            vault["reconciled"] = both._asdict()
            blocks.append(f"  {count_text(both.streams, 'stream')} compared with the core, {both.roots} by state root")
            blocks += [f"  {difference}" for difference in both.differences]
        vaults.append(vault)
    links = sorted({name for result in results for name in result.links})
    for name in links:
        blocks.append(f"the evidence before {name}, by the same signer, is in no vault: somebody took it away")
    found = bool(links) or any(result.damaged or result.differs for result in results)
    if any(result.damaged for result in results):
        blocks.append("`safehold vault repair` says what it would mend, and with --yes mends it")
    code = Exit.FOUND if found else Exit.UNFINISHED if any(r.trouble or r.unopened for r in results) else Exit.DONE
    data = {"ok": all(result.ok for result in results), "vaults": vaults, "links": links}
    return Answer(data, blocks, exit=code)
