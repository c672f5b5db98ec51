"""Series without locks read like those of the client library, to the last sample."""

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cohortlens.core import counting

BUCKETS = (0.001, 0.5, 1, 10.0)


def page_of(library):
    """What a scrape shows after the same work, without the times at which the series were made."""
    registry = CollectorRegistry()
    calls = library.Counter("calls_total", "Calls", ("door", "code"), registry=registry)
    open_now = library.Gauge("open_now", "Open", ("door",), registry=registry)
    seconds = library.Histogram("seconds", "Seconds", ("door",), buckets=BUCKETS, registry=registry)
    for door, code in (("grpc", 200), ("http", 404), ("grpc", 200)):
        calls.labels(door, code).inc()
    calls.labels("http", 404).inc(2.5)
    open_now.labels("grpc").inc()
    open_now.labels('odd "door"\n').set(7)
    open_now.labels("grpc").dec(3)
    # On a bound, between bounds, beyond all.
    for value in (0.001, 0.0011, 0.5, 1.0, 1.5, 11.0):
        seconds.labels("grpc").observe(value)
    seconds.labels("http")
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_the_page_is_the_one_that_the_client_library_writes():
    assert page_of(counting) == page_of(prometheus_client)


def test_a_name_that_is_taken_is_refused():
    registry = CollectorRegistry()
    counting.Counter("calls_total", "Calls", ("door",), registry=registry)
    with pytest.raises(ValueError, match="calls"):
        counting.Gauge("calls_total", "Calls", ("door",), registry=registry)


def test_a_series_without_all_its_labels_is_refused():
    calls = counting.Counter("calls_total", "Calls", ("door", "code"), registry=CollectorRegistry())
    with pytest.raises(ValueError, match="door, code"):
        calls.labels("grpc")
