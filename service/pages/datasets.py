"""Datasets: the list, where one is uploaded; and the page of one, with its classes, its images and what was found in it."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from noisegate.api.dataset_report import DatasetReport
from noisegate.api.reading import Reading
from noisegate.errors import InvalidInput, NewerVersion
from noisegate.store import datasets
from noisegate.store.artefacts import Artefacts
from noisegate.store.packed import open_packed
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from service.datasets.registration import DEFAULT_IMAGE_SIZE
from service.datasets.schemas import DatasetRead, read
from service.deps import PagingDep
from service.pages.frame import FrameDep
from service.pages.words import count, size

_IN_GALLERY = 60

router = APIRouter(prefix="/ui/datasets", include_in_schema=False)

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Gallery:
    """Some images of a split: their places in it and their classes."""

    split: Split
    label: str | None
    images: list[tuple[int, str]]
    total: int
    first: int

    @property
    def following(self) -> int | None:
        """Where the next page begins."""
        return self.first + _IN_GALLERY if self.first + _IN_GALLERY < self.total else None

    @property
    def preceding(self) -> int | None:
        """Where the page before begins."""
        return max(0, self.first - _IN_GALLERY) if self.first else None


@router.get("")
def list_page(frame: FrameDep, paging: PagingDep) -> Response:
    """All datasets, newest first, and a place to drop another."""
    with frame.sessions.reading() as session:
        page = datasets.page(session, cursor=paging.cursor, limit=paging.limit)
        rows = read(session, page.items)
    return frame.page(
        "datasets.html",
        rows=rows,
        next=page.next_cursor,
        image_size=DEFAULT_IMAGE_SIZE,
        largest_size=frame.resources.settings.caps.image_size,
        most_bytes=frame.resources.settings.max_upload_bytes,
        reading=Reading.model_fields,
    )


@router.get("/{reference}")
def dataset_page(
    reference: str,
    frame: FrameDep,
    split: Split = "train",
    label: Annotated[int | None, Query(ge=0)] = None,
    first: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """One dataset."""
    with frame.sessions.reading() as session:
        row = datasets.get(session, reference)
        (shown,) = read(session, [row])
        report = _report(session, reference)
    gallery = None
    if row.state is DatasetState.READY:
        gallery = _gallery(frame.resources.artefacts, row, split, label, first)
    return frame.page(
        "dataset.html", dataset=shown, report=report, gallery=gallery, rows=_counts(shown), along=_along(shown)
    )


def _gallery(artefacts: Artefacts, row: Dataset, split: Split, label: int | None, first: int) -> Gallery:
    packed = open_packed(artefacts, row)
    if label is not None and label >= len(packed.classes):
        raise InvalidInput(f"there are {len(packed.classes)} classes", field="label", remedy="They count from 0.")
    count = packed.train_count
    labels = np.asarray(packed.labels[:count] if split == "train" else packed.labels[count:])
    places = np.arange(len(labels)) if label is None else np.flatnonzero(labels == label)
    some = places[first : first + _IN_GALLERY].tolist()
    images = [(place, packed.classes[labels[place]]) for place in some]
    return Gallery(split, None if label is None else packed.classes[label], images, len(places), first)


def _along(shown: DatasetRead) -> str:
    """What goes when it is deleted."""
    images = (shown.train_count or 0) + (shown.test_count or 0)
    found = [f"{count(images)} images" if images else ""]
    found += [f"their originals ({size(shown.originals_bytes)})" if shown.originals_bytes else ""]
    found += [f"{len(shown.views)} more sizes of them" if shown.views else ""]
    found += [f"the name {name}" for name in shown.also_called]
    return ", ".join(filter(None, found))


def _report(session: Session, reference: str) -> DatasetReport | None:
    """That of the upload with this name; None also where a newer version has written it."""
    try:
        return datasets.reported(session, reference).report
    except NewerVersion:
        return None


def _counts(shown: DatasetRead) -> list[tuple[int, str, int, int]]:
    """Place, name, training and test images of each class."""
    counts = shown.counts or {}
    return [
        (place, name, counts.get("train", {}).get(name, 0), counts.get("test", {}).get(name, 0))
        for place, name in enumerate(shown.classes or ())
    ]
