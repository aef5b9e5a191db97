"""Views through a worker: made once from the originals, by the serving decoder, whatever happens to who makes them."""

import asyncio
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from noisegate.data.packing import IMAGES_FILE
from noisegate.data.views import pieces_of, write_piece
from noisegate.errors import Conflict, InvalidSpec
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.manifest import ModelManifest
from noisegate.spec.caps import Caps
from noisegate.spec.derived import Fitting, Needed, View
from noisegate.store import claims, datasets, deletion, derivations, derived, executions, experiments, files
from noisegate.store.prerequisites import dataset_facts
from noisegate.store.remote import RemoteArtefacts
from noisegate.store.states import DerivedState, State
from noisegate.store.tables import Cell, Dataset, Derived, DerivedFile, Execution, Experiment, Model
from noisegate.store.wakeups import DERIVE, TRAIN
from service.classify.decoding import Decoder
from tests import factories
from tests.worker.conftest import WorkerProcess, on_both_databases, wait_until
from worker import reaper, views
from worker.derived import make_one
from worker.ingestion import ingest_one
from worker.lease import draining
from worker.resources import Resources
from worker.training import train_oldest

PACKED, WANTED = 8, 16
LIMITS = ImageLimits()


def photographs(count: int = 20) -> dict[str, bytes]:
    """Photographs of two classes, dark and bright, each of another size and wider than high."""
    generator = np.random.default_rng(3)
    found = {}
    for number in range(count):
        base = 60 if number % 2 == 0 else 190
        pixels = base + generator.integers(-40, 40, (20 + number, 40 + number, 3))
        buffer = io.BytesIO()
        kind = ("PNG", "JPEG", "WEBP")[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, kind)
        found[f"{'bright' if number % 2 else 'dark'}/{number:03d}.{kind.lower()}"] = buffer.getvalue()
    return found


def upload(resources: Resources, images: Mapping[str, bytes], name: str = "shades") -> Dataset:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in images.items():
            # Without the time of day: the same images are the same archive.
            archive.writestr(zipfile.ZipInfo(path), data)
    digest = resources.artefacts.put_bytes(buffer.getvalue())
    with resources.sessions.begin() as session:
        waiting = datasets.register(
            session, name=name, source="upload", image_size=PACKED, upload_digest=digest
        ).dataset
    ingest_one(resources, waiting.id)
    with resources.sessions.reading() as session:
        return session.get_one(Dataset, waiting.id)


def post(resources: Resources, **changes: Any) -> Experiment:
    training = {"epochs": 1, "batch_size": 4}
    defaults: dict[str, Any] = {"image_size": WANTED, "training": training, "keep_models": "none", "holdout": 0.2}
    with resources.sessions.begin() as session:
        return factories.queued_experiment(session, factories.shades_spec(**(defaults | changes)))


def rows(resources: Resources) -> list[Derived]:
    with resources.sessions.reading() as session:
        return list(session.scalars(sa.select(Derived).order_by(Derived.id)))


def only(resources: Resources) -> Derived:
    (row,) = rows(resources)
    return row


def pieces(resources: Resources) -> list[str]:
    with resources.sessions.reading() as session:
        return sorted(derived.files_of(session, only(resources).id))


def pixels_of(resources: Resources, derived_id: str) -> Any:
    with resources.sessions.reading() as session:
        stored = derived.files_of(session, derived_id)
    assert list(stored) == [IMAGES_FILE]
    return np.load(resources.artefacts.path(stored[IMAGES_FILE].digest), allow_pickle=False)


def expected(
    resources: Resources, dataset: Dataset, images: Mapping[str, bytes], size: int, fitting: Fitting
) -> np.ndarray:
    """Each file decoded by itself, in the order of the dataset's packed pixels, which tell which file is where."""
    packed = np.load(resources.artefacts.path(str(dataset.images_digest)), allow_pickle=False)
    by_pixels = {decode_image(data, PACKED, LIMITS).tobytes(): data for data in images.values()}
    assert len(by_pixels) == len(images)
    return np.stack([decode_image(by_pixels[one.tobytes()], size, LIMITS, fitting) for one in packed])


def waiting(resources: Resources) -> int:
    with resources.sessions.reading() as session:
        return executions.count_waiting(session, most=99)


@on_both_databases
def test_executions_wait_for_their_view_and_train_on_it(resources: Resources) -> None:
    images = photographs()
    dataset = upload(resources, images)
    experiment = post(resources, executions=2)
    assert waiting(resources) == 0
    train_oldest(resources)
    with resources.sessions.begin() as session:
        assert claims.claim(session, owner="w", lease_seconds=30, capacity=5) == []
    row = only(resources)
    assert (row.state, row.kind, row.dataset_id) == (DerivedState.WAITING, "view", dataset.id)
    make_one(resources, row.id)
    row = only(resources)
    assert (row.state, row.done, row.total, row.error) == (DerivedState.READY, 20, 20, None)
    assert row.size_bytes == 128 + 20 * 3 * WANTED**2
    assert np.array_equal(pixels_of(resources, row.id), expected(resources, dataset, images, WANTED, Fitting()))
    assert resources.wakeups.waiting(TRAIN) == 2
    for _ in range(2):
        train_oldest(resources)
    with resources.sessions.reading() as session:
        assert experiments.get(session, experiment.id).state is State.SUCCEEDED
        assert experiments.get(session, experiment.id).format == 2, "workers of format 1 would not wait"


@pytest.mark.parametrize(
    "fitting",
    [
        Fitting("crop"),
        Fitting("pad"),
        Fitting(interpolation="bicubic"),
        Fitting("crop", crop_share=0.875),
    ],
    ids=str,
)
def test_a_view_is_what_the_serving_decoder_makes(resources: Resources, fitting: Fitting) -> None:
    images = photographs()
    dataset = upload(resources, images)
    post(resources, **asdict(fitting), image_size=PACKED)
    make_one(resources, "whatever waits")
    found = pixels_of(resources, only(resources).id)
    assert np.array_equal(found, expected(resources, dataset, images, PACKED, fitting))
    assert not np.array_equal(found, expected(resources, dataset, images, PACKED, Fitting()))


def test_what_was_trained_on_a_view_is_served_what_its_training_saw(resources: Resources) -> None:
    images = photographs()
    dataset = upload(resources, images)
    fitting = Fitting("crop", "bicubic", 0.875, "scaled")
    post(resources, **asdict(fitting), keep_models="best")
    make_one(resources, only(resources).id)
    train_oldest(resources)
    with resources.sessions.reading() as session:
        manifest = session.scalars(sa.select(Model)).one().manifest
        assert manifest.spec.needed(dataset_facts(session.get_one(Dataset, dataset.id))) is not None
    assert (manifest.image_size, manifest.fitting) == (WANTED, fitting)
    assert ModelManifest.model_validate_json(manifest.model_dump_json()).fitting == fitting
    served = {asyncio.run(Decoder(LIMITS).decode(data, manifest))[0].tobytes() for data in images.values()}
    assert served == {one.tobytes() for one in pixels_of(resources, only(resources).id)}


@on_both_databases
def test_all_who_ask_share_one_view(resources: Resources) -> None:
    upload(resources, photographs())
    first, second = post(resources), post(resources, seed=5)
    row = only(resources)
    make_one(resources, row.id)
    third = post(resources, seed=6)
    assert only(resources).id == row.id
    with resources.sessions.reading() as session:
        found = session.execute(sa.select(Cell.experiment_id, Cell.needs, Execution.waits_for).join(Cell.executions))
        assert sorted(found) == sorted((one.id, row.id, None) for one in (first, second, third))


def test_a_sweep_over_sizes_has_a_view_a_cell_and_none_for_the_packed_size(resources: Resources) -> None:
    upload(resources, photographs())
    post(resources, sweep={"image_size": [PACKED, 16, 24]}, image_size=PACKED)
    assert waiting(resources) == 1
    for _ in range(2):
        make_one(resources, "whatever waits")
    assert waiting(resources) == 3
    sizes = sorted(pixels_of(resources, row.id).shape[1] for row in rows(resources))
    assert sizes == [16, 24]


def test_datasets_without_originals_stay_usable_at_their_size_alone(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts, image_size=PACKED)
    post(resources, image_size=PACKED)
    assert waiting(resources) == 1
    with pytest.raises(InvalidSpec) as caught:
        post(resources, image_size=16, resize="pad")
    assert [error.field for error in caught.value.errors] == ["image_size", "resize"]
    assert "packed at 8 before original files were kept" in str(caught.value)
    assert all("upload the images again" in str(error.remedy) for error in caught.value.errors)


@on_both_databases
def test_what_was_uploaded_before_originals_were_kept_gets_them_when_it_is_sent_again(resources: Resources) -> None:
    images = photographs()
    old = upload(resources, images)
    with resources.sessions.begin() as session:
        stripped = session.get_one(Dataset, old.id)
        stripped.originals_digest = stripped.originals_index_digest = stripped.originals_bytes = None
    again = upload(resources, images)
    assert (again.name, again.same_as, again.originals_digest) == ("shades with originals", old.id, None)
    with resources.sessions.reading() as session:
        assert datasets.get(session, "shades").originals_digest == old.originals_digest
    post(resources)
    make_one(resources, only(resources).id)
    assert only(resources).state is DerivedState.READY


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five images a piece: the real size would take gigabytes to have several."""
    monkeypatch.setattr("noisegate.data.views._PIECE_BYTES", 5 * 3 * WANTED**2)


@on_both_databases
@pytest.mark.usefixtures("small_pieces")
def test_a_worker_that_is_asked_to_end_gives_the_view_back_and_another_goes_on(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photographs()
    dataset = upload(resources, images)
    post(resources)
    decoded: list[range] = []

    def watched(file: Path, originals: Any, view: Any, places: range, *others: Any) -> None:
        decoded.append(places)
        if len(decoded) == 3:
            draining.set()
        write_piece(file, originals, view, places, *others)

    monkeypatch.setattr(views, "write_piece", watched)
    try:
        make_one(resources, only(resources).id)
    finally:
        draining.clear()
    row = only(resources)
    assert (row.state, row.owner, row.losses) == (DerivedState.WAITING, None, 0)
    assert pieces(resources) == ["images-0-5", "images-5-10"]
    assert resources.wakeups.waiting(DERIVE) == 1
    make_one(resources, row.id)
    # What was being decoded is decoded again, and nothing else.
    assert decoded == [range(5), range(5, 10), range(10, 15), range(10, 15), range(15, 20)]
    assert np.array_equal(pixels_of(resources, row.id), expected(resources, dataset, images, WANTED, Fitting()))
    assert stored(resources) == named(resources)


def stored(resources: Resources) -> set[str]:
    return {path.name for path in (resources.artefacts.root / "sha256").glob("??/*")}


def named(resources: Resources) -> set[str]:
    with resources.sessions.reading() as session:
        return files.named(session)


def test_no_room_for_a_view_fails_its_executions_with_the_reason(resources: Resources) -> None:
    upload(resources, photographs())
    experiment = post(resources, executions=2)
    full = resources.settings.model_copy(update={"min_free_bytes": 2**60})
    make_one(Resources(full, resources.sessions, resources.artefacts, resources.wakeups, "test"), only(resources).id)
    row = only(resources)
    assert row.state is DerivedState.FAILED
    with resources.sessions.reading() as session:
        assert experiments.get(session, experiment.id).state is State.FAILED
        errors = [one.error for one in executions.of_experiment(session, experiment.id)]
    for error in [row.error, *errors]:
        assert error is not None
        assert error.code == "storage-full"
        assert "a view of 20 images at 16 pixels takes" in error.detail
        assert "smaller image_size" in (error.remedy or "")
    assert stored(resources) == named(resources)
    # With room again, it is made when it is next asked for.
    post(resources, seed=2)
    make_one(resources, row.id)
    assert only(resources).state is DerivedState.READY


def test_an_original_that_today_s_limits_refuse_is_named(resources: Resources) -> None:
    upload(resources, photographs())
    post(resources)
    strict = resources.settings.model_copy(update={"max_image_pixels": 2_000})
    make_one(Resources(strict, resources.sessions, resources.artefacts, resources.wakeups, "test"), only(resources).id)
    error = only(resources).error
    assert error is not None
    assert error.code == "too-large"
    assert "bright/" in error.detail or "dark/" in error.detail


@on_both_databases
def test_a_view_that_is_lost_too_often_fails_what_waits_for_it(resources: Resources) -> None:
    upload(resources, photographs())
    experiment = post(resources)
    for _ in range(resources.settings.max_losses):
        with resources.sessions.begin() as session:
            assert derivations.claim(session, None, owner="gone/1", lease_seconds=-1) is not None
        reaper.look(resources)
    row = only(resources)
    assert row.error is not None
    assert (row.state, row.losses, row.error.code) == (DerivedState.FAILED, 3, "worker-lost")
    with resources.sessions.reading() as session:
        assert experiments.get(session, experiment.id).state is State.FAILED


def test_nobody_makes_a_view_that_nobody_waits_for(resources: Resources) -> None:
    upload(resources, photographs())
    experiment = post(resources)
    with resources.sessions.begin() as session:
        experiments.cancel(session, experiment.id)
    make_one(resources, only(resources).id)
    assert only(resources).state is DerivedState.WAITING
    post(resources, seed=9)
    make_one(resources, only(resources).id)
    assert only(resources).state is DerivedState.READY


@on_both_databases
@pytest.mark.usefixtures("small_pieces")
def test_a_dataset_is_deleted_while_its_view_is_made(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = upload(resources, photographs())
    experiment = post(resources)

    def delete(*_: object) -> None:
        with resources.sessions.begin() as session:
            with pytest.raises(Conflict):
                datasets.delete(session, dataset.id)
            experiments.cancel(session, experiment.id)
            deletion.delete_experiment(session, experiment.id)
            digests = datasets.delete(session, dataset.id)
        files.discard(resources.sessions, resources.artefacts, digests)

    def delete_then_write(file: Path, originals: Any, view: Any, places: range, *others: Any) -> None:
        if places.start == 5:
            delete()
        write_piece(file, originals, view, places, *others)

    monkeypatch.setattr(views, "write_piece", delete_then_write)
    make_one(resources, only(resources).id)
    assert rows(resources) == []
    with resources.sessions.reading() as session:
        assert session.scalars(sa.select(DerivedFile)).all() == []
    assert stored(resources) == set()


def test_a_worker_killed_in_the_middle_of_a_view_is_followed_by_another(
    resources: Resources, start_worker: Callable[..., WorkerProcess]
) -> None:
    generator = np.random.default_rng(1)
    images = {}
    for number in range(63):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(buffer, "JPEG")
        images[f"{number % 2}/{number}.jpg"] = buffer.getvalue()
    dataset = upload(resources, images)
    large = factories.shades_spec(image_size=1024, training={"batch_size": 2}, noise=None)
    with resources.sessions.begin() as session:
        experiment = factories.queued_experiment(session, large, Caps(image_size=1024))
    first = start_worker()
    wait_until(lambda: "images-0-21" in pieces(resources), seconds=60, what="the first piece is kept")
    first.kill()
    assert only(resources).state is DerivedState.RUNNING
    start_worker()
    wait_until(lambda: only(resources).state is DerivedState.READY, seconds=90, what="another worker makes the view")
    with resources.sessions.begin() as session:
        experiments.cancel(session, experiment.id)
    row = only(resources)
    assert (row.losses, row.attempt) == (1, 2)
    assert np.array_equal(pixels_of(resources, row.id), expected(resources, dataset, images, 1024, Fitting()))


@pytest.mark.usefixtures("small_pieces")
def test_a_machine_that_shares_files_goes_on_with_the_pieces_of_another(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def machine(name: str) -> Resources:
        shared = RemoteArtefacts(tmp_path / name, f"file://{tmp_path / 'bucket'}", cache_bytes=2**30)
        return replace(resources, artefacts=shared, worker=name)

    first, second = machine("first"), machine("second")
    images = photographs()
    dataset = upload(first, images)
    post(first)

    def end_at_the_third(file: Path, originals: Any, view: Any, places: range, *others: Any) -> None:
        if places.start == 10:
            draining.set()
        write_piece(file, originals, view, places, *others)

    monkeypatch.setattr(views, "write_piece", end_at_the_third)
    try:
        make_one(first, only(first).id)
    finally:
        draining.clear()
    monkeypatch.setattr(views, "write_piece", write_piece)
    assert pieces(first) == ["images-0-5", "images-5-10"]
    make_one(second, only(first).id)
    with resources.sessions.reading() as session:
        (stored,) = derived.files_of(session, only(first).id).values()
    found = np.load(first.artefacts.fetch(stored.digest), allow_pickle=False)
    for digest in dataset.digests:
        first.artefacts.fetch(digest)
    assert np.array_equal(found, expected(first, dataset, images, WANTED, Fitting()))


def test_a_kind_of_a_newer_version_is_left_alone(resources: Resources) -> None:
    upload(resources, photographs())
    post(resources)
    row = only(resources)
    with resources.sessions.begin() as session:
        session.execute(sa.update(Derived).values(kind="of tomorrow"))
    make_one(resources, row.id)
    row = only(resources)
    assert (row.state, row.attempt) == (DerivedState.WAITING, 0)


def test_a_base_that_saw_other_images_and_left_no_scores_is_refused(resources: Resources) -> None:
    upload(resources, photographs())
    earlier = post(resources, image_size=PACKED, noise=None, holdout=0, keep_models="all")
    train_oldest(resources)
    half = {"correct": "hc", "wrong": "hs", "fraction": 0.9}
    changes: dict[str, Any] = {"noise": None, "holdout": 0, "subgroup": half, "base": {"experiment": earlier.id}}
    with pytest.raises(InvalidSpec, match="trained on images of another size") as caught:
        post(resources, **changes)
    assert [error.field for error in caught.value.errors] == ["base"]
    post(resources, image_size=PACKED, **changes)


def test_pieces_cover_every_image_once() -> None:
    view = View(image_size=224)
    places = [place for piece in pieces_of(view, 1000) for place in piece]
    assert places == list(range(1000))
    assert len(list(pieces_of(view, 1000))) == 3


def test_keys_say_what_an_artefact_follows_from() -> None:
    plain = Needed(View(image_size=16))
    others = [
        Needed(View(image_size=17)),
        Needed(View(image_size=16, resize="pad")),
        Needed(View(image_size=16, interpolation="bicubic")),
        Needed(View(image_size=16, crop_share=0.9)),
        Needed(View(image_size=16, decoding="scaled")),
        Needed(View(image_size=16), plain),
    ]
    keys = {needed.key("a" * 64) for needed in [plain, *others]} | {plain.key("b" * 64)}
    assert len(keys) == 8
    assert plain.key("a" * 64) == Needed(View(image_size=16, resize="stretch")).key("a" * 64)


def test_views_of_earlier_versions_keep_their_keys() -> None:
    # As the version before interpolation, crop share and decoding computed them.
    plain, cropped = View(image_size=16), View(image_size=224, resize="crop")
    assert Needed(plain).key("a" * 64) == "4e039a498e3b3f739160f89a78447f335a7a077e389e3c7a587a07fe40f0241b"
    assert Needed(cropped).key("a" * 64) == "5edbbbebd4d9d6477903eed846916bd4b0064f0e0d626fbe2a169e3d4c403089"
