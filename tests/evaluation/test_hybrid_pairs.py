import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noisegate.errors import InvalidSpec
from noisegate.evaluation.hybrid_pairs import draw_pairs, measure_hybrids
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.training import Trained
from noisegate.manifest import Calibration, Metrics
from noisegate.networks.preprocessing import Preprocessing
from noisegate.spec import HybridPairs
from tests.learning.factories import experiment_spec

CLASSES = ("cat", "dog", "owl")
# Logits over cat, dog, owl and noise for images whose mean lies in 0 … 50, 50 … 100 and so on.
BY_LEVEL: list[list[float]] = [[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0], [0, 0, 0, 9], [1, 0, 0, 0]]
LEVELS = [20, 70, 120, 170, 220]
SURE, UNSURE = 1 / (1 + 3 * math.exp(-9)), math.e / (math.e + 3)
SHARES = ("accepted_as_low", "accepted_as_high", "accepted_as_other", "rejected")


class ByLevel(nn.Module):
    """Logits by the mean of all pixels, and nothing else: for a hybrid, that of the image with the low frequencies."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits, dtype=torch.float32)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        levels = images.mean(dim=(1, 2, 3))
        return self.logits[(levels / 50).long()], levels[:, None]


class ByGrain(nn.Module):
    """dog (the second of three) for images with differences between neighbours, cat for flat ones."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        grain = images.diff(dim=3).abs().mean(dim=(1, 2, 3))[:, None]
        return torch.cat([10 - grain, grain, torch.zeros_like(grain)], dim=1), grain


def checks(level: int) -> np.ndarray:
    image = np.full((8, 8, 3), level, np.uint8)
    image[::2, ::2] += 20
    image[1::2, 1::2] += 20
    return image


def cell() -> PreparedCell:
    """A test set of five flat cats of the five levels, three dogs of checks (level 180 in the mean), one owl (70)."""
    images = [np.full((8, 8, 3), level, np.uint8) for level in LEVELS] + [checks(170)] * 3 + [checks(60)]
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2])
    # Mixed up, so that nothing depends on classes lying together.
    order = np.random.default_rng(1).permutation(len(labels))
    pixels = np.stack(images)[order]
    pixels.flags.writeable = False
    data = CellData(CLASSES, pixels, labels[order], pixels, labels[order], dataset_hash="0" * 64)
    return prepare_cell(experiment_spec(holdout=0), data, cell=0)


def outcome(module: nn.Module, threshold: float | None) -> ExecutionOutcome:
    trained = Trained(
        seed=0,
        module=module,
        preprocessing=Preprocessing(torch.zeros(8, 8, 3)),
        losses=(1.0,),
        train_seconds=1.0,
        images_per_second=1.0,
        precision="float32",
        device="cpu",
        engine="separate",
    )
    measured: dict[str, Any] = dict.fromkeys(("confidence", "spuriousness", "true_class_probability", "false_reject"))
    metrics = Metrics(test_images=9, accuracy=0.5, noise_per_10000=0, **measured)
    # The last but one of 21 quantiles is the one that rejects 5 %.
    calibration = None if threshold is None else Calibration(samples=9, quantiles=[0.0] * 19 + [threshold, 1.0])
    # Hybrids are answered anew; what was said of the test set plays no part.
    answers = Answers(np.zeros((1, 3), np.float32), np.zeros((1, 1), np.float32))
    return ExecutionOutcome(trained, metrics, calibration, None, answers, None)


def test_known_answers_with_a_threshold() -> None:
    # Five pairs are as many as there are cats: each level comes once.
    analysis = measure_hybrids(cell(), outcome(ByLevel(BY_LEVEL), 0.4), HybridPairs(pairs=5), seed=3)
    assert analysis.measures == {
        "accepted_as_low": 0.2,
        "accepted_as_high": 0.2,
        "accepted_as_other": 0.2,
        "rejected": 0.4,
        "rejected_as_noise": 0.2,
        # Three sure of a known class, one sure of noise, one unsure.
        "mean_reject_score": pytest.approx((3 * (1 - SURE) + (1 - math.exp(-9) * SURE) + (1 - UNSURE)) / 5),
        # Two of the five cats, and all dogs, whose level is called noise.
        "parents_rejected": pytest.approx(0.7),
    }
    assert (analysis.details["low_class"], analysis.details["high_class"]) == ("cat", "dog")
    assert analysis.details["called"] == {"cat": 2, "dog": 1, "owl": 1, "noise": 1}
    answers = {20: ("cat", False), 70: ("dog", False), 120: ("owl", False), 170: ("noise", True), 220: ("cat", True)}
    examples: Any = analysis.details["examples"]
    assert len(examples) == 5
    for example in examples:
        level = int(cell().test_images[example["low"]].mean())
        assert (example["label"], example["rejected"]) == answers[level]


def test_without_a_calibration_only_noise_on_top_is_rejected() -> None:
    measures = measure_hybrids(cell(), outcome(ByLevel(BY_LEVEL), None), HybridPairs(pairs=5), seed=3).measures
    assert [measures[name] for name in SHARES] == [0.4, 0.2, 0.2, 0.2]
    assert measures["parents_rejected"] == pytest.approx(0.6)


def test_without_a_noise_class_nothing_is_noise() -> None:
    known = [row[:3] for row in BY_LEVEL]
    analysis = measure_hybrids(cell(), outcome(ByLevel(known), None), HybridPairs(pairs=5), seed=3)
    # Of equal probabilities the first class is named.
    assert [analysis.measures[name] for name in SHARES] == [0.6, 0.2, 0.2, 0.0]
    assert analysis.details["called"] == {"cat": 3, "dog": 1, "owl": 1}


def test_classes_by_name_and_which_gives_what() -> None:
    swapped = HybridPairs(pairs=3, classes=("owl", "cat"))
    measures = measure_hybrids(cell(), outcome(ByLevel(BY_LEVEL), 0.4), swapped, seed=3).measures
    # The owl's level is called dog: neither of the two.
    assert [measures[name] for name in SHARES] == [0.0, 0.0, 1.0, 0.0]
    for classes, share in ((("cat", "dog"), "accepted_as_high"), (("dog", "cat"), "accepted_as_high")):
        wanted = HybridPairs(pairs=3, classes=classes, low_cutoff=1, high_cutoff=1)
        measures = measure_hybrids(cell(), outcome(ByGrain(), None), wanted, seed=3).measures
        assert measures[share] == 1.0, classes


def test_cutoffs_reach_the_filters() -> None:
    def share_called_low(high_cutoff: float) -> float | None:
        wanted = HybridPairs(pairs=3, low_cutoff=1, high_cutoff=high_cutoff)
        return measure_hybrids(cell(), outcome(ByGrain(), None), wanted, seed=3).measures["accepted_as_low"]

    # The dogs' checks pass a high-pass filter at one cycle, and do not at a hundred.
    assert (share_called_low(1), share_called_low(100)) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_pairs_whatever_the_model() -> None:
    def examples(module: nn.Module, seed: int) -> Any:
        found = measure_hybrids(cell(), outcome(module, 0.4), HybridPairs(pairs=40), seed).details["examples"]
        assert isinstance(found, list)
        return [(example["low"], example["high"]) for example in found if isinstance(example, dict)]

    first = examples(ByLevel(BY_LEVEL), 3)
    assert len(first) == 8
    assert first == examples(ByGrain(), 3)
    assert first != examples(ByGrain(), 4)


def test_pairs_that_do_not_fit_in_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    one = measure_hybrids(cell(), outcome(ByLevel(BY_LEVEL), 0.4), HybridPairs(pairs=50), seed=3)
    monkeypatch.setattr("noisegate.evaluation.hybrid_pairs._CHUNK_PIXELS", 7 * 64)
    assert measure_hybrids(cell(), outcome(ByLevel(BY_LEVEL), 0.4), HybridPairs(pairs=50), seed=3) == one
    assert sum(one.measures[name] or 0 for name in SHARES) == pytest.approx(1)


@pytest.mark.parametrize("pairs", [1, 3, 4, 5, 100])
def test_images_are_drawn_from_their_classes_and_repeat_only_where_they_must(pairs: int) -> None:
    labels = np.array([2, 0, 1, 0, 1, 0, 2, 0])
    lows, highs = draw_pairs(labels, (0, 1), pairs, seed=5)
    for drawn, images in ((lows, {1, 3, 5, 7}), (highs, {2, 4})):
        assert len(drawn) == pairs
        assert set(drawn.tolist()) <= images
        if pairs <= len(images):
            assert len(set(drawn.tolist())) == pairs
        if pairs == 100:
            assert set(drawn.tolist()) == images


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cat", "cow"), "no class 'cow'"),
        (("elk", "cow"), "no class 'elk' and no class 'cow'"),
        (("noise", "cat"), "no class 'noise'"),
        (("dog", "dog"), "'dog' twice"),
    ],
)
def test_wrong_classes(classes: tuple[str, str], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as caught:
        measure_hybrids(cell(), outcome(ByGrain(), None), HybridPairs(classes=classes), seed=3)
    assert [error.field for error in caught.value.errors] == ["hybrids.classes"]


def test_a_class_without_test_images() -> None:
    with pytest.raises(InvalidSpec, match="without test images") as caught:
        draw_pairs(np.array([0, 0, 2]), (0, 1), 5, seed=1)
    assert [error.field for error in caught.value.errors] == ["hybrids.classes"]
