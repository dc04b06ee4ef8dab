"""The yardstick for a durable PUT: nothing but the web server, and the body in one SQLite transaction of its own.

    python bench/bare_handler.py PORT DATABASE

WAL with synchronous=FULL, one insert and one commit for each request, no checks, no login, no history, no vault: what
the machine and the server allow to any handler that answers only what is on disk. It ends with SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from typing import Any

import uvloop
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server


class Handler:
    def __init__(self, database: str) -> None:
        self._db = sqlite3.connect(database, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS item(name TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["method"] == "PUT":
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT OR REPLACE INTO item VALUES(?, ?)", (scope["path"], body))
            self._db.execute("COMMIT")
        status = 201 if scope["method"] == "PUT" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def serve(port: int, database: str) -> None:
    server = Server(
        Handler(database), "127.0.0.1", port, interface=Interfaces.ASGI, log_level=LogLevels.warning, websockets=False
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
