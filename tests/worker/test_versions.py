"""Versions through a worker: originals are shared in files of their own, and outlive the base."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image

from noisegate.admin import cleaning
from noisegate.data.originals import Originals
from noisegate.data.packing import IMAGES_FILE
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.store import datasets, derived, files
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.prerequisites import usable_base
from noisegate.store.remote import RemoteArtefacts
from noisegate.store.states import DatasetState, DerivedState
from noisegate.store.tables import Dataset
from tests.worker.conftest import on_both_databases
from tests.worker.test_views import only, photographs, post
from worker.derived import make_one
from worker.ingestion import ingest_one
from worker.resources import Resources

PACKED = 8


def upload(resources: Resources, images: Mapping[str, bytes], name: str, base: str | None = None) -> Dataset:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in images.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    digest = resources.artefacts.put_bytes(buffer.getvalue())
    with resources.sessions.begin() as session:
        onto = usable_base(session, base, PACKED) if base else None
        waiting = datasets.register(
            session, name=name, source="upload", image_size=PACKED, upload_digest=digest, base=onto
        ).dataset
    ingest_one(resources, waiting.id)
    with resources.sessions.reading() as session:
        return session.get_one(Dataset, waiting.id)


def delete(resources: Resources, reference: str) -> None:
    with resources.sessions.begin() as session:
        digests = datasets.delete(session, reference)
    files.discard(resources.sessions, resources.artefacts, digests)


def stored(resources: Resources) -> set[str]:
    return {path.name for path in resources.artefacts.root.rglob("*") if path.is_file()}


def in_parts(images: Mapping[str, bytes], part: str = "train") -> dict[str, bytes]:
    return {f"{part}/{path}": data for path, data in images.items()}


def chain(resources: Resources) -> tuple[dict[str, bytes], list[Dataset]]:
    """A base, a version, and a version of that: 12, 4 and 4 images to train on, and 4 to test."""
    found = list(photographs(24).items())
    steps = [
        in_parts(dict(found[:12])) | in_parts(dict(found[12:16]), "test"),
        in_parts(dict(found[16:20])),
        in_parts(dict(found[20:])),
    ]
    rows = [upload(resources, steps[0], "base")]
    rows.append(upload(resources, steps[1], "second", base="base"))
    rows.append(upload(resources, steps[2], "shades", base="second"))
    assert [row.state for row in rows] == [DatasetState.READY] * 3
    return steps[0] | steps[1] | steps[2], rows


def check_originals(resources: Resources, dataset: Dataset, images: Mapping[str, bytes]) -> None:
    found = fetch_originals(resources.artefacts, dataset)
    originals = Originals(found.content, found.index, found.shared)
    packed = open_packed(resources.artefacts, dataset)
    assert len(originals) == len(packed.images) == len(images)
    for place, pixels in enumerate(packed.images):
        path = originals.name(place)
        assert originals.read(place) == images[path]
        assert np.array_equal(decode_image(originals.read(place), PACKED, ImageLimits()), pixels)
        assert packed.classes[packed.labels[place]] == path.split("/")[1]
        assert (place < packed.train_count) == path.startswith("train/")


@on_both_databases
def test_versions_hold_their_own_files_and_share_the_others(resources: Resources) -> None:
    images, (base, second, third) = chain(resources)
    assert second.shared_originals == [base.originals_digest]
    assert third.shared_originals == [second.originals_digest, base.originals_digest]
    sizes = [resources.artefacts.size_bytes(str(one.originals_digest)) for one in (base, second, third)]
    assert sum(sizes) == sum(map(len, images.values())), "no file is kept twice"
    assert third.originals_bytes == sizes[2]
    assert (third.train_count, third.test_count, third.images_done) == (20, 4, 24)
    check_originals(resources, third, images)
    assert stored(resources) == {digest for row in (base, second, third) for digest in row.digests}


def test_all_images_at_once_are_the_same_dataset(resources: Resources) -> None:
    images, (_, _, third) = chain(resources)
    together = upload(resources, images, "together")
    assert together.same_as == third.id
    assert together.content_hash == third.content_hash


@on_both_databases
def test_a_view_is_made_of_originals_whose_base_is_gone(resources: Resources) -> None:
    images, (base, second, third) = chain(resources)
    delete(resources, "base")
    delete(resources, "second")
    kept = {str(base.originals_digest), str(second.originals_digest)}
    assert stored(resources) == set(third.digests)
    assert kept < stored(resources)
    check_originals(resources, third, images)
    post(resources)
    make_one(resources, only(resources).id)
    row = only(resources)
    assert row.state is DerivedState.READY
    with resources.sessions.reading() as session:
        file = derived.files_of(session, row.id)[IMAGES_FILE]
    pixels = np.load(resources.artefacts.path(file.digest), allow_pickle=False)
    found = fetch_originals(resources.artefacts, third)
    originals = Originals(found.content, found.index, found.shared)
    for place in range(24):
        assert np.array_equal(pixels[place], decode_image(images[originals.name(place)], 16, ImageLimits()))


def test_deleting_a_version_leaves_the_base_whole_and_the_last_one_takes_all(resources: Resources) -> None:
    images, (base, second, third) = chain(resources)
    delete(resources, "shades")
    assert stored(resources) == set(base.digests) | set(second.digests)
    check_originals(
        resources, second, {name: data for name, data in images.items() if name in _names(resources, second)}
    )
    delete(resources, "base")
    delete(resources, "second")
    assert stored(resources) == set()
    assert third.digests


def _names(resources: Resources, dataset: Dataset) -> set[str]:
    found = fetch_originals(resources.artefacts, dataset)
    originals = Originals(found.content, found.index, found.shared)
    return {originals.name(place) for place in range(len(originals))}


def test_gc_says_what_it_frees_and_leaves_what_a_version_needs(resources: Resources) -> None:
    _, (base, second, third) = chain(resources)
    post(resources, image_size=PACKED)  # uses the third one
    bounds = cleaning.Bounds(files=0, scratch=0, failed_datasets=0, derived=0, unused_datasets=-60)
    said = list(cleaning.clean(resources.sessions, resources.artefacts, bounds, dry_run=True))
    assert list(cleaning.clean(resources.sessions, resources.artefacts, bounds)) == said
    unused = next(one for one in said if one.kind == "unused datasets")
    assert unused.count == 2
    assert stored(resources) == set(third.digests)
    assert {base.originals_digest, second.originals_digest} < stored(resources)


def test_files_that_machines_share_are_fetched_for_a_version(resources: Resources) -> None:
    root, bucket = resources.artefacts.root, resources.artefacts.root.parent / "bucket"
    shared = RemoteArtefacts(root, f"file://{bucket}", cache_bytes=2**30)
    here = Resources(resources.settings, resources.sessions, shared, resources.wakeups, worker="here")
    images, (_, _, third) = chain(here)
    there = RemoteArtefacts(root.parent / "elsewhere", f"file://{bucket}", cache_bytes=2**30)
    elsewhere = Resources(resources.settings, resources.sessions, there, resources.wakeups, worker="elsewhere")
    check_originals(elsewhere, third, images)
    new = {"train/bright/new.png": _png(200)}
    more = upload(elsewhere, new, "fourth", base="shades")
    assert (more.state, more.train_count) == (DatasetState.READY, 21)
    check_originals(here, more, images | new)


def _png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_contradiction_fails_the_ingestion_and_leaves_the_base_alone(resources: Resources) -> None:
    images, (base, second, third) = chain(resources)
    path, data = next(iter(images.items()))
    other = "bright" if "dark" in path else "dark"
    failed = upload(resources, {f"{other}/x.png": data}, "wrong", base="shades")
    assert failed.state is DatasetState.FAILED
    assert failed.error is not None
    assert f"'{other}/x.png' of class '{other}' is {path!r}" in failed.error.detail
    assert stored(resources) == {digest for row in (base, second, third) for digest in row.digests}


def test_the_same_upload_again_is_the_same_version(resources: Resources) -> None:
    chain(resources)
    first = upload(resources, {"bright/new.png": _png(200)}, "one", base="shades")
    again = upload(resources, {"bright/new.png": _png(200)}, "two", base="shades")
    assert again.id == first.id
    nothing = upload(resources, {"bright/again.png": _png(200)}, "three", base="one")
    assert nothing.same_as == first.id, "what adds nothing is its base by another name"


def test_versions_of_a_dataset_that_came_as_pixels(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        waiting = datasets.register(
            session, name="digits", source="digits", image_size=PACKED, upload_digest=None
        ).dataset
    ingest_one(resources, waiting.id)
    version = upload(resources, {"7/mine.png": _png(3)}, "more digits", base="digits")
    assert version.state is DatasetState.READY, version.error
    assert version.images_done == 1798
    assert len(_names(resources, version)) == 1798
