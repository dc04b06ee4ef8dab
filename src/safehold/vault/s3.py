"""A vault in a bucket of an object store: `s3:BUCKET/PREFIX`.

    PREFIX/FORMAT                            the mark, as in a folder
    PREFIX/reader.py  PREFIX/blobs/…         an object that was put: one key, its name
    PREFIX/log/…/….seg                       an object that is appended to: its first bytes …
    PREFIX/log/…/….seg!00000000000000004096  … and a *slot* for each later append, named by where it begins

A bucket knows no append. A slot is put under the condition that nothing bears its key; so of two writers who append at
one place one is refused, and what is there stays. An object is its slots, each where its name says. One that is missing
before another was lost, or somebody put the other: there the object has a gap (s3_slots.py), which is damage, and no
end. What begins within another slot, or farther out than any of ours can, is nobody's. `!` is in no object's name, and
comes before every letter that is: what belongs together stands together in a listing. A bucket that is copied to a
folder is a folder vault but for the slots (docs/s3.md).

Listings are not relied on for the end of the log: whether there is a next slot is asked for by its key. Whatever was
read once stays as it is, so that it is asked for no more.

In a bucket that keeps versions the first version of a key is the one that counts (ports/objectstore.py): neither a
deletion nor a put on top of it changes what is read here. Only the log is appended to: a slot of any other object is
nobody's.

`s3:BUCKET/PREFIX@20261127T134500Z` is the vault as it was at that moment, by the store's own clock: what was put later
is not there, and nothing can be added. In a bucket that keeps versions and locks them no thief can have changed it,
whoever signed what came later.

A store that ignores the condition (`Traits.conditional`, found by putting FORMAT once more as it is) is used for a
vault that follows, by one writer, who looks before and reads back after: VaultDown for a sync vault.

Long, since a vault's verbs share what is known of the slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import chain, groupby, islice

from safehold.formats import mark, segment
from safehold.formats.segment import SegmentName
from safehold.model.errors import Damaged, OperatorError
from safehold.ports.objectstore import ObjectStore, Put, Stored, StoreError, StoreFull, StoreUnanswered
from safehold.ports.vault import (
    LengthMismatch,
    ObjectInfo,
    Vault,
    VaultDown,
    VaultFull,
    VaultSuspect,
    VaultUnanswered,
)
from safehold.vault.folder import is_object_name, place_reader, require_object_name
from safehold.vault.s3_mends import Mends, Slots
from safehold.vault.s3_moment import parse_moment
from safehold.vault.s3_slots import DIGITS, SLOT_MARK, gap, is_gap, offset_of, read_slots

SCHEME = "s3:"
#: Objects beyond this are put in parts.
LARGE_BYTES = 16 * 1024 * 1024
#: Segments that are looked at for the installation that they are of.
_GLANCES = 16
#: Objects whose slots are remembered.
_REMEMBERED = 65_536


class S3Vault:
    """Implements ports.vault.Vault. `installation` is the id that its mark must bear; None takes any.

    `place` is BUCKET/PREFIX, as the store's owner writes it; `sync`: answers wait for it.
    """

    def __init__(
        self, name: str, place: str, store: ObjectStore, installation: bytes | None = None, *, sync: bool = False
    ) -> None:
        self._name = name
        self._place = place.strip("/")
        where, _, moment = self._place.partition("@")
        self._upto = parse_moment(moment) if moment else None
        _, _, prefix = where.partition("/")
        self._root = f"{prefix}/" if prefix else ""
        self._store = store
        self._wanted = installation
        self._sync = sync
        self._recognised = False
        self._slots: dict[str, tuple[Stored, ...]] = {}
        self._ended: set[str] = set()  # of these, objects to which no slot can be added
        self._mends = Mends(store, self._root, self._installation, self._was_there)

    @classmethod
    def create(cls, name: str, place: str, store: ObjectStore, installation: bytes, *, sync: bool = False) -> S3Vault:
        """Write FORMAT and the reader; harmless where it is a vault of this installation already.

        Raises OperatorError where something else lies there, or where the store cannot be used in this mode.
        """
        vault = cls(name, place, store, installation, sync=sync)
        with vault._told():
            if store.find(vault._key(mark.NAME)) is None:
                strange = next(iter(store.list(vault._root)), None)
                if strange is not None:
                    raise OperatorError(
                        f"{vault.url} is not empty and no vault: it holds {strange.key}",
                        hint="name a prefix of its own for the vault",
                    )
                store.put(vault._key(mark.NAME), mark.encode_mark(installation))
        vault._require()
        with vault._told():
            if not vault._is_conditional() and sync:
                raise vault._unfit()
        place_reader(vault)
        return vault

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return f"{SCHEME}{self._place}"

    @property
    def is_past(self) -> bool:
        """Whether this is the vault as it was at a moment."""
        return self._upto is not None

    @property
    def root(self) -> str:
        """What stands before an object's name in its key."""
        return self._root

    @property
    def store(self) -> ObjectStore:
        return self._store

    def available(self) -> bool:
        self._recognised = False
        try:
            self._require()
        except VaultDown:
            return False
        return True

    def folders(self, prefix: str) -> Sequence[str]:
        assert prefix.endswith("/")
        if not is_object_name(f"{prefix}x"):
            return []
        if self.is_past:  # a folder may hold only what came later
            names = (name.removeprefix(prefix).partition("/") for name, _ in self._listed(prefix))
            found = sorted({folder for folder, slash, _ in names if slash})
        else:
            with self._told():
                found = [each for each in self._store.folders(self._root + prefix) if is_object_name(prefix + each)]
        if not found:
            self._require()
        return found

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Collected first: stores that lie on a file system list in another order than that of the names."""
        found = self._mended(prefix, sorted(self._listed(prefix)))
        if not found:
            self._require()
        for name, slots in found:
            if name == found[-1][0] and _may_grow(name):  # the newest of its timeline: it may have slots since
                slots = self._grown(name, slots, listed=True)
            yield ObjectInfo(name, _length(slots))

    def size(self, name: str) -> int | None:
        slots = self._look(name)
        if slots is None:
            self._require()
            return None
        return _length(slots)

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        known = self._slots.get(name)
        if known is not None and _may_grow(name) and (count is None or offset + count > _length(known)):
            known = None
        for slots in (known or self._look(name), None):
            slots = slots or self._look(name)
            if slots is None:
                break
            with self._told(), suppress(KeyError):  # a slot is gone that was there: what is left is looked up once more
                return read_slots(self._store, self._versioned(name, slots), offset, count)
            self._slots.pop(name, None)
        self._require()
        raise KeyError(name)

    def came(self, name: str, offset: int = 0) -> int:
        """When this byte of an object came, in seconds since 1970 by the store's clock; 0 where that is not known.

        Raises VaultDown.
        """
        end = 0
        for slot in self._look(name) or ():
            end += slot.size
            if offset < end:
                return slot.modified
        return 0

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        require_object_name(self._name, name)
        self._require_present()
        self._require(anew=True)
        key = self._key(name)
        held: list[bytes] = []
        rest = iter(chunks)
        size = 0
        with self._told(changes=True):
            conditional = self._is_conditional()
            if not conditional and self._sync:
                raise self._unfit()
            for chunk in rest:
                held.append(chunk)
                size += len(chunk)
                if size > LARGE_BYTES:
                    break
            if size > LARGE_BYTES:
                return self._put_large(name, key, chain(held, rest))
            data = b"".join(held)
            if conditional:
                put = self._store.put(key, data)
                if self._counts(put, key, data):
                    return True
                self._require_taken(name, key)
                return self._put_beside(name, [data])
            if self._store.find(key) is not None:
                return self._put_beside(name, [data])
            self._put_and_read_back(name, key, data)
            return True

    def _put_large(self, name: str, key: str, chunks: Iterable[bytes]) -> bool:
        """Looked for first: not every store that keeps to conditions does so at the end of an upload in parts."""
        if self._store.find(key) is not None:
            return self._put_beside(name, chunks)
        sent, digest = 0, sha256()

        def counted() -> Iterator[bytes]:
            nonlocal sent
            for chunk in chunks:
                sent += len(chunk)
                digest.update(chunk)
                yield chunk

        if self._store.put_large(key, counted()) is not Put.DONE:
            self._require_taken(name, key)
            return False
        there = self._store.find(key)
        if there is None or there.size != sent or not (self._is_alone(key) or self._digest(there) == digest.digest()):
            if self._store.features().versioned and there is not None:
                return False  # it was taken, beneath what a deletion left
            raise self._other_than_put(name)
        return True

    def _digest(self, stored: Stored) -> bytes:
        """SHA-256. Raises StoreError, KeyError."""
        digest = sha256()
        for start in range(0, stored.size, LARGE_BYTES):
            digest.update(self._store.get(stored, start, start + LARGE_BYTES))
        return digest.digest()

    def _put_beside(self, name: str, chunks: Iterable[bytes]) -> bool:
        """Where what bears the name counts for nothing, as a mend says. Raises StoreError, VaultDown."""
        if name not in self._mends.all() or self._look(name) is not None:
            return False
        self._mends.put(name, iter(chunks))
        self._slots.pop(name, None)
        return self._look(name) is not None

    def _require_taken(self, name: str, key: str) -> None:
        """Stores refuse a put like one whose key is taken, too, where another request for it is under way, which may
        leave nothing there. Raises StoreError.
        """
        if self._store.find(key) is None:
            raise StoreError(f"{name} was refused as if it were there, and it is not")

    def append(self, name: str, expected: int, data: bytes) -> None:
        require_object_name(self._name, name)
        self._require_present()
        if not _may_grow(name):
            raise VaultDown(f"vault {self._name}: only the log is appended to, and {name!r} is no part of it")
        slots = self._before_append(name, expected)
        if not data and slots is not None:
            return  # what a store has answered is there
        key = self._key(name) if slots is None else self._slot_key(name, expected)
        with self._told(changes=True):
            if not self._is_conditional():
                if self._sync:
                    raise self._unfit()
                if self._store.find(key) is not None:
                    raise self._mismatch(name, expected)
                self._put_and_read_back(name, key, data)
            else:
                put = self._store.put(key, data)
                if not self._counts(put, key, data):
                    self._slots.pop(name, None)
                    raise self._mismatch(name, expected)
        self._remember(name, (*(slots or ()), Stored(key, len(data))))

    def close(self) -> None:
        self._slots.clear()

    def clear_temporary(self) -> None:
        """What was not put whole bears no name; a rule of the bucket removes it (docs/s3.md)."""

    # -- looking into the store

    def _find(self, key: str) -> Stored | None:
        """Raises StoreError."""
        found = self._store.find(key)
        return found if found is not None and self._was_there(found) else None

    def _was_there(self, stored: Stored) -> bool:
        return self._upto is None or 0 < stored.modified <= self._upto

    def _require_present(self) -> None:
        if self._upto is not None:
            raise VaultDown(
                f"vault {self._name}: {self.url} is what was there at a moment that is past: nothing is added to it",
                hint="leave @ and the moment out of its URL",
            )

    # -- appending

    def _before_append(self, name: str, expected: int) -> tuple[Stored, ...] | None:
        """Its slots, which end at `expected`; None where nothing is there. Raises LengthMismatch, VaultDown."""
        slots = self._slots.get(name)
        if slots is None or _length(slots) != expected or not expected:
            self._require(anew=True)
            slots = self._look(name)
        elif not self._store_keeps():
            with self._told():  # an object that was removed meanwhile must not take acknowledged writes
                if self._store.find(slots[-1].key) is None:
                    self._slots.pop(name, None)
                    raise VaultDown(
                        f"vault {self._name}: {name} was removed while it was being written",
                        hint=f"see what happened to {self.url}",
                    )
        if (0 if slots is None else _length(slots)) != expected:
            raise self._mismatch(name, expected)
        return slots

    def _store_keeps(self) -> bool:
        with self._told():
            return self._store.features().keeps

    def _counts(self, put: Put, key: str, data: bytes) -> bool:
        """Whether what was put is what is read from now on: a store takes a put, too, of a key whose first version lies
        beneath a delete marker. Raises StoreUnanswered.
        """
        if put is Put.TAKEN:
            return False
        try:
            return (put is Put.DONE and self._is_alone(key)) or self._is_own(key, data)
        except (StoreError, KeyError) as error:
            raise StoreUnanswered(f"whether what was put is what counts is not told: {error}") from error

    def _is_alone(self, key: str) -> bool:
        """Whether what was just put is the only version of its key. Raises StoreError."""
        if not self._store.features().versioned:
            return True
        found = [version for version, _ in islice(self._store.versions(key), 2) if version.key == key]
        return len(found) == 1

    def _is_own(self, key: str, data: bytes) -> bool:
        """Whether a key that an earlier try of a put may have taken holds these very bytes. Raises StoreError."""
        there = self._store.find(key)
        return there is not None and there.size == len(data) and self._store.get(there) == data

    def _put_and_read_back(self, name: str, key: str, data: bytes) -> None:
        self._store.put(key, data)
        if not self._is_own(key, data):
            self._slots.pop(name, None)
            raise self._other_than_put(name)

    def _other_than_put(self, name: str) -> VaultSuspect:
        return VaultSuspect(
            f"vault {self._name}: {name} was put and reads otherwise: somebody else writes there at the same moment",
            hint=f"let one installation alone write to {self.url}",
        )

    def _is_conditional(self) -> bool:
        """Whether the store refuses to put what is there: asked once, with FORMAT as it is. Raises StoreError.

        Where it was taken it is asked again: a deletion may have lain on top of it, and then the store was right.
        """
        traits = self._store.traits
        if traits.conditional is None:
            there = self._store.find(self._key(mark.NAME))
            if there is None:
                raise StoreError(f"{mark.NAME} is gone")
            data = self._store.get(there)
            traits.conditional = any(self._store.put(there.key, data) is not Put.DONE for _ in range(2))
        return traits.conditional

    # -- slots

    def _key(self, name: str) -> str:
        return f"{self._root}{name}"

    def _slot_key(self, name: str, offset: int) -> str:
        return f"{self._root}{name}{SLOT_MARK}{offset:0{DIGITS}d}"

    def _look(self, name: str) -> tuple[Stored, ...] | None:
        """The slots of an object as they are now; None where there is none. Raises VaultDown."""
        if not is_object_name(name):
            return None
        known = self._slots.get(name, ())
        if known:
            return known if not _may_grow(name) else self._grown(name, known, listed=False)
        self._ended.discard(name)
        with self._told():
            if not _may_grow(name):
                found = self._find(self._key(name))
                slots: Slots = () if found is None else (found,)
            else:
                first = next(self._listed(name), None)
                slots = first[1] if first is not None and first[0] == name else ()
                slots = self._grown(name, slots, listed=True)
        return self._settle(name, slots) or None

    def _versioned(self, name: str, slots: tuple[Stored, ...]) -> tuple[Stored, ...]:
        """With the versions of those that this instance put itself, which are looked up when they are read."""
        if all(slot.version or is_gap(slot) for slot in slots) or not self._store_keeps():
            return slots
        with self._told():
            found = tuple(slot if slot.version or is_gap(slot) else self._find(slot.key) or slot for slot in slots)
        self._remember(name, found)
        return found

    def _grown(self, name: str, slots: tuple[Stored, ...], *, listed: bool) -> tuple[Stored, ...]:
        """With those that came since they were looked at, each asked for by its key.

        What has just been `listed` cannot have been hidden since, so that the cheaper question does.
        """
        with self._told():
            while name not in self._ended:
                key = self._slot_key(name, _length(slots)) if slots else self._key(name)
                found = self._find(key) if not listed or self._store.peek(key) else None
                if found is None or (slots and not found.size):
                    break
                slots = (*slots, found)
        if slots:
            self._remember(name, slots)
        return slots

    def _listed(self, prefix: str) -> Iterator[tuple[str, tuple[Stored, ...]]]:
        """Objects whose names begin so, with their slots. Raises VaultDown."""

        def name_of(stored: Stored) -> str:
            return stored.key.removeprefix(self._root).partition(SLOT_MARK)[0]

        if prefix and not is_object_name(f"{prefix}x"):
            return
        with self._told():
            for name, group in groupby(filter(self._was_there, self._store.list(self._root + prefix)), key=name_of):
                slots = self._dense(name, group) if is_object_name(name) else ()
                if slots and name.startswith(prefix):
                    yield name, slots

    def _dense(self, name: str, listed: Iterable[Stored]) -> tuple[Stored, ...]:
        """Its slots in their order, with a gap where one is missing before another. Raises StoreError."""
        slots: list[Stored] = []
        end = 0
        for stored in listed:
            begin = offset_of(stored.key, self._key(name))
            if begin is None or begin < end or (begin and not (_may_grow(name) and stored.size)):
                continue
            while end < begin and (late := self._find(self._slot_key(name, end) if end else self._key(name))):
                if not late.size:
                    break
                slots.append(late)  # of which the listing had not come to know
                end += late.size
            if end < begin:
                slots.append(gap(begin - end))
            if end <= begin:
                slots.append(stored)
                end = begin + stored.size
        return tuple(slots)

    def _remember(self, name: str, slots: tuple[Stored, ...]) -> None:
        if len(self._slots) >= _REMEMBERED:
            self._slots.clear()
        self._slots[name] = slots

    # -- what was mended

    def _mended(self, prefix: str, listed: Sequence[tuple[str, Slots]]) -> Sequence[tuple[str, Slots]]:
        """What was listed, as it counts: with what mends bring, and without what they take away. Raises VaultDown."""
        found = dict(listed)
        with self._told():
            for name in self._mends.all():
                if name.startswith(prefix) and is_object_name(name):
                    found.setdefault(name, ())
        settled = ((name, self._settle(name, slots)) for name, slots in found.items())
        return sorted((name, slots) for name, slots in settled if slots)

    def _settle(self, name: str, slots: Slots) -> Slots:
        """What counts of an object that has these slots, remembered; none where there is no such object."""
        with self._told():
            if name in self._mends.all():
                parsed = segment.parse_name(name)
                try:
                    chosen = self._mends.choose(
                        name,
                        slots,
                        lambda end: self._find(self._slot_key(name, end)),
                        lambda: None if parsed is None else self._last_frame(parsed),
                    )
                except KeyError as error:
                    raise StoreError(f"{error.args[0]} was removed while it was looked at") from None
                slots = chosen.slots
                if chosen.ended:
                    self._ended.add(name)
        if slots:
            self._remember(name, slots)
        else:
            self._slots.pop(name, None)
        return slots

    def _last_frame(self, name: SegmentName) -> int | None:
        """The last number that counts in a segment: before the first of any later one that is certified."""
        lasts = []
        mends = self._mends.all()
        for text, slots in self._listed(segment.timeline_prefix(name.timeline)):
            other = segment.parse_name(text)
            if other is None or other <= name:
                continue
            for stored in (slots[0], *mends.get(text, ())):
                header = segment.parse_segment_header(self._store.get(stored, 0, segment.HEADER_BYTES))
                if header is not None and header.name == other and segment.vouched(header, self._installation()):
                    lasts.append(other.first - 1)
                    break
        return min(lasts, default=None)

    def _installation(self) -> bytes:
        """The id that its mark bears, or should. Raises StoreError."""
        if self._wanted is not None:
            return self._wanted
        named = [stored for stored in (self._find(self._key(mark.NAME)),) if stored is not None]
        marks = [self._store.get(stored) for stored in (*named, *self._mends.all().get(mark.NAME, ()))]
        found = list(dict.fromkeys(mark.parse_mark(data) for data in marks if _is_mark(data)))
        if not found:
            raise StoreError(f"{mark.NAME} is damaged")
        return next(filter(self._has_log_of, found), found[0]) if len(found) > 1 else found[0]

    def _has_log_of(self, installation: bytes) -> bool:
        """Whether one of the first segments is of this installation. Raises StoreError."""
        segments = (stored for stored in self._store.list(self._key("log/")) if SLOT_MARK not in stored.key)
        heads = (self._store.get(stored, 0, segment.HEADER_BYTES) for stored in islice(segments, _GLANCES))
        return any(
            segment.vouched(header, installation) for header in map(segment.parse_segment_header, heads) if header
        )

    # -- what it says

    def _require(self, *, anew: bool = False) -> None:
        """Raises VaultDown where this is not the vault it should be. Reads FORMAT once, then only looks for it."""
        if self._recognised and not anew and self._store_keeps():
            return  # it cannot have gone
        data = self._read_mark()
        if data is None:
            raise VaultDown(
                f"vault {self._name}: there is no vault in {self.url}",
                hint="name the right bucket and prefix; to begin a new vault there, use `safehold vault add`",
            )
        if self._recognised:
            return
        try:
            installation = mark.parse_mark(data)
        except Damaged as error:
            raise VaultDown(f"vault {self._name} in {self.url}: {error.message}") from None
        if self._wanted is not None and installation != self._wanted:
            raise VaultDown(
                f"vault {self._name} in {self.url} belongs to another installation ({installation.hex()})",
                hint="name the right bucket and prefix, or another with `safehold vault add`",
            )
        self._recognised = True

    def _read_mark(self) -> bytes | None:
        """FORMAT; None where it is gone. Raises VaultDown."""
        key, traits = self._key(mark.NAME), self._store.traits
        with self._told():
            if traits.mark is not None and not self.is_past and self._store.peek(key):
                return traits.mark
            found = self._find(key)
            if found is None:
                return None
            if self._recognised:
                return b""
            data = self._store.get(found)
            if self._wanted is None or not _is_mark(data, self._wanted):
                data = self._mended_mark() or data
            elif self._store.features().keeps and not self.is_past:
                traits.mark = data
            return data

    def _mended_mark(self) -> bytes | None:
        """FORMAT as it should be, where a mend may bring it. Raises StoreError."""
        if not self._mends.all().get(mark.NAME):
            return None
        wanted = mark.encode_mark(self._installation())
        return next((d for d in map(self._store.get, self._mends.all()[mark.NAME]) if d == wanted), None)

    @contextmanager
    def _told(self, *, changes: bool = False) -> Iterator[None]:
        """The store's errors in a vault's words."""
        hint = f"see whether the store of {self.url} can be reached, and what its credentials may do"
        try:
            yield
        except StoreFull as error:
            raise VaultFull(f"vault {self._name} is full: {error}", hint=f"make room in {self.url}") from error
        except StoreUnanswered as error:
            sort: Callable[..., VaultDown | VaultSuspect] = VaultUnanswered if changes else VaultDown
            raise sort(f"vault {self._name}: {error}; what was written may or may not be there", hint=hint) from error
        except StoreError as error:
            raise VaultDown(f"vault {self._name} cannot be used: {error}", hint=hint) from error

    def _mismatch(self, name: str, expected: int) -> LengthMismatch:
        slots = self._look(name)
        length = 0 if slots is None else _length(slots)
        return LengthMismatch(
            f"vault {self._name}: {name} is {length} bytes long and should be {expected}",
            hint="another writer appended to it, or the vault lost what was written",
        )

    def _unfit(self) -> VaultDown:
        return VaultDown(
            f"vault {self._name}: the store of {self.url} ignores conditional writes, so that two writers can "
            "overwrite each other: no answer can wait for it",
            hint="use it in mode async, or another store",
        )


def _is_mark(data: bytes, installation: bytes | None = None) -> bool:
    """Whether this is a FORMAT, and that of this installation."""
    try:
        return mark.parse_mark(data) == installation or installation is None
    except Damaged:
        return False


def _may_grow(name: str) -> bool:
    return name.startswith(segment.LOG_PREFIX)


def _length(slots: Sequence[Stored]) -> int:
    return sum(slot.size for slot in slots)


_: type[Vault] = S3Vault
