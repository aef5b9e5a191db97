"""The pydantic base of everything that is written down as JSON: specs, manifests, cards, answers."""

from pydantic import BaseModel, ConfigDict

# Far beyond every cap, and small enough to be printed: the caps of the settings say what is really allowed.
MOST = 1_000_000


class Document(BaseModel):
    """Unknown fields are errors, values never change, and NaN is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Strict(Document):
    """For JSON that people write: neither true nor "5" is a number either."""

    model_config = ConfigDict(strict=True)
