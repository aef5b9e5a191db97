"""From logits to a decision: accept an image as one of the known classes, or reject it. Pure NumPy, float64."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, ModelManifest, check_budget

NOTE_NOISE_ONLY = (
    "This model was trained without a holdout, so it has no threshold: "
    "it rejects an image only when noise is its most probable class."
)
NOTE_NEVER = (
    "This model was trained without a holdout and without a noise class, so it has neither a threshold nor a "
    "class for unknown images: it rejects nothing. Judge by the reject score yourself."
)

Logits = npt.NDArray[np.floating]
Rows = npt.NDArray[np.float64]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Scores(Answer):
    """Scores of the literature, from the K known logits alone: the noise logit plays no part in them."""

    msp: float = Field(description="Maximum softmax probability over the known classes, 1/K … 1; higher = more known.")
    max_logit: float = Field(description="Largest known logit; higher = more known.")
    energy: float = Field(
        description="log Σ exp(known logits), the negative of the free energy of the literature; higher = more known."
    )
    entropy: float = Field(
        description="Entropy of the softmax over the known classes in nats, 0 … ln K; higher = more unknown."
    )


class Decision(Answer):
    """What a model makes of one image."""

    label: str = Field(description="The most probable class; `noise` if that is the noise class.")
    known_label: str = Field(description="The most probable known class.")
    probabilities: dict[str, float] = Field(
        description="Probability of each known class; with the noise probability they sum to 1."
    )
    noise_probability: float | None = Field(description="Null for a model without a noise class.")
    reject_score: float = Field(description="1 − the largest known-class probability; higher = more unknown.")
    threshold: float | None = Field(description="Reject scores above it are rejected; null without a calibration.")
    max_false_reject: float = Field(
        description="Largest share of known images to be rejected wrongly; it chose the threshold, where there is one."
    )
    rejected: bool = Field(description="Whether the reject score is above the threshold or noise is the top class.")
    reason: Literal["noise", "low_confidence"] | None = Field(
        description="Why it was rejected: `noise` if that is the top class, else `low_confidence`; null if accepted."
    )
    scores: Scores
    calibrated: bool = Field(description="Whether the model has a threshold.")
    note: str | None = Field(description="What a model without a threshold can and cannot reject; null with one.")


def decide(logits: Logits, manifest: ModelManifest, max_false_reject: float = DEFAULT_MAX_FALSE_REJECT) -> Decision:
    """The decision on one image, from its logits [outputs]; raises as `decide_many`."""
    (decision,) = decide_many(logits[np.newaxis], manifest, max_false_reject)
    return decision


def decide_many(
    logits: Logits, manifest: ModelManifest, max_false_reject: float = DEFAULT_MAX_FALSE_REJECT
) -> list[Decision]:
    """One decision a row of `logits` [n, outputs], whose columns are `manifest.outputs`.

    Of equally probable classes the first one is named, so a known class wins over noise.

    Raises:
        InvalidInput: `max_false_reject` lies outside 0 … 1.
        ValueError: the logits have another shape, or are not finite.
    """
    rows = np.asarray(logits, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(manifest.outputs):
        raise ValueError(f"logits have the shape {rows.shape}; {len(manifest.outputs)} columns are needed")
    if not np.isfinite(rows).all():
        raise ValueError("logits are not finite")
    check_budget(max_false_reject)
    threshold = manifest.calibration.threshold(max_false_reject) if manifest.calibration else None
    scores = _scores(rows[:, : len(manifest.classes)])
    return [
        _decision(probabilities, row_scores, manifest, threshold, max_false_reject)
        for probabilities, row_scores in zip(_softmax(rows), scores, strict=True)
    ]


def _decision(
    probabilities: Rows, scores: Scores, manifest: ModelManifest, threshold: float | None, share: float
) -> Decision:
    known = probabilities[: len(manifest.classes)]
    label = manifest.outputs[int(probabilities.argmax())]
    reject_score = float(1 - known.max())
    is_noise = manifest.has_noise_class and int(probabilities.argmax()) == len(known)
    is_doubtful = threshold is not None and reject_score > threshold
    return Decision(
        label=label,
        known_label=manifest.classes[int(known.argmax())],
        probabilities=dict(zip(manifest.classes, known.tolist(), strict=True)),
        noise_probability=float(probabilities[-1]) if manifest.has_noise_class else None,
        reject_score=reject_score,
        threshold=threshold,
        max_false_reject=share,
        rejected=is_noise or is_doubtful,
        reason="noise" if is_noise else "low_confidence" if is_doubtful else None,
        scores=scores,
        calibrated=threshold is not None,
        note=None if threshold is not None else NOTE_NOISE_ONLY if manifest.has_noise_class else NOTE_NEVER,
    )


def _softmax(rows: Rows) -> Rows:
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    probabilities: Rows = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def _scores(known: Rows) -> list[Scores]:
    largest = known.max(axis=1)
    energy = largest + np.log(np.exp(known - largest[:, np.newaxis]).sum(axis=1))
    log_probabilities = known - energy[:, np.newaxis]
    # exp(−745) and below is 0, and 0 × a finite logarithm is the 0 that the limit demands.
    probabilities = np.exp(log_probabilities)
    entropy = np.maximum(0.0, -(probabilities * log_probabilities).sum(axis=1))
    columns = (probabilities.max(axis=1), largest, energy, entropy)
    return [
        Scores(msp=msp, max_logit=max_logit, energy=free, entropy=spread)
        for msp, max_logit, free, spread in zip(*(column.tolist() for column in columns), strict=True)
    ]
