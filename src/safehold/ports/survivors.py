"""What a salvage finds, as values: scanners put it (`Finds`), a recovery and an accounting read it (`Survivors`).

Everything in here was found *below* the formats that it once lay in: in pages of a torn core, in frames without their
vault, in files. What each piece is worth is said by its `Proof`; what has none is `Aside`: kept for a person to look
through, never served.

A salvage is a folder that holds one store of these (`store/survivors.py`), so that its memory is bounded whatever its
sources weigh.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.model.stream import Head

StreamKey = tuple[bytes, Kind]


class Proof(StrEnum):
    """Why a change record is believed to be what was once acknowledged."""

    CHAIN = "chain"  # its hash is that of all its fields, `prev` included, and its body that of its digest
    #: It lies on pages whose checksums hold and its body has its digest, but the change before it is lost, and with
    #: it `prev`, which its hash covers. It cannot go on the stream again; what it put can come back as a new change.
    PAGE = "page"


class Survivor(NamedTuple):
    """A change record. Its body may be missing (`Change.body` and `blob` None although `digest` is set)."""

    change: Change  # prev is b"" where it is not known
    proof: Proof
    source: int
    where: str  # "page 117", "frame 203 at 81920"
    frame: int = 0  # of the log, where known


class KnownItem(NamedTuple):
    """An item that a core's remains list as living: known to have been there, whatever became of its change."""

    account: bytes
    kind: Kind
    collection: bytes
    name: str
    rev: int
    digest: bytes
    size: int
    media: str
    at: int  # µs
    source: int
    where: str


class Loose(NamedTuple):
    """An item without a change record: out of an export, a photo folder, a device's upload.

    `account` is the name it was given for, "" where nobody knows.
    """

    account: str
    kind: Kind
    collection: str  # path below the kind's home, "" where nobody knows
    name: str
    media: str
    digest: bytes
    size: int
    at: int | None  # µs, of the file or as the export says
    body: bytes | None  # None: it lies in `path`
    path: str
    source: int
    where: str


class Witnessed(NamedTuple):
    """Something outside the stream that remembers a head of it."""

    account: bytes
    kind: Kind
    head: Head
    at: int | None  # µs
    what: str  # "seal", "generation", "core", "token", "report"
    source: int


class Aside(NamedTuple):
    """What failed verification. `data` is as much as is worth keeping."""

    source: int
    where: str
    why: str
    what: str  # "change", "body", "frame", "page", "file"
    data: bytes
    account: bytes | None = None
    kind: Kind | None = None
    name: str = ""


class SalvageSource(NamedTuple):
    """What was looked at. `problems` are counted in words: "12 pages whose checksum does not hold"."""

    number: int
    path: str
    sort: str  # "core", "wal", "image", "vault", "objects", "blobs", "export", "takeout", "photos", "device"
    size: int
    problems: tuple[str, ...] = ()


class Finds(Protocol):
    """Where scanners put what they find. Putting the same thing twice changes nothing."""

    def source(self, path: str, sort: str, size: int) -> int:
        """Its number."""
        ...

    def problem(self, source: int, words: str) -> None: ...

    def survivor(self, survivor: Survivor) -> None: ...

    def known(self, item: KnownItem) -> None: ...

    def loose(self, loose: Loose) -> None: ...

    def witness(self, witnessed: Witnessed) -> None: ...

    def aside(self, aside: Aside) -> None: ...

    def account(self, account: bytes, name: str) -> None: ...

    def erased(self, account: bytes) -> None: ...

    def body(self, digest: bytes, body: bytes, source: int) -> None:
        """A body that lies somewhere without its change; its digest has been checked."""
        ...

    def blob(self, name: bytes, path: str, size: int, source: int) -> None:
        """A file that bears a blob's name; what it holds is checked by who reads it."""
        ...


class Survivors(Protocol):
    """The whole find, stream by stream. Changes of erased accounts are not given."""

    def sources(self) -> Sequence[SalvageSource]: ...

    def keys(self) -> Iterator[StreamKey]:
        """All streams of which there is a change, a known item or a witness."""
        ...

    def changes(self, key: StreamKey, proof: Proof) -> Iterator[Survivor]:
        """By rev; of one rev and hash once, that with its body first. Different hashes at one rev are all given."""
        ...

    def known_items(self, key: StreamKey) -> Iterator[KnownItem]: ...

    def witnesses(self, key: StreamKey) -> Iterator[Witnessed]: ...

    def loose_items(self) -> Iterator[Loose]: ...

    def asides(self) -> Iterator[Aside]: ...

    def accounts(self) -> dict[bytes, str]: ...

    def erased_accounts(self) -> frozenset[bytes]: ...

    def body_of(self, digest: bytes) -> bytes | None: ...

    def blob_path(self, name: bytes) -> str | None: ...
