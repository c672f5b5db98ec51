"""Metrics of the HTTP door itself, and the page of all metrics; the chain counts the RPC of a request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cohortlens.core import telemetry
from cohortlens.core.counting import Counter, Distribution, Histogram, Tally
from cohortlens.core.telemetry import REGISTRY

_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Counter(
    "gateway_http_requests_total",
    "HTTP requests by template of the route",
    ("route", "method", "code"),
    registry=REGISTRY,
)
SECONDS = Histogram(
    "gateway_http_request_seconds",
    "Seconds from the head of a request to the end of its answer",
    ("route", "method"),
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    registry=REGISTRY,
)
DROPPED = Counter(
    "gateway_dropped_headers_total",
    "Metadata headers left out because their names are not the caller's to set, by family of the name",
    ("header",),
    registry=REGISTRY,
)


def observe(route: str, verb: str, status: int, seconds: float) -> None:
    """Count one request.

    Args:
        route: Template of the route, ``unmatched`` for none; never the raw path.
        verb: HTTP method; unknown ones are counted as ``other``.
        status: Status sent; 499 when the client left first.
        seconds: Time it took.
    """
    counted, timed = _series(route, verb if verb in _VERBS else "other", status)
    counted.value += 1
    timed.observe(seconds)


@lru_cache(4096)
def _series(route: str, method: str, status: int) -> tuple[Tally, Distribution]:
    return REQUESTS.labels(route, method, status), SECONDS.labels(route, method)


class _Processes(Collector):
    """How many processes serve, and the CPU time of each: the load is uneven when these are."""

    name = "0"

    def collect(self) -> Iterable[Metric]:
        """The two series of this process; the page of several adds them up."""
        yield GaugeMetricFamily("gateway_processes", "Processes that serve", value=1)
        seconds = CounterMetricFamily(
            "gateway_process_cpu_seconds", "CPU seconds of a process of the gateway", labels=("process",)
        )
        seconds.add_metric((self.name,), time.process_time())
        yield seconds


_PROCESSES = _Processes()
REGISTRY.register(_PROCESSES)
_sources: list[Callable[[], Awaitable[bytes]]] = []


def name_process(slot: int) -> None:
    """Say which of several processes this is."""
    _PROCESSES.name = str(slot)


def collect_with(source: Callable[[], Awaitable[bytes]]) -> None:
    """Let ``source`` write the page from now on: that of several processes instead of this one's."""
    _sources[:] = [source]


async def page() -> bytes:
    """All series in the Prometheus text format."""
    return await _sources[0]() if _sources else telemetry.metrics_text()
