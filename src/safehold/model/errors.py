"""What can go wrong, by audience: the person or device that asked, the operator, or time.

Each carries a sentence that says what is wrong and where, and a hint that says what to do. A bug is none of
these: it is any other exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class SafeholdError(Exception):
    """Base of all errors that are answers. `hint` says what to do next, in one sentence, or is empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RequestError(SafeholdError):
    """The person's or device's request cannot be done as it stands.

    `element` is the Clark name of the precondition or postcondition element that the standard defines for
    it, e.g. `{urn:ietf:params:xml:ns:caldav}valid-calendar-data`, or "" where none is defined; `href` the
    path the element should name, where it takes one.
    """

    def __init__(self, message: str, *, hint: str = "", element: str = "", href: str = "") -> None:
        super().__init__(message, hint=hint)
        self.element = element
        self.href = href


class BadRequest(RequestError):
    """Malformed: broken XML, JSON, path, header."""


class InvalidContent(RequestError):
    """A body that is not what its collection holds, or breaks the standard; `element` names the precondition."""


class UnsupportedMedia(RequestError):
    """A media type that the collection does not hold."""


class Forbidden(RequestError):
    """Not allowed for this account, whatever the state."""


class NotFound(RequestError):
    """A recorded absence: it never was, or a recorded delete removed it. Never a loss."""


class Conflict(RequestError):
    """The state forbids it: no parent collection, the name is taken, the UID is taken."""


class HistoryDropped(Conflict):
    """It is asked how something was at a time of which the history has been dropped. What lives now is whole."""


class Unconfirmed(Conflict):
    """It would remove so much that it is done only once somebody has said that it is meant."""


class PreconditionFailed(RequestError):
    """If-Match or If-None-Match does not hold."""


class Locked(RequestError):
    """A lock stands in the way, whose token was not submitted or which excludes another; `href` is its root."""


class OtherServer(RequestError):
    """What the request names as its destination lies elsewhere."""


class NotAllowed(RequestError):
    """The method does not apply to this resource."""


class TooLarge(RequestError):
    """Over a limit that the message names, with its figure."""


class OverQuota(RequestError):
    """The account would hold more than it may. What it holds stays, and deleting always works."""

    def __init__(self, message: str, *, hint: str = "delete something first: deleting always works") -> None:
        super().__init__(message, hint=hint, element="{DAV:}quota-not-exceeded")  # RFC 4331 section 6


class BadToken(RequestError):
    """A sync token that was never given out for this collection, or is older than what can be answered."""


class Held(SafeholdError):
    """Not now: the answer would be unsafe or impossible until something is restored, mended or freed.

    Nothing that the server is unsure of may look absent, so this is what it raises instead of NotFound.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: int = 60) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class LostBody(NamedTuple):
    """A body that the core has and cannot give: the number of its change in the journal, and its digest.

    The digest is b"" where only the row that cannot be read would tell it.
    """

    journal: int
    digest: bytes


class BodiesDamaged(Held):
    """Bodies of the core that cannot be read, or are not what their digests say. They can be had from the vaults."""

    def __init__(self, bodies: Sequence[LostBody]) -> None:
        count = "a body is" if len(bodies) == 1 else f"{len(bodies)} bodies are"
        super().__init__(f"{count} damaged here", hint="it is being mended from a vault", retry_after_seconds=5)
        self.bodies = tuple(bodies)


class OutOfSpace(Held):
    """A disk is full. Nothing acknowledged is lost; nothing new is taken."""


class OperatorError(SafeholdError):
    """Something that the operator must do or decide. `exit_code` as the contract says: 1, 2 or 3."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 3) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class NewerCore(OperatorError):
    """A core that a newer release has brought up to date. It is not damaged; this release cannot read it."""


class Damaged(SafeholdError):
    """Bytes that are not what their digests, chain or signature say; `where` names the object and place."""

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.where = where


class Unauthenticated(RequestError):
    """No credentials, or wrong ones."""


class TooManyAttempts(RequestError):
    """Too many wrong passwords from one place; the right one still works once a moment has passed."""

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: int = 5) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds
