"""From a network's answers to decisions: accept an image as one of the known classes, or reject it. Pure NumPy, float64."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, ModelManifest, check_budget, level_of
from noisegate.rejection.reference import Reference
from noisegate.rejection.scores import HIGHER_IS_KNOWN, logit_scores, softmax

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
Probabilities = dict[str, float]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Score(TypedDict):
    """One score of one image, and what it alone would decide. A dictionary, as five models an image would take their time."""

    value: float
    threshold: Annotated[
        float | None,
        Field(
            description="From the same holdout and for the same max_false_reject as the decision's; null without one."
        ),
    ]
    rejects: Annotated[
        bool | None, Field(description="Whether the value lies beyond the threshold, on the unknown side.")
    ]


class TemperatureScaled(Answer):
    """The probabilities after temperature scaling (Guo et al. 2017): of those near 0.8, about 80 % of known images are right."""

    temperature: float = Field(description="Logits are divided by it; fitted on the holdout. Above 1: too sure before.")
    probabilities: Probabilities
    noise_probability: float | None


class Conformal(Answer):
    """Conformal p-values. Small ones speak against their hypothesis: where it holds, at most a share p of images has one ≤ p."""

    classes: Probabilities = Field(
        description="Hypothesis: the image is of this class. From the holdout images of that class."
    )
    none_of_these: float = Field(
        description="Hypothesis: the image is of the known kinds. By its reject score; small means none of these."
    )


class Decision(Answer):
    """What a model makes of one image."""

    label: str = Field(description="The most probable class; `noise` if that is the noise class.")
    known_label: str = Field(description="The most probable known class.")
    probabilities: Probabilities = Field(
        description="Probability of each known class; with the noise probability they sum to 1. With top_k only of the most "
        "probable, in falling order."
    )
    noise_probability: float | None = Field(description="Null for a model without a noise class.")
    temperature_scaled: TemperatureScaled | None = Field(description="Null without a holdout to fit it on.")
    reject_score: float = Field(description="1 − the largest known-class probability; higher = more unknown.")
    threshold: float | None = Field(description="Reject scores above it are rejected; null without a calibration.")
    max_false_reject: float = Field(
        description="Largest share of known images to be rejected wrongly; it chose the thresholds, where there are any."
    )
    rejected: bool = Field(description="Whether the reject score is above the threshold or noise is the top class.")
    reason: Literal["noise", "low_confidence"] | None = Field(
        description="Why it was rejected: `noise` if that is the top class, else `low_confidence`; null if accepted."
    )
    scores: dict[str, Score] = Field(
        description="Scores of the literature, from the known logits alone. `msp` (maximum softmax probability), `max_logit` "
        "and `energy` (log Σ exp): higher = more known. `entropy` (nats) and `knn` (distance in feature space to training "
        "images; where the model stores a reference set): higher = more unknown. None of them takes part in the decision."
    )
    conformal: Conformal | None = Field(description="Null without a holdout.")
    calibrated: bool = Field(description="Whether the model has a threshold.")
    note: str | None = Field(description="What a model without a threshold can and cannot reject; null with one.")


@dataclass(frozen=True)
class Asked:
    """What a caller wants of one image: the share of known images to reject at most (0 … 1), and how many classes to name."""

    max_false_reject: float = DEFAULT_MAX_FALSE_REJECT
    top_k: int | None = None


DEFAULT_ASKED = Asked()


@dataclass(frozen=True)
class Judge:
    """What decides for one model."""

    manifest: ModelManifest
    reference: Reference | None = None

    def decide(self, logits: Logits, features: Logits, asked: Sequence[Asked]) -> list[Decision]:
        """One decision a row of `logits` [n, outputs] and `features` [n, width], as `asked` for each.

        Columns are `manifest.outputs`. Of equally probable classes the first one is named, so a known class wins over noise.

        Raises:
            InvalidInput: a `max_false_reject` lies outside 0 … 1.
            ValueError: the logits have another shape, or are not finite.
        """
        rows = np.asarray(logits, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.manifest.outputs):
            raise ValueError(f"logits have the shape {rows.shape}; {len(self.manifest.outputs)} columns are needed")
        if not np.isfinite(rows).all():
            raise ValueError("logits are not finite")
        for one in asked:
            check_budget(one.max_false_reject)
        probabilities = softmax(rows)
        columns = zip(
            probabilities.tolist(),
            asked,
            self._scores(rows, features, asked),
            self._tempered(rows),
            self._conformal(probabilities),
            strict=True,
        )
        return [self._decision(*column) for column in columns]

    def _decision(
        self,
        probabilities: list[float],
        asked: Asked,
        scores: dict[str, Score],
        tempered: list[float] | None,
        conformal: tuple[list[float], float] | None,
    ) -> Decision:
        manifest = self.manifest
        known = probabilities[: len(manifest.classes)]
        largest = max(known)
        best = known.index(largest)
        is_noise = manifest.has_noise_class and probabilities[-1] > largest
        threshold = manifest.calibration.threshold(asked.max_false_reject) if manifest.calibration else None
        reject_score = 1 - largest
        is_doubtful = threshold is not None and reject_score > threshold
        named = _most_probable(known, asked.top_k)
        return Decision(
            label=manifest.outputs[-1] if is_noise else manifest.classes[best],
            known_label=manifest.classes[best],
            probabilities=self._by_class(known, named),
            noise_probability=probabilities[-1] if manifest.has_noise_class else None,
            temperature_scaled=self._temperature_scaled(tempered, named),
            reject_score=reject_score,
            threshold=threshold,
            max_false_reject=asked.max_false_reject,
            rejected=is_noise or is_doubtful,
            reason="noise" if is_noise else "low_confidence" if is_doubtful else None,
            scores=scores,
            conformal=Conformal(classes=self._by_class(conformal[0], named), none_of_these=conformal[1])
            if conformal
            else None,
            calibrated=threshold is not None,
            note=None if threshold is not None else NOTE_NOISE_ONLY if manifest.has_noise_class else NOTE_NEVER,
        )

    def _by_class(self, values: Sequence[float], named: Sequence[int] | None) -> Probabilities:
        classes = self.manifest.classes
        if named is None:
            return dict(zip(classes, values, strict=False))
        return {classes[place]: values[place] for place in named}

    def _temperature_scaled(
        self, tempered: list[float] | None, named: Sequence[int] | None
    ) -> TemperatureScaled | None:
        if tempered is None:
            return None
        calibration = self.manifest.calibration
        assert calibration
        assert calibration.temperature
        return TemperatureScaled(
            temperature=calibration.temperature,
            probabilities=self._by_class(tempered, named),
            noise_probability=tempered[-1] if self.manifest.has_noise_class else None,
        )

    def _tempered(self, rows: Rows) -> Sequence[list[float] | None]:
        calibration = self.manifest.calibration
        if calibration is None or calibration.temperature is None:
            return [None] * len(rows)
        scaled: list[list[float]] = softmax(rows / calibration.temperature).tolist()
        return scaled

    def _conformal(self, probabilities: Rows) -> Sequence[tuple[list[float], float] | None]:
        if self.reference is None:
            return [None] * len(probabilities)
        known = probabilities[:, : len(self.manifest.classes)]
        of_known = self.reference.known_p_values(1 - known.max(axis=1))
        return list(zip(self.reference.p_values(known).tolist(), of_known.tolist(), strict=True))

    def _scores(self, rows: Rows, features: Logits, asked: Sequence[Asked]) -> Iterator[dict[str, Score]]:
        known = rows[:, : len(self.manifest.classes)]
        if self.reference is None:
            columns: Mapping[str, Rows] = logit_scores(known)
            thresholds: Mapping[str, Sequence[float | None]] = dict.fromkeys(columns, [None] * len(rows))
        else:
            columns = self.reference.scores(known, features)
            levels = np.array([level_of(one.max_false_reject, self.reference.levels) for one in asked])
            thresholds = {name: self.reference.thresholds(name, levels).tolist() for name in columns}
        by_score = [
            [_score(name, value, bound) for value, bound in zip(values.tolist(), thresholds[name], strict=True)]
            for name, values in columns.items()
        ]
        return (dict(zip(columns, row, strict=True)) for row in zip(*by_score, strict=True))


def _score(name: str, value: float, threshold: float | None) -> Score:
    if threshold is None:
        return Score(value=value, threshold=None, rejects=None)
    rejects = value < threshold if HIGHER_IS_KNOWN[name] else value > threshold
    return Score(value=value, threshold=threshold, rejects=rejects)


def _most_probable(known: Sequence[float], top_k: int | None) -> list[int] | None:
    """Which of the known classes to name, the most probable first; None for all of them in their own order."""
    if top_k is None:
        return None
    return sorted(range(len(known)), key=known.__getitem__, reverse=True)[:top_k]
