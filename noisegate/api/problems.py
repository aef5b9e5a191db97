"""Why something failed, as its row keeps it: written by workers and the store, answered by the service."""

from pydantic import BaseModel, ConfigDict, Field

from noisegate.errors import NoisegateError


class FieldProblem(BaseModel):
    """One field that is wrong."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(description="Its path, as in `noise.quantity`.")
    message: str
    remedy: str | None = None


class Failure(BaseModel):
    """Why an execution or an ingestion failed, or an experiment was cancelled.

    What a newer version adds is left out when it is read: a failure must be reported by every version.
    """

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Never changes; made for programs.")
    title: str
    detail: str
    remedy: str | None = None
    errors: list[FieldProblem] = []
    worker: str | None = Field(
        None,
        description="Name of the worker whose process met it; left out of the JSON where none did.",
        exclude_if=lambda worker: worker is None,
    )

    @classmethod
    def of(cls, error: NoisegateError, *, worker: str | None = None) -> "Failure":
        """What `error` says."""
        fields = [FieldProblem(field=wrong.field, message=wrong.message, remedy=wrong.remedy) for wrong in error.errors]
        return cls(
            code=error.code, title=error.title, detail=error.detail, remedy=error.remedy, errors=fields, worker=worker
        )
