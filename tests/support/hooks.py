"""A web server of a few lines that keeps what is sent to it, and answers what it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HookServer:
    """`received` are the bodies of POSTs, `fetched` the paths of GETs; `status`, `date` and `location` what is said."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.heard = threading.Event()  # set with the first of them
        self.fetched: list[str] = []
        self.status = 204
        self.date: str | None = None
        self.location: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status < 300:
                    outer.received.append(json.loads(body))
                    outer.heard.set()
                self._answer()

            def do_GET(self) -> None:
                outer.fetched.append(self.path)
                self._answer()

            def _answer(self) -> None:
                self.send_response_only(outer.status)
                if outer.date:
                    self.send_header("Date", outer.date)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
