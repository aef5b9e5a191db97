"""Whether an experiment that trains classifiers fits its dataset and its base."""

import math
from collections.abc import Sequence

from sqlalchemy.orm import Session

from noisegate.details import Details, ScoredCounts
from noisegate.errors import FieldError, InvalidSpec, NotFound, NotReady
from noisegate.spec import BaseReference, ClassifierExperiment, HybridsExperiment, SubgroupSpec, TrainingExperiment
from noisegate.spec.caps import Caps, check_training_bytes
from noisegate.store import datasets, executions, models
from noisegate.store.states import DatasetState, State
from noisegate.store.tables import Dataset, Execution


def base_spec(spec: ClassifierExperiment) -> TrainingExperiment:
    """What the base execution trains: no noise, all training images, the rest as in the spec (section 5.1)."""
    shared = spec.model_dump(mode="json", exclude={"kind", "noise", "subgroup", "sweep", "hybrids"})
    return TrainingExperiment.model_validate(shared)


def usable_dataset(session: Session, reference: str) -> Dataset:
    """The dataset with this id or name.

    Raises:
        InvalidSpec: there is none, or its ingestion failed.
        NotReady: it is still being ingested.
    """
    try:
        dataset = datasets.get(session, reference)
    except NotFound as error:
        known = ", ".join(datasets.names(session)) or "none yet"
        message = f"there is no dataset {reference!r}"
        raise InvalidSpec([FieldError("dataset", message, f"Ready now: {known}. POST /datasets adds one.")]) from error
    if dataset.state == DatasetState.INGESTING:
        raise NotReady(f"dataset {dataset.name!r} is still being ingested", field="dataset", retry_after_seconds=2)
    if dataset.state == DatasetState.FAILED:
        message = f"the ingestion of dataset {reference!r} failed"
        raise InvalidSpec([FieldError("dataset", message, f"GET /datasets/{dataset.id} says why.")])
    return dataset


def base_execution(
    session: Session, reference: BaseReference, dataset: Dataset, cells: Sequence[ClassifierExperiment]
) -> Execution:
    """The execution of an earlier experiment that a spec names as its base.

    Raises:
        InvalidSpec: there is none, it did not succeed, belongs to another dataset, left neither scores nor a model, or no
            cell has a subgroup that would need it.
        NotReady: it has not ended yet.
    """
    named = f"execution {reference.execution} of cell {reference.cell} of experiment {reference.experiment!r}"
    if not any(cell.subgroup for cell in cells):
        raise _refuse("base", "is used by no cell", "Give a subgroup, or leave the base out.")
    found = executions.find(session, reference.experiment, reference.cell, reference.execution)
    if found is None:
        raise _refuse("base", f"there is no {named}", "GET /experiments/{id}/executions lists them.")
    theirs = found.cell.experiment.dataset
    if theirs is None or theirs.content_hash != dataset.content_hash:
        other = f"was trained on {theirs.name!r}" if theirs else "was trained on no dataset"
        raise _refuse("base", f"{named} {other}, not on {dataset.name!r}", "Name a base on the same dataset.")
    if not found.state.terminal:
        raise NotReady(f"{named} is {found.state.value}", field="base", retry_after_seconds=5)
    if found.state is not State.SUCCEEDED:
        raise _refuse("base", f"{named} has {found.state.value}", "Name one that succeeded.")
    if found.scores_digest is None and models.of_execution(session, found.id) is None:
        remedy = 'Post that experiment again with keep_models "all", or leave the base out.'
        raise _refuse("base", f"{named} has left neither its scores of the training images nor its model", remedy)
    return found


def check_cell(dataset: Dataset, spec: ClassifierExperiment, caps: Caps, base: Execution | None) -> None:
    """Refuse a cell that the dataset cannot give.

    Raises:
        InvalidSpec: naming the field.
    """
    train_count, classes = _train_count(dataset), len(dataset.classes or [])
    if spec.image_size != dataset.image_size:
        message = f"is {spec.image_size}, but dataset {dataset.name!r} was packed at {dataset.image_size}"
        remedy = f"Use image_size {dataset.image_size}, or upload the images again at {spec.image_size}."
        raise _refuse("image_size", message, remedy)
    kept = math.floor(train_count * (1 - spec.holdout))
    if kept < classes:
        message = f"leaves fewer than one training image a class of {train_count}"
        raise _refuse("holdout", message, "Hold out less; 0.1 is usual.")
    if spec.subgroup is not None:
        _check_subgroup(spec, spec.subgroup, kept, _scored(base))
    if isinstance(spec, HybridsExperiment):
        _check_hybrids(dataset, spec)
    check_training_bytes(spec, caps, training_images=train_count, mean_class_size=mean_class_size(dataset))


def mean_class_size(dataset: Dataset) -> float:
    """Mean number of training images a class: the unit of noise quantity."""
    assert dataset.classes, "the dataset is ready"
    return _train_count(dataset) / len(dataset.classes)


def _check_subgroup(spec: ClassifierExperiment, wanted: SubgroupSpec, kept: int, scored: ScoredCounts | None) -> None:
    # Each of the two parts is rounded, so the union may have one image more than this.
    most = math.ceil(wanted.fraction * kept) + 1
    if most < spec.training.batch_size:
        message = f"leaves about {most - 1} of {kept} training images, fewer than a batch of {spec.training.batch_size}"
        raise _refuse("subgroup.fraction", message, "Take a larger share, or smaller batches.")
    if scored is not None:
        wanted.check_counts(correct=scored.correct, wrong=scored.wrong)


def _check_hybrids(dataset: Dataset, spec: HybridsExperiment) -> None:
    classes = dataset.classes or []
    for name in (classes[position] for position in spec.hybrids.positions_in(classes)):
        if not (dataset.counts or {}).get("test", {}).get(name):
            message = f"class {name!r} of dataset {dataset.name!r} has no test image"
            raise _refuse("hybrids.classes", message, "Name two classes that have some.")


def _scored(base: Execution | None) -> ScoredCounts | None:
    return Details.model_validate(base.details).scored if base is not None and base.details else None


def _train_count(dataset: Dataset) -> int:
    assert dataset.train_count is not None, "the dataset is ready"
    return dataset.train_count


def _refuse(field: str, message: str, remedy: str) -> InvalidSpec:
    return InvalidSpec([FieldError(field, message, remedy)])
