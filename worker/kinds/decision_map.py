"""Executions of kind `decision_map`."""

from noisegate.evaluation.decision_map import map_decisions
from noisegate.spec import DecisionMapExperiment
from noisegate.store.tables import Execution
from worker.kinds.analyses import analyse
from worker.kinds.runner import Work, one_by_one
from worker.recording import FinishedExecution


def _run(work: Work[DecisionMapExperiment], execution: Execution) -> FinishedExecution:
    return analyse(work, execution, map_decisions)


RUNNER = one_by_one(_run)
