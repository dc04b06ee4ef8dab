"""A mail server of a few lines (RFC 5321) on its own port, which keeps what it takes and refuses what it is told."""

from __future__ import annotations

import base64
import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast


class MailServer:
    """`letters` are those that were taken; `refuse` is a reply for RCPT by address; `login` what AUTH must bring."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, list[str], EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.greeting = "220 here"
        self.login: tuple[str, str] | None = None
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _Conversation(outer, self).hold()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Conversation:
    def __init__(self, server: MailServer, handler: socketserver.StreamRequestHandler) -> None:
        self._server = server
        self._handler = handler
        self._sender = ""
        self._to: list[str] = []
        self._in = server.login is None

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._handler.wfile.write(line.encode() + b"\r\n")

    def hold(self) -> None:
        self._say(self._server.greeting)
        while line := self._handler.rfile.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word.upper() == "QUIT":
                self._say("221 bye")
                return
            self._answer(word.upper(), rest)

    def _answer(self, word: str, rest: str) -> None:
        if word == "EHLO":
            self._say("250-here", "250-AUTH PLAIN", "250 8BITMIME")
        elif word == "AUTH":
            given = base64.b64decode(rest.split()[1]).decode().split("\0")
            self._in = (given[1], given[2]) == self._server.login
            self._say("235 in" if self._in else "535 5.7.8 wrong")
        elif word == "MAIL":
            self._sender, self._to = _path(rest), []
            self._say("250 ok" if self._in else "530 5.7.0 sign in first")
        elif word == "RCPT":
            to = _path(rest)
            refusal = self._server.refuse.get(to)
            if refusal is None:
                self._to.append(to)
            self._say(refusal or "250 ok")
        elif word == "DATA":
            self._say("354 go on")
            self._take()
        else:
            self._say("250 ok")

    def _take(self) -> None:
        lines = []
        while (line := self._handler.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        message = cast(EmailMessage, message_from_bytes(b"".join(lines), policy=policy.default))
        self._server.letters.append((self._sender, self._to, message))
        self._say("250 taken")


def _path(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]
