"""How long an experiment will take: by what like ones took for each training image, and like artefacts for each image."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from noisegate.spec.caps import Caps
from noisegate.store import datasets, derivations, derived, planning
from noisegate.store.derived import StoredFile
from noisegate.store.estimates import Estimate, estimate
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Derived, Experiment
from tests import factories

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
BACKBONE: dict[str, Any] = {
    "network": {"backbone": "tf_efficientnet_lite0"},
    "training": {"recipe": "linear", "epochs": 10},
    "sweep": {},
}


def done(session: Session, seconds: float, **changes: Any) -> Experiment:
    """An experiment that took so long."""
    made = factories.queued_experiment(session, factories.spec(**changes))
    made.state, made.started_at, made.finished_at = State.SUCCEEDED, BEGAN, BEGAN + timedelta(seconds=seconds)
    return made


def estimated(session: Session, **changes: Any) -> Estimate:
    return estimate(session, planning.plan(session, factories.spec(**changes), Caps()))


@pytest.fixture
def session(sessions: Sessions) -> Any:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        yield session


def test_without_history_nothing_is_said(session: Session) -> None:
    found = estimated(session)
    assert (found.seconds, found.experiments) == (None, 0)
    assert found.unknown == ["training (network paper, recipe paper, 32 pixels)"]


def test_by_the_median_of_like_experiments_for_each_training_image(session: Session) -> None:
    """Two cells of two executions, two epochs of 90 images each, and 50 noise images an epoch in one of them: 920 images."""
    for seconds in (46.0, 92.0, 920.0):
        done(session, seconds)
    found = estimated(session, executions=6)
    # 0.1 seconds an image, three times as many images.
    assert found.seconds == pytest.approx(3 * 92)
    assert (found.preparing_seconds, found.experiments, found.unknown) == (0, 3, [])


@pytest.mark.parametrize(
    "other",
    [
        {"network": "compact", "training": {"recipe": "one_cycle"}},
        {"training": {"recipe": "one_cycle"}, "network": "resnet18"},
        {"kind": "training", "sweep": {"image_size": [32, 48]}},
    ],
)
def test_other_networks_recipes_and_sizes_say_nothing(session: Session, other: dict[str, Any]) -> None:
    done(session, 60, **other)
    assert estimated(session).seconds is None


def test_one_that_failed_or_runs_says_nothing(session: Session) -> None:
    done(session, 60).state = State.FAILED
    done(session, 60).state = State.RUNNING
    assert estimated(session).seconds is None


def test_all_cells_must_be_known(session: Session) -> None:
    done(session, 92)
    found = estimated(session, sweep={"training": [{"epochs": 2}, {"recipe": "one_cycle"}]})
    assert found.seconds is None
    assert found.unknown == ["training (network paper, recipe one_cycle, 32 pixels)"]


def test_views_and_features_are_told_by_the_pace_of_earlier_ones(session: Session) -> None:
    first = done(session, 30, **BACKBONE)
    _made(session, first, view_seconds=12, features_seconds=60)
    # The same dataset has them already.
    again = estimated(session, **BACKBONE)
    assert again.seconds == pytest.approx(30)
    assert again.preparing_seconds == 0
    # Another one of the same size, 100 images to train on and 20 to test, needs both.
    factories.ready_dataset(session, "birds", number=2)
    other = estimated(session, dataset="birds", **BACKBONE)
    assert other.preparing_seconds == pytest.approx(72)
    assert other.seconds == pytest.approx(102)


def test_features_that_were_never_made_here_leave_it_open(session: Session) -> None:
    done(session, 30, **BACKBONE)
    found = estimated(session, **BACKBONE)
    assert found.seconds is None
    assert found.unknown == ["features of tf_efficientnet_lite0.in1k", "images at 224 pixels"]


def test_what_a_newer_version_wrote_is_passed_over(session: Session) -> None:
    one, other = done(session, 92), done(session, 1)
    session.flush()
    factories.write_json(session, "experiments.spec", other.id, {"kind": "of tomorrow"})
    session.expire_all()
    assert estimated(session).seconds == pytest.approx(92)
    assert one.id != other.id


def _made(session: Session, experiment: Experiment, *, view_seconds: float, features_seconds: float) -> None:
    """The view and the features that the experiment needs, made one after the other."""
    needed = experiment.cells[0].needs
    assert needed is not None
    features, view = derived.lineage(session, needed)
    at = BEGAN
    for row, seconds in ((view, view_seconds), (features, features_seconds)):
        claimed = derivations.claim(session, row.id, owner="w", lease_seconds=30)
        assert claimed is not None
        derivations.record_ready(session, claimed[1], {"a": StoredFile(factories.digest(9), 1)}, total=120)
        found = session.get_one(Derived, row.id, populate_existing=True)
        at += timedelta(seconds=seconds)
        found.created_at, found.finished_at = BEGAN, at
    session.flush()
    assert datasets.get(session, "pets").train_count == 100
