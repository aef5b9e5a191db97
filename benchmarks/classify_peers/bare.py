"""FastAPI and ONNX Runtime as a careful engineer writes them: raw body, nothing leaves the event loop, no reject option."""

from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from pydantic import BaseModel

from classify_peers.onnx_model import OnnxModel

model = OnnxModel.of_environment()
app = FastAPI()


class Answer(BaseModel):
    label: str
    probabilities: dict[str, float]


@app.post("/classify", response_model=Answer)
async def classify(request: Request) -> dict[str, Any]:
    pixels = model.decode(await request.body())
    return model.answers(pixels[np.newaxis])[0]
