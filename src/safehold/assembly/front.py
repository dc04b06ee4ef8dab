"""The first moments of a service whose core has to be recovered: it listens, and identity is brought in.

coming       what is to be recovered, from what; worker processes for it are made before anything is open
Front        the door (web/door.py), the local socket, and the status of a service that knows nobody yet
Front.begin  claim a timeline and mark it in the vaults, move aside what is left of the core, put a new one into its
             place that holds all identities; or go on with the one that an earlier start has put there
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

from safehold.adapters.channel import ChannelServer
from safehold.adapters.garbage import rarely_collected
from safehold.adapters.lock import FolderLock
from safehold.adapters.threads import in_daemon
from safehold.assembly.announced import as_facts
from safehold.assembly.finding import Lost, NotByItself, require_recoverable
from safehold.assembly.installation import Installation
from safehold.assembly.logs import tracer_of
from safehold.assembly.recovering import Claim, Sources, helpers_of, make_core, open_old_core
from safehold.assembly.serving_recovery import UnderWay
from safehold.assembly.status import RECOVERING
from safehold.model.errors import Held
from safehold.ports.log import Hole
from safehold.recovery.shares import Helpers
from safehold.recovery.staged import Staged
from safehold.service.control import STATUS, encode_json, encode_results
from safehold.service.items import stamp
from safehold.store.sqlite.bulk import StreamRows
from safehold.web.door import Door

_log = logging.getLogger("safehold.recovery")


class Coming(NamedTuple):
    """A recovery that is about to begin, or to go on."""

    lost: Lost
    sources: Sources
    helpers: Helpers | None


def prepare(
    installation: Installation, lost: Lost, stack: ExitStack | None = None, lock: FolderLock | None = None
) -> Coming:
    """What a start recovers. With a stack it forks: nothing but the lock may be open then, and no thread run.

    Raises OperatorError where a person has to have a part in it.
    """
    sources = require_recoverable(installation, lost)
    return Coming(lost, sources, helpers_of(sources.without_parity(), stack, lock) if stack is not None else None)


class Front:
    """Used on the event loop's thread. `door` is open to all once the service behind it is."""

    def __init__(self, installation: Installation, recovery: Coming) -> None:
        self._installation = installation
        self._coming = recovery
        self._since = installation.clock.now()
        self.tracer = tracer_of(installation)
        url = installation.config.public_url
        self.door = Door(installation.entropy, self.status, url, tracer=self.tracer)
        self._channel: ChannelServer | None = ChannelServer(str(installation.socket_path), self._answer)
        self._stage = ""
        self._working: asyncio.Future[Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is still being read, in a thread that cannot be told to end."""
        return self._working is not None and not self._working.done()

    def start(self) -> None:
        assert self._channel is not None
        self._channel.start()
        self._installation.offer_status(self.status())
        what = "that goes on" if self._coming.lost.begun else "it is recovered from the vaults"
        _log.warning("the core %s: %s, while serving", self._coming.lost.why, what)

    async def begin(self) -> UnderWay:
        """Returns once nobody is a stranger any more. Raises SafeholdError."""
        self._working = asyncio.ensure_future(asyncio.wrap_future(in_daemon(self._begin, "recovery")))
        with rarely_collected():  # of every stream something is remembered
            under_way: UnderWay = await asyncio.shield(self._working)
        return under_way

    def _begin(self) -> UnderWay:
        site, (lost, sources, _) = self._installation, self._coming
        claim = Claim(site, sources)
        if lost.begun:
            staged = self._resumed()
            claim = Claim(site, sources, staged.timeline)
        else:
            staged = self._begun(claim)
        self._judge_end([hole for hole in staged.holes if hole.first > staged.end.frame])
        if lacks := staged.register_lacks:  # begun by a release that did not ask
            self._judge_register(lacks)
        return UnderWay(staged, sources, claim, site.open_reads)

    def _judge_end(self, beyond: Sequence[Hole]) -> None:
        """Raises NotByItself where the log cannot be read to its end (I58)."""
        if beyond:
            raise NotByItself(
                f"the core {self._coming.lost.why}, and frames {beyond[0].first} to {beyond[-1].last} at the end of "
                "the log cannot be read from any vault",
                hint="`safehold recover plan` says what that affects, and `safehold recover run` goes on without them",
            )

    def _judge_register(self, lacks: str) -> None:
        """Raises NotByItself: who was erased may be named by what is missing, and would come back (I28)."""
        raise NotByItself(
            f"the core {self._coming.lost.why}, and of the installation's own identity, which says what accounts were "
            f"erased, revisions are in no vault ({lacks}): an account that was erased may come back",
            hint="`safehold recover plan` says what is missing and who would come back, and `safehold recover run` "
            "goes on without it: erase again who was erased before",
        )

    def _resumed(self) -> Staged:
        site, (_, sources, helpers) = self._installation, self._coming
        with closing(site.open_reads()) as core:
            staged = Staged.resume(
                core,
                sources.reader(),
                sources.runs(),
                make_rows=StreamRows,
                clock=site.clock,
                vaults=sources.vaults(),
                open_old=open_old_core,
                helpers=helpers,
                again=sources.again,
            )
        assert staged is not None, "the core said that a recovery is under way"
        return staged

    def _begun(self, claim: Claim) -> Staged:
        site, (_, sources, helpers) = self._installation, self._coming
        site.disk.make_folders(str(site.scratch_folder))
        site.disk.make_folders(str(site.blobs_folder))
        staged = Staged.begin(
            sources.reader(),
            sources.runs(),
            sources.vaults(),
            make_core=make_core,
            make_rows=StreamRows,
            disk=site.disk,
            data=str(site.data),
            clock=site.clock,
            claim=claim,
            open_old=open_old_core,
            sync=sources.sync_names(),
            helpers=helpers,
            again=sources.again,
            judge=self._judge_end,
            judge_register=self._judge_register,
            progress=self._tell,
        )
        site.mark_used()
        return staged

    def _tell(self, stage: str, _done: int, _total: int, _unit: str) -> None:
        if stage != self._stage:
            self._stage = stage
            _log.info("recovery: %s", stage)

    async def end(self) -> None:
        """The service takes over the local socket, or nobody does."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await asyncio.wrap_future(in_daemon(channel.stop, "stop"))

    # -- what is said meanwhile --------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The contract's status object, as far as anything is known."""
        now = self._installation.clock.now()
        return {
            "service": RECOVERING,
            "timeline": None,
            "accounts": None,
            "changes": None,
            "items": {},
            "vaults": [],
            "objectives": {},
            "incidents": [],
            "recovery": {
                "state": "running",
                "stage": "identity",
                "since": stamp(self._since),
                "kinds": {},
                "streams": {},
                "seconds": round((now - self._since) / 1_000_000, 1),
                "forecast_seconds": None,
                "sources": [vault.name for vault in self._installation.config.vaults],
                "held": [],
            },
            "announcements": as_facts(self._installation.announced().all(None)),
        }

    def _answer(self, payload: bytes) -> bytes:
        """At the local socket, in a thread of the channel."""
        if payload == STATUS:
            return encode_json(self.status())
        held = Held("the service is being recovered, and does not know anybody yet", hint="try again in a moment")
        return encode_results([held])
