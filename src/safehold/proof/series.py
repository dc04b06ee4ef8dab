"""What is recorded of a running service every few minutes: a report shows how it stood, not only how it ends.

A sample is a line of JSON. Samples of long ago are thinned to one an hour, the worst: what was bad stays to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

#: A sample is wanted so often.
SAMPLE_SECONDS = 300.0
_MICROSECONDS = 1_000_000
HOUR = 3600 * _MICROSECONDS
DAY = 24 * HOUR
#: How bad a state is; what is not known is not well.
_RANK = {"met": 0, "not set": 0, "unknown": 1, "at risk": 2, "violated": 3}


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How one objective stood."""

    target: float | None  # seconds
    actual: float | None  # seconds
    state: str  # met, at risk, violated, unknown, not set


class Foreseen(msgspec.Struct, frozen=True, array_like=True):
    """A forecast, in seconds; four times in five it lies between `low` and `high`."""

    seconds: float
    low: float
    high: float


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the service stood at one moment."""

    at: int  # µs
    service: str
    lag: dict[str, float | None] = {}  # by vault: age of the oldest change that it lacks, seconds; None: not known
    items: dict[str, int] = {}  # live ones, by kind
    objectives: dict[str, Standing] = {}
    forecast: dict[str, Foreseen] = {}  # by objective
    vault_bytes: dict[str, int] = {}  # as last scrubbed
    bytes: dict[str, int] = {}  # of bodies, by kind
    incidents: int = 0  # that go on

    def worst_lag(self) -> float:
        """Seconds; of a vault whose lag is not known, none."""
        return max((seconds for seconds in self.lag.values() if seconds is not None), default=0.0)


def state_rank(state: str) -> int:
    """Greater is worse. A state of a newer release counts as not known."""
    return _RANK.get(state, _RANK["unknown"])


def sample_of(status: Mapping[str, Any], at: int) -> Sample:
    """Out of a status object."""
    vaults = [vault for vault in _list(status.get("vaults")) if isinstance(vault, dict)]
    return Sample(
        at,
        str(status.get("service")),
        {str(vault.get("name")): _seconds(vault.get("lag_seconds")) for vault in vaults},
        {kind: count for kind, count in _dict(status.get("items")).items() if isinstance(count, int)},
        {
            name: Standing(
                _seconds(one.get("target_seconds")), _seconds(one.get("actual_seconds")), str(one.get("state"))
            )
            for name, one in _dict(status.get("objectives")).items()
            if isinstance(one, dict) and one.get("state") not in (None, "not set")
        },
        _forecasts(_dict(status.get("forecast"))),
        {str(vault.get("name")): size for vault in vaults if isinstance(size := _scrubbed(vault), int)},
        {kind: size for kind, size in _dict(status.get("bytes")).items() if isinstance(size, int)},
        sum(1 for one in _list(status.get("incidents")) if isinstance(one, dict) and one.get("until") is None),
    )


def _forecasts(told: Mapping[str, Any]) -> dict[str, Foreseen]:
    found = {}
    for name, one in told.items():
        if isinstance(one, dict):
            values = [_seconds(one.get(key)) for key in ("seconds", "low_seconds", "high_seconds")]
            if all(value is not None for value in values):
                found[name] = Foreseen(*(value for value in values if value is not None))
    return found


def _scrubbed(vault: Mapping[str, Any]) -> Any:
    return _dict(vault.get("last_scrub")).get("bytes")


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(float(value), 3)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


# -- lines -----------------------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sample).decode


def encode_line(sample: Sample) -> bytes:
    return _encode(sample) + b"\n"


class Read(NamedTuple):
    """Samples in order of time, and how many lines could not be read: a kill in the middle of one leaves it torn."""

    samples: list[Sample]
    broken: int


def decode_lines(data: bytes) -> Read:
    samples: dict[int, Sample] = {}
    broken = 0
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            sample = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            broken += 1
        else:
            samples[sample.at] = sample
    return Read([samples[at] for at in sorted(samples)], broken)


def thinned(samples: Iterable[Sample]) -> list[Sample]:
    """The worst sample of each hour: by the state of its objectives, then by lag, then by incidents; else the first."""
    worst: dict[int, Sample] = {}
    for sample in samples:
        hour = sample.at // HOUR
        if hour not in worst or _badness(sample) > _badness(worst[hour]):
            worst[hour] = sample
    return [worst[hour] for hour in sorted(worst)]


def _badness(sample: Sample) -> tuple[int, float, int]:
    states = max((state_rank(one.state) for one in sample.objectives.values()), default=0)
    return states, sample.worst_lag(), sample.incidents
