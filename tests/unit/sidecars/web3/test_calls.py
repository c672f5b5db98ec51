"""What a call of the sidecar is refused with."""

import grpc
import pytest
from google.rpc import error_details_pb2

from cohortlens.core.errors import InvalidArgument, Unavailable, Violation
from sidecars.web3.calls import Guard, status_of


def _details(status):
    found = {}
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                found[kind] = kind()
                packed.Unpack(found[kind])
    return found


def test_a_refusal_carries_its_code_reason_fields_and_facts():
    error = InvalidArgument(
        "items[0].to is no address.",
        reason="WALLET_ADDRESS_INVALID",
        metadata={"chain": "evm"},
        violations=(Violation("items[0].to", "is no address"),),
    )
    status = status_of(error)
    details = _details(status)
    assert (status.code, status.message) == (3, "items[0].to is no address.")
    info = details[error_details_pb2.ErrorInfo]
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "WALLET_ADDRESS_INVALID",
        "cohortlens",
        {"chain": "evm"},
    )
    violation = details[error_details_pb2.BadRequest].field_violations[0]
    assert (violation.field, violation.description) == ("items[0].to", "is no address")


def test_what_a_retry_can_help_says_when():
    details = _details(
        status_of(Unavailable("the chain is down", reason="CHAIN_UNAVAILABLE", retry_delay_s=1.5))
    )
    assert details[error_details_pb2.RetryInfo].retry_delay.ToNanoseconds() == 1_500_000_000


async def test_without_the_token_no_message_is_parsed_whatever_form_the_call_has():
    read = []

    def parse(message):
        read.append(message)
        return message

    async def answer(request, _context):
        return request

    async def answers(request, _context):
        yield request

    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(answer, parse, bytes),
        "Many": grpc.unary_stream_rpc_method_handler(answers, parse, bytes),
        "Sent": grpc.stream_unary_rpc_method_handler(answer, parse, lambda _: b""),
    }
    server = grpc.aio.server(interceptors=[Guard("the token of this test")])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        one, many = channel.unary_unary("/test.Service/One"), channel.unary_stream("/test.Service/Many")
        sent = channel.stream_unary("/test.Service/Sent")
        for call in (one(b"poison"), many(b"poison").read(), sent(iter([b"poison"]))):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert read == []
        shown = (("authorization", "Bearer the token of this test"),)
        assert (await one(b"asked", metadata=shown), read) == (b"asked", [b"asked"])
    await server.stop(None)
