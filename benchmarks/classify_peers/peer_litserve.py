"""LitServe with the same ONNX model, or the same network in PyTorch: raw body, one worker, one HTTP process.

Runs in LitServe's own environment.

    python -m classify_peers.peer_litserve PORT

PEER_BATCH (1 = no batching) and PEER_FAST_QUEUE (0 or 1: ZeroMQ between its processes) are what classify.py tries out.
"""

import os
import sys
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body

from classify_peers.peer_model import PeerModel

BATCH = int(os.environ["PEER_BATCH"])


class Classify(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe names it
        self.model = PeerModel.of_environment()

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> Any:
        return self.model.decode(request)

    def predict(self, x: Any) -> Any:
        # LitServe stacks the images only when it batches.
        return self.model.answers(x) if BATCH > 1 else self.model.answers(x[np.newaxis])[0]

    def encode_response(self, output: dict[str, Any]) -> Any:
        return output


if __name__ == "__main__":
    # A timeout of 0 would let the waiting worker spin, on the one core that the others need too.
    api = Classify(max_batch_size=BATCH, batch_timeout=0.001 if BATCH > 1 else 0, api_path="/classify")
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=1, fast_queue=os.environ["PEER_FAST_QUEUE"] == "1"
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
