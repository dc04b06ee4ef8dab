"""A vault in memory, for tests and the simulator. It forgets nothing and takes no time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from safehold.ports.vault import LengthMismatch, ObjectInfo, Vault, VaultDown, VaultFull
from safehold.vault.folder import require_object_name


class MemoryVault:
    """Implements ports.vault.Vault. `down` and `room_bytes` are there to be set by tests; so is `objects`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.objects: dict[str, bytes] = {}
        self.down = False
        self.room_bytes: int | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return f"memory:{self._name}"

    def available(self) -> bool:
        return not self.down

    def folders(self, prefix: str) -> Sequence[str]:
        self._require()
        below = (name[len(prefix) :] for name in sorted(self.objects) if name.startswith(prefix))
        return sorted({rest.split("/")[0] for rest in below if "/" in rest})

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._require()
        for name in sorted(self.objects):
            if name.startswith(prefix):
                yield ObjectInfo(name, len(self.objects[name]))

    def size(self, name: str) -> int | None:
        self._require()
        data = self.objects.get(name)
        return None if data is None else len(data)

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        self._require()
        return self.objects[name][offset : None if count is None else offset + count]

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        self._require()
        require_object_name(self._name, name)
        if name in self.objects:
            return False
        data = b"".join(chunks)
        if name in self.objects:  # meanwhile
            return False
        self._take_room(len(data))
        self.objects[name] = data
        return True

    def append(self, name: str, expected: int, data: bytes) -> None:
        self._require()
        require_object_name(self._name, name)
        held = self.objects.get(name, b"")
        if len(held) != expected:
            raise LengthMismatch(f"vault {self._name}: {name} is {len(held)} bytes long and should be {expected}")
        self._take_room(len(data))
        self.objects[name] = held + data

    def close(self) -> None:
        pass

    def _require(self) -> None:
        if self.down:
            raise VaultDown(f"vault {self._name} is down")

    def _take_room(self, count: int) -> None:
        if self.room_bytes is None:
            return
        if count > self.room_bytes:
            raise VaultFull(f"vault {self._name} is full")
        self.room_bytes -= count


_: type[Vault] = MemoryVault
