"""Ingestion as a job, in this process: every bad archive fails with its reason and leaves nothing behind."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image

from noisegate.data.originals import Originals
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.store import datasets, ingestions
from noisegate.store.datasets import Registered
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from tests.worker.conftest import on_both_databases
from worker.ingestion import _ingest, _look_for_copies, ingest_one
from worker.lease import draining
from worker.resources import Resources


def _png(shade: int, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _tar(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _pets(extra: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    images = {f"{name}/{i}.png": _png(10 * i + 100 * k) for k, name in enumerate(("cat", "dog")) for i in range(10)}
    return images | dict(extra or {})


def _upload(resources: Resources, archive: bytes, name: str = "pets") -> Dataset:
    upload_digest = resources.artefacts.put_bytes(archive)
    with resources.sessions.begin() as session:
        dataset = datasets.register(
            session, name=name, source="upload", image_size=8, upload_digest=upload_digest
        ).dataset
    ingest_one(resources, dataset.id)
    with resources.sessions.reading() as session:
        return session.get_one(Dataset, dataset.id)


def _originals(resources: Resources, dataset: Dataset) -> Originals:
    found = fetch_originals(resources.artefacts, dataset)
    return Originals(found.content, found.index, found.shared)


def _files(resources: Resources) -> list[str]:
    return sorted(path.name for path in resources.artefacts.root.rglob("*") if path.is_file())


@on_both_databases
def test_an_upload_becomes_arrays_and_the_archive_goes(resources: Resources) -> None:
    dataset = _upload(resources, _zip(_pets({"README.txt": b"hello"})))
    assert dataset.state is DatasetState.READY
    assert (dataset.classes, dataset.train_count, dataset.test_count, dataset.skipped) == (["cat", "dog"], 16, 4, 1)
    assert _files(resources) == sorted(dataset.digests)
    assert len(set(dataset.digests)) == 4
    packed = open_packed(resources.artefacts, dataset)
    shades = {(int(label), int(image[0, 0, 0])) for image, label in zip(packed.images, packed.labels, strict=True)}
    assert shades == {(k, 10 * i + 100 * k) for k in range(2) for i in range(10)}


def test_the_same_content_in_another_archive_is_the_same_dataset(resources: Resources) -> None:
    first = _upload(resources, _zip(_pets()))
    second = _upload(resources, _tar(_pets()), name="again")
    assert second.same_as == first.id
    with resources.sessions.reading() as session:
        assert datasets.get(session, second.id).id == datasets.get(session, "again").id == first.id
    assert len(_files(resources)) == 4


@pytest.mark.parametrize(
    ("archive", "code", "says"),
    [
        pytest.param(_zip({f"cat/{i}.png": _png(i) for i in range(9)}), "invalid-archive", "class", id="one class"),
        pytest.param(_zip({"cat/a.txt": b"x"}), "invalid-archive", "image", id="no images"),
        pytest.param(_zip({}), "invalid-archive", "image", id="empty"),
        pytest.param(b"not an archive at all", "invalid-archive", "format", id="no archive"),
        pytest.param(_zip(_pets())[:-40], "invalid-archive", "", id="truncated zip"),
        pytest.param(_tar(_pets())[:-40], "invalid-archive", "", id="truncated tar.gz"),
        pytest.param(_zip(_pets({"cat/text.png": b"just text"})), "invalid-image", "cat/text.png", id="text as png"),
        pytest.param(_tar(_pets({"../cat/x.png": _png(1)})), "invalid-archive", "../cat/x.png", id="parent path"),
        pytest.param(_tar(_pets({"/cat/x.png": _png(1)})), "invalid-archive", "/cat/x.png", id="absolute path"),
        pytest.param(_zip(_pets({"noise/x.png": _png(1)})), "invalid-archive", "noise", id="reserved class"),
        pytest.param(_zip(_pets() | {"cat/bomb.png": bytes(50 * 2**20)}), "too-large", "cat/bomb.png", id="zip bomb"),
    ],
)
def test_a_bad_archive_fails_with_its_reason_and_leaves_nothing(
    resources: Resources, archive: bytes, code: str, says: str
) -> None:
    dataset = _upload(resources, archive)
    assert dataset.state is DatasetState.FAILED
    assert dataset.error is not None
    assert dataset.error.code == code
    assert says in dataset.error.detail
    assert dataset.error.remedy
    assert [entry.field for entry in dataset.error.errors] == ["archive"]
    assert _files(resources) == []
    again = _upload(resources, _zip(_pets()))
    assert again.state is DatasetState.READY, "the name is free again and the worker goes on"


def _declared_png(side: int) -> bytes:
    """A PNG of a few bytes whose header claims a square of this many pixels a side."""
    whole = _png(1)
    header = b"IHDR" + struct.pack(">II", side, side) + whole[24:29]
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


@pytest.mark.parametrize(
    ("images", "code", "says"),
    [
        pytest.param({"cat/1.png": 1, "cat/2.png": 2, "dog/3.png": 3}, "invalid-archive", "dog", id="3 photographs"),
        pytest.param(
            {f"cat/{i}.png": i for i in range(9)} | {"dog/3.png": 3}, "invalid-archive", "dog", id="one of a class"
        ),
    ],
)
def test_too_few_photographs_are_refused_by_the_name_of_their_class(
    resources: Resources, images: Mapping[str, int], code: str, says: str
) -> None:
    dataset = _upload(resources, _zip({name: _png(shade) for name, shade in images.items()}))
    assert dataset.error is not None
    assert dataset.error.code == code
    assert f"'{says}' has a single image, which cannot be in train and in test" in dataset.error.detail
    assert "Add images to it" in (dataset.error.remedy or "")
    assert _files(resources) == []


def test_a_photograph_of_20_000_pixels_a_side_is_refused_by_its_name(resources: Resources) -> None:
    dataset = _upload(resources, _zip(_pets({"cat/huge.png": _declared_png(20_000)})))
    assert dataset.error is not None
    assert dataset.error.code == "too-large"
    assert "'cat/huge.png': the image has 20,000 × 20,000 pixels; at most 50,000,000" in dataset.error.detail
    assert "leave it out" in (dataset.error.remedy or "")
    assert _files(resources) == []


def test_originals_are_what_was_sent_in_the_order_of_the_pixels(resources: Resources) -> None:
    files = _pets()
    dataset = _upload(resources, _zip(files))
    originals = _originals(resources, dataset)
    packed = open_packed(resources.artefacts, dataset)
    assert len(originals) == len(packed.images) == 20
    assert dataset.originals_bytes == sum(map(len, files.values()))
    assert dataset.longer_side == 8
    for place, pixels in enumerate(packed.images):
        assert originals.read(place) == files[originals.name(place)]
        assert np.array_equal(decode_image(originals.read(place), 8, ImageLimits()), pixels)


def test_the_originals_of_pixels_are_pngs_of_them(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        waiting = datasets.register(session, name="digits", source="digits", image_size=8, upload_digest=None).dataset
    ingest_one(resources, waiting.id)
    with resources.sessions.reading() as session:
        digits = datasets.get(session, "digits")
    originals, packed = _originals(resources, digits), open_packed(resources.artefacts, digits)
    for place in range(0, 1797, 100):
        with Image.open(io.BytesIO(originals.read(place))) as image:
            assert image.format == "PNG"
            assert np.array_equal(np.asarray(image), packed.images[place])


def test_content_that_is_known_brings_no_second_originals(resources: Resources) -> None:
    first = _upload(resources, _zip(_pets()))
    lossless = {}
    for name, data in _pets().items():
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).save(buffer, "WEBP", lossless=True)
        lossless[name] = buffer.getvalue()
    second = _upload(resources, _zip(lossless), name="again")
    assert (second.same_as, second.originals_digest) == (first.id, None)
    assert _files(resources) == sorted(first.digests)


def test_a_full_disk_fails_the_ingestion_with_a_clear_reason(resources: Resources) -> None:
    full = Resources(
        resources.settings.model_copy(update={"min_free_bytes": 2**60}),
        resources.sessions,
        resources.artefacts,
        resources.wakeups,
        "test",
    )
    dataset = _upload(full, _zip(_pets()))
    assert dataset.error is not None
    assert (dataset.state, dataset.error.code) == (DatasetState.FAILED, "storage-full")
    assert "Free some space" in (dataset.error.remedy or "")
    assert _files(resources) == []


@on_both_databases
def test_draining_gives_the_ingestion_back_and_keeps_the_archive(resources: Resources) -> None:
    draining.set()
    try:
        dataset = _upload(resources, _zip(_pets()))
    finally:
        draining.clear()
    assert (dataset.state, dataset.owner, dataset.losses) == (DatasetState.INGESTING, None, 0)
    assert _files(resources) == [str(dataset.upload_digest)]
    ingest_one(resources, dataset.id)
    with resources.sessions.reading() as session:
        assert datasets.get(session, dataset.id).state is DatasetState.READY


def test_the_digits_are_always_there(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        waiting = datasets.register(session, name="digits", source="digits", image_size=32, upload_digest=None).dataset
    ingest_one(resources, waiting.id)
    with resources.sessions.reading() as session:
        digits = datasets.get(session, "digits")
    assert (digits.train_count or 0) + (digits.test_count or 0) == 1797
    assert digits.classes == [str(digit) for digit in range(10)]
    assert digits.licence
    packed = open_packed(resources.artefacts, digits)
    assert packed.images.shape == (1797, 32, 32, 3)
    assert len(np.unique(packed.labels)) == 10


def test_without_a_network_cifar10_says_what_to_do_instead(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")  # nothing listens there: a machine without a network
    with resources.sessions.begin() as session:
        waiting = datasets.register(
            session, name="cifar10", source="cifar10", image_size=32, upload_digest=None
        ).dataset
    ingest_one(resources, waiting.id)
    with resources.sessions.reading() as session:
        failed = session.get_one(Dataset, waiting.id)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == (DatasetState.FAILED, "source-unavailable")
    assert "POST /datasets" in (failed.error.remedy or "")
    assert _files(resources) == []


@on_both_databases
def test_the_report_stays_and_is_completed_by_the_copies(resources: Resources) -> None:
    twice = np.random.default_rng(5).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(twice).save(buffer, "PNG")
    folders = {
        f"train/{name}/{i}.png": _png(10 * i + 100 * k) for k, name in enumerate(("cat", "dog")) for i in range(5)
    }
    copies = {"train/cat/twice.png": buffer.getvalue(), "test/cat/twice.png": buffer.getvalue()}
    dataset = _upload(resources, _zip(folders | copies | {"leaflet.pdf": b"%PDF-1.7"}))
    with resources.sessions.reading() as session:
        report = session.get_one(Dataset, dataset.id).report
    assert report is not None
    assert [(one.name, one.train, one.test) for one in report.classes] == [("cat", 6, 1), ("dog", 5, 0)]
    assert [(group.names, group.count) for group in report.left_out] == [(["leaflet.pdf"], 1)]
    assert report.duplicates is not None
    assert report.duplicates.test_in_train.exact == 1
    assert "1 of 1 test images is also a training image (1 exactly)." in report.duplicates.messages


def _left_out(resources: Resources, name: str) -> list[str]:
    with resources.sessions.reading() as session:
        report = datasets.reported(session, name).report
    assert report is not None
    assert report.left_out_count == sum(group.count for group in report.left_out)
    return sorted(left_out for group in report.left_out for left_out in group.names)


def _named_too(resources: Resources, archive: bytes, name: str) -> Registered:
    digest = resources.artefacts.put_bytes(archive)
    with resources.sessions.begin() as session:
        return datasets.register(session, name=name, source="upload", image_size=8, upload_digest=digest)


@on_both_databases
def test_each_upload_keeps_its_own_report_where_the_images_are_the_same(resources: Resources) -> None:
    first, second = _zip(_pets({"a.pdf": b"%PDF-1.7"})), _tar(_pets({"b.pdf": b"%PDF-1.7", "c.md": b"c"}))
    waiting = _named_too(resources, first, "pets")
    _named_too(resources, first, "pets while they are read")
    ingest_one(resources, waiting.dataset.id)
    again = _upload(resources, second, "again")
    for archive, name in ((first, "pets once more"), (second, "again once more")):
        assert not _named_too(resources, archive, name).created
    assert again.same_as == waiting.dataset.id
    for name in ("pets", "pets while they are read", "pets once more", waiting.dataset.id):
        assert _left_out(resources, name) == ["a.pdf"]
    for name in ("again", "again once more", again.id):
        assert _left_out(resources, name) == ["b.pdf", "c.md"]


@on_both_databases
def test_an_upload_that_adds_nothing_to_its_base_keeps_its_report(resources: Resources) -> None:
    base = _upload(resources, _zip(_pets()))
    digest = resources.artefacts.put_bytes(_zip({"cat/0.png": _pets()["cat/0.png"], "a.pdf": b"%PDF-1.7"}))
    with resources.sessions.begin() as session:
        found = session.get_one(Dataset, base.id)
        added = datasets.register(
            session, name="nothing new", source="upload", image_size=8, upload_digest=digest, base=found
        ).dataset
    ingest_one(resources, added.id)
    assert _left_out(resources, "pets") == []
    assert _left_out(resources, "nothing new") == ["a.pdf", "cat/0.png"]
    with resources.sessions.reading() as session:
        report = datasets.reported(session, "nothing new").report
    assert report is not None
    assert report.added is not None
    assert (report.added.known_count, report.added.train_count, report.duplicates_search) == (1, 0, "finished")


def _search(resources: Resources, name: str) -> tuple[str, bool]:
    with resources.sessions.reading() as session:
        report = datasets.reported(session, name).report
    assert report is not None
    return report.duplicates_search, report.duplicates is not None


@on_both_databases
def test_the_report_says_whether_copies_are_still_looked_for(resources: Resources) -> None:
    archive = _zip(_pets())  # once: made again in another second it is another file
    dataset = _upload(resources, archive)
    _named_too(resources, archive, "again")
    assert _search(resources, "pets") == _search(resources, "again") == ("finished", True)
    with resources.sessions.begin() as session:
        row = session.get_one(Dataset, dataset.id)
        assert row.report is not None
        row.report = row.report.model_copy(update={"duplicates": None})
    assert _search(resources, "pets") == ("unfinished", False)
    with resources.sessions.begin() as session:
        ingestions.go_on_looking_for_copies(session, dataset.id)
    assert _search(resources, "pets") == _search(resources, "again") == ("running", False)
    with resources.sessions.begin() as session:
        ingestions.give_up_copies(session, dataset.id)
    assert _search(resources, "again") == ("unfinished", False)


def test_a_worker_that_shuts_down_gives_the_search_for_copies_up(resources: Resources) -> None:
    waiting = _named_too(resources, _zip(_pets()), "pets")
    with resources.sessions.begin() as session:
        claimed = ingestions.claim(session, waiting.dataset.id, owner=resources.owner, lease_seconds=30)
    assert claimed is not None
    packed = _ingest(resources, *claimed)
    assert _search(resources, "pets") == ("running", False)
    draining.set()
    try:
        _look_for_copies(resources, waiting.dataset.id, packed.names)
    finally:
        draining.clear()
    assert _search(resources, "pets") == ("unfinished", False)


def test_a_file_by_itself_is_refused_by_the_name_that_its_sender_gave_it(resources: Resources) -> None:
    digest = resources.artefacts.put_bytes(b"\x93NUMPY\x01\x00v\x00")
    with resources.sessions.begin() as session:
        waiting = datasets.register(
            session, name="x", source="upload", image_size=8, upload_digest=digest, file_name="pets.npy"
        ).dataset
    ingest_one(resources, waiting.id)
    with resources.sessions.reading() as session:
        error = session.get_one(Dataset, waiting.id).error
    assert error is not None
    assert error.detail.startswith("'pets.npy' is damaged or cut short")
