"""A model of Noisegate as MLflow serves it: this file and those beside it are all that is needed, and nothing of Noisegate.

Input: images as uint8 [n, size, size, 3], RGB, resized as `decision.json` says. Output: a row an image.
"""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
import safetensors.numpy
from mlflow.pyfunc import PythonModel

REJECT_SCORE = "reject_score"

Rows = npt.NDArray[np.float64]


class Answers:
    """What the graph makes of some images, and what the model remembers of training images (`kept`, by `SCORE.ARRAY`)."""

    def __init__(self, logits: np.ndarray, features: np.ndarray, classes: int, kept: Mapping[str, np.ndarray]) -> None:
        shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        self.probabilities: Rows = shifted / shifted.sum(axis=1, keepdims=True)
        self.known: Rows = logits[:, :classes].astype(np.float64)
        self.features = features
        self.kept = kept

    @cached_property
    def log_sum_exp(self) -> Rows:
        """log Σ exp of the known logits, [n]."""
        largest: Rows = self.known.max(axis=1)
        sums: Rows = largest + np.log(np.exp(self.known - largest[:, np.newaxis]).sum(axis=1))
        return sums

    @cached_property
    def log_shares(self) -> Rows:
        """Logarithms of the softmax over the known classes, [n, K]."""
        return self.known - self.log_sum_exp[:, np.newaxis]

    @cached_property
    def directions(self) -> npt.NDArray[np.float32]:
        """The features at length 1, [n, width]."""
        rows = np.asarray(self.features, dtype=np.float32)
        units: npt.NDArray[np.float32] = rows / np.maximum(np.sqrt(_squares(rows))[:, np.newaxis], np.float32(1e-12))
        return units


def reject_score(of: Answers) -> Rows:
    """1 − the largest probability of a known class."""
    values: Rows = 1 - of.probabilities[:, : of.known.shape[1]].max(axis=1)
    return values


def knn(of: Answers) -> Rows:
    """The distance to the k-th nearest training image, of directions in feature space."""
    similarities = of.directions @ of.kept["features"].T
    place = max(0, similarities.shape[1] - int(of.kept["neighbours"][0]))
    nearest = np.partition(similarities, place, axis=1)[:, place].astype(np.float64)
    values: Rows = np.sqrt(np.maximum(0.0, 2 - 2 * nearest))
    return values


def mahalanobis(of: Answers) -> Rows:
    """The squared distance to the nearest class."""
    centre, axes, classes, offsets, variance = (
        of.kept[f"fitted.mahalanobis.{name}"] for name in ("centre", "directions", "classes", "offsets", "variance")
    )
    rows = of.directions - centre
    own = (_squares(rows) - _squares(rows @ axes.T)) / variance[0]
    values: Rows = np.maximum(0.0, own + (offsets - 2 * (rows @ classes.T)).min(axis=1))
    return values


def vim(of: Answers) -> Rows:
    """The length of the features outside the subspace of training features, against what is known."""
    origin, axes, scale = (of.kept[f"fitted.vim.{name}"] for name in ("origin", "directions", "scale"))
    rows = of.features - origin
    outside = np.sqrt(np.maximum(0.0, _squares(rows) - _squares(rows @ axes.T))).astype(np.float64)
    values: Rows = scale[0] * outside - of.log_sum_exp
    return values


def entropy(of: Answers) -> Rows:
    """Of the softmax over the known classes."""
    values: Rows = np.maximum(0.0, -(np.exp(of.log_shares) * of.log_shares).sum(axis=1))
    return values


# By name: the score, whether higher means more unknown, and what a rejection by it is called where the rule does not say.
SCORES: dict[str, tuple[Callable[[Answers], Rows], bool, str]] = {
    REJECT_SCORE: (reject_score, True, "unsure"),
    "msp": (lambda of: np.exp(of.log_shares).max(axis=1), False, "unsure"),
    "max_logit": (lambda of: of.known.max(axis=1), False, "unknown"),
    "energy": (lambda of: of.log_sum_exp, False, "unknown"),
    "entropy": (entropy, True, "unsure"),
    "knn": (knn, True, "unknown"),
    "mahalanobis": (mahalanobis, True, "unknown"),
    "vim": (vim, True, "unknown"),
}


class Classifier(PythonModel):  # type: ignore[misc]
    """Accepts an image as one of the known classes, or rejects it: as noise, or by the scores of its rule."""

    def load_context(self, context: Any) -> None:
        """Open the graph, what decides, and what scores have kept of training images."""
        self._session = onnxruntime.InferenceSession(context.artifacts["onnx"], providers=["CPUExecutionProvider"])
        self._decision = json.loads(Path(context.artifacts["decision"]).read_text(encoding="utf-8"))
        reference = context.artifacts.get("reference")
        self._kept = safetensors.numpy.load_file(reference) if reference else {}

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """A row an image: the decision, what it rests on, and the probability `p_CLASS` of each class.

        Args:
            params: `threshold`, in place of the model's own for the reject score.

        Raises:
            ValueError: a threshold for a model that does not decide by the reject score.
        """
        logits, features = self._session.run(["logits", "features"], {"images": np.asarray(model_input, np.uint8)})
        classes = self._decision["classes"]
        answers = Answers(logits, features, len(classes), self._kept)
        nearest = np.array(classes, dtype=object)[answers.known.argmax(axis=1)]
        is_noise = answers.probabilities.argmax(axis=1) >= len(classes)
        reasons = np.where(is_noise, "noise", "")
        columns: dict[str, Any] = {"reject_score": reject_score(answers), "threshold": None}
        for one in self._scores((params or {}).get("threshold")):
            score, higher_is_unknown, _ = SCORES[one["score"]]
            values, threshold = score(answers), one["threshold"]
            beyond = values > threshold if higher_is_unknown else values < threshold
            reasons = np.where((reasons == "") & beyond, one["reason"], reasons)
            columns |= _told(one["score"], values, threshold)
        return pd.DataFrame(
            {
                "label": np.where(is_noise, "noise", nearest),
                "known_label": nearest,
                **columns,
                "noise_probability": answers.probabilities[:, len(classes)]
                if self._decision["has_noise_class"]
                else None,
                "rejected": reasons != "",
                "reason": reasons,
                **{f"p_{name}": answers.probabilities[:, number] for number, name in enumerate(classes)},
            }
        )

    def _scores(self, threshold: float | None) -> list[dict[str, Any]]:
        scores: list[dict[str, Any]] = self._decision["scores"]
        if threshold is None:
            return scores
        others = [one["score"] for one in scores if one["score"] != REJECT_SCORE]
        if others:
            names = " and ".join(one["score"] for one in scores)
            raise ValueError(f"threshold is of the reject score, and this model decides by {names}: leave it out")
        return [{"score": REJECT_SCORE, "threshold": threshold, "reason": "low_confidence"}]


def _told(name: str, values: np.ndarray, threshold: float) -> dict[str, Any]:
    """The columns of one score that decides."""
    if name == REJECT_SCORE:
        return {"threshold": threshold}
    return {f"score_{name}": values, f"threshold_{name}": threshold}


def _squares(rows: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.einsum("ij,ij->i", rows, rows)
    return squares


mlflow.models.set_model(Classifier())
