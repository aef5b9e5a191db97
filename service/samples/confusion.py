"""Which test images executions take for which class: counts, and the images of one cell."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from sqlalchemy.orm import Session

from noisegate.api.samples import TEST_CALLED
from noisegate.class_names import NOISE_CLASS
from noisegate.errors import NotFound
from noisegate.store import experiments, sample_tables
from noisegate.store.artefacts import Artefacts

Counts = npt.NDArray[np.int64]


def called_by(session: Session, artefacts: Artefacts, experiment_id: str, cell: int | None) -> Counts:
    """The output that each execution calls each test image, [executions, test images]; the number of classes means noise.

    Raises:
        NotFound: no such experiment; it has recorded nothing, or was trained on some of the classes.
        NotReady: it has not ended.
    """
    sample_tables.needed(session, experiment_id, cell)
    if not experiments.get(session, experiment_id).spec.sees_all_classes:
        remedy = "GET /results/{id}/samples.parquet has what its executions call each test image."
        detail = f"experiment {experiment_id} was trained on some of the classes"
        raise NotFound(detail, field="experiment", remedy=remedy)
    digests = sample_tables.records_of(session, experiment_id, cell)
    found = []
    for digest in digests:
        with safe_open(artefacts.fetch(digest), framework="numpy") as file:
            found.append(file.get_tensor(TEST_CALLED))
    return np.stack(found).astype(np.int64)


def confused(called: Counts, labels: Counts, classes: int) -> npt.NDArray[np.float64]:
    """Test images of each class, by what they are called: the mean over executions, [classes, classes + 1], noise last."""
    counts = np.zeros((classes, classes + 1))
    for of_one in called:
        np.add.at(counts, (labels, of_one), 1)
    return counts / len(called)


def images_of(called: Counts, labels: Counts, truth: int, taken_for: int) -> tuple[Counts, Counts]:
    """Test images of a class that executions take for another, those that most take for it first; and how many do."""
    votes = (called == taken_for).sum(axis=0)
    votes[labels != truth] = 0
    order = np.argsort(-votes, kind="stable")
    chosen = order[votes[order] > 0]
    return chosen, votes[chosen]


def place_of(name: str, classes: Sequence[str]) -> int:
    """The output of a class, or of noise."""
    return len(classes) if name == NOISE_CLASS else classes.index(name)
