"""What rules read: one value of what was seen at one moment (`Sight`), and what they remember (`Memory`).

Whoever looks fills in what it can and leaves the rest at its default: None, or an empty tuple, means "not looked at",
and no rule takes that for good or bad news. Times are µs of the wall clock, ages and intervals seconds of the
monotonic one.
"""

from __future__ import annotations

import msgspec


class GenerationSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The newest generation that lies in a vault, as its manifest says."""

    number: int
    at: int  # µs
    items: dict[str, int]  # live, by kind
    core_items: dict[str, int] | None = None  # of the core when it was written, at least; None: not known


class VaultSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One vault, as far as somebody could look into it."""

    name: str
    sync: bool
    available: bool | None = None
    trouble: str = ""  # why what is shipped there does not get on
    full: bool = False  # it refused for want of room
    full_for_bodies: bool = False  # it refused a large body, whatever else it takes
    unarchived: int | None = None  # changes that it lacks
    lag_seconds: float | None = None  # age of the oldest of them
    dropped: str = ""  # what was acknowledged and could not be read back through a fresh handle, in words
    unopened: str = ""  # newest frames that the key at hand does not open, in words
    objects: int | None = None
    bytes: int | None = None
    removals: int = 0  # a mark that changes whenever retention has removed something, on record …
    removed: int = 0  # … and how many objects it then removed
    last_seal: int | None = None  # µs
    last_scrub: int | None = None
    last_replay: int | None = None
    last_drill: int | None = None
    generation: GenerationSeen | None = None
    bodies_missing: int | None = None  # large bodies that live items name, and that it does not list


class RoomSeen(msgspec.Struct, frozen=True):
    """A disk that something is written to."""

    name: str  # what lies there: "core", "vault near"
    free_bytes: int
    total_bytes: int = 0  # 0: not known


class End(msgspec.Struct, frozen=True):
    """Something that holds until a day."""

    what: str  # "certificate" or "key"
    name: str
    at: int  # µs


class Witness(msgspec.Struct, frozen=True):
    """What another clock said.

    `exact`: it was asked just now (the Date of an HTTP answer). Else it tells only that it is not earlier than this: a
    frame of the log, a vault's receipt, the last look of the run before. `earlier`: it was written by a run before this
    one, so that much later than it says how long nothing ran, or that the clock is ahead.
    """

    name: str
    at: int  # µs
    exact: bool = False
    earlier: bool = False


class WriterSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The writer's end of the log, as a keeper sees it: by frames alone."""

    name: str
    silent_seconds: float  # since a new frame of it was seen


class JobSeen(msgspec.Struct, frozen=True, kw_only=True):
    """When a job last came to its end, and whether it did what it should."""

    name: str
    every_seconds: float
    ended: int | None = None
    ok: bool = True
    why: str = ""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen at one moment."""

    now: int  # µs
    monotonic: float  # seconds
    up_seconds: float = 0.0  # since whoever looks began
    writing: bool = False  # a writer is open and takes changes
    recovering: bool = False  # not all is here yet: sizes say nothing
    changes: int | None = None  # accepted ever
    items: dict[str, int] = {}  # live, by kind
    arrived: dict[str, int] | None = None  # changes accepted since the last look, by kind
    arrived_accounts: dict[str, int] | None = None  # the same by account (its name or id)
    vaults: tuple[VaultSeen, ...] = ()
    rooms: tuple[RoomSeen, ...] = ()
    appends: tuple[float, ...] = ()  # seconds that each write into the sync vaults took, since the last look
    commits: tuple[float, ...] = ()  # seconds that each commit of the core took
    chains: dict[str, str] | None = None  # streams of the core whose newest changes do not chain: why
    recipients: tuple[str, ...] = ()  # whom new frames are sealed to
    own_recipient: str = ""  # of the identity at hand; "": it is elsewhere
    key_wrong: str = ""  # what the recovery key or identity at hand does not open, in words
    witnesses: tuple[Witness, ...] = ()
    ends: tuple[End, ...] = ()
    writers: tuple[WriterSeen, ...] = ()
    jobs: tuple[JobSeen, ...] = ()
    last_snapshot: int | None = None  # µs; None: not looked at, 0: there is none
    channels: dict[str, str] = {}  # channels of alarms that do not get through: why
    last_alarm_test: int | None = None  # µs; 0: never; None: nothing to be tested


class Arrivals(msgspec.Struct):
    """How something has arrived so far: a kind, or an account."""

    first: float  # seconds of the memory's time, as all here
    last: float
    count: int = 0
    gaps: list[float] = []  # the longest silence of each of the last weeks, newest last
    week: float = 0.0  # when the newest of them began
    days: list[int] = []  # arrivals of the last days, newest last
    day: float = 0.0  # when the newest of them began


class VaultMemory(msgspec.Struct):
    objects: int = 0
    bytes: int = 0
    removals: int = 0
    owed: int = 0  # objects that retention has removed, and that no listing has shown to be gone yet …
    owed_at: float = 0.0  # … since
    shrank: str = ""  # in words; "" where it did not
    shrank_at: float = 0.0


class HourOf(msgspec.Struct):
    """Durations of one hour: how many, and the longest few."""

    began: float
    count: int = 0
    longest: list[float] = []


class BehindSince(msgspec.Struct):
    """The least that a vault has lacked since it was level, and when that was."""

    least: int
    at: float


class Memory(msgspec.Struct):
    """What rules remember from look to look; the caller keeps it on disk. Bounded by the rules that fill it."""

    version: int = 1
    seconds: float = 0.0  # the time that passed under the rules' eyes: what was not looked at does not count
    wall: int = 0  # µs, of the last look
    kinds: dict[str, Arrivals] = {}
    accounts: dict[str, Arrivals] = {}
    vaults: dict[str, VaultMemory] = {}
    rooms: dict[str, list[tuple[float, int]]] = {}  # (seconds, free bytes), one an hour
    slow: dict[str, list[float]] = {}  # p99 of each hour, newest last
    recent: dict[str, list[tuple[float, float]]] = {}  # (seconds, duration) of the last minutes
    hour: dict[str, HourOf] = {}  # the hour under way
    jumped: str = ""  # in words
    jumped_at: float = 0.0
    recipients: list[str] = []
    recipients_changed: str = ""
    recipients_at: float = 0.0
    grew: float = 0.0  # when changes were last accepted
    changes: int = 0
    behind: dict[str, BehindSince] = {}  # by vault
    most: dict[str, list[tuple[int, int]]] = {}  # by kind: (day, the most items that lived on it)
    snapshot: int = 0  # µs, the last one seen
    uncovered: float = -1.0  # when something first came after it; -1: nothing has
