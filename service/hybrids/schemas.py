"""What /hybrids reads and answers."""

from pydantic import BaseModel, Field

from noisegate.image_kinds import IMAGE_KINDS
from noisegate.rejection.documents import Decision
from noisegate.spec import HybridCutoffs
from service.classify.schemas import ModelReference


class HybridDocument(HybridCutoffs):
    """Two images in a JSON body."""

    low: str = Field(description=f"The image that gives the low frequencies, a file in base64: {IMAGE_KINDS}.")
    high: str = Field(description=f"The image that gives the high frequencies, a file in base64: {IMAGE_KINDS}.")


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
