"""A look into one vault, as a stranger would read it: through a fresh handle, and never by the writer's memory.

Whether a vault holds what it acknowledged is seen by reading back the newest frame that it must have, by its digest;
whether anything that was there is gone, by comparing listings; whether what it holds could be opened on the day of
need, by opening the newest frame with each key that is at hand. Used by one thread at a time, which may hang.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from safehold.formats import segment
from safehold.formats.frame import FrameType, RawFrame
from safehold.formats.keys import KeyAway, Opener
from safehold.formats.segment import SegmentName
from safehold.model.errors import Damaged, OperatorError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.vault import Vault, VaultDown
from safehold.ports.world import Clock
from safehold.vault.runs import list_generations
from safehold.vault.segments import Copy, load_copy, segments, timelines

#: Segments that are read back at a look, at most; and further back for the newest seal, once.
BACK, SEAL_BACK = 3, 60
#: A listing is repeated after so long, or after so many times what it took.
LIST_SECONDS, LIST_TIMES = 120.0, 100.0
#: Segments of which the length is remembered from listing to listing.
MOST_SEGMENTS = 2000
#: A vault that was found to drop something is told of for so long, whatever it says since.
DROPPED_SECONDS = 86_400.0
#: A key by name, and what opens with it.
Openers = Sequence[tuple[str, Opener]]


class Manifested(NamedTuple):
    """The newest generation of a vault."""

    number: int
    at: int  # µs
    upto: LogPosition
    items: dict[str, int]


class VaultLook(NamedTuple):
    """What one look found; None where it did not look, or could not."""

    available: bool = False
    dropped: str = ""
    unopened: str = ""
    last_seal: int | None = None  # µs
    last_frame: int | None = None  # µs
    last_number: int = 0
    earlier_frame: int | None = None  # µs: the newest of the timeline before
    objects: int | None = None
    bytes: int | None = None
    bodies: frozenset[str] | None = None  # names of blob objects, where it was just listed
    listed_at: float = 0.0  # monotonic: when the listing that gave them began
    generation: Manifested | None = None


class VaultLooks:
    """Looks into one vault, again and again."""

    def __init__(self, make: Callable[[], Vault], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._last = VaultLook()
        self._listed_at = -1e18
        self._list_seconds = 0.0
        self._segments: dict[str, int] = {}
        self._lengths: dict[str, tuple[int, int]] = {}  # generations that were read: what they said
        self._generation: Manifested | None = None
        self._dropped, self._dropped_at = "", 0.0

    def look(self, must_have: LogPosition | None, openers: Openers) -> VaultLook:
        """`must_have` is a frame that the vault has acknowledged; None where none is known. Raises nothing."""
        vault = self._make()
        try:
            if not vault.available():
                return VaultLook()
            return self._inside(vault, must_have, openers)
        except (VaultDown, OSError):  # it went away between two looks
            return VaultLook()
        finally:
            vault.close()

    def _inside(self, vault: Vault, must_have: LogPosition | None, openers: Openers) -> VaultLook:
        copies = _newest(vault, BACK if self._last.last_seal else SEAL_BACK)
        frames = sorted((f for copy in copies for f in copy.frames.values()), key=lambda f: f.header.number)
        seals = [f.header.at for f in frames if f.header.type is FrameType.SEAL]
        last = frames[-1].header if frames else None
        gone = "" if must_have is None else held(vault, must_have, copies)
        found = VaultLook(
            True,
            unopened=unopened(frames, openers),
            last_seal=max(seals, default=self._last.last_seal),
            last_frame=last.at if last is not None else None,
            last_number=last.number if last is not None else 0,
            earlier_frame=max(
                (f.header.at for f in frames if last and f.header.timeline < last.timeline), default=None
            ),
        )
        found, vanished = self._listing(vault, found)
        now = self._clock.monotonic()
        if gone or vanished:
            self._dropped, self._dropped_at = gone or vanished, now
        elif now - self._dropped_at > DROPPED_SECONDS:
            self._dropped = ""
        self._last = found._replace(dropped=self._dropped, generation=self._newest_generation(vault, openers))
        return self._last

    def _listing(self, vault: Vault, found: VaultLook) -> tuple[VaultLook, str]:
        """Count what is there, where it is time to; and what was there at the last listing and is not any more."""
        began = self._clock.monotonic()
        if began - self._listed_at < max(LIST_SECONDS, LIST_TIMES * self._list_seconds):
            return found._replace(objects=self._last.objects, bytes=self._last.bytes), ""
        count = size = 0
        log: dict[str, int] = {}
        bodies: list[str] = []
        for info in vault.list():
            count += 1
            size += info.size
            if info.name.startswith(segment.LOG_PREFIX):
                log[info.name] = info.size
            elif info.name.startswith("blobs/"):
                bodies.append(info.name)
        vanished = _vanished(self._segments, log)
        self._segments = dict(sorted(log.items())[-MOST_SEGMENTS:])
        self._listed_at = began
        self._list_seconds = self._clock.monotonic() - began
        return found._replace(objects=count, bytes=size, bodies=frozenset(bodies), listed_at=began), vanished

    def _newest_generation(self, vault: Vault, openers: Openers) -> Manifested | None:
        """Read once, where a key is at hand that opens it."""
        names = [name for name in vault.folders("runs/") if name.isdigit()]
        known = self._generation.number if self._generation is not None else 0
        if not names or int(max(names)) <= known:
            return self._generation
        for _, opener in openers:
            if opener.can_open:
                with suppress(OperatorError, Damaged):
                    for generation in list_generations([vault], opener)[:1]:
                        manifest = generation.manifest
                        position = LogPosition(*manifest.upto)
                        self._generation = Manifested(generation.number, manifest.at, position, manifest.items)
                break
        return self._generation


def held(vault: Vault, position: LogPosition, copies: Sequence[Copy] = ()) -> str:
    """Whether the vault holds the frame at that position: "", or what is there in its place, in words."""
    if position == EMPTY_LOG:
        return ""
    number = position.frame
    for copy in copies:
        frame = copy.frames.get(number)
        if frame is not None and frame.digest == position.digest:
            return ""
    names = [name for name in segments([vault], position.timeline) if name.first <= number]
    for name in reversed(names[-BACK:]):
        with suppress(KeyError):
            frame = load_copy(vault, name).frames.get(number)
            if frame is not None and frame.digest == position.digest:
                return ""
    return f"frame {number} of timeline {position.timeline} is not there"


def unopened(frames: Sequence[RawFrame], openers: Openers) -> str:
    """Which keys do not open the newest frame of changes (or any, where there is none); "" where all do."""
    chosen = [f for f in frames if f.header.type is FrameType.CHANGES][-1:] or list(frames[-1:])
    for name, opener in openers:
        for frame in chosen:
            try:
                opener.decrypt(frame.payload)
            except KeyAway:
                continue
            except Damaged as error:
                return f"with the {name} frame {frame.header.number} {error.message}"
    return ""


def _newest(vault: Vault, most: int) -> list[Copy]:
    """The newest segments of a vault, newest first."""
    found: list[Copy] = []
    for timeline in reversed(timelines([vault])):
        names: list[SegmentName] = list(segments([vault], timeline))
        for name in reversed(names):
            with suppress(KeyError):
                found.append(load_copy(vault, name))
            enough = len(found) >= BACK and any(
                f.header.type is FrameType.SEAL for copy in found for f in copy.frames.values()
            )
            if len(found) >= most or enough:
                return found
    return found


def _vanished(before: dict[str, int], now: dict[str, int]) -> str:
    """What of the log was listed, and is gone or shorter; not what retention takes, from its beginning.

    Of a timeline it leaves the first segment, or the claim that this one begins with.
    """
    first = "/00000000-"
    oldest = min((name for name in now if first not in name), default=min(now, default=""))
    gone = [name for name, size in before.items() if name > oldest and now.get(name, -1) < size]
    if before and not now:
        return "its log is gone"
    if not gone:
        return ""
    return f"{gone[0]} is {'shorter than it was' if gone[0] in now else 'gone'}" + (
        f", and {len(gone) - 1} more" if len(gone) > 1 else ""
    )
