"""Executions of kind `curve_fitting`."""

from noisegate.evaluation.curve_fitting import fit_curve
from noisegate.spec import CurveFittingExperiment
from noisegate.store.tables import Execution
from worker.kinds.analyses import analyse
from worker.kinds.runner import Work, one_by_one
from worker.recording import FinishedExecution


def _run(work: Work[CurveFittingExperiment], execution: Execution) -> FinishedExecution:
    return analyse(work, execution, fit_curve)


RUNNER = one_by_one(_run)
