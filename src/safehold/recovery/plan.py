"""`recover plan`: read and verify everything, say what would come back, write nothing.

A plan reads the newest generation and the log after it, or the whole log, out of the vaults (the readers verify
digests, signatures and the chain of frames), follows every stream's chain and bodies, looks whether the blobs of live
items are there, compares the core that is there, and forecasts how long a run takes from how long this took. It holds
some 200 bytes an item while it works, and is itself a small value: it can be printed, and written to a JSON file for
`recover run` (I26: nothing else is written).

Long, as what a plan says stands beside how it comes to say it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import msgspec

from safehold.model.change import Change
from safehold.model.errors import OperatorError
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import Head
from safehold.model.token import TOKEN_KEY
from safehold.ports.blobs import Blobs
from safehold.ports.core import EMPTY_LOG, CoreReads, LogPosition
from safehold.ports.log import Hole, LogFrame, LogReader
from safehold.ports.vault import Vault
from safehold.ports.world import Clock
from safehold.recovery.blobs import ItemKey, absent, live_blobs, name_losses
from safehold.recovery.chains import Gap, StreamKey
from safehold.recovery.examine import Finding, State, compare, inspect
from safehold.recovery.find import Find, Probe
from safehold.recovery.forecast import Pace, basis, forecast, new_pace
from safehold.recovery.gaining import Gaining
from safehold.recovery.mended_ends import mended_ends
from safehold.recovery.mending import CORE, LOG, Mender, generation_words
from safehold.recovery.origin import Origin, divide, feed, finish, ignore
from safehold.recovery.portions import Settling, Wanted, no_rows, portions
from safehold.recovery.replay import Replay, Witness
from safehold.recovery.report import Loss, Progress, Report, Stage, silent
from safehold.recovery.selection import SYSTEM, Selection
from safehold.recovery.sources import SalvageMark, Source, look
from safehold.recovery.tally import BlobLoss, make_tally
from safehold.recovery.unknown import Uncovered, unknown_seconds, whole_at_end
from safehold.recovery.witness import CoreWitness
from safehold.vault.runs import Runs, StreamEntry

PLAN_VERSION = 3
#: Sentences kept in a plan.
MAX_PROBLEMS = 500
#: Of those, how many a refusal tells.
_TOLD_PROBLEMS = 3
#: Streams named that nobody vouches for.
_TOLD_STREAMS = 20


class ByParity(msgspec.Struct, frozen=True):
    """An object that is damaged or missing in a vault, and was computed again from that vault's own parity."""

    vault: str
    object: str


class StreamPlan(msgspec.Struct, frozen=True):
    """One stream: what can be reached, what was sealed beyond it, and the state at what can be reached."""

    account: bytes
    kind: Kind
    name: str  # of the account
    head: Head
    sealed: Head | None
    missing: tuple[Gap, ...]
    items: int
    state: bytes  # StreamState.fingerprint
    sources: tuple[str, ...] = ()  # what it is read from: "generation 1200", "log", "core"


class Plan(msgspec.Struct):
    """What a run would do, and from what. `report` has forecasts where a run has measurements."""

    version: int
    made_at: int  # µs
    sources: list[Source]
    generation: int  # that it begins with; 0 where it begins with the log
    older: int  # generation whose heads that one must know; 0 where a keeper attested it, or there is none
    damaged: list[tuple[bytes, Kind]]  # streams of it that are put together from other sources too
    end: LogPosition  # of the last good frame
    core: State
    core_reason: str
    selection: Selection
    to: int | None  # µs: undo what came after, once everything is back
    erased: list[bytes]
    holes: list[Hole]
    streams: list[StreamPlan]
    problems: list[str]
    basis: str
    report: Report
    #: Of all versions that go into the core, and of live large bodies.
    stage_bytes: dict[Kind, int] = {}
    #: What a bare machine takes up before a run (formats/travelling.py): keys are sealed in it.
    travelling: dict[str, bytes] = {}
    #: Made by a glance (glance.py): what is said to be whole has not been read.
    glanced: bool = False
    #: Salvage folders that it was made from too; streams that are put together with what these have (joining.py), and
    #: how far the core that is there, which is sound, has them.
    salvages: list[SalvageMark] = []
    joined: list[tuple[bytes, Kind]] = []
    core_heads: list[tuple[bytes, Kind, Head]] = []
    by_parity: list[ByParity] = []
    #: The highest timeline that anything found speaks of: a run claims a higher one.
    highest: int = 0
    #: Whether the installation's own key is in none of all this (anew.py).
    key_lost: bool = False

    def to_json(self, read_me: Sequence[str] = ()) -> bytes:
        """The plan file. `read_me`, in its head, is for who approves it; a run reads the rest."""
        data = {"read_me": list(read_me), **msgspec.to_builtins(self)}
        return msgspec.json.format(msgspec.json.encode(data), indent=1)

    def come_from(self) -> list[tuple[str, int]]:
        """What streams are read from, and how many, the most first; "" stands for nothing."""
        counts = Counter(" and ".join(stream.sources) for stream in self.streams)
        return counts.most_common()

    @property
    def nothing_to_do(self) -> bool:
        return self.core is State.WHOLE and not self.key_lost


def parse_plan(data: bytes) -> Plan:
    """A plan file. Raises OperatorError (exit 2) where it is none, or of another version."""
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except msgspec.MsgspecError as error:
        raise OperatorError(f"this is no plan: {error}", exit_code=2) from error
    if plan.version != PLAN_VERSION:
        raise OperatorError(f"this plan is of version {plan.version}; make a new one", exit_code=2)
    return plan


class _Reading(msgspec.Struct):
    """What comes of reading the log once."""

    holes: list[Hole]
    pace: Pace
    end: LogPosition = EMPTY_LOG
    changed: LogPosition = EMPTY_LOG  # of the last frame with changes
    spoken: LogPosition = EMPTY_LOG  # of the last frame that says what was written
    spoken_at: int | None = None
    last_at: int | None = None
    last_from: str = ""
    position_seen: bool = False
    damaged: list[StreamKey] = []
    from_log: set[StreamKey] = set()
    mended: dict[StreamKey, tuple[str, ...]] = {}  # what these were put together from
    mender: Mender | None = None
    all_known: bool = True  # whether there can be no stream that no source names
    uncovered_seconds: float = 0.0  # how long the holes lasted of which nothing tells what they held
    heard: bool = False  # whether any vault told of any change


def make_plan(
    reader: LogReader,
    vaults: Sequence[Vault],
    clock: Clock,
    *,
    accounts: Sequence[str] = (),
    kinds: Sequence[Kind] = (),
    to: int | None = None,
    sync: Collection[str] = (),
    erased: Collection[bytes] = (),
    core: CoreReads | None = None,
    core_problem: str = "",
    core_newer: str = "",
    core_closed: bool = True,
    blobs: Blobs | None = None,
    lost_at: int | None = None,
    runs: Runs | None = None,
    settling: Settling | None = None,
    find: Find | None = None,
    parity: Sequence[Vault] = (),
    progress: Progress = silent,
) -> Plan:
    """Plan the recovery of these accounts (names; all where empty) and kinds from what `reader` reads.

    `runs` are the generations in the vaults: without it the log alone is read, from its first frame. `settling` reads
    streams of a generation in other processes.
    `vaults` are those behind the reader, which prefers the sync ones; `sync` are the names of those that
    acknowledgements waited for. `core` is the one
    that is there, opened for reading, or `core_problem` says why it cannot be, `core_newer` that
    only a newer release can. `blobs` are the live ones, for bodies
    that no vault has. `lost_at` (µs) is the last moment at which something may have been acknowledged; now if None.
    `find` is what was salvaged; `parity` gives large bodies that vaults have lost and can compute again.
    Raises OperatorError where no vault can be read, nothing in them is ours, or a named account is unknown.
    """
    now = clock.now()
    sources = look(vaults)
    if find is None or not find.keys:
        check_sources(sources)
    found = inspect(core, core_problem, progress, core_newer)
    witness = CoreWitness(core) if core is not None else None
    log = Replay(erased if find is None else {*erased, *find.erased}, witness)
    origin = Origin(reader, runs)
    gaining = Gaining(find, origin, log, witness) if find is not None else None
    probe = gaining.probe if gaining is not None else None
    reading = _read(origin, log, witness, found.position, clock, _Bytes(progress, sources), settling, probe)
    if gaining is not None:
        gaining.gain()
    if core is not None and found.state is State.WHOLE:
        own = found.replay
        found = compare(core, found, log.chains, reading.position_seen or found.position == origin.position)
        if gaining is not None and own is not None:
            found = gaining.beside(found, own.chains)
    if gaining is not None and find is not None:
        _count(reading, gaining, find, log)
    if found.state is State.WHOLE and found.replay is not None:
        _take_names(found.replay, log)
    if reading.end == EMPTY_LOG and found.state is not State.WHOLE and not (gaining is not None and gaining.joined):
        why = ["no frame of it can be read with this key", *reader.problems()[:_TOLD_PROBLEMS]]
        raise _nothing(sources, "; ".join(why))
    replay = found.replay if found.state is State.WHOLE and found.replay is not None else log
    selection = select(log, accounts, kinds, found)
    counted = [key for key in replay.chains.streams() if selection.counted(*key)]
    losses = _blob_losses(origin, replay, counted, [*vaults, *parity], blobs, reading, gaining)
    tally = make_tally(replay, selection.counted, losses)
    key_lost = _lacks_key(replay, tally.lost)
    problems = [
        *_doubts(replay, key_lost),  # first: of many problems a few are shown
        *reader.problems(),
        *(runs.problems() if runs is not None else ()),
        *_mended(runs, reading),
        *log.chains.problems,
        *vouched_by_nobody(origin, log),
        *(gaining.told() if gaining is not None else ()),
    ]
    ended = whole_at_end(sources, sync, reading.last_from, reading.spoken, problems) and not _lost_at_end(reading)
    # A core that nobody closed, on a disk that may have lost the end of its WAL, is no witness of what came after it.
    reaches = reading.last_from in sync and found.position.frame <= reading.end.frame
    whole = ended or (found.state is State.WHOLE and (reaches or core_closed))
    seconds = forecast(reading.pace)
    if found.state is State.WHOLE:
        seconds = dict.fromkeys(RESTORE_ORDER, 0.0)
    total = sum(seconds.values())
    inline = replay.inline_bytes(selection.counted)
    report = Report(
        accounts=tally.accounts,
        streams=tally.streams,
        changes_expected=tally.changes_expected,
        changes_recovered=tally.changes_recovered,
        items=tally.items,
        lost=tally.lost,
        unknown_seconds=unknown_seconds(whole, reading.last_at, now if lost_at is None else lost_at)
        + (0.0 if found.state is State.WHOLE else reading.uncovered_seconds),
        stages=[
            Stage(kind, tally.items[kind].exact + tally.items[kind].older, seconds[kind]) for kind in RESTORE_ORDER
        ],
        first_contact_seconds=total,
        seconds=total,
        verified=found.state is State.WHOLE or _all_verified(log, reading),
        timeline=reading.end.timeline,
        not_exact=tally.not_exact,
    )
    return Plan(
        version=PLAN_VERSION,
        made_at=now,
        sources=sources,
        generation=origin.number,
        older=origin.older,
        damaged=reading.damaged,
        end=reading.end,
        core=found.state,
        core_reason=found.reason,
        selection=selection,
        to=to,
        erased=sorted(replay.erased),
        holes=reading.holes,
        streams=_streams(log, origin, reading, found),
        problems=problems[:MAX_PROBLEMS],
        basis=basis(reading.pace),
        stage_bytes={kind: inline[kind] + reading.pace.blob_bytes[kind] for kind in RESTORE_ORDER},
        report=report,
        travelling=log.travelling,
        salvages=find.marks() if find is not None else [],
        joined=list(gaining.joined) if gaining is not None else [],
        core_heads=[(*key, head) for key, head in gaining.core_heads.items()] if gaining is not None else [],
        highest=max(reading.end.timeline, find.timeline if find is not None else 0),
        key_lost=key_lost,
    )


class _Bytes:
    """Progress in bytes of the log, out of those of the largest vault."""

    def __init__(self, progress: Progress, sources: Sequence[Source]) -> None:
        self._progress = progress
        self._total = max((source.size for source in sources), default=0)
        self._done = self._changes = 0

    def changes(self, count: int) -> None:
        """So many changes of a generation were read."""
        self._changes += count
        self._progress("read", self._changes, 0, "changes")

    def read(self, count: int) -> None:
        self._done += count
        self._progress("read", self._done, max(self._total, self._done), "bytes")


def _read(
    origin: Origin,
    log: Replay,
    witness: Witness | None,
    position: LogPosition,
    clock: Clock,
    progress: _Bytes,
    settling: Settling | None,
    probe: Probe | None,
) -> _Reading:
    reading = _Reading([], new_pace(), changed=origin.position, position_seen=origin.position == position)
    _read_generation(origin, log, witness, clock, reading, progress, settling, probe)
    before = clock.monotonic()
    uncovered = Uncovered()
    for entry in origin.tail():
        if isinstance(entry, Hole):
            reading.holes.append(entry)
            uncovered.hole(entry)
            continue
        uncovered.frame(entry)
        for change in entry.changes:
            log.feed(change)
            if probe is not None:
                probe.saw(change)
            reading.from_log.add((change.account, change.kind))
        if entry.sealed:
            log.seal(entry.heads)
        reading.end, reading.last_at, reading.last_from = entry.position, entry.at, entry.source
        if entry.changes or entry.sealed:
            reading.spoken, reading.spoken_at = entry.position, entry.at
        if entry.changes:
            reading.changed = entry.position
        reading.heard |= bool(entry.changes or entry.heads)
        reading.position_seen |= entry.position == position
        after = clock.monotonic()
        share_seconds(entry, after - before, reading.pace.seconds)
        before = after
        progress.read(entry.size)
    log.finish()
    reading.uncovered_seconds = uncovered.seconds()
    reading.all_known &= uncovered.all_known
    for kind, count in log.changes.items():
        reading.pace.changes[kind] = count
    return reading


class _Watch:
    """Charges time to kinds, and tells how far the reading is."""

    def __init__(self, clock: Clock, pace: Pace, progress: _Bytes) -> None:
        self._clock = clock
        self._pace = pace
        self._progress = progress
        self._before = clock.monotonic()

    def read(self, kind: Kind, changes: int) -> None:
        now = self._clock.monotonic()
        self._pace.seconds[kind] += now - self._before
        self._before = now
        self._progress.changes(changes)


def _read_generation(
    origin: Origin,
    log: Replay,
    witness: Witness | None,
    clock: Clock,
    reading: _Reading,
    progress: _Bytes,
    settling: Settling | None,
    probe: Probe | None,
) -> None:
    """Every stream once; those that are damaged then once more, put together from all that is left of them."""
    if origin.generation is None:
        return
    reading.end, reading.last_at = origin.position, origin.generation.manifest.at
    reading.spoken = origin.position
    reading.heard = True
    if origin.last is not None:
        reading.last_at, reading.last_from = origin.last.at, origin.last.source
    watch = _Watch(clock, reading.pace, progress)

    def one(entry: StreamEntry) -> None:
        if entry.account in log.erased:
            return
        pieces = origin.pieces(entry)
        feed(log, entry.key, origin.base_of(entry), pieces if probe is None else probe.watched(pieces), ignore)
        finish(log, entry)
        if not log.chains.whole(entry.key) or origin.behind(entry):
            reading.damaged.append(entry.key)
        watch.read(entry.kind, entry.changes)

    identities, rest = divide(origin.streams())
    for entry in identities:
        one(entry)
    rest = [entry for entry in rest if entry.account not in log.erased]
    touched = origin.touched()
    wholes = [entry for entry in rest if entry.key not in touched]
    jobs = portions(origin.number, [(e, Wanted(e.key, witnessed=origin.stated.get(e.key))) for e in wholes])
    settled: set[StreamKey] = set()
    for job, answers in zip(jobs, (settling or origin.settling(no_rows)).run(jobs), strict=True):
        for wanted, answer in zip(job.streams, answers, strict=True):
            if answer is not None:
                log.settle(wanted.key, answer)
                settled.add(wanted.key)
                if probe is not None and wanted.key in probe:
                    probe.watch(origin.bodiless(wanted.key))
                watch.read(wanted.key[1], answer.changes)
    for entry in rest:
        if entry.key not in settled:
            one(entry)
    reading.damaged += [key for key in origin.unheard_of() if key[0] not in log.erased]
    doubtful = origin.doubtful()
    if reading.damaged or doubtful:
        mender = reading.mender = origin.mender(reading.damaged, witness)
        reading.all_known = not doubtful or mender.knows_all(doubtful)
        if not reading.all_known:  # what these frames held nobody tells
            reading.holes += [hole for hole in mender.holes if hole.last <= origin.position.frame]
        for mended in mender.streams():
            log.forget_stream(mended.key)
            pieces = iter(mended.pieces)
            feed(log, mended.key, mended.base, pieces if probe is None else probe.watched(pieces), ignore)
            log.end(mended.key, mended.head, mended.short)
            reading.mended[mended.key] = mended.sources
            if mended.key not in reading.damaged:
                reading.damaged.append(mended.key)


def _count(reading: _Reading, gaining: Gaining, find: Find, log: Replay) -> None:
    """What a find's part in the streams means for what was read."""
    reading.mended.update(gaining.joined)
    reading.damaged = [key for key in reading.damaged if key not in gaining.joined]
    reading.from_log -= gaining.joined.keys()
    for kind, count in log.changes.items():
        reading.pace.changes[kind] = count
    if not reading.heard:  # then nobody tells of streams that were not found
        reading.all_known = False
        reading.last_at, reading.last_from = find.last_at, ""


def _all_verified(log: Replay, reading: _Reading) -> bool:
    return not log.chains.refused and not _lost_at_end(reading) and reading.all_known


def _mended(runs: Runs | None, reading: _Reading) -> list[str]:
    if runs is None:
        return []
    return mended_ends(runs.vaults, runs.opener, reading.changed, reading.spoken, reading.spoken_at)


def _lost_at_end(reading: _Reading) -> bool:
    """Whether frames after the last good one are known: what they held no stream misses, for nothing came after it."""
    return any(hole.first > reading.end.frame for hole in reading.holes)


def share_seconds(entry: LogFrame, seconds: float, kinds: dict[Kind, float]) -> None:
    """Charge the time that a frame took to the kinds in it; a frame without changes to identity, which comes first."""
    changes = entry.changes
    if not changes:
        kinds[Kind.IDENTITY] += seconds
    elif len(changes) == 1:
        kinds[changes[0].kind] += seconds
    else:
        each = seconds / len(changes)
        for change in changes:
            kinds[change.kind] += each


def check_sources(sources: Sequence[Source]) -> None:
    """Raises OperatorError where none of them can be read."""
    if all(source.problem for source in sources):
        raise _nothing(sources, "")


def _take_names(own: Replay, log: Replay) -> None:
    """What a core misses has no name in its journal: it has where the vaults miss the same and know what it was."""
    for key, named in log.chains.named.items():
        same = own.chains.head(key) == log.chains.head(key) and own.chains.missing(key) == log.chains.missing(key)
        if same and key[0] not in own.erased:
            own.chains.named[key] = named
            own.contents.streams[key] = log.contents.streams[key]


def vouched_by_nobody(origin: Origin, log: Replay) -> list[str]:
    """What is taken on the word alone of who wrote the generation: no keeper, no older one and no seal says it."""
    found = [key for key in origin.unwitnessed() if key[0] not in log.erased]
    named = [f"{log.name_of(account) or 'the installation'}, {kind}" for account, kind in found[:_TOLD_STREAMS]]
    more = f" and {len(found) - len(named)} more" if len(found) > len(named) else ""
    why = f"generation {origin.number} is attested by nobody, and no seal that can be read states how it ends"
    return [f"{why}: {'; '.join(named)}{more}"] if found else []


def _lacks_key(replay: Replay, lost: Sequence[Loss]) -> bool:
    """Whether accounts are here and the installation's own key is not."""
    known = set(replay.chains.streams())
    named = any(one.account == "" and one.name == TOKEN_KEY for one in lost)
    return bool(known) and (named or (SYSTEM, Kind.IDENTITY) not in known)


def _doubts(replay: Replay, key_lost: bool) -> list[str]:
    key = (SYSTEM, Kind.IDENTITY)
    known = set(replay.chains.streams())
    if not known or (key in known and not replay.chains.missing(key)):
        return []
    told = [
        "THE INSTALLATION'S OWN KEY IS LOST: a run lets the next start make a new key of sync tokens, where every "
        "vault that is configured has been read; else it has to be told to by --accept-loss"
    ]
    return [
        *(told if key_lost else ()),
        "ERASED ACCOUNTS MAY COME BACK: revisions of the installation's own identity, which says who was erased, are "
        "missing; look through the accounts afterwards, and erase again who was erased before",
    ]


def _nothing(sources: Sequence[Source], why: str) -> OperatorError:
    told = "; ".join(f"{source.vault}: {source.problem or why}" for source in sources)
    return OperatorError(
        f"nothing can be recovered from these vaults: {told or 'none is given'}",
        hint="name a vault by --vault URL and its key by --identity FILE; `safehold salvage` finds what is left of "
        "damaged ones",
    )


def select(log: Replay, accounts: Sequence[str], kinds: Sequence[Kind], found: Finding) -> Selection:
    """Raises OperatorError (exit 2) where a name is that of no account."""
    ids: tuple[bytes, ...] | None = None
    if accounts:
        by_name = {name: id_ for id_, name in log.names.items()}
        by_name |= {account.hex(): account for account, _ in log.chains.streams()}
        unknown = [name for name in accounts if name not in by_name]
        if unknown:
            raise OperatorError(f"the vaults know no account {', '.join(unknown)}", exit_code=2)
        ids = tuple(sorted(by_name[name] for name in accounts))
    chosen = tuple(kind for kind in RESTORE_ORDER if kind in kinds) if kinds else None
    selection = Selection(ids, chosen)
    if selection.whole or found.replay is None:
        return selection
    keep = tuple(key for key in found.holds if not selection.entered(*key))
    return msgspec.structs.replace(selection, keep=keep)


def _blob_losses(
    origin: Origin,
    replay: Replay,
    counted: Sequence[StreamKey],
    vaults: Sequence[Vault],
    blobs: Blobs | None,
    reading: _Reading,
    gaining: Gaining | None,
) -> list[BlobLoss]:
    wanted: dict[bytes, int] = {}
    pace = reading.pace
    for (stream, _, _), ref in live_blobs(replay.contents, counted):
        wanted[ref.name] = ref.size
        pace.blobs[stream[1]] += 1
        pace.blob_bytes[stream[1]] += ref.size
    if not wanted:
        return []
    gone = absent(vaults, wanted)
    hurt: set[ItemKey] = {key for key, ref in live_blobs(replay.contents, counted) if ref.name in gone}
    if not hurt:
        return []
    changes = _changes(origin, reading.mender, gaining)
    elsewhere = gaining.has_body if gaining is not None else None
    return name_losses(changes, hurt, replay.contents, vaults, blobs, elsewhere)


def _changes(origin: Origin, mender: Mender | None, gaining: Gaining | None) -> Iterator[Change]:
    """All that was read, once more: streams that were mended, or gained by a find, as they were put together."""
    joined = gaining.joined.keys() if gaining is not None else frozenset[StreamKey]()
    apart = joined | frozenset(mender.keys if mender is not None else ())
    for stream in origin.streams():
        if stream.key not in apart:
            for piece in origin.pieces(stream):
                yield piece.change
    for one in mender.streams() if mender is not None else ():
        for piece in one.pieces if one.key not in joined else ():
            yield piece.change
    for entry in origin.tail():
        if not isinstance(entry, Hole):
            yield from (change for change in entry.changes if (change.account, change.kind) not in joined)
    if gaining is not None:
        yield from gaining.changes()


def read_from(key: StreamKey, origin: Origin, from_log: Collection[StreamKey]) -> tuple[str, ...]:
    """Where a stream comes from that is whole in the generation, the log after it, or both."""
    has = origin.generation is not None and origin.has(key)
    own = (generation_words(origin.number),) if has else ()
    return (*own, LOG) if key in from_log or not has else own


def _sources_of(key: StreamKey, log: Replay, origin: Origin, reading: _Reading, found: Finding) -> tuple[str, ...]:
    if found.state is State.WHOLE and key in found.holds:
        return (CORE,)
    sources = [CORE] if found.state is State.BEHIND and key in found.holds else []
    if key not in reading.mended:
        sources += read_from(key, origin, reading.from_log)
    else:
        sources += [*reading.mended[key], *((LOG,) if key in reading.from_log else ())]
    return tuple(dict.fromkeys([*sources, *((CORE,) if key in log.helped else ())]))


def _streams(log: Replay, origin: Origin, reading: _Reading, found: Finding) -> list[StreamPlan]:
    streams = []
    for key in log.chains.streams():
        state = log.contents.end(key)
        streams.append(
            StreamPlan(
                *key,
                log.name_of(key[0]),
                log.chains.head(key),
                log.chains.sealed.get(key),
                tuple(log.chains.missing(key)),
                state.live,
                state.fingerprint(),
                _sources_of(key, log, origin, reading, found),
            )
        )
    return streams
