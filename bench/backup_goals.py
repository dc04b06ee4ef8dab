"""What `bench.backup` is to show, judged from its results."""

from __future__ import annotations

from typing import Any

from bench.goals import Verdict

OURS = "Safehold"
SMALL = "100000"
INCREMENTAL_SECONDS, INCREMENTAL_BYTES = 0.2, 1_000_000
CONTACTS_SECONDS = 0.1
TIMES_BARE_LOAD = 2.0
PEAK_BYTES = 300_000_000
#: Tools that, as Safehold does, look at each item when they restore: pages of a database file are copied unread.
_ITEM_BY_ITEM = ("pg_dump", "file an item")

Step = dict[str, Any]


def faults(results: dict[str, Any]) -> list[str]:
    """Everything that Safehold brought back other than it should be, or did not bring."""
    return [
        f"{step} at {size} items: {fault}"
        for size, measured in results["sizes"].items()
        for step, found in measured["tools"].get(OURS, {"steps": {}})["steps"].items()
        for fault in (*found["wrong"], *(["broken off"] if found["broken_off"] else []))
    ]


def peers(measured: dict[str, Any], step: str) -> dict[str, Step]:
    """The step of every peer that has done it, rightly and to its end."""
    return {
        name: tool["steps"][step]
        for name, tool in measured["tools"].items()
        if name != OURS and step in tool["steps"] and not _flawed(tool["steps"][step])
    }


def _flawed(found: Step) -> bool:
    return bool(found["wrong"] or found["broken_off"])


def ours(measured: dict[str, Any], step: str) -> Step | None:
    found: Step | None = measured["tools"].get(OURS, {"steps": {}})["steps"].get(step)
    return None if found is None or _flawed(found) else found


def verdicts(results: dict[str, Any]) -> list[Verdict]:
    """A verdict on each goal that the sizes measured can tell something about."""
    told: list[Verdict] = []
    for size, measured in results["sizes"].items():
        at = f"at {int(size):,}"
        told.append(_ahead(measured, "full backup", at))
        told.append(_ahead(measured, "verify", at))
        if size == SMALL:
            told += _incremental(measured, at)
        told.append(_contacts(measured, at))
        told.append(_bare_load(measured, at))
        told.append(_ahead(measured, "whole restore", at, _ITEM_BY_ITEM))
        told.append(_memory(measured, at))
    return told


def _ahead(measured: dict[str, Any], step: str, at: str, which: tuple[str, ...] = ()) -> Verdict:
    """Before every peer, or before those whose names have one of these words."""
    found = ours(measured, step)
    others = {
        name: each["seconds"]
        for name, each in peers(measured, step).items()
        if not which or any(word in name for word in which)
    }
    whom = "pg_restore and the file-an-item tools" if which else "every peer"
    goal = f"{step} {at}: ahead of {whom}"
    if found is None or not others:
        return Verdict(goal, "nothing to compare", False)
    best = min(others, key=others.__getitem__)
    return Verdict(goal, f"{_s(found)}; {best} {others[best]:.2f} s", found["seconds"] < others[best])


def _incremental(measured: dict[str, Any], at: str) -> list[Verdict]:
    found = ours(measured, "1 % changed")
    goals = (
        f"1 % changed {at}: at most {INCREMENTAL_SECONDS} s in process",
        f"1 % changed {at}: at most {INCREMENTAL_BYTES / 1e6:.0f} MB stored",
    )
    if found is None:
        return [Verdict(goal, "not measured", False) for goal in goals]
    return [
        Verdict(goals[0], _s(found), found["inner_seconds"] <= INCREMENTAL_SECONDS),
        Verdict(goals[1], f"{found['stored_bytes'] / 1e6:.2f} MB", found["stored_bytes"] <= INCREMENTAL_BYTES),
    ]


def _contacts(measured: dict[str, Any], at: str) -> Verdict:
    found = ours(measured, "one account's contacts")
    goal = f"one account's contacts {at}: under {CONTACTS_SECONDS * 1000:.0f} ms in process"
    if found is None:
        return Verdict(goal, "not measured", False)
    return Verdict(goal, f"{found['inner_seconds'] * 1000:.0f} ms", found["inner_seconds"] < CONTACTS_SECONDS)


def _bare_load(measured: dict[str, Any], at: str) -> Verdict:
    found, bare = ours(measured, "whole restore"), ours(measured, "bare bulk load")
    goal = f"whole restore {at}: at most {TIMES_BARE_LOAD:.0f} times a bare bulk load"
    if found is None or bare is None:
        return Verdict(goal, "not measured", False)
    times = found["inner_seconds"] / bare["inner_seconds"]
    text = f"{times:.2f} times ({found['inner_seconds']:.2f} s and {bare['inner_seconds']:.2f} s)"
    return Verdict(goal, text, times <= TIMES_BARE_LOAD)


def _memory(measured: dict[str, Any], at: str) -> Verdict:
    goal = f"memory {at}: under {PEAK_BYTES / 1e6:.0f} MB in every step"
    steps = measured["tools"].get(OURS, {"steps": {}})["steps"]
    held = {step: found["peak_bytes"] for step, found in steps.items() if step != "bare bulk load"}
    if not held:
        return Verdict(goal, "not measured", False)
    most = max(held, key=held.__getitem__)
    return Verdict(goal, f"{held[most] / 1e6:.0f} MB ({most})", held[most] < PEAK_BYTES)


def _s(found: Step) -> str:
    return f"{found['inner_seconds']:.3f} s ({found['seconds']:.2f} s as a command)"
