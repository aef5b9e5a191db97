"""What this process counts and measures, for Prometheus. Names follow its conventions: base units, `_total` for counters."""

import os
from pathlib import Path

from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_FAST_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
# What prometheus_client asks for where several processes answer for one service.
_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

DECISIONS = Counter("noisegate_decisions", "Images decided, by outcome.", ["outcome"])
STAGE_SECONDS = Histogram(
    "noisegate_classify_stage_seconds",
    "Time of one image in a stage: decode, queue; predict: of one batch.",
    ["stage"],
    buckets=_FAST_SECONDS,
)
BATCH_SIZE = Histogram(
    "noisegate_classify_batch_size", "Images run through a model together.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_DEPTH = Gauge("noisegate_classify_queue_depth", "Images that wait for a model.", multiprocess_mode="livesum")
MODEL_LOADS = Counter("noisegate_model_loads", "Models loaded into memory, by result.", ["result"])
MODEL_LOAD_SECONDS = Histogram("noisegate_model_load_seconds", "From files to the first answer of a model.")
MODELS_LOADED = Gauge("noisegate_models_loaded", "Models in memory.", multiprocess_mode="livesum")
MODELS_BYTES = Gauge("noisegate_models_bytes", "Memory that the models are counted with.", multiprocess_mode="livesum")
REQUESTS = Counter("noisegate_http_requests", "Requests answered.", ["method", "route", "status"])
KEY_REQUESTS = Counter("noisegate_key_requests", "Requests let in with a key, by the key's id.", ["key"])
REQUEST_SECONDS = Histogram(
    "noisegate_http_request_seconds",
    "From a request's first byte to its answer's last.",
    ["route"],
    buckets=_FAST_SECONDS,
)

# There, as 0, before the first failure: an increase from nothing is none.
for result in ("loaded", "failed"):
    MODEL_LOADS.labels(result)
# Children made once: looking one up by its label takes longer than counting.
DECODE_SECONDS, QUEUE_SECONDS, PREDICT_SECONDS = (
    STAGE_SECONDS.labels(stage) for stage in ("decode", "queue", "predict")
)
OUTCOMES = {
    reason: DECISIONS.labels(outcome)
    for reason, outcome in (
        (None, "accepted"),
        ("noise", "rejected_noise"),
        ("low_confidence", "rejected_low_confidence"),
        ("unsure", "rejected_unsure"),
        ("unknown", "rejected_unknown"),
    )
}


def exposition() -> bytes:
    """All metrics as text; of all processes of this service, where they share a folder for that."""
    if _SHARED_FOLDER not in os.environ:
        return generate_latest(PROCESS_REGISTRY)
    _forget_ended(Path(os.environ[_SHARED_FOLDER]))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_ended(folder: Path) -> None:
    """Take what processes held that have ended out of the sums: one that was killed cannot do so itself."""
    for file in folder.glob("gauge_live*_*.db"):
        if not _runs(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
