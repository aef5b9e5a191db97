"""What /hybrids reads and answers."""

from pydantic import BaseModel, ConfigDict, Field

from noisegate.inference.decision import Decision
from service.classify.schemas import ModelReference


class Cutoffs(BaseModel):
    """Where the filters halve an amplitude; the same defaults and bounds as an experiment's."""

    model_config = ConfigDict(extra="forbid")

    low_cutoff: float = Field(
        4, gt=0, le=4096, description="Of the low-pass filter on `low`, in cycles an image at the model's image size."
    )
    high_cutoff: float = Field(
        4, gt=0, le=4096, description="Of the high-pass filter on `high`, in cycles an image at the model's image size."
    )


class HybridDocument(Cutoffs):
    """Two images in a JSON body."""

    low: str = Field(description="The image that gives the low frequencies: a PNG, JPEG or WEBP file in base64.")
    high: str = Field(description="The image that gives the high frequencies: a PNG, JPEG or WEBP file in base64.")


class Mixed(BaseModel):
    """A hybrid, and the decisions on it and on the two images it was made from."""

    image: str = Field(description="The hybrid at the model's image size: a PNG file in base64.")
    hybrid: Decision
    low: Decision
    high: Decision
    notes: list[str] = Field(description="What was done to the images before they were mixed; empty if nothing.")


class HybridRead(Mixed):
    """What a model makes of a hybrid."""

    model: ModelReference
