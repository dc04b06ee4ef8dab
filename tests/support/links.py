"""Links to a served vault on one thread, which can lose what goes over them."""

from __future__ import annotations

from collections.abc import Callable

from safehold.ports.link import Connect, NoAnswer, NotSent
from safehold.vault.served import ServedSession, ServedVault


class Line:
    """What happens to the messages of all links that go over it: each fault is used up by the next message."""

    def __init__(self) -> None:
        self.faults: list[str] = []  # "request lost", "answer lost", "late", "refused" (no new link)
        self.asked = 0
        self.links = 0

    def take(self, *faults: str) -> str:
        if self.faults and self.faults[0] in faults:
            return self.faults.pop(0)
        return ""


class DirectLink:
    """`ports.link.Link` to a session in this thread."""

    def __init__(self, session: ServedSession, line: Line) -> None:
        self._session = session
        self._line = line
        self._open = True

    def ask(self, request: bytes, *, hurry: bool = False) -> bytes:
        self._line.asked += 1
        if not self._open or self._line.take("request lost"):
            self.close()
            raise NotSent("the line is cut")
        answer = self._session.answer(request)
        lost = self._line.take("answer lost", "late")
        if answer is None or lost:
            self.close()
            raise NoAnswer("the line is cut", late=lost == "late")
        return answer

    def close(self) -> None:
        if self._open:
            self._open = False
            self._session.close()


def direct(served: ServedVault, line: Line | None = None) -> Connect:
    line = line or Line()

    def connect() -> DirectLink:
        if line.take("refused"):
            raise NotSent("nobody is there")
        line.links += 1
        return DirectLink(ServedSession(served), line)

    return connect


def restart(served: ServedVault) -> Callable[[], ServedVault]:
    """The same folder served anew, with nothing remembered."""
    return lambda: ServedVault(served.path, served.disk, served.installation, reserve_bytes=served.reserve_bytes)
