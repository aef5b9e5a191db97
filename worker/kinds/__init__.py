"""Who runs which kind of experiment: one module a kind, and one entry in `RUNNERS`."""

from typing import Any

from worker.kinds import classifiers, curve_fitting, decision_map, hybrids, open_set, pretrained
from worker.kinds.runner import Runner

RUNNERS: dict[str, Runner[Any]] = {
    "training": classifiers.RUNNER,
    "hybrids": hybrids.RUNNER,
    "open_set": open_set.RUNNER,
    "curve_fitting": curve_fitting.RUNNER,
    "decision_map": decision_map.RUNNER,
    "pretrained": pretrained.RUNNER,
}
