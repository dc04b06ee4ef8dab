"""What is asked of whoever carries mail."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Letter(NamedTuple):
    """A message on its way. `key` says what it is about: the same is not sent twice within a day to one address."""

    to: str
    subject: str
    text: str
    key: str


class MailFailed(Exception):
    """A letter was not taken. `for_good`: nor will it be, however often it is tried."""

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.message = message
        self.for_good = for_good


class Mailer(Protocol):
    """Hands letters to a mail server. May block; called in a thread of its own."""

    def send(self, letter: Letter) -> None:
        """Returns once the server has taken it. Raises MailFailed."""
        ...
