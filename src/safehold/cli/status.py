"""Says how the installation stands: what it holds, how far each vault is, what is unmet."""

from __future__ import annotations

from argparse import SUPPRESS, Namespace
from collections.abc import Sequence
from typing import Any

from safehold.cli import announcing
from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, count_text, size_text, time_text
from safehold.cli.parser import Parser

EXAMPLE = "safehold status --check"

#: What an objective's state is called when it needs somebody.
UNMET = ("at risk", "violated")
#: The incident that a violated one is as well.
VIOLATED = "objective violated"


def configure(parser: Parser) -> None:
    parser.add_argument("--check", action="store_true", help="exit with 1 if anything is unmet")
    parser.set_defaults(run=_run)
    show = parser.command("show", "say how everything stands, as without a further word", EXAMPLE, _run)
    show.add_argument("--check", action="store_true", default=SUPPRESS, help="exit with 1 if anything is unmet")
    announcing.configure(parser)


def _run(args: Namespace, context: Context) -> Answer:
    status = context.as_it_stands().status()
    unmet = find_unmet(status)
    told = Exit.FOUND if args.check and unmet else Exit.DONE
    return Answer(status, describe(status, unmet), told)


def find_unmet(status: dict[str, Any]) -> list[str]:
    """What needs somebody, in plain words: incidents that go on, an open recovery, objectives at risk or violated."""
    incidents = [i for i in status.get("incidents") or () if not _is_over(i)]
    found = [f"incident: {_with_hint(i)}" for i in incidents]
    told = {(i.get("what"), i.get("key") or "") for i in incidents if isinstance(i, dict)}
    alarms = (status.get("alarms") or {}).get("open") or ()
    found += [f"alarm: {_with_hint(a)}" for a in alarms if (a["what"], a["key"]) not in told]
    if status.get("recovery"):
        found.append("a recovery is open")
    for name, objective in _promised(status).items():
        if objective.get("state") in UNMET and (VIOLATED, name) not in told:
            why = f": {objective['why']}" if objective.get("why") else ""
            found.append(f"objective {name}: {objective['state']}{why}")
    return found


def _promised(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Objectives, and ages of evidence, by name."""
    both = {**(status.get("objectives") or {}), **(status.get("evidence") or {})}
    return {name: one for name, one in both.items() if isinstance(one, dict)}


def _with_hint(incident: Any) -> str:
    hint = incident.get("hint") if isinstance(incident, dict) else ""
    return _sentence(incident) + (f"\n    {hint}" if hint else "")


def _is_over(incident: Any) -> bool:
    return isinstance(incident, dict) and incident.get("until") is not None


def _sentence(incident: Any) -> str:
    if isinstance(incident, dict):
        return str(incident.get("message") or incident.get("summary") or incident)
    return str(incident)


def describe(status: dict[str, Any], unmet: Sequence[str]) -> list[str | Table]:
    """The status for people."""
    timeline = status.get("timeline")
    head = f"service {status.get('service')}" + (f", timeline {timeline}" if timeline is not None else "")
    counts = "what it holds is not known without its core"
    if status.get("accounts") is not None:
        accounts, changes = (count_text(int(status.get(f"{what}s") or 0), what) for what in ("account", "change"))
        kinds = ", ".join(f"{count} {kind}" for kind, count in (status.get("items") or {}).items())
        counts = f"{accounts}, {changes}; items: {kinds or 'none'}"
    vaults = Table(
        ("vault", "mode", "state", "append-only", "unarchived", "lag s", "last scrub", "last drill", "url"),
        [_vault_row(vault) for vault in status.get("vaults") or ()],
    )
    objectives = Table(
        ("objective", "target s", "actual s", "state"),
        [
            (name, _text(o.get("target_seconds")), _text(o.get("actual_seconds")), _text(o.get("state")))
            for name, o in _promised(status).items()
            if o.get("target_seconds") is not None
        ],
    )
    blocks: list[str | Table] = [head, counts, vaults, *map(_costs_text, filter(_costs_of, status.get("vaults") or ()))]
    blocks += [_parity_text(vault) for vault in status.get("vaults") or () if vault.get("parity")]
    if objectives.rows:
        blocks += [objectives, *_forecast_text(status)]
    if status.get("snapshots"):
        blocks.append(_snapshots_text(status["snapshots"]))
    if status.get("core"):
        blocks.append(_core_text(status["core"]))
    if status.get("keeper"):
        blocks.append(_keeper_text(status["keeper"]))
    risks = [f"at risk: {risk}" for risk in status.get("risks") or ()]
    return [*blocks, *risks, *(unmet or ["nothing is unmet"])]


def _parity_text(vault: dict[str, Any]) -> str:
    """What a vault's own parity covers, and what waits for it."""
    told = vault["parity"]
    head = f"parity of {vault['name']} ({told['parity']})"
    if told.get("at") is None:
        return f"{head}: nothing is covered yet; a keeper writes it once a day, or `safehold vault parity`"
    if not told["waiting"]:
        waits = "nothing waited"
    else:
        since = f" since {time_text(told['waiting_since'])[:16]}Z" if told["waiting_since"] else ""
        waits = f"{count_text(told['waiting'], 'object')}, {size_text(told['waiting_bytes'])}, not yet covered{since}"
    long = f"; {count_text(told['too_long'], 'object')} too long for it" if told["too_long"] else ""
    return f"{head}: {waits} when it was last written, {time_text(told['at'])[:16]}Z{long}"


def _forecast_text(status: dict[str, Any]) -> list[str]:
    """How long a recovery would take, and what that is said from."""
    told = (status.get("forecast") or {}).get("rto")
    if not told:
        return []
    words = f"a recovery would take {told['seconds']:.3g} s, {told['low_seconds']:.3g} to {told['high_seconds']:.3g}"
    off = "" if told["median_error"] is None else f", off by {told['median_error']:.0%} in the median so far"
    return [f"{words} ({told['basis']}{off})"]


def _core_text(told: dict[str, Any]) -> str:
    """When all of the core was last read, and what came of it."""
    last = (
        "not checked yet" if told.get("last_check") is None else f"last checked {time_text(told['last_check'])[:16]}Z"
    )
    mended = f", {told['mended']} mended so far" if told.get("mended") else ""
    damaged = f", {told['damaged']} damaged" if told.get("damaged") else ""
    renewal = "; it is to be made anew" if told.get("renewal") else ""
    return f"core: {last}{mended}{damaged}{'; at it' if told.get('checking') else ''}{renewal}"


def _keeper_text(told: dict[str, Any]) -> str:
    """Whether the service keeps its own vaults, and when it last did."""
    if not told.get("here"):
        return "keeper: not here; the vaults are kept where the keeper's key and the identity are, if anywhere"
    if told.get("last") is None:
        return f"keeper: {'at it for the first time' if told.get('running') else 'has not kept the vaults yet'}"
    attested = {kept["vault"]: kept.get("attested") for kept in told.get("vaults") or ()}
    each = ", ".join(f"{vault} attested up to {number or 'nothing'}" for vault, number in attested.items())
    return (
        f"keeper: last {time_text(told['last'])[:16]}Z, {each or 'no vault'}{'; at it' if told.get('running') else ''}"
    )


def _snapshots_text(told: dict[str, Any]) -> str:
    """How far the newest generation is behind."""
    if told.get("tail_changes") is None:
        return "snapshots: not seen yet"
    since = f"generation {told['generation']} of {time_text(told['at'])[:16]}Z" if told["generation"] else "none so far"
    tail = (
        f"{count_text(int(told['tail_changes']), 'change')} since, in {size_text(int(told['tail_bytes']))} of the log"
    )
    return f"snapshots: {since}, {tail}{'; one is being taken' if told.get('running') else ''}"


def _vault_row(vault: dict[str, Any]) -> tuple[str | int, ...]:
    lag = vault.get("lag_seconds")
    return (
        str(vault.get("name")),
        str(vault.get("mode")),
        _text(vault.get("state")),
        str(vault.get("append_only")),
        _text(vault.get("unarchived_changes")),
        f"{lag:.1f}" if isinstance(lag, float) else _text(lag),
        _scrub_text(vault.get("last_scrub")),
        _text(vault.get("last_drill")),
        str(vault.get("url")),
    )


def _costs_of(vault: dict[str, Any]) -> Any:
    return vault.get("costs")


def _costs_text(vault: dict[str, Any]) -> str:
    """What a bucket was asked for since the service began."""
    costs = vault["costs"]
    asked = ", ".join(f"{costs[key]} {key}" for key in ("writes", "reads", "deletes", "failures") if costs.get(key))
    sent, received = size_text(int(costs["sent_bytes"])), size_text(int(costs["received_bytes"]))
    return f"{vault['name']}: {asked or 'nothing asked'} so far; {sent} sent, {received} received"


def _scrub_text(last: Any) -> str:
    if not isinstance(last, dict):
        return _text(last)
    found = "ok" if last.get("ok") else f"{last.get('damaged')} damaged"
    return f"{time_text(last.get('at'))[:16]}Z {found}"


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
