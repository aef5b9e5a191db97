"""What /workers answers."""

from datetime import datetime

from pydantic import BaseModel, Field

from noisegate.store.tables import Execution
from noisegate.store.workers import Seen


class HeldExecution(BaseModel):
    """An execution that a worker trains."""

    id: str
    experiment: str
    cell: int
    execution: int = Field(description="Its number within the cell.")
    epochs_done: int
    epochs: int
    images_per_second: float | None

    @classmethod
    def of(cls, execution: Execution) -> "HeldExecution":
        return cls(
            id=execution.id,
            experiment=execution.experiment_id,
            cell=execution.cell.position,
            execution=execution.position,
            epochs_done=execution.epochs_done,
            epochs=execution.epochs,
            images_per_second=execution.images_per_second,
        )


class WorkerRead(BaseModel):
    """A worker and what it does."""

    name: str
    host: str
    device: str
    processes: int = Field(description="How many executions, or groups of them, it trains at once.")
    version: str
    started_at: datetime
    heartbeat_age_seconds: float
    alive: bool = Field(
        description="Whether it was heard of within the time after which its executions are taken away."
    )
    images_per_second: float = Field(description="Of all its executions together.")
    executions: list[HeldExecution]

    @classmethod
    def of(cls, seen: Seen, lease_seconds: float) -> "WorkerRead":
        worker, held = seen.worker, [HeldExecution.of(execution) for execution in seen.executions]
        return cls(
            name=worker.name,
            host=worker.host,
            device=worker.device,
            processes=worker.processes,
            version=worker.version,
            started_at=worker.started_at,
            heartbeat_age_seconds=seen.heartbeat_age,
            alive=seen.heartbeat_age < lease_seconds,
            images_per_second=sum(execution.images_per_second or 0 for execution in held),
            executions=held,
        )


class WorkerList(BaseModel):
    """All workers by name."""

    items: list[WorkerRead]
