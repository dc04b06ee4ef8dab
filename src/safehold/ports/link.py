"""A connection to a vault's server: one answer for each request, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class NotSent(ConnectionError):
    """The request did not reach the other side whole, so it was not carried out."""


class NoAnswer(ConnectionError):
    """The request may have been carried out; its answer did not come. `late`: within the time that was given."""

    def __init__(self, message: str, *, late: bool = False) -> None:
        super().__init__(message)
        self.late = late


class Link(Protocol):
    """Used on one thread. After an error it is closed."""

    def ask(self, request: bytes, *, hurry: bool = False) -> bytes:
        """Raises NotSent, NoAnswer. In a hurry it waits no longer than a look takes that touches little."""
        ...

    def close(self) -> None: ...


#: Opens a link. Raises NotSent where nobody is there.
Connect = Callable[[], Link]


class Session(Protocol):
    """The other side of one link. Used on one thread."""

    def answer(self, request: bytes) -> bytes | None:
        """None: end the connection without an answer, for what came was no request."""
        ...

    def close(self) -> None: ...
