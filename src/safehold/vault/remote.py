"""A vault that somebody else holds, over a link to its server (formats/vaultwire.py).

A request that did not reach the server is sent once more over a new link; so is one that only looks, where its answer
got lost. What was to change something and got no answer may or may not have been done: VaultUnanswered, a VaultSuspect.
A server that does not answer in time is down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn, TypeVar

from safehold.formats import vaultwire
from safehold.formats.vaultwire import Answer, Request
from safehold.model.errors import Damaged
from safehold.ports.link import Connect, Link, NoAnswer, NotSent
from safehold.ports.vault import (
    LengthMismatch,
    ObjectInfo,
    Vault,
    VaultDown,
    VaultFull,
    VaultSuspect,
    VaultUnanswered,
)

SCHEME = "keeper:"
_CHANGES = (vaultwire.Append, vaultwire.Put, vaultwire.Mend, vaultwire.Piece, vaultwire.Finish)
#: Requests that go on with what the same link began.
_CONTINUES = (vaultwire.Piece, vaultwire.Finish)
A = TypeVar("A", bound=Answer)


class RemoteVault:
    """Implements ports.vault.Vault. `installation` is the id that its mark must bear; None takes any.

    Opens a link at the first request, and another at the first that changes something: looks are
    never in the way of those. As in every vault, one thread at a time changes something; looks may come from several,
    where `lock` is given, which they then share.
    """

    def __init__(
        self,
        name: str,
        address: str,
        connect: Connect,
        installation: bytes | None = None,
        *,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._name = name
        self._address = address
        self._connect = connect
        self._wanted = installation
        self._lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock
        self._looking = _Line(self._open)
        self._changing = _Line(self._open)

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return f"{SCHEME}{self._address}"

    @property
    def _hint(self) -> str:
        return f"see whether its keeper runs (`safehold keeper run`) and serves {self._address}"

    def available(self) -> bool:
        try:
            return self._ask(vaultwire.Look(), vaultwire.Flag).value
        except VaultDown:
            return False

    def folders(self, prefix: str) -> Sequence[str]:
        assert prefix.endswith("/")
        return self._ask(vaultwire.Folders(prefix), vaultwire.Names).value

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        after, more = "", True
        while more:
            page = self._ask(vaultwire.List(prefix, after), vaultwire.Objects)
            if page.more and not (page.value and page.value[-1][0] > after):
                raise self._nonsense("a listing that leads nowhere")
            for name, size in page.value:
                yield ObjectInfo(name, size)
            after, more = page.value[-1][0] if page.value else "", page.more

    def size(self, name: str) -> int | None:
        return self._ask(vaultwire.Size(name), vaultwire.Number).value

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        parts: list[bytes] = []
        got = 0
        while count is None or got < count or not parts:
            wanted = vaultwire.MAX_DATA_BYTES if count is None else min(count - got, vaultwire.MAX_DATA_BYTES)
            part = self._ask(vaultwire.Get(name, offset + got, wanted), vaultwire.Bytes).value
            if len(part) > wanted:
                raise self._nonsense("more than was asked for")
            parts.append(part)
            got += len(part)
            if len(part) < wanted or not wanted:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        return self._send(vaultwire.Put(name), chunks)

    def mend(self, name: str, chunks: Iterable[bytes]) -> bool:
        """Put a sound object in the place of a damaged one; False where nothing bears the name. With a keeper's token.

        What was there is set aside. Raises VaultDown where the server does not find the one sound or the other damaged,
        and as `put`.
        """
        return self._send(vaultwire.Mend(name), chunks)

    def _send(self, request: vaultwire.Put | vaultwire.Mend, chunks: Iterable[bytes]) -> bool:
        if not self._ask(request, vaultwire.Flag).value:
            return False
        try:
            for chunk in chunks:
                for start in range(0, len(chunk), vaultwire.MAX_DATA_BYTES):
                    piece = vaultwire.Piece(bytes(chunk[start : start + vaultwire.MAX_DATA_BYTES]))
                    self._ask(piece, vaultwire.Flag)
            return self._ask(vaultwire.Finish(), vaultwire.Flag).value
        except VaultUnanswered:
            raise
        except BaseException:
            self._changing.close()  # the server drops what has come in
            raise

    def append(self, name: str, expected: int, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, max(1, len(data)), vaultwire.MAX_DATA_BYTES):
            piece = bytes(view[start : start + vaultwire.MAX_DATA_BYTES])
            self._ask(vaultwire.Append(name, expected + start, piece), vaultwire.Flag)

    def about(self) -> dict[str, Any]:
        """What the server says of itself: its user, where it lies, the room that is left. Raises VaultDown."""
        return self._ask(vaultwire.About(), vaultwire.Facts).value

    def close(self) -> None:
        self._changing.close()
        with self._lock:
            self._looking.close()

    def clear_temporary(self) -> None:
        """Its server does that."""

    # -- asking

    def _ask(self, request: Request, wanted: type[A]) -> A:
        answer = self._exchange(vaultwire.encode(request), request)
        if isinstance(answer, vaultwire.Refusal):
            self._refuse(answer)
        if not isinstance(answer, wanted):
            raise self._nonsense(f"{type(answer).__name__} for {type(request).__name__}")
        return answer

    def _exchange(self, message: bytes, request: Request) -> Answer:
        if isinstance(request, _CHANGES):
            return self._change(message, request)
        with self._lock:
            return self._look(message, hurry=isinstance(request, vaultwire.Look))

    def _look(self, message: bytes, hurry: bool) -> Answer:
        """Asked once more where the link has broken since it was used last."""
        for fresh in (self._looking.link is None, True):
            try:
                return self._parse(self._looking.ask(message, hurry=hurry))
            except (NotSent, NoAnswer) as error:
                self._looking.close()
                if fresh or (isinstance(error, NoAnswer) and error.late):
                    raise self._down(str(error)) from error
        raise AssertionError("the second try is a fresh one")

    def _change(self, message: bytes, request: Request) -> Answer:
        """Sent once more where it surely was not carried out, and begins anew on another link."""
        goes_on = isinstance(request, _CONTINUES)
        for fresh in (self._changing.link is None, True):
            if goes_on and self._changing.link is None:
                raise self._down("its link broke while an object was put")
            try:
                return self._parse(self._changing.ask(message))
            except NotSent as error:
                self._changing.close()
                if fresh or goes_on:
                    raise self._down(str(error)) from error
            except NoAnswer as error:
                self._changing.close()
                if isinstance(request, vaultwire.Put | vaultwire.Mend | vaultwire.Piece):  # nothing bears its name yet
                    raise self._down(str(error)) from error
                raise VaultUnanswered(
                    f"vault {self._name}: no answer came: {error}; what was written may or may not be there",
                    hint=self._hint,
                ) from error
        raise AssertionError("the second try is a fresh one")

    def _open(self) -> Link:
        """A link to the right vault. Raises NotSent, VaultDown."""
        link = self._connect()
        try:
            welcome = self._parse(link.ask(vaultwire.encode(vaultwire.Hello(vaultwire.VERSION)), hurry=True))
            if not isinstance(welcome, vaultwire.Welcome):
                raise self._nonsense("no welcome")
            self._check(welcome)
        except (NotSent, NoAnswer) as error:
            link.close()
            raise self._down(self._not_let_in(str(error))) from error
        except VaultDown:
            link.close()
            raise
        return link

    def _check(self, welcome: vaultwire.Welcome) -> None:
        if welcome.version != vaultwire.VERSION:
            raise self._down(f"its server speaks version {welcome.version}, this program {vaultwire.VERSION}")
        if not welcome.installation:
            raise self._down("its server finds no vault in its folder")
        if self._wanted is not None and welcome.installation != self._wanted:
            raise VaultDown(
                f"vault {self._name} at {self._address} belongs to another installation ({welcome.installation.hex()})",
                hint="name the right place",
            )

    def _parse(self, data: bytes) -> Answer:
        try:
            return vaultwire.parse_answer(data)
        except Damaged as error:
            raise self._nonsense(error.message) from None

    def _refuse(self, refusal: vaultwire.Refusal) -> NoReturn:
        message = f"vault {self._name} ({self.url}): {refusal.message}"
        match refusal.error:
            case "missing":
                raise KeyError(refusal.message)
            case "full":
                raise VaultFull(f"vault {self._name} is full ({self.url}): {refusal.message}", hint=refusal.hint)
            case "suspect":
                raise VaultSuspect(message, hint=refusal.hint)
            case "length":
                raise LengthMismatch(message, hint=refusal.hint)
            case _:
                raise VaultDown(message, hint=refusal.hint)

    def _down(self, why: str) -> VaultDown:
        return VaultDown(f"vault {self._name} cannot be used: {why}", hint=self._hint)

    def _not_let_in(self, why: str) -> str:
        return f"{why}; it may not let this user in"

    def _nonsense(self, what: str) -> VaultDown:
        return VaultDown(f"vault {self._name}: its server answered {what}", hint=f"see what serves {self._address}")


class _Line:
    """A link that is opened when it is needed."""

    def __init__(self, open_: Connect) -> None:
        self._open = open_
        self.link: Link | None = None

    def ask(self, message: bytes, *, hurry: bool = False) -> bytes:
        if self.link is None:
            self.link = self._open()
        return self.link.ask(message, hurry=hurry)

    def close(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.close()


_: type[Vault] = RemoteVault
