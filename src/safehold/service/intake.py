"""The intake: writes to streams that cannot be had now, kept in the account's identity and applied in order later.

    take    the write becomes an item `intake/…` of the identity: one change, vaulted before the answer like any other
    apply   each is done in its stream and removed from the identity in one transaction, and so in one frame

Invariants (docs/invariants.md):

- I59  what was taken stays until it has been applied, once: the change that applies it and the delete of its item are
       of one frame;
- I60  a stream is not read nor written past its intake: it is held until nothing of the intake is its own. So no write
       is judged against an index that an earlier one has not reached, and none that was judged is taken back.

A PUT wins: what it supersedes stays in the history. Where there is no place for it any more (its collection is gone,
or holds other things), it goes into a collection `kept` of the same home. A DELETE whose precondition does not hold is
dropped. Whatever did not go as its sender thought is told by a notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from safehold.content.uid import quick_uid
from safehold.formats.intake import BY_INTAKE, DELETE, PREFIX, PUT, Waiting, item_name, read_waiting, waiting_props
from safehold.model.change import Change, Op
from safehold.model.commands import AddScore, ApplyIntake, Body, DeleteItem, Outcome, PutItem
from safehold.model.errors import Damaged, Held, NotFound, PreconditionFailed, RequestError
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import (
    COMPONENTS,
    DATA_KINDS,
    HOME_CALENDARS,
    HOME_CONTACTS,
    HOME_FILES,
    HOME_SCORES,
    PATH_IDENTITY,
    ROOT_NOTES,
    ROOT_PHOTOS,
    CollectionType,
    Kind,
)
from safehold.model.paths import check_segment, collection_kind, kinds_under
from safehold.ports.core import INTAKE, CoreReads, CoreStore
from safehold.service.brakes import Brakes
from safehold.service.collections import CollectionRules
from safehold.service.guards import Guards
from safehold.service.items import MEDIA_JSON, ItemRules, check_tags
from safehold.service.ledger import Ledger
from safehold.service.notices import INTAKE_CONFLICT, INTAKE_DROPPED, INTAKE_LOST, INTAKE_MOVED, Notices
from safehold.service.quota import QuotaRules

#: What one account's intake holds, at most. Inline bodies lie in the identity, which a recovery enters before all else.
MAX_ITEMS = 1000
MAX_INLINE_BYTES = 16 * 1024 * 1024
MAX_BLOB_BYTES = 4 * 1024 * 1024 * 1024
#: It is full for as long as a recovery takes, or until somebody has accepted a loss.
FULL_RETRY_SECONDS = 600
#: Applied in one transaction, about.
PORTION_ITEMS = 128
PORTION_BYTES = 4 * 1024 * 1024

#: The collection for what has no place, in its home; `kept-2` … where that has the name or the UID already.
KEPT = "kept"
_KEPT_TITLE = '<displayname xmlns="DAV:">Kept changes</displayname>'


def release(core: CoreStore, account: Account) -> None:
    """Release the streams that are held for their intake, in an open transaction; nothing of it may be theirs."""
    for kind in held_for_intake(core, account):
        core.release(account.id, kind)


def held_for_intake(reads: CoreReads, account: Account) -> list[Kind]:
    """The kinds of the account that are here, and only wait for what was sent meanwhile."""
    return [kind for kind in DATA_KINDS if reads.held(account.number, kind) == INTAKE]


class _Place(NamedTuple):
    """Where a PUT goes. `sent_there`: where its sender wanted it."""

    collection: Collection
    name: str
    sent_there: bool


class IntakeRules:
    def __init__(
        self,
        ledger: Ledger,
        collections: CollectionRules,
        items: ItemRules,
        guards: Guards,
        quota: QuotaRules,
        brakes: Brakes,
    ) -> None:
        self._ledger = ledger
        self._collections = collections
        self._items = items
        self._guards = guards
        self._quota = quota
        self._brakes = brakes

    # -- taking ----------------------------------------------------------------------------------------------

    def takes(self, command: PutItem | DeleteItem | AddScore) -> bool:
        """Whether the command's stream cannot be had now, or which one it is, and it is one to be kept for later."""
        if not command.intake:
            return False
        path = f"{HOME_SCORES}/{command.game}" if isinstance(command, AddScore) else command.path
        account = self._ledger.account(command.account)
        collection = self._ledger.collection(account, path)
        if collection is not None:
            return self._ledger.held(account, collection.kind) is not None
        return any(self._ledger.held(account, kind) is not None for kind in kinds_under(path))

    def take(self, command: PutItem | DeleteItem | AddScore) -> Outcome:
        """Keep it. Judged is what needs no stream: the name, locks, quota, bounds. Raises Held where it is full."""
        account = self._ledger.account(command.account)
        if isinstance(command, AddScore):
            path, name, body = self._items.score(command)
            waiting = Waiting(method=PUT, path=path, name=name)
            return self._keep(account, command.actor, waiting, body, MEDIA_JSON)
        check_segment(command.name)
        self._guards.judge(account, command.guard, f"{command.path}/{command.name}", member=True)
        put = command if isinstance(command, PutItem) else None
        if isinstance(command, DeleteItem):
            self._require_an_item(command)
        waiting = Waiting(
            method=DELETE if put is None else PUT,
            path=command.path,
            name=command.name,
            component=None if put is None else put.component,
            if_match=command.if_match,
            if_none_match=command.if_none_match,
        )
        if put is None:
            return self._keep(account, command.actor, waiting, None, "")
        return self._keep(account, command.actor, waiting, put.body, put.media)

    @staticmethod
    def _require_an_item(command: DeleteItem) -> None:
        """What is deleted at the address of a file may be a folder with all that is in it. Raises Held."""
        tag = command.if_match is not None and command.if_match.digests
        if command.path.startswith(HOME_FILES + "/") and not tag:
            raise Held(f"whether {command.path}/{command.name} is a file is not known now", hint="try again later")

    def _keep(self, account: Account, actor: str, waiting: Waiting, body: Body | None, media: str) -> Outcome:
        ledger = self._ledger
        identity = self._identity(account)
        self._require_room(account, body)
        change = ledger.append(
            account,
            Kind.IDENTITY,
            Op.PUT,
            identity.id,
            actor,
            name=item_name(ledger.head(account, Kind.IDENTITY).rev + 1),
            media=media,
            body=_EMPTY if body is None else body,
            props=waiting_props(waiting),
        )
        new = waiting.if_none_match is not None and waiting.if_none_match.any
        return Outcome(created=new, rev=change.rev, path=waiting.path, name=waiting.name, taken=True)

    def _identity(self, account: Account) -> Collection:
        """Raises Held: without an identity nothing is taken."""
        self._ledger.head(account, Kind.IDENTITY)
        found = self._ledger.collection(account, PATH_IDENTITY)
        if found is None:
            raise Held("the identity of this account is not here now")
        return found

    def _require_room(self, account: Account, body: Body | None) -> None:
        there = self._ledger.core.intake(account.number)
        inline = 0 if body is None or body.inline is None else body.size
        blob = 0 if body is None or body.blob is None else body.size
        full = (
            there.items >= MAX_ITEMS
            or (inline and there.inline_bytes + inline > MAX_INLINE_BYTES)
            or (blob and there.blob_bytes + blob > MAX_BLOB_BYTES)
        )
        if full:
            raise Held(
                f"{there.items} changes wait for what is being restored, and no more can be kept",
                hint="nothing is lost; keep it and try again later",
                retry_after_seconds=FULL_RETRY_SECONDS,
            )
        self._quota.require(account, inline + blob)

    # -- applying --------------------------------------------------------------------------------------------

    def apply(self, command: ApplyIntake) -> Outcome:
        """A portion of what waits, in order; what is of streams that are not there yet is passed over.

        With the last of it the streams that were held for their intake are released. `changed` says whether anything
        was applied: then there may be more, else what is held for its intake may be released.
        """
        account = self._ledger.account(command.account)
        identity = self._identity(account)
        done = size = 0
        with self._ledger.entering(account):
            for item in self._ledger.core.secret_items(account.number, PREFIX):
                if done >= PORTION_ITEMS or size >= PORTION_BYTES:
                    return Outcome()
                taken = self._apply_one(account, identity, item)
                done += taken is not None
                size += taken or 0
            if done:
                release(self._ledger.core, account)
        return Outcome(changed=done > 0)

    def _apply_one(self, account: Account, identity: Collection, item: Item) -> int | None:
        """Bytes that it brought into the transaction; None where it has to wait."""
        ledger = self._ledger
        try:
            waiting = read_waiting(ledger.core.props(item))
        except Damaged:
            change = ledger.core.change(item.journal)
            self._tell(account, INTAKE_LOST, item.name, None, change)
            return self._remove(account, identity, change)
        collection = ledger.collection(account, waiting.path)
        if not self._is_here(account, waiting, collection):
            return None
        change = ledger.core.change(item.journal)
        if waiting.method == DELETE:
            self._delete(account, collection, waiting, change)
        elif not self._put(account, collection, waiting, change):
            return None
        return self._remove(account, identity, change)

    def _is_here(self, account: Account, waiting: Waiting, collection: Collection | None) -> bool:
        """Whether the stream of a write is, but for the intake itself."""
        if collection is not None:
            return self._open(account, collection.kind)
        return all(self._open(account, kind) for kind in kinds_under(waiting.path))

    def _open(self, account: Account, kind: Kind) -> bool:
        return self._ledger.held(account, kind) in (None, INTAKE)

    def _remove(self, account: Account, identity: Collection, change: Change) -> int:
        self._ledger.append(account, Kind.IDENTITY, Op.DELETE, identity.id, _actor(change), name=change.name)
        return len(change.body or b"")

    def _delete(self, account: Account, collection: Collection | None, waiting: Waiting, change: Change) -> None:
        if collection is None:
            return  # it went with its collection
        command = DeleteItem(
            account=account.id,
            actor=_actor(change),
            path=waiting.path,
            name=waiting.name,
            if_match=waiting.if_match,
            if_none_match=waiting.if_none_match,
        )
        made = len(self._ledger.changes)
        try:
            self._items.delete(command)
            self._brakes.count(command, self._ledger.changes[made:], ())
        except NotFound:
            return  # it is gone already
        except RequestError:
            self._tell(account, INTAKE_DROPPED, waiting.name, collection, change)

    def _put(self, account: Account, collection: Collection | None, waiting: Waiting, change: Change) -> bool:
        """False where its place is in a stream that is not here yet."""
        ledger = self._ledger
        if change.size and change.body is None and change.blob is None:  # lost, as a ghost is
            self._tell(account, INTAKE_LOST, waiting.name, collection, change)
            return True
        body = Body(change.digest, change.size, change.body, change.blob)
        with ledger.group():
            place = self._place(account, collection, waiting, change)
            if place is None:
                return False
            there = ledger.core.item(place.collection, place.name)
            if not place.sent_there:
                came_as = f"{waiting.path}/{waiting.name}"
                self._tell(account, INTAKE_MOVED, place.name, place.collection, change, came_as)
            elif self._supersedes(waiting, change, there):
                self._tell(account, INTAKE_CONFLICT, place.name, place.collection, change)
            if there is None or (there.digest, there.media) != (change.digest, change.media):
                ledger.put(account, place.collection, place.name, change.media, body, _actor(change))
        return True

    def _supersedes(self, waiting: Waiting, change: Change, there: Item | None) -> bool:
        """Whether it takes the place of what its sender has not seen."""
        if there is not None:
            before = self._ledger.core.change(there.journal)
            if there.digest == change.digest or before.actor.startswith(change.actor + BY_INTAKE):
                return False
        try:
            check_tags(there, waiting.if_match, waiting.if_none_match)
        except PreconditionFailed:
            return True
        return False

    # -- where a PUT goes ------------------------------------------------------------------------------------

    def _place(
        self, account: Account, collection: Collection | None, waiting: Waiting, change: Change
    ) -> _Place | None:
        """None where it can be said only when other streams are here."""
        actor = _actor(change)
        if waiting.path.startswith(HOME_SCORES + "/"):
            made = collection or self._collections.create(
                account, Kind.SCORES, waiting.path, CollectionType.GAME, actor
            )
            return _Place(made, waiting.name, True)
        if collection is None or (collection.components and waiting.component not in collection.components):
            if not all(self._open(account, kind) for kind in kinds_under(waiting.path)):
                return None
            return _Place(self._kept(account, waiting, change, actor), waiting.name, False)
        name = self._name_in(account, collection, waiting.name, change)
        return _Place(collection, name, name == waiting.name)

    def _name_in(self, account: Account, collection: Collection, name: str, change: Change) -> str:
        """Under the name of whatever bears its UID; under a new one where something else has the name it came by."""
        if collection.type is CollectionType.FOLDER:
            taken = self._ledger.collection(account, f"{collection.path}/{name}") is not None
            return self._free_name(account, collection, name) if taken else name
        uid = _uid(change)
        item = self._ledger.core.item(collection, name)
        other = None if uid is None else self._ledger.core.item_by_uid(collection, uid)
        if other is not None:
            return other.name
        if item is not None and item.uid is not None and item.uid != uid:
            return self._free_name(account, collection, name)
        return name

    def _free_name(self, account: Account, collection: Collection, name: str) -> str:
        for other in _others(name):
            path = f"{collection.path}/{other}"
            if self._ledger.core.item(collection, other) is None and self._ledger.collection(account, path) is None:
                return other
        raise AssertionError("numbers do not end")

    def _kept(self, account: Account, waiting: Waiting, change: Change, actor: str) -> Collection:
        """The first collection of this name in which it takes nobody's place, made where there is none yet."""
        home, type_ = _home(waiting.path)
        components = frozenset(COMPONENTS) if type_ is CollectionType.CALENDAR else frozenset[str]()
        kind = collection_kind(f"{home}/{KEPT}", type_, components)
        assert kind is not None, "each home has a type of its own"
        above = self._ledger.collection(account, home) if type_ is CollectionType.FOLDER else None
        for name in (KEPT, *_first(_others(KEPT), MAX_ITEMS)):
            path = f"{home}/{name}"
            found = self._ledger.collection(account, path)
            if found is not None:
                if found.type is type_ and self._fits(account, found, waiting, change):
                    return found
            elif above is None or self._ledger.core.item(above, name) is None:
                props = {"{DAV:}displayname": _KEPT_TITLE}
                return self._collections.create(account, kind, path, type_, actor, components, props)
        raise Held("there are too many collections of what was kept", hint="remove some of them")

    def _fits(self, account: Account, found: Collection, waiting: Waiting, change: Change) -> bool:
        item = self._ledger.core.item(found, waiting.name)
        if item is not None:
            return item.digest == change.digest
        if found.type is CollectionType.FOLDER:
            return self._ledger.collection(account, f"{found.path}/{waiting.name}") is None
        if found.components and waiting.component not in found.components:
            return False
        uid = _uid(change)
        return uid is None or self._ledger.core.item_by_uid(found, uid) is None

    # -- telling ---------------------------------------------------------------------------------------------

    def _tell(
        self, account: Account, what: str, name: str, collection: Collection | None, change: Change, came_as: str = ""
    ) -> None:
        """A notice, in the same transaction. `came_as`: where the write was sent, when it is elsewhere now."""
        kind, path = ("", "") if collection is None else (collection.kind, collection.path)
        device = change.actor.removeprefix("device:")
        Notices.tell(self._ledger, account, what, kind=kind, collection=path, name=name, device=device, came_as=came_as)


_EMPTY = Body(bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), 0, inline=b"")


def _actor(change: Change) -> str:
    """Who applies it, for the history: the device, and when it sent it."""
    sent = datetime.fromtimestamp(change.at // 1_000_000, UTC).replace(tzinfo=None).isoformat()
    return f"{change.actor}{BY_INTAKE}{sent}Z"


def _uid(change: Change) -> str | None:
    is_object = change.body is not None and change.media.startswith(("text/vcard", "text/calendar"))
    return quick_uid(change.body) if is_object and change.body is not None else None


def _home(path: str) -> tuple[str, CollectionType]:
    home = path.partition("/")[0]
    if home == HOME_CONTACTS:
        return home, CollectionType.ADDRESSBOOK
    if home == HOME_CALENDARS:
        return home, CollectionType.CALENDAR
    return ROOT_PHOTOS if path.startswith(ROOT_PHOTOS) else ROOT_NOTES, CollectionType.FOLDER


def _others(name: str) -> Iterator[str]:
    """`a-2.vcf`, `a-3.vcf` … for `a.vcf`."""
    stem, dot, end = name.rpartition(".")
    number = 2
    while True:
        yield f"{stem}-{number}.{end}" if dot and stem else f"{name}-{number}"
        number += 1


def _first(names: Iterator[str], count: int) -> Iterator[str]:
    return (name for name, _ in zip(names, range(count), strict=False))
