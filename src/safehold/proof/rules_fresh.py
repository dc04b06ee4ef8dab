"""Rules of freshness: what should have come, been sealed, scrubbed, replayed, drilled or written by now."""

from __future__ import annotations

from collections.abc import Iterator

from safehold.proof.alarms import Condition
from safehold.proof.limits import Limits, lasting
from safehold.proof.seen import BehindSince, JobSeen, Memory, Sight, VaultSeen

_MICROSECONDS = 1_000_000


def archiver_behind(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Async vaults that lack what was accepted. None of them gets anything: it is the archiver. Else it is the vault.

    One that is catching up is not stuck: it lacks fewer changes from look to look.
    """
    del before
    stuck: list[tuple[VaultSeen, float]] = []
    asynchronous = [vault for vault in sight.vaults if not vault.sync]
    for vault in asynchronous:
        if not vault.unarchived:
            memory.behind.pop(vault.name, None)
            continue
        since = memory.behind.setdefault(vault.name, BehindSince(vault.unarchived, memory.seconds))
        if vault.unarchived < since.least:
            since.least, since.at = vault.unarchived, memory.seconds
        lag = vault.lag_seconds or 0.0
        if (lag > limits.behind and memory.seconds - since.at >= limits.behind) or lag > limits.behind_at_all:
            stuck.append((vault, lag))
    here = [vault for vault in asynchronous if vault.available is not False]
    if here and all(any(vault is one for one, _ in stuck) for vault in here):
        most = max(vault.unarchived or 0 for vault, _ in stuck)
        yield Condition(
            what="archiver stopped",
            message=f"{most} accepted changes have reached no async vault for {lasting(max(lag for _, lag in stuck))}",
            hint="`safehold status` names what hinders each vault; restart the service if nothing does",
            summary="Changes do not reach all vaults",
        )
        return
    for vault, lag in stuck:
        if vault.available is not False:
            why = f": {vault.trouble}" if vault.trouble else ""
            yield Condition(
                what="vault behind",
                key=vault.name,
                message=f"the vault {vault.name} lacks {vault.unarchived} changes, the oldest for {lasting(lag)}{why}",
                hint="see whether its disk or network is slow or full",
                summary=f"The vault {vault.name} is behind",
            )


def seals_old(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Changes were accepted, and no seal has stated them since."""
    del before
    seals = [vault.last_seal for vault in sight.vaults if vault.last_seal]
    if not seals or not sight.writing or sight.up_seconds < limits.unsealed:
        return
    age = (sight.now - max(seals)) / _MICROSECONDS
    quiet = memory.seconds - memory.grew
    if limits.unsealed < age and quiet + 60 < age:
        yield Condition(
            what="seals old",
            message=f"the newest seal is {lasting(age)} old, and changes have come since",
            hint="restart the service; if it stays so, see its log for why no seal can be written",
            summary="Backups are not sealed",
        )


def evidence_old(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """The last scrub, replay or drill of a vault is too old; one that never was is as old as the memory."""
    del before
    for vault in sight.vaults:
        for name, last, age, command in (
            ("scrub", vault.last_scrub, limits.scrub_age, f"safehold scrub {vault.name}"),
            ("replay", vault.last_replay, limits.replay_age, "safehold keeper run --once"),
            ("drill", vault.last_drill, limits.drill_age, "safehold drill run"),
        ):
            if last is None:
                continue
            seconds = (sight.now - last) / _MICROSECONDS if last else memory.seconds
            if seconds > age:
                ever = f"was {lasting(seconds)} ago" if last else f"has not been in {lasting(seconds)}"
                yield Condition(
                    what=f"{name} old",
                    key=vault.name,
                    message=f"the last {name} of the vault {vault.name} {ever}; it should be within {lasting(age)}",
                    hint=f"`{command}` does it now; then see why the schedule did not",
                    summary=f"The last {name} is too old",
                )


def snapshot_old(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Something has waited long for the next generation, or for the first. After a rest it has not waited at once."""
    last = sight.last_snapshot
    if last is None or not sight.changes or sight.recovering:
        return
    if last != memory.snapshot:
        memory.snapshot, memory.uncovered = last, -1.0
    came = memory.grew == memory.seconds and before is not None
    if memory.uncovered < 0 and (came or not last):
        memory.uncovered = memory.seconds
    if memory.uncovered < 0:
        return
    seconds = memory.seconds - memory.uncovered
    if seconds > limits.snapshot_age:
        age = lasting((sight.now - last) / _MICROSECONDS) if last else ""
        since = f"the last snapshot is {age} old" if last else "there is no snapshot"
        yield Condition(
            what="no snapshot",
            key="old",
            message=f"{since}: a recovery would have to read the log since then",
            hint="`safehold snapshot` takes one now and says what hinders it",
            summary="The last snapshot is too old",
        )


def writer_silent(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """The dead-man: a writer says something at least every quarter of an hour, or it is not there."""
    del before, memory
    for writer in sight.writers:
        if writer.silent_seconds > limits.writer_silent:
            yield Condition(
                what="writer silent",
                key=writer.name,
                message=f"nothing was written to {writer.name} for {lasting(writer.silent_seconds)}: the service is "
                "down, or its archiver has stopped",
                hint="see whether the service runs (`safehold status` there), and whether it reaches this vault",
                summary="The service does not write",
            )


def work_missed(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """A job that did not come to its end in twice its time, or that failed."""
    del before, limits
    for job in sight.jobs:
        age = memory.seconds if job.ended is None else (sight.now - job.ended) / _MICROSECONDS
        if age > 2 * job.every_seconds:
            yield _job("job missed", job, f"the job {job.name} has not run for {lasting(age)}")
        elif not job.ok:
            yield _job("job failed", job, f"the job {job.name} failed: {job.why}")


def _job(what: str, job: JobSeen, message: str) -> Condition:
    return Condition(
        what=what, key=job.name, message=message, hint="run it by hand and see what it says", summary=message
    )
