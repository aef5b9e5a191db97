"""What runs say of each training image: beside the answers of networks that were trained for fewer epochs, on every engine."""

from typing import Any

import numpy as np
import pytest
import torch

from noisegate.learning.engines import ENGINES, EngineName
from noisegate.learning.prediction import predict
from noisegate.learning.recording import Recorder, SampleRecord, early_epoch
from noisegate.learning.training import Together, Trained
from noisegate.rejection.scores import softmax
from noisegate.spec.recipes import LinearRecipe

from .factories import tinted_images, train_all, training_spec
from .test_checkpoints import Keeper

IMAGES = 120


def run(*seeds: int, engine: EngineName = "separate", **changes: Any) -> list[Trained]:
    images, labels = tinted_images(IMAGES, seed=1)
    named: dict[str, Any] = {"spec": training_spec(epochs=3), "together": Together(8, engine), "record_samples": True}
    results = train_all(images, labels, seeds=seeds or (5,), known_images=IMAGES // 2, **(named | changes))
    return [result for result in results if isinstance(result, Trained)]


def told(result: Trained) -> np.ndarray:
    assert result.record is not None
    return result.record.told().numpy().astype(np.float64)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_epoch_tells_what_the_network_said_before_it(engine: EngineName) -> None:
    """One batch an epoch: what epoch k tells is what a network of k − 1 epochs answers."""
    images, labels = tinted_images(IMAGES, seed=1)
    whole = {"batch_size": IMAGES}
    results = run(5, 6, engine=engine, spec=training_spec(epochs=3, **whole))
    for result in results:
        for epoch in (2, 3):
            (shorter,) = run(result.seed, spec=training_spec(epochs=epoch - 1, **whole), record_samples=False)
            logits, _ = predict(shorter.module, shorter.preprocessing, images)
            own = logits[np.arange(IMAGES), labels]
            others = logits.copy()
            others[np.arange(IMAGES), labels] = -np.inf
            probability, margin = told(result)[epoch - 1]
            np.testing.assert_allclose(probability, softmax(logits)[np.arange(IMAGES), labels], atol=1e-3)
            np.testing.assert_allclose(margin, own - others.max(axis=1), atol=3e-3, rtol=2e-3)
        assert shorter.record is None


def test_sums_and_early_errors_follow_from_the_same_answers() -> None:
    _, labels = tinted_images(IMAGES, seed=1)
    (result,) = run(5, spec=training_spec(epochs=2, batch_size=IMAGES))
    assert result.record is not None
    assert result.record.summed is not None
    assert early_epoch(training_spec(epochs=2)) == 1
    np.testing.assert_allclose(result.record.summed.sum(dim=1), 2, rtol=1e-5)
    first = torch.tensor(told(result)[0][0])
    # Of fresh networks all classes are about alike: the norm follows from the label's share and the others'.
    least = (1 - first).square() + (1 - first).square() / 2
    errors = result.record.errors.double()
    assert (errors.square() >= least - 2e-3).all()
    np.testing.assert_allclose(
        result.record.summed[np.arange(IMAGES), labels], told(result)[:, 0].sum(axis=0), atol=2e-3
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_tell_the_same_and_leave_out_what_was_not_shown(engine: EngineName) -> None:
    expected, found = told(run(7)[0]), told(run(6, 7, engine=engine)[1])
    assert found.shape == (3, 2, IMAGES)
    # Seven batches of 16: eight images are not shown in an epoch.
    np.testing.assert_array_equal(np.isnan(found).sum(axis=2), 8)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_of_an_epoch_that_goes_over_the_end_of_a_pass_the_later_showing_counts() -> None:
    labels = torch.tensor([0, 1, 0])
    record = SampleRecord.empty(3, 2, torch.device("cpu"))
    recorder = Recorder([record], labels)
    for place, logit, new_pass in ((0, 1.0, False), (1, 2.0, False), (0, 3.0, True)):
        recorder.note(torch.tensor([[place]]), torch.tensor([[[logit, 0.0]]]), new_pass=new_pass)
    recorder.finish(early=True)
    assert record.told()[0, 1].tolist()[:2] == [3.0, -2.0]
    assert record.told()[0].isnan().sum(dim=1).tolist() == [1, 1]
    assert record.errors[0].item() == pytest.approx(2**0.5 / (1 + np.e**3), rel=2e-3)
    assert record.summed is not None
    assert record.summed.sum(dim=1).tolist() == pytest.approx([2, 1, 0])


@pytest.mark.parametrize("changes", [{}, {"equal_updates": True}])
def test_resumed_it_tells_the_same_bytes(changes: dict[str, Any]) -> None:
    spec, keeper = training_spec(epochs=3, **changes), Keeper()
    (whole,) = run(5, spec=spec, on_checkpoint=keeper)
    for checkpoint in keeper.by_epoch.values():
        (resumed,) = run(5, spec=spec, resume={5: checkpoint})
        for name in ("errors", "summed"):
            one, other = (getattr(result.record, name).numpy() for result in (whole, resumed))
            assert one.tobytes() == other.tobytes()
        assert told(whole).tobytes() == told(resumed).tobytes()


def test_recording_changes_no_weight_and_a_linear_layer_tells_too() -> None:
    features, labels = np.random.default_rng(0).normal(0, 1, (100, 40)).astype(np.float32), np.arange(100) % 5
    spec = LinearRecipe.model_validate({"recipe": "linear", "epochs": 3, "batch_size": 100, "weight_decay": 0.1})
    named: dict[str, Any] = {"network": "linear", "spec": spec, "outputs": 5, "known_images": 100}
    (plain,) = train_all(features, labels, seeds=[3], **named)
    (result,) = train_all(features, labels, seeds=[3], record_samples=True, **named)
    assert isinstance(plain, Trained)
    assert isinstance(result, Trained)
    for name, values in plain.module.state_dict().items():
        assert torch.equal(values, result.module.state_dict()[name])
    assert told(result).shape == (1, 2, 100), "of three epochs the last"
    probability, margin = told(result)[-1]
    assert ((probability > 0.5) <= (margin > 0)).all(), "more than half is the largest"
    assert not np.isnan(probability).any()
