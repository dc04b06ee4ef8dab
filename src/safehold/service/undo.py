"""Undo: bring an item, a collection or a kind back to what it was. Nothing is rewritten; it is new changes."""

from __future__ import annotations

from dataclasses import dataclass, field

from safehold.content.uid import quick_uid
from safehold.model.change import ID_BYTES, Op
from safehold.model.commands import Body, Outcome, Undo, UndoneItem
from safehold.model.errors import BadRequest, Conflict, Held, NotFound
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import DATA_KINDS, CollectionType, Kind
from safehold.model.paths import collection_kind, kinds_under
from safehold.ports.core import PastCollection, PastItem
from safehold.ports.world import Entropy
from safehold.service.collections import ROOTED
from safehold.service.ledger import Ledger

ADDED, CHANGED, REMOVED = "added", "changed", "removed"


@dataclass
class _CollectionPlan:
    """What has to happen to one path. `now` None: made anew. `then` None: removed."""

    path: str
    now: Collection | None
    then: PastCollection | None
    props: bool = False  # the collection's properties differ
    put: list[tuple[PastItem, Item | None]] = field(default_factory=list)
    delete: list[Item] = field(default_factory=list)

    def lines(self) -> list[UndoneItem]:
        result = []
        if self.now is None:
            result.append(UndoneItem(self.path, "", ADDED))
        elif self.then is None:
            result.append(UndoneItem(self.path, "", REMOVED))
        elif self.props:
            result.append(UndoneItem(self.path, "", CHANGED))
        result += [UndoneItem(self.path, i.name, REMOVED) for i in self.delete]
        result += [UndoneItem(self.path, p.name, ADDED if i is None else CHANGED) for p, i in self.put]
        return result


class UndoRules:
    """First a plan per collection, read only; then, unless it is a dry run, one group of changes per stream."""

    def __init__(self, ledger: Ledger, entropy: Entropy) -> None:
        self._ledger = ledger
        self._entropy = entropy

    def undo(self, command: Undo) -> Outcome:
        account = self._ledger.account(command.account)
        if command.to > self._ledger.now:
            raise BadRequest("the time to go back to lies in the future")
        plans = self._plan(account, command)
        self._judge_places(account, plans)
        lines = tuple(line for plan in plans for line in plan.lines())
        rev = 0
        if not command.dry_run:
            with self._ledger.group():
                for plan in plans:
                    rev = self._apply(account, plan, command.actor) or rev
        return Outcome(changed=bool(lines) and not command.dry_run, rev=rev, undone=lines)

    # -- planning --------------------------------------------------------------------------------------------

    def _plan(self, account: Account, command: Undo) -> list[_CollectionPlan]:
        if command.path is None:
            if command.name is not None:
                raise BadRequest("an item is named within a collection: give its path too")
            kinds = (command.kind,) if command.kind is not None else DATA_KINDS
            if Kind.IDENTITY in kinds:
                raise BadRequest("credentials are not undone; set a new password instead")
            return [plan for kind in kinds for plan in self._plan_kind(account, kind, command.to)]
        then = self._past(account, command.path, command.to)
        now = self._ledger.fresh(account, command.path)
        if now is not None:
            self._ledger.head(account, now.kind)
        if command.name is not None:
            return [self._plan_item(account, command, now, then)]
        if then is None:
            raise NotFound(f"there was no collection at {command.path} at that time")
        return [self._plan_collection(account, command.path, now, then, command.to)]

    def _past(self, account: Account, path: str, to: int) -> PastCollection | None:
        """The collection that bore the path then, whichever kind it was of.

        Raises Held where none is found and a stream that might have had one is not whole.
        """
        for kind in kinds_under(path):
            for past in self._ledger.core.collections_at(account.number, kind, to):
                if past.path == path:
                    return past
        for kind in kinds_under(path):
            reason = self._ledger.core.held(account.number, kind)
            if reason is not None:
                raise Held(f"what was at {path} is not known now: {reason}")
        return None

    def _plan_kind(self, account: Account, kind: Kind, to: int) -> list[_CollectionPlan]:
        self._ledger.head(account, kind)
        then = {past.path: past for past in self._ledger.core.collections_at(account.number, kind, to)}
        now = {c.path: c for c in self._ledger.core.collections(account.number) if c.kind is kind}
        if not then and now and kind is not Kind.SCORES:
            raise NotFound(f"this account had no {kind} at that time", hint="choose a later time")
        plans = []
        for path in sorted(then.keys() | now.keys()):
            past = then.get(path)
            if past is None:
                plans.append(_CollectionPlan(path, now[path], None))
            else:
                plans.append(self._plan_collection(account, path, now.get(path), past, to))
        return plans

    def _plan_collection(
        self, account: Account, path: str, now: Collection | None, then: PastCollection, to: int
    ) -> _CollectionPlan:
        plan = _CollectionPlan(path, now, then)
        past = self._ledger.core.items_at(account.number, then.id, to)
        live = {} if now is None else {item.name: item for item in self._ledger.core.items(now)}
        plan.props = now is not None and now.props != then.props
        plan.delete = [item for name, item in sorted(live.items()) if name not in past]
        plan.put = [(p, live.get(name)) for name, p in sorted(past.items()) if self._differs(p, live.get(name))]
        return plan

    def _plan_item(
        self, account: Account, command: Undo, now: Collection | None, then: PastCollection | None
    ) -> _CollectionPlan:
        assert command.name is not None
        past = (
            None if then is None else self._ledger.core.items_at(account.number, then.id, command.to).get(command.name)
        )
        live = None if now is None else self._ledger.core.item(now, command.name)
        if past is None and live is None:
            raise NotFound(f"there is no {command.name} in {command.path}, and there was none then")
        plan = _CollectionPlan(command.path or "", now, then if now is None else then or _as_past(now))
        if past is None:
            assert live is not None
            plan.delete = [live]
        elif self._differs(past, live):
            self._judge_uid(command, now, past)
            plan.put = [(past, live)]
        return plan

    def _judge_uid(self, command: Undo, now: Collection | None, past: PastItem) -> None:
        """An item alone may come back only under a UID that no other resource has taken since."""
        body = self._ledger.core.version_body(past.journal).inline
        if now is None or body is None or now.type not in (CollectionType.ADDRESSBOOK, CollectionType.CALENDAR):
            return
        uid = quick_uid(body)
        other = self._ledger.core.item_by_uid(now, uid) if uid is not None else None
        if other is not None and other.name != past.name:
            raise Conflict(
                f"{other.name} in {command.path} bears the UID of {past.name} now",
                hint=f"remove {other.name} first, or bring the whole collection back",
            )

    def _judge_places(self, account: Account, plans: list[_CollectionPlan]) -> None:
        """Whether everything has a place to come back to. Raises Conflict."""
        by_path = {plan.path: plan for plan in plans}
        for plan in plans:
            if plan.then is None:
                continue
            type_, kind = _what(plan.then)
            lies_there = self._ledger.fresh(account, plan.path)
            if lies_there is not None and lies_there.kind is not kind:
                raise Conflict(
                    f"a collection of another kind lies at {plan.path} now", hint="remove or rename it first"
                )
            if type_ is not CollectionType.FOLDER:
                continue
            if plan.now is None and plan.path not in ROOTED:
                self._judge_folder(account, plan.path, by_path)
            for item, live in plan.put:
                inner = f"{plan.path}/{item.name}"
                goes = inner in by_path and by_path[inner].then is None
                if live is None and not goes and self._ledger.fresh(account, inner) is not None:
                    raise Conflict(f"there is a folder at {inner} now", hint="remove or rename it first")

    def _judge_folder(self, account: Account, path: str, plans: dict[str, _CollectionPlan]) -> None:
        """A folder lies in a folder, and not where a file lies."""
        above, _, name = path.rpartition("/")
        plan = plans.get(above)
        there = self._ledger.fresh(account, above)
        if (there is None and plan is None) or (plan is not None and plan.then is None):
            raise Conflict(f"there is no folder at {above} any more", hint=f"bring {above} back first")
        file = None if there is None else self._ledger.core.item(there, name)
        if file is not None and (plan is None or all(item.name != name for item in plan.delete)):
            raise Conflict(f"there is a file at {path} now", hint="remove or rename it first")

    def _differs(self, past: PastItem, live: Item | None) -> bool:
        if live is None or live.digest != past.digest or live.media != past.media:
            return True
        return self._ledger.props_digest(live) != past.props_digest

    # -- applying --------------------------------------------------------------------------------------------

    def _apply(self, account: Account, plan: _CollectionPlan, actor: str) -> int:
        """The changes of one plan: deletes first, so that a UID is free again before it is put back."""
        ledger = self._ledger
        if plan.then is None:
            assert plan.now is not None
            return ledger.append(account, plan.now.kind, Op.RMCOL, plan.now.id, actor, name=plan.now.path).rev
        rev = 0
        if plan.now is not None:
            kind, id_ = plan.now.kind, plan.now.id
            if plan.props:
                rev = ledger.append(account, kind, Op.SETCOL, id_, actor, props=plan.then.props).rev
        else:
            kind, id_, rev = self._make(account, plan.then, actor)
        for item in plan.delete:
            rev = ledger.append(account, kind, Op.DELETE, id_, actor, name=item.name).rev
        for past, live in plan.put:
            rev = self._put(account, kind, id_, past, live, actor)
        return rev

    def _make(self, account: Account, then: PastCollection, actor: str) -> tuple[Kind, bytes, int]:
        _, kind = _what(then)
        self._ledger.head(account, kind)
        id_ = self._entropy.bytes(ID_BYTES)
        change = self._ledger.append(account, kind, Op.MKCOL, id_, actor, name=then.path, props=then.props)
        return kind, id_, change.rev

    def _put(
        self, account: Account, kind: Kind, collection: bytes, past: PastItem, live: Item | None, actor: str
    ) -> int:
        ledger = self._ledger
        rev = 0
        kept = ledger.props_digest(live)
        if live is None or live.digest != past.digest or live.media != past.media:
            stored = ledger.core.version_body(past.journal)
            if stored.inline is None and stored.blob is None:
                raise Held(f"the body of {past.name} as it was then is not here", hint="recover it from a vault first")
            body = Body(past.digest, past.size, stored.inline, stored.blob)
            rev = ledger.append(
                account,
                kind,
                Op.PUT,
                collection,
                actor,
                name=past.name,
                media=past.media,
                body=body,
                kept_props_digest=kept,
            ).rev
        if kept != past.props_digest:
            props = ledger.core.props_at(past.props_journal) if past.props_journal is not None else {}
            rev = ledger.append(account, kind, Op.PROPS, collection, actor, name=past.name, props=props).rev
        return rev


def _what(then: PastCollection) -> tuple[CollectionType, Kind]:
    """The type and kind of a collection that was there."""
    type_ = CollectionType(then.props.get("type", "folder"))
    components = frozenset(filter(None, then.props.get("components", "").split(",")))
    kind = collection_kind(then.path, type_, components)
    assert kind is not None, "a collection that was there may lie there"
    return type_, kind


def _as_past(now: Collection) -> PastCollection:
    return PastCollection(now.id, now.path, now.props)
