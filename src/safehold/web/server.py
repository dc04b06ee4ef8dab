"""An ASGI application on granian, in this process, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from safehold.adapters.listening import until_listening
from safehold.model.errors import OperatorError

#: A connection that has not sent its header by then is closed: slow senders must not hold sockets.
HEADER_READ_SECONDS = 15
BACKLOG = 1024
#: Requests under way at a time; beyond, connections wait in the backlog.
BACKPRESSURE = 1024
#: What requests under way at a stop are given to end.
GRACE_SECONDS = 10.0


def require_free(host: str, port: int) -> None:
    """Raises OperatorError where something else listens there, or this address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OperatorError(
                f"{host} port {port} cannot be listened at: {error.strerror}",
                hint="stop what listens there, or choose another place with --listen HOST:PORT",
            ) from error


async def serve_until_told(app: Any, host: str, port: int, started: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Serve until SIGTERM or SIGINT; `started` begins once connections are taken, and ends the service where it fails.

    Idle connections do not delay the end, and neither does a `started` that has not come to one: it is cancelled.
    """
    import logging

    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    logging.getLogger("_granian").setLevel(logging.ERROR)
    server: Any = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        # Not HTTP/2 besides: to tell them apart a first byte is waited for, without a limit of time.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_SECONDS * 1000),
        websockets=False,
        backlog=BACKLOG,
        backpressure=BACKPRESSURE,
        log_enabled=False,
        log_level=LogLevels.error,
    )
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(told.wait())
    await until_listening(host, port, serving)
    starting = asyncio.ensure_future(started())
    failed = await _first_to_end(serving, stopping, starting)
    if serving.done():
        stopping.cancel()
        await serving
        return
    server.stop()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(serving, GRACE_SECONDS)
    if failed is not None:
        raise failed


async def _first_to_end(
    serving: asyncio.Future[None], stopping: asyncio.Future[Any], starting: asyncio.Future[None]
) -> BaseException | None:
    """Return once the server has ended, or is to: what the start failed with, where that is why."""
    await asyncio.wait((serving, stopping, starting), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return None
    if starting.exception() is not None:
        stopping.cancel()
        return starting.exception()
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    return None
