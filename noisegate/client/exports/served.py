"""A model of Noisegate as MLflow serves it: this file and the two beside it are all that is needed, and nothing of Noisegate.

Input: images as uint8 [n, size, size, 3], RGB, resized as `decision.json` says. Output: a row an image.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
from mlflow.pyfunc import PythonModel


class Classifier(PythonModel):  # type: ignore[misc]
    """Accepts an image as one of the known classes, or rejects it: by the threshold of its reject score, or as noise."""

    def load_context(self, context: Any) -> None:
        """Open the graph and what decides."""
        self._session = onnxruntime.InferenceSession(context.artifacts["onnx"], providers=["CPUExecutionProvider"])
        self._decision = json.loads(Path(context.artifacts["decision"]).read_text(encoding="utf-8"))

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """A row an image: the decision, what it rests on, and the probability `p_CLASS` of each class.

        Args:
            params: `threshold`, in place of the model's own.
        """
        (logits,) = self._session.run(["logits"], {"images": np.asarray(model_input, dtype=np.uint8)})
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        classes, has_noise = self._decision["classes"], self._decision["has_noise_class"]
        known = probabilities[:, : len(classes)]
        noise = probabilities[:, len(classes)] if has_noise else None
        asked = (params or {}).get("threshold")
        threshold = self._decision["threshold"] if asked is None else asked
        scores = 1 - known.max(axis=1)
        is_noise = np.zeros(len(known), dtype=bool) if noise is None else noise > known.max(axis=1)
        is_doubtful = np.zeros(len(known), dtype=bool) if threshold is None else scores > threshold
        nearest = np.array(classes, dtype=object)[known.argmax(axis=1)]
        return pd.DataFrame(
            {
                "label": np.where(is_noise, "noise", nearest),
                "known_label": nearest,
                "reject_score": scores,
                "threshold": threshold,
                "noise_probability": noise,
                "rejected": is_noise | is_doubtful,
                "reason": np.where(is_noise, "noise", np.where(is_doubtful, "low_confidence", "")),
                **{f"p_{name}": known[:, number] for number, name in enumerate(classes)},
            }
        )


mlflow.models.set_model(Classifier())
