"""Waiting for a server of this process to take connections."""

from __future__ import annotations

import asyncio

#: Where a server that listens everywhere is reached from its own machine.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def until_listening(host: str, port: int, serving: asyncio.Task[None]) -> None:
    """Return once the port takes connections. Raises what ended the server, if it ended."""
    there = _EVERYWHERE.get(host, host)
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(there, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
    await serving
    raise OSError(f"nothing listens at {host}:{port}")
