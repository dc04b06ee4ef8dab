"""A vault in a bucket, looked at and mended by its keeper: every key in it is somebody's, or is named.

What lies in a bucket and belongs to no object is shown here as an object of its own, under the rest of its key: a slot
beyond a hole, a slot of what does not grow, a name that no object bears. Ordinary readers never see it.

How an object is mended, by what its bucket allows:

in place    what is missing is put under its own key, which is free: an object, or the slots that close a hole
beside      what is damaged stays, as nothing can replace it, and a mend is put that counts by what proves it
            (vault/s3_mends.py); what should not be there is passed over by an empty one
over        in a bucket that keeps no versions, and where these credentials may: a copy of what was there to `aside/`, a
            mend, then the right bytes over it, its slots removed, last the mend. Killed anywhere, it is whole
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from safehold.formats import mark, segment
from safehold.formats.evidence import EVIDENCE_PREFIX
from safehold.model.errors import OperatorError
from safehold.ports.objectstore import ObjectStore, Stored, StoreError
from safehold.ports.vault import KeptVault, ObjectInfo, VaultDown
from safehold.ports.world import Clock
from safehold.vault.folder import ASIDE, is_object_name
from safehold.vault.s3 import LARGE_BYTES, S3Vault
from safehold.vault.s3_mends import MENDED, Slots
from safehold.vault.s3_slots import SLOT_MARK, is_gap, offset_of

_MICROSECONDS = 1_000_000
_DAY_SECONDS = 86_400
#: What stands for bytes that are missing.
_FILLERS = (b"\xa5", b"\x5a")
#: What a probe, and a mend, put there: no strays.
_OWN = ("!probe/", MENDED, f"{ASIDE}/")


class ScrubbedS3Vault(S3Vault):
    """To read from: shows strays too, and believes a bucket whose FORMAT is damaged where its log is the right one."""

    _believed = False

    def __init__(
        self, name: str, place: str, store: ObjectStore, installation: bytes | None = None, *, sync: bool = False
    ) -> None:
        super().__init__(name, place, store, installation, sync=sync)
        self._fillers: dict[tuple[str, Slots], bytes] = {}

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if prefix.startswith(f"{ASIDE}/"):
            yield from self._lying_aside(prefix)
            return
        found = {info.name: info for info in super().list(prefix)}
        for name, stored in self.strays(prefix).items():
            found.setdefault(name, ObjectInfo(name, stored.size))
        yield from (found[name] for name in sorted(found))

    def strays(self, prefix: str = "") -> dict[str, Stored]:
        """What belongs to no object and was not passed over, by the rest of its key. Raises VaultDown."""
        found: dict[str, Stored] = {}
        with self._told():
            mends = self._mends.all()
            listed = filter(self._was_there, self._store.list(f"{self._root}{prefix}"))
            for name, group in groupby(listed, key=self._object_of):
                if name.startswith(_OWN):
                    continue
                there = list(group)
                slots = self._settle(name, self._dense(name, there)) if is_object_name(name) else ()
                used = {slot.key for slot in slots}
                end = sum(slot.size for slot in slots) if name in mends else 0  # beneath a mend all is spoken for
                for stored in there:
                    key = stored.key.removeprefix(self._root)
                    begin = offset_of(stored.key, self._key(name))
                    beneath = begin is not None and begin < end
                    if stored.key not in used and not beneath and not self._is_passed_over(key, alone=bool(slots)):
                        found[key] = stored
        return found

    def _is_passed_over(self, key: str, *, alone: bool) -> bool:
        """An empty mend says so of this very key or, unless `alone`, of the object whose slot this is."""
        mends = self._mends.all()
        return any(not mend.size for each in {key, key if alone else self._object(key)} for mend in mends.get(each, ()))

    def _object_of(self, stored: Stored) -> str:
        return self._object(stored.key.removeprefix(self._root))

    @staticmethod
    def _object(key: str) -> str:
        name, bang, _ = key.partition(SLOT_MARK)
        return name if bang and name else key

    def shadowed(self) -> dict[str, int]:
        """Keys on whose first version something was put, or a deletion, with the moment of the first such (seconds).

        It costs nothing, as the first version counts, and is told. Raises VaultDown.
        """
        found: dict[str, int] = {}
        with self._told():
            if not self._store.features().versioned:
                return {}
            for key, group in groupby(self._store.versions(self._root), key=lambda version: version[0].key):
                later = [stored.modified for stored, _ in list(group)[:-1]]
                name = key.removeprefix(self._root)
                if later and not name.startswith("!probe/"):
                    found[name] = min(later)
        return found

    # -- looking at strays and at what lies aside

    def size(self, name: str) -> int | None:
        other = self._other(name)
        return super().size(name) if other is None else other.size

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        other = self._other(name)
        if other is None:
            return self._with_gaps(name, super().get(name, offset, count), offset)
        stop = other.size if count is None else min(offset + count, other.size)
        with self._told():
            return self._store.get(other, min(offset, stop), stop)

    def _with_gaps(self, name: str, data: bytes, offset: int) -> bytes:
        """What is missing must not read as what it was: zeros may be that, and nobody would find the gap."""
        slots, start = self._slots.get(name, ()), -offset
        if not any(map(is_gap, slots)):
            return data
        found = bytearray(data)
        for slot in slots:
            first, last = max(start, 0), min(start + slot.size, len(data))
            if is_gap(slot) and first < last:
                found[first:last] = self._filler(name, slots) * (last - first)
            start += slot.size
        return bytes(found)

    def _filler(self, name: str, slots: Slots) -> bytes:
        """A byte for gaps with which fewer frames hold than with another."""
        parsed = segment.parse_name(name)
        if (name, slots) not in self._fillers:
            pieces = [None if is_gap(slot) else self._store.get(slot) for slot in slots]
            held = {}
            for filler in _FILLERS:
                data = b"".join(
                    filler * slot.size if piece is None else piece for slot, piece in zip(slots, pieces, strict=True)
                )
                held[filler] = 0 if parsed is None else self._mends.count_frames(parsed, data)
            self._fillers[name, slots] = min(_FILLERS, key=lambda filler: held[filler])
        return self._fillers[name, slots]

    def _other(self, name: str) -> Stored | None:
        """What is under a key that belongs to no object."""
        if is_object_name(name) or not name or name.startswith(_OWN[:2]):
            return None
        if not name.startswith(f"{ASIDE}/"):
            return self.strays(self._object(name)).get(name)
        with self._told():
            return self._find(self._key(name))

    def _lying_aside(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._told():
            for stored in self._store.list(f"{self._root}{prefix}"):
                yield ObjectInfo(stored.key.removeprefix(self._root), stored.size)

    # -- a mark that is damaged

    def _require(self, *, anew: bool = False) -> None:
        try:
            super()._require(anew=anew)
        except VaultDown:
            if self._wanted is None or not (self._believed or self._is_ours(self._wanted)):
                raise
            self._believed = True

    def _is_ours(self, installation: bytes) -> bool:
        with self._told():
            return self._has_log_of(installation)


class KeptS3Vault(ScrubbedS3Vault):
    """Implements ports.vault.KeptVault. The clock is the keeper's own: it names what is set aside."""

    def __init__(
        self, name: str, place: str, store: ObjectStore, installation: bytes | None = None, *, clock: Clock
    ) -> None:
        super().__init__(name, place, store, installation)
        self._clock = clock

    def set_aside(self, name: str) -> str:
        strange = not is_object_name(name) and self._other(name) is None
        if name.partition("/")[0] in ("tmp", ASIDE) or (strange and SLOT_MARK not in name):
            raise _no_object(name)
        if name != mark.NAME:
            self._require()
        self._require_present()
        if self.size(name) is None:
            raise KeyError(name)
        with self._told(changes=True):
            aside = self._copy_aside(name) if self._is_plain() or self._proves_itself(name) else f"{ASIDE}/{name}"
            if self._proves_itself(name):  # nothing hides it
                self._require_removed(name)
            elif not (self._is_plain() and self._removed(name)):
                self._mends.put(name, iter([b""]))
        self._anew()
        return aside

    def _proves_itself(self, name: str) -> bool:
        """Whether what is read under a name is an object of it, or has frames of it."""
        slots = self._look(name) or ()
        parsed = segment.parse_name(name)
        if parsed is not None:
            return self._mends.holds_frames(parsed, self.get(name))
        return bool(slots) and self._mends.is_sound(name, slots[0])

    def replace(self, name: str, chunks: Iterable[bytes]) -> None:
        self._require_object(name)
        self._require_present()
        with self._told(changes=True):
            if not self._keys_of(name) and not self._mends.all().get(name):
                self._put_new(name, chunks)
                return
            data = b""
            if name.startswith(segment.LOG_PREFIX):
                data = b"".join(chunks)
                if self._filled(name, data):
                    return
                chunks = [data]
            plain = self._is_plain()
            if plain:
                self._copy_aside(name)
            self._mends.put(name, iter(chunks))
            self._anew()
            if name.startswith(segment.LOG_PREFIX) and len(data) == segment.HEADER_BYTES:
                self._shortened(name, data)
                return
            if plain:
                self._put_over(name)
            for key in [key for key in self.strays(name) if self._object(key) == name and key != name]:
                self._mends.put(key, iter([b""]))  # slots behind what was mended, which are none of it
            self._anew()

    def remove(self, name: str) -> None:
        self._require_object(name)
        self._require_present()
        if name == mark.NAME:
            raise OperatorError(f"{mark.NAME} of the vault {self.name} is never removed: without it this is no vault")
        with self._told(changes=True):
            self._require_removed(name)
        self._anew()

    def purge_aside(self, before: int | None) -> int:
        self._require()
        removed = 0
        with self._told(changes=True):
            for stored in list(self._store.list(self._key(f"{ASIDE}/"))):
                moment = stored.key.removeprefix(self._key(f"{ASIDE}/")).partition("+")[0]
                if before is None or (moment.isdigit() and int(moment) < before):
                    removed += self._deleted(stored.key)
        return removed

    # -- what the store says

    def evidence_taken(self) -> tuple[dict[str, int], int]:
        """When the store took each piece of evidence, and the last moment that it named for any (µs, by its clock).

        Raises VaultDown.
        """
        found: dict[str, int] = {}
        with self._told():
            for stored in self._store.list(self._key(EVIDENCE_PREFIX)):
                found[stored.key.removeprefix(self._root)] = stored.modified * _MICROSECONDS
        return found, max(found.values(), default=0)

    def held(self) -> Callable[[str], bool]:
        """Whether the lock of the bucket still holds an object, or a slot or mend of it. Raises VaultDown."""
        with self._told():
            days = self._store.features().lock_days
            put: dict[str, int] = {}
            for stored, marker in self._store.versions(self._root) if days else ():
                name = self._object(stored.key.removeprefix(self._key(MENDED)).removeprefix(self._root))
                if not marker:
                    put[name] = max(put.get(name, 0), stored.modified)
        now = max(put.values(), default=0)
        return lambda name: bool(days) and put.get(name, 0) + days * _DAY_SECONDS > now

    # -- mending

    def _put_new(self, name: str, chunks: Iterable[bytes]) -> None:
        """Under its own key, which is free."""
        self._anew()
        if name == mark.NAME:  # whatever else is put asks for it first
            self._store.put(self._key(name), b"".join(chunks))
        elif not self.put(name, chunks):
            raise VaultDown(f"vault {self.name}: somebody else puts {name} at the same moment", hint="run this again")

    def _filled(self, name: str, data: bytes) -> bool:
        """Put what a segment lacks under keys that are free; False where what is there is in the way.

        Raises StoreError.
        """
        if self._mends.all().get(name):
            return False
        begins = ((offset_of(stored.key, self._key(name)), stored) for stored in self._keys_of(name))
        slots = {begin: stored for begin, stored in begins if begin is not None}
        missing, end = [], 0
        while end < len(data):
            there = slots.get(end)
            if there is None:
                after = min((offset for offset in slots if end < offset), default=len(data))
                missing.append((end, min(after, len(data))))
                end = missing[-1][1]
            elif there.size and self._store.get(there) == data[end : end + there.size]:
                end += there.size
            else:
                return False
        if end != len(data) or end in slots:
            return False
        for start, stop in missing:
            key = self._slot_key(name, start) if start else self._key(name)
            self._store.put(key, data[start:stop])
        self._anew()
        slots_now = self._look(name)
        return slots_now is not None and self.get(name) == data

    def _keys_of(self, name: str) -> list[Stored]:
        """Its own key, and every slot's of its name; of what is no object its key alone."""
        if not is_object_name(name):
            found = self._store.find(self._key(name))
            return [] if found is None else [found]
        listed = self._store.list(self._key(name))
        return [stored for stored in listed if self._object_of(stored) == name]

    def _put_over(self, name: str) -> None:
        """The same bytes under its own name, and nothing else. Where that is refused, the mend goes on counting."""
        slots = self._look(name) or ()
        mends = list(self._mends.all().get(name, ()))
        if len(slots) != 1 or slots[0] not in mends or slots[0].size > LARGE_BYTES:
            return
        data = self._store.get(slots[0])
        for stored in reversed(self._keys_of(name)):
            if stored.key != self._key(name) and not self._deleted(stored.key):
                return
        try:
            self._store.put(self._key(name), data, unless_there=False)
        except StoreError:
            return
        there = self._store.find(self._key(name))
        if there is not None and there.size == len(data) and self._store.get(there) == data:
            for stored in mends:
                self._deleted(stored.key)
        self._anew()

    def _is_plain(self) -> bool:
        """Whether what is put over a key, or deleted, is gone."""
        return not self._store.features().versioned

    def _shortened(self, name: str, header: bytes) -> None:
        """Nothing but its header is to stay, whatever else of it proves itself. Raises StoreError, VaultDown."""
        for stored in reversed(self._keys_of(name)):
            if not self._deleted(stored.key):
                raise self._refused(name)
        self._store.put(self._key(name), header)  # until then the mend counts
        for stored in self._mends.all().get(name, ()):
            self._deleted(stored.key)
        self._anew()

    # -- removing

    def _copy_aside(self, name: str) -> str:
        """What lies under a name and its slots, once more in aside/; the same bytes only once. Raises StoreError."""
        keys = self._keys_of(name)
        flat, size = name.replace("/", "+"), sum(stored.size for stored in keys)
        for stored in self._store.list(self._key(f"{ASIDE}/")):
            there = stored.key.removeprefix(self._key(f"{ASIDE}/")).partition("+")[2]
            if there == flat and stored.size == size and self._same(keys, stored):
                return stored.key.removeprefix(self._root)
        at = self._clock.now()
        while self._store.find(self._key(f"{ASIDE}/{at:016d}+{flat}")) is not None:
            at += 1
        key = self._key(f"{ASIDE}/{at:016d}+{flat}")
        if size > LARGE_BYTES:
            self._store.put_large(key, self._pieces(keys))
        else:
            self._store.put(key, b"".join(self._pieces(keys)))
        return key.removeprefix(self._root)

    def _pieces(self, keys: Iterable[Stored]) -> Iterator[bytes]:
        for stored in keys:
            for start in range(0, stored.size, LARGE_BYTES):
                yield self._store.get(stored, start, min(start + LARGE_BYTES, stored.size))

    def _same(self, keys: Iterable[Stored], other: Stored) -> bool:
        """Whether what lies under these keys is what lies there."""
        start = 0
        for piece in self._pieces(keys):
            if self._store.get(other, start, start + len(piece)) != piece:
                return False
            start += len(piece)
        return True

    def _require_removed(self, name: str) -> None:
        if not self._removed(name):
            raise self._refused(name)

    def _refused(self, name: str) -> VaultDown:
        return VaultDown(
            f"vault {self.name}: the store does not let {name} go",
            hint="let these credentials delete versions (docs/s3.md), or wait until its lock has ended",
        )

    def _removed(self, name: str) -> bool:
        """Whether nothing is left of an object: its slots from the last on, its own key, its mends."""
        keys = [stored.key for stored in reversed(self._keys_of(name))]
        keys += [stored.key for stored in self._mends.all().get(name, ())]
        return all(
            self._deleted(key) for key in keys
        )  # none after one that is refused: what is newest is locked longest

    def _deleted(self, key: str) -> bool:
        """Whether no version of a key is left: a lock holds what it holds, and credentials may not delete."""
        try:
            if not self._store.features().versioned:
                self._store.delete(Stored(key, 0))
                return self._store.find(key) is None
            for stored, _ in [version for version in self._store.versions(key) if version[0].key == key]:
                self._store.delete(stored)
            return not any(version[0].key == key for version in self._store.versions(key))
        except StoreError:
            return False

    def _anew(self) -> None:
        self._slots.clear()
        self._ended.clear()
        self._mends.forget()

    def _require_object(self, name: str) -> None:
        """A name that may be kept, in a vault that is there; its FORMAT may be what is to be mended."""
        if not is_object_name(name):
            raise _no_object(name)
        if name != mark.NAME:
            self._require()


def _no_object(name: str) -> OperatorError:
    return OperatorError(f"{name!r} is no name of an object in a vault", exit_code=2)


_: type[KeptVault] = KeptS3Vault
