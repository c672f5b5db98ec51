"""The trace of a call goes on in the work that it left for jobs, and at the sidecar that this work asks."""

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from cohortlens.adapters.web3_channel import Web3Channel
from cohortlens.core import tracing
from cohortlens.core.settings import CoreConfig
from cohortlens.jobs.handlers import Handler
from gateway.interceptors.chain import Call, Chain
from gateway.interceptors.observe import ObserveStep
from gateway.interceptors.trace import traced
from sidecars.web3.calls import Guard
from tests.fakes.echo import EchoServicer, echo_table, steps
from tests.fixtures.collector import collector

TOKEN = "a token of twenty-four characters"
PATH = "/cohortlens.internal.v1.PinningService/GetPin"


@pytest.fixture
def told():
    with collector() as found:
        tracing.begin(CoreConfig(otlp_endpoint=found.endpoint), "gateway")
        yield found
        tracing.end()


@pytest.fixture
async def sidecar():
    """A gRPC server behind the sidecar's own guard; its address."""

    async def pin(request, _):
        return request

    method = grpc.unary_unary_rpc_method_handler(pin, StringValue.FromString, StringValue.SerializeToString)
    service, _, name = PATH[1:].partition("/")
    server = grpc.aio.server(interceptors=[Guard(TOKEN)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def test_call_event_and_sidecar_are_one_trace(told, running, record, eventually, superuser, sidecar):
    payloads = []

    class Recording(EchoServicer):
        async def Unary(self, request, call):  # noqa: N802 - as the RPC
            await record("a.happened", thing="x")
            return request

    async def run(_, event):
        payloads.append(event.payload)
        web3 = Web3Channel(sidecar, TOKEN)
        pinned = web3.channel.unary_unary(PATH, StringValue.SerializeToString, StringValue.FromString)
        await web3.ask(pinned, StringValue(value="x"))
        await web3.close()

    async def settled():
        return await superuser.fetchval("SELECT count(*) FROM outbox WHERE done_at IS NOT NULL") == 1

    table = echo_table()
    chain = Chain(table, {"tests.echo.Echo": Recording()}, steps(table) | {"observe": traced(ObserveStep())})
    call = Call("grpc", table.get("/tests.echo.Echo/Unary"), {})
    async with running({"a.happened": Handler(run)}):
        await chain.unary(call, b"")
        await eventually(settled, "the event is settled")
    tracing.end()
    server, job = told.named("tests.echo.Echo/Unary"), told.named("outbox a.happened")
    asked, answered = sorted((one for one in told.spans if one.name == PATH[1:]), key=lambda one: -one.kind)
    assert {one.trace for one in told.spans} == {call.trace_id}
    assert [server.parent, job.parent, asked.parent, answered.parent] == [
        "",
        server.span,
        job.span,
        asked.span,
    ]
    assert [server.kind, job.kind, asked.kind, answered.kind] == [2, 5, 3, 2]
    assert payloads == [{"thing": "x"}]


async def test_a_traceparent_that_was_damaged_begins_a_trace_and_stops_no_work(told):
    for damaged in ("x", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-zz"):
        with tracing.span("work", parent=damaged):
            pass
    tracing.end()
    assert [one.parent for one in told.spans] == ["", "", ""]
