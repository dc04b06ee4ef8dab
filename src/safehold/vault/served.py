"""A vault that its keeper serves to a core of another user: what may be asked of it, and what is refused.

One `ServedVault` for a folder, one `ServedSession` for each connection (formats/vaultwire.py says what goes over it). A
client can look, append to a segment that is open, and put what is not there. Names are those that vaults have:
`log/`, `blobs/`, `runs/`, `evidence/`, `recovery/` and `keys/`. What may be added to the log is judged by
vault/admission.py.

Room: while no more than the reserve is left on the disk, nothing is taken (VaultFull). A flood stops writing, it never
drops history, and the keeper has room to work.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import islice
from typing import Any, Protocol

from safehold.formats import blob, vaultwire
from safehold.formats.evidence import parse_evidence_name
from safehold.formats.generation import parse_manifest_name
from safehold.formats.mark import NAME as MARK
from safehold.formats.mark import parse_mark
from safehold.formats.run import parse_run_name
from safehold.formats.segment import SegmentName
from safehold.formats.segment import parse_name as parse_segment_name
from safehold.formats.vaultwire import Answer, Append, Request
from safehold.model.errors import Damaged, OutOfSpace, SafeholdError
from safehold.ports.disk import Disk
from safehold.ports.vault import LengthMismatch, VaultDown, VaultFull, VaultSuspect
from safehold.vault.admission import MAX_REPEATED_BYTES, Admission, Continued
from safehold.vault.folder import FolderVault, Putting, is_object_name

DEFAULT_RESERVE_BYTES = 64 * 1024 * 1024
#: Segments that are being put whole are held in memory, to be judged: so much of all of one vault, at most.
MAX_HELD_BYTES = 2 * MAX_REPEATED_BYTES
#: What an object costs besides its bytes: an entry in its folder, the rest of a block.
_OBJECT_BYTES = 8192
#: A guest without a quota is not told of more room than this.
PLENTY_BYTES = 16 << 30
_OTHER_NAME = re.compile(
    r"(?:recovery|keys)/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99})?\Z"
)
_ERRORS: tuple[tuple[type[SafeholdError], str], ...] = (
    (VaultDown, "down"),
    (OutOfSpace, "full"),
    (VaultSuspect, "suspect"),
    (LengthMismatch, "length"),
)


class Quota(Protocol):
    """What may lie in one vault, beside what its disk has room for. Safe from any thread."""

    def room_bytes(self) -> int: ...

    def limit_bytes(self) -> int:
        """0: none."""
        ...

    def took(self, count: int) -> None:
        """So many bytes more lie there; fewer, where it is negative."""
        ...


class ServedVault:
    """What all sessions share. `lock` is held while something is appended, given its name or written once more."""

    def __init__(
        self,
        path: str,
        disk: Disk,
        installation: bytes | None = None,
        *,
        reserve_bytes: int = DEFAULT_RESERVE_BYTES,
        about: Callable[[], dict[str, Any]] = dict,
        to_guests: bool = False,
        lock: AbstractContextManager[Any] | None = None,
        quota: Quota | None = None,
        refused: Callable[[str], None] = lambda _: None,
        mend: Callable[[str, bytes], None] | None = None,
    ) -> None:
        """`about` are facts of the server for its clients, such as its user and the disk that it lies on.

        `to_guests`: whoever asks learns neither where the vault lies nor what else its disk has room for.
        `refused` is told, under the lock, of what would have made void what is in the log. `mend` judges an object in
        the place of one that is there, and puts it there: called under the lock, raises VaultDown. None: nobody may.
        """
        self.path = path
        self.disk = disk
        self.installation = installation
        self.reserve_bytes = reserve_bytes
        self._about = about
        self._to_guests = to_guests
        self.lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock
        self._quota = quota
        self.refused = refused
        self.mend = mend
        self.held_bytes = 0  # under the lock
        self._judge = self.open()
        self._admission: Admission | None = None

    def open(self) -> FolderVault:
        return FolderVault("keeper", self.path, self.disk, self.installation)

    def mark(self) -> bytes:
        """The installation that the vault belongs to; b"" where that cannot be told."""
        with suppress(SafeholdError, KeyError):
            found = parse_mark(self._judge.get(MARK))
            if self.installation in (None, found):
                return found
        return b""

    def admission(self) -> Admission:
        """Raises VaultDown."""
        if self._admission is None:
            installation = self.mark()
            if not installation:
                raise VaultDown("the vault's mark cannot be read", hint=f"see what is wrong with {self.path}")
            self._admission = Admission(self._judge, installation)
        return self._admission

    def forget(self) -> None:
        """What was remembered of the log: its keeper has moved something of it aside."""
        with self.lock:
            self.forget_log()

    def forget_log(self) -> None:
        """The same, under the lock."""
        self._admission = None

    def room_bytes(self) -> int:
        """What may still be added. Raises OSError."""
        room = max(0, self.disk.free_bytes(self.path) - self.reserve_bytes)
        return room if self._quota is None else min(room, self._quota.room_bytes())

    def facts(self) -> dict[str, Any]:
        """What clients are told of the server."""
        facts = dict(self._about())
        limit = self._quota.limit_bytes() if self._quota is not None else 0
        if limit:
            facts["quota_bytes"] = limit
        with suppress(OSError):
            room = self.room_bytes()
            facts["room_bytes"] = min(room, PLENTY_BYTES) if self._to_guests and not limit else room
        return facts

    def told(self, text: str) -> str:
        """What is said in a refusal."""
        return text.replace(self.path, "its folder") if self._to_guests else text

    def hold(self, count: int) -> None:
        """So much more, or less, of segments on their way is held in memory. Raises VaultDown where it is too much."""
        with self.lock:
            if count > 0 and self.held_bytes + count > MAX_HELD_BYTES:
                raise VaultDown("too many segments are being put at a time", hint="put one after the other")
            self.held_bytes += count

    def took(self, count: int, *, new: bool = False) -> None:
        """So much more lies in the vault; `new`: under a name that was not there."""
        if self._quota is not None:
            self._quota.took(count + (_OBJECT_BYTES if new else 0))

    def require_room(self, count: int) -> None:
        """Raises VaultFull, VaultDown."""
        try:
            room = self.room_bytes()
        except OSError as error:
            raise VaultDown(f"the vault's folder cannot be looked at: {error.strerror}") from error
        if count + _OBJECT_BYTES > room:
            limited = self._quota is not None and self._quota.room_bytes() <= room
            why = "its quota is used up" if limited else "the last of its disk is kept free"
            raise VaultFull(
                f"the vault has no room for {count} bytes: {why}",
                hint="its keeper makes room; nothing that is there is dropped for it",
            )


class _Incoming:
    """An object that comes in pieces."""

    def __init__(self, name: str, putting: Putting | None) -> None:
        """`putting` None: it is to mend what is there."""
        self.name = name
        self.putting = putting
        self.segment = parse_segment_name(name)
        self.data = bytearray()  # of a segment, and of what mends: all of it, to be judged at the end


class ServedSession:
    """Implements ports.link.Session."""

    def __init__(self, served: ServedVault, *, may_append: bool = True, may_mend: bool = False) -> None:
        """Without either it can only look. With `may_mend` it can put what is not there, and mend, and not append."""
        self._served = served
        self._may_append, self._may_mend = may_append, may_mend
        self._vault = served.open()
        self._incoming: _Incoming | None = None
        self._greeted = False

    def answer(self, request: bytes) -> bytes | None:
        try:
            asked = vaultwire.parse_request(request)
        except Damaged:
            return None
        if not self._greeted and not isinstance(asked, vaultwire.Hello):
            return None
        if self._incoming is not None and not isinstance(asked, vaultwire.Piece | vaultwire.Finish):
            return None
        try:
            answer = self._answer(asked)
        except KeyError as error:
            answer = vaultwire.Refusal("missing", self._served.told(str(error.args[0])))
        except SafeholdError as error:
            self._abandon()
            kind = next((kind for type_, kind in _ERRORS if isinstance(error, type_)), "refused")
            answer = vaultwire.Refusal(kind, self._served.told(error.message), self._served.told(error.hint))
        return None if answer is None else vaultwire.encode(answer)

    def close(self) -> None:
        self._abandon()
        self._vault.close()

    @property
    def incoming(self) -> bool:
        """Whether an object is on its way in."""
        return self._incoming is not None

    def _answer(self, asked: Request) -> Answer | None:
        vault = self._vault
        self._require_right(asked)
        match asked:
            case vaultwire.Hello():
                self._greeted = True
                return vaultwire.Welcome(vaultwire.VERSION, self._served.mark())
            case vaultwire.Look():
                return vaultwire.Flag(vault.available())
            case vaultwire.Size(name):
                return vaultwire.Number(vault.size(_readable(name)))
            case vaultwire.Get(name, offset, count):
                return vaultwire.Bytes(vault.get(_readable(name), offset, count))
            case vaultwire.Folders(prefix):
                return vaultwire.Names(list(vault.folders(_prefix(prefix, folder=True))))
            case vaultwire.List(prefix, after):
                found = list(islice(vault.list_after(_prefix(prefix), after), vaultwire.MAX_LISTED + 1))
                more = len(found) > vaultwire.MAX_LISTED
                return vaultwire.Objects([(info.name, info.size) for info in found[: vaultwire.MAX_LISTED]], more)
            case vaultwire.Append():
                return self._append(asked)
            case vaultwire.Put(name):
                return self._begin(name)
            case vaultwire.Mend(name):
                return self._begin_mend(name)
            case vaultwire.Piece(data):
                return self._take(data)
            case vaultwire.Finish():
                return self._finish()
            case vaultwire.About():
                rights = {"may_append": self._may_append, "may_mend": self._may_mend}
                return vaultwire.Facts({**self._served.facts(), **rights})

    def _require_right(self, asked: Request) -> None:
        """Raises VaultDown."""
        if isinstance(asked, vaultwire.Mend) and not (self._may_mend and self._served.mend is not None):
            raise VaultDown("only a keeper's token may mend what is here", hint="`safehold vault invite --keeper`")
        if isinstance(asked, vaultwire.Append) and not self._may_append:
            only = "mend" if self._may_mend else "read"
            raise VaultDown(f"this token may only {only}", hint="another token is needed to write here")
        if isinstance(asked, vaultwire.Put) and not (self._may_append or self._may_mend):
            raise VaultDown("this token may only read", hint="another token is needed to write here")

    def _append(self, asked: Append) -> Answer:
        name = parse_segment_name(asked.name)
        if name is None:
            raise VaultDown(f"nothing but a segment of the log can be appended to, and {asked.name!r} is none")
        served = self._served
        if asked.data:
            served.require_room(len(asked.data))
        with served.lock:
            length = self._vault.size(asked.name) or 0
            if length != asked.expected:
                raise LengthMismatch(f"{asked.name} is {length} bytes long and should be {asked.expected}")
            try:
                found = served.admission().check_append(name, asked.expected, asked.data)
            except (LengthMismatch, VaultDown) as error:
                served.refused(error.message)
                raise
            self._vault.append(asked.name, asked.expected, asked.data)
            served.took(len(asked.data), new=not length)
            served.admission().done(name, found)
        return vaultwire.Flag(True)

    def _begin(self, name: str) -> Answer:
        if self._vault.size(_readable(name)) is None:
            if not may_be_put(name):
                raise VaultDown(f"{name!r} is no name of an object that can be put into a vault")
            self._served.require_room(0)
        with self._served.lock:  # what is there may be written once more: nothing may be appended to it meanwhile
            putting = self._vault.begin(name)
        if putting is None:
            return vaultwire.Flag(False)
        self._incoming = _Incoming(name, putting)
        return vaultwire.Flag(True)

    def _begin_mend(self, name: str) -> Answer:
        if self._vault.size(_readable(name)) is None:
            return vaultwire.Flag(False)
        self._served.require_room(0)
        self._incoming = _Incoming(name, None)
        return vaultwire.Flag(True)

    def _take(self, data: bytes) -> Answer | None:
        incoming = self._incoming
        if incoming is None:
            return None
        self._served.require_room(len(data))
        if incoming.segment is not None or incoming.putting is None:
            if len(incoming.data) + len(data) > MAX_REPEATED_BYTES:
                raise VaultDown(f"{incoming.name} is longer than what is judged whole may be")
            self._served.hold(len(data))
            incoming.data += data
        if incoming.putting is not None:
            incoming.putting.write(data)
            self._served.took(len(data))
        return vaultwire.Flag(True)

    def _finish(self) -> Answer | None:
        incoming = self._incoming
        if incoming is None:
            return None
        if incoming.putting is None:
            return self._finish_mend(incoming)
        with self._served.lock:
            whole = bytes(incoming.data)
            found = self._judge(incoming.segment, whole) if incoming.segment else None
            self._incoming = None
            self._served.held_bytes -= len(incoming.data)
            incoming.data.clear()
            try:
                done = incoming.putting.finish()
            except Exception:
                self._drop(incoming)
                raise
            self._served.took(0 if done else -incoming.putting.size, new=done)
            if done and incoming.segment:
                self._served.admission().done(incoming.segment, found, whole)
        return vaultwire.Flag(done)

    def _finish_mend(self, incoming: _Incoming) -> Answer:
        served, data = self._served, bytes(incoming.data)
        assert served.mend is not None
        with served.lock:
            self._incoming = None
            served.held_bytes -= len(data)
            try:
                if incoming.segment is not None:
                    served.admission().check_frames(incoming.segment, data)
            except LengthMismatch as error:
                served.refused(error.message)
                raise VaultDown(error.message, hint=error.hint) from None
            served.mend(incoming.name, data)
            served.took(len(data), new=True)  # what was there lies in aside/ still
            served.forget_log()
        return vaultwire.Flag(True)

    def _judge(self, name: SegmentName, data: bytes) -> Continued | None:
        """A whole segment. Raises VaultDown: of a put nobody asks about lengths."""
        admission = self._served.admission()
        try:
            admission.check_new(name, data)
            return admission.check_frames(name, data)
        except (LengthMismatch, VaultDown) as error:
            self._served.refused(error.message)
            raise VaultDown(error.message, hint=error.hint) from None

    def _abandon(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._drop(incoming)

    def _drop(self, incoming: _Incoming) -> None:
        if incoming.putting is not None:
            incoming.putting.abandon()
            self._served.took(-incoming.putting.size)
        if incoming.data:
            self._served.hold(-len(incoming.data))
            incoming.data.clear()


def may_be_put(name: str) -> bool:
    """Whether a client may put an object of this name."""
    known = (
        parse_segment_name(name) is not None
        or blob.parse_object(name) is not None
        or parse_run_name(name) is not None
        or parse_manifest_name(name) is not None
        or parse_evidence_name(name) is not None
    )
    return known or (_OTHER_NAME.match(name) is not None and name.isascii())


def _readable(name: str) -> str:
    if not is_object_name(name):
        raise VaultDown(f"{name!r} is no name of an object in a vault")
    return name


def _prefix(prefix: str, *, folder: bool = False) -> str:
    """A prefix that leads nowhere but into the vault: what is set aside or being put is not shown."""
    bare = prefix.rstrip("/")
    if (bare and not is_object_name(bare)) or prefix.endswith("//") or (folder and prefix != f"{bare}/"):
        raise VaultDown(f"{prefix!r} is no beginning of names in a vault")
    return prefix
