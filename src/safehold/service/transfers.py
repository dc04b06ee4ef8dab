"""The rules of COPY and MOVE (RFC 4918 sections 9.8 and 9.9; for calendars and address books RFC 4791 and 6352).

A transfer is one group of ordinary changes (I39): what is at the destination goes, the copies are made, and after a
MOVE the source goes. First it is judged and gathered whole, read only; so what is refused leaves nothing behind. A
large body is not copied: the copy names the same blob.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from safehold.content.check import check_icalendar
from safehold.content.uid import quick_uid
from safehold.model.change import NO_DIGEST, Op, canonical_props, props_digest
from safehold.model.commands import Body, Outcome, Transfer
from safehold.model.errors import BadRequest, Conflict, Forbidden, Held, NotFound, PreconditionFailed
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import CollectionType
from safehold.model.paths import MAX_PATH_BYTES, below, check_segment, parent
from safehold.service.collections import CALDAV, CARDDAV, MAX_DEPTH, ROOTED, CollectionRules
from safehold.service.guards import Guards
from safehold.service.items import check_tags
from safehold.service.ledger import Ledger

#: Files and folders of one transfer: all of it is one frame, made while nobody else's change is.
MAX_RESOURCES = 5_000
#: Bodies of one transfer that lie inline, and properties, together: those are copied.
MAX_COPIED_BYTES = 8 * 1024 * 1024

#: Not credentials, nor scores, which are recorded.
_TRANSFERABLE = frozenset((CollectionType.ADDRESSBOOK, CollectionType.CALENDAR, CollectionType.FOLDER))
_HOLDS = {
    CollectionType.ADDRESSBOOK: ("vCards", CARDDAV + "supported-address-data"),
    CollectionType.CALENDAR: ("iCalendar objects", CALDAV + "supported-calendar-data"),
}


class _Place(NamedTuple):
    """What lies at a path: a collection, or an item in `above`, or nothing; `above` is None where it is not there."""

    path: str
    above: Collection | None
    collection: Collection | None
    item: Item | None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def empty(self) -> bool:
        return self.collection is None and self.item is None


class _Copy(NamedTuple):
    """An item on its way: its bodies and properties as they are now."""

    item: Item
    body: Body
    props: dict[str, str]

    @property
    def copied_bytes(self) -> int:
        """What it brings into the frame: a large body stays where it is."""
        return len(self.body.inline or b"") + _size(self.props)


class _Branch(NamedTuple):
    """A folder on its way: `path` is the new one."""

    path: str
    props: dict[str, str]
    items: list[_Copy]


class TransferRules:
    def __init__(self, ledger: Ledger, collections: CollectionRules, guards: Guards) -> None:
        self._ledger = ledger
        self._collections = collections
        self._guards = guards

    def transfer(self, command: Transfer) -> Outcome:
        account = self._ledger.account(command.account)
        self._guards.conditions(account, command.guard)
        source = self._place(account, command.source)
        if source.empty:
            self._collections.sure_of_absence(account, command.source)
            raise NotFound(f"there is nothing at {command.source}")
        _judge_tags(source, command)
        _judge_ends(command, source)
        there = self._place(account, command.destination)
        into = self._judge_destination(account, command, source, there)
        self._judge_locks(account, command, there)
        if source.item is not None:
            copy = self._copy(source.item)
            self._judge_content(source, into, there, copy, move=command.move)
            return self._transfer_item(account, command, source, into, there, copy)
        assert source.collection is not None
        branches = self._gather(account, command, source.collection)
        return self._transfer_folder(account, command, source.collection, there, into, branches)

    # -- what is there ---------------------------------------------------------------------------------------

    def _place(self, account: Account, path: str) -> _Place:
        """Raises Held where a stream that is looked into is not whole."""
        collection = self._ledger.fresh(account, path)
        if collection is not None:
            self._ledger.head(account, collection.kind)
        above = self._ledger.collection(account, parent(path))
        item = None
        if above is not None:
            self._ledger.head(account, above.kind)
            item = self._ledger.core.item(above, path.rpartition("/")[2]) if collection is None else None
        return _Place(path, above, collection, item)

    def _copy(self, item: Item) -> _Copy:
        """Raises Held where body or properties are not what their digests say: damage must not travel as data."""
        stored = self._ledger.core.body(item)
        if stored.blob is None and (stored.inline is None or sha256(stored.inline).digest() != item.digest):
            raise Held(f"the body of {item.name} cannot be had now", hint="it is to be mended from a vault")
        props = self._ledger.core.props(item) if item.props_journal is not None else {}
        if item.props_journal is not None and self._ledger.props_digest(item) != props_digest(canonical_props(props)):
            raise Held(f"the properties of {item.name} cannot be had now", hint="they are to be mended from a vault")
        return _Copy(item, Body(item.digest, item.size, stored.inline, stored.blob), props)

    # -- judging ---------------------------------------------------------------------------------------------

    def _judge_destination(self, account: Account, command: Transfer, source: _Place, there: _Place) -> Collection:
        """The collection that the destination lies in. Raises Conflict, Forbidden, PreconditionFailed, Held."""
        into = there.above
        if into is None:
            above = parent(command.destination)
            self._collections.sure_of_absence(account, above)
            raise Conflict(f"there is no collection at {above}", hint="make it first")
        check_segment(there.name)
        if there.empty:
            self._collections.sure_of_absence(account, command.destination, to_make=True)
        elif not command.overwrite:
            raise PreconditionFailed(f"there is a resource at {command.destination} already, and Overwrite is F")
        _judge_kinds(source, into, move=command.move)
        return into

    def _judge_locks(self, account: Account, command: Transfer, there: _Place) -> None:
        """What goes at the source, and what comes and goes at the destination (section 7.5)."""
        if command.move:
            self._guards.locks(account, command.guard, command.source, member=True, tree=True)
        self._guards.locks(account, command.guard, command.destination, member=there.empty, tree=True)

    def _judge_content(self, source: _Place, into: Collection, there: _Place, copy: _Copy, *, move: bool) -> None:
        """What a calendar or an address book asks of what comes into it (RFC 4791 section 5.3.2.1, 6352 6.3.2.1)."""
        if into.type is CollectionType.FOLDER:
            return
        body = copy.body.inline
        assert body is not None, "objects lie inline"
        if into.components:
            component = check_icalendar(body).component
            if component not in into.components:
                raise Forbidden(
                    f"{into.path} takes {', '.join(sorted(into.components))}, not {component}",
                    element=CALDAV + "supported-calendar-component",
                )
        uid = copy.item.uid or quick_uid(body)
        others = [there.item] if there.item is not None and there.item.uid != uid else []
        if uid is not None and (bearer := self._ledger.core.item_by_uid(into, uid)) is not None:
            leaves = move and source.above is not None and into.id == source.above.id and bearer.name == source.name
            if bearer.name != there.name and not leaves:
                others.append(bearer)
        if others:
            prefix = CALDAV if into.type is CollectionType.CALENDAR else CARDDAV
            raise Conflict(
                f"{others[0].name} in {into.path} stands in the way of the UID {uid}",
                hint="a UID occurs once in a collection, and a resource keeps its UID",
                element=prefix + "no-uid-conflict",
                href=f"{into.path}/{others[0].name}",
            )

    # -- items -----------------------------------------------------------------------------------------------

    def _transfer_item(
        self, account: Account, command: Transfer, source: _Place, into: Collection, there: _Place, copy: _Copy
    ) -> Outcome:
        ledger = self._ledger
        assert source.above is not None
        with ledger.group():
            self._clear(account, command, there, keep_item=True)
            if command.move:  # before the copy, so that its UID is free again
                ledger.append(
                    account, source.above.kind, Op.DELETE, source.above.id, command.actor, name=copy.item.name
                )
            rev = self._put(account, into, there.name, copy, command.actor, there.item)
        if command.move:
            self._guards.gone(account, command.source)
        return Outcome(created=there.empty, digest=copy.body.digest, rev=rev, path=into.path, name=there.name)

    def _put(
        self, account: Account, into: Collection, name: str, copy: _Copy, actor: str, old: Item | None = None
    ) -> int:
        """The copy with the source's properties, none of the old one's. Returns its rev."""
        props = copy.props if copy.props or (old is not None and old.props_journal is not None) else None
        change = self._ledger.append(
            account,
            into.kind,
            Op.PUT,
            into.id,
            actor,
            name=name,
            media=copy.item.media,
            body=copy.body,
            props=props,
            kept_props_digest=NO_DIGEST,
        )
        return change.rev

    def _clear(self, account: Account, command: Transfer, there: _Place, *, keep_item: bool) -> None:
        """Make room at the destination; a file that another file replaces stays, and gets its body."""
        if there.collection is not None:
            self._remove(account, there.collection, command.actor)
            self._guards.emptied(account, command.destination)
        elif there.item is not None and not keep_item:
            assert there.above is not None
            self._ledger.append(
                account, there.above.kind, Op.DELETE, there.above.id, command.actor, name=there.item.name
            )

    def _remove(self, account: Account, folder: Collection, actor: str) -> None:
        """A folder with all in it, the innermost first."""
        inner = self._ledger.core.collections(account.number, folder.path + "/")
        for each in sorted([folder, *inner], key=lambda c: c.path, reverse=True):
            self._ledger.append(account, each.kind, Op.RMCOL, each.id, actor, name=each.path)

    # -- folders ---------------------------------------------------------------------------------------------

    def _gather(self, account: Account, command: Transfer, folder: Collection) -> list[_Branch]:
        """All that is to be copied, outer folders first. Raises Forbidden beyond the bounds, Held."""
        inner = self._ledger.core.collections(account.number, folder.path + "/") if command.deep else []
        branches = []
        resources, size = len(inner) + 1, 0
        for each in [folder, *inner]:
            path = command.destination + each.path[len(folder.path) :]
            items = self._ledger.core.items(each, MAX_RESOURCES + 1) if command.deep else []
            _judge_length(path, [item.name for item in items])
            props = {name: value for name, value in each.props.items() if name.startswith("{")}
            resources += len(items)
            size += _size(props)
            _judge_bounds(resources, size)
            copies = []
            for item in items:
                copies.append(self._copy(item))
                size += copies[-1].copied_bytes
                _judge_bounds(resources, size)
            branches.append(_Branch(path, props, copies))
        return branches

    def _transfer_folder(
        self,
        account: Account,
        command: Transfer,
        folder: Collection,
        there: _Place,
        into: Collection,
        branches: Sequence[_Branch],
    ) -> Outcome:
        rev = 0
        with self._ledger.group():
            self._clear(account, command, there, keep_item=False)
            for path, props, copies in branches:
                made = self._collections.create(
                    account, into.kind, path, CollectionType.FOLDER, command.actor, props=props
                )
                rev = made.rev
                for copy in copies:
                    rev = self._put(account, made, copy.item.name, copy, command.actor)
            if command.move:
                self._remove(account, folder, command.actor)
        if command.move:
            self._guards.gone(account, command.source)
        return Outcome(created=there.empty, rev=rev, path=command.destination)


def _judge_tags(source: _Place, command: Transfer) -> None:
    """A folder has no entity tag, but it is there. Raises PreconditionFailed."""
    if source.item is not None:
        check_tags(source.item, command.if_match, command.if_none_match)
    elif command.if_match is not None and not command.if_match.any:
        raise PreconditionFailed("collections have no entity tag that If-Match could name")
    elif command.if_none_match is not None and command.if_none_match.any:
        raise PreconditionFailed("If-None-Match does not hold: there is a collection here")


def _judge_ends(command: Transfer, source: _Place) -> None:
    """What the two paths alone forbid. Raises Forbidden, BadRequest."""
    if command.source == command.destination:
        raise Forbidden("source and destination are the same")
    if below(command.source, command.destination):
        raise Forbidden("the destination holds the source, and would be replaced by it")
    folder = source.collection
    if folder is None:
        return
    if folder.type is not CollectionType.FOLDER:
        raise Forbidden(
            "address books and calendars are neither copied nor moved as a whole",
            hint="to rename one, set its display name",
        )
    if command.move and command.source in ROOTED:
        raise Forbidden(f"{command.source} belongs to the account and cannot be moved")
    if command.move and not command.deep:
        raise BadRequest("a collection is moved with Depth: infinity", hint="leave the header out")
    if below(command.destination, command.source) and (command.move or command.deep):
        raise Forbidden("a folder cannot go into itself")


def _judge_kinds(source: _Place, into: Collection, *, move: bool) -> None:
    """Files go among files, vCards among vCards; and a MOVE stays within its stream. Raises Forbidden."""
    beginning = source.collection or source.above
    assert beginning is not None
    if source.collection is not None and into.type is not CollectionType.FOLDER:
        raise Forbidden(f"{into.path} holds no folders")
    if beginning.type is not into.type or into.type not in _TRANSFERABLE:
        what, element = _HOLDS.get(into.type, ("files", ""))
        raise Forbidden(f"{into.path} holds {what}, of its own sort only", element=element)
    if move and beginning.kind is not into.kind:
        raise Forbidden(
            f"{beginning.kind} cannot be moved into {into.kind}", hint="copy it, and delete it here afterwards"
        )


def _size(props: dict[str, str]) -> int:
    """Bytes that properties take up in a change."""
    return len(canonical_props(props)) if props else 0


def _judge_bounds(resources: int, size: int) -> None:
    if resources > MAX_RESOURCES or size > MAX_COPIED_BYTES:
        raise Forbidden(
            f"one request may copy or move {MAX_RESOURCES} files and folders, "
            f"and {MAX_COPIED_BYTES} bytes of small files and properties; this would be more",
            hint="do it in parts; nothing has been changed",
        )


def _judge_length(path: str, names: Sequence[str]) -> None:
    """Whether everything would have an address there. Raises Forbidden."""
    longest = max((len(name.encode()) + 1 for name in names), default=0)
    if path.count("/") > MAX_DEPTH or len(path.encode()) + longest > MAX_PATH_BYTES:
        raise Forbidden(f"{path} would lie too deep: paths have {MAX_DEPTH} folders and {MAX_PATH_BYTES} bytes")
