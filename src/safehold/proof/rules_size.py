"""Rules of size and completeness: backups that run, and hold less and less of what they should.

A kind or an account is compared with its own history: it has *stopped* where it is silent for three times its longest
silence of the last four weeks, once there are two weeks to compare with; a kind also where a whole day brought ten
times less than the slowest of the 14 days before. What never came often says nothing by its silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from safehold.proof.alarms import Condition
from safehold.proof.limits import DAY, Limits, lasting
from safehold.proof.seen import Arrivals, Memory, Sight, VaultMemory

#: Weeks of which the longest silence is remembered, and days of which arrivals are counted.
WEEKS, DAYS = 4, 28
#: Accounts whose arrivals are remembered; those heard of longest ago make room.
MOST_ACCOUNTS = 10_000

#: What retention says that it removed is looked for in listings for so long.
OWED_SECONDS = 2 * 3600.0


def kind_stopped(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """A kind whose changes came all the time, and come no more."""
    del before
    if sight.arrived is None or sight.recovering:
        return
    for kind, arrivals, why in _stopped(sight.arrived, memory.kinds, memory.seconds, limits, limits.kind_silence):
        del arrivals
        yield Condition(
            what="kind stopped",
            key=kind,
            message=f"no {kind} arrive as they used to: {why}",
            hint="try with a device: create one and see what it is answered; compare with the web server's log",
            summary=f"Changes of {kind} have stopped arriving",
        )


def account_stopped(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """An account that changed something all the time, and does no more."""
    del before
    if sight.arrived_accounts is None or sight.recovering:
        return
    arrived, known, now = sight.arrived_accounts, memory.accounts, memory.seconds
    for account, _, why in _stopped(arrived, known, now, limits, limits.account_silence):
        yield Condition(
            what="account stopped",
            key=account,
            message=f"nothing arrives from the account {account} as it used to: {why}",
            hint="ask whether its devices still sync; `safehold account list` says whether it is locked",
            summary="An account has stopped arriving",
        )
    while len(known) > MOST_ACCOUNTS:
        del known[min(known, key=lambda name: known[name].last)]


def kind_empty(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """The core has items of a kind, and a vault's newest generation, written since, has none or hardly any."""
    del before, memory, limits
    if sight.recovering:
        return
    for vault in sight.vaults:
        generation = vault.generation
        if generation is None or generation.core_items is None:
            continue
        for kind, expected in sorted(generation.core_items.items()):
            held = generation.items.get(kind, 0)
            if expected > 0 and held * 2 < expected:
                yield Condition(
                    what="kind empty",
                    key=f"{vault.name}/{kind}",
                    message=f"generation {generation.number} in the vault {vault.name} holds {held} {kind}; the core "
                    f"had at least {expected} when it was written",
                    hint="`safehold snapshot --full` writes all anew; until then the log still holds them",
                    summary=f"A backup holds no {kind}",
                )


def vault_shrank(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Fewer objects, or bytes, than there were, beyond what retention and repair have on record. Stands until told."""
    del before
    for vault in sight.vaults:
        if vault.objects is None or vault.bytes is None or vault.available is False:
            continue
        known = memory.vaults.get(vault.name)
        if known is None:
            memory.vaults[vault.name] = VaultMemory(vault.objects, vault.bytes, vault.removals)
            continue
        # A listing is older than the look that brings it: what was removed since shows in a later one.
        if vault.removals != known.removals:
            known.removals, known.owed, known.owed_at = vault.removals, known.owed + vault.removed, memory.seconds
        retained, excused = known.owed > 0, min(max(0, known.objects - vault.objects), known.owed)
        known.owed -= excused
        gone = known.objects - vault.objects - excused
        fewer = gone >= max(limits.shrink_least, limits.shrink_share * known.objects) or (vault.objects == 0 < gone)
        lighter = not retained and vault.bytes < known.bytes * (1 - limits.shrink_share)
        if fewer or lighter:
            known.shrank = (
                f"the vault {vault.name} had {known.objects} objects with {known.bytes} bytes, and has "
                f"{vault.objects} with {vault.bytes}; no retention on record has removed them"
            )
            known.shrank_at = memory.seconds
        known.objects, known.bytes = vault.objects, vault.bytes
        if memory.seconds - known.owed_at > OWED_SECONDS:
            known.owed = 0
        if known.shrank and memory.seconds - known.shrank_at <= limits.told:
            yield Condition(
                what="vault shrank",
                key=vault.name,
                message=known.shrank,
                hint=f"`safehold scrub {vault.name}` names what is missing; find out who can remove things there",
                summary=f"The vault {vault.name} shrank",
            )


def bodies_uncovered(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Large bodies that live items name, and that a vault does not list: a folder that no backup covers."""
    del before, memory, limits
    for vault in sight.vaults:
        if vault.bodies_missing:
            yield Condition(
                what="bodies not covered",
                key=vault.name,
                message=f"{vault.bodies_missing} photos or large notes are not in the vault {vault.name}",
                hint=f"`safehold scrub {vault.name}` names them, `safehold vault repair {vault.name}` brings them",
                summary="Some photos are not backed up",
            )


def _stopped(
    arrived: Mapping[str, int], known: dict[str, Arrivals], now: float, limits: Limits, least: float
) -> Iterator[tuple[str, Arrivals, str]]:
    """Note what has arrived; those that have stopped, with why."""
    for name, count in arrived.items():
        if count and name not in known:
            known[name] = Arrivals(now, now, week=now, day=now, days=[0], gaps=[0.0])
    for name, arrivals in sorted(known.items()):
        _roll(arrivals, now)
        if count := arrived.get(name, 0):
            arrivals.gaps[-1] = max(arrivals.gaps[-1], now - arrivals.last)
            arrivals.last = now
            arrivals.count += count
            arrivals.days[-1] += count
        if why := _silence(arrivals, now, limits, least):
            yield name, arrivals, why


def _roll(arrivals: Arrivals, now: float) -> None:
    """Begin new days and weeks."""
    while now - arrivals.day >= DAY:
        arrivals.day += DAY
        arrivals.days = [*arrivals.days[-DAYS:], 0]
    while now - arrivals.week >= 7 * DAY:
        arrivals.week += 7 * DAY
        arrivals.gaps = [*arrivals.gaps[-(WEEKS - 1) :], 0.0]


def _silence(arrivals: Arrivals, now: float, limits: Limits, least: float) -> str:
    """Why it is said to have stopped; "" where it has not, or nothing can be told."""
    if now - arrivals.first < limits.learned:
        return ""
    whole = arrivals.days[:-1]  # the last is under way
    silent, usual = now - arrivals.last, max(arrivals.gaps)
    if sum(1 for count in whole if count) >= limits.active_days and silent > max(least, limits.silence_times * usual):
        return f"none for {lasting(silent)}, where the longest pause was {lasting(usual)}"
    fortnight = whole[-15:-1]
    if least <= DAY and len(fortnight) == 14 and min(fortnight) >= limits.fewer_least:
        yesterday = whole[-1]
        if yesterday * limits.fewer_times < min(fortnight):
            return f"{yesterday} in a day, where there were at least {min(fortnight)} on each of the 14 days before"
    return ""
