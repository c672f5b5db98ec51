"""grpc.aio and onnxruntime in one process, without Ray: rows as raw float32 bytes, values likewise."""

import asyncio
import sys

import grpc
import numpy as np
import uvloop
from onnx_model import score, session


async def main(port: int, columns: int) -> None:
    """Serve until killed."""
    model = session()

    async def predict(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        rows = np.frombuffer(request, dtype="<f4").reshape(-1, columns)
        return score(model, rows).tobytes()

    class Handler(grpc.GenericRpcHandler):
        """Answers every method."""

        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            """One handler for all."""
            return grpc.unary_unary_rpc_method_handler(predict)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
