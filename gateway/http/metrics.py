"""Metrics of the HTTP door itself; the RPC behind a request is counted by the chain."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

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
    method = verb if verb in _VERBS else "other"
    REQUESTS.labels(route, method, str(status)).inc()
    SECONDS.labels(route, method).observe(seconds)
