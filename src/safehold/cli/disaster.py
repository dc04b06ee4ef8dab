"""Strikes small simulated worlds as real services were struck, and counts what is lost. Touches no installation."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, Table, count_text, say
from safehold.cli.parser import Parser
from safehold.cli.progress import Reporter

if TYPE_CHECKING:
    from safehold.disaster.scenario import Scenario
    from safehold.disaster.scoring import Score

EXAMPLE = "safehold disaster run sidekick-2009 --seed 7"
ALL = "all"
#: Accounts of a world unless told: more make it slower, and hardly tell more.
ACCOUNTS = 2


def configure(parser: Parser) -> None:
    parser.command(
        "list",
        "what disasters there are, and what they were",
        "safehold disaster list --json",
        _list,
        "Lists the incidents, what each lost, and where to read of it.",
    )
    run = parser.command(
        "run",
        "strike a world and score what becomes of it",
        "safehold disaster run all --seeds 20 --page disasters.md",
        _run,
        "Builds a world of people with devices on a simulated disk, lets it live some days, strikes it as the incident "
        "did, recovers, and compares every item with what was acknowledged. The same seed gives the same result.",
    )
    run.add_argument("name", metavar="NAME", help=f"one of those that `disaster list` names, or {ALL}")
    run.add_argument("--seed", metavar="N", type=int, default=1, help="the seed, or the first of several (default: 1)")
    run.add_argument("--seeds", metavar="N", type=int, default=1, help="so many seeds of each (default: 1)")
    run.add_argument(
        "--accounts", metavar="A", type=int, default=ACCOUNTS, help=f"accounts of a world (default: {ACCOUNTS})"
    )
    run.add_argument("--page", metavar="FILE", help="write what came of it as a page (Markdown)")


def _list(_args: Namespace, _context: Context) -> Answer:
    from safehold.disaster.scenario import all_scenarios

    found = all_scenarios()
    data = [
        {
            "scenario": each.name,
            "title": each.title,
            "year": each.year,
            "lost_then": each.lost_then,
            "sources": list(each.sources),
            "story": each.prose.strip(),
        }
        for each in found
    ]
    rows = [(each.name, each.title, each.lost_then) for each in found]
    return Answer({"disasters": data}, [Table(("disaster", "what happened", "what was lost then"), rows)])


def _run(args: Namespace, _context: Context) -> Answer:
    from safehold.disaster.scenario import all_scenarios, scenario_named

    if args.seeds < 1 or args.accounts < 1:
        raise UsageError("a run needs a seed and an account at least", hint="give --seeds and --accounts 1 or more")
    if args.seed < 0:
        raise UsageError("a seed is 0 or more", hint="give another --seed")
    if args.page and not Path(args.page).absolute().parent.is_dir():  # told now, not after hours of work
        raise UsageError(f"there is no folder for {args.page}", hint="make it first, or give --page another place")
    chosen = all_scenarios() if args.name == ALL else [scenario_named(args.name)]
    if len(chosen) == 1 and args.seeds == 1 and not args.page:
        return _one(chosen[0], args.seed, args.accounts)
    return _several(chosen, range(args.seed, args.seed + args.seeds), args.accounts, args.page)


def _one(scenario: Scenario, seed: int, accounts: int) -> Answer:
    import msgspec

    from safehold.disaster.scenario import run

    found, world = run(scenario, seed, accounts)
    data: dict[str, Any] = msgspec.to_builtins(found)
    blocks: list[str | Table] = [f"{scenario.name} ({scenario.year}): {scenario.title}, seed {seed}", ""]
    blocks += [f"  {line}" for line in world.story]
    blocks += ["", Table(("item", "count"), [(name, data[name]) for name in _counts()])]
    seconds = [(name.removesuffix("_seconds").replace("_", " "), _seconds(data[name])) for name in _times()]
    blocks += [Table(("moment", "after"), seconds), *_verdict([found])]
    return Answer(data, blocks, exit=_exit([found]))


def _several(chosen: list[Scenario], seeds: range, accounts: int, page: str | None) -> Answer:
    from safehold.disaster.figures import all_runs
    from safehold.disaster.page import make_page
    from safehold.disaster.scenario import run

    runs: list[tuple[Scenario, list[Score]]] = []
    with Reporter() as reporter:
        for scenario in chosen:
            scores: list[Score] = []
            for seed in seeds:
                reporter(scenario.name, len(scores), len(seeds), "worlds")
                scores.append(run(scenario, seed, accounts)[0])
            reporter(scenario.name, len(scores), len(seeds), "worlds")
            runs.append((scenario, scores))
    data = all_runs(runs, accounts)
    if page:
        Path(page).write_text(make_page(data))
        say(f"written: {page}")
    headings = ("disaster", "worlds", "items", "exact", "older", "lost", "unknown", "noticed", "first contact", "back")
    rows = [
        (
            each["scenario"],
            each["seeds"],
            *(each[name] for name in ("acknowledged", "exact", "older", "lost", "unknown")),
            *(_worst(each[name]) for name in ("detected_seconds", "first_contact_seconds", "rto_seconds")),
        )
        for each in data["disasters"]
    ]
    every = [score for _, scores in runs for score in scores]
    return Answer(data, [Table(headings, rows), *_verdict(every)], exit=_exit(every))


def _counts() -> tuple[str, ...]:
    from safehold.disaster.figures import COUNTS

    return COUNTS


def _times() -> tuple[str, ...]:
    from safehold.disaster.figures import TIMES

    return TIMES


def _verdict(scores: list[Score]) -> list[str]:
    """What has failed, and how to see it alone."""
    failed = [score for score in scores if not score.passed]
    if not failed:
        return [f"{count_text(len(scores), 'world')} passed"]
    lines = [f"{len(failed)} of {count_text(len(scores), 'world')} failed:"]
    for score in failed:
        lines.append(f"  safehold disaster run {score.scenario} --seed {score.seed}")
        lines += [f"    {why}" for why in score.why]
    return lines


def _exit(scores: list[Score]) -> Exit:
    return Exit.DONE if all(score.passed for score in scores) else Exit.FOUND


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _worst(times: dict[str, float] | None) -> str:
    return "never" if times is None else f"{times['median']:.0f} s, at most {times['worst']:.0f} s"
