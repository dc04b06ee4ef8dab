"""Where imported things go in an account: what is there already, and the commands that bring the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec

from safehold.content.check import check_icalendar, check_vcard
from safehold.content.media import ICALENDAR, VCARD
from safehold.model.commands import AddScore, AnyCommand, Body, MakeCollection, Outcome, PatchProps, PutItem
from safehold.model.errors import BadRequest, Conflict, Held, InvalidContent
from safehold.model.items import Account
from safehold.model.kinds import HOME_SCORES, CollectionType, Kind
from safehold.model.paths import collection_kind, parent
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.service.transfer.layout import ScoreEntry
from safehold.service.transfer.names import uid_name

ACTOR = "import"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Tally(msgspec.Struct):
    """How many items were new, replaced, or the same already; and collections made."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    collections: int = 0


class _Known:
    """Items of a collection as they stand, brought up to date as the import goes on."""

    __slots__ = ("brought", "media", "names", "tags")

    def __init__(self) -> None:
        self.tags: dict[str, bytes] = {}  # name -> digest
        self.media: dict[str, str] = {}
        self.names: dict[str, str] = {}  # uid -> name
        self.brought: dict[str, bytes] = {}  # uid -> digest of what this import brought


class Intake:
    """Brings bodies into an account, each once. Errors are those of the commands."""

    def __init__(
        self,
        account: Account,
        reads: CoreReads,
        blobs: Blobs,
        blob_key: bytes,
        execute: Callable[[AnyCommand], Outcome],
        actor: str = ACTOR,
    ) -> None:
        self._account = account
        self._reads = reads
        self._blobs = blobs
        self._blob_key = blob_key
        self._execute = execute
        self._actor = actor
        self._known: dict[str, _Known] = {}
        self._scores: dict[str, Counter[tuple[float, int, bytes]]] = {}
        self.tally = Tally()

    def has_collection(self, path: str) -> bool:
        return self._reads.collection(self._account.number, path) is not None

    def ensure(
        self,
        path: str,
        type_: CollectionType,
        components: Iterable[str] = (),
        props: Mapping[str, str] | None = None,
        *,
        patch: bool = False,
    ) -> None:
        """See that a collection is there, with the folders above it. `patch` gives one that was there these props.

        Raises RequestError where another thing has that path, Held where that is not known.
        """
        there = self._reads.collection(self._account.number, path)
        wanted = dict(props or {})
        if there is None:
            components = frozenset(components)
            kind = collection_kind(path, type_, components)
            if kind is None:
                raise BadRequest(f"a collection of type {type_} cannot lie at {path}")
            if type_ is CollectionType.FOLDER and parent(path).count("/") >= 1:
                self.ensure(parent(path), type_)
            command = MakeCollection(
                account=self._account.id, actor=self._actor, path=path, type=type_, components=components, props=wanted
            )
            self._execute(command)
            self.tally.collections += 1
            return
        if there.type is not type_:
            raise Conflict(f"{path} is of type {there.type}, not {type_}")
        changed = {name: value for name, value in wanted.items() if there.props.get(name) != value}
        if patch and changed:
            self._execute(PatchProps(account=self._account.id, actor=self._actor, path=path, set=changed))

    def put_card(self, path: str, name: str | None, body: bytes) -> None:
        """A vCard under this name, or under one made of its UID. Raises InvalidContent, RequestError, Held."""
        self._put_object(path, name, body, VCARD, check_vcard(body).uid, None)

    def put_calendar_object(self, path: str, name: str | None, body: bytes) -> None:
        """A calendar object, likewise."""
        facts = check_icalendar(body)
        self._put_object(path, name, body, ICALENDAR, facts.uid, facts.component)

    def put_file(self, path: str, name: str, media: str, chunks: Callable[[], Iterable[bytes]]) -> None:
        """A note or photo, in constant memory. `chunks` gives its bytes anew each time it is called."""
        known = self._items(path)
        here = known.tags.get(name)
        if here is not None and known.media[name] == media and _digest(chunks()) == here:
            self.tally.unchanged += 1
            return
        stage = self._blobs.stage(self._blob_key)
        try:
            for chunk in chunks():
                stage.write(chunk)
            body = stage.finish()
        except BaseException:
            stage.abort()
            raise
        self._put(known, path, name, body, media)

    def set_props(self, path: str, name: str, props: Mapping[str, str]) -> None:
        """Give an item these properties, where it has others."""
        collection = self._reads.collection(self._account.number, path)
        item = None if collection is None else self._reads.item(collection, name)
        if item is None:
            return
        there = self._reads.props(item)
        changed = {key: value for key, value in props.items() if there.get(key) != value}
        if changed:
            self._execute(PatchProps(account=self._account.id, actor=self._actor, path=path, name=name, set=changed))

    def add_score(self, game: str, entry: ScoreEntry, at: int) -> None:
        """A score, unless the game has as many like it as were brought so far. `at` is the entry's time in µs."""
        if game not in self._scores:
            self._scores[game] = self._recorded(game)
        key = (float(entry.score), at, _canonical(entry.detail))
        if self._scores[game][key] > 0:
            self._scores[game][key] -= 1
            self.tally.unchanged += 1
            return
        detail = None if key[2] == b"null" else bytes(entry.detail).decode()
        command = AddScore(
            account=self._account.id, actor=self._actor, game=game, score=entry.score, at=at, detail=detail
        )
        self._execute(command)
        self.tally.added += 1

    # -- what is there ---------------------------------------------------------------------------------------

    def _items(self, path: str) -> _Known:
        """Raises Held where the collection is not whole: then nobody can say what is there already."""
        if path in self._known:
            return self._known[path]
        known = _Known()
        collection = self._reads.collection(self._account.number, path)
        if collection is not None:
            reason = self._reads.held(self._account.number, collection.kind)
            if reason is not None:
                raise Held(f"{path} is not whole: {reason}")
            for item in self._reads.items(collection):
                known.tags[item.name] = item.digest
                known.media[item.name] = item.media
                if item.uid is not None:
                    known.names[item.uid] = item.name
        self._known[path] = known
        return known

    def _recorded(self, game: str) -> Counter[tuple[float, int, bytes]]:
        counts: Counter[tuple[float, int, bytes]] = Counter()
        collection = self._reads.collection(self._account.number, f"{HOME_SCORES}/{game}")
        if collection is None:
            return counts
        reason = self._reads.held(self._account.number, Kind.SCORES)
        if reason is not None:
            raise Held(f"the scores are not whole: {reason}")
        names = [item.name for item in self._reads.items(collection)]
        for _, stored in self._reads.items_with_bodies(collection, names):
            entry = msgspec.json.decode(stored.inline or b"", type=ScoreEntry)
            counts[float(entry.score), at_of(entry), _canonical(entry.detail)] += 1
        return counts

    # -- putting ---------------------------------------------------------------------------------------------

    def _put_object(
        self, path: str, name: str | None, body: bytes, media: str, uid: str, component: str | None
    ) -> None:
        known = self._items(path)
        digest = sha256(body).digest()
        before = known.brought.get(uid)
        if before is not None and before != digest:
            raise InvalidContent(f"the UID {uid[:80]} came before in this import, with other content")
        known.brought[uid] = digest
        name = known.names.get(uid) or self._free_name(known, name, uid, media)
        if known.tags.get(name) == digest and known.media.get(name) == media:
            self.tally.unchanged += 1
            return
        self._put(known, path, name, Body(digest, len(body), inline=body), media, uid, component)

    def _free_name(self, known: _Known, name: str | None, uid: str, media: str) -> str:
        """The name asked for, unless an item of another UID has it."""
        if name is not None and name not in known.tags:
            return name
        made = uid_name(uid, ".vcf" if media == VCARD else ".ics")
        return made if made not in known.tags else uid_name(f"{uid}#{sha256(uid.encode()).hexdigest()}", made[-4:])

    def _put(
        self,
        known: _Known,
        path: str,
        name: str,
        body: Body,
        media: str,
        uid: str | None = None,
        component: str | None = None,
    ) -> None:
        command = PutItem(
            account=self._account.id,
            actor=self._actor,
            path=path,
            name=name,
            body=body,
            media=media,
            uid=uid,
            component=component,
            keep_refused=False,
        )
        outcome = self._execute(command)
        if not outcome.changed:
            self.tally.unchanged += 1
        elif outcome.created:
            self.tally.added += 1
        else:
            self.tally.replaced += 1
        known.tags[name] = body.digest
        known.media[name] = media
        if uid is not None:
            known.names[uid] = name


def at_of(entry: ScoreEntry) -> int:
    """The time of a score, µs. Raises BadRequest."""
    try:
        at = datetime.fromisoformat(entry.at)
    except ValueError:
        raise BadRequest(f"{entry.at[:40]!r} is no date and time") from None
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def _canonical(detail: msgspec.Raw) -> bytes:
    """A JSON value in one spelling, so that equal ones compare equal."""
    return msgspec.json.encode(msgspec.json.decode(bytes(detail) or b"null"), order="sorted")


def _digest(chunks: Iterable[bytes]) -> bytes:
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()
