"""A bare grpc.aio server that answers each call with its own bytes: the floor of that transport."""

import asyncio
import sys

import grpc
import uvloop


async def main(port: int) -> None:
    """Serve until killed."""

    async def echo(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return request

    class Handler(grpc.GenericRpcHandler):
        """Answers every method."""

        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            """One handler for all."""
            return grpc.unary_unary_rpc_method_handler(echo)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1])))
