"""What the edge needs of the rest: one value, handed in by assembly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from safehold.model.commands import AnyCommand, Outcome
from safehold.model.items import Account
from safehold.model.locks import HeldLocks
from safehold.model.token import SyncPoint
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.world import Clock, Entropy
from safehold.protocol.forwarded import Proxies
from safehold.recovery.after import AfterReport
from safehold.service.incidents import Ahead
from safehold.web.span_cache import SpanCache

T = TypeVar("T")


class Gate(Protocol):
    """The service as the edge sees it. Used on the event loop's thread only."""

    clock: Clock
    entropy: Entropy
    blobs: Blobs
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

    async def authenticate(self, authorization: str | None, peer: str, program: str = "") -> Account:
        """The account behind Basic credentials; `program` is what sends them, as it names itself.

        Raises Unauthenticated, TooManyAttempts, Held.
        """
        ...

    async def authenticate_owner(self, authorization: str | None, peer: str) -> Account:
        """The same, for what no app password may do. Raises Unauthenticated for one, and as `authenticate`."""
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

    def free_bytes(self) -> int | None:
        """Room on the fullest disk that a change is written to; None while it is not known. From any thread."""
        ...

    def device_ahead(
        self, account: Account, path: str, device: str, point: SyncPoint | None = None, newer: int | None = None
    ) -> None:
        """A device has seen what the server does not have: an incident that names it.

        `point` is what its token says, `newer` how many changes the stream lacks at most, where that can be told.
        """
        ...

    def devices_ahead(self, account: Account) -> Sequence[Ahead]:
        """Those of an account."""
        ...

    def settled_ahead(self, account: Account, point: SyncPoint) -> None:
        """The person has said what is to become of devices in this state: no incident any more."""
        ...

    def recovery_report(self) -> AfterReport | None:
        """What the last recovery brought back; None where there was none, or nothing is known of it."""
        ...

    def status(self) -> dict[str, Any]:
        """The contract's status object."""
        ...
