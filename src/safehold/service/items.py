"""The rules of items: preconditions, one UID per collection, and what a refused write leaves in the history."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite

import msgspec

from safehold.model.change import NO_DIGEST, Op
from safehold.model.commands import AddScore, Body, DeleteItem, Outcome, PatchProps, PutItem, Tags
from safehold.model.errors import (
    BadRequest,
    Conflict,
    Damaged,
    InvalidContent,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    UnsupportedMedia,
)
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import HOME_SCORES, CollectionType, Kind
from safehold.model.paths import check_segment
from safehold.ports.world import Entropy
from safehold.service.collections import CALDAV, CARDDAV, CollectionRules, patched
from safehold.service.guards import Guards
from safehold.service.ledger import Ledger
from safehold.service.quota import QuotaRules

MEDIA_JSON = "application/json"
MAX_DETAIL_BYTES = 16 * 1024


def stamp(at: int) -> str:
    """RFC 3339 text of a time in µs, UTC, with microseconds."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000).isoformat()


class ItemRules:
    def __init__(
        self,
        ledger: Ledger,
        entropy: Entropy,
        collections: CollectionRules,
        guards: Guards,
        quota: QuotaRules,
    ) -> None:
        self._ledger = ledger
        self._quota = quota
        self._entropy = entropy
        self._collections = collections
        self._guards = guards

    # -- put -------------------------------------------------------------------------------------------------

    def put(self, command: PutItem) -> Outcome:
        ledger = self._ledger
        account = ledger.account(command.account)
        collection = ledger.collection(account, command.path)
        if collection is None:
            self._collections.sure_of_absence(account, command.path)
            raise Conflict(f"there is no collection at {command.path}", hint="make the collection first")
        ledger.head(account, collection.kind)
        check_segment(command.name)
        item = ledger.core.item(collection, command.name)
        try:
            self._guards.judge(account, command.guard, f"{command.path}/{command.name}", member=item is None)
            check_tags(item, command.if_match, command.if_none_match)
            self._judge_content(account, collection, item, command)
        except (PreconditionFailed, Conflict):
            if command.keep_refused:
                self._keep_refused(account, collection, command)
            raise
        same = item is not None and item.digest == command.body.digest and item.media == command.media
        if item is not None and same and self._has_body(item):
            return Outcome(changed=False, digest=item.digest, rev=item.rev, path=command.path, name=command.name)
        self._quota.require(account, command.body.size - (0 if item is None else item.size))
        change = ledger.append(
            account,
            collection.kind,
            Op.PUT,
            collection.id,
            command.actor,
            name=command.name,
            media=command.media,
            body=command.body,
            kept_props_digest=NO_DIGEST if item is None else ledger.props_digest(item),
        )
        return Outcome(created=item is None, digest=change.digest, rev=change.rev, path=command.path, name=command.name)

    def _judge_content(self, account: Account, collection: Collection, item: Item | None, command: PutItem) -> None:
        type_ = collection.type
        if type_ is CollectionType.FOLDER:
            if self._ledger.collection(account, f"{command.path}/{command.name}") is not None:
                raise NotAllowed(f"{command.name} is a folder; a file cannot take its place")
            return
        if type_ not in (CollectionType.ADDRESSBOOK, CollectionType.CALENDAR):
            raise NotAllowed("scores are recorded by POST, not by PUT")
        calendar = type_ is CollectionType.CALENDAR
        prefix = CALDAV if calendar else CARDDAV
        if command.uid is None or calendar != (command.component is not None):
            wanted = "an iCalendar object" if calendar else "a vCard"
            element = prefix + ("supported-calendar-data" if calendar else "supported-address-data")
            raise UnsupportedMedia(f"{command.path} holds {wanted} in each resource", element=element)
        if calendar and collection.components and command.component not in collection.components:
            raise InvalidContent(
                f"{command.path} takes {', '.join(sorted(collection.components))}, not {command.component}",
                element=CALDAV + "supported-calendar-component",
            )
        self._judge_uid(collection, item, command, prefix + "no-uid-conflict")

    def _judge_uid(self, collection: Collection, item: Item | None, command: PutItem, element: str) -> None:
        """One UID, one resource, for as long as it lives (RFC 4791 section 5.3.2.1, RFC 6352 section 6.3.2.1)."""
        uid = command.uid
        assert uid is not None
        assert command.body.inline is not None, "the core reads the UID from the body"
        if item is not None and item.uid == uid:
            return
        other = self._ledger.core.item_by_uid(collection, uid)
        if other is not None and other.name != command.name:
            raise Conflict(
                f"the UID {uid} is that of {other.name} in the same collection",
                element=element,
                href=f"{command.path}/{other.name}",
            )
        if item is not None and item.uid is not None:
            raise Conflict(
                f"{command.name} has the UID {item.uid}; a resource keeps its UID",
                hint="store the object under a new name",
                element=element,
                href=f"{command.path}/{command.name}",
            )

    def _keep_refused(self, account: Account, collection: Collection, command: PutItem | DeleteItem) -> None:
        """The device may drop its own copy after a refusal: its body stays in the history, and the revision moves.

        Once: a device that sends the same again and again would fill core and vaults with it.
        """
        put = command if isinstance(command, PutItem) else None
        digest = put.body.digest if put else NO_DIGEST
        end = self._ledger.head(account, collection.kind).rev
        last = self._ledger.core.version_at(account.number, collection.kind, end)
        again = (Op.REFUSED, collection.id, command.name, digest)
        if last is not None and (last.op, last.collection, last.name, last.digest) == again:
            return
        self._ledger.append(
            account,
            collection.kind,
            Op.REFUSED,
            collection.id,
            command.actor,
            name=command.name,
            media=put.media if put else "",
            body=put.body if put else None,
            kept_props_digest=self._ledger.props_digest(self._ledger.core.item(collection, command.name)),
        )

    # -- delete, properties ----------------------------------------------------------------------------------

    def delete(self, command: DeleteItem) -> Outcome:
        account = self._ledger.account(command.account)
        collection = self._collections.existing(account, command.path)
        self._ledger.head(account, collection.kind)
        item = self._ledger.core.item(collection, command.name)
        if item is None:
            raise NotFound(f"there is no {command.name} in {command.path}")
        full_path = f"{command.path}/{command.name}"
        try:
            self._guards.judge(account, command.guard, full_path, member=True)
            check_tags(item, command.if_match, command.if_none_match)
        except PreconditionFailed:
            self._keep_refused(account, collection, command)
            raise
        change = self._ledger.append(
            account, collection.kind, Op.DELETE, collection.id, command.actor, name=command.name
        )
        self._guards.gone(account, full_path)
        return Outcome(rev=change.rev, path=command.path, name=command.name)

    def _has_body(self, item: Item) -> bool:
        """Whether the same bytes again are nothing new: to a ghost they give its body back. What rots is mended."""
        try:
            return self._ledger.core.has_body(item.journal)
        except Damaged:
            return True

    def patch(self, command: PatchProps) -> Outcome:
        account = self._ledger.account(command.account)
        collection = self._collections.existing(account, command.path)
        self._ledger.head(account, collection.kind)
        assert command.name is not None
        item = self._ledger.core.item(collection, command.name)
        if item is None:
            raise NotFound(f"there is no {command.name} in {command.path}")
        self._guards.judge(account, command.guard, f"{command.path}/{command.name}")
        before = self._ledger.core.props(item)
        props = patched(before, command)
        if props == before:
            return Outcome(changed=False, digest=item.digest, rev=item.rev, path=command.path, name=command.name)
        change = self._ledger.append(
            account, collection.kind, Op.PROPS, collection.id, command.actor, name=command.name, props=props
        )
        return Outcome(digest=item.digest, rev=change.rev, path=command.path, name=command.name)

    # -- scores ----------------------------------------------------------------------------------------------

    def add_score(self, command: AddScore) -> Outcome:
        """An item of the game's collection, named by its time so that names sort as the scores came."""
        account = self._ledger.account(command.account)
        path, name, body = self.score(command)
        self._ledger.head(account, Kind.SCORES)
        self._quota.require(account, body.size)
        with self._ledger.group():
            collection = self._ledger.collection(account, path)
            if collection is None:
                collection = self._collections.create(account, Kind.SCORES, path, CollectionType.GAME, command.actor)
            change = self._ledger.append(
                account, Kind.SCORES, Op.PUT, collection.id, command.actor, name=name, media=MEDIA_JSON, body=body
            )
        return Outcome(created=True, digest=body.digest, rev=change.rev, path=path, name=name)

    def score(self, command: AddScore) -> tuple[str, str, Body]:
        """Path of the game, name and body of the score. Raises BadRequest."""
        check_segment(command.game)
        if not isfinite(command.score):
            raise BadRequest("a score is a finite number")
        detail = _detail(command.detail)
        at = self._ledger.now if command.at is None else command.at
        if not 0 <= at < 1 << 52:
            raise BadRequest("the time of a score lies between 1970 and 2112")
        data = msgspec.json.encode({"score": command.score, "at": stamp(at), "detail": detail})
        body = Body(sha256(data).digest(), len(data), inline=data)
        return f"{HOME_SCORES}/{command.game}", f"{at:014x}-{self._entropy.bytes(4).hex()}.json", body


def _detail(text: str | None) -> object:
    if text is None:
        return None
    if len(text) > MAX_DETAIL_BYTES:
        raise BadRequest(f"the detail of a score may be {MAX_DETAIL_BYTES} bytes of JSON")
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the detail of a score is not JSON: {error}") from error


def check_tags(item: Item | None, if_match: Tags | None, if_none_match: Tags | None) -> None:
    """RFC 9110 section 13.2.2. Raises PreconditionFailed."""
    if if_match is not None and (item is None or not (if_match.any or item.digest in if_match.digests)):
        raise PreconditionFailed(
            "If-Match does not hold: " + ("there is nothing here" if item is None else "it was changed meanwhile"),
            hint="fetch it again and decide anew",
        )
    if if_none_match is not None and item is not None and (if_none_match.any or item.digest in if_none_match.digests):
        raise PreconditionFailed("If-None-Match does not hold: there is a resource here already")
