"""How long before the loss acknowledged writes may lie that no source has."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from safehold.recovery.sources import Source

_SECOND = 1_000_000


def whole_at_end(sources: Sequence[Source], sync: Collection[str], last_from: str, problems: Sequence[str]) -> bool:
    """Whether the end of the log was read from a vault that every acknowledgement waited for, undamaged there.

    `last_from` is the vault that the last frame came from; `problems` are those of the log reader, each of which
    begins with `VAULT: OBJECT:`. Damage further up, healed from another vault or counted as lost, does not matter here.
    """
    for source in sources:
        if source.vault == last_from and source.vault in sync and not source.problem:
            end = f"{source.vault}: {source.last}"
            return not any(problem.startswith(end) for problem in problems)
    return False


def unknown_seconds(whole: bool, last_at: int | None, lost_at: int) -> float:
    """An upper bound, in seconds: 0 where a sync vault took part whole, else from the last frame to the loss.

    `last_at` is the time of the last frame that could be read (µs; None where none could); `lost_at` the last moment at
    which something may have been acknowledged, or now where nobody knows better. A writer's clock that ran ahead of
    this one's gives 0: then the bound rests on the clocks.
    """
    if whole:
        return 0.0
    if last_at is None:
        return lost_at / _SECOND
    return max(0.0, (lost_at - last_at) / _SECOND)
