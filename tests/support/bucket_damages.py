"""Damage to vaults in buckets: key by key, slots too, in buckets that allow more or less; on a bucket in memory."""

from __future__ import annotations

import random
from collections.abc import Mapping

from safehold.formats import segment
from safehold.recovery.judging import Standing
from safehold.recovery.repair import Repairer
from safehold.vault.s3 import SLOT_MARK, S3Vault
from safehold.vault.s3_keeping import KeptS3Vault, ScrubbedS3Vault
from tests.support.damages import DamagedWorld, Harm, Objects, harm
from tests.support.memory_bucket import MemoryBucket

PLACE, ROOT = "bucket/home", "home/"
#: What a bucket is like: it can be written over and deleted from, not deleted from, keeps versions, locks them.
SORTS = ("open", "kept", "versioned", "locked")


def keyed(objects: Objects, rng: random.Random) -> Objects:
    """The same by keys: what grows is cut into slots, anywhere."""
    keys: Objects = {}
    for name, data in objects.items():
        if segment.parse_name(name) is None or len(data) < 2:
            keys[name] = data
            continue
        cuts = sorted({0, *(rng.randrange(1, len(data)) for _ in range(rng.randrange(5)))})
        for start, stop in zip(cuts, [*cuts[1:], len(data)], strict=True):
            keys[f"{name}{SLOT_MARK}{start:020d}" if start else name] = data[start:stop]
    return keys


def harm_keys(keys: Objects, rng: random.Random) -> tuple[Objects, Harm]:
    """One damage more, at the level of keys."""
    if rng.random() < 0.1:
        return _stray_slot(keys, rng)
    return harm(keys, rng)


def _stray_slot(keys: Objects, rng: random.Random) -> tuple[Objects, Harm]:
    while True:
        model = rng.choice(sorted(keys))
        name = model.partition(SLOT_MARK)[0]
        size = sum(len(data) for key, data in keys.items() if key.partition(SLOT_MARK)[0] == name)
        key = f"{name}{SLOT_MARK}{rng.choice((size, size, rng.randrange(size + 1), size + rng.randrange(9999))):020d}"
        if key not in keys and not key.endswith(f"{SLOT_MARK}{0:020d}"):
            data = rng.choice((b"", rng.randbytes(300), keys[model], keys[model][:100]))
            return {**keys, key: data}, Harm(f"stray slot {key}", (key,))


def object_of(key: str) -> str:
    return key.partition(SLOT_MARK)[0]


class Bucketed:
    """The near vault of a world in a bucket, with what was done to it."""

    def __init__(self, world: DamagedWorld, keys: Objects, sort: str, rng: random.Random | None = None) -> None:
        self.world = world
        self.store = MemoryBucket(
            versioned=sort == "versioned", lock_days=90 * (sort == "locked"), may_delete=sort != "kept"
        )
        for name, data in keys.items():
            self.store.lay(f"{ROOT}{name}", data)
        self.shadowed: set[str] = set()
        if rng is not None and self.store.features().versioned:
            self._shadow(keys, rng)
        self.first = dict(self.store.keys)

    def _shadow(self, keys: Objects, rng: random.Random) -> None:
        """Somebody puts over some keys, and deletes others: the first versions stay."""
        for name in rng.sample(sorted(keys), 4):
            stored = self.store.find(f"{ROOT}{name}")
            assert stored is not None
            if rng.random() < 0.5:
                self.store.put(stored.key, rng.randbytes(40), unless_there=False)
            if rng.random() < 0.7:
                self.store.delete(stored._replace(version=""))
            if len(self.store.keys[stored.key]) > 1:
                self.shadowed.add(name)

    def reader(self) -> S3Vault:
        return S3Vault("near", PLACE, self.store, self.world.installation)

    def scrubbed(self) -> ScrubbedS3Vault:
        return ScrubbedS3Vault("near", PLACE, self.store, self.world.installation)

    def kept(self) -> KeptS3Vault:
        return KeptS3Vault("near", PLACE, self.store, self.world.installation, clock=self.world.house.clock)

    def repairer(self, other: Objects | None, remembered: Mapping[str, object] | None = None) -> Repairer:
        vault, world = self.kept(), self.world
        scrubber = world.scrubber(vault)  # type: ignore[arg-type]
        return Repairer(
            vault,
            scrubber,
            world.peers(other),
            Standing(core=world.core),
            scrubber.read(),
            remembered=world.remembered if remembered is None else remembered,  # type: ignore[arg-type]
        )
