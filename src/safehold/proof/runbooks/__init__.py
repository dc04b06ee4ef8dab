"""Runbooks: what to do when something has happened, or so that it does not, as data. One module for each.

runbook     a name, a title, how to tell that it is the one, steps, and what is good to know beside them
step        a text, mostly a command, and a check that tells whether the step has done what it is for
asked       what a step's command needs of the person: its `{placeholders}`

All texts are in English and in Spanish. The pages in docs/runbooks/ are made from them (page.py), `safehold runbook run`
walks through them (walk.py), and every one is walked through by a test in which the trouble is real.
"""

from __future__ import annotations

from importlib import import_module

from safehold.proof.runbooks.value import Runbook

#: Every runbook, in the order in which they are told: what has happened, what prevents, what is done now and then.
NAMES = (
    "recover",
    "damaged-core",
    "bare-machine",
    "both-lost",
    "damaged-vault",
    "lost-vault",
    "ransomware",
    "key-lost",
    "one-account",
    "mass-deletion",
    "old-core",
    "disk-full",
    "silent-writer",
    "shrunk",
    "clock",
    "alarm-channel",
    "missed-job",
    "drill-failed",
    "objective",
    "weekly",
    "keeper",
    "upgrade",
    "move-host",
    "rotate-keys",
    "add-vault",
    "retire-vault",
    "erasure",
)


def runbook_named(name: str) -> Runbook:
    """Raises KeyError where there is none of this name."""
    if name not in NAMES:
        raise KeyError(name)
    found = import_module(f"safehold.proof.runbooks.{name.replace('-', '_')}").RUNBOOK
    assert isinstance(found, Runbook) and found.name == name
    return found


def all_runbooks() -> list[Runbook]:
    return [runbook_named(name) for name in NAMES]
