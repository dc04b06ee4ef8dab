"""The log of a service or a keeper as the configuration wants it, and the ids that join its lines to requests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from safehold.adapters.log_lines import Requests, log_to
from safehold.assembly.site import Site
from safehold.config import LogConfig

if TYPE_CHECKING:  # brought in where requests are answered
    from safehold.web.tracing import Tracer


def set_up_log(log: LogConfig, *, serves: bool = False) -> None:
    """On standard error, from now on. `serves`: whether it is requests that lines are written for."""
    requests: Requests = tuple
    if serves:
        from safehold.web.tracing import current_requests as requests
    log_to(sys.stderr, log.format, log.level, requests)


def tracer_of(site: Site) -> Tracer:
    """What gives the requests of this process their ids."""
    from safehold.web.tracing import RequestIds, Tracer

    access = site.clock.monotonic if site.config.log.access else None
    return Tracer(RequestIds.drawn(site.entropy), lambda: site.config.trusted_proxies, access=access)
