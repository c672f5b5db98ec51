"""One conformance suite for both gRPC doors, driven by grpcio clients over a socket."""

import asyncio
import gzip
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from gateway.grpc.aio import AioDoor
from gateway.grpc.asgi import GrpcDoor
from gateway.grpc.server import Router, asgi_server, listen
from tests.fakes.echo import TOKEN, Echo, EchoServicer, echo_chain

BOUND_S = 10


@asynccontextmanager
async def serve(kind, chain):
    """A door on a free port; yields the port."""
    if kind == "aio":
        door = AioDoor(chain)
        yield await door.start("127.0.0.1", 0)
        await door.stop(1)
        return
    router = Router()
    router.grpc = GrpcDoor(chain)
    with listen("127.0.0.1", 0, "COHORTLENS_GRPC_PORT") as one:
        server = asgi_server(router, [one], 1)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        yield one.getsockname()[1]
        server.shutdown()
        await serving


class Client:
    """The four kinds of call on the echo service."""

    def __init__(self, port, **options):
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=(("grpc.max_receive_message_length", -1),), **options
        )

    def _call(self, kind, name):
        return getattr(self.channel, kind)(
            f"/tests.echo.Echo/{name}",
            request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
            response_deserializer=Echo.FromString,
        )

    def unary(self, request, name="Unary", **options):
        return self._call("unary_unary", name)(request, timeout=options.pop("timeout", BOUND_S), **options)

    def collect(self, requests=None, **options):
        return self._call("stream_unary", "Collect")(requests, timeout=BOUND_S, **options)

    def expand(self, request, **options):
        return self._call("unary_stream", "Expand")(request, timeout=BOUND_S, **options)

    def chat(self, requests=None, **options):
        return self._call("stream_stream", "Chat")(requests, timeout=BOUND_S, **options)


@pytest.fixture
def servicer():
    return EchoServicer()


@pytest.fixture(params=["asgi", "aio"])
async def client(request, servicer):
    async with serve(request.param, echo_chain(servicer)) as port:
        one = Client(port)
        yield one
        await one.channel.close()


async def fault_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def details(fault):
    packed = dict(fault.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    assert status.code == fault.code().value[0]
    kinds = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        error_details_pb2.RequestInfo,
    )
    found = {}
    for detail in status.details:
        for kind in kinds:
            if detail.Is(kind.DESCRIPTOR):
                found[kind.__name__] = kind.FromString(detail.value)
    return found, len(packed)


async def test_a_unary_call_gets_its_reply(client):
    sent = Echo(text="ñandú", blob=bytes(range(256)), count=7, values=[1.5, -2])
    assert await client.unary(sent) == sent


async def test_an_empty_message_is_a_message(client):
    assert await client.unary(Echo()) == Echo()


async def test_a_stream_of_requests_is_gathered_into_one_reply(client):
    reply = await client.collect(iter([Echo(text="a"), Echo(text="b"), Echo(text="c")]))
    assert (reply.count, reply.text) == (3, "abc")


async def test_a_stream_without_requests_is_answered(client):
    assert (await client.collect(iter([]))).count == 0


async def test_a_stream_of_replies_arrives_in_order_and_whole(client):
    replies = [reply async for reply in client.expand(Echo(count=200, blob=bytes(10_000)))]
    assert [reply.count for reply in replies] == list(range(200))
    assert all(len(reply.blob) == 10_000 for reply in replies)


async def test_both_directions_take_turns(client):
    call = client.chat()
    for number in range(3):
        await call.write(Echo(count=number))
        assert (await call.read()).count == number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def test_metadata_goes_both_ways(client, servicer):
    call = client.unary(
        Echo(text="metadata"), metadata=(("x-many", "1"), ("x-many", "2"), ("x-raw-bin", b"\x00\xff"))
    )
    await call
    seen = servicer.calls[0].metadata
    assert seen.values("x-many") == ["1", "2"]
    assert seen.values("x-raw-bin") == ["AP8"]
    assert dict(await call.initial_metadata())["x-first"] == "one"
    assert dict(await call.trailing_metadata())["x-last"] == "two"


async def test_a_good_request_id_is_kept_and_a_bad_one_replaced(client):
    for given, kept in (("order-12345", True), ("no spaces allowed", False), ("short", False)):
        call = client.unary(Echo(), metadata=(("x-request-id", given),))
        await call
        answered = dict(await call.initial_metadata())["x-request-id"]
        assert (answered == given) is kept
        assert len(answered) >= 8


async def test_a_fault_of_the_domain_reaches_the_caller_with_its_details(client):
    fault = await fault_of(client.unary(Echo(text="fault"), metadata=(("x-request-id", "request-77"),)))
    assert fault.code() == grpc.StatusCode.NOT_FOUND
    assert fault.details() == "no such customer: ñandú 100%"
    found, size = details(fault)
    assert size <= 4096
    assert found["ErrorInfo"].reason == "RESOURCE_NOT_FOUND"
    assert found["ErrorInfo"].domain == "cohortlens"
    assert found["ErrorInfo"].metadata == {"resource": "customer"}
    assert found["RequestInfo"].request_id == "request-77"
    # 50 long violations do not fit into 4 KiB: the last ones are cut, the first stay.
    fields = [one.field for one in found["BadRequest"].field_violations]
    assert 0 < len(fields) < 50
    assert fields[0] == "customers[0]"


async def test_a_fault_that_passes_says_when_to_retry(client):
    fault = await fault_of(client.unary(Echo(text="retry")))
    assert fault.code() == grpc.StatusCode.UNAVAILABLE
    delay = details(fault)[0]["RetryInfo"].retry_delay
    assert (delay.seconds, delay.nanos) == (1, 500_000_000)


async def test_an_unexpected_exception_tells_the_caller_nothing_but_the_request_id(client):
    fault = await fault_of(client.unary(Echo(text="raise"), metadata=(("x-request-id", "request-78"),)))
    assert fault.code() == grpc.StatusCode.INTERNAL
    assert "hunter2" not in repr(fault)
    assert "RuntimeError" not in repr(fault)
    assert details(fault)[0]["RequestInfo"].request_id == "request-78"


async def test_a_handler_that_cancels_itself_ends_cancelled(client):
    fault = await fault_of(client.unary(Echo(text="self cancelled")))
    assert fault.code() == grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("method", ["/tests.echo.Echo/Nothing", "/tests.echo.Nobody/Unary", "/"])
async def test_an_unknown_method_is_unimplemented(client, method):
    fault = await fault_of(client.channel.unary_unary(method)(b"", timeout=BOUND_S))
    assert fault.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_garbage_is_an_invalid_argument(client):
    fault = await fault_of(client.unary(b"\xff\xff\xff\xff"))
    assert fault.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(fault)[0]["ErrorInfo"].reason == "MESSAGE_MALFORMED"
    assert "tests.echo.EchoRequest" in fault.details()


async def test_a_message_in_a_stream_that_breaks_a_rule_ends_the_stream(client):
    call = client.chat()
    await call.write(Echo(count=1))
    assert (await call.read()).count == 1
    await call.write(Echo(count=1001))
    fault = await fault_of(call.read())
    assert fault.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert [one.field for one in details(fault)[0]["BadRequest"].field_violations] == ["count"]


async def test_a_stream_that_fails_midway_delivers_what_was_sent_and_then_the_fault(client):
    call = client.expand(Echo(count=3, text="fault"))
    assert [(await call.read()).count for _ in range(3)] == [0, 1, 2]
    fault = await fault_of(call.read())
    assert fault.code() == grpc.StatusCode.NOT_FOUND
    assert details(fault)[0]["ErrorInfo"].reason == "RESOURCE_NOT_FOUND"


async def test_the_deadline_ends_the_call_and_cancels_the_handler(client, servicer):
    fault = await fault_of(client.unary(Echo(text="hang"), timeout=0.2))
    assert fault.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(servicer.cancelled.wait(), BOUND_S)


async def test_a_deadline_in_the_past_never_reaches_the_handler(client, servicer):
    fault = await fault_of(client.unary(Echo(), timeout=-1))
    assert fault.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert servicer.calls == []


async def test_a_deadline_beyond_the_class_is_clamped_and_said_so(client, servicer):
    call = client.unary(Echo(), timeout=3600)
    await call
    assert dict(await call.initial_metadata())["x-deadline-clamped"] == "1"
    assert servicer.calls[0].deadline - servicer.calls[0].started == pytest.approx(60, abs=0.01)


@pytest.mark.parametrize("kind", ["unary", "expand", "chat", "collect"])
async def test_a_caller_that_cancels_cancels_the_handler(client, servicer, kind):
    request = Echo(text="hang")
    if kind in ("chat", "collect"):
        call = getattr(client, kind)()
        await call.write(request)
    else:
        call = getattr(client, kind)(request)
    await asyncio.wait_for(servicer.reached.wait(), BOUND_S)
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), BOUND_S)


async def test_a_message_of_four_mib_passes_and_a_larger_one_is_refused(client):
    limit = 4 * 1024 * 1024
    overhead = Echo(blob=bytes(limit)).ByteSize() - limit
    largest = Echo(blob=bytes(limit - overhead))
    assert largest.ByteSize() == limit
    assert len((await client.unary(largest)).blob) == limit - overhead
    fault = await fault_of(client.unary(Echo(blob=bytes(limit - overhead + 1))))
    assert fault.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_reply_over_the_limit_is_refused(client):
    fault = await fault_of(client.unary(Echo(text="big reply")))
    assert fault.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details(fault)[0]["ErrorInfo"].reason == "MESSAGE_TOO_LARGE"


async def test_a_stream_carries_more_than_one_message_may(client):
    requests = [Echo(text="x", blob=bytes(3 * 1024 * 1024)) for _ in range(4)]
    assert (await client.collect(iter(requests))).count == 4


async def test_gzip_is_understood(client):
    sent = Echo(text="z" * 50_000)
    assert await client.unary(sent, compression=grpc.Compression.Gzip) == sent


async def test_a_bomb_is_refused_by_its_inflated_size(client):
    bomb = Echo(blob=bytes(8 * 1024 * 1024))
    assert len(gzip.compress(bomb.SerializeToString())) < 64 * 1024
    fault = await fault_of(client.unary(bomb, compression=grpc.Compression.Gzip))
    assert fault.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_call_without_a_token_is_refused_before_its_message_is_read(client, servicer):
    fault = await fault_of(client.unary(b"\xff\xff\xff\xff", name="Secret"))
    assert fault.code() == grpc.StatusCode.UNAUTHENTICATED
    assert details(fault)[0]["ErrorInfo"].reason == "TOKEN_INVALID"
    metadata = [*(fault.initial_metadata() or ()), *(fault.trailing_metadata() or ())]
    assert ("www-authenticate", 'Bearer realm="cohortlens"') in metadata
    assert servicer.calls == []


async def test_a_good_token_names_the_caller(client, servicer):
    await client.unary(Echo(), name="Secret", metadata=(("authorization", f"Bearer {TOKEN}"),))
    assert servicer.calls[0].context.caller.role == "analyst"


async def test_sixty_four_calls_at_once_all_end_well(client):
    replies = await asyncio.gather(*(client.unary(Echo(count=n)) for n in range(64)))
    assert [reply.count for reply in replies] == list(range(64))
