"""The alternative gRPC door on grpc.aio (``COHORTLENS_GRPC_SERVER=grpcio``): same chain, same answers.

It is the oracle of the conformance suite and the way back, should the ASGI server ever be dropped.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.interceptors.chain import Call, CallFailed, Chain, MethodInfo
from gateway.interceptors.errors import retry_after
from gateway.interceptors.status import details
from gateway.wire.framing import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, checked_reply

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.max_connection_age_ms", 1_800_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    ("grpc.max_concurrent_streams", 1000),
    # A taken port must fail at start instead of being shared silently.
    ("grpc.so_reuseport", 0),
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[bytes, bytes]
Run = Callable[[Call, Any, Context], Awaitable[None]]


class AioDoor(grpc.GenericRpcHandler):
    """Serves every method of the chain through a grpc.aio server.

    Args:
        chain: The chain.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._handlers = {method.full_name: self._handler(method) for method in chain.table}
        self._server: grpc.aio.Server | None = None

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a method, for grpc; None is answered UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, chosen by the system for 0. Raises OSError when it is taken."""
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((self,))
        try:
            bound = server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {host}:{port}") from error
        await server.start()
        self._server = server
        return bound

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, wait for calls under way at most ``grace_s`` seconds, cancel the rest."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _handler(self, method: MethodInfo) -> grpc.RpcMethodHandler[bytes, bytes]:
        chain = self._chain

        async def unary(payload: Any, context: Context) -> bytes:
            call = _call(method, context)
            call.encoder = _encode
            runs = chain.client_stream if method.client_streaming else chain.unary
            await _guarded(call, context, runs(call, payload))
            await _send_headers(call, context)
            context.set_trailing_metadata(_metadata_out(call.response_trailers))
            return call.encoded

        async def stream(payload: Any, context: Context) -> None:
            call = _call(method, context)
            runs = chain.bidi_stream if method.client_streaming else chain.server_stream
            await _guarded(call, context, runs(call, payload, _sender(call, context)))
            await _send_headers(call, context)
            context.set_trailing_metadata(_metadata_out(call.response_trailers))

        factories: dict[tuple[bool, bool], Any] = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        make = factories[method.client_streaming, method.server_streaming]
        handler: grpc.RpcMethodHandler[bytes, bytes] = make(stream if method.server_streaming else unary)
        return handler


def _encode(reply: Message) -> bytes:
    return checked_reply(reply.SerializeToString(), MAX_RESPONSE_BYTES)


def _sender(call: Call, context: Context) -> Callable[[Message], Awaitable[None]]:
    sent = False

    async def send(reply: Message) -> None:
        nonlocal sent
        if not sent:
            sent = True
            await _send_headers(call, context)
        data = _encode(reply)
        call.response_bytes += len(data)
        await context.write(data)

    return send


async def _guarded(call: Call, context: Context, run: Awaitable[Any]) -> None:
    try:
        await run
    except CallFailed as failure:
        await _send_headers(call, context)
        trailers = [
            *_metadata_out(call.response_trailers),
            ("grpc-status-details-bin", details(failure)),
        ]
        after = retry_after(failure.error)
        if after is not None:
            trailers.append(("retry-after", after))
        await context.abort(_CODES[int(failure.error.code)], failure.error.message, tuple(trailers))


async def _send_headers(call: Call, context: Context) -> None:
    if call.response_headers:
        headers, call.response_headers = call.response_headers, []
        await context.send_initial_metadata(_metadata_out(headers))


def _call(method: MethodInfo, context: Context) -> Call:
    metadata: dict[str, list[str]] = {}
    for name, value in context.invocation_metadata() or ():
        text = value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")
        metadata.setdefault(name, []).append(text)
    timeout_s = context.time_remaining()
    return Call("grpc", method, metadata, peer=_address(context.peer()), timeout_s=timeout_s)


def _address(peer: str) -> str:
    kind, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0]
    return host.strip("[]") if kind in ("ipv4", "ipv6") else ""


def _metadata_out(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (name, base64.b64decode(value + "==") if name.endswith("-bin") else value) for name, value in pairs
    )
