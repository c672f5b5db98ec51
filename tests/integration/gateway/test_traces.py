"""Spans of calls as a collector gets them, and that nothing of it is there while nobody collects."""

import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cohortlens.core import telemetry, tracing
from cohortlens.core.settings import CoreConfig
from gateway.interceptors.chain import Call, CallFailed, Chain
from gateway.interceptors.observe import ObserveStep
from gateway.interceptors.trace import TraceStep, traced
from tests.fakes.echo import TOKEN, Echo, EchoServicer, echo_table, steps
from tests.fixtures.collector import collector

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def told():
    """A collector that gets the spans of this process; ``tracing.end()`` sends what waits."""
    with collector() as found:
        tracing.begin(CoreConfig(otlp_endpoint=found.endpoint), "gateway")
        yield found
        tracing.end()


@pytest.fixture
def lines(monkeypatch, caplog):
    """Lines of calls, also when a test before this one has configured the log of the process."""
    monkeypatch.setattr(telemetry, "_JSON_HANDLERS", [])
    with caplog.at_level(logging.INFO):
        yield caplog


def chain():
    table = echo_table()
    return Chain(
        table, {"tests.echo.Echo": EchoServicer()}, steps(table) | {"observe": traced(ObserveStep())}
    )


async def ask(over, name="Unary", metadata=None, **fields):
    call = Call("grpc", over.table.get(f"/tests.echo.Echo/{name}"), metadata or {})
    await over.unary(call, Echo(**fields).SerializeToString())
    return call


def test_without_a_collector_neither_gateway_nor_jobs_nor_sidecar_import_what_sends_spans():
    # The client of Redis imports the SDK's metrics where they are installed, which only development does.
    names = "('cohortlens.core.otlp', 'opentelemetry.sdk.trace', 'opentelemetry.exporter')"
    code = "import sys, gateway.app, cohortlens.jobs.__main__, sidecars.web3.calls\n"
    code += f"print([name for name in sys.modules if name.startswith({names})])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


async def test_without_a_collector_the_chain_has_no_step_of_it_and_no_call_carries_a_trace_on():
    observe = ObserveStep()
    assert traced(observe) is observe
    over = chain()
    call = await ask(over, metadata={"traceparent": [PARENT]})
    assert (call.trace_id, call.span_id) == (PARENT[3:35], "")
    assert tracing.metadata() == ()
    with tracing.span("nothing") as span:
        assert span is None


async def test_a_call_is_one_span_of_its_callers_trace_with_the_names_of_the_conventions(told):
    call = await ask(chain(), metadata={"traceparent": [PARENT], "x-request-id": ["req-12345678"]})
    tracing.end()
    span = told.named("tests.echo.Echo/Unary")
    assert (span.process, span.kind) == ("cohortlens-gateway", 2)
    assert (span.trace, span.parent) == (PARENT[3:35], PARENT[36:52])
    assert (call.trace_id, call.span_id) == (span.trace, span.span)
    expected = {
        "rpc.system": "grpc",
        "rpc.system.name": "grpc",
        "rpc.service": "tests.echo.Echo",
        "rpc.method": "Unary",
        "rpc.response.status_code": "OK",
        "cohortlens.request_id": "req-12345678",
        "cohortlens.door": "grpc",
    }
    assert span.attributes == expected


async def test_a_call_without_a_sound_traceparent_begins_a_trace_that_its_log_line_names(told, lines):
    await ask(chain(), metadata={"traceparent": ["00-" + "0" * 32 + "-00f067aa0ba902b7-01"]})
    tracing.end()
    span = told.named("tests.echo.Echo/Unary")
    line = next(one.fields for one in lines.records if one.getMessage() == "call")
    assert span.parent == ""
    assert (line["trace_id"], line["span_id"]) == (span.trace, span.span)


async def test_only_faults_of_ours_are_faults_of_the_span(told):
    over = chain()
    for text in ("fault", "raise"):
        with pytest.raises(CallFailed):
            await ask(over, text=text)
    tracing.end()
    found = [(one.attributes["rpc.response.status_code"], one.is_fault) for one in told.spans]
    assert found == [("NOT_FOUND", False), ("INTERNAL", True)]


async def test_a_caller_who_does_not_sample_its_trace_gets_none(told):
    await ask(chain(), metadata={"traceparent": [PARENT[:-2] + "00"]})
    tracing.end()
    assert told.spans == []


async def test_work_inside_a_call_and_what_it_asks_others_for_are_children_of_its_span(told):
    table, carried = echo_table(), []

    class Asking(EchoServicer):
        async def Unary(self, request, call):  # noqa: N802 - as the RPC
            with tracing.span("a.Service/Ask", tracing.Kind.CLIENT, tracing.rpc("/a.Service/Ask")):
                carried.extend(tracing.metadata())
            return request

    over = Chain(table, {"tests.echo.Echo": Asking()}, steps(table) | {"observe": TraceStep(ObserveStep())})
    await ask(over)
    tracing.end()
    outer, inner = told.named("tests.echo.Echo/Unary"), told.named("a.Service/Ask")
    assert (inner.trace, inner.parent, inner.kind) == (outer.trace, outer.span, 3)
    ((name, value),) = carried
    assert (name, value[:-2], int(value[-2:], 16) & 1) == (
        "traceparent",
        f"00-{inner.trace}-{inner.span}-",
        1,
    )
    assert tracing.CURRENT.get() == ""


async def test_a_collector_that_hangs_costs_spans_and_never_a_call(told):
    from cohortlens.core import otlp

    told.hold.clear()
    over, made = chain(), otlp.MADE.labels().value
    for _ in range(6_000):
        with tracing.span("work"):
            pass
    # Every call is answered while nobody takes a span, far beyond what the queue holds.
    assert (await ask(over)).reply is not None
    assert otlp.MADE.labels().value - made == 6_001
    assert told.spans == []
    told.hold.set()
    tracing.end()
    # What was on its way and what the queue held came later, the newest; the rest is lost.
    came = len({one.span for one in told.spans})
    assert abs(came - otlp.QUEUE_SPANS) <= 2 * otlp.BATCH_SPANS
    assert told.named("tests.echo.Echo/Unary")


async def test_a_collector_that_refuses_is_counted_and_told_of_once(told, lines):
    from cohortlens.core import otlp

    def lost():
        return otlp.SENT.labels("lost")._value.get()

    told.answer, before = 400, lost()
    await ask(chain())
    tracing.end()
    assert lost() == before + 1
    assert [one.getMessage() for one in lines.records].count("collector_away") == 1


@pytest.mark.parametrize(
    ("endpoint", "ratio", "fault"),
    [
        ("ftp://collector:4318", 1.0, "COHORTLENS_OTLP_ENDPOINT"),
        ("http://", 1.0, "COHORTLENS_OTLP_ENDPOINT"),
        ("", 1.5, "COHORTLENS_OTLP_RATIO"),
    ],
)
def test_settings_that_cannot_work_are_named(endpoint, ratio, fault):
    assert any(fault in one for one in CoreConfig(otlp_endpoint=endpoint, otlp_ratio=ratio).faults())


async def test_the_line_of_a_call_says_route_status_kind_version_and_repeats(lines):
    async def noting(call, proceed):
        call.route, call.is_replayed = "/v1/echo/{name}", True
        telemetry.AT_WORKERS.set((1.0, 1.25, 1.5))
        await proceed(call)

    table = echo_table()
    over = Chain(table, {"tests.echo.Echo": EchoServicer()}, steps(table) | {"quota": noting})
    call = Call("http", table.get("/tests.echo.Echo/Secret"), {"authorization": [f"Bearer {TOKEN}"]})
    await over.unary(call, b"")
    line = next(one.fields for one in lines.records if one.getMessage() == "call")
    assert (line["route"], line["http_status"], line["replayed"]) == ("/v1/echo/{name}", 200, True)
    assert (line["queue_ms"], line["worker_ms"], line["principal_kind"]) == (250.0, 250.0, "user")
    assert line["version"]
    assert telemetry.AT_WORKERS.get() is None
    assert json.loads(json.dumps(line)) == line


async def test_messages_and_bytes_of_a_stream_are_counted_one_by_one():
    table = echo_table()
    over = Chain(table, {"tests.echo.Echo": EchoServicer()}, steps(table))
    method = table.get("/tests.echo.Echo/Chat")
    labels = (method.kind, method.service, method.name)
    before = telemetry.MSG_RECEIVED.labels(*labels).value, telemetry.MSG_SENT.labels(*labels).value
    seen = SimpleNamespace(open=[])

    async def payloads():
        for _ in range(3):
            yield b""

    async def send(_):
        seen.open.append(telemetry.STREAM_OPEN.labels("grpc").value)

    idle = telemetry.STREAM_OPEN.labels("grpc").value
    await over.bidi_stream(Call("grpc", method, {}), payloads(), send)
    after = telemetry.MSG_RECEIVED.labels(*labels).value, telemetry.MSG_SENT.labels(*labels).value
    assert (after[0] - before[0], after[1] - before[1]) == (3, 3)
    assert (seen.open, telemetry.STREAM_OPEN.labels("grpc").value) == ([idle + 1] * 3, idle)
