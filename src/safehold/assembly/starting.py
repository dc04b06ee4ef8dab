"""A start, and the life of a service from there to its end: `serve`.

A core that can be served is served. One that is lost (finding.py) is recovered while serving: the port is listened at
first, then identity is brought in (front.py), then the service opens and brings in the rest beside what it does
(serving_recovery.py). Nothing of recovery is loaded by a start that needs none.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from safehold.adapters.lock import FolderLock
from safehold.assembly import renewal
from safehold.assembly.drilling import sweep_drills
from safehold.assembly.finding import Lost, find_core
from safehold.assembly.installation import Installation
from safehold.assembly.logs import tracer_of
from safehold.assembly.serving import SWITCH_SECONDS, CoreLost, Service
from safehold.model.errors import OperatorError
from safehold.web.app import make_app
from safehold.web.server import require_free, serve_until_told

if TYPE_CHECKING:
    from safehold.assembly.front import Coming

_log = logging.getLogger("safehold.serve")

#: Told once, when people can sign in: the URL, and the names of the accounts.
Announce = Callable[[str, Sequence[str]], None]


def serve(installation: Installation, listen: tuple[str, int], announce: Announce) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code. `announce(url, account names)` once people can sign in.

    Makes a new installation where there is none. Raises OperatorError.
    """
    import uvloop

    if renewal.has_begun_again():
        announce = _in_silence
    lost = find_core(installation)
    if lost is None:
        installation.make()
    with installation.lock() as lock, ExitStack() as stack:
        require_free(*listen)
        coming = _prepared_if_it_must(installation, lost, stack, lock) if lost is not None else None
        installation.sweep()
        sweep_drills(installation)
        sys.setswitchinterval(SWITCH_SECONDS)
        begins_again = uvloop.run(_serve(installation, listen, announce, coming))
    if begins_again:
        renewal.begin_again()
    return 0


def _in_silence(_url: str, _accounts: Sequence[str]) -> None:
    """The program has been announced before it began again."""


def _prepared_if_it_must(installation: Installation, lost: Lost, stack: ExitStack, lock: FolderLock) -> Coming | None:
    """None where a core that was only to be made anew cannot be recovered now: it is served as it is."""
    try:
        return _prepared(installation, lost, stack, lock)
    except OperatorError as error:
        if renewal.wanted(installation) is None:
            raise
        _log.error("the core %s, which cannot be done now: %s. It is served as it is.", lost.why, error.message)
        return None


def _prepared(
    installation: Installation, lost: Lost, stack: ExitStack | None = None, lock: FolderLock | None = None
) -> Coming:
    from safehold.assembly.front import prepare

    return prepare(installation, lost, stack, lock)


async def _serve(
    installation: Installation, listen: tuple[str, int], announce: Announce, coming: Coming | None
) -> bool:
    """Whether it is to begin again, to have its core made anew (renewal.py)."""
    if coming is None:
        try:
            service = Service(installation)
        except CoreLost as error:
            coming = _prepared(installation, error.lost)
        else:
            return await _serve_whole(service, listen, announce)
    return await _serve_recovering(installation, listen, announce, coming)


async def _serve_whole(service: Service, listen: tuple[str, int], announce: Announce) -> bool:
    async def started() -> None:
        service.start()
        announce(_url(*listen), [a.name for a in service.reads.accounts()])

    try:
        service.listen()
        await serve_until_told(make_app(service, tracer_of(service.installation)), *listen, started)
    finally:
        await service.stop()
        _end_now(service.hanging, again=service.renewing)
    return service.renewing


async def _serve_recovering(
    installation: Installation, listen: tuple[str, int], announce: Announce, coming: Coming
) -> bool:
    """Listen first: until identity is in, everybody is told to come again."""
    from safehold.assembly.front import Front

    front = Front(installation, coming)
    services: list[Service] = []

    async def started() -> None:
        under_way = await front.begin()
        service = Service(installation)
        services.append(service)
        service.recover(under_way)
        await front.end()
        service.listen()
        service.start()
        front.door.open(make_app(service, front.tracer))
        announce(_url(*listen), [a.name for a in service.reads.accounts()])

    try:
        front.start()
        await serve_until_told(front.door, *listen, started)
    finally:
        await front.end()
        for service in services:
            await service.stop()
        again = any(service.renewing for service in services)
        _end_now(front.busy or any(service.hanging for service in services), again=again)
    return again


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _end_now(hanging: bool, *, again: bool) -> None:
    """A thread that waits for a disk for ever would keep loop and process for ever."""
    if hanging:
        logging.shutdown()
        sys.stdout.flush()
        if again:
            renewal.begin_again()
        os._exit(0)
