"""Experiments of kind `open_set` through a worker: what is measured, that held-out classes take no part in it, what waits."""

import io
import math
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from sqlalchemy.orm import Session

from noisegate.details import Details
from noisegate.open_set import OpenSetFound
from noisegate.rejection.reference import Reference
from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import datasets, executions, experiments, ingestions, models, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.states import State
from noisegate.store.tables import Dataset, Execution, Experiment
from worker.resources import Resources
from worker.training import train_oldest

from .conftest import on_both_databases

CLASSES = {"black": 20, "dark": 80, "bright": 160, "white": 230}
TRAIN, TEST, SIZE = 30, 12, 8
LEASE = 30.0
TRAINING: dict[str, Any] = {
    "epochs": 8,
    "batch_size": 20,
    "learning_rate": 0.003,
    "learning_rate_drop": None,
    "first_layer_std": 0.1,
    "precision": "float32",
}
SPEC: dict[str, Any] = {
    "kind": "open_set",
    "dataset": "grays",
    "image_size": SIZE,
    "known": ["black", "white"],
    "executions": 1,
    "holdout": 0.3,
    "training": TRAINING,
}


def stored(
    session: Session,
    artefacts: Artefacts,
    name: str = "grays",
    classes: dict[str, int] = CLASSES,
    poisoned: tuple[str, ...] = (),
) -> Dataset:
    """A dataset of gray images, some darker than others; training images of the poisoned classes are black and white stripes."""
    names = list(classes)
    labels = np.concatenate([np.arange(TRAIN * len(names)) % len(names), np.arange(TEST * len(names)) % len(names)])
    noise = np.random.default_rng(5).integers(-15, 15, (len(labels), SIZE, SIZE, 3))
    images = (np.array(list(classes.values()))[labels][:, None, None, None] + noise).astype(np.uint8)
    stripes = np.broadcast_to((np.arange(SIZE) % 2 * 255).astype(np.uint8)[:, None, None], (SIZE, SIZE, 3))
    for place in range(TRAIN * len(names)):
        if names[labels[place]] in poisoned:
            images[place] = stripes
    with artefacts.scratch() as folder:
        np.save(folder / "images.npy", images, allow_pickle=False)
        np.save(folder / "labels.npy", labels, allow_pickle=False)
        digests = [artefacts.put_file(folder / "images.npy"), artefacts.put_file(folder / "labels.npy")]
    waiting = datasets.register(session, name=name, source="upload", image_size=SIZE, upload_digest=digests[0]).dataset
    claimed = ingestions.claim(session, waiting.id, owner="test", lease_seconds=LEASE)
    assert claimed is not None
    found = ingestions.Packed(
        classes=names,
        counts={"train": dict.fromkeys(names, TRAIN), "test": dict.fromkeys(names, TEST)},
        train_count=TRAIN * len(names),
        test_count=TEST * len(names),
        skipped=0,
        content_hash=digests[0],
        images_digest=digests[0],
        labels_digest=digests[1],
        licence=None,
    )
    return ingestions.record_ready(session, claimed[1], found)


def run(resources: Resources, document: dict[str, Any]) -> tuple[Experiment, list[Execution]]:
    with resources.sessions.begin() as session:
        id = planning.create(session, planning.plan(session, parse_spec(document), Caps())).id
    while True:
        with resources.sessions.reading() as session:
            experiment = experiments.get(session, id, cell_specs=True)
            rows = list(executions.of_experiment(session, id))
        if experiment.state.terminal:
            assert experiment.state is State.SUCCEEDED, [row.error for row in rows]
            return experiment, rows
        train_oldest(resources)


def found_by(row: Execution) -> OpenSetFound:
    assert isinstance(row.details, Details)
    assert row.details.open_set is not None
    return row.details.open_set


@on_both_databases
def test_each_split_is_a_cell_with_its_own_known_classes(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
    document = SPEC | {"known": {"count": 2, "splits": 3}, "executions": 2}
    experiment, rows = run(resources, document)
    assert [cell.point for cell in experiment.cells] == [{"known.split": number} for number in range(3)]
    known = [tuple(found_by(row).known) for row in rows]
    assert known[::2] == known[1::2], "executions of a cell have one split"
    assert len(set(known)) > 1
    for row in rows:
        found = found_by(row)
        assert sorted(found.known + found.held_out) == sorted(CLASSES)
        assert [one.name for one in found.unknown] == ["held_out"]
        assert (found.known_images, found.unknown[0].images) == (2 * TEST, 2 * TEST)
        assert row.metrics is not None
        assert row.metrics.test_images == 2 * TEST


def test_metrics_are_those_of_the_scores_that_are_kept(resources: Resources) -> None:
    """Recomputed by scikit-learn from the rows of the file: no number of the results comes from anywhere else."""
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
        stored(session, resources.artefacts, "others", {"dim": 50, "light": 200})
    document = SPEC | {"noise": {"family": "uniform"}, "unknown": [{"dataset": "others"}]}
    _, (row,) = run(resources, document)
    assert row.samples_digest is not None
    table = pq.read_table(io.BytesIO(resources.artefacts.read(row.samples_digest))).to_pydict()
    sets = np.array(table["set"])
    assert {name: int((sets == name).sum()) for name in set(sets)} == {
        "known": 2 * TEST,
        "held_out": 2 * TEST,
        "others": 2 * TEST,
    }
    found = found_by(row)
    for unknown in found.unknown:
        chosen = np.isin(sets, ["known", unknown.name])
        is_unknown = sets[chosen] == unknown.name
        for score, of_score in unknown.scores.items():
            values = np.array(table[score])[chosen]
            assert of_score.auroc == pytest.approx(roc_auc_score(is_unknown, values))
            assert of_score.aupr_unknown == pytest.approx(average_precision_score(is_unknown, values))
            rejects = np.array(table[f"{score}_rejects"])[chosen]
            assert of_score.rejected == pytest.approx(rejects[is_unknown].mean())
            assert found.selection[score].false_reject == pytest.approx(rejects[~is_unknown].mean())
    assert {"reject_score", "noise_probability", "knn"} <= found.unknown[0].scores.keys()
    correct = np.array(table["correct"])[sets == "known"].astype(bool)
    assert list(correct) == [a == b for a, b in zip(table["label"], table["called"], strict=True)][: len(correct)]


def test_images_are_named_by_their_places_in_their_datasets(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
        stored(session, resources.artefacts, "others", {"dim": 50, "light": 200})
    unknown = [{"dataset": "others", "exclude": ["dim"], "part": "all"}]
    _, (row,) = run(resources, SPEC | {"unknown": unknown})
    assert row.samples_digest is not None
    rows = pq.read_table(io.BytesIO(resources.artefacts.read(row.samples_digest))).to_pylist()
    names = list(CLASSES)
    for one in rows:
        of, count = (["dim", "light"], 2) if one["set"] == "others" else (names, len(names))
        first_test = TRAIN * count
        assert one["image"] >= (0 if one["set"] == "others" else first_test)
        place = one["image"] if one["image"] < first_test else one["image"] - first_test
        assert of[place % count] == one["label"]
    assert sum(one["set"] == "others" for one in rows) == TRAIN + TEST


def test_held_out_classes_take_part_in_nothing_but_the_measuring(resources: Resources) -> None:
    """Their training images are replaced by stripes: nothing that is measured moves, not by a bit."""
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
        stored(session, resources.artefacts, "poisoned", poisoned=("dark", "bright"))
    document = SPEC | {"noise": {"family": "structured", "quantity": 2}}
    _, (clean,) = run(resources, document)
    _, (poisoned,) = run(resources, document | {"dataset": "poisoned"})
    assert found_by(clean) == found_by(poisoned)
    assert clean.losses_by_epoch == poisoned.losses_by_epoch
    assert (clean.metrics, clean.samples_digest) == (poisoned.metrics, poisoned.samples_digest)
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts, "known poisoned", poisoned=("black",))
    _, (spoilt,) = run(resources, document | {"dataset": "known poisoned"})
    assert spoilt.losses_by_epoch != clean.losses_by_epoch, "what is known is trained on"


def test_without_a_holdout_there_are_metrics_and_no_thresholds(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
    _, (row,) = run(resources, SPEC | {"holdout": 0})
    found = found_by(row)
    assert {score.rejected for score in found.unknown[0].scores.values()} == {None}
    assert found.selection["msp"].risk is None
    assert found.unknown[0].scores["knn"].auroc > 0.5


def test_its_models_know_the_known_classes_alone_and_subgroups_are_of_them(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
    # One epoch: the base misclassifies some of the images.
    spec = SPEC | {"known": ["dark", "bright"], "training": TRAINING | {"epochs": 1, "learning_rate": 0.0003}}
    experiment, rows = run(resources, spec | {"subgroup": {"correct": "lc", "wrong": "hs", "fraction": 0.9}})
    assert any(cell.is_base for cell in experiment.cells)
    assert all(found_by(row).held_out == ["black", "white"] for row in rows)
    used = [row.details.subgroup for row in rows if row.details and row.details.subgroup]
    assert [set(one.classes) for one in used] == [{"dark", "bright"}]
    with resources.sessions.reading() as session:
        page = models.page(session, experiment_id=experiment.id, cursor=None, limit=9)
    assert {tuple(model.manifest.classes) for model in page.items} == {("dark", "bright")}


def test_the_rule_is_chosen_by_declared_unknown_images_and_measured_on_others(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
        stored(session, resources.artefacts, "others", {"dim": 50, "light": 200})
    declared = [{"dataset": "others", "exclude": ["light"]}]
    document = SPEC | {"declared_unknown": declared, "unknown": [{"dataset": "others", "exclude": ["dim"]}]}
    experiment, (row,) = run(resources, document)
    assert row.details is not None
    choice = row.details.rule_choice
    assert choice is not None
    assert (choice.unknown_images, choice.held_out_images) == (TRAIN, round(0.3 * 2 * TRAIN))
    with resources.sessions.reading() as session:
        (model,) = models.page(session, experiment_id=experiment.id, cursor=None, limit=9).items
    by_reject_score = choice.scores == ["reject_score"]
    assert (model.rule is None) == by_reject_score
    assert by_reject_score or (model.rule is not None and list(model.rule.names) == choice.scores)
    assert ("rule" in found_by(row).unknown[0].scores) != by_reject_score


def test_a_rule_that_is_asked_for_decides_in_all_that_is_measured(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
    rule = {"scores": [{"score": "max_logit"}, {"score": "reject_score"}]}
    # Few epochs and much noise: a model that rejects some of what it should know.
    hard = {"rule": rule, "training": TRAINING | {"epochs": 2}}
    experiment, (row,) = run(resources, SPEC | hard)
    with resources.sessions.reading() as session:
        (model,) = models.page(session, experiment_id=experiment.id, cursor=None, limit=9).items
        card, reference_digest = model.card, model.reference_digest
    assert model.rule is not None
    assert model.rule.names == ("max_logit", "reject_score")
    assert (model.manifest.rule, card and card.rule) == (model.rule, model.rule)
    assert (card, row.metrics, reference_digest, row.samples_digest) != (None,) * 4
    held = Reference.from_bytes(resources.artefacts.read(reference_digest or "")).held
    assert held is not None
    kept = pq.read_table(resources.artefacts.fetch(row.samples_digest or ""), filters=[("set", "=", "known")])
    known = {name: kept[name].to_numpy() for name in ("max_logit", "reject_score", "rule_rejects")}
    # By hand: the budget's place among the held-out images' larger ranks, and what lies beyond either threshold there.
    ranks = np.max([rankdata(held.unknownness[name], "max") for name in model.rule.names], axis=0)
    place = math.ceil((len(ranks) + 1) * 0.9)
    rank = int(np.sort(ranks)[place - 1])
    beyond = [known[name] > np.sort(held.unknownness[name])[rank - 1] for name in model.rule.names]
    share = float(np.any(beyond, axis=0).mean())
    assert card is not None
    assert [one.rejected for one in card.false_reject if one.max_false_reject == 0.1] == [share]
    assert row.metrics is not None
    assert row.metrics.false_reject == known["rule_rejects"].mean()
    assert all(one.threshold is None for one in card.false_reject)


def test_images_of_another_dataset_are_the_noise_class(resources: Resources) -> None:
    """Gray ones of a level between the known: with them as noise, they are called noise, and black and white are not."""
    with resources.sessions.begin() as session:
        stored(session, resources.artefacts)
        stored(session, resources.artefacts, "others", {"dim": 100, "light": 140})
    noise = {"family": "images", "dataset": "others"}
    training = TRAINING | {"epochs": 30}
    _, (row,) = run(resources, SPEC | {"noise": noise, "noise_weight": 0.5, "training": training})
    held_out = found_by(row).unknown[0].scores["noise_probability"]
    assert held_out.auroc > 0.9
    assert row.metrics is not None
    assert row.metrics.accuracy > 0.9
