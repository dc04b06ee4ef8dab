"""What the edge needs of the rest: one value, handed in by assembly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from safehold.model.commands import AnyCommand, Outcome
from safehold.model.errors import BodiesDamaged
from safehold.model.histogram import Histogram
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.locks import HeldLocks
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.world import Clock, Entropy
from safehold.protocol.forwarded import Proxies
from safehold.recovery.after import AfterReport
from safehold.service.ahead import Proofs
from safehold.web.span_cache import SpanCache

T = TypeVar("T")


class Figures(NamedTuple):
    """What `/metrics` shows beside the status."""

    waiting: int  # changes that wait to be written
    append_seconds: Histogram  # of group commits: into the sync vaults
    commit_seconds: Histogram  # … and into the core
    process: Mapping[str, float]  # by the metric's name; a label's value after a slash


class Gate(Protocol):
    """The service as the edge sees it. Used on the event loop's thread only."""

    clock: Clock
    entropy: Entropy
    blobs: Blobs
    proofs: Proofs  # of losses, as devices have brought them
    spans: SpanCache  # occurrence indexes, on the event loop's thread
    reads: CoreReads  # for short reads, on the event loop's thread
    token_key: bytes  # MAC key of sync tokens
    public_url: str  # under which people reach the server; "" where it is not configured
    proxies: Proxies  # whom forwarded headers are believed
    max_object_bytes: int  # of a vCard or iCalendar object
    max_file_bytes: int  # of a note or photo
    max_request_bytes: int  # of an XML or JSON request body
    quota_bytes: int  # what one account may hold; 0: no limit
    sends_mail: bool  # whether an address that somebody leaves is of use
    erased_days: int  # after which no copy of an erased account is left

    @property
    def recovering(self) -> bool:
        """Whether a recovery is under way, so that `ready` has to be awaited before anything is judged."""
        ...

    async def authenticate(self, authorization: str | None, peer: str, program: str = "") -> Account:
        """The account behind Basic credentials; `program` is what sends them, as it names itself.

        Raises Unauthenticated, TooManyAttempts, Held.
        """
        ...

    async def authenticate_owner(self, authorization: str | None, peer: str) -> Account:
        """The same, for what no app password may do. Raises Unauthenticated for one, and as `authenticate`."""
        ...

    async def ready(self, account: Account, kinds: Iterable[Kind]) -> None:
        """While a recovery is under way: bring these streams to its front, and wait until they are in, for a moment.

        Whoever comes back from here judges as always: what is not in by then is still held (I58).
        """
        ...

    async def execute(self, command: AnyCommand) -> Outcome:
        """Judge, apply, vault, commit. Raises RequestError, Held, OutOfSpace."""
        ...

    def locks(self, account: Account) -> HeldLocks:
        """The locks of an account; from any thread. They end by `clock.monotonic`."""
        ...

    async def in_thread(self, work: Callable[[CoreReads], T]) -> T:
        """Run a long read with a reader of its own, off the event loop."""
        ...

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Run blocking disk work (blob stages) off the event loop."""
        ...

    async def mend(self, error: BodiesDamaged) -> None:
        """Have damaged bodies at hand, so that the read that met them succeeds when it is done again. Raises Held."""
        ...

    def free_bytes(self) -> int | None:
        """Room on the fullest disk that a change is written to; None while it is not known. From any thread."""
        ...

    def device_ahead(self, account: Account, path: str, device: str) -> None:
        """A device has seen what the server does not have: an incident that names it."""
        ...

    def recovery_report(self) -> AfterReport | None:
        """What the last recovery brought back; None where there was none, or nothing is known of it."""
        ...

    def figures(self) -> Figures:
        """How it works now. On the event loop's thread."""
        ...

    def status(self) -> dict[str, Any]:
        """The contract's status object."""
        ...
