"""The statistics extension: what models have done in this process. Times are in nanoseconds, as the protocol has them."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from service.classify.models import Loaded
from service.classify.statistics import Duration, Statistics


class DurationRead(BaseModel):
    count: int = 0
    ns: int = 0

    @classmethod
    def of(cls, duration: Duration) -> "DurationRead":
        return cls(count=duration.count, ns=round(duration.seconds * 1e9))


class InferStatistics(BaseModel):
    success: DurationRead = Field(description="Images decided on, from waiting to the answer.")
    fail: DurationRead = Field(description="Images that the model failed on.")
    queue: DurationRead = Field(description="Images, waiting for the batch before to end.")
    compute_input: DurationRead = Field(DurationRead(), description="Not counted by model: /metrics has decoding.")
    compute_infer: DurationRead = Field(description="Batches through the model, decisions included.")
    compute_output: DurationRead = Field(DurationRead(), description="Part of compute_infer.")


class BatchStatistics(BaseModel):
    batch_size: int
    compute_input: DurationRead = DurationRead()
    compute_infer: DurationRead
    compute_output: DurationRead = DurationRead()


class ModelStatistics(BaseModel):
    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since 1970; 0 before the first.")
    inference_count: int = Field(description="Images decided on, those of /classify included.")
    execution_count: int = Field(description="Batches.")
    inference_stats: InferStatistics
    batch_stats: list[BatchStatistics]


class ModelsStatistics(BaseModel):
    """Of this process alone, since each model was loaded."""

    model_stats: list[ModelStatistics]


def statistics_of(models: Mapping[str, Loaded]) -> ModelsStatistics:
    """What these models have done, under the names they were asked for by."""
    return ModelsStatistics(model_stats=[_of_one(name, loaded) for name, loaded in sorted(models.items())])


def _of_one(name: str, loaded: Loaded) -> ModelStatistics:
    found: Statistics = loaded.batcher.statistics
    batches = sorted(found.predict.items())
    whole = Duration(sum(each.count for _, each in batches), sum(each.seconds for _, each in batches))
    return ModelStatistics(
        name=name,
        version=loaded.version,
        last_inference=round(found.last * 1000),
        inference_count=found.success.count,
        execution_count=whole.count,
        inference_stats=InferStatistics(
            success=DurationRead.of(found.success),
            fail=DurationRead.of(found.failure),
            queue=DurationRead.of(found.queue),
            compute_infer=DurationRead.of(whole),
        ),
        batch_stats=[BatchStatistics(batch_size=size, compute_infer=DurationRead.of(spent)) for size, spent in batches],
    )
