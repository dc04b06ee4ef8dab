"""Rules of what was found by trying: vaults that drop what they acknowledge, keys, chains, channels of alarms."""

from __future__ import annotations

from collections.abc import Iterator

from safehold.proof.alarms import Condition
from safehold.proof.limits import Limits, lasting
from safehold.proof.seen import Memory, Sight

_MICROSECONDS = 1_000_000


def vault_away(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """A vault that is not there; the status object says the same under the same name."""
    del before, memory, limits
    for vault in sight.vaults:
        if vault.available is False:
            yield Condition(
                what="vault missing",
                key=vault.name,
                message=f"the vault {vault.name} is not there",
                hint="mount its disk, or start its keeper",
                summary=f"The vault {vault.name} is away",
            )


def vault_drops(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """A vault said that it holds something, and what is read back is not that."""
    del before, memory, limits
    for vault in sight.vaults:
        if vault.dropped:
            first = "what it acknowledged is only in the core" if vault.sync else "other vaults still hold it"
            yield Condition(
                what="vault drops",
                key=vault.name,
                message=f"the vault {vault.name} acknowledged what it does not hold: {vault.dropped}",
                hint=f"{first}: add another vault (`safehold vault add`) before you look into this one; "
                f"`safehold scrub {vault.name}` names what is missing",
                summary=f"The vault {vault.name} loses what it takes",
            )


def wrong_key(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """What is written now could not be opened with the key that is kept for the day of need."""
    del before, memory, limits
    hint = "find the key that opens it before anything else is lost: `safehold vault keys show` says who can read"
    for vault in sight.vaults:
        if vault.unopened:
            yield Condition(
                what="wrong key",
                key=vault.name,
                message=f"the newest frames in the vault {vault.name} do not open: {vault.unopened}",
                hint=hint,
                summary="A backup cannot be opened",
            )
    if sight.key_wrong:
        yield Condition(
            what="wrong key", key="recovery key", message=sight.key_wrong, hint=hint, summary="A key does not fit"
        )
    if sight.own_recipient and sight.recipients and sight.own_recipient not in sight.recipients:
        yield Condition(
            what="wrong key",
            key="identity",
            message="new frames are not sealed to the identity that lies here: it will not open them",
            hint="`safehold vault keys add RECIPIENT` seals to it again",
            summary="A key does not fit",
        )


def recipients_changed(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Whoever adds a recipient can read all that is written from then on. Told for a day."""
    del before
    now = sorted(sight.recipients)
    if now and memory.recipients and now != memory.recipients:
        added, gone = set(now) - set(memory.recipients), set(memory.recipients) - set(now)
        words = [f"{sign} {', '.join(sorted(some))}" for sign, some in (("new:", added), ("gone:", gone)) if some]
        memory.recipients_changed, memory.recipients_at = "; ".join(words), memory.seconds
    if now:
        memory.recipients = now
    if memory.recipients_changed and memory.seconds - memory.recipients_at <= limits.told:
        yield Condition(
            what="recipients changed",
            message=f"who can read new frames has changed: {memory.recipients_changed}",
            hint="if it was you, `safehold alarm ack` it; else take the recipient out and rotate the keys",
            summary="The keys of the backup have changed",
        )


def chain_broken(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Changes of the core that are not what was written, or do not follow each other."""
    del before, memory, limits
    for stream, why in sorted((sight.chains or {}).items()):
        yield Condition(
            what="chain broken",
            key=stream,
            message=f"the changes of {stream} in the core do not chain: {why}",
            hint="stop the service before more is written on it; `safehold recover plan` says what the vaults hold",
            summary="A part of the server's data is damaged",
        )


def channel_silent(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """A channel of alarms that does not get through, or that nobody has tested for long."""
    del before
    for channel, why in sorted(sight.channels.items()):
        yield Condition(
            what="alarm channel",
            key=channel,
            message=f"alarms do not get through to {channel}: {why}",
            hint="mend it, then `safehold alarm test`",
            summary="Alarms do not get through",
        )
    last = sight.last_alarm_test
    if last is not None:
        age = (sight.now - last) / _MICROSECONDS if last else memory.seconds
        if age > limits.alarm_test_age:
            yield Condition(
                what="alarm test old",
                message=f"the channels of alarms were not tested for {lasting(age)}",
                hint="`safehold alarm test`, and ask whoever should have got it",
                summary="Alarms have not been tested",
            )
