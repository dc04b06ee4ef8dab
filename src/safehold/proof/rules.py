"""The rules of alarms: what was seen at a moment, against what is remembered, becomes conditions.

    rules = Rules(memory)                      # Memory() at first; kept by the caller in run/alarms-seen.json
    conditions = rules.judge(sight)            # every look; about every 30 s
    told = alarms.look(sight.now, sight.monotonic, [*conditions_of(status), *conditions])

The rules lie in rooms of their own: `rules_fresh` (lag, archiver, seals, evidence, snapshots, silent writers),
`rules_size` (kinds and accounts that stopped arriving, empty kinds, vaults that shrank, bodies not covered),
`rules_fewer` (kinds of which much has gone),
`rules_vault` (dropped writes, keys, chains, channels), `rules_room` (slow and filling disks), `rules_clock` (clocks,
certificates and keys that end). Each is `rule(sight, before, memory, limits) -> conditions`, `before` being
the sight before it in this run, and may change the memory.

Pure, and deterministic: the same sights give the same conditions.
"""

from __future__ import annotations

from safehold.proof.alarms import Condition
from safehold.proof.limits import DEFAULT_LIMITS, Limits
from safehold.proof.rules_clock import clock_jumped, clock_off, things_end
from safehold.proof.rules_fewer import kind_shrank
from safehold.proof.rules_fresh import (
    archiver_behind,
    evidence_old,
    seals_old,
    snapshot_old,
    work_missed,
    writer_silent,
)
from safehold.proof.rules_room import disk_filling, disk_slow, vault_full
from safehold.proof.rules_size import account_stopped, bodies_uncovered, kind_empty, kind_stopped, vault_shrank
from safehold.proof.rules_vault import (
    chain_broken,
    channel_silent,
    recipients_changed,
    vault_away,
    vault_drops,
    wrong_key,
)
from safehold.proof.seen import Memory, Sight

RULES = (
    archiver_behind,
    seals_old,
    evidence_old,
    snapshot_old,
    writer_silent,
    work_missed,
    kind_stopped,
    account_stopped,
    kind_empty,
    kind_shrank,
    vault_shrank,
    bodies_uncovered,
    vault_away,
    vault_drops,
    wrong_key,
    recipients_changed,
    chain_broken,
    channel_silent,
    disk_slow,
    disk_filling,
    vault_full,
    clock_jumped,
    clock_off,
    things_end,
)


class Rules:
    """All rules over one memory, which they change in place. One thread at a time."""

    def __init__(self, memory: Memory | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self.memory = memory if memory is not None else Memory()
        self.limits = limits
        self._before: Sight | None = None

    def judge(self, sight: Sight) -> list[Condition]:
        """The conditions that hold at this moment."""
        memory, before = self.memory, self._before
        if before is not None:
            memory.seconds += max(0.0, sight.monotonic - before.monotonic)
        if sight.changes is not None and sight.changes != memory.changes:
            memory.grew, memory.changes = memory.seconds, sight.changes
        found: list[Condition] = []
        for rule in RULES:
            found += rule(sight, before, memory, self.limits)
        memory.wall = sight.now
        self._before = sight
        return found
