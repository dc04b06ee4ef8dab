"""What is asked of whoever carries alarms to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class AlarmFailed(Exception):
    """An alarm was not taken. It waits, and is tried again."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Channel(Protocol):
    """Hands alarms to one place. May block for as long as its time-out; called in a thread of its own."""

    @property
    def name(self) -> str:
        """What it is called in status and messages, without secrets: "webhook hooks.example.org", "mail eve@…"."""
        ...

    def send(self, message: Mapping[str, Any]) -> int | None:
        """Returns once it was taken: the other side's clock (µs) where it says one. Raises AlarmFailed."""
        ...
