"""A bare grpc.aio server whose every method takes and gives raw bytes."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import uvloop

Answer = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


class _Every(grpc.GenericRpcHandler):
    def __init__(self, answer: Answer) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(answer)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return self._handler


def serve(port: int, answer: Answer) -> None:
    """Answer calls on a port of loopback until killed."""
    uvloop.install()
    asyncio.run(_serve(port, answer))


async def _serve(port: int, answer: Answer) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Every(answer),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()
