"""Which of the two a peer serves: the ONNX file, or with PEER_TORCH PyTorch's network."""

import os

if "PEER_TORCH" in os.environ:
    from classify_peers.torch_model import TorchModel as PeerModel
else:
    from classify_peers.onnx_model import OnnxModel as PeerModel  # type: ignore[assignment]

__all__ = ["PeerModel"]
