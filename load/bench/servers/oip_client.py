"""Open Inference Protocol v2 from KServe's own stubs: prints a request's bytes, or calls a server once.

``oip_client.py body COLUMNS < rows`` writes the request; ``oip_client.py call PORT COLUMNS < rows`` prints
values. Rows are raw little-endian float32 on standard input. ``OIP_MODEL`` names the model (``spend``),
``OIP_OUTPUT`` the output wanted (all), ``OIP_TOKEN`` the access token (none).
"""

import json
import os
import sys

import grpc
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub


def request(rows: np.ndarray) -> pb.ModelInferRequest:
    """A request that carries ``rows`` (n, columns) float32 as raw contents."""
    built = pb.ModelInferRequest(model_name=os.environ.get("OIP_MODEL", "spend"), id="1")
    tensor = built.inputs.add(name="features", datatype="FP32")
    tensor.shape.extend(rows.shape)
    built.raw_input_contents.append(rows.tobytes())
    if output := os.environ.get("OIP_OUTPUT"):
        built.outputs.add(name=output)
    return built


def main() -> None:
    """Do what the first argument says."""
    rows = np.frombuffer(sys.stdin.buffer.read(), dtype="<f4").reshape(-1, int(sys.argv[-1]))
    if sys.argv[1] == "body":
        sys.stdout.buffer.write(request(rows).SerializeToString())
        return
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[2]}") as channel:
        token = os.environ.get("OIP_TOKEN")
        metadata = [("authorization", f"Bearer {token}")] if token else None
        reply = GRPCInferenceServiceStub(channel).ModelInfer(request(rows), timeout=20, metadata=metadata)
    if reply.raw_output_contents:
        dtype = {"FP32": "<f4", "FP64": "<f8"}[reply.outputs[0].datatype]
        values = np.frombuffer(reply.raw_output_contents[0], dtype=dtype).tolist()
    else:
        contents = reply.outputs[0].contents
        values = list(contents.fp32_contents or contents.fp64_contents)
    sys.stdout.write(json.dumps(values))


if __name__ == "__main__":
    main()
