"""Metrics of the micro-batcher, by deployment."""

from __future__ import annotations

from cohortlens.core.counting import Counter, Gauge, Histogram
from cohortlens.core.telemetry import REGISTRY

BATCH_ROWS = Histogram(
    "microbatch_rows",
    "Rows of a dispatched batch",
    ("deployment",),
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
WAIT_SECONDS = Histogram(
    "microbatch_wait_seconds",
    "Seconds a call waited for its batch",
    ("deployment",),
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0),
    registry=REGISTRY,
)
WORKER_SECONDS = Histogram(
    "worker_call_seconds",
    "Seconds from the sending of a batch to its answer",
    ("deployment",),
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0),
    registry=REGISTRY,
)
QUEUED_ROWS = Gauge("microbatch_queued_rows", "Rows not sent yet", ("deployment",), registry=REGISTRY)
INFLIGHT_ROWS = Gauge("microbatch_inflight_rows", "Rows at the replicas", ("deployment",), registry=REGISTRY)
REFUSED = Counter("microbatch_refused_total", "Calls refused as overload", ("deployment",), registry=REGISTRY)
SPLIT = Counter(
    "microbatch_retried_batches_total", "Failed batches sent call by call", ("deployment",), registry=REGISTRY
)
