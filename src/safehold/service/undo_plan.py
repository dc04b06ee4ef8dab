"""What an undo would do, found out by reading alone: so a dry run needs no writer, and an undo judges before it acts.

A moment is a rev of each stream. A time becomes one where the question is asked; what is asked again, since it was
done in parts or is to be undone itself, is asked by revs: clocks may run backwards, revs do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from safehold.content.uid import quick_uid
from safehold.model.change import NO_DIGEST
from safehold.model.commands import Undo, UndoneItem
from safehold.model.errors import BadRequest, Conflict, Held, NotFound
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import DATA_KINDS, CollectionType, Kind
from safehold.model.paths import below, collection_kind, kinds_under
from safehold.ports.core import CoreReads, PastCollection, PastItem
from safehold.service.collections import ROOTED

ADDED, CHANGED, REMOVED, LEFT = "added", "changed", "removed", "left"

_WITH_UID = (CollectionType.ADDRESSBOOK, CollectionType.CALENDAR)


@dataclass
class CollectionPlan:
    """What has to happen to one path. `now` None: made anew. `then` None: removed, with `held_items` in it."""

    path: str
    now: Collection | None
    then: PastCollection | None
    props: bool = False  # the collection's properties differ
    put: list[tuple[PastItem, Item | None]] = field(default_factory=list)
    delete: list[Item] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    items: int = 0  # that live there now

    @property
    def removes(self) -> int:
        """How many live items go."""
        return self.items if self.then is None else len(self.delete)

    @property
    def steps(self) -> int:
        """In so many steps it is done: what is about one item, or the collection itself."""
        if self.then is None:
            return 1
        return (self.now is None or self.props) + len(self.delete) + len(self.put)

    def lines(self) -> Iterator[UndoneItem]:
        if self.now is None:
            yield UndoneItem(self.path, "", ADDED)
        elif self.then is None:
            yield UndoneItem(self.path, "", REMOVED)
        elif self.props:
            yield UndoneItem(self.path, "", CHANGED)
        for item in self.delete:
            yield UndoneItem(self.path, item.name, REMOVED)
        for past, live in self.put:
            yield UndoneItem(self.path, past.name, ADDED if live is None else CHANGED)
        for name in self.left:
            yield UndoneItem(self.path, name, LEFT)


@dataclass(frozen=True)
class Plan:
    """`revs` is the moment that is gone back to, of the streams that were looked at."""

    collections: list[CollectionPlan]
    revs: dict[Kind, int]

    def lines(self) -> tuple[UndoneItem, ...]:
        return tuple(line for plan in self.collections for line in plan.lines())


def plan_undo(reads: CoreReads, account: Account, command: Undo, now: int) -> Plan:
    """Read at one moment. Raises BadRequest, NotFound, Conflict, HistoryDropped, and Held for what is not whole."""
    if command.to is not None and command.to > now:
        raise BadRequest("the time to go back to lies in the future")
    if (command.to is None) == (not command.revs):
        raise BadRequest("an undo needs one moment to go back to")
    planner = _Planner(reads, account, command)
    plans = planner.plan()
    planner.judge_places(plans)
    return Plan(plans, planner.revs)


def what(then: PastCollection) -> tuple[CollectionType, Kind]:
    """The type and kind of a collection that was there."""
    type_ = CollectionType(then.props.get("type", "folder"))
    components = frozenset(filter(None, then.props.get("components", "").split(",")))
    kind = collection_kind(then.path, type_, components)
    assert kind is not None, "a collection that was there may lie there"
    return type_, kind


def props_digest_of(reads: CoreReads, item: Item | None) -> bytes:
    """The digest of an item's properties; b"" where it has none."""
    if item is None or item.props_journal is None:
        return NO_DIGEST
    return reads.change(item.props_journal).props_digest


def has_same_body(past: PastItem, live: Item | None) -> bool:
    return live is not None and live.digest == past.digest and live.media == past.media


class _Planner:
    def __init__(self, reads: CoreReads, account: Account, command: Undo) -> None:
        self._reads = reads
        self._account = account
        self._command = command
        self.revs: dict[Kind, int] = {}

    # -- the moment ------------------------------------------------------------------------------------------

    def _rev(self, kind: Kind) -> int:
        """The rev that this stream goes back to. Raises HistoryDropped."""
        rev = self.revs.get(kind)
        if rev is None:
            if self._command.to is not None:
                rev = self._reads.rev_at(self._account.number, kind, self._command.to)
            else:
                rev = self._command.revs[kind]
            self.revs[kind] = rev
        return rev

    def _meant(self, kind: Kind) -> bool:
        """Whether the moment says anything of this stream."""
        return self._command.to is not None or kind in self._command.revs

    def _require_whole(self, kind: Kind) -> None:
        reason = self._reads.held(self._account.number, kind)
        if reason is not None:
            raise Held(
                f"{kind} of this account cannot be undone now: {reason}",
                hint="nothing has been changed; try again once they are whole",
            )

    # -- what differs ----------------------------------------------------------------------------------------

    def plan(self) -> list[CollectionPlan]:
        command = self._command
        if command.path is None:
            if command.name is not None:
                raise BadRequest("an item is named within a collection: give its path too")
            kinds = (command.kind,) if command.kind is not None else DATA_KINDS
            if Kind.IDENTITY in kinds or Kind.IDENTITY in command.revs:
                raise BadRequest("credentials are not undone; set a new password instead")
            return [plan for kind in kinds if self._meant(kind) for plan in self._plan_kind(kind)]
        then = self._past(command.path)
        now = self._fresh(command.path)
        if now is not None:
            self._require_whole(now.kind)
        if command.name is not None:
            return [self._plan_item(command.path, command.name, now, then)]
        if then is None:
            raise NotFound(f"there was no collection at {command.path} at that time", hint="choose another time")
        if command.deep:
            return self._plan_kind(what(then)[1], command.path)
        return [self._plan_collection(command.path, now, then)]

    def _fresh(self, path: str) -> Collection | None:
        return self._reads.collection(self._account.number, path)

    def _past(self, path: str) -> PastCollection | None:
        """The collection that bore the path then, whichever kind it was of.

        Raises Held where none is found and a stream that might have had one is not whole.
        """
        kinds = [kind for kind in kinds_under(path) if self._meant(kind)]
        for kind in kinds:
            for past in self._reads.collections_at(self._account.number, kind, rev=self._rev(kind)):
                if past.path == path:
                    self._require_whole(kind)
                    return past
        for kind in kinds:
            reason = self._reads.held(self._account.number, kind)
            if reason is not None:
                raise Held(f"what was at {path} is not known now: {reason}")
        return None

    def _plan_kind(self, kind: Kind, path: str | None = None) -> list[CollectionPlan]:
        """All of a stream, or what lies at a path and below it."""
        self._require_whole(kind)
        number = self._account.number
        then = {past.path: past for past in self._reads.collections_at(number, kind, rev=self._rev(kind))}
        now = {c.path: c for c in self._reads.collections(number) if c.kind is kind}
        if not then and now and kind is not Kind.SCORES:
            raise NotFound(f"this account had no {kind} at that time", hint="choose a later time")
        plans = []
        for each in sorted(then.keys() | now.keys()):
            if path is not None and each != path and not below(each, path):
                continue
            past = then.get(each)
            if past is not None:
                plans.append(self._plan_collection(each, now.get(each), past))
            elif not self._command.deleted_only:
                plans.append(CollectionPlan(each, now[each], None, items=len(self._reads.items(now[each]))))
        return plans

    def _plan_collection(self, path: str, now: Collection | None, then: PastCollection) -> CollectionPlan:
        past = self._reads.items_at(self._account.number, then.id, rev=self._rev(what(then)[1]))
        live = {} if now is None else {item.name: item for item in self._reads.items(now)}
        plan = CollectionPlan(path, now, then, items=len(live))
        if self._command.deleted_only:
            for name, item in sorted(past.items()):
                if name in live:
                    continue
                if self._reads.has_body(item.journal) and self._bearer(now, item) is None:
                    plan.put.append((item, None))
                else:
                    plan.left.append(name)
            return plan
        plan.props = now is not None and now.props != then.props
        plan.delete = [item for name, item in sorted(live.items()) if name not in past]
        for name, item in sorted(past.items()):
            if self._differs(item, live.get(name)):
                gone = not has_same_body(item, live.get(name)) and not self._reads.has_body(item.journal)
                plan.left.append(name) if gone else plan.put.append((item, live.get(name)))
        return plan

    def _plan_item(self, path: str, name: str, now: Collection | None, then: PastCollection | None) -> CollectionPlan:
        past = None
        if then is not None:
            rev = self._rev(what(then)[1])
            past = self._reads.items_at(self._account.number, then.id, rev=rev, name=name).get(name)
        live = None if now is None else self._reads.item(now, name)
        if past is None and live is None:
            raise NotFound(f"there is no {name} in {path}, and there was none then", hint="choose another time")
        plan = CollectionPlan(path, now, then if now is None else then or PastCollection(now.id, now.path, now.props))
        if past is None:
            assert live is not None
            plan.delete = [live]
        elif self._differs(past, live):
            other = self._bearer(now, past)
            if other is not None:
                raise Conflict(
                    f"{other} in {path} bears the UID of {name} now",
                    hint=f"remove {other} first, or bring the whole collection back",
                )
            plan.put = [(past, live)]
        return plan

    def _bearer(self, now: Collection | None, past: PastItem) -> str | None:
        """The other resource that bears the UID of an item now: it may come back alone only where there is none."""
        if now is None or now.type not in _WITH_UID:
            return None
        body = self._reads.version_body(past.journal).inline
        uid = quick_uid(body) if body is not None else None
        other = self._reads.item_by_uid(now, uid) if uid is not None else None
        return other.name if other is not None and other.name != past.name else None

    def _differs(self, past: PastItem, live: Item | None) -> bool:
        return not has_same_body(past, live) or props_digest_of(self._reads, live) != past.props_digest

    # -- whether there is room for it ------------------------------------------------------------------------

    def judge_places(self, plans: list[CollectionPlan]) -> None:
        """Whether everything has a place to come back to. Raises Conflict."""
        by_path = {plan.path: plan for plan in plans}
        for plan in plans:
            if plan.then is None:
                continue
            type_, kind = what(plan.then)
            lies_there = self._fresh(plan.path)
            if lies_there is not None and lies_there.kind is not kind:
                raise Conflict(
                    f"a collection of another kind lies at {plan.path} now", hint="remove or rename it first"
                )
            if type_ is not CollectionType.FOLDER:
                continue
            if plan.now is None and plan.path not in ROOTED:
                self._judge_folder(plan.path, by_path)
            for item, live in plan.put:
                inner = f"{plan.path}/{item.name}"
                goes = inner in by_path and by_path[inner].then is None
                if live is None and not goes and self._fresh(inner) is not None:
                    raise Conflict(f"there is a folder at {inner} now", hint="remove or rename it first")

    def _judge_folder(self, path: str, plans: dict[str, CollectionPlan]) -> None:
        """A folder lies in a folder, and not where a file lies."""
        above, _, name = path.rpartition("/")
        plan = plans.get(above)
        there = self._fresh(above)
        if (there is None and plan is None) or (plan is not None and plan.then is None):
            raise Conflict(f"there is no folder at {above} any more", hint=f"bring {above} back first")
        file = None if there is None else self._reads.item(there, name)
        if file is not None and (plan is None or all(item.name != name for item in plan.delete)):
            raise Conflict(f"there is a file at {path} now", hint="remove or rename it first")
