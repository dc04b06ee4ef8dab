"""Which acknowledged changes a strike has left a whole copy of, told without any of the code that recovers.

Before the strike every frame of every vault's log is noted with the changes in it; after it a frame is whole where its
bytes are what they were. Of an item whose last word lies in such a frame nothing excuses the loss, provided that the
making of its collection is left as well, since nobody could say where it lay, and that its body is in the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from safehold.disaster.vault_work import LOG_FOLDER
from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.payload import Unpacker
from safehold.formats.segment import HEADER_BYTES
from safehold.lab.clients.verdict import Key
from safehold.model.change import Op
from safehold.model.errors import Damaged
from safehold.model.kinds import Kind

if TYPE_CHECKING:
    from safehold.disaster.lab import World

_Rev = tuple[bytes, Kind, int]


class _Frame(NamedTuple):
    path: str
    offset: int
    data: bytes
    revs: frozenset[_Rev]  # of changes whose bodies, where they have any, are in it


class Copies:
    """To be made before anything is damaged; `look` once it is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._frames: list[_Frame] = []
        self._made: dict[tuple[bytes, str], _Rev] = {}  # account and path of a collection
        self._whole: dict[_Rev, str] = {}
        unpacker = Unpacker(world.house.keyring.opener)
        for config in world.house.vaults:
            for path in world.disk.files(world.house.folder(config) + LOG_FOLDER):
                data = world.disk.bytes_of(path)
                for frame in scan_frames(data, HEADER_BYTES):
                    if isinstance(frame, RawFrame) and frame.header.type is FrameType.CHANGES:
                        self._note(path, frame, unpacker)

    def _note(self, path: str, frame: RawFrame, unpacker: Unpacker) -> None:
        try:
            changes = unpacker.unpack_changes(frame.payload)
        except Damaged:
            return
        revs = set()
        for change in changes:
            rev = (change.account, change.kind, change.rev)
            if change.op is Op.MKCOL:
                self._made[change.account, change.name or ""] = rev
            if change.blob is None:
                revs.add(rev)
        self._frames.append(_Frame(path, frame.offset, frame.data, frozenset(revs)))

    def look(self) -> None:
        """After the strike."""
        disk = self._world.disk
        there = set(disk.files("/"))
        for frame in self._frames:
            if frame.path in there:
                data = disk.bytes_of(frame.path)[frame.offset : frame.offset + len(frame.data)]
                if data == frame.data:
                    self._whole.update(dict.fromkeys(frame.revs, frame.path))

    def left_behind(self, not_exact: dict[Key, str]) -> list[str]:
        """Items that are not back although a whole copy of all that they need was left, in sentences."""
        ids = {name: id_ for id_, name in self._world.names.items()}
        found = []
        for key in not_exact:
            user, _, path = key[0].partition("/")
            word = self._world.ledger.last(key)
            id_ = ids.get(user, b"")
            where = self._whole.get((id_, word.kind, word.rev))
            made = self._made.get((id_, path))
            if word.rev and where is not None and made in self._whole:
                found.append(f"{'/'.join(key)} (rev {word.rev}) is whole in {where}, and is not back")
        return found
