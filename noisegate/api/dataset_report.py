"""What reading an upload found: kept with the dataset, or all that a dry run leaves."""

from typing import Literal

from pydantic import Field

from noisegate.api.duplicates import Duplicates
from noisegate.documents import Document


class ClassFound(Document):
    """One class."""

    name: str
    train: int = Field(ge=0, description="Images.")
    test: int = Field(ge=0, description="Images.")
    samples: list[str] = Field(description="The paths of the first of its images, by name.")


class LeftOutGroup(Document):
    """Files that were left out for the same reason."""

    why: str = Field(description="Words that follow on a file's name.")
    count: int = Field(ge=1)
    names: list[str] = Field(description="The first of them.")


class Spread(Document):
    """Of a number over all images."""

    least: int
    median: int
    most: int


class ImagesFound(Document):
    """The image files as they came."""

    formats: dict[str, int] = Field(description="Format to number of images; `pixels` where they came without files.")
    width: Spread = Field(description="In pixels, upright.")
    height: Spread = Field(description="In pixels, upright.")


class ClassAdded(Document):
    """What was added to one class."""

    name: str
    train: int = Field(ge=0, description="Images.")
    test: int = Field(ge=0, description="Images.")
    is_new: bool = Field(description="Whether the base has no such class.")


class Added(Document):
    """What an upload added to its base."""

    base: str = Field(description="The base's name, as it was then.")
    train_count: int = Field(ge=0)
    test_count: int = Field(ge=0)
    known_count: int = Field(ge=0, description="Images that were left out because their files are in the base already.")
    classes: list[ClassAdded] = Field(description="Those to which images were added, in the order of the labels.")


SearchState = Literal["running", "finished", "unfinished"]


class DatasetReport(Document):
    """How an upload was read. With a base, counts and classes are those of base and upload together."""

    layout: str = Field(description="Which layout was recognised, in words.")
    notes: list[str] = Field(description="What was taken for what, where another reading was possible.")
    train_count: int
    test_count: int
    classes: list[ClassFound] = Field(description="In the order of the labels.")
    images: ImagesFound = Field(description="Those of the upload alone.")
    left_out_count: int
    left_out: list[LeftOutGroup]
    added: Added | None = Field(None, description="Of an upload to a base.")
    duplicates: Duplicates | None = Field(
        None,
        description="Copies among the images: looked for once the dataset is ready, and null until that is finished.",
    )
    duplicates_search: SearchState = Field(
        "unfinished",
        description="Whether copies are still looked for, or have been. unfinished: the worker that did so was ended meanwhile, "
        "and `duplicates` stays null; a dry run of the same upload tells.",
    )
