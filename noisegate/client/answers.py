"""Answers that do something: become tables, pictures, or what a notebook shows."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

from noisegate.api.answers import ExperimentAnswer
from noisegate.api.decisions import BatchLineAnswer, DecisionAnswer, MinimalLineAnswer, ModelCardAnswer
from noisegate.api.result_answers import CurvesAnswer, ResultsAnswer
from noisegate.client import html


class Experiment(ExperimentAnswer):
    """An experiment and how far it is."""

    def _repr_html_(self) -> str:
        return html.experiment(self)


class Results(ResultsAnswer):
    """A table of an experiment, one row a cell."""

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a cell: the swept values, n, and of each measure the mean, `…_std` and `…_standard_error`."""
        from noisegate.client.frames import results_frame  # pandas is an extra

        return results_frame(self)

    def _repr_html_(self) -> str:
        return html.results(self)


class Curves(CurvesAnswer):
    """The loss of each execution after each epoch."""

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row an epoch of an execution: `epoch`, `loss`, `holdout_loss`, and whose they are."""
        from noisegate.client.frames import curves_frame  # pandas is an extra

        return curves_frame(self)


class Decision(DecisionAnswer):
    """What a model makes of one image."""

    def _repr_html_(self) -> str:
        return html.decision(self)


class BatchLine(BatchLineAnswer):
    """What came of one of many images: a classification or a problem."""

    classification: Decision | None


Line = TypeVar("Line", BatchLine, MinimalLineAnswer)


class Batch(list[Line]):
    """What came of many images, in their order."""

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row an image: `name`, `problem`, and the fields of its decision, such as `label` and `rejected`.

        Where there is a `problem`, there are no fields.
        """
        from noisegate.client.frames import batch_frame  # pandas is an extra

        return batch_frame(self)


class Card(ModelCardAnswer):
    """What a model can do."""

    def _repr_html_(self) -> str:
        return html.card(self)


@dataclass(frozen=True)
class DatasetImage:
    """An image of a dataset and its class."""

    png: bytes
    label: str

    def image(self) -> Any:
        """It as a Pillow image."""
        from PIL import Image  # an extra

        return Image.open(BytesIO(self.png))

    def _repr_png_(self) -> bytes:
        return self.png
