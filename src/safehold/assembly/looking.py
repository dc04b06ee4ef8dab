"""Everything that the rules of alarms read of one installation, put together into one `Sight` at a time.

`Parts` says where each piece comes from, so that a service, a simulated house and a test look in the same way. A vault
that hangs costs its own look only: `look_at_vault` is what a thread of its own may call for each, and `sight` takes
what was found last. Without threads (`look_at_all`) everything is looked at in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from safehold.archiver.shipper import Shipper
from safehold.assembly.looking_core import ChainWalk, Heard, Stream
from safehold.assembly.looking_vault import Openers, VaultLook, VaultLooks
from safehold.config import VaultConfig
from safehold.formats.blob import blob_object
from safehold.formats.keys import Opener, recipient_of
from safehold.model.errors import Damaged, OutOfSpace, SafeholdError
from safehold.model.kinds import DATA_KINDS
from safehold.ports.core import CoreReads, LogPosition
from safehold.ports.vault import Vault
from safehold.ports.world import Clock
from safehold.proof.seen import End, GenerationSeen, RoomSeen, Sight, VaultSeen, Witness, WriterSeen

#: How often the live bodies are compared with what vaults list.
BODIES_SECONDS = 600.0
#: A large body that was refused for want of room is told of for so long, where none was taken since.
BODY_REFUSED_SECONDS = 3600.0
#: Counts of the core at positions of its log, to hold generations against.
MOST_COUNTED = 500


class Keys(NamedTuple):
    """The keys as they lie on disk now."""

    openers: Openers
    recipients: tuple[str, ...] = ()
    wrong: str = ""  # what cannot be read of them, in words


class Timings(NamedTuple):
    appends: tuple[float, ...] = ()
    commits: tuple[float, ...] = ()


class Parts(NamedTuple):
    """Where the pieces come from. All but `make_vault` are called by the thread that looks."""

    clock: Clock
    configs: Callable[[], Sequence[VaultConfig]]
    make_vault: Callable[[VaultConfig], Vault]
    keys: Callable[[], Keys]
    reads: Callable[[], CoreReads | None]  # None where there is nothing to read now
    shippers: Callable[[], Sequence[Shipper]] = tuple
    stopped: Callable[[], SafeholdError | None] = lambda: None  # why nothing is written
    refusal: Callable[[], SafeholdError | None] = lambda: None  # why the last frame was not taken
    body_refusal: Callable[[], SafeholdError | None] = lambda: None  # why the last large body was not taken
    recovering: Callable[[], bool] = lambda: False
    rooms: Callable[[], Sequence[RoomSeen]] = tuple
    timings: Callable[[], Timings] = Timings
    blob_names: Callable[[CoreReads], set[bytes]] | None = None
    removals: Callable[[str], tuple[int, int]] = lambda _: (0, 0)  # of a vault: VaultSeen.removals and removed
    ends: Callable[[], Sequence[End]] = tuple
    witnesses: Callable[[], Sequence[Witness]] = tuple
    channels: Callable[[], dict[str, str]] = dict
    last_test: Callable[[], int | None] = lambda: None


class Counted(NamedTuple):
    """How many items the core had, when its log had come so far."""

    frame: int
    items: dict[str, int]


class Looking:
    """One thread at a time, but for `look_at_vault`, of which each vault may have its own."""

    def __init__(self, parts: Parts, heard: Heard) -> None:
        self._parts = parts
        self._heard = heard
        self._began = parts.clock.monotonic()
        self._body_refused: tuple[SafeholdError | None, float] = (None, 0.0)
        self._vaults: dict[str, VaultLooks] = {}
        self._looks: dict[str, VaultLook] = {}
        self._walk = ChainWalk()
        self._counted: list[Counted] = []
        self._generations: dict[str, tuple[int, dict[str, int] | None]] = {}
        self._bodies_at = -BODIES_SECONDS
        self._bodies: frozenset[str] | None = None

    # -- vaults

    def position(self) -> LogPosition | None:
        """Up to where the core has committed: every sync vault must hold it."""
        reads = self._parts.reads()
        try:
            return None if reads is None else reads.log_position()
        except Damaged:  # another tells of that
            return None

    def look_at_vault(self, config: VaultConfig, position: LogPosition | None, keys: Keys) -> VaultLook:
        """`position` was asked for before. Raises nothing."""
        looks = self._vaults.setdefault(
            config.name, VaultLooks(lambda: self._parts.make_vault(config), self._parts.clock)
        )
        look = looks.look(position if self._must_have(config) else None, keys.openers)
        self._looks[config.name] = look
        return look

    def _must_have(self, config: VaultConfig) -> bool:
        """A sync vault has what is committed; an async one, once nothing waits for it."""
        if config.mode == "sync":
            return True
        shipper = self._shipper(config)
        return shipper is not None and shipper.caught_up

    def _shipper(self, config: VaultConfig) -> Shipper | None:
        return next((s for s in self._parts.shippers() if s.target == config.name), None)

    # -- the whole

    def look_at_all(self, status: Mapping[str, Any] | None = None) -> Sight:
        """Look at every vault now, in this thread, and at everything else."""
        position, keys = self.position(), self._parts.keys()
        looks = {c.name: self.look_at_vault(c, position, keys) for c in self._parts.configs()}
        return self.sight(looks, keys, status)

    def sight(self, looks: Mapping[str, VaultLook], keys: Keys, status: Mapping[str, Any] | None = None) -> Sight:
        """`looks` are what was found of the vaults; one that is not among them was not looked at."""
        parts = self._parts
        reads = parts.reads()
        kinds, accounts, streams = self._heard.take()
        counts, items, named = self._look_at_core(reads, accounts)
        timings = parts.timings()
        own = next((opener for _, opener in keys.openers if opener.can_open), None)
        vaults = tuple(self._vault(c, looks.get(c.name), status, items) for c in parts.configs())
        return Sight(
            now=parts.clock.now(),
            monotonic=parts.clock.monotonic(),
            up_seconds=parts.clock.monotonic() - self._began,
            writing=parts.stopped() is None and reads is not None,
            recovering=parts.recovering(),
            changes=counts["changes"] if counts is not None else None,
            items=items,
            arrived=kinds,
            arrived_accounts=named,
            vaults=vaults,
            rooms=tuple(parts.rooms()),
            appends=timings.appends,
            commits=timings.commits,
            chains=self._chains(reads, streams),
            recipients=keys.recipients,
            own_recipient=_recipient(own),
            key_wrong=keys.wrong,
            witnesses=(*parts.witnesses(), *self._frames(looks)),
            ends=tuple(parts.ends()),
            last_snapshot=self._last_snapshot(vaults, looks),
            channels=parts.channels(),
            last_alarm_test=parts.last_test(),
        )

    def _look_at_core(
        self, reads: CoreReads | None, accounts: Mapping[bytes, int]
    ) -> tuple[Mapping[str, int] | None, dict[str, int], dict[str, int]]:
        """Counts, live items by kind, and who is who; nothing where a page cannot be read, which another one tells of.

        What is wrong elsewhere must be told all the same.
        """
        if reads is None:
            return None, {}, {}
        try:
            counts = reads.counts()
            items = {str(kind): counts.get(str(kind), 0) for kind in DATA_KINDS}
            self._count(reads.log_position().frame, items)
            self._list_bodies(reads)
            return counts, items, self._named(reads, accounts)
        except Damaged:
            return None, {}, {}

    def _chains(self, reads: CoreReads | None, streams: Sequence[Stream]) -> dict[str, str] | None:
        if reads is None or self._parts.recovering():
            return None
        try:
            return self._walk.walk(reads, streams)
        except Damaged:
            return None

    def _vault(
        self, config: VaultConfig, look: VaultLook | None, status: Mapping[str, Any] | None, items: dict[str, int]
    ) -> VaultSeen:
        shipper = self._shipper(config)
        counted = shipper is not None and shipper.compared
        scrub = _last_scrub(status, config.name)
        if look is None:
            return VaultSeen(name=config.name, sync=config.mode == "sync")
        removals, removed = self._parts.removals(config.name)
        missing = None
        # Of what came into the core since a vault was listed that listing knows nothing.
        comparable = self._bodies is not None and self._bodies_at < look.listed_at
        if look.bodies is not None and self._bodies is not None and comparable and not self._parts.recovering():
            missing = len(self._bodies - look.bodies - set(shipper.pending_blobs() if shipper else ()))
        return VaultSeen(
            name=config.name,
            sync=config.mode == "sync",
            available=look.available,
            trouble=(shipper.trouble or "") if shipper is not None else "",
            full=self._is_full(config, shipper),
            full_for_bodies=shipper is None and self._is_full_for_bodies(config),
            unarchived=shipper.unarchived_changes if shipper is not None and counted else None,
            lag_seconds=shipper.lag_seconds if shipper is not None and counted else None,
            dropped=look.dropped,
            unopened=look.unopened,
            objects=look.objects,
            bytes=look.bytes,
            removals=removals,
            removed=removed,
            last_seal=look.last_seal,
            last_scrub=scrub,
            generation=self._generation(config.name, look, items),
            bodies_missing=missing,
        )

    def _is_full(self, config: VaultConfig, shipper: Shipper | None) -> bool:
        said = f"vault {config.name} is full"
        if shipper is not None:
            return said in (shipper.trouble or "")
        errors = (self._parts.stopped(), self._parts.refusal())
        return any(isinstance(error, OutOfSpace) and said in error.message for error in errors)

    def _is_full_for_bodies(self, config: VaultConfig) -> bool:
        """A body that was refused says something for an hour, as there may be no other that shows that it is over."""
        error, now = self._parts.body_refusal(), self._parts.clock.monotonic()
        if error is not self._body_refused[0]:
            self._body_refused = (error, now)
        fresh = now - self._body_refused[1] < BODY_REFUSED_SECONDS
        return error is not None and fresh and f"vault {config.name} is full" in error.message

    # -- sizes

    def _count(self, frame: int, items: dict[str, int]) -> None:
        if not self._counted or self._counted[-1].frame < frame:
            self._counted = [*self._counted[-MOST_COUNTED:], Counted(frame, items)]

    def _generation(self, vault: str, look: VaultLook, items: dict[str, int]) -> GenerationSeen | None:
        """What a generation must hold at least: what the core had both before it was written and when it was seen."""
        found = look.generation
        if found is None:
            return None
        known = self._generations.get(vault)
        if known is None or known[0] != found.number:
            before = [counted for counted in self._counted if counted.frame <= found.upto.frame]
            least = {kind: min(n, items.get(kind, 0)) for kind, n in before[-1].items.items()} if before else None
            known = self._generations[vault] = (found.number, least)
        return GenerationSeen(number=found.number, at=found.at, items=found.items, core_items=known[1])

    def _list_bodies(self, reads: CoreReads) -> None:
        now = self._parts.clock.monotonic()
        if self._parts.blob_names is not None and now - self._bodies_at >= BODIES_SECONDS:
            self._bodies_at = now
            self._bodies = frozenset(blob_object(name) for name in self._parts.blob_names(reads))

    @staticmethod
    def _named(reads: CoreReads | None, accounts: Mapping[bytes, int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for id_, count in accounts.items():
            account = reads.account_by_id(id_) if reads is not None else None
            if account is not None and account.name:
                found[account.name] = count
        return found

    @staticmethod
    def _last_snapshot(vaults: Sequence[VaultSeen], looks: Mapping[str, VaultLook]) -> int | None:
        seen = [looks[vault.name] for vault in vaults if vault.name in looks and looks[vault.name].available]
        if not seen:
            return None
        return max((look.generation.at for look in seen if look.generation is not None), default=0)

    @staticmethod
    def _frames(looks: Mapping[str, VaultLook]) -> list[Witness]:
        found = []
        for name, look in looks.items():
            if look.last_frame is not None:
                found.append(Witness(f"the newest frame in the vault {name}", look.last_frame))
            if look.earlier_frame is not None:
                found.append(Witness(f"the last run in the vault {name}", look.earlier_frame, earlier=True))
        return found


def writers_seen(names: Mapping[str, float], monotonic: float) -> tuple[WriterSeen, ...]:
    """Of when a new frame of each was last seen, by the monotonic clock."""
    return tuple(WriterSeen(name=name, silent_seconds=monotonic - at) for name, at in sorted(names.items()))


def _recipient(opener: Opener | None) -> str:
    return recipient_of(opener.identities[0]) if opener is not None else ""


def _last_scrub(status: Mapping[str, Any] | None, name: str) -> int | None:
    """When a vault was last scrubbed, as the status object says; 0: never; None: not known."""
    for vault in (status or {}).get("vaults") or ():
        if vault.get("name") == name:
            last = vault.get("last_scrub")
            return 0 if last is None else int(last["at"])
    return None
