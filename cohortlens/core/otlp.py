"""Spans through OpenTelemetry's SDK to a collector over OTLP/HTTP; imported only where tracing is on.

A span that ends goes into a bounded queue and a thread sends batches of it: a collector that is slow or away
costs spans, never a call. How many were lost is counted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

import prometheus_client
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan

from cohortlens import __version__
from cohortlens.core.counting import Counter
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.core.tracing import Kind, Value

PATH = "/v1/traces"
"""Where a collector takes spans."""

QUEUE_SPANS = 4_096
BATCH_SPANS = 512
DELAY_MS = 1_000
SEND_S = 3.0
"""Seconds that sending one batch may take, repeats included."""

MADE = Counter("otlp_spans_made_total", "Spans ended that are to be sent", (), registry=REGISTRY)
# Counted by the thread that sends, so this one takes the lock.
SENT = prometheus_client.Counter(
    "otlp_spans_total", "Spans that the collector took, or not", ("outcome",), registry=REGISTRY
)
_MADE = MADE.labels()
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)")
_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_LOG = get_logger(__name__)


class OtlpTracer:
    """Implements ``cohortlens.core.tracing.Tracer``.

    Args:
        endpoint: Address of the collector, without path.
        ratio: Part of the traces beginning here that is sent; a caller's ``traceparent`` decides of its own.
        process: Name of the process.
    """

    def __init__(self, endpoint: str, ratio: float, process: str) -> None:
        # It tells of each span that finds the queue full and each attempt to send; both are counted here.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        url = endpoint.rstrip("/")
        self._exporter = _Counted(OTLPSpanExporter(url if url.endswith(PATH) else url + PATH, timeout=SEND_S))
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create(
                {"service.name": f"cohortlens-{process}", "service.version": __version__}
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=QUEUE_SPANS,
                schedule_delay_millis=DELAY_MS,
                max_export_batch_size=BATCH_SPANS,
            )
        )
        self._tracer = self._provider.get_tracer("cohortlens", __version__)

    def start(self, name: str, kind: Kind, parent: str, attributes: Mapping[str, Value]) -> OtlpSpan:
        """See ``Tracer``."""
        return OtlpSpan(
            self._tracer.start_span(
                name,
                _context_of(parent),
                _KINDS[kind],
                attributes,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    def close(self) -> None:
        """See ``Tracer``."""
        self._provider.shutdown()

    def give_up(self) -> None:
        """See ``Tracer``; a batch on its way ends with its own three seconds."""
        self._exporter.give_up()


class OtlpSpan:
    """Implements ``cohortlens.core.tracing.Span``.

    Args:
        span: The SDK's.
    """

    __slots__ = ("_span", "span_id", "trace_id", "traceparent")

    def __init__(self, span: SdkSpan) -> None:
        context = span.get_span_context()
        self._span = span
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"
        self.traceparent = f"00-{self.trace_id}-{self.span_id}-{int(context.trace_flags):02x}"

    def set(self, name: str, value: Value) -> None:
        """See ``Span``."""
        self._span.set_attribute(name, value)

    def fail(self, what: str) -> None:
        """See ``Span``."""
        self._span.set_status(Status(StatusCode.ERROR, what))

    def end(self) -> None:
        """See ``Span``."""
        if self._span.is_recording():
            _MADE.value += 1
        self._span.end()


class _Counted(SpanExporter):
    """Counts what came of each batch, and tells when the collector goes away and comes back."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._sent, self._lost = SENT.labels("sent"), SENT.labels("lost")
        self._is_away = self._is_over = self._is_shut = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; in the thread of the processor."""
        if self._is_over:
            self._lost.inc(len(spans))
            return SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        except Exception as error:
            # A fault of the library must not end the thread, which would silently end all sending.
            _LOG.warning("spans_not_sent", error=type(error).__name__)
            result = SpanExportResult.FAILURE
        is_away = result is not SpanExportResult.SUCCESS
        (self._lost if is_away else self._sent).inc(len(spans))
        if is_away != self._is_away:
            self._is_away = is_away
            _LOG.warning("collector_away") if is_away else _LOG.info("collector_back")
        return result

    def give_up(self) -> None:
        """Send nothing more, also of what the processor still holds."""
        self._is_over = True
        self.shutdown()

    def shutdown(self) -> None:
        """See the base class; the inner one is told once."""
        if not self._is_shut:
            self._is_shut = True
            self._inner.shutdown()


def _context_of(traceparent: str) -> Context:
    """The parent that a ``traceparent`` names; an empty context for none: the SDK looks nowhere else."""
    match = _TRACEPARENT.match(traceparent)
    if match is None:
        return Context()
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    remote = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(remote), Context())
