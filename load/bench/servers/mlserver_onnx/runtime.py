"""MLServer's runtime with onnxruntime inside, over its gRPC door (Open Inference Protocol v2)."""

import sys
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from onnx_model import score, session


class OnnxModel(MLModel):
    """One graph as an MLServer model."""

    async def load(self) -> bool:
        """Open the session."""
        self.session = session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Values of the rows."""
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        output = NumpyCodec.encode_output("value", score(self.session, rows))
        return InferenceResponse(model_name=self.name, outputs=[output])
