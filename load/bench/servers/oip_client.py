"""Open Inference Protocol v2 from KServe's own stubs: prints a request's bytes, or calls a server once.

``oip_client.py body COLUMNS < rows`` writes the request; ``oip_client.py call PORT COLUMNS < rows`` prints
values. Rows are raw little-endian float32 on standard input.
"""

import json
import sys

import grpc
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub


def request(rows: np.ndarray) -> pb.ModelInferRequest:
    """A request that carries ``rows`` (n, columns) float32 as raw contents."""
    built = pb.ModelInferRequest(model_name="spend", id="1")
    tensor = built.inputs.add(name="features", datatype="FP32")
    tensor.shape.extend(rows.shape)
    built.raw_input_contents.append(rows.tobytes())
    return built


def main() -> None:
    """Do what the first argument says."""
    rows = np.frombuffer(sys.stdin.buffer.read(), dtype="<f4").reshape(-1, int(sys.argv[-1]))
    if sys.argv[1] == "body":
        sys.stdout.buffer.write(request(rows).SerializeToString())
        return
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[2]}") as channel:
        reply = GRPCInferenceServiceStub(channel).ModelInfer(request(rows), timeout=20)
    if reply.raw_output_contents:
        values = np.frombuffer(reply.raw_output_contents[0], dtype="<f4").tolist()
    else:
        contents = reply.outputs[0].contents
        values = list(contents.fp32_contents or contents.fp64_contents)
    sys.stdout.write(json.dumps(values))


if __name__ == "__main__":
    main()
