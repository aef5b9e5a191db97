"""What /classify reads and answers."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from noisegate.inference.decision import Decision

ModelName = Annotated[str, Query(min_length=1, max_length=200, description="Id or alias of a model.")]
MaxFalseReject = Annotated[
    float, Query(ge=0, le=1, allow_inf_nan=False, description="Largest share of known images rejected wrongly.")
]


class ImageDocument(BaseModel):
    """An image in a JSON body."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description="A PNG, JPEG or WEBP file in base64, without line breaks or a data: prefix.")


class ModelReference(BaseModel):
    """Which model decided."""

    id: str
    alias: str | None = Field(description="The name it was asked for by; null if that was its id.")

    @classmethod
    def found(cls, id: str, asked_for: str) -> "ModelReference":
        """The model with this id, which the caller named by it or by an alias."""
        return cls(id=id, alias=asked_for if asked_for != id else None)


class Classification(Decision):
    """What a model makes of one image."""

    model: ModelReference
