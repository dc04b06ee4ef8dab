"""Write what came since the newest generation as runs into the vaults, so that recovery reads few objects."""

from __future__ import annotations

from argparse import Namespace

from safehold.cli.context import Context
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, count_text, size_text
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter

EXAMPLE = "safehold snapshot"


def configure(parser: Parser) -> None:
    parser.add_argument("--full", action="store_true", help="write all that the core holds, not only what is new")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=0,
        help="processes that share the work (default: one a core, up to 4)",
    )
    parser.set_defaults(run=_snapshot)


def _snapshot(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.jobs import SNAPSHOT, job_run
    from safehold.assembly.site import Site
    from safehold.assembly.snapshot import as_json, take_snapshot

    if args.workers < 0:
        raise UsageError(f"{args.workers} is no number of processes", hint="name 1 or more, or leave --workers out")
    site = Site(context.data, context.config, context.config_path)
    if not site.has_core():
        site = context.installation()
    with job_run(site, SNAPSHOT) as job, Reporter() as report:

        def told(done: int, total: int) -> None:
            report("writing", done, total, "changes")

        snapshot = take_snapshot(site, full=args.full, workers=args.workers, told=told)
        if not snapshot.sealed or snapshot.down:
            job.failed("; ".join(f"{name}: {why}" for name, why in snapshot.down.items()) or snapshot.why_not_sealed)
    written = snapshot.written
    blocks = []
    if written.new:
        sort = "full" if written.full else "what came since the one before"
        blocks.append(
            f"generation {written.generation}: {count_text(written.changes, 'change')} in "
            f"{size_text(written.bytes)} ({sort})"
        )
    else:
        blocks.append(f"nothing is new since generation {written.generation}")
    if not snapshot.sealed:
        blocks.append(f"it is in the vaults, and will be sealed with the next snapshot: {snapshot.why_not_sealed}")
    blocks += [f"the vault {name} was left out: {why}" for name, why in sorted(snapshot.down.items())]
    done = snapshot.sealed and not snapshot.down
    return Answer(as_json(snapshot), blocks, Exit.DONE if done else Exit.UNFINISHED)
