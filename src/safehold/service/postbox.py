"""Letters that wait for the mail server: bounded, each sent once, tried again with back-off, and nobody waits for them.

A letter of the same key to the same address within DEDUPE_SECONDS is not taken again: a recovery that is killed and
goes on tells nobody twice. What the server refuses for good, and what has been tried for GIVE_UP_SECONDS, is dropped;
that, and a server that cannot be reached, is an incident for the operator's page, since no mail can tell of it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from safehold.ports.mail import Letter, Mailer, MailFailed
from safehold.ports.world import Clock

_log = logging.getLogger("safehold.mail")

#: Letters that wait, at most; the oldest makes room.
MAX_WAITING = 10_000
MAX_REMEMBERED = 50_000
DEDUPE_SECONDS = 86_400.0
FIRST_BACKOFF_SECONDS = 5.0
LAST_BACKOFF_SECONDS = 900.0
GIVE_UP_SECONDS = 172_800.0
#: How long a failure stands on the operator's page.
TOLD_SECONDS = 86_400.0


class Postbox:
    """`ports.world.Worker`: `step` runs on a thread of its own, `put` and `incidents` on any.

    Between threads go single operations of deque and dict only.
    """

    name = "mail"

    def __init__(self, mailer: Mailer, clock: Clock) -> None:
        self._mailer = mailer
        self._clock = clock
        self._waiting: deque[tuple[float, Letter]] = deque(maxlen=MAX_WAITING)
        self._sent: dict[tuple[str, str], float] = {}
        self._backoff = FIRST_BACKOFF_SECONDS
        self._not_before = 0.0
        self._trouble: tuple[float, str] | None = None  # since when the server takes nothing, and why
        self._refused: tuple[float, int, str] | None = None  # when last, how many, why
        self.taken = 0
        self.dropped = 0

    def put(self, letter: Letter) -> bool:
        """False where the same was written to that address lately."""
        now = self._clock.monotonic()
        key = (letter.to, letter.key)
        last = self._sent.get(key)
        if last is not None and now - last < DEDUPE_SECONDS:
            return False
        if len(self._sent) >= MAX_REMEMBERED:
            self._sent.pop(next(iter(self._sent)), None)
        self._sent.pop(key, None)
        self._sent[key] = now
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            self._note(now, "too many letters waited")
        self._waiting.append((now, letter))
        return True

    def step(self) -> float | None:
        """Send what waits; the seconds until it is to be tried again, None where nothing waits.

        A wake-up shortens no back-off.
        """
        while self._waiting:
            since, letter = self._waiting[0]
            now = self._clock.monotonic()
            if now < self._not_before:
                return self._not_before - now
            try:
                self._mailer.send(letter)
            except MailFailed as error:
                if error.for_good or now - since > GIVE_UP_SECONDS:
                    self._remove(since, letter)
                    self.dropped += 1
                    self._note(now, error.message)
                    _log.warning("a letter was not taken: %s", error.message)
                    continue
                if self._trouble is None:
                    _log.warning("no mail can be sent: %s", error.message)
                self._trouble = (self._trouble[0] if self._trouble else now, error.message)
                pause = self._backoff
                self._not_before = now + pause
                self._backoff = min(self._backoff * 2, LAST_BACKOFF_SECONDS)
                return pause
            self._remove(since, letter)
            self.taken += 1
            self._trouble = None
            self._backoff = FIRST_BACKOFF_SECONDS
        return None

    def _remove(self, since: float, letter: Letter) -> None:
        """The first, unless that made room meanwhile."""
        if self._waiting and self._waiting[0] == (since, letter):
            self._waiting.popleft()

    def _note(self, now: float, why: str) -> None:
        before = self._refused[1] if self._refused is not None and now - self._refused[0] < TOLD_SECONDS else 0
        self._refused = (now, before + 1, why)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def incidents(self) -> list[dict[str, Any]]:
        """For the status object; addresses are in no `summary`."""
        found = []
        now = self._clock.monotonic()
        if self._trouble is not None:
            found.append(_incident(f"no mail can be sent ({self.waiting} letters wait): {self._trouble[1]}"))
        if self._refused is not None and now - self._refused[0] < TOLD_SECONDS:
            _, count, why = self._refused
            letters = "letter was" if count == 1 else "letters were"
            found.append(_incident(f"{count} {letters} not taken by the mail server: {why}"))
        return found


def _incident(message: str) -> dict[str, Any]:
    return {
        "what": "mail",
        "message": message,
        "summary": "Mail cannot be sent.",
        "hint": "see [mail] in safehold.toml, and the mail server's log",
    }
