"""Executions of the kinds that train no classifier on a dataset: curve fitting, decision maps, pretrained networks."""

import time
from collections.abc import Callable

import sklearn

from noisegate.details import Details
from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.curve_fitting import fit_curve
from noisegate.evaluation.decision_map import map_decisions
from noisegate.learning.export import versions
from noisegate.learning.pretrained import export_pretrained, load_alexnet
from noisegate.seeds import derive_seed
from noisegate.spec import CurveFittingExperiment, DecisionMapExperiment, PretrainedExperiment
from noisegate.store.executions import Outcome
from noisegate.store.tables import Execution
from worker.recording import Yield


def analyse(
    execution: Execution,
    spec: CurveFittingExperiment | DecisionMapExperiment | PretrainedExperiment,
    check: Callable[[], None],
) -> Yield:
    """One execution from its seed to what it leaves.

    Args:
        check: called between steps. Whatever it raises passes through.
    """
    # Data are drawn once and fixed over the executions of a cell, as everywhere.
    data_seed = derive_seed(spec.seed, "points", execution.cell.position)
    started = time.perf_counter()
    match spec:
        case CurveFittingExperiment():
            found = fit_curve(spec, data_seed, execution.seed, check)
        case DecisionMapExperiment():
            found = map_decisions(spec, data_seed, execution.seed, check)
        case PretrainedExperiment():
            return _pretrained(execution, spec, check)
    return Yield(_outcome(found, time.perf_counter() - started))


def _outcome(found: Analysis, seconds: float) -> Outcome:
    details = Details(measures=dict(found.measures), figure=dict(found.details))
    return Outcome(
        metrics=None,
        details=details.model_dump(mode="json"),
        holdout_accuracy=None,
        losses_by_epoch=None,
        train_seconds=seconds,
        images_per_second=None,
        precision="float64",
        device="cpu",
        versions=versions() | {"scikit-learn": sklearn.__version__},
    )


def _pretrained(execution: Execution, spec: PretrainedExperiment, check: Callable[[], None]) -> Yield:
    started = time.perf_counter()
    pretrained = load_alexnet(between_chunks=check)
    check()
    files = export_pretrained(
        pretrained, spec=spec, cell=execution.cell.position, execution=execution.position, seed=execution.seed
    )
    outcome = Outcome(
        metrics=None,
        details=Details().model_dump(mode="json"),
        holdout_accuracy=None,
        losses_by_epoch=None,
        train_seconds=time.perf_counter() - started,
        images_per_second=None,
        precision="float32",
        device="cpu",
        versions=files.manifest.versions,
    )
    return Yield(outcome, files, keep="all")
