"""Executions whose result is measures and a figure: no classifier is trained, no model is kept."""

import time
from collections.abc import Callable

import sklearn

from noisegate.details import Details
from noisegate.evaluation.analysis import Analysis
from noisegate.learning.export import versions
from noisegate.seeds import derive_seed
from noisegate.store.executions import ExecutionResult
from noisegate.store.tables import Execution
from worker.kinds.runner import Spec, Work
from worker.recording import FinishedExecution

# The spec, the seed of the points, the seed of the execution, and what is called between steps.
Analyse = Callable[[Spec, int, int, Callable[[], None]], Analysis]


def analyse(work: Work[Spec], execution: Execution, by: Analyse[Spec]) -> FinishedExecution:
    """Run one execution on points of the plane or the line, which are drawn once and fixed over the executions of a cell."""
    points_seed = derive_seed(work.spec.seed, "points", execution.cell.position)
    started = time.perf_counter()
    found = by(work.spec, points_seed, execution.seed, work.check)
    result = ExecutionResult(
        details=Details(measures=dict(found.measures), figure=dict(found.details)),
        train_seconds=time.perf_counter() - started,
        precision="float64",
        device="cpu",
        versions=versions() | {"scikit-learn": sklearn.__version__},
    )
    return FinishedExecution(result)
