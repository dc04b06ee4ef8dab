"""One DAV request under way, and how what it names is looked up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from safehold.model.errors import Held, NotFound
from safehold.model.guards import OPEN, Guard
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import Kind
from safehold.model.paths import kinds_under
from safehold.model.token import account_key
from safehold.ports.core import CoreReads
from safehold.protocol.destination import read_reference
from safehold.protocol.if_header import parse_if
from safehold.protocol.prefer import MINIMAL, Preferences, applied, parse_preferences
from safehold.protocol.problems import Headers
from safehold.protocol.properties import NO_FACTS, Facts, View, needs_facts
from safehold.protocol.target import Place, Target, collection_href, href_of
from safehold.protocol.webdav import PropFind
from safehold.service.ahead import require_end
from safehold.service.guards import Seen, judge_conditions
from safehold.service.homes import home_props
from safehold.service.uses import program_of
from safehold.web.gate import Gate
from safehold.web.reached import own_hosts
from safehold.web.request import LISTING_BYTES, SMALL_BYTES, Request

T = TypeVar("T")

#: A request body that tells of properties, at most: all those of one resource together are smaller.
PROPERTIES_BYTES = 1024 * 1024

#: Places that take properties, though they are no collections of any kind.
HOMES = frozenset((Place.CONTACTS, Place.CALENDARS, Place.FILES))


class Call(NamedTuple):
    """A request whose sender is known, on a target that is the sender's own."""

    gate: Gate
    account: Account
    request: Request
    target: Target

    @property
    def prefers(self) -> Preferences:
        return parse_preferences(self.request.headers)

    @property
    def minimal(self) -> bool:
        return self.prefers.minimal

    @property
    def token_key(self) -> bytes:
        """The MAC key of this account's sync tokens."""
        return account_key(self.gate.token_key, self.account.id)

    @property
    def device(self) -> str:
        """What sent this, as it names itself."""
        return program_of(self.request.header(b"user-agent") or "")

    @property
    def actor(self) -> str:
        """Who acts, for the history."""
        return "device:" + self.device

    async def read_body(self, reader: Callable[[bytes], T], limit: int = PROPERTIES_BYTES) -> T:
        """The request body as a value; a large one is made sense of off the event loop. Raises as both do."""
        body = await self.request.read(min(limit, self.gate.max_request_bytes))
        if len(body) <= SMALL_BYTES:
            return reader(body)
        return await self.gate.in_thread(lambda _: reader(body))

    async def long_read(self, work: Callable[[CoreReads], T]) -> T:
        """A listing of many items, made off the event loop, while there is room for it. Raises Held."""
        await self.request.take_room(LISTING_BYTES)
        return await self.gate.in_thread(work)

    def facts(self, asked: PropFind, reads: CoreReads) -> Facts:
        """What the properties that are asked for need to be looked up; nothing where none of them does."""
        if not needs_facts(asked):
            return NO_FACTS
        used = reads.used_bytes(self.account.number)
        left = self.gate.free_bytes()
        if left is not None and self.gate.quota_bytes:
            left = min(left, max(0, self.gate.quota_bytes - used))
        return Facts(used, left, reads.recovery_mark())

    def view(self, place: Place, path: str = "", collection: Collection | None = None, facts: Facts = NO_FACTS) -> View:
        """A resource other than an item, as this sender sees it; `path` under the account where it has one."""
        name = self.account.name
        href = collection_href(name, path) if path else href_of(Target(place, name))
        limits = (self.gate.max_object_bytes, self.gate.max_file_bytes)
        kept = home_props(self.gate.reads, self.account, path) if place in HOMES else None
        return View(
            href,
            place,
            name,
            collection,
            self.token_key,
            limits,
            self.gate.locks(self.account),
            self.gate.clock.monotonic(),
            account_id=self.account.id,
            facts=facts,
            kept=kept,
        )

    def view_of(self, collection: Collection, facts: Facts = NO_FACTS) -> View:
        return self.view(Place.COLLECTION, collection.path, collection, facts)

    @property
    def hosts(self) -> tuple[str, ...]:
        """What this server is called: by the device, by a proxy before it, by the configuration."""
        return own_hosts(self.request.scope, self.request.headers, self.gate.public_url)

    def guard(self) -> Guard:
        """What the If header submits. Raises BadRequest."""
        value = self.request.header(b"if")
        return OPEN if value is None else parse_if(value, self.target.full_path, self._path_of)

    def judge_conditions(self) -> None:
        """The If header of a request that changes nothing, against what is there now (RFC 4918 section 10.4).

        Raises BadRequest, PreconditionFailed, Held. A change carries its guard along, into the transaction.
        """
        reads = self.gate.reads
        whole = partial(require_whole, reads, self.account)
        judge_conditions(self.guard(), Seen(reads, self.account, self.gate.locks(self.account), whole))

    def require_listable(self, reads: CoreReads, collection: Collection) -> None:
        """Raises Held where a device has proved that this collection lacks something (I64)."""
        self.gate.proofs.require_listable(reads, self.account, collection)

    def require_sure_absence(self) -> None:
        """What the target names was not found. Raises Held where a device has proved that something was lost there."""
        reads, path = self.gate.reads, self.target.path
        if self.target.place is Place.FILE:
            require_end(reads, self.account)
        if self.target.place not in (Place.COLLECTION, Place.ITEM):
            return
        collection = reads.collection(self.account.number, path)
        if collection is not None:
            self.require_listable(reads, collection)
        else:
            self.gate.proofs.require_absence(reads, self.account, path)

    def _path_of(self, reference: str) -> str | None:
        target = read_reference(reference, self.hosts)
        return target.full_path if target is not None and target.account == self.account.name else None

    def preferred(self, *, noroot: bool = False) -> Headers:
        """The headers that tell which preference was followed (RFC 8144 section 2)."""
        followed = [f"return={MINIMAL}"] if self.minimal else []
        return applied(*followed, *(["depth-noroot"] if noroot else []))


class Found(NamedTuple):
    """A collection, or an item in it."""

    collection: Collection
    item: Item | None


def require_whole(reads: CoreReads, account: Account, kind: Kind) -> None:
    """Raises Held where revisions of the stream are missing: what it lost must not look absent."""
    reason = reads.held(account.number, kind)
    if reason is not None:
        raise Held(f"your {kind} cannot be shown now: {reason}", hint="nothing is deleted; it is being restored")


def collection_at(reads: CoreReads, account: Account, path: str) -> Collection:
    """The collection at a path. Raises NotFound where it surely does not exist, Held where that is not sure."""
    found = reads.collection(account.number, path)
    if found is not None:
        require_whole(reads, account, found.kind)
        return found
    for kind in kinds_under(path):
        require_whole(reads, account, kind)
    found = reads.collection(account.number, path)
    if found is None:  # nor has it come since it was looked for
        raise NotFound(f"there is no collection at {path}")
    return found


def find(call: Call, reads: CoreReads) -> Found:
    """What the target names. Raises NotFound, Held."""
    try:
        return _find(call, reads)
    except NotFound:  # its stream may have come between one look and the next: absent is what is so at one moment
        with reads.snapshot() as moment:
            return _find(call, moment)


def _find(call: Call, reads: CoreReads) -> Found:
    account, target = call.account, call.target
    if target.place is Place.COLLECTION:
        return Found(collection_at(reads, account, target.path), None)
    if target.place is Place.ITEM:
        collection = collection_at(reads, account, target.path)
        item = reads.item(collection, target.name)
        if item is None:
            raise NotFound(f"there is no {target.name} in {target.path}")
        return Found(collection, item)
    if target.place is Place.FILE:
        above = reads.collection(account.number, target.path)
        if above is not None:
            require_whole(reads, account, above.kind)
            item = reads.item(above, target.name)
            if item is not None:
                return Found(above, item)
        return Found(collection_at(reads, account, target.full_path), None)
    raise NotFound("nothing lies at this address")
