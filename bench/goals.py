"""What the load on several servers is to show, judged from its results."""

from __future__ import annotations

from typing import Any, NamedTuple

OURS, PEERS = "Safehold", ("Radicale", "Xandikos")
SMALL, LARGE = "1000", "10000"
#: At LARGE items: how many times less CPU an operation takes than with the better peer.
CPU_TIMES_LESS = {"PUT contact": 300, "PUT event": 300, "poll": 2, "GET": 2, "month query": 50}
#: At LARGE items: how many times faster the answer is there.
TIMES_FASTER = {"first sync": 5}
#: What must cost the same at LARGE as at SMALL, within the noise of a shared machine.
FLAT = ("PUT contact", "PUT event", "GET", "poll", "sync after one change")
FLAT_UP_TO = 1.3
#: Figures, and whether less is better.
FIGURES = {
    "a_second": False,
    "p50_ms": True,
    "p99_ms": True,
    "server_cpu_ms_each": True,
    "written_bytes_each": True,
}


class Verdict(NamedTuple):
    """A goal, what was found, and whether that reaches it."""

    goal: str
    found: str
    met: bool


def faults(results: dict[str, Any]) -> list[str]:
    """Every error and every wrong answer of Safehold."""
    return [
        f"{phase} at {size} items: {fault}"
        for size, servers in results["sizes"].items()
        for phase, found in servers.get(OURS, {"phases": {}})["phases"].items()
        for fault in (*(f"{count} answers {status}" for status, count in found["errors"].items()), *found["wrong"])
    ]


def better_peer(servers: dict[str, Any], phase: str, figure: str) -> float | None:
    """The better peer's figure among those that answered rightly; None where none did."""
    told = (servers[peer]["phases"][phase] for peer in PEERS)
    values: list[float] = [t[figure] for t in told if figure in t and not t["wrong"] and not t["errors"]]
    if not values:
        return None
    return min(values) if FIGURES[figure] else max(values)


def times_better(servers: dict[str, Any], phase: str, figure: str) -> float | None:
    """How many times better than the better peer; None where there is nothing to compare."""
    ours: float | None = servers[OURS]["phases"][phase].get(figure)
    theirs = better_peer(servers, phase, figure)
    if not ours or not theirs:
        return None
    return theirs / ours if FIGURES[figure] else ours / theirs


def verdicts(results: dict[str, Any]) -> list[Verdict]:
    """A verdict on each goal that these sizes can tell something about."""
    sizes = results["sizes"]
    told = [_ahead(size, servers) for size, servers in sizes.items()]
    if LARGE in sizes:
        for figure, wanted in (("server_cpu_ms_each", CPU_TIMES_LESS), ("p50_ms", TIMES_FASTER)):
            what = "times less server CPU" if figure == "server_cpu_ms_each" else "times faster"
            for phase, times in wanted.items():
                found = times_better(sizes[LARGE], phase, figure)
                goal = f"{phase} at {int(LARGE):,}: at least {times} {what} than the better peer"
                told.append(Verdict(goal, _times(found), found is not None and found >= times))
    if SMALL in sizes and LARGE in sizes:
        small, large = sizes[SMALL][OURS], sizes[LARGE][OURS]
        for phase in FLAT:
            growth = _growth(small["phases"][phase], large["phases"][phase], "server_cpu_ms_each")
            told.append(_flat(f"server CPU of {phase}", growth))
        told.append(_flat("resident memory", large["rss_mb"] / small["rss_mb"]))
    return told


def _ahead(size: str, servers: dict[str, Any]) -> Verdict:
    behind = []
    for phase, found in servers[OURS]["phases"].items():
        if found["errors"] or found["wrong"]:
            behind.append(f"{phase} (wrong)")
            continue
        for figure in FIGURES:
            times = times_better(servers, phase, figure)
            if times is not None and times < 1:
                behind.append(f"{phase} {figure} ({times:.2f})")
    return Verdict(f"ahead of both peers in every figure at {int(size):,}", ", ".join(behind) or "all", not behind)


def _growth(small: dict[str, Any], large: dict[str, Any], figure: str) -> float | None:
    return large[figure] / small[figure] if figure in small and figure in large else None


def _flat(what: str, growth: float | None) -> Verdict:
    goal = f"{what}: at most {FLAT_UP_TO} times as much at {int(LARGE):,} as at {int(SMALL):,}"
    return Verdict(goal, _times(growth), growth is not None and growth <= FLAT_UP_TO)


def _times(found: float | None) -> str:
    return "nothing to compare" if found is None else f"{found:,.2f}" if found < 10 else f"{found:,.0f}"
