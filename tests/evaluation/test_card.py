import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor, nn

from noisegate.api.card import Card, FamilyResult, Reliability
from noisegate.evaluation.cards import make_card
from noisegate.evaluation.curves import reliability, risk_coverage
from noisegate.evaluation.families import UNKNOWN_FAMILIES, KnownImages, family_chunks
from noisegate.evaluation.open_set_metrics import auroc
from noisegate.evaluation.references import make_reference
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.rejection.reference import compute_scores
from noisegate.rejection.scores import softmax
from noisegate.seeds import derive_seed
from tests.conftest import examples
from tests.learning.factories import Cancelled, Counter, cell_data, experiment_spec, run_all, training_spec

NOISE_FAMILIES = [family.name for family in UNKNOWN_FAMILIES.values() if family.group == "noise"]
# Of 0.01, 0.02, 0.05, 0.1 and 0.2 what a holdout of 30 images can promise: no less than 1/31.
PROMISED = [0.0323, 0.05, 0.1, 0.2]
OTHER_SCORES = {"msp", "max_logit", "energy", "entropy"}
# Few distinct values beside many: ties are where ranks go wrong.
SCORES = st.lists(st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=40)
# Reject scores and whether the image was wrong.
ACCEPTED = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.1, 0.5, 0.9]), st.booleans()), min_size=1, max_size=7)


def muddled_data() -> CellData:
    """Every fifth label is wrong, so that a network is neither always right nor always sure."""
    data = cell_data()
    train, test = data.train_labels.copy(), data.test_labels.copy()
    for labels in (train, test):
        labels[::5] = (labels[::5] + 1) % len(data.classes)
    return dataclasses.replace(data, train_labels=train, test_labels=test)


def trained(**changes: object) -> tuple[PreparedCell, ExecutionOutcome]:
    spec = experiment_spec(training=training_spec(epochs=10, learning_rate=0.005), **changes)
    cell = prepare_cell(spec, muddled_data(), 2)
    (outcome,) = run_all(cell, [1])
    assert isinstance(outcome, ExecutionOutcome)
    return cell, outcome


@pytest.fixture(scope="module")
def uniform() -> tuple[PreparedCell, ExecutionOutcome]:
    """Trained on uniform noise, with a holdout."""
    return trained()


@pytest.fixture(scope="module")
def bare() -> tuple[PreparedCell, ExecutionOutcome]:
    """Trained without noise and without a holdout."""
    return trained(noise=None, holdout=0)


@pytest.fixture(scope="module")
def card(uniform: tuple[PreparedCell, ExecutionOutcome]) -> Card:
    return make_card(*uniform, make_reference(*uniform), images_per_family=60)


def small(cell: PreparedCell, outcome: ExecutionOutcome) -> Card:
    return make_card(cell, outcome, None, images_per_family=20)


def share_of_pairs(known: np.ndarray, unknown: np.ndarray) -> float:
    """Of all pairs of an unknown and a known value, those where the unknown one is higher, a tie counting half."""
    return float(np.mean([(other > value) + 0.5 * (other == value) for other in unknown for value in known]))


def named(card: Card, name: str) -> FamilyResult:
    (found,) = (family for family in card.families if family.name == name)
    return found


@settings(deadline=None, max_examples=examples(100))
@given(known=SCORES, unknown=SCORES)
def test_auroc_is_the_share_of_pairs_in_the_right_order(known: list[float], unknown: list[float]) -> None:
    found = auroc(np.array(known), np.array(unknown))
    assert found == pytest.approx(share_of_pairs(np.array(known), np.array(unknown)), abs=1e-12)


def test_a_tie_counts_half() -> None:
    assert auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 7 / 8


@pytest.mark.parametrize("seed", range(5))
def test_reliability_is_that_of_a_plain_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = softmax(generator.normal(0, 2, (200, 4)))
    probabilities[:3] = np.array([[1, 0, 0, 0], [0.4, 0.2, 0.2, 0.2], [0.6, 0.4, 0, 0]])  # 6/15 and 9/15 lie on edges
    labels = generator.integers(0, 3, 200)
    found = reliability(probabilities, labels)
    error = 0.0
    for place, bin_ in enumerate(found.bins):
        inside = [
            (max(row), float(row.argmax() == label))
            for row, label in zip(probabilities, labels, strict=True)
            if place / 15 < max(row) <= (place + 1) / 15
        ]
        assert bin_.count == len(inside)
        if inside:
            confidence, accuracy = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            assert (bin_.confidence, bin_.accuracy) == pytest.approx((confidence, accuracy))
            error += abs(confidence - accuracy) * len(inside) / 200
        else:
            assert (bin_.confidence, bin_.accuracy) == (None, None)
    assert found.error == pytest.approx(error)
    assert len(found.bins) == 15


def test_reliability_by_hand_counts_the_noise_output() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [0.1, 0.1, 0.8]])
    found = reliability(probabilities, np.array([0, 1, 1, 1]))
    # Bins: 0.9 twice, half right; 0.5 once, right; 0.8 once, noise on top and so wrong.
    assert found.error == pytest.approx((2 * 0.4 + 0.5 + 0.8) / 4)
    filled = {place: bin_.count for place, bin_ in enumerate(found.bins) if bin_.count}
    assert filled == {7: 1, 11: 1, 13: 2}


@settings(deadline=None, max_examples=examples(60))
@given(images=ACCEPTED)
def test_aurc_is_the_mean_over_all_orders_of_ties(images: list[tuple[float, bool]]) -> None:
    scores, wrong = (np.array(column) for column in zip(*images, strict=True))
    areas = [
        np.mean([np.mean([images[place][1] for place in order[:k]]) for k in range(1, len(images) + 1)])
        for order in itertools.permutations(range(len(images)))
        if all(images[a][0] <= images[b][0] for a, b in itertools.pairwise(order))
    ]
    assert risk_coverage(scores, wrong).aurc == pytest.approx(float(np.mean(areas)))


@settings(deadline=None, max_examples=examples(60))
@example(images=[(score, score % 3 == 0) for score in range(150)])
@given(images=st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=250))
def test_the_curve_is_every_hundredth_acceptance_by_brute_force(images: list[tuple[int, bool]]) -> None:
    scores, wrong = (np.array(column) for column in zip(*images, strict=True))
    by_threshold = sorted((int((scores <= score).sum()), float(wrong[scores <= score].mean())) for score in set(scores))
    expected = []
    for percent in range(101):
        reached = next(point for point in by_threshold if 100 * point[0] >= percent * len(images))
        if reached not in expected:
            expected.append(reached)
    curve = risk_coverage(scores.astype(float), wrong).curve
    assert [(round(point.coverage * len(images)), point.risk) for point in curve] == expected


def test_risk_and_coverage_by_hand() -> None:
    found = risk_coverage(np.array([0.9, 0.1, 0.2, 0.2]), np.array([True, False, True, False]))
    # One image accepted: none wrong. Two: half an error expected. Three: one. All: two.
    assert found.aurc == pytest.approx((0 + 0.5 / 2 + 1 / 3 + 2 / 4) / 4)
    assert [(point.coverage, point.risk) for point in found.curve] == [(0.25, 0), (0.75, 1 / 3), (1, 0.5)]


def test_the_test_set_is_measured_as_in_table_1(card: Card, uniform: tuple[PreparedCell, ExecutionOutcome]) -> None:
    _, outcome = uniform
    assert outcome.calibration
    assert (card.test_images, card.accuracy) == (100, outcome.metrics.accuracy)
    assert card.temperature == outcome.calibration.temperature
    assert card.risk_coverage.curve[-1].risk == pytest.approx(1 - card.accuracy)
    (default,) = (one for one in card.false_reject if one.max_false_reject == 0.05)
    assert default.rejected == outcome.metrics.false_reject


def test_test_images_called_noise_are_wrong_and_rejected(uniform: tuple[PreparedCell, ExecutionOutcome]) -> None:
    cell, outcome = uniform
    logits = outcome.test_answers.logits.copy()
    logits[:40, 3] = logits.max() + 1
    card = small(cell, dataclasses.replace(outcome, test_answers=Answers(logits, outcome.test_answers.features)))
    right = logits[40:, :4].argmax(axis=1) == cell.test_labels[40:]
    assert card.accuracy == right.sum() / 100
    assert card.risk_coverage.curve[-1].risk == pytest.approx(1 - card.accuracy)
    assert all(one.rejected >= 0.4 for one in card.false_reject)


def test_the_temperature_divides_the_logits(card: Card, uniform: tuple[PreparedCell, ExecutionOutcome]) -> None:
    cell, outcome = uniform
    logits = outcome.test_answers.logits.astype(np.float64)
    assert card.temperature
    assert card.temperature != pytest.approx(1, abs=0.01)
    for found, rows in (
        (card.calibration_error.before, logits),
        (card.calibration_error.after, logits / card.temperature),
    ):
        assert isinstance(found, Reliability)
        exponentials = np.exp(rows)
        expected = reliability(exponentials / exponentials.sum(axis=1, keepdims=True), cell.test_labels)
        assert found.error == pytest.approx(expected.error)


def test_false_rejects_have_wilsons_interval(card: Card) -> None:
    assert [one.max_false_reject for one in card.false_reject] == PROMISED
    z, n = 1.959963984540054, 100
    for one in card.false_reject:
        share = one.rejected
        middle = share + z**2 / (2 * n)
        spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        assert one.low == pytest.approx((middle - spread) / (1 + z**2 / n), abs=1e-12)
        assert one.high == pytest.approx((middle + spread) / (1 + z**2 / n), abs=1e-12)
    assert any(0 < one.rejected < 1 for one in card.false_reject)


def test_thresholds_and_temperature_come_from_the_holdout_alone(
    card: Card, uniform: tuple[PreparedCell, ExecutionOutcome]
) -> None:
    cell, outcome = uniform
    assert outcome.calibration
    poison = np.random.default_rng(0).normal(0, 1, outcome.test_answers.logits.shape).astype(np.float32)
    poisoned = dataclasses.replace(outcome, test_answers=Answers(poison, outcome.test_answers.features))
    other = small(cell, poisoned)
    assert other.accuracy != card.accuracy
    assert other.temperature == card.temperature
    thresholds = [outcome.calibration.threshold(budget) for budget in PROMISED]
    assert [one.threshold for one in other.false_reject] == [one.threshold for one in card.false_reject] == thresholds
    full = make_card(cell, poisoned, make_reference(cell, outcome), images_per_family=60)
    assert [one.rejected_at for one in full.families] == [one.rejected_at for one in card.families]


@pytest.mark.parametrize("name", ["blobs", "hybrids"])
def test_a_family_is_measured_on_its_own_images(
    name: str, card: Card, uniform: tuple[PreparedCell, ExecutionOutcome]
) -> None:
    cell, outcome = uniform
    seed = derive_seed(derive_seed(cell.spec.seed, "families", 2), name)
    known = KnownImages(cell.test_images, cell.test_labels)
    (images,) = family_chunks(UNKNOWN_FAMILIES[name], np.random.default_rng(seed), known, 60)
    logits, features = predict(outcome.trained.module, outcome.trained.preprocessing, images)
    found = named(card, name)
    assert found.images == 60
    probabilities, tested = softmax(logits), softmax(outcome.test_answers.logits)
    reject, reject_tested = (1 - rows[:, :3].max(axis=1) for rows in (probabilities, tested))
    assert found.auroc == pytest.approx(share_of_pairs(reject_tested, reject))
    assert found.scores["max_logit"] == pytest.approx(
        share_of_pairs(-outcome.test_answers.logits[:, :3].max(axis=1), -logits[:, :3].max(axis=1))
    )
    reference = make_reference(cell, outcome)
    assert reference
    scores, scores_tested = (
        compute_scores(rows.logits[:, :3], rows.features, reference)
        for rows in (Answers(logits, features), outcome.test_answers)
    )
    for score, sign in (("knn", 1), ("mahalanobis", 1), ("vim", 1), ("entropy", 1), ("energy", -1), ("msp", -1)):
        assert found.scores[score] == pytest.approx(share_of_pairs(sign * scores_tested[score], sign * scores[score]))
    as_noise = probabilities.argmax(axis=1) == 3
    assert outcome.calibration
    assert found.rejected == ((reject > outcome.calibration.threshold(0.05)) | as_noise).mean()
    assert found.rejected_as_noise == as_noise.mean()
    assert [one.rejected for one in found.rejected_at] == [
        ((reject > outcome.calibration.threshold(budget)) | as_noise).mean() for budget in PROMISED
    ]


def test_what_was_trained_on_is_marked_and_left_out_of_the_mean(card: Card) -> None:
    assert [family.name for family in card.families] == list(UNKNOWN_FAMILIES)
    assert [family.name for family in card.families if family.trained] == ["uniform"]
    assert named(card, "uniform").auroc == pytest.approx(1, abs=0.02)
    untrained = [named(card, name) for name in NOISE_FAMILIES if name != "uniform"]
    assert card.untrained_noise
    assert card.untrained_noise.families == [family.name for family in untrained]
    assert card.untrained_noise.auroc == pytest.approx(sum(family.auroc or 0 for family in untrained) / 8)
    assert card.untrained_noise.rejected == pytest.approx(sum(family.rejected or 0 for family in untrained) / 8)
    assert set(card.untrained_noise.scores) == OTHER_SCORES | {"knn", "mahalanobis", "vim"}
    for score, mean in card.untrained_noise.scores.items():
        assert mean == pytest.approx(sum(family.scores[score] for family in untrained) / 8)


def test_without_a_holdout_nothing_is_made_up(bare: tuple[PreparedCell, ExecutionOutcome]) -> None:
    card = small(*bare)
    assert (card.temperature, card.calibration_error.after, card.false_reject) == (None, None, [])
    assert not any(family.trained for family in card.families)
    assert card.untrained_noise
    assert card.untrained_noise.families == NOISE_FAMILIES
    for family in card.families:
        assert (family.rejected, family.rejected_as_noise, family.rejected_at) == (0, 0, [])
        assert set(family.scores) == OTHER_SCORES
        assert family.auroc is not None


def test_without_a_holdout_noise_on_top_still_rejects() -> None:
    cell, outcome = trained(holdout=0)
    found = named(small(cell, outcome), "uniform")
    assert found.rejected == found.rejected_as_noise
    assert found.rejected
    assert found.rejected > 0.9


def test_a_card_is_json_and_the_same_each_time(card: Card, uniform: tuple[PreparedCell, ExecutionOutcome]) -> None:
    text = card.model_dump_json()
    assert Card.model_validate_json(text) == card
    again = make_card(*uniform, make_reference(*uniform), images_per_family=60)
    assert again.model_dump_json() == text


class InfiniteOnSmoothImages(nn.Module):
    """As `network`, but with `value` as all logits of images whose steps from pixel to pixel are below `steps` levels."""

    def __init__(self, network: nn.Module, value: float, steps: float) -> None:
        super().__init__()
        self.network, self.value, self.steps = network, value, steps

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch width"]]:
        logits, features = self.network(images)
        steps = (images[:, :, 1:] - images[:, :, :-1]).abs().amax(dim=(1, 2, 3))
        return torch.where((steps < self.steps)[:, None], self.value, logits), features


def infinite(outcome: ExecutionOutcome, value: float, steps: float) -> ExecutionOutcome:
    module = InfiniteOnSmoothImages(outcome.trained.module, value, steps)
    return dataclasses.replace(outcome, trained=dataclasses.replace(outcome.trained, module=module))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_answers_that_are_not_finite_measure_nothing(
    value: float, uniform: tuple[PreparedCell, ExecutionOutcome]
) -> None:
    cell, outcome = uniform
    # The mean image is subtracted, so that even a single colour has steps of some levels.
    card, whole = small(cell, infinite(outcome, value, 40)), small(cell, outcome)
    for name in ("solid", "gray"):
        found = named(card, name)
        assert (found.auroc, found.scores, found.rejected, found.rejected_as_noise) == (None, {}, None, None)
        assert (found.rejected_at, found.images) == ([], 20)
    for name in ("gaussian", "rademacher", "checkerboard"):
        assert named(card, name) == named(whole, name)
    assert card.untrained_noise
    assert not {"solid", "gray"} & set(card.untrained_noise.families)
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_nothing_is_averaged_where_no_answer_is_finite(uniform: tuple[PreparedCell, ExecutionOutcome]) -> None:
    cell, outcome = uniform
    card = small(cell, infinite(outcome, math.nan, math.inf))
    assert card.untrained_noise is None
    assert [family.auroc for family in card.families] == [None] * len(UNKNOWN_FAMILIES)


def test_one_class_of_test_images_leaves_hybrids_out(uniform: tuple[PreparedCell, ExecutionOutcome]) -> None:
    cell, outcome = uniform
    red = cell.test_labels == 0
    answers = Answers(outcome.test_answers.logits[red], outcome.test_answers.features[red])
    alone = dataclasses.replace(cell, test_images=cell.test_images[red], test_labels=cell.test_labels[red])
    card = make_card(alone, dataclasses.replace(outcome, test_answers=answers), None, images_per_family=50)
    assert {family.name for family in card.families} == set(UNKNOWN_FAMILIES) - {"hybrids"}
    assert named(card, "inverted").images == red.sum() < 50


def test_whatever_is_raised_between_chunks_passes_through(uniform: tuple[PreparedCell, ExecutionOutcome]) -> None:
    counter = Counter()
    make_card(*uniform, None, images_per_family=5, between_chunks=counter)
    assert counter.calls >= 2 * len(UNKNOWN_FAMILIES)
    for stop_at in (1, 4):
        with pytest.raises(Cancelled):
            make_card(*uniform, None, images_per_family=5, between_chunks=Counter(stop_at))
