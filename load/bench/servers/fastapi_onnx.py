"""FastAPI, uvicorn and onnxruntime: what most teams write first."""

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from onnx_model import score, session
from pydantic import BaseModel

app = FastAPI()
model = session()


class Rows(BaseModel):
    """Rows to score; null stands for a missing value."""

    rows: list[list[float | None]]


@app.post("/predict")
async def predict(request: Rows) -> dict[str, list[float]]:
    """Values of the rows."""
    return {"values": score(model, np.array(request.rows, dtype=np.float32)).tolist()}


if __name__ == "__main__":
    workers = int(sys.argv[2])
    uvicorn.run(
        "fastapi_onnx:app",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        workers=workers,
        log_level="warning",
        loop="uvloop",
    )
