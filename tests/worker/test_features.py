"""Features through a worker, with the embedded backbone: computed once, whatever happens to who computes them."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import sqlalchemy as sa
from sklearn.preprocessing import normalize

from noisegate.inference.classifier import Classifier
from noisegate.learning.encoding import Encoder
from noisegate.rejection.reference import Reference
from noisegate.spec import TrainingExperiment
from noisegate.spec.derived import Features
from noisegate.store import derived
from noisegate.store.states import DerivedState, State
from noisegate.store.tables import Derived, Execution, Experiment, Model
from tests import factories
from worker import features
from worker.claiming import claim_more, claim_oldest
from worker.derived import make_one
from worker.lease import draining
from worker.resources import Resources
from worker.training import train_oldest

SIZE = 32
NETWORK = {"backbone": "tf_efficientnet_lite0"}


def spec(**changes: Any) -> TrainingExperiment:
    training = {"recipe": "linear", "batch_size": 16}
    defaults = {"dataset": "shades", "network": NETWORK, "image_size": SIZE, "training": training, "holdout": 0.2}
    return TrainingExperiment.model_validate(defaults | changes)


def post(resources: Resources, **changes: Any) -> Experiment:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts, image_size=SIZE)
        return factories.queued_experiment(session, spec(**changes))


def only(resources: Resources) -> Derived:
    with resources.sessions.reading() as session:
        return session.scalars(sa.select(Derived)).one()


def all_of(resources: Resources, row: type[Any]) -> list[Any]:
    with resources.sessions.reading() as session:
        return list(session.scalars(sa.select(row).order_by(row.id)))


def work(resources: Resources) -> None:
    make_one(resources, only(resources).id)
    while any(one.state is State.QUEUED for one in all_of(resources, Execution)):
        train_oldest(resources)


def test_executions_wait_for_features_and_are_trained_on_them(resources: Resources) -> None:
    post(resources, executions=2, noise={"family": "uniform", "quantity": 0.5})
    train_oldest(resources)
    assert {one.state for one in all_of(resources, Execution)} == {State.QUEUED}, "there is nothing to train on yet"
    work(resources)
    ended = all_of(resources, Execution)
    assert {one.state for one in ended} == {State.SUCCEEDED}
    assert all(one.metrics.accuracy > 0.9 for one in ended)
    (model,) = all_of(resources, Model)
    assert model.manifest.network == "tf_efficientnet_lite0.in1k"
    assert model.manifest.source.sha256.startswith("57934424")
    with resources.sessions.reading() as session:
        assert session.get_one(Model, model.id).card is not None


def test_as_many_of_a_cell_are_claimed_as_are_worth_preparing_it(resources: Resources) -> None:
    """Executions stand in line cell by cell: by themselves each claim would prepare another cell."""
    post(resources, executions=12, sweep={"training.batch_size": [8, 16]})
    make_one(resources, only(resources).id)
    claimed = claim_oldest(resources)
    assert claimed is not None
    claim_more(resources, claimed)
    assert len(claimed.ids) == 10
    assert {one.cell_id for one in claimed.executions} == {claimed.executions[0].cell_id}


def test_the_served_graph_gives_what_was_trained_on(resources: Resources) -> None:
    post(resources, executions=1)
    work(resources)
    row, (model,) = only(resources), all_of(resources, Model)
    with resources.sessions.reading() as session:
        kept = derived.files_of(session, row.id)
        dataset = session.get_one(Derived, row.id).dataset
    computed = np.load(resources.artefacts.fetch(kept[features.FEATURES_FILE].digest))
    images = np.load(resources.artefacts.fetch(str(dataset.images_digest)))
    session_of_model = onnxruntime.InferenceSession(
        resources.artefacts.read(model.onnx_digest), providers=["CPUExecutionProvider"]
    )
    (served,) = session_of_model.run(["features"], {"images": images[:20]})
    np.testing.assert_allclose(served, computed[:20], rtol=1e-4, atol=1e-4)


def test_a_backbone_in_8_bits_computes_and_serves_the_same(resources: Resources) -> None:
    post(resources, executions=1, network=NETWORK | {"precision": "int8"})
    work(resources)
    row, (model,) = only(resources), all_of(resources, Model)
    with resources.sessions.reading() as session:
        kept = derived.files_of(session, row.id)
        dataset = session.get_one(Derived, row.id).dataset
    computed = np.load(resources.artefacts.fetch(kept[features.FEATURES_FILE].digest))
    images = np.load(resources.artefacts.fetch(str(dataset.images_digest)))
    classifier = Classifier(resources.artefacts.fetch(model.onnx_digest), model.manifest)
    assert (classifier.logits(images[:20])[1] == computed[:20]).all()
    assert resources.artefacts.fetch(model.onnx_digest).stat().st_size < 5e6


def test_a_cross_validated_execution_ends_with_a_model_that_serves(resources: Resources) -> None:
    noise = {"family": "uniform", "quantity": 0.5}
    post(resources, executions=2, noise=noise, calibration="cross_validated", holdout=0)
    work(resources)
    ended, (model,) = all_of(resources, Execution), all_of(resources, Model)
    assert {one.state for one in ended} == {State.SUCCEEDED}
    chosen = [one.details.regularisation for one in ended]
    assert chosen[0] == chosen[1] == model.manifest.regularisation, "once a cell"
    assert chosen[0].folds == 5
    calibration = model.manifest.calibration
    assert (calibration.source, calibration.samples) == ("cross_validated", 120)
    assert {one.details.judgement.measured_on for one in ended} == {"cross_validated"}
    reference = Reference.from_bytes(resources.artefacts.read(model.reference_digest))
    assert reference.class_counts.tolist() == [60, 60]
    classifier = Classifier(resources.artefacts.read(model.onnx_digest), model.manifest, reference)
    with resources.sessions.reading() as session:
        dataset = session.get_one(Derived, only(resources).id).dataset
    images, labels = (
        np.load(resources.artefacts.fetch(str(digest))) for digest in (dataset.images_digest, dataset.labels_digest)
    )
    decisions = classifier.classify(images[120:])
    assert (
        np.mean([one.label == ("dark", "bright")[label] for one, label in zip(decisions, labels[120:], strict=True)])
        > 0.9
    )
    assert {one.threshold for one in decisions} == {calibration.threshold(0.05)}
    assert all(one.conformal is not None for one in decisions)


def test_what_is_remembered_of_training_images_is_what_the_served_graph_gives(resources: Resources) -> None:
    post(resources, executions=1)
    work(resources)
    (model,) = all_of(resources, Model)
    with resources.sessions.reading() as session:
        dataset = session.get_one(Derived, only(resources).id).dataset
    images = np.load(resources.artefacts.fetch(str(dataset.images_digest)))[:120]
    graph = onnxruntime.InferenceSession(
        resources.artefacts.read(model.onnx_digest), providers=["CPUExecutionProvider"]
    )
    (served,) = graph.run(["features"], {"images": images})
    remembered = Reference.from_bytes(resources.artefacts.read(model.reference_digest)).fitted["knn"]["features"]
    # Each of the training images that were not held out is nearest to itself.
    nearest = (normalize(served) @ remembered.T).max(axis=0)
    np.testing.assert_allclose(nearest, 1, atol=1e-5)


class _Interrupted(Exception):
    pass


def test_what_is_computed_is_not_computed_again(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_PIECE", 50)
    post(resources, executions=1)
    first = only(resources)
    whole = _computed_at_once(resources)
    computed: list[int] = []
    encode = Encoder.__call__

    def counted(self: Encoder, images: np.ndarray, *rest: Any) -> np.ndarray:
        if len(computed) == 2:
            draining.set()  # the worker is asked to end while it computes the third piece
        computed.append(len(images))
        return encode(self, images, *rest)

    monkeypatch.setattr(Encoder, "__call__", counted)
    make_one(resources, first.id)
    draining.clear()
    assert only(resources).state is DerivedState.WAITING
    assert computed == [50, 50, 50]
    make_one(resources, first.id)
    assert only(resources).state is DerivedState.READY
    assert computed == [50, 50, 50, 50, 10], "the third piece, and the last one"
    with resources.sessions.reading() as session:
        kept = derived.files_of(session, first.id)
    assert (np.load(resources.artefacts.fetch(kept[features.FEATURES_FILE].digest)) == whole).all()


def test_two_experiments_share_their_features(resources: Resources) -> None:
    post(resources, executions=1)
    with resources.sessions.begin() as session:
        factories.queued_experiment(session, spec(holdout=0.1, executions=1))
    work(resources)
    assert len(all_of(resources, Derived)) == 1
    assert {one.state for one in all_of(resources, Execution)} == {State.SUCCEEDED}


def test_weights_that_are_not_there_end_the_executions_with_the_remedy(resources: Resources) -> None:
    post(resources, executions=2, network=NETWORK | {"weights": "mine.safetensors"})
    make_one(resources, only(resources).id)
    ended = all_of(resources, Execution)
    assert {one.state for one in ended} == {State.FAILED}
    assert "mine.safetensors" in ended[0].error.detail
    assert "NOISEGATE_WEIGHTS_DIR" in ended[0].error.remedy


def test_no_room_for_features_fails_the_executions_with_the_reason(resources: Resources) -> None:
    post(resources, executions=1)
    full = resources.settings.model_copy(update={"min_free_bytes": 2**60})
    row = only(resources)
    make_one(Resources(full, resources.sessions, resources.artefacts, resources.wakeups, "test"), row.id)
    (ended,) = all_of(resources, Execution)
    assert (ended.state, ended.error.code) == (State.FAILED, "storage-full")
    # Twice over: in pieces, and as one file.
    assert f"computing features of 160 images takes {2 * 160 * 4 * 1280:,} bytes of the disk" in ended.error.detail
    make_one(resources, row.id)
    assert only(resources).state is DerivedState.FAILED, "nothing asks for it any more"


def _computed_at_once(resources: Resources) -> np.ndarray:
    encoder = features._published(Features(backbone="tf_efficientnet_lite0.in1k"), SIZE, None)
    with resources.sessions.reading() as session:
        dataset = session.scalars(sa.select(Derived)).one().dataset
        images = np.load(resources.artefacts.fetch(str(dataset.images_digest)))
    return encoder(images)
