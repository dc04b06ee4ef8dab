"""Where alarms go: a webhook, a mail address, a command. Each is `ports.alarms.Channel`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from safehold.adapters.http import HttpFailed, ask
from safehold.ports.alarms import AlarmFailed
from safehold.ports.mail import Letter, Mailer, MailFailed

COMMAND_SECONDS = 60.0
#: So much of what a command says is kept, of its end.
MAX_SAID = 300
#: Subject and text of a message.
AsLetter = Callable[[Mapping[str, Any]], tuple[str, str]]


class Webhook:
    """A POST of the message as JSON. Its address may hold a secret: only its host is named."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = f"webhook {urlsplit(url).netloc.rpartition('@')[2]}"

    def send(self, message: Mapping[str, Any]) -> int | None:
        body = json.dumps(message, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "safehold"}
        try:
            return ask("POST", self._url, body, headers).date
        except HttpFailed as error:
            raise AlarmFailed(error.message) from error


class MailTo:
    """A letter to one address."""

    def __init__(self, address: str, mailer: Mailer, as_letter: AsLetter) -> None:
        self._address = address
        self._mailer = mailer
        self._as_letter = as_letter
        self.name = f"mail {address}"

    def send(self, message: Mapping[str, Any]) -> int | None:
        subject, text = self._as_letter(message)
        try:
            self._mailer.send(Letter(self._address, subject, text, str(message.get("id", ""))))
        except MailFailed as error:
            raise AlarmFailed(error.message) from error
        return None


class Command:
    """A program with its arguments, which is given the message as JSON on its standard input. Exit code 0: taken."""

    def __init__(self, argv: Sequence[str], timeout_seconds: float = COMMAND_SECONDS) -> None:
        assert argv
        self._argv = list(argv)
        self._timeout = timeout_seconds
        self.name = f"command {argv[0].rpartition('/')[2]}"

    def send(self, message: Mapping[str, Any]) -> int | None:
        body = json.dumps(message, ensure_ascii=False).encode()
        try:
            done = subprocess.run(
                self._argv,
                check=False,
                input=body,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self._timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise AlarmFailed(f"{self._argv[0]} did not end within {self._timeout:.0f} seconds") from error
        except OSError as error:
            raise AlarmFailed(f"{self._argv[0]}: {error.strerror or error}") from error
        if done.returncode != 0:
            said = " ".join(done.stdout.decode("utf-8", "replace").split())[-MAX_SAID:]
            raise AlarmFailed(f"{self._argv[0]} ended with {done.returncode}" + (f": {said}" if said else ""))
        return None
