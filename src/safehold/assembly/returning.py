"""What a find puts back as new changes, through the ordinary writer: recovery/returns.py decides, this carries it out.

Each goes through the checks that a device's own PUT goes through, under the actor `recovery`, and is vaulted when it is
done. Where it came from is no longer there, it goes into its collection, if that is known, and else into one that is
called `recovered`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator
from contextlib import suppress

import msgspec

from safehold.content.check import check_icalendar, check_vcard
from safehold.model.change import Op, parse_props
from safehold.model.commands import AnyCommand, Outcome
from safehold.model.errors import OutOfSpace, RequestError, SafeholdError
from safehold.model.items import Account
from safehold.model.items import Collection as LiveCollection
from safehold.model.kinds import (
    DATA_KINDS,
    HOME_CALENDARS,
    HOME_CONTACTS,
    HOME_SCORES,
    ROOT_NOTES,
    ROOT_PHOTOS,
    CollectionType,
    Kind,
)
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.survivors import Loose, Survivor
from safehold.ports.vault import VaultDown
from safehold.recovery.find import Find
from safehold.recovery.returns import (
    ACTOR,
    Candidate,
    Memory,
    Returned,
    Verdict,
    decide,
    newest,
    of_change,
    of_known,
    of_loose,
    remember,
)
from safehold.service.transfer.intake import Intake, at_of
from safehold.service.transfer.layout import ScoreEntry

RECOVERED = "recovered"

_HOMES = {
    Kind.CONTACTS: HOME_CONTACTS,
    Kind.CALENDAR: HOME_CALENDARS,
    Kind.TASKS: HOME_CALENDARS,
    Kind.NOTES: ROOT_NOTES,
    Kind.PHOTOS: ROOT_PHOTOS,
    Kind.SCORES: HOME_SCORES,
}
_COMPONENTS = {Kind.CALENDAR: "VEVENT", Kind.TASKS: "VTODO", Kind.NOTES: "VJOURNAL"}
_TEXT_CALENDAR = "text/calendar"


class _Making:
    """How a collection was made, by a change that survived."""

    def __init__(self, path: str, props: dict[str, str]) -> None:
        self.path = path
        self.props = props


def return_found(
    find: Find,
    *,
    reads: CoreReads,
    blobs: Blobs,
    blob_key: Callable[[Account], bytes],
    execute: Callable[[AnyCommand], Outcome],
    in_doubt: bool,
    accounts: Container[bytes] | None = None,
    kinds: Collection[Kind] = DATA_KINDS,
) -> Returned:
    """Put back what is to be put back, of these accounts (None: of all). Raises OutOfSpace, VaultDown."""
    returned = Returned()
    keys = set(find.keys)
    loose = _loose_by_account(find)
    for account in reads.accounts():
        if accounts is not None and account.id not in accounts:
            loose = {key: things for key, things in loose.items() if key[0] != account.name}
            continue
        for kind in kinds:
            things = loose.pop((account.name, kind), [])
            if (account.id, kind) not in keys and not things:
                continue
            if reads.held(account.number, kind) is not None:
                returned.held.append(f"{account.name}, {kind}")
                continue
            _Returning(find, reads, blobs, blob_key, execute, account, kind, in_doubt, returned).run(things)
    for (name, kind), things in loose.items():
        why = "nobody knows whose it is" if not name else f"there is no account {name}"
        for thing in things if kind in kinds else ():
            returned.leave(name, of_loose(thing, thing.collection), why)
    return returned


def _loose_by_account(find: Find) -> dict[tuple[str, Kind], list[Loose]]:
    """Without their bodies, which lie in the find."""
    found: dict[tuple[str, Kind], list[Loose]] = {}
    for thing in find.loose_items():
        found.setdefault((thing.account, thing.kind), []).append(thing._replace(body=None))
    return found


class _Returning:
    """One stream's."""

    def __init__(
        self,
        find: Find,
        reads: CoreReads,
        blobs: Blobs,
        blob_key: Callable[[Account], bytes],
        execute: Callable[[AnyCommand], Outcome],
        account: Account,
        kind: Kind,
        in_doubt: bool,
        returned: Returned,
    ) -> None:
        self._find = find
        self._reads = reads
        self._blobs = blobs
        self._account = account
        self._kind = kind
        self._in_doubt = in_doubt
        self._returned = returned
        self._blob_key = blob_key
        self._execute = execute
        self._made: dict[bytes, _Making] = {}
        self._placed: set[tuple[str, str]] = set()
        self._intake: Intake | None = None

    def run(self, loose: list[Loose]) -> None:
        reads, number, kind = self._reads, self._account.number, self._kind
        memory = remember(reads, number, kind, in_doubt=self._in_doubt, with_uids=bool(loose))
        candidates = [*self._off_the_stream(memory), *(of_loose(each, self._path_of(each)) for each in loose)]
        for candidate in newest(candidates):
            body = self._find.body_of(candidate.digest) if not candidate.rev else None
            decision = decide(candidate, memory, body)
            if decision.verdict is Verdict.SKIP:
                self._returned.skipped += 1
            elif decision.verdict is Verdict.ASIDE:
                self._returned.leave(self._account.name, candidate, decision.why)
            else:
                self._try(candidate, memory)

    # -- what there is

    def _heard(self, found: Iterable[Survivor], memory: Memory) -> Iterator[Candidate]:
        for survivor in found:
            change = survivor.change
            if self._is_on(change.rev, change.hash):
                continue
            memory.hear(change)
            if change.op is Op.MKCOL:
                self._made[change.collection] = _Making(change.name, parse_props(change.props))
            elif change.op is Op.PUT:
                yield of_change(change)

    def _off_the_stream(self, memory: Memory) -> Iterator[Candidate]:
        """Changes and items that the find has and the stream has not."""
        key = (self._account.id, self._kind)
        yield from self._heard(self._find.page_changes(key), memory)
        if memory.accepted:
            yield from self._heard(self._find.chain_changes(key), memory)  # whose loss is on record
        for item in self._find.known_items(key):
            if self._find.has_body(b"", item.digest) and item.digest not in memory.digests:
                yield of_known(item)

    def _is_on(self, rev: int, hash_: bytes) -> bool:
        """Whether the stream has this change. Of a rev that is missing it may know the hash all the same."""
        number = self._account.number
        there = self._reads.version_at(number, self._kind, rev) is not None
        return there and self._reads.hash_at(number, self._kind, rev) == hash_

    def _path_of(self, loose: Loose) -> str:
        if self._kind in (Kind.NOTES, Kind.PHOTOS) and loose.media != _TEXT_CALENDAR:
            return f"{_HOMES[self._kind]}/{loose.collection}".rstrip("/")
        home = HOME_CALENDARS if self._kind is Kind.NOTES else _HOMES[self._kind]
        return f"{home}/{loose.collection}" if loose.collection else ""

    # -- putting

    def _try(self, candidate: Candidate, memory: Memory) -> None:
        """Errors that speak against the thing put it aside; those of disks and vaults are the caller's."""
        try:
            why = self._put(candidate, memory)
        except (OutOfSpace, VaultDown):
            raise
        except (RequestError, SafeholdError, ValueError) as error:
            why = getattr(error, "message", "") or str(error)
        if why:
            self._returned.leave(self._account.name, candidate, why)

    def _put(self, candidate: Candidate, memory: Memory) -> str:
        """Why it was not put; "" where it was, or needs not."""
        path, type_, making = self._target(candidate)
        if (path, candidate.name) in self._placed:
            return f"another thing that was found bears its name in {path}"
        chunks = self._chunks(candidate)
        if chunks is None:
            return "its body was not found"
        target = self._reads.collection(self._account.number, path)
        if target is not None and target.id != candidate.collection:
            there = memory.items.get((target.id, candidate.name))
            if there is not None and (there.deleted or there.digest == candidate.digest):
                self._returned.skipped += 1
                return ""
            if there is not None:
                return f"another thing bears its name in {path}"
        is_elsewhere = target is None or target.id != candidate.collection
        if is_elsewhere and (path, candidate.name, candidate.digest) in memory.returned:
            self._returned.skipped += 1  # it was put back, and removed with all of its collection since
            return ""
        return self._enter(candidate, path, type_, making, target, chunks)

    def _enter(
        self,
        candidate: Candidate,
        path: str,
        type_: CollectionType,
        making: _Making,
        target: LiveCollection | None,
        chunks: Iterator[bytes],
    ) -> str:
        intake = self._writer()
        if type_ is CollectionType.GAME:
            return self._score(intake, path, b"".join(chunks))
        components = frozenset(filter(None, making.props.get("components", "").split(",")))
        props = {name: value for name, value in making.props.items() if name.startswith("{")}
        before = intake.tally.added + intake.tally.replaced
        if type_ is CollectionType.FOLDER:
            intake.ensure(path, type_, props=props)
            whole = list(chunks) if candidate.size <= 1 << 20 else None
            intake.put_file(
                path, candidate.name, candidate.media, lambda: whole if whole is not None else self._again(candidate)
            )
        else:
            body = b"".join(chunks)
            calendar = type_ is CollectionType.CALENDAR
            uid = check_icalendar(body).uid if calendar else check_vcard(body).uid
            other = self._reads.item_by_uid(target, uid) if target is not None else None
            if other is not None and other.name != candidate.name:
                if other.digest == candidate.digest:
                    self._returned.skipped += 1
                    return ""
                return f"its UID is that of {other.name}"
            intake.ensure(path, type_, components, props)
            (intake.put_calendar_object if calendar else intake.put_card)(path, candidate.name, body)
        self._placed.add((path, candidate.name))
        if intake.tally.added + intake.tally.replaced > before:
            self._returned.put += 1
        else:
            self._returned.skipped += 1
        return ""

    def _score(self, intake: Intake, path: str, body: bytes) -> str:
        entry = msgspec.json.decode(body, type=ScoreEntry)
        before = intake.tally.added
        intake.add_score(path.removeprefix(f"{HOME_SCORES}/"), entry, at_of(entry))
        if intake.tally.added > before:
            self._returned.put += 1
        else:
            self._returned.skipped += 1
        return ""

    def _writer(self) -> Intake:
        if self._intake is None:
            key = self._blob_key(self._account)
            self._intake = Intake(self._account, self._reads, self._blobs, key, self._execute, ACTOR)
        return self._intake

    def _chunks(self, candidate: Candidate) -> Iterator[bytes] | None:
        found = self._find.chunks(candidate.blob, candidate.digest)
        if found is None and candidate.blob:
            with suppress(SafeholdError):
                found = self._blobs.read(candidate.blob, candidate.size, digest=candidate.digest)
        return found

    def _again(self, candidate: Candidate) -> Iterable[bytes]:
        return self._chunks(candidate) or ()

    def _target(self, candidate: Candidate) -> tuple[str, CollectionType, _Making]:
        """Where it goes: its own collection, one made as that was, or one for what has none."""
        for collection in self._reads.collections(self._account.number):
            if collection.id == candidate.collection and collection.kind is self._kind:
                return collection.path, collection.type, _Making(collection.path, {})
        making = self._made.get(candidate.collection)
        if making is not None:
            return making.path, CollectionType(making.props.get("type", "folder")), making
        mark = f"-{candidate.collection[:4].hex()}" if candidate.collection else ""
        calendar = self._kind in (Kind.CALENDAR, Kind.TASKS) or candidate.media.startswith(_TEXT_CALENDAR)
        if self._kind is Kind.SCORES:
            return candidate.path or f"{HOME_SCORES}/{RECOVERED}{mark}", CollectionType.GAME, _Making("", {})
        if self._kind is Kind.CONTACTS:
            path = candidate.path or f"{HOME_CONTACTS}/{RECOVERED}{mark}"
            return path, CollectionType.ADDRESSBOOK, _Making(path, {})
        if calendar:
            path = candidate.path or f"{HOME_CALENDARS}/{RECOVERED}-{self._kind}{mark}"
            return path, CollectionType.CALENDAR, _Making(path, {"components": _COMPONENTS[self._kind]})
        path = candidate.path or f"{_HOMES[self._kind]}/{RECOVERED}{mark}"
        return path, CollectionType.FOLDER, _Making(path, {})
