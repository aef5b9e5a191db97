"""Making what is said of training images: the inspection of a dataset, and the table of an experiment's executions."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from noisegate.api.samples import TableFacts
from noisegate.data.inspection import inspect_copies, inspect_pictures, trouble
from noisegate.data.limits import image_limits
from noisegate.data.originals import Originals
from noisegate.evaluation.sample_value.in_features import look_around
from noisegate.evaluation.sample_value.label_issues import label_issues
from noisegate.evaluation.sample_value.over_executions import aggregate
from noisegate.evaluation.sample_value.records import ExecutionRecord
from noisegate.evaluation.sample_value.table import Inspected, make_table
from noisegate.evaluation.scored_images import load_network
from noisegate.learning.prediction import predict
from noisegate.spec import ClassifierExperiment
from noisegate.spec.derived import SampleTable
from noisegate.spec.networks import named
from noisegate.store import derived, experiments, models, sample_tables
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.prerequisites import dataset_facts
from noisegate.store.sample_tables import INSPECTION_FILE, TABLE_FILE
from noisegate.store.tables import Cell, Model
from worker.kinds.classifiers import cell_data
from worker.making import Making

_COPIES = ("exact_copy_of", "near_copy_of", "other_class_copy", "test_copy")
_PICTURES = ("darkest", "brightest", "bits", "sharpness", "aspect")


def make_inspection(making: Making) -> dict[str, Path]:
    """`inspection.parquet`: a row a training image, in the dataset's order.

    Raises:
        InvalidImage, TooLarge: an original cannot be read with today's limits.
    """
    row, resources = making.row, making.resources
    packed = open_packed(resources.artefacts, row.dataset)
    count = packed.train_count
    making.total = 2 * count

    def copies_done(share: float) -> None:
        making.done = round(share * count)
        making.check()

    def pictures_done(images: int) -> None:
        making.done = count + images
        making.check()

    found = inspect_copies(packed.images, packed.labels, count, copies_done)
    limits = image_limits(resources.settings)
    pictures = inspect_pictures(packed.images[:count], _originals(making), limits, pictures_done)
    return {INSPECTION_FILE: _write(making.folder / INSPECTION_FILE, pa.table({**found, **pictures}))}


def make_sample_table(making: Making) -> dict[str, Path]:
    """`samples.parquet`: a row a training image, the lowest value first."""
    row, resources = making.row, making.resources
    asked = row.parameters
    assert isinstance(asked, SampleTable)
    packed = open_packed(resources.artefacts, row.dataset)
    labels, count = np.asarray(packed.labels[: packed.train_count]), packed.train_count
    with resources.sessions.reading() as session:
        # By their digests: the sums do not depend on which execution came first.
        digests = sorted(sample_tables.records_of(session, asked.experiment, asked.cell))
    found = aggregate(_records(making, digests), count, len(packed.classes), making.check)
    space = _feature_space(making, asked)
    facts = TableFacts(
        experiment=asked.experiment,
        cell=asked.cell,
        dataset=row.dataset_id,
        content_hash=packed.content_hash,
        classes=list(packed.classes),
        images=count,
        executions=len(digests),
        epochs=found.epochs,
        label_basis=None,
        noise_margin=found.noise_margin,
        features=space.called if space else None,
    )
    issues = label_issues(labels, found.held, found.shown)
    making.check()
    table = make_table(
        labels,
        packed.classes,
        _names(making, count),
        found,
        issues,
        look_around(space.features, labels, making.check) if space else None,
        _inspected(making),
        facts.model_copy(update={"label_basis": issues.basis}),
    )
    return {TABLE_FILE: _write(making.folder / TABLE_FILE, table)}


class _FeatureSpace(NamedTuple):
    """Features of all training images, and whose they are."""

    features: np.ndarray
    called: str


def _feature_space(making: Making, asked: SampleTable) -> _FeatureSpace | None:
    """Those that a layer was trained on, or those of a model that was kept; None where there is neither."""
    resources, dataset = making.resources, making.row.dataset
    with resources.sessions.reading() as session:
        cells = experiments.get(session, asked.experiment, cell_specs=True).cells
        best = {cell: model.execution_id for cell, model in models.best_by_cell(session, asked.experiment).items()}
        session.expunge_all()  # they were read for tables of results, without their manifests
        kept = {cell: models.of_execution(session, execution) for cell, execution in best.items()}
    facts = dataset_facts(dataset)
    for cell in cells:
        spec = cell.spec
        assert isinstance(spec, ClassifierExperiment)
        if cell.is_base or asked.cell not in (None, cell.position) or (spec.needed(facts) and cell.needs is None):
            continue
        on_features = spec.training.needs_backbone and not spec.training.tunes_backbone
        model = kept.get(cell.id)
        if on_features:
            return _FeatureSpace(cell_data(resources, dataset, cell.needs).train_inputs, named(spec.network))
        if model is not None:
            return _FeatureSpace(_features_of(making, cell, model), f"model {model.id}")
    return None


def _features_of(making: Making, cell: Cell, model: Model) -> np.ndarray:
    inputs = cell_data(making.resources, making.row.dataset, cell.needs).train_inputs
    weights = making.resources.artefacts.read(model.weights_digest)
    module, preprocessing = load_network(weights, model.manifest, inputs.shape[1])
    _, features = predict(module, preprocessing, inputs, between_batches=making.check)
    return features


def _records(making: Making, digests: list[str]) -> Iterator[ExecutionRecord]:
    making.total = len(digests)
    for number, digest in enumerate(digests, start=1):
        yield ExecutionRecord.from_bytes(making.resources.artefacts.read(digest))
        making.done = number


def _inspected(making: Making) -> Inspected:
    assert making.row.parent_id is not None, "a table is made of an inspection"
    with making.resources.sessions.reading() as session:
        stored = derived.files_of(session, making.row.parent_id)[INSPECTION_FILE]
    table = pq.read_table(making.resources.artefacts.fetch(stored.digest))
    columns = {name: table[name].to_numpy() for name in (*_COPIES, *_PICTURES)}
    pictures = {name: columns[name] for name in _PICTURES}
    return Inspected({name: columns[name] for name in _COPIES}, pictures, trouble(pictures))


def _originals(making: Making) -> Originals | None:
    """None of datasets from before originals were kept."""
    if making.row.dataset.originals_digest is None:
        return None
    files = fetch_originals(making.resources.artefacts, making.row.dataset)
    return Originals(files.content, files.index, files.shared)


def _names(making: Making, count: int) -> list[str] | None:
    originals = _originals(making)
    return None if originals is None else [originals.name(place) for place in range(count)]


def _write(file: Path, table: pa.Table) -> Path:
    pq.write_table(table, file, compression="zstd")
    return file
