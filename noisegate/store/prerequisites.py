"""What an experiment or an upload builds on, found by what names it, and fit for use: a dataset, a base execution."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from noisegate.errors import Conflict, FieldError, InvalidInput, InvalidSpec, NotFound, NotReady
from noisegate.spec import BaseFacts, BaseReference, DatasetFacts, ExperimentSpec
from noisegate.store import dataset_names, datasets, executions, models
from noisegate.store.states import DatasetState, State
from noisegate.store.tables import Dataset, Execution

# Every one is a file that is open while originals are read.
_MOST_BASES = 100


def usable_dataset(session: Session, reference: str, field: str = "dataset") -> Dataset:
    """The dataset with this id or name, which the spec's `field` holds.

    Raises:
        InvalidSpec: there is none, or its ingestion failed.
        NotReady: it is still being ingested.
    """
    try:
        dataset = datasets.get(session, reference)
    except NotFound as error:
        known = ", ".join(dataset_names.usable(session)) or "none yet"
        message = f"there is no dataset {reference!r}"
        raise InvalidSpec([FieldError(field, message, f"Ready now: {known}. POST /datasets adds one.")]) from error
    if dataset.state == DatasetState.INGESTING:
        raise NotReady(f"dataset {dataset.name!r} is still being ingested", field=field, retry_after_seconds=2)
    if dataset.state == DatasetState.FAILED:
        assert dataset.error, "a failed dataset says why"
        message = f"the ingestion of dataset {reference!r} failed: {dataset.error.detail}"
        raise InvalidSpec([FieldError(field, message, f"GET /datasets/{dataset.id} says more. Upload it anew.")])
    return dataset


def usable_base(session: Session, reference: str, image_size: int | None) -> Dataset:
    """The dataset with this id or name, for images to be added to it. In a transaction that holds `files.lock` it is not deleted.

    Args:
        image_size: at which the upload is to be packed; None for that of the base.

    Raises:
        InvalidInput: there is none, it was packed at another size, or is a version of a version of … of too many.
        NotReady, Conflict: it is still being ingested, has failed, or has no originals.
    """
    try:
        base = datasets.get(session, reference)
    except NotFound as error:
        raise InvalidInput(error.detail, field="base", remedy=error.remedy) from error
    if base.state is DatasetState.INGESTING:
        detail = f"dataset {base.name!r} is still being ingested"
        raise NotReady(detail, field="base", retry_after_seconds=2)
    if base.state is DatasetState.FAILED:
        assert base.error, "a failed dataset says why"
        remedy = "Upload it anew, or name another base."
        raise Conflict(
            f"the ingestion of dataset {reference!r} failed: {base.error.detail}", field="base", remedy=remedy
        )
    if base.originals_digest is None:
        remedy = "Send its archive again: it gets them then."
        raise Conflict(f"dataset {base.name!r} is from before originals were kept", field="base", remedy=remedy)
    if image_size not in (None, base.image_size):
        detail = f"is {image_size}, and the base {base.name!r} was packed at {base.image_size}"
        raise InvalidInput(detail, field="image_size", remedy="Leave it out: it is the base's.")
    if len(base.shared_originals or ()) >= _MOST_BASES:
        detail = f"dataset {base.name!r} is a version upon {_MOST_BASES} others"
        raise InvalidInput(
            detail, field="base", remedy="Upload all its images once without a base, and go on from that."
        )
    return base


def base_execution(session: Session, reference: BaseReference, dataset: Dataset | None) -> Execution:
    """The execution of an earlier experiment that a spec names as its base.

    Raises:
        InvalidSpec: there is none, it did not succeed, belongs to another dataset, or left neither scores nor a model.
        NotReady: it has not ended yet.
    """
    named = f"execution {reference.execution} of cell {reference.cell} of experiment {reference.experiment!r}"
    found = executions.find(session, reference.experiment, reference.cell, reference.execution)
    if found is None:
        raise _refuse("base", f"there is no {named}", "GET /experiments/{id}/executions lists them.")
    theirs = found.cell.experiment.dataset
    if theirs is None or dataset is None or theirs.content_hash != dataset.content_hash:
        was, wanted = (repr(one.name) if one else "no dataset" for one in (theirs, dataset))
        raise _refuse("base", f"{named} was trained on {was}, not on {wanted}", "Name a base on the same dataset.")
    if not found.state.terminal:
        raise NotReady(f"{named} is {found.state.value}", field="base", retry_after_seconds=5)
    if found.state is not State.SUCCEEDED:
        raise _refuse("base", f"{named} has {found.state.value}", "Name one that succeeded.")
    if not found.cell.spec.sees_all_classes:
        raise _refuse("base", f"{named} was trained on some of the classes", "Name one that was trained on all.")
    if found.scores_digest is None and models.of_execution(session, found.id) is None:
        remedy = 'Post that experiment again with keep_models "all", or leave the base out.'
        raise _refuse("base", f"{named} has left neither its scores of the training images nor its model", remedy)
    return found


def check_base_view(base: Execution, specs: Iterable[ExperimentSpec], facts: DatasetFacts | None) -> None:
    """Refuse a base without scores that saw other images than the cells do: it could not be asked about theirs.

    Raises:
        InvalidSpec: it is one.
    """
    seen = base.cell.spec.needed(facts)
    if base.scores_digest is None and any(spec.needs_base and spec.needed(facts) != seen for spec in specs):
        message = "was trained on images of another size, resized otherwise, or by another backbone, and left no scores"
        raise _refuse("base", message, "Give the image_size and the resizing of the base, or leave the base out.")


def dataset_facts(dataset: Dataset) -> DatasetFacts:
    """What a spec is told of a ready dataset."""
    assert dataset.classes is not None, "the dataset is ready"
    assert dataset.train_count is not None
    return DatasetFacts(
        name=dataset.name,
        image_size=dataset.image_size,
        classes=tuple(dataset.classes),
        train_count=dataset.train_count,
        test_counts=(dataset.counts or {}).get("test", {}),
        has_originals=dataset.originals_digest is not None,
        longer_side=dataset.longer_side,
        train_counts=(dataset.counts or {}).get("train", {}),
    )


def base_facts(base: Execution) -> BaseFacts | None:
    """What a base execution says of the training images; None if that has not been counted yet."""
    scored = base.details.scored if base.details else None
    return BaseFacts(correct=scored.correct, wrong=scored.wrong) if scored else None


def _refuse(field: str, message: str, remedy: str) -> InvalidSpec:
    return InvalidSpec([FieldError(field, message, remedy)])
