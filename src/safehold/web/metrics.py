"""`/metrics` in Prometheus' text format (version 0.0.4), and the meter that counts requests.

Written by hand: the client library costs 80 ms at start-up, and all that it would do here is the last forty lines of
this module. Which metrics there are stands in metric_table.py, where they come from in metric_samples.py.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safehold import __version__
from safehold.model.histogram import REQUEST_SECONDS, Histogram
from safehold.web.answers import Resource, refuse_json
from safehold.web.gate import Figures, Gate
from safehold.web.metric_samples import Sample, histogram_samples, status_samples
from safehold.web.metric_table import METRICS
from safehold.web.status import StatusSource, remembered
from safehold.web.tracing import METHODS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meter:
    """Counts what an ASGI application answers. Used on the event loop's thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, Histogram] = {}

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The same application, counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            begun = self._monotonic()
            status = 0

            async def watch(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, watch)
            finally:
                self.count(scope["method"], status, self._monotonic() - begun)

        return counted

    def count(self, method: str, status: int, seconds: float) -> None:
        """One request; status 0 where the client went before it was answered."""
        method = method if method in METHODS else "other"
        key = (method, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        histogram = self.seconds.get(method)
        if histogram is None:
            histogram = self.seconds[method] = Histogram(REQUEST_SECONDS)
        histogram.add(seconds)


def routes(gate: Gate, meter: Meter, status: StatusSource | None = None) -> list[Route]:
    source = status or remembered(gate)

    async def metrics(_: Request) -> Response:
        told = [*status_samples(source(), gate.clock.now()), *meter_samples(meter), *figure_samples(gate.figures())]
        free = gate.free_bytes()
        if free is not None:
            told.append(Sample("safehold_free_bytes", {}, free))
        return Response(exposition(told), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return [Route("/metrics", Resource(gate, {"GET": metrics}, refuse_json), name="metrics")]


def meter_samples(meter: Meter) -> Iterator[Sample]:
    for (method, status), count in sorted(meter.requests.items()):
        yield Sample("safehold_http_requests_total", {"method": method, "status": str(status)}, count)
    for method, histogram in sorted(meter.seconds.items()):
        yield from histogram_samples("safehold_http_request_seconds", {"method": method}, histogram)


def figure_samples(figures: Figures) -> Iterator[Sample]:
    """What the service tells beside its status."""
    yield Sample("safehold_build_info", {"version": __version__, "python": platform.python_version()}, 1)
    yield Sample("safehold_queue_commands", {}, figures.waiting)
    yield from histogram_samples("safehold_append_seconds", {}, figures.append_seconds)
    yield from histogram_samples("safehold_commit_seconds", {}, figures.commit_seconds)
    for key, value in figures.process.items():
        name, _, generation = key.partition("/")
        yield Sample(name, {"generation": generation} if generation else {}, value)


def exposition(samples: Iterable[Sample]) -> str:
    """Samples as text, each family once, under its help and its type, in the order of the table."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    assert by_name.keys() <= METRICS.keys(), by_name.keys() - METRICS.keys()
    lines: list[str] = []
    for name, metric in METRICS.items():
        if name not in by_name:
            continue
        lines += (f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.type}")
        lines += map(_line, by_name[name])
    return "\n".join(lines) + "\n"


def _line(sample: Sample) -> str:
    labels = ",".join(f'{key}="{_label(text)}"' for key, text in sample.labels.items())
    value = "+Inf" if sample.value == float("inf") else f"{sample.value:.17g}"
    return f"{sample.name}{sample.suffix}{{{labels}}} {value}" if labels else f"{sample.name}{sample.suffix} {value}"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
