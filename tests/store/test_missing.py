"""What is to be made of a dataset's images first, and how much of the disk it takes."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import derivations, planning
from noisegate.store.derived import StoredFile
from noisegate.store.missing import DiskNeed, disk_need
from noisegate.store.sessions import Sessions
from tests import factories

# Of 100 images to train on and 20 to test.
VIEW_224 = 120 * 3 * 224**2
LINEAR: dict[str, Any] = {
    "network": {"backbone": "tf_efficientnet_lite0"},
    "training": {"recipe": "linear"},
    "sweep": {},
}
FINE_TUNE = LINEAR | {"training": {"recipe": "fine_tune"}}


@pytest.fixture
def session(sessions: Sessions) -> Iterator[Session]:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        yield session


def need(session: Session, **changes: Any) -> DiskNeed:
    return disk_need(session, planning.plan(session, factories.spec(**changes), Caps()))


def test_images_as_they_were_packed_need_nothing(session: Session) -> None:
    assert need(session) == DiskNeed([], 0, 0)


def test_kinds_without_a_dataset_need_nothing(session: Session) -> None:
    points = planning.plan(session, parse_spec({"kind": "curve_fitting"}), Caps())
    assert disk_need(session, points) == DiskNeed([], 0, 0)


def test_a_view_lies_there_twice_while_it_is_made(session: Session) -> None:
    assert need(session, image_size=224) == DiskNeed(["images at 224 pixels"], VIEW_224, 2 * VIEW_224)


def test_features_come_after_their_view(session: Session) -> None:
    features = 120 * 4 * 1280
    found = need(session, **LINEAR)
    assert found.made == ["images at 224 pixels", "features of tf_efficientnet_lite0.in1k"]
    assert (found.kept_bytes, found.most_bytes) == (VIEW_224 + features, 2 * VIEW_224), "the view needs most"


def test_activations_of_images_and_mirrored_images(session: Session) -> None:
    """80 channels at a sixteenth of the sides, of 120 images and of 100 mirrored ones."""
    activations = (120 + 100) * 4 * 80 * 14**2
    found = need(session, **FINE_TUNE)
    assert found.kept_bytes == VIEW_224 + activations
    assert found.most_bytes == VIEW_224 + 2 * activations, "there the view is, and once more what is made of it"
    small = need(session, **FINE_TUNE | {"image_size": 32, "training": {"recipe": "fine_tune", "flip": False}})
    assert small.kept_bytes == 120 * 4 * 80 * 2**2
    assert small.most_bytes == 2 * small.kept_bytes


def test_cells_that_share_an_artefact_count_it_once(session: Session) -> None:
    assert need(session, **LINEAR | {"sweep": {"holdout": [0.1, 0.2]}}) == need(session, **LINEAR)
    sizes = need(session, sweep={"image_size": [32, 48, 64]})
    assert sizes.made == ["images at 48 pixels", "images at 64 pixels"]
    assert sizes.kept_bytes == 120 * 3 * (48**2 + 64**2)
    assert sizes.most_bytes == sizes.kept_bytes + 120 * 3 * 64**2


def test_what_is_there_needs_nothing_and_finished_pieces_are_paid_for(session: Session) -> None:
    experiment = factories.queued_experiment(session, factories.spec(image_size=224, sweep={}))
    claimed = derivations.claim(session, experiment.cells[0].needs, owner="w", lease_seconds=30)
    assert claimed is not None
    derivations.keep_piece(session, claimed[1], "images-0-10", StoredFile(factories.digest(7), VIEW_224 // 2))
    session.flush()
    assert need(session, image_size=224).most_bytes == 2 * VIEW_224 - VIEW_224 // 2
    derivations.record_ready(session, claimed[1], {"images.npy": StoredFile(factories.digest(9), VIEW_224)}, total=120)
    session.flush()
    assert need(session, image_size=224) == DiskNeed([], 0, 0)
    assert need(session, **LINEAR).made == ["features of tf_efficientnet_lite0.in1k"]


def test_other_datasets_whose_images_are_read_are_made_as_well(session: Session) -> None:
    """Noise of another dataset's images, at the same size: its 40 images to train on and 20 to test on."""
    zoo = factories.ready_dataset(session, "zoo", number=2, train_count=40)
    zoo.classes, zoo.counts = ["ape", "bat"], {"train": {"ape": 20, "bat": 20}, "test": {"ape": 10, "bat": 10}}
    session.flush()
    noise = {"family": "images", "dataset": "zoo", "quantity": 0.5}
    found = need(session, image_size=64, noise=noise, sweep={})
    assert found.made == ["images at 64 pixels"]
    assert found.kept_bytes == (120 + 60) * 3 * 64**2
