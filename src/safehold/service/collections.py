"""The rules of collections: where one may lie, of which kind it is, and what removing one takes with it."""

from __future__ import annotations

from safehold.model.change import ID_BYTES, Op, canonical_props
from safehold.model.commands import MakeCollection, Outcome, PatchProps, RemoveCollection
from safehold.model.errors import Conflict, Forbidden, Held, NotAllowed, NotFound, PreconditionFailed, TooLarge
from safehold.model.items import Account, Collection
from safehold.model.kinds import (
    PATH_IDENTITY,
    ROOT_NOTES,
    ROOT_PHOTOS,
    CollectionType,
    Kind,
)
from safehold.model.paths import check_segment, collection_kind, kinds_under, parent
from safehold.ports.world import Entropy
from safehold.service.ahead import Proofs
from safehold.service.guards import Guards
from safehold.service.ledger import Ledger

CALDAV = "{urn:ietf:params:xml:ns:caldav}"
CARDDAV = "{urn:ietf:params:xml:ns:carddav}"

#: All properties of one resource together, in canonical form.
MAX_PROPS_BYTES = 256 * 1024
#: Folders within folders.
MAX_DEPTH = 32

#: Made with the account, and never removed.
ROOTED = frozenset((PATH_IDENTITY, ROOT_NOTES, ROOT_PHOTOS))
_LOCATION_ELEMENT = {
    CollectionType.CALENDAR: CALDAV + "calendar-collection-location-ok",
    CollectionType.ADDRESSBOOK: CARDDAV + "addressbook-collection-location-ok",
}


class CollectionRules:
    def __init__(self, ledger: Ledger, entropy: Entropy, guards: Guards) -> None:
        self._ledger = ledger
        self._entropy = entropy
        self._guards = guards
        self._proofs = Proofs()  # those on record

    # -- looking up ------------------------------------------------------------------------------------------

    def sure_of_absence(self, account: Account, path: str, *, to_make: bool = False) -> None:
        """Raises Held where a stream that might have had this path is not whole: nothing may look absent then.

        Nor where a device has proved that something lay there, or where the log's end is in doubt; the latter hinders
        nobody who wants `to_make` it.
        """
        for kind in kinds_under(path):
            reason = self._ledger.core.held(account.number, kind)
            if reason is not None:
                raise Held(f"whether {path} exists is not known now: {reason}")
        self._proofs.require_absence(self._ledger.core, account, path, to_make=to_make)

    def existing(self, account: Account, path: str) -> Collection:
        """The collection at a path. Raises NotFound, or Held where its absence is not certain."""
        found = self._ledger.collection(account, path)
        if found is None:
            self.sure_of_absence(account, path)
            raise NotFound(f"there is no collection at {path}")
        return found

    # -- making ----------------------------------------------------------------------------------------------

    def make(self, command: MakeCollection) -> Outcome:
        account = self._ledger.account(command.account)
        kind = self._judge_place(account, command)
        self._guards.judge(account, command.guard, command.path, member=True)
        created = self.create(
            account, kind, command.path, command.type, command.actor, command.components, command.props
        )
        return Outcome(created=True, rev=created.rev, path=command.path)

    def _judge_place(self, account: Account, command: MakeCollection) -> Kind:
        path, type_ = command.path, command.type
        check_segment(path.rpartition("/")[2])
        if path.count("/") > MAX_DEPTH:
            raise Forbidden(f"folders may lie {MAX_DEPTH} deep; {path} is deeper")
        kind = collection_kind(path, type_, command.components)
        if kind is None or type_ is CollectionType.IDENTITY:
            raise Forbidden(
                f"a collection of type {type_} cannot lie at {path}", element=_LOCATION_ELEMENT.get(type_, "")
            )
        if self._ledger.collection(account, path) is not None:
            raise NotAllowed(f"there is a collection at {path} already", element="{DAV:}resource-must-be-null")
        self.sure_of_absence(account, path, to_make=True)
        if type_ is CollectionType.FOLDER and path not in ROOTED:
            above = self._ledger.collection(account, parent(path))
            if above is None:
                raise Conflict(f"there is no folder at {parent(path)}", hint="make the folder above it first")
            if self._ledger.core.item(above, path.rpartition("/")[2]) is not None:
                raise NotAllowed(f"there is a file at {path} already", element="{DAV:}resource-must-be-null")
        self._ledger.head(account, kind)
        _check_props(command.props)
        return kind

    def create(
        self,
        account: Account,
        kind: Kind,
        path: str,
        type_: CollectionType,
        actor: str,
        components: frozenset[str] = frozenset(),
        props: dict[str, str] | None = None,
    ) -> Collection:
        """Make a collection with a new id; judged before. Returns it as the core now has it."""
        own = {"type": type_.value}
        if components:
            own["components"] = ",".join(sorted(components))
        self._ledger.append(
            account, kind, Op.MKCOL, self._entropy.bytes(ID_BYTES), actor, name=path, props={**(props or {}), **own}
        )
        account = self._ledger.account(account.id)
        created = self._ledger.fresh(account, path)
        assert created is not None, "a collection just made is there"
        return created

    # -- changing and removing -------------------------------------------------------------------------------

    def patch(self, command: PatchProps) -> Outcome:
        account = self._ledger.account(command.account)
        self.existing(account, command.path)
        collection = self._ledger.fresh(account, command.path)
        assert collection is not None
        self._guards.judge(account, command.guard, command.path)
        props = patched(collection.props, command)
        if props == collection.props:
            return Outcome(changed=False, path=command.path)
        change = self._ledger.append(account, collection.kind, Op.SETCOL, collection.id, command.actor, props=props)
        return Outcome(rev=change.rev, path=command.path)

    def remove(self, command: RemoveCollection) -> Outcome:
        account = self._ledger.account(command.account)
        collection = self.existing(account, command.path)
        if command.path in ROOTED:
            raise Forbidden(f"{command.path} belongs to the account and cannot be removed")
        if command.if_match is not None and not command.if_match.any:
            raise PreconditionFailed("collections have no entity tag that If-Match could name")
        self._ledger.head(account, collection.kind)
        self._guards.judge(account, command.guard, command.path, member=True, tree=True)
        inner = self._ledger.core.collections(account.number, command.path + "/")
        rev = 0
        with self._ledger.group():
            for each in sorted([collection, *inner], key=lambda c: c.path, reverse=True):
                change = self._ledger.append(account, each.kind, Op.RMCOL, each.id, command.actor, name=each.path)
                rev = change.rev
        self._guards.gone(account, command.path)
        return Outcome(rev=rev, path=command.path)


def patched(props: dict[str, str], command: PatchProps) -> dict[str, str]:
    """Properties after a PatchProps. Safehold's own names (without a namespace) cannot be touched."""
    if any(not name.startswith("{") for name in (*command.set, *command.remove)):
        raise Forbidden("a property name needs a namespace", element="{DAV:}cannot-modify-protected-property")
    result = {name: value for name, value in props.items() if name not in command.remove}
    result.update(command.set)
    _check_props(result)
    return result


def _check_props(props: dict[str, str]) -> None:
    size = len(canonical_props(props))
    if size > MAX_PROPS_BYTES:
        raise TooLarge(f"the properties are {size} bytes together; the limit is {MAX_PROPS_BYTES}")
