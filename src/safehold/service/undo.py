"""Undo: bring an item, a collection, a kind or an account back to what it was. Nothing is rewritten; it is new changes.

One undo is one group in one frame: all of it has happened or none. Only one of more than MAX_CHANGES changes, or of
more than MAX_BYTES in them, goes in parts, each whole, since a frame has a bound and nobody may wait for minutes; the
outcome then says that there is more, and asking again by the revs it gives does the next part (I62).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from safehold.model.change import ID_BYTES, Op
from safehold.model.commands import Body, Outcome, Undo
from safehold.model.errors import Held, Unconfirmed
from safehold.model.items import Account, Item
from safehold.model.kinds import Kind
from safehold.ports.core import PastCollection, PastItem
from safehold.ports.world import Entropy
from safehold.service.brakes import BrakeLimits
from safehold.service.ledger import Ledger
from safehold.service.undo_plan import CollectionPlan, has_same_body, plan_undo, what

#: Changes of one part, and bytes of bodies in them.
MAX_CHANGES = 20_000
MAX_BYTES = 64 * 1024 * 1024


class UndoRules:
    """First a plan, read only; then, unless it is a dry run, one group of changes."""

    def __init__(self, ledger: Ledger, entropy: Entropy, limits: BrakeLimits, most: int = MAX_CHANGES) -> None:
        self._ledger = ledger
        self._entropy = entropy
        self._limits = limits
        self._most = most

    def undo(self, command: Undo) -> Outcome:
        account = self._ledger.account(command.account)
        plan = plan_undo(self._ledger.core, account, command, self._ledger.now)
        lines = plan.lines()
        if command.dry_run:
            return Outcome(changed=False, undone=lines, revs=plan.revs)
        self._judge_share(plan.collections, confirmed=command.confirmed)
        first = len(self._ledger.changes)
        before = {kind: self._ledger.core.head(account.number, kind).rev for kind in plan.revs}
        with self._ledger.group():
            more = self._apply_all(account, plan.collections, command.actor)
        made = self._ledger.changes[first:]
        touched = {change.kind for change in made}
        return Outcome(
            changed=bool(made),
            rev=made[-1].rev if made else 0,
            undone=lines,
            revs=plan.revs,
            before={kind: rev for kind, rev in before.items() if kind in touched},
            more=more,
        )

    def _judge_share(self, plans: list[CollectionPlan], *, confirmed: bool) -> None:
        """What is not a device's own delete stays listed until confirmed. Raises Unconfirmed."""
        if confirmed:
            return
        for plan in plans:
            if self._limits.is_mass(plan.removes, plan.items):
                raise Unconfirmed(
                    f"this would remove {plan.removes} of {plan.items} items of {plan.path}",
                    hint="look at what it does with a dry run, then confirm it (`--yes`); it can itself be undone",
                )

    # -- applying --------------------------------------------------------------------------------------------

    def _apply_all(self, account: Account, plans: list[CollectionPlan], actor: str) -> bool:
        """Make the changes, as many as one part may have; whether there are more."""
        first = len(self._ledger.changes)
        size = counted = 0
        left = sum(plan.steps for plan in plans)
        for _ in self._steps(account, plans, actor):
            left -= 1
            changes = self._ledger.changes
            size += sum(len(change.body or b"") + len(change.props or b"") for change in changes[first + counted :])
            counted = len(changes) - first
            if counted >= self._most or size >= MAX_BYTES:
                break
        return left > 0

    def _steps(self, account: Account, plans: list[CollectionPlan], actor: str) -> Iterator[None]:
        """All changes in their order: what goes goes first, so that a name or a UID is free again."""
        goes = [plan for plan in reversed(plans) if plan.then is None]  # the innermost first
        for plan in (*goes, *(plan for plan in plans if plan.then is not None)):
            yield from self._apply(account, plan, actor)

    def _apply(self, account: Account, plan: CollectionPlan, actor: str) -> Iterator[None]:
        ledger = self._ledger
        if plan.then is None:
            assert plan.now is not None
            ledger.append(account, plan.now.kind, Op.RMCOL, plan.now.id, actor, name=plan.now.path)
            yield
            return
        if plan.now is not None:
            kind, id_ = plan.now.kind, plan.now.id
            ledger.head(account, kind)
            if plan.props:
                ledger.append(account, kind, Op.SETCOL, id_, actor, props=plan.then.props)
                yield
        else:
            kind, id_ = self._make(account, plan.then, actor)
            yield
        for item in plan.delete:
            ledger.append(account, kind, Op.DELETE, id_, actor, name=item.name)
            yield
        for past, live in plan.put:
            self._put(account, kind, id_, past, live, actor)
            yield

    def _make(self, account: Account, then: PastCollection, actor: str) -> tuple[Kind, bytes]:
        _, kind = what(then)
        self._ledger.head(account, kind)
        id_ = self._entropy.bytes(ID_BYTES)
        self._ledger.append(account, kind, Op.MKCOL, id_, actor, name=then.path, props=then.props)
        return kind, id_

    def _put(
        self, account: Account, kind: Kind, collection: bytes, past: PastItem, live: Item | None, actor: str
    ) -> None:
        ledger = self._ledger
        kept = ledger.props_digest(live)
        if not has_same_body(past, live):
            ledger.append(
                account,
                kind,
                Op.PUT,
                collection,
                actor,
                name=past.name,
                media=past.media,
                body=self._body(past),
                kept_props_digest=kept,
            )
        if kept != past.props_digest:
            props = ledger.core.props_at(past.props_journal) if past.props_journal is not None else {}
            ledger.append(account, kind, Op.PROPS, collection, actor, name=past.name, props=props)

    def _body(self, past: PastItem) -> Body:
        """Raises Held where it is not here, or not what its digest says: damage must not come back as data."""
        stored = self._ledger.core.version_body(past.journal)
        sound = stored.blob is not None or (stored.inline is not None and sha256(stored.inline).digest() == past.digest)
        if not sound:
            raise Held(f"the body of {past.name} as it was then is not here", hint="recover it from a vault first")
        return Body(past.digest, past.size, stored.inline, stored.blob)
