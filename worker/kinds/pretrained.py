"""Executions of kind `pretrained`: the weights are loaded, and become a model."""

import time
from collections.abc import Callable
from pkgutil import resolve_name

from noisegate.learning.describing import described
from noisegate.learning.pretrained import export_pretrained
from noisegate.networks.pretrained import Pretrained
from noisegate.spec import PretrainedExperiment
from noisegate.store.executions import ExecutionResult
from noisegate.store.tables import Execution
from worker.kinds.runner import Work, one_by_one
from worker.recording import FinishedExecution

# Who loads which network, by name: every worker imports this module, few are ever asked for AlexNet, and torchvision takes a
# third of a worker's start. A loader is called with `between_chunks`, which it calls while it fetches weights.
LOADERS = {"alexnet": "noisegate.networks.alexnet:load"}


def _run(work: Work[PretrainedExperiment], execution: Execution) -> FinishedExecution:
    started = time.perf_counter()
    load: Callable[..., Pretrained] = resolve_name(LOADERS[work.spec.network])
    pretrained = load(between_chunks=work.check)
    work.check()
    files = export_pretrained(
        pretrained, spec=work.spec, cell=execution.cell.position, execution=execution.position, seed=execution.seed
    )
    result = ExecutionResult(
        train_seconds=time.perf_counter() - started,
        precision="float32",
        device="cpu",
        versions=files.manifest.versions,
    )
    return FinishedExecution(result, described(files, None), keep="all")


RUNNER = one_by_one(_run)
