"""Bad input against the running system: a problem that names the field and the remedy, and nothing left behind."""

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noisegate.client import Noisegate
from noisegate.client.errors import ProblemError
from noisegate.disk import files_below
from noisegate.local import running as local
from tests.conftest import wait_until
from tests.data.archive_factory import dataset, picture, write_archive

GIB = 2**30


def _files(running: local.Running) -> set[Path]:
    return set(files_below(running.data_dir / "artefacts"))


def _refused_spec(client: Noisegate, changes: dict[str, Any]) -> tuple[str, str | None]:
    client.datasets.wait("digits", progress=lambda _: None)
    before = [experiment["id"] for experiment in client.experiments.list()]
    with pytest.raises(ProblemError) as caught:
        client.experiments.create({"dataset": "digits", **changes})
    assert [experiment["id"] for experiment in client.experiments.list()] == before
    (error,) = caught.value.errors
    return error.field, error.remedy


NOISE = {"family": "uniform"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"dataset": "nobody"}, "dataset", id="unknown dataset"),
        pytest.param({"colour": "red"}, "colour", id="unknown field"),
        pytest.param({"noise": NOISE, "sweep": {"noise.quantity": []}}, "sweep.noise.quantity", id="empty sweep"),
        pytest.param({"noise": NOISE, "sweep": {"noise.quantity": [-1]}}, "sweep.noise.quantity", id="negative sweep"),
        pytest.param({"noise": NOISE, "sweep": {"noise.quantity": list(range(101))}}, "sweep", id="too many cells"),
        pytest.param({"noise": {**NOISE, "quantity": 1e6}}, "noise.quantity", id="too much noise"),
        pytest.param({"holdout": 1}, "holdout", id="holdout 1"),
    ],
)
def test_a_bad_spec(client: Noisegate, changes: dict[str, Any], field: str) -> None:
    named, remedy = _refused_spec(client, changes)
    assert named == field
    assert remedy


def _archive_of(folder: Path, case: str) -> Path:
    pets, path = dataset(), folder / f"{case}.zip"
    match case:
        case "one class":
            return write_archive(path, {name: data for name, data in pets.items() if "cat" in name})
        case "no images":
            return write_archive(path, {"cat/readme.txt": b"none here"})
        case "truncated":
            whole = write_archive(path.with_suffix(".tar.xz"), pets, "tar.xz")
            whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
            return whole
        case "text as png":
            return write_archive(path, {**pets, "train/cat/9.png": b"not a picture"})
        case "parent path":
            return write_archive(path.with_suffix(".tar"), {**pets, "../../etc/cat.png": picture(1)}, "tar")
        case "link":
            linked = write_archive(path.with_suffix(".tar"), pets, "tar")
            with tarfile.open(linked, "a") as tar:
                entry = tarfile.TarInfo("train/cat/link.png")
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(entry)
            return linked
        case _:
            assert case == "zip bomb"
            return _zip_bomb(path, pets)


def _zip_bomb(path: Path, pets: dict[str, bytes]) -> Path:
    """A quarter of a GiB of zeros in a quarter of an MB, as one image among honest ones."""
    write_archive(path, pets)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("train/cat/x.png", "w", force_zip64=True) as member,
    ):
        for _ in range(GIB // 4 // 2**24):
            member.write(bytes(2**24))
    assert path.stat().st_size < 2**19
    return path


@pytest.mark.parametrize(
    "case", ["one class", "no images", "truncated", "text as png", "parent path", "link", "zip bomb"]
)
def test_a_bad_archive(client: Noisegate, running: local.Running, tmp_path: Path, case: str) -> None:
    client.datasets.wait("digits", progress=lambda _: None)
    before = _files(running)
    uploaded = client.datasets.upload(_archive_of(tmp_path, case), name="bad", image_size=8)
    failed = client.datasets.wait(uploaded["id"], progress=lambda _: None)
    assert failed["state"] == "failed"
    assert failed["error"] is not None
    (error,) = failed["error"]["errors"]
    assert error["field"] == "archive"
    assert error["remedy"]
    # The row is told first, then its file goes.
    wait_until(lambda: _files(running) == before, seconds=10, what="the archive is removed")
    assert client.datasets.get("bad")["error"] == failed["error"], "as long as no other dataset has its name"


@pytest.fixture(scope="session")
def model(client: Noisegate, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Any model will do to look at images; without a holdout it never becomes `default`."""
    archive = write_archive(tmp_path_factory.mktemp("pets") / "pets.zip", dataset(train=12, test=4))
    client.datasets.wait(client.datasets.upload(archive, name="pets", image_size=8)["id"], progress=lambda _: None)
    spec = {"dataset": "pets", "image_size": 8, "executions": 1, "holdout": 0, "training": {"epochs": 1}}
    experiment = client.experiments.wait(client.experiments.create(spec)["id"], progress=lambda _: None)
    (row,) = client.experiments.results(experiment.id).rows
    assert row.best_model is not None
    return row.best_model


def _encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _huge_png(side: int) -> bytes:
    """A PNG whose header promises side × side pixels, and little else."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


GRAY = Image.new("L", (20, 20), 90)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        pytest.param(_huge_png(50_000), "too-large", id="50,000 by 50,000 pixels"),
        pytest.param(
            _encoded(GRAY, save_all=True, append_images=[Image.new("L", (20, 20))]), "invalid-image", id="APNG"
        ),
        pytest.param(b"only text", "invalid-image", id="text"),
        pytest.param(_encoded(GRAY)[:-20], "invalid-image", id="truncated"),
        pytest.param(b"", "invalid-image", id="empty"),
        pytest.param(bytes(15 * 2**20), "too-large", id="over the limit"),
    ],
)
def test_an_image_that_is_refused(client: Noisegate, model: str, image: bytes, code: str) -> None:
    with pytest.raises(ProblemError) as caught:
        client.models.classify(image, model=model)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(_encoded(Image.fromarray(np.full((20, 20), 90 * 257, np.uint16))), id="16 bit"),
        pytest.param(_encoded(GRAY.convert("P")), id="palette"),
        pytest.param(_encoded(GRAY), id="gray"),
        pytest.param(_encoded(Image.new("CMYK", (20, 20), (0, 0, 0, 165)), "JPEG", quality=100), id="CMYK"),
        pytest.param(_encoded(Image.new("RGB", (300, 200), (90, 90, 90))), id="another size"),
    ],
)
def test_an_image_of_another_kind_is_seen_as_the_same_gray(client: Noisegate, model: str, image: bytes) -> None:
    reference = client.models.classify(_encoded(Image.new("RGB", (8, 8), (90, 90, 90))), model=model)
    decision = client.models.classify(image, model=model)
    assert decision["probabilities"] == pytest.approx(reference["probabilities"], abs=0.01)
