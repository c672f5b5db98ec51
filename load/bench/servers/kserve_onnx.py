"""KServe's model server with onnxruntime inside, over its gRPC door (Open Inference Protocol v2)."""

import sys

import kserve
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse
from onnx_model import score, session


class OnnxModel(kserve.Model):
    """One graph as a KServe model."""

    def load(self) -> bool:
        """Open the session."""
        self.session = session()
        self.ready = True
        return True

    async def predict(
        self, payload: InferRequest, headers: dict | None = None, response_headers: dict | None = None
    ) -> InferResponse:
        """Values of the rows."""
        values = score(self.session, payload.inputs[0].as_numpy().astype(np.float32))
        output = InferOutput("value", [len(values)], "FP32")
        output.set_data_from_numpy(values.astype(np.float32), binary_data=True)
        return InferResponse(payload.id, self.name, [output])


if __name__ == "__main__":
    served = OnnxModel("spend")
    served.load()
    ports = {"http_port": int(sys.argv[2]), "grpc_port": int(sys.argv[1])}
    kserve.ModelServer(workers=1, enable_grpc=True, access_log_format=None, **ports).start([served])
