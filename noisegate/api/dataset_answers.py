"""The answers of /datasets, as they are; see `noisegate.api.answers`."""

from typing import Literal, NotRequired, TypedDict

from noisegate.api.answers import ProblemAnswer


class ViewAnswer(TypedDict):
    id: str
    image_size: int
    resize: str
    # Older services have none of the three.
    interpolation: NotRequired[str]
    crop_share: NotRequired[float]
    decoding: NotRequired[str]
    state: Literal["waiting", "running", "ready", "failed"]
    images_done: int
    size_bytes: int | None
    error: ProblemAnswer | None
    created_at: str
    used_at: str


class BaseAnswer(TypedDict):
    id: str
    name: str


class DatasetAnswer(TypedDict):
    id: str
    name: str
    also_called: NotRequired[list[str]]  # older services tell one name
    source: str
    base: NotRequired[BaseAnswer | None]  # older services have no versions
    state: Literal["ingesting", "ready", "failed"]
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
    created_at: str
    finished_at: str | None


class ClassFoundAnswer(TypedDict):
    name: str
    train: int
    test: int
    samples: list[str]


class LeftOutAnswer(TypedDict):
    why: str
    count: int
    names: list[str]


class SpreadAnswer(TypedDict):
    least: int
    median: int
    most: int


class ImagesFoundAnswer(TypedDict):
    formats: dict[str, int]
    width: SpreadAnswer
    height: SpreadAnswer


class DuplicatesAnswer(TypedDict):
    """As much of it as is read here; `noisegate.api.duplicates` has all."""

    messages: list[str]


class ClassAddedAnswer(TypedDict):
    name: str
    train: int
    test: int
    is_new: bool


class AddedAnswer(TypedDict):
    base: str
    train_count: int
    test_count: int
    known_count: int
    classes: list[ClassAddedAnswer]


class ReportAnswer(TypedDict):
    """How an upload was read; `noisegate.api.dataset_report` says what each part means."""

    layout: str
    notes: list[str]
    train_count: int
    test_count: int
    classes: list[ClassFoundAnswer]
    images: ImagesFoundAnswer
    left_out_count: int
    left_out: list[LeftOutAnswer]
    duplicates: NotRequired[DuplicatesAnswer | None]  # null while they are looked for
    added: NotRequired[AddedAnswer | None]  # older services have no versions
