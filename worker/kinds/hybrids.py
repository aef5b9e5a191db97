"""Executions of kind `hybrids`: classifiers are trained, then asked for hybrids of test images."""

from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.hybrid_pairs import measure_hybrids
from noisegate.seeds import derive_seed
from noisegate.spec import HybridsExperiment
from worker.kinds.classifiers import classifier_runner
from worker.kinds.finished import Finished


def _measure(spec: HybridsExperiment, finished: Finished) -> Analysis:
    context = finished.context
    # One seed for the whole experiment: every execution of every cell is asked for the same hybrids.
    seed = derive_seed(spec.seed, "hybrids")
    return measure_hybrids(context.cell, finished.outcome, spec.hybrids, seed, context.device, context.check)


RUNNER = classifier_runner(_measure)
