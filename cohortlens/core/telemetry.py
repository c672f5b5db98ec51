"""Logs and metrics of every process: JSON lines on stdout, one Prometheus registry.

Used by the gateway, the jobs process, the workers and the CLI; standard library and prometheus-client only.
A line never fails its caller: what cannot be written is dropped and counted. Inside an event loop lines wait
some milliseconds for one another and are written together; an error, a full buffer, the end of the process
and lines from outside a loop write at once. Only a crash of the process itself can lose the last of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TextIO

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest

from cohortlens.core import scrubbing
from cohortlens.core.busiest import Busiest
from cohortlens.core.counting import Counter, Gauge, Histogram

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Request or event that lines belong to; ``bound`` sets it, hot paths may set and reset it themselves."""
TENANT_ID: ContextVar[object] = ContextVar("tenant_id", default="")
"""Tenant that lines belong to; anything whose text is the id."""
AT_WORKERS: ContextVar[tuple[float, float, float] | None] = ContextVar("at_workers", default=None)
"""Monotonic times at which the rows of the call at hand were queued, sent and answered, the last two 0 when
they were not; None for a call without rows."""

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_LEVEL_NAMES = {number: name for name, number in _LEVELS.items()}
_HANDLING_BUCKETS_S = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
)
_RPC = ("grpc_type", "grpc_service", "grpc_method")

REGISTRY = CollectorRegistry()
"""All series of this process."""

RPC_STARTED = Counter("grpc_server_started_total", "RPCs started", _RPC, registry=REGISTRY)
RPC_HANDLED = Counter("grpc_server_handled_total", "RPCs ended", (*_RPC, "grpc_code"), registry=REGISTRY)
RPC_SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "Seconds from arrival to the end of an RPC",
    _RPC,
    buckets=_HANDLING_BUCKETS_S,
    registry=REGISTRY,
)
MSG_RECEIVED = Counter(
    "grpc_server_msg_received_total", "Messages of requests that were taken", _RPC, registry=REGISTRY
)
MSG_SENT = Counter("grpc_server_msg_sent_total", "Messages of replies", _RPC, registry=REGISTRY)
PAYLOAD_BYTES = Histogram(
    "gateway_payload_bytes",
    "Bytes of a call's requests or replies as they were on the wire, before compression",
    ("door", "direction"),
    buckets=(256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216),
    registry=REGISTRY,
)
CODEC_SECONDS = Histogram(
    "gateway_codec_seconds",
    "Seconds to read a request or write a reply, of every 16th call of a method",
    ("door", "direction"),
    buckets=(0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
    registry=REGISTRY,
)
STREAM_OPEN = Gauge("gateway_stream_open", "Streaming RPCs under way", ("door",), registry=REGISTRY)
TENANT_CALLS = Busiest(
    "gateway_tenant_calls_total",
    "RPCs of the busiest tenants of a process; the rest as other",
    "tenant",
    registry=REGISTRY,
)
DOOR_CALLS = Counter(
    "gateway_door_calls_total", "RPCs by the door they came through", ("door",), registry=REGISTRY
)
INFLIGHT = Gauge("gateway_inflight", "RPCs under way", ("door",), registry=REGISTRY)
ERRORS = Counter("gateway_errors_total", "Failed RPCs by reason", ("reason",), registry=REGISTRY)
DEPRECATED_CALLS = Counter(
    "gateway_deprecated_calls_total", "Calls of methods that are deprecated", ("method",), registry=REGISTRY
)
# Lines are dropped in any thread, so this one takes the lock.
LOG_DROPPED = prometheus_client.Counter(
    "log_lines_dropped_total", "Log lines that could not be written", registry=REGISTRY
)
BUILD_INFO = Gauge("build_info", "Always 1; the version is the label", ("version",), registry=REGISTRY)

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text() -> bytes:
    """All series in the Prometheus text format."""
    return generate_latest(REGISTRY)


@contextmanager
def bound(request_id: str | None = None, tenant_id: str | None = None) -> Iterator[None]:
    """Every line written inside carries these fields.

    Args:
        request_id: Identifier of the request or the event under work; None keeps the current one.
        tenant_id: Tenant it belongs to; None keeps the current one.
    """
    tokens: list[tuple[ContextVar[Any], Any]] = []
    if request_id is not None:
        tokens.append((REQUEST_ID, REQUEST_ID.set(request_id)))
    if tenant_id is not None:
        tokens.append((TENANT_ID, TENANT_ID.set(tenant_id)))
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


class Logger:
    """Writes events with fields; made by ``get_logger``.

    Args:
        name: Dotted name of the module.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def enabled(self, level: int) -> bool:
        """Whether a line of this level (``logging.INFO`` ...) would be written."""
        return self._logger.isEnabledFor(level)

    def log(self, level: int, event: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """Write one event at a numeric level, with the stack of ``exc_info`` if given."""
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, exc_info=exc_info, extra={"fields": fields})

    def call(self, level: int, members: str) -> None:
        """Write the event ``call``, which every RPC ends with, without the detours of ``logging``.

        Args:
            level: Numeric level.
            members: All fields but ts, level, event and logger, as the inside of a JSON object; written as
                they are, so what of them a caller chose was scrubbed before.
        """
        if not self._logger.isEnabledFor(level):
            return
        if not _JSON_HANDLERS:
            self._logger.log(level, "call", extra={"fields": json.loads(f"{{{members}}}")})
            return
        line = (
            f'{{"ts":"{timestamp(time.time())}","level":"{_LEVEL_NAMES[level]}","event":"call",'
            f'"logger":"{self._logger.name}",{members}'
        )
        for handler in _JSON_HANDLERS:
            handler.write(line + handler.line_end, urgent=level >= logging.ERROR)

    def debug(self, event: str, **fields: Any) -> None:
        """Write one event for whoever debugs."""
        self.log(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write one event of normal work."""
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write one event that somebody should look at."""
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write one event of something that failed."""
        self.log(logging.ERROR, event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Write one event with the stack of the exception being handled."""
        self.log(logging.ERROR, event, exc_info=sys.exception(), **fields)


def get_logger(name: str) -> Logger:
    """The logger of a module; usable before ``configure_logging``."""
    return Logger(name)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds, of Unix seconds."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


Encode = Callable[[dict[str, Any]], str]

_WAIT_S = 0.005
_WAITING_LINES = 512

# Made once: ``json.dumps`` would make an encoder for every line.
_encode = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":")).encode


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, event, logger, the bound fields, the event's own fields.

    Args:
        encode: Writes an object as JSON on one line.
    """

    def __init__(self, encode: Encode) -> None:
        super().__init__()
        self._encode = encode

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON, control characters escaped."""
        line: dict[str, Any] = {
            "ts": timestamp(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        line |= _bound_fields() | scrubbing.scrub_fields(getattr(record, "fields", {}))
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return scrubbing.scrub(self._encode(line))


class TextFormatter(logging.Formatter):
    """One readable line: time, level, event, fields as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of text; a stack follows on its own lines."""
        fields = _bound_fields() | scrubbing.scrub_fields(getattr(record, "fields", {}))
        shown = " ".join(f"{name}={_plain(value)}" for name, value in fields.items())
        level = record.levelname.lower()
        line = f"{timestamp(record.created)} {level:<7} {_plain(record.getMessage())} {shown}".rstrip()
        return scrubbing.scrub(
            f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
        )


class LineHandler(logging.Handler):
    """Writes lines to one stream: those of some milliseconds of the event loop at once, else line by line.

    Args:
        stream: Where lines go.
        encode: Writes an object as JSON on one line; may add fields of its own to every one.

    Attributes:
        encode: The same.
        line_end: How a line that was not made by ``encode`` ends: with the fields that it would have added.
    """

    def __init__(self, stream: TextIO, encode: Encode) -> None:
        super().__init__()
        self._stream = stream
        self.encode = encode
        added = encode({})[1:]
        self.line_end = f",{added}" if added != "}" else added
        self._waiting: list[str] = []
        # The loop that will write what waits; None when nothing is due.
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record; an error inside is counted, never raised."""
        try:
            self.write(self.format(record), urgent=record.levelno >= logging.ERROR)
        except Exception:
            LOG_DROPPED.inc()

    def write(self, line: str, *, urgent: bool = False) -> None:
        """Write one line, at once if it is urgent."""
        waiting, loop = self._waiting, self._loop
        # Adding to the list is one step that no other thread comes between: no lock.
        waiting.append(line)
        if urgent or len(waiting) >= _WAITING_LINES:
            self.flush()
        elif loop is None or loop.is_closed():
            self._write_later()

    def _write_later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        self._loop = loop
        loop.call_later(_WAIT_S, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        with self.lock or nullcontext():
            self._loop = None
            lines = self._waiting[:]
            del self._waiting[: len(lines)]
            if lines:
                try:
                    self._stream.write("\n".join(lines) + "\n")
                    self._stream.flush()
                except (OSError, ValueError):
                    LOG_DROPPED.inc(len(lines))


_JSON_HANDLERS: list[LineHandler] = []


def configure_logging(
    level: str = "info", fmt: str = "json", stream: TextIO | None = None, encode: Encode | None = None
) -> None:
    """Send all lines of this process to one stream; replaces what was configured before.

    Args:
        level: debug, info, warning or error.
        fmt: json or text.
        stream: Where lines go; stdout when None.
        encode: Writes a line as JSON; the standard library when None. The gateway gives a faster one.
    """
    handler = LineHandler(stream or sys.stdout, encode or _encode)
    handler.setFormatter(JsonFormatter(handler.encode) if fmt == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        old.flush()
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    # Tells of each of its plugins at every start.
    logging.getLogger("alembic").setLevel(max(_LEVELS[level], logging.WARNING))
    _JSON_HANDLERS[:] = [handler] if fmt == "json" else []
    logging.captureWarnings(capture=True)
    scrubbing.scrub_crashes()


def _bound_fields() -> dict[str, Any]:
    request_id, tenant_id = REQUEST_ID.get(), TENANT_ID.get()
    fields: dict[str, Any] = {}
    if request_id:
        fields["request_id"] = request_id
    if tenant_id:
        fields["tenant_id"] = str(tenant_id)
    return fields


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=False)
