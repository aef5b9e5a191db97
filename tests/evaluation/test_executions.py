import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.learning.cells import PreparedCell, holdout_mask, prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.learning.training import Diverged
from noisegate.noise.drawing import noise_images
from noisegate.rejection.scores import softmax
from noisegate.seeds import derive_seed
from noisegate.spec import TrainingExperiment
from tests.learning.factories import CLASSES, cell_data, experiment_spec, run_all, training_spec


def run(cell: PreparedCell, *seeds: int) -> list[ExecutionOutcome | Diverged]:
    return run_all(cell, seeds)


def run_one(cell: PreparedCell, seed: int = 1) -> ExecutionOutcome:
    (outcome,) = run(cell, seed)
    assert isinstance(outcome, ExecutionOutcome)
    return outcome


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_training_images_and_holdout_share_no_image_and_lose_none() -> None:
    data = cell_data(train=200)
    cell = prepare_cell(experiment_spec(), data, 0)
    known = rows(cell.inputs[: cell.known_images])
    assert len(cell.holdout_inputs) == 20
    assert not known & rows(cell.holdout_inputs)
    assert known | rows(cell.holdout_inputs) == rows(data.train_images)


def test_labels_stay_with_their_images() -> None:
    data = cell_data(train=200)
    cell = prepare_cell(experiment_spec(), data, 0)
    truth = dict(zip((image.tobytes() for image in data.train_images), data.train_labels, strict=True))
    for images, labels in ((cell.inputs[: cell.known_images], cell.labels), (cell.holdout_inputs, cell.holdout_labels)):
        assert [truth[image.tobytes()] for image in images] == labels[: len(images)].tolist()


def test_noise_is_last_counted_from_the_whole_training_set_and_drawn_once_a_cell() -> None:
    spec = experiment_spec(noise={"family": "gaussian", "quantity": 0.5}, seed=3, holdout=0.2)
    cell = prepare_cell(spec, cell_data(train=200), 4)
    count = round(0.5 * 200 / 3)
    assert len(cell.inputs) == len(cell.labels) == 160 + count
    assert (cell.labels[cell.known_images :] == len(CLASSES)).all()
    assert (cell.labels[: cell.known_images] < len(CLASSES)).all()
    generator = np.random.default_rng(derive_seed(3, "noise", 4))
    assert np.array_equal(cell.inputs[cell.known_images :], noise_images(generator, spec.noises[0], count, 8))


def test_cells_share_the_holdout_but_not_the_noise() -> None:
    data = cell_data(train=200)
    first = prepare_cell(experiment_spec(), data, 0)
    second = prepare_cell(experiment_spec(training=training_spec(epochs=9)), data, 1)
    assert np.array_equal(first.holdout_inputs, second.holdout_inputs)
    assert not np.array_equal(first.inputs[first.known_images :], second.inputs[second.known_images :])
    other_seed = prepare_cell(experiment_spec(seed=1), data, 0)
    assert not np.array_equal(first.holdout_inputs, other_seed.holdout_inputs)


@pytest.mark.parametrize("noise", [None, {"family": "uniform", "quantity": 0}])
def test_without_noise_or_holdout(noise: dict[str, object] | None) -> None:
    data = cell_data(train=60)
    cell = prepare_cell(experiment_spec(noise=noise, holdout=0), data, 0)
    assert cell.outputs == len(CLASSES)
    assert np.array_equal(cell.inputs, data.train_images)
    assert np.array_equal(cell.labels, data.train_labels)
    outcome = run_one(cell)
    assert (outcome.calibration, outcome.holdout_accuracy, outcome.metrics.false_reject) == (None, None, None)
    assert outcome.metrics.noise_per_10000 == 0


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=12),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**63 - 1),
)
def test_the_holdout_is_stratified(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    held = holdout_mask(labels, share, seed)
    assert np.array_equal(held, holdout_mask(labels, share, seed))
    assert held.any()
    for name, count in enumerate(counts):
        of_class = int(held[labels == name].sum())
        assert of_class < count
        assert abs(of_class - share * count) <= 1.5 + 1e-9 or of_class == count - 1


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [([5000] * 10, 0.1, [500] * 10), ([4] * 100, 0.1, None), ([3, 9], 0.01, [0, 1]), ([7, 7], 0, [0, 0])],
)
def test_holdout_sizes(counts: list[int], share: float, expected: list[int] | None) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    held = holdout_mask(labels, share, seed=0)
    assert held.sum() == (sum(expected) if expected else round(share * len(labels)))
    if expected:
        assert np.bincount(labels[held], minlength=len(counts)).tolist() == expected


def test_an_execution_learns_classes_rejects_noise_and_is_calibrated() -> None:
    cell = prepare_cell(experiment_spec(training=training_spec(epochs=12)), cell_data(), 0)
    outcome = run_one(cell)
    assert outcome.metrics.accuracy > 0.95
    assert outcome.holdout_accuracy is not None
    assert outcome.holdout_accuracy > 0.9
    assert outcome.calibration is not None
    assert outcome.calibration.samples == len(cell.holdout_inputs)
    fresh = noise_images(np.random.default_rng(99), cell.spec.noises[0], 100, 8)
    logits, _ = predict(outcome.trained.module, outcome.trained.preprocessing, fresh)
    assert (logits.argmax(axis=1) == len(CLASSES)).mean() > 0.95


def test_measurements_are_those_of_the_trained_network() -> None:
    # One short epoch: a network that errs, so that every metric has a value.
    cell = prepare_cell(experiment_spec(training=training_spec(epochs=1)), cell_data(), 0)
    outcome = run_one(cell)
    trained = outcome.trained
    test = softmax(predict(trained.module, trained.preprocessing, cell.test_images)[0])
    holdout = softmax(predict(trained.module, trained.preprocessing, cell.holdout_inputs)[0])
    assert outcome.calibration is not None
    above = outcome.calibration.threshold(0.05)
    rejected = [1 - max(row[:3]) > above or row.argmax() == 3 for row in test]
    assert outcome.metrics.accuracy == (test.argmax(axis=1) == cell.test_labels).mean()
    assert outcome.metrics.false_reject == sum(rejected) / len(rejected)
    assert outcome.holdout_accuracy == (holdout.argmax(axis=1) == cell.holdout_labels).mean()
    assert sum(1 - max(row[:3]) > above for row in holdout) <= 0.05 * len(holdout)


def test_executions_share_their_data_and_keep_their_order() -> None:
    cell = prepare_cell(experiment_spec(training=training_spec(epochs=1)), cell_data(train=90), 0)
    together = [result for result in run(cell, 11, 12) if isinstance(result, ExecutionOutcome)]
    assert [outcome.trained.seed for outcome in together] == [11, 12]
    alone = run_one(cell, 12)
    assert (together[1].metrics, together[1].calibration) == (alone.metrics, alone.calibration)
    assert together[0].metrics != alone.metrics


@pytest.mark.parametrize("holdout", [0, 0.1])
def test_a_network_that_breaks_in_its_last_update_has_diverged(holdout: float) -> None:
    """One update: its loss is still finite, the weights after it are not."""
    training = training_spec(epochs=1, batch_size=500, learning_rate=1e38)
    cell = prepare_cell(experiment_spec(training=training, holdout=holdout), cell_data(train=60), 0)
    assert run(cell, 5) == [Diverged(5, epoch=1)]


def test_one_that_diverges_fails_alone() -> None:
    cell = prepare_cell(unstable(), cell_data(train=150), 0)
    results = run(cell, *range(12))
    kinds = [type(result) for result in results]
    assert set(kinds) == {ExecutionOutcome, Diverged}
    seeds = [result.seed if isinstance(result, Diverged) else result.trained.seed for result in results]
    assert seeds == list(range(12))


def unstable() -> TrainingExperiment:
    """At the edge: about half of the seeds run away, the others end with their ReLUs dead and a finite loss."""
    return experiment_spec(training=training_spec(epochs=2, learning_rate=3.0, first_layer_std=0.1))
