"""What /classify reads and answers."""

from pydantic import BaseModel, ConfigDict, Field

from noisegate.inference.decision import Decision


class ImageDocument(BaseModel):
    """An image in a JSON body."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description="A PNG, JPEG or WEBP file in base64, without line breaks or a data: prefix.")


class ModelReference(BaseModel):
    """Which model decided."""

    id: str
    alias: str | None = Field(description="The name it was asked for by; null if that was its id.")


class Classification(Decision):
    """What a model makes of one image."""

    model: ModelReference
