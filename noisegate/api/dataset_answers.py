"""The answers of /datasets, as they are; see `noisegate.api.answers`."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from noisegate.api.answers import ProblemAnswer
from noisegate.api.base import Answer, Open


class ViewAnswer(Answer):
    id: str
    image_size: int
    resize: str
    interpolation: str | None = None
    crop_share: float | None = None
    decoding: str | None = None
    state: Open[Literal["waiting", "running", "ready", "failed"]]
    images_done: int
    size_bytes: int | None
    error: ProblemAnswer | None
    created_at: datetime
    used_at: datetime


class BaseAnswer(Answer):
    id: str
    name: str


class DatasetAnswer(Answer):
    id: str
    name: str
    also_called: list[str] = Field([])
    source: str
    base: BaseAnswer | None = None
    state: Open[Literal["ingesting", "ready", "failed"]]
    image_size: int
    images_done: int
    classes: list[str] | None
    counts: dict[str, dict[str, int]] | None
    train_count: int | None
    test_count: int | None
    skipped: int | None
    content_hash: str | None
    licence: str | None
    originals_bytes: int | None
    views: list[ViewAnswer]
    error: ProblemAnswer | None
    created_at: datetime
    finished_at: datetime | None


class ClassFoundAnswer(Answer):
    name: str
    train: int
    test: int
    samples: list[str]


class LeftOutAnswer(Answer):
    why: str
    count: int
    names: list[str]


class SpreadAnswer(Answer):
    least: int
    median: int
    most: int


class ImagesFoundAnswer(Answer):
    formats: dict[str, int]
    width: SpreadAnswer
    height: SpreadAnswer


class CopyPairAnswer(Answer):
    first: str
    second: str
    first_class: str
    second_class: str
    kind: Open[Literal["exact", "near", "mirrored"]]
    similarity: float


class CopyCountsAnswer(Answer):
    exact: int
    near: int
    mirrored: int
    examples: list[CopyPairAnswer]


class CopyGroupAnswer(Answer):
    """Images that are one picture."""

    size: int
    classes: list[str]
    images: list[str]


class DuplicatesAnswer(Answer):
    """The copies in a dataset; noisegate.api.duplicates says what each part means."""

    train_images: int
    test_images: int
    within_train: CopyCountsAnswer
    within_test: CopyCountsAnswer
    test_in_train: CopyCountsAnswer
    across_classes: CopyCountsAnswer
    groups: int
    redundant_images: int
    group_sizes: dict[int, int]
    largest_groups: list[CopyGroupAnswer]
    least_similarity: float
    messages: list[str]


class ClassAddedAnswer(Answer):
    name: str
    train: int
    test: int
    is_new: bool


class AddedAnswer(Answer):
    base: str
    train_count: int
    test_count: int
    known_count: int
    classes: list[ClassAddedAnswer]


class ReportAnswer(Answer):
    """How an upload was read; `noisegate.api.dataset_report` says what each part means."""

    layout: str
    notes: list[str]
    train_count: int
    test_count: int
    classes: list[ClassFoundAnswer]
    images: ImagesFoundAnswer
    left_out_count: int
    left_out: list[LeftOutAnswer]
    duplicates: DuplicatesAnswer | None = None  # null until they have been looked for
    duplicates_search: Open[Literal["running", "finished", "unfinished"]] | None = None  # older services do not say
    added: AddedAnswer | None = None
