"""A kind of derived artefact that is made of a view is one spec and one maker: chained, resumed, failed and dropped like a view."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import sqlalchemy as sa

from noisegate.admin import cleaning
from noisegate.data.packing import IMAGES_FILE
from noisegate.errors import InvalidInput
from noisegate.spec import KINDS, DatasetFacts, TrainingExperiment
from noisegate.spec.derived import DERIVED, DerivedSpec, Needed, View
from noisegate.store import awaiting, derivations, derived, executions, experiments
from noisegate.store.states import DerivedState, State
from noisegate.store.tables import Derived, Experiment, utc_now
from noisegate.store.wakeups import DERIVE
from tests import factories
from tests.worker.conftest import on_both_databases
from tests.worker.test_views import WANTED, photographs, post, rows, upload
from worker import reaper
from worker.derived import MAKERS, make_one
from worker.kinds import RUNNERS
from worker.making import Making
from worker.resources import Resources
from worker.training import train_oldest

BOUNDS = cleaning.Bounds(files=1e9, scratch=1e9, failed_datasets=1e9, derived=60)


class Sums(DerivedSpec):
    """The sum of each image of a view, times a factor."""

    kind: Literal["sums"] = "sums"
    factor: int = 1


class SummedExperiment(TrainingExperiment):
    """A training that wants the sums of its view, too."""

    kind: Literal["summed"] = "summed"  # type: ignore[assignment]

    def needed(self, dataset: DatasetFacts | None) -> Needed | None:  # noqa: ARG002
        return Needed(Sums(factor=2), Needed(View(image_size=self.image_size)))


def make_sums(making: Making) -> dict[str, Path]:
    sums, view = making.row.parameters, making.row.parent
    assert isinstance(sums, Sums)
    assert view is not None
    with making.resources.sessions.reading() as session:
        stored = derived.files_of(session, view.id)[IMAGES_FILE]
    images = np.load(making.resources.artefacts.fetch(stored.digest), mmap_mode="r", allow_pickle=False)
    np.save(making.folder / "sums.npy", images.sum(axis=(1, 2, 3)) * sums.factor, allow_pickle=False)
    making.total = len(images)
    return {"sums.npy": making.folder / "sums.npy"}


@pytest.fixture(autouse=True)
def sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DERIVED, "sums", Sums)
    monkeypatch.setitem(MAKERS, "sums", make_sums)
    monkeypatch.setitem(KINDS, "summed", SummedExperiment)
    monkeypatch.setitem(RUNNERS, "summed", RUNNERS["training"])


def summed(resources: Resources, **changes: Any) -> Experiment:
    training = {"epochs": 1, "batch_size": 4}
    plain = factories.shades_spec(image_size=WANTED, training=training, keep_models="none").model_dump(mode="json")
    wanted = SummedExperiment.model_validate(plain | {"kind": "summed"} | changes)
    with resources.sessions.begin() as session:
        return factories.queued_experiment(session, wanted)


def state_of(resources: Resources, experiment: Experiment) -> State:
    with resources.sessions.reading() as session:
        return experiments.get(session, experiment.id).state


@on_both_databases
def test_what_is_made_of_a_view_waits_for_it_and_both_are_made(resources: Resources) -> None:
    upload(resources, photographs())
    experiment = summed(resources)
    view, sums = rows(resources)
    assert (view.kind, view.parent_id, sums.kind, sums.parent_id) == ("view", None, "sums", view.id)
    with resources.sessions.reading() as session:
        assert awaiting.waiting_artefacts(session, experiment.id) == [view.id, sums.id]
    make_one(resources, sums.id)
    assert [row.state for row in rows(resources)] == [DerivedState.READY, DerivedState.WAITING]
    assert resources.wakeups.waiting(DERIVE) == 1
    with resources.sessions.reading() as session:
        assert executions.count_waiting(session, most=9) == 0
    make_one(resources, sums.id)
    train_oldest(resources)
    assert state_of(resources, experiment) is State.SUCCEEDED
    with resources.sessions.reading() as session:
        pixels, totals = (derived.files_of(session, id) for id in (view.id, sums.id))
    found = np.load(resources.artefacts.fetch(totals["sums.npy"].digest))
    images = np.load(resources.artefacts.fetch(pixels[IMAGES_FILE].digest))
    assert np.array_equal(found, 2 * images.sum(axis=(1, 2, 3)))
    # One who wants the view alone finds it made.
    assert state_of(resources, post(resources)) is State.QUEUED
    assert len(rows(resources)) == 2


@on_both_databases
def test_what_follows_from_a_failed_view_fails_with_its_reason(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(making: Making) -> dict[str, Path]:
        raise InvalidInput("there is no light", remedy="Wait for the morning.")

    upload(resources, photographs())
    experiment = summed(resources, executions=2)
    with monkeypatch.context() as night:
        night.setitem(MAKERS, "view", refuse)
        make_one(resources, rows(resources)[0].id)
    assert [row.state for row in rows(resources)] == [DerivedState.FAILED, DerivedState.FAILED]
    with resources.sessions.reading() as session:
        found = executions.of_experiment(session, experiment.id)
    assert {(one.state, one.error.detail if one.error else None) for one in found} == {
        (State.FAILED, "there is no light")
    }
    assert state_of(resources, experiment) is State.FAILED
    again = summed(resources, seed=4)
    for row in rows(resources):
        make_one(resources, row.id)
    train_oldest(resources)
    assert state_of(resources, again) is State.SUCCEEDED


def test_a_worker_that_dies_between_ready_and_go_holds_nobody_up(resources: Resources) -> None:
    upload(resources, photographs())
    post(resources)
    with resources.sessions.begin() as session:
        claimed = derivations.claim(session, None, owner="w/1", lease_seconds=30)
        assert claimed is not None
        derivations.record_ready(session, claimed[1], {}, total=20)
    with resources.sessions.reading() as session:
        assert executions.count_waiting(session, most=9) == 0
    reaper.look(resources)
    with resources.sessions.reading() as session:
        assert executions.count_waiting(session, most=9) == 1


@on_both_databases
def test_a_view_stays_as_long_as_what_was_made_of_it(resources: Resources) -> None:
    upload(resources, photographs())
    summed(resources)
    for _ in range(2):
        make_one(resources, "whatever waits")
    train_oldest(resources)
    view, sums = rows(resources)
    long_ago = utc_now() - timedelta(days=1)

    def age(*ids: str) -> None:
        with resources.sessions.begin() as session:
            session.execute(sa.update(Derived).where(Derived.id.in_(ids)).values(used_at=long_ago))

    def dropped() -> int:
        removed = cleaning.clean(resources.sessions, resources.artefacts, BOUNDS)
        return next(one.count for one in removed if one.kind == "derived artefacts")

    age(view.id)
    assert dropped() == 0
    age(view.id, sums.id)
    assert dropped() == 2
    assert rows(resources) == []
