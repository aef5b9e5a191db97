"""What the table of samples says of itself: whose executions it is made of, and by what."""

from typing import Literal

from pydantic import Field

from noisegate.documents import Document

# The key of the facts in the metadata of the table.
FACTS = b"noisegate"
# In the file of each execution (safetensors): the output that it calls each test image.
TEST_CALLED = "test_called"


class TableFacts(Document):
    """Where the numbers of a table of samples come from."""

    experiment: str
    cell: int | None = Field(description="Of this cell's executions alone; null for all that have recorded.")
    dataset: str = Field(description="Its id.")
    content_hash: str = Field(description="SHA-256 of the dataset's images and labels.")
    classes: list[str]
    images: int = Field(description="Training images of the dataset: rows of the table.")
    executions: int = Field(description="Executions that it is made of.")
    epochs: int = Field(description="Epochs that were recorded of each, at most.")
    label_basis: Literal["out_of_sample", "in_sample"] | None = Field(
        description="Whose probabilities cleanlab was given: of executions that were not trained on the image (by "
        "cross-validation), or of its own training, averaged over epochs; null if neither was recorded."
    )
    noise_margin: float | None = Field(
        description="The margin that 1 % of the noise images exceed; null where no noise was trained on."
    )
    features: str | None = Field(
        description="Whose features the neighbours were looked for in; null if there are none."
    )
