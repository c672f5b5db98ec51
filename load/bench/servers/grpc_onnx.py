"""grpc.aio and onnxruntime in one process, without Ray: rows as raw float32 bytes, values likewise."""

import sys

import grpc
import numpy as np
from onnx_model import score, session
from raw_grpc import serve

if __name__ == "__main__":
    port, columns = map(int, sys.argv[1:])
    model = session()

    async def predict(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Values of the rows."""
        return score(model, np.frombuffer(request, dtype="<f4").reshape(-1, columns)).tobytes()

    serve(port, predict)
