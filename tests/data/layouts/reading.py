"""Layouts of made-up archives: paths and texts in, the class and part of every image out."""

from collections.abc import Mapping, Sequence

import pytest

from noisegate.api.reading import Validation
from noisegate.data.layouts import Contents, Layout, resolve_layout
from noisegate.data.members import LeftOut
from noisegate.errors import InvalidArchive

Texts = Mapping[str, str | bytes]


def read(
    images: Sequence[str],
    texts: Texts | None = None,
    left_out: Sequence[str | LeftOut] = (),
    validation: Validation = "auto",
) -> Layout:
    attachments = {name: text.encode() if isinstance(text, str) else text for name, text in (texts or {}).items()}
    others = [LeftOut(file, "is not an image") if isinstance(file, str) else file for file in left_out]
    return resolve_layout(Contents(images, [None] * len(images), attachments, others), validation)


def classes(layout: Layout, images: Sequence[str]) -> dict[str, str]:
    """The class of every image that was taken, by path. Every index and every name within a class stands once."""
    indices = [image.index for image in layout.images]
    names = [(image.split, image.class_name, image.name) for image in layout.images]
    assert len(set(indices)) == len(indices)
    assert len(set(names)) == len(names)
    return {images[image.index]: image.class_name for image in layout.images}


def parts(layout: Layout, images: Sequence[str]) -> dict[str, str]:
    return {images[image.index]: image.split for image in layout.images}


def refused(
    words: str, images: Sequence[str], texts: Texts | None = None, left_out: Sequence[str | LeftOut] = ()
) -> InvalidArchive:
    """Reading fails in a sentence with these words (a pattern), which names the field and offers a remedy."""
    with pytest.raises(InvalidArchive, match=words) as caught:
        read(images, texts, left_out)
    assert caught.value.field == "archive"
    assert caught.value.remedy
    assert "\n" not in caught.value.detail
    return caught.value


def of_classes(count: int, names: Sequence[str] = ("cat", "dog"), before: str = "") -> list[str]:
    return [f"{before}{name}/{index}.png" for name in names for index in range(count)]
