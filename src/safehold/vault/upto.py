"""A vault as it was: the log up to one frame, and the generations that say nothing of what came later.

For who recovers an earlier point, or a point that must not move on while a service writes beside it. And a vault that
notes which of its objects were read, and can only be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from safehold.formats.keys import Opener
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole, LogFrame
from safehold.ports.vault import ObjectInfo, Vault
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs


class UptoReader(VaultLogReader):
    """A VaultLogReader that ends with a frame, as if no later one had ever been written."""

    def __init__(self, vaults: Sequence[Vault], opener: Opener, upto: LogPosition) -> None:
        super().__init__(vaults, opener)
        self._upto = upto

    def entries(self, after: LogPosition = EMPTY_LOG, *, closed_upto: int = 0) -> Iterator[LogFrame | Hole]:
        for entry in super().entries(after, closed_upto=closed_upto):
            if (entry.first if isinstance(entry, Hole) else entry.position.frame) > self._upto.frame:
                return
            yield entry

    def end(self) -> LogPosition:
        return self._upto

    def last_seal(self) -> LogPosition:
        last = super().last_seal()
        return last if last.frame <= self._upto.frame else EMPTY_LOG


class UptoRuns(Runs):
    """`Runs` without the generations that cover the log beyond a frame."""

    def __init__(self, vaults: Sequence[Vault], opener: Opener, upto: LogPosition) -> None:
        super().__init__(vaults, opener)
        self._last = upto.frame

    def numbers(self) -> dict[int, list[Vault]]:
        return {number: vaults for number, vaults in super().numbers().items() if number <= self._last}


class ReadOnly(RuntimeError):
    """A fault of our own: what only reads has tried to write into a vault."""


class NotedVault:
    """Implements ports.vault.Vault over another one: notes the names that were asked for, and refuses to write.

    `rest` is called after each read, for who keeps to a pace.
    """

    def __init__(self, inner: Vault, noted: set[str], rest: Callable[[], None] = lambda: None) -> None:
        self._inner = inner
        self._noted = noted
        self._rest = rest

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def url(self) -> str:
        return self._inner.url

    def available(self) -> bool:
        return self._inner.available()

    def folders(self, prefix: str) -> Sequence[str]:
        return self._inner.folders(prefix)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def size(self, name: str) -> int | None:
        self._noted.add(name)
        return self._inner.size(name)

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        self._noted.add(name)
        data = self._inner.get(name, offset, count)
        self._rest()
        return data

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:  # noqa: ARG002 - the port's
        raise ReadOnly(f"{name} would be put into {self.name}")

    def append(self, name: str, expected: int, data: bytes) -> None:  # noqa: ARG002 - the port's
        raise ReadOnly(f"{name} would be written to in {self.name}")

    def close(self) -> None:
        self._inner.close()
