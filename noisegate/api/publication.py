"""What an experiment that has succeeded has done to the alias `default`: in its last event, in its answer and with its results."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Publication(BaseModel):
    """What became of `default` when an experiment succeeded.

    What a newer version adds is left out when it is read, as this is kept in an event.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Literal["set", "moved", "kept", "none"] = Field(
        description="set: it points at a model of this experiment, and there was none before. moved: it does, and pointed at "
        "another. kept: it was there, and stays. none: there is no `default`, as no model of this experiment becomes it."
    )
    model: str | None = Field(description="What it points at; null if there is none, or another owner has it.")
    sentence: str = Field(description="The same in words, with the reason.")
    remedy: str | None = None
